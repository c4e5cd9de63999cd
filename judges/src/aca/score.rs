//! From the metrics' classifications to the groups' scores, the canary's score and its verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::order;
use crate::aca_outcome::{Classification, GroupOutcome, Number, Summary, SummaryReason};
use crate::config::Thresholds;
use crate::scorecard::Verdict;

/// Percentage of metrics without data from which the canary scores 0.
const WITHOUT_DATA: f64 = 50.0;

/// What the score takes from one metric.
#[derive(Debug, Clone, Copy)]
pub struct ScoredMetric<'a> {
    /// The groups it counts in; one that is named twice counts twice, and without any the metric moves no score.
    pub groups: &'a [String],
    /// What the judge calls it.
    pub classification: Classification,
    /// Whether it fails the canary by itself.
    pub critical: bool,
    /// Whether it is left out altogether.
    pub muted: bool,
}

/// Scores a canary. Weights are percentages; the verdict compares the score with the thresholds also where it was set to 0.
///
/// Checked against: Kayenta's judge, `fixtures/reference/kayenta/scores.jsonl`, and for its order of summation `ties.jsonl` there.
#[must_use]
pub fn summary(metrics: &[ScoredMetric<'_>], weights: &BTreeMap<String, f64>, thresholds: Thresholds) -> Summary {
    let counted = || metrics.iter().filter(|metric| !metric.muted);
    let groups = group_outcomes(counted(), weights);
    let critical = metrics.iter().position(|m| !m.muted && m.critical && m.classification != Classification::Pass);
    let without_data = counted().filter(|m| m.classification == Classification::Nodata).count() as f64 / counted().count() as f64 * 100.0;
    let (score, reason) = if let Some(metric) = critical {
        (0.0, SummaryReason::CriticalMetric(metric))
    } else if without_data >= WITHOUT_DATA {
        (0.0, SummaryReason::TooManyWithoutData)
    } else {
        (rounded(groups.iter().fold(0.0, |sum, group| sum + contribution(group))), SummaryReason::None)
    };
    let verdict = if score >= thresholds.pass {
        Verdict::Pass
    } else if score >= thresholds.marginal {
        Verdict::Marginal
    } else {
        Verdict::Fail
    };
    Summary { score: Number(score), verdict, reason, groups }
}

fn contribution(group: &GroupOutcome) -> f64 {
    let score = if group.has_data { group.score } else { 100.0 };
    score * (group.weight.0 / 100.0)
}

fn group_outcomes<'a>(metrics: impl Iterator<Item = &'a ScoredMetric<'a>>, weights: &BTreeMap<String, f64>) -> Vec<GroupOutcome> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut counts: Vec<(&str, u32, u32)> = Vec::new();
    for metric in metrics {
        let (passed, judged) = match metric.classification {
            Classification::Pass => (1, 1),
            Classification::High | Classification::Low | Classification::NodataFailMetric => (0, 1),
            Classification::Nodata | Classification::Error => (0, 0),
        };
        for group in metric.groups {
            let place = *places.entry(group).or_insert_with(|| {
                counts.push((group, 0, 0));
                counts.len() - 1
            });
            counts[place].1 += passed;
            counts[place].2 += judged;
        }
    }
    let unlisted: BTreeSet<&str> = places.into_keys().filter(|group| !weights.contains_key(*group)).collect();
    let listed = weights.values().fold(0.0, |sum, weight| sum + weight);
    let share = (100.0 - listed) / unlisted.len() as f64;
    let names: Vec<&str> = counts.iter().map(|(name, ..)| *name).collect();
    order::of_groups(&names)
        .into_iter()
        .map(|place| counts[place])
        .map(|(name, passed, judged)| GroupOutcome {
            name: name.to_owned(),
            score: if judged == 0 { 0.0 } else { f64::from(passed) / f64::from(judged) * 100.0 },
            has_data: judged > 0,
            weight: Number(weights.get(name).copied().unwrap_or(share)),
        })
        .collect()
}

/// Two decimals, half away from zero on the shortest decimal text of the number: 33.335 is 33.34, though the double lies below.
fn rounded(value: f64) -> f64 {
    let text = value.abs().to_string();
    let Some((whole, decimals)) = text.split_once('.').filter(|(_, decimals)| decimals.len() > 2) else { return value };
    let (kept, dropped) = decimals.split_at(2);
    // A double with three decimals or more is below 2^53, so that its hundredths fit.
    let Ok(hundredths) = format!("{whole}{kept}").parse::<u64>() else { return value };
    let hundredths = hundredths + u64::from(dropped >= "5");
    format!("{}.{:02}", hundredths / 100, hundredths % 100).parse().map_or(value, |rounded: f64| rounded.copysign(value))
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn rounding_goes_away_from_zero_on_the_decimal_text() {
        let cases = [
            (33.335, 33.34),
            (33.334_999, 33.33),
            (-33.335, -33.34),
            (1.005, 1.01),
            (2.675, 2.68),
            (99.995, 100.0),
            (0.005, 0.01),
            (1e-5, 0.0),
            (-1e-5, -0.0),
            (1e300, 1e300),
            (-1e300, -1e300),
            (5e-324, 0.0),
            (12.5, 12.5),
            (0.0, 0.0),
            (f64::INFINITY, f64::INFINITY),
        ];
        for (value, expected) in cases {
            assert_eq!(rounded(value).to_bits(), f64::to_bits(expected), "{value} -> {} and not {expected}", rounded(value));
        }
    }
}
