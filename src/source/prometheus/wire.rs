//! The replies of Prometheus' `query_range`, read straight onto the window's grid.
//!
//! Format: <https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries>. VictoriaMetrics adds `isPartial`, Thanos and Mimir
//! send `warnings`; fields that are not known are passed over. Fields may come in any order.
//!
//! Native histograms are read where a histogram is asked for, each into a series for every bucket and one for all requests
//! ([`NATIVE`]); <https://prometheus.io/docs/prometheus/latest/querying/api/#native-histograms>.
//!
//! # What tells that data is missing
//!
//! `isPartial`, and each of `warnings` that is no annotation. A query's warnings come from two places: from the engine, which annotates
//! what the query does (a quantile outside of 0..1, a bucket without `le`), and from storage, where a part that failed becomes a warning
//! and what the others had is the reply (`storage.fanout` and remote read in Prometheus, each store of Thanos, the zones of Cortex).
//! The engine's all begin with `PromQL warning:` or `PromQL info:` (`util/annotations`), whoever runs it; storage's are free text that
//! differs from store to store and from release to release ("No StoreAPIs matched for this query", "receive series from Addr: ...",
//! "remote server ... returned HTTP status 503", "Query result may contain partial data", "results truncated due to limit"). So the known
//! form is taken for harmless and every other for missing data: a new text errs towards a metric that is not judged, with the text in
//! its error and a setting to accept it, and never towards zeros that nobody has counted. `infos` come from the engine alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use haldane_judges::evidence::ABSENT;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::source::grid::{Grid, GridPlace, place};
use crate::source::histogram::{ALL, NATIVE};
use crate::source::text::escaped;
use crate::source::{Reply, Series, Window};

/// Most words of the store that are passed on, and their length.
const MAX_NOTES: usize = 20;
const MAX_NOTE_CHARACTERS: usize = 500;

/// What the engine's annotations of a query begin with.
const ANNOTATIONS: [&str; 2] = ["PromQL warning:", "PromQL info:"];

/// A reply as it was read.
#[derive(Debug)]
pub(super) struct MatrixReply {
    pub(super) reply: Reply,
    /// What the store says of data that is missing from it; nothing where it is whole.
    pub(super) missing: Vec<String>,
}

/// Why a reply is not one.
#[derive(Debug)]
pub(super) enum WireError {
    /// The store says that it failed: the kind of error, and its text.
    Failed { kind: String, text: String },
    /// More series, or values, than are read.
    TooManySeries,
    /// JSON of another form; the text says what came and what to do.
    Shape(String),
    /// Not JSON, or a field of the wrong type.
    Json(serde_json::Error),
}

/// Reads a reply; `buckets` says whether a histogram was asked for.
pub(super) fn parse(body: &[u8], window: Window, buckets: bool) -> Result<MatrixReply, WireError> {
    let mut tally = PointTally::new(window, buckets);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let parsed = ReplyDocumentSeed(&mut tally).deserialize(&mut deserializer).and_then(|body| deserializer.end().map(|()| body));
    if let Some(failure) = tally.failure.take() {
        return Err(failure);
    }
    let body = parsed.map_err(WireError::Json)?;
    match body.status.as_deref() {
        Some("success") => {}
        Some("error") => {
            return Err(WireError::Failed { kind: body.error_type.unwrap_or_default(), text: body.error.unwrap_or_default() });
        }
        Some(other) => return Err(WireError::Shape(format!("its status is `{}`, not `success`", escaped(other, 40)))),
        None => return Err(WireError::Shape("it has no `status`".to_owned())),
    }
    let Some(data) = body.data else {
        return Err(WireError::Shape("it has no `data`".to_owned()));
    };
    match data.result_type.as_deref() {
        Some("matrix") => {}
        Some(other) => return Err(WireError::Shape(format!("its result is of type `{}`, not `matrix`", escaped(other, 40)))),
        None => return Err(WireError::Shape("its data has no `resultType`".to_owned())),
    }
    let Some(mut series) = data.result else {
        return Err(WireError::Shape("its data has no `result`".to_owned()));
    };
    if tally.foreign {
        return Err(WireError::Shape("its result is not a list of series with `metric` and `values`".to_owned()));
    }
    if let Some(message) = tally.grid.is_of_another_time(tally.series - tally.of_buckets) {
        return Err(WireError::Shape(message));
    }
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let is_annotation = |note: &String| ANNOTATIONS.iter().any(|prefix| note.trim_start().starts_with(prefix));
    let (annotations, of_storage): (Vec<String>, Vec<String>) = body.warnings.unwrap_or_default().into_iter().partition(is_annotation);
    let mut missing = noted("warns", &of_storage);
    if body.is_partial == Some(true) {
        missing.push("the store says that its reply is partial: a part of it did not answer".to_owned());
    }
    let mut warnings = noted("warns", &annotations);
    warnings.extend(noted("notes", &body.infos.unwrap_or_default()));
    warnings.extend(tally.grid.warnings());
    if tally.beside > 0 {
        let series = tally.beside;
        warnings.push(format!("{series} series have native histograms and numbers; the native histograms were taken"));
    }
    Ok(MatrixReply { reply: Reply { series, warnings }, missing })
}

