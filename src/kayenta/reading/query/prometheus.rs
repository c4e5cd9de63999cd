//! The PromQL that Kayenta makes of a metric, with every value of the caller's kept within the string it stands in.

use super::expansion;
use super::template::TemplatePart;
use crate::kayenta::reading::model::{CanaryConfig, MetricConfig};
use crate::kayenta::reading::request::CanaryScope;
use crate::kayenta::wire::refusal::{Refusal, shown};
use crate::source::prometheus::splice::{Insert, Landing, Lexis, Scanner, Splice, StringLiteral, StringPart, push_escaped};

/// How a template says that it is the whole query, not a list of label matchers.
pub(crate) const WHOLE_QUERY: &str = "PromQL:";
/// Label that holds the scope of a `gce_instance`; Kayenta's default, and a setting there.
pub(crate) const SCOPE_LABEL: &str = "instance";
/// Label that holds the scope of an `aws_ec2_instance`.
pub(crate) const GROUP_LABEL: &str = "asg_groupName";

/// The query of one arm.
///
/// # Errors
/// [`Refusal`] where the config does not say what to ask, or a value stands where it could change the query.
pub(crate) fn build(config: &CanaryConfig, metric: &MetricConfig, scope: &CanaryScope) -> Result<String, Refusal> {
    let query = &metric.query;
    let parameter = |name: &str| scope.extended_scope_params.get(name).map_or("", String::as_str);
    let resource_type = if query.resource_type.trim().is_empty() { parameter("resourceType") } else { &query.resource_type };
    let attributes = [
        ("project", parameter("project")),
        ("resourceType", parameter("resourceType")),
        ("scope", &scope.scope),
        ("location", &scope.location),
        ("resourceType", &query.resource_type),
    ];
    let variables = expansion::variables(&attributes, &scope.extended_scope_params);
    let filter = match expansion::expanded(config, metric, &variables)? {
        Some(mut parts) => {
            if let Some(TemplatePart::Fixed(first)) = parts.first_mut()
                && let Some(rest) = first.strip_prefix(WHOLE_QUERY)
            {
                *first = rest.to_owned();
                return rendered(&parts);
            }
            rendered(&parts)?
        }
        None => String::new(),
    };
    if query.metric_name.is_empty() {
        return Err(Refusal::invalid("there is neither a metricName nor a template that starts with `PromQL:`; give one"));
    }
    let mut filters = Vec::new();
    if filter.is_empty() {
        filters.extend(query.label_bindings.iter().cloned());
        filters.extend(resource_filters(resource_type, scope, parameter("project"))?);
    } else {
        let filter = filter.trim_end_matches(',');
        filters.extend((!filter.is_empty()).then(|| filter.to_owned()));
        filters.extend(query.label_bindings.iter().cloned());
    }
    Ok(assembled(metric, &filters))
}

/// The selector averaged, by the metric's grouping labels.
pub(crate) fn assembled(metric: &MetricConfig, filters: &[String]) -> String {
    let query = &metric.query;
    let selector = if filters.is_empty() { String::new() } else { format!("{{{}}}", filters.join(",")) };
    let by = if query.group_by_fields.is_empty() { String::new() } else { format!(" by ({})", query.group_by_fields.join(",")) };
    format!("avg({}{selector}){by}", query.metric_name)
}

/// The label matchers that select a scope of a known type of resource.
fn resource_filters(resource_type: &str, scope: &CanaryScope, project: &str) -> Result<Vec<String>, Refusal> {
    if !matches!(resource_type, "gce_instance" | "aws_ec2_instance") {
        let what = if resource_type.is_empty() { "no resourceType".to_owned() } else { format!("the resourceType `{resource_type}`") };
        return Err(Refusal::invalid(format!(
            "{what} says how to select a scope; give customInlineTemplate, or gce_instance or aws_ec2_instance as resourceType"
        )));
    }
    if scope.location.is_empty() {
        return Err(Refusal::invalid(format!("the resourceType {resource_type} needs the scope's location (its region); give it")));
    }
    Ok(resource_matchers(resource_type, &literal(&scope.scope), &literal(&scope.location), &literal(project)))
}

