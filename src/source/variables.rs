//! `${name}` in queries: finding them and looking them up. Each store escapes the values for its own language.

use std::collections::{BTreeMap, BTreeSet};

use haldane_judges::text::nearest;

use super::text::escaped;
use super::{SourceError, Template, Window};

/// Longest value a variable may have, in bytes.
const MAX_VALUE_BYTES: usize = 1024;
/// Longest name that is looked for before `${` counts as unclosed.
const MAX_NAME_BYTES: usize = 100;

/// What stands at one place of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// This character, as it is.
    Char(char),
    /// `$${`, which stands for `${`.
    Dollar,
    /// `${name}`.
    Variable(&'a str),
}

/// Reads a template piece by piece.
#[derive(Debug, Clone)]
pub(super) struct Pieces<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The rest of the text.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Passes over so many bytes, which must end at a character's end.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    /// [`SourceError::Template`] for a `${` that is not closed or holds no name.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'a>>, SourceError> {
        let rest = self.rest();
        if rest.starts_with("$${") {
            self.at += 3;
            return Ok(Some(Piece::Dollar));
        }
        if let Some(after) = rest.strip_prefix("${") {
            let end = after.bytes().take(MAX_NAME_BYTES + 1).position(|byte| byte == b'}');
            let Some(name) = end.and_then(|end| after.get(..end)) else {
                return Err(SourceError::Template(format!(
                    "`${{` at character {} of the query is not closed; write `${{name}}`, or `$${{` for a literal `${{`",
                    self.position()
                )));
            };
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(SourceError::Template(format!(
                    "`${{{}}}` at character {} of the query is not a variable; a name is letters, digits and `_`; write `$${{` for a literal `${{`",
                    escaped(name, 60),
                    self.position()
                )));
            }
            self.at += name.len() + 3;
            return Ok(Some(Piece::Variable(name)));
        }
        let next = rest.chars().next();
        self.at += next.map_or(0, char::len_utf8);
        Ok(next.map(Piece::Char))
    }

    /// Where the next piece begins, in characters from 1. Counts from the start: for messages alone.
    pub(super) fn position(&self) -> usize {
        self.position_of(self.at)
    }

    /// Where the next piece begins, in bytes.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The same as [`Pieces::position`] for an earlier [`Pieces::offset`].
    pub(super) fn position_of(&self, offset: usize) -> usize {
        self.text.get(..offset).map_or(0, |before| before.chars().count()) + 1
    }
}

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// From the window: a length of time such as `60s`, harmless everywhere.
    Window(String),
    /// From the caller: to be escaped.
    Caller(&'a str),
}

fn from_window(name: &str, window: Window) -> Option<String> {
    match name {
        "step" => Some(format!("{}s", window.step_seconds)),
        "window" => Some(format!("{}s", window.seconds())),
        _ => None,
    }
}

/// Looks a variable up.
///
/// # Errors
/// [`SourceError::UnknownVariable`], with the nearest known one, and [`SourceError::Template`] for a value that no query should hold.
pub(super) fn look_up<'a>(template: &Template<'a>, name: &str) -> Result<Value<'a>, SourceError> {
    if let Some(value) = from_window(name, template.window) {
        return Ok(Value::Window(value));
    }
    let Some(value) = template.variables.get(name) else {
        return Err(SourceError::UnknownVariable { name: name.to_owned(), said: unknown(name, template.variables) });
    };
    if value.len() > MAX_VALUE_BYTES {
        return Err(SourceError::Template(format!(
            "the variable `{name}` has {} bytes; a value has at most {MAX_VALUE_BYTES}",
            value.len()
        )));
    }
    if value.contains('\0') {
        return Err(SourceError::Template(format!("the variable `{name}` holds a NUL character; leave it out")));
    }
    Ok(Value::Caller(value))
}

fn unknown(name: &str, variables: &BTreeMap<String, String>) -> String {
    let known: BTreeSet<&str> = variables.keys().map(String::as_str).chain(["step", "window"]).collect();
    let hint = nearest(name, known.iter().copied()).map_or(String::from(";"), |known| format!("; did you mean `{}`?", escaped(known, 60)));
    let listed: Vec<_> = known.iter().take(30).map(|known| format!("`{}`", escaped(known, 60))).collect();
    format!("unknown variable `{name}`{hint} known here: {}; for a literal `${{` write `$${{`", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(variables: &BTreeMap<String, String>) -> Template<'_> {
        Template { text: "", variables, window: Window { start: 0, end: 3600, step_seconds: 60 } }
    }

    #[test]
    fn an_unknown_variable_is_named_with_the_nearest_and_all_known_ones() {
        let variables = BTreeMap::from([("scope".to_owned(), "a".to_owned()), ("location".to_owned(), "b".to_owned())]);
        let error = look_up(&template(&variables), "scoop").unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown variable `scoop`; did you mean `scope`? known here: `location`, `scope`, `step`, `window`; for a literal `${` write `$${`"
        );
        let error = look_up(&template(&variables), "zzzzzz").unwrap_err().to_string();
        assert!(error.starts_with("unknown variable `zzzzzz`; known here: "), "{error}");
    }

    #[test]
    fn a_value_with_nul_or_beyond_the_limit_is_refused() {
        for (value, accepted) in [("a\0b".to_owned(), false), ("x".repeat(1024), true), ("x".repeat(1025), false)] {
            let variables = BTreeMap::from([("scope".to_owned(), value)]);
            assert_eq!(look_up(&template(&variables), "scope").is_ok(), accepted);
        }
    }

    #[test]
    fn the_window_gives_step_and_window() {
        let variables = BTreeMap::from([("step".to_owned(), "evil".to_owned())]);
        assert_eq!(look_up(&template(&variables), "step"), Ok(Value::Window("60s".to_owned())));
        assert_eq!(look_up(&template(&variables), "window"), Ok(Value::Window("3600s".to_owned())));
    }

    #[test]
    fn an_unclosed_or_nameless_variable_is_refused_with_its_place() {
        for (text, place) in
            [("é ${scope", "character 3"), ("${}", "character 1"), ("a ${b c}", "character 3"), ("${a${b}}", "character 1")]
        {
            let mut pieces = Pieces::new(text);
            let error = loop {
                match pieces.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{text} was read to its end"),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains(place), "{text}: {error}");
        }
    }
}
