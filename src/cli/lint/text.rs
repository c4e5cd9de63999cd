//! What lint found, as a person reads it: what is wrong first, then a picture of every metric.

use anstyle::{AnsiColor, Style};
use haldane_judges::config::{Direction, Kind};
use haldane_judges::evidence::Arm;
use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::histogram::PictureRow;
use super::inspect::{ArmReport, MetricReport, Totals, listed};
use super::profile::{Gap, Place, Profile, Values};
use super::report::{FileReport, Report, StoreTrial};
use crate::lint::{LintFinding, Severity};
use crate::report::format::{self, Unit, clean, seconds, truncate};
use crate::report::sparkline::{points_per_column, sparkline};
use crate::report::{Page, Terminal};

/// Narrowest layout; a narrower terminal wraps the lines itself.
const NARROWEST: usize = 60;
/// Widest layout: longer lines are hard to read.
const WIDEST: usize = 100;
/// Columns of a sparkline, at most.
const WIDEST_SPARKLINE: usize = 60;
/// Columns before a metric's picture, which hold the arm.
const LABEL: usize = 14;
/// Columns before a finding, which hold its severity.
const SEVERITY: usize = 11;
const GAP: &str = "  ";
/// Longest text in backticks that is never broken, in bytes.
const SHORT: usize = 30;
/// Before a note that stands with its metric.
const NOTE: &str = "    - ";
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Renders for a terminal.
pub(super) fn render(report: &Report, terminal: Terminal) -> String {
    // Scopes and pods have hyphens, at which they are not to be broken.
    let mut page = Page::new(terminal, NARROWEST..=WIDEST);
    for file in &report.files {
        page.file(file);
    }
    let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let parts = [counted(report.files.len(), "file"), counted(report.errors, "error"), counted(report.warnings, "warning")];
    page.line(&parts.join(", "));
    page.into_text()
}

impl Page {
    fn file(&mut self, file: &FileReport) {
        if file.findings.is_empty() && file.tried.is_none() {
            return;
        }
        let name = self.paint(BOLD, &file.file);
        self.line(&name);
        // What is no trouble, and of one metric, stands with its picture.
        let pictured = |finding: &&LintFinding| {
            let metrics = || file.tried.iter().flat_map(|tried| &tried.metrics);
            let drawn = |name: &String| metrics().any(|metric| metric.name == *name && metric.is_drawn());
            finding.severity == Severity::Note && finding.metric.as_ref().is_some_and(drawn)
        };
        for finding in file.findings.iter().filter(|finding| !pictured(finding)) {
            self.finding(finding);
        }
        if let Some(tried) = &file.tried {
            self.tried(tried, &file.findings.iter().filter(pictured).collect::<Vec<_>>());
        }
        self.line("");
    }

    fn finding(&mut self, finding: &LintFinding) {
        let style = match finding.severity {
            Severity::Error => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
            Severity::Warning => Style::new().bold().fg_color(Some(AnsiColor::Yellow.into())),
            Severity::Note => BOLD,
        };
        let room = self.width - SEVERITY;
        let joined = |parts: [&str; 2], by: &str| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(by);
        let (name, pointer) = (clean(finding.metric.as_deref().unwrap_or_default()), clean(&finding.pointer));
        let arms = arms_of(&finding.arms).unwrap_or_default();
        let who = joined([&name, &arms], ", ");
        // A name that fills the line leaves the arms to the next one.
        let (who, pointer) = if who.width() <= room { (who, pointer) } else { (truncate(&name, room), joined([&arms, &pointer], GAP)) };
        let pointer = truncate(&pointer, room);
        let gap = match (who.is_empty() || pointer.is_empty(), who.width() + GAP.len() + pointer.width() <= room) {
            (true, _) => String::new(),
            (false, true) => GAP.to_owned(),
            (false, false) => format!("\n{}", " ".repeat(SEVERITY)),
        };
        let word = finding.severity.word();
        let padding = " ".repeat(SEVERITY - 2 - word.len());
        self.line("");
        if who.is_empty() && pointer.is_empty() {
            let indent = " ".repeat(SEVERITY);
            for (i, line) in broken(&clean(&finding.message), self.width - SEVERITY).iter().enumerate() {
                let word = if i == 0 { format!("  {}{padding}", self.paint(style, word)) } else { indent.clone() };
                self.line(&format!("{word}{line}"));
            }
            return;
        }
        let line = format!("  {}{padding}{}{gap}{}", self.paint(style, word), self.paint(BOLD, &who), self.paint(DIM, &pointer));
        self.line(&line);
        for line in broken(&clean(&finding.message), self.width - SEVERITY) {
            self.line(&format!("{}{line}", " ".repeat(SEVERITY)));
        }
    }

