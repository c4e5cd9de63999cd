//! Both arms over time, with the limit, what is usual, and when the canary was released.

use maud::{Markup, html};

use super::chart::{Chart, PlotAxis, round_numbers};
use crate::report::clock::WallTime;
use crate::report::format::{self, Unit};
use crate::report::series::{DrawnSeries, LevelLimits, range, thinned};

/// The horizontal axis over so many intervals.
fn axis_of_time(clock: &WallTime, intervals: usize) -> PlotAxis {
    const DAY: f64 = 86_400.0;
    const STEPS: [f64; 15] = [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 43_200.0, DAY];
    let end = clock.step * intervals.saturating_sub(1).max(1) as f64;
    // A release within the window's length before it is still shown.
    let low = clock.released.filter(|released| (-end..0.0).contains(released)).unwrap_or(0.0);
    let rough = (end - low) / 5.0;
    let step = STEPS.into_iter().find(|step| *step >= rough).unwrap_or_else(|| (rough / DAY).ceil() * DAY);
    // Round by the clock, where there is one.
    let offset = clock.start.unwrap_or(0.0).rem_euclid(step);
    let first = ((low + offset) / step).ceil() * step - offset;
    let ticks = (0..8).map(|i| first + step * f64::from(i)).filter(|at| *at <= end);
    let text = |at: f64| match clock.start {
        Some(_) if clock.days && step >= DAY => clock.day(at),
        Some(_) if clock.days => format!("{} {}", clock.day(at), clock.label(at)),
        Some(_) => clock.label(at),
        None => format::number(at / 60.0),
    };
    let title = match clock.start {
        Some(_) if clock.days => "time, UTC",
        Some(_) => "time of day, UTC",
        None => "minutes from the window's start",
    };
    PlotAxis::horizontal((low, end), false, ticks.map(|at| (at, text(at))).collect(), title.to_owned())
}

/// A vertical axis over values of a unit, with round ticks; its lower end and its ends as numbers.
pub(super) fn axis_of_values((low, high): (f64, f64), unit: &Unit, what: &str) -> (f64, f64, Vec<(f64, String)>, String) {
    let room = match high / 2.0 - low / 2.0 {
        half if half > 0.0 && half.is_finite() => half * 0.16,
        _ if high == 0.0 => 0.5 * unit.divisor(0.0),
        _ => (high.abs() * 0.1).max(f64::MIN_POSITIVE),
    };
    // What is never below 0 has no axis below 0.
    let bottom = if low >= 0.0 { (low - room).max(0.0) } else { (low - room).max(-f64::MAX) };
    let top = (high + room).min(f64::MAX);
    let divisor = unit.divisor(bottom.abs().max(top.abs()));
    let at: Vec<f64> = round_numbers(bottom / divisor, top / divisor, 4.0).into_iter().map(|tick| tick * divisor).collect();
    let (texts, suffix) = unit.table(&at);
    let title = if suffix.is_empty() { what.to_owned() } else { format!("{what}, {suffix}") };
    (bottom, top, at.into_iter().zip(texts).collect(), title)
}

/// The chart; nothing without a point.
pub(super) fn timeline(series: &DrawnSeries, clock: &WallTime, limits: &LevelLimits, unit: &Unit, what: &str) -> Option<Markup> {
    let (low, high) = series.range()?;
    // A limit far beyond the points would press them flat; it is then told in words.
    let reach = (high / 2.0 - low / 2.0).max(high.abs().max(low.abs()) * 0.1) * 8.0;
    let is_near = |value: f64| value >= low - reach && value <= high + reach;
    let usual = limits.usual.filter(|(from, to)| is_near(*from) && is_near(*to));
    let shown = limits.limits.iter().copied().filter(|limit| is_near(*limit));
    let (low, high) =
        shown.chain(usual.into_iter().flat_map(|(from, to)| [from, to])).fold((low, high), |(low, high), v| (low.min(v), high.max(v)));
    let (bottom, top, ticks, title) = axis_of_values((low, high), unit, what);
    let y = PlotAxis::vertical((bottom, top), ticks, title);
    let x = axis_of_time(clock, series.baseline.len().max(series.canary.len()));
    let mut chart = Chart::new(x, y.clone());
    if let Some((from, to)) = usual {
        chart.band("usual", from, to);
    }
    for (class, arm) in [("baseline", &series.baseline), ("canary", &series.canary)] {
        let points = thinned(arm);
        chart.line(class, points.into_iter().map(|point| point.map(|(i, value)| (i as f64 * clock.step, value))));
    }
    let mut beyond = Vec::new();
    for limit in &limits.limits {
        if y.has(*limit) { chart.level("limit", *limit) } else { beyond.push(unit.value(*limit)) }
    }
    let end = clock.step * series.baseline.len().max(series.canary.len()).saturating_sub(1) as f64;
    // At the window's start the axis is the mark, and the word would lie on the points.
    let released = clock.released.filter(|released| released.abs() >= clock.step && (-end..=end).contains(released));
    if let Some(released) = released {
        chart.mark("released", released, "released");
    }
    let has_limit = beyond.len() < limits.limits.len();
    let missing = |arm: &[Option<f64>]| arm.iter().filter(|point| point.is_none()).count();
    let gaps = (missing(&series.baseline), missing(&series.canary));
    let said = said(series, unit, what, limits);
    Some(html! {
        figure {
            (chart.draw(&said))
            figcaption {
                span.key.baseline { "baseline" } " " span.key.canary { "canary" }
                @if has_limit { " " span.key.limit { "limit" } }
                @if usual.is_some() { " " span.key.usual { "usual" } }
                @if !beyond.is_empty() { p { "The limit, " (beyond.join(" and ")) ", lies beyond the chart." } }
                @if gaps != (0, 0) { p { "Missing: " (gaps.0) " of the baseline's points and " (gaps.1) " of the canary's." } }
                @if let Some(before) = clock.released.filter(|_| released.is_none()) {
                    @if before.abs() < clock.step {
                        p { "Released at the window's start." }
                    } @else {
                        p { "Released " (format::seconds(before.abs() as u64)) (if before < 0.0 { " before" } else { " after" }) " the window's start." }
                    }
                }
            }
        }
    })
}

fn said(series: &DrawnSeries, unit: &Unit, what: &str, limits: &LevelLimits) -> String {
    let arm = |name: &str, points: &[Option<f64>]| match range(points.iter().flatten().copied()) {
        Some((low, high)) => format!("{name} {}", unit.range(Some(low), Some(high))),
        None => format!("{name} without points"),
    };
    let limits = limits.limits.iter().map(|limit| format!("; limit {}", unit.value(*limit))).collect::<String>();
    format!("{what} over time: {}; {}{limits}", arm("baseline", &series.baseline), arm("canary", &series.canary))
}
