//! Families of faults that people meet, each over many random variants: how often each is found, and how often what healed or never was
//! is not held against the canary. Series are a level with 4 % noise, so that what is asked follows from the size of the fault alone.

use haldane_judges::config::CheckedConfig;
use haldane_judges::evidence::{ArmPoints, Instance, Looks};
use haldane_judges::scorecard::{MetricResult, Status, Verdict};
use serde_json::{Value, json};

use crate::random::{Canary, Draw, Metric, gravity};

/// Variants of each family.
const VARIANTS: u64 = 100;

/// How the variants of a family were judged.
#[derive(Debug, Default)]
struct Found {
    family: String,
    regressed: u64,
    suspect: u64,
    pass: u64,
    open: u64,
}

impl Found {
    fn of(family: &str, variant: impl Fn(&mut Draw) -> Metric) -> Self {
        let mut found = Self { family: family.to_owned(), ..Self::default() };
        for seed in 0..VARIANTS {
            match variant(&mut Draw::new(seed)).alone().first().status {
                Status::Regressed => found.regressed += 1,
                Status::Suspect => found.suspect += 1,
                Status::Pass => found.pass += 1,
                _ => found.open += 1,
            }
        }
        println!("{}: {found:?}", found.family);
        found
    }

    fn flagged(&self) -> u64 {
        self.regressed + self.suspect
    }
}

/// What did not hold, so that a test names all of it.
#[derive(Debug, Default)]
struct Claims(Vec<String>);

impl Claims {
    fn check(&mut self, holds: bool, what: impl std::fmt::Display) {
        if !holds {
            self.0.push(what.to_string());
        }
    }

    #[track_caller]
    fn settle(self) {
        assert!(self.0.is_empty(), "{} do not hold:\n  {}", self.0.len(), self.0.join("\n  "));
    }
}

fn noise(draw: &mut Draw, level: f64, n: usize) -> Vec<f64> {
    (0..n).map(|_| level * (1.0 + 0.04 * draw.normal())).collect()
}

fn latency() -> Value {
    json!({ "name": "p99", "unit": "ms", "direction": "increase" })
}

/// A latency whose canary is `factor` of the place in the window times itself.
fn latency_with(draw: &mut Draw, n: usize, factor: impl Fn(usize) -> f64) -> Metric {
    let (baseline, canary) = (noise(draw, 200.0, n), noise(draw, 200.0, n));
    let canary: Vec<f64> = canary.iter().enumerate().map(|(t, v)| v * factor(t)).collect();
    Metric::values(latency(), &baseline, &canary)
}

// ---- the course of the window --------------------------------------------------------------------------------------------------------

#[test]
fn what_holds_at_the_end_of_the_window_is_seen() {
    let mut claims = Claims::default();
    let late = Found::of("+35 to +55 % in the last quarter of 31", |draw| {
        let rise = draw.within(1.35, 1.55);
        latency_with(draw, 31, |t| if t >= 23 { rise } else { 1.0 })
    });
    claims.check(late.flagged() >= 95 && late.pass <= 5, format!("{late:?}"));
    let step = Found::of("x3 in the last fifth of 31", |draw| latency_with(draw, 31, |t| if t >= 25 { 3.0 } else { 1.0 }));
    claims.check(step.regressed >= 90 && step.pass == 0, format!("{step:?}"));
    // A ramp of this length to +30 or +50 % is less than its points prove.
    Found::of("a ramp to +30 to +50 % over the last fifth of 31", |draw| {
        let rise = draw.within(0.3, 0.5);
        latency_with(draw, 31, |t| 1.0 + rise * (t as f64 - 24.0).max(0.0) / 6.0)
    });
    let drift = Found::of("a ramp to twice and more over the last fifth of 31", |draw| {
        let rise = draw.within(1.0, 2.0);
        latency_with(draw, 31, |t| 1.0 + rise * (t as f64 - 24.0).max(0.0) / 6.0)
    });
    claims.check(drift.flagged() >= 90, format!("{drift:?}"));
    claims.settle();
}

