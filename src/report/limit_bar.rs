//! How far a metric went towards its limit: one scale for all metrics, on which 0 is the baseline and 1 the limit.

use haldane_judges::config::{Direction, Kind};
use haldane_judges::scorecard::{AppliedLimit, Examiner, MetricResult, Mode, Reason, Status, ThresholdNumbers};

use super::format::{self, Unit};
use super::view::{AT_LEAST, is_of_the_rest, quantile_name, telling, threshold_limits, turn, turn_of_percent};

/// A metric's shift beside what a regression of it takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LimitBar {
    /// What moved: `+41.9 %`, `p95 +20 %`, `at 0.3 %`.
    pub(super) shift: String,
    /// What a regression takes, in the same unit: `+25 %`, `proof +35 %`, `≤ 1 %`.
    pub(super) limit: String,
    /// The former as a multiple of the latter; below 0 it is better than the baseline. `None` where there is no limit to it.
    pub(super) times: Option<f64>,
}

/// One of the conditions of a regression: how much there is of what it takes, and both as text.
struct Condition {
    times: f64,
    shift: String,
    limit: String,
}

/// A shift with the limits that it has to reach.
struct Shift<'a> {
    metric: &'a MetricResult,
    limit: &'a AppliedLimit,
    unit: &'a Unit,
    /// In the unit, above 0 is worse.
    amount: f64,
    /// The same as a fraction of the level; `None` where that is 0.
    relative: Option<f64>,
    /// The level that it is a fraction of.
    level: f64,
}

impl LimitBar {
    /// `None` where no shift and no limit says what stands, so that only the finding's sentence does.
    pub(super) fn of(metric: &MetricResult, unit: &Unit) -> Option<Self> {
        let by_level = metric.examiner == Examiner::Level && !(metric.reason == Reason::Events && metric.kind != Kind::Events);
        match metric.mode {
            Mode::None => None,
            Mode::Threshold => metric.threshold.as_ref().and_then(|threshold| past_limit(metric, threshold, unit)),
            _ if !by_level => None,
            Mode::Counts => {
                let counts = metric.counts.as_ref()?;
                let level = level_of(counts.shift, counts.relative_shift, counts.baseline.rate);
                shift_of(metric, unit, (counts.shift, counts.relative_shift, level), "")
            }
            Mode::Distribution => {
                let numbers = metric.distribution.as_ref()?;
                let one = telling(numbers)?;
                let level = level_of(one.shift, one.relative_shift, one.baseline);
                // Above the last bucket bound in the baseline nothing is known of a shift.
                let of = match numbers.is_above_last_bound(one.quantile) {
                    (true, _) => return None,
                    (_, true) => AT_LEAST,
                    _ => "",
                };
                shift_of(metric, unit, (one.shift, one.relative_shift, level), &format!("{} {of}", quantile_name(one.quantile)))
            }
            Mode::Statistical => match (&metric.numbers, &metric.events) {
                (Some(numbers), _) if metric.reason == Reason::Mean => {
                    let effect = numbers.mean_effect?;
                    shift_of(metric, unit, (effect * numbers.level, Some(effect), numbers.level), "mean ")
                }
                (Some(numbers), _) if metric.kind == Kind::Ratio => {
                    let relative = (numbers.level > 0.0).then_some(numbers.effect / numbers.level);
                    shift_of(metric, unit, (numbers.effect, relative, numbers.level), "")
                }
                // Next to a level of 0 the estimate is no fraction of anything.
                (Some(numbers), _) if numbers.level <= 0.0 => shift_of(metric, unit, (numbers.shift, None, 0.0), ""),
                (Some(numbers), _) => {
                    // Against the same clock time of earlier days it is another shift than that of the levels.
                    let of = if metric.history.as_ref().is_some_and(|history| history.clock.is_some()) { "clock " } else { "" };
                    shift_of(metric, unit, (numbers.effect * numbers.level, Some(numbers.effect), numbers.level), of)
                }
                (None, Some(events)) => Some(Self {
                    shift: match events.relative_shift {
                        Some(relative) => format!("mean {}", format::signed_percent(relative * turn(metric))),
                        None => format!("mean {}", unit.difference(events.mean_canary - events.mean_baseline)),
                    },
                    limit: String::new(),
                    times: None,
                }),
                (None, None) => None,
            },
        }
    }
}

/// The level that a shift and its fraction are of.
fn level_of(shift: f64, relative: Option<f64>, otherwise: f64) -> f64 {
    relative.filter(|relative| *relative != 0.0).map_or(otherwise.abs(), |relative| (shift / relative).abs())
}

/// The condition that is furthest from being met: a regression has to meet all of them.
fn shift_of(metric: &MetricResult, unit: &Unit, (amount, relative, level): (f64, Option<f64>, f64), of: &str) -> Option<LimitBar> {
    let shift = Shift { metric, limit: metric.limit.as_ref()?, unit, amount, relative, level };
    let mut conditions = shift.conditions(metric.reason != Reason::Mean);
    // Of a shift that is 0 any is as far; the first is the config's.
    conditions.sort_by(|a, b| a.times.abs().total_cmp(&b.times.abs()));
    let bar = conditions.into_iter().next().map(|one| LimitBar { times: Some(one.times), shift: one.shift, limit: one.limit });
    let bar = bar.unwrap_or_else(|| LimitBar { shift: shift.in_unit(amount), limit: "any".to_owned(), times: None });
    Some(LimitBar { shift: format!("{of}{}", bar.shift), ..bar })
}

