//! What must hold of every judgement whatever the samples: fail is proved, pass is earned, all else is marginal.
//!
//! Each property draws random canaries by seed (`random`), says of which of them it speaks, and names the seeds that break it. A kind of
//! metric is reported by itself, so that a broken rule shows where it breaks.

use haldane_judges::evidence::{Arm, ArmPoints, Buckets, Comparison, Evidence, FetchFailure, Looks, Observation, Points, Spacing};
use haldane_judges::scorecard::{Judgement, MetricResult, QuantileNumbers, Reason, Status, Verdict};
use haldane_judges::stats::Sample;
use haldane_judges::stats::differences::hodges_lehmann;
use haldane_judges::{JudgeName, judge};
use serde_json::{Value, json};

use crate::random::{
    Canary, Draw, Metric, Outcome, alone, any_counts, any_distribution, any_events, any_healthy, any_length, any_metric, any_plan,
    any_rate, any_values, beyond, expect, gravity, hold, number, values_of,
};

/// What both results say, for a report.
fn change(before: &MetricResult, after: &MetricResult) -> String {
    format!("{} ({}): {} | then {} ({}): {}", before.status, before.reason, before.sentence, after.status, after.reason, after.sentence)
}

/// Shows the case, where it is the only one.
fn show(what: &str, canary: &Canary) {
    if alone() {
        println!("{what}: {}", serde_json::to_string_pretty(&canary.judged()).unwrap());
        for metric in &canary.metrics {
            println!("{what}: {}\n  baseline {:?}\n  canary {:?}", metric.spec, metric.baseline, metric.canary);
        }
    }
}

fn finite(points: &Points) -> Vec<f64> {
    values_of(points).iter().copied().filter(|v| v.is_finite()).collect()
}

/// The sign of the direction in which the canary of values is worse; where either is, the one in which it lies.
fn worse_sign(metric: &Metric) -> Option<f64> {
    match metric.direction() {
        "increase" => Some(1.0),
        "decrease" => Some(-1.0),
        _ => {
            let sample = |arm: &ArmPoints| Sample::new(finite(&arm.points)).ok();
            let shift = hodges_lehmann(&sample(&metric.canary)?, &sample(&metric.baseline)?);
            (shift != 0.0).then(|| shift.signum())
        }
    }
}

/// The canary made worse at the points of `touched`, by a factor where its level is above 0, or by a shift; and how.
fn worsened(draw: &mut Draw, metric: &Metric, touched: impl Fn(usize) -> bool) -> Option<(Metric, String)> {
    let sign = worse_sign(metric)?;
    // Where either change is worse, to move away from one limit is to keep it.
    if metric.direction() == "either" && !metric.spec["limits"].is_null() {
        return None;
    }
    let all: Vec<f64> = if metric.canary.instances.is_empty() {
        finite(&metric.canary.points)
    } else {
        metric.canary.instances.iter().flat_map(|i| i.values.iter().copied().filter(|v| v.is_finite())).collect()
    };
    let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    let size = all.iter().map(|v| v.abs()).sum::<f64>() / all.len() as f64;
    if all.is_empty() || size == 0.0 {
        return None;
    }
    let factor = draw.magnitude(1.05, 8.0);
    let shift = size * draw.magnitude(0.02, 4.0);
    let (by_factor, way) = (draw.chance(0.5), metric.direction());
    let on = |change: &dyn Fn(f64) -> f64| metric.with_canary(|t, v| if touched(t) && v.is_finite() { change(v) } else { v });
    if let Some(whole) = metric.bound() {
        // The share of what is bad grows, as far as it can.
        let bad = |v: f64| if sign > 0.0 { v } else { whole - v };
        let factor = factor.min(whole / bad(if sign > 0.0 { high } else { low }));
        let says = format!("bad share x{factor:.3}, {way}");
        return (factor > 1.01 && way != "either").then(|| (on(&|v| bad((bad(v) * factor).min(whole))), says));
    }
    match (by_factor, sign > 0.0) {
        // Where either is worse the factor would move what lies on the other side as well.
        (true, true) if low >= 0.0 && way != "either" => Some((on(&|v| v * factor), format!("x{factor:.3}, {way}"))),
        (true, false) if low >= 0.0 && way != "either" => Some((on(&|v| v / factor), format!("/{factor:.3}, {way}"))),
        // A throughput of 0 is the worst there is, and less of it means nothing.
        (false, false) if low >= 0.0 && shift >= low => None,
        _ if way == "either" => Some((on(&|v| v + sign * 20.0 * (high - low).max(size)), format!("far away, {way}"))),
        _ => Some((on(&|v| v + sign * shift), format!("{:+.4}, {way}", sign * shift))),
    }
}

fn any_without_counts(draw: &mut Draw, n: usize) -> Metric {
    match draw.whole(0, 9) {
        0..=6 => any_values(draw, n),
        7..=8 => any_rate(draw, n),
        _ => any_events(draw, n),
    }
}

// ---- 1: a worse canary is judged no better -------------------------------------------------------------------------------------------

#[test]
fn a_canary_that_is_worse_throughout_is_never_judged_better() {
    hold("worse throughout", 2_000, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_without_counts(draw, n);
        let Some((worse, how)) = worsened(draw, &metric, |_| true) else { return Outcome::Silent };
        let (before, after) = (metric.alone().first(), worse.alone().first());
        // What is one and the same series says nothing, and what could not be judged is not judged by its level.
        if before.reason == Reason::Identical || matches!(before.status, Status::NoData | Status::Error) {
            return Outcome::Silent;
        }
        show("before", &metric.alone());
        show("after", &worse.alone());
        expect(gravity(after.status) >= gravity(before.status), metric.shape, || format!("{how}, n {n}: {}", change(&before, &after)))
    });
}

/// The bad events of the canary times `times`, at most all.
fn more_events(metric: &Metric, times: f64, touched: impl Fn(usize) -> bool) -> Option<Metric> {
    let Points::Counts { events, totals } = &metric.canary.points else { return None };
    let bad_are_events = match metric.direction() {
        "increase" => true,
        "decrease" => false,
        _ => stratified(metric)?.difference > 0.0,
    };
    let more = |(t, (x, m)): (usize, (&f64, &f64))| {
        let bad = if bad_are_events { *x } else { m - x };
        let bad = if touched(t) { (bad * times).min(*m) } else { bad };
        if bad_are_events { bad } else { m - bad }
    };
    let events = events.iter().zip(totals).enumerate().map(more).collect();
    let canary = ArmPoints::counts(events, totals.clone()).with_history(metric.canary.history.clone());
    Some(Metric { canary, ..metric.clone() })
}

