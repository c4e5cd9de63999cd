//! The text that a metric store is asked for one arm of a metric, as Kayenta would ask it.

pub(crate) mod datadog;
pub(crate) mod expansion;
pub(crate) mod prometheus;
pub(crate) mod template;

use super::model::{CanaryConfig, MetricConfig, QueryKind};
use super::request::CanaryScope;
use crate::kayenta::wire::refusal::Refusal;

/// The query of one arm.
///
/// # Errors
/// [`Refusal`] where the config does not say what to ask, for an unknown type of query, a variable without a value, and a value that
/// stands where it could change the query.
pub fn build_query(config: &CanaryConfig, metric: &MetricConfig, scope: &CanaryScope) -> Result<String, Refusal> {
    let text = match &metric.query.kind {
        QueryKind::Prometheus => prometheus::build(config, metric, scope),
        QueryKind::Datadog => datadog::build(config, metric, scope),
        other => Err(other.refusal()),
    };
    text.map_err(|refusal| refusal.of_metric(&metric.name))
}

/// The labels that tell several series of one arm apart, where the query groups by them.
///
/// # Errors
/// [`Refusal`] as [`build_query`] has it, for a template that cannot be found.
pub fn pair_by(config: &CanaryConfig, metric: &MetricConfig) -> Result<Vec<String>, Refusal> {
    // A query that is written out may group as it likes; where labels are named all the same, they say how its series pair.
    expansion::template(config, metric)?;
    Ok(if metric.query.kind == QueryKind::Prometheus { metric.query.group_by_fields.clone() } else { Vec::new() })
}
