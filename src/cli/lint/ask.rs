//! Asks a metric store a config's queries, for both arms.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use haldane_judges::CheckedConfig;
use haldane_judges::evidence::Arm;
use haldane_judges::text::distances;
use tokio::time::Instant;

use super::args::LintArgs;
use crate::analysis::{FetchProgress, Part, PlannedQuery, QueryAnswer, parts};
use crate::cli::progress::Spinner;
use crate::lint::LintFinding;
use crate::report::format::clean;
use crate::source::cache::Source;
use crate::source::{Advice, Reply, SourceError, Template, Window};

/// Queries in flight at a time.
const CONCURRENT: usize = 8;
/// Time for one query, with its retries.
const PATIENCE: Duration = Duration::from_secs(60);

/// One query of one arm, and what it came to.
#[derive(Debug)]
pub(super) struct TriedQuery<'a> {
    /// Where it stands in the config.
    pub(super) pointer: String,
    /// The metric's place in the config; `None` for the population's.
    pub(super) metric: Option<usize>,
    pub(super) part: Part,
    pub(super) arm: Arm,
    /// Its text before its variables are put in.
    pub(super) template: &'a str,
    /// Its text as it was asked, where the variables could be put in.
    pub(super) text: Option<String>,
    pub(super) outcome: Result<Arc<Reply>, SourceError>,
    pub(super) advice: Vec<Advice>,
    /// How long it took, with waiting and retries.
    pub(super) took: Duration,
    /// A name in a query that found nothing, and the store's own that is nearest to it.
    pub(super) meant: Option<(String, String)>,
}

impl TriedQuery<'_> {
    /// Whether the store answered, and had nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|reply| reply.series.is_empty())
    }

    /// The query as a plan has it, and its answer.
    pub(super) fn answered(&self, window: Window) -> (PlannedQuery, QueryAnswer) {
        let text = self.text.clone().unwrap_or_default();
        (PlannedQuery::over_window(self.arm, self.part, text, window), QueryAnswer::over_window(self.outcome.clone()))
    }

    /// Whether the store was not reached.
    pub(super) fn is_unreachable(&self) -> bool {
        self.outcome.as_ref().is_err_and(SourceError::is_transient)
    }
}

/// Asks everything, in the config's order: first the population's, then each metric's, the baseline before the canary. Says what there
/// is no query for.
pub(super) async fn ask<'a>(
    args: &LintArgs,
    config: &'a CheckedConfig,
    source: &Source,
    window: Window,
    findings: &mut Vec<LintFinding>,
) -> Vec<TriedQuery<'a>> {
    let kind = source.kind();
    let mut wanted: Vec<(Option<usize>, Part, String, &'a str)> = Vec::new();
    if let Some(population) = &config.population {
        match population.queries.get(kind) {
            None => findings.push(LintFinding::error("/population/queries", format!("the population has no query for {kind}; add one"))),
            Some(text) => wanted.push((None, Part::Population, format!("/population/queries/{kind}"), text.as_str())),
        }
    }
    for (i, metric) in config.metrics.iter().enumerate() {
        let at = format!("/metrics/{i}/queries/{kind}");
        match metric.queries.get(kind) {
            None => {
                let message = format!("`{}` has no query for {kind}; add one", metric.name);
                findings.push(LintFinding::error(&format!("/metrics/{i}/queries"), message).on(&metric.name));
            }
            Some(query) => {
                let parts = parts(metric.kind, query).into_iter();
                wanted.extend(parts.map(|(part, below, text)| (Some(i), part, format!("{at}{below}"), text)));
            }
        }
    }
    let waiting = Spinner::start(format!("trying the queries on `{}`", clean(source.name())));
    let total = wanted.len() * 2;
    let of_both = wanted.into_iter().flat_map(|wanted| [(Arm::Baseline, wanted.clone()), (Arm::Canary, wanted)]);
    let asked = of_both.map(|(arm, (metric, part, pointer, template))| async move {
        let began = Instant::now();
        let (text, outcome, mut advice) = try_one(args, config, source, window, arm, part, template).await;
        if let Some(metric) = metric.and_then(|i| config.metrics.get(i)) {
            advice.retain(|advice| advice.concerns(metric) && (part != Part::Denominator || advice.concerns_totals()));
        }
        TriedQuery { pointer, metric, part, arm, template, text, outcome, advice, took: began.elapsed(), meant: None }
    });
    let mut asked = futures::stream::iter(asked.collect::<Vec<_>>()).buffered(CONCURRENT);
    let mut done = Vec::with_capacity(total);
    while let Some(one) = asked.next().await {
        done.push(one);
        waiting.fetched(FetchProgress { done: done.len(), total });
    }
    done
}

