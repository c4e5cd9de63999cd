//! Recorded series in files: long-format CSV, Parquet and NDJSON below one folder, read lazily.
//!
//! A file has a row for each value, and these columns; others are passed over.
//!
//! | column | content |
//! | --- | --- |
//! | `timestamp` | Unix seconds, whole or not, or RFC 3339 text |
//! | `metric` | the metric's name, which is what a config's query for `dataset` gives |
//! | `scope` | what the request's `scope` selects |
//! | `value` | a number; empty, null and `NaN` are missing |
//! | `instance` | optional: rows of one instance make one series |
//! | `le` | optional: rows of one bucket of a histogram make one series, as Prometheus has them: the requests up to this bound, `+Inf` for all |
//! | `location` | optional: what the request's `location` selects |

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::text::escaped;
use super::variables::{Piece, Pieces, Value, look_up};
use super::{Advice, Query, Reply, SourceError, StoreReader, Template};

mod selection;
mod wire;

use selection::{File, FileFormat, Selection};

/// Files that are read at the same time; each keeps the processor busy by itself.
const MAX_CONCURRENT: usize = 4;
/// Most files a folder may have.
const MAX_FILES: usize = 1000;

/// Where recorded series are.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSettings {
    /// Folder below which the files are. Nothing outside of it is read, symbolic links included.
    pub root: PathBuf,
    /// The files, by their path below `root`. Left out: every `.csv`, `.parquet` and `.ndjson` file directly in `root`, by name.
    #[serde(default)]
    pub files: Vec<PathBuf>,
}

/// Recorded series, ready to be read.
#[derive(Debug)]
pub struct Dataset {
    root: PathBuf,
    files: Vec<PathBuf>,
    readers: Semaphore,
}

impl Dataset {
    /// Finds the folder and the files that are named. No file is read yet.
    ///
    /// # Errors
    /// A message that names the setting and the remedy.
    pub fn open(settings: &DatasetSettings) -> Result<Self, String> {
        refuse_urls(&settings.root).map_err(|error| format!("root: {error}"))?;
        let shown = settings.root.display();
        let root = settings.root.canonicalize().map_err(|error| format!("root: `{shown}` cannot be opened: {error}"))?;
        if !root.is_dir() {
            return Err(format!("root: `{shown}` is not a folder; name the folder that the files are in"));
        }
        refuse_urls(&root).map_err(|error| format!("root: {error}"))?;
        for name in &settings.files {
            file_below(&root, name).map_err(|error| format!("files: {error}"))?;
        }
        Ok(Self { root, files: settings.files.clone(), readers: Semaphore::new(MAX_CONCURRENT) })
    }
}

/// The files to read now: a folder may have gained some.
fn files(root: &Path, named: &[PathBuf]) -> Result<Vec<File>, SourceError> {
    let unreadable = |error: String| SourceError::Unreadable(error);
    let mut names = named.to_vec();
    if names.is_empty() {
        let listing = |error: std::io::Error| SourceError::Unreachable(format!("`{}` cannot be listed: {error}", root.display()));
        for entry in std::fs::read_dir(root).map_err(listing)? {
            let name = PathBuf::from(entry.map_err(listing)?.file_name());
            if FileFormat::of(&name).is_some() {
                names.push(name);
            }
        }
        names.sort();
        if names.len() > MAX_FILES {
            return Err(unreadable(format!("{} files are more than {MAX_FILES}; name those to read in `files`", names.len())));
        }
    }
    names.iter().map(|name| file_below(root, name).map_err(unreadable)).collect()
}

/// Follows `name` below `root` and makes sure that it stays there. `root` is canonical.
fn file_below(root: &Path, name: &Path) -> Result<File, String> {
    let shown = escaped(&name.display().to_string(), 200);
    refuse_urls(name)?;
    let Some(format) = FileFormat::of(name) else {
        return Err(format!("`{shown}` is neither .csv nor .parquet nor .ndjson"));
    };
    let path = root.join(name).canonicalize().map_err(|error| format!("`{shown}` cannot be opened: {error}"))?;
    if !path.starts_with(root) {
        return Err(format!("`{shown}` leads out of the root folder; copy the file into it"));
    }
    if !path.is_file() {
        return Err(format!("`{shown}` is not a file"));
    }
    // A link may have another name than what it leads to.
    refuse_urls(&path)?;
    Ok(File { name: shown, path, format })
}

