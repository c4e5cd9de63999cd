//! Unit mistakes: a limit in per cent where a fraction is meant, seconds that are called milliseconds. Such a config judges without a
//! word of complaint, and passes whatever comes.
//!
//! Only what is certain is said: a tolerance that no shift can exceed, a ratio above all there is. Small levels, idle metrics and rare
//! events are no mistakes.

use crate::config::{ConfigProblem, Direction, Kind, Metric};
use crate::explain;
use crate::quantity;

/// From here on a relative tolerance is taken for a percentage: it lets a metric treble.
const LARGEST_RELATIVE: f64 = 2.0;
/// From here on the regression that must have been detectable is taken for a percentage: eleven times the level.
const LARGEST_DETECTABLE: f64 = 10.0;
/// An absolute tolerance so many times the level hides every regression that there is, whatever the metric.
const HIDES_ALL: f64 = 10.0;
/// Percentage points below which no shift of a ratio counts.
pub(crate) const LEAST_POINTS: f64 = 0.1;
/// A limit so many times the level of a latency is one in milliseconds, of a level in seconds.
const MILLI: f64 = 200.0;

/// What can be told from the config alone, each with its pointer below the metric.
#[must_use]
pub fn of_config(metric: &Metric) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let mut wrong = |pointer: &str, message: String| problems.push(ConfigProblem::new(pointer, message));
    if let Some(all) = whole(metric) {
        let declare = if metric.is_counted() { "" } else { "; for a query that gives percentages set `unit: percent`" };
        let fraction = |value: f64, of: &str| match (all > 1.0, quantity::number(value), quantity::number(value / 100.0)) {
            (true, ..) => format!("give less than {}", quantity::number(all)),
            (false, percent, fraction) => format!("as a fraction {percent} {of} is {fraction}{declare}"),
        };
        let percent = |value: f64| quantity::number(value / all * 100.0);
        for (field, limit, does) in [
            ("max", metric.limits.max.filter(|max| *max >= all), "exceeds"),
            ("min", metric.limits.min.filter(|min| *min > all), "reaches"),
        ] {
            if let Some(limit) = limit {
                let shown = quantity::number(limit);
                let message = format!("limits.{field} of {shown} is {} %, which no ratio {does}; {}", percent(limit), fraction(limit, "%"));
                wrong(&format!("/limits/{field}"), message);
            }
        }
        if let Some(absolute) = metric.tolerance.absolute.filter(|absolute| *absolute >= all) {
            let (shown, points) = (quantity::number(absolute), percent(absolute));
            let meant = fraction(absolute, "pp");
            let message = format!("tolerance.absolute of {shown} is {points} percentage points, as much as a ratio can shift; {meant}");
            wrong("/tolerance/absolute", message);
        }
        let least = LEAST_POINTS * all / 100.0;
        if let Some(absolute) = metric.tolerance.absolute.filter(|absolute| *absolute > 0.0 && *absolute < least) {
            let message = format!(
                "tolerance.absolute of {} is {} percentage points, and no shift of a ratio by less than {LEAST_POINTS} counts; state {} or \
                 more, or leave it out",
                quantity::number(absolute),
                percent(absolute),
                quantity::number(least)
            );
            wrong("/tolerance/absolute", message);
        }
    }
    if let Some(relative) = metric.tolerance.relative.filter(|relative| *relative >= LARGEST_RELATIVE) {
        let (shown, percent, fraction) =
            (quantity::number(relative), quantity::number(relative * 100.0), quantity::number(relative / 100.0));
        let message = format!("tolerance.relative of {shown} is {percent} % of the level: it is a fraction, and {shown} % are {fraction}");
        wrong("/tolerance/relative", message);
    } else if let Some(relative) = metric.tolerance.relative.filter(|relative| *relative >= 1.0 && falls_to_zero(metric)) {
        let shown = quantity::number(relative);
        let message =
            format!("tolerance.relative of {shown} lets the metric fall to 0, and nothing falls further; give a fraction below 1");
        wrong("/tolerance/relative", message);
    }
    if metric.detectable >= LARGEST_DETECTABLE {
        let (shown, percent) = (quantity::number(metric.detectable), metric.detectable * 100.0);
        let percent = if percent.is_finite() { quantity::number(percent) } else { format!("{shown} times 100") };
        let fraction = quantity::number(metric.detectable / 100.0);
        wrong("/detectable", format!("detectable of {shown} is a change by {percent} %: it is a fraction, and {shown} % are {fraction}"));
    }
    if let Some(ratio) = metric.limits.max_ratio.filter(|ratio| *ratio < 1.0 && *ratio > 0.0) {
        let (shown, meant, percent) = (quantity::number(ratio), quantity::number(1.0 + ratio), quantity::number(ratio * 100.0));
        let message = format!(
            "limits.max_ratio of {shown} refuses the baseline's own level: it is a multiple of that, and {meant} allows {percent} % more"
        );
        wrong("/limits/max_ratio", message);
    }
    problems
}