/// The first few of what the store has to say, fit for a message.
fn noted(said: &str, notes: &[String]) -> Vec<String> {
    let shown = |note: &String| format!("the store {said}: {}", escaped(note, MAX_NOTE_CHARACTERS));
    let more = notes.len().checked_sub(MAX_NOTES).filter(|more| *more > 0);
    notes.iter().take(MAX_NOTES).map(shown).chain(more.map(|more| format!("the store {said} of {more} more things"))).collect()
}

/// What a failed request's body says, if it is in Prometheus' format.
#[derive(Debug, Deserialize)]
pub(super) struct PrometheusFailure {
    #[serde(rename = "errorType", default)]
    pub(super) kind: Option<String>,
    pub(super) error: String,
}

/// The values of a label.
#[derive(Debug, Deserialize)]
struct LabelValues {
    data: Vec<String>,
}

/// Reads the values of a label.
pub(super) fn parse_names(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    serde_json::from_slice::<LabelValues>(body).map(|names| names.data)
}

/// What is met while a reply is read.
struct PointTally {
    grid: Grid,
    series: usize,
    failure: Option<WireError>,
    /// Whether the result holds something other than series.
    foreign: bool,
    window: Window,
    /// Whether native histograms are read.
    buckets: bool,
    /// Series that have numbers beside native histograms.
    beside: usize,
    /// Those of the series that a native histogram's buckets became.
    of_buckets: usize,
}

impl PointTally {
    fn new(window: Window, buckets: bool) -> Self {
        Self { grid: Grid::new(window), series: 0, failure: None, foreign: false, window, buckets, beside: 0, of_buckets: 0 }
    }

    /// Room for one more series.
    fn begin<E: serde::de::Error>(&mut self) -> Result<Vec<f64>, E> {
        let values = self.grid.series(self.series).ok_or_else(|| self.fail(WireError::TooManySeries))?;
        self.series += 1;
        Ok(values)
    }

    /// Stops reading with an error that serde need not carry.
    fn fail<E: serde::de::Error>(&mut self, failure: WireError) -> E {
        self.failure = Some(failure);
        E::custom("stopped")
    }
}

#[derive(Default)]
struct ReplyDocument {
    status: Option<String>,
    error_type: Option<String>,
    error: Option<String>,
    warnings: Option<Vec<String>>,
    infos: Option<Vec<String>>,
    is_partial: Option<bool>,
    data: Option<MatrixData>,
}

