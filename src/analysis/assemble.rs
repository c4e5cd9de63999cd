//! Makes evidence of the replies: both arms' points of each metric, on one grid.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use haldane_judges::config::{MAX_METRICS, Metric};
use haldane_judges::evidence::{Arm, ArmPoints, Comparison, Evidence, FetchFailure, Observation, Population};
use haldane_judges::{CheckedConfig, JudgeName};

use super::align::clocks::{self, ArmPair};
use super::align::resolution;
use super::align::tail::{self, Tail};
use super::arms::{self, AnsweredQuery, PairedArms};
use super::error::AnalysisError;
use super::fetch::{QueryAnswer, query_provenance};
use super::pairing::SeriesLabels;
use super::plan::{MetricPlan, Plan, SeriesRule, learns_from_history, reads_the_clock};
use super::population;
use super::query::Part;
use super::read::{MetricReplies, Replies};
use super::scorecard::{MetricProvenance, QueryProvenance};
use crate::source::{Advice, Window};

/// Where samples came from that came with the request.
const INLINE: &str = "inline";

/// What a judge is given, with what there is to say of how it was read.
pub(super) struct Assembly {
    /// The plan's config, with a metric for each pair of series.
    pub(super) config: CheckedConfig,
    pub(super) evidence: Evidence,
    /// One for each metric of the config.
    pub(super) metrics: Vec<MetricNotes>,
    pub(super) population: Vec<QueryProvenance>,
    /// What is to be said of the canary as a whole.
    pub(super) warnings: Vec<String>,
}

/// Where one metric's samples came from, and what is to be said of them.
pub(super) struct MetricNotes {
    pub(super) provenance: MetricProvenance,
    pub(super) warnings: Vec<String>,
    pub(super) advice: Vec<Advice>,
}

impl MetricNotes {
    /// Whether it is of this metric of the plan, or of a pair of its series.
    pub(super) fn is_of(&self, name: &str) -> bool {
        self.provenance.series_of.as_ref().unwrap_or(&self.provenance.name) == name
    }
}

/// Makes evidence of a plan's replies; `asked_at` (Unix seconds) is before the first was asked for.
///
/// # Errors
/// [`AnalysisError::Broken`].
pub(super) fn assemble(plan: &Plan, replies: &Replies, asked_at: i64) -> Result<Assembly, AnalysisError> {
    let population: Vec<AnsweredQuery<'_>> = plan.population.iter().zip(&replies.population).collect();
    let mut room = MAX_METRICS.saturating_sub(plan.metrics.len());
    let planned = plan.config.metrics.iter().zip(&plan.metrics).zip(&replies.metrics);
    let mut parts: Vec<Assembled> =
        planned.flat_map(|((metric, planned), replies)| assemble_metric(metric, planned, replies, plan, &mut room)).collect();
    let config = judged_config(&plan.config, &mut parts)?;
    let ends = ends_apart(&config, &parts);
    let (young_tail, young_seconds) = leave_out_young(plan, &config, &mut parts, asked_at);
    let members = members(plan, &population, |window| plan.young_points(window, asked_at));
    let evidence = evidence(plan, &config, &mut parts, members, young_seconds);
    let steps: Vec<Option<u32>> = parts.iter().map(Assembled::concurrent_step).collect();
    let warnings = young_tail.into_iter().chain(ends).chain(arms_apart(&evidence, &steps)).collect();
    let population = population.into_iter().map(|(planned, answer)| query_provenance(planned, answer)).collect();
    let metrics = parts.into_iter().map(|one| one.notes).collect();
    Ok(Assembly { config, evidence, metrics, population, warnings })
}

/// One metric's samples, or those of one of its pairs of series.
struct Assembled {
    observation: Observation,
    notes: MetricNotes,
    /// The baseline's window and the canary's; `None` where the samples came with the request.
    windows: Option<(Window, Window)>,
}

impl Assembled {
    fn new(provenance: MetricProvenance, observation: Observation) -> Self {
        Self { observation, notes: MetricNotes { provenance, warnings: Vec::new(), advice: Vec::new() }, windows: None }
    }

