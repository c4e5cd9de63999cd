//! The end of the window: is the canary worse now, if not over the whole of it? And has what was worse healed?

use super::ladder::{Claim, Rung, Size, walk};
use super::level::counts::{self, Reading};
use super::level::distribution;
use super::level::value::{self, Arms, relative_shift};
use super::numbers::ratio_to;
use super::remark::ExaminerRemark;
use super::rule;
use super::subject::Subject;
use super::tolerances::tolerances;
use crate::config::{Direction, Kind};
use crate::explain;
use crate::quantity;
use crate::scorecard::{Examiner, MetricResult, Mode, Reason, Status};
use crate::stats::Sample;
use crate::stats::differences::is_shift_below;

/// Part of the tolerance below which a shift is below it whatever is rounded.
const PLAINLY: f64 = 1.0 - 1e-6;

/// Points of the view of a window of `n`; `None` where it is too short for one.
fn view(n: usize) -> Option<usize> {
    let k = n.div_ceil(rule::RECENT.0).max(rule::RECENT.1);
    (n >= rule::RECENT.2 && k < n).then_some(k)
}

/// Looks at the last sixth: regressed there too by itself is suspect, and gross there is regressed.
pub(super) fn examine(subject: &Subject<'_>, result: &mut MetricResult) -> Option<ExaminerRemark> {
    if result.status == Status::Regressed || subject.metric.kind == Kind::Events {
        return None;
    }
    let k = view(subject.longest())?;
    if subject.cleaned.is_distribution() {
        of_buckets(subject, k)
    } else if subject.cleaned.is_counted() {
        of_counts(subject, k)
    } else {
        of_values(subject, k)
    }
}

fn observation(rung: Rung, mode: Mode, sentence: String) -> Option<ExaminerRemark> {
    Some(ExaminerRemark { examiner: Examiner::Recent, rung, reason: Reason::Recent, mode, sentence })
}

/// What one view says by itself: whether it is seen, and whether it is proved.
fn graded(claim: &Claim) -> (bool, bool) {
    let is_regressed = |claim: Claim| walk(&claim) == Rung::Regressed;
    // What a look shows by itself it shows under any plan.
    let seen = is_regressed(Claim { chances: rule::RECENT_SUSPECT, early: false, ..*claim });
    (seen, is_regressed(Claim { chances: claim.chances.max(rule::RECENT_SUSPECT), ..*claim }))
}

/// What all views together say: each must be seen, and proof takes that each is proved and gross.
fn together(views: impl Iterator<Item = ((bool, bool), bool)>) -> Rung {
    let (seen, proved) = views.fold((true, true), |(seen, proved), (view, gross)| (seen && view.0, proved && view.1 && gross));
    walk(&Claim::certain(Size::of(seen, seen && proved)))
}

fn of_values(subject: &Subject<'_>, k: usize) -> Option<ExaminerRemark> {
    let (baseline, canary) = (&subject.baseline, &subject.canary);
    let present = |values: &[f64]| values.iter().filter(|v| v.is_finite()).count();
    let recent = &canary[canary.len().saturating_sub(k)..];
    let last = &baseline[baseline.len().saturating_sub(k)..];
    let aligned = subject.cleaned.is_aligned();
    if present(recent) < rule::FEWEST || aligned && present(last) < rule::FEWEST {
        return None;
    }
    let chances = rule::RECENT_CHANCES * subject.chances();
    // Most views show nothing, which costs one shift to see.
    let tolerance = tolerances(subject.metric, rule::FULL_PAST).regressed;
    let sign = match subject.direction {
        Direction::Increase => 1.0,
        Direction::Decrease => -1.0,
        Direction::Either => 0.0,
    };
    let (recent_sample, whole_sample) = (Sample::of_present(recent).ok()?, subject.samples.as_ref()?);
    let shows_nothing = |against: &Sample| {
        let cheap = sign != 0.0 && subject.past.has_no_clock();
        // What is plainly below the tolerance needs no estimate.
        let plain = PLAINLY * tolerance * against.median().abs();
        let is_plain = || !subject.is_rate() && plain > 0.0 && is_shift_below(&recent_sample, against, sign, plain);
        cheap && (is_plain() || relative_shift(subject.is_rate(), sign, &recent_sample, against) * rule::REACHES < tolerance)
    };
    let mut views = Vec::with_capacity(2);
    // The same intervals first, whose shift costs less; each must show it.
    if aligned && shows_nothing(&Sample::of_present(last).ok()?) || shows_nothing(&whole_sample.baseline) {
        return None;
    }
    for against in [last, &baseline[..]].into_iter().skip(usize::from(!aligned)) {
        let arms = Arms { baseline: against, canary: recent, ..value::whole(subject) };
        let m = value::measure(&arms)?;
        let (claim, _) = value::claims(subject, &m, chances, [false; 2]);
        let (seen, gross) = (graded(&claim), value::is_gross(&m));
        if !seen.0 {
            return None;
        }
        views.push((seen, gross, m));
    }
    let rung = together(views.iter().map(|(seen, gross, _)| (*seen, *gross)));
    let (_, _, m) = views.last().filter(|_| rung >= Rung::Suspect)?;
    let sign = m.sign * subject.original_sign();
    let change = explain::change(if subject.mirror.is_some() { 1.0 } else { sign } * ratio_to(m.shift, m.level));
    let of = if subject.mirror.is_some() { " of what is left to the bound" } else { "" };
    let sentence = format!(
        "its last {} are worse than the baseline: {} {} ({change}{of})",
        explain::count(present(recent) as u64, "point"),
        if sign > 0.0 { "up by" } else { "down by" },
        explain::difference(subject.metric, m.shift.abs())
    );
    observation(rung, Mode::Statistical, sentence)
}

