//! What is shown is what decides, and is said once.

use haldane_judges::config::CheckedConfig;
use haldane_judges::evidence::{ArmPoints, Buckets, Comparison, Evidence, Observation, Points, Spacing};
use haldane_judges::scorecard::{MetricResult, Mode, Reason, Status};
use haldane_judges::stats::student::t4_isf;
use haldane_judges::{JudgeName, Judgement, judge};
use serde_json::{Value, json};

/// Evenly scattered values around 0, of size 1, from a generator small enough to need no crate.
fn noise(n: usize, mut state: u64) -> Vec<f64> {
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

fn around(level: f64, size: f64, n: usize, seed: u64) -> Vec<f64> {
    noise(n, seed).into_iter().map(|v| level + size * v).collect()
}

fn arm(values: Vec<f64>, past: &[f64]) -> ArmPoints {
    ArmPoints::values(values).with_history((!past.is_empty()).then(|| Points::Values(past.to_vec())))
}

fn whole(metrics: Value, arms: Vec<(ArmPoints, ArmPoints)>) -> Judgement {
    let config = CheckedConfig::from_value(json!({ "name": "sentences", "min_observation": "0s", "metrics": metrics })).unwrap();
    let evidence = Evidence {
        observations: arms.into_iter().map(|(baseline, canary)| Observation::Sampled { baseline, canary }).collect(),
        step_seconds: 60.0,
        observed_seconds: 3600.0,
        comparison: Comparison::Concurrent,
        ..Evidence::default()
    };
    judge(JudgeName::HaldaneV1, &config, &evidence)
}

fn one(metric: Value, baseline: ArmPoints, canary: ArmPoints) -> MetricResult {
    whole(json!([metric]), vec![(baseline, canary)]).metrics.remove(0)
}

/// Both arms' past of twelve windows of 30 points, in every one of which the canary settles elsewhere by up to so much.
fn swinging(level: f64, by: f64) -> (Vec<f64>, Vec<f64>) {
    let baseline = around(level, 0.01 * level, 360, 5);
    let canary = noise(12, 6).into_iter().enumerate().flat_map(|(i, v)| around(level * (1.0 + by * v), 0.01 * level, 30, 50 + i as u64));
    (baseline, canary.collect())
}

#[test]
fn with_a_past_the_bar_that_is_shown_is_the_bar_that_decides() {
    let (past_baseline, past_canary) = swinging(100.0, 0.2);
    let (mut below, mut above) = (0, 0);
    for percent in 1..60 {
        let values = around(100.0 * (1.0 + f64::from(percent) / 100.0), 1.0, 30, 2);
        let metric = json!({ "name": "m", "direction": "increase" });
        let got = one(metric, arm(around(100.0, 1.0, 30, 1), &past_baseline), arm(values, &past_canary));
        let (numbers, limit) = (got.numbers.unwrap(), got.limit.unwrap());
        let bar = limit.proved_from.unwrap();
        assert!(numbers.mean_sigma.is_some(), "the past decides");
        // Ranks and means share the level, of which ranks have a third.
        assert!((bar - t4_isf(0.05 / 3.0) * numbers.sigma.unwrap()).abs() < 1e-12, "{bar}");
        assert!((limit.p - 0.05 / 3.0).abs() < 1e-12, "{}", limit.p);
        let by_ranks = got.status == Status::Regressed && got.reason == Reason::Shift;
        if numbers.effect < bar {
            below += u32::from(numbers.effect >= limit.relative);
            assert!(!by_ranks, "{percent}: {} below {bar}: {}", numbers.effect, got.sentence);
        } else if numbers.effect >= limit.relative {
            above += 1;
            assert_eq!(got.status, Status::Regressed, "{percent}: {}", got.sentence);
        }
    }
    assert!(below > 0 && above > 0, "{below} {above}");
}

#[test]
fn what_is_usual_is_said_in_one_form() {
    let (past_baseline, past_canary) = swinging(100.0, 0.6);
    let metric = json!({ "name": "m", "direction": "increase" });
    let got = one(metric, arm(around(100.0, 1.0, 30, 1), &past_baseline), arm(around(140.0, 1.0, 30, 2), &past_canary));
    assert_eq!(got.status, Status::Inconclusive, "{}", got.sentence);
    assert!(got.sentence.contains("% is usual here") && got.sentence.contains('±'), "{}", got.sentence);
    // Of a rate in points.
    let (past_baseline, past_canary) = swinging(0.02, 0.9);
    let metric = json!({ "name": "m", "kind": "ratio", "direction": "increase" });
    let got = one(metric, arm(around(0.02, 0.0005, 30, 1), &past_baseline), arm(around(0.032, 0.0005, 30, 2), &past_canary));
    assert_eq!(got.status, Status::Inconclusive, "{}", got.sentence);
    assert!(got.sentence.contains("pp is usual here"), "{}", got.sentence);
}

#[test]
fn where_ranks_and_means_agree_the_shift_is_told_once() {
    let (past_baseline, past_canary) = swinging(100.0, 0.01);
    let mut canary = around(108.0, 1.0, 30, 2);
    for burst in canary.iter_mut().step_by(4) {
        *burst = 190.0;
    }
    let metric = json!({ "name": "m", "direction": "increase" });
    let got = one(metric.clone(), arm(around(100.0, 1.0, 30, 1), &past_baseline), arm(canary, &past_canary));
    assert_eq!((got.status, got.reason), (Status::Regressed, Reason::Mean), "{}", got.sentence);
    assert!(got.sentence.starts_with("rose ") && got.sentence.contains("; its mean moved by +"), "{}", got.sentence);
    assert!(got.sentence.contains("is usual of the mean by "), "{}", got.sentence);
    // Where the typical point did not move, that is what is odd.
    let mut canary = around(100.0, 1.0, 30, 2);
    for burst in canary.iter_mut().step_by(4) {
        *burst = 190.0;
    }
    let got = one(metric, arm(around(100.0, 1.0, 30, 1), &past_baseline), arm(canary, &past_canary));
    assert_eq!((got.status, got.reason), (Status::Regressed, Reason::Mean), "{}", got.sentence);
    assert!(got.sentence.contains("while the typical point moved by"), "{}", got.sentence);
}

#[test]
fn events_that_fall_are_told_of_the_arm_that_has_them() {
    let metric = json!({ "name": "orders", "kind": "events", "direction": "decrease" });
    let baseline: Vec<f64> = (0..60).map(|i| if i % 2 == 0 { 5.0 } else { 0.0 }).collect();
    let canary: Vec<f64> = (0..60).map(|i| if i % 15 == 0 { 5.0 } else { 0.0 }).collect();
    let got = one(metric, ArmPoints::values(baseline), ArmPoints::values(canary));
    assert_eq!(got.status, Status::Regressed, "{}", got.sentence);
    assert!(got.sentence.starts_with("4 of 60 intervals have any in the canary, 30 of 60 in the baseline"), "{}", got.sentence);
    assert!(got.sentence.contains("(-86.7 %)"), "{}", got.sentence);
    let events = got.events.unwrap();
    assert_eq!((events.intervals_baseline, events.intervals_canary), (30, 4));
}

#[test]
fn no_events_in_either_arm_are_a_pass_with_nothing_in_the_way() {
    for n in [5, 60] {
        let metric = json!({ "name": "panics", "kind": "events", "direction": "increase" });
        let got = one(metric, ArmPoints::values(vec![0.0; n]), ArmPoints::values(vec![0.0; n]));
        assert_eq!((got.status, got.reason, got.mode), (Status::Pass, Reason::Identical, Mode::None), "{}", got.sentence);
        assert!(got.guards.is_empty() && got.remedies.is_empty() && got.threshold.is_none(), "{got:?}");
    }
}

#[test]
fn a_share_that_nobody_stated_is_not_held_against_the_canary() {
    let metric = json!({ "name": "rps", "unit": "requests/s", "direction": "decrease", "traffic": true });
    let baseline = || around(900.0, 20.0, 60, 1);
    let got = |canary: Vec<f64>| one(metric.clone(), ArmPoints::values(baseline()), ArmPoints::values(canary));
    let less = got(around(100.0, 3.0, 60, 2));
    assert_eq!((less.status, less.reason), (Status::Inconclusive, Reason::FollowsTraffic), "{}", less.sentence);
    assert!(format!("{:?}", less.remedies).contains("canary_share"), "{:?}", less.remedies);
    assert_eq!(got(around(895.0, 20.0, 60, 2)).status, Status::Pass);
    // That it dies shows whatever the share is: to nothing, to a twentieth, and from the first minute.
    let dying = |to: f64| (0..60).zip(noise(60, 2)).map(|(i, v)| (if i < 45 { 100.0 } else { to }) * (1.0 + 0.03 * v)).collect();
    let dead = got(dying(0.0));
    assert_eq!((dead.status, dead.reason), (Status::Regressed, Reason::Ended), "{}", dead.sentence);
    let faint = got(dying(5.0));
    assert!(matches!(faint.status, Status::Suspect | Status::Regressed), "{}", faint.sentence);
    assert_eq!(got(vec![0.0; 60]).status, Status::Regressed);
    // A limit is none of a share.
    let mut limited = metric.clone();
    limited["limits"] = json!({ "min": 200 });
    let broken = one(limited, ArmPoints::values(baseline()), ArmPoints::values(around(100.0, 3.0, 60, 2)));
    assert_eq!((broken.status, broken.reason), (Status::Regressed, Reason::Limit), "{}", broken.sentence);
}

#[test]
fn the_verdict_comes_first() {
    let missing = || ArmPoints::values(vec![f64::NAN; 12]);
    let metrics = json!([{ "name": "a", "optional": true }, { "name": "b", "optional": true }, { "name": "good" }]);
    let good = (ArmPoints::values(around(100.0, 1.0, 12, 1)), ArmPoints::values(around(100.0, 1.0, 12, 2)));
    let judgement = whole(metrics, vec![(missing(), missing()), (missing(), missing()), good]);
    assert!(judgement.summary.starts_with("pass: "), "{}", judgement.summary);
    assert!(judgement.summary.ends_with("; rests on 1 of 3 metrics"), "{}", judgement.summary);
}

// ---- distributions ------------------------------------------------------------------------------------------------------------------

/// Buckets up to 100, 200, 400 and 800 ms, and above: `row` in each of so many intervals, an entry more or less by turns.
fn buckets(row: [f64; 5], intervals: usize) -> ArmPoints {
    let of = |i: usize| row.iter().map(|count| if *count > 0.0 { count + (i % 3) as f64 } else { 0.0 }).collect::<Vec<f64>>();
    let rows: Vec<Option<Vec<f64>>> = (0..intervals).map(|i| Some(of(i))).collect();
    ArmPoints::buckets(Buckets::from_rows(vec![100.0, 200.0, 400.0, 800.0], &rows, Spacing::Linear).unwrap())
}

fn latency(direction: &str, more: &Value) -> Value {
    let mut metric = json!({ "name": "m", "kind": "distribution", "unit": "ms", "direction": direction });
    for (name, value) in more.as_object().into_iter().flatten() {
        metric[name] = value.clone();
    }
    metric
}

#[test]
fn a_regressed_quantile_is_below_the_level_that_is_shown() {
    for (slow, intervals) in [(6.0, 12), (8.0, 12), (12.0, 20), (30.0, 30)] {
        let (baseline, canary) =
            (buckets([60.0, 30.0, 4.0, 2.0, 0.0], intervals), buckets([60.0 - slow, 30.0, 4.0 + slow, 2.0, 0.0], intervals));
        let got = one(latency("increase", &json!({})), baseline, canary);
        let (numbers, limit) = (got.distribution.unwrap(), got.limit.unwrap());
        for quantile in &numbers.quantiles {
            assert!(quantile.status != Status::Regressed || quantile.p <= limit.p, "{slow}: {} over {}", quantile.p, limit.p);
            let proved = quantile.p <= limit.p && quantile.relative_shift.is_some_and(|shift| shift >= limit.relative);
            assert!(quantile.status == Status::Regressed || !proved, "{slow}: {quantile:?}");
        }
    }
}

#[test]
fn where_faster_is_worse_what_would_have_shown_is_a_fall() {
    let healthy = || buckets([300.0, 600.0, 80.0, 20.0, 0.0], 30);
    let other = buckets([301.0, 598.0, 81.0, 20.0, 0.0], 30);
    let got = one(latency("decrease", &json!({ "quantiles": [0.5] })), healthy(), other);
    let quantile = &got.distribution.as_ref().unwrap().quantiles[0];
    assert!(got.status == Status::Pass && quantile.detectable < quantile.baseline, "{}", got.sentence);
    let got = one(latency("decrease", &json!({ "quantiles": [0.5] })), healthy(), buckets([960.0, 30.0, 6.0, 4.0, 0.0], 30));
    assert!(got.status == Status::Regressed && got.sentence.starts_with("p50 fell"), "{}", got.sentence);
    assert!(got.sentence.contains("limit -25 %"), "{}", got.sentence);
}

#[test]
fn arms_without_requests_say_so_and_few_requests_say_how_many_more() {
    let nothing = || buckets([0.0; 5], 20);
    let got = one(latency("increase", &json!({})), nothing(), buckets([300.0, 60.0, 8.0, 2.0, 0.0], 20));
    assert!(got.status == Status::Inconclusive && !got.guards.is_empty() && !got.sentence.ends_with(": "), "{}", got.sentence);
    let few = || buckets([1.0, 3.0, 0.0, 0.0, 0.0], 4);
    let got = one(latency("increase", &json!({ "quantiles": [0.5], "min_requests": 500 })), few(), buckets([1.0, 4.0, 0.0, 0.0, 0.0], 4));
    let longer = got.remedies.iter().any(|remedy| remedy.sentence().contains("longer"));
    assert!(got.status == Status::Inconclusive && longer, "{}: {:?}", got.sentence, got.remedies);
}

#[test]
fn a_past_of_other_buckets_teaches_nothing_and_that_is_said() {
    let past = |bounds: Vec<f64>| {
        let rows: Vec<Option<Vec<f64>>> = (0..60).map(|i| Some(vec![60.0 + (i % 3) as f64, 38.0, 2.0])).collect();
        Some(Points::Buckets(Buckets::from_rows(bounds, &rows, Spacing::Linear).unwrap()))
    };
    let arm = |bounds: Vec<f64>| buckets([60.0, 30.0, 8.0, 2.0, 0.0], 20).with_history(past(bounds));
    let canary = |bounds: Vec<f64>| buckets([61.0, 29.0, 8.0, 2.0, 0.0], 20).with_history(past(bounds));
    let got = one(latency("increase", &json!({})), arm(vec![100.0, 200.0]), canary(vec![100.0, 200.0]));
    assert!(got.history.is_none() && got.warnings.iter().any(|warning| warning.starts_with("60 of 60 intervals")), "{:?}", got.warnings);
    let all = vec![100.0, 200.0, 400.0, 800.0];
    let rows = |history: Vec<f64>| {
        let rows: Vec<Option<Vec<f64>>> = (0..60).map(|i| Some(vec![60.0 + (i % 3) as f64, 30.0, 8.0, 2.0, 0.0])).collect();
        Some(Points::Buckets(Buckets::from_rows(history, &rows, Spacing::Linear).unwrap()))
    };
    let arm = |row: [f64; 5]| buckets(row, 20).with_history(rows(all.clone()));
    let got = one(latency("increase", &json!({})), arm([60.0, 30.0, 8.0, 2.0, 0.0]), arm([61.0, 29.0, 8.0, 2.0, 0.0]));
    assert_eq!(got.history.map(|history| history.windows), Some(3));
}

#[test]
fn what_only_a_wide_bucket_could_tell_is_not_passed() {
    let arm = || buckets([60.0, 30.0, 8.0, 2.0, 0.0], 30);
    let coarse = |arm: ArmPoints| match arm.points {
        Points::Buckets(all) => ArmPoints::buckets(all.at_bounds(&[100.0, 800.0], Spacing::Linear).unwrap()),
        _ => unreachable!(),
    };
    // Within 100 to 800 ms a tail may grow eightfold unseen.
    let got = one(latency("increase", &json!({ "quantiles": [0.95] })), coarse(arm()), coarse(buckets([61.0, 29.0, 8.0, 2.0, 0.0], 30)));
    assert!(got.status == Status::Inconclusive && got.sentence.contains("in one bucket from 100 ms to 800 ms"), "{}", got.sentence);
}

#[test]
fn above_the_last_bound_the_share_tells_and_a_few_fast_requests_do_not() {
    let far = |fast: f64| buckets([0.0, 0.0, 0.0, fast, 100.0 - fast], 30);
    let got = one(latency("increase", &json!({})), far(97.0), far(2.0));
    assert_eq!((got.status, got.reason), (Status::Regressed, Reason::Shift), "{}", got.sentence);
    let got = one(latency("increase", &json!({})), far(4.0), far(2.0));
    assert!(matches!(got.status, Status::Inconclusive), "{}", got.sentence);
}

#[test]
fn a_limit_that_both_arms_are_past_convicts_nobody() {
    let limits = json!({ "limits": { "p50": { "max": 100 }, "enforce": false } });
    let arm = || buckets([40.0, 50.0, 8.0, 1.0, 1.0], 10);
    let got = one(latency("increase", &limits), arm(), buckets([41.0, 48.0, 9.0, 1.0, 1.0], 10));
    assert!(matches!(got.status, Status::Inconclusive | Status::Pass), "{}", got.sentence);
}

#[test]
fn a_canary_without_traffic_in_most_intervals_is_seen() {
    let rows = |busy: usize| {
        let row = |i: usize| Some(if i.is_multiple_of(busy) { vec![60.0 + (i % 3) as f64, 38.0, 2.0] } else { vec![0.0; 3] });
        let rows: Vec<Option<Vec<f64>>> = (0..30).map(row).collect();
        ArmPoints::buckets(Buckets::from_rows(vec![100.0, 200.0], &rows, Spacing::Linear).unwrap())
    };
    let got = one(latency("increase", &json!({ "quantiles": [0.5] })), rows(1), rows(6));
    assert_eq!((got.status, got.reason), (Status::Suspect, Reason::DataAsymmetry), "{}", got.sentence);
    assert!(got.sentence.contains("requests in 16.7 % of its intervals"), "{}", got.sentence);
}

#[test]
fn the_limit_that_is_open_is_the_one_that_is_named() {
    let limits = json!({ "limits": { "p50": { "max": 400 }, "p99": { "max": 400 } } });
    let arm = || buckets([4.0, 3.0, 0.0, 0.0, 0.0], 3);
    let got = one(latency("increase", &limits), arm(), buckets([4.0, 4.0, 0.0, 0.0, 0.0], 3));
    assert!(got.status == Status::Inconclusive && got.sentence.contains("p99 at most 400 ms"), "{}", got.sentence);
}

#[test]
fn a_ratio_of_buckets_counts_both_arms_from_one_place_and_a_silent_canary_is_silent() {
    let objective = json!({ "name": "m", "kind": "ratio", "unit": "ms", "direction": "increase", "slower_than": "250ms" });
    let rows = |bounds: &[f64], row: &[f64]| {
        let rows: Vec<Option<Vec<f64>>> =
            (0..20).map(|i| Some(row.iter().map(|count| if *count > 0.0 { count + (i % 2) as f64 } else { 0.0 }).collect())).collect();
        ArmPoints::buckets(Buckets::from_rows(bounds.to_vec(), &rows, Spacing::Linear).unwrap())
    };
    // 250 and 300 ms are both near; counted apart the canary would look better than it is.
    let (baseline, canary) = (rows(&[250.0, 300.0], &[90.0, 5.0, 5.0]), rows(&[300.0], &[95.0, 5.0]));
    let got = one(objective.clone(), baseline, canary);
    let counts = got.counts.as_ref().unwrap();
    assert!((counts.baseline.rate - counts.canary.rate).abs() < 0.01, "{}", got.sentence);
    assert!(got.warnings.iter().any(|warning| warning.contains("300 ms are counted")), "{:?}", got.warnings);
    // Nobody is as slow as that, and no bound is near it.
    let fast = || rows(&[10.0, 40.0], &[60.0, 40.0, 0.0]);
    let got = one(objective.clone(), fast(), rows(&[10.0, 40.0], &[57.0, 41.0, 0.0]));
    assert_eq!(got.status, Status::Pass, "{}", got.sentence);
    let silent = ArmPoints::buckets(Buckets::empty(vec![1.0], 20, Spacing::Linear).unwrap());
    let got = one(objective, fast(), silent);
    assert_eq!((got.status, got.reason), (Status::Regressed, Reason::Silent), "{}", got.sentence);
}

fn counts(rate: f64, total: f64, intervals: usize) -> ArmPoints {
    let events = noise(intervals, 9).into_iter().map(|v| (total * rate * (1.0 + 0.1 * v)).round()).collect();
    ArmPoints::counts(events, vec![total; intervals])
}

#[test]
fn a_rate_that_was_small_is_told_by_itself_however_much_fails_now() {
    let metric = json!({ "name": "m", "kind": "ratio", "direction": "increase" });
    let got = one(metric.clone(), counts(0.01, 1_000.0, 60), counts(0.6, 1_000.0, 60));
    assert_eq!(got.status, Status::Regressed);
    let relative = got.counts.unwrap().relative_shift.unwrap();
    assert!(got.sentence.contains(&format!("(+{:.0} %)", 100.0 * relative)) && !got.sentence.contains("left"), "{}", got.sentence);
    // What is rarer in the baseline is what a percentage is of.
    let metric = json!({ "name": "m", "kind": "ratio", "direction": "decrease" });
    let got = one(metric, counts(0.99, 1_000.0, 60), counts(0.3, 1_000.0, 60));
    assert!(got.sentence.contains("fell") && got.sentence.contains(" % of what is left to 100 %)"), "{}", got.sentence);
}

#[test]
fn no_number_of_canary_requests_settles_what_the_baseline_has_none_of() {
    let metric = json!({ "name": "m", "kind": "ratio", "direction": "increase" });
    let got = one(metric, counts(0.0, 0.0, 60), counts(0.0, 0.0, 60));
    let text = serde_json::to_string(&got.remedies).unwrap();
    assert!(got.status == Status::Inconclusive && !text.contains("synthetic") && text.contains("declare limits.max"), "{text}");
}

#[test]
fn what_cannot_be_excluded_is_never_a_change_to_what_there_is() {
    let mut events = vec![0.0; 60];
    let none = ArmPoints::values(events.clone());
    events[50] = 1.0;
    let got = one(json!({ "name": "m", "kind": "events", "direction": "increase" }), none, ArmPoints::values(events));
    let text: Vec<&str> = got.guards.iter().map(|guard| guard.sentence.as_str()).collect();
    assert!(text.iter().any(|text| text.contains("the baseline had none") && !text.contains("to 0 an interval")), "{text:?}");
    let few = |seed| ArmPoints::values(around(5.0, 5.0, 12, seed));
    let got = one(json!({ "name": "m", "direction": "decrease" }), few(3), few(4));
    let text: Vec<&str> = got.guards.iter().map(|guard| guard.sentence.as_str()).collect();
    assert!(got.status == Status::Inconclusive && text.iter().any(|text| text.contains("not even a change of -100 %")), "{text:?}");
}

#[test]
fn what_grows_is_told_first_and_the_last_points_are_those_that_are_there() {
    let growing = (0..60).map(|i| 480.0 + 2.3 * f64::from(i)).zip(noise(60, 7)).map(|(level, v)| level + v).collect();
    let got = one(
        json!({ "name": "m", "direction": "increase", "accumulating": true }),
        ArmPoints::values(around(480.0, 1.0, 60, 8)),
        ArmPoints::values(growing),
    );
    assert!(got.reason == Reason::Leak && got.sentence.starts_with("grew ") && !got.findings.is_empty(), "{}", got.sentence);

    let few = |level: f64| {
        let mut values = vec![f64::NAN; 60];
        values[57..].copy_from_slice(&[level, level + 1.0, level + 2.0]);
        ArmPoints::values(values)
    };
    let got = one(json!({ "name": "m", "direction": "increase" }), few(100.0), few(130.0));
    assert!(got.sentence.contains("its last 3 points"), "{}", got.sentence);
}
