//! The flat output: a row for each case, judge and metric, written case by case and read back to go on where a replay ended.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::ReplayError;
use super::result::{CaseJudgement, CaseResult, JudgedMetric};
use super::row::ReplayRow;

/// The rows of a case.
pub(super) fn rows_of(result: &CaseResult, columns: &[String], run: &str) -> Vec<ReplayRow> {
    let rows = result.columns.iter().map(|column| column.metrics.len()).sum();
    let row = |name: &String, judged: &CaseJudgement, metric: &JudgedMetric| ReplayRow {
        case: result.id.clone(),
        source: result.source.clone(),
        group: result.group.clone(),
        label: result.label,
        pairing: result.pairing.clone(),
        points: result.points,
        judge: name.clone(),
        verdict: judged.verdict,
        score: judged.score,
        first_failed_look: judged.first_failed_look,
        found_within_10: judged.found_within[0],
        found_within_20: judged.found_within[1],
        found_within_60: judged.found_within[2],
        metric: metric.name.clone(),
        recorded: metric.recorded,
        muted: metric.muted,
        affected: metric.affected,
        status: metric.status,
        reason: metric.reason.clone(),
        shift: metric.shift,
        limit: metric.limit,
        limit_points: metric.limit_points,
        exceedance: metric.exceedance,
        p: metric.p,
        shift_in_noise: metric.shift_in_noise,
        history_windows: metric.history_windows,
        history_spread: metric.history_spread,
        history_points: metric.history_points,
        sentence: metric.sentence.clone(),
        rows,
        run: run.to_owned(),
    };
    columns
        .iter()
        .zip(&result.columns)
        .flat_map(|(name, judged)| judged.metrics.iter().map(move |metric| row(name, judged, metric)))
        .collect()
}

/// The case of these rows; `None` where some are missing.
fn case_of(rows: Vec<ReplayRow>, columns: &[String]) -> Option<CaseResult> {
    let first = rows.first()?.clone();
    if first.rows != rows.len() {
        return None;
    }
    let mut judged: Vec<CaseJudgement> = Vec::new();
    let mut rows = rows.into_iter().peekable();
    for column in columns {
        let (verdict, score, first_failed_look) = rows.peek().map(|row| (row.verdict, row.score, row.first_failed_look))?;
        let found_within = rows.peek().map(|row| [row.found_within_10, row.found_within_20, row.found_within_60])?;
        let mut metrics = Vec::new();
        while let Some(row) = rows.next_if(|row| row.judge == *column) {
            metrics.push(JudgedMetric {
                name: row.metric,
                recorded: row.recorded,
                muted: row.muted,
                affected: row.affected,
                status: row.status,
                reason: row.reason,
                shift: row.shift,
                limit: row.limit,
                limit_points: row.limit_points,
                exceedance: row.exceedance,
                p: row.p,
                shift_in_noise: row.shift_in_noise,
                history_windows: row.history_windows,
                history_spread: row.history_spread,
                history_points: row.history_points,
                sentence: row.sentence,
            });
        }
        if metrics.is_empty() {
            return None;
        }
        judged.push(CaseJudgement { verdict, score, first_failed_look, found_within, metrics });
    }
    let ReplayRow { case: id, source, group, label, pairing, points, .. } = first;
    let injected = Vec::new();
    let columns = judged;
    rows.next().is_none().then_some(CaseResult { id, source, group, label, pairing, points, injected, columns, location: None })
}

/// Longest row that is read back, in bytes.
const MAX_RECORD_BYTES: u64 = 1 << 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowsFormat {
    Lines,
    Csv,
    #[cfg(feature = "datasets")]
    Parquet,
}

impl RowsFormat {
    fn of(path: &Path) -> Result<Self, ReplayError> {
        let shown = path.display();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl") => Ok(Self::Lines),
            Some("csv") => Ok(Self::Csv),
            #[cfg(feature = "datasets")]
            Some("parquet") => Ok(Self::Parquet),
            #[cfg(not(feature = "datasets"))]
            Some("parquet") => Err(ReplayError::Output(format!(
                "`{shown}`: this build writes no Parquet; build with `--features datasets`, or name a .jsonl or .csv file"
            ))),
            _ => Err(ReplayError::Output(format!("`{shown}` is neither .jsonl nor .csv nor .parquet; rename it"))),
        }
    }
}

