//! Long-format tables of recorded canaries as text, CSV and NDJSON: a row for each value ([`long_format`](super::long_format) says which
//! columns there are).
//!
//! A file is read twice: first where each case's rows lie and how many there are, then the rows of a batch of cases at a time, from the
//! first to the last of them. Rows of one case that lie together, as most tables have them, are so read twice and no more.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use super::case::Case;
use super::long_format::{BATCH_ROWS, CaseProblem, CaseRows, MAX_CASE_ROWS, NEEDED, OPTIONAL};

/// Longest row, in bytes.
const MAX_ROW_BYTES: u64 = 1 << 20;
/// Most cases of a table.
const MAX_CASES: usize = 1_000_000;
/// Longest identifier of a case, in bytes.
const MAX_ID_BYTES: usize = 1000;

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableFormat {
    /// Comma-separated values with a head.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

/// A case that was made with the line of its first row, or what is wrong and where.
pub(super) type TableCase = Result<(u64, Box<Case>), CaseProblem>;

/// Hands every case of a table to `take`, in the order of their first rows, until that says that nobody listens.
///
/// # Errors
/// What is wrong with the file as a whole, and the line where it is known; nothing was handed over then, or not all of it.
pub(super) fn read(
    path: &Path,
    format: TableFormat,
    window: Option<f64>,
    take: &mut dyn FnMut(TableCase) -> bool,
) -> Result<(), CaseProblem> {
    let whole = |problem: String| CaseProblem { line: 0, problem };
    let mut rows = TableRows::open(path, format).map_err(|error| whole(format!("cannot be opened: {error}")))?;
    let cases = places(&mut rows)?;
    let mut begin = 0;
    while begin < cases.len() {
        let mut end = begin;
        let mut held = 0;
        while let Some(case) = cases.get(end).filter(|case| held == 0 || held + case.rows <= BATCH_ROWS) {
            held += case.rows;
            end += 1;
        }
        let batch = cases.get(begin..end).unwrap_or_default();
        for (place, made) in batch.iter().zip(batch_of(&mut rows, batch)?) {
            if !take(made.case(&place.id, window).map(|case| (place.first.line, Box::new(case)))) {
                return Ok(());
            }
        }
        begin = end;
    }
    Ok(())
}

/// Where a case's rows lie.
struct CasePlace {
    id: String,
    rows: u64,
    first: RowPlace,
    /// Where the last one begins.
    last_byte: u64,
}

/// Where a row begins.
#[derive(Debug, Clone, Copy)]
struct RowPlace {
    byte: u64,
    line: u64,
}

/// All cases, in the order of their first rows.
fn places(rows: &mut TableRows) -> Result<Vec<CasePlace>, CaseProblem> {
    let mut cases: Vec<CasePlace> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    while let Some(at) = rows.next()? {
        let wrong = |problem: String| CaseProblem { line: at.line, problem };
        let Some(id) = rows.cell("case") else { return Err(wrong("case: is empty; give every row its case".to_owned())) };
        if let Some(case) = known.get(id).and_then(|place| cases.get_mut(*place)) {
            case.rows += 1;
            case.last_byte = at.byte;
            if case.rows > MAX_CASE_ROWS {
                return Err(wrong(format!("case `{id}` has more than the {MAX_CASE_ROWS} rows that are read")));
            }
            continue;
        }
        if id.len() > MAX_ID_BYTES {
            return Err(wrong(format!("case: {} bytes are too long for a name; give at most {MAX_ID_BYTES}", id.len())));
        }
        if cases.len() == MAX_CASES {
            return Err(wrong(format!("there are more than {MAX_CASES} cases; split the table")));
        }
        known.insert(id.to_owned(), cases.len());
        cases.push(CasePlace { id: id.to_owned(), rows: 1, first: at, last_byte: at.byte });
    }
    Ok(cases)
}

/// The rows of these cases, which follow each other.
fn batch_of(rows: &mut TableRows, batch: &[CasePlace]) -> Result<Vec<CaseRows>, CaseProblem> {
    let mut made: Vec<CaseRows> = batch.iter().map(|_| CaseRows::default()).collect();
    let places: HashMap<&str, usize> = batch.iter().enumerate().map(|(i, case)| (case.id.as_str(), i)).collect();
    let (Some(first), Some(last)) = (batch.first(), batch.iter().map(|case| case.last_byte).max()) else { return Ok(made) };
    rows.seek(first.first).map_err(|error| CaseProblem { line: 0, problem: format!("the file breaks off: {error}") })?;
    while let Some(at) = rows.next()? {
        let place = rows.cell("case").and_then(|id| places.get(id).copied());
        if let Some(case) = place.and_then(|place| made.get_mut(place)) {
            case.add(at.line, &|name| rows.cell(name));
        }
        if at.byte >= last {
            break;
        }
    }
    Ok(made)
}

/// A table, row by row.
enum TableRows {
    Csv { reader: Box<csv::Reader<RowBound>>, left: Rc<Cell<u64>>, columns: HashMap<&'static str, usize>, record: csv::StringRecord },
    Ndjson { reader: BufReader<File>, at: RowPlace, row: Box<JsonRow> },
}

impl TableRows {
    fn open(path: &Path, format: TableFormat) -> io::Result<Self> {
        let file = File::open(path)?;
        match format {
            TableFormat::Csv => {
                let left = Rc::new(Cell::new(0));
                let reader = csv::ReaderBuilder::new().from_reader(RowBound { file, left: Rc::clone(&left) });
                Ok(Self::Csv { reader: Box::new(reader), left, columns: HashMap::new(), record: csv::StringRecord::new() })
            }
            TableFormat::Ndjson => {
                Ok(Self::Ndjson { reader: BufReader::new(file), at: RowPlace { byte: 0, line: 1 }, row: Box::default() })
            }
        }
    }

    /// Goes to a row that was read before.
    fn seek(&mut self, to: RowPlace) -> io::Result<()> {
        match self {
            Self::Csv { reader, .. } => {
                let mut position = csv::Position::new();
                position.set_byte(to.byte).set_line(to.line);
                reader.seek(position).map_err(io::Error::other)
            }
            Self::Ndjson { reader, at, .. } => {
                *at = to;
                reader.seek(SeekFrom::Start(to.byte)).map(|_| ())
            }
        }
    }

    /// Reads the next row, and says where it begins.
    fn next(&mut self) -> Result<Option<RowPlace>, CaseProblem> {
        match self {
            Self::Csv { reader, left, columns, record } => {
                left.set(MAX_ROW_BYTES);
                if columns.is_empty() {
                    *columns = head(reader)?;
                    left.set(MAX_ROW_BYTES);
                }
                let line = reader.position().line();
                match reader.read_record(record) {
                    Ok(false) => Ok(None),
                    Ok(true) => {
                        let at = record.position().map_or((0, line), |position| (position.byte(), position.line()));
                        Ok(Some(RowPlace { byte: at.0, line: at.1 }))
                    }
                    Err(error) => Err(csv_problem(&error, line)),
                }
            }
            Self::Ndjson { reader, at, row } => loop {
                let begin = *at;
                let wrong = |problem: String| CaseProblem { line: begin.line, problem };
                let mut line = Vec::new();
                let broken = |error: io::Error| wrong(format!("the file breaks off here: {error}"));
                let read = Read::take(&mut *reader, MAX_ROW_BYTES).read_until(b'\n', &mut line).map_err(broken)?;
                if read == 0 {
                    return Ok(None);
                }
                if read as u64 == MAX_ROW_BYTES && line.last() != Some(&b'\n') {
                    return Err(wrong(format!("the row is longer than the {MAX_ROW_BYTES} bytes that are read")));
                }
                *at = RowPlace { byte: begin.byte + read as u64, line: begin.line + 1 };
                let text = crate::json::without_mark(&line);
                if text.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                **row = serde_json::from_slice(text).map_err(|error| wrong(format!("is no row of a table: {error}")))?;
                return Ok(Some(begin));
            },
        }
    }

    /// A cell of the row that was read; `None` where it is empty, or there is no such column.
    fn cell(&self, name: &str) -> Option<&str> {
        let text = match self {
            Self::Csv { columns, record, .. } => record.get(*columns.get(name)?)?,
            Self::Ndjson { row, .. } => row.cell(name)?,
        };
        (!text.is_empty()).then_some(text)
    }
}

/// Which column is where.
fn head(reader: &mut csv::Reader<RowBound>) -> Result<HashMap<&'static str, usize>, CaseProblem> {
    let names = reader.headers().map_err(|error| csv_problem(&error, 1))?;
    let place = |column: &'static str| names.iter().position(|name| name == column).map(|place| (column, place));
    let columns: HashMap<&str, usize> = NEEDED.into_iter().chain(OPTIONAL).filter_map(place).collect();
    match NEEDED.into_iter().find(|column| !columns.contains_key(column)) {
        Some(column) => {
            Err(CaseProblem { line: 1, problem: format!("there is no column `{column}`; a table needs {}", NEEDED.join(", ")) })
        }
        None => Ok(columns),
    }
}

fn csv_problem(error: &csv::Error, line: u64) -> CaseProblem {
    let at = |position: &Option<csv::Position>| position.as_ref().map_or(line, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => CaseProblem {
            line: at(pos),
            problem: format!("the row has {len} cells, and the head {expected_len}; give one for each column"),
        },
        csv::ErrorKind::Utf8 { pos, .. } => CaseProblem { line: at(pos), problem: "the row is no UTF-8".to_owned() },
        csv::ErrorKind::Io(error) => CaseProblem { line, problem: error.to_string() },
        _ => CaseProblem { line, problem: error.to_string() },
    }
}

/// A file of which no more is read than a row may have: a quote that nothing closes would otherwise be one row to the file's end.
struct RowBound {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for RowBound {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other(format!(
                "the row is longer than the {MAX_ROW_BYTES} bytes that are read; is a quote left open in it?"
            )));
        }
        let n = self.file.read(buffer)?;
        self.left.set(left.saturating_sub(n as u64));
        Ok(n)
    }
}

