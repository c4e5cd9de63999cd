//! From metrics to the canary: score, verdict, reasons, recommendation.

use std::collections::BTreeMap;

use crate::config::{CheckedConfig, FailOn};
use crate::evidence::{Arm, Evidence, JudgeName, Looks, Observation, Points};
use crate::explain;
use crate::population;
use crate::scorecard::{
    Action, GroupScore, Judgement, MetricResult, Reason, Recommendation, Remedy, Status, StatusCounts, Verdict, VerdictCause, VerdictReason,
};

/// Proposals to change the config that are told one by one.
const MOST_PROPOSALS: usize = 3;
/// A traffic split this unlikely, and this far off, is not what the rollout believes.
const SPLIT_P: f64 = 1e-6;
const SPLIT_OFF: f64 = 0.2;

/// Draws the canary's verdict from its metrics; `late` says of which there was no time to judge them.
pub(crate) fn judgement(
    judge: JudgeName,
    config: &CheckedConfig,
    evidence: &Evidence,
    live: usize,
    metrics: Vec<MetricResult>,
    late: &[bool],
) -> Judgement {
    let groups = group_scores(config, &metrics);
    let score = total_score(&groups);
    let population = population::check(config, evidence);
    let mut reasons = failures(config, &metrics, score);
    reasons.extend(population.failures);
    let fails = !reasons.is_empty();
    // Before the other doubts: what a mixed arm reports says little about any version.
    reasons.extend(population.doubts);
    let verdict = if !fails {
        reasons.extend(doubts(config, evidence, &metrics, late, score));
        reasons.extend(on_track(config, evidence).filter(|_| reasons.is_empty()));
        if reasons.is_empty() { Verdict::Pass } else { Verdict::Marginal }
    } else {
        Verdict::Fail
    };
    let recommendation = recommendation(config, evidence, &metrics, verdict, &reasons, population.advice);
    let summary = summary(verdict, &metrics, &reasons);
    Judgement {
        verdict,
        score,
        advisory: false,
        would_be: None,
        looks: evidence.looks,
        summary,
        recommendation,
        reasons,
        judge,
        config: config.name.clone(),
        config_digest: config.digest(),
        comparison: evidence.comparison,
        live_metrics: live,
        counts: count(&metrics),
        groups,
        metrics,
        warnings: split_warning(config, evidence).into_iter().collect(),
        aca: None,
    }
}

fn count(metrics: &[MetricResult]) -> StatusCounts {
    let of = |status: Status| metrics.iter().filter(|metric| metric.status == status).count();
    StatusCounts {
        regressed: of(Status::Regressed),
        suspect: of(Status::Suspect),
        pass: of(Status::Pass),
        inconclusive: of(Status::Inconclusive),
        no_data: of(Status::NoData),
        error: of(Status::Error),
    }
}

/// 100 (pass + suspect / 2) / (pass + suspect + regressed) for each group; weights normalised over the groups that were judged.
fn group_scores(config: &CheckedConfig, metrics: &[MetricResult]) -> Vec<GroupScore> {
    let mut groups: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for metric in metrics.iter().filter(|metric| !metric.muted) {
        let (credit, judged) = match metric.status {
            Status::Pass => (1.0, 1.0),
            Status::Suspect => (0.5, 1.0),
            Status::Regressed => (0.0, 1.0),
            Status::Inconclusive | Status::NoData | Status::Error => (0.0, 0.0),
        };
        for group in &metric.groups {
            let sums = groups.entry(group).or_default();
            *sums = (sums.0 + credit, sums.1 + judged);
        }
    }
    let weight = |name: &str| if config.groups.is_empty() { 1.0 } else { config.groups.get(name).copied().unwrap_or(0.0) };
    let total: f64 = groups.iter().filter(|(_, (_, judged))| *judged > 0.0).map(|(name, _)| weight(name)).sum();
    groups
        .iter()
        .map(|(name, (credit, judged))| {
            let score = (*judged > 0.0).then(|| 100.0 * credit / judged);
            let share = if score.is_some() && total > 0.0 { weight(name) / total } else { 0.0 };
            GroupScore { name: (*name).to_owned(), weight: share, score }
        })
        .collect()
}

