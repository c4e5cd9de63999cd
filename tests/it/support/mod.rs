//! What several integration tests need: programs that listen on a port, and telemetry to ask them for.

pub(crate) mod datadog;
pub(crate) mod faults;
pub(crate) mod haldane;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod relay;
pub(crate) mod telemetry;

use ::haldane::analysis::{AnalysisError, Analyst, Request, Scorecard};
use tokio::time::Instant;

/// What a request comes to, with every sample in it.
pub(crate) async fn scorecard(analyst: &Analyst, request: &Request, deadline: Instant) -> Result<Scorecard, AnalysisError> {
    analyst.run(&analyst.plan(request.clone())?, deadline, &|_| ()).await.map(Scorecard::with_samples)
}
