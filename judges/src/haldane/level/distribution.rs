//! Distributions: the buckets of a histogram. The unit of observation is a request, the stratum an interval.
//!
//! A metric asks one question for each of its quantiles. The first is answered by the whole distribution (van Elteren's test), every
//! other one by the share of requests slower than one bound near it; sizes are shifts of the quantiles themselves.

use std::ops::Range;

use super::counts::{self, over_looks};
use crate::config::{Direction, Metric};
use crate::draft::ResultDraft;
use crate::evidence::{Buckets, Points, Spacing};
use crate::explain;
use crate::haldane::fallback::{fall_back, or_by_limit};
use crate::haldane::ladder::{self, Claim, Rung, Size};
use crate::haldane::numbers::{finite, ratio_to};
use crate::haldane::past::{self, Windows};
use crate::haldane::rule;
use crate::haldane::subject::Subject;
use crate::haldane::tolerances::{Tolerances, absolute_tolerance, tolerances};
use crate::limit;
use crate::quality::CleanMetric;
use crate::quantity;
use crate::remedy::{self, RatioTraffic};
use crate::scorecard::{
    AppliedLimit, CurvePoint, DistributionNumbers, Guard, HistoryNumbers, Interval, MetricResult, Mode, QuantileNumbers, Reason, Share,
    Status,
};
use crate::stats::Z_95;
use crate::stats::strata::{ArmComparison, Stratum, deviate};
use crate::stats::van_elteren;

/// Most points of the curves that a scorecard shows.
const MOST_CURVE_POINTS: usize = 60;

/// One arm's rows over some intervals, with their sums. What is missing has no requests.
struct ArmRows<'a> {
    rows: Vec<&'a [f64]>,
    totals: Vec<f64>,
}

/// Both arms' rows over some intervals.
struct Rows<'a> {
    baseline: ArmRows<'a>,
    canary: ArmRows<'a>,
    aligned: bool,
}

/// A row without requests, as long as any.
static NOTHING: [f64; crate::buckets::MAX_BOUNDS + 1] = [0.0; crate::buckets::MAX_BOUNDS + 1];

impl<'a> ArmRows<'a> {
    fn of(buckets: &'a Buckets, range: Range<usize>) -> Self {
        let nothing = NOTHING.get(..buckets.width()).unwrap_or(&NOTHING);
        let range = range.start.min(buckets.len())..range.end.min(buckets.len());
        let totals = &buckets.totals()[range.clone()];
        let rows = buckets.rows().skip(range.start).zip(totals);
        Self {
            rows: rows.map(|(row, total)| if total.is_finite() { row } else { nothing }).collect(),
            totals: totals.iter().map(|total| if total.is_finite() { *total } else { 0.0 }).collect(),
        }
    }

    /// Requests of an interval slower than a bound, and all of it.
    fn slower_of(&self, i: usize, bound: usize) -> (f64, f64) {
        match (self.rows.get(i).and_then(|row| row.get(bound + 1..)), self.totals.get(i)) {
            (Some(slower), Some(total)) => (slower.iter().sum(), *total),
            _ => (0.0, 0.0),
        }
    }

    /// Whether at least half of the intervals have requests.
    fn is_busy(&self) -> bool {
        self.totals.iter().filter(|total| **total > 0.0).count() * 2 >= self.totals.len()
    }
}

impl<'a> Rows<'a> {
    fn of(baseline: (&'a Buckets, Range<usize>), canary: (&'a Buckets, Range<usize>), aligned: bool) -> Self {
        Self { baseline: ArmRows::of(baseline.0, baseline.1), canary: ArmRows::of(canary.0, canary.1), aligned }
    }

    /// The arm that is asked about and the other, where slower is worse or faster is.
    fn turned(&self, slower_is_worse: bool) -> (&ArmRows<'a>, &ArmRows<'a>) {
        if slower_is_worse { (&self.canary, &self.baseline) } else { (&self.baseline, &self.canary) }
    }

    /// Requests slower than a bound, interval by interval.
    fn strata(&self, bound: usize, slower_is_worse: bool) -> Vec<Stratum> {
        let (asked, other) = self.turned(slower_is_worse);
        (0..asked.rows.len().max(other.rows.len()))
            .map(|i| {
                let ((events, total), (other_events, other_total)) = (asked.slower_of(i, bound), other.slower_of(i, bound));
                Stratum { events, total, other_events, other_total }
            })
            .collect()
    }

    /// Requests of the canary and of the baseline, interval by interval.
    fn totals(&self) -> impl Iterator<Item = (f64, f64)> {
        let at = |arm: &ArmRows<'_>, i: usize| arm.totals.get(i).copied().unwrap_or(0.0);
        (0..self.canary.totals.len().max(self.baseline.totals.len())).map(move |i| (at(&self.canary, i), at(&self.baseline, i)))
    }

    /// The whole distributions, with what is known of earlier windows.
    fn whole(&self, slower_is_worse: bool, placebos: &[f64]) -> van_elteren::Whole {
        let (asked, other) = self.turned(slower_is_worse);
        if self.aligned {
            let of = |arm: &'_ ArmRows<'a>| arm.rows.iter().copied().zip(arm.totals.iter().copied()).collect::<Vec<_>>();
            van_elteren::aligned(of(asked).into_iter().zip(of(other)), placebos)
        } else {
            van_elteren::unaligned(&asked.rows, &other.rows, placebos)
        }
    }

    /// The evidence of one question.
    fn compared(&self, evidence: QuestionEvidence, slower_is_worse: bool, placebos: &[f64]) -> ArmComparison {
        match evidence {
            QuestionEvidence::Whole => self.whole(slower_is_worse, placebos).compared,
            QuestionEvidence::Above(bound) => {
                let strata = self.strata(bound, slower_is_worse);
                if self.aligned { ArmComparison::aligned(&strata, placebos) } else { ArmComparison::unaligned(&strata, placebos) }
            }
        }
    }

    /// Whether both arms have requests in at least half of the intervals.
    fn seen(&self) -> bool {
        self.baseline.is_busy() && self.canary.is_busy()
    }
}

