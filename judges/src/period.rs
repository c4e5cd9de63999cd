//! A length of time as configs and requests write it: `90s`, `5m`, `1h30m`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// A whole number of seconds, written as `90s`, `5m`, `1h30m` or `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u64);

/// Longest period that is accepted: ten years of seconds.
const LONGEST: u64 = 315_360_000;

impl Period {
    /// A period of so many seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Its length for timers.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_duration(self.duration()).to_string();
        f.write_str(&text.replace(' ', ""))
    }
}

/// A text that is no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time in whole seconds; write it like `90s`, `5m` or `1h30m`")]
pub struct InvalidPeriod(String);

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let invalid = || InvalidPeriod(text.chars().take(40).collect());
        let duration = humantime::parse_duration(text.trim()).map_err(|_| invalid())?;
        if duration.subsec_nanos() != 0 || duration.as_secs() > LONGEST {
            return Err(invalid());
        }
        Ok(Self(duration.as_secs()))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time in whole seconds, such as `90s`, `5m` or `1h30m`.",
            "examples": ["90s", "5m", "1h30m"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Period;

    #[test]
    fn what_is_written_reads_back() {
        for seconds in [0, 1, 59, 60, 90, 300, 5400, 86_400, 172_861] {
            let period = Period::from_seconds(seconds);
            assert_eq!(period.to_string().parse(), Ok(period), "{period}");
        }
    }

    #[test]
    fn a_bare_number_or_half_a_second_is_refused() {
        for text in ["", "5", "1.5s", "500ms", "-5m", "5 parsecs", "99999999999999999999s"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
