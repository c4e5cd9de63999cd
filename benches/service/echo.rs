//! The floor: a bare axum server that reads each request whole and answers with given bytes.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::{get, post};

use super::Failure;

/// Serves until it is killed.
pub(crate) async fn serve(address: SocketAddr, reply: Bytes) -> Result<(), Failure> {
    let answer = move |_: Bytes| {
        let reply = reply.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], reply) }
    };
    let router = Router::new().route("/health/ready", get(|| async { "" })).route("/v1/judgements", post(answer));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router).await?;
    Ok(())
}
