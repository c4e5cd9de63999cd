//! Events without a total: how many intervals have any, and how many there are.

use super::same::{Same, same_arms, sameness};
use crate::config::{Direction, Kind};
use crate::draft::ResultDraft;
use crate::explain;
use crate::haldane::fallback::{by_limits, fall_back};
use crate::haldane::ladder::{self, Claim, Rung, Size};
use crate::haldane::minority::{PointTest, count_test, indicator};
use crate::haldane::numbers::{finite, ratio_to};
use crate::haldane::remark::ExaminerRemark;
use crate::haldane::rule;
use crate::haldane::subject::Subject;
use crate::quantity;
use crate::remedy;
use crate::scorecard::{EventNumbers, Examiner, Guard, MetricResult, Mode, Reason, Status};
use crate::stats::Sample;
use crate::stats::dependence::{lag1_autocorrelation, variance_inflation};
use crate::stats::prediction::{student_quantile, student_sf};

/// Events of one arm against the other's.
#[derive(Debug, Clone, Copy)]
pub(in crate::haldane) struct EventEstimate {
    /// Intervals with any: the arm that is asked about, the other, and their tests.
    pub(in crate::haldane) test: PointTest,
    /// p-value of the difference of the means, with each arm's own dependence.
    pub(in crate::haldane) p_sum: f64,
    /// Means of the baseline and of the canary, a interval.
    pub(in crate::haldane) means: (f64, f64),
    /// Difference, above 0 is worse, and its standard error.
    pub(in crate::haldane) shift: f64,
    error: f64,
    degrees: f64,
    /// Difference as a fraction of the mean of the arm that has less where it is worse.
    pub(in crate::haldane) relative: f64,
    /// Whether more events are worse, so that the canary is the arm that is asked about.
    rises: bool,
}

/// Compares the canary's events with the baseline's; `rises` says whether more are worse. `None` where an arm has no points.
pub(in crate::haldane) fn measure(baseline: &[f64], canary: &[f64], rises: bool) -> Option<EventEstimate> {
    let (asked, other) = if rises { (canary, baseline) } else { (baseline, canary) };
    let test = count_test(&indicator(other, |v| v > 0.0), &indicator(asked, |v| v > 0.0));
    let (b, c) = (Sample::of_present(other).ok()?, Sample::of_present(asked).ok()?);
    let (mb, mc) = (b.mean(), c.mean());
    let variance = |sample: &Sample, series: &[f64]| {
        let (n, mean) = (sample.len() as f64, sample.mean());
        if n < 2.0 {
            return f64::INFINITY;
        }
        let sd2 = sample.sorted().iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        sd2 * variance_inflation(lag1_autocorrelation(series), sample.len()) / n
    };
    let error = (variance(&c, asked) + variance(&b, other)).sqrt();
    let degrees = b.len().min(c.len()) as f64 - 1.0;
    let p_sum = if error > 0.0 && error.is_finite() {
        student_sf((mc - mb) / error, degrees)
    } else if mc > mb && error == 0.0 {
        0.0
    } else {
        1.0
    };
    let means = if rises { (mb, mc) } else { (mc, mb) };
    Some(EventEstimate { test, p_sum, means, shift: mc - mb, error, degrees, relative: ratio_to(mc - mb, mb), rises })
}

/// What the ladder is asked of events. `two_sided` doubles the p-values.
pub(in crate::haldane) fn claim(subject: &Subject<'_>, m: &EventEstimate, two_sided: bool) -> Claim {
    let times = if two_sided { 2.0 } else { 1.0 };
    let metric = subject.metric;
    let tolerance = metric.tolerance.relative.unwrap_or(rule::TOLERANCE.0);
    let large = m.shift > 0.0 && m.shift * rule::REACHES >= subject.absolute_tolerance();
    let reaches = |part: f64| large && m.relative * rule::REACHES >= part * tolerance;
    let p = times * m.test.p;
    // Each of the three bounds of the rule in units of the first.
    let sum = |level: f64, of_sum: f64| times * m.p_sum * level / of_sum;
    let levels = rule::POINT_LEVELS;
    Claim {
        size: Size::of(reaches(rule::EVENTS_SUSPECT), reaches(1.0)),
        p: p.max(sum(levels.regressed.0, levels.regressed.1)),
        p_alone: p.max(sum(levels.suspect.0, levels.suspect.1)),
        p_dependent: times * m.test.p_dependent,
        chances: (subject.chances() / rule::FREE_RATIOS).max(1.0),
        visible: m.test.asked >= rule::FEW_INTERVALS,
        ..Claim::certain(Size::Small)
    }
}

impl EventEstimate {
    /// Of baseline and canary: intervals with any, and all.
    fn intervals(&self) -> [(usize, usize); 2] {
        let (asked, other) = ((self.test.asked, self.test.n.1), (self.test.other, self.test.n.0));
        if self.rises { [other, asked] } else { [asked, other] }
    }
}

pub(in crate::haldane) fn words(subject: &Subject<'_>, m: &EventEstimate) -> String {
    let metric = subject.metric;
    let [(in_baseline, baseline), (in_canary, canary)] = m.intervals();
    let change = ratio_to(m.means.1 - m.means.0, m.means.0);
    format!(
        "{in_canary} of {} have any in the canary, {in_baseline} of {baseline} in the baseline; {} an interval against {}{}; p {}",
        explain::count(canary as u64, "interval"),
        explain::quantity(metric, m.means.1),
        explain::quantity(metric, m.means.0),
        if change.is_finite() { format!(" ({})", explain::change(change)) } else { String::new() },
        quantity::p_value(m.test.p)
    )
}

