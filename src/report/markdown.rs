//! A scorecard for a pull-request comment or a CI step summary (GitHub-flavoured Markdown).

use std::fmt::Write as _;

use haldane_judges::Verdict;
use haldane_judges::scorecard::Status;

use super::past::past_since;
use super::view::{MetricRow, View};
use crate::analysis::Scorecard;

/// Renders GitHub-flavoured Markdown.
#[must_use]
pub fn markdown(card: &Scorecard) -> String {
    let view = View::new(card);
    let mut page = MarkdownPage::default();
    let mark = match view.verdict {
        Verdict::Pass => "✅",
        Verdict::Marginal => "⚠️",
        Verdict::Fail => "❌",
    };
    page.line(match &view.subject {
        Some(subject) => format!("## {mark} {}: canary {}, {}", escape(subject), view.verdict, view.score),
        None => format!("## {mark} Canary {}: {}", view.verdict, view.score),
    });
    page.blank();
    if let Some(banner) = &view.banner {
        page.line(format!("> **{}**", escape(banner)));
        page.blank();
    }
    page.line(escape(&view.summary));
    page.blank();
    for (reason, sentence) in &view.reasons {
        page.line(format!("- **{}**: {}", escape(reason), escape(sentence)));
    }
    if !view.reasons.is_empty() {
        page.blank();
    }
    page.line(format!("**Recommendation:** {}", escape(&view.recommendation)));
    page.blank();
    page.list("", &view.remedies);
    page.list("Warning: ", &view.warnings);
    table(&mut page, &view.rows);
    for (place, row) in view.rows.iter().enumerate().filter(|(_, row)| !row.is_plain_pass()) {
        metric(&mut page, row, past_since(card, place));
    }
    page.line("<details><summary>Evidence</summary>");
    page.blank();
    for (name, score, weight) in view.groups.iter().filter(|_| view.groups.len() > 1) {
        page.line(format!("- Group {}: {score}, weight {weight}", escape(name)));
    }
    for (label, value) in &view.facts {
        page.line(format!("- {label}: {}", escape(value)));
    }
    page.blank();
    page.line("</details>");
    page.0
}

fn table(page: &mut MarkdownPage, rows: &[MetricRow]) {
    if rows.is_empty() {
        return;
    }
    page.line("| Status | Metric | Level, baseline → canary | Shift | Mode | Limit | n |");
    page.line("|---|---|---|--:|---|---|--:|");
    for row in rows {
        let cells = [&row.name, &row.levels(), &row.change_percent].map(|cell| escape(cell)).join(" | ");
        let rest = [escape(row.mode), escape(&row.limit), escape(&row.n)].join(" | ");
        page.line(format!("| {} {} | {cells} | {rest} |", mark(row.status), escape(&row.status_word)));
    }
    page.blank();
}

fn metric(page: &mut MarkdownPage, row: &MetricRow, since: Option<String>) {
    let flags = if row.flags.is_empty() { String::new() } else { format!(" ({})", row.flags.join(", ")) };
    page.line(format!("### {} {}: {}{flags}", mark(row.status), escape(&row.name), escape(&row.status_word)));
    page.blank();
    page.line(escape(&row.sentence));
    page.blank();
    if let Some(since) = since {
        page.line(format!("Past its limit since {since}."));
        page.blank();
    }
    page.list("Guard: ", &row.guards);
    page.list("To settle it: ", &row.remedies);
    page.list("Warning: ", &row.warnings);
    if row.evidence.is_empty() && row.queries.is_empty() {
        return;
    }
    page.line(format!("<details><summary>Numbers (reason {})</summary>", escape(&row.reason)));
    page.blank();
    page.list("", &row.evidence);
    for (what, query) in &row.queries {
        page.line(format!("- Query, {}: <code>{}</code>", escape(what), escape(query)));
    }
    if !row.queries.is_empty() {
        page.blank();
    }
    page.line("</details>");
    page.blank();
}

fn mark(status: Status) -> &'static str {
    match status {
        Status::Pass => "✅",
        Status::Regressed => "❌",
        Status::Error => "🛑",
        Status::Suspect => "⚠️",
        Status::Inconclusive | Status::NoData => "❔",
    }
}

#[derive(Default)]
struct MarkdownPage(String);

impl MarkdownPage {
    fn line(&mut self, text: impl AsRef<str>) {
        self.0.push_str(text.as_ref().trim_end());
        self.0.push('\n');
    }

    fn blank(&mut self) {
        self.0.push('\n');
    }

    fn list(&mut self, label: &str, lines: &[String]) {
        for line in lines {
            self.line(format!("- {label}{}", escape(line)));
        }
        if !lines.is_empty() {
            self.blank();
        }
    }
}

/// Foreign text as Markdown that shows it literally. HTML cannot be opened, a table cell cannot end, and nobody is mentioned: GitHub looks
/// for `@name` after rendering, so that only something between the two keeps it from finding one.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("@<!-- -->"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                let _ = write!(out, "\\{c}");
            }
            c => out.push(c),
        }
    }
    out
}
