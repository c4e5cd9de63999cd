//! What must hold for any samples.

use haldane_judges::config::{CanaryConfig, CheckedConfig, Direction, Metric};
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, Instance, Looks, Observation, Points};
use haldane_judges::scorecard::{Judgement, MetricResult, Status};
use haldane_judges::stats::differences::{hodges_lehmann, kth_difference};
use haldane_judges::stats::mann_whitney::mann_whitney;
use haldane_judges::stats::{Sample, binomial, dependence, median_of, paired};
use haldane_judges::{JudgeName, judge};
use proptest::prelude::*;
use serde_json::json;

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e3f64..1e3,
        3 => (0..6i32).prop_map(f64::from),
        1 => prop::num::f64::NORMAL.prop_filter("not beyond what is judged", |v| v.abs() < 1e150),
        1 => Just(0.0),
    ]
}

fn sample(most: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(finite(), 1..most)
}

fn any_point() -> impl Strategy<Value = f64> {
    prop_oneof![4 => finite(), 1 => Just(f64::NAN), 1 => prop::num::f64::ANY]
}

fn config(direction: Direction) -> CheckedConfig {
    let metric: Metric = serde_json::from_value(json!({ "name": "m", "direction": direction })).unwrap();
    let config = json!({ "name": "c", "min_observation": "0s", "metrics": [metric] });
    serde_json::from_value::<CanaryConfig>(config).unwrap().check().unwrap()
}

fn ratio_config() -> CheckedConfig {
    let config = json!({ "name": "c", "min_observation": "0s", "metrics": [{ "name": "m", "kind": "ratio", "direction": "increase" }] });
    serde_json::from_value::<CanaryConfig>(config).unwrap().check().unwrap()
}

fn evidence(baseline: ArmPoints, canary: ArmPoints) -> Evidence {
    Evidence {
        observations: vec![Observation::Sampled { baseline, canary }],
        step_seconds: 60.0,
        observed_seconds: 3600.0,
        comparison: Comparison::Concurrent,
        canary_share: None,
        ..Evidence::default()
    }
}

fn judged(direction: Direction, baseline: &[f64], canary: &[f64]) -> Judgement {
    let evidence = evidence(ArmPoints::values(baseline.to_vec()), ArmPoints::values(canary.to_vec()));
    judge(JudgeName::HaldaneV1, &config(direction), &evidence)
}

