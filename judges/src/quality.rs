//! From raw points to points worth judging: warm-up, infinities, zeros for absent counters, coverage.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::config::{CheckedConfig, Direction, Kind, Metric, Per};
use crate::evidence::{ArmPoints, Buckets, Comparison, Earlier, Evidence, FetchFailure, Instance, Observation, Points};
use crate::explain;
use crate::quantity;
use crate::scorecard::Coverage;
use crate::units;

/// Values beyond this size would overflow when subtracted or squared; they count as infinite.
const LARGEST: f64 = 1e150;
/// Counts beyond this are more than the binomial tails are right for; they count as infinite.
const LARGEST_COUNT: f64 = 1e12;
/// Share of points that the baseline must report for the canary's silence to be evidence.
pub(crate) const REPORTS: f64 = 0.8;
/// Difference in coverage from which a metric is suspect.
pub(crate) const ASYMMETRY: f64 = 0.2;
/// Share of points that an arm needs.
pub(crate) const ENOUGH: f64 = 0.5;

/// Both arms of one metric, cleaned.
#[derive(Debug, Clone)]
pub(crate) struct CleanMetric {
    pub(crate) baseline: CleanArm,
    pub(crate) canary: CleanArm,
    /// Whether both arms were observed over the same window.
    concurrent: bool,
    /// Whether the canary is up by a metric of another step, which cannot say at which points of this one: where a missing point means
    /// zero, that there is none is no silence then.
    pub(crate) up_at_other_step: bool,
    /// What the canary's values were multiplied by for its stated share of the traffic.
    pub(crate) scaled: Option<f64>,
    /// Whether the past and the units are still to be looked at ([`CleanMetric::completed`]), as the window alone says whether a metric could
    /// differ.
    is_window_alone: bool,
    pub(crate) warnings: Vec<String>,
}

/// One arm of one metric: points with `NaN` for missing, and how complete they are.
#[derive(Debug, Clone)]
pub(crate) struct CleanArm {
    pub(crate) points: Points,
    /// The instances, where the metric is read per instance.
    pub(crate) instances: Vec<Instance>,
    /// The points before the window; `None` without any.
    pub(crate) history: Option<Points>,
    /// The points of earlier days, where they are known.
    pub(crate) earlier: Vec<Earlier>,
    /// Bounds of the buckets that the values are interpolated in, in the unit; empty where they are not known.
    pub(crate) bounds: Vec<f64>,
    pub(crate) coverage: Coverage,
    /// Share of the intervals in which the target was seen at all: for counts those with a total.
    pub(crate) seen: f64,
}

impl CleanArm {
    /// The part of the window between two shares of its length, 0 to 1.
    fn between(&self, from: f64, to: f64) -> Self {
        let length = self.points.len();
        let at = |share: f64| ((length as f64 * share).round() as usize).min(length);
        // What is shorter than the window ends with it.
        let cut = |values: &[f64]| {
            let lacks = length.saturating_sub(values.len());
            let place = |share: f64| at(share).saturating_sub(lacks).min(values.len());
            values[place(from)..place(to).max(place(from))].to_vec()
        };
        let points = match &self.points {
            Points::Values(values) => Points::Values(cut(values)),
            Points::Counts { events, totals } => Points::Counts { events: cut(events), totals: cut(totals) },
            Points::Buckets(buckets) => Points::Buckets(buckets.slice(at(from)..at(to))),
        };
        let present = reported(&points).iter().filter(|v| v.is_finite()).count();
        let expected = points.len();
        let fraction = crate::quality::share(present, expected);
        let up = liveness(&points).iter().filter(|v| v.is_finite()).count();
        Self {
            instances: self.instances.iter().map(|one| Instance { name: one.name.clone(), values: cut(&one.values) }).collect(),
            history: self.history.clone(),
            // They end with the window, and say nothing of a part of it.
            earlier: if to < 1.0 { Vec::new() } else { self.earlier.clone() },
            bounds: self.bounds.clone(),
            // How many of its points were infinite or zeros filled in is known of the whole window alone, and decides nothing.
            coverage: Coverage { present, expected, infinite: 0, filled_with_zero: 0, fraction },
            seen: crate::quality::share(up, expected).max(fraction),
            points,
        }
    }

    /// Multiplies the window's values by a share of the traffic, stated or seen. Nobody says how it was split before the window.
    fn scale(&mut self, factor: f64) {
        if let Points::Values(values) = &mut self.points {
            values.iter_mut().for_each(|v| *v *= factor);
        }
        self.instances.iter_mut().flat_map(|one| &mut one.values).for_each(|v| *v *= factor);
        self.history = None;
    }

    /// The arm's values; the rate of each interval for counts, its median for buckets.
    pub(crate) fn values(&self) -> Vec<f64> {
        values(&self.points)
    }

    /// The values before the window, likewise; empty without any.
    pub(crate) fn history_values(&self) -> Vec<f64> {
        self.history.as_ref().map(values).unwrap_or_default()
    }

    /// The intervals of a ratio in which the arm reported, as (events, totals); empty for values.
    pub(crate) fn counted(&self) -> (Vec<f64>, Vec<f64>) {
        self.counts().unzip()
    }