impl Shift<'_> {
    fn in_unit(&self, amount: f64) -> String {
        self.unit.difference(amount * turn(self.metric))
    }

    /// A fraction of the level, as people read it: a percentage, or an amount where a percentage would be one of what is left to a bound.
    fn in_percent(&self, relative: f64) -> String {
        if is_of_the_rest(self.metric) {
            self.in_unit(relative * self.level)
        } else {
            format::signed_percent(relative * turn_of_percent(self.metric, turn(self.metric)))
        }
    }

    /// The same of a limit, of which both signs may be meant.
    fn limit(&self, text: &str) -> String {
        let size = text.trim_start_matches(['+', '-']);
        match self.metric.direction {
            Direction::Either => format!("±{size}"),
            Direction::Increase | Direction::Decrease => text.to_owned(),
        }
    }

    fn conditions(&self, by_ranks: bool) -> Vec<Condition> {
        let Self { limit, amount, relative, level, .. } = *self;
        let is_rate = self.metric.kind == Kind::Ratio && self.metric.counts.is_none();
        let mut conditions = Vec::new();
        if let Some(relative) = relative.filter(|_| limit.relative > 0.0) {
            let (shift, text) = (self.in_percent(relative), self.limit(&self.in_percent(limit.relative)));
            conditions.push(Condition { times: relative / limit.relative, shift, limit: text });
        }
        if limit.absolute > 0.0 {
            let (shift, text) = (self.in_unit(amount), self.limit(&self.in_unit(limit.absolute)));
            conditions.push(Condition { times: amount / limit.absolute, shift, limit: text });
        }
        if let Some(proved) = limit.proved_from.filter(|proved| *proved > 0.0 && by_ranks) {
            // Of ratios estimates are in the unit, of all else fractions of the level.
            let (times, shift, text) = if is_rate {
                (amount / proved, self.in_unit(amount), self.in_unit(proved))
            } else if level > 0.0 {
                (amount / level / proved, self.in_percent(amount / level), self.in_percent(proved))
            } else {
                return conditions;
            };
            conditions.push(Condition { times, shift, limit: format!("proof {}", self.limit(&text)) });
        }
        conditions.retain(|one| one.times.is_finite());
        conditions
    }
}

/// Where the canary is, with a declared limit of 1; `None` where no number says it.
fn past_limit(metric: &MetricResult, threshold: &ThresholdNumbers, unit: &Unit) -> Option<LimitBar> {
    let limit = threshold_limits(threshold, unit);
    if limit.is_empty() {
        return None;
    }
    let level = match (&metric.counts, &metric.numbers) {
        (Some(counts), _) => Some(counts.canary.rate),
        (None, Some(numbers)) => Some(numbers.canary),
        (None, None) => None,
    };
    let past = threshold.points_past.zip(threshold.points).filter(|(past, _)| *past > 0 || level.is_none());
    let shift = match (past, level) {
        (Some((past, points)), _) => format!("{past}/{points} past"),
        (None, Some(level)) => format!("at {}", unit.value(level)),
        (None, None) => return None,
    };
    let times = level.zip(threshold.max).filter(|(level, max)| *max > 0.0 && *level >= 0.0).map(|(level, max)| level / max);
    // Points past a limit may be few, and then the typical one is not.
    let times = times.filter(|times| metric.status != Status::Regressed || *times >= 1.0);
    Some(LimitBar { shift, limit, times })
}

/// Columns of a bar with so many a limit.
pub(super) const fn width(unit: usize) -> usize {
    3 * unit + 2
}

/// Where the marks of the scale are: 0, and the limit.
pub(super) fn scale(unit: usize) -> String {
    format!("{:unit$}0{:unit$}limit", "", "")
}

/// A bar from 0 to the shift, as wide as [`width`] says: one limit to the left, where it is better, and two to the right. What goes
/// further ends in an arrow.
pub(super) fn drawn(times: Option<f64>, unit: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let times = times.unwrap_or(0.0);
    // Of so many cells, from the left, those that `share` of them fill.
    let filled = |share: f64| -> String {
        let eighths = (share.clamp(0.0, 1.0) * 8.0 * unit as f64).round() as usize;
        let part = EIGHTHS[eighths % 8];
        let rest = (part != ' ').then_some(part);
        let bar: String = std::iter::repeat_n('█', eighths / 8).chain(rest).collect();
        format!("{bar:<unit$}")
    };
    let halves = ((-times).clamp(0.0, 1.0) * 2.0 * unit as f64).round() as usize;
    let better: String = (halves % 2 == 1).then_some('▐').into_iter().chain(std::iter::repeat_n('█', halves / 2)).collect();
    let better = if times < -1.0 { format!("◂{}", "█".repeat(unit.saturating_sub(1))) } else { format!("{better:>unit$}") };
    let beyond = if times > 2.0 { format!("{}▸", "█".repeat(unit.saturating_sub(1))) } else { filled(times - 1.0) };
    format!("{better}│{}┃{beyond}", filled(times))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn every_bar_is_on_one_scale() {
        let bars = [
            (None, "    │    ┃    "),
            (Some(0.0), "    │    ┃    "),
            (Some(0.5), "    │██  ┃    "),
            (Some(0.28), "    │█▏  ┃    "),
            (Some(1.0), "    │████┃    "),
            (Some(1.25), "    │████┃█   "),
            (Some(2.0), "    │████┃████"),
            (Some(2.1), "    │████┃███▸"),
            (Some(f64::INFINITY), "    │████┃███▸"),
            (Some(-0.5), "  ██│    ┃    "),
            (Some(-0.375), "  ▐█│    ┃    "),
            (Some(-1.0), "████│    ┃    "),
            (Some(-7.0), "◂███│    ┃    "),
        ];
        for (times, bar) in bars {
            assert_eq!(drawn(times, 4), bar, "{times:?}");
            assert_eq!(bar.width(), width(4));
        }
        let scale = scale(4);
        assert_eq!((scale.find('0'), scale.find("limit")), (Some(4), Some(9)));
    }
}
