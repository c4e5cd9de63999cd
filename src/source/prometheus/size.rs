//! How large a query is, so that none is taken apart that would not fit the stack.

/// Most words and signs of a query that is looked at. Its tree is walked, and dropped, recursively, and is at most so deep.
pub(super) const MAX_TOKENS: usize = 1000;

/// An upper bound for the words and signs of a query, and so for the depth of its tree.
pub(super) fn tokens(text: &str) -> usize {
    let mut in_word = false;
    text.chars()
        .filter(|c| {
            let is_word = c.is_alphanumeric() || matches!(c, '_' | ':' | '.');
            let begins = (is_word && !in_word) || !(is_word || c.is_whitespace());
            in_word = is_word;
            begins
        })
        .count()
}