    /// The same, one by one.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (f64, f64)> {
        let (events, totals): (&[f64], &[f64]) = match &self.points {
            Points::Values(_) | Points::Buckets(_) => (&[], &[]),
            Points::Counts { events, totals } => (events, totals),
        };
        events.iter().copied().zip(totals.iter().copied()).filter(|(x, m)| x.is_finite() && m.is_finite())
    }

    /// The values whose presence shows that the target was up: totals for counts.
    fn liveness(&self) -> &[f64] {
        liveness(&self.points)
    }

    fn history_liveness(&self) -> &[f64] {
        self.history.as_ref().map_or(&[], liveness)
    }

    /// Whether every instance, or the arm's one series, reports nearly always.
    pub(crate) fn reports(&self) -> bool {
        let share = |values: &[f64]| {
            let present = values.iter().filter(|v| v.is_finite()).count();
            present as f64 >= REPORTS * self.points.len().max(1) as f64
        };
        self.coverage.present >= 3
            && if self.instances.is_empty() { self.coverage.fraction >= REPORTS } else { self.instances.iter().all(|i| share(&i.values)) }
    }
}

fn values(points: &Points) -> Vec<f64> {
    match points {
        Points::Values(values) => values.clone(),
        Points::Counts { events, totals } => events.iter().zip(totals).map(|(x, m)| if *m > 0.0 { x / m } else { f64::NAN }).collect(),
        Points::Buckets(buckets) => buckets.quantiles(0.5),
    }
}

/// What is reported of each interval.
fn reported(points: &Points) -> &[f64] {
    match points {
        Points::Values(values) | Points::Counts { events: values, .. } => values,
        Points::Buckets(buckets) => buckets.totals(),
    }
}

/// What shows that the target was up: totals for counts.
fn liveness(points: &Points) -> &[f64] {
    match points {
        Points::Values(values) | Points::Counts { totals: values, .. } => values,
        Points::Buckets(buckets) => buckets.totals(),
    }
}

/// Why a metric cannot be judged at all.
#[derive(Debug, Clone)]
pub(crate) enum Unjudged {
    /// Its samples could not be had.
    Failed(FetchFailure),
    /// Its samples are of the wrong kind.
    Mismatch(String),
    /// Its arms' buckets have no bound in common.
    Bounds(String),
}

/// The stated share of the traffic, where it is neither absent nor an even split.
fn split(evidence: &Evidence) -> Option<f64> {
    evidence.canary_share.filter(|share| *share > 0.0 && *share < 1.0 && *share != 0.5)
}

/// Of each metric whether it could differ at all and is not muted; how many are is m.
pub(crate) fn live_metrics(config: &CheckedConfig, cleaned: &[Result<CleanMetric, Unjudged>]) -> Vec<bool> {
    let is_live = |(metric, c): (&Metric, &Result<CleanMetric, Unjudged>)| !metric.muted && c.as_ref().is_ok_and(CleanMetric::is_live);
    config.metrics.iter().zip(cleaned).map(is_live).collect()
}

/// Cleans every metric of a config. The result has one entry for each, in the config's order. Most are cleaned in their windows alone:
/// what needs no other metric is left to [`CleanMetric::completed`].
pub(crate) fn clean(config: &CheckedConfig, evidence: &Evidence) -> Vec<Result<CleanMetric, Unjudged>> {
    // Only zeros for what is absent ask who else reports.
    let asked = config.metrics.iter().any(|metric| metric.absent_means_zero);
    let first: Vec<_> = config.metrics.iter().enumerate().map(|(i, metric)| clean_one(config, metric, evidence, i, asked)).collect();
    if !asked {
        return first;
    }
    // Points of different steps are not of the same time.
    let step = |i: usize| evidence.step_seconds_of(i).to_bits();
    let mut of_step: BTreeMap<u64, Vec<&CleanMetric>> = BTreeMap::new();
    // A muted metric decides nothing, not even whether a target was up.
    for (i, (metric, cleaned)) in config.metrics.iter().zip(&first).enumerate() {
        if let (false, Ok(cleaned)) = (metric.muted, cleaned) {
            of_step.entry(step(i)).or_default().push(cleaned);
        }
    }
    let reports: BTreeMap<u64, [Reporting; 2]> = of_step
        .iter()
        .map(|(step, metrics)| (*step, [Reporting::of(metrics, |c| &c.baseline), Reporting::of(metrics, |c| &c.canary)]))
        .collect();
    let fill: Vec<_> = config
        .metrics
        .iter()
        .zip(&first)
        .enumerate()
        .map(|(i, (metric, cleaned))| {
            let cleaned = cleaned.as_ref().ok().filter(|cleaned| metric.absent_means_zero && !cleaned.counts_requests())?;
            let [baseline, canary] = reports.get(&step(i))?;
            let elsewhere = reports.iter().any(|(other, [_, canary])| *other != step(i) && canary.window.iter().any(|count| *count > 0));
            let is_among = !metric.muted;
            Some((baseline.but(&cleaned.baseline, is_among), canary.but(&cleaned.canary, is_among), elsewhere))
        })
        .collect();
    first
        .into_iter()
        .zip(fill)
        .map(|(cleaned, fill)| {
            cleaned.map(|mut cleaned| {
                if let Some((baseline, canary, elsewhere)) = fill {
                    fill_zeros(&mut cleaned.baseline, &baseline);
                    fill_zeros(&mut cleaned.canary, &canary);
                    cleaned.up_at_other_step = elsewhere;
                }
                let all_filled =
                    |arm: &CleanArm| arm.coverage.filled_with_zero > 0 && arm.coverage.filled_with_zero == arm.coverage.present;
                if all_filled(&cleaned.baseline) && all_filled(&cleaned.canary) {
                    cleaned
                        .warnings
                        .push("neither arm reports any, which counts as zero; right if there were none, wrong if the query is".to_owned());
                }
                cleaned
            })
        })
        .collect()
}

