//! What is kept of a request, and what is answered of it.

pub(crate) mod archive;
pub(crate) mod configs;
pub(crate) mod execution;
pub(crate) mod interval;
pub(crate) mod payload;
pub(crate) mod prepare;
pub(crate) mod reply;
pub(crate) mod result;
pub(crate) mod score;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod word;