#[derive(Deserialize)]
enum ReplyDocumentField {
    #[serde(rename = "status")]
    Status,
    #[serde(rename = "errorType")]
    ErrorType,
    #[serde(rename = "error")]
    Error,
    #[serde(rename = "warnings")]
    Warnings,
    #[serde(rename = "infos")]
    Infos,
    #[serde(rename = "isPartial")]
    IsPartial,
    #[serde(rename = "data")]
    Data,
    #[serde(other)]
    Other,
}

struct ReplyDocumentSeed<'t>(&'t mut PointTally);

impl<'de> DeserializeSeed<'de> for ReplyDocumentSeed<'_> {
    type Value = ReplyDocument;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ReplyDocument, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReplyDocumentSeed<'_> {
    type Value = ReplyDocument;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `status` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ReplyDocument, A::Error> {
        let mut body = ReplyDocument::default();
        while let Some(field) = map.next_key()? {
            match field {
                ReplyDocumentField::Status => body.status = map.next_value()?,
                ReplyDocumentField::ErrorType => body.error_type = map.next_value()?,
                ReplyDocumentField::Error => body.error = map.next_value()?,
                ReplyDocumentField::Warnings => body.warnings = map.next_value()?,
                ReplyDocumentField::Infos => body.infos = map.next_value()?,
                ReplyDocumentField::IsPartial => body.is_partial = map.next_value()?,
                ReplyDocumentField::Data => body.data = map.next_value_seed(DataSeed(&mut *self.0))?,
                ReplyDocumentField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(body)
    }
}

#[derive(Default)]
struct MatrixData {
    result_type: Option<String>,
    result: Option<Vec<Series>>,
}

#[derive(Deserialize)]
enum DataField {
    #[serde(rename = "resultType")]
    ResultType,
    #[serde(rename = "result")]
    Result,
    #[serde(other)]
    Other,
}

struct DataSeed<'t>(&'t mut PointTally);

impl<'de> DeserializeSeed<'de> for DataSeed<'_> {
    type Value = Option<MatrixData>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<MatrixData>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DataSeed<'_> {
    type Value = Option<MatrixData>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `resultType` and `result`")
    }

    fn visit_unit<E>(self) -> Result<Option<MatrixData>, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<MatrixData>, A::Error> {
        let mut data = MatrixData::default();
        while let Some(field) = map.next_key()? {
            match field {
                DataField::ResultType => data.result_type = map.next_value()?,
                DataField::Result if data.result_type.as_deref().is_none_or(|kind| kind == "matrix") => {
                    data.result = Some(map.next_value_seed(ResultSeed(&mut *self.0))?);
                }
                DataField::Result | DataField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(data))
    }
}

/// Implements the visits of plain values, which make a result that is not a list of series.
macro_rules! foreign_values {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            self.0.foreign = true;
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            self.0.foreign = true;
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            self.0.foreign = true;
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            self.0.foreign = true;
            Ok($value)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            self.0.foreign = true;
            Ok($value)
        }
    };
}

struct ResultSeed<'t>(&'t mut PointTally);

impl<'de> DeserializeSeed<'de> for ResultSeed<'_> {
    type Value = Vec<Series>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Series>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ResultSeed<'_> {
    type Value = Vec<Series>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    /// Go writes an empty list as `null` when nobody made it.
    fn visit_unit<E>(self) -> Result<Vec<Series>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Series>, A::Error> {
        let mut all = Vec::new();
        while let Some(series) = seq.next_element_seed(SeriesSeed(&mut *self.0))? {
            all.extend(series);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Series>, A::Error> {
        self.0.foreign = true;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Vec::new())
    }

    foreign_values!(Vec::new());
}

#[derive(Deserialize)]
enum SeriesField {
    #[serde(rename = "metric")]
    Metric,
    #[serde(rename = "values")]
    Values,
    #[serde(rename = "histograms")]
    Histograms,
    #[serde(other)]
    Other,
}

struct SeriesSeed<'t>(&'t mut PointTally);

