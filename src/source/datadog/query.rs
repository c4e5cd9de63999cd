//! Reads the queries within an expression of Datadog's, and gives each the resolution that is asked for.
//!
//! An expression is arithmetic and functions around queries such as `sum:http.hits{service:web} by {host}.as_count()`. Those are found, and
//! everything else is left as it is. Grammar: <https://docs.datadoghq.com/metrics/advanced-filtering/>,
//! <https://docs.datadoghq.com/dashboards/functions/>.

use crate::source::text::escaped;

/// What names of a request's queries begin with; nothing else in an expression may, or it would mean another metric's query.
const NAME: &str = "haldane_";

/// The name of a request's query.
pub(super) fn name(i: usize) -> String {
    format!("{NAME}{}", i + 1)
}

/// An expression taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expression<'a> {
    pub(super) parts: Vec<ExpressionPart<'a>>,
}

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ExpressionPart<'a> {
    /// Arithmetic and functions.
    Text(&'a str),
    /// What is asked of one metric.
    MetricExpression(MetricExpression<'a>),
}

/// What is asked of one metric.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MetricExpression<'a> {
    /// How series are taken together, such as `sum` or `p95`; empty where it is not written.
    pub(super) aggregator: &'a str,
    /// Tags that select, as they are written between the braces.
    pub(super) filter: &'a str,
    /// Tags whose values get a series each, as they are written.
    pub(super) by: Option<&'a str>,
    /// Everything before the modifiers.
    pub(super) head: &'a str,
    pub(super) modifiers: Vec<Modifier<'a>>,
}

/// `.name(arguments)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Modifier<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
    /// As it is written, the dot included.
    text: &'a str,
}

/// Which written intervals of `.rollup()` are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RollupForm {
    /// The step alone.
    Step,
    /// Multiples of the step, whose points lie on its grid with gaps between them.
    Multiple,
}

impl MetricExpression<'_> {
    /// Whether it is a percentile, whose rollup has no aggregator:
    /// <https://docs.datadoghq.com/metrics/faq/rollup-for-distributions-with-percentiles/>.
    pub(super) fn is_percentile(&self) -> bool {
        self.aggregator.strip_prefix('p').is_some_and(|rank| rank.starts_with(|c: char| c.is_ascii_digit()))
    }

    pub(super) fn has(&self, modifier: &str) -> bool {
        self.modifiers.iter().any(|written| written.name == modifier)
    }

    /// How the points of an interval are taken together where nothing is written: `as_count` and `as_rate` sum, and the default is
    /// `avg` whatever the aggregator over series.
    ///
    /// Sources: <https://docs.datadoghq.com/dashboards/functions/rollup/>,
    /// <https://docs.datadoghq.com/metrics/custom_metrics/type_modifiers/>.
    fn default_rollup(&self) -> Option<&'static str> {
        if self.is_percentile() {
            None
        } else if self.has("as_count") || self.has("as_rate") {
            Some("sum")
        } else {
            Some("avg")
        }
    }

    /// The query with an explicit rollup.
    fn at_step(&self, step_seconds: u32, written: RollupForm) -> Result<String, String> {
        let mut text = self.head.to_owned();
        for modifier in &self.modifiers {
            if modifier.name == "rollup" {
                text.push_str(&rollup(modifier, self.default_rollup(), step_seconds, written)?);
            } else {
                text.push_str(modifier.text);
            }
        }
        if !self.has("rollup") {
            text.push_str(&rollup_of(self.default_rollup(), step_seconds));
        }
        Ok(text)
    }
}

fn rollup_of(aggregator: Option<&str>, seconds: u32) -> String {
    aggregator.map_or_else(|| format!(".rollup({seconds})"), |aggregator| format!(".rollup({aggregator}, {seconds})"))
}

/// The arguments of a rollup: its aggregator and its interval.
fn rollup_arguments<'a>(modifier: &Modifier<'a>) -> (Option<&'a str>, Option<&'a str>) {
    let arguments = modifier.arguments.trim();
    let (first, rest) = arguments.split_once(',').map_or((arguments, None), |(first, rest)| (first.trim(), Some(rest.trim())));
    let first = Some(first).filter(|first| !first.is_empty());
    match (first, rest) {
        (Some(number), None) if number.starts_with(|c: char| c.is_ascii_digit()) => (None, Some(number)),
        _ => (first, rest),
    }
}

