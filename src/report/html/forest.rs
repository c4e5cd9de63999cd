//! The shift of every metric with its interval on one scale: in units of the metric's tolerance, so that beyond 1 is worse than is put up with.

use maud::{Markup, html};

use super::chart::{round_numbers, short};
use crate::report::format;
use crate::report::tolerance::ToleranceShift;

/// The scale that all metrics share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ToleranceScale {
    low: f64,
    high: f64,
}

/// Size of a row's drawing.
const WIDTH: f64 = 220.0;
const MIDDLE: f64 = 11.0;

impl ToleranceScale {
    /// From below 0 to beyond the tolerance, and as far as the metrics need; what lies far out gets an arrow.
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a ToleranceShift>) -> Self {
        let (mut low, mut high) = (-1.5_f64, 2.0_f64);
        for row in rows {
            low = low.min(row.low.unwrap_or(row.shift).min(row.shift));
            high = high.max(row.high.unwrap_or(row.shift).max(row.shift));
        }
        Self { low: (low - 0.2).max(-3.0), high: (high + 0.2).min(6.0) }
    }

    fn at(self, value: f64) -> f64 {
        6.0 + (value.clamp(self.low, self.high) - self.low) / (self.high - self.low) * (WIDTH - 12.0)
    }

    /// One metric on it.
    pub(super) fn row(self, row: &ToleranceShift) -> Markup {
        let (low, high) = (row.low.unwrap_or(f64::NEG_INFINITY), row.high.unwrap_or(f64::INFINITY));
        let (from, to) = (self.at(low), self.at(high));
        html! {
            svg.forest viewBox={ "0 0 " (WIDTH) " 22" } role="img" aria-label=(row.said()) {
                path.zero d={ "M" (short(self.at(0.0))) " 0v22" } {}
                path.tolerance d={ "M" (short(self.at(1.0))) " 0v22" } {}
                @if let Some(proved) = row.proved_from.filter(|proved| *proved <= self.high) {
                    path.proved d={ "M" (short(self.at(proved))) " 4v14" } {}
                }
                @if row.has_interval {
                    path.interval d={ "M" (short(from)) " 11H" (short(to)) } {}
                    @for (at, is_beyond, by) in [(from, low < self.low, 1.0), (to, high > self.high, -1.0)] {
                        @if is_beyond {
                            path.interval d={ "M" (short(at + by * 5.0)) " 7L" (short(at)) " 11L" (short(at + by * 5.0)) " 15" } {}
                        } @else {
                            path.interval d={ "M" (short(at)) " 7v8" } {}
                        }
                    }
                }
                @if row.shift > self.high {
                    // The arrow says where, and the number how far.
                    path.interval d={ "M" (short(self.at(self.high) - 12.0)) " 11h12" } {}
                    text x=(short(self.at(self.high) - 16.0)) y="15" text-anchor="end" { (format::number(row.shift)) }
                } @else if row.shift < self.low {
                    path.interval d={ "M" (short(self.at(self.low) + 12.0)) " 11h-12" } {}
                    text x=(short(self.at(self.low) + 16.0)) y="15" { (format::number(row.shift)) }
                } @else {
                    circle.shift cx=(short(self.at(row.shift))) cy=(MIDDLE) r="4.5" {}
                }
            }
        }
    }

    /// The axis of all of them.
    pub(super) fn axis(self) -> Markup {
        let ticks = round_numbers(self.low, self.high, 6.0);
        html! {
            svg.forest viewBox={ "0 0 " (WIDTH) " 20" } aria-hidden="true" {
                @for tick in ticks {
                    text x=(short(self.at(tick))) y="11" text-anchor="middle" { (format::number(tick)) }
                    path.zero d={ "M" (short(self.at(tick))) " 15v5" } {}
                }
            }
        }
    }
}
