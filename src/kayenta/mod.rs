//! Kayenta's API: its configs, requests and answers, and nothing else knows them.
//!
//! A client of Kayenta (Spinnaker's Orca, Gate and Deck, Argo Rollouts, Referee, a Kayenta with a remote judge) is pointed at Haldane and
//! finds what it expects. What was sent is read leniently, becomes an [`analysis::Request`](crate::analysis::Request), and the scorecard is
//! written as Kayenta writes results. An execution's id holds the request itself, so that any replica answers for it.
//!
//! What stands on the right knows nothing of what stands on its left; within a folder, likewise in the order of a line:
//!
//! ```text
//! routes ──▶ answering ──▶ reading ──▶ wire      convert ──▶ reading
//!
//! routes     a file for each resource; none knows another
//! answering  execution ▶ archive, status ▶ prepare ▶ state ▶ configs, interval, reply, payload, word; result ▶ score
//! reading    translate, standalone ▶ query ▶ request, native ▶ model; pairs
//!   query    (build_query) ▶ prometheus, datadog ▶ expansion ▶ template
//! wire       lenient ▶ values ▶ instant ▶ refusal
//! ```
//!
//! Where Kayenta is wrong in a way that no client can depend on, this edge is not; `quirks.md`, beside this file, lists each case.

mod answering;
pub mod convert;
pub mod reading;
mod routes;
pub mod wire;

use axum::Router;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post, put};
use tower_http::catch_panic::CatchPanicLayer;

use answering::reply::ErrorReply;
pub use answering::state::{Clock, Edge, SharedEdge};
use routes::{analyses, archive, canary, catalog, configs, document, fetch, pairs, pipelines, remote};

/// Kayenta's API over HTTP.
pub fn router(edge: SharedEdge) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, (path, methods)| with_slash(router, path, methods));
    with_slash(router, "/health", get(catalog::health))
        .route("/kayenta/openapi.json", get(document::openapi))
        .method_not_allowed_fallback(unknown_method)
        .layer(CatchPanicLayer::custom(answer_panic))
        .with_state(edge)
}

/// What there is, each path with its methods; `openapi/kayenta.json` describes the same.
fn routes() -> [(&'static str, MethodRouter<SharedEdge>); 23] {
    [
        ("/canary", post(canary::start_ad_hoc)),
        ("/canary/executions", get(canary::list)),
        ("/canary/{id}", get(canary::get).post(canary::start_stored)),
        ("/standalone_canary_analysis", post(analyses::start_ad_hoc)),
        ("/standalone_canary_analysis/{id}", get(analyses::get).post(analyses::start_stored)),
        ("/pipelines/{id}/cancel", put(pipelines::cancel)),
        ("/canaryConfig", get(configs::list).post(configs::create)),
        ("/canaryConfig/{id}", get(configs::get).put(configs::update).delete(configs::delete)),
        ("/metricSetPairList", get(pairs::list_pairs).post(pairs::create_pairs)),
        ("/metricSetPairList/{id}", get(pairs::get).delete(pairs::delete_pairs)),
        ("/metricSetPairList/{id}/{pair}", get(pairs::get_one)),
        ("/metricSetList", get(pairs::list_sets).post(pairs::create_sets)),
        ("/metricSetList/{id}", get(fetch::metric_sets).delete(pairs::delete_sets)),
        ("/canaryResultArchive", get(archive::list).post(archive::create)),
        ("/canaryResultArchive/{id}", get(archive::get).put(archive::update).delete(archive::delete)),
        ("/judge", post(remote::judge)),
        ("/judges", get(catalog::judges)),
        ("/judges/judge", post(remote::rejudge)),
        ("/credentials", get(catalog::credentials)),
        ("/metricsServices", get(catalog::metrics_services)),
        ("/metadata/metricsService", get(catalog::metadata)),
        ("/fetch/prometheus/query", post(fetch::prometheus)),
        ("/fetch/datadog/query", post(fetch::datadog)),
    ]
}

/// A route that is found with a slash behind it too, as the framework of Kayenta has it.
fn with_slash(router: Router<SharedEdge>, path: &str, methods: MethodRouter<SharedEdge>) -> Router<SharedEdge> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods)
}

fn answer_panic(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    ErrorReply::fault(&crate::pool::words_of(&*panic)).into_response()
}

async fn unknown_method(method: Method, uri: Uri) -> Response {
    // As the framework of Kayenta has it: what an address answers to is told to whoever asks.
    if method == Method::OPTIONS {
        return Response::default();
    }
    let shown: String = uri.path().chars().take(100).collect();
    let method: String = method.as_str().chars().take(20).collect();
    ErrorReply::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        format!("`{shown}` does not answer to {method}; the header Allow names what it answers to"),
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use axum::Extension;

    use super::*;
    use crate::access::Requester;
    use crate::analysis::{AnalysisLimits, Analyst};
    use crate::intake::Intake;
    use crate::judgements::id::IdKey;
    use crate::judgements::{Judgements, Links, Options};
    use crate::settings::{BodyLimits, ConfigStore, KayentaSettings};
    use crate::source::sources::Sources;

    fn edge() -> Edge {
        let analyst = std::sync::Arc::new(Analyst::new(Sources::default(), AnalysisLimits::default()));
        let judgements = Judgements::new(analyst, IdKey::random(), None, Options::default(), Links::default(), Box::new(|_| {}));
        let (configs, settings, bodies) = (ConfigStore::shipped(), KayentaSettings::default(), BodyLimits::default());
        Edge::new(judgements, &configs, settings, bodies, Intake::default(), None, Box::new(|| false)).unwrap()
    }

    #[tokio::test]
    async fn the_document_has_every_route_with_its_methods_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(document::DOCUMENT).unwrap();
        let mut described: Vec<(String, Vec<String>)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, operations)| {
                let methods = operations.as_object().unwrap().keys().filter(|key| *key != "parameters");
                let mut methods: Vec<String> = methods.map(|method| method.to_uppercase()).collect();
                methods.sort();
                (path.clone(), methods)
            })
            .filter(|(path, _)| path != "/health")
            .collect();
        let mut routed = Vec::new();
        for (path, methods) in routes() {
            let edge = SharedEdge::new(edge());
            let request = axum::extract::Request::builder().method("TRACE").uri("/").body(axum::body::Body::empty()).unwrap();
            let answer =
                tower::ServiceExt::oneshot(Router::new().route("/", methods).layer(Extension(Requester::Anyone)).with_state(edge), request)
                    .await
                    .unwrap();
            let allow = answer.headers()[axum::http::header::ALLOW].to_str().unwrap();
            // HEAD comes with GET.
            let mut methods: Vec<String> = allow.split(',').filter(|method| *method != "HEAD").map(str::to_owned).collect();
            methods.sort();
            routed.push((path.to_owned(), methods));
        }
        described.sort();
        routed.sort();
        assert_eq!(described, routed);
    }

    #[tokio::test]
    async fn a_panic_is_answered_with_a_message_that_keeps_it_to_itself() {
        let response = answer_panic(Box::new("the secret is 42"));
        assert_eq!(response.status().as_u16(), 500);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body["message"].as_str().is_some_and(|message| message.contains("the log") && !message.contains("secret")), "{body}");
    }
}
