//! How the points of both arms lie on the window's grid: what is told about it, and what little is changed.
//!
//! Stores put their replies on the grid, [`Window`](crate::source::Window) says which, and the two arms of a request share its step. What is
//! left to reconcile is here, in pure functions: series that have points on some places of the grid only ([`resolution`]), the end of a
//! window that is too young to be trusted ([`tail`]), and arms whose clocks differ ([`clocks`]). No point is moved, made up or averaged.

pub(super) mod clocks;
pub(super) mod resolution;
pub(super) mod tail;

use haldane_judges::evidence::Points;

/// Whether the metric store has something for each place.
fn present(points: &Points) -> Vec<bool> {
    match points {
        Points::Values(values) => values.iter().map(|value| !value.is_nan()).collect(),
        Points::Counts { events, totals } => events.iter().zip(totals).map(|(event, total)| !(event.is_nan() && total.is_nan())).collect(),
        Points::Buckets(buckets) => buckets.totals().iter().map(|total| !total.is_nan()).collect(),
    }
}

/// A length of time, as people say it.
fn spoken(seconds: i64) -> String {
    match seconds {
        120.. if seconds % 60 == 0 => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}
