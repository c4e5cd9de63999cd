//! What came back for each metric, and what a person should know before trusting a judgement of it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use haldane_judges::config::{Direction, HistoryMode, Kind, Limits, Metric};
use haldane_judges::evidence::{Arm, ArmPoints, Buckets, Evidence, FetchFailure, Observation, Points};
use haldane_judges::scorecard::{Guard, MetricResult, Mode, Reason, Remedy};
use haldane_judges::{CheckedConfig, JudgeName, units};
use serde::Serialize;

use super::ask::TriedQuery;
use super::histogram::SharedHistogram;
use super::profile::{Profile, Values, missing_at_end, missing_between};
use crate::analysis::{AnsweredQuery, Part, arm_points, histogram_points, least_common_multiple, repeats, stride};
use crate::lint::{LintFinding, Severity};
use crate::report::format::{self, Unit, clean_query, seconds, truncate};
use crate::source::{Reply, Series, Window};

/// A query that takes longer is worth a word.
const SLOW: Duration = Duration::from_secs(5);
/// Series that are named.
const SHOWN: usize = 3;
/// Share of equal points from which the commonest value is worth a word.
const MANY_EQUAL: f64 = 0.2;
/// Fewest such points.
const FEWEST_EQUAL: f64 = 2.5;
const ARMS: [Arm; 2] = [Arm::Baseline, Arm::Canary];

/// What came back for one metric.
#[derive(Debug, Serialize)]
pub(super) struct MetricReport {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<String>,
    pub(super) direction: Direction,
    pub(super) baseline: ArmReport,
    pub(super) canary: ArmReport,
    /// The requests of both arms in each bucket, of a distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) buckets: Option<SharedHistogram>,
    #[serde(skip)]
    pub(super) written: Unit,
}

/// What came back for one arm.
#[derive(Debug, Serialize)]
pub(super) struct ArmReport {
    pub(super) queries: Vec<QueryReport>,
    /// The points that would be judged; absent where there are none to judge.
    #[serde(flatten)]
    pub(super) profile: Option<Profile>,
    /// Distance between points that are there, in seconds; absent where it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resolution_seconds: Option<u64>,
    /// Points for which each value is repeated, where that is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) held_points: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) counts: Option<Totals>,
    #[serde(skip)]
    pub(super) points: Vec<f64>,
}

/// What came back for one query.
#[derive(Debug, Serialize)]
pub(super) struct QueryReport {
    pub(super) role: &'static str,
    /// As it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    pub(super) series: usize,
    /// Labels by which the series differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) labels: Vec<String>,
    /// Some of the series, by these labels, or by all of them where there is one series.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) names: Vec<String>,
    pub(super) took_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// Events and their totals, summed over the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Totals {
    pub(super) events: f64,
    pub(super) total: f64,
    /// Points that have both.
    pub(super) points: usize,
    /// Those of them whose total is 0.
    pub(super) without_traffic: usize,
}

impl Totals {
    fn of(events: &[f64], totals: &[f64]) -> Self {
        let both = || events.iter().zip(totals).filter(|(x, m)| x.is_finite() && m.is_finite());
        let without_traffic = both().filter(|(_, m)| **m <= 0.0).count();
        Self { events: both().map(|(x, _)| x).sum(), total: both().map(|(_, m)| m).sum(), points: both().count(), without_traffic }
    }

    pub(super) fn rate(self) -> Option<f64> {
        (self.total > 0.0).then_some(self.events / self.total)
    }
}

/// The circumstances of all metrics.
pub(super) struct Inspection<'a> {
    pub(super) config: &'a CheckedConfig,
    pub(super) window: Window,
    /// How long after a window's end its samples may arrive.
    pub(super) settle: Duration,
    /// Whether the window ends as soon as its samples should have arrived, rather than where the caller said.
    pub(super) ends_now: bool,
    /// Values of `${scope}`.
    pub(super) scopes: (&'a str, &'a str),
}

