//! Puts points with times of their own on a window's grid.

use super::Window;

/// Share of a step that a point may lie off the grid before it is worth a word: clocks in stores and JSON round.
const TOLERATED: f64 = 0.01;

/// Where a point lies on a window's grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
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
pub(super) fn place(window: Window, timestamp: f64) -> Place {
    let step = f64::from(window.step_seconds);
    let steps = (timestamp - window.first_point() as f64) / step;
    let nearest = steps.round();
    // NaN fails the comparison too; -0.4 rounds to -0, which is the first point.
    if !(nearest >= 0.0 && nearest < window.len() as f64) {
        return Place::Outside;
    }
    let off = (steps - nearest).abs();
    Place::At { index: nearest as usize, off_seconds: (off > TOLERATED).then_some(off * step) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start: 600, end: 900, step_seconds: 60 };

    #[test]
    fn points_go_to_the_nearest_place_and_strays_are_named() {
        let on = |index| Place::At { index, off_seconds: None };
        assert_eq!(place(WINDOW, 660.0), on(0));
        assert_eq!(place(WINDOW, 900.0), on(4));
        assert_eq!(place(WINDOW, 720.5), on(1));
        assert!(matches!(place(WINDOW, 731.0), Place::At { index: 1, off_seconds: Some(off) } if (off - 11.0).abs() < 1e-9));
        assert!(matches!(place(WINDOW, 640.0), Place::At { index: 0, off_seconds: Some(_) }));
    }

    #[test]
    fn the_start_belongs_to_the_step_before_and_is_outside() {
        for outside in [600.0, 0.0, 961.0, -1e300, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(place(WINDOW, outside), Place::Outside, "{outside}");
        }
        assert_eq!(place(Window { step_seconds: 0, ..WINDOW }, 660.0), Place::Outside);
    }
}
