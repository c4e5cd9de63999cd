//! Reads all that a plan asks for: every metric's queries at one step, and what is of use beside them.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use haldane_judges::{JudgeName, Period};
use tokio::time::Instant;

use super::align::resolution::{self, Coarse};
use super::beside::Beside;
use super::error::AnalysisError;
use super::fetch::{FetchError, QueryAnswer, fetch};
use super::plan::{MetricPlan, Plan};
use super::query::{Part, PlannedQuery};
use super::turns::QueryTurns;
use crate::source::cache::Source;
use crate::source::{Query, Reply, SourceError};

/// How far the fetching has come. A population check counts as a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchProgress {
    /// Metrics that have arrived or failed.
    pub done: usize,
    /// Metrics to be fetched.
    pub total: usize,
}

/// One metric as it was read.
#[derive(Debug, Default)]
pub(super) struct MetricReplies {
    /// One for each query.
    pub(super) replies: Vec<QueryAnswer>,
    /// The queries that took the place of the planned ones, at another step.
    pub(super) again: Option<Vec<PlannedQuery>>,
    /// What is to be said of its resolution.
    pub(super) warnings: Vec<String>,
    /// What was read beside its window and past.
    pub(super) beside: Beside,
}

impl MetricReplies {
    /// Every query that was answered, as it was asked, and its reply; `planned` are those of the plan.
    pub(super) fn by_query<'a>(&'a self, planned: &'a [PlannedQuery]) -> impl Iterator<Item = (Query, &'a Arc<Reply>)> {
        let asked = self.again.as_deref().unwrap_or(planned).iter().zip(&self.replies);
        let windows = asked.filter_map(|(planned, answer)| {
            let window = planned.query.window.with_past(answer.history_points);
            Some((Query { window, ..planned.query.clone() }, answer.reply.as_ref().ok()?))
        });
        windows.chain(self.beside.by_query())
    }
}

/// All that was read for a plan.
#[derive(Debug)]
pub(super) struct Replies {
    /// For each metric, in the config's order.
    pub(super) metrics: Vec<MetricReplies>,
    /// One for each of the population's queries.
    pub(super) population: Vec<QueryAnswer>,
}

impl Replies {
    /// Memory that the points take, in bytes; a reply that several judgements share is counted for each.
    pub(super) fn bytes(&self) -> usize {
        let answers = self.metrics.iter().flat_map(|metric| &metric.replies).chain(&self.population);
        let beside = self.metrics.iter().flat_map(|metric| metric.beside.by_query()).map(|(_, reply)| reply);
        let replies = answers.filter_map(|answer| answer.reply.as_ref().ok()).chain(beside);
        replies.flat_map(|reply| &reply.series).map(|series| size_of_val(series.values.as_slice())).sum()
    }
}

/// Asks every query of a plan until `deadline`, each in its turn.
///
/// # Errors
/// [`AnalysisError::NothingFetched`] when the stores gave nothing at all.
pub(super) async fn read(
    plan: &Plan,
    turns: &QueryTurns,
    deadline: Instant,
    progress: &(dyn Fn(FetchProgress) + Sync),
) -> Result<Replies, AnalysisError> {
    let asked: Vec<&[PlannedQuery]> = plan.metrics.iter().map(MetricPlan::queries).chain([plan.population.as_slice()]).collect();
    let total = asked.iter().filter(|queries| !queries.is_empty()).count();
    let mut done = 0;
    progress(FetchProgress { done, total });
    let mut all: Vec<MetricReplies> = asked.iter().map(|_| MetricReplies::default()).collect();
    if let Some(source) = &plan.source {
        let reader = &PlanReader { plan, source, turns, deadline };
        // A loop and not a chain of closures: those borrow for one lifetime, and the future could then not be spawned.
        let mut jobs = FuturesUnordered::new();
        for (i, queries) in asked.iter().enumerate().filter(|(_, queries)| !queries.is_empty()) {
            jobs.push(async move { (i, reader.metric(i, queries).await) });
        }
        while let Some((i, one)) = jobs.next().await {
            all[i] = one;
            done += 1;
            progress(FetchProgress { done, total });
        }
    }
    let population = all.pop().unwrap_or_default().replies;
    if !population.iter().any(|answer| answer.reply.is_ok()) {
        nothing_fetched(plan, &all)?;
    }
    Ok(Replies { metrics: all, population })
}