fn total_score(groups: &[GroupScore]) -> Option<f64> {
    let judged = groups.iter().any(|group| group.weight > 0.0);
    let score: f64 = groups.iter().filter_map(|group| group.score.map(|score| score * group.weight)).sum();
    // Two decimals: shares like 1/3 would otherwise leave 99.99999999999999 where every group passed.
    judged.then(|| (score * 100.0).round() / 100.0)
}

/// Whether the arms could have differed at all: neither one constant in both, nor one series.
fn could_differ(metric: &MetricResult) -> bool {
    !matches!(metric.reason, Reason::Identical | Reason::SameSeries)
}

/// Whether a metric that could differ is neither acquitted nor speaks against the canary.
fn is_open(metric: &MetricResult) -> bool {
    matches!(metric.status, Status::Inconclusive | Status::NoData) && could_differ(metric)
}

/// "; not decided: `a` and `b`": what is not a pass in a canary that passes.
fn undecided_words(metrics: &[MetricResult]) -> String {
    let open = named(metrics, |m| matches!(m.status, Status::Inconclusive | Status::NoData));
    if open.is_empty() { String::new() } else { format!("; not decided: {}", explain::names(&open)) }
}

fn named<'a>(metrics: &'a [MetricResult], wanted: impl Fn(&MetricResult) -> bool + 'a) -> Vec<String> {
    metrics.iter().filter(|metric| !metric.muted && wanted(metric)).map(|metric| metric.name.clone()).collect()
}

/// The metrics that count and that there was no time to judge.
pub(crate) fn late_names(metrics: &[MetricResult], late: &[bool]) -> Vec<String> {
    metrics.iter().zip(late).filter(|(metric, late)| **late && !metric.muted).map(|(metric, _)| metric.name.clone()).collect()
}

/// Why a canary with such metrics does not pass.
pub(crate) fn not_in_time(late: Vec<String>) -> Option<VerdictCause> {
    let verb = if late.len() == 1 { "was" } else { "were" };
    let sentence = format!("{} {verb} not judged by the request's deadline", explain::names(&late));
    (!late.is_empty()).then_some(VerdictCause { reason: VerdictReason::Error, metrics: late, sentence })
}

/// The reasons for which the canary fails; none where it does not.
fn failures(config: &CheckedConfig, metrics: &[MetricResult], score: Option<f64>) -> Vec<VerdictCause> {
    let regressed = named(metrics, |metric| {
        metric.status == Status::Regressed && (config.fail_on == FailOn::Any || config.fail_on == FailOn::Critical && metric.critical)
    });
    let mut reasons = Vec::new();
    if !regressed.is_empty() {
        let verb = if regressed.len() == 1 { "is" } else { "are" };
        let kind = if config.fail_on == FailOn::Critical { "critical and regressed" } else { "regressed" };
        let sentence = format!("{} {verb} {kind}", explain::names(&regressed));
        reasons.push(VerdictCause { reason: VerdictReason::Regressed, metrics: regressed, sentence });
    }
    if let (FailOn::Score, Some(score)) = (config.fail_on, score)
        && score < config.thresholds.marginal
    {
        let sentence = format!("the score {score} is below {}", config.thresholds.marginal);
        reasons.push(VerdictCause { reason: VerdictReason::Score, metrics: named(metrics, |m| m.status == Status::Regressed), sentence });
    }
    reasons
}

/// The plan, where looks of it are left.
fn unfinished(evidence: &Evidence) -> Option<Looks> {
    evidence.looks.filter(|plan| plan.look < plan.looks)
}

/// Why a canary that nothing speaks against does not pass at this look: only the last one passes it, unless the caller wants it sooner.
fn on_track(config: &CheckedConfig, evidence: &Evidence) -> Option<VerdictCause> {
    let plan = unfinished(evidence)?;
    let long_enough = evidence.observed_seconds >= config.min_observation.seconds() as f64;
    (!(plan.early_pass && long_enough)).then(|| VerdictCause {
        reason: VerdictReason::OnTrack,
        metrics: Vec::new(),
        sentence: format!("on track, look {} of {}", plan.look, plan.looks),
    })
}