#[test]
fn what_was_worse_at_first_and_healed_does_not_fail() {
    let mut claims = Claims::default();
    for bad in [6, 12, 17] {
        let healed = Found::of(&format!("+60 to +100 % in the first {bad} of 31"), |draw| {
            let rise = draw.within(1.6, 2.0);
            latency_with(draw, 31, |t| if t < bad { rise } else { 1.0 })
        });
        claims.check(healed.regressed <= 5, format!("{healed:?}"));
    }
    claims.settle();
}

#[test]
fn an_arm_that_goes_silent_or_falls_to_nothing_is_flagged() {
    let mut claims = Claims::default();
    let traffic = json!({ "name": "rps", "unit": "requests/s", "direction": "decrease" });
    for n in [20, 60, 120] {
        let last = (n as f64 * 0.2).ceil() as usize;
        let silent = Found::of(&format!("no points in the last {last} of {n}"), |draw| {
            latency_with(draw, n, |t| if t >= n - last { f64::NAN } else { 1.0 })
        });
        claims.check(silent.flagged() == VARIANTS, format!("{silent:?}"));
        let idle = Found::of(&format!("no traffic in the last {last} of {n}"), |draw| Metric {
            spec: traffic.clone(),
            ..latency_with(draw, n, |t| if t >= n - last { 0.0 } else { 1.0 })
        });
        // Fewer than five points are no proof.
        let proved = if last >= 5 { 90 } else { 0 };
        claims.check(idle.regressed >= proved && idle.flagged() == VARIANTS, format!("{idle:?}"));
    }
    claims.settle();
}

// ---- some of the points -----------------------------------------------------------------------------------------------------------------

#[test]
fn a_minority_of_far_worse_points_is_seen() {
    let mut claims = Claims::default();
    let some = |draw: &mut Draw, n: usize, bad: usize, factor: (f64, f64)| {
        let (places, factor) = (draw.places(n, bad), draw.within(factor.0, factor.1));
        latency_with(draw, n, |t| if places[t] { factor } else { 1.0 })
    };
    // Three to five of 31 points are fewer than any exact test can tell from chance beside a tenth of all points.
    Found::of("3 to 5 of 31 points at x2.5 to x4", |draw| {
        let bad = draw.whole(3, 5);
        some(draw, 31, bad, (2.5, 4.0))
    });
    let seven = Found::of("7 of 31 points at x2.5 to x4", |draw| some(draw, 31, 7, (2.5, 4.0)));
    claims.check(seven.flagged() >= 90, format!("{seven:?}"));
    for (bad, regressed) in [(12, 0), (18, 0), (24, 50)] {
        let found = Found::of(&format!("{bad} of 60 points at x4 to x6"), |draw| some(draw, 60, bad, (4.0, 6.0)));
        claims.check(found.flagged() >= 95 && found.regressed >= regressed, format!("{found:?}"));
    }
    let outlier = Found::of("1 of 60 points at x4 to x6", |draw| some(draw, 60, 1, (4.0, 6.0)));
    claims.check(outlier.flagged() <= 6, format!("{outlier:?}"));
    claims.settle();
}

#[test]
fn sparse_events_that_the_baseline_has_not_are_found() {
    let mut claims = Claims::default();
    for kind in ["events", "value"] {
        let panics = json!({ "name": "panics", "kind": kind, "direction": "increase" });
        let events = |draw: &mut Draw, many: usize| -> Vec<f64> {
            let places = draw.places(60, many);
            places.iter().map(|there| if *there { draw.whole(1, 10) as f64 } else { 0.0 }).collect()
        };
        let of = |many: usize, usual: usize| {
            Found::of(&format!("{kind}: panics in {many} of 60 intervals, {usual} in the baseline"), |draw| {
                let (baseline, canary) = (events(draw, usual), events(draw, many));
                Metric::values(panics.clone(), &baseline, &canary)
            })
        };
        for (many, flagged, regressed) in [(6, 80, 0), (12, 95, 70), (18, 98, 85), (28, 98, 90)] {
            let found = of(many, 0);
            claims.check(found.flagged() >= flagged && found.regressed >= regressed, format!("{found:?}"));
            claims.check(found.pass == 0, format!("{found:?}"));
        }
        // Two intervals are no evidence of anything, and as many as before are none either.
        let two = of(2, 0);
        claims.check(two.regressed == 0, format!("{two:?}"));
        let usual = of(6, 6);
        claims.check(usual.regressed <= 2 && usual.flagged() <= 10, format!("{usual:?}"));
    }
    claims.settle();
}

