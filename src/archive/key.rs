//! Ids as keys: any text a caller chose becomes one name that stays in its folder; and the ids we choose.

use std::borrow::Cow;

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::error::ArchiveError;

/// Longest id, in bytes as a key has it: file systems take names of 255, and some keys have a time before the id.
pub const MAX_ID_LENGTH: usize = 200;

/// Everything but letters, digits, `-` and `_`: no path, no hidden file, and nothing that a bucket treats specially.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Letters and digits of Crockford's base32, which leaves out those that are mistaken for others.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SHORT_ID_LENGTH: usize = 26;
const TIME_DIGITS: usize = 16;

/// The name of an id within its folder.
pub(super) fn escaped(id: &str) -> Result<String, ArchiveError> {
    let invalid = |reason: String| ArchiveError::InvalidId { shown: id.chars().take(40).collect(), reason };
    if id.is_empty() {
        return Err(invalid("it is empty; give at least one character".to_owned()));
    }
    // Escaping makes nothing shorter.
    let name = if id.len() <= MAX_ID_LENGTH { utf8_percent_encode(id, ESCAPED).to_string() } else { id.to_owned() };
    if name.len() > MAX_ID_LENGTH {
        let reason = format!(
            "it is {} bytes long as a key, where all but letters, digits, `-` and `_` count three, and {MAX_ID_LENGTH} are the most; \
             give a shorter one",
            name.len()
        );
        return Err(invalid(reason));
    }
    Ok(name)
}

/// The id that a name stands for; `None` for a name that [`escaped`] does not give.
pub(super) fn read(name: &str) -> Option<String> {
    let id = percent_decode_str(name).decode_utf8().ok().map(Cow::into_owned)?;
    escaped(&id).is_ok_and(|again| again == name).then_some(id)
}

/// A name that sorts before those of earlier times.
pub(super) fn in_time(time: Timestamp, name: &str) -> String {
    // Times are fewer than 2^63 milliseconds to either side of 1970.
    let inverted = i64::MAX.abs_diff(time.as_millisecond());
    format!("{inverted:0TIME_DIGITS$x}-{name}")
}

/// The place before all documents of a time, and after all that are at least a millisecond later.
#[must_use]
pub fn place_before(time: Timestamp) -> String {
    // No escaped name has such a character, and all sort before it.
    in_time(time.saturating_add(jiff::SignedDuration::from_millis(1)).unwrap_or(Timestamp::MAX), "~")
}

/// The id in a name of [`in_time`].
pub(super) fn read_in_time(name: &str) -> Option<String> {
    let (time, name) = name.split_at_checked(TIME_DIGITS)?;
    u64::from_str_radix(time, 16).ok()?;
    read(name.strip_prefix('-')?)
}

/// An id of 26 characters that sorts by time: a [ULID](https://github.com/ulid/spec) of `now`, to the millisecond, and 80 bits of
/// `random`.
#[must_use]
pub fn short_id(now: Timestamp, random: u128) -> String {
    let time = u128::from(now.as_millisecond().clamp(0, (1 << 48) - 1).unsigned_abs());
    let bits = time << 80 | random & ((1 << 80) - 1);
    (0..SHORT_ID_LENGTH).rev().map(|place| char::from(CROCKFORD[(bits >> (5 * place)) as usize & 31])).collect()
}

/// Whether the text has the form of a [`short_id`].
#[must_use]
pub fn is_short_id(text: &str) -> bool {
    text.len() == SHORT_ID_LENGTH && text.bytes().all(|byte| CROCKFORD.contains(&byte)) && text.as_bytes()[0] <= b'7'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_id_is_one_plain_name_that_reads_back(id in "\\PC{1,60}") {
            if let Ok(name) = escaped(&id) {
                prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_%".contains(&b)), "{name}");
                prop_assert_eq!(read(&name), Some(id.clone()));
                let filed = in_time(Timestamp::UNIX_EPOCH, &name);
                prop_assert_eq!(read_in_time(&filed), Some(id));
            }
        }

        #[test]
        fn later_sorts_first_and_short_ids_sort_by_time(a in 0_i64..=253_402_207_200_000, b in 0_i64..=253_402_207_200_000, random: u128) {
            prop_assume!(a < b);
            let [a, b] = [a, b].map(|time| Timestamp::from_millisecond(time).unwrap());
            prop_assert!(in_time(a, "x") > in_time(b, "x"));
            prop_assert!(short_id(a, random) < short_id(b, 0));
            prop_assert!(is_short_id(&short_id(a, random)));
        }

        #[test]
        fn names_that_are_not_ours_are_none(name in "\\PC{0,40}") {
            if let Some(id) = read(&name) {
                prop_assert_eq!(escaped(&id).unwrap(), name.as_str());
            }
            read_in_time(&name);
        }
    }

    #[test]
    fn an_id_that_is_no_name_is_refused_with_the_remedy() {
        for (id, part) in [(String::new(), "empty"), ("x".repeat(10_240), "10240"), ("ü".repeat(34), "204"), ("x".repeat(201), "shorter")]
        {
            let error = escaped(&id).unwrap_err().to_string();
            assert!(error.contains(part) && error.len() < 400, "{error}");
        }
        assert_eq!(escaped("../a.b").unwrap(), "%2E%2E%2Fa%2Eb");
    }

    #[test]
    fn times_before_1970_sort_last() {
        let [early, later] = [-5, 5].map(|time| in_time(Timestamp::from_millisecond(time).unwrap(), "x"));
        assert!(early > later && early.len() == later.len());
    }

    /// From the ULID specification: 01ARZ3NDEKTSV4RRFFQ69G5FAV is of 2016-07-30T23:54:10.259Z; the largest is 7ZZZZZZZZZZZZZZZZZZZZZZZZZ.
    #[test]
    fn a_short_id_is_a_ulid() {
        let time = Timestamp::from_millisecond(1_469_922_850_259).unwrap();
        let id = short_id(time, 0xD676_4C61_EFB9_9302_BD5B);
        assert_eq!(id, "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!(short_id(time, u128::MAX), "01ARZ3NDEKZZZZZZZZZZZZZZZZ");
        assert_eq!(short_id(Timestamp::from_millisecond(-1).unwrap(), 0), "0".repeat(26));
        for no_ulid in
            ["", "81ARZ3NDEKTSV4RRFFQ69G5FAV", "01arz3ndektsv4rrffq69g5fav", "01ARZ3NDEKTSV4RRFFQ69G5FAU", "01ARZ3NDEKTSV4RRFFQ69G5FA"]
        {
            assert!(!is_short_id(no_ulid), "{no_ulid}");
        }
    }
}
