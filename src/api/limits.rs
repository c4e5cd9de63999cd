//! The limits that this process keeps, as `GET /v1/limits` tells them and `docs/operations.md` lists their defaults.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::problem::LONGEST_TEXT;
use crate::judgements::id::MAX_ID_LENGTH;
use crate::settings::Settings;
use crate::source::http::{DEFAULT_MAX_CONCURRENT, DEFAULT_MAX_REPLY_BYTES};

/// Longest time a caller may ask to wait, in seconds.
pub(super) const LONGEST_WAIT: u64 = 600;

/// One limit.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ServiceLimit {
    /// Stable name.
    name: &'static str,
    /// How much it is.
    value: u64,
    /// What it counts.
    unit: LimitUnit,
    /// The setting that changes it, on the command line or in the settings file.
    #[serde(skip_serializing_if = "Option::is_none")]
    setting: Option<&'static str>,
    /// What becomes of what is beyond it.
    beyond: &'static str,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum LimitUnit {
    Number,
    Bytes,
    Seconds,
}

/// The limits that this process keeps.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ServiceLimits {
    /// From the connection to the answer.
    limits: Vec<ServiceLimit>,
}

impl ServiceLimits {
    /// The limits of a process with these settings.
    pub(super) fn of(settings: &Settings) -> Self {
        use LimitUnit::{Bytes, Number, Seconds};
        let (connections, per_address) = settings.connections.in_this_process();
        let (bodies, pace, executions) = (&settings.bodies, &settings.bodies.pace, &settings.executions);
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let time = |time: Duration| time.as_secs();
        let limit = |name, value, unit, setting: &'static str, beyond| {
            let setting = Some(setting).filter(|setting| !setting.is_empty());
            ServiceLimit { name, value, unit, setting, beyond }
        };
        let replaced = "the one without a request the longest is closed; where there is none, the newcomer is answered 503";
        let limits = vec![
            limit("connections", count(connections), Number, "--max-connections", replaced),
            limit("connections_per_address", count(per_address), Number, "--max-connections-per-address", replaced),
            limit("head_seconds", time(settings.connections.head_time), Seconds, "connections.head_timeout", "closed"),
            limit("idle_seconds", time(settings.connections.idle_time), Seconds, "connections.idle_timeout", "closed"),
            limit("write_seconds", time(settings.connections.write_time), Seconds, "connections.write_timeout", "closed"),
            limit("body_bytes", count(bodies.bytes), Bytes, "--max-body-bytes", "413"),
            limit("body_seconds", time(pace.time), Seconds, "connections.body_timeout", "408"),
            limit("body_bytes_per_second", pace.bytes_per_second.into(), Bytes, "connections.body_bytes_per_second", "less: 408"),
            limit("inline_points", count(bodies.max_inline_points), Number, "--max-inline-points", "413 or 422"),
            limit("points_per_arm", count(bodies.max_points), Number, "--max-points", "422"),
            limit("id_length", count(MAX_ID_LENGTH), Bytes, "", "no id: judged where it is waited for, else 422"),
            limit(
                "bytes_in_flight",
                settings.intake.memory_bytes,
                Bytes,
                "--max-bytes-in-flight",
                "503, before the body is read where its length tells",
            ),
            limit("seats", count(settings.intake.seats), Number, "", "waits"),
            limit(
                "seats_queue",
                count(settings.intake.queue),
                Number,
                "",
                "503, before the body is read; of a queue that stands, from twice as many on as there are seats",
            ),
            limit("judgements_per_source", count(executions.concurrent), Number, "--concurrent-analyses", "waits"),
            limit("judgements_waiting_per_source", count(executions.queue), Number, "--concurrent-analyses", "503"),
            limit(
                "deadline_seconds",
                time(executions.default_deadline),
                Seconds,
                "--deadline",
                "what has not arrived is an error of its metric",
            ),
            limit("background_deadline_seconds", time(executions.background_deadline), Seconds, "--background-deadline", "the same"),
            limit("wait_seconds", LONGEST_WAIT, Seconds, "", "400"),
            limit("queries_per_judgement", count(settings.limits.concurrent_queries), Number, "--concurrent-queries", "waits"),
            limit("requests_per_source", DEFAULT_MAX_CONCURRENT.into(), Number, "sources.NAME.max_concurrent", "waits"),
            limit("reply_bytes", DEFAULT_MAX_REPLY_BYTES, Bytes, "sources.NAME.max_reply_bytes", "an error of its metric"),
            limit("cache_bytes", settings.cache_bytes, Bytes, "--cache-bytes", "what was asked for longest ago is forgotten"),
            limit(
                "remembered_bytes",
                executions.remembered_bytes,
                Bytes,
                "",
                "what was asked for longest ago is forgotten, and judged again when it is asked for",
            ),
            limit("remembered_seconds", time(executions.remembered_for), Seconds, "", "forgotten, and judged again when it is asked for"),
            limit("error_bytes", count(LONGEST_TEXT), Bytes, "", "the text of an error is cut"),
            limit("shutdown_seconds", time(settings.shutdown_grace), Seconds, "--shutdown-grace", "cut off"),
        ];
        Self { limits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_documentation_is_that_of_the_defaults() {
        let document = include_str!("../../docs/operations.md");
        let limits = ServiceLimits::of(&Settings::default()).limits;
        for ServiceLimit { name, value, setting, beyond, .. } in &limits {
            // The machine decides.
            let value = match *name {
                "connections" => "by the limit of open files".to_owned(),
                "connections_per_address" => "half of all".to_owned(),
                "seats" => "3 for each core".to_owned(),
                _ => value.to_string(),
            };
            let setting = setting.map(|setting| format!("`{setting}`")).unwrap_or_default();
            let row = format!("| `{name}` | {value} | {setting} | {beyond} |").replace("|  |", "| |");
            assert!(document.lines().any(|line| line == row), "docs/operations.md has no row\n{row}");
        }
        let rows = document.lines().filter(|line| limits.iter().any(|limit| line.starts_with(&format!("| `{}` |", limit.name))));
        assert_eq!(rows.count(), limits.len());
    }
}
