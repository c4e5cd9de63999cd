//! Reads the rows of a selection out of files, and lays them on the window's grid.

use std::collections::BTreeMap;

use haldane_judges::evidence::ABSENT;
use polars::prelude::{
    DataFrame, DataType, Expr, LazyCsvReader, LazyFileListReader as _, LazyFrame, LazyJsonLineReader, PlRefPath, PolarsError, PolarsResult,
    ScanArgsParquet, col, lit,
};

use super::selection::{File, FileFormat, Selection};
use crate::source::grid::{GridPlace, place};
use crate::source::text::escaped;
use crate::source::{MAX_SERIES, Reply, Series, SourceError, Window};

/// Most rows of a file that a selection may have.
const MAX_ROWS: u32 = 10_000_000;
/// Most values of all series together.
const MAX_VALUES: usize = 8 << 20;

/// The series of `selection` in `files`, which add up.
pub(super) fn read(files: &[File], selection: &Selection, window: Window) -> Result<Reply, SourceError> {
    let mut rows = SelectedRows::new(window);
    for file in files {
        rows.add(file, selection)?;
    }
    Ok(rows.reply())
}

/// The instance and the bucket of a row, where it has them.
type SeriesKey = (Option<String>, Option<String>);

/// Values of one instance, or one bucket of it, summed up by the window's points.
struct Cells {
    sums: Vec<f64>,
    counts: Vec<u32>,
}

struct SelectedRows {
    window: Window,
    instances: BTreeMap<SeriesKey, Cells>,
    off_grid: u64,
    furthest_off: f64,
    merged: u64,
    without_time: u64,
}

impl SelectedRows {
    fn new(window: Window) -> Self {
        Self { window, instances: BTreeMap::new(), off_grid: 0, furthest_off: 0.0, merged: 0, without_time: 0 }
    }

    fn add(&mut self, file: &File, selection: &Selection) -> Result<(), SourceError> {
        let broken = |error: PolarsError| unreadable(file, &escaped(&error.to_string(), 300));
        let mut frame = scan(file).map_err(broken)?;
        let schema = frame.collect_schema().map_err(broken)?;
        let kind = |column: &str| schema.get(column);
        let mut needed = vec!["timestamp", "metric", "scope", "value"];
        needed.extend(selection.location.as_ref().map(|_| "location"));
        for column in needed {
            let Some(kind) = kind(column) else {
                return Err(SourceError::Unreadable(format!(
                    "`{}` has no column `{column}`; it needs timestamp, metric, scope, value (and location, to select by it)",
                    file.name
                )));
            };
            if !(kind.is_integer() || kind.is_float() || matches!(kind, DataType::String | DataType::Null)) {
                return Err(unreadable(file, &format!("column `{column}` holds {kind}, not numbers or text")));
            }
        }
        let is_text = |column: &str| matches!(kind(column), Some(DataType::String));
        let mut selected = is(col("metric"), &selection.metric).and(is(col("scope"), &selection.scope));
        if let Some(location) = &selection.location {
            selected = selected.and(is(col("location"), location));
        }
        if !is_text("timestamp") {
            // Only numbers can be compared before they are read; text is RFC 3339 or a number and is sorted out below.
            let half = f64::from(self.window.step_seconds) / 2.0;
            let timestamp = || col("timestamp").cast(DataType::Float64);
            selected = selected
                .and(timestamp().gt_eq(lit(self.window.first_point() as f64 - half)))
                .and(timestamp().lt_eq(lit(self.window.end as f64 + half)));
        }
        let number = |column: &str| if is_text(column) { col(column) } else { col(column).cast(DataType::Float64) };
        let mut columns = vec![number("timestamp"), number("value")];
        let (has_instance, has_bucket) = (kind("instance").is_some(), kind("le").is_some());
        for column in ["instance", "le"].into_iter().filter(|column| kind(column).is_some()) {
            columns.push(col(column).cast(DataType::String));
        }
        let frame = frame.filter(selected).select(columns).limit(MAX_ROWS + 1).collect().map_err(broken)?;
        if frame.height() > MAX_ROWS as usize {
            return Err(SourceError::Refused(format!(
                "more than {MAX_ROWS} rows of `{}` are of this metric and scope; split the file",
                file.name
            )));
        }
        let timestamps = numbers(file, &frame, "timestamp", timestamp_of)?;
        let values = numbers(file, &frame, "value", value_of)?;
        let texts = |column: &str, is_there: bool| -> Result<Vec<Option<&str>>, SourceError> {
            if !is_there {
                return Ok(vec![None; timestamps.len()]);
            }
            Ok(frame.column(column).and_then(|column| column.str()).map_err(broken)?.iter().collect())
        };
        let (instances, buckets) = (texts("instance", has_instance)?, texts("le", has_bucket)?);
        for (((timestamp, value), instance), bucket) in timestamps.iter().copied().zip(values).zip(instances).zip(buckets) {
            let Some(timestamp) = timestamp else {
                self.without_time += 1;
                continue;
            };
            if let Some(value) = value.filter(|value| !value.is_nan()) {
                self.put(timestamp, value, instance, bucket.map(str::trim).filter(|bucket| !bucket.is_empty()))?;
            }
        }
        Ok(())
    }