#[test]
fn more_events_of_the_same_requests_never_pass_and_leave_a_regression_at_least_suspect() {
    hold("more events", 300, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_counts(draw, n);
        let times = draw.pick(&[2.0, 3.0, 5.0, 10.0]);
        let Some(worse) = more_events(&metric, times, |_| true) else { return Outcome::Silent };
        let (before, after) = (metric.alone().first(), worse.alone().first());
        if matches!(before.status, Status::NoData | Status::Error) {
            return Outcome::Silent;
        }
        show("before", &metric.alone());
        show("after", &worse.alone());
        let lifted = after.status == Status::Pass && before.status != Status::Pass;
        let acquitted = before.status == Status::Regressed && gravity(after.status) < gravity(Status::Suspect);
        expect(!lifted && !acquitted, metric.shape, || format!("x{times}, n {n}: {}", change(&before, &after)))
    });
}

/// Points that a partial raise touches: three in ten, or the second half.
fn some_points(draw: &mut Draw, n: usize) -> (Vec<bool>, &'static str) {
    if draw.chance(0.5) { (draw.places(n, (n * 3).div_ceil(10)), "30 %") } else { ((0..n).map(|t| t >= n / 2).collect(), "second half") }
}

#[test]
fn a_canary_that_is_worse_in_part_is_hardly_ever_judged_better() {
    hold("worse in part", 2_000, 0.01, |draw| {
        let n = any_length(draw);
        let metric = any_without_counts(draw, n);
        let (places, which) = some_points(draw, n);
        let Some((worse, how)) = worsened(draw, &metric, |t| places[t]) else { return Outcome::Silent };
        let (before, after) = (metric.alone().first(), worse.alone().first());
        if before.reason == Reason::Identical {
            return Outcome::Silent;
        }
        show("before", &metric.alone());
        show("after", &worse.alone());
        let kind = format!("{which}, {}", metric.shape);
        expect(gravity(after.status) >= gravity(before.status), &kind, || format!("{how}, n {n}: {}", change(&before, &after)))
    });
}

#[test]
fn more_events_in_part_of_the_intervals_hardly_ever_acquit() {
    hold("more events in part", 300, 0.01, |draw| {
        let n = any_length(draw);
        let metric = any_counts(draw, n);
        let times = draw.pick(&[2.0, 3.0, 5.0, 10.0]);
        let (places, which) = some_points(draw, n);
        let Some(worse) = more_events(&metric, times, |t| places[t]) else { return Outcome::Silent };
        let (before, after) = (metric.alone().first(), worse.alone().first());
        show("before", &metric.alone());
        show("after", &worse.alone());
        let lifted = after.status == Status::Pass && before.status != Status::Pass;
        let acquitted = before.status == Status::Regressed && gravity(after.status) < gravity(Status::Suspect);
        let kind = format!("{which}, {}", metric.shape);
        expect(!lifted && !acquitted, &kind, || format!("x{times}, n {n}: {}", change(&before, &after)))
    });
}

/// Every request of the canary one bucket slower, or every one that lies in some bucket or above.
fn slower(draw: &mut Draw, metric: &Metric) -> Option<Metric> {
    let Points::Buckets(buckets) = &metric.canary.points else { return None };
    let from = if draw.chance(0.7) { 0 } else { draw.whole(0, buckets.width() - 1) };
    let pushed = |row: &[f64]| {
        let mut pushed = row.to_vec();
        for j in (from + 1..row.len()).rev() {
            pushed[j] = row[j - 1] + if j == row.len() - 1 { row[j] } else { 0.0 };
        }
        if from < row.len() - 1 {
            pushed[from] = 0.0;
        }
        pushed
    };
    let rows: Vec<Option<Vec<f64>>> = buckets.rows().map(|row| row[0].is_finite().then(|| pushed(row))).collect();
    let points = Points::Buckets(Buckets::from_rows(buckets.bounds().to_vec(), &rows, buckets.spacing()).unwrap());
    Some(Metric { canary: ArmPoints { points, ..metric.canary.clone() }, ..metric.clone() })
}

#[test]
fn slower_requests_never_pass_and_leave_a_regression_at_least_suspect() {
    // Pushing all requests up a bucket takes away what they scatter by, now and then: 1 of 6,000.
    hold("slower requests", 400, 0.001, |draw| {
        let n = any_length(draw).min(60);
        let metric = any_distribution(draw, n).with("direction", json!("increase"));
        let Some(worse) = slower(draw, &metric) else { return Outcome::Silent };
        let (before, after) = (metric.alone().first(), worse.alone().first());
        if matches!(before.status, Status::NoData | Status::Error) {
            return Outcome::Silent;
        }
        show("before", &metric.alone());
        show("after", &worse.alone());
        let lifted = after.status == Status::Pass && before.status != Status::Pass;
        let acquitted = before.status == Status::Regressed && gravity(after.status) < gravity(Status::Suspect);
        expect(!lifted && !acquitted, metric.shape, || format!("n {n}: {}", change(&before, &after)))
    });
}

#[test]
fn a_distribution_is_judged_alike_in_seconds_and_milliseconds_and_by_buckets_that_nobody_needs() {
    hold("units of distributions", 200, 0.0, |draw| {
        let n = any_length(draw).min(40);
        let metric = any_distribution(draw, n);
        // Bounds above and below all requests change nothing of what is compared.
        let wider = |points: &Points| {
            let Points::Buckets(buckets) = points else { return points.clone() };
            let far = buckets.bounds().iter().copied().fold(1e6, f64::max);
            let bounds = [buckets.bounds().to_vec(), vec![2.0 * far]].concat();
            let row = |row: &[f64]| row[0].is_finite().then(|| [row, &[0.0]].concat());
            let rows: Vec<Option<Vec<f64>>> = buckets.rows().map(row).collect();
            let last = buckets.sums().last().copied().unwrap_or(0.0);
            if last > 0.0 { points.clone() } else { Points::Buckets(Buckets::from_rows(bounds, &rows, buckets.spacing()).unwrap()) }
        };
        let mut wide = metric.clone();
        wide.canary.points = wider(&metric.canary.points);
        // A past that has requests above all bounds of its own would not fit the wider ones.
        if wide.canary.points != metric.canary.points {
            (wide.canary.history, wide.baseline.history) = (None, None);
        }
        let metric = Metric { baseline: ArmPoints { history: wide.baseline.history.clone(), ..metric.baseline.clone() }, ..metric };
        let metric = Metric { canary: ArmPoints { history: wide.canary.history.clone(), ..metric.canary.clone() }, ..metric };
        let mut seconds = metric.scaled(0.001).with("unit", json!("s"));
        if let Some(limit) = seconds.spec.pointer_mut("/limits/p95/max") {
            *limit = json!(limit.as_f64().unwrap() * 0.001);
        }
        let (here, there, wide) = (metric.alone().first(), seconds.alone().first(), wide.alone().first());
        show("ms", &metric.alone());
        show("s", &seconds.alone());
        let same = (here.status, here.reason) == (there.status, there.reason);
        let same = same && (here.status, here.reason) == (wide.status, wide.reason);
        expect(same, metric.shape, || format!("n {n}: {} | {}", change(&here, &there), wide.sentence))
    });
}