/// What a question is answered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuestionEvidence {
    /// The whole distribution.
    Whole,
    /// The share of requests slower than a bound.
    Above(usize),
}

/// Both arms pooled over the intervals: shares of requests slower than each bound, standardised to the same intervals.
struct Shapes {
    /// The baseline's and the canary's.
    slower: (Vec<f64>, Vec<f64>),
    /// Of both arms together, as they are.
    pooled: Vec<f64>,
    /// Requests in each bucket, of the baseline and of the canary.
    sums: (Vec<f64>, Vec<f64>),
    /// Requests of the baseline and of the canary.
    totals: (f64, f64),
}

impl Shapes {
    fn of(rows: &Rows<'_>, width: usize) -> Self {
        let bounds = width.saturating_sub(1);
        let add = |sums: &mut Vec<f64>, row: &[f64]| sums.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
        let pooled = |rows: &[&[f64]]| {
            let mut sums = vec![0.0; width];
            rows.iter().for_each(|row| add(&mut sums, row));
            sums
        };
        let sums = (pooled(&rows.baseline.rows), pooled(&rows.canary.rows));
        let totals = (sums.0.iter().sum::<f64>(), sums.1.iter().sum::<f64>());
        // Requests above each bound, added from the last bucket down, so that none is exactly 0.
        let above = |row: &[f64]| {
            let mut sums = vec![0.0; bounds];
            let mut sum = 0.0;
            for (slot, count) in sums.iter_mut().zip(row.iter().skip(1)).rev() {
                sum += count;
                *slot = sum;
            }
            sums
        };
        let (above_b, above_c) = (above(&sums.0), above(&sums.1));
        let over = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let slower = if rows.aligned {
            let (mut b, mut c, mut weight) = (vec![0.0; width], vec![0.0; width], 0.0);
            let totals = rows.baseline.totals.iter().copied().zip(rows.canary.totals.iter().copied());
            for ((row_b, row_c), (mb, mc)) in rows.baseline.rows.iter().zip(&rows.canary.rows).zip(totals) {
                let q = over(mc, mb + mc);
                weight += q * mb;
                b.iter_mut().zip(*row_b).for_each(|(sum, count)| *sum += q * count);
                c.iter_mut().zip(*row_c).for_each(|(sum, count)| *sum += (1.0 - q) * count);
            }
            let shares = |sums: &[f64]| above(sums).into_iter().map(|x| over(x, weight).min(1.0)).collect::<Vec<f64>>();
            (shares(&b), shares(&c))
        } else {
            let shares = |above: &[f64], total: f64| above.iter().map(|x| over(*x, total)).collect::<Vec<f64>>();
            (shares(&above_b, totals.0), shares(&above_c, totals.1))
        };
        let pooled = above_b.iter().zip(&above_c).map(|(b, c)| over(b + c, totals.0 + totals.1)).collect();
        Self { slower, pooled, sums, totals }
    }
}

/// One quantile of both arms.
pub(in crate::haldane) struct Question {
    tau: f64,
    /// Whether it stands in the way of a pass.
    required: bool,
    /// Requests of the canary with which one that is as the baseline would be acquitted nine times in ten.
    needed: f64,
    pub(in crate::haldane) slower_is_worse: bool,
    /// The quantile of baseline and canary, in the unit, and their 90 % intervals.
    quantiles: (f64, f64),
    /// Shift, above 0 is worse, and its 90 % interval.
    pub(in crate::haldane) shift: f64,
    interval: (f64, f64),
    /// The bucket in which the baseline's lies.
    bucket: usize,
    bound: usize,
    resolved: bool,
    /// Shares slower than the last bound: of the arm that is asked about, and of the other.
    beyond_last: (f64, f64),
    /// Whether their quantiles lie above it.
    is_above: (bool, bool),
    /// Requests slower than the bound, and their shares: baseline, canary.
    slower: ((f64, f64), (f64, f64)),
    evidence: QuestionEvidence,
    compared: ArmComparison,
    inflation: f64,
    /// Requests of the asked arm slower than the bound, and its intervals with some; 0 where evidence was not asked for.
    events: f64,
    intervals: usize,
    /// Value that must be excluded for a pass; how far from it what was seen is, as a share; and whether it may pass at all.
    detectable: f64,
    room: f64,
    may_pass: bool,
    /// Deviates of earlier windows of the same question.
    placebos: Vec<f64>,
}

impl Question {
    fn name(&self) -> String {
        format!("p{}", quantity::number(100.0 * self.tau))
    }

    pub(in crate::haldane) fn relative(&self) -> f64 {
        ratio_to(self.shift, self.quantiles.0.abs())
    }

    /// How large the shift is.
    fn size(&self, tolerance: Tolerances, absolute: f64) -> Size {
        let by_share = |relative: f64| {
            let (asked, other) = self.beyond_last;
            let rise = (asked - other) * rule::REACHES;
            // The few that are faster than the last bound say nothing of a quantile far above it.
            let tells = self.resolved || other <= 0.5;
            self.is_above.0 && tells && rise >= rule::RATE_POINTS * 0.01 && rise >= relative * other.min(1.0 - other)
        };
        let reaches = |relative: f64| {
            if by_share(relative) {
                return true;
            }
            // Of a quantile above the last bound no size is known.
            if self.is_above.1 || !self.resolved {
                return false;
            }
            let shift = self.shift * rule::REACHES;
            shift > 0.0 && shift >= absolute && shift >= relative * self.quantiles.0.abs()
        };
        Size::of(reaches(tolerance.suspect), reaches(tolerance.regressed))
    }

    /// Whether it is at least twice the baseline's, as far as the buckets tell.
    pub(in crate::haldane) fn is_gross(&self) -> bool {
        let (asked, other) = self.beyond_last;
        let by_share = self.is_above.0 && ratio_to(asked - other, other.min(1.0 - other)) >= rule::GROSS.0;
        by_share || !self.is_above.1 && self.relative() >= rule::GROSS.0
    }

    /// p-value that the canary's quantile is as far off as must be detectable.
    fn p_detectable(&self, totals: (f64, f64)) -> f64 {
        let error = self.error(totals);
        if error > 0.0 && self.may_pass { self.compared.p_of(self.room / error) } else { 1.0 }
    }

