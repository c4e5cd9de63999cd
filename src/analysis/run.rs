//! Runs an analysis: read what the plan asks for, make evidence of it, judge, and say where every number came from.

use std::sync::Arc;

use haldane_judges::Judgement;
use haldane_judges::evidence::Arm;
use haldane_judges::scorecard::{MetricResult, Reason, Status};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{Instrument as _, debug_span};

use super::annotate::{UNRELEASED, add_notes, name_times, unmatched_arms};
use super::assemble::{Assembly, assemble};
use super::error::AnalysisError;
use super::judging::on_the_pool;
use super::limits::AnalysisLimits;
use super::observer::JudgementObserver;
use super::plan::Plan;
use super::provenance::{digest, statistics};
use super::read::{FetchProgress, Replies, read};
use super::request::Request;
use super::scorecard::{MetricProvenance, Provenance, QueryProvenance, Samples, Scorecard, span};
use super::times::StageTimes;
use super::turns::QueryTurns;
use crate::intake::Intake;
use crate::source::sources::Sources;

/// Plans and runs analyses against the configured stores.
#[derive(Debug)]
pub struct Analyst {
    sources: Sources,
    limits: AnalysisLimits,
    observer: Option<Arc<dyn JudgementObserver>>,
    intake: Intake,
}

impl Analyst {
    /// An analyst over these stores.
    #[must_use]
    pub fn new(sources: Sources, limits: AnalysisLimits) -> Self {
        Self { sources, limits, observer: None, intake: Intake::default() }
    }

    /// The same, whose replies take of the memory that its process has for what it takes on.
    #[must_use]
    pub fn within(mut self, intake: Intake) -> Self {
        self.intake = intake;
        self
    }

    /// The same, which tells somebody of every judgement.
    #[must_use]
    pub fn observed_by(mut self, observer: Option<Arc<dyn JudgementObserver>>) -> Self {
        self.observer = observer;
        self
    }

    /// The stores it reads from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The bounds it keeps.
    #[must_use]
    pub fn limits(&self) -> AnalysisLimits {
        self.limits
    }

    /// Checks what can be checked without fetching (the config, the source, the window, the sizes), and puts every variable into the
    /// queries. The only way to a plan.
    ///
    /// # Errors
    /// [`AnalysisError::Invalid`], [`AnalysisError::InvalidConfig`] and [`AnalysisError::UnknownSource`].
    pub fn plan(&self, request: Request) -> Result<Arc<Plan>, AnalysisError> {
        Plan::of(request, &self.sources, self.limits).map(Arc::new)
    }

    /// Judges. Metrics that have not arrived by `deadline`, or that there was no time to judge, are errors with reason `deadline`; the reply
    /// comes all the same. Where the returned future is dropped, the work ends. The scorecard has no id yet.
    ///
    /// # Errors
    /// [`AnalysisError::NothingFetched`] when the stores gave nothing at all, and [`AnalysisError::Broken`].
    pub async fn run(
        &self,
        plan: &Arc<Plan>,
        deadline: Instant,
        progress: &(dyn Fn(FetchProgress) + Sync),
    ) -> Result<Scorecard, AnalysisError> {
        // Before anything is read: a point that settles meanwhile is still called young.
        let asked_at = Timestamp::now().as_second();
        let began = Instant::now();
        let turns =
            QueryTurns::new(self.limits.concurrent_queries, self.intake.replies(plan.source.as_ref().map_or("", |source| source.name())));
        let replies = read(plan, &turns, deadline, progress).instrument(debug_span!("fetch")).await?;
        let fetch = began.elapsed();
        let fetched = replies.bytes();
        let held = turns.into_memory();
        let (plan, observer) = (Arc::clone(plan), self.observer.clone());
        let mut scorecard = on_the_pool(fetched + plan.inline_bytes(), deadline, move |patience| {
            let _held = held;
            let assembly = assemble(&plan, &replies, asked_at)?;
            let judgement = patience.judge(plan.request.judge, &assembly);
            keep(&plan, &replies, &assembly, &judgement);
            let scorecard = scorecard(&plan, &replies, assembly, judgement);
            if let Some(observer) = observer {
                observer.judged(&plan, &scorecard);
            }
            Ok::<_, AnalysisError>(scorecard)
        })
        .instrument(debug_span!("judge"))
        .await??;
        scorecard.times = StageTimes { fetch, judge: began.elapsed().saturating_sub(fetch), ..StageTimes::default() };
        Ok(scorecard)
    }
}

