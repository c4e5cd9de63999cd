//! Long-format tables as Parquet, by the feature `datasets`: recorded canaries read ([`long_format`](super::long_format) says which columns
//! there are), and rows of results written.
//!
//! A file is scanned lazily: first how many rows each case has, then a batch of cases at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use polars::prelude::{
    Column as PolarsColumn, DataFrame, DataType, IntoLazy as _, LazyFrame, NamedFrom as _, ParquetWriter, PlRefPath, PolarsError,
    PolarsResult, ScanArgsParquet, Series, col, len,
};

use super::case::Case;
use super::long_format::{BATCH_ROWS, CaseProblem, CaseRows, MAX_CASE_ROWS, NEEDED, OPTIONAL};
use super::row::ReplayRow;

/// Hands every case of a table to `take`, in the order of their first rows, until that says that nobody listens.
pub(super) fn read(path: &Path, window: Option<f64>, take: &mut dyn FnMut(Result<Case, CaseProblem>) -> bool) -> Result<(), String> {
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
            case.add(0, &cell);
        }
        for id in batch {
            let case = cases.remove(&id).unwrap_or_default().case(&id, window);
            if !take(case) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn scan(path: &Path) -> PolarsResult<LazyFrame> {
    let args = ScanArgsParquet { glob: false, ..ScanArgsParquet::default() };
    LazyFrame::scan_parquet(PlRefPath::try_from_path(path)?, args)
}

fn strings(frame: &DataFrame, column: &str) -> PolarsResult<Vec<Option<String>>> {
    Ok(frame.column(column)?.str()?.iter().map(|text| text.map(str::to_owned)).collect())
}

/// A column of texts.
type TextColumn = Vec<Option<String>>;
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

#[cfg(test)]
mod tests {
    use polars::prelude::{LazyCsvReader, LazyFileListReader as _};

    use super::super::table::{self, TableFormat};
    use super::*;

    #[test]
    fn parquet_of_a_csv_gives_the_cases_of_the_csv() {
        let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/replay/canaries.csv");
        let mut expected = Vec::new();
        let read_csv = table::read(&csv, TableFormat::Csv, Some(600.0), &mut |case| {
            expected.push(*case.unwrap().1);
            true
        });
        assert_eq!((read_csv, expected.len()), (Ok(()), 6));
        // All columns as text, and with the types that polars takes them for.
        for infer in [0, 100] {
            let scanned = LazyCsvReader::new(PlRefPath::try_from_path(&csv).unwrap()).with_infer_schema_length(Some(infer));
            let mut frame = scanned.finish().unwrap().collect().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let parquet = folder.path().join("canaries.parquet");
            ParquetWriter::new(File::create(&parquet).unwrap()).finish(&mut frame).unwrap();
            let mut cases = Vec::new();
            read(&parquet, Some(600.0), &mut |case| {
                cases.push(case.unwrap());
                true
            })
            .unwrap();
            assert_eq!(cases, expected);
        }
    }
}