fn of_buckets(subject: &Subject<'_>, k: usize) -> Option<ExaminerRemark> {
    let cleaned = subject.cleaned;
    let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
    let chances = rule::RECENT_CHANCES * (subject.context.live_counts as f64 / rule::FREE_RATIOS).max(1.0) * subject.context.looks();
    let recent = n.1.saturating_sub(k)..n.1;
    let mut views = vec![distribution::part(subject, 0..n.0, recent.clone(), false)?];
    if cleaned.is_aligned() {
        views.push(distribution::part(subject, n.0.saturating_sub(k)..n.0, recent, true)?);
    }
    let of_views: Vec<_> = views.iter().map(|view| view.claims(subject.metric, chances)).collect();
    let of_question = |i: usize| {
        // Where either is worse, what is worse in one view and better in the other is neither.
        let mut ways = of_views.iter().filter_map(|claims| Some(claims.get(i)?.1.slower_is_worse));
        let way = ways.next();
        if ways.any(|other| Some(other) != way) {
            return Rung::Open;
        }
        let views = of_views.iter().filter_map(|claims| claims.get(i));
        together(views.map(|(claim, question)| (graded(claim), question.is_gross())))
    };
    let first = of_views.first()?;
    let (i, rung) = (0..first.len()).map(|i| (i, of_question(i))).max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))?;
    let (claim, question) = first.get(i)?;
    let words = distribution::recent_words(subject, question, claim.p);
    let sentence = format!("its last {} are worse: {words}", explain::count(k as u64, "interval"));
    if rung < Rung::Suspect { None } else { observation(rung, Mode::Distribution, sentence) }
}

fn of_counts(subject: &Subject<'_>, k: usize) -> Option<ExaminerRemark> {
    let cleaned = subject.cleaned;
    let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
    let (b, c) = (counts::PooledArm::of(&cleaned.baseline), counts::PooledArm::of(&cleaned.canary));
    let reading = Reading::of(subject.metric.direction, (b.events, b.total), (c.events, c.total));
    let tolerance = tolerances(subject.metric, 0);
    let absolute = counts::absolute_tolerance(subject.metric);
    let chances = rule::RECENT_CHANCES * (subject.context.live_counts as f64 / rule::FREE_RATIOS).max(1.0) * subject.context.looks();
    let recent = n.1.saturating_sub(k)..n.1;
    let mut views = vec![(0..n.0, false)];
    if cleaned.is_aligned() {
        views.push((n.0.saturating_sub(k)..n.0, true));
    }
    // Each view must show it, and most show nothing; the same intervals first, which are fewer.
    let mut strata = Vec::with_capacity(views.len());
    for (baseline, aligned) in views.into_iter().rev() {
        let view = counts::strata_of(cleaned, reading, baseline, recent.clone());
        if counts::size(&view, reading, aligned, tolerance, absolute) < Size::Beyond {
            return None;
        }
        strata.push((view, aligned));
    }
    let mut seen = Vec::with_capacity(strata.len());
    for (strata, aligned) in strata.into_iter().rev() {
        let m = counts::CountEstimate::of(&strata, reading, aligned, &[]);
        let p = m.compared.p();
        let claim = Claim {
            size: m.size(tolerance, absolute),
            p,
            p_alone: p,
            p_dependent: 0.0,
            levels: counts::LEVELS,
            chances,
            admissible: m.intervals >= rule::FEW_INTERVALS,
            visible: m.events >= rule::FEW_EVENTS,
            ..Claim::certain(Size::Small)
        };
        seen.push((graded(&claim), m));
    }
    let views = seen;
    let rung = together(views.iter().map(|(seen, m)| (*seen, m.relative() >= rule::GROSS.0)));
    let (_, m) = views.first().filter(|_| rung >= Rung::Suspect)?;
    let reported = |rate: f64| explain::rate(if reading.is_complement() { 1.0 - rate } else { rate });
    let sentence = format!(
        "its last {} are worse: {} where the baseline has {} (p {})",
        explain::count(k as u64, "interval"),
        reported(m.rates.1),
        reported(m.rates.0),
        quantity::p_value(m.compared.p())
    );
    observation(rung, Mode::Counts, sentence)
}