    /// Standard error of a share as large as the quantile's, of both arms.
    fn error(&self, totals: (f64, f64)) -> f64 {
        let over = |total: f64| if total > 0.0 { 1.0 / total } else { 0.0 };
        (self.tau * (1.0 - self.tau) * (over(totals.0) + over(totals.1))).sqrt()
    }
}

/// Deviates of earlier windows of one question: its place among them, its evidence, and which arm is asked about.
type Learn<'a> = &'a dyn Fn(QuestionEvidence, bool) -> Vec<f64>;

/// What both arms say over some intervals.
pub(in crate::haldane) struct DistributionEstimate {
    pub(in crate::haldane) questions: Vec<Question>,
    theta: f64,
    shapes: Shapes,
}

/// How far questions are looked into: p-values take far longer than sizes.
#[derive(Clone, Copy)]
enum Depth {
    Whole,
    /// Evidence of what is beyond the tolerance alone.
    OfBeyond,
    /// None.
    Sizes,
}

/// Answers every question of a metric by some intervals of both arms, whose buckets are the same.
fn measure(metric: &Metric, (bounds, spacing): (&[f64], Spacing), rows: &Rows<'_>, depth: Depth, learn: Learn<'_>) -> DistributionEstimate {
    let shapes = Shapes::of(rows, bounds.len() + 1);
    // Of either direction it may be what tells which one was taken.
    let is_asked = matches!(depth, Depth::Whole) || metric.direction == Direction::Either;
    let whole = is_asked.then(|| {
        let placebos = learn(QuestionEvidence::Whole, true);
        (rows.whole(true, &placebos), placebos)
    });
    let theta = whole.as_ref().map_or(0.5, |(whole, _)| whole.theta.clamp(0.0, 1.0));
    let cdf = |slower: &[f64]| slower.iter().map(|share| 1.0 - share).collect::<Vec<f64>>();
    let cdfs = (cdf(&shapes.slower.0), cdf(&shapes.slower.1));
    let absolute = absolute_tolerance(metric);
    let at = |cdf: &[f64], tau: f64| crate::buckets::quantile(cdf, bounds, tau, spacing);
    let last = bounds.len();
    let lower_edge = |j: usize| if j > 0 { bounds.get(j - 1).copied().unwrap_or(0.0) } else { bounds.first().map_or(0.0, |b| b.min(0.0)) };
    let top = |slower: &[f64]| slower.last().copied().unwrap_or(0.0);
    let question = |(i, (tau, optional)): (usize, (f64, bool))| {
        let (b, c) = (at(&cdfs.0, tau), at(&cdfs.1, tau));
        let slower_is_worse = match metric.direction {
            Direction::Increase => true,
            Direction::Decrease => false,
            // Above the last bound, where both quantiles read alike, the shares beyond it tell.
            Direction::Either if b.1 >= last && c.1 >= last => top(&shapes.slower.1) >= top(&shapes.slower.0),
            Direction::Either if c.0 == b.0 => theta >= 0.5,
            Direction::Either => c.0 > b.0,
        };
        let turn = |pair: (f64, f64)| if slower_is_worse { pair } else { (pair.1, pair.0) };
        let (slower_asked, slower_other) =
            if slower_is_worse { (&shapes.slower.1, &shapes.slower.0) } else { (&shapes.slower.0, &shapes.slower.1) };
        let (asked, other) = if slower_is_worse { (c, b) } else { (b, c) };
        // The bound whose odds are nearest to the quantile's.
        let target = (1.0 - tau) / tau;
        let off = |j: usize| {
            let share = shapes.pooled.get(j).copied().unwrap_or(0.0);
            (share.max(1e-9) / (1.0 - share).max(1e-9) / target).ln().abs()
        };
        let nearest = |among: &dyn Fn(usize) -> bool| (0..last).filter(|j| among(*j)).min_by(|x, y| off(*x).total_cmp(&off(*y)));
        let between = |j: usize| slower_other[j] <= 1.0 - tau && slower_asked[j] >= 1.0 - tau;
        let first = nearest(&|_| true).unwrap_or(0);
        let near = off(first) <= rule::RESOLVED.ln() || between(first);
        let parting = if near { None } else { nearest(&between) };
        let (bound, resolved) = (parting.unwrap_or(first), near || parting.is_some());
        // The whole distribution says little of a tail.
        let evidence = if i == 0 && tau <= 0.5 { QuestionEvidence::Whole } else { QuestionEvidence::Above(bound) };
        let shift = asked.0 - other.0;
        // What must be excluded: so much above the quantile of the other arm, or above the lower edge of a wide bucket that holds most.
        let held = |j: usize| {
            let of = |sums: &[f64]| sums.get(j).copied().unwrap_or(0.0);
            ratio_to(of(&shapes.sums.0) + of(&shapes.sums.1), shapes.totals.0 + shapes.totals.1)
        };
        let wide = bounds.get(other.1).is_some_and(|upper| upper - lower_edge(other.1) > absolute);
        // Where two of the changes that must be excluded fit into a bucket, interpolation within it means nothing either.
        let twice = (1.0 + metric.detectable).powi(2);
        let coarse = bounds.get(other.1).is_some_and(|upper| *upper > twice * lower_edge(other.1).max(0.0));
        let low = if wide && (held(other.1) > 0.5 || coarse) { lower_edge(other.1) } else { other.0 };
        let excluded = low + (metric.detectable * low.abs()).max(absolute);
        let at_most = bounds.partition_point(|bound| *bound <= excluded * rule::REACHES);
        // Where faster is worse, what the canary's would be for the baseline's to be as much above it.
        let detectable = if slower_is_worse { excluded } else { (b.0 / (1.0 + metric.detectable)).min((b.0 - absolute).max(0.0)) };
        let share = at_most.checked_sub(1).and_then(|k| slower_asked.get(k)).copied().unwrap_or(1.0);
        let requests = |sums: &[f64]| sums.iter().skip(bound + 1).sum::<f64>();
        let slower = (
            (requests(&shapes.sums.0), shapes.slower.0.get(bound).copied().unwrap_or(0.0)),
            (requests(&shapes.sums.1), shapes.slower.1.get(bound).copied().unwrap_or(0.0)),
        );
        let mut question = Question {
            tau,
            required: !optional,
            needed: f64::INFINITY,
            slower_is_worse,
            quantiles: (b.0, c.0),
            shift,
            interval: (shift, shift),
            bucket: b.1,
            bound,
            resolved,
            beyond_last: turn((top(&shapes.slower.1), top(&shapes.slower.0))),
            is_above: (asked.1 >= last, other.1 >= last),
            slower,
            evidence,
            inflation: 1.0,
            compared: ArmComparison::nothing(),
            events: 0.0,
            intervals: 0,
            detectable,
            room: 1.0 - tau - share,
            may_pass: other.1 < last,
            placebos: Vec::new(),
        };
        let is_wanted = match depth {
            Depth::Whole => true,
            Depth::OfBeyond => question.size(tolerances(metric, 0), absolute) == Size::Beyond,
            Depth::Sizes => false,
        };
        if !is_wanted {
            return question;
        }
        let strata = rows.strata(bound, slower_is_worse);
        question.events = strata.iter().map(|one| one.events).sum();
        question.intervals = strata.iter().filter(|one| one.events > 0.0 && (!rows.aligned || one.other_total > 0.0)).count();
        (question.compared, question.placebos) = match (&whole, evidence) {
            (Some((whole, placebos)), QuestionEvidence::Whole) if slower_is_worse => (whole.compared.clone(), placebos.clone()),
            (_, evidence) => {
                let placebos = learn(evidence, slower_is_worse);
                let compared = match evidence {
                    QuestionEvidence::Above(_) if rows.aligned => ArmComparison::aligned(&strata, &placebos),
                    evidence => rows.compared(evidence, slower_is_worse, &placebos),
                };
                (compared, placebos)
            }
        };
        let inflation = question.compared.inflation();
        question.inflation = inflation;
        // As if the canary were what the other arm is.
        let usual = at_most.checked_sub(1).and_then(|k| slower_other.get(k)).copied().unwrap_or(1.0);
        let error = question.error(shapes.totals) * inflation.sqrt();
        if question.may_pass && usual < 1.0 - tau {
            question.needed = shapes.totals.1 * (rule::POWER * error / (1.0 - tau - usual)).powi(2);
        }
        question.required |= question.needed <= shapes.totals.1;
        // Woodruff's intervals, combined by MOVER.
        let ends = |cdf: &[f64], total: f64| {
            let half = if total > 0.0 { Z_95 * (tau * (1.0 - tau) * inflation / total).sqrt() } else { 1.0 };
            (at(cdf, (tau - half).max(0.0)).0, at(cdf, (tau + half).min(1.0)).0)
        };
        let (ends_b, ends_c) = (ends(&cdfs.0, shapes.totals.0), ends(&cdfs.1, shapes.totals.1));
        let rise = c.0 - b.0;
        let below = ((c.0 - ends_c.0).powi(2) + (ends_b.1 - b.0).powi(2)).sqrt();
        let above = ((ends_c.1 - c.0).powi(2) + (b.0 - ends_b.0).powi(2)).sqrt();
        let interval = if slower_is_worse { (rise - below, rise + above) } else { (-rise - above, -rise + below) };
        question.interval = interval;
        question
    };
    let questions = metric.asked_quantiles().into_iter().enumerate().map(question).collect();
    DistributionEstimate { questions, theta, shapes }
}

