//! The text of a metric's template with its variables put in, whatever the store.

use std::collections::BTreeMap;

use haldane_judges::config::MAX_QUERY_BYTES;

use super::template::{TemplatePart, expand, unescaped};
use crate::kayenta::reading::model::{CanaryConfig, MetricConfig};
use crate::kayenta::wire::refusal::{Refusal, shown};

/// A template's variables: attributes of the scope and the query, where they are not empty, and the scope's parameters over them.
pub(crate) fn variables(attributes: &[(&str, &str)], parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let attributes = attributes.iter().filter(|(_, value)| !value.is_empty());
    let mut variables: BTreeMap<String, String> = attributes.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    variables.extend(parameters.clone());
    variables
}

/// The metric's template with its variables put in; `None` where it has none.
pub(crate) fn expanded(
    config: &CanaryConfig,
    metric: &MetricConfig,
    variables: &BTreeMap<String, String>,
) -> Result<Option<Vec<TemplatePart>>, Refusal> {
    let Some(text) = template(config, metric)? else { return Ok(None) };
    expand(&text, variables).map(Some)
}

/// The metric's own template, or the config's that it names.
pub(crate) fn template(config: &CanaryConfig, metric: &MetricConfig) -> Result<Option<String>, Refusal> {
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
            format!("/templates/{}", crate::json::pointer_segment(name)),
            format!("is missing, and metric `{}` names it as customFilterTemplate; {known}", shown(&metric.name)),
        ));
    };
    Ok(Some(unescaped(text)))
}

/// The text, where a store would take one as long.
pub(crate) fn checked_length(text: String) -> Result<String, Refusal> {
    if text.len() > MAX_QUERY_BYTES {
        let message = format!("the query has {} bytes with its variables; the most is {MAX_QUERY_BYTES}; record it as a rule", text.len());
        return Err(Refusal::invalid(message));
    }
    Ok(text)
}