/// The same, of texts that are escaped already; an empty one is left out.
pub(crate) fn resource_matchers(resource_type: &str, scope: &str, location: &str, project: &str) -> Vec<String> {
    let mut filters = Vec::new();
    if resource_type == "gce_instance" {
        if !scope.is_empty() {
            filters.push(format!("{SCOPE_LABEL}=~\"{scope}-.{{4}}\""));
        }
        let project = if project.is_empty() { String::new() } else { format!("projects/{project}/") };
        filters.push(format!("zone=~\".+/{project}zones/{location}-.{{1}}\""));
    } else {
        if !scope.is_empty() {
            filters.push(format!("{GROUP_LABEL}=\"{scope}\""));
        }
        filters.push(format!("zone=~\"{location}.{{1}}\""));
    }
    filters
}

fn literal(value: &str) -> String {
    let mut text = String::new();
    push_escaped(&mut text, value, '"');
    text
}

/// Values of Kayenta's clients stay within the string they stand in; outside of strings only a word, a number or, within braces, label
/// matchers are taken.
///
/// They are not escaped as regular expressions: clients pass patterns on purpose, such as `web-.*`.
struct Fragments;

impl Fragments {
    fn refused(insert: Insert<'_>, why: &str) -> Refusal {
        Refusal::invalid(format!("the template variable `{}` {why}", insert.name))
    }
}

impl Landing for Fragments {
    type Error = Refusal;

    fn in_code(&self, insert: Insert<'_>, before: &Scanner) -> Result<String, Refusal> {
        let Insert { name, value } = insert;
        // Further matchers can only narrow what a selector selects.
        if is_word(value) || (before.in_braces() && are_matchers(value)) {
            return Ok(value.to_owned());
        }
        let why = format!(
            "stands outside of quotes, where its value `{}` could change the query; there it may be one word, or within braces \
             label matchers such as `app=\"shop\"`; to select by the value of a label write `app=\"${{{name}}}\"` in the template",
            shown(value)
        );
        Err(Self::refused(insert, &why))
    }

    fn in_comment(&self, insert: Insert<'_>) -> Result<String, Refusal> {
        if insert.value.contains(['\n', '\r']) {
            return Err(Self::refused(insert, "stands in a comment and holds a line break"));
        }
        Ok(insert.value.to_owned())
    }

    fn in_string(&self, string: &StringLiteral<'_>) -> Result<String, Refusal> {
        let quote = string.quote;
        let mut out = String::from(quote);
        for part in &string.parts {
            match part {
                StringPart::Fixed(text) => out.push_str(text),
                // Prometheus knows no escapes in backticks, but some that speak its language take a backslash there for one.
                StringPart::Value(insert) if quote == '`' && (insert.value.contains('`') || insert.value.ends_with('\\')) => {
                    return Err(Self::refused(
                        *insert,
                        "stands in backticks, and holds one or ends in a backslash; use double quotes in the template",
                    ));
                }
                StringPart::Value(insert) if quote == '`' => out.push_str(insert.value),
                StringPart::Value(insert) => push_escaped(&mut out, insert.value, quote),
            }
        }
        out.push(quote);
        Ok(out)
    }

    fn after_backslash(&self, insert: Insert<'_>) -> Refusal {
        Self::refused(insert, "stands right after a backslash; write `\\\\` for a backslash")
    }
}

/// The text with its values in.
pub(crate) fn rendered(parts: &[TemplatePart]) -> Result<String, Refusal> {
    let mut splice = Splice::new(Fragments);
    for part in parts {
        match part {
            TemplatePart::Fixed(text) => splice.text(text)?,
            TemplatePart::Value { name, value } => splice.value(Insert { name, value })?,
        }
    }
    let text =
        splice.finish().map_err(|quote| Refusal::invalid(format!("the query has a string that opens with {quote} and is not closed")))?;
    expansion::checked_length(text)
}

/// Whether a value is a list of label matchers and nothing else.
fn are_matchers(value: &str) -> bool {
    let mut scanner = Scanner::default();
    for c in value.chars() {
        if scanner.lexis() == Lexis::Code && matches!(c, '{' | '}' | '(' | ')' | '[' | ']' | '#') {
            return false;
        }
        scanner.read(c.encode_utf8(&mut [0; 4]));
    }
    let selector = crate::source::prometheus::promql::parse(&format!("x{{{value}}}"));
    scanner.lexis() == Lexis::Code
        && matches!(selector, Ok(promql_parser::parser::Expr::VectorSelector(selector))
            if !selector.matchers.matchers.is_empty() && selector.matchers.or_matchers.is_empty())
}