impl<'de> DeserializeSeed<'de> for SeriesSeed<'_> {
    type Value = Vec<Series>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Series>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SeriesSeed<'_> {
    type Value = Vec<Series>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series with `metric` and `values`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Series>, A::Error> {
        let mut values = self.0.begin()?;
        let mut labels = BTreeMap::new();
        let (mut complete, mut native) = (false, None);
        while let Some(field) = map.next_key()? {
            match field {
                SeriesField::Metric => labels = map.next_value()?,
                SeriesField::Values => {
                    map.next_value_seed(PointsSeed(&mut *self.0, &mut values))?;
                    complete = true;
                }
                SeriesField::Histograms if !self.0.buckets => {
                    return Err(self.0.fail(WireError::Shape(
                        "a series of it is a native histogram; judge its requests with `kind: distribution`, or wrap the query in \
                         `histogram_quantile` or `histogram_avg`"
                            .to_owned(),
                    )));
                }
                SeriesField::Histograms => {
                    let mut read = Native::default();
                    map.next_value_seed(HistogramsSeed(&mut *self.0, &mut read))?;
                    native = Some(read);
                }
                SeriesField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if let Some(native) = native {
            self.0.beside += usize::from(complete);
            return Ok(native.series(&labels));
        }
        self.0.foreign |= !complete;
        Ok(vec![Series { labels, values }])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Series>, A::Error> {
        self.0.foreign = true;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Vec::new())
    }

    fn visit_unit<E>(self) -> Result<Vec<Series>, E> {
        self.0.foreign = true;
        Ok(Vec::new())
    }

    foreign_values!(Vec::new());
}

/// The native histograms of one series, on the grid.
#[derive(Default)]
struct Native {
    /// All requests of each; empty until the first came.
    all: Vec<f64>,
    /// By the bits of their ends.
    buckets: BTreeMap<(u64, u64), Vec<f64>>,
}

impl Native {
    /// Puts a histogram at its place; the last one at a place stays.
    fn put<E: serde::de::Error>(&mut self, tally: &mut PointTally, timestamp: f64, histogram: WireHistogram) -> Result<(), E> {
        if self.all.is_empty() {
            self.all = tally.begin()?;
        }
        tally.grid.put(&mut self.all, timestamp, histogram.count.0);
        let GridPlace::At { index, .. } = place(tally.window, timestamp) else { return Ok(()) };
        for values in self.buckets.values_mut() {
            if let Some(value) = values.get_mut(index) {
                *value = ABSENT;
            }
        }
        for (_, SampleNumber(lower), SampleNumber(upper), SampleNumber(count)) in histogram.buckets.unwrap_or_default() {
            let values = match self.buckets.entry((lower.to_bits(), upper.to_bits())) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    tally.of_buckets += 1;
                    entry.insert(tally.begin()?)
                }
            };
            if let Some(value) = values.get_mut(index) {
                *value = if value.is_nan() { count } else { *value + count };
            }
        }
        Ok(())
    }

    /// A series for each bucket, and one for all requests.
    fn series(self, labels: &BTreeMap<String, String>) -> Vec<Series> {
        let series = |bucket: String, values: Vec<f64>| {
            let mut labels = labels.clone();
            labels.insert(NATIVE.to_owned(), bucket);
            Series { labels, values }
        };
        let buckets = self.buckets.into_iter().map(|((lower, upper), values)| {
            let (lower, upper) = (f64::from_bits(lower), f64::from_bits(upper));
            series(format!("{lower}...{upper}"), values)
        });
        let all = (!self.all.is_empty()).then(|| series(ALL.to_owned(), self.all));
        buckets.chain(all).collect()
    }
}

/// `{"count": "3", "sum": "0.5", "buckets": [[0, "0.25", "0.5", "3"]]}`; of a bucket: which of its ends belong to it, the ends, the count.
#[derive(Deserialize)]
struct WireHistogram {
    count: SampleNumber,
    #[serde(default)]
    buckets: Option<Vec<(u8, SampleNumber, SampleNumber, SampleNumber)>>,
}

