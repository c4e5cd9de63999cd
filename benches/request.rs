//! What a request costs between its JSON and the reply's: read, checked, planned, judged, written, by the service's own routes and
//! without a socket. Beside it what reading and writing the same JSON costs.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode, header};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use haldane::api::{AppState, router};
use haldane::settings::{ServeArgs, Settings};
use serde_json::Value;
use tower::ServiceExt as _;

#[path = "support/body.rs"]
mod body;
#[path = "support/data.rs"]
mod data;

/// Requests that are sent in turn, each with samples of its own.
const REQUESTS: u64 = 16;

async fn reply(router: &Router, body: Bytes) -> Option<Bytes> {
    let request = Request::post("/v1/judgements").header(header::CONTENT_TYPE, "application/json").body(Body::from(body)).ok()?;
    let response = router.clone().oneshot(request).await.ok()?;
    let status = response.status();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.ok()?;
    (status == StatusCode::OK).then_some(bytes)
}

fn of_a_request(criterion: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() else { return };
    let Some(router) = Settings::load(ServeArgs::default()).ok().and_then(|settings| AppState::new(settings).ok()).map(router) else {
        return;
    };
    let mut group = criterion.benchmark_group("request");
    for metrics in [10, 50] {
        let bodies: Vec<Bytes> = (0..REQUESTS).map(|seed| body::inline(metrics, 60, seed).to_string().into()).collect();
        let replies: Option<Vec<Bytes>> = bodies.iter().map(|body| runtime.block_on(reply(&router, body.clone()))).collect();
        let Some(replies) = replies else { return };
        let documents: Vec<Value> = replies.iter().filter_map(|reply| serde_json::from_slice(reply).ok()).collect();
        let mut turn = (0..REQUESTS as usize).cycle();
        let mut next = move || turn.next().unwrap_or(0);
        group.bench_function(BenchmarkId::new("json_in_to_json_out", metrics), |bencher| {
            bencher.iter(|| black_box(runtime.block_on(reply(&router, bodies[next()].clone()))));
        });
        group.bench_function(BenchmarkId::new("parse_body", metrics), |bencher| {
            bencher.iter(|| black_box(serde_json::from_slice::<Value>(&bodies[next()])));
        });
        group.bench_function(BenchmarkId::new("write_reply", metrics), |bencher| {
            bencher.iter(|| black_box(documents[next()].to_string()));
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3)).sample_size(30).without_plots()
}

criterion_group! { name = benches; config = short(); targets = of_a_request }
criterion_main!(benches);
