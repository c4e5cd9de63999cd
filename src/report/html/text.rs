//! Sentences and addresses as markup.

use maud::{Markup, html};

/// Lines as a list, each with a word before it.
pub(super) fn list(label: Option<&str>, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            ul { @for line in lines { li { @if let Some(label) = label { strong { (label) } ": " } (prose(line)) } } }
        }
    }
}

/// A sentence whose names stand between backticks, as code; one with an unpaired backtick is left as it is.
pub(super) fn prose(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    html! {
        @if parts.len() % 2 == 1 {
            @for (i, part) in parts.iter().enumerate() {
                @if i % 2 == 1 { code { (part) } } @else { (words(part)) }
            }
        } @else {
            (words(text))
        }
    }
}

/// The text, of which no browser breaks a number or a time at its hyphen.
fn words(text: &str) -> Markup {
    // `1.1e-114`, `2026-11-29`; a sign stands before a digit, and after none.
    let is_one = |word: &str| {
        let bytes = word.as_bytes();
        let hyphen_within = |at: &[u8]| at[1] == b'-' && at[2].is_ascii_digit() && (at[0].is_ascii_digit() || at[0] == b'e');
        word.len() <= LONGEST_UNBROKEN && bytes.windows(3).any(hyphen_within)
    };
    html! {
        @for word in text.split_inclusive(' ') { @if is_one(word) { span.whole { (word) } } @else { (word) } }
    }
}

/// A longer word may be wider than a phone.
const LONGEST_UNBROKEN: usize = 24;

/// The text, where it is an address that a browser opens and that runs nothing.
pub(super) fn web_address(text: &str) -> Option<&str> {
    let is_plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    Some(text).filter(|text| is_plain && (text.starts_with("https://") || text.starts_with("http://")))
}

/// The text as one word of a shell.
pub(super) fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_opens_is_an_address() {
        assert_eq!(web_address("https://prometheus.example/graph?q=a%20b"), Some("https://prometheus.example/graph?q=a%20b"));
        for bad in ["javascript:alert(1)", "data:text/html,x", "https://a b", "//x", "HTTPS://x\n"] {
            assert_eq!(web_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_and_times_stay_whole() {
        let shown = prose("p 1.1e-114 of `a-1` since 2026-11-29, -3 to 5-fold in pod-7f").into_string();
        let expected = "p <span class=\"whole\">1.1e-114 </span>of <code>a-1</code> since <span class=\"whole\">2026-11-29, </span>-3 to 5-fold in pod-7f";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_shell_reads_one_word() {
        assert_eq!(shell_word("a'; rm -rf $HOME"), r"'a'\''; rm -rf $HOME'");
    }
}