/// The arms' buckets; both have the same bounds.
fn arms(cleaned: &CleanMetric) -> Option<(&Buckets, &Buckets)> {
    match (&cleaned.baseline.points, &cleaned.canary.points) {
        (Points::Buckets(baseline), Points::Buckets(canary)) => Some((baseline, canary)),
        _ => None,
    }
}

/// Deviates of placebo windows, which do not overlap.
fn placebos(cleaned: &CleanMetric, aligned: bool, evidence: QuestionEvidence, slower_is_worse: bool) -> Vec<f64> {
    fn of(points: Option<&Points>) -> Option<&Buckets> {
        match points {
            Some(Points::Buckets(buckets)) => Some(buckets),
            _ => None,
        }
    }
    let Some(baseline) = of(cleaned.baseline.history.as_ref()) else { return Vec::new() };
    let canary = of(cleaned.canary.history.as_ref());
    let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
    let lengths = (baseline.len(), canary.map_or(0, Buckets::len));
    let Windows { pairs, one_series } = past::disjoint_windows(lengths, n, cleaned.is_concurrent());
    let canary = if one_series { Some(baseline) } else { canary };
    let Some(canary) = canary else { return Vec::new() };
    let deviate = |pair: past::Placebo| {
        let rows = Rows::of((baseline, pair.baseline), (canary, pair.canary), aligned);
        rows.seen().then(|| match evidence {
            QuestionEvidence::Above(bound) if aligned => deviate(&rows.strata(bound, slower_is_worse)),
            evidence => rows.compared(evidence, slower_is_worse, &[]).z,
        })
    };
    pairs.into_iter().filter_map(deviate).collect()
}

/// What some intervals of a metric say by themselves of what is beyond the tolerance.
pub(in crate::haldane) fn part(
    subject: &Subject<'_>,
    baseline: Range<usize>,
    canary: Range<usize>,
    aligned: bool,
) -> Option<DistributionEstimate> {
    part_of(subject, (baseline, canary), aligned, Depth::OfBeyond)
}

fn part_of(
    subject: &Subject<'_>,
    (baseline, canary): (Range<usize>, Range<usize>),
    aligned: bool,
    depth: Depth,
) -> Option<DistributionEstimate> {
    let (b, c) = arms(subject.cleaned)?;
    let rows = Rows::of((b, baseline), (c, canary), aligned);
    Some(measure(subject.metric, (b.bounds(), b.spacing()), &rows, depth, &|_, _| Vec::new()))
}

