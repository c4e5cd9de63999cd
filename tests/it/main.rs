//! Integration tests of the service: the real router over a socket, recorded replies, a real Prometheus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod align;
mod api;
mod beside;
mod cli;
mod client;
mod datadog;
mod deploy;
mod edge;
mod faults;
mod history;
mod kayenta;
mod lint;
mod load;
mod observability;
mod pages;
mod prometheus;
mod real_histograms;
mod real_prometheus;
mod recordings;
mod replay;
mod reports;
mod support;
