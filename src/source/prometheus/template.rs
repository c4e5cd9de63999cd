//! Puts variables into PromQL so that no value can change what is asked.
//!
//! A caller's value goes into a string and nowhere else, escaped for it: as a string, and before that as a regular expression
//! where the string is the right side of `=~` or `!~`. `${step}` and `${window}` are lengths of time and go anywhere.
//!
//! Escapes are those of Prometheus (`util/strutil/quote.go`), regular expressions those of RE2 as Go has them. Comments are copied
//! as they are.

use std::collections::BTreeSet;

use super::promql::unquote;
use super::splice::{Insert, Landing, Lexis, Scanner, Splice, StringLiteral, StringPart, StringRole, push_escaped};
use crate::source::variables::{Piece, Pieces, Value, look_up};
use crate::source::{SourceError, Template};

/// The query with its variables put in.
pub(super) fn render(template: &Template<'_>) -> Result<String, SourceError> {
    substitute(template.text, |name| look_up(template, name))
}

/// The names of the variables that a query uses, those in comments left out.
///
/// # Errors
/// [`SourceError::Template`] for what no values could make right: an unclosed `${`, a variable outside of a string.
pub fn variables_of(text: &str) -> Result<BTreeSet<String>, SourceError> {
    let mut names = BTreeSet::new();
    substitute(text, |name| {
        names.insert(name.to_owned());
        Ok(sample(name))
    })?;
    Ok(names)
}

/// The query with words for its variables, to be read before there are values.
///
/// # Errors
/// As [`variables_of`].
pub fn sampled(text: &str) -> Result<String, SourceError> {
    substitute(text, |name| Ok(sample(name)))
}

fn sample(name: &str) -> Value<'static> {
    if matches!(name, "step" | "window") { Value::Window("60s".to_owned()) } else { Value::Caller("x") }
}

/// Functions of MetricsQL that look at the whole range which is asked for, or carry values along it; the rest of their names varies.
const WHOLE_RANGE: [&str; 10] = [
    "range_",
    "running_",
    "topk_",
    "bottomk_",
    "outliers",
    "keep_last_value",
    "keep_next_value",
    "interpolate",
    "smooth_exponential",
    "remove_resets",
];