#[test]
fn a_limit_of_a_quantile_that_is_plainly_broken_convicts_where_the_baseline_keeps_it() {
    hold("broken limit of a quantile", 200, 0.0, |draw| {
        let n = any_length(draw).clamp(6, 40);
        let metric = any_distribution(draw, n);
        let (Points::Buckets(b), Points::Buckets(c)) = (&metric.baseline.points, &metric.canary.points) else { return Outcome::Silent };
        let shares = |arm: &Buckets, j: usize| {
            let sums = arm.sums();
            (sums.iter().skip(j + 1).sum::<f64>(), sums.iter().sum::<f64>())
        };
        let plain = |j: &usize| {
            let ((xc, mc), (xb, mb)) = (shares(c, *j), shares(b, *j));
            let bad = c.above(*j).iter().zip(c.totals()).filter(|(x, m)| **x > 0.05 * **m).count();
            xc > 0.15 * mc && mc >= 400.0 && xb < 0.02 * mb && mb >= 400.0 && bad >= 3
        };
        let Some(j) = (0..b.bounds().len()).find(plain) else { return Outcome::Silent };
        let canary = metric.clone().with("limits", json!({ "p95": { "max": b.bounds()[j] } }));
        let canary = canary.with("tolerance", json!({ "relative": 1000.0 })).with("detectable", json!(1e6));
        let result = canary.alone().first();
        show("judged", &canary.alone());
        expect(result.status == Status::Regressed, metric.shape, || format!("n {n}: {}: {}", result.status, result.sentence))
    });
}

// ---- 2: healthy neighbours ------------------------------------------------------------------------------------------------------------

#[test]
fn healthy_metrics_beside_it_acquit_nobody() {
    hold("healthy neighbours", 1_000, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_metric(draw, n);
        let alone = metric.alone().first();
        if gravity(alone.status) < gravity(Status::Suspect) {
            return Outcome::Silent;
        }
        let mut metrics = vec![metric.clone()];
        for i in 0..draw.whole(1, 12) {
            let neighbour = if draw.chance(0.2) { healthy_counts(draw, n) } else { any_healthy(draw, n) };
            metrics.push(neighbour.named(&format!("healthy-{i}")));
        }
        let (many, together) = (metrics.len(), Canary::of(metrics));
        let judgement = together.judged();
        let beside = &judgement.metrics[0];
        show("alone", &metric.alone());
        show("together", &together);
        // What lies between the smaller tolerance and the tolerance may share its level.
        let firm = alone.status == Status::Regressed || alone.reason != Reason::Shift || beyond(&metric, &alone, 1.0 + 1e-9);
        let acquitted = firm && gravity(beside.status) < gravity(Status::Suspect);
        let passed = firm && judgement.verdict == Verdict::Pass;
        let kind = format!("{}, {} by {}", metric.shape, alone.status, alone.reason);
        expect(!acquitted && !passed, &kind, || format!("{many} metrics, n {n}, {}: {}", judgement.verdict, change(&alone, beside)))
    });
}

fn healthy_counts(draw: &mut Draw, n: usize) -> Metric {
    let mut arm = || ArmPoints::counts((0..n).map(|_| draw.events(1000.0, 0.02)).collect(), vec![1000.0; n]);
    let (baseline, canary) = (arm(), arm());
    Metric::new("healthy", json!({ "name": "healthy", "kind": "ratio", "direction": "increase" }), baseline, canary)
}

// ---- 3: plans of looks ----------------------------------------------------------------------------------------------------------------

#[test]
fn what_one_look_flags_is_at_least_suspect_under_any_plan() {
    hold("plans", 600, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_metric(draw, n);
        let alone = metric.alone().first();
        if gravity(alone.status) < gravity(Status::Suspect) {
            return Outcome::Silent;
        }
        for _ in 0..2 {
            let plan = any_plan(draw);
            let confirm = if draw.chance(0.5) { 1 } else { draw.whole(2, 4) };
            let planned = metric.clone().with("confirm", json!(confirm)).alone();
            // To confirm without a plan cuts the window into parts.
            let planned = if confirm > 1 && draw.chance(0.3) { planned } else { planned.under(plan) };
            let (judgement, looks) = (planned.judged(), planned.looks);
            let after = &judgement.metrics[0];
            show("alone", &metric.alone());
            show("planned", &planned);
            if gravity(after.status) < gravity(Status::Suspect) || judgement.verdict == Verdict::Pass {
                let kind = format!("{}, {} by {}", metric.shape, alone.status, alone.reason);
                return Outcome::Broken(kind, format!("{looks:?}, confirm {confirm}, n {n}: {}", change(&alone, after)));
            }
        }
        Outcome::Held
    });
}

#[test]
fn a_plan_of_one_look_is_no_plan() {
    hold("plan of one look", 200, 0.0, |draw| {
        let n = any_length(draw);
        let metrics = (0..draw.whole(1, 3)).map(|i| any_metric(draw, n).named(&format!("m{i}"))).collect();
        let canary = Canary::of(metrics);
        let plan = Looks { look: 1, looks: 1, early_pass: draw.chance(0.5) };
        let told = |judgement: Judgement| {
            let mut told = serde_json::to_value(judgement).unwrap();
            told.as_object_mut().unwrap().remove("looks");
            told
        };
        let (without, with) = (told(canary.judged()), told(canary.under(plan).judged()));
        show("without", &canary);
        show("with", &canary.under(plan));
        expect(without == with, "differs", || first_difference("", &without, &with))
    });
}