/// The reader of the files would fetch a URL, and would take wildcards for many files.
fn refuse_urls(path: &Path) -> Result<(), String> {
    let Some(text) = path.to_str() else {
        return Err(format!("`{}` is not UTF-8", path.display()));
    };
    let shown = escaped(text, 200);
    if text.contains("://") || text.split(['/', '\\']).next().is_some_and(|first| first.len() > 1 && first.ends_with(':')) {
        return Err(format!("`{shown}` looks like a URL; datasets are local files"));
    }
    if text.contains(['*', '?', '[', ']', '{', '}']) {
        return Err(format!(
            "`{shown}` has a wildcard character (* ? [ ] {{ }}); rename it, or leave `files` out to read the whole folder"
        ));
    }
    Ok(())
}

impl StoreReader for Dataset {
    /// The text is a metric's name with variables; the scope and the location become part of the query.
    fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
        let mut metric = String::new();
        let mut pieces = Pieces::new(template.text.trim());
        while let Some(piece) = pieces.next()? {
            match piece {
                Piece::Char(c) => metric.push(c),
                Piece::Dollar => metric.push_str("${"),
                Piece::Variable(name) => metric.push_str(&text_of(template, name)?),
            }
        }
        let scope = text_of(template, "scope")?;
        if scope.is_empty() {
            return Err(SourceError::Template("the variable `scope` is empty; give it the scope whose rows are meant".to_owned()));
        }
        let location = if template.variables.contains_key("location") { Some(text_of(template, "location")?) } else { None };
        let selection = Selection { metric, scope, location: location.filter(|location| !location.is_empty()) };
        serde_json::to_string(&selection).map_err(|error| SourceError::Template(format!("the query cannot be written down: {error}")))
    }

    fn advise(&self, _: &Query) -> Vec<Advice> {
        Vec::new()
    }

    fn depends_on_range(&self, _: &str) -> bool {
        false
    }

    async fn fetch(&self, query: &Query, _: Instant) -> Result<Reply, SourceError> {
        let selection: Selection = serde_json::from_str(&query.text).map_err(|error| {
            SourceError::Template(format!("`{}` is not a dataset's query: {error}; resolve it first", escaped(&query.text, 100)))
        })?;
        let _reader = self.readers.acquire().await;
        let (root, named, window) = (self.root.clone(), self.files.clone(), query.window);
        let reading = tokio::task::spawn_blocking(move || wire::read(&files(&root, &named)?, &selection, window));
        match reading.await {
            Ok(reply) => reply,
            Err(error) => Err(SourceError::Unreadable(format!("reading the files broke off: {error}"))),
        }
    }
}

