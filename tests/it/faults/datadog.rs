//! A server that plays what Datadog documents, the queries of one of four metrics broken on their way: v1 asks each query for itself,
//! v2 all of a window at once.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use haldane_judges::scorecard::Status;
use serde_json::{Value, json};

use super::{Expected, Row, Service, Suite, answer, request, rows_of_any_store, text};
use crate::support::datadog::Datadog;
use crate::support::faults::{Answer, Broken, Fault, FaultyStore};

const BROKEN: &str = "memory";
const MARKER: &str = "container.memory.usage";

fn config() -> Value {
    let errors = "sum:trace.http.request.errors{service:${scope}}.as_count()";
    let hits = "sum:trace.http.request.hits{service:${scope}}.as_count()";
    let duration = "sum:trace.http.request.duration{service:${scope}}.as_count()";
    json!({
        "name": "faults",
        "metrics": [
            {
                "name": BROKEN, "unit": "bytes", "direction": "increase", "tolerance": { "absolute": 1e7 },
                "queries": { "datadog": "avg:container.memory.usage{service:${scope}}" }
            },
            {
                "name": "error-ratio", "kind": "ratio", "direction": "increase", "critical": true,
                "tolerance": { "absolute": 0.01, "relative": 0 }, "limits": { "max": 0.01 },
                "queries": { "datadog": { "numerator": errors, "denominator": hits } }
            },
            {
                "name": "latency", "unit": "s", "direction": "increase",
                "queries": { "datadog": format!("{duration} / {hits}") }
            },
            {
                "name": "duration", "unit": "s", "direction": "increase",
                "queries": { "datadog": duration }
            }
        ]
    })
}

fn source(url: String, api: &str) -> Value {
    json!({ "kind": "datadog", "url": url, "api": api, "api_key": { "env": "DD_API_KEY" }, "app_key": { "env": "DD_APP_KEY" } })
}

/// The good reply of v1, the points of each series changed.
fn points(change: impl Fn(&mut Vec<Value>) + Send + Sync + 'static) -> Fault {
    answer(move |good| {
        let mut reply: Value = serde_json::from_slice(&good.body).expect("JSON");
        for series in reply["series"].as_array_mut().expect("a list") {
            change(series["pointlist"].as_array_mut().expect("points"));
        }
        Answer::json(200, reply)
    })
}

/// The good reply of v1, each point's time and value changed.
fn each(change: impl Fn(usize, f64, &Value) -> Value + Send + Sync + 'static) -> Fault {
    points(move |points| {
        for (i, point) in points.iter_mut().enumerate() {
            *point = change(i, point[0].as_f64().expect("a time"), &point[1]);
        }
    })
}