/// How the queries of one plan are asked.
struct PlanReader<'a> {
    plan: &'a Plan,
    source: &'a Source,
    turns: &'a QueryTurns,
    deadline: Instant,
}

impl PlanReader<'_> {
    /// Reads a metric: its queries at one step, and then what is of use beside them.
    async fn metric(&self, metric: usize, queries: &[PlannedQuery]) -> MetricReplies {
        let read = self.window(metric, queries).await;
        let asked = (read.again.as_deref().unwrap_or(queries), read.replies.as_slice());
        let beside = Beside::read(self.source, self.turns, self.deadline, self.plan.request.judge, asked).await;
        MetricReplies { beside, ..read }
    }

    /// Asks a metric's queries, and once more at a larger step where its points are further apart than was asked for.
    async fn window(&self, metric: usize, queries: &[PlannedQuery]) -> MetricReplies {
        let replies = self.all(queries).await;
        let mut read = MetricReplies { replies, ..MetricReplies::default() };
        // Kayenta's judge is given what Kayenta would give it.
        let is_metric = queries.iter().all(|planned| planned.part != Part::Population);
        // A store that gave less than it was asked for is not asked for more.
        let complete = read.replies.iter().all(|fetched| fetched.reply.is_ok() && fetched.without_history.is_none());
        if self.plan.request.judge == JudgeName::NetflixAca || !is_metric || !complete {
            return read;
        }
        // Events that mean none where they are missing come when they come.
        let sparse = self.plan.config.metrics.get(metric).is_some_and(|metric| metric.absent_means_zero);
        let stride = |(planned, fetched): (&PlannedQuery, &QueryAnswer)| {
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
        let again = match self.plan.at_step(metric, step) {
            Ok(again) => again,
            Err(why) => {
                read.warnings.push(format!("{found}, and could not be read every {step} s: {why}; judged as they came"));
                return read;
            }
        };
        let replies = self.all(&again).await;
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
        MetricReplies { replies, again: Some(again), ..read }
    }

    async fn one(&self, planned: &PlannedQuery) -> QueryAnswer {
        let longest = planned.query.window.with_past(planned.history_points);
        match self.turns.next(longest, self.deadline).await {
            Ok(turn) => {
                let answer = fetch(self.source, planned, self.deadline).await;
                if let Ok(reply) = &answer.reply {
                    turn.answered(reply);
                }
                answer
            }
            Err(why) => QueryAnswer::late(Some(why.to_string())),
        }
    }

    async fn all(&self, queries: &[PlannedQuery]) -> Vec<QueryAnswer> {
        let mut asked = Vec::with_capacity(queries.len());
        for planned in queries {
            asked.push(self.one(planned));
        }
        join_all(asked).await
    }
}

/// Fails when every metric was to be fetched and for each the store itself failed: then there is nothing to judge.
fn nothing_fetched(plan: &Plan, read: &[MetricReplies]) -> Result<(), AnalysisError> {
    let mut first = None;
    for ((metric, planned), read) in plan.config.metrics.iter().zip(&plan.metrics).zip(read) {
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
            Some(error) if !planned.queries().is_empty() => first = first.or_else(|| Some((metric.name.clone(), error.clone()))),
            _ => return Ok(()),
        }
    }
    match first {
        Some((metric, error)) => Err(AnalysisError::NothingFetched { metric, error }),
        None => Ok(()),
    }
}