/// What the arms' levels tell beside, in the metric's unit (of counts: rates), each with its pointer below the metric. A level of 0 tells
/// nothing.
#[must_use]
pub fn of_levels(metric: &Metric, baseline_level: Option<f64>, canary_level: Option<f64>) -> Vec<ConfigProblem> {
    let known = |level: Option<f64>| level.filter(|level| level.is_finite() && *level > 0.0);
    let Some(level) = known(baseline_level) else { return Vec::new() };
    let said = match metric.kind {
        Kind::Ratio => of_ratio(metric, level, known(canary_level)),
        Kind::Value => of_value(metric, level, known(canary_level)),
        Kind::Events | Kind::Distribution => None,
    };
    said.into_iter().collect()
}

/// Sentences for a scorecard.
pub(crate) fn warnings(metric: &Metric, baseline_level: Option<f64>, canary_level: Option<f64>) -> Vec<String> {
    let problems = of_config(metric).into_iter().chain(of_levels(metric, baseline_level, canary_level));
    problems.map(|problem| problem.message).collect()
}

/// Whether a metric's name says that it is the share of what went well, near 1 or 100 %.
#[must_use]
pub fn is_named_share(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    let counted = |word: &str| matches!(word, "count" | "total" | "number" | "rps" | "seconds" | "ms" | "duration" | "latency");
    let shares = |word: &str| matches!(word, "success" | "availability" | "available" | "apdex" | "hit" | "uptime");
    words.clone().any(shares) && !words.any(counted)
}

/// What a ratio is of all: 1, or 100 where its values are in percent; `None` for what is no ratio. Samples that come with a request, for
/// which there is no query, may be either, as the unit says.
fn whole(metric: &Metric) -> Option<f64> {
    let counted = metric.is_counted() && !metric.queries.is_empty();
    (metric.kind == Kind::Ratio).then(|| if counted { 1.0 } else { metric.percentage_point() * 100.0 })
}

/// Whether a fall is worse, and 0 is where falls end: shifts of percentages are fractions of another distance.
fn falls_to_zero(metric: &Metric) -> bool {
    metric.kind == Kind::Value && metric.direction == Direction::Decrease && !is_percent(metric)
}

fn is_percent(metric: &Metric) -> bool {
    matches!(metric.unit.as_deref(), Some("percent" | "%"))
}

fn of_ratio(metric: &Metric, level: f64, canary: Option<f64>) -> Option<ConfigProblem> {
    if metric.is_counted() {
        return blind_to_falls(metric, level);
    }
    if is_percent(metric) {
        return fractions(metric, level, canary).or_else(|| blind_to_falls(metric, level));
    }
    if level > 1.0 && canary.is_none_or(|canary| canary > 1.0) {
        let (shown, percent) = (quantity::number(level), quantity::number(level * 100.0));
        let message =
            format!("the baseline's level is {shown}, which as a fraction is {percent} %: are these percentages? set `unit: percent`");
        return Some(ConfigProblem::new("/unit", message));
    }
    blind_to_falls(metric, level)
}