    fn tried(&mut self, tried: &StoreTrial, notes: &[&LintFinding]) {
        // A metric without any points has been spoken of.
        let drawn: Vec<&MetricReport> = tried.metrics.iter().filter(|metric| metric.is_drawn()).collect();
        if drawn.is_empty() {
            return;
        }
        let window = tried.window;
        let time =
            |second: i64, pattern: &str| Timestamp::from_second(second).map(|time| time.strftime(pattern).to_string()).unwrap_or_default();
        let (from, to) = (time(window.start, "%Y-%m-%d %H:%M:%S"), time(window.end, "%H:%M:%S"));
        let step = seconds(u64::from(window.step_seconds));
        let (source, baseline, canary) = (clean(&tried.source), clean(&tried.baseline), clean(&tried.canary));
        self.line("");
        let kind = if source == tried.store { String::new() } else { format!(" ({})", tried.store) };
        self.wrapped("  ", &format!("{} points {step} apart, {from} to {to} UTC", window.len()));
        self.wrapped("  ", &format!("baseline `{baseline}` and canary `{canary}`, from `{source}`{kind}"));
        for metric in drawn {
            let notes = notes.iter().filter(|note| note.metric.as_deref() == Some(metric.name.as_str())).copied().collect::<Vec<_>>();
            self.picture(metric, window.step_seconds, &notes);
        }
        let columns = points_per_column(window.len(), self.sparkline_width());
        let mean = if columns > 1 { format!(" each column the mean of {columns} points,") } else { String::new() };
        self.line("");
        let legend = format!(
            "Both arms are drawn on one scale,{mean} with gaps left blank. GAP: the longest. EVERY: distance between points. EQUAL: points \
                 that equal another. LAG-1: autocorrelation of neighbours. WORTH: independent points that they are worth."
        );
        for line in self.wrap("  ", &legend) {
            let line = self.paint(DIM, &line);
            self.line(&line);
        }
    }

    fn sparkline_width(&self) -> usize {
        WIDEST_SPARKLINE.min(self.width - LABEL)
    }