fn clean_one(config: &CheckedConfig, metric: &Metric, evidence: &Evidence, i: usize, whole: bool) -> Result<CleanMetric, Unjudged> {
    let (baseline, canary) = match evidence.observations.get(i) {
        Some(Observation::Sampled { baseline, canary }) => (baseline, canary),
        Some(Observation::Failed(failure)) => return Err(Unjudged::Failed(failure.clone())),
        None => return Err(Unjudged::Mismatch("no samples were given for this metric".to_owned())),
    };
    let mut warnings = Vec::new();
    let directed = directed_infinities(metric, (baseline, canary), &mut warnings);
    let (baseline, canary) = directed.as_ref().map_or((baseline, canary), |(baseline, canary)| (baseline, canary));
    let followed = match metric.per {
        Some(Per::Request) => Some(per_request(config, evidence, (baseline, canary))?),
        None => None,
    };
    let (baseline, canary) = followed.as_ref().map_or((baseline, canary), |(baseline, canary)| (baseline, canary));
    let counted = match (metric.kind, metric.slower_than_in_unit()) {
        (Kind::Ratio, Some(bound)) => slower_than(metric, (baseline, canary), bound, &mut warnings)?,
        _ => None,
    };
    let (baseline, canary) = counted.as_ref().map_or((baseline, canary), |(baseline, canary)| (baseline, canary));
    let warmup = warmup_points(config.warmup, evidence.step_seconds, evidence.step_seconds_of(i));
    let mut cleaned = |arm: &ArmPoints, name: &str| clean_arm(metric, arm, name, warmup, &mut warnings);
    let (mut clean_baseline, mut clean_canary) = (cleaned(baseline, "baseline")?, cleaned(canary, "canary")?);
    let mut scaled = None;
    if let (true, Some(share), Points::Values(_)) = (metric.traffic, split(evidence), &clean_canary.points) {
        let factor = (1.0 - share) / share;
        clean_canary.scale(factor);
        scaled = Some(factor);
        let share = explain::rate(share);
        warnings.push(format!(
            "the canary's values were multiplied by {} for its stated share of {share} of the traffic",
            quantity::number(factor)
        ));
    }
    if std::mem::discriminant(&clean_baseline.points) != std::mem::discriminant(&clean_canary.points) {
        return Err(Unjudged::Mismatch("the arms are of two kinds (values, events and totals, buckets); give both the same".to_owned()));
    }
    share_bounds(&mut clean_baseline, &mut clean_canary, &mut warnings)?;
    let concurrent = evidence.comparison == Comparison::Concurrent;
    let is_as_given = directed.is_none() && followed.is_none() && counted.is_none() && !metric.traffic;
    let mut cleaned = CleanMetric {
        baseline: clean_baseline,
        canary: clean_canary,
        concurrent,
        up_at_other_step: false,
        scaled,
        is_window_alone: is_as_given && !whole,
        warnings,
    };
    if !cleaned.is_window_alone {
        cleaned.add_past(metric, baseline, canary);
        if scaled.is_some() {
            // Nobody says how the traffic was split before the window.
            cleaned.canary.history = None;
        }
        let levels = (level(&cleaned.baseline), level(&cleaned.canary));
        cleaned.warnings.extend(units::warnings(metric, levels.0, levels.1));
    }
    Ok(cleaned)
}

/// An infinity on the worse side is a point, the worst there is: it is put at twice the size of the largest finite value of either arm.
/// On the better side it stays infinite, and counts as missing. `None` where there is none on the worse side.
fn directed_infinities(metric: &Metric, arms: (&ArmPoints, &ArmPoints), warnings: &mut Vec<String>) -> Option<(ArmPoints, ArmPoints)> {
    let (Points::Values(b), Points::Values(c)) = (&arms.0.points, &arms.1.points) else { return None };
    let worse = |v: f64| match metric.direction {
        Direction::Increase => v == f64::INFINITY,
        Direction::Decrease => v == f64::NEG_INFINITY,
        Direction::Either => v.is_infinite(),
    };
    let count = b.iter().chain(c).filter(|v| worse(**v)).count();
    if count == 0 {
        return None;
    }
    let largest = b.iter().chain(c).filter(|v| v.abs() <= LARGEST / 4.0).fold(0.0_f64, |most, v| most.max(v.abs()));
    // Where nothing is finite there is nothing to be far from.
    if !b.iter().chain(c).any(|v| v.abs() <= LARGEST / 4.0) {
        return None;
    }
    let far = if largest > 0.0 { 2.0 * largest } else { 1.0 };
    let place = |values: &[f64]| values.iter().map(|v| if worse(*v) { far.copysign(*v) } else { *v }).collect::<Vec<f64>>();
    let arm = |arm: &ArmPoints, values: &[f64]| ArmPoints {
        points: Points::Values(place(values)),
        instances: arm.instances.iter().map(|one| Instance { name: one.name.clone(), values: place(&one.values) }).collect(),
        ..arm.clone()
    };
    let values = explain::count(count as u64, "value");
    warnings.push(format!(
        "{values} of both arms are infinite on the worse side; they count as the worst points, at {}",
        quantity::number(far)
    ));
    Some((arm(arms.0, b), arm(arms.1, c)))
}

