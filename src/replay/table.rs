//! Long-format tables of recorded canaries: CSV, Parquet and NDJSON, a row for each value; and rows of results as Parquet.
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
//!
//! The files are scanned lazily: first how many rows each case has, then a batch of cases at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use polars::prelude::{
    Column as PolarsColumn, DataFrame, DataType, IntoLazy as _, LazyCsvReader, LazyFileListReader as _, LazyFrame, LazyJsonLineReader,
    NamedFrom as _, ParquetWriter, PlRefPath, PolarsError, PolarsResult, ScanArgsParquet, Series, col, len,
};
use serde_json::json;

use super::case::Case;
use super::row::ReplayRow;

/// Rows that are read at a time, unless a single case has more.
const BATCH_ROWS: u64 = 1_000_000;
/// Most rows that a case may have.
const MAX_CASE_ROWS: u64 = 20_000_000;
/// Most points of an arm, gaps between its timestamps included.
const MAX_POINTS: f64 = 1e6;
const NEEDED: [&str; 5] = ["case", "metric", "arm", "timestamp", "value"];
const OPTIONAL: [&str; 8] = ["instance", "source", "group", "label", "role", "kind", "direction", "unit"];

/// Hands every case of a table to `take`, in the order of their first rows, until that says that nobody listens.
pub(super) fn read(path: &Path, window: Option<f64>, take: &mut dyn FnMut(Result<Case, String>) -> bool) -> Result<(), String> {
    let broken = |error: PolarsError| error.to_string();
    let mut frame = scan(path).map_err(broken)?;
    let schema = frame.collect_schema().map_err(broken)?;
    for column in NEEDED {
        if schema.get(column).is_none() {
            return Err(format!("there is no column `{column}`; a table needs {}", NEEDED.join(", ")));
        }
    }
    let columns: Vec<&str> = NEEDED.into_iter().chain(OPTIONAL).filter(|column| schema.get(column).is_some()).collect();
    // As text, whatever a reader took them for: ids may look like numbers, and timestamps come as either.
    let texts = || columns.iter().map(|column| col(*column).cast(DataType::String)).collect::<Vec<_>>();
    let counts = frame.clone().select([col("case").cast(DataType::String)]).group_by_stable([col("case")]).agg([len().alias("rows")]);
    let counts = counts.collect().map_err(broken)?;
    let ids: Vec<Option<String>> = strings(&counts, "case").map_err(broken)?;
    let rows = counts.column("rows").and_then(|rows| rows.cast(&DataType::UInt64)).map_err(broken)?;
    let rows: Vec<u64> = rows.u64().map_err(broken)?.iter().map(Option::unwrap_or_default).collect();
    let mut batch: Vec<String> = Vec::new();
    let mut in_batch = 0;
    let mut batches: Vec<Vec<String>> = Vec::new();
    for (id, rows) in ids.into_iter().zip(rows) {
        let Some(id) = id else { return Err(format!("{rows} rows have no `case`; give every row its case")) };
        if rows > MAX_CASE_ROWS {
            return Err(format!("case `{id}` has {rows} rows, more than the {MAX_CASE_ROWS} that are read"));
        }
        if in_batch > 0 && in_batch + rows > BATCH_ROWS {
            batches.push(std::mem::take(&mut batch));
            in_batch = 0;
        }
        in_batch += rows;
        batch.push(id);
    }
    batches.push(batch);
    for batch in batches.into_iter().filter(|batch| !batch.is_empty()) {
        let wanted = DataFrame::new_infer_height(vec![PolarsColumn::new("case".into(), &batch)]).map_err(broken)?;
        let found = frame.clone().select(texts()).inner_join(wanted.lazy(), col("case"), col("case")).collect().map_err(broken)?;
        let mut cases: BTreeMap<String, CaseRows> = BTreeMap::new();
        let all: PolarsResult<Vec<(&str, TextColumn)>> = columns.iter().map(|column| Ok((*column, strings(&found, column)?))).collect();
        let all = all.map_err(broken)?;
        for i in 0..found.height() {
            let cell = |name: &str| all.iter().find(|(column, _)| *column == name).and_then(|(_, cells)| cells.get(i)?.as_deref());
            let id = cell("case").unwrap_or_default();
            let case = cases.entry(id.to_owned()).or_default();
            case.add(&cell);
        }
        for id in batch {
            let case = cases.remove(&id).unwrap_or_default().case(&id, window);
            if !take(case.map_err(|problem| format!("case `{id}`: {problem}"))) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn scan(path: &Path) -> PolarsResult<LazyFrame> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let path = PlRefPath::try_from_path(path)?;
    match ending.as_str() {
        // Every column as text: an id may look like a number, and the first rows do not tell what the last ones hold.
        "csv" => LazyCsvReader::new(path).with_glob(false).with_infer_schema_length(Some(0)).finish(),
        "parquet" => LazyFrame::scan_parquet(path, ScanArgsParquet { glob: false, ..ScanArgsParquet::default() }),
        _ => LazyJsonLineReader::new(path).with_infer_schema_length(None).finish(),
    }
}

fn strings(frame: &DataFrame, column: &str) -> PolarsResult<Vec<Option<String>>> {
    Ok(frame.column(column)?.str()?.iter().map(|text| text.map(str::to_owned)).collect())
}

/// A column of texts.
type TextColumn = Vec<Option<String>>;
/// Seconds and value.
type TimedValue = (f64, Option<f64>);
/// An instance's name, where the table names instances.
type InstanceName = Option<String>;

/// A case under way.
#[derive(Default)]
struct CaseRows {
    about: BTreeMap<&'static str, String>,
    metrics: BTreeMap<String, MetricRows>,
    problem: Option<String>,
}

#[derive(Default)]
struct MetricRows {
    about: BTreeMap<&'static str, String>,
    /// Points of each arm and instance.
    arms: BTreeMap<(&'static str, InstanceName), Vec<TimedValue>>,
}

const ARMS: [&str; 4] = ["baseline", "canary", "baseline_history", "canary_history"];

impl CaseRows {
    fn add<'a>(&mut self, cell: &impl Fn(&str) -> Option<&'a str>) {
        if let Err(problem) = self.try_add(cell) {
            self.problem.get_or_insert(problem);
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

    /// The case on its grid. Rows come in no certain order, so nothing here depends on it.
    fn case(mut self, id: &str, window: Option<f64>) -> Result<Case, String> {
        for points in self.metrics.values_mut().flat_map(|metric| metric.arms.values_mut()) {
            points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.unwrap_or(f64::NAN).total_cmp(&b.1.unwrap_or(f64::NAN))));
        }
        if let Some(problem) = self.problem {
            return Err(problem);
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

/// Writes rows as Parquet, in groups.
pub(super) struct RowsWriter {
    writer: polars::io::parquet::write::BatchedWriter<File>,
    waiting: Vec<ReplayRow>,
}

/// Rows of a group.
const GROUP_ROWS: usize = 50_000;

impl RowsWriter {
    pub(super) fn create(path: &Path) -> Result<Self, String> {
        let file = File::create(path).map_err(|error| format!("`{}` cannot be written: {error}", path.display()))?;
        let schema = frame(&[]).map_err(|error| error.to_string())?.schema().clone();
        let writer = ParquetWriter::new(file).batched(&schema).map_err(|error| error.to_string())?;
        Ok(Self { writer, waiting: Vec::new() })
    }

    pub(super) fn write(&mut self, rows: Vec<ReplayRow>) -> Result<(), String> {
        self.waiting.extend(rows);
        if self.waiting.len() >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), String> {
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return Ok(());
        }
        frame(&rows).and_then(|frame| self.writer.write_batch(&frame)).map_err(|error| error.to_string())
    }

    pub(super) fn finish(mut self) -> Result<(), String> {
        self.flush()?;
        self.writer.finish().map(|_| ()).map_err(|error| error.to_string())
    }
}

fn frame(rows: &[ReplayRow]) -> PolarsResult<DataFrame> {
    let text = |name: &str, of: &dyn Fn(&ReplayRow) -> Option<String>| -> PolarsColumn {
        Series::new(name.into(), rows.iter().map(of).collect::<Vec<Option<String>>>()).into()
    };
    let number = |name: &str, of: &dyn Fn(&ReplayRow) -> Option<f64>| -> PolarsColumn {
        Series::new(name.into(), rows.iter().map(of).collect::<Vec<Option<f64>>>()).into()
    };
    let whole = |name: &str, of: &dyn Fn(&ReplayRow) -> Option<u64>| -> PolarsColumn {
        Series::new(name.into(), rows.iter().map(of).collect::<Vec<Option<u64>>>()).into()
    };
    let flag = |name: &str, of: &dyn Fn(&ReplayRow) -> Option<bool>| -> PolarsColumn {
        Series::new(name.into(), rows.iter().map(of).collect::<Vec<Option<bool>>>()).into()
    };
    let label = |row: &ReplayRow| row.label.map(|label| if label == super::Label::Healthy { "healthy" } else { "regressed" }.to_owned());
    DataFrame::new_infer_height(vec![
        text("case", &|row| Some(row.case.clone())),
        text("source", &|row| Some(row.source.clone())),
        text("group", &|row| Some(row.group.clone())),
        text("label", &label),
        text("pairing", &|row| row.pairing.clone()),
        whole("points", &|row| Some(row.points as u64)),
        text("judge", &|row| Some(row.judge.clone())),
        text("verdict", &|row| Some(row.verdict.to_string())),
        number("score", &|row| row.score),
        whole("first_failed_look", &|row| row.first_failed_look.map(u64::from)),
        text("found_within_10", &|row| row.found_within_10.map(|found| found.to_string())),
        text("found_within_20", &|row| row.found_within_20.map(|found| found.to_string())),
        text("found_within_60", &|row| row.found_within_60.map(|found| found.to_string())),
        text("metric", &|row| Some(row.metric.clone())),
        flag("recorded", &|row| Some(row.recorded)),
        flag("muted", &|row| Some(row.muted)),
        flag("affected", &|row| row.affected),
        text("status", &|row| Some(row.status.to_string())),
        text("reason", &|row| Some(row.reason.clone())),
        number("shift", &|row| row.shift),
        number("limit", &|row| row.limit),
        number("limit_points", &|row| row.limit_points),
        number("exceedance", &|row| Some(row.exceedance)),
        number("p", &|row| row.p),
        number("shift_in_noise", &|row| row.shift_in_noise),
        whole("history_windows", &|row| row.history_windows.map(|windows| windows as u64)),
        number("history_spread", &|row| row.history_spread),
        number("history_points", &|row| row.history_points),
        text("sentence", &|row| Some(row.sentence.clone())),
        whole("rows", &|row| Some(row.rows as u64)),
        text("run", &|row| Some(row.run.clone())),
    ])
}
