//! What is read first: which service and version, the verdict, why, since when, and what to do.

use std::collections::BTreeMap;

use haldane_judges::Verdict;
use haldane_judges::scorecard::{Action, Examiner, Status};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::detail::MetricPage;
use super::glossary::Term;
use super::text::{list, prose, web_address};
use crate::analysis::{Scorecard, WindowSpan};
use crate::report::format::{self, clean, truncate};
use crate::report::past::past_since;
use crate::report::view::View;

/// Metrics that the banner names.
const NAMED: usize = 5;
/// Longest name of a service or version in a heading.
const LONGEST: usize = 80;

/// Service and version, by the labels; where there are none, what selected the canary, and else the config.
pub(super) fn subject(card: &Scorecard, view: &View) -> String {
    let scope = || card.data.canary.get("scope").map(|scope| clean(scope));
    truncate(&view.subject.clone().or_else(scope).unwrap_or_else(|| view.config.clone()), LONGEST)
}

/// Name of the verdict's class.
pub(super) fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "good",
        Verdict::Marginal => "open",
        Verdict::Fail => "bad",
    }
}

/// The banner.
pub(super) fn banner(card: &Scorecard, view: &View, pages: &[MetricPage]) -> Markup {
    let action = match view.action {
        Action::Promote => "Promote",
        Action::Hold => "Hold",
        Action::Rollback => "Roll back",
    };
    let worst: Vec<&MetricPage> = pages.iter().filter(|page| page.metric.status != Status::Pass && !page.metric.muted).collect();
    // What the summary or the recommendation says already is not said again.
    let is_said = |sentence: &str| view.summary.contains(sentence) || view.recommendation.contains(sentence);
    let reasons: Vec<_> = view.reasons.iter().filter(|(_, sentence)| !is_said(sentence)).collect();
    html! {
        header class=(class(view.verdict)) data-verdict=(view.verdict) {
            h1 { span.subject { (subject(card, view)) } " " span.verdict { (view.verdict) } }
            (when(card))
            (scopes(card))
        }
        @if let Some(advice) = &view.banner { p.advice { (advice) } }
        p.summary { (prose(&view.summary)) }
        section.todo aria-labelledby="todo" {
            h2 id="todo" { "What to do: " span.action { (action) } }
            p { (prose(&view.recommendation)) }
            (list(None, &view.remedies))
        }
        @if !worst.is_empty() {
            h2 { "What was found" }
            ul.worst {
                @for page in worst.iter().take(NAMED) { li { (found(card, page)) } }
                @if worst.len() > NAMED { li { a href="#metrics" { "and " (worst.len() - NAMED) " more" } } }
            }
        }
        @if !reasons.is_empty() {
            h2 { "Why" }
            ul { @for (reason, sentence) in reasons { li { strong { (reason.replace('_', " ")) } ": " (prose(sentence)) } } }
        }
        @if !view.warnings.is_empty() {
            h2 { "Warnings" }
            (list(None, &view.warnings))
        }
        p.dim { (Term::Score.button_saying(&view.score)) ", " (truncate(&view.config, LONGEST)) ", judged by " (view.judge) }
    }
}

/// One metric in a line: by how much, beside what is put up with, and since when. Its sentence is with the metric.
fn found(card: &Scorecard, page: &MetricPage) -> Markup {
    let row = page.row;
    html! {
        a href={ "#metric-" (page.place) } { (truncate(&row.name, LONGEST)) } " " (row.status_word.replace('_', " "))
        // What could not be told is no finding of its number, and what was found beside the level, such as a bad instance, is none of its shift.
        @if row.change_percent == "-" || row.status == Status::Inconclusive || page.metric.examiner != Examiner::Level {
            ": " (prose(&row.sentence))
        } @else {
            ": " strong { (row.change_percent) }
            @if row.limit != "-" { ", limit " (row.limit) }
            @if let Some(shift) = page.shift.as_ref().filter(|shift| shift.shift > 1.0) { ", " (format::number(shift.shift)) " times the tolerance" }
            " (" (row.levels()) ")"
            @if let Some(since) = past_since(card, page.place) { ", past the limit since " time { (since) } }
        }
    }
}

fn time(at: Timestamp) -> Markup {
    let text = at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string();
    html! { time datetime=(at) { (text) " UTC" } }
}

fn window(of: &WindowSpan) -> Markup {
    let minutes = of.end.as_second().saturating_sub(of.start.as_second()).max(0) as u64;
    html! { (time(of.start)) " to " (time(of.end)) " (" (format::seconds(minutes)) ")" }
}

fn when(card: &Scorecard) -> Markup {
    let data = &card.data;
    html! {
        p.when {
            @match (&data.canary_window, &data.baseline_window) {
                (Some(canary), Some(baseline)) if canary != baseline => {
                    "Canary seen " (window(canary)) ", compared with its baseline of " (window(baseline)) "."
                }
                (Some(canary), _) => { "Seen " (window(canary)) "." }
                (None, _) => { "Judged on samples that came with the request, " (format::seconds(u64::from(data.step_seconds))) " apart." }
            }
            @if let Some(released) = data.released_at { " Released " (time(released)) "." }
            " Judged " (time(card.judged_at)) "."
        }
    }
}

fn scopes(card: &Scorecard) -> Markup {
    let arm = |name: &str, variables: &BTreeMap<String, String>| {
        html! { @for (variable, value) in variables { li { span.dim { (name) " " (clean(variable)) " " } (clean(value)) } } }
    };
    html! {
        @if !(card.labels.is_empty() && card.data.canary.is_empty() && card.data.baseline.is_empty()) {
            ul.tags aria-label="What was judged" {
                @for (name, value) in card.labels.iter() {
                    li {
                        span.dim { (clean(name)) " " }
                        @match web_address(value) {
                            Some(address) => a href=(address) rel="noreferrer" { (clean(value)) },
                            None => (clean(value)),
                        }
                    }
                }
                (arm("canary", &card.data.canary))
                (arm("baseline", &card.data.baseline))
            }
        }
    }
}