/// The requests slower than one place, out of all, of arms whose points are buckets; `None` where they are none.
fn slower_than(
    metric: &Metric,
    (baseline, canary): (&ArmPoints, &ArmPoints),
    bound: f64,
    warnings: &mut Vec<String>,
) -> Result<Option<(ArmPoints, ArmPoints)>, Unjudged> {
    let (Points::Buckets(b), Points::Buckets(c)) = (&baseline.points, &canary.points) else { return Ok(None) };
    let wanted = explain::quantity(metric, bound);
    let Some(at) = Buckets::place_near(&[b, c], bound) else {
        return Err(Unjudged::Mismatch(format!(
            "no bucket of both arms ends near {wanted}, so that slower requests cannot be counted; the baseline's end at {}, the canary's at {}",
            shown_bounds(b),
            shown_bounds(c)
        )));
    };
    if at != bound {
        let nearest = explain::quantity(metric, at);
        if nearest != wanted {
            warnings.push(format!("requests slower than {nearest} are counted, the bucket bound nearest to {wanted}"));
        }
    }
    let counts = |points: &Points| match points {
        Points::Buckets(buckets) => buckets.slower_than(at).map(|(events, totals)| Points::Counts { events, totals }),
        Points::Values(_) | Points::Counts { .. } => None,
    };
    let arm = |arm: &ArmPoints| {
        let earlier = arm.earlier.iter().filter_map(|day| Some(Earlier { days: day.days, points: counts(&day.points)? })).collect();
        let points = counts(&arm.points).unwrap_or_else(|| arm.points.clone());
        ArmPoints { points, history: arm.history.as_ref().and_then(counts), earlier, instances: Vec::new(), ..arm.clone() }
    };
    Ok(Some((arm(baseline), arm(canary))))
}

/// The first of a layout's bounds.
fn shown_bounds(buckets: &Buckets) -> String {
    const SHOWN: usize = 20;
    let few: Vec<String> = buckets.bounds().iter().take(SHOWN).map(|bound| quantity::number(*bound)).collect();
    format!("{}{}", few.join(", "), if buckets.bounds().len() > SHOWN { ", ..." } else { "" })
}

/// Puts both arms' buckets on the bounds that they share.
fn share_bounds(baseline: &mut CleanArm, canary: &mut CleanArm, warnings: &mut Vec<String>) -> Result<(), Unjudged> {
    let (Points::Buckets(b), Points::Buckets(c)) = (&baseline.points, &canary.points) else { return Ok(()) };
    let bounds = Buckets::shared_bounds(&[b, c]);
    if bounds.is_empty() {
        return Err(Unjudged::Bounds(format!(
            "the arms' buckets share no bound, so that nothing can be compared: the baseline's are {}, the canary's {}",
            shown_bounds(b),
            shown_bounds(c)
        )));
    }
    if bounds.len() > crate::buckets::MAX_BOUNDS {
        let most = crate::buckets::MAX_BOUNDS;
        return Err(Unjudged::Bounds(format!(
            "the arms' buckets have {} bounds together, and {most} can be compared; give both one layout",
            bounds.len()
        )));
    }
    let (of_baseline, of_canary) = (b.bounds().len(), c.bounds().len());
    let spacing = if b.spacing() == c.spacing() { b.spacing() } else { crate::evidence::Spacing::Linear };
    if spacing == crate::evidence::Spacing::Linear && (bounds.len() < of_baseline || bounds.len() < of_canary) {
        warnings.push(format!("the arms' buckets differ: they are compared at {} of {of_baseline} and {of_canary} bounds", bounds.len()));
    }
    let is_layout = |buckets: &Buckets| buckets.bounds() == bounds && buckets.spacing() == spacing;
    for arm in [baseline, canary] {
        let Points::Buckets(buckets) = &arm.points else { continue };
        if !is_layout(buckets) {
            let apart = || Unjudged::Bounds("the arms' buckets cannot be put on one layout".to_owned());
            arm.points = Points::Buckets(buckets.at_bounds(&bounds, spacing).ok_or_else(apart)?);
        }
    }
    Ok(())
}

/// Both arms of a metric that follows the traffic, divided by it in each interval; missing where there was none.
fn per_request(config: &CheckedConfig, evidence: &Evidence, arms: (&ArmPoints, &ArmPoints)) -> Result<(ArmPoints, ArmPoints), Unjudged> {
    let traffic = config.metrics.iter().zip(&evidence.observations).find(|(metric, _)| metric.traffic).map(|(_, observation)| observation);
    let (baseline, canary) = match traffic {
        Some(Observation::Sampled { baseline, canary }) => (baseline, canary),
        Some(Observation::Failed(failure)) => return Err(Unjudged::Failed(failure.clone())),
        None => return Err(Unjudged::Mismatch("it is `per: request`, and no metric has `traffic: true`".to_owned())),
    };
    let over = |values: &[f64], traffic: &[f64]| -> Vec<f64> {
        // Both end together, however far back each reaches.
        let lacks = values.len().saturating_sub(traffic.len());
        let skip = traffic.len().saturating_sub(values.len());
        let requests = std::iter::repeat_n(f64::NAN, lacks).chain(traffic[skip..].iter().copied());
        values.iter().zip(requests).map(|(v, requests)| if requests > 0.0 { v / requests } else { f64::NAN }).collect()
    };
    let points = |points: &Points, traffic: &Points| match (points, traffic) {
        (Points::Values(values), Points::Values(traffic)) => Some(Points::Values(over(values, traffic))),
        _ => None,
    };
    let arm = |arm: &ArmPoints, traffic: &ArmPoints| {
        if arm.step_seconds != traffic.step_seconds {
            return Err(Unjudged::Mismatch(
                "its points are of another step than those of the traffic that it is divided by; give both one step".to_owned(),
            ));
        }
        let window = points(&arm.points, &traffic.points).ok_or_else(|| {
            Unjudged::Mismatch("only values can be divided by the traffic; leave `per` out of a ratio with counts".to_owned())
        })?;
        let history = arm.history.as_ref().zip(traffic.history.as_ref()).and_then(|(history, traffic)| points(history, traffic));
        let earlier = arm.earlier.iter().filter_map(|day| {
            let traffic = traffic.earlier.iter().find(|one| one.days == day.days)?;
            Some(Earlier { days: day.days, points: points(&day.points, &traffic.points)? })
        });
        // The traffic of one instance is not known.
        Ok(ArmPoints { history, earlier: earlier.collect(), instances: Vec::new(), bounds: Vec::new(), points: window, ..arm.clone() })
    };
    Ok((arm(arms.0, baseline)?, arm(arms.1, canary)?))
}

