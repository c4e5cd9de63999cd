//! Kayenta's `${name}` in query texts, as Apache Commons Text substitutes them: defaults, `$${` for a literal `${`, and values
//! that hold variables themselves.
//!
//! What comes out keeps a caller's values apart from the text around them, so that each store's builder can escape them.

use std::collections::BTreeMap;

use crate::kayenta::wire::refusal::{Refusal, shown};

/// Longest value a variable may have, in bytes, as in native templates.
const MAX_VALUE_BYTES: usize = 1024;
/// How deep values may refer to one another.
const MAX_DEPTH: usize = 8;
/// Most variables that one text may have put in, those within values included.
const MAX_SUBSTITUTIONS: usize = 1000;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Text as it is.
    Fixed(&'a str),
    /// `${name}` or `${name:-default}`.
    Variable {
        /// Its name.
        name: &'a str,
        /// What stands there where it has no value.
        default: Option<&'a str>,
    },
}

/// A piece of a text whose variables have been put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TemplatePart {
    /// The config's own text.
    Fixed(String),
    /// A caller's value, not escaped yet.
    Value {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
    },
}

/// The text with `$\{`, as Kayenta stores `${` within an execution, written plainly.
#[must_use]
pub(crate) fn unescaped(text: &str) -> String {
    text.replace("$\\{", "${")
}

/// Takes a template apart. A `${` that is never closed is text.
#[must_use]
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, found) = rest.split_at(at);
        let Some((expression, after)) = found.get(2..).and_then(|inner| inner.split_once('}')) else { break };
        if let Some(before) = before.strip_suffix('$') {
            tokens.push(Token::Fixed(before));
            tokens.push(Token::Fixed("${"));
            rest = found.get(2..).unwrap_or_default();
            continue;
        }
        tokens.push(Token::Fixed(before));
        let (name, default) = match expression.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (expression, None),
        };
        tokens.push(Token::Variable { name, default });
        rest = after;
    }
    tokens.push(Token::Fixed(rest));
    tokens.retain(|token| *token != Token::Fixed(""));
    tokens
}

/// Puts the variables into a template.
///
/// # Errors
/// [`Refusal`] for a variable that has neither value nor default, one that refers to itself, and values that are too long or too many.
pub(crate) fn expand(text: &str, variables: &BTreeMap<String, String>) -> Result<Vec<TemplatePart>, Refusal> {
    let mut expansion = Expansion { variables, left: MAX_SUBSTITUTIONS };
    let mut parts = Vec::new();
    for token in tokens(text) {
        parts.push(match token {
            Token::Fixed(text) => TemplatePart::Fixed(text.to_owned()),
            Token::Variable { name, default } => match expansion.value(name, &mut Vec::new())? {
                Some(value) => TemplatePart::Value { name: name.to_owned(), value },
                None => TemplatePart::Fixed(default.ok_or_else(|| unknown(name, variables))?.to_owned()),
            },
        });
    }
    Ok(parts)
}

struct Expansion<'a> {
    variables: &'a BTreeMap<String, String>,
    left: usize,
}

impl<'a> Expansion<'a> {
    /// A variable's value, its own variables put in; `None` where there is none.
    fn value(&mut self, name: &str, within: &mut Vec<&'a str>) -> Result<Option<String>, Refusal> {
        let Some((name, text)) = self.variables.get_key_value(name) else { return Ok(None) };
        let refused = |what: String| Refusal::invalid(format!("the template variable `{}` {what}", shown(name)));
        if within.contains(&name.as_str()) || within.len() == MAX_DEPTH {
            return Err(refused("refers to itself, or too deep; give it a plain value".to_owned()));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| refused("is one of too many in one query; use fewer".to_owned()))?;
        if text.contains('\0') {
            return Err(refused("holds a NUL character; leave it out".to_owned()));
        }
        within.push(name);
        let mut value = String::new();
        for token in tokens(text) {
            match token {
                Token::Fixed(text) => value.push_str(text),
                Token::Variable { name: inner, default } => match self.value(inner, within)? {
                    Some(inner) => value.push_str(&inner),
                    None => value.push_str(default.ok_or_else(|| unknown(inner, self.variables))?),
                },
            }
            if value.len() > MAX_VALUE_BYTES {
                return Err(refused(format!("has more than the {MAX_VALUE_BYTES} bytes that a value may have; shorten it")));
            }
        }
        within.pop();
        Ok(Some(value))
    }
}

