//! Rows of long-format tables, a row for each value, put together to cases.
//!
//! | column | content |
//! | --- | --- |
//! | `case` | the case's id |
//! | `metric` | the metric's name |
//! | `arm` | `baseline`, `canary`, `baseline_history` or `canary_history` |
//! | `timestamp` | Unix seconds, whole or not, or RFC 3339 text |
//! | `value` | a number; empty, null and `NaN` are missing |
//! | `instance` | optional: rows of one instance; the arm is the mean of its instances |
//! | `source`, `group`, `label` | optional, as in JSON lines; one for all rows of a case |
//! | `role`, `kind`, `direction`, `unit` | optional, as in JSON lines; one for all rows of a metric |

use std::collections::BTreeMap;

use serde_json::json;

use super::case::Case;

/// Rows that are read at a time, unless a single case has more.
pub(super) const BATCH_ROWS: u64 = 1_000_000;
/// Most rows that a case may have.
pub(super) const MAX_CASE_ROWS: u64 = 20_000_000;
/// Most points of an arm, gaps between its timestamps included.
const MAX_POINTS: f64 = 1e6;
/// Columns that a table must have.
pub(super) const NEEDED: [&str; 5] = ["case", "metric", "arm", "timestamp", "value"];
/// Columns that it may have.
pub(super) const OPTIONAL: [&str; 8] = ["instance", "source", "group", "label", "role", "kind", "direction", "unit"];

/// What is wrong with a case, and the line where it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CaseProblem {
    /// From 1; 0 where the format has no lines.
    pub(super) line: u64,
    pub(super) problem: String,
}

/// Seconds and value.
type TimedValue = (f64, Option<f64>);
/// An instance's name, where the table names instances.
type InstanceName = Option<String>;

/// A case under way.
#[derive(Default)]
pub(super) struct CaseRows {
    about: BTreeMap<&'static str, String>,
    metrics: BTreeMap<String, MetricRows>,
    problem: Option<CaseProblem>,
}

#[derive(Default)]
struct MetricRows {
    about: BTreeMap<&'static str, String>,
    /// Points of each arm and instance.
    arms: BTreeMap<(&'static str, InstanceName), Vec<TimedValue>>,
}

const ARMS: [&str; 4] = ["baseline", "canary", "baseline_history", "canary_history"];

impl CaseRows {
    /// Adds the row of a line; 0 where the format has none. What is wrong with it is told when the case is made.
    pub(super) fn add<'a>(&mut self, line: u64, cell: &impl Fn(&str) -> Option<&'a str>) {
        if let Err(problem) = self.try_add(cell) {
            self.problem.get_or_insert(CaseProblem { line, problem });
        }
    }

