//! Which series of the baseline belongs to which of the canary, where a query returns several.

use std::collections::{BTreeMap, BTreeSet};

use haldane_judges::evidence::{ABSENT, is_absent};

use crate::source::Series;

/// The labels that tell one pair of series from the others.
pub(super) type SeriesLabels = BTreeMap<String, String>;

/// One series of each arm, to be judged against each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeriesPair {
    pub(super) labels: SeriesLabels,
    /// All `NaN` where only the canary has such a series.
    pub(super) baseline: Vec<f64>,
    /// All `NaN` where only the baseline has such a series.
    pub(super) canary: Vec<f64>,
    pub(super) warnings: Vec<String>,
}

/// Pairs the series of both arms by `pair_by`, or by the labels that the arms have in common.
///
/// A label whose values the arms do not share, such as a pod's name or the version, differs by design and pairs nothing. Series of
/// one arm that cannot be told apart by the rest are taken together: their mean, interval by interval, over those that report.
/// `lengths` are the points of the baseline's and of the canary's window. There is always at least one pair.
pub(super) fn pair(baseline: &[Series], canary: &[Series], pair_by: &[String], lengths: (usize, usize)) -> Vec<SeriesPair> {
    let by = if pair_by.is_empty() { labels_in_common(baseline, canary) } else { pair_by.iter().map(String::as_str).collect() };
    let dropped = if pair_by.is_empty() { differing(baseline, canary) } else { Vec::new() };
    let (baselines, canaries) = (grouped(baseline, &by), grouped(canary, &by));
    let mut keys: BTreeSet<&SeriesLabels> = baselines.keys().chain(canaries.keys()).collect();
    let none = SeriesLabels::new();
    if keys.is_empty() {
        keys.insert(&none);
    }
    keys.into_iter()
        .map(|labels| {
            let mut warnings = dropped.clone();
            let mut side =
                |arm: &str, groups: &BTreeMap<SeriesLabels, Vec<&Series>>, length: usize| match groups.get(labels).map(Vec::as_slice) {
                    None => vec![f64::NAN; length],
                    Some([one]) => one.values.clone(),
                    Some(many) => {
                        warnings.push(format!(
                            "{arm}: {} series that nothing but labels of their own tells apart were taken together as their mean; \
                         aggregate them in the query, or name the labels to group by",
                            many.len()
                        ));
                        mean(many, length)
                    }
                };
            let baseline = side("baseline", &baselines, lengths.0);
            let canary = side("canary", &canaries, lengths.1);
            SeriesPair { labels: labels.clone(), baseline, canary, warnings }
        })
        .collect()
}

/// SeriesLabels of which the arms share at least one value; where one arm has no series, all of the other's.
fn labels_in_common<'a>(baseline: &'a [Series], canary: &'a [Series]) -> BTreeSet<&'a str> {
    let (ours, theirs) = (values_of(baseline), values_of(canary));
    if baseline.is_empty() || canary.is_empty() {
        return ours.into_keys().chain(theirs.into_keys()).collect();
    }
    ours.into_iter()
        .filter(|(name, values)| theirs.get(name).is_some_and(|others| !values.is_disjoint(others)))
        .map(|(name, _)| name)
        .collect()
}

/// A word on every label that both arms have and whose values they do not share: it was taken to differ by design.
fn differing(baseline: &[Series], canary: &[Series]) -> Vec<String> {
    let (ours, theirs) = (values_of(baseline), values_of(canary));
    let shown = |values: &BTreeSet<&str>| values.iter().take(3).map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
    let differs = |(name, values): (&&str, &BTreeSet<&str>)| {
        let others = theirs.get(name).filter(|others| values.is_disjoint(others))?;
        Some(format!(
            "the label `{name}` is {} in the baseline and {} in the canary, and was not used to pair them",
            shown(values),
            shown(others)
        ))
    };
    ours.iter().filter_map(differs).collect()
}

fn values_of(series: &[Series]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in series.iter().flat_map(|one| &one.labels) {
        values.entry(name).or_default().insert(value);
    }
    values
}

fn grouped<'a>(series: &'a [Series], by: &BTreeSet<&str>) -> BTreeMap<SeriesLabels, Vec<&'a Series>> {
    let mut groups: BTreeMap<SeriesLabels, Vec<&Series>> = BTreeMap::new();
    for one in series {
        let labels = one.labels.iter().filter(|(name, _)| by.contains(name.as_str())).map(|(name, value)| (name.clone(), value.clone()));
        groups.entry(labels.collect()).or_default().push(one);
    }
    groups
}