    /// The step at which both arms were asked over one window; `None` where they were not.
    fn concurrent_step(&self) -> Option<u32> {
        self.windows.filter(|(baseline, canary)| baseline == canary).map(|(_, canary)| canary.step_seconds)
    }
}

/// What a metric's replies come to: one entry, or one for each pair of its series. `room` is how many more than one each there may be.
fn assemble_metric(metric: &Metric, planned: &MetricPlan, read: &MetricReplies, plan: &Plan, room: &mut usize) -> Vec<Assembled> {
    let (request, name) = (&plan.request, &metric.name);
    let mut provenance = MetricProvenance {
        name: name.clone(),
        series_of: None,
        labels: SeriesLabels::new(),
        from: INLINE.to_owned(),
        step_seconds: None,
        queries: Vec::new(),
        also_read: read.beside.provenance(),
        statistics: None,
        samples: None,
    };
    let learns = learns_from_history(request.judge, metric);
    let (series, queries) = match planned {
        MetricPlan::Inline => {
            let observation = request.samples.get(name).map_or_else(
                || {
                    let message = "no samples were given for this metric".to_owned();
                    Observation::Failed(FetchFailure { arm: Arm::Canary, reason: "no_query".to_owned(), message })
                },
                |samples| samples.observation(learns, reads_the_clock(request.judge, metric)),
            );
            return vec![Assembled::new(provenance, observation)];
        }
        MetricPlan::Unasked { queries, reason, message } => {
            if let Some(source) = &plan.source {
                source.kind().clone_into(&mut provenance.from);
            }
            let unasked = QueryAnswer::late(None);
            provenance.queries = queries.iter().map(|planned| query_provenance(planned, &unasked)).collect();
            let failure = FetchFailure { arm: Arm::Canary, reason: (*reason).to_owned(), message: message.clone() };
            return vec![Assembled::new(provenance, Observation::Failed(failure))];
        }
        MetricPlan::Fetch { series, queries } => (series, read.again.as_deref().unwrap_or(queries)),
    };
    let replies = &read.replies;
    let (mut warnings, mut advice) = (read.warnings.clone(), Vec::new());
    let window = |arm: Arm| queries.iter().find(|planned| planned.arm == arm).map(|planned| planned.query.window);
    let windows = window(Arm::Baseline).zip(window(Arm::Canary));
    let own_step = windows.filter(|_| read.again.is_some()).map(|(_, canary)| canary.step_seconds);
    provenance.step_seconds = own_step;
    if let Some(source) = &plan.source {
        source.kind().clone_into(&mut provenance.from);
        for planned in queries.iter().filter(|planned| planned.arm == Arm::Canary) {
            let of_query = source.advise(&planned.query).into_iter();
            let of_query = of_query.filter(|advice| planned.part != Part::Denominator || advice.concerns_totals());
            advice.extend(of_query.filter(|advice| advice.concerns(metric)));
        }
        if learns && queries.iter().any(|planned| source.depends_on_range(&planned.query.text)) {
            warnings.push("judged without history: the query's points depend on the range over which it is asked".to_owned());
        }
    }
    let asked: Vec<AnsweredQuery<'_>> = queries.iter().zip(replies).collect();
    if request.judge != JudgeName::NetflixAca {
        advice.extend(repeated(&asked));
    }
    for (planned, fetched) in &asked {
        provenance.queries.push(query_provenance(planned, fetched));
        for warning in fetched.reply.iter().flat_map(|reply| &reply.warnings) {
            warnings.push(format!("{}: {warning}", planned.arm));
        }
        if let Some(error) = &fetched.without_history {
            warnings.push(format!(
                "{}: judged without history: the query over the window and the {} points before it failed ({error}); the window was asked \
                 for alone",
                planned.arm, planned.history_points
            ));
        }
    }
    // One arm's past says nothing about the two.
    let without_history = replies.iter().any(|fetched| fetched.without_history.is_some());
    let sampled = |mut baseline: ArmPoints, mut canary: ArmPoints| {
        if without_history {
            (baseline.history, canary.history) = (None, None);
        }
        let (step, per_instance) = (own_step.map(f64::from), matches!(series, SeriesRule::Instances(_)));
        let bounds = read.beside.bounds();
        let with_all = |arm: Arm, points: ArmPoints| {
            points.with_step(step).with_earlier(read.beside.earlier(arm, per_instance)).with_bounds(bounds.clone())
        };
        Observation::Sampled { baseline: with_all(Arm::Baseline, baseline), canary: with_all(Arm::Canary, canary) }
    };
    let assembled = |observation| Assembled {
        observation,
        notes: MetricNotes { provenance: provenance.clone(), warnings: warnings.clone(), advice: advice.clone() },
        windows,
    };
    if let SeriesRule::Pairs(pair_by) = series {
        return match arms::pairs(pair_by, &asked, *room + 1) {
            Err(failure) => vec![assembled(Observation::Failed(failure))],
            Ok(pairs) => {
                *room = room.saturating_sub(pairs.len() - 1);
                let several = pairs.len() > 1;
                let one = |PairedArms { labels, baseline, canary, warnings }| {
                    let mut one = assembled(sampled(baseline, canary));
                    one.notes.provenance.series_of = several.then(|| name.clone());
                    one.notes.provenance.labels = labels;
                    one.notes.warnings.extend(warnings);
                    one
                };
                pairs.into_iter().map(one).collect()
            }
        };
    }
    let per_instance = match series {
        SeriesRule::Instances(label) => Some(label.as_str()),
        _ => None,
    };
    let mut said = Vec::new();
    // From here on bounds are in the metric's unit.
    let factor = metric.bucket_factor();
    let mut points = |arm: Arm| arms::arm_points(arm, per_instance, &asked, &mut said).map(|points| points.in_unit(factor));
    let (baseline, canary) = (points(Arm::Baseline), points(Arm::Canary));
    let mut one = assembled(match (baseline, canary) {
        (Ok(baseline), Ok(canary)) => sampled(baseline, canary),
        (Err(failure), _) | (_, Err(failure)) => Observation::Failed(failure),
    });
    one.notes.warnings.extend(said);
    vec![one]
}