/// Seconds until the last look, at the pace so far.
fn left_of_plan(plan: Looks, evidence: &Evidence) -> f64 {
    evidence.observed_seconds / f64::from(plan.look.max(1)) * f64::from(plan.looks.saturating_sub(plan.look))
}

/// The reasons for which a canary that does not fail does not pass either.
fn doubts(config: &CheckedConfig, evidence: &Evidence, metrics: &[MetricResult], late: &[bool], score: Option<f64>) -> Vec<VerdictCause> {
    let mut reasons = Vec::new();
    let mut add = |reason: VerdictReason, metrics: Vec<String>, sentence: String| reasons.push(VerdictCause { reason, metrics, sentence });
    let by_score = config.fail_on == FailOn::Score;
    if let Some(score) = score.filter(|score| by_score && *score < config.thresholds.pass) {
        let sentence = format!("the score {score} is below {}", config.thresholds.pass);
        add(VerdictReason::Score, named(metrics, |m| matches!(m.status, Status::Regressed | Status::Suspect)), sentence);
    }
    let regressed = named(metrics, |m| m.status == Status::Regressed && !by_score);
    if !regressed.is_empty() {
        let sentence = format!("{} regressed without being critical", explain::names(&regressed));
        add(VerdictReason::Regressed, regressed, sentence);
    }
    let suspect = named(metrics, |m| m.status == Status::Suspect && !by_score);
    if !suspect.is_empty() {
        let sentence = format!("{} may be worse", explain::names(&suspect));
        add(VerdictReason::Suspect, suspect, sentence);
    }
    let late = late_names(metrics, late);
    let failed = named(metrics, |m| m.status == Status::Error && !late.contains(&m.name));
    if !failed.is_empty() {
        let sentence = format!("{} could not be read", explain::names(&failed));
        add(VerdictReason::Error, failed, sentence);
    }
    if let Some(cause) = not_in_time(late) {
        add(cause.reason, cause.metrics, cause.sentence);
    }
    let missing = named(metrics, |m| m.status == Status::NoData && !m.optional);
    if !missing.is_empty() {
        let verb = if missing.len() == 1 { "has" } else { "have" };
        let sentence = format!("{} {verb} too few points", explain::names(&missing));
        add(VerdictReason::NoData, missing, sentence);
    }
    // A metric that may lack data is left out of the count where it does, and so is one that could not differ.
    let excused = |m: &MetricResult| m.status == Status::NoData && m.optional && !m.critical;
    let open = |m: &MetricResult| is_open(m) && !excused(m);
    let critical = named(metrics, |m| open(m) && m.critical);
    let undecided = named(metrics, open);
    let could_differ = metrics.iter().filter(|m| !m.muted && could_differ(m) && !excused(m)).count();
    if !critical.is_empty() {
        let verbs = if critical.len() == 1 { ("is", "has") } else { ("are", "have") };
        let sentence = format!("{} {} critical and {} too little data to tell", explain::names(&critical), verbs.0, verbs.1);
        add(VerdictReason::InsufficientEvidence, critical, sentence);
    } else if undecided.len() * 2 > could_differ {
        let verb = if undecided.len() == 1 { "has" } else { "have" };
        let metrics = explain::count(could_differ as u64, "metric");
        let sentence = format!("{} of {metrics} that could differ {verb} too little data to tell", undecided.len());
        add(VerdictReason::InsufficientEvidence, undecided, sentence);
    } else if could_differ == 0 && !config.metrics.is_empty() || score.is_none() && !config.metrics.is_empty() {
        let all = named(metrics, |m| !crate::score::could_differ(m));
        let sentence = if could_differ == 0 && !all.is_empty() {
            "no metric could have differed between the arms, so that nothing was compared".to_owned()
        } else {
            "no metric that counts could be judged".to_owned()
        };
        add(VerdictReason::InsufficientEvidence, if undecided.is_empty() { all } else { undecided }, sentence);
    }
    let needed = config.min_observation.seconds();
    // The looks that are left observe longer anyway.
    if evidence.observed_seconds < needed as f64 && unfinished(evidence).is_none() {
        let sentence = format!("{} s were observed where {needed} s are needed", evidence.observed_seconds);
        add(VerdictReason::ShortObservation, Vec::new(), sentence);
    }
    reasons
}

