//! Runs one analysis: plan, fetch, align, judge.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use haldane_judges::config::{MAX_METRICS, Metric};
use haldane_judges::evidence::{Arm, ArmPoints, Comparison, Evidence, FetchFailure, Observation, Points, Population};
use haldane_judges::scorecard::{Remedy, Status, VerdictReason};
use haldane_judges::{CheckedConfig, JudgeName, Judgement, Period};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::align::clocks::{self, Pair};
use super::align::resolution::{self, Coarse};
use super::align::tail::{self, Tail};
use super::arms::{self, Asked, PairedArms};
use super::beside::Beside;
use super::fetch::{FetchError, Fetched, fetch};
use super::pairing::Labels;
use super::plan::{MetricPlan, Part, Plan, PlannedQuery, SeriesRule, learns_from_history, reads_the_clock};
use super::population;
use super::{
    ArmSamples, BucketSamples, EarlierSamples, MetricProvenance, MetricSamples, MetricStatistics, Provenance, QueryProvenance, Request,
    Scorecard, Statistics, span,
};
use crate::source::cache::{CachedSource, ReplyCache};
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
        Self { max_points: 11_000, max_inline_points: 100_000, concurrent_queries: 64 }
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

impl Account {
    /// How long after its end a window may still gain samples, in seconds.
    #[must_use]
    pub fn settle_seconds(&self) -> i64 {
        let settle = self.source.settle();
        i64::try_from(settle.as_secs()).unwrap_or(i64::MAX).saturating_add(i64::from(settle.subsec_nanos() > 0))
    }
}

/// The configured metric stores, by name.
#[derive(Debug, Default)]
pub struct Accounts {
    accounts: BTreeMap<String, Account>,
    cache: ReplyCache,
}

