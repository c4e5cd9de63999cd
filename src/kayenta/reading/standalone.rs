//! Kayenta's standalone analysis: one request, judged again and again over growing or sliding windows.

use std::collections::BTreeMap;

use haldane_judges::config::MAX_METRICS;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::model::ScoreThresholds;
use crate::kayenta::wire::instant::{Instant, java_text};
use crate::kayenta::wire::lenient;
use crate::kayenta::wire::refusal::Refusal;
use crate::kayenta::wire::values::without_nulls;

/// Most judgements of one analysis.
pub const MAX_JUDGEMENTS: u32 = 1000;
/// Longest time that may be asked for: a year of minutes.
const MAX_MINUTES: i64 = 366 * 24 * 60;

/// Kayenta's `CanaryAnalysisExecutionRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisRequest {
    document: Value,
    view: AnalysisFields,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AnalysisFields {
    #[serde(deserialize_with = "lenient::objects")]
    scopes: Vec<AnalysisScope>,
    #[serde(deserialize_with = "lenient::optional_object")]
    thresholds: Option<ScoreThresholds>,
    #[serde(deserialize_with = "lenient::optional_whole")]
    lifetime_duration_mins: Option<i64>,
    #[serde(deserialize_with = "lenient::whole")]
    begin_after_mins: i64,
    #[serde(deserialize_with = "lenient::whole")]
    lookback_mins: i64,
    #[serde(deserialize_with = "lenient::optional_whole")]
    analysis_interval_mins: Option<i64>,
    site_local: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AnalysisScope {
    #[serde(deserialize_with = "lenient::text")]
    scope_name: String,
    #[serde(deserialize_with = "lenient::text")]
    control_scope: String,
    #[serde(deserialize_with = "lenient::text")]
    control_location: String,
    #[serde(deserialize_with = "lenient::whole")]
    control_offset_in_minutes: i64,
    #[serde(deserialize_with = "lenient::text")]
    experiment_scope: String,
    #[serde(deserialize_with = "lenient::text")]
    experiment_location: String,
    start_time_iso: Option<Instant>,
    end_time_iso: Option<Instant>,
    #[serde(deserialize_with = "lenient::whole")]
    step: i64,
    #[serde(deserialize_with = "lenient::text_map")]
    extended_scope_params: BTreeMap<String, String>,
}

impl Default for AnalysisScope {
    fn default() -> Self {
        Self {
            scope_name: "default".to_owned(),
            control_scope: String::new(),
            control_location: String::new(),
            control_offset_in_minutes: 0,
            experiment_scope: String::new(),
            experiment_location: String::new(),
            start_time_iso: None,
            end_time_iso: None,
            step: 60,
            extended_scope_params: BTreeMap::new(),
        }
    }
}

/// When an analysis judges, and over which windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// When the analysis was asked for.
    pub created: Timestamp,
    /// Where the first window starts, warm-up left out.
    pub start: Timestamp,
    /// Whether the times lie in the past by the caller's word, so that nothing is waited for.
    pub retrospective: bool,
    /// Minutes before the first window.
    pub warmup_minutes: i64,
    /// Minutes from one judgement to the next.
    pub interval_minutes: i64,
    /// Minutes that each window looks back; 0 for windows that grow from the start.
    pub lookback_minutes: i64,
    /// Minutes of all intervals together.
    pub lifetime_minutes: i64,
    /// How many judgements there are; at least one.
    pub judgements: u32,
}

impl AnalysisRequest {
    /// Reads a document.
    ///
    /// # Errors
    /// [`Refusal`] with the pointer of the first field that does not fit.
    pub fn from_value(document: Value) -> Result<Self, Refusal> {
        if !document.is_object() {
            return Err(Refusal::at("", "an analysis request is an object with `scopes` and `thresholds`"));
        }
        let view = lenient::read(&document)?;
        Ok(Self { document, view })
    }

