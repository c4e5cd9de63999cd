//! Texts from outside, made fit for a message.

/// The first `characters` of a text from outside, with control characters escaped, for a message.
#[must_use]
pub fn escaped(text: &str, characters: usize) -> String {
    let mut shown = String::new();
    let mut rest = text.chars();
    for c in rest.by_ref().take(characters) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_reply_has_no_control_characters() {
        assert_eq!(escaped("a\u{1b}[31m\r\nb", 6), "a\\u{1b}[31m…");
        assert_eq!(escaped("short", 120), "short");
    }
}
