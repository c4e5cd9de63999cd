//! HTTP servers that hand requests on: a load balancer, and a metric store that is slower than it is.

use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use reqwest::Client;

use super::haldane::client;

/// A server on a port of its own, ended when dropped.
#[derive(Debug)]
pub(crate) struct Local {
    address: SocketAddr,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Local {
    pub(crate) async fn serve(router: Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        Self { address, task: tokio::spawn(axum::serve(listener, router).into_future()) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request that can be sent more than once.
struct RelayedRequest {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl RelayedRequest {
    async fn of(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let mut headers = parts.headers;
        headers.remove("host");
        let body = to_bytes(body, 64 << 20).await.expect("a body");
        Self { method: parts.method, target, headers, body }
    }

    /// What `server` answers, if it does.
    async fn sent(&self, client: &Client, server: &str) -> reqwest::Result<Response> {
        let request = client.request(self.method.clone(), format!("{server}{}", self.target)).headers(self.headers.clone());
        let reply = request.body(self.body.clone()).send().await?;
        let (status, mut headers) = (reply.status(), reply.headers().clone());
        headers.remove("transfer-encoding");
        Ok((status, headers, Body::from(reply.bytes().await?)).into_response())
    }
}

/// Names the replica that answered, by its place.
pub(crate) const ANSWERED_BY: &str = "x-answered-by";

/// Hands each request to the next server in turn, and what may be sent twice on to another where that one is dead.
#[derive(Debug)]
pub(crate) struct Balancer {
    local: Local,
    servers: Arc<Mutex<Vec<String>>>,
}

impl Balancer {
    pub(crate) async fn before(servers: Vec<String>) -> Self {
        let servers = Arc::new(Mutex::new(servers));
        let (shared, turn, client) = (Arc::clone(&servers), Arc::new(AtomicUsize::new(0)), client());
        let hand_on = move |request: Request| {
            let (servers, turn, client) = (Arc::clone(&shared), Arc::clone(&turn), client.clone());
            async move {
                let request = RelayedRequest::of(request).await;
                let servers = lock(&servers).clone();
                let first = turn.fetch_add(1, Ordering::Relaxed);
                for place in (0..servers.len()).map(|i| (first + i) % servers.len()) {
                    match request.sent(&client, &servers[place]).await {
                        Ok(mut reply) => {
                            reply.headers_mut().insert(ANSWERED_BY, place.into());
                            return reply;
                        }
                        Err(error) if request.method == Method::GET || error.is_connect() => {}
                        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
                    }
                }
                (StatusCode::BAD_GATEWAY, "no server answers").into_response()
            }
        };
        Self { local: Local::serve(Router::new().fallback(hand_on)).await, servers }
    }

    pub(crate) fn url(&self) -> String {
        self.local.url()
    }

    /// A server was started again at another address.
    pub(crate) fn replace(&self, place: usize, url: String) {
        lock(&self.servers)[place] = url;
    }
}

/// A metric store in front of which every query waits, and is counted.
#[derive(Debug)]
pub(crate) struct SlowStore {
    local: Local,
    queries: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl SlowStore {
    pub(crate) async fn before(store: String, delay: Duration) -> Self {
        let queries = Arc::new(Mutex::new(BTreeMap::new()));
        let (counted, client) = (Arc::clone(&queries), client());
        let hand_on = move |request: Request| {
            let (queries, client, store) = (Arc::clone(&counted), client.clone(), store.clone());
            async move {
                let request = RelayedRequest::of(request).await;
                if request.target.contains("query_range") {
                    let query = format!("{} {}", request.target, String::from_utf8_lossy(&request.body));
                    *lock(&queries).entry(query).or_default() += 1;
                    tokio::time::sleep(delay).await;
                }
                request.sent(&client, &store).await.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
            }
        };
        Self { local: Local::serve(Router::new().fallback(hand_on)).await, queries }
    }

    pub(crate) fn url(&self) -> String {
        self.local.url()
    }

    /// How often each query was sent since the last call.
    pub(crate) fn queries(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut lock(&self.queries))
    }
}
