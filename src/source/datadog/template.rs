//! Puts variables into Datadog's queries so that no value can change what is asked, and each query's rollup.
//!
//! A caller's value selects and does no more: where it fills a pair of braces it may be any filter, beside other tags it may only add tags,
//! and outside of braces it is a word. Datadog has no escapes, so what does not fit is refused. `${step}` and `${window}` are
//! seconds and go anywhere.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::query::{Expression, ExpressionPart, RollupForm};
use crate::source::leftovers::leftovers;
use crate::source::text::escaped;
use crate::source::variables::{Piece, Pieces, Value, look_up};
use crate::source::{Shape, SourceError, Template, Window};

/// What may stand where a value stands.
const FILTER: &str = "a filter: tags, commas, AND, OR, NOT and parentheses";
const TAGS: &str = "tags joined with commas";
const SOMETHING: &str = "something: empty where it selects, it would select more than is meant";
const WORD: &str = "a word of letters, digits, `_`, `.` and `:`";

enum Bit<'a> {
    Fixed(Cow<'a, str>),
    Value { name: &'a str, value: &'a str },
}

/// The query with its variables put in, and with a rollup to the step.
pub(super) fn render(template: &Template<'_>) -> Result<String, SourceError> {
    let text = substitute(template)?;
    let expression = parsed(&text, template.text)?;
    expression.at_step(template.window.step_seconds, RollupForm::Step).map_err(SourceError::Template)
}

/// The expression of a query whose variables have been put in, where `written` is what it was before.
fn parsed<'a>(text: &'a str, written: &str) -> Result<Expression<'a>, SourceError> {
    let expression = Expression::parse(text).map_err(|error| match leftovers(written).first() {
        Some(leftover) => SourceError::Template(format!("{leftover} ({error})")),
        None => SourceError::Template(error),
    })?;
    if let Some(filter) = expression.metrics().map(|metric| metric.filter).find(|filter| filter.contains('$')) {
        return Err(SourceError::Template(format!(
            "`{{{}}}` holds a variable of a dashboard, which means nothing outside of it; write `${{name}}` for a variable of the request",
            escaped(filter, 100)
        )));
    }
    Ok(expression)
}

/// Reads a query with words for its variables, before there are values, at the step where that is known, in seconds.
///
/// # Errors
/// [`SourceError::Template`] for what no values could make right: a `${` or a brace that is not closed, no query at all, a rollup to
/// another interval than the step.
pub fn shape(text: &str, step_seconds: Option<u32>) -> Result<Shape, SourceError> {
    // Any step does where none is known, for it is put in as a number.
    let window = Window { start: 0, end: 3600, step_seconds: step_seconds.unwrap_or(60) };
    let mut variables = BTreeMap::new();
    let mut pieces = Pieces::new(text);
    while let Some(piece) = pieces.next()? {
        if let Piece::Variable(name) = piece {
            variables.insert(name.to_owned(), "x".to_owned());
        }
    }
    let sampled = substitute(&Template { text, variables: &variables, window })?;
    let expression = parsed(&sampled, text)?;
    if let Some(step_seconds) = step_seconds {
        expression.at_step(step_seconds, RollupForm::Step).map_err(SourceError::Template)?;
    }
    let (mut sums, mut divided) = (true, false);
    for part in &expression.parts {
        match part {
            ExpressionPart::MetricExpression(metric) => {
                sums &= metric.aggregator == "sum" && (metric.has("as_count") || metric.has("as_rate"))
            }
            ExpressionPart::Text(text) => divided |= text.contains('/'),
        }
    }
    let as_rate = expression.metrics().any(|metric| metric.has("as_rate")).then_some(".as_rate()");
    let per_second = expression.functions().any(|name| name == "per_second").then_some("per_second()");
    let rate = as_rate.or(per_second).filter(|_| !divided);
    Ok(Shape { rate, follows_traffic: sums && !divided, divided })
}

fn substitute(template: &Template<'_>) -> Result<String, SourceError> {
    let parts = parts(template)?;
    let mut text = String::with_capacity(template.text.len());
    for (i, part) in parts.iter().enumerate() {
        match part {
            Bit::Fixed(fixed) => text.push_str(fixed),
            Bit::Value { name, value } => {
                let next = match parts.get(i + 1) {
                    Some(Bit::Fixed(next)) => next,
                    _ => "",
                };
                TemplatePlace::of(&text, next).check(value).map_err(|fits| {
                    SourceError::Template(format!(
                        "the variable `{name}` is `{}`, and where it stands it may only be {fits}",
                        escaped(value, 100)
                    ))
                })?;
                text.push_str(value);
            }
        }
    }
    Ok(text)
}

