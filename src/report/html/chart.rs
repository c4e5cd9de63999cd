//! The drawings of one metric: both arms over time, and how their points are distributed.
//!
//! Drawn here and not by a charting crate: a path and a few names of an axis are all there is, which take their colours from the page, in the
//! light and in the dark; what such crates write repeats fonts and fixed colours on every element.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::axis::{Scale, range};
use crate::report::format::{Unit, percent};
use crate::report::picture::{MetricPicture, TimeAxis};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
/// Room for the names of the axes.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 630.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 170.0;
/// Places along the time that are drawn at most; of what lies in one, the smallest and the largest value are drawn.
const PLACES: usize = 200;
/// Points of a distribution's curve at most.
const CURVE: usize = 80;

/// Both arms over time, with gaps, limits, what was usual before, and the release.
pub(super) fn over_time(name: &str, picture: &MetricPicture, unit: &Unit) -> Markup {
    let arms = [("baseline", thinned(&picture.baseline)), ("canary", thinned(&picture.canary))];
    let Some((low, high)) = range(arms.iter().flat_map(|(_, arm)| arm).filter_map(|(_, value)| *value)) else {
        return html! { p.dim { "No points to draw." } };
    };
    // A limit or a band far off would flatten what is to be seen: it is drawn where it is near.
    let reach = ((high / 2.0 - low / 2.0) * 3.0).max(low.abs().max(high.abs()) * 0.5);
    let near = |value: &f64| *value >= low - reach && *value <= high + reach;
    let band = picture.usual.map(|(low, high)| [low, high]).filter(|band| band.iter().all(near));
    let limits: Vec<(&str, f64)> = picture.limits.iter().copied().filter(|(_, limit)| near(limit)).collect();
    let shown = [low, high].into_iter().chain(band.into_iter().flatten()).chain(limits.iter().map(|(_, limit)| *limit));
    let (low, high) = range(shown).unwrap_or((low, high));
    let y = Scale::new(low, high, BOTTOM, TOP);
    let n = picture.baseline.len().max(picture.canary.len());
    let x = Scale::new(0.0, (n.max(2) - 1) as f64, LEFT, RIGHT);
    let label = format!("{name}: both arms over time, {n} points, from {}", unit.range(Some(low), Some(high)));
    html! {
        figure {
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
                @if let Some([low, high]) = band {
                    rect.band x=(LEFT) y=(at(y.place(high))) width=(RIGHT - LEFT) height=(at((y.place(low) - y.place(high)).max(1.0))) {}
                }
                (values_axis(&y, unit))
                (time_axis(&x, &picture.time, n))
                @for (word, limit) in &limits {
                    path.limit d={ "M" (LEFT) " " (at(y.place(*limit))) "H" (RIGHT) } {}
                    text.limit x=(RIGHT - 4.0) y=(at(y.place(*limit) - 4.0)) text-anchor="end" { (word) " " (unit.value(*limit)) }
                }
                @if let Some(released) = picture.released.filter(|place| x.holds(*place)) {
                    path.release d={ "M" (at(x.place(released))) " " (TOP) "V" (BOTTOM) } {}
                    text.release x=(at(x.place(released) + 4.0)) y=(TOP + 10.0) { "released" }
                }
                @for (arm, points) in &arms { path class=(arm) d=(line(points, &x, &y)) {} }
            }
            figcaption {
                (key()) " over time"
                @if band.is_some() { "; " span.key.usual { "shaded" } ": where 90 % of the baseline's points lay before" }
                @if !limits.is_empty() { "; " span.key.bound { "dashed" } ": " (limits.iter().map(|(word, _)| said(word)).collect::<Vec<_>>().join("; ")) }
            }
        }
    }
}

/// Which share of each arm's points, or requests, is at or below a value.
pub(super) fn distribution(name: &str, picture: &MetricPicture, unit: &Unit) -> Markup {
    let curves = match &picture.curve {
        Some(curve) => [curve.iter().map(|p| (p.0, p.1)).collect(), curve.iter().map(|p| (p.0, p.2)).collect()],
        None => [empirical(&picture.baseline), empirical(&picture.canary)],
    };
    let Some((low, high)) =
        range(curves.iter().flatten().map(|(value, _)| *value)).filter(|_| curves.iter().all(|curve| !curve.is_empty()))
    else {
        return html! {};
    };
    let (x, y) = (Scale::new(low, high, LEFT, RIGHT), Scale::new(0.0, 1.0, BOTTOM, TOP));
    let of = if picture.curve.is_some() { "requests" } else { "points" };
    let path = |curve: &[(f64, f64)], steps: bool| {
        let mut out = String::new();
        for (i, (value, share)) in curve.iter().enumerate() {
            let (px, py) = (at(x.place(*value)), at(y.place(*share)));
            // Writing to a string cannot fail.
            let _ = match i {
                0 => write!(out, "M{px} {BOTTOM}V{py}"),
                _ if steps => write!(out, "H{px}V{py}"),
                _ => write!(out, "L{px} {py}"),
            };
        }
        out
    };
    html! {
        figure {
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (name) ": share of each arm's " (of) " at or below a value, from " (unit.range(Some(low), Some(high))) } {
                @for share in [0.0, 0.5, 1.0] {
                    path.grid d={ "M" (LEFT) " " (at(y.place(share))) "H" (RIGHT) } {}
                    text x=(LEFT - 6.0) y=(at(y.place(share) + 4.0)) text-anchor="end" { (percent(share)) }
                }
                @let ticks = x.ticks();
                @let (names, suffix) = unit.table(&ticks);
                @for (tick, name) in ticks.iter().zip(&names) {
                    text x=(at(x.place(*tick))) y=(BOTTOM + 16.0) text-anchor="middle" { (name) }
                }
                text.unit x=(RIGHT) y=(HEIGHT - 2.0) text-anchor="end" { (suffix) }
                @for (arm, curve) in ["baseline", "canary"].iter().zip(&curves) { path class=(arm) d=(path(curve, picture.curve.is_none())) {} }
            }
            figcaption { (key()) ", share of " (of) " at or below a value; the curve further right has larger values" }
        }
    }
}

