//! Everything that a scorecard says, on a terminal or in a log.

use anstyle::{AnsiColor, Style};
use haldane_judges::scorecard::Status;
use unicode_width::UnicodeWidthStr;

use super::format::truncate;
use super::page::{Page, Terminal};
use super::past::past_since;
use super::view::{MetricRow, View};
use crate::analysis::Scorecard;

/// Narrowest layout; a narrower terminal wraps the lines itself.
const NARROWEST: usize = 40;
/// Widest layout: longer lines are hard to read.
const WIDEST: usize = 140;
/// A metric's name is not cut below this.
const SHORTEST_NAME: usize = 12;
const GAP: &str = "  ";

/// Lines of what to do, at most: far more than there are.
const LINES_OF_ADVICE: usize = 100;

/// Renders all of it, the worst metric first and the verdict first and last.
#[must_use]
pub fn verbose(card: &Scorecard, terminal: Terminal) -> String {
    let mut view = View::new(card);
    let mut rows: Vec<_> = view.rows.into_iter().zip(&card.judgement.metrics).enumerate().collect();
    rows.sort_by(|(_, (_, a)), (_, (_, b))| a.worst_first(b));
    let (places, rows): (Vec<usize>, Vec<MetricRow>) = rows.into_iter().map(|(place, (row, _))| (place, row)).unzip();
    view.rows = rows;
    let mut page = Page::new(terminal, NARROWEST..=WIDEST);
    page.head(&view);
    page.table(&view.rows);
    for (row, place) in view.rows.iter().zip(places).filter(|(row, _)| !row.is_plain_pass()) {
        page.metric(row, past_since(card, place));
    }
    page.foot(&view);
    page.line("");
    page.ending(&view, card, LINES_OF_ADVICE);
    page.into_text()
}

impl Page {
    fn heading(&mut self, text: &str) {
        let heading = self.paint(Style::new().bold(), text);
        self.line("");
        self.line(&heading);
    }

    fn head(&mut self, view: &View) {
        self.verdict(view);
        self.line("");
        self.wrapped("", &view.summary);
        if !view.reasons.is_empty() {
            self.heading("Why");
            for (reason, sentence) in &view.reasons {
                self.wrapped("  - ", &format!("{reason}: {sentence}"));
            }
        }
        self.heading("What to do");
        self.wrapped("  ", &view.recommendation);
        for remedy in &view.remedies {
            self.wrapped("  - ", remedy);
        }
        if !view.warnings.is_empty() {
            self.heading("Warnings");
            for warning in &view.warnings {
                self.wrapped("  - ", warning);
            }
        }
    }

    fn table(&mut self, rows: &[MetricRow]) {
        if rows.is_empty() {
            return;
        }
        self.heading("Metrics");
        let columns = TableColumns::fit(rows, self.width - 2);
        let header = columns.line(|column| truncate(column.title, column.width));
        let header = self.paint(Style::new().dimmed(), header.trim_end());
        self.line(&format!("  {header}"));
        for row in rows {
            let cells = columns.line(|column| column.cell(row));
            // The status is the first column, so that the style can be put around it after the widths are known.
            let rest = cells.strip_prefix(row.status_word.as_str()).unwrap_or(&cells);
            let line = format!("  {}{rest}", self.paint(style(row.status), &row.status_word));
            self.line(&line);
        }
    }

    fn metric(&mut self, row: &MetricRow, since: Option<String>) {
        let flags = if row.flags.is_empty() { String::new() } else { format!(" ({})", row.flags.join(", ")) };
        let rest = format!("{GAP}{}, reason {}{flags}", row.name, row.reason);
        let rest = truncate(&rest, self.width.saturating_sub(row.status_word.width()));
        self.line("");
        let line = format!("{}{rest}", self.paint(style(row.status).bold(), &row.status_word));
        self.line(&line);
        self.wrapped("  ", &row.sentence);
        if let Some(since) = since {
            self.wrapped("  - ", &format!("past its limit since {since}"));
        }
        let lists = [("", &row.evidence), ("guard: ", &row.guards), ("to settle it: ", &row.remedies), ("warning: ", &row.warnings)];
        for (label, lines) in lists {
            for line in lines {
                self.wrapped("  - ", &format!("{label}{line}"));
            }
        }
        for (what, query) in &row.queries {
            self.wrapped("  - ", &format!("query, {what}: {query}"));
        }
    }

    fn foot(&mut self, view: &View) {
        if view.groups.len() > 1 {
            self.heading("Groups");
            for (name, score, weight) in &view.groups {
                self.wrapped("  ", &format!("{name}: {score}, weight {weight}"));
            }
        }
        self.heading("Evidence");
        let widest = view.facts.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in &view.facts {
            self.wrapped(&format!("  {label:widest$}{GAP}"), value);
        }
    }
}

pub(super) fn style(status: Status) -> Style {
    let colour = match status {
        Status::Pass => AnsiColor::Green,
        Status::Regressed => AnsiColor::Red,
        Status::Error => AnsiColor::Magenta,
        Status::Suspect | Status::Inconclusive | Status::NoData => AnsiColor::Yellow,
    };
    Style::new().fg_color(Some(colour.into()))
}

struct TableColumn {
    title: &'static str,
    text: fn(&MetricRow) -> String,
    right: bool,
    width: usize,
}

impl TableColumn {
    fn cell(&self, row: &MetricRow) -> String {
        truncate(&(self.text)(row), self.width)
    }
}

/// The table's columns, fitted to the terminal.
struct TableColumns(Vec<TableColumn>);

impl TableColumns {
    /// In a narrow terminal the limit loses its smaller print, long names are cut, and the last columns are left out: `n` first, then
    /// the limit and the mode. The sections below the table repeat what a reader of a metric that did not pass needs.
    fn fit(rows: &[MetricRow], available: usize) -> Self {
        let column = |title, text, right| TableColumn { title, text, right, width: 0 };
        let mut columns = vec![
            column("STATUS", |row| row.status_word.clone(), false),
            column("METRIC", |row| row.name.clone(), false),
            column("BASE → CANARY", MetricRow::levels, false),
            column("SHIFT", |row| row.change_percent.clone(), true),
            column("MODE", |row| row.mode.to_owned(), false),
            column("LIMIT", |row| row.limit.clone(), false),
            column("N", |row| row.n.clone(), false),
        ];
        let widest = |column: &TableColumn| rows.iter().map(|row| (column.text)(row).width()).max().unwrap_or(0).max(column.title.width());
        for column in &mut columns {
            column.width = widest(column);
        }
        let total = |columns: &[TableColumn]| columns.iter().map(|column| column.width).sum::<usize>() + GAP.len() * (columns.len() - 1);
        if total(&columns) > available {
            columns[5].text = |row| row.limit_short.clone();
            columns[5].width = widest(&columns[5]);
        }
        while total(&columns) > available {
            let excess = total(&columns) - available;
            let spare = columns[1].width.saturating_sub(SHORTEST_NAME);
            if excess > spare && columns.len() > 4 {
                columns.pop();
                continue;
            }
            columns[1].width -= excess.min(spare);
            columns[2].width = columns[2].width.saturating_sub(excess.saturating_sub(spare));
            break;
        }
        Self(columns)
    }

    fn line(&self, cell: impl Fn(&TableColumn) -> String) -> String {
        let cells = self.0.iter().map(|column| {
            let text = cell(column);
            let padding = " ".repeat(column.width.saturating_sub(text.width()));
            if column.right { format!("{padding}{text}") } else { format!("{text}{padding}") }
        });
        cells.collect::<Vec<_>>().join(GAP)
    }
}
