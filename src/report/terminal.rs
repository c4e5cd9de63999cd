//! A scorecard on one screen: a line for each metric, worst first, and at its end the verdict, what to do and the link.
//!
//! Seven metrics fit 24 lines of 100 columns. Everything else that a scorecard holds is in [`verbose`](mod@super::verbose), and how one metric
//! was judged in [`explain`](mod@super::explain).

use std::collections::BTreeMap;

use anstyle::Style;
use haldane_judges::evidence::Comparison;
use haldane_judges::scorecard::{MetricResult, VerdictReason};
use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::format::{self, clean, truncate};
use super::limit_bar::{self, LimitBar};
use super::page::{Page, Terminal};
use super::past::{drawn, past_since, provenance};
use super::series::DrawnSeries;
use super::sparkline::{points_per_column, sparkline};
use super::verbose::style;
use super::view::{MetricRow, View};
use crate::analysis::{Scorecard, WindowSpan};

/// Narrowest layout; a narrower terminal wraps the lines itself.
const NARROWEST: usize = 40;
/// Widest layout: longer lines are hard to read.
const WIDEST: usize = 140;
const GAP: &str = "  ";
/// Columns of a sparkline, and of a limit on the bar's scale: the first at which the names fit is taken.
const LAYOUTS: [(usize, usize); 8] = [(16, 8), (12, 7), (10, 6), (8, 5), (8, 4), (6, 4), (0, 4), (0, 0)];
/// A longer name is cut before anything else gives way.
const LONGEST_NAME: usize = 28;
/// A name is not cut below this.
const SHORTEST_NAME: usize = 12;
/// Widest text of a shift or a limit.
const LONGEST_SHIFT: usize = 14;
/// Columns of a sentence that takes the place of a shift, at least.
const SHORTEST_SENTENCE: usize = 30;
/// Lines of what is said about metrics and the canary, so that seven metrics and all of it fit 24.
const LINES_SAID: usize = 6;
/// Lines of one sentence, and of what to do.
const LINES_OF_ONE: usize = 2;

/// Renders the least that a person decides by.
#[must_use]
pub fn terminal(card: &Scorecard, terminal: Terminal) -> String {
    let view = View::new(card);
    let mut page = Page::new(terminal, NARROWEST..=WIDEST);
    let mut rows: Vec<MetricLine<'_>> =
        view.rows.iter().zip(&card.judgement.metrics).enumerate().map(|(place, both)| MetricLine::of(place, both, card)).collect();
    rows.sort_by(|a, b| a.metric.worst_first(b.metric));
    page.about(card);
    let layout = LineLayout::of(&rows, page.width);
    page.rows(&rows, layout);
    page.said(&view, card, &rows, layout);
    page.line("");
    page.ending(&view, card, LINES_OF_ONE);
    page.into_text()
}

/// A metric with what its line shows.
struct MetricLine<'a> {
    /// Its place in the config.
    place: usize,
    metric: &'a MetricResult,
    row: &'a MetricRow,
    /// Both arms, where the scorecard carries them.
    points: Option<DrawnSeries>,
    /// How far it went towards its limit; `None` where the finding's sentence alone says it.
    bar: Option<LimitBar>,
}

impl<'a> MetricLine<'a> {
    fn of(place: usize, (row, metric): (&'a MetricRow, &'a MetricResult), card: &Scorecard) -> Self {
        let is_carried = provenance(card, place).is_some_and(|data| data.samples.is_some());
        let points = if is_carried { drawn(card, place) } else { None };
        Self { place, metric, row, points, bar: LimitBar::of(metric, &format::unit_of(metric)) }
    }
}

/// Columns of the parts of a line; a part without columns is left out.
#[derive(Debug, Clone, Copy)]
struct LineLayout {
    status: usize,
    name: usize,
    spark: usize,
    /// A limit on the bar's scale.
    unit: usize,
    shift: usize,
    limit: usize,
}

