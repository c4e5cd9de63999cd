//! When the points of a metric were.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::format;
use crate::analysis::{MetricProvenance, Provenance};

/// The times of a metric's points.
pub(super) struct WallTime {
    /// Seconds between points.
    pub(super) step: f64,
    /// When the window starts, where both arms have the same one: seconds since 1970. Else time counts from the start of each arm's.
    pub(super) start: Option<f64>,
    pub(super) released: Option<f64>,
    /// Whether a time of the day may be one of several days.
    pub(super) days: bool,
}

impl WallTime {
    /// That of one metric.
    pub(super) fn of(data: &Provenance, metric: &MetricProvenance) -> Self {
        let start = data.canary_window.as_ref().map(|window| window.start.as_second() as f64);
        let is_same = data.baseline_window.as_ref().is_none_or(|baseline| Some(baseline) == data.canary_window.as_ref());
        const DAY: i64 = 86_400;
        let days = data.canary_window.as_ref().is_some_and(|window| window.end.as_second() - window.start.as_second() > DAY);
        Self {
            days,
            step: f64::from(metric.step_seconds.unwrap_or(data.step_seconds).max(1)),
            start: start.filter(|_| is_same),
            released: data.released_at.zip(start).map(|(released, start)| released.as_second() as f64 - start),
        }
    }

    /// When an interval starts, as it is written: with its day where there are several, and where no time is known by how many minutes of
    /// the window were before it.
    pub(super) fn name(&self, interval: usize) -> String {
        let seconds = interval as f64 * self.step;
        match self.at(seconds) {
            Some(time) if self.days => format!("{}{}", time.strftime("%F "), self.label(seconds)),
            Some(_) => self.label(seconds),
            None if interval == 0 => "the window's start".to_owned(),
            None => format!("minute {}", format::number(seconds / 60.0)),
        }
    }

    /// A time of the window, in seconds from its start.
    pub(super) fn label(&self, seconds: f64) -> String {
        match self.at(seconds) {
            Some(time) => time.to_zoned(TimeZone::UTC).strftime(if self.step < 60.0 { "%H:%M:%S" } else { "%H:%M" }).to_string(),
            None => format!("{} min", format::number(seconds / 60.0)),
        }
    }

    /// The day of a time of the window.
    pub(super) fn day(&self, seconds: f64) -> String {
        self.at(seconds).map(|time| time.to_zoned(TimeZone::UTC).strftime("%b %-d").to_string()).unwrap_or_default()
    }

    fn at(&self, seconds: f64) -> Option<Timestamp> {
        self.start.and_then(|start| Timestamp::from_second((start + seconds) as i64).ok())
    }
}