/// Whether a query's points depend on the range over which they are asked: by the modifiers `@ start()` and `@ end()`, or by functions of
/// VictoriaMetrics over the whole range.
pub(super) fn depends_on_range(text: &str) -> bool {
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut parts: Vec<&str> = squeezed.split('(').collect();
    // Nothing is called by what stands after the last parenthesis.
    parts.pop();
    parts.into_iter().any(|before| {
        let name = before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
        matches!(name, "start" | "end") || WHOLE_RANGE.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// Why a template cannot be rendered, as far as its parts tell.
enum Misfit {
    /// A value would stand outside of strings; what was probably meant.
    OutsideOfString(String),
    /// A value would be the rest of an escape sequence.
    CutEscape,
    /// A string cannot take its values.
    String(SourceError),
}

impl Misfit {
    /// The same in words, for the variable whose value does not fit. `position` is that of a character of the template.
    fn at(self, name: &str, position: impl FnOnce() -> usize) -> SourceError {
        match self {
            Self::OutsideOfString(remedy) => SourceError::Template(format!(
                "the variable `{name}` at character {} of the query stands outside of a string, where its value could change the query; {remedy}",
                position()
            )),
            // The backslash is one character, right before it.
            Self::CutEscape => cut_escape(position() - 1),
            Self::String(error) => error,
        }
    }
}

/// Native templates take a caller's value in strings alone, where it stands for itself.
struct Texts;

impl Landing for Texts {
    type Error = Misfit;

    fn in_code(&self, insert: Insert<'_>, before: &Scanner) -> Result<String, Misfit> {
        let name = insert.name;
        Err(Misfit::OutsideOfString(match before.last() {
            Some('[' | ':') if !before.in_braces() => "for a range of one step write `[${step}]`".to_owned(),
            Some(quote @ ('“' | '”' | '„' | '‟' | '‘' | '’')) => {
                format!("`{quote}` is a typographic quote, which opens no string: write `\"${{{name}}}\"`")
            }
            _ => format!("put it in a label matcher, such as `{{name=\"${{{name}}}\"}}`"),
        }))
    }

    /// Comments are copied as they are, and no variable is looked for in them.
    fn in_comment(&self, insert: Insert<'_>) -> Result<String, Misfit> {
        Ok(format!("${{{}}}", insert.name))
    }

    fn in_string(&self, string: &StringLiteral<'_>) -> Result<String, Misfit> {
        string_with(string).map_err(Misfit::String)
    }

    fn after_backslash(&self, _: Insert<'_>) -> Misfit {
        Misfit::CutEscape
    }
}

fn substitute<'a>(text: &'a str, mut value_of: impl FnMut(&str) -> Result<Value<'a>, SourceError>) -> Result<String, SourceError> {
    let mut splice = Splice::new(Texts);
    let mut pieces = Pieces::new(text);
    let mut opened = 0;
    loop {
        let lexis = splice.scanner().lexis();
        if lexis == Lexis::Comment {
            let rest = pieces.rest();
            let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
            splice.text(rest.get(..end).unwrap_or_default()).map_err(|misfit| misfit.at("", || 0))?;
            pieces.skip(end);
        }
        let offset = pieces.offset();
        let position = || pieces_position(text, offset);
        let cut = |what: &str| if matches!(lexis, Lexis::String(_, true)) { Err(Misfit::CutEscape.at(what, position)) } else { Ok(()) };
        match pieces.next()? {
            None => {
                return splice.finish().map_err(|quote| {
                    let opened = pieces_position(text, opened);
                    SourceError::Template(format!("the string that opens with {quote} at character {opened} of the query is not closed"))
                });
            }
            Some(Piece::Char(c)) => {
                splice.text(c.encode_utf8(&mut [0; 4])).map_err(|misfit| misfit.at("", position))?;
                if lexis == Lexis::Code && splice.scanner().lexis() != Lexis::Code {
                    opened = offset;
                }
            }
            Some(Piece::Dollar) => {
                cut("")?;
                splice.text("${").map_err(|misfit| misfit.at("", position))?;
            }
            Some(Piece::Variable(name)) => match value_of(name)? {
                Value::Window(value) => {
                    cut(name)?;
                    splice.text(&value).map_err(|misfit| misfit.at(name, position))?;
                }
                Value::Caller(value) => splice.value(Insert { name, value }).map_err(|misfit| misfit.at(name, position))?,
            },
        }
    }
}

/// Where a byte of a text is, in characters from 1.
fn pieces_position(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(0, |before| before.chars().count()) + 1
}

fn cut_escape(position: usize) -> SourceError {
    SourceError::Template(format!(
        "the escape sequence at character {position} of the query is cut off by a variable; write `\\\\` for a backslash before it"
    ))
}

/// The string with its values put in. A raw string with a value becomes a double-quoted one, which can hold any text.
fn string_with(string: &StringLiteral<'_>) -> Result<String, SourceError> {
    let StringLiteral { quote, role, parts } = string;
    let rewritten = *quote == '`';
    let shown_quote = if rewritten { '"' } else { *quote };
    if matches!(role, StringRole::Text | StringRole::Regex) {
        refuse_emptied(parts)?;
    }
    let mut out = String::from(shown_quote);
    let mut pattern = Pattern::default();
    for (n, part) in parts.iter().enumerate() {
        match part {
            StringPart::Fixed(text) => {
                pattern.read(&meaning(text, *quote)?);
                if rewritten { push_escaped(&mut out, text, shown_quote) } else { out.push_str(text) }
            }
            StringPart::Value(Insert { name, .. }) if *role == StringRole::Other => {
                return Err(SourceError::Template(format!(
                    "the variable `{name}` stands in a string that is neither the right side of a label matcher nor a function's argument; \
                     put it in a label matcher, such as `{{name=\"${{{name}}}\"}}`"
                )));
            }
            StringPart::Value(Insert { name, value }) if *role == StringRole::Regex => {
                if let Some(inside) = pattern.inside() {
                    return Err(SourceError::Template(format!(
                        "the variable `{name}` stands in {inside} of a regular expression, where its value cannot be escaped; \
                         put it where text is matched as it is"
                    )));
                }
                let escaped = regex_escaped(value);
                let next = parts.get(n + 1);
                let repeated = matches!(next, Some(StringPart::Fixed(next)) if next.starts_with(['*', '+', '?', '{']));
                // What follows repeats the whole value, not its last character.
                let escaped = if repeated { format!("(?:{escaped})") } else { escaped };
                push_escaped(&mut out, &escaped, shown_quote);
            }
            StringPart::Value(Insert { value, .. }) => push_escaped(&mut out, value, shown_quote),
        }
    }
    out.push(shown_quote);
    Ok(out)
}

/// A matcher that only its values fill selects, without them, every series that lacks the label: perhaps the whole fleet.
fn refuse_emptied(parts: &[StringPart<'_>]) -> Result<(), SourceError> {
    let is_empty = |part: &StringPart<'_>| match part {
        StringPart::Fixed(text) => text.is_empty(),
        StringPart::Value(insert) => insert.value.is_empty(),
    };
    let name = parts.iter().find_map(|part| match part {
        StringPart::Value(insert) => Some(insert.name),
        StringPart::Fixed(_) => None,
    });
    match name {
        Some(name) if parts.iter().all(is_empty) => Err(SourceError::Template(format!(
            "the variable `{name}` is empty and fills a label matcher alone, which would select everything without that label; give it a value"
        ))),
        _ => Ok(()),
    }
}

/// What a part of a string means once its escapes are read. An escape sequence that is unknown or not complete is refused,
/// for a value would complete it.
fn meaning(text: &str, quote: char) -> Result<String, SourceError> {
    if quote == '`' {
        return Ok(text.to_owned());
    }
    unquote(&format!("{quote}{text}{quote}")).map_err(|_| {
        SourceError::Template(format!(
            "the string part `{}` beside a variable holds a line break or an escape sequence that PromQL does not know; write `\\\\` for a backslash",
            crate::source::text::escaped(text, 80)
        ))
    })
}

/// Escapes a text for RE2, as Go's `regexp.QuoteMeta` does.
fn regex_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Follows a regular expression, to know whether a text put in next would be matched as it is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    /// Where text is matched as it is.
    #[default]
    Plain,
    /// After `(`.
    Group,
    /// After `(?`: flags or a group's name.
    Flags,
    /// After `\`.
    Escape,
    /// After `\x`, `\p`, `\P`: a brace, or so many more characters.
    EscapeRest(u8),
    /// After `\` and a digit.
    Octal,
    /// After `{`: a repetition, or the rest of `\p{` or `\x{`.
    Braces,
    /// After `[` or `[^`, where `]` is a plain character.
    ClassStart,
    /// In `[...]`.
    Class,
    /// After `\` in `[...]`.
    ClassEscape,
    /// After `[` in `[...]`.
    ClassBracket,
    /// In `[:...:]` in `[...]`.
    ClassName,
    /// After `\Q`.
    Quoted,
    /// After `\` after `\Q`.
    QuotedEscape,
}

impl Pattern {
    fn read(&mut self, text: &str) {
        for c in text.chars() {
            *self = self.after(c);
        }
    }

    fn after(self, c: char) -> Self {
        match (self, c) {
            (Self::Group, '?') => Self::Flags,
            (Self::Flags, ':' | '>' | ')') => Self::Plain,
            (Self::Flags, _) => Self::Flags,
            (Self::Escape, 'Q') => Self::Quoted,
            (Self::Escape, 'x') => Self::EscapeRest(2),
            (Self::Escape, 'p' | 'P') => Self::EscapeRest(1),
            (Self::Escape, '0'..='7') | (Self::Octal, '0'..='7') => Self::Octal,
            (Self::Escape, _) => Self::Plain,
            (Self::EscapeRest(_), '{') => Self::Braces,
            (Self::EscapeRest(2), _) => Self::EscapeRest(1),
            (Self::EscapeRest(_), _) => Self::Plain,
            (Self::Braces, '}') => Self::Plain,
            (Self::Braces, _) => Self::Braces,
            (Self::ClassStart, '^') => Self::ClassStart,
            (Self::ClassStart, ']') => Self::Class,
            (Self::ClassStart | Self::Class | Self::ClassBracket, '\\') => Self::ClassEscape,
            (Self::ClassBracket, ':') => Self::ClassName,
            (Self::ClassStart | Self::Class | Self::ClassBracket, '[') => Self::ClassBracket,
            (Self::Class | Self::ClassBracket, ']') => Self::Plain,
            (Self::ClassStart | Self::Class | Self::ClassBracket | Self::ClassEscape, _) => Self::Class,
            (Self::ClassName, ']') => Self::Class,
            (Self::ClassName, _) => Self::ClassName,
            (Self::Quoted, '\\') => Self::QuotedEscape,
            (Self::QuotedEscape, 'E') => Self::Plain,
            (Self::QuotedEscape, '\\') => Self::QuotedEscape,
            (Self::Quoted | Self::QuotedEscape, _) => Self::Quoted,
            (Self::Plain | Self::Group | Self::Octal, '\\') => Self::Escape,
            (Self::Plain | Self::Group | Self::Octal, '[') => Self::ClassStart,
            (Self::Plain | Self::Group | Self::Octal, '{') => Self::Braces,
            (Self::Plain | Self::Group | Self::Octal, '(') => Self::Group,
            (Self::Plain | Self::Group | Self::Octal, _) => Self::Plain,
        }
    }

    /// The construct that a text put in next would become a part of, if any.
    fn inside(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Group => None,
            Self::Flags => Some("the flags or the name of a group"),
            Self::Escape | Self::EscapeRest(_) | Self::Octal => Some("an escape sequence"),
            Self::Braces => Some("braces"),
            Self::ClassStart | Self::Class | Self::ClassEscape | Self::ClassBracket | Self::ClassName => Some("a character class"),
            Self::Quoted | Self::QuotedEscape => Some("a `\\Q...\\E`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use promql_parser::label::{MatchOp, Matcher};
    use promql_parser::parser::{Expr, parse};
    use promql_parser::util::visitor::{ExprVisitorMut, walk_expr_mut};
    use proptest::prelude::*;

    use super::*;
    use crate::source::Window;

    const WINDOW: Window = Window { start: 0, end: 3600, step_seconds: 60 };

    fn resolve(text: &str, scope: &str) -> Result<String, SourceError> {
        let variables = BTreeMap::from([("scope".to_owned(), scope.to_owned()), ("location".to_owned(), "eu".to_owned())]);
        render(&Template { text, variables: &variables, window: WINDOW })
    }

    fn refusal(text: &str) -> String {
        match resolve(text, "x") {
            Err(SourceError::Template(message) | SourceError::UnknownVariable { said: message, .. }) => message,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_query_that_looks_at_the_whole_range_is_recognised() {
        for bound in [
            "rate(x[5m] @ start())",
            "x @ end ( )",
            "range_avg(x)",
            "sum(running_sum(x)) by (pod)",
            "topk_avg(5, x)",
            "keep_last_value(x)",
            "sum(keep_next_value(x))",
            "interpolate (x)",
            "smooth_exponential(x, 0.5)",
            "remove_resets(x)",
        ] {
            assert!(depends_on_range(bound), "{bound}");
        }
        for free in
            ["sum by (pod) (rate(x[5m]))", "topk(5, x)", "range_total{a=\"b\"}", "quantile_over_time(0.5, x[1h:] @ 1234)", "start", ""]
        {
            assert!(!depends_on_range(free), "{free}");
        }
    }

    #[test]
    fn values_are_escaped_for_the_string_they_land_in() {
        for (text, scope, expected) in [
            (r#"up{app="${scope}"}"#, r#"a"b\c"#, r#"up{app="a\"b\\c"}"#),
            (r#"up{app='${scope}'}"#, r#"a"b'c"#, r#"up{app='a"b\'c'}"#),
            (r#"up{app=~"${scope}-.*"}"#, "a.b", r#"up{app=~"a\\.b-.*"}"#),
            (r#"up{app!~'${scope}'}"#, "a|b", r#"up{app!~'a\\|b'}"#),
            (r"up{app=`a\b${scope}`}", "`\n", "up{app=\"a\\\\b`\\n\"}"),
            (r"up{app=~`\d+-${scope}`}", "a.b", r#"up{app=~"\\d+-a\\.b"}"#),
            (r"up{app=~`\d+`}", "a", r"up{app=~`\d+`}"),
            (r#"up{app=~"(${scope})+x"}"#, "ab", r#"up{app=~"(ab)+x"}"#),
            (r#"up{app=~"${scope}+"}"#, "ab", r#"up{app=~"(?:ab)+"}"#),
            (r#"up{app = ~ "x", b = "${scope}"}"#, "a", r#"up{app = ~ "x", b = "a"}"#),
            ("rate(up{app=\"${scope}\"}[${step}]) # ${scope} isn't touched\n", "a", "rate(up{app=\"a\"}[60s]) # ${scope} isn't touched\n"),
            (r#"label_replace(up, "a", "$${1}", "b", "${scope}")"#, "a.b", r#"label_replace(up, "a", "${1}", "b", "a.b")"#),
            (r#"avg_over_time(up{zone="${location}"}[${window}])"#, "a", r#"avg_over_time(up{zone="eu"}[3600s])"#),
            (r#"up{app="${scope}"}"#, "${location} $${scope}", r#"up{app="${location} $${scope}"}"#),
        ] {
            assert_eq!(resolve(text, scope).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_value_outside_of_a_matcher_is_refused_by_name_with_the_remedy() {
        for text in [
            "${scope}",
            "up{${scope}}",
            "up{app=${scope}}",
            "sum by (${scope}) (up)",
            r#"{"${scope}"}"#,
            r#"{"${scope}"="x"}"#,
            r#"up{"a${scope}"=~"x"}"#,
            r#"WITH (s = "${scope}") up{a=~s}"#,
            r#""${scope}""#,
        ] {
            let message = refusal(text);
            assert!(message.contains("`scope`") && message.contains("label matcher"), "{text}: {message}");
        }
    }

    #[test]
    fn a_value_that_would_complete_an_escape_sequence_is_refused() {
        for text in [
            r#"up{a="\${scope}"}"#,
            r#"up{a="\x4${scope}"}"#,
            r#"up{a="\u00e${scope}"}"#,
            r#"up{a='\0${scope}'}"#,
            r#"up{a="\d${scope}"}"#,
            "up{a=\"\n${scope}\"}",
        ] {
            refusal(text);
        }
        assert_eq!(resolve(r#"up{a="\\${scope}"}"#, "\"").as_deref(), Ok(r#"up{a="\\\""}"#));
    }

    #[test]
    fn a_value_inside_a_construct_of_a_regular_expression_is_refused() {
        for pattern in [
            "[${scope}]",
            "[^]${scope}]",
            "[[:alpha:]${scope}",
            r"\${scope}",
            "a{${scope}}",
            "(?${scope})",
            r"\p{${scope}}",
            r"\Q${scope}\E",
            r"\x${scope}",
        ] {
            let message = refusal(&format!("up{{a=~`{pattern}`}}"));
            assert!(message.contains("regular expression"), "{pattern}: {message}");
        }
        for pattern in [
            "[a]${scope}",
            "[^]]${scope}",
            "[[:alpha:]]${scope}",
            r"\\${scope}",
            "a{2}${scope}",
            "(?i)${scope}",
            "(?P<n>${scope})",
            "(${scope}|b)",
        ] {
            assert!(resolve(&format!("up{{a=~`{pattern}`}}"), "x").is_ok(), "{pattern}");
        }
    }

    #[test]
    fn an_empty_value_may_not_empty_a_matcher() {
        for text in [r#"up{a="${scope}"}"#, r"up{a=~`${scope}${scope}`}", "up{a!='${scope}'}"] {
            let message = resolve(text, "").unwrap_err().to_string();
            assert!(message.contains("`scope` is empty"), "{text}: {message}");
        }
        for text in [r#"up{a="b${scope}"}"#, r#"up{a=""}"#, r#"label_replace(up, "a", "${scope}", "b", "c")"#] {
            assert!(resolve(text, "").is_ok(), "{text}");
        }
    }

    #[test]
    fn mistakes_in_a_template_are_refused_with_their_place() {
        assert!(refusal(r#"up{a="${scope"}"#).contains("character 7"));
        assert!(refusal(r#"up{a="${scope}"#).contains("opens with \" at character 6"));
        assert!(refusal(r#"up{a="${scoep}"}"#).contains("did you mean `scope`?"));
    }

    #[test]
    fn a_variable_outside_of_strings_is_told_what_it_was_probably_meant_as() {
        for (text, remedy) in [
            ("rate(up[${scope}])", "for a range of one step write `[${step}]`"),
            ("up{a=“${scope}”}", "`“` is a typographic quote, which opens no string: write `\"${scope}\"`"),
            ("up{${scope}}", "put it in a label matcher, such as `{name=\"${scope}\"}`"),
        ] {
            let error = refusal(text);
            assert!(error.contains("`scope`") && error.ends_with(remedy), "{text}: {error}");
            assert_eq!(sampled(text).unwrap_err().to_string(), error);
        }
        assert_eq!(sampled("rate(up{a=\"${scope}\"}[${step}])").unwrap(), "rate(up{a=\"x\"}[60s])");
    }

    #[test]
    fn the_variables_of_a_query_are_found_without_values() {
        let text = "# ${comment}\nrate(up{a=\"${scope}\", b=~\"${zone}.*\", c=\"$${no}\"}[${step}])";
        let names: Vec<_> = variables_of(text).unwrap().into_iter().collect();
        assert_eq!(names, ["scope", "step", "zone"]);
        assert!(variables_of("up{${scope}}").is_err());
    }

    /// Blanks every place that a value may change, and keeps what stood there.
    #[derive(Default)]
    struct BlankQuery {
        regexes: Vec<String>,
        texts: Vec<String>,
    }

    impl BlankQuery {
        fn matchers(&mut self, matchers: &mut [Matcher]) {
            let empty = regex::Regex::new("").unwrap();
            for matcher in matchers {
                let value = std::mem::take(&mut matcher.value);
                match &mut matcher.op {
                    MatchOp::Re(regex) | MatchOp::NotRe(regex) => {
                        regex.clone_from(&empty);
                        self.regexes.push(value);
                    }
                    MatchOp::Equal | MatchOp::NotEqual => self.texts.push(value),
                }
            }
        }
    }

    impl ExprVisitorMut for BlankQuery {
        type Error = ();

        fn pre_visit(&mut self, expr: &mut Expr) -> Result<bool, ()> {
            match expr {
                Expr::VectorSelector(selector) => self.matchers(&mut selector.matchers.matchers),
                Expr::MatrixSelector(selector) => self.matchers(&mut selector.vs.matchers.matchers),
                Expr::StringLiteral(literal) => self.texts.push(std::mem::take(&mut literal.val)),
                _ => {}
            }
            Ok(true)
        }
    }

    fn blanked(query: &str) -> (Expr, BlankQuery) {
        let mut expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let mut blank = BlankQuery::default();
        walk_expr_mut(&mut blank, &mut expr).unwrap();
        (expr, blank)
    }

    const TEMPLATES: [&str; 14] = [
        r#"up{app="${scope}"}"#,
        r#"up{app!="${scope}",zone="eu"}"#,
        r#"up{app=~"${scope}"}"#,
        r#"up{zone="eu",app!~"${scope}"}"#,
        r#"up{app='${scope}'}"#,
        r#"up{app=~'${scope}'}"#,
        r#"up{app=`${scope}`}"#,
        r#"up{app=~`${scope}`}"#,
        r#"sum by (pod) (rate(http_requests_total{app="${scope}",code=~"5.."}[${step}])) / sum(rate(http_requests_total{app=~"${scope}"}[5m]))"#,
        r#"histogram_quantile(0.99, sum by (le) (rate(x_bucket{app="${scope}"}[5m] offset 1h)))"#,
        r#"label_replace(up{app="${scope}"}, "a", "${scope}", "b", '${scope}')"#,
        "# it's \"${scope}\" {\nmax_over_time(up{app=\"${scope}\"}[10m:${step}]) # `",
        r#"{__name__=~"${scope}", app="${scope}"} > 5 unless on (pod) down{app!~'${scope}'}"#,
        "up{app = # \"\n \"${scope}\" , b =~\n'${scope}' }",
    ];

    fn awkward() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            Just("\"".to_owned()),
            Just("'".to_owned()),
            Just("`".to_owned()),
            Just("\\".to_owned()),
            Just("\n".to_owned()),
            Just("\r\n\t".to_owned()),
            Just("${scope}".to_owned()),
            Just("$${".to_owned()),
            Just("\"} or vector(1) #".to_owned()),
            Just("'} or up{a='".to_owned()),
            Just("`} #".to_owned()),
            Just(".*|(?:[^a]+){2}$".to_owned()),
            Just("\\E\\x41\\n".to_owned()),
            "[a-z0-9-]{1,8}",
            any::<char>().prop_filter("NUL is refused", |c| *c != '\0').prop_map(String::from),
        ];
        prop_oneof![
            prop::collection::vec(parts, 0..8).prop_map(|parts| parts.concat()),
            any::<String>().prop_map(|text| text.chars().filter(|c| *c != '\0').take(200).collect()),
        ]
        .prop_filter("an empty scope is refused", |scope: &String| !scope.is_empty())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// The proof that a scope cannot change a query: only the matched values differ, and they are the scope.
        #[test]
        fn no_value_changes_the_shape_of_a_query(text in prop::sample::select(&TEMPLATES[..]), scope in awkward()) {
            let (expected, plain) = blanked(&resolve(text, "x").unwrap());
            let query = resolve(text, &scope).unwrap();
            let (expr, blank) = blanked(&query);
            prop_assert_eq!(format!("{:?}", expr), format!("{:?}", expected), "{}", query);
            for (value, plain) in blank.texts.iter().zip(&plain.texts) {
                prop_assert_eq!(value, if plain == "x" { &scope } else { plain });
            }
            for (pattern, plain) in blank.regexes.iter().zip(&plain.regexes) {
                if plain != "x" {
                    prop_assert_eq!(pattern, plain);
                    continue;
                }
                let regex = regex::Regex::new(&format!("^(?s:{pattern})$")).unwrap();
                prop_assert!(regex.is_match(&scope), "{} does not match {:?}", pattern, scope);
                let longer = [format!("{scope}x"), format!("x{scope}")];
                prop_assert!(!longer.iter().any(|text| regex.is_match(text)), "{} matches more than {:?}", pattern, scope);
                let literal = regex_syntax_literal(pattern);
                prop_assert_eq!(literal.as_deref(), Some(scope.as_str()), "{} is more than a literal", pattern);
            }
        }

        #[test]
        fn any_template_is_rendered_or_refused(text in "[ -~\n${}\"'`\\\\#=~]{0,60}", scope in awkward()) {
            let _ = resolve(&text, &scope);
            let _ = variables_of(&text);
        }
    }

    /// The one text that a regular expression without any operator matches.
    fn regex_syntax_literal(pattern: &str) -> Option<String> {
        let mut text = String::new();
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => text.push(characters.next().filter(|c| c.is_ascii_punctuation())?),
                c if r".+*?()|[]{}^$".contains(c) => return None,
                c => text.push(c),
            }
        }
        Some(text)
    }
}