fn recommendation(
    config: &CheckedConfig,
    evidence: &Evidence,
    metrics: &[MetricResult],
    verdict: Verdict,
    reasons: &[VerdictCause],
    advice: Option<String>,
) -> Recommendation {
    let regressed = reasons.iter().any(|cause| matches!(cause.reason, VerdictReason::Regressed | VerdictReason::Score));
    match verdict {
        // Old instances that are left speak against the next step, not against the canary.
        Verdict::Fail if !regressed => {
            let sentence = advice.unwrap_or_else(|| "hold: look at the reasons before going on".to_owned());
            Recommendation { action: Action::Hold, sentence, remedies: Vec::new(), next_share: None }
        }
        Verdict::Pass => {
            let sentence = format!("promote the canary{}", undecided_words(metrics));
            Recommendation { action: Action::Promote, sentence, remedies: Vec::new(), next_share: None }
        }
        Verdict::Fail => {
            let sentence = format!("roll back: {}", reasons.iter().map(|cause| cause.sentence.as_str()).collect::<Vec<_>>().join("; "));
            Recommendation { action: Action::Rollback, sentence, remedies: Vec::new(), next_share: None }
        }
        Verdict::Marginal => {
            let remedies = canary_remedies(config, evidence, metrics, reasons);
            let found = reasons.iter().any(|cause| !waits(cause.reason) || cause.reason == VerdictReason::Suspect);
            let is_unread = reasons.iter().any(|cause| is_unread(cause, metrics));
            let sentence = match (unfinished(evidence), remedies.first()) {
                _ if advice.is_some() => advice.unwrap_or_default(),
                (Some(plan), _) if reasons.iter().all(|cause| cause.reason == VerdictReason::OnTrack) => {
                    let left = minutes(left_of_plan(plan, evidence));
                    format!(
                        "hold: on track, look {} of {}; the last look, in about {left} at this pace, may pass it",
                        plan.look, plan.looks
                    )
                }
                _ if is_unread => hold_for_data(reasons),
                // What would help the next release is no answer to what was found in this one.
                (_, Some(first)) if !(found && matches!(first, Remedy::Configure { .. })) => format!("hold: {}", first.sentence()),
                (Some(plan), None) if reasons.iter().all(|cause| waits(cause.reason)) => {
                    format!("hold: look {} of {}; go on with the plan, whose next looks have more data", plan.look, plan.looks)
                }
                _ => hold_for(reasons),
            };
            Recommendation { action: Action::Hold, sentence, remedies, next_share: None }
        }
    }
}

/// What to look at where no remedy is known: the metrics that the reasons name, or else the reasons.
pub(crate) fn hold_for(reasons: &[VerdictCause]) -> String {
    let mut named: Vec<String> = Vec::new();
    for name in reasons.iter().flat_map(|cause| &cause.metrics) {
        if !named.contains(name) {
            named.push(name.clone());
        }
    }
    if named.is_empty() {
        let sentences: Vec<&str> = reasons.iter().map(|cause| cause.sentence.as_str()).collect();
        return format!("hold: {}", sentences.join("; "));
    }
    format!("hold: look at {} before going on", explain::names(&named))
}

/// Whether a reason is that metrics have no data at all, which time does not mend.
fn is_unread(cause: &VerdictCause, metrics: &[MetricResult]) -> bool {
    let is_empty = |m: &MetricResult| m.baseline_coverage.present == 0 && m.canary_coverage.present == 0;
    let named = || metrics.iter().filter(|metric| cause.metrics.contains(&metric.name));
    match cause.reason {
        VerdictReason::Error => true,
        VerdictReason::NoData => named().any(is_empty),
        _ => false,
    }
}

fn hold_for_data(reasons: &[VerdictCause]) -> String {
    let unread = reasons.iter().filter(|cause| matches!(cause.reason, VerdictReason::Error | VerdictReason::NoData));
    let sentences: Vec<&str> = unread.map(|cause| cause.sentence.as_str()).collect();
    format!("hold: {}; see that the queries and their store answer", sentences.join("; "))
}

