//! Text for a terminal as it grows, line by line.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use anstyle::Style;
use textwrap::{Options, WordSeparator, WordSplitter};
use unicode_width::UnicodeWidthStr;

use super::format::truncate;

/// Columns where there is no terminal that says how many it has.
const PIPE_WIDTH: usize = 100;

/// What the terminal can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Columns.
    pub width: usize,
    /// Whether colours may be used. Every status is a word too, so nothing is lost without them.
    pub colour: bool,
}

impl Default for Terminal {
    fn default() -> Self {
        Self { width: PIPE_WIDTH, colour: false }
    }
}

/// What was written so far, and what its lines may be like.
pub(crate) struct Page {
    out: String,
    /// Columns of a line.
    pub(crate) width: usize,
    colour: bool,
}

impl Page {
    /// An empty page as wide as the terminal, within these widths; a narrower terminal wraps the lines itself.
    pub(crate) fn new(terminal: Terminal, widths: RangeInclusive<usize>) -> Self {
        let width = terminal.width.clamp(*widths.start(), *widths.end());
        Self { out: String::new(), width, colour: terminal.colour }
    }

    pub(crate) fn into_text(self) -> String {
        self.out
    }

    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// Wrapped text; the first line starts with `first`, the others are indented as far.
    pub(crate) fn wrapped(&mut self, first: &str, text: &str) {
        for line in self.wrap(first, text) {
            self.line(&line);
        }
    }

    /// The same in at most so many lines, of which the last says that something is left out; how many lines it took.
    pub(crate) fn bounded(&mut self, first: &str, text: &str, most: usize) -> usize {
        // No more is laid out than could be shown.
        let head: String = text.chars().take(self.width.saturating_mul(most.saturating_add(1))).collect();
        let mut lines = self.wrap(first, &head);
        if lines.len() > most || head.len() < text.len() {
            lines.truncate(most);
            if let Some(last) = lines.last_mut() {
                *last = truncate(&format!("{last} …"), self.width);
            }
        }
        for line in &lines {
            self.line(line);
        }
        lines.len()
    }

    /// The lines of the same.
    pub(crate) fn wrap(&self, first: &str, text: &str) -> Vec<String> {
        let indent = " ".repeat(first.width());
        // Not at the hyphens within a number, a time or a query.
        let options = Options::new(self.width).word_separator(WordSeparator::AsciiSpace).word_splitter(WordSplitter::NoHyphenation);
        let lines = textwrap::wrap(text, options.initial_indent(first).subsequent_indent(&indent));
        lines.into_iter().map(Cow::into_owned).collect()
    }
}
