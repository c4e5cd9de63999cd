//! What several integration tests need: programs that listen on a port, and telemetry to ask them for.

pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod telemetry;