/// A number that is written as text.
struct SampleNumber(f64);

impl<'de> Deserialize<'de> for SampleNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SampleText::deserialize(deserializer)?;
        text.number("a histogram").map(Self)
    }
}

struct HistogramsSeed<'t>(&'t mut PointTally, &'t mut Native);

impl<'de> DeserializeSeed<'de> for HistogramsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for HistogramsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of native histograms `[time, {\"count\": ..., \"buckets\": [...]}]`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some((timestamp, histogram)) = seq.next_element::<(f64, WireHistogram)>()? {
            self.1.put(self.0, timestamp, histogram)?;
        }
        Ok(())
    }
}

struct PointsSeed<'t>(&'t mut PointTally, &'t mut [f64]);

impl<'de> DeserializeSeed<'de> for PointsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PointsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of points `[time, \"value\"]`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(point) = seq.next_element()? {
            let Point { timestamp, value } = point;
            self.0.grid.put(self.1, timestamp, value);
        }
        Ok(())
    }
}

/// `[1435781430.781, "1.5"]`.
struct Point {
    timestamp: f64,
    value: f64,
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (timestamp, text): (f64, SampleText<'de>) = Deserialize::deserialize(deserializer)?;
        Ok(Self { timestamp, value: text.number("a point")? })
    }
}

impl SampleText<'_> {
    fn number<E: serde::de::Error>(&self, of: &str) -> Result<f64, E> {
        // Rust reads `NaN`, `+Inf` and `-Inf`, as Prometheus writes them, too.
        self.0.parse().map_err(|_| E::custom(format_args!("the value `{}` of {of} is not a number", escaped(&self.0, 40))))
    }
}