/// What a line across the drawing is.
fn said(limit: &str) -> &'static str {
    match limit {
        "max" => "the highest value allowed",
        "min" => "the lowest value allowed",
        _ => "the level from which on the canary would be beyond the tolerance",
    }
}

fn key() -> Markup {
    html! { span.key.baseline { "baseline" } " and " span.key.canary { "canary" } }
}

fn values_axis(y: &Scale, unit: &Unit) -> Markup {
    let ticks = y.ticks();
    let (names, suffix) = unit.table(&ticks);
    html! {
        @for (tick, name) in ticks.iter().zip(&names) {
            path.grid d={ "M" (LEFT) " " (at(y.place(*tick))) "H" (RIGHT) } {}
            text x=(LEFT - 6.0) y=(at(y.place(*tick) + 4.0)) text-anchor="end" { (name) }
        }
        text.unit x=(0) y=(TOP + 4.0) { (suffix) }
    }
}

fn time_axis(x: &Scale, time: &TimeAxis, n: usize) -> Markup {
    let last = n.saturating_sub(1);
    let mut places = vec![0, last / 4, last / 2, last * 3 / 4, last];
    places.dedup();
    html! {
        path.axis d={ "M" (LEFT) " " (BOTTOM) "H" (RIGHT) } {}
        @for (i, place) in places.iter().enumerate() {
            @let anchor = if i == 0 { "start" } else if *place == last { "end" } else { "middle" };
            path.axis d={ "M" (at(x.place(*place as f64))) " " (BOTTOM) "v5" } {}
            text x=(at(x.place(*place as f64))) y=(BOTTOM + 18.0) text-anchor=(anchor) { (time.name(*place)) }
        }
    }
}

/// A coordinate, to a tenth.
fn at(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The points with their places; of longer series the smallest and the largest of each piece, in their order, so that no spike is lost.
fn thinned(points: &[Option<f64>]) -> Vec<(f64, Option<f64>)> {
    let points: Vec<Option<f64>> = points.iter().map(|point| point.filter(|value| value.is_finite())).collect();
    if points.len() <= PLACES {
        return points.iter().enumerate().map(|(i, point)| (i as f64, *point)).collect();
    }
    let size = points.len().div_ceil(PLACES / 2);
    let mut out = Vec::new();
    for (k, piece) in points.chunks(size).enumerate() {
        let known = piece.iter().enumerate().filter_map(|(i, point)| Some((i, (*point)?)));
        let lowest = known.clone().min_by(|a, b| a.1.total_cmp(&b.1));
        let highest = known.max_by(|a, b| a.1.total_cmp(&b.1));
        match (lowest, highest) {
            (Some(a), Some(b)) => {
                let (first, second) = if a.0 <= b.0 { (a, b) } else { (b, a) };
                out.extend([first, second].map(|(i, value)| ((k * size + i) as f64, Some(value))));
            }
            _ => out.push(((k * size) as f64, None)),
        }
    }
    out
}

/// A path through the points that are there; a gap in the data is one in the line.
fn line(points: &[(f64, Option<f64>)], x: &Scale, y: &Scale) -> String {
    let (mut out, mut pen_is_down) = (String::new(), false);
    for (place, value) in points {
        let Some(value) = value else {
            pen_is_down = false;
            continue;
        };
        let command = if pen_is_down { 'L' } else { 'M' };
        let _ = write!(out, "{command}{} {}", at(x.place(*place)), at(y.place(*value)));
        // A lone point between gaps is a dot: a line of no length with round ends.
        if !pen_is_down {
            out.push_str("h0");
        }
        pen_is_down = true;
    }
    out
}

/// The empirical distribution function, at its quantiles where there are many points.
fn empirical(points: &[Option<f64>]) -> Vec<(f64, f64)> {
    let mut values: Vec<f64> = points.iter().flatten().copied().filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    let places: Vec<usize> = if n <= CURVE { (0..n).collect() } else { (0..CURVE).map(|i| i * (n - 1) / (CURVE - 1)).collect() };
    places.into_iter().map(|i| (values[i], (i + 1) as f64 / n as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_of_a_long_series_is_drawn() {
        let mut points = vec![Some(1.0); 10_000];
        points[7_777] = Some(50.0);
        points[3_000..3_400].fill(None);
        let drawn = thinned(&points);
        assert!(drawn.len() <= 2 * PLACES, "{}", drawn.len());
        assert!(drawn.iter().any(|(place, value)| *place == 7_777.0 && *value == Some(50.0)));
        assert!(drawn.iter().any(|(place, value)| (3_000.0..3_400.0).contains(place) && value.is_none()), "the gap is one");
    }

    #[test]
    fn a_distribution_rises_from_its_first_value_to_all() {
        assert_eq!(empirical(&[Some(3.0), None, Some(1.0), Some(2.0)]), [(1.0, 1.0 / 3.0), (2.0, 2.0 / 3.0), (3.0, 1.0)]);
        let long = empirical(&(0..1_000).map(|i| Some(f64::from(i))).collect::<Vec<_>>());
        assert_eq!((long.len(), long[CURVE - 1]), (CURVE, (999.0, 1.0)));
    }
}