/// Keeps the points of metrics that could be judged by them for the next look at the canary.
fn keep(plan: &Plan, replies: &Replies, assembly: &Assembly, judgement: &Judgement) {
    let Some(source) = &plan.source else { return };
    for ((metric, planned), read) in plan.config.metrics.iter().zip(&plan.metrics).zip(&replies.metrics) {
        let results = assembly.metrics.iter().zip(&judgement.metrics).filter(|(notes, _)| notes.is_of(&metric.name));
        // What is missing may have been late, or the store's fault: it is asked for again.
        let lacks = |result: &MetricResult| {
            matches!(result.status, Status::Error | Status::NoData) || matches!(result.reason, Reason::Silent | Reason::DataAsymmetry)
        };
        if !results.map(|(_, result)| result).any(lacks) {
            for (query, reply) in read.by_query(planned.queries()) {
                source.keep(&query, reply);
            }
        }
    }
}

/// A judgement with where every number came from.
fn scorecard(plan: &Plan, replies: &Replies, assembly: Assembly, mut judgement: Judgement) -> Scorecard {
    let Assembly { config, evidence, metrics, population, warnings } = assembly;
    let request = &plan.request;
    judgement.warnings.extend(warnings);
    add_notes(&mut judgement, &metrics);
    // Series are pairs of one config's metric, whichever of them there were.
    judgement.config_digest = plan.config.digest();
    judgement.warnings.extend(unmatched_arms(request, &metrics, &population));
    let of_population = replies.population.iter().flat_map(|answer| answer.reply.iter()).flat_map(|reply| &reply.warnings);
    judgement.warnings.extend(of_population.map(|warning| format!("population: {warning}")));
    if plan.lacks_release() {
        judgement.warnings.push(UNRELEASED.to_owned());
    }
    name_times(&mut judgement, request);
    let (mut with_statistics, mut population): (Vec<_>, _) = (metrics.into_iter().zip(&evidence.observations).collect(), population);
    let queries = with_statistics.iter_mut().flat_map(|(notes, _)| &mut notes.provenance.queries).chain(&mut population);
    queries.for_each(|query| query.explore_url = explore_url(plan, query));
    let data = Provenance {
        source: plan.source.as_ref().map(|source| source.name().to_owned()),
        baseline: request.baseline.variables.clone(),
        canary: request.canary.variables.clone(),
        released_at: request.released_at,
        canary_window: request.window.and_then(span),
        baseline_window: request.baseline_window().and_then(span),
        step_seconds: plan.step_seconds,
        digest: digest(&config, &evidence),
        metrics: with_statistics
            .into_iter()
            .map(|(notes, of)| MetricProvenance { statistics: statistics(of), ..notes.provenance })
            .collect(),
        population,
    };
    Scorecard {
        id: None,
        url: None,
        labels: request.labels.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        judged_at: Timestamp::now(),
        rerun: false,
        judgement,
        data,
        samples: Samples(Some(Arc::new(evidence))),
        times: StageTimes::default(),
    }
}

/// Link to a page that shows the query over its arm's window.
fn explore_url(plan: &Plan, query: &QueryProvenance) -> Option<String> {
    let window = match query.arm {
        Arm::Baseline => plan.request.baseline_window(),
        Arm::Canary => plan.request.window,
    };
    plan.source.as_ref()?.explore_url(&query.query, window?)
}