/// A text that is borrowed from the reply where it can be: there are as many as points.
struct SampleText<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for SampleText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SampleTextVisitor;

        impl<'de> Visitor<'de> for SampleTextVisitor {
            type Value = SampleText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value written as text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<SampleText<'de>, E> {
                Ok(SampleText(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<SampleText<'de>, E> {
                Ok(SampleText(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(SampleTextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::MAX_SERIES;

    const WINDOW: Window = Window { start: 600, end: 900, step_seconds: 60 };

    fn read(body: &str) -> Result<Reply, WireError> {
        parse(body.as_bytes(), WINDOW, false).map(|parsed| parsed.reply)
    }

    #[test]
    fn what_annotates_a_query_is_told_from_what_is_missing_from_its_data() {
        let said = |more: &str| {
            let body = format!(r#"{{"status":"success",{more}"data":{{"resultType":"matrix","result":[]}}}}"#);
            let MatrixReply { reply, missing } = parse(body.as_bytes(), WINDOW, false).unwrap();
            (reply.warnings, missing)
        };
        let (warnings, missing) = said(r#""warnings":["PromQL warning: a","b"," PromQL info: c"],"infos":["d"],"isPartial":true,"#);
        assert_eq!(warnings, ["the store warns: PromQL warning: a", "the store warns:  PromQL info: c", "the store notes: d"]);
        assert_eq!(missing, ["the store warns: b", "the store says that its reply is partial: a part of it did not answer"]);
        let many = format!("\"warnings\":{:?},", vec!["no store"; MAX_NOTES + 2]);
        let (_, missing) = said(&many);
        assert_eq!((missing.len(), missing.last().unwrap().as_str()), (MAX_NOTES + 1, "the store warns of 2 more things"));
        for whole in ["", r#""warnings":[],"#, r#""warnings":null,"isPartial":false,"#, r#""isPartial":null,"#] {
            assert_eq!(said(whole).1, Vec::<String>::new(), "{whole}");
        }
    }

    fn matrix(result: &str) -> Reply {
        read(&format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":{result}}}}}"#)).unwrap()
    }

    fn shape(body: &str) -> String {
        match read(body) {
            Err(WireError::Shape(message)) => message,
            Err(WireError::Json(error)) => error.to_string(),
            other => panic!("{body}: {other:?}"),
        }
    }

    /// Bits, so that NaN equals itself.
    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn gaps_stay_gaps_and_special_values_are_read() {
        let reply = matrix(r#"[{"metric":{"a":"b"},"values":[[660,"1"],[780,"+Inf"],[840.0,"-Inf"],[900,"NaN"]]}]"#);
        assert_eq!(bits(&reply.series[0].values), bits(&[1.0, ABSENT, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]));
        assert_eq!(reply.warnings, Vec::<String>::new());
    }

    #[test]
    fn points_out_of_order_are_taken_and_of_equal_ones_the_last() {
        let reply = matrix(r#"[{"metric":{},"values":[[900,"5"],[660,"1"],[660,"2"]]}]"#);
        assert_eq!(bits(&reply.series[0].values), bits(&[2.0, ABSENT, ABSENT, ABSENT, 5.0]));
        assert_eq!(
            reply.warnings,
            ["1 points came more than once for the same time, 1 of them with values that differ; the last was taken"]
        );
        let reply = matrix(r#"[{"metric":{},"values":[[660,"1"],[660,"1.0"]]}]"#);
        assert_eq!(reply.warnings, ["1 points came more than once for the same time; the last was taken"]);
    }

    #[test]
    fn a_reply_of_another_time_is_refused_also_where_a_part_of_it_lies_in_the_window() {
        for values in [
            r#"[3660,"1"],[3720,"1"],[3780,"1"],[3840,"1"],[3900,"1"]"#,
            r#"[780,"1"],[840,"1"],[900,"1"],[960,"1"],[1020,"1"],[1080,"1"]"#,
            r#"[660,"1"],[4320,"1"],[780,"1"],[4440,"1"],[900,"1"],[4560,"1"]"#,
            r#"[660000,"1"],[720000,"1"],[780000,"1"]"#,
        ] {
            let body =
                format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{values}]}}]}}}}"#);
            assert!(shape(&body).contains("outside of the window that was asked for (600 to 900)"), "{body}");
        }
    }

    #[test]
    fn points_off_the_grid_or_outside_are_named() {
        let reply = matrix(r#"[{"metric":{},"values":[[600,"0"],[671.5,"1"],[720.3,"2"],[960,"9"]]}]"#);
        assert_eq!(bits(&reply.series[0].values[..2]), bits(&[1.0, 2.0]));
        assert_eq!(
            reply.warnings,
            [
                "1 points lie off the grid of 60 s, by up to 11.500 s; each was taken for the nearest point",
                "2 points outside of the window were left out"
            ]
        );
    }

    #[test]
    fn series_are_sorted_by_labels_and_keep_their_name() {
        let reply =
            matrix(r#"[{"metric":{"pod":"b"},"values":[]},{"values":[],"metric":{"__name__":"up","pod":"a"}},{"metric":{},"values":[]}]"#);
        let labels: Vec<_> = reply.series.iter().map(|series| series.labels.values().cloned().collect::<Vec<_>>()).collect();
        assert_eq!(labels, [vec![], vec!["up".to_owned(), "a".to_owned()], vec!["b".to_owned()]]);
    }

    #[test]
    fn fields_come_in_any_order() {
        let reply = read(r#"{"data":{"result":[{"metric":{},"values":[[660,"1"]]}],"resultType":"matrix"},"status":"success"}"#).unwrap();
        assert_eq!(reply.series.len(), 1);
        let vector = r#"{"data":{"result":[{"metric":{},"value":[660,"1"]}],"resultType":"vector"},"status":"success"}"#;
        assert!(shape(vector).contains("`vector`"));
        let scalar = r#"{"data":{"result":[660,"1"],"resultType":"scalar"},"status":"success"}"#;
        assert!(shape(scalar).contains("`scalar`"));
    }

    #[test]
    fn what_is_no_matrix_is_named() {
        for (body, expected) in [
            (r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}]}}"#, "`vector`, not `matrix`"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"value":[1,"2"]}]}}"#, "not a list of series"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":{"a":[1]}}}"#, "not a list of series"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[[1],null,"x",1,-1,1.5,true]}}"#, "not a list of series"),
            (r#"{"status":"success","data":{"resultType":"matrix"}}"#, "no `result`"),
            (r#"{"status":"success","data":{"result":[]}}"#, "no `resultType`"),
            (r#"{"status":"success","data":null}"#, "no `data`"),
            (r#"{"status":"success"}"#, "no `data`"),
            (r#"{"status":"ok","data":{"resultType":"matrix","result":[]}}"#, "`ok`, not `success`"),
            (r"{}", "no `status`"),
            (r"[]", "an object with `status`"),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"histograms":[[1,{"count":"1"}]]}]}}"#,
                "histogram_quantile",
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[660,1]]}]}}"#,
                "a value written as text",
            ),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["660","1"]]}]}}"#, "expected f64"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[660,"one"]]}]}}"#, "`one`"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[660]]}]}}"#, "invalid length 1"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[660,"1","2"]]}]}}"#, "trailing"),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":1},"values":[]}]}}"#,
                "invalid type: integer `1`",
            ),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[]}} {}"#, "trailing characters"),
        ] {
            let message = shape(body);
            assert!(message.contains(expected), "{body}: {message}");
        }
    }

    #[test]
    fn native_histograms_become_a_series_for_each_bucket_and_one_for_all_requests() {
        let histogram = |at: i64, count: &str, buckets: &str| format!(r#"[{at},{{"count":"{count}","sum":"1e3"{buckets}}}]"#);
        let all = [
            histogram(660, "4", r#","buckets":[[3,"-0.001","0.001","1"],[0,"0.5","1","2.5"]]"#),
            histogram(720, "9", r#","buckets":[[0,"0.5","1","9"]]"#),
            histogram(720, "0", ""),
            histogram(840, "3", r#","buckets":[[0,"1","+Inf","3"]]"#),
        ];
        let series = format!(r#"{{"metric":{{"pod":"a"}},"values":[[780,"7"]],"histograms":[{}]}}"#, all.join(","));
        let body = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#);
        let MatrixReply { reply, .. } = parse(body.as_bytes(), WINDOW, true).unwrap();
        let expected = [
            ("-0.001...0.001", [1.0, ABSENT, ABSENT, ABSENT, ABSENT]),
            ("0.5...1", [2.5, ABSENT, ABSENT, ABSENT, ABSENT]),
            ("1...inf", [ABSENT, ABSENT, ABSENT, 3.0, ABSENT]),
            (ALL, [4.0, 0.0, ABSENT, 3.0, ABSENT]),
        ];
        assert_eq!(reply.series.len(), expected.len());
        for (series, (bucket, values)) in reply.series.iter().zip(expected) {
            assert_eq!((series.labels["pod"].as_str(), series.labels[NATIVE].as_str()), ("a", bucket));
            assert_eq!(bits(&series.values), bits(&values), "{bucket}");
        }
        assert_eq!(
            reply.warnings,
            [
                "1 points came more than once for the same time, 1 of them with values that differ; the last was taken",
                "1 series have native histograms and numbers; the native histograms were taken"
            ]
        );
        assert!(shape(&body).contains("kind: distribution"), "a metric of numbers takes none");
    }

    #[test]
    fn twenty_buckets_of_a_week_of_minutes_fit() {
        let (points, start) = (10_080_i64, 1_748_944_800_i64);
        let values: Vec<String> = (1..=points).map(|i| format!("[{},\"{}.3333333\"]", start + 60 * i, i % 977)).collect();
        let values = values.join(",");
        let series: Vec<String> = (0..21).map(|le| format!(r#"{{"metric":{{"le":"{le}"}},"values":[{values}]}}"#)).collect();
        let body = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, series.join(","));
        assert!(body.len() < 8 << 20, "half of what is read: {}", body.len());
        let window = Window { start, end: start + 60 * points, step_seconds: 60 };
        assert_eq!(parse(body.as_bytes(), window, true).unwrap().reply.series.len(), 21);
    }

    #[test]
    fn more_buckets_than_there_may_be_series_are_refused() {
        let bucket = |i: usize| format!(r#"[0,"{i}","{}","1"]"#, i + 1);
        let all: Vec<String> = (0..MAX_SERIES).map(bucket).collect();
        let histogram = format!(r#"{{"metric":{{}},"histograms":[[660,{{"count":"1","sum":"1","buckets":[{}]}}]]}}"#, all.join(","));
        let body = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{histogram}]}}}}"#);
        assert!(matches!(parse(body.as_bytes(), WINDOW, true), Err(WireError::TooManySeries)));
    }

    #[test]
    fn an_empty_result_has_no_series() {
        assert_eq!(matrix("[]"), Reply::default());
        assert_eq!(matrix("null"), Reply::default());
    }

    #[test]
    fn a_reply_nested_without_end_is_refused_and_keeps_the_stack() {
        for opening in ["[", r#"{"a":"#, r#"{"status":"success","data":{"x":["#, r#"{"data":{"resultType":"matrix","result":[["#] {
            let body = format!("{opening}{}", "[".repeat(2_000_000));
            assert!(matches!(parse(body.as_bytes(), WINDOW, false), Err(WireError::Json(_))));
        }
    }

    #[test]
    fn too_many_series_or_values_are_refused() {
        let series = |n: usize| {
            let all = vec![r#"{"metric":{},"values":[]}"#; n].join(",");
            format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{all}]}}}}"#)
        };
        assert_eq!(read(&series(MAX_SERIES)).unwrap().series.len(), MAX_SERIES);
        assert!(matches!(read(&series(MAX_SERIES + 1)), Err(WireError::TooManySeries)));
        let long = Window { start: 0, end: 11_000 * 60, step_seconds: 60 };
        assert!(matches!(parse(series(1_000).as_bytes(), long, false), Err(WireError::TooManySeries)));
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("\"success\"".to_owned()),
            Just("\"matrix\"".to_owned()),
            Just("\"NaN\"".to_owned()),
            Just("\"1.5\"".to_owned()),
            any::<f64>().prop_filter("JSON has no such number", |x| x.is_finite()).prop_map(|x| format!("{x:e}")),
            any::<i64>().prop_map(|x| x.to_string()),
            (500..1000_i64).prop_map(|x| x.to_string()),
        ];
        leaf.prop_recursive(6, 60, 5, |inner| {
            let key = prop::sample::select(vec![
                "status",
                "data",
                "resultType",
                "result",
                "metric",
                "values",
                "histograms",
                "count",
                "buckets",
                "warnings",
                "infos",
                "error",
                "errorType",
                "isPartial",
                "x",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((key, inner), 0..5).prop_map(|fields| {
                    let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, WINDOW, true);
        }

        #[test]
        fn no_json_makes_the_reader_panic(result in json(), body in json()) {
            let _ = read(&body);
            let body = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":{result}}}}}"#);
            for buckets in [false, true] {
                if let Ok(MatrixReply { reply, .. }) = parse(body.as_bytes(), WINDOW, buckets) {
                    prop_assert!(reply.series.iter().all(|series| series.values.len() == WINDOW.len()));
                    let _ = crate::source::histogram::read(&reply.series, 0..WINDOW.len());
                }
            }
        }

        #[test]
        fn a_reply_cut_or_changed_anywhere_does_not_panic(cut in 0..200_usize, byte in any::<u8>()) {
            let mut body = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[660,"1"],[780,"+Inf"]]}]},"warnings":["x"]}"#.to_vec();
            let at = cut % body.len();
            prop_assert!(parse(&body[..at], WINDOW, false).is_err());
            body[at] = byte;
            let _ = parse(&body, WINDOW, false);
        }
    }
}