    fn picture(&mut self, metric: &MetricReport, step_seconds: u32, notes: &[&LintFinding]) {
        let worse = match metric.direction {
            Direction::Increase => "a rise is worse",
            Direction::Decrease => "a fall is worse",
            Direction::Either => "any change is worse",
        };
        let arms = metric.arms();
        let values: Vec<Values> = arms.iter().filter_map(|(_, arm)| arm.values()).collect();
        let scale = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v.min), high.max(v.max)));
        let (cells, unit) = metric.written.table(&values.iter().flat_map(|v| [v.min, v.median, v.max]).collect::<Vec<_>>());
        let about = if unit.is_empty() { worse.to_owned() } else { format!("in {unit}, {worse}") };
        let name = truncate(&clean(&metric.name), self.width - 2);
        self.line("");
        let fits = 2 + name.width() + GAP.len() + about.width() <= self.width;
        let gap = if fits { GAP } else { "\n    " };
        let line = format!("  {}{gap}{}", self.paint(BOLD, &name), self.paint(DIM, &about));
        self.line(&line);
        for (arm, report) in arms {
            let drawn = match &report.profile {
                None => "not to be judged".to_owned(),
                Some(profile) if profile.present == 0 => "no points".to_owned(),
                Some(_) => sparkline(&report.points, points_per_column(report.points.len(), self.sparkline_width()), scale),
            };
            self.line(&format!("{}{drawn}", label(arm)));
        }
        self.figures(metric, step_seconds, &cells);
        if let Some(histogram) = &metric.buckets {
            // A ratio of them is in per cent, and its bounds are not.
            self.histogram(&histogram.rows(&format::unit_named(Kind::Distribution, metric.unit.as_deref(), true)));
        }
        for (arm, report) in arms {
            if let Some(counts) = report.counts.filter(|counts| counts.points > 0) {
                self.wrapped(&label(arm), &totals(counts, &metric.written));
            }
        }
        for (arm, report) in arms {
            for query in report.queries.iter().filter(|query| query.series > 1 && metric.buckets.is_none()) {
                let by = query.labels.iter().map(|label| truncate(&clean(label), 40)).collect::<Vec<_>>().join(", ");
                let names = query.names.iter().map(|name| clean(name)).collect::<Vec<_>>();
                self.wrapped(&label(arm), &format!("{} series by {by}: {}", query.series, listed(&names, query.series)));
            }
        }
        for note in notes {
            let arms = arms_of(&note.arms).map(|arms| format!("{arms}: ")).unwrap_or_default();
            for (i, line) in broken(&clean(&format!("{arms}{}", note.message)), self.width - NOTE.len()).iter().enumerate() {
                self.line(&format!("{}{line}", if i == 0 { NOTE } else { "      " }));
            }
        }
    }

    /// A line for each bucket, with a bar for the share of each arm's requests that lies in it.
    fn histogram(&mut self, rows: &[PictureRow]) {
        const SHARE: usize = 6;
        let lies = rows.iter().map(|row| row.lies.width()).max().unwrap_or(0).max("REQUESTS".len());
        let room = (self.width.saturating_sub(4 + lies + 2 * (GAP.len() + SHARE + 1)) / 2).clamp(4, 24);
        let most = rows.iter().flat_map(|row| row.shares).fold(0.0, f64::max);
        let head = format!("    {:lies$}{GAP}{:width$}{GAP}{}", "REQUESTS", "BASELINE", "CANARY", width = room + SHARE + 1);
        let head = self.paint(DIM, &head);
        self.line(&head);
        for row in rows {
            let [baseline, canary] = row.shares.map(|share| {
                let eighths = (share / most * 8.0 * room as f64).round() as usize;
                let bar: String =
                    "█".repeat(eighths / 8) + ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"].get(eighths % 8).copied().unwrap_or_default();
                let shown = if share > 0.0 { format::percent((share * 1000.0).round() / 1000.0) } else { "-".to_owned() };
                format!("{shown:>SHARE$} {bar:room$}")
            });
            self.line(format!("    {:>lies$}{GAP}{baseline}{GAP}{canary}", row.lies).trim_end());
        }
    }

    fn figures<'a>(&mut self, metric: &'a MetricReport, step_seconds: u32, values: &[String]) {
        let row = |(arm, report): (Arm, &'a ArmReport)| Some((arm, report, report.profile.as_ref()?, report.values()?));
        let rows: Vec<(Arm, &ArmReport, &Profile, Values)> = metric.arms().into_iter().filter_map(row).collect();
        if rows.is_empty() {
            return;
        }
        let value = |place: usize| values.iter().skip(place).step_by(3).cloned().collect::<Vec<String>>();
        // Of what is constant nothing is known.
        let dependence = |v: &Values, text: String| if v.distinct == 1 { "-".to_owned() } else { text };
        let mut columns: Vec<TitledColumn> = vec![
            ("POINTS", rows.iter().map(|(_, _, p, _)| format!("{}/{}", p.present, p.expected)).collect()),
            ("GAP", rows.iter().map(|(_, _, p, _)| gap(p.longest_gap, step_seconds)).collect()),
            ("EVERY", rows.iter().map(|(_, arm, ..)| arm.resolution_seconds.map_or_else(|| "-".to_owned(), seconds)).collect()),
            ("MIN", value(0)),
            ("MEDIAN", value(1)),
            ("MAX", value(2)),
            ("EQUAL", rows.iter().map(|(.., v)| format::percent((v.tied * 100.0).round() / 100.0)).collect()),
            ("LAG-1", rows.iter().map(|(.., v)| dependence(v, format!("{:.2}", v.lag1))).collect()),
            ("WORTH", rows.iter().map(|(.., v)| dependence(v, format!("{:.0}", v.effective))).collect()),
        ];
        // What says least goes first where there is no room; JSON has it all.
        for spare in ["LAG-1", "EVERY", "EQUAL", "GAP", "WORTH"] {
            if columns.iter().map(width).sum::<usize>() + GAP.len() * (columns.len() - 1) > self.width - LABEL {
                columns.retain(|(title, _)| *title != spare);
            }
        }
        let line = |cell: &dyn Fn(&TitledColumn) -> String| {
            let cells = columns.iter().map(|column| {
                let text = cell(column);
                format!("{}{text}", " ".repeat(width(column).saturating_sub(text.width())))
            });
            cells.collect::<Vec<_>>().join(GAP)
        };
        let header = self.paint(DIM, &line(&|(title, _)| (*title).to_owned()));
        self.line(&format!("{}{header}", " ".repeat(LABEL)));
        for (i, (arm, ..)) in rows.iter().enumerate() {
            self.line(&format!("{}{}", label(*arm), line(&|(_, cells)| cells[i].clone())));
        }
    }
}