fn of_value(metric: &Metric, level: f64, canary: Option<f64>) -> Option<ConfigProblem> {
    if is_percent(metric) {
        return fractions(metric, level, canary);
    }
    wrong_time(metric, level, canary).or_else(|| blind_to_falls(metric, level)).or_else(|| hides_all(metric, level))
}

/// A share of what goes well of 1 % and less, in both arms.
fn fractions(metric: &Metric, level: f64, canary: Option<f64>) -> Option<ConfigProblem> {
    // A conversion of half a percent is none of these.
    let meant = is_named_share(&metric.name) && metric.direction != Direction::Increase;
    if !meant || level > 1.0 || canary.is_some_and(|canary| canary > 1.0) {
        return None;
    }
    let message = format!("the baseline's level is {}: are these fractions? set `unit: ratio`", explain::as_configured(metric, level));
    Some(ConfigProblem::new("/unit", message))
}

/// A tolerance as large as the level, of a metric whose fall is worse: it may fall to 0.
fn blind_to_falls(metric: &Metric, level: f64) -> Option<ConfigProblem> {
    let absolute = metric.tolerance.absolute.filter(|absolute| *absolute >= level)?;
    if metric.direction != Direction::Decrease || is_rare(metric) {
        return None;
    }
    let (level, absolute) = (explain::as_configured(metric, level), explain::difference_as_configured(metric, absolute));
    let message = format!("the baseline's level is {level}, no more than the absolute tolerance of {absolute}: no fall can exceed it");
    Some(ConfigProblem::new("/tolerance/absolute", message))
}

/// A tolerance many times the level.
fn hides_all(metric: &Metric, level: f64) -> Option<ConfigProblem> {
    let absolute = metric.tolerance.absolute.filter(|absolute| *absolute >= HIDES_ALL * level)?;
    // A floor far above what seldom happens is meant so.
    if is_rare(metric) || metric.unit.as_deref().is_some_and(|unit| unit.ends_with("/s")) {
        return None;
    }
    let times = quantity::number((absolute / level).round());
    let (level, absolute) = (explain::as_configured(metric, level), explain::difference_as_configured(metric, absolute));
    let message = format!(
        "the baseline's level is {level}, and the absolute tolerance of {absolute} is {times} times as much: are both in one unit?"
    );
    Some(ConfigProblem::new("/tolerance/absolute", message))
}

fn is_rare(metric: &Metric) -> bool {
    metric.absent_means_zero
}

