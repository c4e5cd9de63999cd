//! Metric stores: what every store has in common, and the list of those that are spoken.
//!
//! A store is a folder with `mod.rs` (settings, how it is asked) and `wire.rs` (its reply format), a variant of [`MetricStore`] and of
//! [`SourceSettings`], recorded replies in `fixtures/<store>/`, and a test module. One store never imports another, and none
//! knows of analyses, edges or reports. Deadlines, the shared HTTP client ([`http`]) and the cache ([`cache`]) wrap them.

mod advice;
pub mod cache;
pub mod datadog;
#[cfg(feature = "datasets")]
pub mod dataset;
mod error;
mod explore;
mod grid;
pub(crate) mod histogram;
pub mod http;
pub mod leftovers;
pub mod prometheus;
mod query;
mod reader;
pub mod sources;
mod spans;
mod store;
mod text;
mod variables;

pub use advice::{Advice, BoundsQuery, Declaration, Shape};
pub use error::SourceError;
pub use explore::ExploreTemplate;
pub use query::{MAX_SERIES, MAX_VALUES, Query, Reply, Series, Template, Window};
pub use reader::StoreReader;
pub use store::{InvalidSource, MetricStore, SourceSettings};
pub use text::escaped;
