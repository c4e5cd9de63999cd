//! What a browser sees in place of a report: that a judgement runs, or what went wrong.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::html;

use super::frame::page;
use super::problem::Problem;
use super::representation::TextDocument;

/// That a judgement has not ended; the page asks again by itself.
pub(super) fn running(seconds: u32) -> Response {
    let body = html! {
        h1 { "Judging" }
        p role="status" { "The judgement has not ended yet. This page asks again every " (seconds) " seconds." }
    };
    let mut response = TextDocument::page(page("Judging", Some(seconds), &body)).into_response();
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// What went wrong, with what to do.
pub(super) fn problem(problem: Problem) -> Response {
    let body = html! {
        h1 { (problem.title) }
        p { @if let Some(pointer) = problem.pointer.as_deref().filter(|pointer| !pointer.is_empty()) { code { (pointer) } ": " } (problem.detail) }
        @if !problem.errors.is_empty() {
            ul { @for error in &problem.errors { li { code { (error.pointer) } ": " (error.detail) } } }
        }
        p { a href="/" { "To the start page" } }
    };
    let mut response = TextDocument::page(page(&problem.title, None, &body)).into_response();
    // Status and the time to come back are the problem's.
    let told = problem.into_response();
    *response.status_mut() = told.status();
    if let Some(after) = told.headers().get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, after.clone());
    }
    response
}