fn mean(series: &[&Series], length: usize) -> Vec<f64> {
    let at = |i: usize| {
        let points = || series.iter().filter_map(|one| one.values.get(i).copied());
        let present = || points().filter(|value| !value.is_nan());
        let n = present().count();
        let none = if points().all(is_absent) { ABSENT } else { f64::NAN };
        if n == 0 { none } else { present().sum::<f64>() / n as f64 }
    };
    (0..length).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)], values: &[f64]) -> Series {
        Series { labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), values: values.to_vec() }
    }

    fn labels(pairs: &[SeriesPair]) -> Vec<Vec<(&str, &str)>> {
        pairs.iter().map(|pair| pair.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()).collect()
    }

    #[test]
    fn labels_that_differ_by_design_split_nothing() {
        let baseline = [series(&[("app", "shop"), ("pod", "a-1")], &[1.0, 2.0])];
        let canary = [series(&[("app", "shop"), ("pod", "b-1")], &[3.0, 4.0])];
        let pairs = pair(&baseline, &canary, &[], (2, 2));
        assert_eq!(labels(&pairs), [[("app", "shop")]]);
        assert_eq!((pairs[0].baseline.as_slice(), pairs[0].canary.as_slice()), (&[1.0, 2.0][..], &[3.0, 4.0][..]));
        assert!(pairs[0].warnings.len() == 1 && pairs[0].warnings[0].contains("`pod`"), "{:?}", pairs[0].warnings);
    }

    #[test]
    fn series_with_labels_pair_with_one_without() {
        let pairs = pair(&[series(&[], &[1.0])], &[series(&[("version", "2")], &[3.0])], &[], (1, 1));
        assert_eq!(labels(&pairs), [[]; 1]);
        assert_eq!((pairs[0].baseline.as_slice(), pairs[0].canary.as_slice()), (&[1.0][..], &[3.0][..]));
    }

    #[test]
    fn series_pair_by_the_labels_they_share() {
        let arm =
            |version, a, b| [series(&[("version", version), ("zone", "a")], &[a]), series(&[("version", version), ("zone", "b")], &[b])];
        let pairs = pair(&arm("1", 1.0, 2.0), &arm("2", 3.0, 4.0), &[], (1, 1));
        assert_eq!(labels(&pairs), [[("zone", "a")], [("zone", "b")]]);
        assert_eq!((pairs[1].baseline[0], pairs[1].canary[0]), (2.0, 4.0));
    }

    #[test]
    fn what_only_one_arm_has_is_paired_with_nothing() {
        let baseline = [series(&[("zone", "a")], &[1.0]), series(&[("zone", "b")], &[2.0])];
        let pairs = pair(&baseline, &baseline[..1], &[], (1, 3));
        assert_eq!(labels(&pairs), [[("zone", "a")], [("zone", "b")]]);
        assert!(pairs[1].canary.len() == 3 && pairs[1].canary.iter().all(|value| value.is_nan()));
        let pairs = pair(&baseline, &[], &[], (1, 1));
        assert_eq!(labels(&pairs), [[("zone", "a")], [("zone", "b")]]);
        assert_eq!(labels(&pair(&[], &[], &[], (2, 2))), [[]; 1]);
    }

    #[test]
    fn series_that_cannot_be_told_apart_are_their_mean_with_a_word_about_it() {
        let pods = |name: &str, values: &[[f64; 2]]| -> Vec<Series> {
            values.iter().enumerate().map(|(i, values)| series(&[("pod", &format!("{name}-{i}"))], values)).collect()
        };
        let pairs = pair(&pods("old", &[[1.0, f64::NAN], [3.0, f64::NAN]]), &pods("new", &[[5.0, 6.0]]), &[], (2, 2));
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].baseline[0], 2.0);
        assert!(pairs[0].baseline[1].is_nan());
        assert!(pairs[0].warnings.iter().any(|warning| warning.contains("2 series")), "{:?}", pairs[0].warnings);
    }

    #[test]
    fn named_labels_decide_where_they_are_given() {
        let baseline = [series(&[("zone", "a"), ("host", "h1")], &[1.0]), series(&[("zone", "a"), ("host", "h2")], &[3.0])];
        let pairs = pair(&baseline, &baseline, &["zone".to_owned()], (1, 1));
        assert_eq!(labels(&pairs), [[("zone", "a")]]);
        assert_eq!(pairs[0].canary, [2.0]);
    }
}
