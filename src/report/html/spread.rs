//! The distribution of both arms: the share of points at or below each value, or of a histogram's requests at or below each bound.

use haldane_judges::scorecard::CurvePoint;
use maud::{Markup, html};

use super::chart::{Chart, PlotAxis, round_numbers};
use super::glossary::Term;
use crate::report::format::Unit;
use crate::report::series::{DrawnSeries, range};

/// Steps of a curve at most.
const STEPS: usize = 60;
/// Times the smallest bound from which bounds are drawn on a logarithmic scale.
const WIDE: f64 = 50.0;

/// Of points; nothing where neither arm has one.
pub(super) fn of_points(series: &DrawnSeries, unit: &Unit, what: &str) -> Option<Markup> {
    let (low, high) = series.range()?;
    let (bottom, top, ticks, title) = super::timeline::axis_of_values((low, high), unit, what);
    let mut chart = Chart::new(PlotAxis::horizontal((bottom, top), false, sparse(ticks), title), shares("of points, %"));
    for (class, arm) in [("baseline", &series.baseline), ("canary", &series.canary)] {
        let mut values: Vec<f64> = arm.iter().flatten().copied().collect();
        values.sort_by(f64::total_cmp);
        let (Some(first), n) = (values.first().copied(), values.len()) else { continue };
        let stride = n.div_ceil(STEPS);
        // Of many points every so manieth, and always the last: its share is 1.
        let kept = values.iter().enumerate().filter(|(i, _)| (i + 1) % stride == 0 || i + 1 == n);
        let steps = kept.map(|(i, value)| (*value, (i + 1) as f64 / n as f64));
        chart.stairs(class, std::iter::once((first, 0.0)).chain(steps));
    }
    Some(figure(chart, &format!("{what}: share of each arm's points at or below each value")))
}

/// Of a histogram's requests; nothing without a bound.
pub(super) fn of_requests(curve: &[CurvePoint], unit: &Unit) -> Option<Markup> {
    // Bounds that all requests, or none, are below tell nothing.
    let tells = |point: &&CurvePoint| point.baseline.max(point.canary) > 0.0005;
    let mut shown: Vec<&CurvePoint> = curve.iter().filter(tells).collect();
    let full = shown.iter().position(|point| point.baseline.min(point.canary) > 0.9999).map_or(shown.len(), |at| at + 1);
    shown.truncate(full);
    let (low, high) = range(shown.iter().map(|point| point.bound))?;
    let is_log = low > 0.0 && high / low >= WIDE;
    let (bottom, top, ticks, title) = if is_log {
        let at = powers(low, high);
        let (texts, suffix) = unit.table(&at);
        (
            low,
            high,
            at.into_iter().zip(texts).collect(),
            if suffix.is_empty() { "log scale".to_owned() } else { format!("{suffix}, log scale") },
        )
    } else {
        super::timeline::axis_of_values((low, high), unit, "at or below")
    };
    let mut chart = Chart::new(PlotAxis::horizontal((bottom, top), is_log, sparse(ticks), title), shares("of requests, %"));
    for (class, share) in [("baseline", (|point| point.baseline) as fn(&CurvePoint) -> f64), ("canary", |point| point.canary)] {
        chart.line(class, shown.iter().map(|point| Some((point.bound, share(point)))));
    }
    Some(figure(chart, "share of each arm's requests at or below each bucket bound"))
}

/// Every second tick, where labels beside each other would touch.
fn sparse(ticks: Vec<(f64, String)>) -> Vec<(f64, String)> {
    let length: usize = ticks.iter().map(|(_, text)| text.len() + 2).sum();
    let keep = length.div_ceil(36).max(1);
    ticks.into_iter().step_by(keep).collect()
}

fn powers(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = first..=last;
    let within = |value: &f64| (low..=high).contains(value);
    let by: &[f64] = if last - first > 4 { &[1.0] } else { &[1.0, 3.0] };
    decades.flat_map(|power| by.iter().map(move |by| by * 10_f64.powi(power))).filter(within).collect()
}

fn shares(title: &str) -> PlotAxis {
    let ticks = round_numbers(0.0, 100.0, 4.0).into_iter().map(|tick| (tick / 100.0, tick.to_string())).collect();
    PlotAxis::vertical((0.0, 1.0), ticks, title.to_owned())
}

fn figure(chart: Chart, said: &str) -> Markup {
    html! {
        figure {
            (chart.draw(said))
            figcaption { (Term::Distribution.button()) " " span.key.baseline { "baseline" } " " span.key.canary { "canary" } }
        }
    }
}