/// A written rollup, with the step where it names no interval.
fn rollup(modifier: &Modifier<'_>, default: Option<&str>, step_seconds: u32, written: RollupForm) -> Result<String, String> {
    let (aggregator, interval) = rollup_arguments(modifier);
    let Some(interval) = interval else {
        return Ok(rollup_of(aggregator.or(default), step_seconds));
    };
    let kept = match (interval.parse::<u32>(), written) {
        (Ok(seconds), RollupForm::Step) => seconds == step_seconds,
        (Ok(seconds), RollupForm::Multiple) => seconds > 0 && step_seconds > 0 && seconds.is_multiple_of(step_seconds),
        (Err(_), _) => false,
    };
    if kept {
        return Ok(modifier.text.to_owned());
    }
    let what = match written {
        RollupForm::Step => "is not the step",
        RollupForm::Multiple => "is not a multiple of the step",
    };
    Err(format!(
        "`{}` asks for an interval of `{}`, which {what} of {step_seconds} s; both arms need one resolution: leave the interval out, or set \
         the step to it",
        escaped(modifier.text.trim(), 60),
        escaped(interval, 20)
    ))
}

impl<'a> Expression<'a> {
    /// Takes an expression apart.
    ///
    /// # Errors
    /// What is wrong where braces or parentheses of a query are not closed, and where there is no query at all.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let (mut at, mut begun) = (0, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let length = match rest.chars().next() {
                Some(quote @ ('"' | '\'')) => quoted(rest, quote),
                Some(c) if is_name(c) => {
                    let name = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
                    match metric(text, at, at + name)? {
                        Some((metric, end)) => {
                            push_text(&mut parts, text, begun, at);
                            parts.push(ExpressionPart::MetricExpression(metric));
                            begun = end;
                            end - at
                        }
                        None => name,
                    }
                }
                Some(c) => c.len_utf8(),
                None => break,
            };
            at += length;
        }
        push_text(&mut parts, text, begun, text.len());
        let expression = Self { parts };
        for between in expression.texts() {
            if between.to_ascii_lowercase().contains(NAME) {
                return Err(format!("names that begin with `{}` are those of the queries that are made here; leave it out", NAME));
            }
            if between.contains("(last_") {
                return Err("it is a monitor's query; leave out what goes before the metric, such as `avg(last_5m):`, and the comparison"
                    .to_owned());
            }
        }
        if expression.metrics().next().is_none() {
            return Err("there is no query such as `avg:system.cpu.user{service:web}` in it; a metric is followed by its tags in braces, \
                        `{*}` for all"
                .to_owned());
        }
        Ok(expression)
    }

    pub(super) fn metrics(&self) -> impl Iterator<Item = &MetricExpression<'a>> {
        self.parts.iter().filter_map(|part| match part {
            ExpressionPart::MetricExpression(metric) => Some(metric),
            ExpressionPart::Text(_) => None,
        })
    }

    /// Everything but the metrics.
    fn texts(&self) -> impl Iterator<Item = &'a str> {
        self.parts.iter().filter_map(|part| match part {
            ExpressionPart::Text(text) => Some(*text),
            ExpressionPart::MetricExpression(_) => None,
        })
    }

    /// The names of the functions, those of metrics left out.
    pub(super) fn functions(&self) -> impl Iterator<Item = &'a str> {
        self.texts().flat_map(called)
    }

    /// The expression with a rollup to the step in each query.
    pub(super) fn at_step(&self, step_seconds: u32, written: RollupForm) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                ExpressionPart::Text(text) => out.push_str(text),
                ExpressionPart::MetricExpression(metric) => out.push_str(&metric.at_step(step_seconds, written)?),
            }
        }
        Ok(out)
    }

    /// The longest interval that a rollup asks for, in seconds.
    pub(super) fn longest_rollup(&self) -> Option<u32> {
        let rollups = self.metrics().flat_map(|metric| &metric.modifiers).filter(|modifier| modifier.name == "rollup");
        rollups.filter_map(|modifier| rollup_arguments(modifier).1?.parse().ok()).max()
    }
}

fn push_text<'a>(parts: &mut Vec<ExpressionPart<'a>>, text: &'a str, from: usize, to: usize) {
    if let Some(between) = text.get(from..to).filter(|between| !between.is_empty()) {
        parts.push(ExpressionPart::Text(between));
    }
}

/// Characters of a metric's name, its aggregator included.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':')
}

/// Length of a quoted text at the start of `rest`; to the end where it is not closed.
fn quoted(rest: &str, quote: char) -> usize {
    rest.get(1..).and_then(|inner| inner.find(quote)).map_or(rest.len(), |length| length + 2)
}

/// The names that are followed by a parenthesis.
fn called(text: &str) -> impl Iterator<Item = &str> {
    let calls = text.match_indices('(').filter_map(|(at, _)| text.get(..at));
    calls.filter_map(|before| before.trim_end().rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().filter(|name| !name.is_empty()))
}