impl CleanMetric {
    /// The same with its past, where that was left out so far, and what its units are to be warned of; `levels` are those of both arms.
    pub(crate) fn completed<'a>(
        &'a self,
        metric: &Metric,
        observation: Option<&Observation>,
        levels: [Option<f64>; 2],
    ) -> (Cow<'a, Self>, Vec<String>) {
        let Some(Observation::Sampled { baseline, canary }) = observation.filter(|_| self.is_window_alone) else {
            return (Cow::Borrowed(self), Vec::new());
        };
        let units = units::warnings(metric, levels[0], levels[1]);
        let has_past = |arm: &ArmPoints| arm.history.is_some() || !arm.earlier.is_empty();
        if !has_past(baseline) && !has_past(canary) {
            return (Cow::Borrowed(self), units);
        }
        let mut whole = self.clone();
        whole.add_past(metric, baseline, canary);
        (Cow::Owned(whole), units)
    }

    /// Cleans the past of both arms. Buckets are put on the bounds of the window's.
    fn add_past(&mut self, metric: &Metric, baseline: &ArmPoints, canary: &ArmPoints) {
        for (arm, given) in [(&mut self.baseline, baseline), (&mut self.canary, canary)] {
            let shared = |points: Points| match (&arm.points, points) {
                (Points::Buckets(window), Points::Buckets(buckets))
                    if buckets.bounds() != window.bounds() || buckets.spacing() != window.spacing() =>
                {
                    buckets.at_bounds(window.bounds(), window.spacing()).map(Points::Buckets)
                }
                (_, points) => Some(points),
            };
            let known = |points: Option<&Points>| match points {
                Some(Points::Buckets(buckets)) => buckets.totals().iter().filter(|total| total.is_finite()).count(),
                _ => 0,
            };
            let history = given.history.as_ref().and_then(|history| clean_past(metric, given, history));
            let before = known(history.as_ref());
            arm.history = history.and_then(shared);
            let lost = before - known(arm.history.as_ref()).min(before);
            if lost > 0 {
                self.warnings.push(format!(
                    "{lost} of {before} intervals before the window have buckets that do not fit those of the window, and teach nothing"
                ));
            }
            let past = |one: &Earlier| Some(Earlier { days: one.days, points: shared(clean_past(metric, given, &one.points)?)? });
            arm.earlier = given.earlier.iter().filter_map(past).collect();
        }
        self.is_window_alone = false;
    }

    /// What an earlier look of this window had: the first `look` of `of` parts of both arms, or of the canary alone.
    pub(crate) fn at_look(&self, look: u32, of: u32) -> Self {
        self.between(0.0, f64::from(look) / f64::from(of.max(1)))
    }

    /// One of `of` disjoint parts of the window, `part` from 1; what lies before the window stays its history.
    pub(crate) fn part(&self, part: u32, of: u32) -> Self {
        let end = |part: u32| f64::from(part) / f64::from(of.max(1));
        self.between(end(part.saturating_sub(1)), end(part))
    }

    fn between(&self, from: f64, to: f64) -> Self {
        let baseline = if self.grows_along() { self.baseline.between(from, to) } else { self.baseline.clone() };
        Self { baseline, canary: self.canary.between(from, to), warnings: self.warnings.clone(), ..*self }
    }

    /// The same with the canary's values brought to the baseline's level: what is left is how both moved. `None` for what has no values and
    /// where a level is not above 0.
    pub(crate) fn brought_level(&self) -> Option<Self> {
        let factor = level(&self.baseline)? / level(&self.canary).filter(|level| *level > 0.0)?;
        if !matches!(self.canary.points, Points::Values(_)) || factor <= 0.0 || !factor.is_finite() {
            return None;
        }
        let mut even = self.clone();
        even.canary.scale(factor);
        Some(even)
    }

    /// Whether both arms grow from look to look. A baseline that lies before the canary and is not of its length was complete at the
    /// first; one of its length is the canary's window some time earlier.
    pub(crate) fn grows_along(&self) -> bool {
        self.concurrent || self.baseline.points.len() == self.canary.points.len()
    }

    /// Whether entry `i` of both arms is the same moment.
    pub(crate) fn is_aligned(&self) -> bool {
        self.concurrent && self.baseline.points.len() == self.canary.points.len()
    }

    /// Whether both arms were observed over the same window.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.concurrent
    }

    /// Whether the metric is events out of totals.
    pub(crate) fn is_counted(&self) -> bool {
        matches!(self.canary.points, Points::Counts { .. })
    }

    /// Whether both arms, over the same time, are one and the same series to the last bit: it is there twice, and compares nothing.
    pub(crate) fn is_one_series(&self) -> bool {
        let equal = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan());
        let same = match (&self.baseline.points, &self.canary.points) {
            (Points::Values(b), Points::Values(c)) => equal(b, c),
            (Points::Counts { events: xb, totals: mb }, Points::Counts { events: xc, totals: mc }) => equal(xb, xc) && equal(mb, mc),
            (Points::Buckets(b), Points::Buckets(c)) => {
                b.bounds() == c.bounds() && b.len() == c.len() && b.rows().zip(c.rows()).all(|(b, c)| equal(b, c))
            }
            _ => false,
        };
        self.is_concurrent() && same
    }

    /// Whether any interval of the baseline differs from another.
    pub(crate) fn varies(&self) -> bool {
        let differ = |values: &[f64]| {
            let mut known = values.iter().filter(|v| v.is_finite());
            known.next().is_some_and(|first| known.any(|v| v != first))
        };
        match &self.baseline.points {
            Points::Values(values) => differ(values),
            Points::Counts { events, totals } => differ(events) || differ(totals),
            Points::Buckets(buckets) => {
                let mut known = buckets.rows().filter(|row| row.first().is_some_and(|count| count.is_finite()));
                known.next().is_some_and(|first| known.any(|row| row != first))
            }
        }
    }

    /// Whether the metric is the buckets of a histogram.
    pub(crate) fn is_distribution(&self) -> bool {
        matches!(self.canary.points, Points::Buckets(_))
    }

    /// Whether its requests are counted: events out of totals, or buckets.
    pub(crate) fn counts_requests(&self) -> bool {
        self.is_counted() || self.is_distribution()
    }

    /// Whether the arms could differ at all: both have data, and not one same constant. Counts need an event somewhere.
    pub(crate) fn is_live(&self) -> bool {
        if self.baseline.coverage.present == 0 || self.canary.coverage.present == 0 {
            return false;
        }
        // One series that varies compares nothing; one that does not is two arms that are alike.
        if self.is_one_series() && self.varies() {
            return false;
        }
        if self.is_counted() {
            return self.baseline.counts().chain(self.canary.counts()).any(|(x, _)| x > 0.0);
        }
        if let (Points::Buckets(b), Points::Buckets(c)) = (&self.baseline.points, &self.canary.points) {
            let (b, c) = (b.sums(), c.sums());
            let all: f64 = b.iter().chain(&c).sum();
            return all > 0.0 && !b.iter().zip(&c).any(|(b, c)| b + c == all);
        }
        let all = || liveness(&self.baseline.points).iter().chain(liveness(&self.canary.points)).filter(|v| v.is_finite());
        let first = all().next();
        all().any(|v| Some(v) != first)
    }
}