// ---- instances ------------------------------------------------------------------------------------------------------------------------------

#[test]
fn dead_and_silent_pods_are_never_passed() {
    let mut claims = Claims::default();
    let pods = |draw: &mut Draw, prefix: &str, bad: usize, as_bad: f64, from: usize| {
        let pod = |i: usize, draw: &mut Draw| Instance {
            name: format!("{prefix}{i}"),
            values: noise(draw, 100.0, 30).into_iter().enumerate().map(|(t, v)| if i < bad && t >= from { as_bad } else { v }).collect(),
        };
        ArmPoints::from_instances((0..12).map(|i| pod(i, draw)).collect())
    };
    for (way, as_bad) in [("at zero", 0.0), ("silent", f64::NAN)] {
        for bad in [1, 2, 6, 11] {
            for from in [0, 3] {
                // A pod that never reported is no instance of the arm.
                if as_bad.is_nan() && from == 0 {
                    continue;
                }
                let found = Found::of(&format!("{bad} of 12 pods {way} from point {from}"), |draw| {
                    let baseline = pods(draw, "old", 0, 0.0, 0);
                    let canary = pods(draw, "new", bad, as_bad, from);
                    let spec = json!({ "name": "rps", "unit": "requests/s", "direction": "decrease", "per_instance": "pod" });
                    Metric::new("pods", spec, baseline, canary)
                });
                let regressed = if bad >= 6 { VARIANTS } else { 0 };
                claims.check(found.flagged() == VARIANTS && found.regressed >= regressed, format!("{found:?}"));
            }
        }
    }
    let healthy = Found::of("12 healthy pods", |draw| {
        let (baseline, canary) = (pods(draw, "old", 0, 0.0, 0), pods(draw, "new", 0, 0.0, 0));
        let spec = json!({ "name": "rps", "unit": "requests/s", "direction": "decrease", "per_instance": "pod" });
        Metric::new("pods", spec, baseline, canary)
    });
    claims.check(healthy.flagged() <= 2, format!("{healthy:?}"));
    claims.settle();
}

// ---- success rates and errors ---------------------------------------------------------------------------------------------------------------

/// Forms in which one and the same success rate may be asked for.
const FORMS: [&str; 5] = ["ratio", "ratio in percent", "value in percent", "error ratio", "counts"];

/// A success rate of so many percent in either arm, with a tenth of a point of noise at most.
fn success(draw: &mut Draw, form: &str, n: usize, baseline: f64, canary: f64) -> Metric {
    let query = json!({ "prometheus": "success" });
    let mut arm = |percent: f64| {
        let sd = 0.1 * (100.0 - percent).min(1.0);
        if form == "counts" {
            let events = (0..n).map(|_| draw.events(1000.0, percent / 100.0)).collect();
            return ArmPoints::counts(events, vec![1000.0; n]);
        }
        let values = (0..n).map(|_| (percent + sd * draw.normal()).min(100.0));
        ArmPoints::values(match form {
            "ratio" => values.map(|v| v / 100.0).collect(),
            "error ratio" => values.map(|v| 1.0 - v / 100.0).collect(),
            _ => values.collect(),
        })
    };
    let (baseline, canary) = (arm(baseline), arm(canary));
    let spec = match form {
        "ratio" => json!({ "name": "success", "kind": "ratio", "direction": "decrease", "queries": query }),
        "ratio in percent" => json!({ "name": "success", "kind": "ratio", "unit": "percent", "direction": "decrease", "queries": query }),
        "value in percent" => json!({ "name": "success", "unit": "percent", "direction": "decrease" }),
        "error ratio" => json!({ "name": "errors", "kind": "ratio", "direction": "increase", "queries": query }),
        _ => json!({ "name": "success", "kind": "ratio", "direction": "decrease" }),
    };
    Metric::new("success", spec, baseline, canary)
}

