//! A chart as SVG: two axes with round ticks, and what is drawn between them.
//!
//! Drawn here rather than by a crate. Of two series of 120 points each `plotters` 0.3.7 (its SVG backend alone) makes 20,590 bytes, in 75 KB
//! of program, and `poloto` 19.1.2 makes 8,030 in 84 KB; `charming` 0.6 needs V8 to draw without a browser. This file makes some 3,500.
//! Plotters writes each colour into each element, so that neither dark mode nor print can restyle a chart, and neither
//! crate names a chart for a screen reader; what an adapter would take to mend that is longer than the drawing.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

/// Size of the drawing; the browser scales it.
pub(super) const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 200.0;
/// Space around the plot, for labels.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 38.0;

/// One axis: the range that it shows, and where its ends lie in the drawing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlotAxis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    is_log: bool,
    ticks: Vec<(f64, String)>,
    title: String,
}

impl PlotAxis {
    /// The horizontal axis over a range whose ends are finite.
    pub(super) fn horizontal((low, high): (f64, f64), is_log: bool, ticks: Vec<(f64, String)>, title: String) -> Self {
        Self { low, high, from: LEFT, to: WIDTH - RIGHT, is_log: is_log && low > 0.0, ticks, title }
    }

    /// The vertical one.
    pub(super) fn vertical((low, high): (f64, f64), ticks: Vec<(f64, String)>, title: String) -> Self {
        Self { low, high, from: HEIGHT - BOTTOM, to: TOP, is_log: false, ticks, title }
    }