/// An arm's level: the median of its values, the rate of its counts.
pub(crate) fn level(arm: &CleanArm) -> Option<f64> {
    if let Points::Buckets(buckets) = &arm.points {
        return buckets.quantile_of(&buckets.sums(), 0.5);
    }
    if let Points::Counts { .. } = arm.points {
        let (events, total) = arm.counts().fold((0.0, 0.0), |(events, total), (x, m)| (events + x, total + m));
        return (total > 0.0).then(|| events / total);
    }
    let present: Vec<f64> = liveness(&arm.points).iter().filter(|v| v.is_finite()).map(|v| v + 0.0).collect();
    (!present.is_empty()).then(|| crate::stats::median_of(present))
}

/// Points that a warm-up of so many steps takes at the step of a metric.
fn warmup_points(warmup: u32, step_seconds: f64, own_step_seconds: f64) -> usize {
    if own_step_seconds > 0.0 && own_step_seconds != step_seconds {
        (f64::from(warmup) * step_seconds / own_step_seconds).ceil() as usize
    } else {
        warmup as usize
    }
}

fn clean_arm(metric: &Metric, arm: &ArmPoints, name: &str, warmup: usize, warnings: &mut Vec<String>) -> Result<CleanArm, Unjudged> {
    let length = arm.points.len();
    // What is shorter than the window ends with it.
    let settled =
        |values: &[f64]| values.iter().skip(warmup.saturating_sub(length.saturating_sub(values.len()))).copied().collect::<Vec<f64>>();
    let mut infinite = 0;
    let largest = if matches!(arm.points, Points::Values(_)) { LARGEST } else { LARGEST_COUNT };
    let mut finite = |values: &[f64]| -> Vec<f64> {
        settled(values)
            .into_iter()
            .map(|v| {
                if v.abs() > largest {
                    infinite += 1;
                    f64::NAN
                } else {
                    v
                }
            })
            .collect()
    };
    let (mut filled_with_zero, mut seen, mut too_large) = (0, None, 0);
    let (points, present) = match &arm.points {
        Points::Values(_) | Points::Counts { .. } if metric.kind == Kind::Distribution => {
            let message = "no buckets came for a distribution; its query returns one series for each bucket, with the label `le`";
            return Err(Unjudged::Mismatch(message.to_owned()));
        }
        Points::Values(values) => {
            let values = finite(values);
            let present = values.iter().filter(|v| v.is_finite()).count();
            (Points::Values(values), present)
        }
        Points::Buckets(buckets) => {
            if metric.kind != Kind::Distribution {
                return Err(Unjudged::Mismatch("buckets came for a metric that is no distribution; set `kind: distribution`".to_owned()));
            }
            let mut settled = buckets.slice(warmup..length);
            for i in (0..settled.len()).filter(|i| settled.totals()[*i] > LARGEST_COUNT).collect::<Vec<usize>>() {
                too_large += 1;
                settled.forget(i);
            }
            let present = settled.totals().iter().filter(|v| v.is_finite()).count();
            (Points::Buckets(settled), present)
        }
        Points::Counts { .. } if metric.kind != Kind::Ratio => {
            return Err(Unjudged::Mismatch("events and totals came for a metric that is no ratio; set `kind: ratio`".to_owned()));
        }
        Points::Counts { events, totals } if events.len() != totals.len() => {
            let message =
                format!("the {name} has {} entries of events and {} of totals; give one of each an interval", events.len(), totals.len());
            return Err(Unjudged::Mismatch(message));
        }
        Points::Counts { events, totals } => {
            let (mut events, mut totals) = (finite(events), finite(totals));
            let totals_seen = totals.iter().filter(|v| v.is_finite()).count();
            let (filled, negative, excess) = settle_counts(&mut events, &mut totals, metric.absent_means_zero);
            filled_with_zero = filled;
            if negative > 0 {
                warnings.push(format!("{negative} intervals of the {name} have a negative count and count as missing"));
            }
            if excess > 0 {
                warnings.push(format!("{excess} intervals of the {name} have more events than the total; they count as the total"));
            }
            let present = events.iter().filter(|v| v.is_finite()).count();
            seen = Some(totals_seen);
            (Points::Counts { events, totals }, present)
        }
    };
    let expected = points.len();
    // One with less than half of the points counts for the mean alone, and is not worth the room.
    let in_place = |values: Vec<f64>| match expected.saturating_sub(values.len()) {
        lacking if lacking > 0 && lacking <= values.len() + 1 => std::iter::repeat_n(f64::NAN, lacking).chain(values).collect(),
        _ => values,
    };
    let instances =
        arm.instances.iter().map(|instance| Instance { name: instance.name.clone(), values: in_place(finite(&instance.values)) }).collect();
    let infinite = infinite + too_large;
    if infinite > 0 {
        warnings.push(format!(
            "{infinite} values of the {name} are infinite or larger than can be judged ({largest:e}); they count as missing"
        ));
    }
    let fraction = share(present, expected);
    let seen = share(seen.unwrap_or(present), expected).min(busy(&points));
    let bounds = arm.bounds.clone();
    Ok(CleanArm {
        points,
        instances,
        history: None,
        earlier: Vec::new(),
        bounds,
        coverage: Coverage { present, expected, infinite, filled_with_zero, fraction },
        seen,
    })
}