#[test]
fn a_success_rate_that_falls_fails_in_every_form() {
    let mut claims = Claims::default();
    for form in FORMS {
        for fallen in [98.0, 95.0, 90.5] {
            let found = Found::of(&format!("99.5 to {fallen} % as {form}"), |draw| success(draw, form, 30, 99.5, fallen));
            claims.check(found.regressed >= 95 && found.pass == 0, format!("{found:?}"));
        }
        let twice = Found::of(&format!("99.5 to 99 % as {form}"), |draw| success(draw, form, 30, 99.5, 99.0));
        claims.check(twice.flagged() >= 95, format!("{twice:?}"));
        let healthy = Found::of(&format!("99.5 % as {form}"), |draw| success(draw, form, 30, 99.5, 99.5));
        claims.check(healthy.regressed <= 2 && healthy.flagged() <= 6, format!("{healthy:?}"));
    }
    claims.settle();
}

fn error_counts(draw: &mut Draw, n: usize, baseline: f64, canary: f64) -> Metric {
    let mut arm = |rate: f64| ArmPoints::counts((0..n).map(|_| draw.events(1000.0, rate)).collect(), vec![1000.0; n]);
    let (baseline, canary) = (arm(baseline), arm(canary));
    Metric::new("errors", json!({ "name": "errors", "kind": "ratio", "direction": "increase" }), baseline, canary)
}

#[test]
fn eight_times_the_errors_fail_within_minutes() {
    let mut claims = Claims::default();
    for n in [5, 7, 10, 15, 20] {
        let found = Found::of(&format!("2 % of 1,000 requests to 16 % over {n} intervals"), |draw| error_counts(draw, n, 0.02, 0.16));
        claims.check(found.regressed >= 95 && found.pass == 0, format!("{found:?}"));
    }
    let three = Found::of("the same over 3", |draw| error_counts(draw, 3, 0.02, 0.16));
    claims.check(three.pass == 0 && three.flagged() >= 95, format!("{three:?}"));
    let healthy = Found::of("2 % in both arms", |draw| error_counts(draw, 10, 0.02, 0.02));
    claims.check(healthy.regressed <= 2, format!("{healthy:?}"));
    claims.settle();
}

#[test]
fn eight_times_the_errors_fail_beside_healthy_metrics_and_at_the_first_look_of_a_plan() {
    let mut claims = Claims::default();
    for seed in 0..VARIANTS {
        let draw = &mut Draw::new(seed);
        let errors = error_counts(draw, 10, 0.02, 0.16);
        let steady = latency_with(draw, 10, |_| 1.0);
        let canary = Canary::of(vec![errors, steady.clone().named("p50"), steady]);
        let judgement = canary.judged();
        claims.check(judgement.verdict == Verdict::Fail, format!("{seed}: {}", judgement.summary));
        for early_pass in [false, true] {
            let judgement = canary.under(Looks { look: 1, looks: 24, early_pass }).judged();
            claims.check(
                judgement.verdict != Verdict::Pass && gravity(judgement.metrics[0].status) >= 2,
                format!("{seed}: {}", judgement.summary),
            );
        }
    }
    claims.settle();
}

// ---- limits ---------------------------------------------------------------------------------------------------------------------------------

#[test]
fn a_declared_limit_that_every_point_breaks_fails_with_few_points_and_with_many() {
    let mut claims = Claims::default();
    for n in 3..=100 {
        let draw = &mut Draw::new(n as u64);
        // 8 % more: within the tolerance, and past the limit.
        let latency = latency_with(draw, n, |_| 1.0).with_canary(|t, _| 520.0 + (t % 3) as f64);
        let baseline: Vec<f64> = (0..n).map(|t| 480.0 + (t % 3) as f64).collect();
        let latency = Metric { baseline: ArmPoints::values(baseline), ..latency }.with("limits", json!({ "max": 500 }));
        let success = success(draw, "ratio", n, 99.5, 91.0).with("limits", json!({ "min": 0.95 }));
        for metric in [latency, success] {
            let MetricResult { status, sentence, .. } = metric.alone().first();
            claims.check(status == Status::Regressed, format!("{n} points: {sentence}"));
        }
    }
    claims.settle();
}

// ---- units and rounding -----------------------------------------------------------------------------------------------------------------------

