//! Who runs which version: members of both arms from the series of the population's queries.

use std::collections::BTreeMap;

use haldane_judges::config::PopulationCheck;
use haldane_judges::evidence::{Arm, FetchFailure, Member, Population};

use super::arms::AnsweredQuery;
use super::fetch::QueryAnswer;
use crate::source::Window;

/// Intervals at the end of the window in which an instance must report to be there still: the last point may be late.
const END: usize = 2;

/// Reads who runs what from the replies to both arms' queries; `young` has how many points at the end of a window may still arrive.
pub(super) fn read(
    check: &PopulationCheck,
    asked: &[AnsweredQuery<'_>],
    young: impl Fn(Window) -> usize,
) -> Result<Population, FetchFailure> {
    let arm = |arm: Arm| match asked.iter().find(|(planned, _)| planned.arm == arm) {
        Some((planned, fetched)) => match &fetched.reply {
            Ok(_) => members(check, fetched, young(planned.query.window)).map_err(|message| FetchFailure {
                arm,
                reason: "no_label".to_owned(),
                message,
            }),
            Err(error) => Err(error.failure(arm)),
        },
        None => Err(FetchFailure { arm, reason: "no_query".to_owned(), message: "no query was asked for this arm".to_owned() }),
    };
    Ok(Population { baseline: arm(Arm::Baseline)?, canary: arm(Arm::Canary)? })
}

fn members(check: &PopulationCheck, fetched: &QueryAnswer, young: usize) -> Result<Vec<Member>, String> {
    let mut present: BTreeMap<(&str, &str), Vec<bool>> = BTreeMap::new();
    for series in fetched.reporting() {
        let label = |name: &str, what: &str| {
            let value = series.labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("a series has no label `{name}`, which population.{what} names; keep it in the query's grouping"))
        };
        let key = (label(&check.instance, "instance")?, label(&check.version, "version")?);
        let points = fetched.window_of(series);
        let seen = present.entry(key).or_insert_with(|| vec![false; points.len()]);
        for (seen, point) in seen.iter_mut().zip(points) {
            *seen |= !point.is_nan();
        }
    }
    let member = |((instance, version), seen): ((&str, &str), Vec<bool>)| Member {
        instance: instance.to_owned(),
        version: version.to_owned(),
        points: seen.iter().filter(|seen| **seen).count(),
        at_end: seen.iter().rev().take(END.max(young + 1)).any(|seen| *seen),
    };
    Ok(present.into_iter().map(member).filter(|member| member.points > 0).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haldane_judges::evidence::ABSENT;

    use super::*;
    use crate::source::{Reply, Series};

    fn check() -> PopulationCheck {
        let queries = BTreeMap::from([("prometheus".to_owned(), "build_info".to_owned())]);
        PopulationCheck { rule: Default::default(), instance: "pod".to_owned(), version: "version".to_owned(), queries }
    }

    type LabelledSeries<'a> = (&'a [(&'a str, &'a str)], [f64; 4]);

    fn fetched(series: &[LabelledSeries<'_>]) -> QueryAnswer {
        let one = |(labels, values): &LabelledSeries<'_>| Series {
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            values: values.to_vec(),
        };
        let reply = Reply { series: series.iter().map(one).collect(), warnings: Vec::new() };
        QueryAnswer { reply: Ok(Arc::new(reply)), history_points: 0, without_history: None }
    }

    #[test]
    fn members_are_told_by_instance_and_version_with_when_they_were_seen() {
        let found = members(
            &check(),
            &fetched(&[
                (&[("pod", "a"), ("version", "1")], [1.0, 1.0, ABSENT, ABSENT]),
                (&[("pod", "a"), ("version", "2")], [ABSENT, ABSENT, 1.0, ABSENT]),
                (&[("pod", "b"), ("version", "2"), ("zone", "x")], [1.0, ABSENT, ABSENT, ABSENT]),
                (&[("pod", "b"), ("version", "2"), ("zone", "y")], [1.0, 1.0, ABSENT, 1.0]),
                (&[("pod", "c"), ("version", "2")], [f64::NAN; 4]),
            ]),
            0,
        );
        let found: Vec<_> = found.unwrap().into_iter().map(|m| (m.instance, m.version, m.points, m.at_end)).collect();
        let member = |pod: &str, version: &str, points, at_end| (pod.to_owned(), version.to_owned(), points, at_end);
        assert_eq!(found, [member("a", "1", 2, false), member("a", "2", 1, true), member("b", "2", 3, true)]);
    }

    #[test]
    fn who_may_yet_report_is_still_there() {
        let at_end = |young| {
            members(&check(), &fetched(&[(&[("pod", "a"), ("version", "1")], [1.0, 1.0, ABSENT, ABSENT])]), young).unwrap()[0].at_end
        };
        assert_eq!([0, 1, 2].map(at_end), [false, false, true]);
    }

    #[test]
    fn a_series_without_one_of_the_labels_is_named() {
        for (labels, missing) in
            [(&[("pod", "a")][..], "`version`"), (&[("version", "1")], "`pod`"), (&[("pod", ""), ("version", "1")], "`pod`")]
        {
            let message = members(&check(), &fetched(&[(labels, [1.0; 4])]), 0).unwrap_err();
            assert!(message.contains(missing), "{message}");
        }
    }
}
