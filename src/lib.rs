//! Haldane: asks whether a canary is worse than its baseline, and shows why.
//!
//! Everything that touches a network, a disk or a clock is here; everything that can change a verdict is in `haldane-judges`.

pub mod access;
pub mod analysis;
pub mod api;
pub mod archive;
pub mod cli;
mod files;
mod hex;
pub mod intake;
mod json;
pub mod judgements;
pub mod kayenta;
mod lint;
mod pool;
pub mod replay;
pub mod report;
pub mod server;
pub mod settings;
pub mod source;
mod tls;
mod traces;
