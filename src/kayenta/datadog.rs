//! The Datadog query that Kayenta makes of a metric, with every value of the caller's kept to what it may select.

use super::model::{CanaryConfig, MetricConfig};
use super::query;
use super::refusal::{Refusal, shown};
use super::request::CanaryScope;
use super::template::Part;
use crate::source::datadog::TemplatePlace;

/// The query of one arm.
///
/// # Errors
/// [`Refusal`] where the config does not say what to ask, or a value could change the query beyond what it selects.
pub fn build(config: &CanaryConfig, metric: &MetricConfig, scope: &CanaryScope) -> Result<String, Refusal> {
    let attributes = [("scope", scope.scope.as_str()), ("location", &scope.location)];
    let variables = query::variables(&attributes, &scope.extended_scope_params);
    if let Some(parts) = query::expanded(config, metric, &variables)? {
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
        Part::Fixed(format!("{name}{{")),
        Part::Value { name: "scope".to_owned(), value: scope.scope.clone() },
        Part::Fixed("}".to_owned()),
    ])
}

/// The text with its values in, each kept to what it may select.
fn rendered(parts: &[Part]) -> Result<String, Refusal> {
    let mut text = String::new();
    for (i, part) in parts.iter().enumerate() {
        match part {
            Part::Fixed(fixed) => text.push_str(fixed),
            Part::Value { name, value } => {
                let next = match parts.get(i + 1) {
                    Some(Part::Fixed(next)) => next,
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
    query::checked_length(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(value: &str) -> Part {
        Part::Value { name: "scope".to_owned(), value: value.to_owned() }
    }

    fn fixed(text: &str) -> Part {
        Part::Fixed(text.to_owned())
    }

    #[test]
    fn a_value_that_fills_the_braces_may_be_any_filter_and_no_more() {
        for filter in ["*", "env:prod", "env:prod,service:x", "env:prod AND (zone:a OR NOT zone:b)", "!host:a-1.b/c", "équipe:a"] {
            let parts = [fixed("avg:m{ "), value(filter), fixed(" } by {host}")];
            assert_eq!(rendered(&parts), Ok(format!("avg:m{{ {filter} }} by {{host}}")));
        }
        for filter in ["a}", "a} by {b", "a),max:x{(b", "(a", "a)", "\"a\"", "a\nb", "a{b", "a+b"] {
            let refusal = rendered(&[fixed("avg:m{"), value(filter), fixed("}")]).unwrap_err();
            assert!(refusal.message.contains("`scope`") && refusal.message.contains("filter"), "{refusal}");
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
