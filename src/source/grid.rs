//! Puts points with times of their own on a window's grid.

use haldane_judges::evidence::{ABSENT, is_absent};

use super::{MAX_SERIES, MAX_VALUES, Window};

/// Share of a step that a point may lie off the grid before it is worth a word: clocks in stores and JSON round.
const TOLERATED: f64 = 0.01;

/// Where a point lies on a window's grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum GridPlace {
    /// Nearest to this point of the window.
    At {
        /// Index of the window's point.
        index: usize,
        /// How far off it lies, in seconds, if that is more than is tolerated.
        off_seconds: Option<f64>,
    },
    /// More than half a step before the first point or after the last one.
    Outside,
}

/// The point of `window` that is nearest to `timestamp` (Unix seconds).
pub(super) fn place(window: Window, timestamp: f64) -> GridPlace {
    let step = f64::from(window.step_seconds);
    let steps = (timestamp - window.first_point() as f64) / step;
    let nearest = steps.round();
    // NaN fails the comparison too; -0.4 rounds to -0, which is the first point.
    if !(nearest >= 0.0 && nearest < window.len() as f64) {
        return GridPlace::Outside;
    }
    let off = (steps - nearest).abs();
    GridPlace::At { index: nearest as usize, off_seconds: (off > TOLERATED).then_some(off * step) }
}

/// Points of each series outside of a window that rounding its ends explains, and the share of all points that a mistake does.
const EDGE_POINTS: u64 = 2;
const EDGE_SHARE: f64 = 0.1;

/// A window's grid while a reply is laid on it, with what is to be said of points that do not fit.
#[derive(Debug)]
pub(super) struct Grid {
    window: Window,
    points: u64,
    outside: u64,
    /// Unix time of a point outside.
    stray: f64,
    duplicates: u64,
    /// Those among them whose value is another.
    differing: u64,
    off_grid: u64,
    furthest_off: f64,
}

impl Grid {
    pub(super) fn new(window: Window) -> Self {
        Self { window, points: 0, outside: 0, stray: 0.0, duplicates: 0, differing: 0, off_grid: 0, furthest_off: 0.0 }
    }

    /// Values of one more series beside `others`, all absent; `None` where there would be more than are read.
    pub(super) fn series(&self, others: usize) -> Option<Vec<f64>> {
        let length = self.window.len();
        (others < MAX_SERIES && (others + 1).saturating_mul(length) <= MAX_VALUES).then(|| vec![ABSENT; length])
    }

    /// Puts a value at the point that is nearest to `timestamp` (Unix seconds); the last one at a place stays.
    pub(super) fn put(&mut self, values: &mut [f64], timestamp: f64, value: f64) {
        let GridPlace::At { index, off_seconds } = place(self.window, timestamp) else { return self.leave_out(timestamp) };
        self.points += 1;
        if let Some(off) = off_seconds {
            self.off_grid += 1;
            self.furthest_off = self.furthest_off.max(off);
        }
        if let Some(slot) = values.get_mut(index) {
            if !is_absent(*slot) {
                self.duplicates += 1;
                self.differing += u64::from(slot.to_bits() != value.to_bits());
            }
            *slot = value;
        }
    }

    /// Counts a point that lies outside of the window.
    pub(super) fn leave_out(&mut self, timestamp: f64) {
        self.points += 1;
        self.outside += 1;
        self.stray = timestamp;
    }

    /// Points that lie off the grid.
    pub(super) fn off_grid(&self) -> u64 {
        self.off_grid
    }

    /// What is wrong with a reply of so many series of whose points many lie outside of the window: those inside are of another time as
    /// well, because a clock jumped or a cache in between answered another request.
    pub(super) fn is_of_another_time(&self, series: usize) -> Option<String> {
        let edges = EDGE_POINTS.saturating_mul(series as u64);
        (self.outside > edges && self.outside as f64 > EDGE_SHARE * self.points as f64).then(|| {
            format!(
                "{} of its {} points lie outside of the window that was asked for ({} to {}), such as one at {}; check the store's clock, and \
                 caches in between",
                self.outside, self.points, self.window.start, self.window.end, self.stray
            )
        })
    }

    /// What is to be said of points that did not fit.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.off_grid > 0 {
            warnings.push(format!(
                "{} points lie off the grid of {} s, by up to {:.3} s; each was taken for the nearest point",
                self.off_grid, self.window.step_seconds, self.furthest_off
            ));
        }
        if self.outside > 0 {
            warnings.push(format!("{} points outside of the window were left out", self.outside));
        }
        if self.duplicates > 0 {
            let differing =
                if self.differing > 0 { format!(", {} of them with values that differ", self.differing) } else { String::new() };
            warnings.push(format!("{} points came more than once for the same time{differing}; the last was taken", self.duplicates));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start: 600, end: 900, step_seconds: 60 };

    #[test]
    fn points_go_to_the_nearest_place_and_strays_are_named() {
        let on = |index| GridPlace::At { index, off_seconds: None };
        assert_eq!(place(WINDOW, 660.0), on(0));
        assert_eq!(place(WINDOW, 900.0), on(4));
        assert_eq!(place(WINDOW, 720.5), on(1));
        assert!(matches!(place(WINDOW, 731.0), GridPlace::At { index: 1, off_seconds: Some(off) } if (off - 11.0).abs() < 1e-9));
        assert!(matches!(place(WINDOW, 640.0), GridPlace::At { index: 0, off_seconds: Some(_) }));
    }

    #[test]
    fn the_start_belongs_to_the_step_before_and_is_outside() {
        for outside in [600.0, 0.0, 961.0, -1e300, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(place(WINDOW, outside), GridPlace::Outside, "{outside}");
        }
        assert_eq!(place(Window { step_seconds: 0, ..WINDOW }, 660.0), GridPlace::Outside);
    }
}