/// How bad a status is: what more evidence of the same effect must not lower.
fn gravity(status: Status) -> u8 {
    match status {
        Status::Regressed => 2,
        Status::Suspect => 1,
        _ => 0,
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_time: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn swapping_the_arms_swaps_the_tails(a in sample(40), b in sample(40)) {
        let (a, b) = (Sample::new(a).unwrap(), Sample::new(b).unwrap());
        let (ab, ba) = (mann_whitney(&a, &b), mann_whitney(&b, &a));
        prop_assert!(close(ab.p.greater, ba.p.less) && close(ab.p.less, ba.p.greater), "{ab:?} {ba:?}");
        prop_assert!(close(ab.z, -ba.z));
        prop_assert_eq!(ab.u + ba.u, (a.len() * b.len()) as f64);
        prop_assert!(ab.p.greater > 0.0 && ab.p.greater <= 1.0);
    }

    #[test]
    fn monotone_transforms_leave_u_alone(a in prop::collection::vec(0.1f64..1e3, 1..60), b in prop::collection::vec(0.1f64..1e3, 1..60)) {
        let of = |f: fn(f64) -> f64| {
            let turned = |v: &[f64]| Sample::new(v.iter().map(|x| f(*x)).collect()).unwrap();
            mann_whitney(&turned(&a), &turned(&b))
        };
        // Powers of two are exact, so that no two values are rounded together.
        prop_assert_eq!(of(|x| x), of(|x| x * 1024.0));
        prop_assert_eq!(of(|x| x).u, of(|x| x / 4096.0).u);
    }

    #[test]
    fn the_order_of_the_points_of_an_arm_leaves_the_rank_test_alone(a in sample(60), b in sample(60)) {
        let mut reversed = a.clone();
        reversed.reverse();
        let b = Sample::new(b).unwrap();
        prop_assert_eq!(mann_whitney(&Sample::new(a).unwrap(), &b), mann_whitney(&Sample::new(reversed).unwrap(), &b));
    }

    #[test]
    fn every_order_statistic_of_the_differences_is_the_one_that_sorting_gives(a in sample(30), b in sample(30), at in 0.0f64..1.0) {
        let (x, y) = (Sample::new(a).unwrap(), Sample::new(b).unwrap());
        let mut all: Vec<f64> = x.sorted().iter().flat_map(|v| y.sorted().iter().map(move |w| v - w)).collect();
        all.sort_by(f64::total_cmp);
        let k = 1 + ((all.len() - 1) as f64 * at) as usize;
        prop_assert_eq!(kth_difference(&x, &y, k), all[k - 1]);
    }

    #[test]
    fn large_samples_take_the_narrowing_path_to_the_same_order_statistic(seed in any::<u64>(), at in 0.0f64..1.0, scale in -12i32..12) {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // A heavy tail, and values that repeat.
            let unit = ((state >> 11) as f64 / (1u64 << 53) as f64).max(1e-9);
            ((1.0 / unit).powf(1.5) * 8.0).round() * 10f64.powi(scale)
        };
        let (x, y): (Vec<f64>, Vec<f64>) = ((0..130).map(|_| next()).collect(), (0..170).map(|_| next()).collect());
        let (x, y) = (Sample::new(x).unwrap(), Sample::new(y).unwrap());
        let mut all: Vec<f64> = x.sorted().iter().flat_map(|v| y.sorted().iter().map(move |w| v - w)).collect();
        all.sort_by(f64::total_cmp);
        let k = 1 + ((all.len() - 1) as f64 * at) as usize;
        prop_assert_eq!(kth_difference(&x, &y, k), all[k - 1]);
    }

    #[test]
    fn a_median_by_selection_is_that_of_the_sorted_values(values in sample(40)) {
        let sorted = Sample::new(values.clone()).unwrap();
        prop_assert_eq!(median_of(values) + 0.0, sorted.median());
    }

    #[test]
    fn swapping_the_arms_negates_the_shift(a in sample(40), b in sample(40)) {
        let (a, b) = (Sample::new(a).unwrap(), Sample::new(b).unwrap());
        prop_assert!(close(hodges_lehmann(&a, &b), -hodges_lehmann(&b, &a)));
    }

    #[test]
    fn units_change_no_verdict(b in sample(40), c in sample(40), power in -30i32..30) {
        let factor = 2f64.powi(power);
        let scaled = |v: &[f64]| v.iter().map(|x| x * factor).collect::<Vec<_>>();
        // Values near the ends of the range that is judged would leave it when scaled.
        let clear_of_the_ends = |v: f64| if v == 0.0 || (1e-100..1e100).contains(&v.abs()) { v } else { 1.0 };
        let (b, c): (Vec<f64>, Vec<f64>) = (b.into_iter().map(clear_of_the_ends).collect(), c.into_iter().map(clear_of_the_ends).collect());
        for direction in [Direction::Increase, Direction::Decrease, Direction::Either] {
            let (plain, other) = (judged(direction, &b, &c), judged(direction, &scaled(&b), &scaled(&c)));
            prop_assert_eq!(plain.verdict, other.verdict);
            prop_assert_eq!(plain.metrics[0].status, other.metrics[0].status);
            prop_assert_eq!(plain.metrics[0].reason, other.metrics[0].reason);
        }
    }

    #[test]
    fn mirrored_arms_and_directions_give_the_same_status(b in sample(40), c in sample(40)) {
        let negated = |v: &[f64]| v.iter().map(|x| -x).collect::<Vec<_>>();
        let up = judged(Direction::Increase, &b, &c);
        let down = judged(Direction::Decrease, &negated(&b), &negated(&c));
        prop_assert_eq!(up.metrics[0].status, down.metrics[0].status);
    }

    #[test]
    fn more_evidence_of_the_same_effect_never_turns_regressed_into_pass(b in prop::collection::vec(90.0f64..110.0, 4..20), c in prop::collection::vec(90.0f64..260.0, 4..20)) {
        let twice = |v: &[f64]| [v, v].concat();
        let (once, more) = (judged(Direction::Increase, &b, &c), judged(Direction::Increase, &twice(&b), &twice(&c)));
        if once.metrics[0].status == Status::Regressed {
            prop_assert!(gravity(more.metrics[0].status) > 0, "{} then {}", once.metrics[0].sentence, more.metrics[0].sentence);
        }
    }

    #[test]
    fn a_larger_shift_is_never_judged_milder(b in prop::collection::vec(90.0f64..110.0, 4..30), c in prop::collection::vec(90.0f64..130.0, 4..30), extra in 0.0f64..200.0) {
        let shifted: Vec<f64> = c.iter().map(|v| v + extra).collect();
        let (less, more) = (judged(Direction::Increase, &b, &c), judged(Direction::Increase, &b, &shifted));
        prop_assert!(gravity(more.metrics[0].status) >= gravity(less.metrics[0].status));
    }

    #[test]
    fn any_points_are_judged_to_finite_numbers_the_same_each_time(
        b in prop::collection::vec(any_point(), 0..50),
        c in prop::collection::vec(any_point(), 0..50),
        direction in prop_oneof![Just(Direction::Increase), Just(Direction::Decrease), Just(Direction::Either)],
    ) {
        let (first, second) = (judged(direction, &b, &c), judged(direction, &b, &c));
        let (first, second) = (serde_json::to_string(&first).unwrap(), serde_json::to_string(&second).unwrap());
        prop_assert_eq!(&first, &second);
        let read: Result<Judgement, _> = serde_json::from_str(&first);
        prop_assert!(read.is_ok(), "does not read back: {first}");
    }

    #[test]
    fn any_counts_are_judged(
        b in prop::collection::vec((any_point(), any_point()), 0..40),
        c in prop::collection::vec((any_point(), any_point()), 0..40),
    ) {
        let arm = |v: &[(f64, f64)]| ArmPoints::of(Points::Counts { events: v.iter().map(|p| p.0).collect(), totals: v.iter().map(|p| p.1).collect() });
        let judgement = judge(JudgeName::HaldaneV1, &ratio_config(), &evidence(arm(&b), arm(&c)));
        let text = serde_json::to_string(&judgement).unwrap();
        prop_assert!(serde_json::from_str::<Judgement>(&text).is_ok(), "does not read back: {text}");
    }

    #[test]
    fn any_counts_with_any_past_at_any_look_are_judged_the_same_each_time(
        b in prop::collection::vec((any_point(), any_point()), 0..30),
        c in prop::collection::vec((any_point(), any_point()), 0..30),
        before in prop::collection::vec((any_point(), any_point()), 0..90),
        before_too in any::<bool>(),
        (look, more) in (0u32..40, 0u32..=u32::MAX - 40),
        concurrent in any::<bool>(),
    ) {
        let points = |v: &[(f64, f64)]| Points::Counts { events: v.iter().map(|p| p.0).collect(), totals: v.iter().map(|p| p.1).collect() };
        let arm = |v: &[(f64, f64)], past: bool| ArmPoints::of(points(v)).with_history(past.then(|| points(&before)));
        let mut evidence = evidence(arm(&b, true), arm(&c, before_too));
        evidence.looks = Some(Looks { look, looks: look + more, early_pass: false });
        evidence.comparison = if concurrent { Comparison::Concurrent } else { Comparison::BeforeAfter };
        let text = || serde_json::to_string(&judge(JudgeName::HaldaneV1, &ratio_config(), &evidence)).unwrap();
        prop_assert_eq!(text(), text());
        prop_assert!(serde_json::from_str::<Judgement>(&text()).is_ok());
    }

    #[test]
    fn realistic_counts_are_judged_the_same_whatever_the_order_of_metrics(events in prop::collection::vec((0u32..5, 20u32..400, 0u32..9, 20u32..400), 3..40)) {
        let (mut xb, mut mb, mut xc, mut mc) = (vec![], vec![], vec![], vec![]);
        for (a, b, c, d) in events {
            xb.push(f64::from(a)); mb.push(f64::from(b)); xc.push(f64::from(c)); mc.push(f64::from(d));
        }
        let observation = Observation::Sampled { baseline: ArmPoints::counts(xb.clone(), mb.clone()), canary: ArmPoints::counts(xc.clone(), mc.clone()) };
        let values = Observation::Sampled { baseline: ArmPoints::values(mb), canary: ArmPoints::values(mc) };
        let config = |names: [&str; 2]| {
            let metric = |name: &str| if name == "errors" { json!({"name": name, "kind": "ratio", "direction": "increase"}) } else { json!({"name": name, "direction": "decrease"}) };
            let document = json!({ "name": "c", "metrics": names.map(metric) });
            serde_json::from_value::<CanaryConfig>(document).unwrap().check().unwrap()
        };
        let run = |names: [&str; 2], observations: Vec<Observation>| {
            let evidence = Evidence { observations, step_seconds: 60.0, observed_seconds: 3600.0, comparison: Comparison::Concurrent, canary_share: None, ..Evidence::default() };
            judge(JudgeName::HaldaneV1, &config(names), &evidence)
        };
        let there = run(["errors", "traffic"], vec![observation.clone(), values.clone()]);
        let back = run(["traffic", "errors"], vec![values, observation]);
        prop_assert_eq!(there.verdict, back.verdict);
        prop_assert_eq!(there.score, back.score);
        prop_assert_eq!(&there.metrics[0], &back.metrics[1]);
        prop_assert_eq!(&there.metrics[1], &back.metrics[0]);
    }

    #[test]
    fn more_events_of_the_same_requests_are_never_less_significant(x in 0u32..50, y in 0u32..50, m in 60u32..5000, n in 60u32..5000) {
        let p = |x: u32| binomial::conditional_mid_p(f64::from(x), f64::from(m), f64::from(y), f64::from(n));
        prop_assert!(p(x + 1) <= p(x) + 1e-12);
        let bounds = binomial::clopper_pearson(f64::from(x), f64::from(m), 0.05).unwrap();
        let rate = f64::from(x) / f64::from(m);
        prop_assert!(bounds.low <= rate && rate <= bounds.high);
    }

    #[test]
    fn dependence_and_paired_tests_stay_in_range(series in prop::collection::vec(finite(), 3..80), other in prop::collection::vec(finite(), 3..80)) {
        let rho = dependence::lag1_autocorrelation(&series);
        prop_assert!((0.0..=0.97).contains(&rho));
        prop_assert!(dependence::variance_inflation(rho, series.len()) >= 1.0);
        let n = series.len().min(other.len());
        let test = paired::paired_rank_test(&series[..n], &other[..n]).unwrap();
        prop_assert!(test.p > 0.0 && test.p <= 1.0 && test.effective >= 1.0 && test.effective <= n as f64, "{test:?}");
    }
}