fn first_difference(at: &str, a: &Value, b: &Value) -> String {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let differing = x.keys().chain(y.keys()).find(|key| x.get(*key) != y.get(*key));
            differing.map_or_else(String::new, |key| first_difference(&format!("{at}/{key}"), &a[key], &b[key]))
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            let differing = (0..x.len()).find(|i| x[*i] != y[*i]);
            differing.map_or_else(String::new, |i| first_difference(&format!("{at}/{i}"), &x[i], &y[i]))
        }
        _ => format!("{at}: {a} | {b}"),
    }
}

// ---- 4: what a pass never stands beside -------------------------------------------------------------------------------------------------

/// Counts compared interval by interval as if each request were independent (Mantel & Haenszel 1959, doi:10.1093/jnci/22.4.719).
struct Stratified {
    /// Standardised rate of the canary minus that of the baseline.
    difference: f64,
    /// The same over the smaller of the baseline's rate and its complement.
    relative: f64,
    /// Normal score of the canary's events, conditional on both arms' in each interval.
    z: f64,
}

fn stratified(metric: &Metric) -> Option<Stratified> {
    let (Points::Counts { events: xb, totals: mb }, Points::Counts { events: xc, totals: mc }) =
        (&metric.baseline.points, &metric.canary.points)
    else {
        return None;
    };
    let [mut s, mut v, mut weight, mut of_canary, mut of_baseline] = [0.0; 5];
    for i in 0..xb.len().min(xc.len()) {
        let (xb, mb, xc, mc) = (xb[i], mb[i], xc[i], mc[i]);
        let counted = (xb + xc).is_finite() && mb > 0.0 && mc > 0.0;
        if !counted {
            continue;
        }
        let (x, n) = (xb + xc, mb + mc);
        let q = mc / n;
        s += xc - x * q;
        v += if n > 1.0 { x * (n - x) / (n - 1.0) * q * (1.0 - q) } else { 0.0 };
        weight += mc * mb / n;
        of_canary += xc * (1.0 - q);
        of_baseline += xb * q;
    }
    let (rate, difference) = (of_baseline / weight, (of_canary - of_baseline) / weight);
    (weight > 0.0 && v > 0.0).then(|| Stratified {
        difference,
        relative: difference.abs() / rate.min(1.0 - rate).max(0.0),
        z: s / v.sqrt(),
    })
}

#[test]
fn a_pass_stands_beside_no_interval_beyond_the_tolerance() {
    hold("interval beyond", 1_000, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_metric(draw, n);
        let canary = if draw.chance(0.3) { metric.alone().under(any_plan(draw)) } else { metric.alone() };
        let result = canary.first();
        if let Some(distribution) = &result.distribution {
            let (relative, absolute) = crate::random::tolerances(&metric);
            let low = |one: &QuantileNumbers| one.shift_interval.and_then(|interval| interval.low).unwrap_or(f64::NEG_INFINITY);
            let far = |one: &QuantileNumbers| {
                one.resolved && low(one) > absolute * (1.0 + 1e-9) && low(one) > relative * one.baseline.abs() * (1.0 + 1e-9)
            };
            if !distribution.quantiles.iter().any(far) {
                return Outcome::Silent;
            }
            show("judged", &canary);
            return expect(result.status != Status::Pass, metric.shape, || format!("n {n}: {}", result.sentence));
        }
        let Some(low) = number(&result, &["/numbers/shift_interval/low", "/counts/shift_interval/low"]) else { return Outcome::Silent };
        let level = number(&result, &["/numbers/level", "/counts/level"]).unwrap_or(f64::INFINITY);
        let (relative, absolute) = crate::random::tolerances(&metric);
        // Of a ratio the distance from the nearer end counts, and the level may be stated as either.
        let level = metric.bound().map_or(level, |whole| level.min(whole - level));
        if low <= 0.0 || low < relative * level * (1.0 + 1e-9) || low < absolute {
            return Outcome::Silent;
        }
        show("judged", &canary);
        expect(result.status != Status::Pass, metric.shape, || format!("n {n}, interval from {low}: {}", result.sentence))
    });
}

#[test]
fn a_pass_stands_beside_no_worsening_that_independent_requests_do_not_explain() {
    hold("unexplained worsening", 400, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_counts(draw, n);
        let result = metric.alone().first();
        // Its own number, and one that this test computes: far enough out for any approximation.
        let p = number(&result, &["/counts/p_independent", "/counts/p_free"]).unwrap_or(1.0);
        let by_its_own = p <= 0.001 && beyond(&metric, &result, 1.0 + 1e-9);
        let by_test = stratified(&metric).is_some_and(|of| {
            let sign = if metric.direction() == "decrease" { -1.0 } else { 1.0 };
            let (worse, z) =
                if metric.direction() == "either" { (of.difference.abs(), of.z.abs()) } else { (sign * of.difference, sign * of.z) };
            let (relative, absolute) = crate::random::tolerances(&metric);
            z >= 4.5 && worse >= 1.02 * absolute && of.relative >= 1.02 * relative
        });
        if !by_its_own && !by_test {
            return Outcome::Silent;
        }
        show("judged", &metric.alone());
        let kind = format!("{}, {}", metric.shape, if by_its_own { "p of the scorecard" } else { "p of the test" });
        expect(result.status != Status::Pass, &kind, || format!("n {n}, p {p}: {}", result.sentence))
    });
}