async fn try_one(
    args: &LintArgs,
    config: &CheckedConfig,
    source: &Source,
    window: Window,
    arm: Arm,
    part: Part,
    template: &str,
) -> (Option<String>, Result<Arc<Reply>, SourceError>, Vec<Advice>) {
    let scope = match arm {
        Arm::Baseline => &args.baseline,
        Arm::Canary => &args.canary,
    };
    let defaults = config.variables.iter().filter_map(|(name, variable)| Some((name.clone(), variable.default.clone()?)));
    let built_in = [("scope", scope), ("location", &args.location)];
    let built_in = built_in.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
    let variables = defaults.chain(args.variables.iter().cloned()).chain(built_in).collect();
    match source.resolve(&Template { text: template, variables: &variables, window }) {
        Err(error) => (None, Err(error), Vec::new()),
        Ok(text) => {
            let query = PlannedQuery::over_window(arm, part, text, window).query;
            if let Some(why) = source.without_buckets().filter(|_| query.buckets) {
                return (Some(query.text), Err(SourceError::Refused(why.to_owned())), Vec::new());
            }
            let advice = source.advise(&query);
            let outcome = source.fetch(&query, Instant::now() + PATIENCE).await;
            (Some(query.text), outcome, advice)
        }
    }
}

/// Compares the words of queries that found nothing with the names that the store has, where it tells them.
pub(super) async fn look_up_names(source: &Source, asked: &mut [TriedQuery<'_>]) {
    if !asked.iter().any(TriedQuery::is_empty) {
        return;
    }
    // Without the names there is no advice on them; why the store keeps them to itself is no finding.
    let Ok(names) = source.metric_names(Instant::now() + PATIENCE).await else { return };
    for one in asked.iter_mut().filter(|one| one.is_empty()) {
        one.meant = nearest(one.text.as_deref().unwrap_or(one.template), &names);
    }
}

/// Shortest word that is taken for a misspelt name; shorter ones are near too much.
const SHORTEST_NAME: usize = 6;

fn nearest(query: &str, names: &[String]) -> Option<(String, String)> {
    let words = query.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '.')));
    let unknown = words.filter(|word| word.len() >= SHORTEST_NAME && !names.iter().any(|name| name == word));
    let allowed = |word: &str| word.len() / 5;
    let near = unknown.flat_map(|word| {
        let alike = names.iter().filter(move |name| name.len().abs_diff(word.len()) <= allowed(word));
        distances(word, alike.map(String::as_str)).map(move |(distance, name)| (distance, word, name))
    });
    let (_, word, name) = near.filter(|(distance, word, _)| *distance <= allowed(word)).min()?;
    Some((word.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_metric_is_recognised_and_a_known_one_left_alone() {
        let names = ["http_requests_total", "http_request_duration_seconds_count", "up"].map(str::to_owned);
        let found = nearest(r#"sum(rate(http_request_total{app="checkout"}[1m]))"#, &names);
        assert_eq!(found, Some(("http_request_total".to_owned(), "http_requests_total".to_owned())));
        assert_eq!(nearest(r#"sum(increase(http_requests_total{app="shop"}[1m]))"#, &names), None);
        assert_eq!(nearest("ups", &names), None);
    }
}