/// Advice on arms that repeat each value for several steps: their neighbouring points are one.
fn repeated(asked: &[AnsweredQuery<'_>]) -> Option<Advice> {
    let of = |arm: Arm| -> Option<u64> {
        let repeats = |(planned, fetched): &AnsweredQuery<'_>| {
            // Buckets of few requests stay the same by chance.
            if planned.part == Part::Buckets {
                return None;
            }
            let found = fetched.reporting().into_iter().filter_map(|series| resolution::repeats(fetched.window_of(series))).min()?;
            (found > 1).then(|| u64::from(planned.query.window.step_seconds).saturating_mul(found as u64))
        };
        asked.iter().filter(|(planned, _)| planned.arm == arm).filter_map(repeats).max()
    };
    let who = match (of(Arm::Baseline), of(Arm::Canary)) {
        (Some(baseline), Some(canary)) if baseline == canary => format!("the values of both arms change every {canary} s only"),
        (Some(baseline), Some(canary)) => {
            format!("the baseline's values change every {baseline} s only, and the canary's every {canary} s")
        }
        (Some(one), None) => format!("the baseline's values change every {one} s only"),
        (None, Some(one)) => format!("the canary's values change every {one} s only"),
        (None, None) => return None,
    };
    let sentence =
        format!("{who} and are repeated in between: a scrape or a recording rule is slower than the step; ask at a step as long");
    Some(Advice { sentence, about_shifts: false, unless: None, only: None })
}

