//! Instants as Kayenta's clients write and read them.

use jiff::Timestamp;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A moment: RFC 3339 with any offset, with or without fractions of a second, or a number of seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub Timestamp);

impl Instant {
    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong with it, and how an instant is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(Self(moment));
        }
        let seconds = text.parse::<f64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
        seconds.and_then(Self::from_seconds).ok_or_else(|| {
            format!("`{}` is no instant; write it like `2026-03-01T10:00:00Z` or `2026-03-01T11:00:00+01:00`", super::refusal::shown(text))
        })
    }

    fn from_seconds(seconds: f64) -> Option<Self> {
        // Years 0 to 9999, which leaves room for windows and offsets on both sides.
        if !(-62_167_219_200.0..253_402_300_800.0).contains(&seconds) {
            return None;
        }
        Timestamp::from_millisecond((seconds * 1000.0).round() as i64).ok().map(Self)
    }

    /// Seconds since 1970, fractions dropped.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.as_millisecond().div_euclid(1000)
    }
}

/// The text that Java gives an instant: UTC, with 0, 3, 6 or 9 digits after the seconds.
#[must_use]
pub fn java_text(moment: Timestamp) -> String {
    let nanos = moment.subsec_nanosecond().rem_euclid(1_000_000_000);
    let digits = match nanos {
        0 => 0,
        n if n % 1_000_000 == 0 => 3,
        n if n % 1_000 == 0 => 6,
        _ => 9,
    };
    format!("{moment:.digits$}")
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InstantVisitor;
        impl Visitor<'_> for InstantVisitor {
            type Value = Instant;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an instant such as `2026-03-01T10:00:00Z`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Instant, E> {
                Instant::parse(text).map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Instant, E> {
                Instant::from_seconds(seconds).ok_or_else(|| E::custom(format!("{seconds} is no number of seconds since 1970")))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Instant, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Instant, E> {
                self.visit_f64(seconds as f64)
            }
        }
        deserializer.deserialize_any(InstantVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_write_one_moment_is_read() {
        let noon = 1_772_366_400;
        for value in [
            json!("2026-03-01T12:00:00Z"),
            json!("2026-03-01T14:00:00+02:00"),
            json!("2026-03-01T12:00:00.000Z"),
            json!("2026-03-01T06:30:00.5-05:30"),
            json!("1772366400"),
            json!(noon),
            json!(1_772_366_400.25),
        ] {
            assert_eq!(serde_json::from_value::<Instant>(value.clone()).map(Instant::seconds).ok(), Some(noon), "{value}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_the_value() {
        for value in [json!("yesterday"), json!("2026-03-01"), json!(""), json!(1e300), json!("1e300"), json!(true), json!([1])] {
            assert!(serde_json::from_value::<Instant>(value.clone()).is_err(), "{value}");
        }
        assert!(Instant::parse("yester\"day").unwrap_err().contains("yester"));
    }

    #[test]
    fn a_moment_is_written_as_java_writes_it() {
        for text in ["2026-03-01T11:00:05Z", "2026-03-01T11:00:05.120Z", "2026-03-01T11:00:05.000123Z", "2026-03-01T11:00:05.000000009Z"] {
            assert_eq!(java_text(text.parse().unwrap()), text);
        }
    }
}
