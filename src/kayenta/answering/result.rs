//! A scorecard as Kayenta's result: for its own judge what that says, word for word; for Haldane's judges the verdict, in the fields that
//! Orca, Deck, Referee and Argo Rollouts read, with the findings beside them.

use haldane_judges::aca;
use haldane_judges::config::Direction;
use haldane_judges::scorecard::{MetricResult, Reason, Status};
use haldane_judges::{Judgement, Verdict};
use serde_json::{Map, Value, json};

use super::score::{self, RequestThresholds};
use crate::analysis::{MetricStatistics, Scorecard, Statistics};
use crate::kayenta::wire::values::{number, without_nulls};

/// One result of a judgement, as Kayenta's clients know it.
#[derive(Debug, Clone)]
pub(crate) struct PairIdentity {
    /// The name of the metric in the Kayenta config.
    pub(crate) name: String,
    /// The id of its metric set pair.
    pub(crate) id: String,
    /// The pair's tags.
    pub(crate) tags: Map<String, Value>,
}

/// The judge's result. `named` has one entry for each metric of the scorecard.
pub(crate) fn judge_result(scorecard: &Scorecard, named: &[PairIdentity], thresholds: RequestThresholds) -> Value {
    let judgement = &scorecard.judgement;
    let results: Vec<Value> = judgement
        .metrics
        .iter()
        .zip(&scorecard.data.metrics)
        .zip(named)
        .map(|((metric, data), named)| match &metric.aca {
            Some(outcome) => kayentas(metric, outcome, named),
            None => haldanes(metric, data.statistics, named),
        })
        .collect();
    let (score, groups) = match &judgement.aca {
        Some(summary) => (kayentas_score(summary, &judgement.metrics, named), kayentas_groups(summary)),
        None => (haldanes_score(scorecard, thresholds), haldanes_groups(judgement)),
    };
    json!({ "judgeName": judgement.judge.as_str(), "results": results, "groupScores": groups, "score": score })
}

fn kayentas_score(summary: &aca::Summary, metrics: &[MetricResult], named: &[PairIdentity]) -> Value {
    json!({
        "score": number(summary.score.0),
        "classification": classification(summary.verdict),
        "classificationReason": summary.text(|i| metrics.get(i)?.aca.as_ref()?.reason(&named.get(i)?.name)),
    })
}

fn kayentas_groups(summary: &aca::Summary) -> Vec<Value> {
    summary.groups.iter().map(|group| group_score(&group.name, number(group.score))).collect()
}

fn kayentas(metric: &MetricResult, outcome: &aca::MetricOutcome, named: &PairIdentity) -> Value {
    let mut metadata = Map::new();
    for (name, value) in [
        ("ratio", outcome.ratio),
        ("effectSize", outcome.effect_size),
        ("lowerConfidence", outcome.lower),
        ("upperConfidence", outcome.upper),
        ("estimate", outcome.estimate),
    ] {
        if let Some(value) = value {
            metadata.insert(name.to_owned(), number(value.0));
        }
    }
    if !metric.warnings.is_empty() {
        metadata.insert("warnings".to_owned(), json!(metric.warnings));
    }
    let mut result = json!({
        "name": named.name,
        "id": named.id,
        "tags": named.tags,
        "groups": metric.groups,
        "classification": outcome.classification.to_string(),
        "critical": outcome.critical,
        "muted": metric.muted,
        "controlMetadata": { "stats": kayentas_statistics(&outcome.control) },
        "experimentMetadata": { "stats": kayentas_statistics(&outcome.experiment) },
    });
    if let Some(reason) = outcome.reason(&named.name) {
        result["classificationReason"] = reason.into();
    }
    if !metadata.is_empty() {
        result["resultMetadata"] = metadata.into();
    }
    result
}

fn kayentas_statistics(statistics: &aca::SampleStatistics) -> Value {
    json!({
        "count": statistics.count,
        "mean": number(statistics.mean.0),
        "min": number(statistics.min.0),
        "max": number(statistics.max.0),
        "std": number(statistics.std.0),
    })
}

fn classification(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "Pass",
        Verdict::Marginal => "Marginal",
        Verdict::Fail => "Fail",
    }
}

fn group_score(name: &str, score: Value) -> Value {
    json!({ "name": name, "score": score, "classification": "", "classificationReason": "" })
}