/// Events among values: a gauge or rate of which a rise is worse and that is nearly always 0. Its level is 0 whatever happens.
pub(in crate::haldane) fn examine(subject: &Subject<'_>, result: &mut MetricResult) -> Option<ExaminerRemark> {
    let by_level = subject.metric.kind == Kind::Events || subject.cleaned.counts_requests();
    if by_level || subject.direction != Direction::Increase || !subject.is_sparse() {
        return None;
    }
    let m = measure(&subject.baseline, &subject.canary, true)?;
    let rung = ladder::walk(&claim(subject, &m, false));
    if rung < Rung::Suspect {
        return None;
    }
    result.events = Some(numbers(&m));
    Some(ExaminerRemark { examiner: Examiner::Level, rung, reason: Reason::Events, mode: Mode::Statistical, sentence: words(subject, &m) })
}

fn numbers(m: &EventEstimate) -> EventNumbers {
    let [(intervals_baseline, _), (intervals_canary, _)] = m.intervals();
    EventNumbers {
        intervals_baseline,
        intervals_canary,
        mean_baseline: m.means.0,
        mean_canary: m.means.1,
        relative_shift: finite(m.relative),
        p: m.test.p,
        p_dependent: m.test.p_dependent,
        p_sum: m.p_sum,
    }
}

pub(super) fn judge(mut draft: ResultDraft, subject: &Subject<'_>) -> MetricResult {
    debug_assert!(subject.metric.kind == Kind::Events);
    let (metric, context) = (subject.metric, subject.context);
    let rises = match subject.direction {
        Direction::Increase => true,
        Direction::Decrease => false,
        Direction::Either => {
            let mean = |values: &[f64]| Sample::of_present(values).map_or(0.0, |sample| sample.mean());
            mean(&subject.canary) >= mean(&subject.baseline)
        }
    };
    let Some(m) = measure(&subject.baseline, &subject.canary, rises) else {
        draft.decide(Status::NoData, Reason::LowCoverage, Mode::None, "there are no points".to_owned());
        return draft.close();
    };
    if let Some(same @ Same::Series) = sameness(subject) {
        return same_arms(draft, subject, &same);
    }
    draft.result.events = Some(numbers(&m));
    if m.means == (0.0, 0.0) {
        let sentence = "no events seen in either arm, so that nothing could differ";
        draft.decide(Status::Pass, Reason::Identical, Mode::None, sentence.to_owned());
        return draft.close();
    }
    let few = m.test.n.0.min(m.test.n.1);
    let needed = rule::FEWEST_RATE.max(metric.min_points as usize);
    // A doubling, or what the absolute tolerance allows, must be excluded for a pass.
    let detectable = (metric.detectable * if rises { m.means.0 } else { m.means.1 }).max(metric.tolerance.absolute.unwrap_or(0.0));
    let p_detectable = if m.error > 0.0 { student_sf((detectable - m.shift) / m.error, m.degrees) } else { 1.0 };
    let claim = Claim {
        p_detectable: (few >= needed && detectable > 0.0).then_some(p_detectable),
        p_pass: rule::P_PASS / context.passing_looks(),
        ..claim(subject, &m, metric.direction == Direction::Either)
    };
    // What the canary would have had, were it so much worse.
    let worse = if rises { m.means.0 + detectable } else { (m.means.0 - detectable).max(0.0) };
    let worse = if worse.is_finite() { explain::quantity(metric, worse) } else { "infinitely many".to_owned() };
    let what = words(subject, &m);
    match ladder::walk(&claim) {
        Rung::Regressed => draft.decide(Status::Regressed, Reason::Events, Mode::Statistical, what),
        Rung::Suspect => draft.decide(Status::Suspect, Reason::Events, Mode::Statistical, what),
        Rung::Acquitted => {
            draft.decide(Status::Pass, Reason::WithinTolerance, Mode::Statistical, format!("{what}; {worse} an interval would have shown"));
        }
        Rung::Open => {
            if few < needed {
                draft.guard(Guard::FewPoints, format!("{} where {needed} are needed", explain::count(few as u64, "interval")));
                draft.result.remedies = remedy::for_points(metric, needed - few, context.step_seconds);
            } else {
                let why = match (detectable > 0.0, rises) {
                    (false, _) => "the baseline had none, so that no fraction can be told; state tolerance.absolute".to_owned(),
                    (true, true) => format!("a rise to {worse} an interval could not be ruled out"),
                    (true, false) => format!("a fall to {worse} an interval could not be ruled out"),
                };
                draft.guard(Guard::CouldNotDetect, format!("{what}; {why}"));
                let room = (detectable - m.shift).max(0.0) / student_quantile(1.0 - claim.p_pass, m.degrees.max(1.0));
                let growth = if room > 0.0 { (m.error / room).powi(2).max(1.0) } else { f64::INFINITY };
                draft.result.remedies = remedy::for_values(metric, growth, context.observed_seconds, context.step_seconds);
            }
            fall_back(&mut draft, by_limits(subject));
        }
    }
    draft.close()
}