/// A column's title and its cells.
type TitledColumn = (&'static str, Vec<String>);

fn width(column: &TitledColumn) -> usize {
    column.1.iter().map(|cell| cell.width()).max().unwrap_or(0).max(column.0.width())
}

impl MetricReport {
    /// Whether there is anything to draw.
    fn is_drawn(&self) -> bool {
        self.arms().iter().any(|(_, arm)| arm.values().is_some())
    }

    fn arms(&self) -> [(Arm, &ArmReport); 2] {
        [(Arm::Baseline, &self.baseline), (Arm::Canary, &self.canary)]
    }
}

impl ArmReport {
    fn values(&self) -> Option<Values> {
        self.profile.as_ref()?.values
    }
}

/// A text's lines. A query within it is broken where it could be written so: never within quotes, where a break would look like a space
/// of the query's. A quoted text that is longer than a line stays whole.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut push = |piece: &str, space: bool| {
        let Some(line) = lines.last_mut() else { return };
        let gap = usize::from(space && !line.is_empty());
        if line.is_empty() || line.width() + gap + piece.width() <= width {
            line.push_str(&" "[..gap]);
            line.push_str(piece);
        } else {
            lines.push(piece.to_owned());
        }
    };
    for (word, in_query) in words(text) {
        if word.width() <= width {
            push(word, true);
            continue;
        }
        for (i, piece) in pieces(word, in_query).into_iter().enumerate() {
            let mut rest = piece;
            // What is no query may be broken anywhere.
            while rest.width() > width && !rest.contains(['"', '\'']) {
                let fits = rest.char_indices().find(|(at, c)| rest[..at + c.len_utf8()].width() > width).map_or(rest.len(), |(at, _)| at);
                push(&rest[..fits], i == 0);
                rest = &rest[fits..];
            }
            push(rest, i == 0);
        }
    }
    lines
}