    /// The document as it was sent.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The document as Kayenta shows it with an analysis, its defaults filled in.
    #[must_use]
    pub fn shown(&self) -> Value {
        let Value::Object(mut shown) = without_nulls(self.document.clone()) else { return Value::Null };
        let minutes = [
            ("lifetimeDurationMins", self.view.lifetime_duration_mins),
            ("beginAfterMins", Some(self.view.begin_after_mins)),
            ("lookbackMins", Some(self.view.lookback_mins)),
            ("analysisIntervalMins", self.view.analysis_interval_mins),
        ];
        shown.extend(minutes.into_iter().filter_map(|(field, minutes)| Some((field.to_owned(), minutes?.into()))));
        if let Some(ScoreThresholds { pass, marginal }) = self.view.thresholds {
            shown.insert("thresholds".to_owned(), json!({ "pass": pass, "marginal": marginal }));
        }
        let scopes = shown.get_mut("scopes").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut);
        for (shown, scope) in scopes.zip(&self.view.scopes) {
            shown.insert("scopeName".to_owned(), scope.scope_name.clone().into());
            shown.insert("controlOffsetInMinutes".to_owned(), scope.control_offset_in_minutes.into());
            shown.insert("step".to_owned(), scope.step.into());
            shown.insert("extendedScopeParams".to_owned(), json!(scope.extended_scope_params));
        }
        shown.into()
    }

    /// The score limits.
    ///
    /// # Errors
    /// [`Refusal`] where there are none, or they are not finite.
    pub fn thresholds(&self) -> Result<ScoreThresholds, Refusal> {
        super::request::required(self.view.thresholds)
    }

    /// When it judges, if it was asked for at `created`.
    ///
    /// # Errors
    /// [`Refusal`] for times that make no interval, or too many.
    pub fn schedule(&self, created: Timestamp) -> Result<Schedule, Refusal> {
        let view = &self.view;
        let Some(first) = view.scopes.first() else {
            return Err(Refusal::at("/scopes", "is empty; an analysis needs at least one scope"));
        };
        if view.scopes.len() > MAX_METRICS {
            return Err(Refusal::at("/scopes", format!("{} scopes are more than {MAX_METRICS}; give fewer", view.scopes.len())));
        }
        for (field, minutes) in [
            ("lifetimeDurationMins", view.lifetime_duration_mins.unwrap_or(0)),
            ("beginAfterMins", view.begin_after_mins),
            ("lookbackMins", view.lookback_mins),
            ("analysisIntervalMins", view.analysis_interval_mins.unwrap_or(0)),
        ] {
            if !(0..=MAX_MINUTES).contains(&minutes) {
                return Err(Refusal::at(
                    format!("/{field}"),
                    format!("{minutes} minutes is too much or too little; give 0 to {MAX_MINUTES}"),
                ));
            }
        }
        for (i, scope) in view.scopes.iter().enumerate() {
            let minutes = scope.control_offset_in_minutes;
            if !(-MAX_MINUTES..=MAX_MINUTES).contains(&minutes) {
                return Err(Refusal::at(format!("/scopes/{i}/controlOffsetInMinutes"), format!("{minutes} minutes is more than a year")));
            }
        }
        let start = first.start_time_iso.map_or(created, |instant| instant.0);
        let end = first.end_time_iso.map(|instant| instant.0);
        let lifetime_minutes = match (end, view.lifetime_duration_mins) {
            (Some(end), _) => end.duration_since(start).as_mins(),
            (None, Some(minutes)) => minutes,
            (None, None) => {
                let message = "is missing; give it, or an endTimeIso in the first scope";
                return Err(Refusal::at("/lifetimeDurationMins", message));
            }
        };
        if lifetime_minutes < 1 {
            let pointer = if end.is_some() { "/scopes/0/endTimeIso" } else { "/lifetimeDurationMins" };
            return Err(Refusal::at(pointer, format!("leaves {lifetime_minutes} whole minutes to judge; give at least 1")));
        }
        let interval_minutes = match view.analysis_interval_mins {
            Some(minutes) if minutes > 0 && minutes <= lifetime_minutes => minutes,
            _ => lifetime_minutes,
        };
        let judgements = u32::try_from(lifetime_minutes / interval_minutes).ok().filter(|n| *n <= MAX_JUDGEMENTS);
        let Some(judgements) = judgements else {
            let message = format!("{interval_minutes} makes more than {MAX_JUDGEMENTS} judgements; give a longer interval");
            return Err(Refusal::at("/analysisIntervalMins", message));
        };
        Ok(Schedule {
            created,
            start,
            retrospective: end.is_some(),
            warmup_minutes: view.begin_after_mins,
            interval_minutes,
            lookback_minutes: view.lookback_mins,
            lifetime_minutes,
            judgements,
        })
    }

    /// The baseline's window of one judgement, counted from 1, in the first scope.
    ///
    /// # Errors
    /// [`Refusal`] where its times are beyond the calendar.
    pub fn control_window(&self, schedule: &Schedule, number: u32) -> Result<(Timestamp, Timestamp), Refusal> {
        let (start, end) = schedule.window(number)?;
        let earlier = self.view.scopes.first().map_or(0, |scope| scope.control_offset_in_minutes);
        Ok((later(start, -earlier)?, later(end, -earlier)?))
    }

    /// The `CanaryExecutionRequest` of one judgement, counted from 1.
    ///
    /// # Errors
    /// [`Refusal`] where its times are beyond the calendar.
    pub fn judgement(&self, schedule: &Schedule, number: u32) -> Result<Value, Refusal> {
        let (start, end) = schedule.window(number)?;
        let step = self.view.scopes.first().map_or(60, |scope| scope.step);
        let mut scopes = Map::new();
        for scope in &self.view.scopes {
            let arm = |name: &str, location: &str, earlier: i64| {
                let (start, end) = (later(start, -earlier)?, later(end, -earlier)?);
                let mut arm = json!({ "scope": name, "start": java_text(start), "end": java_text(end), "step": step });
                if !location.is_empty() {
                    arm["location"] = json!(location);
                }
                if !scope.extended_scope_params.is_empty() {
                    arm["extendedScopeParams"] = json!(scope.extended_scope_params);
                }
                Ok::<_, Refusal>(arm)
            };
            let control = arm(&scope.control_scope, &scope.control_location, scope.control_offset_in_minutes)?;
            let experiment = arm(&scope.experiment_scope, &scope.experiment_location, 0)?;
            scopes.insert(scope.scope_name.clone(), json!({ "controlScope": control, "experimentScope": experiment }));
        }
        let thresholds = self.thresholds()?;
        let mut request = json!({ "scopes": scopes, "thresholds": { "pass": thresholds.pass, "marginal": thresholds.marginal } });
        if let Some(site_local) = &self.view.site_local {
            request["siteLocal"] = site_local.clone();
        }
        Ok(request)
    }
}