#[test]
fn a_limit_that_every_point_breaks_is_never_passed_and_convicts_where_the_baseline_keeps_it() {
    hold("broken limit", 2_000, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_metric(draw, n);
        if metric.is_distribution() {
            return Outcome::Silent;
        }
        let mut canary = metric.clone().with("tolerance", json!({ "relative": 1000.0 }));
        canary.spec["detectable"] = json!(1e6);
        let (kept, limit) = if let (Points::Counts { events: xc, totals: mc }, Points::Counts { events: xb, totals: mb }) =
            (&metric.canary.points, &metric.baseline.points)
        {
            // Enough events that any exact bound of the rate is far above.
            let sum = |values: &[f64]| values.iter().filter(|v| v.is_finite()).sum::<f64>();
            let (rate, theirs) = (sum(xc) / sum(mc), sum(xb) / sum(mb));
            if metric.direction() == "decrease" || sum(xc) < 30.0 || n < 6 || xc.iter().filter(|x| **x > 0.0).count() < 5 {
                return Outcome::Silent;
            }
            // One bad interval breaks a limit and proves nothing.
            let bad = xc.iter().zip(mc).filter(|(x, m)| **x > rate / 2.0 * **m).count();
            (theirs < rate / 4.0 && bad >= 3, ("max", rate / 2.0))
        } else {
            let (of_canary, of_baseline) = (finite(&metric.canary.points), finite(&metric.baseline.points));
            if of_canary.len() < 3 || of_baseline.len() < 3 || of_canary.len() * 10 < 9 * n || of_baseline.len() * 10 < 9 * n {
                return Outcome::Silent;
            }
            let low = of_canary.iter().copied().fold(f64::INFINITY, f64::min);
            let high = of_canary.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let (falls, size) = (metric.direction() == "decrease", low.abs().max(high.abs()));
            // Just beyond the canary's best point; between it and the end of what there can be, where there is one.
            let room = match metric.bound() {
                Some(whole) => 0.1 * if falls { whole - high } else { low },
                None if size == 0.0 => 1.0,
                None => 0.01 * size,
            };
            if room <= 0.0 {
                return Outcome::Silent;
            }
            if falls {
                (of_baseline.iter().all(|v| *v >= high + room), ("min", high + room))
            } else {
                (of_baseline.iter().all(|v| *v <= low - room), ("max", low - room))
            }
        };
        canary.spec["limits"] = json!({ limit.0: limit.1 });
        let result = canary.alone().first();
        show("judged", &canary.alone());
        let least = if kept { Status::Regressed } else { Status::Suspect };
        let kind = format!("{}, {}", metric.shape, if kept { "kept by the baseline" } else { "broken by both perhaps" });
        // Of a rate that the baseline perhaps breaks as well no more is known than that it is broken.
        expect(gravity(result.status) >= gravity(least), &kind, || format!("n {n}, {limit:?}: {}: {}", result.status, result.sentence))
    });
}

#[test]
fn an_arm_that_ended_early_is_never_passed() {
    hold("ended early", 800, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_metric(draw, n);
        let n = metric.canary.points.len();
        let (gone, looks) = ((n.div_ceil(10)).max(5), draw.chance(0.3).then(|| any_plan(draw)));
        let reports = |arm: &ArmPoints| match &arm.points {
            Points::Values(values) => values.iter().all(|v| v.is_finite()),
            Points::Counts { events, totals } => events.iter().chain(totals).all(|v| v.is_finite()),
            // An interval without requests is usual where there are few.
            Points::Buckets(buckets) => buckets.totals().iter().all(|v| *v > 0.0),
        };
        if n < gone + 3 || !reports(&metric.baseline) || !reports(&metric.canary) {
            return Outcome::Silent;
        }
        let last = n - gone;
        let ended = metric.ended_at(last);
        let canary = Canary { looks, ..ended.alone() };
        let judgement = canary.judged();
        let result = &judgement.metrics[0];
        show("judged", &canary);
        let flagged = gravity(result.status) >= gravity(Status::Suspect) && judgement.verdict != Verdict::Pass;
        expect(flagged, metric.shape, || format!("the last {gone} of {n} missing: {}: {}", result.status, result.sentence))
    });
}

#[test]
fn a_canary_with_a_flagged_metric_never_passes() {
    hold("flagged metric", 300, 0.0, |draw| {
        let n = any_length(draw);
        let metrics = (0..draw.whole(1, 5)).map(|i| any_metric(draw, n).named(&format!("m{i}"))).collect();
        let canary = Canary::of(metrics);
        let judgement = canary.judged();
        if judgement.metrics.iter().all(|m| gravity(m.status) < gravity(Status::Suspect)) {
            return Outcome::Silent;
        }
        show("judged", &canary);
        expect(judgement.verdict != Verdict::Pass, "passes", || judgement.summary.clone())
    });
}

// ---- 5: units, order and form ---------------------------------------------------------------------------------------------------------

#[test]
fn another_unit_gives_the_same_status() {
    hold("units", 1_500, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_without_counts(draw, n);
        let (other, kind) = match metric.bound() {
            None => (metric.scaled(draw.pick(&[1000.0, 1e-3, 1e9])), "unit"),
            Some(100.0) if metric.spec["kind"] == "ratio" => (metric.scaled(0.01).with("unit", Value::Null), "percent and fraction"),
            Some(1.0) => (metric.scaled(100.0).with("unit", json!("percent")), "fraction and percent"),
            Some(_) => return Outcome::Silent,
        };
        let (here, there) = (metric.alone().first(), other.alone().first());
        show("here", &metric.alone());
        show("there", &other.alone());
        expect((here.status, here.reason) == (there.status, there.reason), kind, || format!("n {n}: {}", change(&here, &there)))
    });
}

#[test]
fn success_and_failure_are_judged_alike() {
    hold("complement", 400, 0.0, |draw| {
        let n = any_length(draw);
        let metric = if draw.chance(0.5) { any_rate(draw, n) } else { any_counts(draw, n) };
        if !metric.spec["limits"].is_null() {
            return Outcome::Silent;
        }
        let other = metric.complement();
        let (here, there) = (metric.alone().first(), other.alone().first());
        show("here", &metric.alone());
        show("there", &other.alone());
        let kind = format!("{}, {}", metric.shape, metric.direction());
        expect(here.status == there.status, &kind, || format!("n {n}: {}", change(&here, &there)))
    });
}

#[test]
fn a_success_rate_in_percent_is_judged_alike_as_value_and_as_ratio_of_errors() {
    hold("percent as a value", 1_000, 0.0, |draw| {
        let n = any_length(draw).max(10);
        let level = draw.magnitude(0.002, 0.05);
        let times = draw.pick(&[1.0, 1.0, 3.0, 8.0]);
        // A quiet rate, so that a value's scatter and a rate's test agree on what is plain.
        let mut errors = |times: f64| -> Vec<f64> { (0..n).map(|_| level * times * (0.05 * draw.normal()).exp()).collect() };
        let (baseline, canary) = (errors(1.0), errors(times));
        let success = |values: &[f64]| values.iter().map(|v| 100.0 - 100.0 * v).collect::<Vec<f64>>();
        let value = json!({ "name": "success", "unit": "percent", "direction": "decrease" });
        let ratio = json!({ "name": "errors", "kind": "ratio", "direction": "increase", "queries": { "prometheus": "errors" } });
        let value = Metric::values(value, &success(&baseline), &success(&canary));
        let ratio = Metric::values(ratio, &baseline, &canary);
        let (here, there) = (value.alone().first(), ratio.alone().first());
        show("value", &value.alone());
        show("ratio", &ratio.alone());
        let worse = |result: &MetricResult| result.status == Status::Regressed;
        let right = worse(&here) == (times > 1.0) && worse(&there) == (times > 1.0);
        expect(right, if times > 1.0 { "worse" } else { "healthy" }, || format!("x{times}, n {n}: {}", change(&here, &there)))
    });
}

