//! A real Prometheus, the queries of one of four metrics broken on their way.

use serde_json::{Value, json};

use super::{Expected, Row, Suite, answer, rows_of_any_store, status, text};
use crate::support::faults::{Answer, Fault, store_at};
use crate::support::prometheus::Prometheus;
use crate::support::telemetry::{Arm, openmetrics};

const BROKEN: &str = "memory";
/// In the queries of that metric alone.
const MARKER: &str = "container_memory_working_set_bytes";

fn config() -> Value {
    let requests = r#"http_server_request_duration_seconds_count{pod=~"${scope}-[^-]+-[^-]+"}"#;
    let failed = requests.replace("{pod", r#"{http_response_status_code=~"5..", pod"#);
    let buckets = requests.replace("_count", "_bucket");
    json!({
        "name": "faults",
        "metrics": [
            {
                "name": BROKEN, "unit": "bytes", "direction": "increase", "tolerance": { "absolute": 1e7 },
                "queries": { "prometheus": r#"sum(avg_over_time(container_memory_working_set_bytes{pod=~"${scope}-[^-]+-[^-]+"}[${step}]))"# }
            },
            {
                "name": "error-ratio", "kind": "ratio", "direction": "increase", "critical": true, "absent_means_zero": true,
                "tolerance": { "absolute": 0.01, "relative": 0 }, "limits": { "max": 0.01 },
                "queries": { "prometheus": {
                    "numerator": format!("sum(increase({failed}[${{step}}]))"),
                    "denominator": format!("sum(increase({requests}[${{step}}]))")
                } }
            },
            {
                "name": "latency-p95", "unit": "ms", "direction": "increase", "tolerance": { "absolute": 5 }, "limits": { "max_ratio": 2 },
                "queries": { "prometheus": format!("1000 * histogram_quantile(0.95, sum by (le) (rate({buckets}[${{step}}])))") }
            },
            {
                "name": "throughput", "unit": "requests/s", "direction": "decrease", "limits": { "min": 0.001 },
                "queries": { "prometheus": format!("sum(rate({requests}[${{step}}]))") }
            }
        ]
    })
}

/// The good reply, its list of series changed.
fn result(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Fault {
    answer(move |good| {
        let mut reply: Value = serde_json::from_slice(&good.body).expect("Prometheus sends JSON");
        change(&mut reply["data"]["result"]);
        Answer::json(200, reply)
    })
}

/// The good reply with these `warnings`.
fn partial(warnings: Value) -> Fault {
    answer(move |good| {
        let mut reply: Value = serde_json::from_slice(&good.body).expect("Prometheus sends JSON");
        reply["warnings"] = warnings.clone();
        Answer::json(200, reply)
    })
}

/// The good reply, the points of each series changed.
fn points(change: impl Fn(&mut Vec<Value>) + Send + Sync + 'static) -> Fault {
    result(move |result| {
        for series in result.as_array_mut().expect("a list") {
            change(series["values"].as_array_mut().expect("points"));
        }
    })
}

/// The good reply, each point's time and value changed.
fn each(change: impl Fn(usize, i64, &str) -> Value + Send + Sync + 'static) -> Fault {
    points(move |points| {
        for (i, point) in points.iter_mut().enumerate() {
            *point = change(i, point[0].as_i64().expect("a time"), point[1].as_str().expect("a value"));
        }
    })
}

const TOO_MANY_POINTS: &str = include_str!("../../../fixtures/prometheus/error-400-too-many-points.json");

fn rows() -> Vec<Row> {
    use Expected::{Error, Judged, NotPassed};
    vec![
        Row::new(
            "numbers-for-strings",
            each(|_, at, value| json!([at, value.parse::<f64>().expect("a number")])),
            Error(&["cannot be read", "written as text"]),
        ),
        Row::new("strings-for-times", each(|_, at, value| json!([at.to_string(), value])), Error(&["cannot be read", "invalid type"])),
        Row::new("words-for-values", each(|_, at, _| json!([at, "many"])), Error(&["cannot be read", "`many` of a point is not a number"])),
        Row::new(
            "object-for-list",
            result(|result| *result = json!({ "0": result.clone() })),
            Error(&["cannot be read", "not a list of series"]),
        ),
        Row::new(
            "scalar",
            text(r#"{"status":"success","data":{"resultType":"scalar","result":[1748944800,"1"]}}"#),
            Error(&["`scalar`, not `matrix`"]),
        ),
        Row::new(
            "vector",
            text(r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1748944800,"1"]}]}}"#),
            Error(&["`vector`, not `matrix`"]),
        ),
        Row::new("nothing-but-status", text(r#"{"status":"success"}"#), Error(&["cannot be read", "no `data`"])),
        Row::new("null", text("null"), Error(&["cannot be read", "null"])),
        Row::new(
            "error-in-200",
            text(r#"{"status":"error","errorType":"execution","error":"expanding series: no space left"}"#),
            Error(&["refused the query", "no space left"]),
        ),
        Row::new("half-of-the-stores", partial(json!(["receive series from Addr: store-0: Unavailable"])), Error(&["partial", "store-0"])),
        Row::new("annotated", partial(json!(["PromQL info: metric might not be a counter"])), Judged(&["might not be a counter"])),
        Row::new("refused", answer(|_| Answer::json(400, TOO_MANY_POINTS)), Error(&["refused the query", "11,000 points"])),
        Row::new("reversed", points(|points| points.reverse()), Judged(&[])),
        Row::new(
            "twice",
            points(|points| *points = points.iter().flat_map(|point| [point.clone(), point.clone()]).collect()),
            Judged(&["more than once"]),
        ),
        Row::new(
            "twice-otherwise",
            points(|points| {
                *points = points.iter().flat_map(|point| [json!([point[0], "1"]), point.clone()]).collect();
            }),
            Judged(&["more than once", "differ"]),
        ),
        Row::new(
            "11001-points",
            points(|points| {
                let last = points.last().and_then(|point| point[0].as_i64()).expect("a point");
                *points = (0..11_001).map(|i| json!([last - 60 * i, "5e8"])).rev().collect();
            }),
            Error(&["cannot be read", "outside of the window"]),
        ),
        Row::new("an-hour-ahead", each(|_, at, value| json!([at + 3600, value])), Error(&["cannot be read", "outside of the window"])),
        Row::new("an-hour-behind", each(|_, at, value| json!([at - 3600, value])), NotPassed(&["too few points"])),
        Row::new(
            "half-an-hour-ahead",
            each(|i, at, value| json!([at + if i % 2 == 0 { 3600 } else { 0 }, value])),
            Error(&["cannot be read", "outside of the window"]),
        ),
        Row::new("milliseconds", each(|_, at, value| json!([at * 1000, value])), Error(&["cannot be read", "outside of the window"])),
        Row::new("nan", each(|_, at, _| json!([at, "NaN"])), NotPassed(&["too few points"])),
        Row::new("infinite", each(|_, at, _| json!([at, "+Inf"])), NotPassed(&["infinite"])),
        Row::new("no-series", result(|result| *result = json!([])), NotPassed(&["too few points"])),
        Row::new(
            "several-series",
            result(|result| {
                let mut other = result[0].clone();
                other["metric"] = json!({ "pod": "another" });
                result.as_array_mut().expect("a list").push(other);
            }),
            Error(&["series"]),
        ),
        Row::new(
            "6000-series",
            result(|result| {
                *result = (0..6_000).map(|i| json!({ "metric": { "pod": i.to_string() }, "values": [result[0]["values"].as_array().and_then(|values| values.last())] })).collect();
            }),
            Error(&["series"]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_that_fails_costs_one_metric_and_passes_none() {
    let prometheus = Prometheus::over(&openmetrics(&[Arm::healthy("healthy"), Arm::healthy("healthy-canary")]));
    let suite = Suite {
        store: store_at(prometheus.url()),
        marker: MARKER,
        together: false,
        broken: BROKEN,
        config: config(),
        source: |url| json!({ "kind": "prometheus", "url": url }),
    };
    suite.run(rows_of_any_store().into_iter().chain(rows()).collect()).await;
}

/// The values of the series of one bucket changed.
fn bucket(le: &'static str, change: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static) -> Fault {
    result(move |result| {
        for series in result.as_array_mut().expect("a list").iter_mut().filter(|series| series["metric"]["le"] == le) {
            let points = series["values"].as_array_mut().expect("points");
            let changed = points.iter().enumerate().filter_map(|(i, point)| Some(json!([point[0], change(i, point[1].as_str()?)?])));
            *points = changed.collect();
        }
    })
}

/// Where a metric's requests are read bucket by bucket: what breaks a histogram without breaking a series.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_that_are_broken_are_named_and_pass_nothing_that_they_do_not_show() {
    use Expected::{Error, Judged, NotPassed};
    let prometheus = Prometheus::over(&openmetrics(&[Arm::healthy("healthy"), Arm::healthy("healthy-canary")]));
    let mut config = config();
    let latency =
        r#"sum by (le) (increase(http_server_request_duration_seconds_bucket{by_requests="", pod=~"${scope}-[^-]+-[^-]+"}[${step}]))"#;
    config["metrics"].as_array_mut().expect("metrics").push(json!({
        "name": "latency", "kind": "distribution", "unit": "s", "direction": "increase", "critical": true, "queries": { "prometheus": latency }
    }));
    let suite = Suite {
        store: store_at(prometheus.url()),
        marker: "by_requests",
        together: false,
        broken: "latency",
        config,
        source: |url| json!({ "kind": "prometheus", "url": url }),
    };
    let without =
        |le: &'static str| result(move |result| result.as_array_mut().expect("a list").retain(|series| series["metric"]["le"] != le));
    let all = |result: &Value| {
        let all = result.as_array().expect("a list").iter().find(|series| series["metric"]["le"] == "+Inf");
        all.expect("all requests")["values"].as_array().expect("points").clone()
    };
    let rows = vec![
        Row::new("500", status(500), Error(&["could not be reached", "500"])),
        Row::new("without-inf", without("+Inf"), Error(&["no series with le=\"+Inf\"", "keep it"])),
        Row::new(
            "inf-alone",
            result(|result| result.as_array_mut().expect("a list").retain(|series| series["metric"]["le"] == "+Inf")),
            Error(&["only le=\"+Inf\" came", "keep the finite bounds"]),
        ),
        Row::new(
            "without-le",
            result(|result| result.as_array_mut().expect("a list").iter_mut().for_each(|series| series["metric"] = json!({}))),
            Error(&["no bucket of a histogram", "sum by (le)"]),
        ),
        Row::new(
            "le-in-words",
            result(|result| result[0]["metric"]["le"] = json!("fast")),
            Error(&["`fast` of the label `le` is no bound"]),
        ),
        Row::new("falling", bucket("2.5", |_, _| Some("0".to_owned())), Judged(&["the counts fall over rising bounds"])),
        Row::new(
            "midway",
            // Of 115 points the last 60 are judged.
            bucket("0.5", |i, value| (i >= 85).then(|| value.to_owned())),
            Judged(&["the bounds of the buckets changed: 0.5 were not there throughout"]),
        ),
        Row::new(
            "nan-in-a-bucket",
            bucket("0.5", |i, value| Some(if i % 7 == 0 { "NaN".to_owned() } else { value.to_owned() })),
            Judged(&["the bounds of the buckets changed: 0.5"]),
        ),
        Row::new("nan-of-all", bucket("+Inf", |_, _| Some("NaN".to_owned())), Error(&["no series with le=\"+Inf\""])),
        Row::new("nan", each(|_, at, _| json!([at, "NaN"])), NotPassed(&[])),
        Row::new("infinite", bucket("+Inf", |_, _| Some("+Inf".to_owned())), NotPassed(&[])),
        Row::new("no-series", result(|result| *result = json!([])), NotPassed(&[])),
        Row::new(
            "halves-of-requests",
            each(|_, at, value| json!([at, (value.parse::<f64>().expect("a number") / 2.0).to_string()])),
            Judged(&[]),
        ),
        Row::new(
            "1001-buckets",
            result(move |result| {
                let all = all(result);
                let bound = |i: usize| json!({ "metric": { "le": i.to_string() }, "values": all });
                let other = json!({ "metric": { "le": "+Inf" }, "values": all });
                *result = (1..=1001).map(bound).chain([other]).collect();
            }),
            Error(&["1001 bounds of buckets are more than 1000", "filter on `le`"]),
        ),
        Row::new(
            "native-beside-classic",
            result(move |result| {
                let native =
                    |point: &Value| json!([point[0], { "count": point[1], "sum": "1", "buckets": [[0, "0.02", "0.1", point[1]]] }]);
                let histograms: Vec<Value> = all(result).iter().map(native).collect();
                result.as_array_mut().expect("a list").push(json!({ "metric": {}, "histograms": histograms }));
            }),
            NotPassed(&["the native histograms of the reply were taken; 19 other series came beside them"]),
        ),
    ];
    suite.run(rows).await;
}

/// Of a critical ratio the numerator alone, which is absent where there are no errors: a failed read must not be taken for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_numerator_that_cannot_be_read_is_not_taken_for_no_errors() {
    let prometheus = Prometheus::over(&openmetrics(&[Arm::healthy("healthy"), Arm::healthy("healthy-canary")]));
    let suite = Suite {
        store: store_at(prometheus.url()),
        marker: "http_response_status_code",
        together: false,
        broken: "error-ratio",
        config: config(),
        source: |url| json!({ "kind": "prometheus", "url": url }),
    };
    let rows = vec![
        Row::new("500", status(500), Expected::Error(&["could not be reached", "500"])),
        Row::new("429", status(429), Expected::Error(&["rate limit"])),
        Row::new("empty", text(""), Expected::Error(&["cannot be read"])),
        Row::new("null", text("null"), Expected::Error(&["cannot be read"])),
        Row::new("cut", Fault::Cut, Expected::Error(&["broke off the connection"])),
        Row::new(
            "no-store",
            text(r#"{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":["No StoreAPIs matched for this query"]}"#),
            Expected::Error(&["partial", "No StoreAPIs matched", "accept_partial"]),
        ),
        Row::new(
            "is-partial",
            text(r#"{"status":"success","isPartial":true,"data":{"resultType":"matrix","result":[]}}"#),
            Expected::Error(&["partial", "did not answer"]),
        ),
        Row::new("black-hole", Fault::BlackHole, Expected::Error(&["did not answer within"])).hasty(),
    ];
    suite.run(rows).await;
}