/// The template's parts; two that are fixed are never neighbours.
fn parts<'a>(template: &Template<'a>) -> Result<Vec<Bit<'a>>, SourceError> {
    let mut pieces = Pieces::new(template.text);
    let mut parts = Vec::new();
    let mut fixed = String::new();
    while let Some(piece) = pieces.next()? {
        match piece {
            Piece::Char(c) => fixed.push(c),
            Piece::Dollar => fixed.push_str("${"),
            Piece::Variable(name) => match look_up(template, name)? {
                // Datadog's intervals are numbers of seconds.
                Value::Window(value) => fixed.push_str(value.trim_end_matches('s')),
                Value::Caller(value) => {
                    if !fixed.is_empty() {
                        parts.push(Bit::Fixed(Cow::Owned(std::mem::take(&mut fixed))));
                    }
                    parts.push(Bit::Value { name, value });
                }
            },
        }
    }
    parts.push(Bit::Fixed(Cow::Owned(fixed)));
    Ok(parts)
}

/// Where in a query a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplatePlace {
    /// It fills a pair of braces.
    Filter,
    /// In braces, beside other text.
    Tags,
    /// Outside of braces.
    Outside,
}

impl TemplatePlace {
    /// The place between what comes before, values already put in included, and what comes next.
    #[must_use]
    pub fn of(before: &str, next: &str) -> Self {
        let in_braces = before.rfind(['{', '}']).is_some_and(|at| before[at..].starts_with('{'));
        let fills = before.trim_end().ends_with('{') && next.trim_start().starts_with('}');
        match (in_braces, fills) {
            (true, true) => Self::Filter,
            (true, false) => Self::Tags,
            (false, _) => Self::Outside,
        }
    }

    /// Whether a value can stand there without changing more than what is selected.
    ///
    /// # Errors
    /// What may stand there.
    pub fn check(self, value: &str) -> Result<(), &'static str> {
        let (fits, what) = match self {
            Self::Filter | Self::Tags if value.is_empty() => (false, SOMETHING),
            Self::Filter => (is_filter(value), FILTER),
            Self::Tags => (value.chars().all(is_tag), TAGS),
            Self::Outside => (value.chars().all(is_word), WORD),
        };
        if fits { Ok(()) } else { Err(what) }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':')
}

fn is_tag(c: char) -> bool {
    is_word(c) || matches!(c, '-' | '/' | ',' | '*' | '!' | '@')
}