impl DistributionEstimate {
    /// What the ladder is asked of each quantile by these intervals alone, for so many chances.
    pub(in crate::haldane) fn claims(&self, metric: &Metric, chances: f64) -> Vec<(Claim, &Question)> {
        let asked = self.asked();
        let absolute = absolute_tolerance(metric);
        let claim = |question: &Question| {
            let p = (asked * question.compared.p()).min(1.0);
            Claim {
                size: question.size(tolerances(metric, question.placebos.len()), absolute),
                p,
                p_alone: p,
                levels: counts::LEVELS,
                chances,
                admissible: question.intervals >= rule::FEW_INTERVALS,
                visible: question.events >= rule::FEW_EVENTS,
                ..Claim::certain(Size::Small)
            }
        };
        self.questions.iter().map(|question| (claim(question), question)).collect()
    }

    /// Questions that can convict, by which their p-values are multiplied.
    fn asked(&self) -> f64 {
        self.questions.iter().filter(|question| question.resolved || question.is_above.0).count().max(1) as f64
    }
}

/// Whether the last third of the canary shows less than half of the tolerance in a quantile, against the whole baseline and, where the arms
/// align, the same intervals of it.
fn has_healed(subject: &Subject<'_>, i: usize, question: &Question, tolerance: Tolerances) -> bool {
    let n = (subject.cleaned.baseline.points.len(), subject.cleaned.canary.points.len());
    if n.1 < rule::RECENT.2 || question.is_above.0 || question.is_above.1 {
        return false;
    }
    let k = n.1.div_ceil(rule::HEALED.0);
    let least = (tolerance.regressed * question.quantiles.0.abs()).max(absolute_tolerance(subject.metric));
    let less = |baseline: Range<usize>, aligned: bool| {
        let last = part_of(subject, (baseline, n.1 - k..n.1), aligned, Depth::Sizes);
        last.and_then(|last| {
            let now = last.questions.get(i)?;
            let shift = if now.slower_is_worse == question.slower_is_worse { now.shift } else { -now.shift };
            Some(shift < rule::HEALED.1 * least)
        })
        .unwrap_or(false)
    };
    less(0..n.0, false) && (!subject.cleaned.is_aligned() || less(n.0 - k..n.0, true))
}

