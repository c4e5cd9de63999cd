//! The start page: what was judged lately, what can be judged by, where it is read from, and a form to try it.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::super::frame::page;
use super::super::representation::TextDocument;
use super::super::state::{SharedState, SourceHealth};
use super::form::form;
use crate::access::Requester;
use crate::judgements::{JudgementFilter, JudgementSummary};
use crate::report::format::{clean, truncate};

/// Judgements that the page shows.
const SHOWN: usize = 20;
/// Longest text of another's making in a cell, in characters.
const LONGEST: usize = 160;

/// The start page, for a browser.
pub(crate) async fn home(State(state): State<SharedState>, Extension(caller): Extension<Requester>) -> Response {
    // Whoever may list those of certain configs alone asks for them by name.
    let judgements = match caller.may_list(None) {
        Ok(()) => Some(state.executions.list(&JudgementFilter::default(), SHOWN).await),
        Err(_) => None,
    };
    let body = html! {
        h1 { "Is this canary worse than this baseline?" }
        p { "This is Haldane " (env!("CARGO_PKG_VERSION")) ". It answers with pass, marginal or fail, and the evidence." }
        h2 id="judgements" { "Judged lately" }
        @match &judgements {
            Some(Ok(page)) => (judged(&page.judgements)),
            Some(Err(_)) => p.bad role="alert" { "The store of judgements cannot be read; the log of the server says why." },
            None => p.dim { "This token may not list the judgements of everybody." },
        }
        h2 id="try" { "Try it" }
        (form())
        h2 id="configs" { "Canary configs" }
        (configs(&state, &caller))
        h2 id="sources" { "Metric stores" }
        (sources(&state.sources_of(&caller)))
    };
    TextDocument::page(page("Start", None, &body)).into_response()
}

fn short(text: &str) -> String {
    truncate(&clean(text), LONGEST)
}

fn judged(judgements: &[JudgementSummary]) -> Markup {
    if judgements.is_empty() {
        return html! { p.dim { "Nothing that this service remembers. Judgements of samples that come with a request are remembered with a store only (" code { "--store" } ")." } };
    }
    html! {
        table {
            thead { tr { th scope="col" { "Verdict" } th scope="col" { "What" } th scope="col" { "Finding" } th scope="col" { "When" } } }
            tbody {
                @for one in judgements {
                    tr {
                        td { a class={ "word " (class(one)) } href={ "/v1/judgements/" (one.id) ".html" } { (one.verdict) } }
                        td {
                            @for (name, value) in one.labels.iter() { span.tag { (clean(name)) ": " (short(value)) } }
                            @if let Some(canary) = &one.canary { (short(canary)) }
                            @if let Some(baseline) = &one.baseline { span.dim { " against " (short(baseline)) } }
                            div.dim { "by " (short(&one.config)) }
                        }
                        td { (short(&one.summary.replace('`', ""))) }
                        td { time datetime=(one.judged_at) { (one.judged_at.strftime("%F %T UTC")) } }
                    }
                }
            }
        }
        p { a href="/v1/judgements" { "All, as JSON" } ", to be filtered by verdict, config, label and time." }
    }
}

fn class(one: &JudgementSummary) -> &'static str {
    use haldane_judges::Verdict;
    match one.verdict {
        Verdict::Pass => "good",
        Verdict::Marginal => "open",
        Verdict::Fail => "bad",
    }
}

fn configs(state: &SharedState, caller: &Requester) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Name" } th scope="col" { "What for" } th scope="col" { "Metrics" } th scope="col" { "Lint" } } }
            tbody {
                @for (name, entry) in state.configs.current().list().filter(|(name, _)| caller.may_use_config(Some(name)).is_ok()) {
                    @let findings = state.lint(&entry.config);
                    tr {
                        td { a href={ "/v1/configs/" (percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)) } { (short(name)) } }
                        td { (short(&entry.config.description)) }
                        td data-column="Metrics" { (entry.config.metrics.len()) }
                        td {
                            @if findings.is_empty() { span.good.word { "clean" } }
                            @else { details {
                                summary { span.open.word { (findings.len()) @if findings.len() == 1 { " finding" } @else { " findings" } } }
                                ul { @for finding in &findings { li { code { (clean(&finding.pointer)) } ": " (clean(&finding.message)) } } }
                            } }
                        }
                    }
                }
            }
        }
    }
}

fn sources(sources: &[SourceHealth]) -> Markup {
    if sources.is_empty() {
        return html! { p.dim { "None is configured, so only samples that come with a request can be judged. Give " code { "--prometheus URL" } ", or " code { "sources" } " in the settings file." } };
    }
    html! {
        table {
            thead { tr { th scope="col" { "Source" } th scope="col" { "Store" } th scope="col" { "Requests" } th scope="col" { "Health" } } }
            tbody {
                @for source in sources {
                    tr {
                        td data-column="Source" { (short(&source.name)) }
                        td data-column="Store" { (source.kind) }
                        td { (source.requests) " sent, " (source.retries) " sent again" }
                        td {
                            @match source.answers {
                                Some(true) => span.good.word { "answers" },
                                Some(false) => span.bad.word { "fails" },
                                None => span.dim { "not asked yet" },
                            }
                            @if let Some(error) = &source.error { div.dim { (short(error)) } }
                        }
                    }
                }
            }
        }
    }
}