#[test]
fn both_arms_are_never_worse_than_the_other() {
    hold("swapped arms", 400, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_metric(draw, n);
        // Where either change is worse both are; a limit is no comparison.
        if metric.direction() == "either" || !metric.spec["limits"].is_null() {
            return Outcome::Silent;
        }
        let (here, there) = (metric.alone().first(), metric.swapped().alone().first());
        show("here", &metric.alone());
        show("there", &metric.swapped().alone());
        let by_level = |r: &MetricResult| r.status == Status::Regressed && matches!(r.reason, Reason::Shift | Reason::Mean);
        expect(!(by_level(&here) && by_level(&there)), metric.shape, || format!("n {n}: {}", change(&here, &there)))
    });
}

#[test]
fn the_order_of_metrics_of_every_kind_changes_no_result() {
    hold("order of metrics", 150, 0.0, |draw| {
        let n = any_length(draw);
        let metrics: Vec<Metric> = (0..draw.whole(2, 5)).map(|i| any_metric(draw, n).named(&format!("m{i}"))).collect();
        let plan = draw.chance(0.3).then(|| any_plan(draw));
        let of = |metrics: Vec<Metric>| Canary { looks: plan, ..Canary::of(metrics) }.judged();
        let (there, back) = (of(metrics.clone()), of(draw.shuffled(metrics)));
        let same = |result: &&MetricResult| back.metrics.contains(result);
        let moved = there.metrics.iter().find(|result| !same(result));
        expect(moved.is_none() && there.verdict == back.verdict, "differs", || format!("{:?}", moved.map(|m| &m.sentence)))
    });
}

/// Whatever else is judged the same, but for the metric of that name.
fn but(judgement: &Judgement, name: &str) -> Vec<MetricResult> {
    judgement.metrics.iter().filter(|metric| metric.name != name).cloned().collect()
}

#[test]
fn a_muted_metric_changes_neither_the_verdict_nor_what_is_found_of_others() {
    hold("a muted metric", 300, 0.0, |draw| {
        let n = any_length(draw);
        let some = |metric: Metric, draw: &mut Draw| {
            let zeros = draw.chance(0.2) && !metric.is_counts() && !metric.is_distribution();
            let per_request = draw.chance(0.1) && metric.spec["kind"].is_null();
            let metric = if zeros { metric.with("absent_means_zero", json!(true)) } else { metric };
            if per_request { metric.with("traffic", json!(true)) } else { metric }
        };
        let metrics: Vec<Metric> = (0..draw.whole(1, 4))
            .map(|i| {
                let metric = any_metric(draw, n).named(&format!("m{i}"));
                if i == 0 { some(metric, draw) } else { metric }
            })
            .collect();
        let plan = draw.chance(0.3).then(|| any_plan(draw));
        let comparison = if draw.chance(0.2) { Comparison::BeforeAfter } else { Comparison::Concurrent };
        let share = draw.chance(0.3).then(|| draw.within(0.05, 0.95));
        let muted = any_metric(draw, n).named("muted").with("muted", json!(true));
        let ended = draw.whole(0, n);
        let muted = if draw.chance(0.5) { muted.ended_at(ended) } else { muted };
        let place = draw.whole(0, metrics.len());
        let judged = |metrics: Vec<Metric>| {
            let canary = Canary { looks: plan, comparison, ..Canary::of(metrics) };
            let evidence = Evidence { canary_share: share, observed_seconds: 60.0 * n as f64, ..canary.evidence() };
            judge(JudgeName::HaldaneV1, &canary.config(), &evidence)
        };
        let with = metrics.iter().take(place).chain([&muted]).chain(metrics.iter().skip(place)).cloned().collect();
        let (without, with) = (judged(metrics), judged(with));
        let same = without.verdict == with.verdict && but(&without, "muted") == but(&with, "muted") && without.reasons == with.reasons;
        let same = same && without.warnings == with.warnings && without.recommendation == with.recommendation;
        expect(same, &format!("beside {}", muted.shape), || {
            let there =
                without.metrics.iter().zip(but(&with, "muted")).find(|(a, b)| **a != *b).map(|(a, b)| (a.sentence.clone(), b.sentence));
            format!("{} is {}: {there:?} {:?} {:?}", without.verdict, with.verdict, without.warnings, with.warnings)
        })
    });
}

// ---- 6: more of the same ---------------------------------------------------------------------------------------------------------------

/// Both arms once more after themselves.
fn repeated(metric: &Metric) -> Metric {
    let twice = |values: &[f64]| [values, values].concat();
    let arm = |arm: &ArmPoints| {
        let instance =
            |i: &haldane_judges::evidence::Instance| haldane_judges::evidence::Instance { values: twice(&i.values), ..i.clone() };
        let points = match &arm.points {
            Points::Values(values) => Points::Values(twice(values)),
            Points::Counts { events, totals } => Points::Counts { events: twice(events), totals: twice(totals) },
            Points::Buckets(buckets) => {
                let row = |row: &[f64]| row[0].is_finite().then(|| row.to_vec());
                let once: Vec<Option<Vec<f64>>> = buckets.rows().map(row).collect();
                let rows = [once.clone(), once].concat();
                Points::Buckets(Buckets::from_rows(buckets.bounds().to_vec(), &rows, buckets.spacing()).unwrap())
            }
        };
        ArmPoints { points, instances: arm.instances.iter().map(instance).collect(), ..arm.clone() }
    };
    Metric { baseline: arm(&metric.baseline), canary: arm(&metric.canary), ..metric.clone() }
}

#[test]
fn more_points_of_the_same_evidence_never_acquit() {
    hold("more of the same", 600, 0.0, |draw| {
        let n = any_length(draw).min(100);
        let mut metric = any_metric(draw, n);
        (metric.baseline.history, metric.canary.history) = (None, None);
        let before = metric.alone().first();
        // What speaks of the end or the course of the window is other evidence when the window is repeated.
        let of_course =
            matches!(before.reason, Reason::Leak | Reason::Instance | Reason::Silent | Reason::DataAsymmetry | Reason::Unconfirmed)
                || ["recent", "ended", "healed"].contains(&serde_json::to_value(before.reason).unwrap().as_str().unwrap());
        let firm = before.status == Status::Regressed || (before.status == Status::Suspect && beyond(&metric, &before, 1.0 + 1e-9));
        if of_course || !firm {
            return Outcome::Silent;
        }
        let after = repeated(&metric).alone().first();
        show("once", &metric.alone());
        show("twice", &repeated(&metric).alone());
        let kind = format!("{}, {} by {}", metric.shape, before.status, before.reason);
        expect(after.status != Status::Pass, &kind, || format!("n {n}: {}", change(&before, &after)))
    });
}