fn is_filter(value: &str) -> bool {
    let mut open = 0_usize;
    for c in value.chars() {
        match c {
            '(' => open += 1,
            ')' if open > 0 => open -= 1,
            ' ' => {}
            c if is_tag(c) => {}
            _ => return false,
        }
    }
    open == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolve(text: &str, scope: &str) -> Result<String, String> {
        let variables = BTreeMap::from([("scope".to_owned(), scope.to_owned())]);
        let template = Template { text, variables: &variables, window: Window { start: 0, end: 3600, step_seconds: 60 } };
        render(&template).map_err(|error| error.to_string())
    }

    #[test]
    fn a_query_as_it_is_pasted_gets_its_variables_and_its_rollups() {
        let text = "sum:trace.http.request.errors{service:web,version:${scope}}.as_count() / \
                    sum:trace.http.request.hits{service:web,version:${scope}}.as_count()";
        assert_eq!(
            resolve(text, "1.2-rc/3").unwrap(),
            "sum:trace.http.request.errors{service:web,version:1.2-rc/3}.as_count().rollup(sum, 60) / \
             sum:trace.http.request.hits{service:web,version:1.2-rc/3}.as_count().rollup(sum, 60)"
        );
        assert_eq!(
            resolve("moving_rollup(avg:m{${scope}}.rollup(max, ${step}), ${window}, 'avg')", "a:b OR c:d").unwrap(),
            "moving_rollup(avg:m{a:b OR c:d}.rollup(max, 60), 3600, 'avg')"
        );
    }

    #[test]
    fn a_value_that_could_change_the_query_is_refused_by_name() {
        for (text, scope) in [
            ("avg:m{${scope}}", "a} by {b"),
            ("avg:m{${scope}}", "(a"),
            ("avg:m{${scope}}", "a)"),
            ("avg:m{${scope}}", ""),
            ("avg:m{version:${scope}}", ""),
            ("avg:m{version:${scope}}", "x OR env:dev"),
            ("avg:m{env:prod, ${scope}}", "x)"),
            ("avg:m{*}.rollup(${scope}, 60)", "sum, 20),max:x{*"),
            ("avg:${scope}{*}", "a-b"),
            ("avg:m{*} by {${scope}} + 1", "x} + 2 * {y"),
        ] {
            let error = resolve(text, scope).unwrap_err();
            assert!(error.contains("`scope`"), "{text}: {error}");
        }
    }

    #[test]
    fn a_dashboards_variable_and_an_unknown_one_are_told_from_each_other() {
        assert!(resolve("avg:m{$env}", "x").unwrap_err().contains("variable of a dashboard"));
        assert!(resolve("avg:m{a:$${env}}", "x").unwrap_err().contains("not closed"));
        assert!(resolve("avg:m{${scoop}}", "x").unwrap_err().contains("did you mean `scope`?"));
    }

    #[test]
    fn a_query_is_read_before_there_are_values() {
        let read = |text: &str| shape(text, Some(60)).unwrap_or_else(|error| panic!("{text}: {error}"));
        let counts = Shape { rate: None, follows_traffic: true, divided: false };
        assert_eq!(read("sum:errors{version:${scope}}.as_count()"), counts);
        assert_eq!(read("sum:errors{${scope}}.as_rate()"), Shape { rate: Some(".as_rate()"), ..counts });
        let ratio = "sum:errors{${scope}}.as_count() / sum:hits{${scope}}.as_count()";
        assert_eq!(read(ratio), Shape { rate: None, follows_traffic: false, divided: true });
        assert_eq!(read("avg:latency{${scope}}.rollup(max, ${step})"), Shape::default());
        assert!(shape("avg:m{${scope}}.rollup(max, 30)", Some(60)).is_err());
        assert!(shape("avg:m{${scope}}.rollup(max, 30)", None).is_ok(), "the request may say 30");
        for (text, said) in [
            ("avg:foo{version:{{args.version}}}", "`{{args.version}}` is a placeholder of Argo Rollouts'"),
            ("avg:foo{$scope}", "variable of a dashboard"),
            ("avg:foo{version:${scope}", "the brace at character 8 of the query is not closed"),
            ("logs(\"x\")", "there is no query such as"),
            ("avg:foo{version:${scope", "not closed"),
        ] {
            let error = shape(text, None).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    /// The query without what its filters select, and without the names of metrics and tags.
    fn outline(text: &str) -> Vec<String> {
        let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let shown = expression.parts.iter().map(|part| match part {
            super::super::query::ExpressionPart::Text(text) => (*text).to_owned(),
            super::super::query::ExpressionPart::MetricExpression(metric) => {
                let modifiers: Vec<_> = metric.modifiers.iter().map(|modifier| modifier.name).collect();
                format!("{} {:?} {modifiers:?}", metric.aggregator, metric.by.is_some())
            }
        });
        shown.collect()
    }

    const TEMPLATES: [&str; 7] = [
        "avg:m{${scope}}",
        "avg:m{ ${scope} } by {host}",
        "sum:e{env:prod,version:${scope}}.as_count() / sum:h{env:prod,version:${scope}}.as_count()",
        "default_zero(avg:${scope}{*} by {host}.fill(null))",
        "avg:m{*} by {${scope}}",
        "top(avg:m{${scope},a:b} by {host}, 5, 'mean', 'desc')",
        "avg:m{*}.rollup(${scope})",
    ];

    /// Texts made of what queries are made of.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "avg:m",
            "{",
            "}",
            "(",
            ")",
            "by",
            " ",
            ".",
            "rollup",
            "sum",
            ",",
            "60",
            "'",
            "\"",
            "$",
            "${scope}",
            "${step}",
            "*",
            "é",
            "as_count()",
            "\\",
            ":",
            "\n",
        ]);
        prop_oneof![prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat()), "\\PC{0,40}"]
    }

    proptest! {
        #[test]
        fn no_value_changes_a_querys_shape(template in prop::sample::select(TEMPLATES.to_vec()), value in text()) {
            if let Ok(resolved) = resolve(template, &value) {
                prop_assert_eq!(outline(&resolved), outline(&resolve(template, "max").unwrap()));
            }
        }

        #[test]
        fn any_text_is_resolved_or_refused(text in text()) {
            if let Ok(resolved) = resolve(&text, "a:b") {
                let again = resolve(&resolved.replace("${", "$${"), "x");
                prop_assert_eq!(again, Ok(resolved));
            }
        }
    }
}
