//! The Datadog query that Kayenta makes of a metric, with every value of the caller's kept to what it may select.

use super::expansion;
use super::template::TemplatePart;
use crate::kayenta::reading::model::{CanaryConfig, MetricConfig};
use crate::kayenta::reading::request::CanaryScope;
use crate::kayenta::wire::refusal::{Refusal, shown};
use crate::source::datadog::TemplatePlace;

/// The query of one arm.
///
/// # Errors
/// [`Refusal`] where the config does not say what to ask, or a value could change the query beyond what it selects.
pub(crate) fn build(config: &CanaryConfig, metric: &MetricConfig, scope: &CanaryScope) -> Result<String, Refusal> {
    let attributes = [("scope", scope.scope.as_str()), ("location", &scope.location)];
    let variables = expansion::variables(&attributes, &scope.extended_scope_params);
    if let Some(parts) = expansion::expanded(config, metric, &variables)? {
        let text = rendered(&parts)?;
        if !text.is_empty() {
            return Ok(text);
        }
    }
    let name = &metric.query.metric_name;
    if name.is_empty() {
        return Err(Refusal::invalid("there is neither a metricName nor a template; give one"));
    }
    if scope.scope.is_empty() {
        return Err(Refusal::invalid("the scope selects, and it is empty; give tags, or `*`"));
    }
    rendered(&[
        TemplatePart::Fixed(format!("{name}{{")),
        TemplatePart::Value { name: "scope".to_owned(), value: scope.scope.clone() },
        TemplatePart::Fixed("}".to_owned()),
    ])
}

/// The text with its values in, each kept to what it may select.
fn rendered(parts: &[TemplatePart]) -> Result<String, Refusal> {
    let mut text = String::new();
    for (i, part) in parts.iter().enumerate() {
        match part {
            TemplatePart::Fixed(fixed) => text.push_str(fixed),
            TemplatePart::Value { name, value } => {
                let next = match parts.get(i + 1) {
                    Some(TemplatePart::Fixed(next)) => next,
                    _ => "",
                };
                if let Err(what) = TemplatePlace::of(&text, next).check(value) {
                    let message =
                        format!("the template variable `{name}` is `{}`, and where it stands it may only be {what}", shown(value));
                    return Err(Refusal::invalid(message));
                }
                text.push_str(value);
            }
        }
    }
    expansion::checked_length(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(value: &str) -> TemplatePart {
        TemplatePart::Value { name: "scope".to_owned(), value: value.to_owned() }
    }

    fn fixed(text: &str) -> TemplatePart {
        TemplatePart::Fixed(text.to_owned())
    }

    #[test]
    fn a_value_that_fills_the_braces_may_be_any_filter_and_no_more() {
        for filter in ["*", "env:prod", "env:prod,service:x", "env:prod AND (zone:a OR NOT zone:b)", "!host:a-1.b/c", "équipe:a"] {
            let parts = [fixed("avg:m{ "), value(filter), fixed(" } by {host}")];
            assert_eq!(rendered(&parts), Ok(format!("avg:m{{ {filter} }} by {{host}}")));
        }
        for filter in ["a}", "a} by {b", "a),max:x{(b", "(a", "a)", "\"a\"", "a\nb", "a{b", "a+b"] {
            let refusal = rendered(&[fixed("avg:m{"), value(filter), fixed("}")]).unwrap_err();
            assert!(refusal.message().contains("`scope`") && refusal.message().contains("filter"), "{refusal}");
        }
    }

    #[test]
    fn a_value_beside_other_tags_can_only_narrow_what_they_select() {
        for (tags, fits) in [("service:x", true), ("x,zone:a", true), ("x*", true), ("x OR env:dev", false), ("x)", false)] {
            assert_eq!(rendered(&[fixed("avg:m{env:prod,"), value(tags), fixed("}")]).is_ok(), fits, "{tags}");
        }
    }

    #[test]
    fn a_value_outside_of_braces_is_a_word() {
        for (word, fits) in [("http.requests", true), ("60", true), ("a,b", false), ("a-b", false), ("60),max:x{*", false)] {
            assert_eq!(rendered(&[fixed("avg:"), value(word), fixed("{*}.rollup(avg, 60)")]).is_ok(), fits, "{word}");
        }
    }
}