/// Passes over white space.
fn after_space(text: &str, at: usize) -> usize {
    text.get(at..).map_or(at, |rest| at + rest.len() - rest.trim_start().len())
}

/// What stands between braces that open at `at`, and where it ends.
fn braces(text: &str, at: usize) -> Result<Option<(&str, usize)>, String> {
    let Some(inner) = text.get(at..).and_then(|rest| rest.strip_prefix('{')) else { return Ok(None) };
    match inner.find(['{', '}']) {
        Some(length) if inner[length..].starts_with('}') => Ok(Some((&inner[..length], at + length + 2))),
        _ => Err(format!("the brace at character {} of the query is not closed", character(text, at))),
    }
}

fn character(text: &str, at: usize) -> usize {
    text.get(..at).map_or(0, |before| before.chars().count()) + 1
}

/// The query that begins with a name from `start` to `end`, and where it ends; `None` where the name is another thing.
fn metric(text: &str, start: usize, end: usize) -> Result<Option<(MetricExpression<'_>, usize)>, String> {
    let name = &text[start..end];
    // `by {host}` behind a parenthesis is no metric.
    if name.eq_ignore_ascii_case("by") {
        return Ok(None);
    }
    let Some((filter, mut end)) = braces(text, after_space(text, end))? else { return Ok(None) };
    let word = after_space(text, end);
    let mut by = None;
    if let Some(after) = text.get(word..word + 2).filter(|word| word.eq_ignore_ascii_case("by")).map(|_| after_space(text, word + 2))
        && let Some((tags, closed)) = braces(text, after)?
    {
        by = Some(tags);
        end = closed;
    }
    let head = &text[start..end];
    let mut modifiers = Vec::new();
    while let Some((modifier, closed)) = modifier(text, end)? {
        modifiers.push(modifier);
        end = closed;
    }
    let aggregator = name.split_once(':').map_or("", |(aggregator, _)| aggregator);
    Ok(Some((MetricExpression { aggregator, filter, by, head, modifiers }, end)))
}

