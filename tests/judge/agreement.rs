//! The judge against its rules in Python (`fixtures/reference/make/judge`), over thousands of generated cases of each kind.
//!
//! No input is stored. Both languages make each case from its number by operations that round the same way everywhere, and a checksum tells
//! a difference of the generators from one of the rules. Whatever is changed in the generators here is changed in `make/judge/cases.py`.

use haldane_judges::config::{CanaryConfig, CheckedConfig};
use haldane_judges::evidence::{ArmPoints, Buckets, Comparison, Evidence, Instance, Observation, Points, Spacing};
use haldane_judges::scorecard::{Examiner, HistoryNumbers, MetricResult, Reason, Status};
use haldane_judges::stats::strata::{ArmComparison as Compared, Stratum, deviate, standardised_rates};
use haldane_judges::{JudgeName, judge};
use serde_json::{Value, json};

/// Relative agreement asked of every estimate and p-value.
const AGREEMENT: f64 = 1e-9;
/// Cases of each kind, at least.
const LEAST: usize = 5_000;

// ---- the generators ------------------------------------------------------------------------------------------------------------

/// SplitMix64.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    fn pick<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.below(N)]
    }

    fn scatter(&mut self) -> f64 {
        let (a, b, c, d) = (self.uniform(), self.uniform(), self.uniform(), self.uniform());
        a + b + c + d - 2.0
    }

    fn length(&mut self, small: bool) -> usize {
        3 + self.below(if small { 10 } else { 58 })
    }

    fn direction(&mut self) -> &'static str {
        self.pick(["increase", "decrease", "either"])
    }
}

/// FNV-1a over the doubles' bits, eight bytes at once.
struct Checksum(u64);