fn rows_of_v1() -> Vec<Row> {
    use Expected::{Error, Judged, NotPassed};
    const HOUR: f64 = 3_600_000.0;
    vec![
        Row::new(
            "forbidden-keys",
            answer(|_| Answer::json(403, json!({ "errors": ["Forbidden"] }))),
            Error(&["turned the account away", "Forbidden", "api_key"]),
        ),
        Row::new(
            "bad-query",
            answer(|_| Answer::json(400, json!({ "errors": ["unexpected `}`"] }))),
            Error(&["refused the query", "unexpected `}`"]),
        ),
        Row::new("error-in-200", text(r#"{"status":"error","error":"the query took too long"}"#), Error(&["the query took too long"])),
        Row::new("null", text("null"), Error(&["cannot be read"])),
        Row::new("nothing-but-status", text(r#"{"status":"ok"}"#), Error(&["cannot be read", "`series`"])),
        Row::new("object-for-list", text(r#"{"status":"ok","series":{"0":1}}"#), Error(&["cannot be read"])),
        Row::new("strings-for-numbers", each(|_, at, value| json!([at, value.to_string()])), Error(&["cannot be read"])),
        Row::new("strings-for-times", each(|_, at, value| json!([at.to_string(), value])), Error(&["cannot be read"])),
        Row::new("no-series", text(r#"{"status":"ok","series":[]}"#), NotPassed(&["too few points"])),
        Row::new("null-points", each(|_, at, _| json!([at, null])), NotPassed(&["too few points"])),
        Row::new("reversed", points(|points| points.reverse()), Judged(&[])),
        Row::new(
            "twice",
            points(|points| *points = points.iter().flat_map(|point| [point.clone(), point.clone()]).collect()),
            Judged(&["more than once"]),
        ),
        Row::new(
            "11001-points",
            points(|points| {
                let last = points.last().and_then(|point| point[0].as_f64()).expect("a point");
                *points = (0..11_001).map(|i| json!([last - 60_000.0 * f64::from(i), 5e8])).rev().collect();
            }),
            Error(&["cannot be read", "outside of the window"]),
        ),
        Row::new("an-hour-ahead", each(|_, at, value| json!([at + HOUR, value])), Error(&["cannot be read", "outside of the window"])),
        Row::new("an-hour-behind", each(|_, at, value| json!([at - HOUR, value])), NotPassed(&["too few points"])),
        Row::new(
            "half-an-hour-ahead",
            each(|i, at, value| json!([at + if i % 2 == 0 { HOUR } else { 0.0 }, value])),
            Error(&["cannot be read", "outside of the window"]),
        ),
        Row::new("seconds", each(|_, at, value| json!([at / 1000.0, value])), Error(&["cannot be read", "outside of the window"])),
    ]
}

/// The good reply of v2, the series of the broken metric changed, and dropped where they have no points any more; beside an error.
fn own_series(change: fn(&mut Vec<Value>), error: &'static str) -> Fault {
    Fault::Answer(Box::new(move |asked, good| {
        let request = &asked.json()["data"]["attributes"];
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let queries = list(&request["queries"]);
        let own = queries.iter().filter(|query| query["query"].as_str().is_some_and(|text| text.contains(MARKER)));
        let own: Vec<&str> = own.filter_map(|query| query["name"].as_str()).collect();
        let formulas = list(&request["formulas"]);
        let is_own = |series: &Value| {
            let formula = series["query_index"].as_u64().and_then(|i| formulas[i as usize]["formula"].as_str());
            formula.is_some_and(|formula| own.contains(&formula))
        };
        let mut reply: Value = serde_json::from_slice(&good.body).expect("JSON");
        let attributes = &mut reply["data"]["attributes"];
        let all = list(&attributes["series"]).into_iter().zip(list(&attributes["values"]));
        let kept = all.filter_map(|(series, values)| {
            let mut points = list(&values);
            if is_own(&series) {
                change(&mut points);
            }
            (!points.is_empty()).then_some((series, Value::from(points)))
        });
        let (series, values): (Vec<Value>, Vec<Value>) = kept.unzip();
        (attributes["series"], attributes["values"]) = (Value::from(series), Value::from(values));
        if !error.is_empty() {
            reply["errors"] = json!(error);
        }
        Answer::json(200, reply)
    }))
}

/// Of v2 the queries of all metrics are one request, so what befalls it befalls all of them; a refusal is asked again one by one.
fn rows_of_v2() -> Vec<Row> {
    use Expected::{Error, Judged, NotPassed};
    let attributes = |change: fn(&mut Value)| {
        answer(move |good| {
            let mut reply: Value = serde_json::from_slice(&good.body).expect("JSON");
            change(&mut reply["data"]["attributes"]);
            Answer::json(200, reply)
        })
    };
    vec![
        Row::new(
            "bad-query",
            answer(|_| Answer::json(400, json!({ "errors": ["unexpected `}`"] }))),
            Error(&["refused the query", "unexpected `}`"]),
        ),
        Row::new(
            "422",
            answer(|_| Answer::json(422, json!({ "errors": ["too many series"] }))),
            Error(&["refused the query", "too many series"]),
        ),
        Row::new("no-attributes", text(r#"{"data":{}}"#), Error(&["cannot be read", "`attributes`"])),
        Row::new("error-in-200", text(r#"{"errors":"the query took too long"}"#), Error(&["the query took too long"])),
        Row::new("null", text("null"), Error(&["cannot be read"])),
        Row::new("empty", text(""), Error(&["cannot be read", "EOF"])),
        Row::new(
            "login-page",
            answer(|_| Answer::json(200, super::LOGIN).with("content-type", "text/html")),
            Error(&["cannot be read", "text/html"]),
        ),
        Row::new("bomb", Fault::Bomb, Error(&["longer than the 16777216 bytes"])),
        Row::new("200-mb", Fault::Long { announced: true }, Error(&["longer than the 16777216 bytes"])),
        Row::new("200-mb-unannounced", Fault::Long { announced: false }, Error(&["longer than the 16777216 bytes"])),
        Row::new("values-without-times", attributes(|all| all["times"] = json!([])), Error(&["cannot be read", "`times`"])),
        Row::new("strings-for-times", attributes(|all| all["times"] = json!(["now"])), Error(&["cannot be read"])),
        Row::new("clock-ahead", answer(|good| good.with("date", super::date(600))), Judged(&["clock is", "s ahead of ours"])),
        Row::new("null-points", own_series(|points| *points = vec![Value::Null; points.len()], ""), NotPassed(&["too few points"])),
        Row::new("no-series", own_series(|points| points.clear(), ""), NotPassed(&["too few points"])),
        Row::new("partial-errors", own_series(|points| points.clear(), "the query took too long"), Error(&["the query took too long"])),
    ]
}

fn suite(together: bool, source: fn(String) -> Value) -> Suite {
    Suite { store: Datadog::unlimited().store(), marker: MARKER, together, broken: BROKEN, config: config(), source }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datadog_that_fails_costs_one_metric_and_passes_none() {
    suite(false, |url| source(url, "v1")).run(rows_of_any_store().into_iter().chain(rows_of_v1()).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_refused_costs_no_other_of_its_request() {
    suite(false, |url| source(url, "v2")).run(rows_of_v2()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_all_metrics_that_fails_passes_none_of_them() {
    let mut rows = rows_of_any_store();
    rows.retain(|row| row.name != "slow-once");
    // What times out is asked again in halves, each a request of its own: if each were slow once, how many there are would decide
    // whether the time is enough.
    rows.push(Row::new("slow-once", Broken::from(Fault::BlackHole).most(1), Expected::Recovered { tries: 1 }).hasty());
    suite(true, |url| source(url, "v2")).run(rows).await;
}

/// Requests in a period, and more than are under way at once: before the first reply nobody knows of the limit.
const QUOTA: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_requests_is_shared_by_all_analyses_and_never_exceeded() {
    let _alone = crate::support::haldane::ALONE.lock().await;
    let datadog = Datadog::limited(QUOTA, Duration::from_secs(4));
    let store = FaultyStore::before(datadog.store(), MARKER).await;
    let mut limited = source(store.url("limited"), "v1");
    limited["max_concurrent"] = json!(8);
    let service = Service::over(&BTreeMap::from([("limited".to_owned(), limited)]), Duration::from_secs(40));
    // Five queries of the canary each: twice as many as the deadline leaves room for.
    let requests = (0..60).map(|i| {
        let mut request = request("limited", &config(), 0);
        request["canary"]["scope"] = json!(format!("canary-{i}"));
        request
    });
    let requests: Vec<Value> = requests.collect();
    let (mut judged, mut named) = (0, 0);
    for answer in join_all(requests.iter().map(|request| service.post(request))).await {
        let (status, body) = answer.expect("an answer in time");
        if status != 200 {
            assert!(body.contains("`metrics_query` of 20 requests in 4 s") || body.contains("`max_concurrent`"), "{status}: {body}");
            named += 1;
            continue;
        }
        for metric in super::card(&body).expect("a scorecard").judgement.metrics {
            if metric.status == Status::Error {
                // A few may have waited for a place to the end, the others for the limit.
                let says =
                    ["`metrics_query` of 20 requests in 4 s", "`max_concurrent`"].iter().any(|words| metric.sentence.contains(words));
                assert!(says, "{}", metric.sentence);
                named += 1;
            } else {
                judged += 1;
            }
        }
    }
    assert_eq!(datadog.refused(), 0, "of {} requests", datadog.answered());
    assert!(datadog.answered() > QUOTA, "only {} requests", datadog.answered());
    assert!(judged > 0 && named > 0, "{judged} judged, {named} told of the limit");
}
