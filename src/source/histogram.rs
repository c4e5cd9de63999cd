//! Histograms out of the series of a reply: the requests in each bucket, interval by interval.
//!
//! Three forms are read, told by a label of their series, beside which whatever labels are left tell histograms apart:
//!
//! | form | label | value of a series |
//! | --- | --- | --- |
//! | classic | `le`, an upper bound | requests up to there: cumulative, `+Inf` has all |
//! | VictoriaMetrics' | `vmrange`, `lower...upper` | requests between the two |
//! | native | [`NATIVE`], `lower...upper`, or [`ALL`] for all requests | the same; so a store's reader hands native histograms on |
//!
//! Every count that is read at a bound is exact. So where a bound is not there in every interval that has requests, because the buckets
//! changed, it is left out for all intervals; and where a bucket straddles bounds of others, because a native histogram became coarser, those
//! bounds are.

use std::collections::BTreeMap;
use std::ops::Range;

use haldane_judges::buckets::MAX_BOUNDS;
use haldane_judges::evidence::{Buckets, Spacing};

use super::Series;
use super::text::escaped;

/// The label of a native histogram's buckets.
pub(super) const NATIVE: &str = "__native_bucket__";
/// Its value for the number of all requests.
pub(super) const ALL: &str = "all";
/// The labels of the other two forms.
const BOUND: &str = "le";
const RANGE: &str = "vmrange";

/// Classic bounds beyond which a comparison gains nothing.
const NEEDED: usize = 60;
/// Share of an interval's requests by which cumulative counts may fall before it is worth a word.
const FALLS: f64 = 0.001;
/// Share of an interval's requests by which all of them may differ from the sum of the buckets, for they are rounded.
const ROUNDED: f64 = 1e-6;
/// The bound of a histogram that has none, because nothing was ever in a bucket.
const NO_BOUND: f64 = 1.0;

/// What keeps the buckets in a query's reply.
const REMEDY: &str = "ask for `sum by (le) (increase(x_bucket{...}[${step}]))`, x being the histogram, for `sum(increase(x{...}[${step}]))` where it \
                      is a native one, or for `sum by (vmrange) (...)` in VictoriaMetrics";

/// One histogram.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram {
    /// The labels that tell it from others.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its buckets, an interval for each place.
    pub(crate) buckets: Buckets,
}

/// All of a reply, with what is to be said of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Histograms {
    /// By their labels.
    pub(crate) all: Vec<Histogram>,
    pub(crate) warnings: Vec<String>,
}

/// A histogram without any data over so many intervals.
pub(crate) fn none(intervals: usize) -> Option<Buckets> {
    Buckets::empty(vec![NO_BOUND], intervals, Spacing::Linear).ok()
}

/// What a series is of its histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    UpTo(f64),
    Between(f64, f64),
    All,
}

/// A series within the places that are read.
struct BucketSeries<'a> {
    role: Role,
    values: &'a [f64],
}

/// The histograms of the series that have a value at the `places`.
///
/// # Errors
/// What is wrong and what to ask for: no series is of a bucket, a bound is no number, all requests are not counted, too many bounds.
pub(crate) fn read(series: &[Series], places: Range<usize>) -> Result<Histograms, String> {
    let reporting = || {
        let within = series.iter().filter_map(|one| Some((one, one.values.get(places.clone())?)));
        within.filter(|(_, values)| values.iter().any(|value| !value.is_nan()))
    };
    let Some(label) = [NATIVE, BOUND, RANGE].into_iter().find(|label| reporting().any(|(one, _)| one.labels.contains_key(*label))) else {
        return match reporting().next() {
            None => Ok(Histograms::default()),
            Some((one, _)) => Err(format!("a series is no bucket of a histogram: {}; {REMEDY}", shown(&one.labels))),
        };
    };
    let mut groups: BTreeMap<BTreeMap<String, String>, Vec<BucketSeries<'_>>> = BTreeMap::new();
    let (mut others, mut found) = (0_usize, Histograms::default());
    for (one, values) in reporting() {
        let mut labels = one.labels.clone();
        let Some(text) = labels.remove(label) else {
            let is_bucket = one.labels.contains_key(BOUND) || one.labels.contains_key(RANGE);
            if label == BOUND && !is_bucket {
                return Err(format!("a series has no label `le`: {}; {REMEDY}", shown(&one.labels)));
            }
            others += 1;
            continue;
        };
        let role = role(label, &text)?;
        groups.entry(labels).or_default().push(BucketSeries { role, values });
    }
    if others > 0 {
        let taken = match label {
            NATIVE => "native histograms",
            BOUND => "buckets with `le`",
            _ => "buckets with `vmrange`",
        };
        found.warnings.push(format!("the {taken} of the reply were taken; {others} other series came beside them and were left out"));
    }
    for (labels, parts) in groups {
        let buckets = if label == BOUND { classic(&parts, &mut found.warnings) } else { ranged(&parts, label == NATIVE) };
        let buckets = buckets.map_err(|error| if labels.is_empty() { error } else { format!("{}: {error}", shown(&labels)) })?;
        found.all.push(Histogram { labels, buckets });
    }
    found.warnings.dedup();
    Ok(found)
}