pub(super) fn judge(mut draft: ResultDraft, subject: &Subject<'_>) -> MetricResult {
    let (metric, cleaned, context) = (subject.metric, subject.cleaned, subject.context);
    let Some((baseline, canary)) = arms(cleaned) else {
        draft.decide(Status::Error, Reason::Mismatch, Mode::None, "there are no buckets".to_owned());
        return draft.close();
    };
    let busy = canary.totals().iter().filter(|total| **total > 0.0).count();
    if cleaned.is_one_series() && cleaned.varies() && busy >= rule::FEWEST {
        let sentence =
            "both arms are one and the same buckets, interval by interval, so that nothing is compared; does the query tell them apart?";
        draft.decide(Status::Inconclusive, Reason::SameSeries, Mode::None, sentence.to_owned());
        return draft.close();
    }
    let n = (baseline.len(), canary.len());
    let rows = Rows::of((baseline, 0..n.0), (canary, 0..n.1), true);
    let aligned = counts::pairs_up(cleaned, rows.totals());
    let rows = Rows { aligned, ..rows };
    let layout = (baseline.bounds(), baseline.spacing());
    let m = measure(metric, layout, &rows, Depth::Whole, &|evidence, slower| placebos(cleaned, aligned, evidence, slower));
    let asked = m.asked();
    let totals = m.shapes.totals;
    let absolute = absolute_tolerance(metric);
    let intervals =
        [baseline, canary].map(|arm| arm.totals().iter().filter(|total| total.is_finite()).count()).into_iter().min().unwrap_or(0);
    let needed = rule::FEWEST.max(metric.min_points as usize);
    let enough = totals.1 >= metric.min_requests as f64 && totals.0 > 0.0 && intervals >= needed;
    let chances = (context.live_counts as f64 / rule::FREE_RATIOS).max(1.0);
    let answers: Vec<QuestionStanding<'_>> = m
        .questions
        .iter()
        .enumerate()
        .map(|(i, question)| {
            let tolerance = tolerances(metric, question.placebos.len());
            let size = question.size(tolerance, absolute);
            let p = (asked * question.compared.p()).min(1.0);
            let p_independent = (asked * question.compared.p_independent()).min(1.0);
            let again = |b: Range<usize>, c: Range<usize>| {
                let rows = Rows::of((baseline, b), (canary, c), aligned);
                (asked * rows.compared(question.evidence, question.slower_is_worse, &question.placebos).p()).min(1.0)
            };
            let p_looks = if size == Size::Beyond { over_looks(cleaned, context.looks, p, again) } else { p };
            let healed = size == Size::Beyond && has_healed(subject, i, question, tolerance);
            let p_detectable = if question.required { question.p_detectable(totals) } else { 0.0 };
            let claim = Claim {
                size,
                p: p_looks,
                p_alone: p,
                p_dependent: 0.0,
                levels: counts::LEVELS,
                chances,
                neighbours: 1.0,
                admissible: question.intervals >= rule::FEW_INTERVALS && intervals >= rule::FEWEST && !healed,
                early: false,
                visible: question.events >= rule::FEW_EVENTS,
                unexplained: size == Size::Beyond && p_independent <= rule::P_UNEXPLAINED,
                p_detectable: enough.then_some(p_detectable),
                p_pass: rule::P_PASS / context.passing_looks(),
            };
            QuestionStanding { question, claim, rung: ladder::walk(&claim), tolerance, p_independent, healed, p_detectable }
        })
        .collect();
    let empty = totals.0 <= 0.0 || totals.1 <= 0.0;
    draft.result.distribution = (!empty).then(|| numbers(&m, &answers, baseline.bounds(), aligned, context.looks.is_some()));
    if empty {
        let seen = [totals.0, totals.1].map(quantity::number);
        draft.guard(
            Guard::FewRequests,
            format!("{} requests in the baseline and {} in the canary leave nothing to compare", seen[0], seen[1]),
        );
        fall_back(&mut draft, limit::decide_distribution(metric, canary));
        return draft.close();
    }
    let windows = m.questions.iter().map(|question| question.placebos.len()).max().unwrap_or(0);
    draft.result.history = (windows > 0).then(|| HistoryNumbers {
        windows,
        window_points: n.0.max(n.1),
        spread: m
            .questions
            .first()
            .map(|one| &one.placebos)
            .filter(|all| !all.is_empty())
            .and_then(|all| finite((all.iter().map(|z| z * z).sum::<f64>() / all.len() as f64).sqrt())),
        usual: None,
        clock: None,
    });
    let tolerance = tolerances(metric, windows);
    draft.result.limit = Some(AppliedLimit {
        relative: tolerance.regressed,
        absolute,
        from: tolerance.from.to_owned(),
        p: rule::P_COUNTS / chances,
        proved_from: None,
        instance_spread: None,
    });
    // Of equally grave ones that of which it is known how far it went, and then the surest.
    let known = |answer: &QuestionStanding<'_>| !answer.question.is_above.1;
    let gravest =
        answers.iter().max_by(|a, b| a.rung.cmp(&b.rung).then(known(a).cmp(&known(b))).then(b.claim.p_alone.total_cmp(&a.claim.p_alone)));
    let Some(gravest) = gravest else { return draft.close() };
    let words = Words { metric, m: &m, bounds: baseline.bounds(), absolute, intervals };
    match gravest.rung {
        Rung::Regressed => {
            let also = also(&answers, gravest, Rung::Regressed);
            let sentence = format!("{}; {}{also}", words.moved(gravest), words.limit(gravest));
            draft.decide(Status::Regressed, Reason::Shift, Mode::Distribution, sentence);
            return draft.close();
        }
        Rung::Suspect => {
            let (reason, sentence) = words.suspicion(gravest, &rows);
            draft.decide(Status::Suspect, reason, Mode::Distribution, sentence);
            or_by_limit(&mut draft, by_limit(metric, baseline, canary));
            return draft.close();
        }
        Rung::Acquitted | Rung::Open => {}
    }
    if answers.iter().all(|answer| answer.rung == Rung::Acquitted) {
        let sentence = words.acquittal(&answers);
        draft.decide(Status::Pass, Reason::WithinTolerance, Mode::Distribution, sentence);
        return draft.close();
    }
    if intervals < needed {
        draft.guard(Guard::FewPoints, format!("{} where {needed} are needed", explain::count(intervals as u64, "interval")));
    }
    if totals.1 < metric.min_requests as f64 {
        let seen = explain::count(totals.1.round() as u64, "canary request");
        draft.guard(Guard::FewRequests, format!("{seen} where {} are needed", metric.min_requests));
    }
    let open: Vec<&QuestionStanding<'_>> =
        answers.iter().filter(|answer| answer.question.required && answer.p_detectable > answer.claim.p_pass).collect();
    for answer in &open {
        draft.guard(Guard::CouldNotDetect, words.open(answer));
    }
    // All of the required questions must be settled: the one that takes most decides.
    let traffic = |answer: &&QuestionStanding<'_>| {
        let question = answer.question;
        RatioTraffic {
            canary_total: totals.1,
            canary_rate: 0.0,
            baseline_total: totals.0,
            variances: (question.tau * (1.0 - question.tau), question.tau * (1.0 - question.tau)),
            room: if question.may_pass { question.room } else { 0.0 },
            inflation: question.inflation,
            would: format!(
                "exclude a {} of {} to {}",
                if question.slower_is_worse { "rise" } else { "fall" },
                question.name(),
                explain::quantity(metric, question.detectable)
            ),
            rises: question.slower_is_worse,
            limit: None,
            observed_seconds: context.observed_seconds,
            missing_intervals: needed.saturating_sub(intervals),
            step_seconds: context.step_seconds,
        }
    };
    let required: Vec<&QuestionStanding<'_>> = answers.iter().filter(|answer| answer.question.required).collect();
    let settling: Vec<RatioTraffic> = required.iter().map(traffic).collect();
    draft.result.remedies = remedy::for_distribution(metric, &settling);
    let coarse: Vec<String> = open.iter().filter_map(|answer| words.too_coarse(answer)).collect();
    draft.result.remedies.extend(coarse.into_iter().map(|sentence| crate::scorecard::Remedy::Configure { sentence }));
    fall_back(&mut draft, by_limit(metric, baseline, canary));
    draft.close()
}

/// What the limits decide.
fn by_limit(metric: &Metric, baseline: &Buckets, canary: &Buckets) -> limit::Decision {
    limit::unless_of_both(limit::decide_distribution(metric, canary), || limit::decide_distribution(metric, baseline))
}

/// One question and where it stands.
struct QuestionStanding<'a> {
    question: &'a Question,
    claim: Claim,
    rung: Rung,
    tolerance: Tolerances,
    p_independent: f64,
    healed: bool,
    p_detectable: f64,
}

/// "; so did p95 and p99".
fn also(answers: &[QuestionStanding<'_>], gravest: &QuestionStanding<'_>, rung: Rung) -> String {
    let others: Vec<String> = answers
        .iter()
        .filter(|answer| answer.rung == rung && answer.question.tau != gravest.question.tau)
        .map(|answer| {
            let question = answer.question;
            let change = explain::change(sign(question) * question.relative());
            match question.is_above {
                (_, true) => format!("{} (above the last bucket bound)", question.name()),
                (true, _) => format!("{} (at least {change})", question.name()),
                _ => format!("{} ({change})", question.name()),
            }
        })
        .collect();
    if others.is_empty() { String::new() } else { format!("; so did {}", others.join(" and ")) }
}

/// +1 where a rise is worse.
fn sign(question: &Question) -> f64 {
    if question.slower_is_worse { 1.0 } else { -1.0 }
}

/// The sentences of one metric.
struct Words<'a> {
    metric: &'a Metric,
    m: &'a DistributionEstimate,
    bounds: &'a [f64],
    absolute: f64,
    intervals: usize,
}

