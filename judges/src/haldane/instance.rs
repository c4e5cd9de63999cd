//! One bad instance: one of the canary's that behaves unlike all others, which an average over the arm hides.
//!
//! h of an instance is the median over time of its value over the mean of the baseline's instances in the same interval, so that what
//! moves all instances cancels out. An instance's h is tested against those of all other instances, of both arms where they are
//! observed over the same intervals (`stats::prediction`). It is regressed when p <= .05 / (m k), k being the canary's instances,
//! and when it differs by the metric's tolerance, relative (25 % unless the config states one, at least 10 %) and absolute: hosts
//! differ by 10 % for no reason. On real hosts of one service 4.2 % of healthy metrics have an instance that differs by 10 % at
//! this p-value, and 0.5 % one that differs by 25 %.

use super::ladder::{Claim, Rung, Size, walk};
use super::numbers::{finite, ratio_to};
use super::remark::ExaminerRemark;
use super::rule::Levels;
use super::subject::Subject;
use crate::config::{Direction, Metric};
use crate::evidence::Instance;
use crate::explain;
use crate::quality::CleanMetric;
use crate::scorecard::{Examiner, InstanceNumbers, MetricResult, Mode, Reason, Status};
use crate::stats::prediction::{Moments, Prediction, prediction_from, prediction_test};
use crate::stats::{Sample, median_of_sorted};

/// Instances that the canary needs.
const FEWEST: usize = 3;
/// Points that an instance needs, beside half of the window's.
const FEWEST_POINTS: usize = 3;
/// Relative tolerance where the config states none, and the smallest one.
const TOLERANCE: f64 = 0.25;
const LEAST_TOLERANCE: f64 = 0.10;
/// Level of the test, shared among the metrics and the canary's instances.
const P: f64 = 0.05;
/// Standard error of a median in standard errors of a mean, for normal values.
const MEDIAN_ERROR: f64 = 1.2533;
/// Instances up to which each is held against all others one by one; the moments of more are those of the parts before and after it, which
/// are the same but for the last digits.
const FEW: usize = 500;
/// Longest instance name that is shown, in characters.
const LONGEST_NAME: usize = 100;

/// Where one instance stands.
struct Stand {
    name: String,
    /// Median of its values over the reference.
    height: f64,
    /// Standard error of that median.
    error: f64,
}

/// What sets one of the canary's instances apart.
struct Apart {
    name: String,
    /// Its level as a fraction above that of the others, as it is.
    relative: f64,
    /// Its level and that of the others, in the unit.
    levels: (f64, f64),
    /// Above 0 is worse.
    sign: f64,
    p: f64,
}

impl Apart {
    fn worse(&self) -> f64 {
        self.sign * self.relative
    }
}

