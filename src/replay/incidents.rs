//! Known incidents, by which recorded windows are labelled.

use std::io::Read;

use jiff::Timestamp;
use serde::Deserialize;

use super::case::Label;

/// Most incidents that are read.
const MAX_INCIDENTS: usize = 100_000;

/// A time in which something was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Incident {
    start: Timestamp,
    end: Timestamp,
    /// The canary's scope that it concerns; `None` where it concerns any.
    scope: Option<String>,
    label: IncidentLabel,
    /// The metrics that it touched, where that is known.
    metrics: Vec<String>,
}

/// What windows within it are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum IncidentLabel {
    Regressed,
    Healthy,
    Unknown,
}

/// A line as it is written.
#[derive(Deserialize)]
struct IncidentRow {
    start: String,
    end: String,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    metrics: Option<String>,
}

/// Incidents from CSV with a head: `start`, `end` (RFC 3339), and where wanted `scope`, `label` (`regressed`, `healthy` or `unknown`) and
/// `metrics`, with semicolons between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incidents(Vec<Incident>);

impl Incidents {
    /// Reads CSV.
    ///
    /// # Errors
    /// Line, field, value and remedy of the first thing that cannot be read.
    pub fn read(reader: impl Read) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(reader);
        let head = reader.headers().map_err(|error| error.to_string())?.clone();
        for needed in ["start", "end"] {
            if !head.iter().any(|column| column == needed) {
                return Err(format!("line 1: there is no column `{needed}`; begin with start,end[,scope,label,metrics]"));
            }
        }
        let mut all = Vec::new();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| error.to_string())? {
            let line = record.position().map_or(0, csv::Position::line);
            let row: IncidentRow = record.deserialize(Some(&head)).map_err(|error| format!("line {line}: {error}"))?;
            all.push(incident(row).map_err(|problem| format!("line {line}: {problem}"))?);
            if all.len() > MAX_INCIDENTS {
                return Err(format!("line {line}: more than {MAX_INCIDENTS} incidents; give those of the period"));
            }
        }
        Ok(Self(all))
    }

    /// What a window of a canary is: as the incident says that covers at least half of it, or half of which it covers; healthy where none
    /// touches it; and unknown where one only does that. With the metrics that were touched, where that is known.
    #[must_use]
    pub fn label(&self, scope: &str, start: Timestamp, end: Timestamp) -> (Option<Label>, Option<Vec<String>>) {
        let seconds = |from: Timestamp, to: Timestamp| to.as_second() - from.as_second();
        let (mut touched, mut unknown, mut regressed, mut metrics) = (false, false, false, Vec::new());
        let mut known = true;
        for incident in self.0.iter().filter(|incident| incident.scope.as_ref().is_none_or(|of| of == scope)) {
            let shared = seconds(start.max(incident.start), end.min(incident.end));
            if shared <= 0 || incident.label == IncidentLabel::Healthy {
                continue;
            }
            touched = true;
            let needed = seconds(start, end).min(seconds(incident.start, incident.end));
            match incident.label {
                IncidentLabel::Unknown => unknown = true,
                _ if shared * 2 < needed => {}
                _ => {
                    regressed = true;
                    known &= !incident.metrics.is_empty();
                    metrics.extend(incident.metrics.iter().cloned());
                }
            }
        }
        metrics.sort();
        metrics.dedup();
        match (regressed, unknown, touched) {
            (true, false, _) => (Some(Label::Regressed), Some(metrics).filter(|_| known)),
            (false, false, false) => (Some(Label::Healthy), None),
            _ => (None, None),
        }
    }
}

fn incident(row: IncidentRow) -> Result<Incident, String> {
    let time = |field: &str, text: &str| {
        text.parse::<Timestamp>()
            .map_err(|_| format!("{field}: `{}` is no time; write it like 2026-01-31T10:00:00Z", text.chars().take(60).collect::<String>()))
    };
    let (start, end) = (time("start", &row.start)?, time("end", &row.end)?);
    if end <= start {
        return Err(format!("end: {end} is not after the start, {start}"));
    }
    let label = match row.label.as_deref().unwrap_or("regressed") {
        "" | "regressed" => IncidentLabel::Regressed,
        "healthy" => IncidentLabel::Healthy,
        "unknown" => IncidentLabel::Unknown,
        other => {
            let shown: String = other.chars().take(60).collect();
            return Err(format!("label: `{shown}` is none of regressed, healthy and unknown"));
        }
    };
    let metrics = row.metrics.unwrap_or_default();
    let metrics = metrics.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Ok(Incident { start, end, scope: row.scope.filter(|scope| !scope.is_empty()), label, metrics })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + 60 * minute).unwrap()
    }

    #[test]
    fn a_window_is_what_the_incident_in_half_of_it_says() {
        let text = "start,end,scope,label,metrics\n\
            2026-01-01T01:00:00Z,2026-01-01T02:00:00Z,,,errors; latency\n\
            2026-01-01T03:00:00Z,2026-01-01T03:05:00Z,other,regressed,\n\
            2026-01-01T04:00:00Z,2026-01-01T05:00:00Z,,unknown,\n";
        let incidents = Incidents::read(text.as_bytes()).unwrap();
        let of = |start: i64, end: i64| incidents.label("web", at(start), at(end));
        assert_eq!(of(0, 30), (Some(Label::Healthy), None));
        assert_eq!(of(60, 90), (Some(Label::Regressed), Some(vec!["errors".to_owned(), "latency".to_owned()])));
        // A tenth of the window says nothing of the whole.
        assert_eq!(of(33, 63), (None, None));
        assert_eq!(of(45, 75).0, Some(Label::Regressed));
        assert_eq!(of(180, 210), (Some(Label::Healthy), None));
        // The whole incident lies in the window.
        assert_eq!(incidents.label("other", at(170), at(230)).0, Some(Label::Regressed));
        assert_eq!(of(250, 280), (None, None));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (text, expected) in [
            ("from,to\n", "line 1: there is no column `start`"),
            ("start,end\n2026-01-01T00:00:00Z,soon\n", "line 2: end: `soon` is no time"),
            ("start,end\n2026-01-01T00:00:00Z,2025-01-01T00:00:00Z\n", "line 2: end: 2025-01-01T00:00:00Z is not after the start"),
            ("start,end,label\n2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,bad\n", "line 2: label: `bad` is none of"),
        ] {
            let error = Incidents::read(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