impl Words<'_> {
    fn quantity(&self, value: f64) -> String {
        explain::quantity(self.metric, value)
    }

    /// "p95 rose 41 ms (+28 %, 90 % interval 22 ms to 63 ms) from 146 ms to 187 ms: 6.1 % of 14920 canary requests were slower than 250
    /// ms, 3.9 % of 15080 in the baseline (p 2e-6 over 30 intervals, bursts allowed for)".
    fn moved(&self, answer: &QuestionStanding<'_>) -> String {
        let question = answer.question;
        format!("{}: {}", self.shift(question), self.evidence(answer))
    }

    fn shift(&self, question: &Question) -> String {
        let (sign, (before, after)) = (sign(question), question.quantiles);
        let name = question.name();
        if question.is_above.1 {
            let (asked, other) = question.beyond_last;
            let last = self.quantity(self.bounds.last().copied().unwrap_or(0.0));
            let (canary, baseline) = if question.slower_is_worse { (asked, other) } else { (other, asked) };
            let whose = if question.slower_is_worse { "baseline" } else { "canary" };
            let lies = format!("{name} lies above the last bucket bound in the {whose}");
            if question.evidence != QuestionEvidence::Whole {
                // The evidence says how many are slower.
                return lies;
            }
            return format!(
                "{lies}; {} of the canary's requests are slower than that ({last}), {} of the baseline's",
                explain::rate(canary),
                explain::rate(baseline)
            );
        }
        if question.shift == 0.0 {
            return format!("{name} did not move from {}", self.quantity(before));
        }
        let verb = if after > before { "rose" } else { "fell" };
        let (size, change) = (explain::difference(self.metric, question.shift.abs()), explain::change(sign * question.relative()));
        if question.is_above.0 {
            let (from, last) = (self.quantity(before), self.quantity(after));
            return format!("{name} {verb} at least {size} ({change}) from {from} to above the last bucket bound, {last}");
        }
        // As it was reported, whichever way is worse.
        let (low, high) = if sign > 0.0 { question.interval } else { (-question.interval.1, -question.interval.0) };
        format!(
            "{name} {verb} {size} ({change}, 90 % interval {} to {}) from {} to {}",
            explain::difference(self.metric, low),
            explain::difference(self.metric, high),
            self.quantity(before),
            self.quantity(after)
        )
    }

    fn evidence(&self, answer: &QuestionStanding<'_>) -> String {
        let question = answer.question;
        let p = quantity::p_value(answer.claim.p);
        let over = format!("p {p} over {}, bursts allowed for", explain::count(self.intervals as u64, "interval"));
        if question.evidence == QuestionEvidence::Whole {
            let pairs = explain::rate(self.m.theta);
            return format!("a canary request was slower than a baseline request in {pairs} of pairs ({over})");
        }
        let ((_, of_baseline), (_, of_canary)) = question.slower;
        format!(
            "{} of {} canary requests were slower than {}, {} of {} in the baseline ({over})",
            explain::rate(of_canary),
            quantity::number(self.m.shapes.totals.1),
            self.quantity(self.bounds.get(question.bound).copied().unwrap_or(0.0)),
            explain::rate(of_baseline),
            quantity::number(self.m.shapes.totals.0)
        )
    }

    fn limit(&self, answer: &QuestionStanding<'_>) -> String {
        let absolute = (self.absolute > 0.0).then(|| explain::difference(self.metric, self.absolute));
        explain::limit(sign(answer.question), answer.tolerance.regressed, absolute)
    }

    fn suspicion(&self, answer: &QuestionStanding<'_>, rows: &Rows<'_>) -> (Reason, String) {
        let (question, claim) = (answer.question, &answer.claim);
        let limit = self.limit(answer);
        if answer.healed {
            return (Reason::Healed, format!("was worse at first, no longer: {}; {limit}", self.moved(answer)));
        }
        if claim.p_alone > rule::P_SUSPECT {
            let sentence = format!(
                "{}; chance alone cannot explain it (p {} if requests are independent), bursts could (p {}): {}",
                self.shift(question),
                quantity::p_value(answer.p_independent),
                quantity::p_value(claim.p_alone),
                counts::concentration(question.slower.0.1.min(question.slower.1.1), &rows.strata(question.bound, question.slower_is_worse))
            );
            return (Reason::Bursts, sentence);
        }
        if claim.size == Size::Beyond && !claim.admissible {
            let seen =
                if question.intervals == 1 { "one interval".to_owned() } else { explain::count(question.intervals as u64, "interval") };
            return (Reason::Shift, format!("{}; all of it in {seen}, which proves nothing", self.moved(answer)));
        }
        let why = if claim.size == Size::Beyond {
            format!("{} would prove it", quantity::number(claim.levels.regressed.0 / claim.chances))
        } else {
            "beyond the smaller tolerance".to_owned()
        };
        (Reason::Shift, format!("{}; {why}; {limit}", self.moved(answer)))
    }

    fn acquittal(&self, answers: &[QuestionStanding<'_>]) -> String {
        let named = |required: bool| {
            let names: Vec<String> =
                answers.iter().filter(|answer| answer.question.required == required).map(|answer| answer.question.name()).collect();
            names.join(" and ")
        };
        let required = answers.iter().filter(|answer| answer.question.required);
        let levels: Vec<String> = required
            .map(|answer| {
                let (question, (before, after)) = (answer.question, answer.question.quantiles);
                format!(
                    "{} {} to {}, where {} would have shown",
                    question.name(),
                    self.quantity(before),
                    self.quantity(after),
                    self.quantity(question.detectable)
                )
            })
            .collect();
        let left = answers.iter().find(|answer| !answer.question.required).map(|answer| {
            let seen = quantity::number(self.m.shapes.totals.1);
            let needed = answer.question.needed;
            let more = if needed.is_finite() {
                format!("{} are needed", quantity::number(needed.ceil()))
            } else {
                "and no bound tells of it".to_owned()
            };
            format!("; {} is not judged: {seen} canary requests, {more}", named(false))
        });
        let moved = answers.iter().find(|answer| answer.claim.size == Size::Beyond);
        let moved = moved.map_or_else(
            || {
                let fraction = answers.first().map_or(0.0, |answer| answer.tolerance.regressed);
                let absolute =
                    if self.absolute > 0.0 { format!(" and {}", explain::difference(self.metric, self.absolute)) } else { String::new() };
                format!("no quantile moved beyond {}{absolute}", explain::rate(fraction))
            },
            |answer| format!("{}, which chance explains (p {})", self.shift(answer.question), quantity::p_value(answer.claim.p_alone)),
        );
        format!("{moved}: {}{}", levels.join("; "), left.unwrap_or_default())
    }

    fn open(&self, answer: &QuestionStanding<'_>) -> String {
        let question = answer.question;
        let name = question.name();
        if !question.may_pass {
            return format!("{name} lies above the last bucket bound ({})", self.quantity(self.bounds.last().copied().unwrap_or(0.0)));
        }
        let detectable = self.quantity(question.detectable);
        let seen = quantity::number(self.m.shapes.totals.1);
        let bursts = if question.inflation >= 2.0 {
            format!(
                "; slow requests come in bursts here (they vary {} times as much as independent ones)",
                quantity::number(question.inflation)
            )
        } else {
            String::new()
        };
        let upper = self.bounds.get(question.bucket).copied().unwrap_or(f64::INFINITY);
        if question.slower_is_worse && question.detectable <= upper {
            let lower = question.bucket.checked_sub(1).and_then(|j| self.bounds.get(j)).copied().unwrap_or(0.0);
            return format!(
                "{name} lies in one bucket from {} to {}, within which nothing is seen{bursts}",
                self.quantity(lower),
                self.quantity(upper)
            );
        }
        if question.room <= 0.0 {
            return format!(
                "{seen} canary requests leave open whether {name} is {detectable}: too many of them are about as slow as that{bursts}"
            );
        }
        format!("{seen} canary requests leave open whether {name} is {detectable}{bursts}")
    }

    /// What bounds would tell of a quantile that lies in a wide bucket.
    fn too_coarse(&self, answer: &QuestionStanding<'_>) -> Option<String> {
        let question = answer.question;
        let upper = self.bounds.get(question.bucket).copied().unwrap_or(f64::INFINITY);
        // More requests would tell, or the canary is as slow as that.
        if question.may_pass && question.resolved && question.detectable > upper {
            return None;
        }
        if !question.may_pass {
            let last = self.quantity(self.bounds.last().copied().unwrap_or(0.0));
            return Some(format!("add bucket bounds above {last}, where {} lies", question.name()));
        }
        let upper = self.bounds.get(question.bucket)?;
        let lower = question.bucket.checked_sub(1).and_then(|j| self.bounds.get(j)).copied().unwrap_or(0.0);
        Some(format!("add bucket bounds between {} and {}, where {} lies", self.quantity(lower), self.quantity(*upper), question.name()))
    }
}