/// Ends both arms of every metric before the first point that either lacks and that may still arrive, and says how young the tail was, and
/// by how many seconds the shortest metric ends before the window does. A metric that would lose too much of it is not judged.
///
/// Kayenta's judge is given every point, as Kayenta would give it.
fn leave_out_young(plan: &Plan, config: &CheckedConfig, assembled: &mut [Assembled], now: i64) -> (Option<String>, i64) {
    let Some(source) = &plan.source else { return (None, 0) };
    let mut left_out = Vec::new();
    let mut youngest: Option<Window> = None;
    let mut longest = 0;
    for (one, metric) in assembled.iter_mut().zip(&config.metrics) {
        let Some((baseline, canary)) = one.windows else { continue };
        for window in [baseline, canary] {
            if plan.young_points(window, now) > 0 && youngest.is_none_or(|other| other.end < window.end) {
                youngest = Some(window);
            }
        }
        if plan.request.judge == JudgeName::NetflixAca {
            continue;
        }
        let window = |arm| if arm == Arm::Baseline { baseline } else { canary };
        match tail::leave_out_missing(&mut one.observation, metric.absent_means_zero, |arm| plan.young_points(window(arm), now)) {
            Tail::LeftOut(0) => {}
            Tail::LeftOut(points) => {
                left_out.push(one.notes.provenance.name.as_str());
                let seconds = i64::try_from(points).unwrap_or(i64::MAX).saturating_mul(i64::from(canary.step_seconds));
                // What a muted metric lacks shortens nothing that decides.
                longest = longest.max(if metric.muted { 0 } else { seconds });
            }
            Tail::Unjudged(arm, points) => {
                one.observation = Observation::Failed(tail::failure(arm, points, window(arm), source.settle_seconds()));
            }
        }
    }
    let warning = youngest.and_then(|window| tail::warning(window, source.settle_seconds(), now, source.name(), &left_out));
    (warning, longest)
}

/// Says where one arm begins later or ends earlier than the other, over all metrics that were read over one window.
fn ends_apart(config: &CheckedConfig, assembled: &[Assembled]) -> Vec<String> {
    let told = assembled.iter().zip(&config.metrics).filter_map(|(one, metric)| {
        let Observation::Sampled { baseline, canary } = &one.observation else { return None };
        // Where no point is a zero, it says nothing of when an arm began.
        let step_seconds = i64::from(one.concurrent_step().filter(|_| !metric.absent_means_zero)?);
        Some(ArmPair { baseline: &baseline.points, canary: &canary.points, step_seconds })
    });
    clocks::ends_apart(&told.collect::<Vec<_>>())
}

/// Says where one arm's points follow the other's, over the metrics that were read over one window at one step, which most of them have.
fn arms_apart(evidence: &Evidence, steps: &[Option<u32>]) -> Option<String> {
    let mut of_step: BTreeMap<u32, Vec<ArmPair<'_>>> = BTreeMap::new();
    for (observation, step) in evidence.observations.iter().zip(steps) {
        let (Observation::Sampled { baseline, canary }, Some(step)) = (observation, *step) else { continue };
        let pair = ArmPair { baseline: &baseline.points, canary: &canary.points, step_seconds: i64::from(step) };
        of_step.entry(step).or_default().push(pair);
    }
    let (step, pairs) = of_step.into_iter().max_by_key(|(step, pairs)| (pairs.len(), Reverse(*step)))?;
    clocks::lag(&pairs).map(|lag| lag.warning(i64::from(step)))
}

/// The config with a metric for each pair of series; each of them is named after its labels.
fn judged_config(config: &CheckedConfig, assembled: &mut [Assembled]) -> Result<CheckedConfig, AnalysisError> {
    if assembled.iter().all(|one| one.notes.provenance.series_of.is_none()) {
        return Ok(config.clone());
    }
    let mut names: BTreeSet<String> = config.metrics.iter().map(|metric| metric.name.clone()).collect();
    let mut expanded = config.clone().into_inner();
    expanded.metrics.clear();
    for one in assembled {
        let name = one.notes.provenance.series_of.as_ref().unwrap_or(&one.notes.provenance.name);
        let Some(metric) = config.metrics.iter().find(|metric| metric.name == *name) else {
            return Err(AnalysisError::Broken(format!("`{name}` is no metric of the config")));
        };
        let mut metric = metric.clone();
        if one.notes.provenance.series_of.is_some() {
            metric.name = name_of_series(&metric.name, &one.notes.provenance.labels, &names);
            names.insert(metric.name.clone());
            one.notes.provenance.name.clone_from(&metric.name);
        }
        expanded.metrics.push(metric);
    }
    expanded.check().map_err(|error| AnalysisError::Broken(error.to_string()))
}