// ---- 7: what is no evidence --------------------------------------------------------------------------------------------------------------

/// A metric that says nothing of the canary, and which kind of nothing.
fn any_nothing(draw: &mut Draw, n: usize, name: &str) -> (Value, Observation, &'static str) {
    let metric = any_metric(draw, n).named(name);
    let mut spec = metric.spec.clone();
    spec["limits"] = json!({});
    let sampled = |baseline: ArmPoints, canary: ArmPoints| Observation::Sampled { baseline, canary };
    let missing = |arm: &ArmPoints| match &arm.points {
        Points::Values(values) => ArmPoints::values(vec![f64::NAN; values.len()]),
        Points::Counts { events, totals } => ArmPoints::counts(vec![f64::NAN; events.len()], vec![f64::NAN; totals.len()]),
        Points::Buckets(buckets) => {
            ArmPoints::buckets(Buckets::empty(buckets.bounds().to_vec(), buckets.len(), buckets.spacing()).unwrap())
        }
    };
    let varies = |arm: &ArmPoints| match &arm.points {
        Points::Values(values) | Points::Counts { events: values, .. } => {
            let mut known = values.iter().filter(|v| v.is_finite());
            known.next().is_some_and(|first| known.any(|v| v != first))
        }
        Points::Buckets(buckets) => buckets.sums().iter().any(|count| *count > 0.0),
    };
    match draw.whole(0, 5) {
        0 => {
            let reason = draw.pick(&["refused", "unreachable", "timeout", "deadline", "unreadable", "too_large", "partial", "same_query"]);
            let arm = if draw.chance(0.5) { Arm::Canary } else { Arm::Baseline };
            let failed = FetchFailure { arm, reason: reason.to_owned(), message: "it did not answer".to_owned() };
            (spec, Observation::Failed(failed), "failed")
        }
        1 => (spec, sampled(ArmPoints::values(Vec::new()), ArmPoints::values(Vec::new())), "empty"),
        2 => (spec, sampled(missing(&metric.baseline), missing(&metric.canary)), "missing"),
        3 => (spec, sampled(missing(&metric.baseline), metric.canary), "no baseline"),
        4 => (spec, sampled(metric.baseline.clone(), missing(&metric.canary)), "no canary"),
        _ if varies(&metric.baseline) && metric.baseline.instances.is_empty() => {
            (spec, sampled(metric.baseline.clone(), metric.baseline), "one series twice")
        }
        _ => (spec, sampled(missing(&metric.baseline), missing(&metric.canary)), "missing"),
    }
}

fn judged_of(metrics: Vec<(Value, Observation)>, n: usize) -> Judgement {
    let (specs, observations): (Vec<Value>, Vec<Observation>) = metrics.into_iter().unzip();
    let config = json!({ "name": "random", "min_observation": "0s", "metrics": specs });
    let config = haldane_judges::CheckedConfig::from_value(config).unwrap();
    let evidence = Evidence { observations, observed_seconds: 60.0 * n as f64, ..Evidence::default() };
    judge(JudgeName::HaldaneV1, &config, &evidence)
}

#[test]
fn what_says_nothing_of_the_canary_is_no_pass() {
    hold("no evidence", 800, 0.0, |draw| {
        let n = any_length(draw);
        let many = draw.whole(1, 5);
        let nothing: Vec<_> = (0..many).map(|i| any_nothing(draw, n, &format!("m{i}"))).collect();
        let kinds: Vec<&str> = nothing.iter().map(|(_, _, kind)| *kind).collect();
        let judgement = judged_of(nothing.iter().map(|(spec, of, _)| (spec.clone(), of.clone())).collect(), n);
        let passed = judgement.metrics.iter().zip(&kinds).find(|(result, _)| result.status == Status::Pass);
        let kind = passed.map_or("verdict", |(_, kind)| kind);
        expect(passed.is_none() && judgement.verdict != Verdict::Pass, kind, || {
            format!("{kinds:?}, n {n}: {}; {:?}", judgement.summary, passed.map(|(result, _)| &result.sentence))
        })
    });
}

#[test]
fn what_cannot_be_read_is_not_outvoted_and_one_series_twice_does_not_vote() {
    hold("no vote", 300, 0.0, |draw| {
        let n = any_length(draw);
        let metric = any_metric(draw, n);
        let alone = metric.alone().judged();
        let (spec, nothing, kind) = any_nothing(draw, n, "nothing");
        let observed = Observation::Sampled { baseline: metric.baseline.clone(), canary: metric.canary.clone() };
        let judgement = judged_of(vec![(metric.spec.clone(), observed), (spec, nothing)], n);
        // Beside a series that is there twice the canary stands as it does without; beside a failed metric it does not pass.
        let better = judgement.verdict > alone.verdict;
        let outvoted = kind != "one series twice" && kind != "no canary" && judgement.verdict == Verdict::Pass;
        expect(!better && !outvoted, kind, || format!("n {n}: {} alone, then {}", alone.summary, judgement.summary))
    });
}

#[test]
fn a_canary_none_of_whose_metrics_passes_does_not_pass() {
    hold("no metric passes", 300, 0.0, |draw| {
        let n = any_length(draw);
        let canary = Canary::of((0..draw.whole(1, 3)).map(|i| any_metric(draw, n).named(&format!("m{i}"))).collect());
        let judgement = canary.judged();
        if judgement.metrics.iter().any(|m| m.status == Status::Pass) {
            return Outcome::Silent;
        }
        show("judged", &canary);
        expect(judgement.verdict != Verdict::Pass, "passes", || judgement.summary.clone())
    });
}

#[test]
fn constants_alone_are_no_evidence() {
    for level in [0.0, 5.0, 1e9] {
        let spec = json!({ "name": "m", "direction": "increase" });
        let metrics = (0..3).map(|i| Metric::values(spec.clone(), &[level; 20], &[level; 20]).named(&format!("m{i}"))).collect();
        let judgement = Canary::of(metrics).judged();
        assert!(judgement.verdict != Verdict::Pass, "three constants of {level}: {}", judgement.summary);
    }
}

