//! What can be said of a canary config without asking a metric store: by `haldane lint`, and on the start page.

mod config;
mod finding;
mod queries;

pub(crate) use config::examine;
pub(crate) use finding::{LintFinding, Severity, merged};