/// Labels, as PromQL writes them.
fn shown(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels.iter().take(10).map(|(name, value)| format!("{name}={value:?}")).collect();
    escaped(&format!("{{{}}}", labels.join(", ")), 300)
}

fn role(label: &str, text: &str) -> Result<Role, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| !number.is_nan());
    let said =
        || format!("`{}` of the label `{}` is no bound of a bucket", escaped(text, 60), if label == NATIVE { "native" } else { label });
    if label == BOUND {
        let bound = number(text).filter(|bound| *bound > f64::NEG_INFINITY).ok_or_else(|| format!("{}; {REMEDY}", said()))?;
        return Ok(Role::UpTo(bound));
    }
    if label == NATIVE && text == ALL {
        return Ok(Role::All);
    }
    let ends = text.split_once("...").and_then(|(lower, upper)| Some((number(lower)?, number(upper)?)));
    let (lower, upper) = ends.filter(|(lower, upper)| lower <= upper).ok_or_else(said)?;
    Ok(Role::Between(lower, upper))
}

/// The buckets of cumulative counts.
fn classic(parts: &[BucketSeries<'_>], warnings: &mut Vec<String>) -> Result<Buckets, String> {
    let length = parts.first().map_or(0, |part| part.values.len());
    // Two texts of one number, such as `1` and `1.0`, are one bound: some instances write the one and some the other.
    let mut cumulative: Vec<(f64, Vec<f64>)> = Vec::new();
    for part in parts {
        let Role::UpTo(bound) = part.role else { continue };
        let at = cumulative.partition_point(|(other, _)| *other < bound);
        match cumulative.get_mut(at) {
            Some((other, values)) if *other == bound => values.iter_mut().zip(part.values).for_each(|(sum, value)| {
                *sum = if sum.is_nan() { *value } else { *sum + if value.is_nan() { 0.0 } else { *value } };
            }),
            _ => cumulative.insert(at, (bound, part.values.to_vec())),
        }
    }
    let Some((_, all)) = cumulative.pop_if(|(bound, _)| bound.is_infinite()) else {
        return Err(format!("no series with le=\"+Inf\" came, which counts all requests; keep it, without a filter on `le`: {REMEDY}"));
    };
    if cumulative.is_empty() {
        return Err(format!("only le=\"+Inf\" came, so that nothing says how long requests took; keep the finite bounds: {REMEDY}"));
    }
    let known = |i: usize| all.get(i).is_some_and(|total| total.is_finite() && *total >= 0.0);
    let busy: Vec<usize> = (0..length).filter(|i| known(*i) && all.get(*i).is_some_and(|total| *total > 0.0)).collect();
    let has = |values: &[f64], i: usize| values.get(i).is_some_and(|value| !value.is_nan());
    let whole = |values: &[f64]| busy.iter().all(|i| has(values, *i));
    let mut kept: Vec<usize> = (0..cumulative.len()).filter(|j| cumulative.get(*j).is_some_and(|(_, values)| whole(values))).collect();
    let changed: Vec<f64> =
        cumulative.iter().filter(|(_, values)| !whole(values) && busy.iter().any(|i| has(values, *i))).map(|(b, _)| *b).collect();
    if kept.is_empty() {
        kept = most_usual(&cumulative, &busy, has);
        if kept.is_empty() {
            return Err(format!("only le=\"+Inf\" came where there were requests; keep the finite bounds: {REMEDY}"));
        }
        warnings.push(
            "the bounds of the buckets changed, and none was there throughout: only intervals that have the most usual ones count"
                .to_owned(),
        );
    } else if !changed.is_empty() {
        let few: Vec<String> = changed.iter().take(10).map(f64::to_string).collect();
        let more = if changed.len() > few.len() { ", ..." } else { "" };
        warnings.push(format!("the bounds of the buckets changed: {}{more} were not there throughout, and are left out", few.join(", ")));
    }
    check_number(kept.len())?;
    if kept.len() > NEEDED {
        warnings.push(format!(
            "{} buckets came, which cost more than they tell: up to {NEEDED} will do; fewer bounds where they are declared, or a query that keeps \
             some, such as with {{le=~\"0.1|0.25|0.5|+Inf\"}}",
            kept.len() + 1
        ));
    }
    let kept: Vec<&(f64, Vec<f64>)> = kept.into_iter().filter_map(|j| cumulative.get(j)).collect();
    let mut buckets =
        Buckets::empty(kept.iter().map(|(bound, _)| *bound).collect(), length, Spacing::Linear).map_err(|error| error.to_string())?;
    let (mut falling, mut furthest) = (0_usize, 0.0_f64);
    let mut row = Vec::with_capacity(buckets.width());
    for i in (0..length).filter(|i| known(*i)) {
        let total = all.get(i).copied().unwrap_or_default();
        if total > 0.0 && !kept.iter().all(|(_, values)| has(values, i)) {
            continue;
        }
        row.clear();
        // Counts that fall over rising bounds come of instances with other bounds, and of scrapes in the middle of an update.
        let (mut so_far, mut lost) = (0.0_f64, 0.0_f64);
        for value in kept.iter().map(|(_, values)| values.get(i).copied().unwrap_or(f64::NAN)).chain([total]) {
            let value = if value.is_nan() { 0.0 } else { value };
            lost = lost.max(so_far - value);
            row.push((value - so_far).max(0.0));
            so_far = so_far.max(value);
        }
        if lost > FALLS * so_far {
            falling += 1;
            furthest = furthest.max(lost / so_far);
        }
        buckets.set(i, &row);
    }
    if falling > 0 {
        warnings.push(format!(
            "the counts fall over rising bounds in {falling} intervals, by up to {:.1} % of the requests, and were taken to stay as they were; \
             this is so where instances with other buckets are added up",
            100.0 * furthest
        ));
    }
    Ok(buckets)
}

/// The bounds, by their places, that most of the busy intervals have together.
fn most_usual(cumulative: &[(f64, Vec<f64>)], busy: &[usize], has: impl Fn(&[f64], usize) -> bool) -> Vec<usize> {
    let mut times: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
    for i in busy {
        let there: Vec<usize> = cumulative.iter().enumerate().filter(|(_, (_, values))| has(values, *i)).map(|(j, _)| j).collect();
        if !there.is_empty() {
            *times.entry(there).or_default() += 1;
        }
    }
    times.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0))).map(|(there, _)| there).unwrap_or_default()
}