/// Where the rows go.
pub(super) struct Output {
    path: PathBuf,
    format: RowsFormat,
    file: File,
    columns: Vec<String>,
    run: String,
    #[cfg(feature = "datasets")]
    parquet: Option<super::parquet::RowsWriter>,
}

impl Output {
    /// Opens the output. With `resume`, the cases that it has already are handed to `known`, and what follows the last whole one,
    /// such as a torn line, is cut off.
    pub(super) fn open(
        path: &Path,
        columns: Vec<String>,
        run: String,
        resume: bool,
        known: &mut dyn FnMut(CaseResult) -> Result<(), ReplayError>,
    ) -> Result<Self, ReplayError> {
        let format = RowsFormat::of(path)?;
        let exists = path.exists();
        if exists && !resume {
            let message = format!("`{}` exists; go on with it by --resume, or remove it", path.display());
            return Err(ReplayError::Output(message));
        }
        #[cfg(feature = "datasets")]
        if format == RowsFormat::Parquet && resume {
            let message = "a Parquet file cannot be appended to; write .jsonl or .csv to be able to resume".to_owned();
            return Err(ReplayError::Output(message));
        }
        let failed = |error: std::io::Error| ReplayError::Output(format!("`{}` cannot be opened: {error}", path.display()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let mut output = Self {
            path: path.to_owned(),
            format,
            file,
            columns,
            run,
            #[cfg(feature = "datasets")]
            parquet: None,
        };
        #[cfg(feature = "datasets")]
        if format == RowsFormat::Parquet {
            output.parquet = Some(super::parquet::RowsWriter::create(path).map_err(ReplayError::Output)?);
            return Ok(output);
        }
        let end = output.read_back(known)?;
        output.file.set_len(end).and_then(|()| output.file.seek(SeekFrom::End(0))).map_err(failed)?;
        if end == 0 && format == RowsFormat::Csv {
            output.append(&csv_header()?)?;
        }
        Ok(output)
    }

    /// Hands over every whole case, and returns where the last one ends.
    fn read_back(&mut self, known: &mut dyn FnMut(CaseResult) -> Result<(), ReplayError>) -> Result<u64, ReplayError> {
        let shown = self.path.display().to_string();
        let failed = |error: std::io::Error| ReplayError::Output(format!("`{shown}` cannot be read: {error}"));
        let (mut end, mut at, mut number) = (0, 0, 0_u64);
        let mut case: Vec<ReplayRow> = Vec::new();
        let mut reader = BufReader::new(&self.file);
        loop {
            let mut line = Vec::new();
            let lines = self.read_record(&mut reader, &mut line).map_err(failed)?;
            if line.len() as u64 >= MAX_RECORD_BYTES {
                let message = format!("`{shown}` line {}: is too long; it is no output of a replay, name another file", number + 1);
                return Err(ReplayError::Output(message));
            }
            // A row without its end is torn.
            let Some(lines) = lines else {
                if number == 0 && !self.begins_like_ours(&line)? {
                    let message = format!("`{shown}` line 1: it is no output of a replay, name another file");
                    return Err(ReplayError::Output(message));
                }
                return Ok(end);
            };
            number += lines;
            at += line.len() as u64;
            if self.format == RowsFormat::Csv && number == 1 {
                if line != csv_header()? {
                    return Err(ReplayError::Output(format!("`{shown}` is no output of a replay: its columns differ; name another file")));
                }
                end = at;
                continue;
            }
            let row = self.read_row(&line).map_err(|problem| {
                ReplayError::Output(format!("`{shown}` line {number}: {problem}; it is no output of a replay, name another file"))
            })?;
            if row.run != self.run {
                return Err(ReplayError::Output(format!(
                    "`{shown}` was written with other judges, configs, looks, filters, points or another version; name another file, or repeat those options"
                )));
            }
            if case.first().is_some_and(|first| first.case != row.case) {
                let first = case.first().map(|row| row.case.clone()).unwrap_or_default();
                return Err(ReplayError::Output(format!("`{shown}` line {number}: rows of case `{first}` are missing; name another file")));
            }
            case.push(row);
            if case.first().is_some_and(|first| first.rows <= case.len()) {
                let id = case.first().map(|row| row.case.clone()).unwrap_or_default();
                let whole = case_of(std::mem::take(&mut case), &self.columns);
                let whole = whole
                    .ok_or_else(|| ReplayError::Output(format!("`{shown}` line {number}: the rows of case `{id}` do not fit together")))?;
                known(whole)?;
                end = at;
            }
        }
    }

    /// Whether a torn first line may be of a replay: what is not is left alone.
    fn begins_like_ours(&self, line: &[u8]) -> Result<bool, ReplayError> {
        let ours = if self.format == RowsFormat::Csv { csv_header()? } else { b"{\"case\":".to_vec() };
        Ok(ours.iter().zip(line).all(|(ours, theirs)| ours == theirs))
    }

    /// Reads a row with its end, and says of how many lines it is: in CSV a quoted field may hold line breaks. `None` where the file
    /// ends before the row does.
    fn read_record(&self, reader: &mut impl BufRead, row: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
        let (mut lines, mut in_quotes) = (0, false);
        loop {
            let start = row.len();
            reader.take(MAX_RECORD_BYTES - start as u64).read_until(b'\n', row)?;
            if row.last() != Some(&b'\n') || row.len() == start {
                return Ok(None);
            }
            lines += 1;
            // A quote within a field is written twice, so that each field has an even number of them.
            let quotes = row.iter().skip(start).filter(|byte| **byte == b'"').count();
            in_quotes ^= self.format == RowsFormat::Csv && quotes % 2 == 1;
            if !in_quotes {
                return Ok(Some(lines));
            }
        }
    }

    fn read_row(&self, line: &[u8]) -> Result<ReplayRow, String> {
        if self.format == RowsFormat::Lines {
            return serde_json::from_slice(line).map_err(|error| error.to_string());
        }
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line);
        let row = reader.deserialize::<ReplayRow>().next();
        row.ok_or_else(|| "is empty".to_owned())?.map_err(|error| error.to_string())
    }

    /// Adds the rows of a case, all at once.
    pub(super) fn write(&mut self, result: &CaseResult) -> Result<(), ReplayError> {
        let rows = rows_of(result, &self.columns, &self.run);
        let failed = |error: String| ReplayError::Output(format!("a row cannot be written: {error}"));
        let mut bytes = Vec::new();
        match self.format {
            RowsFormat::Lines => {
                for row in &rows {
                    serde_json::to_writer(&mut bytes, row).map_err(|error| failed(error.to_string()))?;
                    bytes.push(b'\n');
                }
            }
            RowsFormat::Csv => {
                let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(&mut bytes);
                for row in &rows {
                    writer.serialize(row).map_err(|error| failed(error.to_string()))?;
                }
                writer.flush().map_err(|error| failed(error.to_string()))?;
            }
            #[cfg(feature = "datasets")]
            RowsFormat::Parquet => {
                return self.parquet.as_mut().map_or(Ok(()), |writer| writer.write(rows)).map_err(ReplayError::Output);
            }
        }
        self.append(&bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), ReplayError> {
        self.file.write_all(bytes).map_err(|error| ReplayError::Output(format!("`{}` cannot be written: {error}", self.path.display())))
    }

    /// Ends the file.
    pub(super) fn finish(self) -> Result<(), ReplayError> {
        #[cfg(feature = "datasets")]
        if let Some(writer) = self.parquet {
            return writer.finish().map_err(ReplayError::Output);
        }
        self.file.sync_all().map_err(|error| ReplayError::Output(format!("`{}` cannot be written: {error}", self.path.display())))
    }
}

const HEADER: [&str; 31] = [
    "case",
    "source",
    "group",
    "label",
    "pairing",
    "points",
    "judge",
    "verdict",
    "score",
    "first_failed_look",
    "found_within_10",
    "found_within_20",
    "found_within_60",
    "metric",
    "recorded",
    "muted",
    "affected",
    "status",
    "reason",
    "shift",
    "limit",
    "limit_points",
    "exceedance",
    "p",
    "shift_in_noise",
    "history_windows",
    "history_spread",
    "history_points",
    "sentence",
    "rows",
    "run",
];

fn csv_header() -> Result<Vec<u8>, ReplayError> {
    let mut bytes = Vec::new();
    let mut writer = csv::WriterBuilder::new().from_writer(&mut bytes);
    let written = writer.write_record(HEADER).map_err(|error| error.to_string()).and_then(|()| writer.flush().map_err(|e| e.to_string()));
    written.map_err(ReplayError::Output)?;
    drop(writer);
    Ok(bytes)
}

/// Cases seen so far, to refuse a second one of the same name.
#[derive(Default)]
pub(super) struct CaseIds(BTreeSet<String>);

impl CaseIds {
    pub(super) fn is_new(&mut self, id: &str) -> bool {
        self.0.insert(id.to_owned())
    }
}