impl Seek for RowBound {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// A row of NDJSON; other fields are passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonRow {
    case: JsonCell,
    metric: JsonCell,
    arm: JsonCell,
    timestamp: JsonCell,
    value: JsonCell,
    instance: JsonCell,
    source: JsonCell,
    group: JsonCell,
    label: JsonCell,
    role: JsonCell,
    kind: JsonCell,
    direction: JsonCell,
    unit: JsonCell,
}

impl JsonRow {
    fn cell(&self, name: &str) -> Option<&str> {
        let cell = match name {
            "case" => &self.case,
            "metric" => &self.metric,
            "arm" => &self.arm,
            "timestamp" => &self.timestamp,
            "value" => &self.value,
            "instance" => &self.instance,
            "source" => &self.source,
            "group" => &self.group,
            "label" => &self.label,
            "role" => &self.role,
            "kind" => &self.kind,
            "direction" => &self.direction,
            "unit" => &self.unit,
            _ => return None,
        };
        cell.0.as_deref()
    }
}

/// A cell as text, whatever it is written as: an id may look like a number, and a time may be either.
#[derive(Default, Deserialize)]
#[serde(from = "JsonScalar")]
struct JsonCell(Option<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, a number, true, false or null")]
enum JsonScalar {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
    Nothing(()),
}

impl From<JsonScalar> for JsonCell {
    fn from(scalar: JsonScalar) -> Self {
        Self(match scalar {
            JsonScalar::Text(text) => Some(text),
            JsonScalar::Number(number) => Some(number.to_string()),
            JsonScalar::Flag(flag) => Some(flag.to_string()),
            JsonScalar::Nothing(()) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(text: &[u8], format: TableFormat) -> (Vec<TableCase>, Option<CaseProblem>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, text).unwrap();
        let mut cases = Vec::new();
        let problem = read(&path, format, None, &mut |case| {
            cases.push(case);
            true
        });
        (cases, problem.err())
    }

    fn case_of((cases, problem): (Vec<TableCase>, Option<CaseProblem>), i: usize) -> (u64, Case) {
        assert_eq!(problem, None);
        let (line, case) = cases.into_iter().nth(i).unwrap().unwrap();
        (line, *case)
    }

    #[test]
    fn cases_come_in_the_order_of_their_first_rows_however_rows_are_mixed() {
        let head = "timestamp,value,case,metric,arm,note\n";
        let row = |case: &str, arm: &str, minute: u32, value: &str| format!("{},{value},{case},m,{arm},\"a\n\"\n", 60 * minute);
        let mut rows = vec![row("b", "canary", 0, "1"), row("a", "canary", 0, "2")];
        for minute in 1..4 {
            for case in ["a", "b"] {
                rows.push(row(case, "canary", minute, "3"));
            }
        }
        for case in ["b", "a"] {
            rows.extend((0..4).map(|minute| row(case, "baseline", minute, if minute == 2 { "" } else { "5" })));
        }
        let text = format!("\u{feff}{head}{}", rows.concat());
        let (line, first) = case_of(read_text(text.as_bytes(), TableFormat::Csv), 0);
        assert_eq!((line, first.id.as_str(), first.step_seconds), (2, "b", 60.0));
        assert_eq!(first.metrics[0].canary, [Some(1.0), Some(3.0), Some(3.0), Some(3.0)]);
        assert_eq!(first.metrics[0].baseline, [Some(5.0), Some(5.0), None, Some(5.0)]);
        // Every row before it has a line break in a quote.
        assert_eq!(case_of(read_text(text.as_bytes(), TableFormat::Csv), 1).0, 4);
    }

    #[test]
    fn json_rows_are_read_as_the_same_rows_of_csv() {
        let text = "\n{\"case\": 7, \"metric\": \"m\", \"arm\": \"canary\", \"timestamp\": \"1970-01-01T00:01:00Z\", \"value\": 1.5}\n\
            {\"case\": \"7\", \"metric\": \"m\", \"arm\": \"canary\", \"timestamp\": 120, \"value\": null, \"more\": [1]}\n\
            {\"case\": 7, \"metric\": \"m\", \"arm\": \"baseline\", \"timestamp\": 60.0, \"value\": \"2\"}";
        let csv = "case,metric,arm,timestamp,value\n7,m,canary,60,1.5\n7,m,canary,120,\n7,m,baseline,60,2\n";
        let (line, case) = case_of(read_text(text.as_bytes(), TableFormat::Ndjson), 0);
        assert_eq!(line, 2);
        assert_eq!(case, case_of(read_text(csv.as_bytes(), TableFormat::Csv), 0).1);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let head = "case,metric,arm,timestamp,value\n";
        let csv = |rows: &str| read_text(format!("{head}{rows}").as_bytes(), TableFormat::Csv);
        let of_case = csv("a,m,canary,0,1\na,m,canary,60,fast\n").0.remove(0).unwrap_err();
        assert_eq!((of_case.line, of_case.problem.contains("case `a`: value: `fast`")), (3, true), "{of_case:?}");
        for (text, format, line, expected) in [
            ("case,metric,arm,value\n", TableFormat::Csv, 1, "there is no column `timestamp`"),
            ("case,metric,arm,timestamp,value\na,m,canary,0\n", TableFormat::Csv, 2, "the row has 4 cells"),
            ("case,metric,arm,timestamp,value\n,m,canary,0,1\n", TableFormat::Csv, 2, "case: is empty"),
            ("{\"case\": \"a\"}\n{\"metric\": 1}\n", TableFormat::Ndjson, 2, "case: is empty"),
            ("{\"case\": \"a\"}\n{\"case\": [1]}\n", TableFormat::Ndjson, 2, "is no row of a table"),
        ] {
            let problem = read_text(text.as_bytes(), format).1.unwrap();
            assert!(problem.line == line && problem.problem.contains(expected), "{problem:?}");
        }
    }

    #[test]
    fn a_quote_that_nothing_closes_is_not_read_to_the_files_end() {
        let mut text = b"case,metric,arm,timestamp,value\na,m,canary,0,\"1\n".to_vec();
        text.resize(4 << 20, b'x');
        let problem = read_text(&text, TableFormat::Csv).1.unwrap();
        assert!(problem.problem.contains("is a quote left open"), "{problem:?}");
        let problem = read_text(&vec![b'{'; 4 << 20], TableFormat::Ndjson).1.unwrap();
        assert!(problem.problem.contains("longer than"), "{problem:?}");
    }

    /// Bytes that are much like a table's.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("case,metric,arm,timestamp,value,instance,label\n"),
            Just("a,m,canary,0,1,,\n"),
            Just("a,m,baseline,1e300,-1,x,healthy\n"),
            Just("b,m,canary_history,1970-01-01T00:00:00Z,NaN,,\n"),
            Just("{\"case\":1,\"metric\":\"m\",\"arm\":\"canary\",\"timestamp\":-1e308,\"value\":1}\n"),
            Just("{\"case\":\"1\",\"metric\":\"m\",\"arm\":\"baseline\",\"timestamp\":9,\"value\":null}\n"),
            Just("\""),
            Just(","),
            Just("\r\n"),
            Just("\u{feff}"),
            Just("[[[["),
        ];
        let piece = prop_oneof![8 => piece.prop_map(|text| text.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..8)];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in bytes()) {
            for format in [TableFormat::Csv, TableFormat::Ndjson] {
                let (cases, _) = read_text(&bytes, format);
                for case in cases.into_iter().flatten() {
                    prop_assert!(case.1.points() <= 1_000_000);
                }
            }
            for line in bytes.split(|byte| *byte == b'\n') {
                let _ = Case::parse(line);
            }
        }
    }
}