/// Share of the intervals that have requests, where those that have are so busy that none had none by chance: else 1.
fn busy(points: &Points) -> f64 {
    /// Requests of an interval of which none come once in 20,000 intervals.
    const BUSY: f64 = 10.0;
    let totals = match points {
        Points::Values(_) => return 1.0,
        Points::Counts { totals, .. } => totals,
        Points::Buckets(buckets) => buckets.totals(),
    };
    let mut with: Vec<f64> = totals.iter().copied().filter(|m| *m > 0.0).collect();
    with.sort_unstable_by(f64::total_cmp);
    let typical = crate::stats::median_of_sorted(&with);
    if with.is_empty() || typical < BUSY { 1.0 } else { share(with.len(), totals.len()) }
}

/// Makes counts consistent: zeros for absent events where those mean zero, both missing where either is or is negative, and never more
/// events than the total. Returns the numbers of zeros filled in, negative intervals, and intervals with clearly too many events.
fn settle_counts(events: &mut [f64], totals: &mut [f64], absent_means_zero: bool) -> (usize, usize, usize) {
    let (mut filled, mut negative, mut excess) = (0, 0, 0);
    for (x, m) in events.iter_mut().zip(totals) {
        if x.is_nan() && m.is_finite() && absent_means_zero {
            *x = 0.0;
            filled += 1;
        }
        if *x < 0.0 || *m < 0.0 {
            negative += 1;
            (*x, *m) = (f64::NAN, f64::NAN);
        } else if *x > *m {
            // Two extrapolated counters may disagree by a little; the numerator cannot be more than all.
            excess += usize::from(*x > *m * 1.05);
            *x = *m;
        }
        if x.is_nan() || m.is_nan() {
            (*x, *m) = (f64::NAN, f64::NAN);
        }
    }
    (filled, negative, excess)
}

/// An arm's points of another time; `None` where there are none of the window's kind.
fn clean_past(metric: &Metric, arm: &ArmPoints, past: &Points) -> Option<Points> {
    let finite = |values: &[f64], largest: f64| values.iter().map(|v| if v.abs() > largest { f64::NAN } else { *v }).collect::<Vec<f64>>();
    match (&arm.points, past) {
        (Points::Values(_), Points::Values(values)) => {
            let values = finite(values, LARGEST);
            values.iter().any(|v| v.is_finite()).then_some(Points::Values(values))
        }
        (Points::Buckets(_), Points::Buckets(buckets)) => {
            let mut buckets = buckets.clone();
            for i in (0..buckets.len()).filter(|i| buckets.totals().get(*i).is_some_and(|m| *m > LARGEST_COUNT)).collect::<Vec<_>>() {
                buckets.forget(i);
            }
            buckets.totals().iter().any(|m| m.is_finite()).then_some(Points::Buckets(buckets))
        }
        (Points::Counts { .. }, Points::Counts { events, totals }) if events.len() == totals.len() => {
            let (mut events, mut totals) = (finite(events, LARGEST_COUNT), finite(totals, LARGEST_COUNT));
            settle_counts(&mut events, &mut totals, metric.absent_means_zero);
            totals.iter().any(|v| v.is_finite()).then_some(Points::Counts { events, totals })
        }
        _ => None,
    }
}