impl LineLayout {
    fn of(lines: &[MetricLine<'_>], width: usize) -> Self {
        let widest = |text: &dyn Fn(&MetricLine<'_>) -> usize| lines.iter().map(text).max().unwrap_or(0);
        let of_bar = |text: &dyn Fn(&LimitBar) -> usize| widest(&|line| line.bar.as_ref().map_or(0, text));
        let name = widest(&|line| line.row.name.width()).max("METRIC".len());
        let has_points = lines.iter().any(|line| line.points.is_some());
        let has_bar = lines.iter().any(|line| line.bar.as_ref().is_some_and(|bar| bar.times.is_some()));
        // A column that is empty throughout is left out.
        let fitted = |widest: usize, title: &str| if widest > 0 { widest.clamp(title.len(), LONGEST_SHIFT) } else { 0 };
        let plain = Self {
            status: widest(&|line| line.row.status_word.width()).max("STATUS".len()),
            name,
            spark: 0,
            unit: 0,
            shift: fitted(of_bar(&|bar| bar.shift.width()), "SHIFT"),
            limit: fitted(of_bar(&|bar| bar.limit.width()), "LIMIT"),
        };
        let sentence = if lines.iter().any(|line| line.bar.is_none()) { SHORTEST_SENTENCE } else { 0 };
        let layouts = LAYOUTS.map(|(spark, unit)| {
            let (spark, unit) = (if has_points { spark } else { 0 }, if has_bar { unit } else { 0 });
            let layout = Self { spark, unit, ..plain };
            let left = width.saturating_sub(layout.width().max(layout.before() + sentence) - layout.name);
            Self { name: name.min(left), ..layout }
        });
        let fits = |wanted: usize| layouts.iter().copied().find(|layout| layout.name >= wanted);
        fits(name.min(LONGEST_NAME)).or_else(|| fits(SHORTEST_NAME)).unwrap_or(Self {
            limit: 0,
            name: SHORTEST_NAME,
            shift: plain.shift.min(SHORTEST_NAME),
            ..plain
        })
    }

    fn width(&self) -> usize {
        let Self { status, name, spark, unit, shift, limit } = *self;
        let bar = if unit > 0 { limit_bar::width(unit) } else { 0 };
        let parts = [status, name, spark, spark, shift, bar, limit];
        parts.iter().sum::<usize>() + GAP.len() * (parts.iter().filter(|part| **part > 0).count().saturating_sub(1))
    }

    /// Columns before the shift, or before the sentence that takes its place.
    fn before(&self) -> usize {
        [self.status, self.name, self.spark, self.spark].iter().filter(|part| **part > 0).map(|part| part + GAP.len()).sum()
    }
}

impl Page {
    /// What was compared, and over which time.
    fn about(&mut self, card: &Scorecard) {
        let data = &card.data;
        let window = data.canary_window.as_ref().map(|window| span(window, data.step_seconds));
        let earlier = data.canary_window.as_ref().zip(data.baseline_window.as_ref());
        let earlier = earlier.and_then(|(canary, baseline)| u64::try_from(canary.start.as_second() - baseline.start.as_second()).ok());
        let before = match earlier.filter(|seconds| *seconds > 0) {
            Some(seconds) => Some(format!("the baseline {} earlier", format::seconds(seconds))),
            None if data.canary_window != data.baseline_window || card.judgement.comparison == Comparison::BeforeAfter => {
                Some("the baseline before the canary".to_owned())
            }
            None => None,
        };
        let look = card.judgement.looks.map(|plan| format!("look {} of {}", plan.look, plan.looks));
        let scope = |arm: &BTreeMap<String, String>| arm.get("scope").map(|scope| clean(scope));
        let arms = match (scope(&data.canary), scope(&data.baseline)) {
            (Some(canary), Some(baseline)) if canary != baseline => Some(format!("{canary} against {baseline}")),
            (canary, baseline) => canary.or(baseline),
        };
        let source = data.source.as_deref().map_or_else(|| "samples sent with the request".to_owned(), clean);
        let about = [arms, before, look, window, Some(source)].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let about = self.paint(Style::new().dimmed(), &truncate(&about, self.width));
        self.line(&about);
    }

    fn rows(&mut self, lines: &[MetricLine<'_>], layout: LineLayout) {
        if lines.is_empty() {
            return;
        }
        self.line("");
        let LineLayout { status, name, spark, unit, shift, limit } = layout;
        let parts = [
            ("STATUS".to_owned(), status),
            ("METRIC".to_owned(), name),
            ((if spark < "BASELINE".len() { "BASE" } else { "BASELINE" }).to_owned(), spark),
            ("CANARY".to_owned(), spark),
            ("SHIFT".to_owned(), shift),
            (limit_bar::scale(unit), if unit > 0 { limit_bar::width(unit) } else { 0 }),
            ("LIMIT".to_owned(), limit),
        ];
        let header = joined(parts) + if shift == 0 { "  FINDING" } else { "" };
        let header = self.paint(Style::new().dimmed(), &truncate(header.trim_end(), self.width));
        self.line(&header);
        for line in lines {
            let line = self.metric_line(line, layout);
            self.line(&line);
        }
    }

    fn metric_line(&self, line: &MetricLine<'_>, layout: LineLayout) -> String {
        let LineLayout { status, name, spark, unit, shift, limit } = layout;
        let style = style(line.row.status);
        let word = padded(&line.row.status_word, status);
        let sparks = line.points.as_ref().map_or_else(|| [String::new(), String::new()], |points| sparks(points, spark));
        let [baseline, canary] = sparks;
        let before = joined([(line.row.name.clone(), name), (baseline, spark), (canary, spark)]);
        let start = format!("{}{GAP}{before}{GAP}", self.paint(style, &word));
        let Some(bar) = &line.bar else {
            return format!("{start}{}", truncate(&line.row.sentence, self.width.saturating_sub(layout.before())));
        };
        let shift = padded(&truncate(&bar.shift, shift), shift);
        let drawn = if unit > 0 { format!("{}{GAP}", self.paint(style, &limit_bar::drawn(bar.times, unit))) } else { String::new() };
        format!("{start}{shift}{GAP}{drawn}{}", truncate(&bar.limit, limit))
    }

    /// What is found of the metrics that did not pass, and what is to be known of the canary as a whole, in few lines.
    fn said(&mut self, view: &View, card: &Scorecard, lines: &[MetricLine<'_>], layout: LineLayout) {
        let causes = card.judgement.reasons.iter().filter(|cause| cause.metrics.is_empty() && cause.reason != VerdictReason::OnTrack);
        let of_canary = causes.map(|cause| clean(&cause.sentence)).chain(view.warnings.iter().map(|warning| format!("warning: {warning}")));
        let shown = |line: &MetricLine<'_>| line.bar.is_none() && layout.before() + line.row.sentence.width() <= self.width;
        let open = lines.iter().filter(|line| line.row.counts_against() && !shown(line));
        let since = |line: &MetricLine<'_>| past_since(card, line.place).map(|since| format!(" (past its limit since {since})"));
        let of_metrics = open.map(|line| format!("{}{}: {}", name_of(line.row), since(line).unwrap_or_default(), line.row.sentence));
        let (of_metrics, of_canary): (Vec<String>, Vec<String>) = (of_metrics.collect(), of_canary.collect());
        let all = of_metrics.len() + of_canary.len();
        if all == 0 {
            return;
        }
        self.line("");
        // One line says how many there is no room for, where there may be any; and what is to be known of the canary is not crowded out.
        let lines = if all * LINES_OF_ONE > LINES_SAID { LINES_SAID - 1 } else { LINES_SAID };
        let kept = of_canary.len().min(LINES_OF_ONE);
        let (left, shown) = self.sentences(&of_metrics, lines - kept);
        let (_, more) = self.sentences(&of_canary, left + kept);
        if shown + more < all {
            let rest = self.paint(Style::new().dimmed(), &format!("... and {} more, which --verbose shows", all - shown - more));
            self.line(&rest);
        }
    }

    /// As many sentences as so many lines have room for; how many lines are left, and how many sentences were shown.
    fn sentences(&mut self, sentences: &[String], mut left: usize) -> (usize, usize) {
        let mut shown = 0;
        for sentence in sentences {
            if left == 0 {
                break;
            }
            left -= self.bounded("", sentence, left.min(LINES_OF_ONE));
            shown += 1;
        }
        (left, shown)
    }
}

/// A window as a person reads it: `2026-01-31 10:00 to 11:00 UTC, 60 points every 1m`.
fn span(window: &WindowSpan, step_seconds: u32) -> String {
    let WindowSpan { start, end, points } = window;
    let (day, last_day) = (start.strftime("%F").to_string(), end.strftime("%F").to_string());
    let last_day = if last_day == day { String::new() } else { format!("{last_day} ") };
    // A step of less than a minute may begin at a second.
    let clock = |at: &Timestamp| at.strftime(if at.as_second() % 60 == 0 { "%H:%M" } else { "%T" }).to_string();
    let points = if *points == 1 { "1 point".to_owned() } else { format!("{points} points") };
    format!("{day} {} to {last_day}{} UTC, {points} every {}", clock(start), clock(end), format::seconds(step_seconds.into()))
}

/// A name that leaves room for what is said of it.
fn name_of(row: &MetricRow) -> String {
    truncate(&row.name, LONGEST_NAME)
}

/// Both arms, on one scale.
fn sparks(points: &DrawnSeries, width: usize) -> [String; 2] {
    let numbers = |arm: &[Option<f64>]| arm.iter().map(|point| point.unwrap_or(f64::NAN)).collect::<Vec<f64>>();
    let arms = [numbers(&points.baseline), numbers(&points.canary)];
    let finite = || arms.iter().flatten().copied().filter(|value| value.is_finite());
    let scale = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    arms.map(|arm| if width == 0 { String::new() } else { sparkline(&arm, points_per_column(arm.len(), width), scale) })
}

/// Cells at the widths that they have; one without columns is left out.
fn joined<const N: usize>(cells: [(String, usize); N]) -> String {
    let cells = cells.into_iter().filter(|(_, width)| *width > 0);
    cells.map(|(text, width)| padded(&truncate(&text, width), width)).collect::<Vec<_>>().join(GAP)
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}
