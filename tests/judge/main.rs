//! Tests of the pure crate: reference numbers from R and SciPy, properties, whole-judge scenarios, layering.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod aca;
mod agreement;
mod config;
mod digests;
mod families;
mod guards;
mod invariants;
mod judging;
mod layering;
mod properties;
mod random;
mod reference;
mod scenarios;
mod sentences;
mod simulation;
mod simulation_distributions;