impl Inspection<'_> {
    /// Looks at everything that came back, in the config's order.
    pub(super) fn all(&self, asked: &[TriedQuery<'_>], findings: &mut Vec<LintFinding>) -> Vec<MetricReport> {
        if let Some(message) = all_unreachable(asked) {
            findings.push(LintFinding::error("", message));
            return Vec::new();
        }
        let same_text = |one: &TriedQuery<'_>, arm| one.metric.is_some() && one.arm == arm && one.text.is_some();
        let asked_of = |arm| asked.iter().filter(move |one| same_text(one, arm)).map(|one| &one.text);
        if self.scopes.0 == self.scopes.1 && asked_of(Arm::Baseline).eq(asked_of(Arm::Canary)) {
            let message = "both scopes are the same, so that the canary is compared with itself; give two with --baseline and --canary";
            findings.push(LintFinding::warning("", message));
        }
        let nothing: Vec<Arm> = ARMS.into_iter().filter(|arm| self.nothing_for(*arm, asked, findings)).collect();
        for one in asked {
            let metric = one.metric.map(|i| &self.config.metrics[i]);
            let mut found = Vec::new();
            self.query(one, metric, asked, &nothing, &mut found);
            let name = |finding: LintFinding| if let Some(metric) = metric { finding.on(&metric.name) } else { finding };
            findings.extend(found.into_iter().map(|finding| name(finding.of(one.arm))));
        }
        let of_metric = |i: usize| asked.iter().filter(|one| one.metric == Some(i)).collect::<Vec<_>>();
        let metrics = || self.config.metrics.iter().enumerate();
        let observed: Vec<[Result<ArmPoints, FetchFailure>; 2]> =
            metrics().map(|(i, metric)| ARMS.map(|arm| self.points(arm, metric, &of_metric(i)))).collect();
        self.young(&observed, findings);
        let judged = self.judge(&observed);
        metrics()
            .zip(&observed)
            .zip(judged)
            .filter(|(((i, _), _), _)| !of_metric(*i).is_empty())
            .map(|(((i, metric), arms), result)| {
                let asked = of_metric(i);
                let arm = |arm: usize| self.arm(ARMS[arm], metric, &asked, arms[arm].as_ref().ok());
                let report = MetricReport {
                    name: metric.name.clone(),
                    unit: metric.unit.clone(),
                    direction: metric.direction,
                    baseline: arm(0),
                    canary: arm(1),
                    buckets: histogram_of(arms),
                    written: format::unit_named(
                        metric.kind,
                        metric.unit.as_deref(),
                        asked.iter().any(|one| matches!(one.part, Part::Numerator | Part::Buckets)),
                    ),
                };
                let mut found = Vec::new();
                if let [Ok(baseline), Ok(canary)] = arms {
                    self.metric(&format!("/metrics/{i}"), metric, &asked, &report, (baseline, canary), &result, &mut found);
                }
                findings.extend(found.into_iter().map(|finding| finding.on(&metric.name)));
                report
            })
            .collect()
    }

    fn scope(&self, arm: Arm) -> String {
        let scope = match arm {
            Arm::Baseline => self.scopes.0,
            Arm::Canary => self.scopes.1,
        };
        truncate(scope, 60)
    }

    fn step(&self, points: usize) -> String {
        seconds(points as u64 * u64::from(self.window.step_seconds))
    }

    /// Whether no query of an arm found anything, which is then said once.
    fn nothing_for(&self, arm: Arm, asked: &[TriedQuery<'_>], findings: &mut Vec<LintFinding>) -> bool {
        let of_arm = || asked.iter().filter(|one| one.arm == arm);
        let nothing = of_arm().count() > 1 && of_arm().all(TriedQuery::is_empty);
        if nothing {
            let message = format!(
                "not one query found a series: nothing is called `{}` there, or nothing in the last {}; check the scope and the variables",
                self.scope(arm),
                seconds(self.window.seconds().unsigned_abs())
            );
            findings.push(LintFinding::warning("", message).of(arm));
        }
        nothing
    }

    /// What there is to say about the reply to one query of one arm.
    fn query(
        &self,
        one: &TriedQuery<'_>,
        metric: Option<&Metric>,
        asked: &[TriedQuery<'_>],
        nothing: &[Arm],
        found: &mut Vec<LintFinding>,
    ) {
        let at = one.pointer.as_str();
        let reply = match &one.outcome {
            Ok(reply) => reply,
            Err(error) => {
                // The same refusal of the other arm's query differs in a column's number at most.
                let other = asked.iter().find(|other| other.pointer == one.pointer).and_then(|other| other.outcome.as_ref().err());
                let error = other.filter(|other| other.reason() == error.reason()).unwrap_or(error);
                found.push(LintFinding::error(at, format!("{error}; query `{}`", truncate(&clean_query(one.template), 200))));
                return;
            }
        };
        let mut labels = Vec::new();
        match (one.part, metric.and_then(|metric| metric.per_instance.as_deref())) {
            (Part::Population, _) => {
                let population = self.config.population.as_ref();
                labels.extend(population.iter().flat_map(|population| [population.instance.as_str(), population.version.as_str()]));
            }
            // Its series are told apart by their buckets too, and looked at below.
            (Part::Buckets, _) => {}
            (_, label) => labels.extend(label),
        }
        let lacking = labels.iter().find(|label| reply.series.iter().any(|series| !series.labels.contains_key(**label)));
        if reply.series.is_empty() {
            if !nothing.contains(&one.arm) {
                found.push(self.empty(one, metric, asked));
            }
        } else if one.part == Part::Buckets {
            let read =
                histogram_points(&reply.series, 0..self.window.len(), metric.and_then(|m| m.per_instance.as_deref()), &mut |warning| {
                    found.push(LintFinding::warning(at, warning));
                });
            if let Err((_, message)) = read {
                found.push(LintFinding::error(at, message));
            }
        } else if let Some(label) = lacking {
            found.push(LintFinding::error(at, format!("a series has no label `{label}`; keep it in the query's grouping")));
        } else if labels.is_empty() && reply.series.len() > 1 {
            let (by, names) = told_apart(reply);
            let by = if by.is_empty() { String::new() } else { format!(", told apart by {}", by.join(", ")) };
            let message = format!(
                "{} series came back where one is judged{by} ({}); aggregate them in the query, or set `per_instance`",
                reply.series.len(),
                listed(&names, reply.series.len())
            );
            found.push(LintFinding::error(at, message));
        } else if let (Part::Value, [label]) = (one.part, labels.as_slice()) {
            let mut names = BTreeSet::new();
            let twice = reply.series.iter().filter_map(|series| series.labels.get(*label)).find(|name| !names.insert(*name));
            if let Some(name) = twice {
                let message = format!("two series have {label}={name:?}; aggregate in the query so that there is one for each");
                found.push(LintFinding::error(at, message));
            }
        }
        found.extend(reply.warnings.iter().map(|text| LintFinding::warning(at, text.clone())));
        found.extend(one.advice.iter().map(|advice| {
            let severity = if advice.about_shifts { Severity::Note } else { Severity::Warning };
            LintFinding::new(severity, at, advice.sentence.clone())
        }));
        if one.took > SLOW {
            let times = metric.filter(|metric| metric.history.mode == HistoryMode::Auto).map_or(1, |metric| metric.history.windows + 1);
            let more = if times > 1 { format!(", and a judgement asks for {times} times as long a time") } else { String::new() };
            let message = format!("took {:.1} s{more}; let the store compute it beforehand, as a recording rule", one.took.as_secs_f64());
            found.push(LintFinding::warning(at, message));
        }
    }

    /// A query that found nothing.
    fn empty(&self, one: &TriedQuery<'_>, metric: Option<&Metric>, asked: &[TriedQuery<'_>]) -> LintFinding {
        let at = one.pointer.as_str();
        let found_something = |other: &&TriedQuery<'_>| {
            other.outcome.as_ref().is_ok_and(|reply| reply.series.iter().any(|s| s.values.iter().any(|v| v.is_finite())))
        };
        let of_metric = || asked.iter().filter(|other| other.metric == one.metric && other.metric.is_some());
        let denominator = of_metric().filter(|other| other.part == Part::Denominator && other.arm == one.arm).find(found_something);
        let zero = metric.is_some_and(|metric| metric.absent_means_zero);
        // Whatever absence may mean, it means nothing where the name is wrong.
        if let Some((word, name)) = &one.meant {
            return LintFinding::warning(at, format!("no series came back: the store has no `{word}`; did you mean `{name}`?"));
        }
        match (one.part, denominator.is_some()) {
            (Part::Numerator, true) if zero => {
                LintFinding::note(at, "no series came back, while its denominator has points: counts as zero, as `absent_means_zero` says")
            }
            (Part::Numerator, true) => {
                let message = "no series came back, while its denominator has points; if that means none, set `absent_means_zero: true`, \
                               else check the labels";
                LintFinding::warning(at, message)
            }
            (Part::Value | Part::Buckets, _) if zero => {
                LintFinding::note(at, "no series came back: counts as zero, as `absent_means_zero` says")
            }
            _ => {
                let optional = metric.is_some_and(|metric| metric.optional);
                let severity = if optional { Severity::Note } else { Severity::Warning };
                let other = of_metric().filter(|other| other.part == one.part && other.arm != one.arm).find(found_something);
                let message = match other {
                    Some(_) => format!("no series came back, while the other arm has one; check what `{}` selects", self.scope(one.arm)),
                    None if optional => "no series came back; the metric is optional, and left out".to_owned(),
                    None => "no series came back; check the metric's name, its labels and the scope".to_owned(),
                };
                LintFinding::new(severity, at, message)
            }
        }
    }

    /// One arm's points of a metric, as a judgement would take them; a failure has been reported with its query.
    fn points(&self, arm: Arm, metric: &Metric, asked: &[&TriedQuery<'_>]) -> Result<ArmPoints, FetchFailure> {
        let answered: Vec<_> = asked.iter().map(|one| one.answered(self.window)).collect();
        let answered: Vec<AnsweredQuery<'_>> = answered.iter().map(|(planned, answer)| (planned, answer)).collect();
        let points = arm_points(arm, metric.per_instance.as_deref(), &answered, &mut Vec::new())?.in_unit(metric.bucket_factor());
        // Where no instance reports, none of the window's points is there.
        Ok(if points.points.is_empty() { ArmPoints::values(vec![f64::NAN; self.window.len()]) } else { points })
    }

    /// What the config's judge says of the window alone, of which lint takes what it lacked; a verdict is no business of lint's.
    fn judge(&self, observed: &[[Result<ArmPoints, FetchFailure>; 2]]) -> Vec<MetricResult> {
        let observation = |arms: &[Result<ArmPoints, FetchFailure>; 2]| match arms {
            [Ok(baseline), Ok(canary)] => Observation::Sampled { baseline: baseline.clone(), canary: canary.clone() },
            [Err(failure), _] | [_, Err(failure)] => Observation::Failed(failure.clone()),
        };
        let evidence = Evidence {
            observations: observed.iter().map(observation).collect(),
            step_seconds: f64::from(self.window.step_seconds),
            observed_seconds: self.window.seconds() as f64,
            ..Evidence::default()
        };
        // A config names a judge there is; what another one lacked would not be of use.
        let judge = self.config.judge.parse().unwrap_or(JudgeName::HaldaneV1);
        // Where limits decide, the judge has no remedies left; without them it says what would be enough for statistics.
        let mut unlimited = self.config.clone().into_inner();
        unlimited.metrics.iter_mut().for_each(|metric| metric.limits = Limits::default());
        let unlimited = unlimited.check();
        haldane_judges::judge(judge, unlimited.as_ref().unwrap_or(self.config), &evidence).metrics
    }

    fn arm(&self, arm: Arm, metric: &Metric, asked: &[&TriedQuery<'_>], points: Option<&ArmPoints>) -> ArmReport {
        let queries = asked.iter().filter(|one| one.arm == arm).map(|one| query_report(one)).collect();
        let (resolution_seconds, held_points) = (self.resolution_seconds(arm, metric, asked), held_points(arm, asked));
        let nothing = ArmReport { queries, profile: None, resolution_seconds, held_points, counts: None, points: Vec::new() };
        let Some(points) = points else { return nothing };
        match &*counted(metric, &points.points) {
            Points::Values(values) => ArmReport { profile: Some(Profile::of(values)), points: values.clone(), ..nothing },
            Points::Counts { events, totals } => {
                let events = filled(metric, events, totals);
                let rates: Vec<f64> = events.iter().zip(totals).map(|(x, m)| if *m > 0.0 { x / m } else { f64::NAN }).collect();
                let counted: Vec<f64> = events.iter().zip(totals).map(|(x, m)| if m.is_finite() { *x } else { f64::NAN }).collect();
                let profile = Profile::of(&rates).complete_as(&counted);
                ArmReport { profile: Some(profile), counts: Some(Totals::of(&events, totals)), points: rates, ..nothing }
            }
            Points::Buckets(buckets) => {
                let medians = buckets.quantiles(0.5);
                ArmReport { profile: Some(Profile::of(&medians).complete_as(buckets.totals())), points: medians, ..nothing }
            }
        }
    }

    /// What there is to say about a metric of which both arms could be read.
    #[allow(clippy::too_many_arguments, reason = "one metric, from all its sides")]
    fn metric(
        &self,
        at: &str,
        metric: &Metric,
        asked: &[&TriedQuery<'_>],
        report: &MetricReport,
        (baseline, canary): (&ArmPoints, &ArmPoints),
        result: &MetricResult,
        found: &mut Vec<LintFinding>,
    ) {
        let (Some(b), Some(c)) = (&report.baseline.profile, &report.canary.profile) else { return };
        let known = b.present > 0 && c.present > 0;
        let same = self.compares_with_itself(at, asked, (baseline, canary), found);
        let before = found.len();
        self.resolution(at, [&report.baseline, &report.canary], found);
        self.absent_numerators(at, metric, [baseline, canary], found);
        let explained = found.len() > before;
        let sparse = |p: &Profile| p.present > 0 && p.present * 2 < p.expected && !has_points_at_events_alone(metric, baseline);
        let few: Vec<_> = ARMS.into_iter().zip([b, c]).filter(|(_, p)| sparse(p)).collect();
        for (arm, profile) in few.iter().filter(|_| !explained) {
            let message = format!(
                "{} of {} points are missing, and the judge needs half of them; find out why, or use a longer step",
                profile.expected - profile.present,
                profile.expected
            );
            found.push(LintFinding::warning(at, message).of(*arm));
        }
        if known && result.reason == Reason::DataAsymmetry && few.is_empty() {
            found.push(LintFinding::warning(at, format!("{}; find out why before the two are compared", result.sentence)));
        }
        let level = |arm: &ArmReport| arm.counts.map_or_else(|| Some(arm.profile.as_ref()?.values?.median), Totals::rate);
        let mistaken = units::of_levels(metric, level(&report.baseline), level(&report.canary));
        if known && !same && !matches!(result.reason, Reason::DataAsymmetry | Reason::Identical | Reason::SameSeries) {
            // The judge warns of mistaken units too, which are errors here.
            let of_units: Vec<String> = units::of_config(metric).iter().chain(&mistaken).map(|problem| problem.message.clone()).collect();
            let warnings = result.warnings.iter().filter(|text| !of_units.contains(text));
            found.extend(warnings.map(|text| LintFinding::warning(at, text.clone())));
        }
        Self::nothing_to_tell(at, metric, report, found);
        if let (Some(label), [one]) = (&metric.per_instance, baseline.instances.as_slice()) {
            let message = format!(
                "`per_instance: {label}` with one instance in the baseline ({}): how much instances differ anyway stays unknown; give the \
                 baseline two or more, or leave `per_instance` out",
                truncate(&one.name, 60)
            );
            found.push(LintFinding::warning(at, message));
        }
        if self.config.judge != JudgeName::NetflixAca.as_str() {
            found.extend(mistaken.into_iter().map(|problem| LintFinding::error(&format!("{at}{}", problem.pointer), problem.message)));
            found.extend(past_limits(at, metric, report));
        }
        if let Some(histogram) = report.buckets.as_ref().filter(|_| metric.kind == Kind::Distribution) {
            histogram.findings(at, metric, &report.written, found);
        }
        self.guards(at, metric, result, found);
        for (arm, counts) in ARMS.into_iter().zip([report.baseline.counts, report.canary.counts]) {
            if let Some(counts) = counts.filter(|counts| counts.without_traffic > 0) {
                found.push(LintFinding::note(at, format!("{} of {} points had no traffic", counts.without_traffic, counts.points)).of(arm));
            }
        }
        for (arm, profile) in ARMS.into_iter().zip([b, c]) {
            let several = |values: &Values| values.commonest_share * profile.present as f64 >= FEWEST_EQUAL && values.distinct > 1;
            if let Some(values) = profile.values.filter(|values| values.commonest_share >= MANY_EQUAL && several(values)) {
                let share = format::percent((values.commonest_share * 100.0).round() / 100.0);
                let message = format!("{share} of the points are {}", report.written.value(values.commonest));
                found.push(LintFinding::note(at, message).of(arm));
            }
        }
    }

    /// Whether both arms are one and the same series.
    fn compares_with_itself(
        &self,
        at: &str,
        asked: &[&TriedQuery<'_>],
        arms: (&ArmPoints, &ArmPoints),
        found: &mut Vec<LintFinding>,
    ) -> bool {
        let texts = |arm: Arm| asked.iter().filter(move |one| one.arm == arm).map(|one| one.text.as_deref()).collect::<Vec<_>>();
        let same_text = texts(Arm::Baseline) == texts(Arm::Canary);
        // What no query could tell apart has been said of the scopes.
        if same_text && self.scopes.0 == self.scopes.1 {
            return true;
        }
        let message = if same_text {
            "both arms are asked the same query, so that the canary is compared with itself; use `${scope}` in it"
        } else if same_points(&arms.0.points, &arms.1.points) {
            "both arms returned the same series, so that the canary is compared with itself; check that the query's labels tell the arms apart"
        } else {
            return false;
        };
        found.push(LintFinding::warning(at, message));
        true
    }

    /// How far apart the points are, in seconds, as a judgement tells it: what is made of two queries has a point where both have.
    fn resolution_seconds(&self, arm: Arm, metric: &Metric, asked: &[&TriedQuery<'_>]) -> Option<u64> {
        // Where there is a point only because something happened, the distance to the next one is chance.
        let regular = |part: Part| part == Part::Denominator || !metric.absent_means_zero;
        let of_arm = asked.iter().filter(|one| one.arm == arm && regular(one.part));
        let strides = of_arm.filter_map(|one| stride(one.outcome.as_ref().ok()?.series.iter().map(|series| series.values.as_slice())));
        let stride = strides.map(|stride| stride as u64).reduce(least_common_multiple)?;
        Some(stride.saturating_mul(u64::from(self.window.step_seconds)))
    }

    /// Points that come, or change, more seldom than they are asked for.
    fn resolution(&self, at: &str, arms: [&ArmReport; 2], found: &mut Vec<LintFinding>) {
        let step = u64::from(self.window.step_seconds);
        // The two are compared where both have points.
        let common = arms.iter().filter_map(|arm| arm.resolution_seconds).reduce(least_common_multiple).unwrap_or(step);
        for (arm, report) in ARMS.into_iter().zip(arms) {
            if let Some(every) = report.resolution_seconds.filter(|every| *every > step) {
                let (every, step, common) = (seconds(every), seconds(step), seconds(common));
                let message = format!("a point every {every}, asked every {step}: the points between are missing; use `step: {common}`");
                found.push(LintFinding::warning(at, message).of(arm));
            }
            if let Some(held) = report.held_points {
                let every = self.step(held);
                let message = format!(
                    "its values change every {every} and are asked every {}: {} of {held} points repeat the one before, and prove nothing; \
                     use `step: {every}`",
                    seconds(step),
                    held - 1
                );
                found.push(LintFinding::warning(at, message).of(arm));
            }
        }
    }

    /// Intervals with a total and without events, where nothing says that this means none.
    fn absent_numerators(&self, at: &str, metric: &Metric, arms: [&ArmPoints; 2], found: &mut Vec<LintFinding>) {
        for (arm, points) in ARMS.into_iter().zip(arms) {
            let Points::Counts { events, totals } = &points.points else { continue };
            let absent = events.iter().zip(totals).filter(|(x, m)| x.is_nan() && m.is_finite()).count();
            // Where all are absent, that was said of the query.
            if absent > 0 && events.iter().any(|x| x.is_finite()) && !metric.absent_means_zero {
                let of = totals.iter().filter(|m| m.is_finite()).count();
                let message = format!(
                    "{absent} of {of} points have a denominator and no numerator; if that means none, set `absent_means_zero: true`, else \
                     they count as missing"
                );
                found.push(LintFinding::warning(at, message).of(arm));
            }
        }
    }

    /// Samples that come later than is waited for: no metric has the newest points, in either arm, and all lack more of them than usual.
    fn young(&self, observed: &[[Result<ArmPoints, FetchFailure>; 2]], findings: &mut Vec<LintFinding>) {
        let reporting = self.config.metrics.iter().zip(observed).filter_map(|(metric, arms)| {
            let [Ok(baseline), Ok(canary)] = arms else { return None };
            let arms = [up(&baseline.points), up(&canary.points)];
            let reports = |points: &&[f64]| points.iter().any(|v| v.is_finite());
            (!has_points_at_events_alone(metric, baseline) && arms.iter().all(reports)).then_some(arms)
        });
        let late = reporting.map(late).collect::<Vec<usize>>();
        // One metric alone may have stopped for reasons of its own.
        let Some(most) = late.iter().max().filter(|_| self.ends_now && late.len() > 1 && !late.contains(&0)) else { return };
        let missing = *most as u64 * u64::from(self.window.step_seconds);
        let settle = self.settle.as_secs();
        let message = format!(
            "no metric has the window's newest points yet, in either arm; up to {} are missing: samples come later than {} after their time; \
             set the account's `settle` to {}",
            seconds(missing),
            seconds(settle),
            seconds(settle.saturating_add(missing))
        );
        findings.push(LintFinding::warning("", message));
    }

    /// Arms in which nothing varies.
    fn nothing_to_tell(at: &str, metric: &Metric, report: &MetricReport, found: &mut Vec<LintFinding>) {
        let (Some(b), Some(c)) = (&report.baseline.profile, &report.canary.profile) else { return };
        if let (Some(baseline), Some(canary)) = (report.baseline.counts, report.canary.counts) {
            if b.present > 0 && c.present > 0 && baseline.events == 0.0 && canary.events == 0.0 {
                let (b, c) = (format::count(baseline.total), format::count(canary.total));
                found.push(LintFinding::note(at, format!("no events in either arm, out of {b} in the baseline and {c} in the canary")));
            }
            return;
        }
        let value = |profile: &Profile| profile.values.map(|values| values.min);
        if b.is_constant() && c.is_constant() && value(b) == value(c) {
            let value = report.written.value(value(b).unwrap_or_default());
            let message = format!(
                "every point of both arms is {value}: nothing that could tell them apart; check that the query returns what changes"
            );
            let finding = if metric.absent_means_zero { LintFinding::note(at, message) } else { LintFinding::warning(at, message) };
            found.push(finding);
        }
    }

    /// What the judge lacks for statistics in this window.
    fn guards(&self, at: &str, metric: &Metric, result: &MetricResult, found: &mut Vec<LintFinding>) {
        if result.guards.is_empty() || result.mode != Mode::Threshold {
            return;
        }
        let lacks = result.guards.iter().map(|guard| guard.sentence.as_str()).collect::<Vec<_>>().join("; ");
        let window = seconds(self.window.seconds().unsigned_abs());
        let reads_past = metric.history.mode == HistoryMode::Auto;
        if reads_past && result.guards.iter().all(|guard| guard.guard == Guard::CouldNotDetect) {
            let message = format!("{window} alone is too little: {lacks}; its past, which a judgement reads, may settle that");
            found.push(LintFinding::note(at, message));
            return;
        }
        let limited = !metric.limits.is_empty();
        let remedies = result.remedies.iter().filter(|remedy| !(limited && matches!(remedy, Remedy::Configure { .. })));
        let remedies = remedies.take(2).map(Remedy::sentence).collect::<Vec<_>>().join(", or ");
        let remedies = if remedies.is_empty() { remedies } else { format!("; {remedies}") };
        let finding = if !limited {
            let message = format!("too little for statistics in {window}, and no limits: it stays inconclusive ({lacks}){remedies}");
            LintFinding::warning(at, message)
        } else {
            LintFinding::note(at, format!("too little for statistics in {window}, so that its limits will decide ({lacks}){remedies}"))
        };
        found.push(finding);
    }
}

/// Limits that the baseline is past already, as a judgement counts it: in most of its points, or in the rate of its counts. They hold
/// whatever the baseline does.
fn past_limits(at: &str, metric: &Metric, report: &MetricReport) -> Vec<LintFinding> {
    const MOST: f64 = 0.6;
    const FEWEST: usize = 3;
    let baseline = &report.baseline;
    let sides = [("max", metric.limits.max, 1.0), ("min", metric.limits.min, -1.0)];
    let declared = sides.into_iter().filter_map(|(field, limit, sign)| Some((field, limit?, sign))).filter(|_| metric.limits.enforce);
    let past = declared.filter_map(|(field, limit, sign)| {
        let is_past = |value: f64| (value - limit) * sign > 0.0;
        let stands = if let Some(counts) = baseline.counts {
            let rate = counts.rate().filter(|rate| is_past(*rate))?;
            format!("at {}, {} of {}", report.written.value(rate), format::count(counts.events), format::count(counts.total))
        } else {
            let present = baseline.points.iter().filter(|value| !value.is_nan());
            let (n, past) = (present.clone().count(), present.filter(|value| is_past(**value)).count());
            if n < FEWEST || (past as f64) < MOST * n as f64 {
                return None;
            }
            format!("in {past} of {n} points")
        };
        let message = format!(
            "the baseline itself is past `limits.{field}` of {} ({stands}), so that no canary passes; mend the service, move the limit, or set \
             `enforce: false` beside it",
            report.written.value(limit)
        );
        Some(LintFinding::warning(&format!("{at}/limits/{field}"), message).of(Arm::Baseline))
    });
    past.collect()
}

/// The buckets of both arms, where both have them.
fn histogram_of(arms: &[Result<ArmPoints, FetchFailure>; 2]) -> Option<SharedHistogram> {
    let [Ok(baseline), Ok(canary)] = arms else { return None };
    let (Points::Buckets(baseline), Points::Buckets(canary)) = (&baseline.points, &canary.points) else { return None };
    SharedHistogram::of(baseline, canary)
}

/// The requests slower than a ratio's bound, or than the place nearest to it that the buckets tell of, out of all; other points as they are.
fn counted<'a>(metric: &Metric, points: &'a Points) -> Cow<'a, Points> {
    let (Points::Buckets(buckets), Some(bound)) = (points, metric.slower_than_in_unit()) else { return Cow::Borrowed(points) };
    let counts = Buckets::place_near(&[buckets], bound).and_then(|place| buckets.slower_than(place));
    counts.map_or(Cow::Borrowed(points), |(events, totals)| Cow::Owned(Points::Counts { events, totals }))
}

/// Why not one query reached the store; `None` where one did.
fn all_unreachable(asked: &[TriedQuery<'_>]) -> Option<String> {
    let first = asked.first().filter(|_| asked.iter().all(TriedQuery::is_unreachable))?;
    first.outcome.as_ref().err().map(ToString::to_string)
}

/// The values whose presence shows that the target was up: totals for counts.
fn up(points: &Points) -> &[f64] {
    match points {
        Points::Values(values) | Points::Counts { totals: values, .. } => values,
        Points::Buckets(buckets) => buckets.totals(),
    }
}

/// Whether its points say that something happened, so that most may well be missing.
fn has_points_at_events_alone(metric: &Metric, points: &ArmPoints) -> bool {
    metric.absent_means_zero && matches!(points.points, Points::Values(_))
}

/// Newest points that neither arm has yet; 0 where no more of them are missing than elsewhere, or so many that the metric has ended.
fn late(arms: [&[f64]; 2]) -> usize {
    let both = arms.iter().map(|points| missing_at_end(points)).min().unwrap_or(0);
    let usual = arms.iter().map(|points| missing_between(points)).max().unwrap_or(0);
    let expected = arms.iter().map(|points| points.len()).max().unwrap_or(0);
    if both <= usual || both * 2 > expected { 0 } else { both }
}

/// For how many points each value is repeated, as a judgement tells it; `None` where it is not.
fn held_points(arm: Arm, asked: &[&TriedQuery<'_>]) -> Option<usize> {
    let held = |one: &&&TriedQuery<'_>| one.outcome.as_ref().ok()?.series.iter().filter_map(|series| repeats(&series.values)).min();
    // Buckets of few requests stay the same by chance.
    let of_arm = asked.iter().filter(|one| one.arm == arm && one.part != Part::Buckets);
    of_arm.filter_map(|one| held(&one)).filter(|held| *held > 1).max()
}

/// The events, with zeros where they are absent and that means none.
fn filled(metric: &Metric, events: &[f64], totals: &[f64]) -> Vec<f64> {
    let none = |x: f64, m: f64| metric.absent_means_zero && x.is_nan() && m.is_finite();
    events.iter().zip(totals).map(|(x, m)| if none(*x, *m) { 0.0 } else { *x }).collect()
}

/// Whether two arms have the same points, and enough of them, which vary, for that to be no chance.
fn same_points(a: &Points, b: &Points) -> bool {
    const FEWEST: usize = 3;
    let same = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
    let varies = |values: &[f64]| {
        let mut present = values.iter().filter(|v| v.is_finite());
        let first = present.next();
        values.iter().filter(|v| v.is_finite()).count() >= FEWEST && present.any(|v| Some(v) != first)
    };
    match (a, b) {
        (Points::Values(a), Points::Values(b)) => varies(a) && same(a, b),
        (Points::Counts { events: xa, totals: ma }, Points::Counts { events: xb, totals: mb }) => {
            varies(ma) && same(xa, xb) && same(ma, mb)
        }
        (Points::Buckets(a), Points::Buckets(b)) => {
            let all = |buckets: &Buckets| buckets.rows().flatten().copied().collect::<Vec<f64>>();
            a.bounds() == b.bounds() && (varies(a.totals()) || varies(&a.quantiles(0.5))) && same(&all(a), &all(b))
        }
        _ => false,
    }
}

fn query_report(one: &TriedQuery<'_>) -> QueryReport {
    let (labels, names) = one.outcome.as_ref().map(|reply| told_apart(reply)).unwrap_or_default();
    QueryReport {
        role: one.part.name(),
        text: one.text.clone(),
        series: one.outcome.as_ref().map_or(0, |reply| reply.series.len()),
        labels,
        names,
        took_ms: u64::try_from(one.took.as_millis()).unwrap_or(u64::MAX),
        error: one.outcome.as_ref().err().map(ToString::to_string),
    }
}

/// The labels by which the series differ, and the first few series by these; one series has all of its labels.
fn told_apart(reply: &Reply) -> (Vec<String>, Vec<String>) {
    let all: BTreeSet<&String> = reply.series.iter().flat_map(|series| series.labels.keys()).collect();
    let differs = |label: &str| reply.series.iter().any(|series| series.labels.get(label) != reply.series[0].labels.get(label));
    let labels: Vec<&String> = all.into_iter().filter(|label| reply.series.len() == 1 || differs(label)).collect();
    let name = |series: &Series| {
        let shown = labels.iter().filter_map(|label| Some(format!("{label}={:?}", series.labels.get(*label)?)));
        shown.collect::<Vec<_>>().join(" ")
    };
    let names = reply.series.iter().take(SHOWN).map(name).filter(|name| !name.is_empty()).collect();
    (if reply.series.len() > 1 { labels.into_iter().cloned().collect() } else { Vec::new() }, names)
}

/// `a, b and 3 more`.
pub(super) fn listed(names: &[String], of: usize) -> String {
    let names = names.iter().map(|name| truncate(name, 60)).collect::<Vec<_>>();
    let more = of.saturating_sub(names.len());
    if more > 0 && !names.is_empty() { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::source::SourceError;

    const WINDOW: Window = Window { start: 0, end: 1_800, step_seconds: 60 };
    const N: f64 = f64::NAN;

    /// Points that scatter around a level, and no two arms alike.
    fn around(level: f64, seed: u32) -> Vec<f64> {
        (0..30_u32).map(|i| level + f64::from((i * 7 + seed * 3 + i * i * seed) % 23) / 10.0).collect()
    }

    fn series(labels: &[(&str, &str)], values: Vec<f64>) -> Series {
        Series { labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>(), values }
    }

    fn one(values: Vec<f64>) -> Vec<Series> {
        vec![series(&[], values)]
    }

    type SeriesReply = Result<Vec<Series>, SourceError>;

    /// What is said of a metric whose queries found these series, baseline and canary, one pair for each of its queries.
    struct InspectedMetric {
        metric: &'static str,
        replies: Vec<(Part, [SeriesReply; 2])>,
        took: Duration,
        same_text: bool,
        scopes: (&'static str, &'static str),
        /// Whether another metric has every point.
        beside: bool,
    }

    impl InspectedMetric {
        fn of(metric: &'static str, baseline: Vec<Series>, canary: Vec<Series>) -> Self {
            Self {
                metric,
                replies: vec![(Part::Value, [Ok(baseline), Ok(canary)])],
                took: Duration::ZERO,
                same_text: false,
                scopes: ("a", "b"),
                beside: false,
            }
        }

        fn counts(metric: &'static str, numerators: [Vec<Series>; 2], denominators: [Vec<Series>; 2]) -> Self {
            let replies = vec![(Part::Numerator, numerators.map(Ok)), (Part::Denominator, denominators.map(Ok))];
            Self { replies, ..Self::of(metric, Vec::new(), Vec::new()) }
        }

        fn inspect(self) -> (Vec<MetricReport>, Vec<LintFinding>) {
            let history = "history: {mode: \"off\"}";
            let other = if self.beside { format!(", {{name: beside, {history}, {LATENCY}}}") } else { String::new() };
            let yaml = format!("{{name: x, metrics: [{{name: m, {history}, {}}}{other}]}}", self.metric);
            let config = CheckedConfig::from_yaml(&yaml).unwrap();
            let mut asked = Vec::new();
            let beside = self.beside.then(|| (1, Part::Value, [1, 2].map(|seed| Ok(one(around(100.0, seed))))));
            for (metric, part, replies) in self.replies.into_iter().map(|(part, replies)| (0, part, replies)).chain(beside) {
                for (arm, reply) in ARMS.into_iter().zip(replies) {
                    asked.push(TriedQuery {
                        pointer: format!("/metrics/{metric}/queries/any/{}", part.name()),
                        metric: Some(metric),
                        part,
                        arm,
                        template: "q",
                        text: Some(if self.same_text { "q".to_owned() } else { format!("q {arm}") }),
                        outcome: reply.map(|series| Arc::new(Reply { series, warnings: Vec::new() })),
                        advice: Vec::new(),
                        took: self.took,
                        meant: None,
                    });
                }
            }
            let inspection =
                Inspection { config: &config, window: WINDOW, settle: Duration::from_secs(60), ends_now: true, scopes: self.scopes };
            let mut findings = Vec::new();
            let reports = inspection.all(&asked, &mut findings);
            (reports, crate::lint::merged(findings))
        }

        fn said(self) -> Vec<(Severity, String)> {
            self.inspect().1.into_iter().map(|finding| (finding.severity, finding.message)).collect()
        }

        /// Asserts that exactly one finding begins so, of this severity and these arms.
        #[track_caller]
        fn says(self, severity: Severity, arms: &[Arm], begins: &str) {
            let findings = self.inspect().1;
            let mut found = findings.iter().filter(|finding| finding.message.starts_with(begins));
            let finding = found.next().unwrap_or_else(|| panic!("{begins:?} is not in {findings:#?}"));
            assert_eq!((finding.severity, finding.arms.as_slice()), (severity, arms), "{findings:#?}");
            assert!(found.next().is_none(), "{findings:#?}");
        }
    }

    const LATENCY: &str = "unit: ms, limits: {max: 500}";
    const RATIO: &str = "kind: ratio, direction: increase, limits: {max: 0.01}";

    #[test]
    fn two_sound_arms_are_described_and_nothing_is_held_against_them() {
        let (reports, findings) = InspectedMetric::of(LATENCY, one(around(100.0, 1)), one(around(100.0, 2))).inspect();
        assert_eq!(findings, []);
        let baseline = &reports[0].baseline;
        let profile = baseline.profile.as_ref().unwrap();
        assert_eq!((profile.present, profile.expected, baseline.resolution_seconds), (30, 30, Some(60)));
    }

    /// The buckets of a histogram, of which so many requests a point lie up to each bound.
    fn buckets(of: &[(&str, f64)], seed: u32) -> Vec<Series> {
        of.iter().map(|(le, up_to)| series(&[("le", le)], around(*up_to, seed))).collect()
    }

    #[test]
    fn buckets_are_shown_for_both_arms_and_what_is_wrong_with_them_is_said() {
        const DISTRIBUTION: &str = "kind: distribution, unit: s, direction: increase, limits: {p99: {max: 9}}";
        let of = |baseline: &[(&str, f64)], canary: &[(&str, f64)]| {
            let replies = vec![(Part::Buckets, [Ok(buckets(baseline, 1)), Ok(buckets(canary, 2))])];
            InspectedMetric { replies, ..InspectedMetric::of(DISTRIBUTION, Vec::new(), Vec::new()) }
        };
        let good = [("0.1", 200.0), ("0.5", 400.0), ("1", 480.0), ("5", 520.0), ("+Inf", 522.0)];
        let (reports, findings) = of(&good, &good).inspect();
        let said: Vec<(Severity, &str)> = findings.iter().map(|finding| (finding.severity, finding.message.as_str())).collect();
        assert!(said.contains(&(Severity::Note, "p50 in 100 to 500 ms, p95 in 1 to 5 s, p99 in 1 to 5 s")), "{said:?}");
        assert!(said.iter().all(|(severity, _)| *severity == Severity::Note), "{said:?}");
        let histogram = reports[0].buckets.as_ref().unwrap();
        assert_eq!((histogram.bounds.as_slice(), histogram.baseline.len()), ([0.1, 0.5, 1.0, 5.0].as_slice(), 5));
        assert_eq!(reports[0].baseline.profile.as_ref().unwrap().present, 30);
        of(&good[1..], &good[1..]).says(Severity::Warning, &[Arm::Baseline], "77 % of requests lie in 0 to 500 ms: ");
        of(&good, &good[..4]).says(Severity::Error, &[Arm::Canary], "no series with le=\"+Inf\" came");
        let slow = of(&[("0.1", 100.0), ("+Inf", 900.0)], &[("0.1", 100.0), ("+Inf", 900.0)]);
        slow.says(Severity::Warning, &[Arm::Baseline], "p50 of the baseline lies above the last bound, 100 ms");
        let ratio = "kind: ratio, unit: s, direction: increase, slower_than: 1, limits: {max: 0.2}";
        let (reports, _) = InspectedMetric { metric: ratio, ..of(&good, &good) }.inspect();
        let counts = reports[0].baseline.counts.unwrap();
        assert!((0.06..0.10).contains(&counts.rate().unwrap()), "{counts:?}");
    }

    #[test]
    fn a_baseline_that_is_past_a_limit_already_is_warned_of() {
        let said = "the baseline itself is past `limits.max` of 90 ms (in 30 of 30 points), so that no canary passes";
        InspectedMetric::of("unit: ms, limits: {max: 90}", one(around(100.0, 1)), one(around(80.0, 2))).says(
            Severity::Warning,
            &[Arm::Baseline],
            said,
        );
        let events = || [one(vec![2.0; 30]), one(vec![0.1; 30])];
        let totals = || [one(around(100.0, 1)), one(around(100.0, 2))];
        let case = InspectedMetric::counts("kind: ratio, direction: increase, limits: {max: 0.01}", events(), totals());
        case.says(Severity::Warning, &[Arm::Baseline], "the baseline itself is past `limits.max` of 1 % (at ");
        for case in [
            InspectedMetric::of("unit: ms, limits: {max: 90, enforce: false}", one(around(100.0, 1)), one(around(80.0, 2))),
            InspectedMetric::of("unit: ms, limits: {max: 90}", one(around(80.0, 1)), one(around(100.0, 2))),
            InspectedMetric::of("unit: ms, limits: {min: 90}", one(around(100.0, 1)), one(around(80.0, 2))),
        ] {
            let said = case.said();
            assert!(said.iter().all(|(_, message)| !message.contains("past `limits")), "{said:?}");
        }
    }

    #[test]
    fn seconds_that_are_called_milliseconds_are_an_error_where_the_store_tells_the_level() {
        let seconds = |seed| one(around(100.0, seed).into_iter().map(|v| v / 250.0).collect());
        let case = InspectedMetric::of("unit: ms, tolerance: {absolute: 5}, limits: {max: 500}", seconds(1), seconds(2));
        case.says(Severity::Error, &[], "the baseline's level is 0.40");
    }

    #[test]
    fn what_compares_with_itself_is_named() {
        let same = || InspectedMetric::of(LATENCY, one(around(100.0, 1)), one(around(100.0, 1)));
        same().says(Severity::Warning, &[], "both arms returned the same series");
        InspectedMetric { same_text: true, ..same() }.says(Severity::Warning, &[], "both arms are asked the same query");
        InspectedMetric::of(LATENCY, one(vec![5.0; 30]), one(vec![5.0; 30])).says(
            Severity::Warning,
            &[],
            "every point of both arms is 5 ms",
        );
    }

    #[test]
    fn two_scopes_that_are_the_same_are_said_once() {
        let replies = || (Part::Value, [Ok(one(around(100.0, 1))), Ok(one(around(100.0, 1)))]);
        let case = InspectedMetric { same_text: true, scopes: ("a", "a"), ..InspectedMetric::of(LATENCY, Vec::new(), Vec::new()) };
        let said = InspectedMetric { replies: vec![replies()], ..case }.said();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].1.starts_with("both scopes are the same"), "{said:?}");
    }

    #[test]
    fn a_store_that_nobody_reaches_is_one_finding() {
        let gone = || Err(SourceError::Unreachable("refused the connection".to_owned()));
        let replies = vec![(Part::Numerator, [gone(), gone()]), (Part::Denominator, [gone(), gone()])];
        let (reports, findings) = InspectedMetric { replies, ..InspectedMetric::of(RATIO, Vec::new(), Vec::new()) }.inspect();
        assert!(reports.is_empty());
        assert_eq!(findings.len(), 1, "{findings:?}");
    }

    #[test]
    fn points_that_come_or_change_too_seldom_ask_for_a_longer_step() {
        let sparse = |seed| around(100.0, seed).into_iter().enumerate().map(|(i, v)| if i % 3 == 1 { v } else { N }).collect::<Vec<_>>();
        let case = InspectedMetric::of(LATENCY, one(around(100.0, 1)), one(sparse(2)));
        case.says(Severity::Warning, &[Arm::Canary], "a point every 3m, asked every 1m: the points between are missing; use `step: 3m`");
        let held = |from: f64| (0..30_u32).map(|i| from + f64::from(i / 3 * 4 % 7)).collect::<Vec<_>>();
        let case = InspectedMetric::of(LATENCY, one(held(1.5)), one(held(2.5)));
        let said = "its values change every 3m and are asked every 1m: 2 of 3 points repeat the one before";
        case.says(Severity::Warning, &[Arm::Baseline, Arm::Canary], said);
    }

    #[test]
    fn more_gaps_than_points_and_a_canary_that_reports_less_are_warned_of() {
        // At no regular distance.
        let gappy = || around(100.0, 2).into_iter().enumerate().map(|(i, v)| if i * i % 7 == 1 { v } else { N }).collect::<Vec<_>>();
        let case = InspectedMetric::of(LATENCY, one(around(100.0, 1)), one(gappy()));
        case.says(Severity::Warning, &[Arm::Canary], "21 of 30 points are missing, and the judge needs half of them");
        let less = around(100.0, 2).into_iter().enumerate().map(|(i, v)| if (10..20).contains(&i) { N } else { v }).collect();
        let case = InspectedMetric::of(LATENCY, one(around(100.0, 1)), one(less));
        case.says(Severity::Warning, &[], "the canary reports 20 of 30 points, the baseline 30 of 30 points; find out why");
    }

    #[test]
    fn arms_of_different_resolution_ask_for_a_step_at_which_both_have_points() {
        let every =
            |k: usize, seed| one(around(100.0, seed).into_iter().enumerate().map(|(i, v)| if i % k == 0 { v } else { N }).collect());
        let case = || InspectedMetric::of(LATENCY, every(2, 1), every(3, 2));
        case().says(
            Severity::Warning,
            &[Arm::Baseline],
            "a point every 2m, asked every 1m: the points between are missing; use `step: 6m`",
        );
        case().says(Severity::Warning, &[Arm::Canary], "a point every 3m, asked every 1m: the points between are missing; use `step: 6m`");
    }

    /// Points of a counter that is there only when something happened.
    fn sparse(seed: usize) -> Vec<f64> {
        (0..30).map(|i| if (i * i + seed * i) % 7 == 1 && i < 28 { 1.0 + (i % 3) as f64 } else { N }).collect()
    }

    #[test]
    fn a_sparse_counter_whose_absence_means_zero_is_not_held_against_the_config() {
        let sparse = || [one(sparse(0)), one(sparse(2))];
        let [baseline, canary] = sparse();
        let value = InspectedMetric { beside: true, ..InspectedMetric::of("absent_means_zero: true, limits: {max: 9}", baseline, canary) };
        let ratio = "kind: ratio, absent_means_zero: true, limits: {max: 0.01}";
        let totals = [one(around(1000.0, 1)), one(around(1000.0, 2))];
        for case in [value, InspectedMetric::counts(ratio, sparse(), totals)] {
            let said = case.said();
            assert!(said.iter().all(|(severity, _)| *severity == Severity::Note), "{said:#?}");
        }
        let [baseline, canary] = sparse();
        InspectedMetric::of("limits: {max: 9}", baseline, canary).says(Severity::Warning, &ARMS, "22 of 30 points are missing");
    }

    #[test]
    fn points_at_regular_distances_tell_no_resolution_where_absence_means_zero() {
        let every = |k: usize, seed| one(around(5.0, seed).into_iter().enumerate().map(|(i, v)| if i % k == 0 { v } else { N }).collect());
        let zero = "kind: ratio, absent_means_zero: true, limits: {max: 0.01}";
        let totals = |k: usize| [every(k, 3), every(k, 4)];
        let seconds = |case: InspectedMetric| case.inspect().0[0].canary.resolution_seconds;
        assert_eq!(seconds(InspectedMetric::of("absent_means_zero: true, limits: {max: 9}", every(3, 1), every(3, 2))), None);
        assert_eq!(seconds(InspectedMetric::counts(zero, [every(3, 1), every(3, 2)], totals(1))), Some(60));
        assert_eq!(
            seconds(InspectedMetric::counts(zero, [every(1, 1), every(1, 2)], totals(3))),
            Some(180),
            "a denominator is always there"
        );
        assert_eq!(seconds(InspectedMetric::counts(RATIO, [every(3, 1), every(3, 2)], totals(1))), Some(180));
    }

    /// What is said of how late the points of some metrics came, each with its settings and both arms.
    fn said_of_lateness(metrics: &[(&str, [Vec<f64>; 2])]) -> Vec<String> {
        let metric = |(i, (settings, _)): (usize, &(&str, _))| format!("{{name: m{i}, {settings}}}");
        let yaml = format!("{{name: x, metrics: [{}]}}", metrics.iter().enumerate().map(metric).collect::<Vec<_>>().join(", "));
        let config = CheckedConfig::from_yaml(&yaml).unwrap();
        let observed: Vec<_> = metrics.iter().map(|(_, arms)| arms.clone().map(|values| Ok(ArmPoints::values(values)))).collect();
        let mut findings = Vec::new();
        let inspection =
            Inspection { config: &config, window: WINDOW, settle: Duration::from_secs(60), ends_now: true, scopes: ("a", "b") };
        inspection.young(&observed, &mut findings);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn samples_that_come_late_in_all_metrics_ask_for_a_longer_settle() {
        let late = |lacks: usize| [1, 2].map(|seed| around(100.0, seed).into_iter().take(30 - lacks).chain(vec![N; lacks]).collect());
        let gappy = |lacks: usize| late(lacks).map(|points: Vec<f64>| (0..30).map(|i| if i % 10 < 4 { N } else { points[i] }).collect());
        let zero = "absent_means_zero: true";
        let said = said_of_lateness(&[(LATENCY, late(3)), (LATENCY, late(2)), (zero, [sparse(0), sparse(2)])]);
        let begins = "no metric has the window's newest points yet, in either arm; up to 3m are missing: samples come later than 1m";
        assert!(said.len() == 1 && said[0].starts_with(begins) && said[0].ends_with("`settle` to 4m"), "{said:?}");
        let [baseline, _] = late(3);
        let [_, canary] = late(0);
        for in_time in [
            &[(LATENCY, late(3))][..],
            &[(LATENCY, late(3)), (zero, [sparse(0), sparse(2)])],
            &[(LATENCY, late(3)), (LATENCY, late(0))],
            &[(LATENCY, late(3)), (LATENCY, [baseline, canary])],
            &[(LATENCY, late(3)), (LATENCY, gappy(4))],
            &[(LATENCY, late(3)), (LATENCY, late(20))],
        ] {
            assert_eq!(said_of_lateness(in_time), [""; 0], "{in_time:?}");
        }
    }

    #[test]
    fn a_numerator_that_is_absent_is_declared_as_zero_or_looked_into() {
        let totals = || [one(vec![1000.0; 30]), one(vec![1001.0; 30])];
        let none = || [Vec::new(), Vec::new()];
        let both = &[Arm::Baseline, Arm::Canary];
        InspectedMetric::counts(RATIO, none(), totals()).says(
            Severity::Warning,
            both,
            "no series came back, while its denominator has points; if",
        );
        let zero = "kind: ratio, absent_means_zero: true, limits: {max: 0.01}";
        InspectedMetric::counts(zero, none(), totals()).says(
            Severity::Note,
            both,
            "no series came back, while its denominator has points: counts",
        );
        let some = || (0..30_u32).map(|i| if i % 2 == 0 { f64::from(i % 3) } else { N }).collect::<Vec<_>>();
        let case = InspectedMetric::counts(RATIO, [one(some()), one(some())], totals());
        case.says(Severity::Warning, both, "15 of 30 points have a denominator and no numerator");
    }

    #[test]
    fn counts_are_summed_and_an_interval_without_traffic_is_no_gap() {
        let totals = |first: f64| std::iter::once(first).chain(vec![100.0; 29]).collect::<Vec<_>>();
        let case = InspectedMetric::counts(
            RATIO,
            [one(vec![1.0; 30]), one(totals(0.0).iter().map(|m| m / 50.0).collect())],
            [one(totals(100.0)), one(totals(0.0))],
        );
        let (reports, findings) = case.inspect();
        let canary = &reports[0].canary;
        let counts = canary.counts.unwrap();
        assert_eq!((counts.events, counts.total, counts.points, counts.without_traffic), (58.0, 2900.0, 30, 1));
        assert_eq!(canary.profile.as_ref().unwrap().present, 30);
        assert!(findings.iter().any(|finding| finding.message == "1 of 30 points had no traffic"), "{findings:?}");
    }

    #[test]
    fn too_little_traffic_says_what_will_decide_and_what_would_be_enough() {
        let few = || [one(vec![1.0; 30]), one(vec![1.1; 30])];
        let none = || [one(vec![0.0; 30]), one(vec![0.0; 30])];
        let case = InspectedMetric::counts(RATIO, none(), few());
        case.says(Severity::Note, &[], "too little for statistics in 30m, so that its limits will decide (33 canary requests where 50");
        let case = InspectedMetric::counts("kind: ratio, direction: increase", none(), few());
        case.says(Severity::Warning, &[], "too little for statistics in 30m, and no limits: it stays inconclusive (33 canary requests");
        let case = InspectedMetric::of("limits: {max: 500}, min_points: 40", one(around(100.0, 1)), one(around(100.0, 2)));
        let said = case.said();
        assert!(said[0].1.contains("30 points where 40 are needed") && said[0].1.contains("observe 10 minutes longer"), "{said:?}");
    }

    #[test]
    fn several_series_are_named_by_what_tells_them_apart() {
        let pods = || vec![series(&[("app", "x"), ("pod", "a")], around(1.0, 1)), series(&[("app", "x"), ("pod", "b")], around(1.0, 2))];
        let said = "2 series came back where one is judged, told apart by pod (pod=\"a\", pod=\"b\")";
        InspectedMetric::of(LATENCY, pods(), one(around(1.0, 3))).says(Severity::Error, &[Arm::Baseline], said);
        let case = InspectedMetric::of("per_instance: node", pods(), pods());
        case.says(Severity::Error, &[Arm::Baseline, Arm::Canary], "a series has no label `node`");
        let case = InspectedMetric::of("per_instance: app", pods(), pods());
        case.says(Severity::Error, &[Arm::Baseline, Arm::Canary], "two series have app=\"x\"");
        let alone = vec![series(&[("pod", "c")], around(1.0, 4))];
        InspectedMetric::of("per_instance: pod", alone, pods()).says(
            Severity::Warning,
            &[],
            "`per_instance: pod` with one instance in the baseline (c)",
        );
    }

    #[test]
    fn a_scope_that_finds_nothing_is_said_once_and_a_single_query_by_itself() {
        let totals = || one(vec![1000.0; 30]);
        let findings = InspectedMetric::counts(RATIO, [totals(), Vec::new()], [totals(), Vec::new()]).inspect().1;
        let empty: Vec<&LintFinding> = findings.iter().filter(|finding| finding.message.contains("series")).collect();
        assert_eq!(empty.len(), 1, "{findings:#?}");
        assert!(empty[0].message.starts_with("not one query found a series: nothing is called `b` there"), "{empty:?}");
        assert_eq!((empty[0].pointer.as_str(), empty[0].arms.as_slice()), ("", &[Arm::Canary][..]));
        let case = InspectedMetric::of(LATENCY, one(around(1.0, 1)), Vec::new());
        case.says(Severity::Warning, &[Arm::Canary], "no series came back, while the other arm has one; check what `b` selects");
        let case = InspectedMetric::of("optional: true", Vec::new(), Vec::new());
        case.says(Severity::Note, &[Arm::Baseline, Arm::Canary], "no series came back; the metric is optional");
    }

    #[test]
    fn a_slow_or_refused_query_is_named() {
        let slow = InspectedMetric {
            took: Duration::from_millis(7_300),
            ..InspectedMetric::of(LATENCY, one(around(1.0, 1)), one(around(1.0, 2)))
        };
        slow.says(Severity::Warning, &[Arm::Baseline, Arm::Canary], "took 7.3 s; let the store compute it");
        let refused = |at: u32| Err(SourceError::Refused(format!("parse error at {at}")));
        let case = InspectedMetric {
            replies: vec![(Part::Value, [refused(4), refused(9)])],
            ..InspectedMetric::of(LATENCY, Vec::new(), Vec::new())
        };
        case.says(Severity::Error, &[Arm::Baseline, Arm::Canary], "the metric store refused the query: parse error at 4; query `q`");
    }

    #[test]
    fn equal_points_are_counted_and_their_value_named() {
        let zeros =
            |seed: u32| around(1.0, seed).into_iter().enumerate().map(|(i, v)| if i % 3 == 0 { 0.0 } else { v }).collect::<Vec<_>>();
        let case = InspectedMetric::of("limits: {max: 5}", one(zeros(1)), one(around(1.0, 2)));
        case.says(Severity::Note, &[Arm::Baseline], "33 % of the points are 0");
    }
}
