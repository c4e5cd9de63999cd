//! Runs one analysis: plan, fetch, align, judge.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream;
use haldane_judges::config::MAX_METRICS;
use haldane_judges::evidence::{Arm, ArmPoints, Comparison, Evidence, FetchFailure, Observation, Points, Population};
use haldane_judges::scorecard::{Remedy, Status, VerdictReason};
use haldane_judges::{CheckedConfig, Judgement};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::arms::{self, Asked, PairedArms};
use super::fetch::{FetchError, Fetched, fetch};
use super::pairing::Labels;
use super::plan::{MetricPlan, Plan, PlannedQuery, SeriesRule, learns_from_history};
use super::population;
use super::{
    ArmSamples, MetricProvenance, MetricSamples, MetricStatistics, Provenance, QueryProvenance, Request, Scorecard, Statistics, WindowSpan,
};
use crate::source::cache::{CacheCounts, CachedSource, ReplyCache};
use crate::source::{Advice, InvalidSource, Source, SourceError, SourceSettings, Window};

/// Bounds of one analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most points an arm of a metric may have.
    pub max_points: usize,
    /// Most points it may have where they came with the request.
    pub max_inline_points: usize,
    /// Most queries in flight for one analysis.
    pub concurrent_queries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_points: 11_000, max_inline_points: 100_000, concurrent_queries: 16 }
    }
}

/// One configured metric store.
#[derive(Debug)]
pub struct Account {
    /// The name callers choose it by.
    pub name: String,
    /// The store, behind the cache that all accounts share.
    pub source: CachedSource,
}

/// The configured metric stores, by name.
#[derive(Debug, Default)]
pub struct Accounts {
    accounts: BTreeMap<String, Account>,
    cache: ReplyCache,
}

impl Accounts {
    /// Makes every store ready.
    ///
    /// # Errors
    /// [`InvalidSource`] for the first whose settings do not work.
    pub fn open(settings: &BTreeMap<String, SourceSettings>) -> Result<Self, InvalidSource> {
        let cache = ReplyCache::default();
        let accounts = settings
            .iter()
            .map(|(name, settings)| {
                let source = CachedSource::new(name.clone(), Source::open(name, settings)?, &cache);
                Ok((name.clone(), Account { name: name.clone(), source }))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { accounts, cache })
    }

    /// The account a request means: the one it names, or the only one there is.
    ///
    /// # Errors
    /// [`AnalysisError::UnknownSource`] when there is no such account, or several and none is named.
    pub fn choose(&self, name: Option<&str>) -> Result<&Account, AnalysisError> {
        let known = || self.accounts.keys().cloned().collect();
        match name {
            Some(name) => self.accounts.get(name),
            None if self.accounts.len() == 1 => self.accounts.values().next(),
            None => None,
        }
        .ok_or_else(|| AnalysisError::UnknownSource { name: name.map(str::to_owned), known: known() })
    }

    /// The accounts, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// How often replies were at hand.
    #[must_use]
    pub fn cache_counts(&self) -> CacheCounts {
        self.cache.counts()
    }
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnalysisError {
    /// A field of the request cannot be used.
    #[error("{message}")]
    Invalid {
        /// JSON pointer into the request, such as `/window/end`.
        pointer: String,
        /// The value and the remedy.
        message: String,
    },
    /// No such account.
    #[error("{}", unknown_source(name.as_deref(), known))]
    UnknownSource {
        /// The name asked for, if any.
        name: Option<String>,
        /// The names there are.
        known: Vec<String>,
    },
    /// The judge broke down; a defect of Haldane's.
    #[error("the judge broke down: {0}")]
    Broken(String),
    /// Not one metric could be read.
    #[error("no metric could be read; `{metric}`: {error}")]
    NothingFetched {
        /// The first metric that failed.
        metric: String,
        /// Why it did.
        error: SourceError,
    },
}

fn unknown_source(name: Option<&str>, known: &[String]) -> String {
    let known = if known.is_empty() { "none is configured".to_owned() } else { format!("configured: {}", known.join(", ")) };
    match name {
        Some(name) => format!("unknown source `{}`; {known}", name.chars().take(60).collect::<String>()),
        None => format!("the request names no source, and there is not exactly one to choose; {known}"),
    }
}

/// How far the fetching has come. A population check counts as a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Metrics that have arrived or failed.
    pub done: usize,
    /// Metrics to be fetched.
    pub total: usize,
}

/// Where samples came from that came with the request.
const INLINE: &str = "inline";

/// Runs analyses against the configured stores.
#[derive(Debug)]
pub struct Analyst {
    accounts: Accounts,
    limits: Limits,
}

impl Analyst {
    /// An analyst over these stores.
    #[must_use]
    pub fn new(accounts: Accounts, limits: Limits) -> Self {
        Self { accounts, limits }
    }