/// Whether more data may settle a doubt.
fn waits(reason: VerdictReason) -> bool {
    matches!(reason, VerdictReason::InsufficientEvidence | VerdictReason::Suspect | VerdictReason::OnTrack)
}

fn minutes(seconds: f64) -> String {
    explain::count((seconds / 60.0).ceil().clamp(1.0, 1e9) as u64, "minute")
}

/// What settles every open metric at once: of each kind of remedy the largest; proposals to change the config are kept apart.
fn canary_remedies(config: &CheckedConfig, evidence: &Evidence, metrics: &[MetricResult], reasons: &[VerdictCause]) -> Vec<Remedy> {
    let missing = config.min_observation.seconds() as f64 - evidence.observed_seconds;
    let plan = unfinished(evidence);
    let mut remedies: Vec<Remedy> = Vec::new();
    if missing > 0.0 && plan.is_none() {
        let minutes = (missing / 60.0).ceil() as u64;
        let sentence = format!("observe {} longer, the shortest observation that may pass", explain::count(minutes, "minute"));
        remedies.push(Remedy::Extend { minutes, sentence });
    }
    let asked = |m: &MetricResult| {
        let of = match m.status {
            Status::Inconclusive => VerdictReason::InsufficientEvidence,
            Status::Suspect => VerdictReason::Suspect,
            _ => return false,
        };
        reasons.iter().any(|cause| cause.reason == of && cause.metrics.contains(&m.name))
    };
    let open = metrics.iter().filter(|m| !m.muted && asked(m));
    for (metric, remedy) in open.flat_map(|metric| metric.remedies.iter().map(move |remedy| (metric, remedy))) {
        let named = naming(metric, remedy);
        let larger = |known: &Remedy| match (known, &named) {
            (Remedy::Extend { minutes: a, .. }, Remedy::Extend { minutes: b, .. }) => Some(b > a),
            (Remedy::RaiseShare { share: a, .. }, Remedy::RaiseShare { share: b, .. }) => Some(b > a),
            (Remedy::SendRequests { requests: a, .. }, Remedy::SendRequests { requests: b, .. }) => Some(b > a),
            (Remedy::Configure { sentence: a }, Remedy::Configure { sentence: b }) if a == b => Some(false),
            _ => None,
        };
        match remedies.iter().position(|known| larger(known).is_some()) {
            Some(i) if larger(&remedies[i]) == Some(true) => remedies[i] = named,
            Some(_) => {}
            None => remedies.push(named),
        }
    }
    if let Some(plan) = plan {
        let left = left_of_plan(plan, evidence);
        for remedy in &mut remedies {
            // The plan gives that time anyway.
            if let Remedy::Extend { minutes, sentence } = remedy
                && *minutes as f64 * 60.0 <= left.max(60.0)
            {
                *sentence = format!("go on with the plan (this is look {} of {}), which will {sentence}", plan.look, plan.looks);
            }
        }
    }
    // A change of the config helps the next release, not this one.
    remedies.sort_by_key(|remedy| matches!(remedy, Remedy::Configure { .. }));
    let mut proposals = 0;
    let all = remedies.iter().filter(|remedy| matches!(remedy, Remedy::Configure { .. })).count();
    remedies.retain(|remedy| {
        proposals += usize::from(matches!(remedy, Remedy::Configure { .. }));
        !matches!(remedy, Remedy::Configure { .. }) || proposals <= MOST_PROPOSALS
    });
    if all > MOST_PROPOSALS {
        let sentence = format!("likewise for {} more", explain::count((all - MOST_PROPOSALS) as u64, "metric"));
        remedies.push(Remedy::Configure { sentence });
    }
    remedies
}

fn naming(metric: &MetricResult, remedy: &Remedy) -> Remedy {
    let mut named = remedy.clone();
    match &mut named {
        Remedy::Extend { sentence, .. } | Remedy::RaiseShare { sentence, .. } | Remedy::SendRequests { sentence, .. } => {
            *sentence = format!("{sentence} (`{}`)", metric.name);
        }
        Remedy::Configure { .. } => {}
    }
    named
}