/// Whether a value is one token: a name, a number, a length of time; or nothing at all.
fn is_word(value: &str) -> bool {
    let number = value.starts_with(|c: char| c.is_ascii_digit());
    value.chars().all(|c| c.is_ascii_alphanumeric() || if number { c == '.' } else { matches!(c, '_' | ':') })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use promql_parser::label::{MatchOp, Matcher};
    use promql_parser::parser::{Expr, parse};
    use promql_parser::util::visitor::{ExprVisitorMut, walk_expr_mut};
    use proptest::prelude::*;

    use super::*;
    use crate::kayenta::reading::query::template::{expand, unescaped};

    fn resolve(template: &str, scope: &str) -> Result<String, Refusal> {
        rendered(&expand(&unescaped(template), &BTreeMap::from([("scope".to_owned(), scope.to_owned())]))?)
    }

    #[test]
    fn a_value_is_escaped_for_the_string_it_stands_in_and_stays_a_pattern() {
        for (template, scope, expected) in [
            (r#"up{app="${scope}"}"#, r#"a"b\c"#, r#"up{app="a\"b\\c"}"#),
            (r"up{app='${scope}'}", r#"a"b'c"#, r#"up{app='a"b\'c'}"#),
            (r#"up{app=~"${scope}"}"#, "web-.*|api", r#"up{app=~"web-.*|api"}"#),
            (r"up{app=~`${scope}-\d`}", r"web.*\w", r"up{app=~`web.*\w-\d`}"),
            (r#"up{app="$\{scope}"}"#, "x", r#"up{app="x"}"#),
            (r#"up{app="\\${scope}"}"#, "\"", r#"up{app="\\\""}"#),
            ("${scope}_total{a=\"b\"}", "job:http:rate5m", "job:http:rate5m_total{a=\"b\"}"),
            ("rate(up[${scope}])", "5m", "rate(up[5m])"),
            ("up > ${scope}", "0.5", "up > 0.5"),
            ("up{${scope}}", "a=\"b\"", "up{a=\"b\"}"),
            ("up{job=\"x\",${scope}}", "a=~\"b}.*\", c!='d'", "up{job=\"x\",a=~\"b}.*\", c!='d'}"),
            ("up # ${scope}\n", "it's \"", "up # it's \"\n"),
        ] {
            assert_eq!(resolve(template, scope), Ok(expected.to_owned()), "{template}");
        }
    }

    #[test]
    fn a_value_that_could_change_the_query_is_refused_by_name() {
        for (template, scope) in [
            ("up{${scope}}", "a=\"b\"} or up{c=\"d\""),
            ("up{${scope}}", "a=\"b\"} # "),
            ("up{${scope}}", "a=\"b\" or c=\"d\""),
            ("up{${scope}}", "a=\"b\", c=\"d"),
            ("up ${scope}", "a=\"b\""),
            ("up${scope}", " or vector(1)"),
            ("up[${scope}]", "5m:1m"),
            ("${scope}", "a-b"),
            ("sum by (${scope}) (up)", "a,b"),
            ("up{a=`${scope}`}", "`} or up{a=`"),
            (r#"up{a="\${scope}"}"#, "\""),
            ("up # ${scope}", "\n or up"),
        ] {
            let refusal = resolve(template, scope).unwrap_err();
            assert!(refusal.message().contains("`scope`"), "{template}: {refusal}");
        }
        assert!(resolve("up{a=\"${scope}", "x").unwrap_err().message().contains("not closed"));
        assert!(resolve(&"${scope}".repeat(40), &"x".repeat(1000)).unwrap_err().message().contains("bytes"));
    }

    /// The query without the texts that a value may change, and those texts.
    #[derive(Default)]
    struct MatcherBlanker(Vec<String>);

    impl MatcherBlanker {
        fn matchers(&mut self, matchers: &mut [Matcher]) {
            let empty = regex::Regex::new("").unwrap();
            for matcher in matchers {
                self.0.push(std::mem::take(&mut matcher.value));
                if let MatchOp::Re(regex) | MatchOp::NotRe(regex) = &mut matcher.op {
                    regex.clone_from(&empty);
                }
            }
        }
    }

    impl ExprVisitorMut for MatcherBlanker {
        type Error = ();

        fn pre_visit(&mut self, expr: &mut Expr) -> Result<bool, ()> {
            match expr {
                Expr::VectorSelector(selector) => self.matchers(&mut selector.matchers.matchers),
                Expr::MatrixSelector(selector) => self.matchers(&mut selector.vs.matchers.matchers),
                Expr::StringLiteral(literal) => self.0.push(std::mem::take(&mut literal.val)),
                _ => {}
            }
            Ok(true)
        }
    }

    fn blanked(query: &str) -> (String, Vec<String>) {
        let mut expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let mut blank = MatcherBlanker::default();
        walk_expr_mut(&mut blank, &mut expr).unwrap();
        (format!("{expr:?}"), blank.0)
    }

    const TEMPLATES: [&str; 7] = [
        r#"up{app="${scope}"}"#,
        r#"up{app!='${scope}',zone="eu"}"#,
        r#"avg(up{job="${scope}",code="200"}) by (zone)"#,
        r#"sum(rate(http_requests_total{app="${scope}",code=~"5.."}[5m])) / sum(rate(http_requests_total{app='${scope}'}[5m]))"#,
        r#"label_replace(up{app="${scope}"}, "a", "${scope}", "b", '${scope}')"#,
        "# it's \"\nmax_over_time(up{app=\"${scope}\"}[10m:1m]) # `",
        r"up{a='\\', b='${scope}'}",
    ];

    fn awkward() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            Just("\"".to_owned()),
            Just("'".to_owned()),
            Just("`".to_owned()),
            Just("\\".to_owned()),
            Just("\r\n\t".to_owned()),
            Just("$$".to_owned()),
            Just("\"} or vector(1) #".to_owned()),
            Just("'} or up{a='".to_owned()),
            "[a-z0-9.*-]{1,8}",
            any::<char>().prop_filter("NUL is refused", |c| *c != '\0').prop_map(String::from),
        ];
        prop::collection::vec(parts, 0..8).prop_map(|parts| parts.concat().replace("${", "$"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// The proof that a scope cannot change a query: only the matched values differ, and they are the scope.
        #[test]
        fn no_value_changes_the_shape_of_a_query(template in prop::sample::select(&TEMPLATES[..]), scope in awkward()) {
            let (expected, plain) = blanked(&resolve(template, "x").unwrap());
            let query = resolve(template, &scope).unwrap();
            let (shape, texts) = blanked(&query);
            prop_assert_eq!(shape, expected, "{}", query);
            for (text, plain) in texts.iter().zip(&plain) {
                prop_assert_eq!(text, if plain == "x" { &scope } else { plain });
            }
        }

        #[test]
        fn a_value_in_backticks_stays_there_or_is_refused(scope in "[a-z\"'`\\\\}{]{0,8}") {
            match resolve("up{app=`${scope}`}", &scope) {
                Err(_) => prop_assert!(scope.contains('`') || scope.ends_with('\\')),
                Ok(query) => prop_assert_eq!(query, format!("up{{app=`{scope}`}}")),
            }
        }

        #[test]
        fn a_pattern_stays_within_its_matcher(scope in "[a-z\"'`.*|\\\\-]{0,12}") {
            prop_assume!(regex::Regex::new(&scope).is_ok());
            let (expected, _) = blanked(&resolve(r#"up{app=~"${scope}",b="c"}"#, "x").unwrap());
            let (shape, texts) = blanked(&resolve(r#"up{app=~"${scope}",b="c"}"#, &scope).unwrap());
            prop_assert_eq!(shape, expected);
            prop_assert!(texts.contains(&scope), "{:?}", texts);
        }

        #[test]
        fn any_template_is_rendered_or_refused(template in "[ -~\n${}\"'`\\\\#]{0,60}", scope in awkward()) {
            let _ = resolve(&template, &scope);
        }
    }
}