fn numbers(m: &DistributionEstimate, answers: &[QuestionStanding<'_>], bounds: &[f64], aligned: bool, plan: bool) -> DistributionNumbers {
    let quantile = |answer: &QuestionStanding<'_>| {
        let question = answer.question;
        let share = |(requests, share): (f64, f64)| Share { requests, share };
        QuantileNumbers {
            quantile: question.tau,
            baseline: question.quantiles.0,
            canary: question.quantiles.1,
            shift: question.shift,
            relative_shift: finite(question.relative()),
            shift_interval: Some(Interval { level: 0.9, low: finite(question.interval.0), high: finite(question.interval.1) }),
            bucket: (question.bucket.checked_sub(1).and_then(|j| bounds.get(j)).copied(), bounds.get(question.bucket).copied()),
            bound: bounds.get(question.bound).copied().unwrap_or(0.0),
            resolved: question.resolved,
            slower_baseline: share(question.slower.0),
            slower_canary: share(question.slower.1),
            z: question.compared.z,
            p: answer.claim.p_alone,
            p_independent: answer.p_independent,
            p_looks: (plan && answer.claim.size == Size::Beyond).then_some(answer.claim.p),
            inflation: question.inflation,
            detectable: question.detectable,
            p_detectable: question.p_detectable(m.shapes.totals),
            required: question.required,
            status: match answer.rung {
                Rung::Regressed => Status::Regressed,
                Rung::Suspect => Status::Suspect,
                Rung::Acquitted if answer.question.required => Status::Pass,
                Rung::Acquitted | Rung::Open => Status::Inconclusive,
            },
        }
    };
    DistributionNumbers {
        requests_baseline: m.shapes.totals.0,
        requests_canary: m.shapes.totals.1,
        cles: m.theta,
        aligned,
        quantiles: answers.iter().map(quantile).collect(),
        curve: curve(m, bounds),
    }
}

/// Both cumulative distributions, from the first bound that any request is below to the last that any is above.
fn curve(m: &DistributionEstimate, bounds: &[f64]) -> Vec<CurvePoint> {
    let point =
        |(j, bound): (usize, &f64)| CurvePoint { bound: *bound, baseline: 1.0 - m.shapes.slower.0[j], canary: 1.0 - m.shapes.slower.1[j] };
    let all: Vec<CurvePoint> = bounds.iter().enumerate().map(point).collect();
    let tells = |one: &CurvePoint| one.baseline.max(one.canary) > 0.0 && one.baseline.min(one.canary) < 1.0;
    let first = all.iter().position(tells).unwrap_or(0).saturating_sub(1);
    let last = all.iter().rposition(tells).map_or(all.len(), |last| (last + 2).min(all.len()));
    let shown = all.get(first..last).unwrap_or_default();
    if shown.len() <= MOST_CURVE_POINTS {
        return shown.to_vec();
    }
    let at = |i: usize| shown.get(i * (shown.len() - 1) / (MOST_CURVE_POINTS - 1)).copied();
    (0..MOST_CURVE_POINTS).filter_map(at).collect()
}

/// "its last 5 intervals are worse: p95 140 ms where the baseline has 90 ms".
pub(in crate::haldane) fn recent_words(subject: &Subject<'_>, question: &Question, p: f64) -> String {
    let (before, after) = question.quantiles;
    let at = |value: f64| explain::quantity(subject.metric, value);
    format!("{} is {} where the baseline has {} (p {})", question.name(), at(after), at(before), quantity::p_value(p))
}