/// The worst of these metrics, the first of equals.
fn worst_of<'a>(metrics: &'a [MetricResult], names: &[String]) -> Option<&'a MetricResult> {
    metrics.iter().filter(|metric| !metric.muted && names.contains(&metric.name)).min_by(|a, b| a.worst_first(b))
}

fn summary(verdict: Verdict, metrics: &[MetricResult], reasons: &[VerdictCause]) -> String {
    match verdict {
        Verdict::Pass if metrics.is_empty() => "pass: every instance runs the version that it should".to_owned(),
        Verdict::Pass => {
            let passed = metrics.iter().filter(|m| !m.muted && m.status == Status::Pass && could_differ(m)).count();
            let same = metrics.iter().filter(|m| !m.muted && m.status == Status::Pass && !could_differ(m)).count();
            let same = if same > 0 { format!(", {same} the same throughout") } else { String::new() };
            let rest = format!("{same}{}", undecided_words(metrics));
            let regressed = named(metrics, |m| m.status == Status::Regressed);
            // Only under `fail_on: score` does a canary pass with one.
            let outvoted = if regressed.is_empty() {
                String::new()
            } else {
                format!("; by the score, although {} regressed", explain::names(&regressed))
            };
            format!("pass: {} no worse than the baseline{rest}{outvoted}", explain::count(passed as u64, "metric"))
        }
        Verdict::Marginal | Verdict::Fail => {
            let worst = reasons.first().and_then(|cause| worst_of(metrics, &cause.metrics));
            let sentences: Vec<&str> = reasons.iter().map(|cause| cause.sentence.as_str()).collect();
            match worst {
                Some(metric) => format!("{verdict}: {}; `{}`: {}", sentences.join("; "), metric.name, metric.sentence),
                None => format!("{verdict}: {}", sentences.join("; ")),
            }
        }
    }
}

/// Warns when the traffic that was measured is not split as the caller says: then routing is not what the rollout believes.
fn split_warning(config: &CheckedConfig, evidence: &Evidence) -> Option<String> {
    let stated = evidence.canary_share.filter(|share| *share > 0.0 && *share < 1.0)?;
    let traffic = |arm: Arm, i: usize| -> Option<f64> {
        let Some(Observation::Sampled { baseline, canary }) = evidence.observations.get(i) else { return None };
        let points = if arm == Arm::Baseline { &baseline.points } else { &canary.points };
        let total = match points {
            Points::Counts { totals, .. } => totals.iter().filter(|v| v.is_finite()).sum::<f64>(),
            // A rate per second; whatever its unit, the same factor applies to both arms and only makes the test more careful.
            Points::Values(values) if config.metrics[i].traffic => {
                values.iter().filter(|v| v.is_finite()).sum::<f64>() * evidence.step_seconds_of(i)
            }
            Points::Buckets(buckets) => buckets.totals().iter().filter(|v| v.is_finite()).sum::<f64>(),
            Points::Values(_) => return None,
        };
        (total.is_finite() && total >= 0.0).then_some(total)
    };
    let chosen = (0..config.metrics.len()).find(|i| config.metrics[*i].traffic).or_else(|| {
        let counts = |i: &usize| !config.metrics[*i].muted;
        (0..config.metrics.len()).filter(counts).find(|i| matches!(evidence.observations.get(*i), Some(Observation::Sampled { canary, .. }) if matches!(canary.points, Points::Counts { .. } | Points::Buckets(_))))
    })?;
    let (canary, baseline) = (traffic(Arm::Canary, chosen)?, traffic(Arm::Baseline, chosen)?);
    let both = canary + baseline;
    if both <= 0.0 {
        return None;
    }
    let seen = canary / both;
    let chi_square = (canary - stated * both).powi(2) / (stated * (1.0 - stated) * both);
    // One degree of freedom: the chi-square tail is two normal tails.
    let p = 2.0 * crate::stats::normal_sf(chi_square.sqrt());
    let off = (seen / stated - 1.0).abs();
    (p < SPLIT_P && off > SPLIT_OFF).then(|| {
        format!(
            "the canary received {} of the traffic by `{}` where {} was stated: routing is not what the rollout believes",
            explain::rate(seen),
            config.metrics[chosen].name,
            explain::rate(stated)
        )
    })
}
