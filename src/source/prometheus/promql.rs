//! Reads PromQL, with what the parser has no answer to refused before it sees it.

use promql_parser::parser::Expr;

use super::splice::{Lexis, Scanner};

/// Reads a query.
///
/// # Errors
/// What Prometheus' grammar has against it.
pub(crate) fn parse(text: &str) -> Result<Expr, String> {
    refuse_escapes(text)?;
    promql_parser::parser::parse(text)
}

/// What a string with its quotes stands for.
///
/// # Errors
/// What is wrong with it.
pub(super) fn unquote(text: &str) -> Result<String, String> {
    refuse_escapes(text)?;
    promql_parser::util::unquote_string(text)
}

/// A backslash before a character beyond ASCII begins no escape sequence; the parser (0.11) would cut the character apart, and panic.
fn refuse_escapes(text: &str) -> Result<(), String> {
    let mut scanner = Scanner::default();
    for c in text.chars() {
        if matches!(scanner.lexis(), Lexis::String(_, true)) && !c.is_ascii() {
            return Err(format!("`\\{c}` in a string is no escape sequence; write `\\\\` for a backslash"));
        }
        scanner.read(c.encode_utf8(&mut [0; 4]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_before_a_character_beyond_ascii_is_refused_and_not_cut_apart() {
        for text in ["up{a=\"\\é\"}", "up{a='x\\\u{fffd}00'}", "{\"\\日\"}"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("no escape sequence"), "{text}: {error}");
        }
        assert!(unquote("\"\\é\"").is_err());
    }

    #[test]
    fn where_a_backslash_stands_for_itself_any_character_may_follow() {
        for text in ["up{a=\"\\\\é\"}", "up{a=\"é\"} # \\é \"\\é\""] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }
}
