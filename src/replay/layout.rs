//! How a replay's numbers are laid out: tables as text, JSON and CSV, and the words for a rate.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use super::rates::Rate;

/// How a summary is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    /// For a terminal.
    #[default]
    Text,
    /// For a ticket or a chat.
    Markdown,
    /// For programs.
    Json,
}

/// What "found within" means, below every table that has it.
pub(super) const FOUND_WITHIN_NOTE: &str = "Found within: regressed canaries judged as if they had ended by then, those with at least three points in it. Found: an affected metric regressed (where they are unknown: the canary failed); held: suspect (marginal).";

/// A share in per cent with one decimal, so that columns line up.
pub(super) fn one_decimal(fraction: f64) -> String {
    format!("{:.1} %", fraction * 100.0)
}

pub(super) fn span(interval: Option<[f64; 2]>, scale: f64, decimals: usize) -> String {
    interval.map_or_else(String::new, |[low, high]| format!(" [{:.decimals$}, {:.decimals$}]", low * scale, high * scale))
}

/// A rate as people read it: `2.2 % [1.4, 3.1] of 1362`.
pub(super) fn words(rate: &Rate) -> String {
    format!("{}{} of {}", one_decimal(rate.rate), span(rate.interval, 100.0, 1), rate.trials)
}

/// A rate without its number of trials.
pub(super) fn short_words(rate: &Rate) -> String {
    format!("{}{}", one_decimal(rate.rate), span(rate.interval, 100.0, 1))
}

/// A table of text.
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(corner: &str, columns: &[String]) -> Self {
        Self { head: std::iter::once(corner.to_owned()).chain(columns.iter().cloned()).collect(), rows: Vec::new() }
    }

    pub(super) fn push(&mut self, label: String, cells: Vec<String>) {
        self.rows.push(std::iter::once(label).chain(cells).collect());
    }

    /// The head with the corner, and the rows with their labels.
    pub(super) fn into_parts(self) -> (Vec<String>, Vec<Vec<String>>) {
        (self.head, self.rows)
    }

    pub(super) fn write(&self, out: &mut String, format: ReportFormat) {
        if format == ReportFormat::Markdown {
            let cell = |cell: &String| cell.replace('|', "\\|");
            let line = |cells: &Vec<String>| format!("| {} |", cells.iter().map(cell).collect::<Vec<_>>().join(" | "));
            let rule = format!("|{}", " --- |".repeat(self.head.len()));
            for line in [line(&self.head), rule].into_iter().chain(self.rows.iter().map(line)) {
                let _ = writeln!(out, "{line}");
            }
            return;
        }
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let widths: Vec<usize> =
            (0..self.head.len()).map(|i| all().filter_map(|row| row.get(i)).map(|cell| cell.width()).max().unwrap_or(0)).collect();
        for row in all() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width()))));
            let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}