fn haldanes_score(scorecard: &Scorecard, thresholds: RequestThresholds) -> Value {
    let judgement = &scorecard.judgement;
    let shown = score::shown(judgement.verdict, judgement.score, thresholds);
    let mut reason = vec![judgement.summary.clone()];
    if judgement.verdict == Verdict::Marginal {
        reason.push(judgement.recommendation.sentence.clone());
    }
    match judgement.score {
        None => reason.push("nothing could be scored".to_owned()),
        Some(score) if score.to_bits() == shown.score.to_bits() => {}
        Some(score) => {
            reason.push(format!("the metrics' own score is {}, shown as {} so that it says the verdict", rounded(score), shown.score));
        }
    }
    reason.extend(shown.warning);
    reason.extend(judgement.warnings.iter().cloned());
    json!({
        "score": shown.score,
        "classification": classification(judgement.verdict),
        "classificationReason": reason.join("; "),
    })
}

fn rounded(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}

fn haldanes_groups(judgement: &Judgement) -> Vec<Value> {
    // Kayenta gives 0 to a group of which nothing was judged.
    judgement.groups.iter().map(|group| group_score(&group.name, number(group.score.unwrap_or(0.0)))).collect()
}

fn haldanes(metric: &MetricResult, statistics: Option<MetricStatistics>, named: &PairIdentity) -> Value {
    let MetricStatistics { baseline, canary } = statistics.unwrap_or_default();
    let ratio = if baseline.mean == 0.0 || canary.mean == 0.0 { f64::NAN } else { canary.mean / baseline.mean };
    let ratio = if baseline.count == 0 || canary.count == 0 { 1.0 } else { ratio };
    json!({
        "name": named.name,
        "id": named.id,
        "tags": named.tags,
        "groups": metric.groups,
        "classification": metric_classification(metric, &baseline, &canary),
        "classificationReason": format!("{} ({}, {}): {}", metric.status, metric.reason, word(metric), metric.sentence),
        "critical": metric.critical && metric.status == Status::Regressed,
        "muted": metric.muted,
        "controlMetadata": { "stats": shown_statistics(baseline) },
        "experimentMetadata": { "stats": shown_statistics(canary) },
        "resultMetadata": {
            "ratio": number(ratio),
            "haldane": without_nulls(serde_json::to_value(metric).unwrap_or_default()),
        },
    })
}

fn word(metric: &MetricResult) -> &'static str {
    use haldane_judges::scorecard::Mode;
    match metric.mode {
        Mode::Statistical => "statistics",
        Mode::Counts => "counts",
        Mode::Distribution => "distribution",
        Mode::Threshold => "limits",
        Mode::None => "nothing tested",
    }
}

/// Kayenta's word for a metric. What is suspect is shown as the shift that it may be; what could not be told, as no data.
fn metric_classification(metric: &MetricResult, baseline: &Statistics, canary: &Statistics) -> &'static str {
    match metric.status {
        Status::Pass => "Pass",
        Status::NoData | Status::Inconclusive => "Nodata",
        Status::Error => "Error",
        Status::Regressed | Status::Suspect
            if matches!(metric.reason, Reason::Silent | Reason::Ended | Reason::InstancesSilent | Reason::DataAsymmetry) =>
        {
            "NodataFailMetric"
        }
        Status::Regressed | Status::Suspect => {
            let levels = metric.numbers.as_ref().map(|numbers| (numbers.baseline, numbers.canary)).unwrap_or((baseline.mean, canary.mean));
            let fell = match metric.direction {
                // It reads 0 where all others are above.
                _ if metric.reason == Reason::InstanceDead => true,
                Direction::Increase => false,
                Direction::Decrease => true,
                Direction::Either => levels.1 < levels.0,
            };
            if fell { "Low" } else { "High" }
        }
    }
}

/// The statistics that every result of Kayenta's has; 0 for an arm without data.
fn shown_statistics(statistics: Statistics) -> Value {
    let Statistics { count, mean, min, max, std, .. } = statistics;
    json!({ "count": count, "mean": mean, "min": min, "max": max, "std": std })
}

/// What a person, or whoever replays the judgement, wants beside Kayenta's fields: where the numbers came from.
pub(crate) fn provenance(scorecard: &Scorecard) -> Value {
    let judgement = &scorecard.judgement;
    let mut value = json!({
        "judgedAt": crate::kayenta::wire::instant::java_text(scorecard.judged_at),
        "rerun": scorecard.rerun,
        "samplesDigest": scorecard.data.digest,
        "configDigest": judgement.config_digest,
    });
    value["verdict"] = json!(judgement.verdict);
    if let Some(would_be) = judgement.would_be {
        value["wouldBe"] = json!(would_be);
    }
    value["summary"] = json!(judgement.summary);
    value["recommendation"] = without_nulls(json!(judgement.recommendation));
    value["reasons"] = without_nulls(json!(judgement.reasons));
    if !judgement.warnings.is_empty() {
        value["warnings"] = json!(judgement.warnings);
    }
    value
}

