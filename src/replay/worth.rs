//! What verdicts are worth where a stated share of the releases is worse than what it replaces.
//!
//! A gate's rates on faulty and on healthy canaries say little of a single verdict: where 2 in 100 releases are bad, most of those that
//! fail may be good. By Bayes' rule, with defect rate d, of the canaries that fail `d recall / (d recall + (1 - d) alarms)` are bad.

use haldane_judges::Verdict;
use serde::Serialize;

use super::case::Label;
use super::layout::{Table, one_decimal, span};
use super::rates::{Rate, Tally, interval_of_two};
use crate::report::format::{number, percent};

/// Releases that counts are told of.
const RELEASES: f64 = 1000.0;

/// Verdicts on faulty and healthy canaries, under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdicts {
    faulty_failed: Tally,
    faulty_passed: Tally,
    healthy_failed: Tally,
    healthy_passed: Tally,
}

/// A number with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Estimate {
    /// Absent where it is of nothing, such as the bad ones among none that failed.
    pub value: Option<f64>,
    /// Absent with fewer than three groups.
    pub interval: Option<[f64; 2]>,
}

/// What verdicts are worth at a defect rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Worth {
    /// Share of bad releases, given.
    pub defect_rate: f64,
    /// Faulty canaries that failed.
    pub recall: Estimate,
    /// Of the canaries that fail, the bad ones.
    pub precision: Estimate,
    /// Of the canaries that pass, the bad ones.
    pub defect_given_pass: Estimate,
    /// Bad releases that pass, of 1,000 releases.
    pub let_through_per_1000: Estimate,
    /// Good releases that fail, of 1,000 releases.
    pub needless_stops_per_1000: Estimate,
}

impl Verdicts {
    /// Counts a canary whose truth is known.
    pub(super) fn add(&mut self, group: &str, label: Label, verdict: Verdict) {
        let (failed, passed) = match label {
            Label::Regressed => (&mut self.faulty_failed, &mut self.faulty_passed),
            Label::Healthy => (&mut self.healthy_failed, &mut self.healthy_passed),
        };
        failed.one(group, verdict == Verdict::Fail);
        passed.one(group, verdict == Verdict::Pass);
    }

    /// What they are worth; `None` where no canary is known to be faulty, or none to be healthy.
    pub(super) fn worth(&self, defect_rate: f64) -> Option<Worth> {
        let (recall, alarms) = (self.faulty_failed.rate()?, self.healthy_failed.rate()?);
        let let_through = self.faulty_passed.rate()?;
        let times = |rate: &Rate, factor: f64| Estimate {
            value: Some(rate.rate * factor),
            interval: rate.interval.map(|bounds| bounds.map(|bound| bound * factor)),
        };
        // The bad ones among all that have a verdict, from its shares of faulty and of healthy canaries.
        let bad = |faulty: f64, healthy: f64| {
            let (bad, good) = (defect_rate * faulty, (1.0 - defect_rate) * healthy);
            (bad + good > 0.0).then(|| bad / (bad + good))
        };
        let among = |faulty: &Tally, healthy: &Tally| Estimate {
            value: faulty.rate().zip(healthy.rate()).and_then(|(faulty, healthy)| bad(faulty.rate, healthy.rate)),
            interval: interval_of_two(faulty, healthy, bad),
        };
        Some(Worth {
            defect_rate,
            recall: times(&recall, 1.0),
            precision: among(&self.faulty_failed, &self.healthy_failed),
            defect_given_pass: among(&self.faulty_passed, &self.healthy_passed),
            let_through_per_1000: times(&let_through, defect_rate * RELEASES),
            needless_stops_per_1000: times(&alarms, (1.0 - defect_rate) * RELEASES),
        })
    }
}