fn check_number(bounds: usize) -> Result<(), String> {
    if bounds > MAX_BOUNDS {
        return Err(format!(
            "{bounds} bounds of buckets are more than {MAX_BOUNDS}; declare fewer, keep some with a filter on `le` (and `+Inf`), or let a native \
             histogram be coarser (`native_histogram_bucket_limit`)"
        ));
    }
    Ok(())
}

/// The buckets of counts between two ends each.
fn ranged(parts: &[BucketSeries<'_>], is_native: bool) -> Result<Buckets, String> {
    let length = parts.first().map_or(0, |part| part.values.len());
    let between = || {
        parts.iter().filter_map(|part| match part.role {
            Role::Between(lower, upper) => Some((lower, upper, part.values)),
            _ => None,
        })
    };
    let occupied: Vec<(f64, f64, &[f64])> = between().filter(|(_, _, values)| values.iter().any(|count| *count > 0.0)).collect();
    // Around 0 there is a bucket for what cannot be told from it, which holds nothing below where nothing is negative anyway.
    let has_negative = occupied.iter().any(|(lower, upper, _)| *lower < 0.0 && *upper <= 0.0 && lower < upper);
    let lower_end = |lower: f64, upper: f64| (lower.is_finite() && !(lower < 0.0 && upper >= 0.0 && !has_negative)).then_some(lower);
    let mut edges: Vec<f64> = occupied
        .iter()
        .flat_map(|(lower, upper, _)| [lower_end(*lower, *upper), Some(*upper)])
        .flatten()
        .filter(|e| e.is_finite())
        .collect();
    edges.sort_unstable_by(f64::total_cmp);
    edges.dedup_by(|b, a| is_same(*a, *b));
    // How many buckets straddle each edge, as differences between neighbours.
    let mut straddled = vec![0_i64; edges.len() + 1];
    for (lower, upper, _) in &occupied {
        let from = lower_end(*lower, *upper).map_or(0, |lower| edges.partition_point(|edge| *edge < lower || is_same(*edge, lower)));
        let to = edges.partition_point(|edge| *edge < *upper && !is_same(*edge, *upper));
        if from < to {
            straddled[from] += 1;
            straddled[to] -= 1;
        }
    }
    let mut over = 0;
    let mut bounds: Vec<f64> = Vec::with_capacity(edges.len());
    for (edge, change) in edges.iter().zip(&straddled) {
        over += change;
        if over == 0 {
            bounds.push(*edge);
        }
    }
    if bounds.is_empty() {
        if !occupied.is_empty() {
            return Err("one bucket without an end holds all requests, so that nothing says how long they took; declare bounds".to_owned());
        }
        bounds.push(NO_BOUND);
    }
    check_number(bounds.len())?;
    let spacing = if is_native && is_exponential(&occupied) { Spacing::Exponential } else { Spacing::Linear };
    let width = bounds.len() + 1;
    let mut rows = vec![0.0; width * length];
    for (_, upper, values) in &occupied {
        let place = bounds.partition_point(|bound| *bound < *upper && !is_same(*bound, *upper));
        for (i, count) in values.iter().enumerate().filter(|(_, count)| !count.is_nan()) {
            if let Some(sum) = rows.get_mut(i * width + place) {
                *sum += count;
            }
        }
    }
    let mut buckets = Buckets::empty(bounds, length, spacing).map_err(|error| error.to_string())?;
    let all: Vec<&[f64]> = parts.iter().filter(|part| part.role == Role::All).map(|part| part.values).collect();
    for (i, row) in rows.chunks_exact_mut(width).enumerate() {
        let known = |values: &&[f64]| values.get(i).is_some_and(|value| !value.is_nan());
        if is_native {
            let totals: Vec<f64> = all.iter().filter(|values| known(values)).filter_map(|values| values.get(i).copied()).collect();
            if totals.is_empty() {
                continue;
            }
            // What was observed as no number is in no bucket; a classic histogram has it above the last bound.
            let (total, sum) = (totals.iter().sum::<f64>(), row.iter().sum::<f64>());
            if let Some(last) = row.last_mut().filter(|_| total - sum > ROUNDED * sum) {
                *last += total - sum;
            }
        } else if !between().any(|(_, _, values)| known(&values)) {
            continue;
        }
        buckets.set(i, row);
    }
    Ok(buckets)
}

/// Whether two ends are one, but for their last digits.
fn is_same(a: f64, b: f64) -> bool {
    a == b || (a.is_finite() && b.is_finite() && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()))
}