#[cfg(test)]
mod tests {
    use haldane_judges::evidence::{ArmPoints, Looks, Observation};
    use haldane_judges::{CheckedConfig, Evidence, JudgeName, judge};

    use super::*;
    use crate::analysis::Provenance;

    const THRESHOLDS: RequestThresholds = RequestThresholds { pass: 95.0, marginal: 75.0 };

    /// The score of a canary whose values lie around `canary` beside 100.
    fn score(canary: f64, evidence: Evidence) -> Value {
        let config = CheckedConfig::from_yaml("{name: c, metrics: [{name: p99, direction: increase}]}").unwrap();
        let around = |level: f64, step: usize| ArmPoints::values((0..20).map(|i| level + (i * step % 11) as f64).collect());
        let observations = vec![Observation::Sampled { baseline: around(100.0, 7), canary: around(canary, 3) }];
        let evidence = Evidence { observations, observed_seconds: 1200.0, ..evidence };
        let data = Provenance { step_seconds: 60, ..Provenance::default() };
        let judgement = judge(JudgeName::HaldaneV1, &config, &evidence);
        haldanes_score(
            &Scorecard {
                id: None,
                url: None,
                labels: Default::default(),
                version: String::new(),
                judged_at: jiff::Timestamp::UNIX_EPOCH,
                rerun: false,
                judgement,
                data,
                samples: Default::default(),
                times: Default::default(),
            },
            THRESHOLDS,
        )
    }

    #[test]
    fn what_stopped_reporting_has_no_data_and_what_reads_zero_is_low() {
        let config = CheckedConfig::from_yaml("{name: c, metrics: [{name: p99, direction: increase}]}").unwrap();
        let around = |step: usize| (0..20).map(|i| 100.0 + (i * step % 11) as f64).collect::<Vec<f64>>();
        let classified = |canary: ArmPoints, baseline: ArmPoints| {
            let observations = vec![Observation::Sampled { baseline, canary }];
            let evidence = Evidence { observations, observed_seconds: 1200.0, ..Evidence::default() };
            let metric = judge(JudgeName::HaldaneV1, &config, &evidence).metrics.remove(0);
            let none = Statistics::default();
            (metric.reason, metric_classification(&metric, &none, &none))
        };
        let mut ended = around(3);
        ended[10..].fill(f64::NAN);
        assert_eq!(classified(ArmPoints::values(ended), ArmPoints::values(around(7))), (Reason::Ended, "NodataFailMetric"));
        let pods = |points: [Vec<f64>; 2]| {
            let instance = |(i, values): (usize, Vec<f64>)| haldane_judges::evidence::Instance { name: i.to_string(), values };
            ArmPoints::from_instances(points.into_iter().enumerate().map(instance).collect())
        };
        let healthy = || pods([around(7), around(5)]);
        let without =
            |value: f64| pods([around(3), around(9).into_iter().enumerate().map(|(i, v)| if i < 10 { v } else { value }).collect()]);
        assert_eq!(classified(without(f64::NAN), healthy()), (Reason::InstancesSilent, "NodataFailMetric"));
        assert_eq!(classified(without(0.0), healthy()), (Reason::InstanceDead, "Low"));
    }

    #[test]
    fn a_look_that_is_on_track_is_marginal_to_every_client() {
        let looks = Some(Looks { look: 3, looks: 12, early_pass: false });
        let shown = score(100.0, Evidence { looks, ..Evidence::default() });
        assert_eq!((&shown["score"], &shown["classification"]), (&json!(94.0), &json!("Marginal")), "{shown}");
        assert!(shown["classificationReason"].as_str().unwrap().contains("on track, look 3 of 12"), "{shown}");
    }

    #[test]
    fn a_verdict_that_only_advises_is_a_passing_score_with_the_true_verdict_in_its_reason() {
        let shown = score(200.0, Evidence { advisory: true, ..Evidence::default() });
        assert_eq!((&shown["score"], &shown["classification"]), (&json!(95.0), &json!("Pass")), "{shown}");
        assert!(shown["classificationReason"].as_str().unwrap().starts_with("advisory pass: would be fail"), "{shown}");
    }
}