impl Worth {
    /// Each number with its words and how it follows from others.
    pub(super) fn lines(&self) -> [(&'static str, String, &'static str); 5] {
        let share = |estimate: &Estimate| {
            estimate.value.map_or_else(|| "-".to_owned(), |value| format!("{}{}", one_decimal(value), span(estimate.interval, 100.0, 1)))
        };
        let count = |estimate: &Estimate| {
            estimate.value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}{}", span(estimate.interval, 1.0, 1)))
        };
        [
            ("recall: bad releases that fail", share(&self.recall), "regressed canaries that failed"),
            (
                "precision: of those that fail, bad ones",
                share(&self.precision),
                "d x recall / (d x recall + (1 - d) x healthy canaries that failed)",
            ),
            (
                "of those that pass, bad ones",
                share(&self.defect_given_pass),
                "d x regressed canaries that passed / (that + (1 - d) x healthy canaries that passed)",
            ),
            ("incidents let through, of 1,000 releases", count(&self.let_through_per_1000), "1,000 x d x regressed canaries that passed"),
            ("needless stops, of 1,000 releases", count(&self.needless_stops_per_1000), "1,000 x (1 - d) x healthy canaries that failed"),
        ]
    }
}

/// What a table of this is of.
pub(super) fn heading(defect_rate: f64) -> String {
    format!("What a verdict is worth where {} of the releases are bad (d, given by --defect-rate)", percent(defect_rate))
}

/// The numbers of all judges; `None` where no canary is known to be faulty, or none to be healthy.
pub(super) fn table(judges: &[String], verdicts: &[Verdicts], defect_rate: f64) -> Option<Table> {
    let worths: Option<Vec<Worth>> = verdicts.iter().map(|verdicts| verdicts.worth(defect_rate)).collect();
    let lines: Vec<_> = worths?.iter().map(Worth::lines).collect();
    let mut table = Table::new(&format!("defect rate {} %", number(defect_rate * 100.0)), judges);
    for (i, (words, ..)) in lines.first()?.iter().enumerate() {
        table.push((*words).to_owned(), lines.iter().filter_map(|lines| Some(lines.get(i)?.1.clone())).collect());
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 of 10 faulty canaries fail and one passes; 1 of 20 healthy ones fails and 18 pass.
    fn counted() -> Verdicts {
        let mut verdicts = Verdicts::default();
        let mut add = |label: Label, all: &[(usize, Verdict)]| {
            let each = all.iter().flat_map(|(n, verdict)| std::iter::repeat_n(*verdict, *n));
            each.enumerate().for_each(|(i, verdict)| verdicts.add(&i.to_string(), label, verdict));
        };
        add(Label::Regressed, &[(8, Verdict::Fail), (1, Verdict::Marginal), (1, Verdict::Pass)]);
        add(Label::Healthy, &[(1, Verdict::Fail), (1, Verdict::Marginal), (18, Verdict::Pass)]);
        verdicts
    }

    #[test]
    fn a_verdict_is_worth_what_bayes_rule_says() {
        let worth = counted().worth(0.02).unwrap();
        let close = |estimate: Estimate, expected: f64| {
            let value = estimate.value.unwrap();
            assert!((value - expected).abs() < 1e-12, "{value}, not {expected}");
            let [low, high] = estimate.interval.unwrap();
            assert!(low <= value && value <= high && low < high, "{low} {value} {high}");
        };
        close(worth.recall, 0.8);
        close(worth.precision, 0.02 * 0.8 / (0.02 * 0.8 + 0.98 * 0.05));
        close(worth.defect_given_pass, 0.02 * 0.1 / (0.02 * 0.1 + 0.98 * 0.9));
        close(worth.let_through_per_1000, 2.0);
        close(worth.needless_stops_per_1000, 49.0);
    }

    #[test]
    fn no_false_alarm_in_twenty_groups_does_not_make_a_failure_certain() {
        let mut verdicts = Verdicts::default();
        for i in 0..20 {
            verdicts.add(&i.to_string(), Label::Healthy, Verdict::Pass);
            verdicts.add(&i.to_string(), Label::Regressed, if i % 2 == 0 { Verdict::Fail } else { Verdict::Pass });
        }
        let precision = verdicts.worth(0.02).unwrap().precision;
        assert_eq!(precision.value, Some(1.0));
        // Up to 16.8 % of the healthy may fail, by Clopper-Pearson.
        let [low, high] = precision.interval.unwrap();
        assert!(low < 0.1 && high == 1.0, "{low} {high}");
        assert!(Verdicts::default().worth(0.02).is_none());
    }
}
