//! Listing judgements.

use std::str::FromStr as _;

use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use haldane_judges::Verdict;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use super::problem::Problem;
use super::state::SharedState;
use crate::access::Requester;
use crate::judgements::{JudgementFilter, JudgementSummary};

/// Judgements of a page where nothing is said, and at most.
const PAGE: usize = 50;
const MOST: usize = 500;

/// Judgements in short.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct JudgementList {
    /// Newest first.
    judgements: Vec<JudgementSummary>,
    /// Address of the next page; absent on the last one. A page may be empty and yet have a next one, where a filter passes over many.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List judgements
///
/// Newest first: those in the store, or, in a service without one, those that this replica remembers. Those of inline samples are there with a
/// store only, since else they have no id.
#[utoipa::path(
    get, path = "/v1/judgements", tag = "judgements", operation_id = "listJudgements",
    params(
        ("verdict" = Option<String>, Query, description = "Those with this verdict: `pass`, `marginal` or `fail`"),
        ("config" = Option<String>, Query, description = "Those by the config of this name"),
        ("label" = Option<Vec<String>>, Query, description = "Those with this label, as `NAME=VALUE`; repeated, those with all of them", example = json!(["service=checkout"])),
        ("since" = Option<String>, Query, description = "Those judged at this time (RFC 3339) or later"),
        ("until" = Option<String>, Query, description = "Those judged before this time (RFC 3339)"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 500, description = "Judgements of a page; 50 unless given"),
    ),
    responses(
        (status = 200, description = "Judgements in short", body = ref("#/components/schemas/JudgementList"), content_type = "application/json"),
        (status = 400, description = "A query parameter that cannot be read", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 500, description = "A fault of the service", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 503, description = "Too busy, or the store does not answer; come back after `Retry-After`", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(state): State<SharedState>,
    Extension(caller): Extension<Requester>,
    RawQuery(query): RawQuery,
) -> Result<Json<JudgementList>, Problem> {
    let (mut filter, limit) = read(query.as_deref().unwrap_or_default())?;
    caller.may_list(filter.config.as_deref())?;
    filter.sources = caller.sources().cloned();
    let page = state.executions.list(&filter, limit).await.map_err(|error| Problem::from(&error))?;
    Ok(Json(JudgementList { judgements: page.judgements, next: page.until.map(|until| address(&filter, until, limit)) }))
}

fn read(query: &str) -> Result<(JudgementFilter, usize), Problem> {
    let (mut filter, mut limit) = (JudgementFilter::default(), PAGE);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let shown: String = value.chars().take(40).collect();
        let wrong = |remedy: &str| Problem::bad_request("invalid-query", format!("`{name}={shown}`: {remedy}"));
        // A form sends what nobody filled in.
        if value.is_empty() && matches!(&*name, "verdict" | "config" | "label" | "since" | "until" | "limit") {
            continue;
        }
        let time = || Timestamp::from_str(&value).map_err(|_| wrong("give a time such as `2026-11-21T14:00:00Z`"));
        match &*name {
            "verdict" => {
                let verdict = Verdict::deserialize(&Value::from(&*value)).map_err(|_| wrong("give `pass`, `marginal` or `fail`"))?;
                filter.verdict = Some(verdict);
            }
            "config" => filter.config = Some(value.into_owned()),
            "label" => {
                let (label, value) = value.split_once('=').ok_or_else(|| wrong("give NAME=VALUE, such as `label=service=checkout`"))?;
                filter.labels.push((label.to_owned(), value.to_owned()));
            }
            "since" => filter.since = Some(time()?),
            "until" => filter.until = Some(time()?),
            "limit" => {
                let count = value.parse().ok().filter(|count| (1..=MOST).contains(count));
                limit = count.ok_or_else(|| wrong(&format!("give a number from 1 to {MOST}")))?;
            }
            _ => {
                let shown: String = name.chars().take(40).collect();
                let detail = format!("unknown query parameter `{shown}`; use `verdict`, `config`, `label`, `since`, `until` and `limit`");
                return Err(Problem::bad_request("invalid-query", detail));
            }
        }
    }
    Ok((filter, limit))
}

/// The address of the page before a time.
fn address(filter: &JudgementFilter, until: Timestamp, limit: usize) -> String {
    let mut address = format!("/v1/judgements?limit={limit}");
    let mut add = |name: &str, value: &str| address.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    if let Some(verdict) = filter.verdict {
        add("verdict", &verdict.to_string());
    }
    if let Some(config) = &filter.config {
        add("config", config);
    }
    for (name, value) in &filter.labels {
        add("label", &format!("{name}={value}"));
    }
    if let Some(since) = filter.since {
        add("since", &since.to_string());
    }
    add("until", &until.to_string());
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_asked_with_the_same_filter() {
        let said = "verdict=fail&config=a%20b&label=service%3Dx%26y&label=build=https://ci/?a=b&since=2026-01-01T00:00:00Z&limit=7";
        let (filter, limit) = read(said).unwrap();
        assert_eq!(filter.labels, [("service".to_owned(), "x&y".to_owned()), ("build".to_owned(), "https://ci/?a=b".to_owned())]);
        let until = Timestamp::from_second(1_800_000_000).unwrap();
        let next = address(&filter, until, limit);
        assert_eq!(read(next.split_once('?').unwrap().1).unwrap(), (JudgementFilter { until: Some(until), ..filter }, 7));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_remedy() {
        for (query, said) in [
            ("verdict=maybe", "`pass`, `marginal` or `fail`"),
            ("label=service", "NAME=VALUE"),
            ("since=yesterday", "2026-11-21T14:00:00Z"),
            ("limit=0", "1 to 500"),
            ("limit=501", "1 to 500"),
            ("verdikt=fail", "unknown query parameter `verdikt`"),
        ] {
            let problem = read(query).unwrap_err();
            assert!(problem.status == 400 && problem.detail.contains(said), "{}", problem.detail);
        }
        for nothing in ["", "since=&until=&verdict=&label=&limit=&config"] {
            assert_eq!(read(nothing).unwrap(), (JudgementFilter::default(), PAGE), "{nothing}");
        }
    }
}
