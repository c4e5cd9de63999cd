//! One judgement metric by metric: in any order and on several threads it is the same, and what there was no time for passes no canary.

use haldane_judges::scorecard::{MetricResult, Reason, Status, VerdictReason};
use haldane_judges::{JudgeName, Judging, Verdict, judge};
use serde_json::json;

use super::invariants::hostile_canary;
use super::random::{Canary, Draw, Metric, any_length, any_metric, any_plan, expect, hold};

fn any_canary(draw: &mut Draw) -> Canary {
    if draw.chance(0.2) {
        return hostile_canary(draw);
    }
    let n = any_length(draw);
    let metrics = (0..draw.whole(1, 4)).map(|i| any_metric(draw, n).named(&format!("m{i}"))).collect();
    Canary { looks: draw.chance(0.3).then(|| any_plan(draw)), ..Canary::of(metrics) }
}

#[test]
fn metrics_examined_in_any_order_on_several_threads_are_judged_as_in_turn() {
    hold("examined apart", 60, 0.0, |draw| {
        let canary = any_canary(draw);
        let (config, evidence) = (canary.config(), canary.evidence());
        let same = JudgeName::ALL.iter().all(|name| {
            let judging = Judging::new(*name, &config, &evidence);
            let examine = |metric| judging.examine(metric);
            let mut results: Vec<Option<MetricResult>> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..judging.metrics()).rev().map(|metric| scope.spawn(move || examine(metric))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            results.reverse();
            judging.examine(judging.metrics()).is_none() && judging.conclude(results) == judge(*name, &config, &evidence)
        });
        expect(same, "differs", || "from one time to the next".to_owned())
    });
}

fn healthy(name: &str, muted: bool) -> Metric {
    let mut draw = Draw::new(7);
    let mut arm = || (0..60).map(|_| 100.0 + draw.normal()).collect::<Vec<f64>>();
    let (baseline, canary) = (arm(), arm());
    Metric::values(json!({ "name": name, "muted": muted, "groups": ["g"] }), &baseline, &canary)
}

#[test]
fn a_metric_that_was_not_judged_in_time_is_an_error_with_which_no_canary_passes_unless_it_is_muted() {
    for name in JudgeName::ALL {
        let late_of = |muted: bool| {
            let limits = json!({ "max": 1000 });
            let canary = Canary::of(vec![healthy("a", false).with("limits", limits), healthy("b", muted)]);
            let (config, evidence) = (canary.config(), canary.evidence());
            let judging = Judging::new(name, &config, &evidence);
            (judging.conclude(vec![judging.examine(0), None]), judging.conclude(vec![judging.examine(0)]))
        };
        let (late, shorter) = late_of(false);
        assert_eq!(late, shorter, "what is missing at the end was not judged either");
        let metric = &late.metrics[1];
        assert_eq!((late.verdict, metric.status, metric.reason), (Verdict::Marginal, Status::Error, Reason::Deadline), "{name}");
        assert!(metric.sentence.contains("deadline") && metric.sentence.contains("give the request more time"), "{}", metric.sentence);
        let cause = late.reasons.iter().find(|cause| cause.metrics == ["b"]).unwrap();
        assert_eq!((cause.reason, cause.sentence.as_str()), (VerdictReason::Error, "`b` was not judged by the request's deadline"));
        assert_eq!(late_of(true).0.verdict, Verdict::Pass, "{name}: a muted one decides nothing");
    }
}