    fn put(&mut self, timestamp: f64, value: f64, instance: Option<&str>, bucket: Option<&str>) -> Result<(), SourceError> {
        let GridPlace::At { index, off_seconds } = place(self.window, timestamp) else {
            return Ok(());
        };
        if let Some(off) = off_seconds {
            self.off_grid += 1;
            self.furthest_off = self.furthest_off.max(off);
        }
        let key = (instance.map(str::to_owned), bucket.map(str::to_owned));
        let length = self.window.len();
        if !self.instances.contains_key(&key) {
            let series = self.instances.len() + 1;
            if series > MAX_SERIES || series.saturating_mul(length) > MAX_VALUES {
                return Err(SourceError::TooManySeries(MAX_SERIES));
            }
        }
        let cells = self.instances.entry(key).or_insert_with(|| Cells { sums: vec![0.0; length], counts: vec![0; length] });
        if let (Some(sum), Some(count)) = (cells.sums.get_mut(index), cells.counts.get_mut(index)) {
            self.merged += u64::from(*count > 0);
            *sum += value;
            *count = count.saturating_add(1);
        }
        Ok(())
    }

    fn reply(self) -> Reply {
        let mut warnings = Vec::new();
        if self.off_grid > 0 {
            warnings.push(format!(
                "{} values lie off the grid of {} s, by up to {:.3} s; each was taken for the nearest point",
                self.off_grid, self.window.step_seconds, self.furthest_off
            ));
        }
        if self.merged > 0 {
            warnings.push(format!("{} values fell on a point that had one already; their mean was taken", self.merged));
        }
        if self.without_time > 0 {
            warnings.push(format!("{} rows without a timestamp were left out", self.without_time));
        }
        let mean = |(sum, count): (f64, u32)| if count == 0 { ABSENT } else { sum / f64::from(count) };
        let series = self.instances.into_iter().map(|((instance, bucket), cells)| Series {
            labels: [("instance", instance), ("le", bucket)]
                .into_iter()
                .filter_map(|(name, text)| Some((name.to_owned(), text?)))
                .collect(),
            values: cells.sums.into_iter().zip(cells.counts).map(mean).collect(),
        });
        Reply { series: series.collect(), warnings }
    }
}

fn unreadable(file: &File, what: &str) -> SourceError {
    SourceError::Unreadable(format!("`{}`: {what}", file.name))
}

fn is(column: Expr, text: &str) -> Expr {
    column.cast(DataType::String).eq(lit(text))
}

fn scan(file: &File) -> PolarsResult<LazyFrame> {
    let path = PlRefPath::try_from_path(&file.path)?;
    match file.format {
        // Every column as text: a scope may look like a number, and the first rows do not tell what the last ones hold.
        FileFormat::Csv => LazyCsvReader::new(path).with_glob(false).with_infer_schema_length(Some(0)).finish(),
        FileFormat::Parquet => LazyFrame::scan_parquet(path, ScanArgsParquet { glob: false, ..ScanArgsParquet::default() }),
        // The types are inferred from the whole file: a first value of `1` would otherwise refuse a later `1.5`.
        FileFormat::Ndjson => LazyJsonLineReader::new(path).with_infer_schema_length(None).finish(),
    }
}

/// A column of numbers, or of text that is read by `parse`.
fn numbers(file: &File, frame: &DataFrame, name: &str, parse: impl Fn(&str) -> Option<f64>) -> Result<Vec<Option<f64>>, SourceError> {
    let broken = |error: PolarsError| unreadable(file, &escaped(&error.to_string(), 300));
    let column = frame.column(name).map_err(broken)?;
    if !matches!(column.dtype(), DataType::String) {
        return Ok(column.f64().map_err(broken)?.iter().collect());
    }
    let texts = column.str().map_err(broken)?;
    texts
        .iter()
        .map(|text| match text.map(str::trim).filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => {
                parse(text).map(Some).ok_or_else(|| unreadable(file, &format!("`{}` in column `{name}` cannot be read", escaped(text, 40))))
            }
        })
        .collect()
}

/// Unix seconds, or RFC 3339.
fn timestamp_of(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(seconds);
    }
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Some(timestamp.as_second() as f64 + f64::from(timestamp.subsec_nanosecond()) / 1e9)
}

fn value_of(text: &str) -> Option<f64> {
    text.parse().ok()
}
