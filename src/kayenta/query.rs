//! The text that a metric store is asked for one arm of a metric, as Kayenta would ask it.

use std::collections::BTreeMap;

use haldane_judges::config::MAX_QUERY_BYTES;

use super::model::{CanaryConfig, MetricConfig};
use super::refusal::{Refusal, segment, shown};
use super::request::CanaryScope;
use super::template::{Part, expand, unescaped};
use super::{datadog, prometheus};

/// The query of one arm.
///
/// # Errors
/// [`Refusal`] where the config does not say what to ask, for an unknown type of query, a variable without a value, and a value that
/// stands where it could change the query.
pub fn build_query(config: &CanaryConfig, metric: &MetricConfig, scope: &CanaryScope) -> Result<String, Refusal> {
    let text = match metric.query.kind.as_str() {
        "prometheus" => prometheus::build(config, metric, scope),
        "datadog" => datadog::build(config, metric, scope),
        other => Err(unknown_kind(other)),
    };
    text.map_err(|refusal| of_metric(metric, refusal))
}

/// The refusal with the metric that it is about, unless it points at a place already.
pub(super) fn of_metric(metric: &MetricConfig, refusal: Refusal) -> Refusal {
    if refusal.message.starts_with('/') {
        return refusal;
    }
    Refusal { message: format!("metric `{}`: {}", shown(&metric.name), refusal.message), ..refusal }
}

pub(super) fn unknown_kind(kind: &str) -> Refusal {
    let kind = if kind.is_empty() { "no query.type is given".to_owned() } else { format!("query.type is `{}`", shown(kind)) };
    Refusal::invalid(format!("{kind}; the types read here are prometheus and datadog"))
}

/// A template's variables: attributes of the scope and the query, where they are not empty, and the scope's parameters over them.
pub(super) fn variables(attributes: &[(&str, &str)], parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let attributes = attributes.iter().filter(|(_, value)| !value.is_empty());
    let mut variables: BTreeMap<String, String> = attributes.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    variables.extend(parameters.clone());
    variables
}

/// The metric's template with its variables put in; `None` where it has none.
pub(super) fn expanded(
    config: &CanaryConfig,
    metric: &MetricConfig,
    variables: &BTreeMap<String, String>,
) -> Result<Option<Vec<Part>>, Refusal> {
    let Some(text) = template(config, metric)? else { return Ok(None) };
    expand(&text, variables).map(Some)
}

/// The metric's own template, or the config's that it names.
pub(super) fn template(config: &CanaryConfig, metric: &MetricConfig) -> Result<Option<String>, Refusal> {
    let query = &metric.query;
    if query.custom_filter.is_some() {
        return Err(Refusal::invalid("customFilter is given, which Kayenta refuses too; use customInlineTemplate"));
    }
    let inline = [&query.template, &query.custom_inline_template].into_iter().find(|text| !text.is_empty());
    if let Some(inline) = inline {
        return Ok(Some(unescaped(inline)));
    }
    if query.custom_filter_template.is_empty() {
        return Ok(None);
    }
    let name = &query.custom_filter_template;
    let Some(text) = config.templates.get(name) else {
        let known: Vec<&str> = config.templates.keys().map(String::as_str).take(20).collect();
        let known = if known.is_empty() { "the config has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return Err(Refusal::at(
            format!("/templates/{}", segment(name)),
            format!("is missing, and metric `{}` names it as customFilterTemplate; {known}", shown(&metric.name)),
        ));
    };
    Ok(Some(unescaped(text)))
}

/// The text, where a store would take one as long.
pub(super) fn checked_length(text: String) -> Result<String, Refusal> {
    if text.len() > MAX_QUERY_BYTES {
        let message = format!("the query has {} bytes with its variables; the most is {MAX_QUERY_BYTES}; record it as a rule", text.len());
        return Err(Refusal::invalid(message));
    }
    Ok(text)
}

/// The labels that tell several series of one arm apart, where the query groups by them.
///
/// # Errors
/// [`Refusal`] as [`build_query`] has it, for a template that cannot be found.
pub fn pair_by(config: &CanaryConfig, metric: &MetricConfig) -> Result<Vec<String>, Refusal> {
    // A query that is written out may group as it likes; where labels are named all the same, they say how its series pair.
    template(config, metric)?;
    Ok(if metric.query.kind == "prometheus" { metric.query.group_by_fields.clone() } else { Vec::new() })
}