    /// The stores it reads from.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The bounds it keeps.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Checks what can be checked without fetching: the config, the account, the window, a query for every metric and its
    /// variables, the sizes.
    ///
    /// # Errors
    /// [`AnalysisError::Invalid`] and [`AnalysisError::UnknownSource`].
    pub fn check(&self, request: &Request) -> Result<(), AnalysisError> {
        Plan::of(request, &self.accounts, self.limits).map(|_| ())
    }

    /// Judges. Metrics that have not arrived by `deadline` are errors with reason `deadline`; the reply comes all the same.
    /// The scorecard has no id yet and carries every sample; edges leave the samples out unless asked for them.
    ///
    /// # Errors
    /// Those of [`Analyst::check`], and [`AnalysisError::NothingFetched`] when the stores gave nothing at all.
    pub async fn run(
        &self,
        request: &Request,
        deadline: Instant,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Scorecard, AnalysisError> {
        let plan = Plan::of(request, &self.accounts, self.limits)?;
        let mut replies = self.fetch_all(&plan, deadline, progress).await;
        let population_replies = replies.split_off(plan.metrics.len()).pop().unwrap_or_default();
        let names = || plan.config.metrics.iter().map(|metric| &metric.name);
        if !population_replies.iter().any(|fetched| fetched.reply.is_ok()) {
            nothing_fetched(&plan, &replies, names())?;
        }
        let population: Vec<Asked<'_>> = plan.population.iter().zip(&population_replies).collect();
        let mut room = MAX_METRICS.saturating_sub(plan.metrics.len());
        let mut assembled: Vec<Assembled> = names()
            .zip(&plan.metrics)
            .zip(&replies)
            .flat_map(|((name, planned), replies)| assemble(name, planned, replies, request, &plan, &mut room))
            .collect();
        let config = judged_config(&plan.config, &mut assembled)?;
        let evidence = evidence(request, &plan, &config, &mut assembled, members(&plan, &population));
        let digest = digest(&config, &evidence);
        let judge = request.judge;
        let judging = tokio::task::spawn_blocking(move || {
            let judgement = haldane_judges::judge(judge, &config, &evidence);
            (judgement, evidence)
        });
        let (mut judgement, evidence) = judging.await.map_err(|error| AnalysisError::Broken(error.to_string()))?;
        for (metric, assembled) in judgement.metrics.iter_mut().zip(&assembled) {
            let shifted = matches!(metric.status, Status::Regressed | Status::Suspect);
            let advice = assembled.advice.iter().filter(|advice| shifted || !advice.about_shifts).map(|advice| &advice.sentence);
            for warning in assembled.warnings.iter().chain(advice) {
                if !metric.warnings.contains(warning) {
                    metric.warnings.push(warning.clone());
                }
            }
        }
        // Series are pairs of one config's metric, whichever of them there were.
        judgement.config_digest = plan.config.digest();
        let population = population.into_iter().map(query_provenance).collect::<Vec<_>>();
        judgement.warnings.extend(unmatched_arms(request, &assembled, &population));
        let said = population_replies.iter().flat_map(|fetched| fetched.reply.iter()).flat_map(|reply| &reply.warnings);
        judgement.warnings.extend(said.map(|warning| format!("population: {warning}")));
        name_times(&mut judgement, request);
        let data = Provenance {
            source: plan.account.map(|account| account.name.clone()),
            canary_window: request.window.and_then(span),
            baseline_window: request.baseline_window().and_then(span),
            step_seconds: plan.step_seconds,
            digest,
            metrics: assembled
                .into_iter()
                .zip(&evidence.observations)
                .map(|(assembled, observation)| MetricProvenance {
                    statistics: statistics(observation),
                    samples: samples(observation),
                    ..assembled.provenance
                })
                .collect(),
            population,
        };
        Ok(Scorecard { id: None, judged_at: Timestamp::now(), rerun: false, judgement, data })
    }

    /// Asks every query, a bounded number at a time. The result has an entry for each metric, and one for the population, with one for
    /// each of its queries.
    async fn fetch_all(&self, plan: &Plan<'_>, deadline: Instant, progress: &(dyn Fn(Progress) + Sync)) -> Vec<Vec<Fetched>> {
        let asked: Vec<&[PlannedQuery]> = plan.metrics.iter().map(MetricPlan::queries).chain([plan.population.as_slice()]).collect();
        let mut waiting: Vec<usize> = asked.iter().map(|queries| queries.len()).collect();
        let total = waiting.iter().filter(|queries| **queries > 0).count();
        let mut done = 0;
        progress(Progress { done, total });
        let mut replies: Vec<Vec<Option<Fetched>>> = waiting.iter().map(|queries| vec![None; *queries]).collect();
        if let Some(account) = plan.account {
            // A loop and not a chain of closures: those borrow for one lifetime, and the future could then not be spawned.
            let mut jobs = Vec::new();
            for (i, queries) in asked.iter().enumerate() {
                for (j, planned) in queries.iter().enumerate() {
                    jobs.push(async move { (i, j, fetch(&account.source, planned, deadline).await) });
                }
            }
            let mut fetching = stream::iter(jobs).buffer_unordered(self.limits.concurrent_queries.max(1));
            while let Some((i, j, fetched)) = fetching.next().await {
                replies[i][j] = Some(fetched);
                waiting[i] -= 1;
                if waiting[i] == 0 {
                    done += 1;
                    progress(Progress { done, total });
                }
            }
        }
        replies.into_iter().map(|metric| metric.into_iter().map(|reply| reply.unwrap_or_else(Fetched::late)).collect()).collect()
    }
}

/// Fails when every metric was to be fetched and for each the store itself failed: then there is nothing to judge.
fn nothing_fetched<'a>(plan: &Plan<'_>, replies: &[Vec<Fetched>], names: impl Iterator<Item = &'a String>) -> Result<(), AnalysisError> {
    let mut first = None;
    for ((name, planned), replies) in names.zip(&plan.metrics).zip(replies) {
        let failure = replies.iter().find_map(|fetched| match &fetched.reply {
            Err(FetchError::Source(error)) => Some(error),
            _ => None,
        });
        match failure {
            Some(error) if !planned.queries().is_empty() => first = first.or_else(|| Some((name.clone(), error.clone()))),
            _ => return Ok(()),
        }
    }
    match first {
        Some((metric, error)) => Err(AnalysisError::NothingFetched { metric, error }),
        None => Ok(()),
    }
}

/// One metric's samples, or those of one of its pairs of series, with where they came from.
struct Assembled {
    observation: Option<Observation>,
    provenance: MetricProvenance,
    warnings: Vec<String>,
    advice: Vec<Advice>,
}

impl Assembled {
    fn new(provenance: MetricProvenance, observation: Option<Observation>) -> Self {
        Self { observation, provenance, warnings: Vec::new(), advice: Vec::new() }
    }
}

/// What a metric's replies come to: one entry, or one for each pair of its series. `room` is how many more than one each there may be.
fn assemble(name: &str, planned: &MetricPlan, replies: &[Fetched], request: &Request, plan: &Plan<'_>, room: &mut usize) -> Vec<Assembled> {
    let mut provenance = MetricProvenance {
        name: name.to_owned(),
        series_of: None,
        labels: Labels::new(),
        from: INLINE.to_owned(),
        queries: Vec::new(),
        statistics: None,
        samples: None,
    };
    let learns = plan.config.metrics.iter().any(|metric| metric.name == name && learns_from_history(request.judge, metric));
    let (series, queries) = match planned {
        MetricPlan::Inline => {
            let observation = request.samples.get(name).map(|samples| arms::inline(samples, learns));
            return vec![Assembled::new(provenance, observation)];
        }
        MetricPlan::Fetch { series, queries } => (series, queries),
    };
    let (mut warnings, mut advice) = (Vec::new(), Vec::new());
    if let Some(account) = plan.account {
        account.source.kind().clone_into(&mut provenance.from);
        for planned in queries.iter().filter(|planned| planned.arm == Arm::Canary) {
            advice.extend(account.source.advise(&planned.query));
        }
        if learns && queries.iter().any(|planned| account.source.depends_on_range(&planned.query.text)) {
            warnings.push("judged without history: the query's points depend on the range over which it is asked".to_owned());
        }
    }
    let asked: Vec<Asked<'_>> = queries.iter().zip(replies).collect();
    for (planned, fetched) in &asked {
        provenance.queries.push(query_provenance((planned, fetched)));
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
        Observation::Sampled { baseline, canary }
    };
    let assembled = |observation| Assembled {
        warnings: warnings.clone(),
        advice: advice.clone(),
        ..Assembled::new(provenance.clone(), Some(observation))
    };
    if let SeriesRule::Pairs(pair_by) = series {
        return match arms::pairs(pair_by, &asked, *room + 1) {
            Err(failure) => vec![assembled(Observation::Failed(failure))],
            Ok(pairs) => {
                *room = room.saturating_sub(pairs.len() - 1);
                let several = pairs.len() > 1;
                let one = |PairedArms { labels, baseline, canary, warnings }| {
                    let mut one = assembled(sampled(baseline, canary));
                    one.provenance.series_of = several.then(|| name.to_owned());
                    one.provenance.labels = labels;
                    one.warnings.extend(warnings);
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
    let points = |arm: Arm| arms::arm_points(arm, per_instance, &asked);
    vec![assembled(match (points(Arm::Baseline), points(Arm::Canary)) {
        (Ok(baseline), Ok(canary)) => sampled(baseline, canary),
        (Err(failure), _) | (_, Err(failure)) => Observation::Failed(failure),
    })]
}

/// The config with a metric for each pair of series; each of them is named after its labels.
fn judged_config(config: &CheckedConfig, assembled: &mut [Assembled]) -> Result<CheckedConfig, AnalysisError> {
    if assembled.iter().all(|one| one.provenance.series_of.is_none()) {
        return Ok(config.clone());
    }
    let mut names: BTreeSet<String> = config.metrics.iter().map(|metric| metric.name.clone()).collect();
    let mut expanded = config.clone().into_inner();
    expanded.metrics.clear();
    for one in assembled {
        let name = one.provenance.series_of.as_ref().unwrap_or(&one.provenance.name);
        let Some(metric) = config.metrics.iter().find(|metric| metric.name == *name) else {
            return Err(AnalysisError::Broken(format!("`{name}` is no metric of the config")));
        };
        let mut metric = metric.clone();
        if one.provenance.series_of.is_some() {
            metric.name = name_of_series(&metric.name, &one.provenance.labels, &names);
            names.insert(metric.name.clone());
            one.provenance.name.clone_from(&metric.name);
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

/// A query and what came back, as the scorecard shows it.
fn query_provenance((planned, fetched): Asked<'_>) -> QueryProvenance {
    let known = |values: &[f64]| values.iter().filter(|value| !value.is_nan()).count();
    let reporting = fetched.reply.is_ok().then(|| fetched.reporting());
    QueryProvenance {
        arm: planned.arm,
        part: planned.part.name().to_owned(),
        query: planned.query.text.clone(),
        series: reporting.as_ref().map(Vec::len),
        points: reporting.map(|series| series.iter().map(|one| known(fetched.window_of(one))).sum()),
        history_points: (fetched.reply.is_ok() && fetched.history_points > 0)
            .then(|| fetched.series().iter().map(|one| known(fetched.past_of(one))).sum()),
    }
}

/// Who runs what, where the config asks.
fn members(plan: &Plan<'_>, asked: &[Asked<'_>]) -> Option<Result<Population, FetchFailure>> {
    let check = plan.config.population.as_ref()?;
    if plan.population.is_empty() {
        let message =
            "the samples came with the request, which says no window over which to ask who runs which version; give one".to_owned();
        return Some(Err(FetchFailure { arm: Arm::Canary, reason: "no_query".to_owned(), message }));
    }
    Some(population::read(check, asked))
}

fn evidence(
    request: &Request,
    plan: &Plan<'_>,
    config: &CheckedConfig,
    assembled: &mut [Assembled],
    population: Option<Result<Population, FetchFailure>>,
) -> Evidence {
    let mut observations: Vec<Observation> = assembled
        .iter_mut()
        .map(|one| {
            one.observation.take().unwrap_or_else(|| {
                let message = "no samples were given for this metric".to_owned();
                Observation::Failed(FetchFailure { arm: Arm::Canary, reason: "no_query".to_owned(), message })
            })
        })
        .collect();
    if let (Some(window), Some(released)) = (request.window, request.released_at) {
        // The steps between the release and the window are the new version's own.
        let since = window.start.saturating_sub(released.as_second()).max(0);
        let step = i64::from(window.step_seconds.max(1));
        let steps = usize::try_from(since.saturating_add(step - 1) / step).unwrap_or(usize::MAX);
        let fetched = observations.iter_mut().zip(assembled.iter()).filter(|(_, one)| one.provenance.from != INLINE);
        fetched.for_each(|(observation, _)| arms::forget_newest(observation, steps));
    }
    arms::trim_histories(config, &mut observations);
    let longest = observations.iter().map(|observation| match observation {
        Observation::Sampled { canary, .. } => canary.points.len(),
        Observation::Failed(_) => 0,
    });
    let step_seconds = f64::from(plan.step_seconds);
    let observed_seconds = match request.window {
        // An edge's own queries have a point at either end of what was observed.
        Some(window) if !request.queries.is_empty() => (window.seconds() - i64::from(window.step_seconds)).max(0) as f64,
        Some(window) => window.seconds() as f64,
        None => longest.max().unwrap_or(0) as f64 * step_seconds,
    };
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

/// SHA-256 of all samples in the config's order; every NaN is one and the same missing point.
fn digest(config: &CheckedConfig, evidence: &Evidence) -> String {
    let mut hash = Sha256::new();
    let mut vector = |name: &str, values: &[f64]| {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update((values.len() as u64).to_le_bytes());
        for value in values {
            let bits = if value.is_nan() { u64::MAX } else { value.to_bits() };
            hash.update(bits.to_le_bytes());
        }
    };
    let all = |points: &Points, vector: &mut dyn FnMut(&[f64])| match points {
        Points::Values(values) => vector(values),
        Points::Counts { events, totals } => {
            vector(events);
            vector(totals);
        }
    };
    for (metric, observation) in config.metrics.iter().zip(&evidence.observations) {
        let Observation::Sampled { baseline, canary } = observation else {
            vector(&metric.name, &[]);
            continue;
        };
        for arm in [baseline, canary] {
            all(&arm.points, &mut |values| vector(&metric.name, values));
            for instance in &arm.instances {
                vector(&instance.name, &instance.values);
            }
            // No metric and no instance has a name with such a character.
            if let Some(history) = &arm.history {
                all(history, &mut |values| vector("\0history", values));
            }
        }
    }
    if let Some(Ok(population)) = &evidence.population {
        for (name, members) in [("\0baseline", &population.baseline), ("\0canary", &population.canary)] {
            vector(name, &[]);
            for member in members {
                vector(&member.instance, &[]);
                vector(&member.version, &[member.points as f64, f64::from(u8::from(member.at_end))]);
            }
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn statistics(observation: &Observation) -> Option<MetricStatistics> {
    match observation {
        Observation::Sampled { baseline, canary } => {
            Some(MetricStatistics { baseline: Statistics::of(&baseline.points), canary: Statistics::of(&canary.points) })
        }
        Observation::Failed(_) => None,
    }
}

fn samples(observation: &Observation) -> Option<MetricSamples> {
    // In JSON an infinite one is `null` too; who holds the scorecard itself can tell.
    let known = |values: &[f64]| values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect::<Vec<_>>();
    let arm = |points: &Points| match points {
        Points::Values(values) => ArmSamples::Values(known(values)),
        Points::Counts { events, totals } => ArmSamples::Counts { events: known(events), totals: known(totals) },
    };
    match observation {
        Observation::Sampled { baseline, canary } => Some(MetricSamples {
            baseline: arm(&baseline.points),
            canary: arm(&canary.points),
            baseline_history: baseline.history.as_ref().map(arm),
            canary_history: canary.history.as_ref().map(arm),
        }),
        Observation::Failed(_) => None,
    }
}

fn span(window: Window) -> Option<WindowSpan> {
    let (start, end) = (Timestamp::from_second(window.start).ok()?, Timestamp::from_second(window.end).ok()?);
    Some(WindowSpan { start, end, points: window.len() })
}

/// Says of an arm for which not one query returned a series what selected it: most likely it is misspelt.
fn unmatched_arms(request: &Request, assembled: &[Assembled], population: &[QueryProvenance]) -> Vec<String> {
    let arms = [(Arm::Baseline, &request.baseline), (Arm::Canary, &request.canary)];
    arms.into_iter()
        .filter_map(|(arm, scope)| {
            let asked = || assembled.iter().flat_map(|one| &one.provenance.queries).chain(population).filter(|query| query.arm == arm);
            if asked().next().is_none() || asked().any(|query| query.series != Some(0)) {
                return None;
            }
            let given: Vec<String> = scope.variables.iter().map(|(name, value)| format!("{name} {value:?}")).collect();
            Some(format!("no query of the {arm} returned a series; check what selects it: {}", given.join(", ")))
        })
        .collect()
}

/// Says of every extension until when it lasts, and whether that is within the plan.
fn name_times(judgement: &mut Judgement, request: &Request) {
    let Some(end) = request.window.and_then(|window| Timestamp::from_second(window.end).ok()) else { return };
    let clock = |at: Timestamp| at.strftime("%H:%M UTC").to_string();
    let name = |remedy: &mut Remedy| {
        let Remedy::Extend { minutes, sentence } = remedy else { return };
        let seconds = i64::try_from(*minutes).unwrap_or(i64::MAX).saturating_mul(60);
        let Ok(until) = end.checked_add(jiff::SignedDuration::from_secs(seconds)) else { return };
        let plan = match request.planned_end {
            Some(planned) if until <= planned => format!(", within the plan that ends {}", clock(planned)),
            Some(planned) => format!(", beyond the plan that ends {}", clock(planned)),
            None => String::new(),
        };
        sentence.push_str(&format!("; extend to {}{plan}", clock(until)));
    };
    judgement.metrics.iter_mut().flat_map(|metric| &mut metric.remedies).for_each(name);
    // What the recommendation says already in its own words is said with its time as well.
    let before: Option<String> = judgement.recommendation.remedies.first().map(|first| first.sentence().to_owned());
    judgement.recommendation.remedies.iter_mut().for_each(name);
    let recommendation = &mut judgement.recommendation;
    if let (Some(before), Some(first)) = (before, recommendation.remedies.first()) {
        recommendation.sentence = recommendation.sentence.replacen(&before, first.sentence(), 1);
    }
    if let (Some(planned), Some(VerdictReason::OnTrack)) = (request.planned_end, judgement.reasons.first().map(|cause| cause.reason)) {
        recommendation.sentence.push_str(&format!("; the plan ends {}", clock(planned)));
    }
}