fn text_of(template: &Template<'_>, name: &str) -> Result<String, SourceError> {
    Ok(match look_up(template, name)? {
        Value::Window(value) => value,
        Value::Caller(value) => value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use polars::prelude::{ParquetWriter, df};

    use super::*;
    use crate::source::{MAX_SERIES, Series, Window};

    const WINDOW: Window = Window { start: 600, end: 900, step_seconds: 60 };

    const CSV: &str = "\
timestamp,metric,scope,instance,location,value,comment
660,latency,web-1,a,eu,1.5,x
720,latency,web-1,a,eu,2,x
1970-01-01T00:13:00Z,latency,web-1,a,eu,,x
840.4,latency,web-1,a,eu,NaN,x
900,latency,web-1,a,eu,inf,x
660,latency,web-1,b,us,7,x
661,latency,web-1,b,us,9,x
660,latency,web-2,a,eu,100,x
660,errors,web-1,a,eu,200,x
600,latency,web-1,a,eu,300,x
1000,latency,web-1,a,eu,300,x
";

    const NDJSON: &str = r#"{"timestamp": 660, "metric": "latency", "scope": "web-1", "value": 1}
{"timestamp": 720.5, "metric": "latency", "scope": "web-1", "value": 2.5}
{"timestamp": 780, "metric": "latency", "scope": "web-1", "value": null}
{"timestamp": 840, "metric": "latency", "scope": "web-2", "value": 9}
"#;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn open(root: &Path, files: &[&str]) -> Result<Dataset, String> {
        Dataset::open(&DatasetSettings { root: root.to_owned(), files: files.iter().map(PathBuf::from).collect() })
    }

    fn query(metric: &str, scope: &str, location: Option<&str>) -> Query {
        let selection = Selection { metric: metric.to_owned(), scope: scope.to_owned(), location: location.map(str::to_owned) };
        Query { text: serde_json::to_string(&selection).unwrap(), window: WINDOW, buckets: false }
    }

    fn bits(series: &Series) -> Vec<u64> {
        series.values.iter().map(|value| value.to_bits()).collect()
    }

    fn expect(reply: &Reply, expected: &[(Option<&str>, [f64; 5])]) {
        assert_eq!(reply.series.len(), expected.len(), "{reply:?}");
        for (series, (instance, values)) in reply.series.iter().zip(expected) {
            assert_eq!(series.labels.get("instance").map(String::as_str), *instance);
            assert_eq!(bits(series), values.map(f64::to_bits), "{series:?}");
        }
    }

    #[tokio::test]
    async fn csv_rows_become_series_on_the_grid() {
        let folder = folder(&[("a.csv", CSV), ("notes.txt", "not read")]);
        let dataset = open(folder.path(), &[]).unwrap();
        let nan = haldane_judges::evidence::ABSENT;
        let reply = dataset.fetch(&query("latency", "web-1", None), Instant::now()).await.unwrap();
        expect(&reply, &[(Some("a"), [1.5, 2.0, nan, nan, f64::INFINITY]), (Some("b"), [8.0, nan, nan, nan, nan])]);
        assert_eq!(reply.warnings.len(), 2, "{:?}", reply.warnings);
        assert!(reply.warnings[0].contains("off the grid") && reply.warnings[1].contains("mean"), "{:?}", reply.warnings);
        let reply = dataset.fetch(&query("latency", "web-1", Some("us")), Instant::now()).await.unwrap();
        expect(&reply, &[(Some("b"), [8.0, nan, nan, nan, nan])]);
        assert_eq!(dataset.fetch(&query("latency", "web-9", None), Instant::now()).await.unwrap(), Reply::default());
    }

    #[tokio::test]
    async fn rows_of_one_bucket_make_one_series() {
        let text = "timestamp,metric,scope,value,le,instance\n\
                    660,latency,web-1,3,0.1,\n660,latency,web-1,5,+Inf,\n720,latency,web-1,1,0.1,\n720,latency,web-1,4,+Inf,\n\
                    660,other,web-1,7,,\n";
        let folder = folder(&[("a.csv", text)]);
        let dataset = open(folder.path(), &[]).unwrap();
        let query = |metric: &str| Query { buckets: metric == "latency", ..query(metric, "web-1", None) };
        let reply = dataset.fetch(&query("latency"), Instant::now()).await.unwrap();
        let found = crate::source::histogram::read(&reply.series, 0..5).unwrap();
        assert_eq!((found.all.len(), found.all[0].buckets.bounds()), (1, [0.1].as_slice()), "{reply:?}");
        let rows: Vec<&[f64]> = found.all[0].buckets.rows().collect();
        assert_eq!(rows[..2], [[3.0, 2.0], [1.0, 3.0]]);
        let reply = dataset.fetch(&query("other"), Instant::now()).await.unwrap();
        assert_eq!((reply.series.len(), reply.series[0].labels.contains_key("le")), (1, false));
    }

    #[tokio::test]
    async fn ndjson_and_parquet_read_alike_and_files_add_up() {
        let folder = folder(&[("a.ndjson", NDJSON)]);
        let mut frame = df!(
            "timestamp" => [780_i64, 840, 840],
            "metric" => ["latency", "latency", "other"],
            "scope" => ["web-1", "web-1", "web-1"],
            "value" => [3_i32, 4, 5],
        )
        .unwrap();
        let parquet = std::fs::File::create(folder.path().join("b.parquet")).unwrap();
        ParquetWriter::new(parquet).finish(&mut frame).unwrap();
        let nan = haldane_judges::evidence::ABSENT;
        let reply = open(folder.path(), &["a.ndjson"]).unwrap().fetch(&query("latency", "web-1", None), Instant::now()).await.unwrap();
        expect(&reply, &[(None, [1.0, 2.5, nan, nan, nan])]);
        let reply = open(folder.path(), &["b.parquet"]).unwrap().fetch(&query("latency", "web-1", None), Instant::now()).await.unwrap();
        expect(&reply, &[(None, [nan, nan, 3.0, 4.0, nan])]);
        let reply = open(folder.path(), &[]).unwrap().fetch(&query("latency", "web-1", None), Instant::now()).await.unwrap();
        expect(&reply, &[(None, [1.0, 2.5, 3.0, 4.0, nan])]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_names_the_file_and_the_column() {
        for (name, text, expected) in [
            ("a.csv", "timestamp,metric,value\n1,a,2\n", "`a.csv` has no column `scope`"),
            ("b.csv", "timestamp,metric,scope,value\n660,latency,web-1,fast\n", "`fast`"),
            ("c.csv", "timestamp,metric,scope,value\nyesterday,latency,web-1,1\n", "`yesterday`"),
            ("d.parquet", "this is no parquet file at all", "`d.parquet`"),
            ("e.ndjson", "{\"timestamp\": [1], \"metric\": \"latency\", \"scope\": \"web-1\", \"value\": 1}\n", "column `timestamp`"),
            ("f.ndjson", "{{{", "`f.ndjson`"),
        ] {
            let folder = folder(&[(name, text)]);
            let error = open(folder.path(), &[]).unwrap().fetch(&query("latency", "web-1", None), Instant::now()).await.unwrap_err();
            assert!(matches!(&error, SourceError::Unreadable(message) if message.contains(expected)), "{name}: {error}");
        }
    }

    #[tokio::test]
    async fn a_longer_window_reads_the_past_and_tells_what_is_absent() {
        let mut text = String::from("timestamp,metric,scope,instance,value\n");
        for n in 0..300 {
            text.push_str(&format!("{},latency,web-1,{},{n}\n", n * 60, if n < 100 { "gone" } else { "here" }));
        }
        let folder = folder(&[("a.csv", &text)]);
        let mut query = query("latency", "web-1", None);
        query.window = Window { start: 270 * 60, end: 299 * 60, step_seconds: 60 }.with_past(240);
        let reply = open(folder.path(), &[]).unwrap().fetch(&query, Instant::now()).await.unwrap();
        let [gone, here] = reply.series.as_slice() else { panic!("{:?}", reply.series) };
        assert_eq!((gone.values.len(), gone.values[0], gone.values[68], here.values[268]), (269, 31.0, 99.0, 299.0));
        assert!(gone.values[240..].iter().all(|value| haldane_judges::evidence::is_absent(*value)));
    }

    #[tokio::test]
    async fn a_location_needs_its_column() {
        let folder = folder(&[("a.ndjson", NDJSON)]);
        let error = open(folder.path(), &[]).unwrap().fetch(&query("latency", "web-1", Some("eu")), Instant::now()).await.unwrap_err();
        assert!(error.to_string().contains("`a.ndjson` has no column `location`"), "{error}");
    }

    #[tokio::test]
    async fn more_series_than_are_read_are_refused() {
        let mut text = String::from("timestamp,metric,scope,instance,value\n");
        for n in 0..=MAX_SERIES {
            text.push_str(&format!("660,latency,web-1,i{n},1\n"));
        }
        let folder = folder(&[("a.csv", &text)]);
        let error = open(folder.path(), &[]).unwrap().fetch(&query("latency", "web-1", None), Instant::now()).await.unwrap_err();
        assert_eq!(error, SourceError::TooManySeries(MAX_SERIES));
    }

    #[test]
    fn nothing_outside_of_the_root_is_opened() {
        let outside = folder(&[("secret.csv", CSV)]);
        let root = folder(&[("a.csv", CSV), ("a.txt", "")]);
        std::os::unix::fs::symlink(outside.path().join("secret.csv"), root.path().join("link.csv")).unwrap();
        std::os::unix::fs::symlink(root.path().join("a.csv"), root.path().join("alias.csv")).unwrap();
        let climbing = format!("../{}/secret.csv", outside.path().file_name().unwrap().to_str().unwrap());
        let absolute = outside.path().join("secret.csv");
        for (name, expected) in [
            ("link.csv", "leads out of the root"),
            (climbing.as_str(), "leads out of the root"),
            (absolute.to_str().unwrap(), "leads out of the root"),
            ("https://example.org/a.csv", "looks like a URL"),
            ("s3:/bucket/a.csv", "looks like a URL"),
            ("*.csv", "wildcard"),
            ("absent.csv", "cannot be opened"),
            ("a.txt", "neither .csv"),
        ] {
            let error = open(root.path(), &[name]).unwrap_err();
            assert!(error.starts_with("files: ") && error.contains(expected), "{name}: {error}");
        }
        assert!(open(root.path(), &["alias.csv"]).is_ok());
        assert!(files(&root.path().canonicalize().unwrap(), &[]).is_err(), "a link out of the root is not passed over in silence");
        for root in ["/no/such/folder", "s3://bucket", "file:///tmp"] {
            assert!(open(Path::new(root), &[]).unwrap_err().starts_with("root: "));
        }
    }

    #[test]
    fn the_scope_becomes_part_of_the_query_and_cannot_leave_its_field() {
        let folder = folder(&[]);
        let dataset = open(folder.path(), &[]).unwrap();
        let resolve = |text: &str, variables: &[(&str, &str)]| {
            let variables: BTreeMap<_, _> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            dataset.resolve(&Template { text, variables: &variables, window: WINDOW })
        };
        let text = resolve("latency_${p}", &[("p", "p99"), ("scope", "a\",\"metric\":\"b"), ("location", "")]).unwrap();
        assert_eq!(text, r#"{"metric":"latency_p99","scope":"a\",\"metric\":\"b"}"#);
        assert_eq!(resolve("x", &[("scope", "${p}"), ("location", "eu")]).unwrap(), r#"{"metric":"x","scope":"${p}","location":"eu"}"#);
        for (text, variables) in [("x", &[][..]), ("x", &[("scope", "")][..]), ("x_${nope}", &[("scope", "a")][..])] {
            assert!(matches!(resolve(text, variables), Err(SourceError::Template(_) | SourceError::UnknownVariable { .. })), "{text}");
        }
    }
}
