//! Judging, at once or in the background, and asking for a judgement again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::body::translate;
use super::json::BoundedJson;
use super::limits::LONGEST_WAIT;
use super::notice;
use super::observe::{WriteTime, note};
use super::problem::Problem;
use super::representation::{Representation, TextDocument};
use super::state::SharedState;
use crate::access::Requester;
use crate::analysis::{Plan, Scorecard};
use crate::judgements::Outcome;
use crate::pool;

/// Seconds between two looks at a judgement that runs.
const POLL_AFTER: u32 = 2;

/// A judgement that has not ended yet.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Running")]
pub(super) struct RunningJudgement {
    /// The id to ask for it.
    id: String,
    /// Always `running`.
    status: &'static str,
}

/// What a query string may say.
#[derive(Debug, Default, PartialEq, Eq)]
struct JudgementQuery {
    verbose: bool,
    wait: Option<u64>,
}

impl JudgementQuery {
    fn read(raw: Option<&str>, shortest_wait: u64) -> Result<Self, Problem> {
        let mut query = Self::default();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            // Neither parameter's value ever needs percent-encoding.
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let shown: String = value.chars().take(40).collect();
            match (name, value) {
                ("verbose", "" | "true" | "1") => query.verbose = true,
                ("verbose", "false" | "0") => query.verbose = false,
                ("verbose", _) => return Err(Problem::bad_request("invalid-query", format!("`verbose={shown}`: give `true` or `false`"))),
                ("wait", _) => {
                    let wait = value.parse().ok().filter(|seconds| (shortest_wait..=LONGEST_WAIT).contains(seconds));
                    query.wait = Some(wait.ok_or_else(|| {
                        let detail = format!("`wait={shown}` is not a number of seconds from {shortest_wait} to {LONGEST_WAIT}");
                        Problem::bad_request("invalid-query", detail)
                    })?);
                }
                _ => {
                    let shown: String = name.chars().take(40).collect();
                    let detail = format!("unknown query parameter `{shown}`; use `verbose` and `wait=SECONDS`");
                    return Err(Problem::bad_request("invalid-query", detail));
                }
            }
        }
        Ok(query)
    }
}