impl Schedule {
    /// The canary's window of one judgement, counted from 1.
    ///
    /// # Errors
    /// [`Refusal`] where it is beyond the calendar.
    pub fn window(&self, number: u32) -> Result<(Timestamp, Timestamp), Refusal> {
        let warmup = if self.retrospective { 0 } else { self.warmup_minutes };
        let start = later(self.start, warmup)?;
        let end = later(start, self.interval_minutes.saturating_mul(i64::from(number)))?;
        let start = if self.lookback_minutes > 0 { later(end, -self.lookback_minutes)? } else { start };
        Ok((start, end))
    }

    /// When the warm-up is over.
    ///
    /// # Errors
    /// [`Refusal`] where that is beyond the calendar.
    pub fn warm(&self) -> Result<Timestamp, Refusal> {
        later(self.created, self.warmup_minutes)
    }

    /// When one judgement, counted from 1, is made: after the warm-up and so many intervals, or at once where it is retrospective.
    ///
    /// # Errors
    /// [`Refusal`] where that is beyond the calendar.
    pub fn due(&self, number: u32) -> Result<Timestamp, Refusal> {
        if self.retrospective {
            return Ok(self.created);
        }
        later(self.created, self.interval_minutes.saturating_mul(i64::from(number)).saturating_add(self.warmup_minutes))
    }
}

