//! What clients send, as the analysis that answers it.

pub mod model;
pub mod native;
pub(crate) mod pairs;
pub mod query;
pub mod request;
pub mod standalone;
pub mod translate;