/// Judge a canary
///
/// Answers with 200 and a scorecard for every verdict, `fail` included; any other status means that there is no verdict.
/// Metrics whose data has not arrived by the deadline are findings of the scorecard with status `error` and reason `deadline`.
///
/// With the header `Prefer: respond-async` the answer is 202 at once, with the address to ask for the scorecard. That address holds
/// the request itself, so any replica with the same key can answer for it; judgements of inline samples have none.
#[utoipa::path(
    post,
    path = "/v1/judgements",
    tag = "judgements",
    operation_id = "createJudgement",
    params(
        ("verbose" = Option<bool>, Query, description = "Return the series as they were judged, too"),
        ("wait" = Option<u64>, Query, minimum = 1, maximum = 600, description = "Seconds to wait for the metric stores, instead of the server's deadline (50 unless configured)"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` to be answered at once and poll", example = "respond-async"),
    ),
    request_body(
        content = ref("#/components/schemas/JudgementBody"),
        content_type = "application/json",
        description = "What to judge: a config, the two scopes and a window, or the samples themselves",
        examples(
            ("by scope" = (summary = "Read the last half hour from a metric store", value = json!({
                "config": "http-golden-signals",
                "source": "prometheus",
                "baseline": { "scope": "checkout-baseline" },
                "canary": { "scope": "checkout-canary" },
                "window": { "duration": "30m" },
                "canary_share": 0.05
            }))),
            ("inline samples" = (summary = "Judge samples that come with the request", value = json!({
                "config": { "name": "latency-only", "metrics": [{ "name": "p95", "unit": "ms", "direction": "increase" }] },
                "window": { "step": "60s" },
                "samples": { "p95": {
                    "baseline": [101, 99, 104, 98, 100, 103, 97, 102, 99, 101],
                    "canary": [161, 158, 166, 149, 160, 163, 157, 168, 155, 162]
                } }
            }))),
        )
    ),
    responses(
        (status = 200, description = "A verdict with its evidence; for people, too, by `Accept`", content(
            (ref("#/components/schemas/Scorecard") = "application/json"),
            (String = "text/html"),
            (String = "text/markdown"),
            (String = "text/plain"),
            (String = "application/xml"),
        )),
        (status = 202, description = "Started; ask at `Location`", body = ref("#/components/schemas/Running"), content_type = "application/json", headers(
            ("Location" = String, description = "Where to ask for the scorecard"),
            ("Retry-After" = u32, description = "Seconds to wait before asking"),
            ("Preference-Applied" = String, description = "`respond-async`"),
        )),
        (status = 400, description = "Not JSON, or a query parameter that cannot be read", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 408, description = "The body took too long to arrive", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 415, description = "The body is not declared as JSON", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 422, description = "A field that cannot be used, with its pointer; or a query that the store refused", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json", example = json!({
            "type": "urn:haldane:problem:unknown-config",
            "title": "There is no such canary config",
            "status": 422,
            "detail": "unknown config `http-golden-signal`; did you mean `http-golden-signals`?",
            "pointer": "/config"
        })),
        (status = 500, description = "A fault of the service", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 502, description = "The metric store cannot be reached or read", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 503, description = "Too busy; come back after `Retry-After`", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 504, description = "The metric store did not answer in time", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(state): State<SharedState>,
    RawQuery(query): RawQuery,
    Extension(caller): Extension<Requester>,
    headers: HeaderMap,
    body: Result<BoundedJson, Problem>,
) -> Result<Response, Problem> {
    let query = JudgementQuery::read(query.as_deref(), 1)?;
    let BoundedJson { document, size, place } = body?;
    caller.may_use_config(document.get("config").and_then(Value::as_str))?;
    let planner = SharedState::clone(&state);
    let plan = pool::unless_small(size, move || plan(document, &planner))
        .await
        .map_err(|problem| naming_own_sources(problem, caller.sources()))?;
    may_read(&caller, &plan, &state)?;
    // What waits for a store takes no seat of what waits for none.
    if plan.source().is_some() {
        place.leave_seat();
    }
    if prefers_async(&headers) {
        let mut response = running(state.executions.start(plan, Some(place)).await.map_err(|error| Problem::from(&error))?);
        response.headers_mut().insert(HeaderName::from_static("preference-applied"), HeaderValue::from_static("respond-async"));
        return Ok(response);
    }
    let deadline = query.wait.map_or(state.executions.options().default_deadline, Duration::from_secs);
    let scorecard =
        state.executions.run_to_end(plan, Some(Arc::clone(&place)), deadline).await.map_err(|failure| Problem::from(&failure))?;
    let answer = answer(scorecard, query.verbose, Representation::accepted(&headers)).await;
    drop(place);
    Ok(answer)
}

/// Whether the caller may read from the source that the plan asks, if it asks any.
fn may_read(caller: &Requester, plan: &Plan, state: &SharedState) -> Result<(), Problem> {
    if plan.queries() > 0
        && let Ok(source) = state.executions.analyst().sources().choose(plan.request().source.as_deref())
    {
        caller.may_use_source(source.name())?;
    }
    Ok(())
}

/// A source that there is not is told with the names of those that the caller may read from, where these are not all.
fn naming_own_sources(problem: Problem, own: Option<&BTreeSet<String>>) -> Problem {
    match own {
        Some(own) if problem.kind.ends_with(":unknown-source") => {
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            Problem { detail: format!("the request names no source that there is; the token may read from: {}", own.join(", ")), ..problem }
        }
        _ => problem,
    }
}

/// Checks a request and plans its queries.
fn plan(document: Value, state: &SharedState) -> Result<Arc<Plan>, Problem> {
    let request = translate(document, &state.configs.current(), &state.bodies, state.executions.analyst().sources(), Timestamp::now())?;
    tracing::debug!(baseline = ?request.baseline, canary = ?request.canary, window = ?request.window, "judging");
    state.executions.plan(request).map_err(|error| Problem::from(&error))
}

/// Ask for a judgement again
///
/// Any replica with the same key answers: it remembers the scorecard, joins the judgement if it runs, or runs it again, and then
/// says so with `rerun`.
///
/// For people, `Accept`, or the end of the address, asks for a report: `.html`, `.md`, `.txt`, or `.xml` (JUnit).
#[utoipa::path(
    get,
    path = "/v1/judgements/{id}",
    tag = "judgements",
    operation_id = "getJudgement",
    params(
        ("id" = String, Path, description = "The `id` of a scorecard, or of the answer 202; `.html`, `.md`, `.txt`, `.xml` or `.json` after it asks for that form"),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 600, description = "Seconds to wait for the end before answering 202; 0 unless given"),
        ("verbose" = Option<bool>, Query, description = "Return the series as they were judged, too"),
    ),
    responses(
        (status = 200, description = "A verdict with its evidence; for people, too, by `Accept`", content(
            (ref("#/components/schemas/Scorecard") = "application/json"),
            (String = "text/html"),
            (String = "text/markdown"),
            (String = "text/plain"),
            (String = "application/xml"),
        )),
        (status = 202, description = "Still running; ask again", body = ref("#/components/schemas/Running"), content_type = "application/json"),
        (status = 400, description = "A query parameter that cannot be read", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 404, description = "No such judgement: the id was changed, or signed with another key", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 422, description = "The judgement can no longer be run as it was", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 500, description = "A fault of the service", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 502, description = "The metric store cannot be reached or read", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 503, description = "Too busy, or an id of a newer release; come back after `Retry-After`", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
        (status = 504, description = "The metric store did not answer in time", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(state): State<SharedState>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    Extension(caller): Extension<Requester>,
    headers: HeaderMap,
) -> Response {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let (id, form) = Representation::split(&id);
    let form = form.unwrap_or_else(|| Representation::accepted(&headers));
    match find(&state, &caller, id, query.as_deref(), form).await {
        Ok(response) => response,
        Err(problem) if form == Representation::Html => notice::problem(problem),
        Err(problem) => problem.into_response(),
    }
}

async fn find(state: &SharedState, caller: &Requester, id: &str, query: Option<&str>, form: Representation) -> Result<Response, Problem> {
    let query = JudgementQuery::read(query, 0)?;
    // Before anything is run, or its failure told.
    refuse_foreign(state, caller, id).await?;
    let wait = Duration::from_secs(query.wait.unwrap_or(0));
    let (outcome, found) = state.executions.wait(id, wait).await.map_err(|error| Problem::from(&error))?;
    state.metrics.looked_up(found);
    match outcome {
        Outcome::Running if form == Representation::Html => Ok(notice::running(POLL_AFTER)),
        Outcome::Running => Ok(running(id.to_owned())),
        // A link shows what it is of, and does not lengthen itself by another one.
        Outcome::Done(scorecard) if matches!(caller, Requester::Link) && scorecard.url.is_some() => {
            Ok(answer(Arc::new(Scorecard { url: None, ..Scorecard::clone(&scorecard) }), query.verbose, form).await)
        }
        Outcome::Done(scorecard) => Ok(answer(scorecard, query.verbose, form).await),
        Outcome::Failed(failure) => Err(Problem::from(&failure)),
    }
}

/// Refuses a judgement by another config, or from another source, than those that the caller's token is bound to.
pub(super) async fn refuse_foreign(state: &SharedState, caller: &Requester, id: &str) -> Result<(), Problem> {
    if caller.is_unbound().is_ok() {
        return Ok(());
    }
    let request = state.executions.request_of(id).await.map_err(|error| Problem::from(&error))?;
    let asks_none = request.config.metrics.iter().all(|metric| request.samples.contains_key(&metric.name));
    let source = match state.executions.analyst().sources().choose(request.source.as_deref()) {
        _ if asks_none => Ok(()),
        Ok(source) => caller.may_use_source(source.name()),
        // One that is not configured here, or no longer.
        Err(unknown) => caller.may_use_source(unknown.name.as_deref().unwrap_or_default()),
    };
    Ok(caller.if_theirs(caller.may_use_config(Some(&request.config.name)).and(source))?)
}

/// Whether a `Prefer` header (RFC 7240) asks for an answer before the work is done.
fn prefers_async(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    preferences
        .map(|preference| preference.split(';').next().unwrap_or_default().trim())
        .any(|name| name.eq_ignore_ascii_case("respond-async"))
}

fn running(id: String) -> Response {
    let mut response = (StatusCode::ACCEPTED, [(header::RETRY_AFTER, HeaderValue::from(POLL_AFTER))]).into_response();
    // Ids are base64url text, which any header may hold.
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/judgements/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    let (parts, _) = response.into_parts();
    (parts.status, parts.headers, Json(RunningJudgement { id, status: "running" })).into_response()
}

/// Answers with a scorecard in the form that was asked for. People see both arms drawn; programs get the samples that they ask for.
pub(super) async fn answer(scorecard: Arc<Scorecard>, verbose: bool, form: Representation) -> Response {
    note(&scorecard);
    let verbose = verbose || form != Representation::Json;
    let bytes = if verbose { scorecard.size() } else { scorecard.size_without_samples() };
    let write = move || {
        let shown = match (verbose, scorecard.has_samples()) {
            (true, _) => Scorecard::clone(&scorecard).with_samples(),
            (false, true) => Scorecard::clone(&scorecard).without_samples(),
            (false, false) => return serde_json::to_vec(&*scorecard).map(json).map_err(|error| error.to_string()),
        };
        form.write(shown).map(TextDocument::into_response)
    };
    let began = Instant::now();
    match pool::unless_small(bytes, write).await {
        Ok(mut response) => {
            response.extensions_mut().insert(WriteTime(began.elapsed()));
            response
        }
        Err(error) => {
            tracing::error!(%error, "a scorecard cannot be written");
            Problem::fault().into_response()
        }
    }
}

fn json(bytes: Vec<u8>) -> Response {
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), (header::VARY, HeaderValue::from_static("accept"))];
    (headers, bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_string_says_verbose_and_wait_and_nothing_else() {
        assert_eq!(JudgementQuery::read(None, 1).unwrap(), JudgementQuery::default());
        assert_eq!(JudgementQuery::read(Some("verbose&wait=7"), 1).unwrap(), JudgementQuery { verbose: true, wait: Some(7) });
        assert_eq!(JudgementQuery::read(Some("verbose=false&wait=0"), 0).unwrap(), JudgementQuery { verbose: false, wait: Some(0) });
        for wrong in ["wait=0", "wait=601", "wait=x", "wait", "verbose=perhaps", "wiat=3"] {
            assert_eq!(JudgementQuery::read(Some(wrong), 1).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn a_preference_is_found_among_others() {
        let with = |value: &'static str| HeaderMap::from_iter([(HeaderName::from_static("prefer"), HeaderValue::from_static(value))]);
        assert!(prefers_async(&with("respond-async")));
        assert!(prefers_async(&with("handling=lenient, Respond-Async; x=1")));
        assert!(!prefers_async(&with("return=minimal")));
        assert!(!prefers_async(&HeaderMap::new()));
    }
}