fn unknown(name: &str, variables: &BTreeMap<String, String>) -> Refusal {
    let known: Vec<String> = variables.keys().take(30).map(|known| format!("`{}`", shown(known))).collect();
    let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
    let name = shown(name);
    Refusal::invalid(format!(
        "the template variable `{name}` has no value; known here: {known}; give it in extendedScopeParams, or write a default as `${{{name}:-...}}`"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn text(template: &str, pairs: &[(&str, &str)]) -> Result<String, String> {
        let parts = expand(template, &variables(pairs)).map_err(|refusal| refusal.message())?;
        Ok(parts
            .into_iter()
            .map(|part| match part {
                TemplatePart::Fixed(text) | TemplatePart::Value { value: text, .. } => text,
            })
            .collect())
    }

    // What StringSubstitutor's documentation promises, and its source does.
    #[test]
    fn variables_are_put_in_as_commons_text_does() {
        for (template, expected) in [
            ("a ${scope} b", "a s b"),
            ("${scope}${scope}", "ss"),
            ("${none:-x y}", "x y"),
            ("${none:-}", ""),
            ("${scope:-x}", "s"),
            ("${empty:-x}", ""),
            ("$${scope}", "${scope}"),
            ("$$${scope}", "$${scope}"),
            ("$${scope} ${scope}", "${scope} s"),
            ("${deep}", "<s>"),
            ("${a.b-c}", "dots"),
            ("$1 $ {x} ${unclosed", "$1 $ {x} ${unclosed"),
            ("$${unclosed", "$${unclosed"),
            ("é${scope}é", "éséé".strip_suffix('é').unwrap_or_default()),
        ] {
            let pairs = [("scope", "s"), ("empty", ""), ("deep", "<${scope}>"), ("a.b-c", "dots")];
            assert_eq!(text(template, &pairs).as_deref(), Ok(expected), "{template}");
        }
        assert_eq!(text(&unescaped("$\\{scope}"), &[("scope", "s")]).as_deref(), Ok("s"));
    }

    #[test]
    fn a_variable_without_a_value_is_named_with_those_that_have_one() {
        for template in ["${scpe}", "${scope}", "${}"] {
            let message = text(template, &[("location", "eu"), ("scope", "${none}")]).unwrap_err();
            assert!(message.contains("`location`") && message.contains("has no value"), "{template}: {message}");
        }
    }

    #[test]
    fn values_that_refer_to_themselves_or_grow_without_end_are_refused() {
        let circle = [("a", "${b}"), ("b", "${a}")];
        assert!(text("${a}", &circle).unwrap_err().contains("refers to itself"));
        let long = "x".repeat(1025);
        assert!(text("${a}", &[("a", &long)]).unwrap_err().contains("1024"));
        let doubled = |next: &str| format!("${{{next}}}").repeat(100);
        let (a, b, c, d) = (doubled("b"), doubled("c"), doubled("d"), doubled("e"));
        assert!(text("${a}", &[("a", &a), ("b", &b), ("c", &c), ("d", &d), ("e", "")]).unwrap_err().contains("too many"));
    }

    proptest! {
        #[test]
        fn any_template_with_any_values_is_expanded_or_refused(template in "[a${}:\\-\\\\é]{0,40}", a in "[a${}:\\-]{0,20}", b in any::<String>()) {
            let _ = text(&unescaped(&template), &[("a", &a), ("", &b)]);
        }
    }
}