    fn try_add<'a>(&mut self, cell: &impl Fn(&str) -> Option<&'a str>) -> Result<(), String> {
        let name = cell("metric").filter(|name| !name.is_empty()).ok_or("metric: is empty; name the metric of every row")?;
        let arm = cell("arm").unwrap_or_default();
        let arm =
            ARMS.into_iter().find(|known| *known == arm).ok_or_else(|| format!("arm: `{}` is none of {}", shown(arm), ARMS.join(", ")))?;
        let time = cell("timestamp").unwrap_or_default();
        let time = seconds(time).ok_or_else(|| format!("timestamp: `{}` is neither Unix seconds nor RFC 3339", shown(time)))?;
        let value = match cell("value").map(str::trim).filter(|value| !value.is_empty()) {
            None => None,
            Some(text) => Some(
                text.parse::<f64>().map_err(|_| format!("value: `{}` is no number; leave it empty where it is missing", shown(text)))?,
            ),
        };
        say_once(&mut self.about, &["source", "group", "label"], cell)?;
        let metric = self.metrics.entry(name.to_owned()).or_default();
        say_once(&mut metric.about, &["role", "kind", "direction", "unit"], cell)?;
        let instance = cell("instance").filter(|instance| !instance.is_empty()).map(str::to_owned);
        metric.arms.entry((arm, instance)).or_default().push((time, value.filter(|value| value.is_finite())));
        Ok(())
    }

    /// The case on its grid; with a window, what lies before an arm's last so many seconds is history. Rows come in no certain order, so
    /// nothing here depends on it.
    pub(super) fn case(mut self, id: &str, window: Option<f64>) -> Result<Case, CaseProblem> {
        if let Some(CaseProblem { line, problem }) = self.problem.take() {
            return Err(CaseProblem { line, problem: format!("case `{}`: {problem}", shown(id)) });
        }
        self.on_grid(id, window).map_err(|problem| CaseProblem { line: 0, problem: format!("case `{}`: {problem}", shown(id)) })
    }

    fn on_grid(mut self, id: &str, window: Option<f64>) -> Result<Case, String> {
        for points in self.metrics.values_mut().flat_map(|metric| metric.arms.values_mut()) {
            points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.unwrap_or(f64::NAN).total_cmp(&b.1.unwrap_or(f64::NAN))));
        }
        let step = self.step();
        if let Some(window) = window {
            self.metrics.values_mut().for_each(|metric| metric.split(window));
        }
        // The arms lie side by side where their windows overlap by half.
        let span = |arm: &str| {
            let times =
                || self.metrics.values().flat_map(|metric| &metric.arms).filter(|((of, _), _)| *of == arm).flat_map(|(_, points)| points);
            times().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (time, _)| (low.min(*time), high.max(*time)))
        };
        let (baseline, canary) = (span("baseline"), span("canary"));
        let shared = baseline.1.min(canary.1) - baseline.0.max(canary.0);
        let concurrent = shared * 2.0 >= canary.1 - canary.0;
        let ends = BTreeMap::from([("baseline", baseline), ("canary", canary)]);
        let metrics: Result<Vec<serde_json::Value>, String> =
            self.metrics.iter().map(|(name, metric)| metric.json(name, step, &ends)).collect();
        let case = json!({
            "id": id,
            "source": self.about.get("source").map_or("", String::as_str),
            "group": self.about.get("group"),
            "label": self.about.get("label"),
            "pairing": if concurrent { "concurrent" } else { "before_after" },
            "step_seconds": step,
            "metrics": metrics?,
        });
        let case: Case = serde_path_to_error::deserialize(case).map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
        case.check()?;
        Ok(case)
    }

    /// The usual distance between neighbouring points of a series: its median over all.
    fn step(&self) -> f64 {
        let mut gaps = Vec::new();
        for points in self.metrics.values().flat_map(|metric| metric.arms.values()) {
            let times: Vec<f64> = points.iter().map(|(time, _)| *time).collect();
            gaps.extend(times.iter().zip(times.iter().skip(1)).map(|(a, b)| b - a).filter(|gap| *gap > 0.0));
        }
        gaps.sort_unstable_by(f64::total_cmp);
        if gaps.is_empty() { 60.0 } else { gaps[gaps.len() / 2] }
    }
}

/// Notes what rows say of their case or metric, which is one and the same in all of them.
fn say_once<'a>(
    about: &mut BTreeMap<&'static str, String>,
    fields: &[&'static str],
    cell: &impl Fn(&str) -> Option<&'a str>,
) -> Result<(), String> {
    for field in fields {
        let Some(text) = cell(field).filter(|text| !text.is_empty()) else { continue };
        let known = about.entry(field).or_insert_with(|| text.to_owned());
        if known != text {
            return Err(format!("{field}: rows say `{}` and `{}`; give one for all", shown(known), shown(text)));
        }
    }
    Ok(())
}

fn shown(text: &str) -> String {
    crate::report::format::clean(&text.chars().take(60).collect::<String>())
}