// ---- whatever comes ------------------------------------------------------------------------------------------------------------------

/// A point that no metric should have.
fn hostile(draw: &mut Draw) -> f64 {
    match draw.whole(0, 11) {
        0 => 0.0,
        1 => -0.0,
        2 => f64::NAN,
        3 => f64::INFINITY,
        4 => f64::NEG_INFINITY,
        5 => 1e-300,
        6 => 1e150,
        7 => -1e150,
        8 => f64::MAX,
        9 => f64::MIN_POSITIVE / 8.0,
        10 => -draw.magnitude(1e-9, 1e9),
        _ => draw.magnitude(1e-9, 1e9),
    }
}

/// A series of hostile points, of some that are, of one constant, or of nothing.
fn hostile_series(draw: &mut Draw, n: usize) -> Vec<f64> {
    let one = hostile(draw);
    match draw.whole(0, 4) {
        0 => vec![one; n],
        1 => (0..n).map(|_| hostile(draw)).collect(),
        2 => (0..n).map(|_| if draw.chance(0.1) { hostile(draw) } else { 100.0 + draw.normal() }).collect(),
        3 => (0..n).map(|t| if t >= n / 2 { one } else { 100.0 }).collect(),
        _ => (0..n).map(|_| draw.whole(0, 2) as f64).collect(),
    }
}

/// Buckets of any bounds and counts.
fn hostile_buckets(draw: &mut Draw, n: usize) -> ArmPoints {
    let many = draw.whole(1, 12);
    let mut bounds: Vec<f64> = (0..many).map(|_| hostile(draw)).filter(|bound| bound.is_finite()).collect();
    bounds.sort_unstable_by(f64::total_cmp);
    bounds.dedup();
    let points = |n: usize, draw: &mut Draw| {
        let row = |draw: &mut Draw| {
            (0..=bounds.len()).map(|_| if draw.chance(0.8) { draw.whole(0, 50) as f64 } else { hostile(draw).abs() }).collect()
        };
        let rows: Vec<Option<Vec<f64>>> = (0..n).map(|_| (!draw.chance(0.1)).then(|| row(draw))).collect();
        Buckets::from_rows(bounds.clone(), &rows, if draw.chance(0.5) { Spacing::Linear } else { Spacing::Exponential })
            .ok()
            .map(Points::Buckets)
    };
    // Bounds of no size that can be reckoned with are none.
    let Some(window) = points(n, draw) else { return ArmPoints::buckets(Buckets::empty(vec![1.0], n, Spacing::Linear).unwrap()) };
    let past = draw.whole(0, 3 * n);
    let history = if draw.chance(0.5) { points(past, draw) } else { None };
    ArmPoints::of(window).with_history(history)
}

fn hostile_arm(draw: &mut Draw, n: usize, counts: bool) -> ArmPoints {
    let past = if draw.chance(0.5) { 0 } else { draw.whole(0, 12 * n) };
    let n = if draw.chance(0.1) { draw.whole(0, n) } else { n };
    let mut points = |n: usize| {
        if counts {
            Points::Counts { events: hostile_series(draw, n), totals: hostile_series(draw, n) }
        } else {
            Points::Values(hostile_series(draw, n))
        }
    };
    let (window, history) = (points(n), (past > 0).then(|| points(past)));
    let arm = ArmPoints::of(window);
    if counts || draw.chance(0.7) {
        return arm.with_history(history);
    }
    let pod = |i: usize, draw: &mut Draw| haldane_judges::evidence::Instance { name: format!("pod-{i}"), values: hostile_series(draw, n) };
    let many = draw.whole(0, 5);
    ArmPoints::from_instances((0..many).map(|i| pod(i, draw)).collect()).with_history(history)
}

/// A canary of hostile points of every kind.
pub(crate) fn hostile_canary(draw: &mut Draw) -> Canary {
    let n = any_length(draw).min(60);
    let many = draw.whole(1, 3);
    let metrics: Vec<Metric> = (0..many)
        .map(|i| {
            let of = any_metric(draw, 5).named(&format!("m{i}"));
            let counts = of.is_counts() != draw.chance(0.05);
            if of.is_distribution() && !draw.chance(0.05) {
                let (baseline, canary) = (hostile_buckets(draw, n), hostile_buckets(draw, n));
                return Metric { baseline, canary, ..of };
            }
            let (baseline, canary) = (hostile_arm(draw, n, counts), hostile_arm(draw, n, counts));
            Metric { baseline, canary, ..of }
        })
        .collect();
    Canary { looks: draw.chance(0.3).then(|| any_plan(draw)), ..Canary::of(metrics) }
}

/// Why a judgement is not fit to be shown, if it is not.
fn unfit(judgement: &Judgement) -> Option<String> {
    let text = serde_json::to_string(judgement).unwrap();
    // A number that is not finite is written as `null`, which reads back as nothing or not at all.
    let read: Judgement = match serde_json::from_str(&text) {
        Ok(read) => read,
        Err(error) => return Some(format!("does not read back: {error}")),
    };
    if &read != judgement {
        return Some("reads back otherwise".to_owned());
    }
    let sentences = judgement.metrics.iter().map(|m| m.sentence.as_str());
    for sentence in sentences.chain([judgement.summary.as_str(), judgement.recommendation.sentence.as_str()]) {
        let words = || sentence.split(|c: char| !c.is_alphanumeric());
        if sentence.trim().is_empty() || words().any(|word| matches!(word, "NaN" | "inf" | "Infinity")) {
            return Some(format!("says `{sentence}`"));
        }
    }
    None
}

#[test]
fn whatever_the_points_are_the_judgement_is_finite_says_something_and_is_the_same_each_time() {
    hold("hostile points", 600, 0.0, |draw| {
        let canary = hostile_canary(draw);
        let (first, second) = (canary.judged(), canary.judged());
        show("judged", &canary);
        let unfit = unfit(&first).or_else(|| (first != second).then(|| "differs from one time to the next".to_owned()));
        expect(unfit.is_none(), "unfit", || unfit.clone().unwrap_or_default())
    });
}

#[test]
fn every_random_judgement_is_fit_to_be_shown() {
    hold("fit to be shown", 300, 0.0, |draw| {
        let n = any_length(draw);
        let canary = Canary::of(vec![any_metric(draw, n)]);
        let unfit = unfit(&canary.judged());
        show("judged", &canary);
        expect(unfit.is_none(), "unfit", || format!("n {n}: {}", unfit.clone().unwrap_or_default()))
    });
}