/// The name of a metric that is one pair of series of another: `name{zone="a"}`, cut to what a metric's name may have, and numbered
/// where that is taken.
#[must_use]
pub fn name_of_series(name: &str, labels: &BTreeMap<String, String>, taken: &BTreeSet<String>) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let full: String = format!("{name}{{{}}}", labels.join(",")).chars().filter(|c| !c.is_control()).collect();
    let cut = |to: usize| full.get(..full.floor_char_boundary(to)).unwrap_or_default().to_owned();
    let mut found = cut(200);
    let mut number = 2;
    while taken.contains(&found) {
        found = format!("{} #{number}", cut(190));
        number += 1;
    }
    found
}

/// Who runs what, where the config asks.
fn members(plan: &Plan, asked: &[AnsweredQuery<'_>], young: impl Fn(Window) -> usize) -> Option<Result<Population, FetchFailure>> {
    let check = plan.config.population.as_ref()?;
    if plan.population.is_empty() {
        let message =
            "the samples came with the request, which says no window over which to ask who runs which version; give one".to_owned();
        return Some(Err(FetchFailure { arm: Arm::Canary, reason: "no_query".to_owned(), message }));
    }
    Some(population::read(check, asked, young))
}

fn evidence(
    plan: &Plan,
    config: &CheckedConfig,
    assembled: &mut [Assembled],
    population: Option<Result<Population, FetchFailure>>,
    young_seconds: i64,
) -> Evidence {
    let request = &plan.request;
    let taken = |one: &mut Assembled| {
        let nothing = FetchFailure { arm: Arm::Canary, reason: String::new(), message: String::new() };
        std::mem::replace(&mut one.observation, Observation::Failed(nothing))
    };
    let mut observations: Vec<Observation> = assembled.iter_mut().map(taken).collect();
    if let Some(released) = request.released_at {
        for (observation, one) in observations.iter_mut().zip(assembled.iter()) {
            let Some((_, window)) = one.windows else { continue };
            // The steps between the release and the window are the new version's own.
            let since = window.start.saturating_sub(released.as_second()).max(0);
            let step = i64::from(window.step_seconds.max(1));
            arms::forget_newest(observation, usize::try_from(since.saturating_add(step - 1) / step).unwrap_or(usize::MAX));
        }
    }
    arms::trim_histories(config, &mut observations, f64::from(plan.step_seconds));
    let points = |observation: &Observation| match observation {
        Observation::Sampled { canary, .. } => canary.points.len(),
        Observation::Failed(_) => 0,
    };
    // How long a muted metric was observed decides nothing.
    let longest = observations.iter().zip(&config.metrics).filter(|(_, metric)| !metric.muted).map(|(one, _)| points(one));
    let step_seconds = f64::from(plan.step_seconds);
    let observed_seconds = match request.window {
        // An edge's own queries have a point at either end of what was observed.
        Some(window) if !request.queries.is_empty() => (window.seconds() - i64::from(window.step_seconds)).max(0) as f64,
        Some(window) => window.seconds() as f64,
        None => longest.max().unwrap_or(0) as f64 * step_seconds,
    };
    // What was left out of its end was not observed.
    let observed_seconds = (observed_seconds - young_seconds as f64).max(0.0);
    let own = request.queries.values().map(|queries| (Some(queries.baseline.window), Some(queries.canary.window)));
    let apart = own.chain([(request.baseline_window(), request.window)]).any(|(baseline, canary)| baseline != canary);
    // Inline samples have no windows that could differ.
    let apart = apart || request.baseline_offset_seconds > 0;
    let comparison = if apart { Comparison::BeforeAfter } else { Comparison::Concurrent };
    Evidence {
        observations,
        step_seconds,
        observed_seconds,
        comparison,
        canary_share: request.canary_share,
        looks: request.looks,
        ramp: request.ramp.clone(),
        population,
        advisory: request.advisory,
    }
}
