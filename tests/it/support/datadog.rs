//! A server that plays what Datadog documents of its metrics APIs.
//!
//! v1 `query`: <https://docs.datadoghq.com/api/latest/metrics/query-timeseries-points/>. v2 `timeseries`:
//! <https://docs.datadoghq.com/api/latest/metrics/query-timeseries-data-across-multiple-products/>. Limits:
//! <https://docs.datadoghq.com/api/latest/rate-limits/>. Coarser points of long ranges:
//! <https://docs.datadoghq.com/dashboards/functions/rollup/>.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::faults::{Answer, Asked, Store};
use super::relay::lock;
use super::telemetry::{MINUTES, Random, START};

/// The keys that it takes.
pub(crate) const API_KEY: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const APP_KEY: &str = "fedcba9876543210fedcba9876543210";
/// Points of a series beyond which it takes several together.
const MOST_POINTS: i64 = 1_500;

/// How often it may be asked.
struct Quota {
    requests: usize,
    period: Duration,
    /// When the present period began, and how many requests came in it.
    state: Mutex<(Instant, usize)>,
}

/// A Datadog of its own.
pub(crate) struct Datadog {
    quota: Option<Quota>,
    refused: AtomicUsize,
    answered: AtomicUsize,
}

impl Datadog {
    pub(crate) fn unlimited() -> Arc<Self> {
        Arc::new(Self { quota: None, refused: AtomicUsize::new(0), answered: AtomicUsize::new(0) })
    }

    pub(crate) fn limited(requests: usize, period: Duration) -> Arc<Self> {
        let quota = Quota { requests, period, state: Mutex::new((Instant::now(), 0)) };
        Arc::new(Self { quota: Some(quota), refused: AtomicUsize::new(0), answered: AtomicUsize::new(0) })
    }

    /// Requests beyond the limit.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// Requests within it.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    pub(crate) fn store(self: &Arc<Self>) -> Store {
        let this = Arc::clone(self);
        Arc::new(move |asked: Asked| {
            let this = Arc::clone(&this);
            Box::pin(async move { this.answer(&asked) })
        })
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let key = |name: &str| asked.headers.get(name).map(String::as_str);
        if key("dd-api-key") != Some(API_KEY) || key("dd-application-key") != Some(APP_KEY) {
            return Answer::json(403, json!({ "errors": ["Forbidden"] }));
        }
        let Some(quota) = &self.quota else {
            return answer_to(asked);
        };
        let (over, left, reset) = {
            let mut state = lock(&quota.state);
            let periods = state.0.elapsed().as_nanos() / quota.period.as_nanos();
            if periods > 0 {
                *state = (state.0 + quota.period * u32::try_from(periods).expect("a short test"), 0);
            }
            state.1 += 1;
            (state.1 > quota.requests, quota.requests.saturating_sub(state.1), quota.period.saturating_sub(state.0.elapsed()))
        };
        let answer = if over {
            self.refused.fetch_add(1, Ordering::SeqCst);
            Answer::json(429, json!({ "errors": ["Rate limit of 20 requests in 4 seconds reached. Please try again later."] }))
        } else {
            self.answered.fetch_add(1, Ordering::SeqCst);
            answer_to(asked)
        };
        answer
            .with("x-ratelimit-limit", quota.requests)
            .with("x-ratelimit-period", quota.period.as_secs())
            .with("x-ratelimit-remaining", left)
            .with("x-ratelimit-reset", reset.as_secs_f64().ceil())
            .with("x-ratelimit-name", "metrics_query")
    }
}

fn answer_to(asked: &Asked) -> Answer {
    let (path, parameters) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    match (asked.method.as_str(), path) {
        ("GET", "/api/v1/query") => v1(parameters),
        ("POST", "/api/v2/query/timeseries") => v2(&asked.json()),
        _ => Answer::json(404, json!({ "errors": ["Not found"] })),
    }
}

fn bad(detail: &str) -> Answer {
    Answer::json(400, json!({ "errors": [detail] }))
}