impl MetricRows {
    /// Moves what lies before the last `window` seconds of an arm to its history.
    fn split(&mut self, window: f64) {
        for (arm, past) in [("baseline", "baseline_history"), ("canary", "canary_history")] {
            let last = self
                .arms
                .iter()
                .filter(|((of, _), _)| *of == arm)
                .flat_map(|(_, points)| points)
                .map(|(time, _)| *time)
                .fold(f64::NEG_INFINITY, f64::max);
            let instances: Vec<Option<String>> =
                self.arms.keys().filter(|(of, _)| *of == arm).map(|(_, instance)| instance.clone()).collect();
            for instance in instances {
                let Some(points) = self.arms.remove(&(arm, instance.clone())) else { continue };
                let (recent, old): (Vec<_>, Vec<_>) = points.into_iter().partition(|(time, _)| *time > last - window);
                if !recent.is_empty() {
                    self.arms.insert((arm, instance.clone()), recent);
                }
                if !old.is_empty() {
                    self.arms.entry((past, instance)).or_default().extend(old);
                }
            }
        }
    }

    fn json(&self, name: &str, step: f64, ends: &BTreeMap<&str, (f64, f64)>) -> Result<serde_json::Value, String> {
        let mut out = serde_json::Map::new();
        out.insert("name".to_owned(), json!(name));
        for (field, text) in &self.about {
            out.insert((*field).to_owned(), json!(text));
        }
        for arm in ARMS {
            let series: Vec<(&InstanceName, &Vec<TimedValue>)> =
                self.arms.iter().filter(|((of, _), _)| *of == arm).map(|((_, instance), points)| (instance, points)).collect();
            let is_past = arm.ends_with("_history");
            if series.is_empty() && is_past {
                continue;
            }
            // All series of an arm lie on one grid, that of the arm's window; history ends where that starts.
            let (start, end) = if is_past {
                let window = ends.get(arm.trim_end_matches("_history")).copied().unwrap_or((0.0, 0.0));
                let first = series.iter().flat_map(|(_, points)| points.iter()).map(|(time, _)| *time).fold(f64::INFINITY, f64::min);
                (window.0 - ((window.0 - first) / step).round() * step, window.0 - step)
            } else {
                ends.get(arm).copied().unwrap_or((0.0, 0.0))
            };
            let points = ((end - start) / step).round() + 1.0;
            if points.is_finite() && points > MAX_POINTS {
                return Err(format!(
                    "metric `{}`: {arm} spans {points} points of {step} s, more than the {MAX_POINTS} that are read",
                    name
                ));
            }
            let n = if points.is_finite() { points.max(0.0) as usize } else { 0 };
            let laid: Vec<(&Option<String>, Vec<Option<f64>>)> =
                series.iter().map(|(instance, points)| (*instance, grid(points, start, step, n))).collect();
            out.insert(arm.to_owned(), json!(mean(laid.iter().map(|(_, points)| points), n)));
            if !is_past && laid.iter().any(|(instance, _)| instance.is_some()) {
                let named: BTreeMap<String, &Vec<Option<f64>>> =
                    laid.iter().map(|(instance, points)| ((*instance).clone().unwrap_or_default(), points)).collect();
                out.insert(format!("{arm}_instances"), json!(named));
            }
        }
        Ok(out.into())
    }
}

/// The points on a grid; several that fall on one place are averaged, and what lies beside the grid is left out.
fn grid(points: &[TimedValue], start: f64, step: f64, n: usize) -> Vec<Option<f64>> {
    let mut cells = vec![(0.0, 0_u32); n];
    for (time, value) in points {
        let place = ((time - start) / step).round();
        if place < 0.0 {
            continue;
        }
        if let (Some(cell), Some(value)) = (cells.get_mut(place as usize), value) {
            cell.0 += value;
            cell.1 += 1;
        }
    }
    cells.into_iter().map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))).collect()
}

/// The mean of those series that have a point, place by place.
fn mean<'a>(series: impl Iterator<Item = &'a Vec<Option<f64>>> + Clone, n: usize) -> Vec<Option<f64>> {
    (0..n)
        .map(|i| {
            let present = || series.clone().filter_map(|points| *points.get(i)?);
            let count = present().count();
            (count > 0).then(|| present().sum::<f64>() / count as f64)
        })
        .collect()
}

/// Unix seconds, or RFC 3339.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(seconds).filter(|seconds| seconds.is_finite());
    }
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Some(timestamp.as_second() as f64 + f64::from(timestamp.subsec_nanosecond()) / 1e9)
}