#[test]
fn one_event_more_is_never_judged_milder() {
    // The same number in each interval, so that nothing scatters: what rounds by one event must not decide.
    let mut claims = Claims::default();
    let mut before = 0;
    for events in 60..=150 {
        let arm = |events: i32| ArmPoints::counts(vec![f64::from(events); 5], vec![6000.0; 5]);
        let spec = json!({ "name": "errors", "kind": "ratio", "direction": "increase" });
        let result = Metric::new("steady", spec, arm(60), arm(events)).alone().first();
        let now = gravity(result.status);
        claims.check(now >= before, format!("{events} of 6000: {}: {}", result.status, result.sentence));
        before = now;
    }
    claims.check(before == gravity(Status::Regressed), "150 of 6000 against 60 is no regression");
    claims.settle();
}

#[test]
fn tolerances_in_another_unit_than_the_metric_are_not_passed_without_a_word() {
    let mut claims = Claims::default();
    let errors = |events: f64| ArmPoints::counts(vec![events; 30], vec![1000.0; 30]);
    // Percentages where fractions are asked for: 20 and 1 are 2,000 % and a hundred points.
    let spec = json!({
        "name": "errors", "kind": "ratio", "direction": "increase", "limits": { "max": 1 }, "tolerance": { "relative": 20, "absolute": 1 },
    });
    let percent = Metric::new("errors", spec, errors(5.0), errors(200.0));
    // Seconds that are called milliseconds.
    let seconds = |level: f64| (0..20).map(|t| level * (1.0 + 0.025 * f64::from(t % 4 - 1))).collect::<Vec<f64>>();
    let spec = json!({ "name": "p99", "unit": "ms", "direction": "increase", "tolerance": { "absolute": 5 } });
    let seconds = Metric::values(spec, &seconds(0.4), &seconds(4.0));
    for metric in [percent, seconds] {
        let refused = CheckedConfig::from_value(json!({ "name": "c", "metrics": [metric.spec] })).is_err();
        let word = || {
            let judgement = metric.alone().judged();
            judgement.verdict != Verdict::Pass || !judgement.warnings.is_empty() || !judgement.metrics[0].warnings.is_empty()
        };
        claims.check(refused || word(), format!("{}: {}", metric.spec, metric.alone().first().sentence));
    }
    claims.settle();
}

#[test]
fn a_plan_of_one_look_with_a_small_rise_is_judged_as_no_plan() {
    let arm = |events: f64| ArmPoints::counts(vec![events; 5], vec![6000.0; 5]);
    let spec = json!({ "name": "errors", "kind": "ratio", "direction": "increase", "tolerance": { "relative": 0.05 } });
    let canary = Metric::new("errors", spec, arm(60.0), arm(69.0)).alone();
    let (alone, planned) = (canary.first(), canary.under(Looks { look: 1, looks: 1, early_pass: false }).first());
    assert_eq!(alone, planned);
}

// ---- bounded remedies -----------------------------------------------------------------------------------------------------------------------

#[test]
fn a_canary_of_many_open_ratios_gets_a_handful_of_remedies() {
    let metrics = (0..20).map(|i| {
        let draw = &mut Draw::new(i);
        let mut arm = || ArmPoints::counts((0..20).map(|_| draw.whole(351, 369) as f64).collect(), vec![900.0; 20]);
        let (baseline, canary) = (arm(), arm());
        let spec = json!({ "kind": "ratio", "direction": "increase", "min_requests": 1_000_000_000, "detectable": 0.02 });
        Metric::new("open", spec, baseline, canary).named(&format!("e{i}"))
    });
    let judgement = Canary::of(metrics.collect()).judged();
    assert!(judgement.verdict == Verdict::Marginal, "{}", judgement.summary);
    let remedies = judgement.recommendation.remedies.len();
    assert!(remedies <= 8 && judgement.metrics.iter().all(|m| m.remedies.len() <= 4), "{remedies} remedies");
}

#[test]
fn healthy_series_are_left_alone() {
    let mut claims = Claims::default();
    for n in [10, 31, 60] {
        let found = Found::of(&format!("nothing changed over {n} points"), |draw| latency_with(draw, n, |_| 1.0));
        claims.check(found.regressed == 0 && found.flagged() <= 3 && found.pass >= 90, format!("{found:?}"));
    }
    claims.settle();
}