/// A latency in another unit than its name says, as its tolerance or its limit tells.
fn wrong_time(metric: &Metric, level: f64, canary: Option<f64>) -> Option<ConfigProblem> {
    let shown = explain::as_configured(metric, level);
    match metric.unit.as_deref()? {
        "ms" | "milliseconds" if level < 1.0 && canary.is_none_or(|canary| canary < 1000.0) => {
            if let Some(absolute) = metric.tolerance.absolute.filter(|absolute| *absolute > level && *absolute >= 1.0) {
                let absolute = explain::difference_as_configured(metric, absolute);
                let message =
                    format!("the baseline's level is {shown}, less than the absolute tolerance of {absolute}: are these seconds?");
                return Some(ConfigProblem::new("/unit", message));
            }
            let max = metric.limits.max.filter(|max| *max >= MILLI * level)?;
            let times = quantity::number((max / level).round());
            let max = explain::as_configured(metric, max);
            let message = format!("the baseline's level is {shown}, and limits.max of {max} is {times} times as much: are these seconds?");
            Some(ConfigProblem::new("/unit", message))
        }
        "s" | "seconds" => {
            let max = metric.limits.max.filter(|max| *max > 0.0 && level >= MILLI * max)?;
            let max = explain::as_configured(metric, max);
            let message = format!("the baseline's level is {shown}, far above limits.max of {max}: are these milliseconds?");
            Some(ConfigProblem::new("/unit", message))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CheckedConfig;

    const COUNTS: &str = "kind: ratio, queries: {prometheus: {numerator: a, denominator: b}}";
    const DIVIDED: &str = "kind: ratio, queries: {prometheus: a}";

    fn metric(settings: &str) -> Metric {
        let yaml = if settings.contains("name:") { format!("{{{settings}}}") } else { format!("{{name: m, {settings}}}") };
        let config = CheckedConfig::from_yaml(&format!("{{name: x, metrics: [{yaml}]}}"));
        config.unwrap_or_else(|error| panic!("{yaml}: {error}")).into_inner().metrics.remove(0)
    }

    /// The pointers and sentences.
    fn told(settings: &str, levels: [Option<f64>; 2]) -> Vec<(String, String)> {
        let metric = metric(settings);
        let all = of_config(&metric).into_iter().chain(of_levels(&metric, levels[0], levels[1]));
        all.map(|problem| (problem.pointer, problem.message)).collect()
    }

    #[track_caller]
    fn says(settings: &str, levels: [Option<f64>; 2], pointer: &str, parts: &[&str]) {
        let told = told(settings, levels);
        assert!(told.len() == 1 && told[0].0 == pointer && parts.iter().all(|part| told[0].1.contains(part)), "{settings}: {told:#?}");
    }

    #[test]
    fn a_ratio_in_per_cent_is_recognised_without_samples() {
        let nothing = [None, None];
        says(&format!("{COUNTS}, limits: {{max: 1}}"), nothing, "/limits/max", &["limits.max of 1 is 100 %", "1 % is 0.01"]);
        says(&format!("{COUNTS}, tolerance: {{absolute: 1}}"), nothing, "/tolerance/absolute", &["100 percentage points", "1 pp is 0.01"]);
        says(&format!("{DIVIDED}, limits: {{max: 5}}"), nothing, "/limits/max", &["5 is 500 %", "`unit: percent`"]);
        says(&format!("{DIVIDED}, limits: {{min: 99}}"), nothing, "/limits/min", &["99 is 9900 %", "99 % is 0.99"]);
        says(&format!("{DIVIDED}, unit: percent, limits: {{max: 100}}"), nothing, "/limits/max", &["100 is 100 %"]);
        says("tolerance: {relative: 20}", nothing, "/tolerance/relative", &["20 is 2000 %", "20 % are 0.2"]);
        says("direction: decrease, tolerance: {relative: 1}", nothing, "/tolerance/relative", &["fall to 0"]);
        says("detectable: 50", nothing, "/detectable", &["5000 %", "50 % are 0.5"]);
        says("detectable: 1.0e308", nothing, "/detectable", &["1e308 times 100 %", "1e308 % are 1e306"]);
        says("limits: {max_ratio: 0.25}", nothing, "/limits/max_ratio", &["1.25 allows 25 % more"]);
    }

    #[test]
    fn what_is_meant_so_is_left_alone() {
        for settings in [
            "kind: ratio, limits: {max: 0.01}, tolerance: {absolute: 0.01, relative: 0}, queries: {prometheus: {numerator: a, denominator: b}}",
            "kind: ratio, unit: percent, limits: {max: 5, min: 0.5}, tolerance: {absolute: 1}, queries: {prometheus: a}",
            "kind: ratio, unit: percent, tolerance: {absolute: 1}",
            // All must go well.
            "kind: ratio, direction: decrease, limits: {min: 1}",
            "unit: percent, limits: {max: 100}, tolerance: {absolute: 1, relative: 1.5}",
            "direction: increase, tolerance: {relative: 1.9}",
            "limits: {max_ratio: 1}",
        ] {
            assert_eq!(told(settings, [Some(0.001), Some(0.002)]), [], "{settings}");
        }
    }

    #[test]
    fn seconds_that_are_called_milliseconds_are_asked_about() {
        let tolerance = "unit: ms, tolerance: {absolute: 5}";
        let said = "the baseline's level is 0.4 ms, less than the absolute tolerance of 5 ms: are these seconds?";
        assert_eq!(told(tolerance, [Some(0.4), Some(4.0)]), [("/unit".to_owned(), said.to_owned())]);
        says("unit: ms, limits: {max: 500}", [Some(0.4), None], "/unit", &["1250 times as much: are these seconds?"]);
        says("unit: s, limits: {max: 0.5}", [Some(412.0), None], "/unit", &["412 s", "0.5 s: are these milliseconds?"]);
        for levels in [[Some(0.0), Some(4.0)], [None, Some(0.4)], [Some(f64::NAN), None], [Some(3.0), Some(0.4)]] {
            assert_eq!(told(tolerance, levels), [], "{levels:?}");
        }
        for settings in ["unit: ms, tolerance: {absolute: 0.1}", "unit: ms, limits: {max: 20}", "unit: s, limits: {max: 1}"] {
            assert_eq!(told(settings, [Some(0.4), Some(0.4)]), [], "{settings}");
        }
        assert_eq!(told("unit: s, limits: {max: 1}", [Some(5.0), Some(5.0)]), [], "past a limit is not another unit");
    }

    #[test]
    fn percentages_and_fractions_are_told_from_each_other_by_their_level() {
        says(&format!("{DIVIDED}, direction: decrease"), [Some(99.2), Some(98.0)], "/unit", &["99.2", "9920 %", "`unit: percent`"]);
        let share = "name: success-rate, unit: percent, direction: decrease";
        says(share, [Some(0.998), Some(0.9)], "/unit", &["0.998 %", "`unit: ratio`"]);
        for settings in [
            share.replace("success-rate", "conversion"),
            share.replace("decrease", "increase"),
            "unit: percent, tolerance: {absolute: 1}".to_owned(),
        ] {
            assert_eq!(told(&settings, [Some(0.5), Some(0.4)]), [], "{settings}");
        }
        assert_eq!(told(&format!("{DIVIDED}, direction: decrease"), [Some(0.99), Some(0.98)]), []);
    }

    #[test]
    fn a_tolerance_that_hides_everything_is_named() {
        let falls = "unit: requests/s, direction: decrease, tolerance: {absolute: 5}";
        says(falls, [Some(3.0), Some(1.0)], "/tolerance/absolute", &["3 requests/s", "5 requests/s", "no fall can exceed it"]);
        let conversion = "kind: ratio, direction: decrease, tolerance: {absolute: 0.05}";
        says(conversion, [Some(0.03), Some(0.01)], "/tolerance/absolute", &["3 %", "5 pp", "no fall"]);
        let memory = "unit: bytes, direction: increase, tolerance: {absolute: 10485760}";
        says(memory, [Some(1000.0), None], "/tolerance/absolute", &["times as much", "one unit?"]);
        for (settings, level) in [
            (falls, 8.0),
            (falls, 0.0),
            (memory, 2e6),
            // A floor above what seldom happens.
            ("unit: errors/s, direction: increase, tolerance: {absolute: 1}", 0.01),
            ("kind: events, direction: increase, tolerance: {absolute: 5}", 0.2),
            ("absent_means_zero: true, direction: increase, tolerance: {absolute: 5}", 0.2),
            ("kind: ratio, direction: increase, tolerance: {absolute: 0.01}", 0.0001),
            ("unit: ms, direction: increase, tolerance: {absolute: 5}", 1.2),
        ] {
            assert_eq!(told(settings, [Some(level), Some(level)]), [], "{settings} at {level}");
        }
    }

    #[test]
    fn a_scorecard_is_told_the_same() {
        let metric = metric("unit: ms, tolerance: {absolute: 5, relative: 25}");
        let said = warnings(&metric, Some(0.4), Some(4.0));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("tolerance.relative of 25 is 2500 %") && said[1].ends_with("are these seconds?"), "{said:?}");
    }

    #[test]
    fn names_of_shares_are_recognised_by_whole_words() {
        for name in ["success-rate", "Availability", "cache_hit_ratio", "apdex"] {
            assert!(is_named_share(name), "{name}");
        }
        for name in ["hits", "success_count", "successful", "latency-of-success", "unavailable", "whit"] {
            assert!(!is_named_share(name), "{name}");
        }
    }
}