fn later(moment: Timestamp, minutes: i64) -> Result<Timestamp, Refusal> {
    let seconds = minutes.saturating_mul(60);
    moment
        .checked_add(SignedDuration::from_secs(seconds))
        .map_err(|_| Refusal::invalid(format!("{minutes} minutes after {moment} is beyond the calendar")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = "2026-03-01T10:00:30Z";

    fn schedule(request: Value) -> Result<(AnalysisRequest, Schedule), Refusal> {
        let request = AnalysisRequest::from_value(request)?;
        let schedule = request.schedule(CREATED.parse().unwrap())?;
        Ok((request, schedule))
    }

    fn windows(request: Value) -> Vec<(String, String, String)> {
        let (_, schedule) = schedule(request).unwrap();
        let row = |number| {
            let (start, end) = schedule.window(number).unwrap();
            (java_text(start), java_text(end), java_text(schedule.due(number).unwrap()))
        };
        (1..=schedule.judgements).map(row).collect()
    }

    fn rows(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
        let full = |time: &str| format!("2026-03-01T{time}Z");
        rows.iter().map(|(start, end, due)| (full(start), full(end), full(due))).collect()
    }

    #[test]
    fn windows_grow_from_the_end_of_the_warm_up_and_are_judged_as_they_end() {
        let request = json!({
            "scopes": [{ "controlScope": "a", "experimentScope": "b" }], "thresholds": { "pass": 90, "marginal": 60 },
            "lifetimeDurationMins": 50, "beginAfterMins": 5, "analysisIntervalMins": 15
        });
        let expected = [("10:05:30", "10:20:30", "10:20:30"), ("10:05:30", "10:35:30", "10:35:30"), ("10:05:30", "10:50:30", "10:50:30")];
        assert_eq!(windows(request), rows(&expected));
    }

    #[test]
    fn with_a_lookback_windows_slide() {
        let request = json!({ "scopes": [{}], "lifetimeDurationMins": "30", "lookbackMins": 10, "analysisIntervalMins": 15 });
        assert_eq!(windows(request), rows(&[("10:05:30", "10:15:30", "10:15:30"), ("10:20:30", "10:30:30", "10:30:30")]));
    }

    #[test]
    fn with_an_end_nothing_is_waited_for_and_no_warm_up_is_added() {
        let request = json!({
            "scopes": [{ "startTimeIso": "2026-03-01T08:00:00Z", "endTimeIso": "2026-03-01T08:59:59Z" }],
            "beginAfterMins": 5, "analysisIntervalMins": 20, "lifetimeDurationMins": 500
        });
        assert_eq!(windows(request), rows(&[("08:00:00", "08:20:00", "10:00:30"), ("08:00:00", "08:40:00", "10:00:30")]));
    }

    #[test]
    fn an_interval_of_nothing_or_beyond_the_lifetime_is_the_lifetime() {
        for interval in [json!(null), json!(0), json!(31)] {
            let (_, schedule) = schedule(json!({ "scopes": [{}], "lifetimeDurationMins": 30, "analysisIntervalMins": interval })).unwrap();
            assert_eq!((schedule.interval_minutes, schedule.judgements), (30, 1), "{interval}");
        }
    }

    #[test]
    fn one_judgement_is_an_execution_request_with_the_offset_and_the_first_scopes_step() {
        let (request, schedule) = schedule(json!({
            "scopes": [
                { "controlScope": "a", "controlLocation": "eu", "experimentScope": "b", "controlOffsetInMinutes": 60, "step": 30 },
                { "scopeName": "edge", "controlScope": "c", "experimentScope": "d", "step": 10, "extendedScopeParams": { "zone": "x", "none": null } }
            ],
            "thresholds": { "pass": 90, "marginal": 60 }, "lifetimeDurationMins": 30, "siteLocal": { "team": "pay" }
        }))
        .unwrap();
        let expected = json!({
            "scopes": {
                "default": {
                    "controlScope": { "scope": "a", "location": "eu", "start": "2026-03-01T09:00:30Z", "end": "2026-03-01T09:30:30Z", "step": 30 },
                    "experimentScope": { "scope": "b", "start": "2026-03-01T10:00:30Z", "end": "2026-03-01T10:30:30Z", "step": 30 }
                },
                "edge": {
                    "controlScope": { "scope": "c", "start": "2026-03-01T10:00:30Z", "end": "2026-03-01T10:30:30Z", "step": 30, "extendedScopeParams": { "zone": "x" } },
                    "experimentScope": { "scope": "d", "start": "2026-03-01T10:00:30Z", "end": "2026-03-01T10:30:30Z", "step": 30, "extendedScopeParams": { "zone": "x" } }
                }
            },
            "thresholds": { "pass": 90.0, "marginal": 60.0 },
            "siteLocal": { "team": "pay" }
        });
        assert_eq!(request.judgement(&schedule, 1), Ok(expected));
    }

    #[test]
    fn times_that_make_no_interval_are_refused_by_name() {
        let late = json!([{ "startTimeIso": "2026-03-01T09:00:00Z", "endTimeIso": "2026-03-01T08:00:00Z" }]);
        for (request, named) in [
            (json!({ "scopes": [], "lifetimeDurationMins": 30 }), "/scopes:"),
            (json!({ "lifetimeDurationMins": 30 }), "/scopes:"),
            (json!({ "scopes": [{}] }), "/lifetimeDurationMins:"),
            (json!({ "scopes": [{}], "lifetimeDurationMins": 0 }), "/lifetimeDurationMins:"),
            (json!({ "scopes": [{}], "lifetimeDurationMins": 1e12 }), "/lifetimeDurationMins:"),
            (json!({ "scopes": [{}], "lifetimeDurationMins": 30, "beginAfterMins": -1 }), "/beginAfterMins:"),
            (json!({ "scopes": [{}], "lifetimeDurationMins": 5000, "analysisIntervalMins": 1 }), "/analysisIntervalMins:"),
            (json!({ "scopes": late }), "/scopes/0/endTimeIso:"),
            (json!({ "scopes": [{ "startTimeIso": "soon" }], "lifetimeDurationMins": 5 }), "/scopes/0/startTimeIso:"),
        ] {
            let refusal = schedule(request.clone()).unwrap_err();
            assert!(refusal.message().starts_with(named), "{request}: {refusal}");
        }
    }
}
