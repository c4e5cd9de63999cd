//! What several integration tests need: programs that listen on a port, and telemetry to ask them for.

pub(crate) mod datadog;
pub(crate) mod faults;
pub(crate) mod haldane;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod relay;
pub(crate) mod telemetry;
