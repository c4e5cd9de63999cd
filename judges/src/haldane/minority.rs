//! A minority of points: are some of the canary's far worse, if not the typical one?

use super::ladder::{Claim, Rung, Size, walk};
use super::numbers::ratio_to;
use super::past::both_arms;
use super::remark::ExaminerRemark;
use super::rule;
use super::subject::Subject;
use crate::config::Direction;
use crate::explain;
use crate::quantity;
use crate::scorecard::{Examiner, MetricResult, Mode, Reason};
use crate::stats::dependence::{lag1_autocorrelation, pooled_inflation};
use crate::stats::hypergeometric::hypergeometric_sf;
use crate::stats::{Sample, median_of, median_of_sorted, normal_isf, normal_sf, quantile_of_sorted};

/// How many points of each arm are past something.
#[derive(Debug, Clone, Copy)]
pub(super) struct PointTest {
    /// Points of the arm that is asked about that are, and of the other.
    pub(super) asked: usize,
    pub(super) other: usize,
    /// Points of the other arm, and of the one that is asked about.
    pub(super) n: (usize, usize),
    /// Exact conditional p-value that the arm which is asked about has so many.
    pub(super) p: f64,
    /// The same with its variance inflated for runs of such points.
    pub(super) p_dependent: f64,
}

/// 1 where a condition holds, 0 where it does not, NaN where there is no point.
pub(super) fn indicator(values: &[f64], holds: impl Fn(f64) -> bool) -> Vec<f64> {
    values.iter().map(|v| if v.is_finite() { f64::from(u8::from(holds(*v))) } else { f64::NAN }).collect()
}

/// Compares the numbers of points that an indicator picks in two arms: Fisher's exact test, one-sided.
pub(super) fn count_test(other: &[f64], asked: &[f64]) -> PointTest {
    let count = |arm: &[f64]| arm.iter().filter(|v| v.is_finite()).fold((0usize, 0usize), |(n, x), v| (n + 1, x + usize::from(*v > 0.0)));
    let ((nb, xb), (nc, xc)) = (count(other), count(asked));
    let none = PointTest { asked: xc, other: xb, n: (nb, nc), p: 1.0, p_dependent: 1.0 };
    if xc == 0 || nb == 0 {
        return none;
    }
    let p = hypergeometric_sf(xc as u64, (nb + nc) as u64, (xb + xc) as u64, nc as u64);
    let inflation = pooled_inflation(lag1_autocorrelation(asked), nc, lag1_autocorrelation(other), nb);
    PointTest { p, p_dependent: normal_sf(normal_isf(p) / inflation.sqrt()), ..none }
}

/// Mean of the worst part of ascending values.
fn worst_mean(sorted: &[f64]) -> f64 {
    let k = sorted.len().div_ceil(rule::MINORITY.0).max(1).min(sorted.len());
    sorted[sorted.len() - k..].iter().sum::<f64>() / k.max(1) as f64
}

