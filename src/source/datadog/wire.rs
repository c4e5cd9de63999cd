//! The replies of Datadog's metrics APIs, and how their points are laid on a window's grid.
//!
//! v1, `series` with a `pointlist` each: <https://docs.datadoghq.com/api/latest/metrics/query-timeseries-points/>. v2, `times` that all series
//! share and a list of `values` for each: <https://docs.datadoghq.com/api/latest/metrics/query-timeseries-data-across-multiple-products/>.
//! Times are milliseconds. A point speaks of the time that follows it, up to the next interval's begin (a recorded reply of v1 ends
//! 299.999 s after its last point), so it belongs to the grid's point at that end. Intervals begin at multiples of their length since 1970.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use haldane_judges::evidence::{ABSENT, is_absent};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::source::grid::{Grid, GridPlace, place};
use crate::source::http::ReplyContent;
use crate::source::text::escaped;
use crate::source::{MAX_SERIES, Reply, Series, Window};

/// Most tags of a series that are read.
const MAX_TAGS: usize = 200;
/// Most words of the store that are passed on, and their length.
const MAX_NOTES: usize = 20;
const MAX_NOTE_CHARACTERS: usize = 500;
/// Points without another's time between them that make an interval of theirs certain: each has an even chance, at best, of lying
/// on an interval twice as long by accident.
const CERTAIN: usize = 8;

/// Why a reply is not one.
#[derive(Debug)]
pub(super) enum WireError {
    /// The store says that it failed.
    Failed(String),
    /// The store says that it failed, and sent series all the same: what they lack nobody knows.
    Partial(String),
    /// More series, or values, than are read.
    TooManySeries,
    /// JSON of another form; the text says what came.
    Shape(String),
    /// Not JSON, or a field of the wrong type.
    Json(serde_json::Error),
}

/// A reply as it came.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) series: Vec<RawSeries>,
    /// Errors that the store names beside its data.
    pub(super) errors: Vec<String>,
    /// What the client adds.
    pub(super) warnings: Vec<String>,
}

/// A series as it came.
#[derive(Debug)]
pub(super) struct RawSeries {
    /// Which query of the request it answers.
    pub(super) query: usize,
    labels: BTreeMap<String, String>,
    /// When each interval begins, in Unix milliseconds.
    times: Arc<Vec<f64>>,
    /// As many; NaN where there is none.
    values: Vec<f64>,
    /// Length of the intervals as the reply says it, in seconds or milliseconds.
    interval: Option<f64>,
}

impl ReplyContent for Raw {
    fn points(&self) -> usize {
        self.series.iter().map(|series| series.values.len()).sum()
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}

/// The first `N` items of a list, and how many there were.
struct BoundedList<T, const N: usize> {
    items: Vec<T>,
    total: usize,
}

impl<T, const N: usize> Default for BoundedList<T, N> {
    fn default() -> Self {
        Self { items: Vec::new(), total: 0 }
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for BoundedList<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for List<T, N> {
            type Value = BoundedList<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(BoundedList::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = BoundedList::default();
                loop {
                    let more = if list.total < N {
                        let item = seq.next_element()?;
                        let more = item.is_some();
                        list.items.extend(item);
                        more
                    } else {
                        seq.next_element::<IgnoredAny>()?.is_some()
                    };
                    if !more {
                        return Ok(list);
                    }
                    list.total += 1;
                }
            }
        }

        deserializer.deserialize_any(List(PhantomData))
    }
}

/// A value; for `null` none.
struct PointNumber(Option<f64>);

impl<'de> Deserialize<'de> for PointNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self)
    }
}

/// What a store says of a failure: a text, a list of them, or of objects with a text. The first few are kept.
#[derive(Debug, Default)]
struct ErrorTexts(Vec<String>);