fn v1(parameters: &str) -> Answer {
    let parameters: Vec<(String, String)> = url::form_urlencoded::parse(parameters.as_bytes()).into_owned().collect();
    let parameter = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default();
    let (Ok(from), Ok(to)) = (parameter("from").parse::<i64>(), parameter("to").parse::<i64>()) else { return bad("no range") };
    let query = parameter("query");
    let parts: Vec<&str> = query.split(" / ").collect();
    let Some((interval, series)) = all_points(&parts, from, to) else { return bad(&format!("Error parsing query: {query}")) };
    let points: Vec<Value> = quotient(&series).into_iter().filter_map(|(at, value)| Some(json!([at as f64 * 1000.0, value?]))).collect();
    let one = json!({
        "metric": query, "expression": query, "scope": "*", "tag_set": [], "interval": interval, "length": points.len(), "aggr": null,
        "pointlist": points, "unit": null, "attributes": {}, "query_index": 0
    });
    let series = if points.is_empty() { json!([]) } else { json!([one]) };
    Answer::json(
        200,
        json!({
            "status": "ok", "res_type": "time_series", "resp_version": 1, "query": query, "from_date": from * 1000, "to_date": to * 1000,
            "series": series, "values": [], "times": [], "message": "", "group_by": []
        }),
    )
}

fn v2(request: &Value) -> Answer {
    let attributes = &request["data"]["attributes"];
    let (Some(from), Some(to)) = (attributes["from"].as_i64(), attributes["to"].as_i64()) else { return bad("no range") };
    let (from, to) = (from / 1000, to / 1000);
    let queries: Vec<(&str, &str)> = attributes["queries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|query| (query["name"].as_str().unwrap_or_default(), query["query"].as_str().unwrap_or_default()))
        .collect();
    let mut times: Vec<i64> = Vec::new();
    let (mut series, mut values) = (Vec::new(), Vec::new());
    for (i, formula) in attributes["formulas"].as_array().into_iter().flatten().enumerate() {
        let formula = formula["formula"].as_str().unwrap_or_default();
        let texts: Option<Vec<&str>> =
            formula.split('/').map(|name| queries.iter().find(|(known, _)| *known == name.trim()).map(|(_, query)| *query)).collect();
        let points = texts.and_then(|texts| all_points(&texts, from, to));
        let Some((_, points)) = points else { return bad(&format!("invalid query or formula: {formula} of {queries:?}")) };
        let points = quotient(&points);
        if points.iter().all(|(_, value)| value.is_none()) {
            continue;
        }
        times = points.iter().map(|(at, _)| at * 1000).collect();
        series.push(json!({ "group_tags": [], "query_index": i, "unit": null }));
        values.push(points.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
    }
    Answer::json(
        200,
        json!({ "data": { "id": "0", "type": "timeseries_response", "attributes": { "series": series, "times": times, "values": values } } }),
    )
}

type Points = Vec<(i64, Option<f64>)>;

fn quotient(series: &[Points]) -> Points {
    let mut all = series.iter();
    let mut points = all.next().cloned().unwrap_or_default();
    for divisor in all {
        for (point, by) in points.iter_mut().zip(divisor) {
            point.1 = point.1.zip(by.1).map(|(a, b)| a / b);
        }
    }
    points
}

/// The interval in seconds, and what each query reads; `None` where one cannot be read.
fn all_points(queries: &[&str], from: i64, to: i64) -> Option<(i64, Vec<Points>)> {
    let read: Option<Vec<(i64, Points)>> = queries.iter().map(|query| points(query.trim(), from, to)).collect();
    let read = read?;
    Some((read.first()?.0, read.into_iter().map(|(_, points)| points).collect()))
}

/// What a query such as `sum:http.hits{service:web}.as_count().rollup(sum, 60)` reads: the beginning of each interval, and its value.
fn points(query: &str, from: i64, to: i64) -> Option<(i64, Points)> {
    let (_, rest) = query.split_once(':')?;
    let (metric, rest) = rest.split_once('{')?;
    let (filter, modifiers) = rest.split_once('}')?;
    let level = match metric {
        "container.memory.usage" => 5.5e8,
        "trace.http.request.duration" => 48.0,
        "trace.http.request.hits" => 600.0,
        "trace.http.request.errors" => 1.2,
        // As Datadog does for a metric that it has never seen.
        "no.such.metric" => return Some((60, Vec::new())),
        _ => return None,
    };
    let rollup = modifiers.split_once(".rollup(")?.1.split_once(')')?.0;
    let asked: i64 = rollup.rsplit(',').next()?.trim().parse().ok()?;
    // Without a word: more points than there may be are taken together.
    let interval = asked * (1 + ((to - from) / asked - 1) / MOST_POINTS);
    let recorded = START..START + 60 * MINUTES as i64;
    let value = |at: i64| {
        let noise = Random::seeded(&format!("{metric} {filter} {at}")).normal();
        let value = level * (1.0 + 0.02 * noise);
        let value = if modifiers.contains("as_count") { value.round() } else { value };
        recorded.contains(&at).then_some(value)
    };
    let first = from.div_euclid(interval) * interval;
    Some((interval, (0..).map(|i| first + i * interval).take_while(|at| *at < to).map(|at| (at, value(at))).collect()))
}
