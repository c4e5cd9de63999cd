//! The handlers, a file for each resource.

pub(crate) mod analyses;
pub(crate) mod archive;
pub(crate) mod canary;
pub(crate) mod catalog;
pub(crate) mod configs;
pub(crate) mod document;
pub(crate) mod fetch;
pub(crate) mod pairs;
pub(crate) mod pipelines;
pub(crate) mod remote;

mod foreign;