pub(super) fn examine(subject: &Subject<'_>, result: &mut MetricResult) -> Option<ExaminerRemark> {
    let (metric, context) = (subject.metric, subject.context);
    let (canary, apart) = compare(metric, subject.cleaned);
    let instances = canary.max(1) as f64;
    let p_limit = P / (context.chances_of(context.live) * instances);
    let relative = metric.tolerance.relative.unwrap_or(TOLERANCE).max(LEAST_TOLERANCE);
    let absolute = subject.absolute_tolerance();
    if let Some(worst) = apart.first() {
        let numbers = InstanceNumbers { name: worst.name.clone(), relative: worst.worse(), p: worst.p, p_limit };
        result.worst_instance = finite(numbers.relative).map(|_| numbers);
    }
    let rung = |one: &Apart| {
        let large = one.worse() >= relative && one.sign * (one.levels.0 - one.levels.1) >= absolute;
        walk(&Claim {
            p: one.p,
            p_alone: one.p * instances,
            levels: Levels { regressed: (P / instances, 1.0), suspect: (P, 1.0) },
            chances: context.chances_of(context.live),
            ..Claim::certain(Size::of(large, large))
        })
    };
    let graded: Vec<(Rung, &Apart)> = apart.iter().map(|one| (rung(one), one)).filter(|(rung, _)| *rung >= Rung::Suspect).collect();
    let (rung, worst) = *graded.iter().max_by(|a, b| a.0.cmp(&b.0).then(b.1.p.total_cmp(&a.1.p)))?;
    // Where most of its instances are unlike the rest it is the canary as a whole.
    if result.status == Status::Regressed && 2 * graded.len() > canary {
        return None;
    }
    let others: Vec<String> = graded.iter().filter(|(_, one)| one.name != worst.name).map(|(_, one)| one.name.clone()).collect();
    let likewise = if others.is_empty() { String::new() } else { format!("; likewise {}", explain::names(&others)) };
    let tolerated = (absolute > 0.0).then(|| explain::difference(metric, absolute));
    let sentence = format!(
        "`{}` is unlike all other instances: {} where they have {} ({}){likewise}; {}",
        worst.name,
        explain::quantity(metric, worst.levels.0),
        explain::quantity(metric, worst.levels.1),
        explain::change(worst.relative),
        explain::limit(worst.sign, relative, tolerated)
    );
    if result.status == Status::Regressed && rung == Rung::Regressed {
        // The arm moved because of it: the instance is what to look at first.
        result.sentence = format!("{sentence}; the canary as a whole {}", result.sentence);
        (result.reason, result.examiner) = (Reason::Instance, Examiner::Instance);
        return None;
    }
    Some(ExaminerRemark { examiner: Examiner::Instance, rung, reason: Reason::Instance, mode: Mode::Statistical, sentence })
}

/// The number of the canary's instances that can be compared, and how each stands apart, the least likely first.
fn compare(metric: &Metric, cleaned: &CleanMetric) -> (usize, Vec<Apart>) {
    let length = cleaned.canary.points.len();
    let canary: Vec<&Instance> = cleaned.canary.instances.iter().filter(|i| is_usable(i, length)).collect();
    if canary.len() < FEWEST {
        return (canary.len(), Vec::new());
    }
    let aligned = |i: &&Instance| cleaned.is_aligned() && is_usable(i, length);
    let baseline: Vec<&Instance> = cleaned.baseline.instances.iter().filter(aligned).collect();
    let reference = reference(if baseline.is_empty() { &canary } else { &baseline }, length);
    let stands = |arm: &[&Instance]| arm.iter().filter_map(|i| stand(i, &reference)).collect::<Vec<Stand>>();
    let (canary, baseline) = (stands(&canary), stands(&baseline));
    let mut level: Vec<f64> = reference.iter().copied().filter(|v| v.is_finite()).collect();
    level.sort_unstable_by(f64::total_cmp);
    let level = median_of_sorted(&level);
    let others = Others::of(canary.iter().chain(&baseline));
    let of = |(i, one): (usize, &Stand)| {
        let test = others.predict(i, one)?;
        let (sign, p) = match metric.direction {
            Direction::Increase => (1.0, test.p.greater),
            Direction::Decrease => (-1.0, test.p.less),
            Direction::Either => (1f64.copysign(test.difference), test.p.two_sided),
        };
        let usual = one.height - test.difference;
        let relative = ratio_to(test.difference, usual.abs());
        Some(Apart { name: one.name.clone(), relative, levels: (level * one.height, level * usual), sign, p })
    };
    let mut apart: Vec<Apart> = canary.iter().enumerate().filter_map(of).collect();
    apart.sort_by(|a, b| a.p.total_cmp(&b.p).then(b.worse().total_cmp(&a.worse())).then(a.name.cmp(&b.name)));
    (canary.len(), apart)
}

/// The instances that each of the canary's is held against, less itself.
struct Others {
    /// Their heights. One that stands at 0 is idle or dead, and no measure of the others.
    heights: Vec<f64>,
    /// Of each stand, its place among the heights.
    places: Vec<Option<usize>>,
    /// Errors, ascending, and the place of each height's own among them.
    errors: Vec<f64>,
    error_places: Vec<usize>,
    /// Moments of the heights up to each place, and from it on, where they are many.
    up_to: Vec<Moments>,
    from: Vec<Moments>,
}