impl<'de> Deserialize<'de> for ErrorTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ErrorTextsVisitor;

        impl<'de> Visitor<'de> for ErrorTextsVisitor {
            type Value = ErrorTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of them")
            }

            fn visit_str<E>(self, text: &str) -> Result<ErrorTexts, E> {
                Ok(if text.trim().is_empty() { ErrorTexts::default() } else { ErrorTexts(vec![text.to_owned()]) })
            }

            fn visit_unit<E>(self) -> Result<ErrorTexts, E> {
                Ok(ErrorTexts::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ErrorTexts, A::Error> {
                let mut all = ErrorTexts::default();
                while all.0.len() < MAX_NOTES {
                    let Some(ErrorTexts(texts)) = seq.next_element()? else { return Ok(all) };
                    all.0.extend(texts);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(all)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ErrorTexts, A::Error> {
                let mut parts = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if matches!(key.as_str(), "title" | "detail" | "message") {
                        parts.extend(map.next_value::<Option<String>>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(ErrorTexts(vec![if parts.is_empty() { "an error without a text".to_owned() } else { parts.join(": ") }]))
            }
        }

        deserializer.deserialize_any(ErrorTextsVisitor)
    }
}

/// The texts; none where nothing is said.
fn texts(said: Option<ErrorTexts>) -> Vec<String> {
    said.unwrap_or_default().0
}

/// What a failed request's body says, if it is in Datadog's format.
pub(super) fn failure(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ErrorBody {
        #[serde(default)]
        errors: Option<ErrorTexts>,
        #[serde(default)]
        error: Option<ErrorTexts>,
    }
    let failure: ErrorBody = serde_json::from_slice(body).ok()?;
    let mut said = texts(failure.errors);
    said.extend(texts(failure.error));
    (!said.is_empty()).then(|| noted(&said))
}

/// Words of the store, fit for a message.
pub(super) fn noted(said: &[String]) -> String {
    let shown: Vec<String> = said.iter().take(MAX_NOTES).map(|text| escaped(text, MAX_NOTE_CHARACTERS)).collect();
    escaped(&shown.join("; "), 2 * MAX_NOTE_CHARACTERS)
}

/// Labels of a series: `host:a` is `host="a"`. The values of a key given twice are joined; a tag without a colon has no value.
fn labels(tags: BoundedList<String, MAX_TAGS>) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for tag in tags.items {
        let (key, value) = tag.split_once(':').unwrap_or((&tag, ""));
        labels
            .entry(key.to_owned())
            .and_modify(|known| {
                known.push(',');
                known.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    labels
}

/// Reads a reply of v1.
pub(super) fn parse_v1(body: &[u8]) -> Result<Raw, WireError> {
    #[derive(Deserialize)]
    struct QueryReplyV1 {
        #[serde(default)]
        status: Option<String>,
        #[serde(default)]
        error: Option<ErrorTexts>,
        #[serde(default)]
        errors: Option<ErrorTexts>,
        #[serde(default)]
        series: Option<BoundedList<SeriesV1, MAX_SERIES>>,
    }
    #[derive(Deserialize)]
    struct SeriesV1 {
        #[serde(default)]
        tag_set: Option<BoundedList<String, MAX_TAGS>>,
        #[serde(default)]
        interval: Option<f64>,
        pointlist: Vec<(f64, PointNumber)>,
    }
    let body: QueryReplyV1 = serde_json::from_slice(body).map_err(WireError::Json)?;
    let mut errors = texts(body.error);
    errors.extend(texts(body.errors));
    match body.status.as_deref() {
        Some("error") => {
            return Err(WireError::Failed(if errors.is_empty() { "it gives no reason".to_owned() } else { noted(&errors) }));
        }
        Some("ok") => {}
        None if !errors.is_empty() && body.series.is_none() => return Err(WireError::Failed(noted(&errors))),
        None => {}
        Some(other) => return Err(WireError::Shape(format!("its status is `{}`, not `ok`", escaped(other, 40)))),
    }
    let Some(series) = body.series else {
        return Err(WireError::Shape("it has no `series`".to_owned()));
    };
    if series.total > MAX_SERIES {
        return Err(WireError::TooManySeries);
    }
    let raw = |one: SeriesV1| {
        // A point of `null` is one that has no number. In v2 the times are those of every series, and `null` is that there is no point.
        let known = |value: PointNumber| value.0.unwrap_or(f64::NAN);
        let (times, values): (Vec<f64>, Vec<f64>) = one.pointlist.into_iter().map(|(time, value)| (time, known(value))).unzip();
        let interval = said_interval(one.interval);
        RawSeries { query: 0, labels: labels(one.tag_set.unwrap_or_default()), times: Arc::new(times), values, interval }
    };
    Ok(Raw { series: series.items.into_iter().map(raw).collect(), errors, warnings: Vec::new() })
}

/// The interval that a reply of v1 says, in the unit in which it says it: documented are milliseconds, and recorded replies have seconds.
fn said_interval(interval: Option<f64>) -> Option<f64> {
    interval.filter(|interval| interval.is_finite() && *interval >= 1.0 && *interval <= 1e12)
}

/// An interval in milliseconds, taken in the unit that makes it more like the one that was asked for.
fn in_milliseconds(said: f64, expected_ms: u64) -> u64 {
    let expected = expected_ms.max(1) as f64;
    let far = |milliseconds: f64| (milliseconds / expected).ln().abs();
    if far(said) < far(said * 1000.0) { said as u64 } else { (said * 1000.0) as u64 }
}

/// Reads a reply of v2 to a request of so many formulas.
pub(super) fn parse_v2(body: &[u8], formulas: usize) -> Result<Raw, WireError> {
    #[derive(Deserialize)]
    struct TimeseriesReply {
        #[serde(default)]
        data: Option<TimeseriesData>,
        #[serde(default)]
        errors: Option<ErrorTexts>,
    }
    #[derive(Deserialize)]
    struct TimeseriesData {
        #[serde(default)]
        attributes: Option<Attributes>,
    }
    #[derive(Deserialize)]
    struct Attributes {
        #[serde(default)]
        series: Option<BoundedList<SeriesTags, MAX_SERIES>>,
        #[serde(default)]
        times: Option<Vec<f64>>,
        #[serde(default)]
        values: Option<BoundedList<Vec<PointNumber>, MAX_SERIES>>,
    }
    #[derive(Deserialize)]
    struct SeriesTags {
        #[serde(default)]
        group_tags: Option<BoundedList<String, MAX_TAGS>>,
        #[serde(default)]
        query_index: Option<usize>,
    }
    let body: TimeseriesReply = serde_json::from_slice(body).map_err(WireError::Json)?;
    let errors = texts(body.errors);
    let Some(attributes) = body.data.and_then(|data| data.attributes) else {
        return Err(if errors.is_empty() {
            WireError::Shape("it has no `data` with `attributes`".to_owned())
        } else {
            WireError::Failed(noted(&errors))
        });
    };
    let (series, values) = (attributes.series.unwrap_or_default(), attributes.values.unwrap_or_default());
    if series.total > MAX_SERIES || values.total > MAX_SERIES {
        return Err(WireError::TooManySeries);
    }
    if series.total != values.total {
        return Err(WireError::Shape(format!("it has {} `series` and {} lists of `values`", series.total, values.total)));
    }
    let times = Arc::new(attributes.times.unwrap_or_default());
    let mut raw = Raw { errors, ..Raw::default() };
    for (one, values) in series.items.into_iter().zip(values.items) {
        if values.len() != times.len() {
            return Err(WireError::Shape(format!("a series has {} `values` for {} `times`", values.len(), times.len())));
        }
        let query = match one.query_index {
            Some(query) => query,
            None if formulas == 1 => 0,
            None => return Err(WireError::Shape(format!("a series has no `query_index`, and {formulas} formulas were asked"))),
        };
        if query >= formulas {
            return Err(WireError::Shape(format!("a series has the `query_index` {query}, and {formulas} formulas were asked")));
        }
        raw.series.push(RawSeries {
            query,
            labels: labels(one.group_tags.unwrap_or_default()),
            times: Arc::clone(&times),
            values: values.into_iter().map(|value| value.0.unwrap_or(ABSENT)).collect(),
            interval: None,
        });
    }
    Ok(raw)
}

/// A page of metric names, and what asks for the next one.
#[derive(Debug, Default)]
pub(super) struct MetricNames {
    pub(super) names: Vec<String>,
    pub(super) next: Option<String>,
}

impl ReplyContent for MetricNames {
    fn points(&self) -> usize {
        self.names.len()
    }

    fn warn(&mut self, _: String) {}
}

/// Reads the names of v1's `metrics`.
pub(super) fn parse_names_v1(body: &[u8]) -> Result<MetricNames, serde_json::Error> {
    #[derive(Deserialize)]
    struct MetricsReplyV1 {
        metrics: Vec<String>,
    }
    serde_json::from_slice::<MetricsReplyV1>(body).map(|body| MetricNames { names: body.metrics, next: None })
}

/// Reads a page of v2's `metrics`.
pub(super) fn parse_names_v2(body: &[u8]) -> Result<MetricNames, serde_json::Error> {
    #[derive(Deserialize)]
    struct MetricsReplyV2 {
        data: Vec<MetricEntry>,
        #[serde(default)]
        meta: Option<Meta>,
    }
    #[derive(Deserialize)]
    struct MetricEntry {
        id: String,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default)]
        pagination: Option<Pagination>,
    }
    #[derive(Deserialize)]
    struct Pagination {
        #[serde(default)]
        next_cursor: Option<String>,
    }
    let body: MetricsReplyV2 = serde_json::from_slice(body)?;
    let next = body.meta.and_then(|meta| meta.pagination).and_then(|pagination| pagination.next_cursor);
    Ok(MetricNames { names: body.data.into_iter().map(|metric| metric.id).collect(), next: next.filter(|next| !next.is_empty()) })
}

/// The series of one query, laid on the window's grid request by request.
#[derive(Debug)]
pub(super) struct Layout {
    window: Window,
    grid: Grid,
    /// The interval that the query asks for, in seconds; a multiple of the step.
    interval_seconds: u32,
    /// By labels, and by their order where several have the same.
    series: BTreeMap<(BTreeMap<String, String>, usize), Vec<f64>>,
    /// The longest interval that came, where it is longer than the step.
    coarser_ms: Option<u64>,
    errors: BTreeSet<String>,
    warnings: BTreeSet<String>,
}

impl Layout {
    pub(super) fn new(window: Window, interval_seconds: u32) -> Self {
        Self {
            window,
            grid: Grid::new(window),
            interval_seconds: interval_seconds.max(window.step_seconds),
            series: BTreeMap::new(),
            coarser_ms: None,
            errors: BTreeSet::new(),
            warnings: BTreeSet::new(),
        }
    }

    /// Whether no series has come.
    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Values that are laid out, those that are absent included.
    pub(super) fn len(&self) -> usize {
        self.series.len().saturating_mul(self.window.len())
    }

    /// Adds what the store says beside the series.
    pub(super) fn note(&mut self, raw: &Raw) {
        self.errors.extend(raw.errors.iter().take(MAX_NOTES).map(|error| escaped(error, MAX_NOTE_CHARACTERS)));
        self.warnings.extend(raw.warnings.iter().cloned());
    }

    /// Lays out the series of a reply for a part of the window.
    pub(super) fn lay(&mut self, series: &[RawSeries], asked: Window) -> Result<(), WireError> {
        let interval_ms = self.interval_of(series);
        if interval_ms > u64::from(self.window.step_seconds) * 1000 {
            self.coarser_ms = self.coarser_ms.max(Some(interval_ms));
        }
        let mut same: BTreeMap<&BTreeMap<String, String>, usize> = BTreeMap::new();
        for one in series {
            let order = same.entry(&one.labels).or_default();
            let key = (one.labels.clone(), *order);
            *order += 1;
            let mut values = match self.series.remove(&key) {
                Some(values) => values,
                None => self.grid.series(self.series.len()).ok_or(WireError::TooManySeries)?,
            };
            for (time_ms, value) in one.times.iter().zip(&one.values).filter(|(_, value)| !is_absent(**value)) {
                self.put(&mut values, *time_ms, *value, interval_ms, asked);
            }
            self.series.insert(key, values);
        }
        Ok(())
    }

    fn put(&mut self, values: &mut [f64], time_ms: f64, value: f64, interval_ms: u64, asked: Window) {
        let seconds = time_ms / 1000.0;
        let interval = interval_ms as f64 / 1000.0;
        if value.is_nan() {
            return self.put_null(values, seconds + interval);
        }
        if seconds >= asked.start as f64 && seconds < asked.end as f64 {
            return self.grid.put(values, seconds + interval, value);
        }
        // The interval that begins with the end comes along, and belongs to the part that follows.
        if !(seconds >= self.window.start as f64 && seconds < self.window.end as f64 + interval) {
            self.grid.leave_out(seconds);
        }
    }

    /// A point without a number: it takes the place of none, and nothing is to be said of one that lies elsewhere.
    fn put_null(&self, values: &mut [f64], timestamp: f64) {
        if let GridPlace::At { index, .. } = place(self.window, timestamp)
            && let Some(slot) = values.get_mut(index).filter(|slot| is_absent(**slot))
        {
            *slot = f64::NAN;
        }
    }

    /// The interval of a query's points, in milliseconds: as the reply says, as the query asks, or, where a reply does not say,
    /// longer if the points leave no doubt.
    fn interval_of(&self, series: &[RawSeries]) -> u64 {
        let expected = u64::from(self.interval_seconds) * 1000;
        if let Some(said) = series.iter().filter_map(|series| series.interval).map(|said| in_milliseconds(said, expected)).max() {
            return said.max(expected);
        }
        let present = series.iter().flat_map(|series| series.times.iter().zip(&series.values)).filter(|(_, value)| !value.is_nan());
        // Milliseconds of any date fit; what does not is no time, and left out when it is placed.
        let times: BTreeSet<u64> = present.map(|(time, _)| *time as u64).collect();
        if times.len() < CERTAIN {
            return expected;
        }
        // Intervals begin at multiples of their length, and those of one that is really longer are not mostly empty.
        let distance = times.iter().copied().fold(0, gcd);
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return expected };
        let room = (last - first).checked_div(distance).map_or(0, |steps| steps + 1);
        if distance > expected && room <= 2 * times.len() as u64 { distance } else { expected }
    }

    /// The reply. What the store says of errors is a warning where there are series and those are accepted as they are.
    pub(super) fn finish(self, accept_partial: bool) -> Result<Reply, WireError> {
        if !self.errors.is_empty() && (self.series.is_empty() || !accept_partial) {
            let failed = if self.series.is_empty() { WireError::Failed } else { WireError::Partial };
            return Err(failed(noted(&self.errors.into_iter().collect::<Vec<_>>())));
        }
        if let Some(message) = self.grid.is_of_another_time(self.series.len()) {
            return Err(WireError::Shape(message));
        }
        let step = self.window.step_seconds;
        let mut warnings: Vec<String> =
            self.errors.iter().map(|error| format!("the store reports an error beside the data: {error}")).collect();
        warnings.extend(self.warnings);
        if let Some(coarser) = self.coarser_ms {
            let coarser = coarser as f64 / 1000.0;
            let why = if f64::from(self.interval_seconds) >= coarser { "as the query asks" } else { "as the store made them" };
            warnings.push(format!("its points are {coarser} s apart, {why}, where the step is {step} s"));
        }
        warnings.extend(self.grid.warnings());
        if self.grid.off_grid() > 0 && self.window.start.rem_euclid(i64::from(step.max(1))) != 0 {
            warnings.push(format!("the store's intervals begin at multiples of {step} s since 1970, and the window does not"));
        }
        let interval = self.coarser_ms.map_or(1, |coarser| (coarser / (u64::from(step.max(1)) * 1000)).max(1));
        let series = self.series.into_iter().map(|((labels, _), mut values)| {
            fill_gaps(&mut values, usize::try_from(interval).unwrap_or(usize::MAX));
            Series { labels, values }
        });
        Ok(Reply { series: series.collect(), warnings })
    }
}

/// Marks the intervals, of so many points each, between a series' first point and its last that have none: Datadog leaves out what
/// nothing was reported for, so a gap in a series that goes on is a value that is no number, where before and after there is no series.
fn fill_gaps(values: &mut [f64], interval: usize) {
    let is_there = |value: &f64| !is_absent(*value);
    let (Some(first), Some(last)) = (values.iter().position(is_there), values.iter().rposition(is_there)) else { return };
    for slot in values[first..=last].iter_mut().step_by(interval).filter(|slot| is_absent(**slot)) {
        *slot = f64::NAN;
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Reads bytes as a reply of either version, and lays it out; for fuzzing and properties.
pub(super) fn read_any(body: &[u8], window: Window) {
    for raw in [parse_v1(body), parse_v2(body, 2)].into_iter().flatten() {
        let mut layout = Layout::new(window, window.step_seconds);
        layout.note(&raw);
        if layout.lay(&raw.series, window).is_ok() {
            drop(layout.finish(raw.errors.len() % 2 == 0));
        }
    }
    drop((parse_names_v1(body), parse_names_v2(body), failure(body)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Window = Window { start: 600, end: 900, step_seconds: 60 };

    fn reply(raw: &Raw, window: Window) -> Reply {
        let mut layout = Layout::new(window, window.step_seconds);
        layout.note(raw);
        layout.lay(&raw.series, window).unwrap();
        layout.finish(true).unwrap()
    }

    fn v1(series: &str) -> Reply {
        reply(&parse_v1(format!(r#"{{"status":"ok","series":{series}}}"#).as_bytes()).unwrap(), WINDOW)
    }

    fn v2(attributes: &str) -> Result<Raw, WireError> {
        parse_v2(format!(r#"{{"data":{{"type":"timeseries_response","attributes":{attributes}}}}}"#).as_bytes(), 2)
    }

    fn shown(values: &[f64]) -> String {
        format!("{values:?}")
    }

    #[test]
    fn a_point_belongs_to_the_end_of_its_interval_and_the_one_that_begins_with_the_end_to_nobody() {
        let reply = v1(r#"[{"tag_set":[],"interval":60,"pointlist":[[600000,1],[660000,null],[840000,5],[900000,9]]}]"#);
        assert_eq!(shown(&reply.series[0].values), "[1.0, NaN, NaN, NaN, 5.0]");
        assert_eq!(reply.warnings, Vec::<String>::new());
    }

    #[test]
    fn points_twice_outside_and_off_the_grid_are_named() {
        let reply = v1(r#"[{"pointlist":[[840000,5],[600000,1],[600000,2],[670000,3],[300000,9],[-1e300,9]]}]"#);
        assert_eq!(shown(&reply.series[0].values), "[2.0, 3.0, NaN, NaN, 5.0]");
        assert_eq!(
            reply.warnings,
            [
                "1 points lie off the grid of 60 s, by up to 10.000 s; each was taken for the nearest point",
                "2 points outside of the window were left out",
                "1 points came more than once for the same time, 1 of them with values that differ; the last was taken",
            ]
        );
    }

    #[test]
    fn a_window_that_does_not_begin_where_intervals_do_is_named() {
        let window = Window { start: 610, end: 910, step_seconds: 60 };
        let raw = parse_v1(br#"{"status":"ok","series":[{"interval":60,"pointlist":[[660000,1],[840000,4]]}]}"#).unwrap();
        let reply = reply(&raw, window);
        assert_eq!(shown(&reply.series[0].values), "[NaN, 1.0, NaN, NaN, 4.0]");
        assert_eq!(
            reply.warnings,
            [
                "2 points lie off the grid of 60 s, by up to 10.000 s; each was taken for the nearest point",
                "the store's intervals begin at multiples of 60 s since 1970, and the window does not",
            ]
        );
    }

    #[test]
    fn tags_are_labels_and_a_key_given_twice_keeps_both_values() {
        let reply =
            v1(r#"[{"tag_set":["host:b","a:1:2","plain","role:x","role:y"],"pointlist":[]},{"tag_set":["host:a"],"pointlist":[]}]"#);
        let labels: Vec<_> = reply.series.iter().map(|series| series.labels.clone()).collect();
        let expected = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        assert_eq!(labels, [expected(&[("a", "1:2"), ("host", "b"), ("plain", ""), ("role", "x,y")]), expected(&[("host", "a")])]);
    }

    #[test]
    fn an_interval_is_read_in_seconds_and_in_milliseconds() {
        for (said, expected) in [(60.0, 60_000), (60_000.0, 60_000), (300.0, 300_000), (300_000.0, 300_000), (3_600_000.0, 3_600_000)] {
            assert_eq!(in_milliseconds(said, 60_000), expected, "{said}");
        }
        for none in [0.0, -60.0, f64::NAN, 1e300] {
            assert_eq!(said_interval(Some(none)), None, "{none}");
        }
    }

    #[test]
    fn sparse_points_stay_where_they_are_and_lose_none() {
        let hour = Window { start: 3600, end: 7200, step_seconds: 60 };
        for (a, b) in (0..60_u64).flat_map(|a| (a + 1..60).map(move |b| (a, b))) {
            let (at_a, at_b) = (3_600_000 + 60_000 * a, 3_600_000 + 60_000 * b);
            let raw = v2(&format!(r#"{{"series":[{{"query_index":0}}],"times":[{at_a},{at_b}],"values":[[500,501]]}}"#)).unwrap();
            let reply = reply(&raw, hour);
            let values = &reply.series[0].values;
            assert_eq!((values[a as usize], values[b as usize], reply.warnings.len()), (500.0, 501.0, 0), "{a} and {b}");
        }
    }

    #[test]
    fn a_coarser_reply_is_laid_where_its_points_belong_and_both_resolutions_are_stated() {
        let hour = Window { start: 3600, end: 7200, step_seconds: 60 };
        let said = parse_v1(br#"{"status":"ok","series":[{"interval":300,"pointlist":[[3600000,1],[6900000,2]]}]}"#).unwrap();
        let found = v2(&format!(
            r#"{{"series":[{{"query_index":0}}],"times":{:?},"values":[[1,3,3,3,3,3,3,3,3,3,3,2]]}}"#,
            (0..12).map(|i| 3_600_000 + 300_000 * i).collect::<Vec<u64>>()
        ))
        .unwrap();
        for (raw, index, warning) in [
            (said, 4, "its points are 300 s apart, as the store made them, where the step is 60 s"),
            (found, 4, "its points are 300 s apart, as the store made them, where the step is 60 s"),
        ] {
            let reply = reply(&raw, hour);
            assert_eq!((reply.series[0].values[index], reply.series[0].values[59]), (1.0, 2.0));
            assert_eq!(reply.warnings, [warning]);
        }
    }

    #[test]
    fn sparse_points_are_not_taken_for_coarse_ones() {
        let hour = Window { start: 3600, end: 7200, step_seconds: 60 };
        for times in ["[3600000,4200000,6000000]", "[3900000,4200000]", "[6000000]"] {
            let n = times.matches(',').count() + 1;
            let values = vec!["1"; n].join(",");
            let raw = v2(&format!(r#"{{"series":[{{"query_index":0}}],"times":{times},"values":[[{values}]]}}"#)).unwrap();
            assert_eq!(reply(&raw, hour).warnings, Vec::<String>::new(), "{times}");
        }
        // With gaps, but each at a multiple of 5 minutes.
        let times: Vec<_> = [0, 1, 2, 4, 5, 7, 9, 10, 11].iter().map(|i| (3600 + 300 * i) * 1000).collect();
        let values = vec![1; times.len()];
        let raw = v2(&format!(r#"{{"series":[{{"query_index":0}}],"times":{times:?},"values":[{values:?}]}}"#)).unwrap();
        assert_eq!(reply(&raw, hour).warnings, ["its points are 300 s apart, as the store made them, where the step is 60 s"]);
    }

    #[test]
    fn replies_of_another_shape_are_named() {
        for (attributes, expected) in [
            (r#"{"series":[{"query_index":0}],"times":[1],"values":[]}"#, "1 `series` and 0 lists"),
            (r#"{"series":[{"query_index":0}],"times":[1],"values":[[1,2]]}"#, "2 `values` for 1 `times`"),
            (r#"{"series":[{"query_index":2}],"times":[1],"values":[[1]]}"#, "`query_index` 2, and 2 formulas"),
        ] {
            match v2(attributes) {
                Err(WireError::Shape(message)) => assert!(message.contains(expected), "{message}"),
                other => panic!("{attributes}: {other:?}"),
            }
        }
        assert!(matches!(parse_v2(b"{}", 1), Err(WireError::Shape(_))));
        assert!(matches!(parse_v2(br#"{"errors":["no"]}"#, 1), Err(WireError::Failed(said)) if said == "no"));
        assert!(matches!(parse_v1(br#"{"status":"error","error":"no"}"#), Err(WireError::Failed(said)) if said == "no"));
        assert!(matches!(parse_v1(br#"{"status":"ok"}"#), Err(WireError::Shape(_))));
        assert!(matches!(parse_v1(b"<html>"), Err(WireError::Json(_))));
    }

    #[test]
    fn errors_beside_data_make_it_partial_unless_that_is_accepted_and_without_data_a_failure() {
        let body = |series: &str, values: &str| {
            let attributes = format!(r#"{{"series":[{series}],"times":[600000],"values":[{values}]}}"#);
            parse_v2(format!(r#"{{"data":{{"attributes":{attributes}}},"errors":"too slow"}}"#).as_bytes(), 1).unwrap()
        };
        assert_eq!(reply(&body("{}", "[1]"), WINDOW).warnings, ["the store reports an error beside the data: too slow"]);
        let finish = |raw: &Raw, accept_partial| {
            let mut layout = Layout::new(WINDOW, 60);
            layout.note(raw);
            layout.lay(&raw.series, WINDOW).unwrap();
            layout.finish(accept_partial)
        };
        assert!(matches!(finish(&body("{}", "[1]"), false), Err(WireError::Partial(said)) if said == "too slow"));
        for accept_partial in [false, true] {
            let finished = finish(&body("", ""), accept_partial);
            assert!(matches!(finished, Err(WireError::Failed(said)) if said == "too slow"), "{accept_partial}");
        }
    }

    #[test]
    fn what_a_failed_request_says_is_found_in_each_form() {
        for (body, expected) in [
            (r#"{"errors":["a","b"]}"#, Some("a; b")),
            (r#"{"error":"a"}"#, Some("a")),
            (r#"{"errors":[{"title":"Bad Request","detail":"no","status":"400"}]}"#, Some("Bad Request: no")),
            (r#"{"errors":[]}"#, None),
            (r#"{"status":"error"}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(failure(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn too_many_series_are_refused() {
        let body = |n: usize| format!(r#"{{"status":"ok","series":[{}]}}"#, vec![r#"{"pointlist":[]}"#; n].join(","));
        assert_eq!(parse_v1(body(MAX_SERIES).as_bytes()).unwrap().series.len(), MAX_SERIES);
        assert!(matches!(parse_v1(body(MAX_SERIES + 1).as_bytes()), Err(WireError::TooManySeries)));
        let long = Window { start: 0, end: 60 * 100_000, step_seconds: 60 };
        let raw = parse_v1(br#"{"status":"ok","series":[{"pointlist":[]}]}"#).unwrap();
        let many: Vec<_> = std::iter::repeat_with(|| RawSeries {
            query: 0,
            labels: BTreeMap::new(),
            times: Arc::clone(&raw.series[0].times),
            values: Vec::new(),
            interval: None,
        })
        .take(100)
        .collect();
        assert!(matches!(Layout::new(long, 60).lay(&many, long), Err(WireError::TooManySeries)));
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("\"ok\"".to_owned()),
            Just("\"error\"".to_owned()),
            Just("\"a:b\"".to_owned()),
            any::<f64>().prop_filter("JSON has no such number", |x| x.is_finite()).prop_map(|x| format!("{x:e}")),
            any::<i64>().prop_map(|x| x.to_string()),
            (500..1000_i64).prop_map(|x| (x * 1000).to_string()),
        ];
        leaf.prop_recursive(6, 60, 5, |inner| {
            let key = prop::sample::select(vec![
                "status",
                "data",
                "attributes",
                "series",
                "values",
                "times",
                "errors",
                "error",
                "tag_set",
                "group_tags",
                "query_index",
                "pointlist",
                "interval",
                "metrics",
                "meta",
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
            read_any(&bytes, WINDOW);
        }

        #[test]
        fn no_json_makes_the_reader_panic(
            body in json(),
            interval in json(),
            points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..20),
        ) {
            read_any(body.as_bytes(), WINDOW);
            let points: Vec<_> = points.iter().filter(|(t, v)| t.is_finite() && v.is_finite()).map(|(t, v)| format!("[{t:e},{v:e}]")).collect();
            let body = format!(r#"{{"status":"ok","series":[{{"interval":{interval},"pointlist":[{}]}}]}}"#, points.join(","));
            read_any(body.as_bytes(), WINDOW);
            let times: Vec<_> = points.iter().map(|point| point[1..].split(',').next().unwrap_or_default().to_owned()).collect();
            let times = times.join(",");
            read_any(format!(r#"{{"data":{{"attributes":{{"series":[{{"query_index":0}}],"times":[{times}],"values":[[{times}]]}}}}}}"#).as_bytes(), WINDOW);
        }

        #[test]
        fn a_reply_cut_anywhere_is_no_reply(cut in 0..200_usize, byte in any::<u8>()) {
            let mut body = br#"{"data":{"attributes":{"series":[{"group_tags":["a:b"],"query_index":0}],"times":[600000],"values":[[1]]}}}"#.to_vec();
            let at = cut % body.len();
            prop_assert!(parse_v2(&body[..at], 1).is_err());
            body[at] = byte;
            read_any(&body, WINDOW);
        }
    }
}