fn share(present: usize, expected: usize) -> f64 {
    if expected == 0 { 0.0 } else { present as f64 / expected as f64 }
}

/// Number of metrics of an arm that report in each interval, of those of one step.
struct Reporting {
    window: Vec<usize>,
    /// Before the window, where histories end together and begin when they may.
    before: Vec<usize>,
}

impl Reporting {
    fn of(metrics: &[&CleanMetric], arm: impl Fn(&CleanMetric) -> &CleanArm) -> Self {
        let longest = |values: &dyn Fn(&CleanMetric) -> usize| metrics.iter().map(|cleaned| values(cleaned)).max().unwrap_or(0);
        let mut window = vec![0; longest(&|cleaned| arm(cleaned).liveness().len())];
        let mut before = vec![0; longest(&|cleaned| arm(cleaned).history_liveness().len())];
        for arm in metrics.iter().map(|cleaned| arm(cleaned)) {
            for (count, value) in window.iter_mut().zip(arm.liveness()) {
                *count += usize::from(value.is_finite());
            }
            for (count, value) in before.iter_mut().rev().zip(arm.history_liveness().iter().rev()) {
                *count += usize::from(value.is_finite());
            }
        }
        Self { window, before }
    }

    /// The intervals of the window and of this arm's history in which a metric other than this one reports, whether or not it is among those
    /// that were counted.
    fn but(&self, arm: &CleanArm, is_among: bool) -> (Vec<bool>, Vec<bool>) {
        let past = arm.history_liveness();
        let unknown = self.before.len().saturating_sub(past.len());
        let of = |values| if is_among { values } else { &[][..] };
        (up_elsewhere(&self.window, of(arm.liveness())), up_elsewhere(self.before.get(unknown..).unwrap_or_default(), of(past)))
    }
}

/// The intervals in which a metric of the arm other than this one reports.
fn up_elsewhere(reporting: &[usize], this: &[f64]) -> Vec<bool> {
    let own = |t: usize| usize::from(this.get(t).is_some_and(|v| v.is_finite()));
    reporting.iter().enumerate().map(|(t, count)| *count > own(t)).collect()
}

fn fill_zeros(arm: &mut CleanArm, (up, up_before): &(Vec<bool>, Vec<bool>)) {
    if let Some(Points::Values(values)) = &mut arm.history {
        for (value, _) in values.iter_mut().zip(up_before).filter(|(value, up)| value.is_nan() && **up) {
            *value = 0.0;
        }
    }
    if let Points::Values(values) = &mut arm.points {
        for (value, _) in values.iter_mut().zip(up).filter(|(value, up)| value.is_nan() && **up) {
            *value = 0.0;
            arm.coverage.filled_with_zero += 1;
            arm.coverage.present += 1;
        }
        arm.coverage.expected = values.len();
        arm.coverage.fraction = share(arm.coverage.present, arm.coverage.expected);
        arm.seen = arm.coverage.fraction;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_the_window_zeros_are_filled_by_time_however_far_back_each_history_reaches() {
        let config = serde_json::json!({ "name": "c", "metrics": [
            { "name": "requests" }, { "name": "errors", "absent_means_zero": true }
        ] });
        let config = CheckedConfig::from_value(config).unwrap();
        let nan = f64::NAN;
        let sampled = |history: &[f64]| {
            let arm = || ArmPoints::values(vec![1.0, 2.0, 3.0]).with_history(Some(Points::Values(history.to_vec())));
            Observation::Sampled { baseline: arm(), canary: arm() }
        };
        // The target was down two intervals before the window, and up before that.
        let observations = vec![sampled(&[1.0, 1.0, 1.0, nan, 1.0]), sampled(&[nan, nan, 7.0])];
        let cleaned = clean(&config, &Evidence { observations, ..Evidence::default() });
        let history = cleaned[1].as_ref().unwrap().canary.history_values();
        assert_eq!(history.iter().map(f64::to_string).collect::<Vec<_>>(), ["0", "NaN", "7"]);
    }

    #[test]
    fn a_warm_up_lasts_as_long_at_a_larger_step() {
        let config = serde_json::json!({ "name": "c", "warmup": 6, "metrics": [{ "name": "minutely" }, { "name": "coarse" }] });
        let config = CheckedConfig::from_value(config).unwrap();
        let sampled = |points: usize, step: Option<f64>| {
            let arm = || ArmPoints::values(vec![1.0; points]).with_step(step);
            Observation::Sampled { baseline: arm(), canary: arm() }
        };
        let observations = vec![sampled(60, None), sampled(12, Some(300.0))];
        let cleaned = clean(&config, &Evidence { observations, ..Evidence::default() });
        // Six minutes are two points of five.
        let left: Vec<usize> = cleaned.iter().map(|cleaned| cleaned.as_ref().unwrap().canary.points.len()).collect();
        assert_eq!(left, [54, 10]);
    }
}
