//! `/fetch`: what a metric would ask its store, and the series it would get.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use haldane_judges::evidence::is_absent;
use serde_json::{Map, Value, json};

use crate::access::Requester;
use crate::archive::DocumentKind;
use crate::kayenta::answering::archive::absent;
use crate::kayenta::answering::payload::{FetchPayload, Payload};
use crate::kayenta::answering::prepare::is_tag;
use crate::kayenta::answering::reply::{ErrorReply, Parameters, Path, written};
use crate::kayenta::answering::state::{Edge, SharedEdge};
use crate::kayenta::reading::model::CanaryConfig;
use crate::kayenta::reading::query::build_query;
use crate::kayenta::reading::request::CanaryScope;
use crate::kayenta::routes::foreign::refuse_execution;
use crate::kayenta::wire::refusal::shown as shown_text;
use crate::kayenta::wire::values::{at_second, number, put_time};
use crate::source::{Query, Window};

/// Points that a reply may have: as many as an analysis takes.
fn bounded(edge: &Edge, window: Window) -> Result<Window, ErrorReply> {
    let most = edge.executions.analyst().limits().max_points;
    if window.len() > most {
        return Err(ErrorReply::bad_request(format!(
            "{} points are more than {most}; give a larger `step` or a shorter window",
            window.len()
        )));
    }
    Ok(window)
}

/// `POST /fetch/prometheus/query`.
pub(crate) async fn prometheus(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, ErrorReply> {
    let list = |name: &str| parameters.all(name).into_iter().map(Value::from).collect::<Vec<_>>();
    let query = json!({
        "type": "prometheus",
        "metricName": parameters.required("metricName")?,
        "labelBindings": list("labelBindings"),
        "groupByFields": list("groupByFields"),
        "resourceType": parameters.get("resourceType").unwrap_or_default(),
        // What is called a filter here is a template.
        "customInlineTemplate": parameters.get("customFilter").unwrap_or_default(),
    });
    fetch(&edge, &parameters, query).await
}

/// `POST /fetch/datadog/query`.
pub(crate) async fn datadog(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, ErrorReply> {
    let query = json!({
        "type": "datadog",
        "metricName": parameters.required("metricName")?,
        "customInlineTemplate": parameters.get("customFilter").unwrap_or_default(),
    });
    fetch(&edge, &parameters, query).await
}

async fn fetch(edge: &Edge, parameters: &Parameters, query: Value) -> Result<Json<Value>, ErrorReply> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let name = parameters.required("metricSetName")?;
    let dry = parameters.flag("dryRun")?.unwrap_or(false);
    if let Some(account) = parameters.get("metricsAccountName") {
        edge.metrics_account(Some(account), None)?;
    }
    let config = CanaryConfig::from_value(json!({ "name": "fetch", "metrics": [{ "name": name, "query": query }] }))?;
    let mut scope = Map::new();
    for (field, parameter) in [("scope", "scope"), ("location", "location"), ("start", "start"), ("end", "end")] {
        if let Some(value) = parameters.get(parameter) {
            scope.insert(field.to_owned(), value.into());
        }
    }
    if let Some(step) = parameters.parsed::<i64>("step", "a number of seconds")? {
        scope.insert("step".to_owned(), step.into());
    }
    if let Some(project) = parameters.get("project") {
        scope.insert("extendedScopeParams".to_owned(), json!({ "project": project }));
    }
    let scope: CanaryScope = crate::kayenta::wire::lenient::read(&Value::Object(scope))?;
    let metric = config.metrics.first().ok_or_else(|| ErrorReply::bad_request("no metric to ask for"))?;
    let text = build_query(&config, metric, &scope)?;
    if dry {
        return Ok(Json(json!({ "query": text })));
    }
    let kind = metric.query.kind.as_str();
    let account = edge.metrics_account(parameters.get("metricsAccountName"), Some(kind))?;
    if kind != account.kind() {
        let message = format!("account `{}` is of type `{}`, and the query is for {kind}; name another", account.name(), account.kind());
        return Err(ErrorReply::bad_request(message));
    }
    let window = bounded(edge, scope.window_of(&metric.query.kind)?)?;
    let payload = FetchPayload {
        metrics_account: account.name().to_owned(),
        metric_set_name: name.to_owned(),
        query: text,
        start: window.start,
        end: window.end,
        step_seconds: window.step_seconds,
    };
    let identity = edge.identify(Payload::Fetch(payload), edge.now(), rand::random()).await?;
    Ok(Json(json!({ "metricSetListId": identity.id })))
}

/// `GET /metricSetList/{id}`: a list that was stored, or the series of a query, fetched now.
pub(crate) async fn metric_sets(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Response, ErrorReply> {
    edge.other_account(parameters.get("accountName"))?;
    if let Some(store) = edge.store()
        && let Some(found) = store.get::<Value>(DocumentKind::MetricSetList, &id).await.or_else(absent)?
    {
        caller.is_unbound()?;
        return Ok(written(found.value, found.memory).await);
    }
    let execution = edge.open(&id).await?;
    refuse_execution(&caller, &execution)?;
    let Payload::Fetch(payload) = execution.payload else {
        return Err(ErrorReply::not_found(format!("there is no list of metric sets with the id `{}`", shown_text(&id))));
    };
    let account = edge.metrics_account(Some(&payload.metrics_account), None)?;
    let window = bounded(&edge, Window { start: payload.start, end: payload.end, step_seconds: payload.step_seconds.max(1) })?;
    let reply = account
        .fetch(&Query { text: payload.query.clone(), window, buckets: false }, edge.store_deadline())
        .await
        .map_err(|error| ErrorReply::new(StatusCode::BAD_GATEWAY, format!("account `{}`: {error}", account.name())))?;
    let step = i64::from(window.step_seconds);
    // As in Kayenta, a set has the points that there are, from the first on, and ends a step after as many.
    let set = |labels: &BTreeMap<String, String>, values: &[f64]| {
        let first = values.iter().position(|value| !is_absent(*value));
        let values: Vec<f64> = values.iter().copied().filter(|value| !is_absent(*value)).collect();
        let start = first.map_or(window.first_point(), |first| window.first_point() + step * first as i64);
        let end = if first.is_some() { start + step * values.len() as i64 } else { window.end };
        let tags: BTreeMap<&String, &String> = labels.iter().filter(|(name, _)| is_tag(name)).collect();
        let mut set = Map::new();
        set.insert("name".to_owned(), payload.metric_set_name.clone().into());
        set.insert("tags".to_owned(), json!(tags));
        put_time(&mut set, "startTime", at_second(start));
        put_time(&mut set, "endTime", at_second(end));
        set.insert("stepMillis".to_owned(), (step * 1000).into());
        set.insert("values".to_owned(), values.into_iter().map(number).collect());
        set.insert("attributes".to_owned(), json!({ "query": payload.query }));
        Value::Object(set)
    };
    let sets: Vec<Value> = reply.series.iter().map(|series| set(&series.labels, &series.values)).collect();
    // As Kayenta has it, no series is one set without values.
    let sets = if sets.is_empty() { json!([set(&BTreeMap::new(), &[])]) } else { sets.into() };
    Ok(written(sets, None).await)
}