impl Checksum {
    fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn add(&mut self, values: &[f64]) {
        for v in values {
            let bits = if v.is_nan() { 0x7FF8_0000_0000_0000 } else { v.to_bits() };
            self.0 = (self.0 ^ bits).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

/// 0 at midnight, 1 at noon.
fn wave(t: i64, per_day: i64) -> f64 {
    let at = t.rem_euclid(per_day) as f64 / per_day as f64;
    1.0 - (2.0 * at - 1.0).abs()
}

/// How a series of values is drawn.
#[derive(Clone, Copy)]
struct Shape {
    level: f64,
    bound: f64,
    per_day: i64,
    cv: f64,
    rho: f64,
    added: f64,
    grid: f64,
    zeros: f64,
    missing: f64,
    day: f64,
    apart: f64,
    effect: f64,
    part: u8,
}

fn series(r: &mut Random, before: usize, window: usize, shape: &Shape) -> Vec<f64> {
    let total = before + window;
    let mut e = 0.0;
    let point = |i: usize| {
        e = shape.rho * e + r.scatter();
        let mut v = shape.level * (1.0 + shape.day * wave(i as i64 - total as i64, shape.per_day)) * (1.0 + shape.cv * e) + shape.added * e;
        v *= 1.0 + shape.apart;
        let moved = i.checked_sub(before).is_some_and(|at| match shape.part {
            0 => true,
            1 => 2 * at < window,
            2 => 4 * at >= 3 * window,
            _ => at % 6 == 0,
        });
        if moved {
            v *= 1.0 + shape.effect;
            if shape.level == 0.0 {
                v += shape.effect;
            }
        }
        if shape.grid > 0.0 {
            v = (v / shape.grid + 0.5).floor() * shape.grid;
        }
        if shape.bound > 0.0 {
            v = if v > shape.bound {
                shape.bound
            } else if v < 0.0 {
                0.0
            } else {
                v
            };
        }
        if r.chance(shape.zeros) {
            v = 0.0;
        }
        if r.chance(shape.missing) { f64::NAN } else { v }
    };
    (0..total).map(point).collect()
}

fn instance(r: &mut Random, points: &[f64], cv: f64) -> Vec<f64> {
    let pod = 1.0 + 0.1 * r.scatter();
    points.iter().map(|v| if r.chance(0.05) { f64::NAN } else { v * pod * (1.0 + cv * r.scatter()) }).collect()
}

/// A metric of values.
struct ValueCase {
    baseline: ArmPoints,
    canary: ArmPoints,
    rate: bool,
    direction: &'static str,
    concurrent: bool,
    step: u32,
    percent: bool,
    relative: Option<f64>,
    absolute: Option<f64>,
}

fn value_case(i: u64, checksum: &mut Checksum) -> ValueCase {
    let r = &mut Random((1 << 32) + i);
    let small = r.chance(0.25);
    let nb = r.length(small);
    let nc = if r.chance(0.6) { nb } else { r.length(small) };
    let (rate, direction, concurrent) = (r.chance(0.25), r.direction(), r.chance(0.7));
    let (step, percent) = (r.pick([60u32, 900, 3600, 14400, 14400]), r.chance(0.3));
    let past = r.pick([0.0, 1.0, 3.0, 8.0, 30.0]) * nb.max(nc) as f64;
    let hb = (r.uniform() * past) as usize;
    let hc = if r.chance(0.8) { hb } else { r.below(hb + 1) };
    let full = if percent { 100.0 } else { 1.0 };
    let level = if rate {
        r.pick([0.0, 0.001, 0.01, 0.01, 0.2, 0.2, 0.97]) * full
    } else {
        r.pick([0.0, 0.2, 0.2, 5.0, -5.0, 90.0, 90.0, 100.0, 100.0, 3000.0])
    };
    let mut shape = Shape {
        level,
        bound: if rate { full } else { 0.0 },
        per_day: i64::from(86_400 / step),
        cv: r.pick([0.0, 0.01, 0.01, 0.05, 0.05, 0.2, 0.2, 0.6]),
        rho: r.pick([0.0, 0.0, 0.5, 0.9]),
        added: r.pick([0.0, 0.0, 0.0, 0.7]) * if rate { 0.0 } else { 1.0 },
        grid: r.pick([0.0, 0.0, 0.0, 0.125]) * level.abs(),
        zeros: r.pick([0.0, 0.0, 0.0, 0.1, 0.6]),
        missing: r.pick([0.0, 0.0, 0.0, 0.1, 0.3]),
        day: r.pick([0.0, 0.0, 0.3, 1.0]),
        apart: 0.0,
        effect: 0.0,
        part: 0,
    };
    let baseline = series(r, hb, nb, &shape);
    shape.apart = r.pick([0.0, 0.0, 0.1]);
    shape.effect = r.pick([0.0, 0.0, 0.0, 0.05, 0.15, 0.3, 0.6, 1.5, 4.0, -0.3]);
    shape.part = r.pick([0, 0, 0, 1, 2, 3]);
    shape.missing = if r.chance(0.05) { 0.55 } else { shape.missing };
    shape.day *= r.pick([0.0, 1.0, 2.0]);
    let canary = series(r, hc, nc, &shape);
    let of_baseline = r.pick([0, 0, 2, 3, 9]);
    let of_baseline: Vec<Vec<f64>> = (0..of_baseline).map(|_| instance(r, &baseline[hb..], shape.cv)).collect();
    let of_canary = r.pick([0, 0, 1, 3]);
    let of_canary: Vec<Vec<f64>> = (0..of_canary).map(|_| instance(r, &canary[hc..], shape.cv)).collect();
    let size = if level == 0.0 { 1.0 } else { level.abs() };
    let relative = r.pick([None, None, None, Some(0.15)]);
    let absolute = r.pick([None, None, None, Some(0.05 * size), Some(0.4 * size)]);
    [&baseline[..], &canary].into_iter().chain(of_baseline.iter().chain(&of_canary).map(Vec::as_slice)).for_each(|v| checksum.add(v));
    let arm = |values: &[f64], before: usize, instances: Vec<Vec<f64>>| ArmPoints {
        instances: instances.into_iter().enumerate().map(|(i, values)| Instance { name: format!("pod-{i}"), values }).collect(),
        ..ArmPoints::values(values[before..].to_vec()).with_history(Some(Points::Values(values[..before].to_vec())))
    };
    let (baseline, canary) = (arm(&baseline, hb, of_baseline), arm(&canary, hc, of_canary));
    ValueCase { baseline, canary, rate, direction, concurrent, step, percent, relative, absolute }
}

/// Events and totals of an arm, what lay before and then the window.
type Counted = (Vec<f64>, Vec<f64>);

/// How counts are drawn.
struct CountShape {
    bursts: f64,
    whole: bool,
    zeros: f64,
    missing: f64,
    part: u8,
}

fn counted(r: &mut Random, before: usize, window: usize, (traffic, rate, factor): (f64, f64, f64), shape: &CountShape) -> Counted {
    let mut burst = 0.0;
    (0..before + window)
        .map(|i| {
            burst = 0.7 * burst + r.scatter();
            let mut total = traffic * (0.5 + r.uniform());
            let mut chance = if burst > 0.0 { rate * (1.0 + shape.bursts * burst) } else { rate };
            if i.checked_sub(before).is_some_and(|at| shape.part == 0 || 2 * at < window) {
                chance *= factor;
            }
            chance = if chance > 1.0 { 1.0 } else { chance };
            if shape.whole {
                total = total.floor();
            }
            let mean = total * chance;
            let other = total - mean;
            let spread = (if mean < other { mean } else { other }).sqrt();
            let mut x = mean + 1.7 * spread * r.scatter();
            let rounding = r.uniform();
            if shape.whole {
                x = (x + rounding).floor();
            }
            x = if x < 0.0 {
                0.0
            } else if x > total {
                total
            } else {
                x
            };
            if r.chance(shape.zeros) {
                (x, total) = (0.0, 0.0);
            }
            if r.chance(shape.missing) { (f64::NAN, f64::NAN) } else { (x, total) }
        })
        .unzip()
}

/// A ratio with counts.
struct CountCase {
    baseline: ArmPoints,
    canary: ArmPoints,
    strata: Vec<Stratum>,
    placebos: Vec<f64>,
    aligned: bool,
    direction: &'static str,
    concurrent: bool,
    relative: Option<f64>,
    absolute: Option<f64>,
}

fn count_case(i: u64, checksum: &mut Checksum) -> CountCase {
    let r = &mut Random((2 << 32) + i);
    let small = r.chance(0.25);
    let nb = r.length(small);
    let nc = if r.chance(0.85) { nb } else { r.length(small) };
    let (direction, concurrent) = (r.direction(), r.chance(0.85));
    let traffic = r.pick([1.0, 10.0, 100.0, 1000.0, 10000.0, 100_000.0]);
    let share = r.pick([1.0, 1.0, 0.1]);
    let rate = r.pick([0.0, 0.0005, 0.005, 0.05, 0.3, 0.5, 0.95, 1.0]);
    let factor = r.pick([1.0, 1.0, 1.0, 1.1, 1.3, 2.0, 5.0, 0.5]);
    let (bursts, whole) = (r.pick([0.0, 0.0, 1.0, 3.0]), r.chance(0.7));
    let (zeros, missing) = (r.pick([0.0, 0.0, 0.1, 0.4]), r.pick([0.0, 0.0, 0.1]));
    let part = r.pick([0, 0, 0, 1]);
    let windows = r.pick([0, 0, 0, 2, 8]);
    let (hb, hc) = (windows * nb, windows * nc);
    let shape = CountShape { bursts, whole, zeros, missing, part };
    let baseline = counted(r, hb, nb, (traffic, rate, 1.0), &shape);
    let canary = counted(r, hc, nc, (traffic * share, rate, factor), &shape);
    let placebos = r.pick([0, 0, 1, 5, 12]);
    let placebos: Vec<f64> = (0..placebos).map(|_| r.pick([1.0, 1.0, 3.0]) * 1.75 * r.scatter()).collect();
    for (arm, before) in [(&baseline, hb), (&canary, hc)] {
        [&arm.0[..before], &arm.1[..before], &arm.0[before..], &arm.1[before..]].into_iter().for_each(|v| checksum.add(v));
    }
    checksum.add(&placebos);
    let (aligned, relative, absolute) = (r.chance(0.7), r.pick([None, None, None, Some(0.15)]), r.pick([None, None, None, Some(0.01)]));
    let at = |values: &[f64], i: usize| values.get(i).copied().filter(|v| v.is_finite()).unwrap_or(0.0);
    let stratum = |i: usize| Stratum {
        events: at(&canary.0[hc..], i),
        total: at(&canary.1[hc..], i),
        other_events: at(&baseline.0[hb..], i),
        other_total: at(&baseline.1[hb..], i),
    };
    let strata = (0..nb.max(nc)).map(stratum).collect();
    let arm = |(events, totals): Counted, before: usize| {
        let history = Points::Counts { events: events[..before].to_vec(), totals: totals[..before].to_vec() };
        ArmPoints::counts(events[before..].to_vec(), totals[before..].to_vec()).with_history(Some(history))
    };
    let (baseline, canary) = (arm(baseline, hb), arm(canary, hc));
    CountCase { baseline, canary, strata, placebos, aligned, direction, concurrent, relative, absolute }
}

fn sparse_events(r: &mut Random, n: usize, often: f64, size: f64, runs: f64, missing: f64) -> Vec<f64> {
    let mut last = false;
    let point = |_| {
        last = if last && r.chance(runs) { r.chance(0.8) } else { r.chance(often) };
        let u = r.uniform();
        let v = if last { 1.0 + (4.0 * size * u * u).floor() } else { 0.0 };
        if r.chance(missing) { f64::NAN } else { v }
    };
    (0..n).map(point).collect()
}

/// Sparse events of both arms.
struct EventCase {
    arms: [Vec<f64>; 2],
    direction: &'static str,
    relative: Option<f64>,
    absolute: Option<f64>,
}

/// Points with outliers, limits, and gaps at the end, what lay before first.
struct PointCase {
    arms: [ArmPoints; 2],
    direction: &'static str,
    max: Option<f64>,
    min: Option<f64>,
}

fn around_case(i: u64, checksum: &mut Checksum) -> (EventCase, PointCase) {
    let r = &mut Random((3 << 32) + i);
    let small = r.chance(0.25);
    let nb = r.length(small);
    let nc = if r.chance(0.7) { nb } else { r.length(small) };
    let often = r.pick([0.02, 0.05, 0.2, 0.4, 0.8]);
    let (times, size, runs, missing) =
        (r.pick([1.0, 1.0, 2.0, 4.0, 0.3]), r.pick([1.0, 1.0, 3.0]), r.pick([0.0, 0.0, 0.7]), r.pick([0.0, 0.0, 0.2]));
    let arms = [sparse_events(r, nb, often, 1.0, runs, missing), sparse_events(r, nc, often * times, size, runs, missing)];
    let events = EventCase {
        arms,
        direction: r.direction(),
        relative: r.pick([None, None, None, Some(0.5)]),
        absolute: r.pick([None, None, None, Some(0.2)]),
    };
    let (level, sd) = (r.pick([100.0, 100.0, 100.0, 5.0, 0.0]), r.pick([0.0, 1.0, 10.0, 40.0]));
    let (far, few) = (r.pick([1.5, 3.0, 8.0, 30.0]), r.pick([0.0, 0.0, 0.05, 0.2]));
    let (many, part) = (r.pick([few, 0.1, 0.25, 0.4, 0.7]), r.pick([0, 0, 0, 1]));
    let windows = r.pick([0, 0, 3, 12]);
    let (hb, hc) = (windows * nb, windows * nc);
    let gaps = r.pick([0.0, 0.0, 0.1, 0.3]);
    let mut outliers = |before: usize, window: usize, now: f64, part: u8| -> Vec<f64> {
        let point = |i: usize| {
            let hit = i.checked_sub(before).is_some_and(|at| part == 0 || 2 * at < window);
            let mut v = level + sd * r.scatter();
            if r.chance(if hit { now } else { few }) {
                v = v * far + sd;
            }
            if r.chance(gaps) { f64::NAN } else { v }
        };
        (0..before + window).map(point).collect()
    };
    let (mut baseline, mut canary) = (outliers(hb, nb, few, 0), outliers(hc, nc, many, part));
    if canary[hc..].iter().all(|v| v.is_nan()) {
        canary[hc] = level;
    }
    let (end, zero) = (r.pick([0, 0, 0, 2, 3, 5, 8, 12]), r.chance(0.5));
    let too = r.chance(0.2);
    for (arm, window, dead) in [(&mut canary, nc, true), (&mut baseline, nb, too)] {
        for v in arm.iter_mut().rev().take(if dead { end.min(window - 1) } else { 0 }) {
            *v = if zero { 0.0 } else { f64::NAN };
        }
    }
    [&events.arms[0], &events.arms[1], &baseline, &canary].into_iter().for_each(|v| checksum.add(v));
    let unit = if level > 0.0 { level } else { 10.0 };
    let (direction, max, min) = (r.direction(), r.pick([None, Some(1.3 * unit), Some(2.0 * unit)]), r.pick([None, None, Some(0.5 * unit)]));
    let arm = |values: &[f64], before: usize| {
        ArmPoints::values(values[before..].to_vec()).with_history(Some(Points::Values(values[..before].to_vec())))
    };
    (events, PointCase { arms: [arm(&baseline, hb), arm(&canary, hc)], direction, max, min })
}

// ---- comparing -----------------------------------------------------------------------------------------------------------------

/// What the reference says of each case, by the names of its fields.
struct Reference {
    name: &'static str,
    fields: Vec<String>,
    inputs: String,
    cases: Vec<Vec<Value>>,
}

impl Reference {
    fn read(name: &'static str) -> Self {
        let path = format!("{}/../fixtures/reference/judge_{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut file: Value = serde_json::from_str(&text).unwrap();
        let cases: Vec<Vec<Value>> = serde_json::from_value(file["cases"].take()).unwrap();
        assert!(cases.len() >= LEAST, "{name}: {} cases", cases.len());
        let fields = serde_json::from_value(file["fields"].take()).unwrap();
        Self { name, fields, inputs: file["inputs"].as_str().unwrap().to_owned(), cases }
    }

    fn generators_agree(&self, checksum: &Checksum) {
        assert_eq!(format!("{:016x}", checksum.0), self.inputs, "the inputs of judge_{}.json are not those that are made here", self.name);
    }
}

/// One case of a reference, and what was found to differ so far.
struct Check<'a> {
    reference: &'a Reference,
    case: usize,
    differ: &'a mut Vec<String>,
}

impl Check<'_> {
    /// What the reference says; null where it has no such field.
    fn want(&self, field: &str) -> &Value {
        let at = self.reference.fields.iter().position(|name| name == field).unwrap_or_else(|| panic!("no field {field}"));
        self.reference.cases[self.case].get(at).unwrap_or(&Value::Null)
    }

    fn differs(&mut self, what: String) {
        self.differ.push(format!("{} {}: {what}", self.reference.name, self.case));
    }

    /// An estimate or p-value; the smallest difference that counts is `floor`, what rounding makes of a difference of larger numbers.
    fn number(&mut self, field: &str, got: Option<f64>, floor: f64) {
        let want = match self.want(field) {
            Value::Null => None,
            Value::String(text) if text == "inf" => Some(f64::INFINITY),
            Value::String(text) if text == "-inf" => Some(f64::NEG_INFINITY),
            other => other.as_f64(),
        };
        let agree = match (got, want) {
            (Some(got), Some(want)) => got == want || (got - want).abs() <= (AGREEMENT * want.abs()).max(floor),
            (got, want) => got == want,
        };
        if !agree {
            self.differs(format!("{field} is {got:?}, expected {want:?}"));
        }
    }

    fn says(&mut self, field: &str, got: &str) {
        let want = self.want(field).as_str().unwrap_or_default().to_owned();
        if got != want {
            self.differs(format!("{field} is `{got}`, expected `{want}`"));
        }
    }

    /// The status of the level, where other examiners leave it to be seen. `beside` is what the level says beside it.
    fn level(&mut self, result: &MetricResult, beside: Option<Reason>) {
        let want = self.want("status").as_str().unwrap_or_default().to_owned();
        let grave = |status: &str| matches!(status, "regressed" | "suspect");
        let is_own = |examiner: Examiner, reason: Reason| examiner == Examiner::Level && Some(reason) != beside;
        let other = result.findings.iter().find(|finding| is_own(finding.examiner, finding.reason)).map(|finding| finding.status);
        let own = (is_own(result.examiner, result.reason) || result.reason == Reason::Silent).then_some(result.status);
        let agree = match own.or(other) {
            Some(status) => status.to_string() == want,
            // A regression of the arm that one instance explains is told as the instance's.
            None if result.examiner == Examiner::Instance && want == "regressed" => result.status == Status::Regressed,
            None => !grave(&want),
        };
        if !agree {
            self.differs(format!("the level is {own:?} or {other:?}, expected `{want}`: {:?} {}", result.examiner, result.sentence));
        }
    }
}

/// All that differ, or nothing.
fn nothing_differs(differ: &[String]) {
    assert!(
        differ.is_empty(),
        "{} numbers differ, such as\n{}",
        differ.len(),
        differ.iter().take(40).cloned().collect::<Vec<_>>().join("\n")
    );
}

fn checked(metric: &Value) -> CheckedConfig {
    let config = json!({ "name": "c", "min_observation": "0s", "metrics": [metric] });
    serde_json::from_value::<CanaryConfig>(config).unwrap().check().unwrap()
}

fn judged(metric: &Value, baseline: ArmPoints, canary: ArmPoints, step: u32, concurrent: bool) -> MetricResult {
    let evidence = Evidence {
        observations: vec![Observation::Sampled { baseline, canary }],
        step_seconds: f64::from(step),
        observed_seconds: 3600.0,
        comparison: if concurrent { Comparison::Concurrent } else { Comparison::BeforeAfter },
        ..Evidence::default()
    };
    judge(JudgeName::HaldaneV1, &checked(metric), &evidence).metrics.remove(0)
}

fn tolerance(relative: Option<f64>, absolute: Option<f64>) -> Value {
    let given = [("relative", relative), ("absolute", absolute)];
    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect::<serde_json::Map<_, _>>().into()
}

/// What an examiner found for a reason, whether it stands or not.
fn found(result: &MetricResult, examiner: Examiner, reason: Reason) -> String {
    let is = |of: (Examiner, Reason)| of == (examiner, reason);
    let beside = || result.findings.iter().find(|finding| is((finding.examiner, finding.reason))).map(|finding| finding.status);
    let status = if is((result.examiner, result.reason)) { Some(result.status) } else { beside() };
    status.map(|status| status.to_string()).unwrap_or_default()
}

#[test]
fn values_are_judged_as_by_the_rule_in_python() {
    let reference = Reference::read("values");
    let (mut checksum, mut differ, mut measured, mut by_clock) = (Checksum::new(), Vec::new(), 0, 0);
    for i in 0..reference.cases.len() {
        let case = value_case(i as u64, &mut checksum);
        let metric = json!({
            "name": "m", "kind": if case.rate { "ratio" } else { "value" }, "direction": case.direction,
            "unit": if case.percent { "percent" } else { "ms" }, "tolerance": tolerance(case.relative, case.absolute),
        });
        let all = |arm: &ArmPoints| match &arm.points {
            Points::Values(values) => values.iter().filter(|v| v.is_finite()).fold(0.0f64, |most, v| most.max(v.abs())),
            Points::Counts { .. } | Points::Buckets(_) => 0.0,
        };
        let largest = all(&case.baseline).max(all(&case.canary));
        let result = judged(&metric, case.baseline, case.canary, case.step, case.concurrent);
        let mut check = Check { reference: &reference, case: i, differ: &mut differ };
        // Events among values are looked at beside it.
        check.level(&result, Some(Reason::Events));
        let Some(m) = &result.numbers else {
            if reference.cases[i].len() > 1 {
                check.differs("there are no numbers".to_owned());
            }
            continue;
        };
        measured += 1;
        if case.direction == "either" && m.effect.abs() < 1e-15 {
            // Which side is the worse is a matter of rounding.
            continue;
        }
        let (unit, part) = (1e-14 * largest, 1e-14 * if case.rate { 1.0 } else { 1.0 + largest / m.level.max(1e-300) });
        check.number("effect", Some(m.effect), part);
        check.number("sigma", m.sigma, part);
        check.number("level", Some(m.level), unit);
        check.number("shift", Some(m.shift), unit);
        let interval = m.shift_interval.unwrap();
        check.number("low", interval.low.or(Some(f64::NEG_INFINITY)), unit);
        check.number("high", interval.high.or(Some(f64::INFINITY)), unit);
        check.number("p", Some(m.p), 0.0);
        check.number("p_ess", Some(m.p_ess), 0.0);
        check.number("cles", Some(m.cles), 0.0);
        check.number("inflation", Some(m.variance_inflation), 0.0);
        check.number("drift", m.drift, part);
        check.number("sampling", m.sampling, part);
        check.number("pods", m.pods, part);
        check.number("mean_effect", m.mean_effect, part);
        check.number("mean_sigma", m.mean_sigma, part);
        // Fewer windows than teach anything are told, and decide nothing.
        let past = result.history.as_ref().filter(|past| past.windows >= HistoryNumbers::ENOUGH_WINDOWS);
        check.number("windows", Some(past.map_or(0, |past| past.windows) as f64), 0.0);
        // An unbounded spread is not shown.
        if past.is_none_or(|past| past.spread.is_some()) {
            check.number("spread", past.and_then(|past| past.spread), part);
        }
        check.number("clock", past.and_then(|past| past.clock), part);
        by_clock += usize::from(past.is_some_and(|past| past.clock.is_some()));
    }
    reference.generators_agree(&checksum);
    nothing_differs(&differ);
    assert!(measured >= LEAST && by_clock >= 100, "{measured} were measured, {by_clock} at the same clock time");
}

/// p-values below this are as good as 0: what has no weight in the posterior of the inflation is left out.
const NO_WEIGHT: f64 = 1e-16;
/// Below this doubles lose their digits.
const LEAST_P: f64 = 1e-300;

#[test]
fn counts_are_compared_and_judged_as_by_the_rule_in_python() {
    let reference = Reference::read("counts");
    let (mut checksum, mut differ, mut whole) = (Checksum::new(), Vec::new(), 0);
    for i in 0..reference.cases.len() {
        let case = count_case(i as u64, &mut checksum);
        let compared =
            if case.aligned { Compared::aligned(&case.strata, &case.placebos) } else { Compared::unaligned(&case.strata, &case.placebos) };
        let mut check = Check { reference: &reference, case: i, differ: &mut differ };
        check.number("z", Some(compared.z), AGREEMENT);
        check.number("p", Some(compared.p()), NO_WEIGHT);
        check.number("p_independent", Some(compared.p_independent()), LEAST_P);
        check.number("inflation", Some(compared.inflation()), 0.0);
        let (rate, other) = standardised_rates(&case.strata);
        check.number("rate", Some(rate), 0.0);
        check.number("other_rate", Some(other), 0.0);
        if case.aligned && deviate(&case.strata) != compared.z {
            check.differs("the deviate is not that of the comparison".to_owned());
        }
        let metric = json!({
            "name": "m", "kind": "ratio", "direction": case.direction, "tolerance": tolerance(case.relative, case.absolute),
        });
        let result = judged(&metric, case.baseline, case.canary, 60, case.concurrent);
        let Some(m) = &result.counts else {
            if check.want("status").is_string() {
                check.differs("there are no numbers".to_owned());
            }
            continue;
        };
        whole += 1;
        check.level(&result, None);
        check.number("judged_z", Some(m.z), AGREEMENT);
        check.number("judged_p", Some(m.p), NO_WEIGHT);
        check.number("judged_p_independent", Some(m.p_independent), LEAST_P);
        check.number("judged_inflation", Some(m.inflation), 0.0);
        check.number("p_detectable", Some(m.p_detectable), NO_WEIGHT);
        check.number("shift", Some(m.shift), 1e-15);
        let past = result.history.as_ref();
        check.number("windows", Some(past.map_or(0, |past| past.windows) as f64), 0.0);
        check.number("spread", past.and_then(|past| past.spread), AGREEMENT);
    }
    reference.generators_agree(&checksum);
    nothing_differs(&differ);
    assert!(whole >= LEAST, "{whole} were judged");
}

#[test]
fn a_success_rate_deviates_as_the_error_rate_that_it_leaves() {
    for i in 0..1_000 {
        let strata = count_case(i, &mut Checksum::new()).strata;
        let both = strata.iter().filter(|one| one.total > 0.0 && one.other_total > 0.0);
        let (events, requests) = both.fold((0.0, 0.0), |(x, n), one| (x + one.events + one.other_events, n + one.total + one.other_total));
        if (2.0 * events - requests).abs() <= 1e-9 * requests {
            // Neither is the rarer.
            continue;
        }
        let turned = |one: &Stratum| Stratum { events: one.total - one.events, other_events: one.other_total - one.other_events, ..*one };
        let (plain, turned) = (deviate(&strata), deviate(&strata.iter().map(turned).collect::<Vec<_>>()));
        // Also where an arm has nothing else: by rounding alone it would have more than all.
        assert!((plain + turned).abs() <= AGREEMENT * plain.abs().max(1.0), "{i}: {plain} and {turned}");
    }
}

#[test]
fn what_stands_around_the_level_is_judged_as_by_the_rule_in_python() {
    let reference = Reference::read("around");
    let (mut checksum, mut differ, mut counted) = (Checksum::new(), Vec::new(), 0);
    for i in 0..reference.cases.len() {
        let (events, points) = around_case(i as u64, &mut checksum);
        let mut check = Check { reference: &reference, case: i, differ: &mut differ };
        let metric = json!({ "name": "m", "kind": "events", "direction": events.direction, "tolerance": tolerance(events.relative, events.absolute) });
        let [baseline, canary] = events.arms.map(ArmPoints::values);
        let result = judged(&metric, baseline, canary, 60, true);
        if let Some(m) = &result.events {
            counted += 1;
            check.level(&result, None);
            check.number("p", Some(m.p), 0.0);
            check.number("p_dependent", Some(m.p_dependent), 0.0);
            check.number("p_sum", Some(m.p_sum), 0.0);
            check.number("relative", m.relative_shift.or(Some(f64::INFINITY)), 1e-15);
        } else if !check.want("p").is_null() {
            check.differs("there are no numbers of events".to_owned());
        }
        let limits = [("max", points.max), ("min", points.min)];
        let limits: serde_json::Map<String, Value> =
            limits.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect();
        let metric = json!({ "name": "m", "direction": points.direction, "limits": limits });
        let [baseline, canary] = points.arms;
        let result = judged(&metric, baseline, canary, 60, true);
        check.says("limits", &found(&result, Examiner::Limits, Reason::Limit));
        check.says("minority", &found(&result, Examiner::Minority, Reason::Minority));
        // That a canary reports less often is a finding of coverage.
        let silence = found(&result, Examiner::Silence, Reason::Ended);
        if result.reason == Reason::Silent {
            // It never reported at all, and so has not ended.
            assert_eq!(check.want("silence").as_str(), Some(""), "{i}");
        } else {
            check.says("silence", &silence);
        }
    }
    reference.generators_agree(&checksum);
    nothing_differs(&differ);
    assert!(counted >= LEAST, "{counted} had events");
}

// ---- distributions -------------------------------------------------------------------------------------------------------------

const OTEL: [f64; 14] = [5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0];
const PROMETHEUS: [f64; 11] = [5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0];
#[allow(clippy::approx_constant, reason = "they are powers of two")]
const EIGHTHS: [f64; 8] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    1.414_213_562_373_095_1,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

/// A latency histogram.
struct DistributionCase {
    baseline: ArmPoints,
    canary: ArmPoints,
    metric: Value,
}

/// A log-logistic distribution of shape 4.
fn share_below(bound: f64, median: f64) -> f64 {
    let (square, of) = (bound * bound, median * median);
    square * square / (square * square + of * of)
}

/// Drift, whole counts, shares of empty and of missing intervals.
type HistogramShape = (f64, bool, f64, f64);

fn histogram(
    r: &mut Random,
    n: usize,
    bounds: &[f64],
    (traffic, median): (f64, f64),
    (factor, slow, part): (f64, f64, u8),
    (drift, whole, zeros, missing): HistogramShape,
) -> Vec<Option<Vec<f64>>> {
    let drawn = |r: &mut Random, mean: f64| {
        let mean = if mean > 0.0 { mean } else { 0.0 };
        let mut x = mean + 1.7 * mean.sqrt() * r.scatter();
        let rounding = r.uniform();
        if whole {
            x = (x + rounding).floor();
        }
        if x > 0.0 { x } else { 0.0 }
    };
    (0..n)
        .map(|i| {
            let total = traffic * (0.5 + r.uniform());
            let moved = part == 0 || 2 * i < n;
            let at = median * (1.0 + drift * r.scatter()) * if moved { factor } else { 1.0 };
            let tail = if moved { slow } else { 0.01 };
            let mut below = 0.0;
            let mut row: Vec<f64> = bounds
                .iter()
                .map(|bound| {
                    let up_to = (1.0 - tail) * share_below(*bound, at) + tail * share_below(*bound, 10.0 * at);
                    let count = drawn(r, total * (up_to - below));
                    below = up_to;
                    count
                })
                .collect();
            row.push(drawn(r, total * (1.0 - below)));
            if r.chance(zeros) {
                row.fill(0.0);
            }
            (!r.chance(missing)).then_some(row)
        })
        .collect()
}

fn distribution_case(i: u64, checksum: &mut Checksum) -> DistributionCase {
    let r = &mut Random((4 << 32) + i);
    let small = r.chance(0.25);
    let n = r.length(small);
    let layout = r.below(4);
    let native: Vec<f64> = (8..113).map(|j| EIGHTHS[j % 8] * (1u64 << (j / 8)) as f64).collect();
    let bounds: &[f64] = [&OTEL[..], &PROMETHEUS, &native, &[50.0, 1000.0]][layout];
    let (traffic, share) = (r.pick([3.0, 10.0, 50.0, 500.0, 5000.0]), r.pick([1.0, 1.0, 0.1, 4.0]));
    let median = r.pick([3.0, 60.0, 60.0, 60.0, 800.0, 20000.0]);
    let factor = r.pick([1.0, 1.0, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 5.0, 0.5]);
    let slow = r.pick([0.01, 0.01, 0.01, 0.02, 0.04]);
    let shape = (r.pick([0.0, 0.05, 0.05, 0.3]), r.chance(0.8), r.pick([0.0, 0.0, 0.2]), r.pick([0.0, 0.0, 0.1]));
    let part = r.pick([0, 0, 0, 1]);
    let baseline = histogram(r, n, bounds, (traffic, median), (1.0, 0.01, 0), shape);
    let canary = histogram(r, n, bounds, (traffic * share, median), (factor, slow, part), shape);
    for row in baseline.iter().chain(&canary) {
        checksum.add(row.as_ref().unwrap_or(&vec![f64::NAN; bounds.len() + 1]));
    }
    let quantiles: Option<&[f64]> = r.pick([None, None, None, Some(&[0.5, 0.9][..]), Some(&[0.75, 0.95, 0.99]), Some(&[0.99])]);
    let (relative, absolute) = (r.pick([None, None, Some(0.1)]), r.pick([None, None, Some(0.0), Some(40.0)]));
    let spacing = if layout == 2 { Spacing::Exponential } else { Spacing::Linear };
    let arm = |rows: &[Option<Vec<f64>>]| ArmPoints::buckets(Buckets::from_rows(bounds.to_vec(), rows, spacing).unwrap());
    let mut metric =
        json!({ "name": "m", "kind": "distribution", "direction": "increase", "unit": "ms", "tolerance": tolerance(relative, absolute) });
    if let Some(quantiles) = quantiles {
        metric["quantiles"] = json!(quantiles);
    }
    DistributionCase { baseline: arm(&baseline), canary: arm(&canary), metric }
}

#[test]
fn distributions_are_compared_and_judged_as_by_the_rule_in_python() {
    let reference = Reference::read("distributions");
    let (mut checksum, mut differ, mut whole) = (Checksum::new(), Vec::new(), 0);
    for i in 0..reference.cases.len() {
        let case = distribution_case(i as u64, &mut checksum);
        let result = judged(&case.metric, case.baseline, case.canary, 60, true);
        let mut check = Check { reference: &reference, case: i, differ: &mut differ };
        if !check.want("status").is_string() {
            continue;
        }
        let Some(m) = &result.distribution else {
            check.differs(format!("there are no numbers: {}", result.sentence));
            continue;
        };
        whole += 1;
        check.level(&result, None);
        check.number("cles", Some(m.cles), 0.0);
        let questions = check.want("questions").as_array().unwrap().clone();
        assert_eq!(questions.len(), m.quantiles.len());
        for (want, got) in questions.iter().zip(&m.quantiles) {
            let want: Vec<f64> = want.as_array().unwrap()[1..].iter().map(|v| v.as_f64().unwrap()).collect();
            let interval = got.shift_interval.unwrap();
            let largest = got.baseline.abs().max(got.canary.abs());
            let numbers = [
                ("z", got.z, AGREEMENT),
                ("p", got.p, NO_WEIGHT),
                ("p_free", got.p_independent, LEAST_P),
                ("p_detectable", got.p_detectable, NO_WEIGHT),
                ("T", got.inflation, 0.0),
                ("baseline", got.baseline, 0.0),
                ("canary", got.canary, 0.0),
                ("bound", got.bound, 0.0),
                ("slow_b", got.slower_baseline.share, 1e-14),
                ("slow_c", got.slower_canary.share, 1e-14),
                ("low", interval.low.unwrap(), 1e-9 * largest),
                ("high", interval.high.unwrap(), 1e-9 * largest),
            ];
            for ((name, got_value, floor), want) in numbers.into_iter().zip(want) {
                if (got_value - want).abs() > (AGREEMENT * want.abs()).max(floor) {
                    check.differs(format!("{name} of {} is {got_value:?}, expected {want:?}", got.quantile));
                }
            }
        }
    }
    reference.generators_agree(&checksum);
    nothing_differs(&differ);
    assert!(whole >= 4_700, "{whole} were judged");
}