/// Whether buckets are those of an exponential schema: from one power of `2^(2^-schema)` to the next.
fn is_exponential(occupied: &[(f64, f64, &[f64])]) -> bool {
    const FROM: f64 = -4.0;
    const TO: f64 = 8.0;
    let whole = |x: f64| (x - x.round()).abs() < 1e-3;
    let fits = |lower: f64, upper: f64| {
        let (near, far) = (lower.abs().min(upper.abs()), lower.abs().max(upper.abs()));
        let ratio = (far / near).log2();
        let schema = -ratio.log2();
        far.is_finite() && whole(schema) && (FROM - 0.5..TO + 0.5).contains(&schema) && whole(far.log2() / ratio)
    };
    let mut all = occupied.iter().filter(|(lower, upper, _)| !(*lower <= 0.0 && *upper >= 0.0 && lower.is_finite())).peekable();
    all.peek().is_some() && all.all(|(lower, upper, _)| fits(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use haldane_judges::evidence::ABSENT;
    use proptest::prelude::*;

    use super::*;

    fn series(labels: &[(&str, &str)], values: &[f64]) -> Series {
        Series { labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), values: values.to_vec() }
    }

    fn le(bound: &str, values: &[f64]) -> Series {
        series(&[("le", bound)], values)
    }

    fn native(bucket: &str, values: &[f64]) -> Series {
        series(&[(NATIVE, bucket)], values)
    }

    fn one(all: &[Series]) -> (Buckets, Vec<String>) {
        let found = read(all, 0..all[0].values.len()).unwrap();
        assert_eq!(found.all.len(), 1);
        (found.all[0].buckets.clone(), found.warnings)
    }

    fn refused(all: &[Series]) -> String {
        read(all, 0..all[0].values.len()).unwrap_err()
    }

    /// The rows, with nothing where an interval is missing.
    fn rows(buckets: &Buckets) -> Vec<Vec<f64>> {
        buckets.rows().map(|row| if row[0].is_nan() { Vec::new() } else { row.to_vec() }).collect()
    }

    const NAN: f64 = f64::NAN;

    #[test]
    fn cumulative_counts_become_counts_in_buckets() {
        let (buckets, warnings) =
            one(&[le("+Inf", &[10.5, ABSENT, 0.0, 4.0]), le("0.25", &[8.0, 3.0, 0.0, 4.0]), le("0.1", &[2.0, 1.0, ABSENT, 0.0])]);
        assert_eq!(buckets.bounds(), [0.1, 0.25]);
        assert_eq!(rows(&buckets), [vec![2.0, 6.0, 2.5], vec![], vec![0.0; 3], vec![0.0, 4.0, 0.0]]);
        assert_eq!((warnings, buckets.spacing()), (Vec::new(), Spacing::Linear));
    }

    #[test]
    fn without_a_series_for_all_requests_or_any_bound_the_remedy_is_named() {
        for (all, expected) in [
            (vec![le("0.1", &[1.0])], "no series with le=\"+Inf\""),
            (vec![le("+Inf", &[1.0])], "only le=\"+Inf\" came"),
            (vec![le("fast", &[1.0]), le("+Inf", &[1.0])], "`fast` of the label `le`"),
            (vec![le("NaN", &[1.0]), le("+Inf", &[1.0])], "`NaN` of the label `le`"),
            (vec![series(&[("pod", "a")], &[1.0])], "no bucket of a histogram: {pod=\"a\"}"),
            (vec![le("+Inf", &[1.0]), series(&[("pod", "a")], &[1.0])], "no label `le`: {pod=\"a\"}"),
            (vec![series(&[("pod", "a"), ("le", "1")], &[1.0])], "{pod=\"a\"}: no series with le"),
            (vec![series(&[("vmrange", "1-2")], &[1.0])], "`1-2` of the label `vmrange`"),
            (vec![series(&[("vmrange", "3...2")], &[1.0])], "`3...2`"),
            (vec![native("-inf...inf", &[1.0]), native(ALL, &[1.0])], "one bucket without an end"),
        ] {
            let said = refused(&all);
            assert!(said.contains(expected), "{said}");
        }
        // The bucket's one series had its values before the places that are read.
        assert_eq!(read(&[series(&[], &[1.0, NAN])], 1..2), Ok(Histograms::default()));
    }

    #[test]
    fn counts_that_fall_over_rising_bounds_stay_as_they_were_with_a_word_where_it_matters() {
        let (buckets, warnings) = one(&[le("1", &[5.0, 1000.0]), le("2", &[4.0, 999.5]), le("+Inf", &[8.0, 2000.0])]);
        assert_eq!(rows(&buckets), [vec![5.0, 0.0, 3.0], vec![1000.0, 0.0, 1000.0]]);
        assert!(warnings.len() == 1 && warnings[0].contains("in 1 intervals, by up to 12.5 %"), "{warnings:?}");
        let (_, warnings) = one(&[le("1", &[1000.0]), le("2", &[999.5]), le("+Inf", &[2000.0])]);
        assert_eq!(warnings, Vec::<String>::new());
        // Even the number of all requests may be the one that falls.
        let (buckets, _) = one(&[le("1", &[9.0]), le("+Inf", &[8.0])]);
        assert_eq!(rows(&buckets), [[9.0, 0.0]]);
    }

    #[test]
    fn a_bound_that_is_not_there_throughout_is_left_out_unless_none_is_left() {
        let (buckets, warnings) =
            one(&[le("1", &[1.0, 2.0, ABSENT]), le("2", &[2.0, NAN, 0.0]), le("4", &[ABSENT, 3.0, 0.0]), le("+Inf", &[4.0, 4.0, 0.0])]);
        assert_eq!((buckets.bounds(), rows(&buckets)), ([1.0].as_slice(), vec![vec![1.0, 3.0], vec![2.0, 2.0], vec![0.0, 0.0]]));
        assert_eq!(warnings, ["the bounds of the buckets changed: 2, 4 were not there throughout, and are left out"]);
        let (buckets, warnings) = one(&[le("1", &[1.0, 1.0, NAN]), le("2", &[NAN, NAN, 2.0]), le("+Inf", &[4.0, 4.0, 4.0])]);
        assert_eq!((buckets.bounds(), rows(&buckets)), ([1.0].as_slice(), vec![vec![1.0, 3.0], vec![1.0, 3.0], vec![]]));
        assert!(warnings[0].contains("none was there throughout"), "{warnings:?}");
        let nowhere = refused(&[le("1", &[NAN, 0.0]), le("+Inf", &[4.0, 0.0])]);
        assert!(nowhere.contains("where there were requests"), "{nowhere}");
    }

    #[test]
    fn two_texts_of_one_bound_are_one() {
        let (buckets, _) =
            one(&[le("1", &[1.0, 2.0, NAN]), le("1.0", &[3.0, NAN, 5.0]), le("+Inf", &[9.0, 2.0, 1.0]), le("Inf", &[NAN, NAN, 5.0])]);
        assert_eq!((buckets.bounds(), rows(&buckets)), ([1.0].as_slice(), vec![vec![4.0, 5.0], vec![2.0, 0.0], vec![5.0, 1.0]]));
    }

    #[test]
    fn more_buckets_than_are_read_are_refused_and_more_than_are_needed_named() {
        let many = |n: usize| -> Vec<Series> { (1..=n).map(|i| le(&i.to_string(), &[1.0])).chain([le("+Inf", &[1.0])]).collect() };
        assert!(refused(&many(MAX_BOUNDS + 1)).contains("1001 bounds of buckets are more than 1000"));
        let (buckets, warnings) = one(&many(MAX_BOUNDS));
        assert_eq!(buckets.bounds().len(), MAX_BOUNDS);
        assert!(warnings[0].starts_with("1001 buckets came"), "{warnings:?}");
        assert_eq!(one(&many(NEEDED)).1, Vec::<String>::new());
    }

    #[test]
    fn native_buckets_lie_at_all_ends_that_were_seen_and_are_exponential() {
        let (buckets, warnings) = one(&[
            native(ALL, &[5.0, 0.0, ABSENT, 3.0]),
            native("1...2", &[3.0, NAN, NAN, NAN]),
            native("4...8", &[1.5, NAN, NAN, 3.0]),
            native("-0.001...0.001", &[0.5, NAN, NAN, NAN]),
        ]);
        assert_eq!((buckets.bounds(), buckets.spacing()), ([0.001, 1.0, 2.0, 4.0, 8.0].as_slice(), Spacing::Exponential));
        assert_eq!(rows(&buckets), [vec![0.5, 0.0, 3.0, 0.0, 1.5, 0.0], vec![0.0; 6], vec![], vec![0.0, 0.0, 0.0, 0.0, 3.0, 0.0]]);
        assert_eq!(warnings, Vec::<String>::new());
        // 2^(2^-3) of schema 3.
        let base = 0.125_f64.exp2();
        let (buckets, _) = one(&[native(ALL, &[2.0]), native(&format!("{base}...{}", base * base), &[2.0])]);
        assert_eq!(buckets.spacing(), Spacing::Exponential);
    }

    #[test]
    fn of_two_schemas_the_bounds_of_the_coarser_stay() {
        let (buckets, _) = one(&[
            native(ALL, &[4.0, 4.0]),
            native("1...2", &[1.0, NAN]),
            native("2...4", &[3.0, NAN]),
            native("1...4", &[NAN, 3.0]),
            native("4...16", &[NAN, 1.0]),
        ]);
        assert_eq!(
            (buckets.bounds(), rows(&buckets)),
            ([1.0, 4.0, 16.0].as_slice(), vec![vec![0.0, 4.0, 0.0, 0.0], vec![0.0, 3.0, 1.0, 0.0]])
        );
    }

    #[test]
    fn negative_and_custom_buckets_are_read_and_what_is_no_number_lies_above_all() {
        let (buckets, _) = one(&[native(ALL, &[6.0]), native("-2...-1", &[1.0]), native("-0.5...0.5", &[2.0]), native("1...2", &[1.0])]);
        assert_eq!(
            (buckets.bounds(), rows(&buckets)),
            ([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0].as_slice(), vec![vec![0.0, 1.0, 0.0, 2.0, 0.0, 1.0, 2.0]])
        );
        let custom = [native(ALL, &[6.0]), native("-inf...0.1", &[1.0]), native("0.25...0.5", &[2.0]), native("5...inf", &[3.0])];
        let (buckets, _) = one(&custom);
        assert_eq!((buckets.bounds(), buckets.spacing()), ([0.1, 0.25, 0.5, 5.0].as_slice(), Spacing::Linear));
        assert_eq!(rows(&buckets), [[1.0, 0.0, 2.0, 0.0, 3.0]]);
    }

    #[test]
    fn histograms_without_requests_are_there() {
        let (buckets, _) = one(&[native(ALL, &[0.0, ABSENT])]);
        assert_eq!((buckets.totals()[0], buckets.totals()[1].is_nan()), (0.0, true));
    }

    #[test]
    fn ranges_of_victoriametrics_are_sparse_and_absent_ones_are_empty() {
        let range = |text: &str, values: &[f64]| series(&[("vmrange", text)], values);
        let (buckets, _) = one(&[
            range("0...1.000e-09", &[1.0, NAN, NAN]),
            range("1.000e-01...1.136e-01", &[2.0, 3.0, NAN]),
            range("1.136e-01...1.292e-01", &[NAN, 4.0, NAN]),
            range("1.000e+18...+Inf", &[NAN, 1.0, NAN]),
        ]);
        assert_eq!(buckets.bounds(), [0.0, 1e-9, 0.1, 0.1136, 0.1292, 1e18]);
        let expected = [vec![0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0], vec![0.0, 0.0, 0.0, 3.0, 4.0, 0.0, 1.0], vec![]];
        assert_eq!((rows(&buckets), buckets.spacing()), (expected.to_vec(), Spacing::Linear));
    }

    #[test]
    fn native_histograms_are_taken_before_all_else_and_instances_kept_apart() {
        let pod = |pod: &str, label: &str, value: &str, count: f64| series(&[("pod", pod), (label, value)], &[count]);
        let all = [
            pod("a", NATIVE, ALL, 2.0),
            pod("a", NATIVE, "1...2", 2.0),
            pod("b", NATIVE, ALL, 3.0),
            pod("b", NATIVE, "1...2", 3.0),
            pod("c", "le", "+Inf", 9.0),
            series(&[], &[1.0]),
        ];
        let found = read(&all, 0..1).unwrap();
        let totals: Vec<(&str, f64)> = found.all.iter().map(|one| (one.labels["pod"].as_str(), one.buckets.totals()[0])).collect();
        assert_eq!(totals, [("a", 2.0), ("b", 3.0)]);
        assert_eq!(found.warnings, ["the native histograms of the reply were taken; 2 other series came beside them and were left out"]);
    }

    /// Latencies in each of some intervals, and whether the interval was scraped.
    fn observations() -> impl Strategy<Value = Vec<Option<Vec<f64>>>> {
        let interval = prop::collection::vec(0.002..200.0_f64, 0..20);
        prop::collection::vec(prop::option::weighted(0.9, interval), 1..6)
    }

    fn classic_of(observed: &[Option<Vec<f64>>], bounds: &[f64]) -> Vec<Series> {
        let up_to = |bound: f64| -> Vec<f64> {
            let count = |interval: &Vec<f64>| interval.iter().filter(|x| **x <= bound).count() as f64;
            observed.iter().map(|interval| interval.as_ref().map_or(ABSENT, count)).collect()
        };
        let finite = bounds.iter().map(|bound| le(&bound.to_string(), &up_to(*bound)));
        finite.chain([le("+Inf", &up_to(f64::INFINITY))]).collect()
    }

    fn native_of(observed: &[Option<Vec<f64>>], bounds: &[f64]) -> Vec<Series> {
        let all: Vec<f64> = observed.iter().map(|interval| interval.as_ref().map_or(ABSENT, |one| one.len() as f64)).collect();
        let between = |lower: f64, upper: f64| -> Vec<f64> {
            let count = |interval: &Vec<f64>| interval.iter().filter(|x| **x > lower && **x <= upper).count() as f64;
            // Empty buckets are not sent.
            observed.iter().map(|interval| interval.as_ref().map(count).filter(|count| *count > 0.0).unwrap_or(ABSENT)).collect()
        };
        let buckets = bounds.windows(2).map(|pair| native(&format!("{}...{}", pair[0], pair[1]), &between(pair[0], pair[1])));
        buckets.chain([native(ALL, &all)]).collect()
    }

    proptest! {
        #[test]
        fn classic_and_native_buckets_of_the_same_observations_agree(observed in observations()) {
            let bounds: Vec<f64> = (-18..=16).map(|i| f64::from(i).mul_add(0.5, 0.0).exp2()).collect();
            let length = observed.len();
            let classic = read(&classic_of(&observed, &bounds), 0..length).unwrap().all;
            let native = read(&native_of(&observed, &bounds), 0..length).unwrap().all;
            // Without a single scrape there is neither.
            prop_assert_eq!(classic.len(), native.len());
            for (classic, native) in classic.iter().zip(&native) {
                let (classic, native) = (&classic.buckets, &native.buckets);
                let shared = Buckets::shared_bounds(&[classic, native]);
                if native.sums().iter().sum::<f64>() > 0.0 {
                    prop_assert_eq!(shared.len(), classic.bounds().len());
                    let at = |one: &Buckets| rows(&one.at_bounds(&shared, Spacing::Linear).unwrap());
                    prop_assert_eq!(at(classic), at(native));
                } else {
                    prop_assert_eq!(classic.totals().iter().map(|t| t.to_bits()).collect::<Vec<_>>(), native.totals().iter().map(|t| t.to_bits()).collect::<Vec<_>>());
                }
            }
        }

        #[test]
        fn the_order_of_series_does_not_matter_and_none_makes_it_panic(
            all in prop::collection::vec((
                prop::sample::select(vec!["le", "vmrange", NATIVE, "pod"]),
                prop::sample::select(vec!["1", "1.0", "2", "0.5", "+Inf", "-Inf", "NaN", "x", "all", "1...2", "2...4", "1...4", "-1...1", "-4...-2", "0...0", "4...+Inf", "-inf...1"]),
                prop::collection::vec(prop_oneof![Just(ABSENT), Just(f64::INFINITY), -2.0..9.0_f64, Just(0.0)], 4),
            ), 0..8),
            order in any::<prop::sample::Index>(),
        ) {
            let mut all: Vec<Series> = all.into_iter().map(|(label, value, values)| series(&[(label, value)], &values)).collect();
            let bits = |found: Result<Histograms, String>| found.ok().map(|found| {
                let one = |one: &Histogram| (one.buckets.bounds().to_vec(), rows(&one.buckets).iter().flatten().map(|x| (x * 1e6).round()).collect::<Vec<_>>());
                found.all.iter().map(one).collect::<Vec<_>>()
            });
            let first = bits(read(&all, 1..4));
            let by = order.index(all.len().max(1));
            let by = by.min(all.len());
            all.rotate_left(by);
            all.reverse();
            prop_assert_eq!(first, bits(read(&all, 1..4)));
        }
    }
}