/// One arm in any of its shapes: its points, its instances (their mean is then the arm's points), and what lies before.
#[derive(Debug, Clone)]
struct Arm {
    points: Vec<f64>,
    instances: Vec<Vec<f64>>,
    history: Option<Vec<f64>>,
}

impl Arm {
    /// In another unit.
    fn points(&self, factor: f64) -> ArmPoints {
        let scaled = |values: &[f64]| values.iter().map(|v| v * factor).collect::<Vec<f64>>();
        let mean = |t: usize| {
            let present: Vec<f64> = self.instances.iter().map(|of| of[t]).filter(|v| v.is_finite()).collect();
            present.iter().sum::<f64>() / present.len() as f64
        };
        let points: Vec<f64> = if self.instances.is_empty() { self.points.clone() } else { (0..self.points.len()).map(mean).collect() };
        let instance = |(i, values): (usize, &Vec<f64>)| Instance { name: format!("pod-{i}"), values: scaled(values) };
        ArmPoints {
            instances: self.instances.iter().enumerate().map(instance).collect(),
            history: self.history.as_ref().map(|history| Points::Values(scaled(history))),
            ..ArmPoints::values(scaled(&points))
        }
    }
}

/// A metric's points: around a level, sometimes whole numbers, sometimes missing.
fn telemetry(n: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<f64>> {
    let point = prop_oneof![12 => 60.0f64..140.0, 4 => (0..9i32).prop_map(f64::from), 1 => Just(0.0), 1 => Just(f64::NAN)];
    (prop::collection::vec(point, n), prop_oneof![3 => Just(0.0), 1 => 0.0f64..8.0])
        .prop_map(|(points, slope)| points.iter().enumerate().map(|(t, v)| v + slope * t as f64).collect())
}

fn any_arm(n: usize) -> impl Strategy<Value = Arm> {
    let instances = prop_oneof![2 => Just(Vec::new()).boxed(), 1 => prop::collection::vec(telemetry(n), 2..6).boxed()];
    (telemetry(n), instances, prop::option::of(telemetry(0..8 * n)), 0.5f64..2.5).prop_map(|(points, instances, history, times)| {
        let scaled = |values: Vec<f64>| values.into_iter().map(|v| v * times).collect::<Vec<f64>>();
        Arm { points: scaled(points), instances: instances.into_iter().map(scaled).collect(), history }
    })
}

fn any_arms() -> impl Strategy<Value = (Arm, Arm)> {
    (3usize..40).prop_flat_map(|n| (any_arm(n), any_arm(n)))
}

fn any_looks() -> impl Strategy<Value = Option<Looks>> {
    prop::option::of((1u32..6, 0u32..6, any::<bool>()).prop_map(|(look, more, early_pass)| Looks { look, looks: look + more, early_pass }))
}

/// What is asked of one metric of values; its limits and absolute tolerance are in its unit.
#[derive(Debug, Clone)]
struct Asked {
    direction: Direction,
    accumulating: bool,
    confirm: u32,
    absolute: Option<f64>,
    relative: Option<f64>,
    max: Option<f64>,
    min: Option<f64>,
    max_ratio: Option<f64>,
}

impl Asked {
    fn metric(&self, name: &str, factor: f64) -> serde_json::Value {
        let in_unit = |value: Option<f64>| value.map(|value| value * factor);
        let given = |fields: &[(&str, Option<f64>)]| {
            fields
                .iter()
                .filter_map(|(name, value)| value.map(|value| ((*name).to_owned(), json!(value))))
                .collect::<serde_json::Map<_, _>>()
        };
        json!({
            "name": name,
            "direction": self.direction,
            "accumulating": self.accumulating,
            "confirm": self.confirm,
            "tolerance": given(&[("absolute", in_unit(self.absolute)), ("relative", self.relative)]),
            "limits": given(&[("max", in_unit(self.max)), ("min", in_unit(self.min)), ("max_ratio", self.max_ratio)]),
        })
    }
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let direction = prop_oneof![2 => Just(Direction::Increase), 1 => Just(Direction::Decrease), 1 => Just(Direction::Either)];
    let maybe = |range: std::ops::Range<f64>| prop_oneof![2 => Just(None), 1 => range.prop_map(Some)];
    (direction, any::<bool>(), 1u32..3, maybe(0.5..30.0), maybe(0.02..0.6), maybe(80.0..300.0), maybe(1.0..70.0), maybe(1.1..3.0)).prop_map(
        |(direction, accumulating, confirm, absolute, relative, max, min, max_ratio)| Asked {
            direction,
            accumulating: accumulating && direction == Direction::Increase,
            confirm,
            absolute,
            relative,
            max,
            min,
            max_ratio,
        },
    )
}

fn checked(metrics: Vec<serde_json::Value>) -> CheckedConfig {
    let config = json!({ "name": "c", "min_observation": "0s", "metrics": metrics });
    serde_json::from_value::<CanaryConfig>(config).unwrap().check().unwrap()
}

/// The numbers of a metric's result that have no unit, each with its name.
fn without_unit(result: &MetricResult) -> Vec<(String, Option<f64>)> {
    const IN_UNIT: [&str; 11] =
        ["baseline", "canary", "level", "shift", "shift_interval", "noise", "absolute", "max", "min", "rate_interval", "interval"];
    fn collect(at: &str, value: &serde_json::Value, into: &mut Vec<(String, Option<f64>)>) {
        match value {
            serde_json::Value::Object(fields) => fields
                .iter()
                .filter(|(name, _)| !IN_UNIT.contains(&name.as_str()))
                .for_each(|(name, value)| collect(&format!("{at}/{name}"), value, into)),
            serde_json::Value::Number(number) => into.push((at.to_owned(), number.as_f64())),
            serde_json::Value::Null => into.push((at.to_owned(), None)),
            _ => {}
        }
    }
    let mut numbers = Vec::new();
    let parts = serde_json::to_value(result).unwrap();
    for part in ["numbers", "limit", "history", "trend", "worst_instance", "threshold"] {
        collect(part, &parts[part], &mut numbers);
    }
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_shrink_time: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn another_unit_leaves_status_reason_and_relative_numbers(
        (baseline, canary) in any_arms(), asked in any_asked(), looks in any_looks(), concurrent in any::<bool>(),
        // 1e-9 to 1e9, by factors that round nothing.
        power in -30i32..=30,
    ) {
        let factor = 2f64.powi(power);
        let run = |factor: f64| {
            let mut evidence = evidence(baseline.points(factor), canary.points(factor));
            evidence.looks = looks;
            evidence.comparison = if concurrent { Comparison::Concurrent } else { Comparison::BeforeAfter };
            judge(JudgeName::HaldaneV1, &checked(vec![asked.metric("m", factor)]), &evidence)
        };
        let (plain, other) = (run(1.0), run(factor));
        let (before, after) = (&plain.metrics[0], &other.metrics[0]);
        prop_assert_eq!((before.status, before.reason, before.mode), (after.status, after.reason, after.mode), "{} | {}", before.sentence, after.sentence);
        prop_assert_eq!(plain.verdict, other.verdict);
        let (before, after) = (without_unit(before), without_unit(after));
        prop_assert_eq!(before.len(), after.len());
        for ((name, before), (_, after)) in before.into_iter().zip(after) {
            let same = match (before, after) {
                (Some(before), Some(after)) => close(before, after),
                (before, after) => before == after,
            };
            prop_assert!(same, "{name}: {before:?} in one unit, {after:?} in the other");
        }
    }

    #[test]
    fn the_order_of_metrics_changes_no_result(
        arms in prop::collection::vec((any_arms(), any_asked()), 2..4),
        counts in prop::collection::vec((0u32..5, 20u32..400, 0u32..9, 20u32..400), 3..40),
        before in prop::collection::vec((0u32..5, 20u32..400), 0..200),
        looks in any_looks(),
        turned_by in 1usize..4,
    ) {
        let unzip = |pairs: Vec<(u32, u32)>| pairs.into_iter().map(|(x, m)| (f64::from(x), f64::from(m))).unzip::<f64, f64, Vec<_>, Vec<_>>();
        let arm = |pairs: Vec<(u32, u32)>| {
            let ((events, totals), (past, past_totals)) = (unzip(pairs), unzip(before.clone()));
            ArmPoints::counts(events, totals).with_history(Some(Points::Counts { events: past, totals: past_totals }))
        };
        let ratio = Observation::Sampled {
            baseline: arm(counts.iter().map(|c| (c.0, c.1)).collect()),
            canary: arm(counts.iter().map(|c| (c.2, c.3)).collect()),
        };
        let mut metrics = vec![(json!({ "name": "errors", "kind": "ratio", "direction": "increase" }), ratio)];
        metrics.extend(arms.iter().enumerate().map(|(i, ((baseline, canary), asked))| {
            let observation = Observation::Sampled { baseline: baseline.points(1.0), canary: canary.points(1.0) };
            (asked.metric(&format!("m{i}"), 1.0), observation)
        }));
        let run = |metrics: &[(serde_json::Value, Observation)]| {
            let (metrics, observations) = metrics.iter().cloned().unzip();
            let evidence = Evidence { observations, step_seconds: 60.0, observed_seconds: 3600.0, comparison: Comparison::Concurrent, looks, ..Evidence::default() };
            judge(JudgeName::HaldaneV1, &checked(metrics), &evidence)
        };
        let there = run(&metrics);
        metrics.rotate_left(turned_by % arms.len().max(1));
        metrics.reverse();
        let back = run(&metrics);
        prop_assert_eq!((there.verdict, there.live_metrics), (back.verdict, back.live_metrics));
        prop_assert!(there.score == back.score || close(there.score.unwrap(), back.score.unwrap()));
        for result in &there.metrics {
            prop_assert_eq!(Some(result), back.metrics.iter().find(|other| other.name == result.name));
        }
    }
}
