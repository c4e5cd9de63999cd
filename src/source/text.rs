//! Texts from outside, made fit for a message.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::hex::hex;

/// The first `characters` of a text from outside, for a message: control characters, and those that turn the reading direction, are escaped.
#[must_use]
pub fn escaped(text: &str, characters: usize) -> String {
    let mut shown = String::new();
    let mut rest = text.chars();
    for c in rest.by_ref().take(characters) {
        if c.is_control() || turns_direction(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Marks that turn the reading direction ("Trojan source").
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What stands for a secret.
const REDACTED: &str = "<redacted>";
/// A shorter secret is found in half of all texts, and hiding it protects nothing.
const SHORTEST: usize = 4;

/// What an address leaves as it is (RFC 3986, 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The forms in which a store may quote a secret: as it is, inside a JSON text (the characters that some writers escape there beside
/// quotes and backslashes too), inside a JSON text inside another, in an address, in HTML, in base64 and in hexadecimal digits.
fn quoted(secret: &str) -> Vec<String> {
    // A string has a JSON form.
    let json = |text: &str| serde_json::to_string(text).map(|quoted| quoted[1..quoted.len() - 1].to_owned()).unwrap_or_default();
    let escape = |text: &str, escaped: &dyn Fn(char) -> bool| {
        let escape = |c: char| if escaped(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
        text.chars().map(escape).collect::<String>()
    };
    let once = json(secret);
    let in_address = [UNRESERVED, NON_ALPHANUMERIC].map(|kept| utf8_percent_encode(secret, kept).to_string());
    let in_html = |apostrophe: &str| {
        let entities = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", apostrophe)];
        entities.iter().fold(secret.to_owned(), |text, (character, entity)| text.replace(character, entity))
    };
    let mut forms = vec![
        in_html("&#39;"),
        in_html("&#x27;"),
        in_html("'"),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        hex(secret.bytes()),
        hex(secret.bytes()).to_uppercase(),
        secret.to_owned(),
        json(&once),
        json(&json(&once)),
        once.replace('/', "\\/"),
        escape(&once, &|c| matches!(c, '<' | '>' | '&')),
        escape(secret, &|c| matches!(c, '"' | '\\' | '<' | '>' | '&' | '\'')),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        secret.escape_debug().to_string(),
        once,
    ];
    for form in in_address {
        forms.extend([form.replace('%', "%25"), with_lower_digits(&form), form]);
    }
    forms.sort_unstable();
    forms.dedup();
    // The longest first: one may be a part of another.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms
}

/// The same with the hexadecimal digits of `%2F` in lower case.
fn with_lower_digits(encoded: &str) -> String {
    let mut digits = 0_u8;
    let lower = |c: char| {
        let is_digit = digits > 0;
        digits = if c == '%' { 2 } else { digits.saturating_sub(1) };
        if is_digit { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(lower).collect()
}

/// The text without a secret, in whatever form a store quotes it, and without the beginning of one where the text was cut off in it.
/// `None` where the secret is not in it.
#[must_use]
pub(super) fn without_secret(text: &str, secret: &str) -> Option<String> {
    if secret.len() < SHORTEST {
        return None;
    }
    let mut clean = text.to_owned();
    for form in quoted(secret) {
        if clean.contains(&form) {
            clean = clean.replace(&form, REDACTED);
        }
        // `escaped` marks where it cut.
        let mut from = 0;
        while let Some(cut) = clean[from..].find('…').map(|at| from + at) {
            let begun = form.char_indices().rev().map(|(at, _)| at).find(|at| *at >= SHORTEST && clean[..cut].ends_with(&form[..*at]));
            let start = begun.map_or(cut, |length| cut - length);
            if begun.is_some() {
                clean.replace_range(start..cut, REDACTED);
            }
            from = if begun.is_some() { start + REDACTED.len() } else { cut } + '…'.len_utf8();
        }
    }
    (clean != text).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_in_which_it_is_quoted() {
        let secret = r#"p"a\s's<w>&o/rd"#;
        let json = serde_json::to_string(secret).unwrap();
        for text in [
            format!("401: bad token {secret}"),
            format!("{{\"error\": {json}}}"),
            format!("it begins `{}`", serde_json::to_string(&format!("token {json}")).unwrap()),
            r#"{"error": "p\"a\\s's\u003cw\u003e\u0026o/rd"}"#.to_owned(),
            r#"{"error": "p\"a\\s's<w>&o\/rd"}"#.to_owned(),
            "GET /?token=p%22a%5Cs%27s%3Cw%3E%26o%2Frd".to_owned(),
            format!("{secret:?}"),
            "p%22a%5cs%27s%3cw%3e%26o%2frd and p%2522a%255Cs%2527s%253Cw%253E%2526o%252Frd".to_owned(),
            "<pre>p&quot;a\\s&#39;s&lt;w&gt;&amp;o/rd</pre>".to_owned(),
            "key cCJhXHMnczx3PiZvL3Jk, or 7022615c7327733c773e266f2f7264".to_owned(),
            "7022615C7327733C773E266F2F7264".to_owned(),
        ] {
            let clean = without_secret(&text, secret).unwrap_or_else(|| panic!("not found in {text}"));
            assert!(clean.contains(REDACTED) && !clean.contains("rd\"") && !clean.contains("s's") && !clean.contains("rd`"), "{clean}");
        }
        // Of what an address leaves as it is.
        assert_eq!(without_secret("?key=a-b_c.d~%2Fe", "a-b_c.d~/e").unwrap(), "?key=<redacted>");
        assert_eq!(without_secret("nothing of it", secret), None);
        assert_eq!(without_secret("abc", "abc"), None);
    }

    #[test]
    fn the_beginning_of_a_secret_that_was_cut_off_is_taken_out() {
        let secret = "0123456789abcdef";
        let cut = escaped(&format!("unknown token {secret}"), 24);
        assert_eq!(cut, "unknown token 0123456789…");
        assert_eq!(without_secret(&format!("401: `{cut}`, and …"), secret).unwrap(), "401: `unknown token <redacted>…`, and …");
    }

    #[test]
    fn what_is_shown_of_a_reply_has_no_control_characters() {
        assert_eq!(escaped("a\u{1b}[31m\r\nb", 6), "a\\u{1b}[31m…");
        assert_eq!(escaped("short", 120), "short");
    }
}