/// What is between white space, of which that within a query's quotes is a part of the query; and whether it begins within a query.
fn words(text: &str) -> Vec<(&str, bool)> {
    let (mut words, mut begun, mut quoting) = (Vec::new(), (0, false), Quoting::default());
    // Where a short text in backticks ends, such as a field and its value, which stays whole.
    let mut short_until = 0;
    for (at, c) in text.char_indices() {
        if c == '`' && !quoting.in_query {
            let length = text[at + 1..].find('`').filter(|length| *length <= SHORT);
            short_until = length.map_or(short_until, |length| at + 1 + length);
        }
        quoting.read(c);
        if c.is_whitespace() && quoting.quote.is_none() && at > short_until {
            words.push((&text[begun.0..at], begun.1));
            begun = (at + c.len_utf8(), quoting.in_query);
        }
    }
    words.push((&text[begun.0..], begun.1));
    words.retain(|(word, _)| !word.is_empty());
    words
}

/// A word's parts between which a query may be broken: after commas, parentheses and braces outside of quotes.
fn pieces(word: &str, in_query: bool) -> Vec<&str> {
    let (mut pieces, mut begun, mut quoting) = (Vec::new(), 0, Quoting { in_query, ..Quoting::default() });
    for (at, c) in word.char_indices() {
        quoting.read(c);
        if quoting.quote.is_none() && matches!(c, ',' | '(' | ')' | '{' | '}') {
            let end = at + c.len_utf8();
            pieces.push(&word[begun..end]);
            begun = end;
        }
    }
    pieces.push(&word[begun..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Where in a message a query's quotes are open. A message has queries in backticks; quotes elsewhere are apostrophes.
#[derive(Default)]
struct Quoting {
    in_query: bool,
    quote: Option<char>,
    escaped: bool,
}

impl Quoting {
    fn read(&mut self, c: char) {
        match (self.quote, c) {
            (Some(_), _) if self.escaped => self.escaped = false,
            (Some(_), '\\') => self.escaped = true,
            (Some(quote), c) if c == quote => self.quote = None,
            // A query that was cut off ends with an ellipsis.
            (Some(_), '…') => self.quote = None,
            (Some(_), _) => {}
            (None, '`') => self.in_query = !self.in_query,
            (None, '"' | '\'') if self.in_query => self.quote = Some(c),
            (None, _) => {}
        }
    }
}

/// `    baseline  `.
fn label(arm: Arm) -> String {
    format!("    {:<width$}", arm.to_string(), width = LABEL - 4)
}

fn arms_of(arms: &[Arm]) -> Option<String> {
    match arms {
        [] => None,
        [arm] => Some(arm.to_string()),
        _ => Some("both arms".to_owned()),
    }
}

/// The longest gap: `2m at end`.
fn gap(gap: Option<Gap>, step_seconds: u32) -> String {
    let Some(Gap { points, at }) = gap else { return "none".to_owned() };
    let at = match at {
        Place::Start => "start",
        Place::Middle => "mid",
        Place::End => "end",
        Place::Everywhere => "all",
    };
    format!("{} {at}", seconds(points as u64 * u64::from(step_seconds)))
}

/// Events out of their total: `12 of 6034 (0.199 %); 0.4 of 201 a point`.
fn totals(counts: Totals, unit: &Unit) -> String {
    let rate = counts.rate().map(|rate| format!(" ({})", unit.value(rate))).unwrap_or_default();
    let each = |sum: f64| format::count(sum / counts.points as f64);
    format!(
        "{} of {}{rate}; {} of {} a point",
        format::count(counts.events),
        format::count(counts.total),
        each(counts.events),
        each(counts.total)
    )
}

#[cfg(test)]
mod tests {
    use haldane_judges::config::Kind;

    use super::super::inspect::QueryReport;
    use super::*;
    use crate::source::Window;

    fn arm(points: Vec<f64>, counts: Option<Totals>, name: &str) -> ArmReport {
        let query = QueryReport {
            role: "value",
            text: None,
            series: 5,
            labels: vec!["pod".to_owned()],
            names: vec![name.to_owned(), "pod=\"b\"".to_owned()],
            took_ms: 1,
            error: None,
        };
        let resolution_seconds = crate::analysis::stride(std::iter::once(points.as_slice())).map(|stride| stride as u64 * 60);
        ArmReport { queries: vec![query], profile: Some(Profile::of(&points)), resolution_seconds, held_points: None, counts, points }
    }

    fn report(name: &str, unit: Option<&str>, points: [Vec<f64>; 2], findings: Vec<LintFinding>) -> Report {
        let window = Window { start: 0, end: points[0].len() as i64 * 60, step_seconds: 60 };
        let [baseline, canary] = points.map(|points| arm(points, None, name));
        let written = format::unit_named(Kind::Value, unit, false);
        let metric =
            MetricReport { name: name.to_owned(), unit: None, direction: Direction::Increase, baseline, canary, buckets: None, written };
        let tried = StoreTrial {
            source: name.to_owned(),
            store: "any",
            window,
            settle_seconds: 60,
            baseline: name.to_owned(),
            canary: name.to_owned(),
            queries: 2,
            unreachable: 0,
            metrics: vec![metric],
        };
        let file = FileReport { file: "canary.yaml".to_owned(), findings, tried: Some(tried) };
        Report { errors: 0, warnings: 1, files: vec![file] }
    }

    fn wandering(n: usize, level: f64) -> Vec<f64> {
        (0..n).map(|i| level * (1.0 + (i as f64 / 7.0).sin() / 9.0)).collect()
    }

    const PLAIN: Terminal = Terminal { width: 80, colour: false };

    #[test]
    fn what_is_wrong_comes_first_and_notes_stand_with_their_metric() {
        let findings = vec![
            LintFinding::warning("/metrics/0", "late").on("latency").of(Arm::Canary),
            LintFinding::note("/metrics/0", "half are 0").on("latency"),
            LintFinding::note("/metrics/1", "of another"),
        ];
        let text = render(&report("latency", Some("ms"), [vec![0.0, 8.0, f64::NAN, 4.0], vec![8.0; 4]], findings), PLAIN);
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part:?} is not in\n{text}"));
        let order = [
            "canary.yaml\n",
            "  warning  latency, canary  /metrics/0\n           late\n",
            "  note     /metrics/1\n           of another\n",
            "  4 points 1m apart, 1970-01-01 00:00:00 to 00:04:00 UTC\n",
            "  latency  in ms, a rise is worse\n    baseline  ▁█ ▅\n    canary    ████\n",
            "    baseline     3/4  1m mid      -    0       4    8    0 %   0.30      2\n",
            "    canary       4/4    none      -    8       8    8  100 %      -      -\n",
            "    - half are 0\n",
            "1 file, 0 errors, 1 warning\n",
        ];
        assert!(order.map(place).is_sorted(), "{text}");
    }

    #[test]
    fn nothing_foreign_reaches_the_terminal_and_colour_adds_nothing_but_colour() {
        let hostile = "x\u{1b}[31m\u{202e}\n\u{9b}y";
        let findings = vec![LintFinding::warning(&format!("/{hostile}"), hostile).on(hostile), LintFinding::note("", hostile)];
        let report = report(hostile, Some(hostile), [wandering(30, 1.0), wandering(30, 2.0)], findings);
        let plain = render(&report, PLAIN);
        assert!(!plain.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{plain}");
        let coloured = render(&report, Terminal { colour: true, ..PLAIN });
        assert_ne!(coloured, plain);
        let mut stripped = String::new();
        for (i, part) in coloured.split("\u{1b}[").enumerate() {
            stripped.push_str(if i == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_whatever_the_values() {
        let long = "a-name-that-is-longer-than-any-terminal-is-wide-".repeat(4);
        for unit in [None, Some("ms"), Some("bytes"), Some("a-long-unit-of-measure")] {
            for (n, level) in [(1, 0.0), (30, 123_456.0), (11_000, 1.234e-7), (720, -9.87e300)] {
                for width in [60, 80, 100] {
                    let findings = vec![LintFinding::warning("/metrics/0/queries/prometheus/denominator", "a word ".repeat(60)).on(&long)];
                    let report = report(&long, unit, [wandering(n, level), wandering(n, level * 3.0)], findings);
                    let text = render(&report, Terminal { width, colour: false });
                    for line in text.lines() {
                        assert!(line.width() <= width, "{width} columns: {line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn figures_of_any_size_and_sign_end_under_their_titles() {
        for (baseline, canary) in [(1.25e12, -1.0), (-3.5e12, 2e-9), (-0.5, 7.0), (0.0, -123_456.0)] {
            for n in [12, 11_000] {
                let mut points = [wandering(n, baseline), wandering(n, canary)];
                points[1][2..5].fill(f64::NAN);
                let text = render(&report("balance", None, points, Vec::new()), PLAIN);
                let header = text.lines().position(|line| line.trim_start().starts_with("POINTS")).unwrap();
                let widths: Vec<usize> = text.lines().skip(header).take(3).map(UnicodeWidthStr::width).collect();
                assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
            }
        }
    }

    #[test]
    fn a_long_name_is_whole_where_a_line_holds_it_and_the_arm_is_never_cut_off() {
        let name = "checkout-service/payment-provider/card-authorisation-latency-p99-ms";
        let pointer = "/metrics/11/queries/prometheus/denominator";
        let finding = |name: &str| LintFinding::warning(pointer, "late").on(name).of(Arm::Baseline).of(Arm::Canary);
        let text = render(&report(name, Some("ms"), [wandering(30, 1.0), wandering(30, 2.0)], vec![finding(&name[..50])]), PLAIN);
        let expected = [
            format!("  warning  {}, both arms\n           {pointer}\n           late\n", &name[..50]),
            format!("  {name}\n    in ms, a rise is worse\n    baseline  "),
        ];
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
        let text = render(&report("x", None, [wandering(30, 1.0), wandering(30, 2.0)], vec![finding(name)]), PLAIN);
        let cut = format!("  warning  {name}\n           both arms  {pointer}\n           late\n");
        assert!(text.contains(&cut), "{text}");
    }

    #[test]
    fn a_query_is_never_broken_within_its_quotes() {
        let query = r#"sum by (le) (rate(http_server_request_duration_seconds_bucket{container="server ", app='my shop', pod=~"checkout-[a-z0-9]+ ?"}[5m]))"#;
        let message = format!("the metric store's words: it refused the query `{query}`, which isn't right");
        for width in 20..110 {
            let lines = broken(&message, width);
            for quoted in ["container=\"server \"", "app='my shop'", "pod=~\"checkout-[a-z0-9]+ ?\""] {
                assert!(lines.iter().any(|line| line.contains(quoted)), "{width}: {lines:#?}");
            }
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeezed(&lines.concat()), squeezed(&message), "{width}");
            let long = lines.iter().filter(|line| line.width() > width).count();
            assert!(long <= 2, "{width}: {lines:#?}");
        }
        assert_eq!(broken("make it `kind: ratio`, or leave it", 18), ["make it", "`kind: ratio`, or", "leave it"]);
        assert_eq!(broken("a word too-long-for-it", 8), ["a word", "too-long", "-for-it"]);
    }

    #[test]
    fn a_file_without_findings_is_only_counted() {
        let file = FileReport { file: "canary.yaml".to_owned(), findings: Vec::new(), tried: None };
        assert_eq!(render(&Report { errors: 0, warnings: 0, files: vec![file] }, PLAIN), "1 file, 0 errors, 0 warnings\n");
    }
}
