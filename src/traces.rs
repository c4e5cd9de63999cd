//! Spans for a collector, over OTLP (HTTP with protobuf). Off unless an endpoint is given; a caller's `traceparent` is taken over, and passed
//! on to metric stores.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HeaderExtractor, HeaderInjector, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use reqwest::header::HeaderMap;
use tokio::runtime::Handle;
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Filtered, Targets};
use tracing_subscriber::registry::LookupSpan;

/// Time for the collector to take a batch, and for the last one when the service ends.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer of the collector that is read, in bytes.
const LARGEST_ANSWER: usize = 64 << 10;

/// What turns spans into a collector's.
pub(crate) type TraceLayer<S> = Filtered<OpenTelemetryLayer<S, SdkTracer>, Targets, S>;

/// Sends spans to a collector, in batches and beside everything else: one that does not answer costs spans and nothing more.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Makes ready to send to the collector at `endpoint`, such as `http://127.0.0.1:4318`.
    ///
    /// # Errors
    /// What is wrong with the address, or with the settings of the environment (`OTEL_EXPORTER_OTLP_*`).
    pub(crate) fn to(endpoint: &str) -> Result<Self, String> {
        crate::tls::install_provider();
        let address = url::Url::parse(endpoint).map_err(|error| format!("`{endpoint}` is no address: {error}"))?;
        if !matches!(address.scheme(), "http" | "https") {
            return Err(format!("`{endpoint}` is no http address; give the collector's, such as http://127.0.0.1:4318"));
        }
        let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector { client, runtime: Handle::current() })
            // As the specification has it of an endpoint for every kind of signal.
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?;
        let resource = Resource::builder()
            .with_service_name("haldane")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build()))
    }

    /// Hears of spans. Those of the stages are below the level that is logged, so that lines of the log keep the request's.
    pub(crate) fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> TraceLayer<S> {
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer("haldane"));
        layer.with_filter(Targets::new().with_target("haldane", Level::DEBUG))
    }

    /// Sends what is left.
    pub(crate) async fn finish(self) {
        // It blocks; the runtime is needed meanwhile.
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(PATIENCE)).await;
        if let Ok(Err(error)) = ended {
            tracing::debug!(%error, "the last spans were not taken");
        }
    }
}

/// Makes a request's span a part of its caller's trace, where the caller names one.
pub(crate) fn take_over(span: &Span, headers: &HeaderMap) {
    if headers.contains_key("traceparent") {
        let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Without a collector there is nothing to be part of.
        let _ = span.set_parent(context);
    }
}

/// The headers by which whoever is asked next becomes a part of this trace; none where no spans are sent.
pub(crate) fn passed_on() -> HeaderMap {
    let mut headers = HeaderMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut HeaderInjector(&mut headers));
    // An empty state says nothing.
    if headers.get("tracestate").is_some_and(|state| state.is_empty()) {
        headers.remove("tracestate");
    }
    headers
}

/// Asks the collector on the runtime: the batches are made on a thread that has none.
struct Collector {
    client: reqwest::Client,
    runtime: Handle,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Answering<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let asked = self.runtime.spawn(async move {
            let mut answer = client.execute(request.try_into()?).await?;
            let status = answer.status();
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                body.extend_from_slice(&chunk);
                body.truncate(LARGEST_ANSWER);
            }
            Ok::<_, HttpError>(Response::builder().status(status).body(Bytes::from(body))?)
        });
        Box::pin(async move { asked.await? })
    }
}
