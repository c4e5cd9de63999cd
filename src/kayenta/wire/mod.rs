//! How Kayenta's documents are written: numbers and times, what is taken for what, and the words for what cannot be read.

pub mod instant;
pub(crate) mod lenient;
pub mod refusal;
pub(crate) mod values;
