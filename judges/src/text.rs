//! Texts from outside in messages: cut, so that no message is longer than a person reads, and the nearest known name of a misspelt one.

use std::borrow::Cow;

/// Longest name that is looked for among the known ones, in bytes: the distance of two texts takes the product of their lengths.
const LONGEST_NAME: usize = 100;

/// Percent of a whole that are nearly all of it, with as many decimals as what is left to 100 has three digits; `None` of others.
#[must_use]
pub fn nearly_all(percent: f64) -> Option<String> {
    let left = 100.0 - percent;
    let decimals = (2.0 - left.log10().floor()).clamp(0.0, 9.0) as usize;
    (0.0 < left && left <= 1.0).then(|| without_zeros(&format!("{percent:.decimals$}")).to_owned())
}

/// A number without zeros at the end of its fraction.
pub(crate) fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A text of at most `most` bytes: itself, or its beginning and its end around what says how much is missing.
#[must_use]
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    /// Longer than `... 12345678901234567890 bytes ...`.
    const MARK: usize = 40;
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let kept = most.saturating_sub(MARK);
    // The remedy stands at the end.
    let head = text.floor_char_boundary(kept - kept / 4);
    let tail = text.ceil_char_boundary(text.len() - kept / 4);
    Cow::Owned(format!("{} ... {} bytes ... {}", &text[..head], tail - head, &text[tail..]))
}

/// The known name that is nearest to `wrong`, where one is near enough to be meant; none for what is too long to be a name.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = distances(wrong, known).min()?;
    (distance <= 1 + name.chars().count() / 3).then_some(name)
}

/// By how many edits each known name differs from `wrong`; none for what is too long to be a name.
pub fn distances<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = (usize, &'a str)> {
    let fits = |text: &str| text.len() <= LONGEST_NAME;
    let known = known.into_iter().filter(move |name| fits(wrong) && fits(name));
    known.map(move |name| (strsim::damerau_levenshtein(wrong, name), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end_and_says_how_much_is_missing() {
        assert_eq!(shortened("short", 10), "short");
        let long = format!("unknown field `{}`; leave it out", "x".repeat(8 << 20));
        let cut = shortened(&long, 1000);
        assert!(cut.len() <= 1000 && cut.starts_with("unknown field `xx") && cut.ends_with("; leave it out"), "{cut}");
        assert!(cut.contains(" bytes "));
        let wide = "ü".repeat(5000);
        assert!(shortened(&wide, 999).len() <= 999);
        assert!(shortened(&wide, 0).contains("10000 bytes"));
    }

    #[test]
    fn the_nearest_name_is_one_that_can_be_meant() {
        assert_eq!(nearest("scoop", ["location", "scope"]), Some("scope"));
        assert_eq!(nearest("anything", ["location", "scope"]), None);
        assert_eq!(nearest(&"x".repeat(8 << 20), ["location"]), None);
    }
}