fn ascending(values: &[f64], sign: f64) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().filter(|v| v.is_finite()).map(|v| sign * v + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Centre and 90 % quantile of the placebo shifts of the same mean, as fractions of the level; `None` with too few windows.
fn usual(subject: &Subject<'_>, sign: f64) -> Option<(f64, f64)> {
    let past = &subject.past;
    let n = (subject.baseline.len(), subject.canary.len());
    let pairs = both_arms((past.baseline.len(), past.canary.len()), n);
    let windows: Vec<(f64, f64)> = pairs
        .into_iter()
        .filter_map(|pair| {
            let (b, c) = (ascending(&past.baseline[pair.baseline], sign), ascending(&past.canary[pair.canary], sign));
            let enough = |sorted: &[f64], n: usize| sorted.len() >= (n / 2).max(2);
            (enough(&b, n.0) && enough(&c, n.1)).then(|| (worst_mean(&c) - worst_mean(&b), median_of_sorted(&b).abs()))
        })
        .collect();
    if windows.len() < rule::ENOUGH_WINDOWS {
        return None;
    }
    let sorted = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let floor = rule::LEVEL_FLOOR * median_of_sorted(&sorted(windows.iter().map(|(_, level)| *level).collect()));
    let relative: Vec<f64> =
        windows.iter().map(|(shift, level)| ratio_to(*shift, level.max(floor)).clamp(-rule::LARGEST_SHIFT, rule::LARGEST_SHIFT)).collect();
    let centre = median_of_sorted(&sorted(relative.clone()));
    let sizes = sorted(relative.iter().map(|r| (r - centre).abs()).collect());
    Some((centre, quantile_of_sorted(&sizes, rule::PLACEBO_QUANTILE.0)))
}

/// What one side of a metric shows.
struct MinorityLook {
    rung: Rung,
    test: PointTest,
    cut: f64,
    worst: (f64, f64),
}

fn look(subject: &Subject<'_>, sign: f64, sides: f64) -> Option<MinorityLook> {
    let samples = subject.samples.as_ref()?;
    if samples.baseline.len().min(samples.canary.len()) < rule::MINORITY.1 {
        return None;
    }
    let turned = |sample: &'_ Sample| if sign < 0.0 { sample.negated() } else { sample.clone() };
    let (b, c) = (turned(&samples.baseline), turned(&samples.canary));
    let (b, c) = (b.sorted(), c.sorted());
    let (worst_b, worst_c) = (worst_mean(b), worst_mean(c));
    let (median_b, median_c) = (median_of_sorted(b), median_of_sorted(c));
    let moved = worst_c - worst_b;
    if moved <= 0.0 || moved < subject.absolute_tolerance() {
        return None;
    }
    let relative = ratio_to(moved, median_b.abs());
    let times = (worst_c - median_b) / (worst_b - median_b).max(1e-300);
    if relative < rule::MINORITY_SHIFT.0 {
        return None;
    }
    let distances = b.iter().map(|v| (v - median_b).abs()).chain(c.iter().map(|v| (v - median_c).abs()));
    let in_noise = ratio_to(moved, 1.4826 * median_of(distances.collect()));
    let usual = usual(subject, sign);
    // A second look at the same points; only a regression knows how many metrics and looks there are.
    let large = |chances: f64| {
        let doublings = rule::EACH_DOUBLING * (2.0 * chances).log2();
        match usual {
            Some((centre, quantile)) => {
                let needed = rule::MINORITY_SHIFT.0.max((rule::MINORITY_USUAL + doublings) * quantile);
                times >= rule::MINORITY_TIMES.1 && in_noise >= rule::MINORITY_NOISE.1 && relative - centre >= needed
            }
            None => times >= rule::MINORITY_TIMES.0 && in_noise >= rule::MINORITY_NOISE.0 + doublings,
        }
    };
    if !large(rule::MINORITY_SUSPECT) {
        return None;
    }
    let mut pooled: Vec<f64> = b.iter().chain(c).copied().collect();
    pooled.sort_unstable_by(f64::total_cmp);
    let at = |quantile: f64| {
        let cut = quantile_of_sorted(&pooled, quantile);
        let past = |values: &[f64]| indicator(values, |v| sign * v > cut);
        (cut, count_test(&past(&subject.baseline), &past(&subject.canary)))
    };
    let ((cut, few), (lower, many)) = (at(rule::MINORITY_CUT.0), at(rule::MINORITY_CUT.1));
    // A start-up that healed is no proof.
    let tail = ascending(&subject.canary[subject.canary.len() - subject.canary.len().div_ceil(rule::HEALED.0)..], sign);
    let stays = !tail.is_empty() && worst_mean(&tail) - worst_b >= moved / 2.0;
    let beyond = large(subject.chances().max(rule::MINORITY_SUSPECT))
        && stays
        && relative >= rule::MINORITY_SHIFT.1
        && times >= rule::MINORITY_TIMES.2;
    let claim = |test: &PointTest, size: Size| Claim {
        size,
        p: sides * test.p,
        p_alone: sides * test.p,
        p_dependent: sides * test.p_dependent,
        levels: rule::MINORITY_LEVELS,
        ..Claim::certain(size)
    };
    let by_many = walk(&claim(&many, if beyond { Size::Beyond } else { Size::Small }));
    if by_many == Rung::Regressed {
        return Some(MinorityLook { rung: by_many, test: many, cut: lower, worst: (worst_b, worst_c) });
    }
    let by_few = walk(&claim(&few, Size::Near));
    (by_few == Rung::Suspect).then_some(MinorityLook { rung: by_few, test: few, cut, worst: (worst_b, worst_c) })
}

/// Looks at the worst fifth of the points. Not at sparse values, which are counted as events, nor at counts, whose minutes are strata.
pub(super) fn examine(subject: &Subject<'_>, _: &mut MetricResult) -> Option<ExaminerRemark> {
    if subject.cleaned.counts_requests() || subject.is_sparse() || subject.metric.kind == crate::config::Kind::Events {
        return None;
    }
    let signs: &[f64] = match subject.direction {
        Direction::Increase => &[1.0],
        Direction::Decrease => &[-1.0],
        Direction::Either => &[1.0, -1.0],
    };
    let found = signs.iter().filter_map(|sign| Some((*sign, look(subject, *sign, signs.len() as f64)?)));
    let (sign, side) = found.max_by_key(|(_, side)| side.rung)?;
    let metric = subject.metric;
    let shown = |value: f64| explain::quantity(metric, subject.original(sign * value));
    let past = if sign * subject.original_sign() > 0.0 { "above" } else { "below" };
    let sentence = format!(
        "{} of {} points are {past} {}, {} of {} in the baseline; the worst fifth averages {} against {} (p {})",
        side.test.asked,
        side.test.n.1,
        shown(side.cut),
        side.test.other,
        side.test.n.0,
        shown(side.worst.1),
        shown(side.worst.0),
        quantity::p_value(side.test.p)
    );
    Some(ExaminerRemark { examiner: Examiner::Minority, rung: side.rung, reason: Reason::Minority, mode: Mode::Statistical, sentence })
}