impl Others {
    fn of<'a>(stands: impl Iterator<Item = &'a Stand>) -> Self {
        let (mut heights, mut places, mut by_error) = (Vec::new(), Vec::new(), Vec::new());
        for stand in stands {
            let counts = stand.height > 0.0;
            places.push(counts.then_some(heights.len()));
            if counts {
                by_error.push((stand.error, heights.len()));
                heights.push(stand.height);
            }
        }
        by_error.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut error_places = vec![0; heights.len()];
        by_error.iter().enumerate().for_each(|(at, (_, place))| error_places[*place] = at);
        let errors = by_error.into_iter().map(|(error, _)| error).collect();
        let (mut up_to, mut from) = (Vec::new(), Vec::new());
        if heights.len() > FEW {
            let add = |sum: &mut Moments, height: &f64| {
                let before = *sum;
                *sum = sum.and(Moments::of(*height));
                Some(before)
            };
            up_to = heights.iter().scan(Moments::default(), add).collect();
            from = heights.iter().rev().scan(Moments::default(), add).collect();
            from.reverse();
        }
        Self { heights, places, errors, error_places, up_to, from }
    }

    /// Holds a stand, the first of all being the canary's, against all others.
    fn predict(&self, i: usize, stand: &Stand) -> Option<Prediction> {
        let place = self.places.get(i).copied().flatten();
        let but = |at: Option<usize>, k: usize| k + usize::from(at.is_some_and(|at| k >= at));
        let n = self.heights.len() - usize::from(place.is_some());
        // The median of the errors but for its own.
        let own = place.and_then(|place| self.error_places.get(place)).copied();
        let error = |k: usize| self.errors.get(but(own, k)).copied().unwrap_or(0.0);
        let least = match n {
            0 => 0.0,
            _ if n % 2 == 1 => error(n / 2),
            _ => f64::midpoint(error(n / 2 - 1), error(n / 2)),
        };
        let parts = match place {
            Some(place) => self.up_to.get(place).zip(self.from.get(place)).map(|(before, after)| before.and(*after)),
            None => self.from.first().zip(self.heights.first()).map(|(rest, first)| Moments::of(*first).and(*rest)),
        };
        match parts {
            Some(others) => prediction_from(stand.height, &others, least).ok(),
            None => {
                let others: Vec<f64> = (0..n).filter_map(|k| self.heights.get(but(place, k)).copied()).collect();
                prediction_test(stand.height, &others, least).ok()
            }
        }
    }
}

/// Whether an instance has points in at least half of the window's intervals.
fn is_usable(instance: &Instance, length: usize) -> bool {
    let present = instance.values.iter().filter(|v| v.is_finite()).count();
    instance.values.len() == length && present >= FEWEST_POINTS && 2 * present >= length
}

/// Mean in each interval over the instances that have a point; NaN where none has, or where it is not above 0.
fn reference(instances: &[&Instance], length: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); length];
    for instance in instances {
        for ((sum, n), v) in sums.iter_mut().zip(&instance.values).filter(|(_, v)| v.is_finite()) {
            *sum += v;
            *n += 1.0;
        }
    }
    sums.into_iter().map(|(sum, n)| if n > 0.0 && sum > 0.0 { sum / n } else { f64::NAN }).collect()
}

fn stand(instance: &Instance, reference: &[f64]) -> Option<Stand> {
    let over: Vec<f64> = instance.values.iter().zip(reference).map(|(v, reference)| v / reference).collect();
    let over = Sample::of_present(&over).ok()?;
    let (n, mean) = (over.len() as f64, over.mean());
    let variance = over.sorted().iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let name = instance.name.chars().take(LONGEST_NAME).collect();
    Some(Stand { name, height: over.median(), error: MEDIAN_ERROR * (variance / n).sqrt() })
}
