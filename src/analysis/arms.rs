//! Makes each arm's points of the replies to its queries: those of the window, and those before it.
//!
//! The window is what a query over the window alone would have given: a series that has no point in it, such as that of a pod that
//! is gone, is none of its series. The past of an arm is that of its one series, or the mean of the instances that reported then.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use haldane_judges::CheckedConfig;
use haldane_judges::evidence::{Arm, ArmPoints, Buckets, FetchFailure, Instance, Observation, Points};

use super::fetch::QueryAnswer;
use super::pairing::{self, SeriesLabels};
use super::query::{Part, PlannedQuery};
use crate::source::{Series, histogram};

/// A query and what it came to.
pub(crate) type AnsweredQuery<'a> = (&'a PlannedQuery, &'a QueryAnswer);

fn failure(arm: Arm, reason: &str, message: String) -> FetchFailure {
    FetchFailure { arm, reason: reason.to_owned(), message }
}

/// One arm's points from the replies to its queries, with what is to be said of reading them.
pub(crate) fn arm_points(
    arm: Arm,
    per_instance: Option<&str>,
    asked: &[AnsweredQuery<'_>],
    warnings: &mut Vec<String>,
) -> Result<ArmPoints, FetchFailure> {
    let mut parts = BTreeMap::new();
    for (planned, fetched) in asked.iter().filter(|(planned, _)| planned.arm == arm) {
        if let Err(error) = &fetched.reply {
            return Err(error.failure(arm));
        }
        let several = |message| failure(arm, "many_series", message);
        if planned.part == Part::Buckets {
            return buckets(planned, per_instance, fetched, warnings).map_err(|(reason, message)| failure(arm, reason, message));
        }
        if let Some(label) = per_instance {
            return instances(label, fetched).map_err(several);
        }
        parts.insert(planned.part, one_series(planned, fetched).map_err(several)?);
    }
    match (parts.remove(&Part::Numerator), parts.remove(&Part::Denominator), parts.remove(&Part::Value)) {
        (Some((events, past_events)), Some((totals, past_totals)), _) => {
            // Of a numerator and a denominator that reach back differently far, the intervals would not match.
            let history = past_events.zip(past_totals).filter(|(events, totals)| events.len() == totals.len());
            let history = history.map(|(events, totals)| Points::Counts { events, totals });
            Ok(ArmPoints::counts(events, totals).with_history(history))
        }
        (_, _, Some((values, past))) => Ok(ArmPoints::values(values).with_history(past.map(Points::Values))),
        _ => Err(failure(arm, "no_query", "no query was asked for this arm".to_owned())),
    }
}

/// The points of a query's one series in the window, and before it where they are known.
fn one_series(planned: &PlannedQuery, fetched: &QueryAnswer) -> Result<(Vec<f64>, Option<Vec<f64>>), String> {
    let reporting = fetched.reporting();
    let window = match reporting.as_slice() {
        [] => vec![f64::NAN; planned.query.window.len()],
        [one] => fetched.window_of(one).to_vec(),
        many => return Err(many_series(many)),
    };
    let past = match (reporting.as_slice(), fetched.series()) {
        _ if fetched.history_points == 0 => None,
        ([one], _) => Some(fetched.past_of(one).to_vec()),
        // An error rate that has been zero for a window is absent from it, and had a past all the same.
        ([], [one]) => Some(fetched.past_of(one).to_vec()),
        ([], []) => Some(vec![f64::NAN; fetched.history_points]),
        _ => None,
    };
    Ok((window, past))
}

/// Refuses several series by name: silently taking one of them, or their mean, would judge something nobody asked for.
fn many_series(series: &[&Series]) -> String {
    many("series", &series.iter().map(|one| &one.labels).collect::<Vec<_>>())
}

fn many(what: &str, series: &[&SeriesLabels]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = series
        .iter()
        .take(SHOWN)
        .map(|labels| {
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            format!("{{{}}}", labels.join(", "))
        })
        .collect();
    let more = if series.len() > SHOWN { format!(" and {} more", series.len() - SHOWN) } else { String::new() };
    format!(
        "{} {what} came back where one was expected: {}{more}; aggregate them in the query, or set per_instance to the label that tells them apart",
        series.len(),
        shown.join(", ")
    )
}

/// A query's buckets: those of its one histogram, or the sum of its instances'.
fn buckets(
    planned: &PlannedQuery,
    per_instance: Option<&str>,
    fetched: &QueryAnswer,
    warnings: &mut Vec<String>,
) -> Result<ArmPoints, (&'static str, String)> {
    let past = fetched.history_points;
    let window = past..past + planned.query.window.len();
    let (arm, labels) = histogram_points(fetched.series(), window, per_instance, &mut |warning| {
        warnings.push(format!("{}: {warning}", planned.arm));
    })?;
    // Of the past, what cannot be read is not known.
    let before = histogram::read(fetched.series(), 0..past).ok().filter(|_| past > 0).map(|read| read.all);
    let history = before.and_then(|mut all| {
        if per_instance.is_some() {
            let all: Vec<(String, Buckets)> = all.into_iter().map(|one| (String::new(), one.buckets)).collect();
            return ArmPoints::from_bucket_instances(&all).map(|arm| arm.points);
        }
        all.retain(|one| labels.as_ref().is_none_or(|labels| one.labels == *labels));
        let one = all.pop();
        one.filter(|_| all.is_empty()).map(|one| Points::Buckets(one.buckets))
    });
    Ok(arm.with_history(history))
}

/// The buckets at some places of the series of a reply: of the one histogram, with its labels, or the sum of the instances that a label
/// tells apart.
///
/// # Errors
/// A stable word, and what is wrong with the remedy.
pub(crate) fn histogram_points(
    series: &[Series],
    places: Range<usize>,
    per_instance: Option<&str>,
    warn: &mut dyn FnMut(String),
) -> Result<(ArmPoints, Option<SeriesLabels>), (&'static str, String)> {
    let length = places.len();
    let read = histogram::read(series, places).map_err(|error| ("unreadable", error))?;
    read.warnings.into_iter().for_each(warn);
    let nothing = || histogram::none(length).map_or_else(|| ArmPoints::values(Vec::new()), ArmPoints::buckets);
    let Some(label) = per_instance else {
        let mut all = read.all;
        if all.len() > 1 {
            return Err(("many_series", many("histograms", &all.iter().map(|one| &one.labels).collect::<Vec<_>>())));
        }
        let one = all.pop();
        return Ok(one.map_or_else(|| (nothing(), None), |one| (ArmPoints::buckets(one.buckets), Some(one.labels))));
    };
    let mut instances: BTreeMap<String, Buckets> = BTreeMap::new();
    for one in read.all {
        let Some(name) = one.labels.get(label) else {
            let message =
                format!("a series has no label `{label}`, which per_instance names; keep it beside the bucket's in the query's grouping");
            return Err(("many_series", message));
        };
        if instances.insert(name.clone(), one.buckets).is_some() {
            let message = format!("two histograms have {label}={name:?}; aggregate in the query so that there is one for each");
            return Err(("many_series", message));
        }
    }
    if instances.is_empty() {
        return Ok((nothing(), None));
    }
    let arm = ArmPoints::from_bucket_instances(&instances.into_iter().collect::<Vec<_>>()).ok_or_else(|| {
        ("unreadable", "its instances' buckets share no bound, so that they cannot be added; let all have the same".to_owned())
    })?;
    Ok((arm, None))
}

fn instances(label: &str, fetched: &QueryAnswer) -> Result<ArmPoints, String> {
    let mut instances: BTreeMap<&str, Instance> = BTreeMap::new();
    for series in fetched.reporting() {
        let Some(name) = series.labels.get(label) else {
            return Err(format!("a series has no label `{label}`, which per_instance names; keep it in the query's grouping"));
        };
        let instance = Instance { name: name.clone(), values: fetched.window_of(series).to_vec() };
        if instances.insert(name, instance).is_some() {
            return Err(format!("two series have {label}={name:?}; aggregate in the query so that there is one for each"));
        }
    }
    let history = (fetched.history_points > 0).then(|| {
        let past = |series: &Series| Instance { name: String::new(), values: fetched.past_of(series).to_vec() };
        ArmPoints::from_instances(fetched.series().iter().map(past).collect()).points
    });
    Ok(ArmPoints::from_instances(instances.into_values().collect()).with_history(history))
}

/// One pair of series, to be judged as a metric of its own.
pub(super) struct PairedArms {
    pub(super) labels: SeriesLabels,
    pub(super) baseline: ArmPoints,
    pub(super) canary: ArmPoints,
    pub(super) warnings: Vec<String>,
}

/// The series of both arms, paired.
pub(super) fn pairs(pair_by: &[String], asked: &[AnsweredQuery<'_>], most: usize) -> Result<Vec<PairedArms>, FetchFailure> {
    let arm = |arm: Arm| -> Result<(Cow<'_, [Series]>, usize, usize), FetchFailure> {
        let Some((planned, fetched)) = asked.iter().find(|(planned, _)| planned.arm == arm) else {
            return Err(failure(arm, "no_query", "no query was asked for this arm".to_owned()));
        };
        if let Err(error) = &fetched.reply {
            return Err(error.failure(arm));
        }
        let reporting = fetched.reporting();
        // Without any series an arm has a point for each interval, not one at both ends of the window: so Kayenta fills it up.
        let points = planned.query.window.len().saturating_sub(usize::from(reporting.is_empty()));
        let series = if reporting.len() == fetched.series().len() {
            Cow::Borrowed(fetched.series())
        } else {
            reporting.into_iter().cloned().collect()
        };
        Ok((series, fetched.history_points, fetched.history_points + points))
    };
    let ((baseline, past_before, before), (canary, past_after, after)) = (arm(Arm::Baseline)?, arm(Arm::Canary)?);
    let pairs = pairing::pair(&baseline, &canary, pair_by, (before, after));
    if pairs.len() > most {
        let message = format!("{} pairs of series are more than the {most} there is room for; aggregate them in the query", pairs.len());
        return Err(failure(Arm::Canary, "many_series", message));
    }
    let split = |mut values: Vec<f64>, past: usize| {
        let window = values.split_off(past.min(values.len()));
        ArmPoints::values(window).with_history((past > 0).then_some(Points::Values(values)))
    };
    let one = |pair: pairing::SeriesPair| PairedArms {
        labels: pair.labels,
        baseline: split(pair.baseline, past_before),
        canary: split(pair.canary, past_after),
        warnings: pair.warnings,
    };
    Ok(pairs.into_iter().map(one).collect())
}

/// Takes the newest points of the canary's history for missing.
pub(super) fn forget_newest(observation: &mut Observation, points: usize) {
    let Observation::Sampled { canary, .. } = observation else { return };
    let forget = |values: &mut [f64]| {
        let from = values.len().saturating_sub(points);
        values[from..].fill(f64::NAN);
    };
    match &mut canary.history {
        Some(Points::Values(values)) => forget(values),
        Some(Points::Counts { events, totals }) => {
            forget(events);
            forget(totals);
        }
        Some(Points::Buckets(buckets)) => {
            let from = buckets.len().saturating_sub(points);
            (from..buckets.len()).for_each(|i| buckets.forget(i));
        }
        None => {}
    }
}

/// Leaves out what lies before the first point of each history, and histories without a point.
///
/// Where a missing value means zero, an arm's history reaches back as far as that of any of its metrics: its target was up.
pub(super) fn trim_histories(config: &CheckedConfig, observations: &mut [Observation], step_seconds: f64) {
    for arm in [Arm::Baseline, Arm::Canary] {
        let mut longest = 0.0_f64;
        for points in observations.iter_mut().filter_map(|one| arm_of(one, arm)) {
            let known = points.history.as_ref().map_or(0, known_points);
            longest = longest.max(known as f64 * points.step_seconds.unwrap_or(step_seconds));
        }
        for (metric, observation) in config.metrics.iter().zip(observations.iter_mut()) {
            let Some(points) = arm_of(observation, arm) else { continue };
            let longest = (longest / points.step_seconds.unwrap_or(step_seconds)) as usize;
            points.history = points.history.take().and_then(|history| {
                let filled = metric.absent_means_zero && matches!(history, Points::Values(_));
                let kept = if filled { longest } else { known_points(&history) }.min(history.len());
                (kept > 0).then(|| last(history, kept))
            });
        }
    }
}

fn arm_of(observation: &mut Observation, arm: Arm) -> Option<&mut ArmPoints> {
    match observation {
        Observation::Sampled { baseline, canary } => Some(if arm == Arm::Baseline { baseline } else { canary }),
        Observation::Failed(_) => None,
    }
}

/// Points from the first that is known on.
fn known_points(points: &Points) -> usize {
    let from_first = |values: &[f64]| values.iter().position(|value| !value.is_nan()).map_or(0, |first| values.len() - first);
    match points {
        Points::Values(values) => from_first(values),
        Points::Counts { events, totals } => from_first(events).max(from_first(totals)),
        Points::Buckets(buckets) => from_first(buckets.totals()),
    }
}

/// The last `n` points, of which there are at least so many.
fn last(points: Points, n: usize) -> Points {
    let cut = |mut values: Vec<f64>| values.split_off(values.len().saturating_sub(n));
    match points {
        Points::Values(values) => Points::Values(cut(values)),
        Points::Counts { events, totals } => Points::Counts { events: cut(events), totals: cut(totals) },
        Points::Buckets(buckets) => Points::Buckets(buckets.slice(buckets.len().saturating_sub(n)..buckets.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haldane_judges::evidence::ABSENT;

    use super::*;
    use crate::source::{Query, Reply, Window};

    const WINDOW: Window = Window { start: 600, end: 720, step_seconds: 60 };

    /// A query of which three points lie before the two of the window.
    fn planned(part: Part) -> PlannedQuery {
        PlannedQuery {
            arm: Arm::Canary,
            part,
            query: Query { text: String::new(), window: WINDOW, buckets: false },
            history_points: 3,
            earlier: Vec::new(),
        }
    }

    fn fetched(series: &[(&str, [f64; 5])]) -> QueryAnswer {
        let one =
            |(pod, values): &(&str, [f64; 5])| Series { labels: [("pod".to_owned(), (*pod).to_owned())].into(), values: values.to_vec() };
        let reply = Reply { series: series.iter().map(one).collect(), warnings: Vec::new() };
        QueryAnswer { reply: Ok(Arc::new(reply)), history_points: 3, without_history: None }
    }

    fn value(series: &[(&str, [f64; 5])], per_instance: Option<&str>) -> Result<ArmPoints, FetchFailure> {
        arm_points(Arm::Canary, per_instance, &[(&planned(Part::Value), &fetched(series))], &mut Vec::new())
    }

    fn values(points: Option<&Points>) -> Vec<String> {
        match points {
            Some(Points::Values(values)) => values.iter().map(f64::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_series_that_ended_before_the_window_is_none_of_its_series() {
        let arm = value(&[("gone", [1.0, 1.0, 1.0, ABSENT, ABSENT]), ("new", [ABSENT, 2.0, 2.0, 2.0, 3.0])], None).unwrap();
        assert_eq!(values(Some(&arm.points)), ["2", "3"]);
        assert_eq!(values(arm.history.as_ref()), ["NaN", "2", "2"]);
        let two = value(&[("a", [ABSENT, ABSENT, ABSENT, ABSENT, 1.0]), ("b", [1.0; 5])], None).unwrap_err();
        assert!(two.reason == "many_series" && two.message.starts_with("2 series"), "{two:?}");
    }

    #[test]
    fn instances_that_are_gone_count_in_the_past_alone() {
        let arm = value(&[("gone", [1.0, 1.0, ABSENT, ABSENT, ABSENT]), ("here", [3.0, 3.0, 3.0, 4.0, 5.0])], Some("pod")).unwrap();
        assert_eq!(arm.instances.iter().map(|instance| instance.name.as_str()).collect::<Vec<_>>(), ["here"]);
        assert_eq!(values(Some(&arm.points)), ["4", "5"]);
        assert_eq!(values(arm.history.as_ref()), ["2", "2", "3"]);
    }

    #[test]
    fn a_window_without_a_series_keeps_the_past_that_is_clear() {
        let arm = value(&[("was", [1.0, 2.0, 3.0, ABSENT, ABSENT])], None).unwrap();
        assert_eq!(
            (values(Some(&arm.points)), values(arm.history.as_ref())),
            (vec!["NaN".to_owned(); 2], vec!["1".into(), "2".into(), "3".into()])
        );
        let unclear = value(&[("a", [1.0, 2.0, 3.0, ABSENT, ABSENT]), ("b", [1.0, 2.0, 3.0, ABSENT, ABSENT])], None).unwrap();
        assert_eq!(unclear.history, None);
    }

    #[test]
    fn counts_reach_back_together_or_not_at_all() {
        let (numerator, denominator) = (planned(Part::Numerator), planned(Part::Denominator));
        let (events, totals) = (fetched(&[("p", [1.0; 5])]), fetched(&[("p", [9.0; 5])]));
        let arm = arm_points(Arm::Canary, None, &[(&numerator, &events), (&denominator, &totals)], &mut Vec::new()).unwrap();
        assert_eq!(arm.history, Some(Points::Counts { events: vec![1.0; 3], totals: vec![9.0; 3] }));
        let short = QueryAnswer { history_points: 0, ..fetched(&[("p", [9.0; 5])]) };
        let arm = arm_points(Arm::Canary, None, &[(&numerator, &events), (&denominator, &short)], &mut Vec::new()).unwrap();
        assert_eq!(arm.history, None);
    }

    fn bucket(pod: &str, le: &str, values: [f64; 5]) -> Series {
        let labels = [("pod", pod), ("le", le)].into_iter().filter(|(_, value)| !value.is_empty());
        Series { labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), values: values.to_vec() }
    }

    fn of_buckets(series: &[Series], per_instance: Option<&str>) -> Result<ArmPoints, FetchFailure> {
        let reply = Reply { series: series.to_vec(), warnings: Vec::new() };
        let fetched = QueryAnswer { reply: Ok(Arc::new(reply)), history_points: 3, without_history: None };
        arm_points(Arm::Canary, per_instance, &[(&planned(Part::Buckets), &fetched)], &mut Vec::new())
    }

    fn counts(points: Option<&Points>) -> Vec<Vec<f64>> {
        match points {
            Some(Points::Buckets(buckets)) => buckets.rows().map(<[f64]>::to_vec).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn buckets_of_the_window_and_the_past_are_read_apart() {
        // Before the window there was one bound more.
        let arm = of_buckets(
            &[
                bucket("", "1", [1.0, 1.0, 1.0, 2.0, 3.0]),
                bucket("", "2", [2.0, 2.0, 2.0, ABSENT, ABSENT]),
                bucket("", "+Inf", [4.0, 4.0, 4.0, 4.0, 4.0]),
            ],
            None,
        );
        let arm = arm.unwrap();
        assert_eq!(counts(Some(&arm.points)), [[2.0, 2.0], [3.0, 1.0]]);
        assert_eq!(counts(arm.history.as_ref()), [[1.0, 1.0, 2.0]; 3]);
        let nothing = of_buckets(&[], None).unwrap();
        assert!(nothing.points.len() == 2 && nothing.history.is_none(), "{nothing:?}");
    }

    #[test]
    fn several_histograms_are_refused_or_added_up_as_instances() {
        let pods = [
            bucket("a", "1", [1.0; 5]),
            bucket("a", "+Inf", [2.0; 5]),
            bucket("b", "1", [0.0; 5]),
            bucket("b", "+Inf", [3.0; 5]),
            bucket("gone", "1", [0.0, 0.0, 5.0, ABSENT, ABSENT]),
            bucket("gone", "+Inf", [0.0, 0.0, 5.0, ABSENT, ABSENT]),
        ];
        let several = of_buckets(&pods, None).unwrap_err();
        assert!(several.reason == "many_series" && several.message.starts_with("2 histograms came back"), "{several:?}");
        let arm = of_buckets(&pods, Some("pod")).unwrap();
        assert_eq!(
            arm.instances.iter().map(|one| (one.name.as_str(), one.values.as_slice())).collect::<Vec<_>>(),
            [("a", [1.0; 2].as_slice()), ("b", &[1.0; 2])]
        );
        assert_eq!(counts(Some(&arm.points)), [[1.0, 4.0]; 2]);
        assert_eq!(counts(arm.history.as_ref()), [[1.0, 4.0], [1.0, 4.0], [6.0, 4.0]]);
        let unnamed = of_buckets(&pods, Some("zone")).unwrap_err();
        assert!(unnamed.message.contains("no label `zone`"), "{unnamed:?}");
        let apart = of_buckets(
            &[bucket("a", "1", [0.0; 5]), bucket("a", "+Inf", [2.0; 5]), bucket("b", "2", [1.0; 5]), bucket("b", "+Inf", [2.0; 5])],
            Some("pod"),
        );
        assert!(apart.as_ref().is_err_and(|error| error.message.contains("share no bound")), "{apart:?}");
        assert_eq!(of_buckets(&[bucket("", "", [1.0; 5])], None).unwrap_err().reason, "unreadable");
    }

    fn sampled(history: &[f64]) -> Observation {
        let arm = |history: &[f64]| ArmPoints::values(vec![1.0]).with_history(Some(Points::Values(history.to_vec())));
        Observation::Sampled { baseline: arm(&[f64::NAN; 4]), canary: arm(history) }
    }

    #[test]
    fn histories_begin_with_a_point_except_where_none_means_zero() {
        let config = serde_json::json!({ "name": "c", "metrics": [
            { "name": "a" }, { "name": "b" }, { "name": "c", "absent_means_zero": true }
        ] });
        let config = CheckedConfig::from_value(config).unwrap();
        let nan = f64::NAN;
        let mut observations = [sampled(&[nan, 1.0, nan, 2.0]), sampled(&[nan, nan, nan, 2.0]), sampled(&[nan, nan, nan, 7.0])];
        trim_histories(&config, &mut observations, 60.0);
        let lengths = observations.iter_mut().map(|one| arm_of(one, Arm::Canary).unwrap().history.as_ref().map_or(0, Points::len));
        assert_eq!(lengths.collect::<Vec<_>>(), [3, 1, 3]);
        assert!(observations.iter_mut().all(|one| arm_of(one, Arm::Baseline).unwrap().history.is_none()));
    }
}