/// The modifier that begins at `start`, white space before it included, and where it ends.
fn modifier(text: &str, start: usize) -> Result<Option<(Modifier<'_>, usize)>, String> {
    let dot = after_space(text, start);
    let Some(rest) = text.get(dot..).and_then(|rest| rest.strip_prefix('.')) else { return Ok(None) };
    let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let open = dot + 1 + length;
    if length == 0 || !text[open..].starts_with('(') {
        return Ok(None);
    }
    let (mut depth, mut at) = (0_usize, open);
    while let Some(c) = text[at..].chars().next() {
        match c {
            '"' | '\'' => {
                at += quoted(&text[at..], c);
                continue;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        at += c.len_utf8();
        if depth == 0 {
            let modifier = Modifier { name: &rest[..length], arguments: &text[open + 1..at - 1], text: &text[start..at] };
            return Ok(Some((modifier, at)));
        }
    }
    Err(format!("the parenthesis at character {} of the query is not closed", character(text, open)))
}

/// What a request asks for one expression: its queries, and the formula over them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Formula {
    /// The queries, each once.
    pub(super) queries: Vec<String>,
    pieces: Vec<FormulaPiece>,
}

#[derive(Debug, Clone, PartialEq)]
enum FormulaPiece {
    Text(String),
    Query(usize),
}

impl Formula {
    pub(super) fn of(expression: &Expression<'_>) -> Self {
        let mut queries: Vec<String> = Vec::new();
        let mut pieces = Vec::new();
        for part in &expression.parts {
            match part {
                ExpressionPart::Text(text) => pieces.push(FormulaPiece::Text((*text).to_owned())),
                ExpressionPart::MetricExpression(metric) => {
                    let text: String = std::iter::once(metric.head).chain(metric.modifiers.iter().map(|modifier| modifier.text)).collect();
                    let known = queries.iter().position(|query| *query == text);
                    pieces.push(FormulaPiece::Query(known.unwrap_or(queries.len())));
                    if known.is_none() {
                        queries.push(text);
                    }
                }
            }
        }
        Self { queries, pieces }
    }

    /// The formula, with names for the queries.
    pub(super) fn text(&self, name: impl Fn(usize) -> String) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            FormulaPiece::Text(text) => text.clone(),
            FormulaPiece::Query(i) => name(*i),
        });
        pieces.collect::<String>().trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_60(text: &str) -> Result<String, String> {
        Expression::parse(text)?.at_step(60, RollupForm::Step)
    }

    #[test]
    fn names_that_could_mean_another_metrics_query_and_monitors_are_refused() {
        for (text, part) in [
            ("100 * sum:errors{*} / haldane_1", "names that begin with"),
            ("sum:errors{*} / HALDANE_2", "names that begin with"),
            ("avg(last_5m):avg:system.cpu.user{*} > 5", "a monitor's query"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn each_query_gets_the_step_and_the_documented_default_of_its_aggregator() {
        for (text, expected) in [
            ("avg:system.cpu.user{*}", "avg:system.cpu.user{*}.rollup(avg, 60)"),
            ("system.cpu.idle{*}", "system.cpu.idle{*}.rollup(avg, 60)"),
            ("max:m{a:b} by {host,zone}", "max:m{a:b} by {host,zone}.rollup(avg, 60)"),
            ("sum:m{a:b}.as_count()", "sum:m{a:b}.as_count().rollup(sum, 60)"),
            ("sum:m{a:b}.as_rate()", "sum:m{a:b}.as_rate().rollup(sum, 60)"),
            ("p99:m{a:b}", "p99:m{a:b}.rollup(60)"),
            ("p99.9:m{a:b} by{host}", "p99.9:m{a:b} by{host}.rollup(60)"),
            ("avg:m{a:b}.rollup(max)", "avg:m{a:b}.rollup(max, 60)"),
            ("avg:m{a:b}.rollup( )", "avg:m{a:b}.rollup(avg, 60)"),
            ("avg:m{a:b}.rollup(max,60).fill(null)", "avg:m{a:b}.rollup(max,60).fill(null)"),
            ("avg:m{a:b} .rollup(60)", "avg:m{a:b} .rollup(60)"),
            ("avg:m{a:b}.fill(zero)", "avg:m{a:b}.fill(zero).rollup(avg, 60)"),
            (
                "default_zero(sum:e{a:b}.as_count()) / sum:h{a:b}.as_count() * 100",
                "default_zero(sum:e{a:b}.as_count().rollup(sum, 60)) / sum:h{a:b}.as_count().rollup(sum, 60) * 100",
            ),
            ("top(avg:m{*} by {host}, 10, 'mean{x}', 'desc')", "top(avg:m{*} by {host}.rollup(avg, 60), 10, 'mean{x}', 'desc')"),
            ("sum(avg:m{*} by {host}) by {zone}", "sum(avg:m{*} by {host}.rollup(avg, 60)) by {zone}"),
            ("avg:m{host IN (a, b) AND NOT c:d}", "avg:m{host IN (a, b) AND NOT c:d}.rollup(avg, 60)"),
        ] {
            assert_eq!(at_60(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_rollup_is_put_in_once() {
        for text in ["sum:e{a:b}.as_count() / sum:h{*}", "p95:m{*}", "avg:m{*}.rollup(max)"] {
            let once = at_60(text).unwrap();
            assert_eq!(at_60(&once), Ok(once.clone()));
        }
    }

    #[test]
    fn another_interval_than_the_step_is_refused_with_the_remedy() {
        for text in ["avg:m{*}.rollup(sum, 20)", "avg:m{*}.rollup(300)", "avg:m{*}.rollup(sum, daily)", "avg:m{*}.rollup(sum, 60, 1)"] {
            let error = at_60(text).unwrap_err();
            assert!(error.contains("60 s") && error.contains("leave the interval out"), "{error}");
        }
        let lenient = |text: &str| Expression::parse(text).unwrap().at_step(60, RollupForm::Multiple);
        assert_eq!(lenient("avg:m{*}.rollup(sum, 300)").as_deref(), Ok("avg:m{*}.rollup(sum, 300)"));
        assert!(lenient("avg:m{*}.rollup(sum, 20)").unwrap_err().contains("multiple"));
    }

    #[test]
    fn what_is_no_query_or_not_closed_is_refused() {
        for (text, expected) in [
            ("", "no query"),
            ("1 + 2", "no query"),
            ("avg:m", "no query"),
            ("'avg:m{*}'", "no query"),
            ("avg:m{a", "brace at character 6"),
            ("é + avg:m{a{b}}", "brace at character 10"),
            ("avg:m{*} by {a", "brace at character 13"),
            ("avg:m{*}.rollup(sum", "parenthesis at character 16"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn an_expression_becomes_a_formula_over_its_queries_each_once() {
        let expression = Expression::parse(" default_zero(sum:e{*}.as_count()) / (sum:h{*} + sum:e{*}.as_count())").unwrap();
        let formula = Formula::of(&expression);
        assert_eq!(formula.queries, ["sum:e{*}.as_count()", "sum:h{*}"]);
        assert_eq!(formula.text(|i| format!("query{}", i + 1)), "default_zero(query1) / (query2 + query1)");
        assert_eq!(expression.functions().collect::<Vec<_>>(), ["default_zero"]);
    }
}