impl Accounts {
    /// Makes every store ready, behind one cache.
    ///
    /// # Errors
    /// [`InvalidSource`] for the first whose settings do not work.
    pub fn open(settings: &BTreeMap<String, SourceSettings>, cache: ReplyCache) -> Result<Self, InvalidSource> {
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

    /// The replies that are kept.
    #[must_use]
    pub fn cache(&self) -> &ReplyCache {
        &self.cache
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
        // Before anything is read: a point that settles meanwhile is still called young.
        let asked_at = Timestamp::now().as_second();
        let mut replies = self.fetch_all(&plan, request, deadline, progress).await;
        let population_replies = replies.split_off(plan.metrics.len()).pop().unwrap_or_default().replies;
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
        let ends = ends_apart(&config, &assembled);
        let (young_tail, young_seconds) = leave_out_young(request, &plan, &config, &mut assembled, asked_at);
        let population_members = members(&plan, &population, |window| plan.young_points(window, asked_at));
        let evidence = evidence(request, &plan, &config, &mut assembled, population_members, young_seconds);
        let digest = digest(&config, &evidence);
        let judge = request.judge;
        let steps: Vec<Option<u32>> = assembled.iter().map(Assembled::concurrent_step).collect();
        let judging = tokio::task::spawn_blocking(move || {
            let mut judgement = haldane_judges::judge(judge, &config, &evidence);
            judgement.warnings.extend(young_tail);
            judgement.warnings.extend(ends);
            judgement.warnings.extend(arms_apart(&evidence, &steps));
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

    /// Asks every query, a bounded number at a time. The result has an entry for each metric, and one for the population.
    async fn fetch_all(&self, plan: &Plan<'_>, request: &Request, deadline: Instant, progress: &(dyn Fn(Progress) + Sync)) -> Vec<Read> {
        let asked: Vec<&[PlannedQuery]> = plan.metrics.iter().map(MetricPlan::queries).chain([plan.population.as_slice()]).collect();
        let total = asked.iter().filter(|queries| !queries.is_empty()).count();
        let mut done = 0;
        progress(Progress { done, total });
        let mut read: Vec<Read> = asked.iter().map(|_| Read::default()).collect();
        let Some(account) = plan.account else { return read };
        let permits = Semaphore::new(self.limits.concurrent_queries.max(1));
        let asking = Asking { account, permits: &permits, deadline };
        // A loop and not a chain of closures: those borrow for one lifetime, and the future could then not be spawned.
        let mut jobs = FuturesUnordered::new();
        for (i, queries) in asked.iter().enumerate().filter(|(_, queries)| !queries.is_empty()) {
            let asking = &asking;
            jobs.push(async move { (i, self.read(i, queries, plan, request, asking).await) });
        }
        while let Some((i, one)) = jobs.next().await {
            read[i] = one;
            done += 1;
            progress(Progress { done, total });
        }
        read
    }

    /// Reads a metric: its queries at one step, and then what is of use beside them.
    async fn read(&self, i: usize, queries: &[PlannedQuery], plan: &Plan<'_>, request: &Request, asking: &Asking<'_>) -> Read {
        let read = self.read_window(i, queries, plan, request, asking).await;
        let asked = (read.again.as_deref().unwrap_or(queries), read.replies.as_slice());
        let beside = Beside::read(asking.account, asking.permits, asking.deadline, request.judge, asked).await;
        Read { beside, ..read }
    }

    /// Asks a metric's queries, and once more at a larger step where its points are further apart than was asked for.
    async fn read_window(&self, i: usize, queries: &[PlannedQuery], plan: &Plan<'_>, request: &Request, asking: &Asking<'_>) -> Read {
        let replies = asking.all(queries).await;
        let mut read = Read { replies, ..Read::default() };
        // Kayenta's judge is given what Kayenta would give it.
        let is_metric = queries.iter().all(|planned| planned.part != Part::Population);
        // A store that gave less than it was asked for is not asked for more.
        let complete = read.replies.iter().all(|fetched| fetched.reply.is_ok() && fetched.without_history.is_none());
        if request.judge == JudgeName::NetflixAca || !is_metric || !complete {
            return read;
        }
        // Events that mean none where they are missing come when they come.
        let sparse = plan.config.metrics.get(i).is_some_and(|metric| metric.absent_means_zero);
        let stride = |(planned, fetched): (&PlannedQuery, &Fetched)| {
            let told = !sparse || planned.part == Part::Denominator;
            told.then(|| fetched.stride()).flatten()
        };
        let strides: Vec<Option<usize>> = queries.iter().zip(&read.replies).map(stride).collect();
        let asked = queries.iter().zip(&strides).map(|(planned, stride)| (planned.arm, planned.query.window, *stride));
        let Some(coarse) = Coarse::of(asked) else { return read };
        let found = coarse.describe();
        let Some(step) = coarse.step_seconds() else {
            read.warnings.push(format!("{found}, and no step fits both; judged as they came"));
            return read;
        };
        let again = match plan.at_step(i, step, request, self.limits) {
            Ok(again) => again,
            Err(why) => {
                read.warnings.push(format!("{found}, and could not be read every {step} s: {why}; judged as they came"));
                return read;
            }
        };
        let replies = asking.all(&again).await;
        let failure = again.iter().zip(&replies).find_map(|(planned, fetched)| Some(fetched.reply.as_ref().err()?.failure(planned.arm)));
        if let Some(failure) = failure {
            let why = failure.message;
            read.warnings.push(format!("{found}; asked again every {step} s, the {} failed ({why}); judged as they came", failure.arm));
            return read;
        }
        let emptier = queries.iter().zip(&strides).zip(read.replies.iter().zip(&replies)).find(|((planned, stride), (before, after))| {
            let distance = u64::from(planned.query.window.step_seconds).saturating_mul(stride.unwrap_or(1) as u64);
            !resolution::is_as_full(before.places(), distance, after.places(), step)
        });
        if let Some(((planned, _), (before, after))) = emptier {
            let (arm, before, after) = (planned.arm, before.places(), after.places());
            read.warnings.push(format!(
                "{found}; asked again every {step} s, the {arm} has {after} points where it had {before}; judged as they came"
            ));
            return read;
        }
        let forgetful = again
            .iter()
            .zip(read.replies.iter().zip(&replies))
            .find(|(_, (before, after))| before.history_points > 0 && after.history_points == 0);
        if let Some((planned, _)) = forgetful {
            let arm = planned.arm;
            read.warnings.push(format!("{found}; asked again every {step} s, the {arm} came without its history; judged as they came"));
            return read;
        }
        let at_once = Period::from_seconds(u64::from(step));
        read.warnings.push(format!("{found}; both were read every {step} s; set `step: {at_once}` to ask for it at once"));
        Read { replies, again: Some(again), ..read }
    }
}

/// One metric as it was read.
#[derive(Default)]
struct Read {
    /// One for each query.
    replies: Vec<Fetched>,
    /// The queries that took the place of the planned ones, at another step.
    again: Option<Vec<PlannedQuery>>,
    /// What is to be said of its resolution.
    warnings: Vec<String>,
    /// What was read beside its window and past.
    beside: Beside,
}

/// How the queries of one analysis are asked.
struct Asking<'a> {
    account: &'a Account,
    permits: &'a Semaphore,
    deadline: Instant,
}

impl Asking<'_> {
    async fn one(&self, planned: &PlannedQuery) -> Fetched {
        let _permit = self.permits.acquire().await;
        fetch(&self.account.source, planned, self.deadline).await
    }

    async fn all(&self, queries: &[PlannedQuery]) -> Vec<Fetched> {
        let mut asked = Vec::with_capacity(queries.len());
        for planned in queries {
            asked.push(self.one(planned));
        }
        join_all(asked).await
    }
}

/// Fails when every metric was to be fetched and for each the store itself failed: then there is nothing to judge.
fn nothing_fetched<'a>(plan: &Plan<'_>, read: &[Read], names: impl Iterator<Item = &'a String>) -> Result<(), AnalysisError> {
    let mut first = None;
    for ((name, planned), read) in names.zip(&plan.metrics).zip(read) {
        // Nothing was to be fetched, whatever the store does.
        if matches!(planned, MetricPlan::Unasked { .. }) {
            continue;
        }
        let failure = read.replies.iter().find_map(|fetched| match &fetched.reply {
            // A store that gave a part of it is there: the scorecard says which metrics are incomplete.
            Err(FetchError::Source(SourceError::Partial(_))) => None,
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
    /// The baseline's window and the canary's; `None` where the samples came with the request.
    windows: Option<(Window, Window)>,
}

impl Assembled {
    fn new(provenance: MetricProvenance, observation: Option<Observation>) -> Self {
        Self { observation, provenance, warnings: Vec::new(), advice: Vec::new(), windows: None }
    }

    /// The step at which both arms were asked over one window; `None` where they were not.
    fn concurrent_step(&self) -> Option<u32> {
        self.windows.filter(|(baseline, canary)| baseline == canary).map(|(_, canary)| canary.step_seconds)
    }
}

/// What a metric's replies come to: one entry, or one for each pair of its series. `room` is how many more than one each there may be.
fn assemble(name: &str, planned: &MetricPlan, read: &Read, request: &Request, plan: &Plan<'_>, room: &mut usize) -> Vec<Assembled> {
    let mut provenance = MetricProvenance {
        name: name.to_owned(),
        series_of: None,
        labels: Labels::new(),
        from: INLINE.to_owned(),
        step_seconds: None,
        queries: Vec::new(),
        also_read: read.beside.provenance(),
        statistics: None,
        samples: None,
    };
    let metric = plan.config.metrics.iter().find(|metric| metric.name == name);
    let learns = metric.is_some_and(|metric| learns_from_history(request.judge, metric));
    let (series, queries) = match planned {
        MetricPlan::Inline => {
            let with_clock = metric.is_some_and(|metric| reads_the_clock(request.judge, metric));
            let observation = request.samples.get(name).map(|samples| arms::inline(samples, learns, with_clock));
            return vec![Assembled::new(provenance, observation)];
        }
        MetricPlan::Unasked { queries, reason, message } => {
            if let Some(account) = plan.account {
                account.source.kind().clone_into(&mut provenance.from);
            }
            let unasked = Fetched::late();
            provenance.queries = queries.iter().map(|planned| query_provenance((planned, &unasked))).collect();
            let failure = FetchFailure { arm: Arm::Canary, reason: (*reason).to_owned(), message: message.clone() };
            return vec![Assembled::new(provenance, Some(Observation::Failed(failure)))];
        }
        MetricPlan::Fetch { series, queries } => (series, read.again.as_deref().unwrap_or(queries)),
    };
    let replies = &read.replies;
    let (mut warnings, mut advice) = (read.warnings.clone(), Vec::new());
    let window = |arm: Arm| queries.iter().find(|planned| planned.arm == arm).map(|planned| planned.query.window);
    let windows = window(Arm::Baseline).zip(window(Arm::Canary));
    let own_step = windows.filter(|_| read.again.is_some()).map(|(_, canary)| canary.step_seconds);
    provenance.step_seconds = own_step;
    if let Some(account) = plan.account {
        account.source.kind().clone_into(&mut provenance.from);
        for planned in queries.iter().filter(|planned| planned.arm == Arm::Canary) {
            let of_query = account.source.advise(&planned.query).into_iter();
            let of_query = of_query.filter(|advice| planned.part != Part::Denominator || advice.concerns_totals());
            advice.extend(of_query.filter(|advice| metric.is_none_or(|metric| advice.concerns(metric))));
        }
        if learns && queries.iter().any(|planned| account.source.depends_on_range(&planned.query.text)) {
            warnings.push("judged without history: the query's points depend on the range over which it is asked".to_owned());
        }
    }
    let asked: Vec<Asked<'_>> = queries.iter().zip(replies).collect();
    if request.judge != JudgeName::NetflixAca {
        advice.extend(repeated(&asked));
    }
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
        let (step, per_instance) = (own_step.map(f64::from), matches!(series, SeriesRule::Instances(_)));
        let bounds = read.beside.bounds();
        let with_all = |arm: Arm, points: ArmPoints| {
            points.with_step(step).with_earlier(read.beside.earlier(arm, per_instance)).with_bounds(bounds.clone())
        };
        Observation::Sampled { baseline: with_all(Arm::Baseline, baseline), canary: with_all(Arm::Canary, canary) }
    };
    let assembled = |observation| Assembled {
        warnings: warnings.clone(),
        advice: advice.clone(),
        windows,
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
    let mut said = Vec::new();
    // From here on bounds are in the metric's unit.
    let factor = plan.config.metrics.iter().find(|metric| metric.name == *name).map_or(1.0, Metric::bucket_factor);
    let mut points = |arm: Arm| arms::arm_points(arm, per_instance, &asked, &mut said).map(|points| points.in_unit(factor));
    let (baseline, canary) = (points(Arm::Baseline), points(Arm::Canary));
    let mut one = assembled(match (baseline, canary) {
        (Ok(baseline), Ok(canary)) => sampled(baseline, canary),
        (Err(failure), _) | (_, Err(failure)) => Observation::Failed(failure),
    });
    one.warnings.extend(said);
    vec![one]
}

/// Advice on arms that repeat each value for several steps: their neighbouring points are one.
fn repeated(asked: &[Asked<'_>]) -> Option<Advice> {
    let of = |arm: Arm| -> Option<u64> {
        let repeats = |(planned, fetched): &Asked<'_>| {
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
fn leave_out_young(
    request: &Request,
    plan: &Plan<'_>,
    config: &CheckedConfig,
    assembled: &mut [Assembled],
    now: i64,
) -> (Option<String>, i64) {
    let Some(account) = plan.account else { return (None, 0) };
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
        let Some(observation) = one.observation.as_mut().filter(|_| request.judge != JudgeName::NetflixAca) else { continue };
        let window = |arm| if arm == Arm::Baseline { baseline } else { canary };
        match tail::leave_out_missing(observation, metric.absent_means_zero, |arm| plan.young_points(window(arm), now)) {
            Tail::LeftOut(0) => {}
            Tail::LeftOut(points) => {
                left_out.push(one.provenance.name.as_str());
                let seconds = i64::try_from(points).unwrap_or(i64::MAX).saturating_mul(i64::from(canary.step_seconds));
                // What a muted metric lacks shortens nothing that decides.
                longest = longest.max(if metric.muted { 0 } else { seconds });
            }
            Tail::Unjudged(arm, points) => {
                *observation = Observation::Failed(tail::failure(arm, points, window(arm), account.settle_seconds()));
            }
        }
    }
    let warning = youngest.and_then(|window| tail::warning(window, account.settle_seconds(), now, &account.name, &left_out));
    (warning, longest)
}

/// Says where one arm begins later or ends earlier than the other, over all metrics that were read over one window.
fn ends_apart(config: &CheckedConfig, assembled: &[Assembled]) -> Vec<String> {
    let told = assembled.iter().zip(&config.metrics).filter_map(|(one, metric)| {
        let Observation::Sampled { baseline, canary } = one.observation.as_ref()? else { return None };
        // Where no point is a zero, it says nothing of when an arm began.
        let step_seconds = i64::from(one.concurrent_step().filter(|_| !metric.absent_means_zero)?);
        Some(Pair { baseline: &baseline.points, canary: &canary.points, step_seconds })
    });
    clocks::ends_apart(&told.collect::<Vec<_>>())
}

/// Says where one arm's points follow the other's, over the metrics that were read over one window at one step, which most of them have.
fn arms_apart(evidence: &Evidence, steps: &[Option<u32>]) -> Option<String> {
    let mut of_step: BTreeMap<u32, Vec<Pair<'_>>> = BTreeMap::new();
    for (observation, step) in evidence.observations.iter().zip(steps) {
        let (Observation::Sampled { baseline, canary }, Some(step)) = (observation, *step) else { continue };
        let pair = Pair { baseline: &baseline.points, canary: &canary.points, step_seconds: i64::from(step) };
        of_step.entry(step).or_default().push(pair);
    }
    let (step, pairs) = of_step.into_iter().max_by_key(|(step, pairs)| (pairs.len(), Reverse(*step)))?;
    clocks::lag(&pairs).map(|lag| lag.warning(i64::from(step)))
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
fn members(plan: &Plan<'_>, asked: &[Asked<'_>], young: impl Fn(Window) -> usize) -> Option<Result<Population, FetchFailure>> {
    let check = plan.config.population.as_ref()?;
    if plan.population.is_empty() {
        let message =
            "the samples came with the request, which says no window over which to ask who runs which version; give one".to_owned();
        return Some(Err(FetchFailure { arm: Arm::Canary, reason: "no_query".to_owned(), message }));
    }
    Some(population::read(check, asked, young))
}

fn evidence(
    request: &Request,
    plan: &Plan<'_>,
    config: &CheckedConfig,
    assembled: &mut [Assembled],
    population: Option<Result<Population, FetchFailure>>,
    young_seconds: i64,
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
        Points::Buckets(buckets) => {
            vector(buckets.bounds());
            vector(&buckets.rows().flatten().copied().collect::<Vec<f64>>());
        }
    };
    for (metric, observation) in config.metrics.iter().zip(&evidence.observations) {
        let Observation::Sampled { baseline, canary } = observation else {
            vector(&metric.name, &[]);
            continue;
        };
        if let Some(step) = canary.step_seconds {
            vector("\0step", &[step]);
        }
        for arm in [baseline, canary] {
            all(&arm.points, &mut |values| vector(&metric.name, values));
            for instance in &arm.instances {
                vector(&instance.name, &instance.values);
            }
            // No metric and no instance has a name with such a character.
            if let Some(history) = &arm.history {
                all(history, &mut |values| vector("\0history", values));
            }
            for earlier in &arm.earlier {
                let name = format!("\0{} days ago", earlier.days);
                all(&earlier.points, &mut |values| vector(&name, values));
            }
            if !arm.bounds.is_empty() {
                vector("\0bounds", &arm.bounds);
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
        Points::Buckets(buckets) => ArmSamples::Buckets(BucketSamples::of(buckets)),
    };
    match observation {
        Observation::Sampled { baseline, canary } => Some(MetricSamples {
            baseline: arm(&baseline.points),
            canary: arm(&canary.points),
            baseline_history: baseline.history.as_ref().map(arm),
            canary_history: canary.history.as_ref().map(arm),
            earlier: earlier_samples(baseline, canary, arm),
            bucket_bounds: baseline.bounds.clone(),
        }),
        Observation::Failed(_) => None,
    }
}

/// Both arms' samples of earlier days, day by day.
fn earlier_samples(baseline: &ArmPoints, canary: &ArmPoints, samples: impl Fn(&Points) -> ArmSamples) -> Vec<EarlierSamples> {
    let of = |arm: &ArmPoints, days: u32| arm.earlier.iter().find(|earlier| earlier.days == days).map(|earlier| samples(&earlier.points));
    let days: BTreeSet<u32> = baseline.earlier.iter().chain(&canary.earlier).map(|earlier| earlier.days).collect();
    days.into_iter().map(|days| EarlierSamples { days, baseline: of(baseline, days), canary: of(canary, days) }).collect()
}

/// Says of an arm for which not one query returned a series what selected it, which is most likely misspelt, and over which time.
fn unmatched_arms(request: &Request, assembled: &[Assembled], population: &[QueryProvenance]) -> Vec<String> {
    let arms = [(Arm::Baseline, &request.baseline, request.baseline_window()), (Arm::Canary, &request.canary, request.window)];
    arms.into_iter()
        .filter_map(|(arm, scope, window)| {
            let asked = || assembled.iter().flat_map(|one| &one.provenance.queries).chain(population).filter(|query| query.arm == arm);
            if asked().next().is_none() || asked().any(|query| query.series != Some(0)) {
                return None;
            }
            let given: Vec<String> = scope.variables.iter().map(|(name, value)| format!("{name} {value:?}")).collect();
            let time = window.and_then(span).map(|super::WindowSpan { start, end, .. }| {
                format!("; or the time: whether the store has samples, still or already, from {start} to {end}")
            });
            let time = time.unwrap_or_default();
            Some(format!("no query of the {arm} returned a series; check what selects it: {}{time}", given.join(", ")))
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
