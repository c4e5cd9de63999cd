//! The shift of a metric in units of its tolerance, and the levels from which it is worse.

use haldane_judges::config::{Direction, Kind};
use haldane_judges::scorecard::{CountNumbers, MetricResult, Mode, Numbers};

use super::format;
use super::series::LevelLimits;
use super::view::telling;

/// How far a metric went, in units of its tolerance: above 0 is worse, and beyond 1 worse than is put up with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToleranceShift {
    /// The shift, in units of the tolerance.
    pub(super) shift: f64,
    /// Lower end of its interval; absent where it is open, or where there is no interval.
    pub(super) low: Option<f64>,
    /// Upper end.
    pub(super) high: Option<f64>,
    /// Whether there is an interval, perhaps an open one.
    pub(super) has_interval: bool,
    /// Estimate from which a regression is proved.
    pub(super) proved_from: Option<f64>,
    /// The tolerance, in the metric's unit.
    pub(super) tolerance: f64,
    /// The baseline's level that it counts from, in the metric's unit.
    pub(super) level: f64,
}

impl ToleranceShift {
    /// Nothing where no tolerance applied.
    pub(super) fn of(metric: &MetricResult) -> Option<Self> {
        let limit = metric.limit.as_ref().filter(|_| matches!(metric.mode, Mode::Statistical | Mode::Counts | Mode::Distribution))?;
        let one = if let Some(quantile) = metric.distribution.as_ref().and_then(telling) {
            let tolerance = limit.absolute.max(limit.relative * quantile.baseline.abs());
            let ends = quantile.shift_interval.map(|interval| (interval.low, interval.high));
            Self::new(quantile.shift, ends, None, tolerance, tolerance, quantile.baseline)
        } else if let Some(counts) = &metric.counts {
            let rate = counts.baseline.rate;
            let tolerance = limit.absolute.max(limit.relative * rate.min(1.0 - rate));
            let (low, high) = interval_of_rates(counts, metric.direction);
            Self::new(counts.shift, Some((Some(low), Some(high))), None, tolerance, tolerance, rate)
        } else {
            Self::of_numbers(metric, metric.numbers.as_ref()?, limit.relative, limit.absolute, limit.proved_from)
        };
        Some(one).filter(|one| one.tolerance > 0.0 && one.tolerance.is_finite() && one.shift.is_finite())
    }

    fn of_numbers(metric: &MetricResult, numbers: &Numbers, relative: f64, absolute: f64, proved_from: Option<f64>) -> Self {
        let level = numbers.level.abs();
        let tolerance = absolute.max(relative * level);
        match numbers.effect_interval {
            // Estimates of ratios are in the unit, those of everything else fractions of the level.
            Some(interval) => {
                let unit = if metric.kind == Kind::Ratio || level == 0.0 { tolerance } else { tolerance / level };
                Self::new(numbers.effect, Some((interval.low, interval.high)), proved_from, unit, tolerance, numbers.baseline)
            }
            None => {
                let ends = numbers.shift_interval.map(|interval| (interval.low, interval.high));
                Self::new(numbers.shift, ends, None, tolerance, tolerance, numbers.baseline)
            }
        }
    }

    fn new(shift: f64, ends: Option<(Option<f64>, Option<f64>)>, proved_from: Option<f64>, unit: f64, tolerance: f64, level: f64) -> Self {
        let (low, high) = ends.unwrap_or_default();
        let scaled = |end: Option<f64>| end.map(|end| end / unit).filter(|end| end.is_finite());
        Self {
            shift: shift / unit,
            low: scaled(low),
            high: scaled(high),
            has_interval: ends.is_some(),
            proved_from: scaled(proved_from),
            tolerance,
            level,
        }
    }

    /// The place of every metric on the scale, in words.
    pub(super) fn said(&self) -> String {
        let interval = if self.has_interval {
            format!(", interval {}", format::interval(self.low.map(format::number), self.high.map(format::number)))
        } else {
            String::new()
        };
        format!("{} times the tolerance{interval}", format::number(self.shift))
    }
}

/// 90 % interval of the difference of two rates from the interval of each (MOVER: Zou & Donner 2008, doi:10.1002/sim.3095), widened by as
/// much as the events vary more than independent requests would. Turned so that above 0 is worse, around the difference within intervals.
fn interval_of_rates(counts: &CountNumbers, direction: Direction) -> (f64, f64) {
    let (b, c) = (&counts.baseline, &counts.canary);
    let side = |end: Option<f64>, rate: f64, open: f64| (end.unwrap_or(open) - rate).abs();
    let widened = counts.inflation.max(1.0).sqrt();
    let down = side(c.interval.low, c.rate, 0.0).hypot(side(b.interval.high, b.rate, 1.0)) * widened;
    let up = side(c.interval.high, c.rate, 1.0).hypot(side(b.interval.low, b.rate, 0.0)) * widened;
    let fell = direction == Direction::Decrease || (direction == Direction::Either && c.rate < b.rate);
    let (below, above) = if fell { (up, down) } else { (down, up) };
    (counts.shift - below, counts.shift + above)
}

/// Where the limits of a metric's levels lie.
pub(super) fn level_limits(metric: &MetricResult, shift: Option<&ToleranceShift>) -> LevelLimits {
    if let Some(threshold) = metric.threshold.as_ref().filter(|_| metric.mode == Mode::Threshold) {
        return LevelLimits { limits: [threshold.min, threshold.max].into_iter().flatten().collect(), usual: None };
    }
    let Some(shift) = shift else { return LevelLimits::default() };
    let (low, high) = (shift.level - shift.tolerance, shift.level + shift.tolerance);
    let limits = match metric.direction {
        Direction::Increase => vec![high],
        Direction::Decrease => vec![low],
        Direction::Either => vec![low, high],
    };
    let usual = metric.history.as_ref().and_then(|history| history.usual).zip(metric.numbers.as_ref()).map(|(usual, numbers)| {
        let wide = if metric.kind == Kind::Ratio { usual } else { usual * numbers.level.abs() };
        (shift.level - wide, shift.level + wide)
    });
    LevelLimits { limits, usual }
}