    /// Where a value lies in the drawing, at an end of the axis if it lies beyond.
    pub(super) fn at(&self, value: f64) -> f64 {
        let scaled = |value: f64| if self.is_log { value.max(self.low).ln() } else { value / 2.0 };
        // Halved, so that a range over both signs of huge numbers stays finite.
        let (low, high) = (scaled(self.low), scaled(self.high));
        let part = if high > low { ((scaled(value) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        self.from + part * (self.to - self.from)
    }

    /// Whether a value lies within it.
    pub(super) fn has(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// A chart: axes, marks in the order in which they are drawn, and what a screen reader says of it.
pub(super) struct Chart {
    x: PlotAxis,
    y: PlotAxis,
    marks: String,
}

impl Chart {
    pub(super) fn new(x: PlotAxis, y: PlotAxis) -> Self {
        Self { x, y, marks: String::new() }
    }

    /// A line through points that rise in x; `None` is a gap, and a point between two gaps a dot.
    pub(super) fn line(&mut self, class: &str, points: impl IntoIterator<Item = Option<(f64, f64)>>) {
        let mut path = String::new();
        let mut pen_is_down = false;
        for point in points {
            let Some((x, y)) = point else {
                pen_is_down = false;
                continue;
            };
            let (x, y) = (short(self.x.at(x)), short(self.y.at(y)));
            // A lone point is a line of no length with round ends.
            let _ = if pen_is_down { write!(path, " {x} {y}") } else { write!(path, "M{x} {y}h0L{x} {y}") };
            pen_is_down = true;
        }
        self.path(class, &path);
    }

    /// A stairway: from each point level to the next one's x, then up or down to it.
    pub(super) fn stairs(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let mut path = String::new();
        for (x, y) in points {
            let (x, y) = (short(self.x.at(x)), short(self.y.at(y)));
            let _ = if path.is_empty() { write!(path, "M{x} {y}") } else { write!(path, "H{x}V{y}") };
        }
        self.path(class, &path);
    }

    /// A line across the chart at a value of the vertical axis.
    pub(super) fn level(&mut self, class: &str, y: f64) {
        let path = format!("M{} {}H{}", short(self.x.from), short(self.y.at(y)), short(self.x.to));
        self.path(class, &path);
    }

    /// A line down the chart at a value of the horizontal axis, with a word at its foot.
    pub(super) fn mark(&mut self, class: &str, x: f64, word: &str) {
        let at = self.x.at(x);
        let path = format!("M{} {}V{}", short(at), short(self.y.to), short(self.y.from));
        self.path(class, &path);
        let (anchor, dx) = if at > (self.x.from + self.x.to) / 2.0 { ("end", -4.0) } else { ("start", 4.0) };
        let text = html! { text x=(short(at + dx)) y=(short(self.y.from - 5.0)) text-anchor=(anchor) { (word) } };
        self.marks.push_str(&text.into_string());
    }

    /// A band across the chart between two values of the vertical axis.
    pub(super) fn band(&mut self, class: &str, low: f64, high: f64) {
        let (top, bottom) = (self.y.at(high), self.y.at(low));
        let _ = write!(
            self.marks,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"></rect>",
            short(self.x.from),
            short(top),
            short(self.x.to - self.x.from),
            short(bottom - top)
        );
    }

    fn path(&mut self, class: &str, path: &str) {
        if !path.is_empty() {
            let _ = write!(self.marks, "<path class=\"{class}\" d=\"{path}\"></path>");
        }
    }

    /// A dot.
    pub(super) fn dot(&mut self, class: &str, x: f64, y: f64) {
        let (x, y) = (short(self.x.at(x)), short(self.y.at(y)));
        let _ = write!(self.marks, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"4\"></circle>");
    }

    /// The drawing, and what a screen reader says instead of it.
    pub(super) fn draw(self, said: &str) -> Markup {
        let Self { x, y, marks } = self;
        html! {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(said) {
                g.grid { path d=(y.ticks.iter().map(|(at, _)| format!("M{} {}H{}", short(x.from), short(y.at(*at)), short(x.to))).collect::<String>()) {} }
                (PreEscaped(marks))
                g.axis {
                    path d={ "M" (short(x.from)) " " (short(y.to)) "V" (short(y.from)) "H" (short(x.to)) } {}
                    path d=(x.ticks.iter().map(|(at, _)| format!("M{} {}v4", short(x.at(*at)), short(y.from))).collect::<String>()) {}
                }
                g text-anchor="end" { @for (at, label) in &y.ticks { text x=(short(x.from - 5.0)) y=(short(y.at(*at) + 4.0)) { (label) } } }
                g text-anchor="middle" { @for (at, label) in &x.ticks { text x=(short(x.at(*at))) y=(short(y.from + 16.0)) { (label) } } }
                text x="2" y="11" { (y.title) }
                text x=(short(x.to)) y=(HEIGHT - 5.0) text-anchor="end" { (x.title) }
            }
        }
    }
}

/// A coordinate to a tenth.
pub(super) fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// Fewest numbers that tell how long an axis is.
const FEWEST: f64 = 3.0;

/// Round numbers within a range, about as many as wanted: multiples of 1, 2 or 5 times a power of ten.
pub(super) fn round_numbers(low: f64, high: f64, wanted: f64) -> Vec<f64> {
    let rough = (high / wanted) - (low / wanted);
    if !rough.is_finite() || rough <= 0.0 {
        return vec![low];
    }
    let power = 10_f64.powf(rough.log10().floor());
    let ends = |step: f64| ((low / step).ceil(), (high / step).floor());
    let tells = |step: &f64| ends(*step).1 - ends(*step).0 >= FEWEST - 1.0;
    let steps = [10.0, 5.0, 2.0, 1.0, 0.5].map(|by| by * power);
    // The smallest that is no finer than wanted, or else the largest that leaves enough.
    let coarse = steps.into_iter().rev().find(|step| *step >= rough).filter(tells);
    let step = coarse.or_else(|| steps.into_iter().find(tells)).unwrap_or(rough);
    let (first, last) = ends(step);
    if !(step.is_normal() && first.is_finite() && last - first <= 20.0) {
        return vec![low, high];
    }
    // A step of a fraction is a division, which is exact to the last digit where a product is not.
    let multiple = |i: u32| {
        let times = first + f64::from(i);
        if step < 1.0 { times / (1.0 / step).round() } else { times * step }
    };
    (0..=(last - first).max(0.0) as u32).map(multiple).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_lie_within_the_range() {
        assert_eq!(round_numbers(0.0, 100.0, 4.0), [0.0, 50.0, 100.0]);
        assert_eq!(round_numbers(97.0, 103.2, 4.0), [98.0, 100.0, 102.0]);
        assert_eq!(round_numbers(-0.1, 0.2, 4.0), [-0.1, 0.0, 0.1, 0.2]);
        assert_eq!(round_numbers(5.0, 5.0, 4.0), [5.0]);
        assert_eq!(round_numbers(60.0, 905.0, 4.0), [200.0, 400.0, 600.0, 800.0], "500 alone would tell nothing");
    }

    #[test]
    fn an_axis_over_both_ends_of_what_numbers_there_are_stays_finite() {
        let axis = PlotAxis::vertical((-f64::MAX, f64::MAX), Vec::new(), String::new());
        for value in [-f64::MAX, 0.0, f64::MAX] {
            assert!(axis.at(value).is_finite());
        }
        assert!(round_numbers(-f64::MAX, f64::MAX, 4.0).len() < 25);
        assert!(round_numbers(0.0, f64::MIN_POSITIVE, 4.0).len() < 25);
    }
}
