//! Ids: a judgement's id is its request, compressed and signed, so that any replica that knows the key can answer for it.
//!
//! An id is base64url text, without padding, of
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format version |
//! | 1 | number of the built-in dictionary, which also says what kind of request it is |
//! | 8 | creation time, Unix seconds, big-endian |
//! | 8 | random, so that two requests never share an id |
//! | 4 | length of the request's JSON, big-endian |
//! | n | zstd frame of that JSON, which declares the same length |
//! | 32 | HMAC-SHA-256 of everything before |
//!
//! The tag is verified before anything else is believed, except the version: a newer version may lay out the rest otherwise.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe;

use crate::analysis::Request;

/// Longest id, in characters: proxies cut URLs near 8 KB.
pub const MAX_ID_LENGTH: usize = 6_144;
/// Largest request that an id may hold, in bytes of JSON.
pub const MAX_REQUEST_BYTES: usize = 256 * 1024;
/// Fewest bytes of a key.
pub const MIN_KEY_BYTES: usize = 32;

const VERSION: u8 = 1;
/// Formats to come soon. A higher number in a text too short for a tag is no version but the text of something else, such as a UUID,
/// whose sender should not be told to ask again.
const NEAR_VERSION: u8 = 15;
/// Compresses a typical config in a tenth of a millisecond.
const LEVEL: i32 = 3;
/// Takes a hundred times as long for a fifth less: for requests whose id would else be too long.
const STRONG_LEVEL: i32 = 19;
/// Frames that the strong level makes short enough are at most so much longer at the other one.
const WORTH_MORE: f64 = 1.35;
const HEADER: usize = 1 + 1 + 8 + 8 + 4;
const TAG: usize = 32;

/// What an id can hold. Each kind has a dictionary of its own, so that no id is taken for one of another kind.
pub trait IdContent: Serialize + DeserializeOwned {
    /// The dictionary it is compressed with.
    const DICTIONARY: Dictionary;
}

impl IdContent for Request {
    const DICTIONARY: Dictionary = Dictionary::Request;
}

/// Raw-content dictionaries. Ids in use were compressed with them, so none must ever change; a better one gets the next number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dictionary {
    /// No. 1, for [`Request`]. Made from `dictionary-1.json` by the ignored test below.
    Request,
    /// No. 2, for what is asked through Kayenta's API. Made from `dictionary-2.json` likewise.
    Kayenta,
}

const DICTIONARY_1: &[u8] = include_bytes!("id/dictionary-1.bin");
const DICTIONARY_2: &[u8] = include_bytes!("id/dictionary-2.bin");

static ENCODER_1: LazyLock<Encoders> = LazyLock::new(|| Encoders::of(DICTIONARY_1));
static DECODER_1: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_1));
static ENCODER_2: LazyLock<Encoders> = LazyLock::new(|| Encoders::of(DICTIONARY_2));
static DECODER_2: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_2));

/// A dictionary made ready for both levels.
struct Encoders {
    fast: EncoderDictionary<'static>,
    strong: EncoderDictionary<'static>,
}

impl Encoders {
    fn of(dictionary: &[u8]) -> Self {
        let at = |level| EncoderDictionary::copy(dictionary, level);
        Self { fast: at(LEVEL), strong: at(STRONG_LEVEL) }
    }

    /// The frame of some JSON: the shorter one where the longer would make an id that is too long, and the shorter might not.
    fn compress(&self, json: &[u8]) -> io::Result<Vec<u8>> {
        let with = |dictionary| Compressor::with_prepared_dictionary(dictionary)?.compress(json);
        let fast = with(&self.fast)?;
        let (length, most) = (id_length(fast.len()), MAX_ID_LENGTH);
        if length <= most || length as f64 > most as f64 * WORTH_MORE { Ok(fast) } else { with(&self.strong) }
    }
}

/// Characters of the id around a frame of so many bytes.
fn id_length(frame: usize) -> usize {
    ((HEADER + frame + TAG) * 4).div_ceil(3)
}

impl Dictionary {
    fn number(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Kayenta => 2,
        }
    }

    fn encoders(self) -> &'static Encoders {
        match self {
            Self::Request => &ENCODER_1,
            Self::Kayenta => &ENCODER_2,
        }
    }

    fn decoder(self) -> &'static DecoderDictionary<'static> {
        match self {
            Self::Request => &DECODER_1,
            Self::Kayenta => &DECODER_2,
        }
    }
}

/// The key that signs ids. Replicas that answer for each other share one.
#[derive(Clone)]
pub struct IdKey(Hmac<Sha256>);

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey(..)")
    }
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKey {
    /// The file cannot be read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// The file holds too little.
    #[error("holds {0} bytes, and a key has at least {MIN_KEY_BYTES}; write one with `openssl rand -base64 48`")]
    TooShort(usize),
}

impl IdKey {
    /// Reads a key from a file; white space around it does not count.
    ///
    /// # Errors
    /// [`InvalidKey`] when the file cannot be read or holds less than [`MIN_KEY_BYTES`].
    pub fn from_file(path: &Path) -> Result<Self, InvalidKey> {
        Self::from_bytes(std::fs::read(path).map_err(InvalidKey::Unreadable)?.trim_ascii())
    }

    /// A key of these bytes.
    ///
    /// # Errors
    /// [`InvalidKey::TooShort`] for less than [`MIN_KEY_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        if bytes.len() < MIN_KEY_BYTES {
            return Err(InvalidKey::TooShort(bytes.len()));
        }
        // HMAC takes keys of any length; the error exists for ciphers that do not.
        Hmac::new_from_slice(bytes).map(Self).map_err(|_| InvalidKey::TooShort(bytes.len()))
    }

    /// A key that no other process knows: ids stop working when this one ends.
    #[must_use]
    pub fn random() -> Self {
        Self(Hmac::new(&rand::random::<[u8; 64]>().into()))
    }

    fn tag(&self, bytes: &[u8]) -> [u8; TAG] {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    fn verifies(&self, bytes: &[u8], tag: &[u8]) -> bool {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac.verify_slice(tag).is_ok()
    }
}

/// Why there is no id for a request, or no request in an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The request carries samples, which no id could hold.
    #[error(
        "a judgement of inline samples has no id to ask for later; send it without `Prefer: respond-async`, or start the service with `--store URL`"
    )]
    InlineSamples,
    /// The id would be cut off by proxies.
    #[error(
        "the id of this judgement would be {length} characters long, and proxies cut addresses longer than {MAX_ID_LENGTH}; \
         judge synchronously, split the config, or start the service with `--store URL`, where ids are short"
    )]
    TooLong {
        /// Length of the id, in characters.
        length: usize,
    },
    /// The request is larger than an id may hold.
    #[error(
        "the request is {bytes} bytes of JSON, and an id holds at most {MAX_REQUEST_BYTES}; judge synchronously, split the config, or start the service with `--store URL`, where ids are short"
    )]
    TooLarge {
        /// Length of the request's JSON.
        bytes: usize,
    },
    /// The request cannot be written. Not seen in practice: every request that was read can be written.
    #[error("the request cannot be made into an id: {0}")]
    Unwritable(String),
    /// The id is of a format that only newer releases know.
    #[error("the id is of format {0}, which this release does not know yet; ask again once the upgrade is complete")]
    NewerVersion(u8),
    /// The text is no id, or was not signed with this key.
    #[error("no such judgement: {0}")]
    Unknown(&'static str),
}

/// An id's tag.
pub type Key = [u8; TAG];

/// What tells a judgement from every other: the tag of its id, and the id as it was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tag.
    pub key: Key,
    /// The id.
    pub id: String,
}

impl Identity {
    /// That of what an archive keeps under a short id.
    #[must_use]
    pub fn short(id: &str) -> Self {
        Self { key: Sha256::new().chain_update(b"short id").chain_update(id).finalize().into(), id: id.to_owned() }
    }
}

/// What an id says.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedId<T = Request> {
    /// The request.
    pub request: T,
    /// When the id was made, to the second.
    pub created: Timestamp,
    /// What tells this id from every other: its tag.
    pub key: Key,
}

/// The id of a request made at `created`, told from equal requests by `random`.
///
/// # Errors
/// [`IdError::TooLong`] and [`IdError::TooLarge`].
pub fn encode<T: IdContent>(request: &T, key: &IdKey, created: Timestamp, random: u64) -> Result<Identity, IdError> {
    let unwritable = |error: &dyn fmt::Display| IdError::Unwritable(error.to_string());
    let json = serde_json::to_vec(request).map_err(|error| unwritable(&error))?;
    let size = u32::try_from(json.len()).ok().filter(|_| json.len() <= MAX_REQUEST_BYTES);
    let size = size.ok_or(IdError::TooLarge { bytes: json.len() })?;
    let frame = T::DICTIONARY.encoders().compress(&json).map_err(|error| unwritable(&error))?;
    if id_length(frame.len()) > MAX_ID_LENGTH {
        return Err(IdError::TooLong { length: id_length(frame.len()) });
    }

    let mut bytes = Vec::with_capacity(HEADER + frame.len() + TAG);
    bytes.extend_from_slice(&[VERSION, T::DICTIONARY.number()]);
    bytes.extend_from_slice(&created.as_second().to_be_bytes());
    bytes.extend_from_slice(&random.to_be_bytes());
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(&frame);
    let tag = key.tag(&bytes);
    bytes.extend_from_slice(&tag);
    Ok(Identity { key: tag, id: URL_SAFE_NO_PAD.encode(bytes) })
}

/// What tells an id of this key from every other, whatever kind of request it holds.
///
/// # Errors
/// [`IdError::NewerVersion`] and [`IdError::Unknown`].
pub fn identify(id: &str, key: &IdKey) -> Result<Identity, IdError> {
    let bytes = bytes_of(id)?;
    let (_, tag) = verified(&bytes, key)?;
    Ok(Identity { key: *tag, id: id.to_owned() })
}

/// Reads an id. The request in it is what some replica with this key once accepted; what depends on settings must be checked again.
///
/// # Errors
/// [`IdError::NewerVersion`] and [`IdError::Unknown`].
pub fn decode<T: IdContent>(id: &str, key: &IdKey) -> Result<DecodedId<T>, IdError> {
    decode_1(&bytes_of(id)?, key)
}

/// The bytes of an id of a format that is known.
fn bytes_of(id: &str) -> Result<Vec<u8>, IdError> {
    if id.len() > MAX_ID_LENGTH {
        return Err(IdError::Unknown("the id is longer than any that is given out"));
    }
    let bytes = URL_SAFE_NO_PAD.decode(id).map_err(|_| IdError::Unknown("the id is not base64url text"))?;
    match bytes.first() {
        // The version before this one is read too, once there is one.
        Some(&VERSION) => Ok(bytes),
        Some(&newer) if newer > VERSION && (newer <= NEAR_VERSION || bytes.len() > TAG) => Err(IdError::NewerVersion(newer)),
        _ => Err(IdError::Unknown("the id is of no known format")),
    }
}

/// What was signed, and the tag that was checked.
fn verified<'a>(bytes: &'a [u8], key: &IdKey) -> Result<(&'a [u8], &'a Key), IdError> {
    let (signed, tag) = bytes.split_last_chunk::<TAG>().ok_or(IdError::Unknown("the id is cut short"))?;
    if !key.verifies(signed, tag) {
        return Err(IdError::Unknown("the id was changed, cut short, or signed with another key"));
    }
    Ok((signed, tag))
}

fn decode_1<T: IdContent>(bytes: &[u8], key: &IdKey) -> Result<DecodedId<T>, IdError> {
    let unknown = IdError::Unknown;
    let truncated = || unknown("the id is cut short");
    let (signed, tag) = verified(bytes, key)?;
    let (header, frame) = signed.split_first_chunk::<HEADER>().ok_or_else(truncated)?;
    let [_, dictionary, rest @ ..] = header;
    let (created, rest) = rest.split_first_chunk::<8>().ok_or_else(truncated)?;
    let size = rest.last_chunk::<4>().ok_or_else(truncated)?;
    if *dictionary != T::DICTIONARY.number() {
        return Err(unknown("the id is that of something else, which another address answers for"));
    }
    let size = u32::from_be_bytes(*size) as usize;
    if size > MAX_REQUEST_BYTES {
        return Err(unknown("the id declares a request larger than any that is given out"));
    }
    if !matches!(zstd_safe::get_frame_content_size(frame), Ok(Some(declared)) if declared == size as u64) {
        return Err(unknown("the id contradicts itself about its size"));
    }
    let json = Decompressor::with_prepared_dictionary(T::DICTIONARY.decoder())
        .and_then(|mut decompressor| decompressor.decompress(frame, size))
        .map_err(|_| unknown("the id cannot be decompressed"))?;
    if json.len() != size {
        return Err(unknown("the id contradicts itself about its size"));
    }
    let request = serde_json::from_slice(&json).map_err(|_| unknown("the id holds no request that this release understands"))?;
    let created = Timestamp::from_second(i64::from_be_bytes(*created)).map_err(|_| unknown("the id's time is out of range"))?;
    Ok(DecodedId { request, created, key: *tag })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use haldane_judges::config::{CanaryConfig, Direction, FailOn, Kind, Limits, Thresholds, Tolerance, Variable};
    use haldane_judges::{JudgeName, Period};
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::Scope;
    use crate::source::Window;

    fn key() -> IdKey {
        IdKey::from_bytes(&[7; 32]).unwrap()
    }

    fn typical() -> Request {
        serde_json::from_str(include_str!("id/dictionary-1.json")).unwrap()
    }

    fn signed(mut bytes: Vec<u8>) -> String {
        bytes.extend_from_slice(&key().tag(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn header(version: u8, dictionary: u8, size: u32) -> Vec<u8> {
        let mut bytes = vec![version, dictionary];
        bytes.extend_from_slice(&1_700_000_000_i64.to_be_bytes());
        bytes.extend_from_slice(&1_u64.to_be_bytes());
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes
    }

    /// Writes `dictionary-1.bin`. Kept to show where it came from; running it must change nothing.
    /// `cargo test --lib make_dictionary_1 -- --ignored`
    #[test]
    #[ignore = "writes the dictionary into the source tree"]
    fn make_dictionary_1() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/judgements/id/dictionary-1.bin");
        std::fs::write(path, serde_json::to_vec(&typical()).unwrap()).unwrap();
    }

    /// Writes `example-1.txt`, an id as the first release gave it out. As with the dictionary, once is enough.
    /// `cargo test --lib make_example_1 -- --ignored`
    #[test]
    #[ignore = "writes an example into the source tree"]
    fn make_example_1() {
        let mut request = typical();
        request.config.metrics.truncate(2);
        request.config.description = "Text of its own: Ünïcode, \"quotes\", 0123456789.".to_owned();
        request.canary.variables.insert("scope".to_owned(), "pay-gateway-7f9c".to_owned());
        let id = encode(&request, &key(), Timestamp::from_second(1_700_000_000).unwrap(), 42).unwrap().id;
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/judgements/id/example-1.txt"), id + "\n").unwrap();
    }

    /// Writes `dictionary-2.bin`, as above.
    /// `cargo test --lib make_dictionary_2 -- --ignored`
    #[test]
    #[ignore = "writes the dictionary into the source tree"]
    fn make_dictionary_2() {
        let document: serde_json::Value = serde_json::from_str(include_str!("id/dictionary-2.json")).unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/judgements/id/dictionary-2.bin");
        std::fs::write(path, serde_json::to_vec(&document).unwrap()).unwrap();
    }

    #[test]
    fn dictionaries_never_change() {
        let digest = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(digest(DICTIONARY_1), "f0c46117665c4e625bd96f99226aaec0d15ce556eb0a84c65711d7ea0f6d34a8");
        assert_eq!(digest(DICTIONARY_2), "af119e6c0fe38facd5dd20d73ffc3c5ac27a3ec7e3263b651ce0554aa989a50c");
    }

    #[test]
    fn an_id_of_the_first_release_is_still_read() {
        let id = include_str!("id/example-1.txt").trim();
        let decoded = decode::<Request>(id, &key()).unwrap();
        assert_eq!(decoded.request.config.name, "http-golden-signals");
        assert!(decoded.request.config.description.ends_with("0123456789."));
        assert_eq!(decoded.request.canary.variables["scope"], "pay-gateway-7f9c");
        assert_eq!(decoded.created.as_second(), 1_700_000_000);
    }

    #[test]
    fn two_ids_of_one_request_differ() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let ids = [1, 2].map(|random| encode(&typical(), &key(), now, random).unwrap().id);
        assert_ne!(ids[0], ids[1]);
        assert_eq!(decode::<Request>(&ids[0], &key()).unwrap().request, decode::<Request>(&ids[1], &key()).unwrap().request);
    }

    #[test]
    fn another_key_does_not_read_it() {
        let id = encode(&typical(), &key(), Timestamp::UNIX_EPOCH, 1).unwrap().id;
        assert!(matches!(decode::<Request>(&id, &IdKey::random()), Err(IdError::Unknown(_))));
    }

    #[test]
    fn a_newer_format_is_told_from_a_wrong_id_whatever_follows_the_version() {
        for rest in [&[][..], &[0; 3], &[9; 80]] {
            let id = URL_SAFE_NO_PAD.encode([&[VERSION + 1][..], rest].concat());
            assert_eq!(decode::<Request>(&id, &key()), Err(IdError::NewerVersion(VERSION + 1)));
        }
        assert!(matches!(decode::<Request>(&signed(header(0, 1, 0)), &key()), Err(IdError::Unknown(_))));
    }

    #[test]
    fn names_and_uuids_are_no_ids_of_a_newer_format() {
        for other in ["null", "b3f2b5c4-0d55-4e57-9f0c-0f6b8f1f2a77", "01JNXW4T9S3E7M2V0QKZ5H8RCA", "checkout", "zzzz"] {
            assert!(URL_SAFE_NO_PAD.decode(other).is_ok_and(|bytes| bytes[0] > VERSION), "{other} does not try the rule");
            assert!(matches!(decode::<Request>(other, &key()), Err(IdError::Unknown(_))), "{other}");
        }
    }

    #[test]
    fn a_config_too_large_for_an_address_is_refused_with_its_length() {
        let mut request = typical();
        let metric = request.config.metrics[0].clone();
        // Digests stand for text that does not compress.
        request.config.metrics = (0..200_u32)
            .map(|i| {
                let description = Sha256::digest(i.to_be_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
                haldane_judges::config::Metric { name: format!("m{i}"), description, ..metric.clone() }
            })
            .collect();
        let Err(IdError::TooLong { length }) = encode(&request, &key(), Timestamp::UNIX_EPOCH, 1) else { panic!("accepted") };
        assert!(length > MAX_ID_LENGTH);
        request.config.description = "x".repeat(MAX_REQUEST_BYTES);
        assert!(matches!(encode(&request, &key(), Timestamp::UNIX_EPOCH, 1), Err(IdError::TooLarge { .. })));
    }

    #[test]
    fn a_typical_config_of_thirty_metrics_fits() {
        let mut request = typical();
        let metrics = request.config.metrics.clone();
        request.config.metrics = (0..30)
            .map(|i| {
                let mut metric = metrics[i % metrics.len()].clone();
                metric.name = format!("{} {i}", metric.name);
                metric
            })
            .collect();
        let id = encode(&request, &key(), Timestamp::UNIX_EPOCH, u64::MAX).unwrap().id;
        assert_eq!(decode::<Request>(&id, &key()).unwrap().request, request);
    }

    #[test]
    fn every_shipped_config_fits_with_room_for_long_scopes() {
        for shipped in haldane_judges::catalog::SHIPPED {
            let mut request = typical();
            request.config = haldane_judges::catalog::shipped(shipped.name).unwrap().into_inner();
            let digest: String = Sha256::digest(shipped.name).iter().map(|byte| format!("{byte:02x}")).collect();
            request.canary.variables.insert("scope".into(), digest);
            let id = encode(&request, &key(), Timestamp::UNIX_EPOCH, u64::MAX).unwrap().id;
            assert!(id.len() < MAX_ID_LENGTH / 4, "{}: {}", shipped.name, id.len());
        }
    }

    #[test]
    fn a_signed_bomb_is_refused() {
        let megabytes = vec![b' '; 64 << 20];
        let frame = zstd::bulk::compress(&megabytes, 3).unwrap();
        // Honest about its size, lying about it, and silent about it.
        let honest = [header(1, 1, 64 << 20), frame.clone()].concat();
        let lying = [header(1, 1, 100), frame].concat();
        let mut streamed = Vec::new();
        zstd::stream::copy_encode(&megabytes[..], &mut streamed, 3).unwrap();
        assert!(matches!(zstd_safe::get_frame_content_size(&streamed), Ok(None)));
        let silent = [header(1, 1, MAX_REQUEST_BYTES as u32), streamed].concat();
        // A second frame behind one that keeps its word.
        let small = zstd::bulk::compress(b"{}", 3).unwrap();
        let second = [header(1, 1, 2), small, zstd::bulk::compress(&megabytes, 3).unwrap()].concat();
        for bomb in [honest, lying, silent, second] {
            assert!(matches!(decode::<Request>(&signed(bomb), &key()), Err(IdError::Unknown(_))));
        }
        assert!(matches!(decode::<Request>(&signed(header(1, 9, 0)), &key()), Err(IdError::Unknown(_))));
    }

    #[test]
    fn a_short_key_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("  {}  \n", "k".repeat(31))).unwrap();
        assert!(matches!(IdKey::from_file(file.path()), Err(InvalidKey::TooShort(31))));
        std::fs::write(file.path(), format!("{}\n", "k".repeat(32))).unwrap();
        assert!(IdKey::from_file(file.path()).is_ok());
    }

    prop_compose! {
        fn metrics()(
            n in 1..6_usize,
            name in "[ -~]{1,20}",
            texts in prop::collection::vec("\\PC{0,60}", 6),
            numbers in prop::collection::vec(prop::num::f64::NORMAL, 6),
            flags in any::<[bool; 6]>(),
        ) -> Vec<haldane_judges::config::Metric> {
            let base: haldane_judges::config::Metric = serde_json::from_value(serde_json::json!({ "name": name })).unwrap();
            (0..n)
                .map(|i| haldane_judges::config::Metric {
                    name: format!("{name}{i}"),
                    description: texts[i].clone(),
                    kind: if flags[0] { Kind::Ratio } else { Kind::Value },
                    direction: if flags[1] { Direction::Decrease } else { Direction::Either },
                    critical: flags[2],
                    muted: flags[3],
                    traffic: flags[4],
                    unit: flags[5].then(|| texts[0].clone()),
                    tolerance: Tolerance { relative: Some(numbers[i]), absolute: None },
                    limits: Limits { max: Some(numbers[5 - i]), ..Limits::default() },
                    queries: BTreeMap::from([(
                        "prometheus".to_owned(),
                        haldane_judges::config::MetricQuery::Single(texts[i].clone()),
                    )]),
                    ..base.clone()
                })
                .collect()
        }
    }

    prop_compose! {
        fn request()(
            metrics in metrics(),
            text in "\\PC{0,40}",
            scopes in prop::collection::btree_map("[a-z_]{1,12}", "\\PC{0,40}", 0..4),
            times in (any::<i32>(), 1..1_000_000_u32, 1..100_000_u32),
            offset in any::<u32>(),
            share in prop::option::of(0.0..1.0_f64),
            threshold in any::<bool>(),
            end in prop::option::of(0..4_000_000_000_i64),
        ) -> Request {
            let start = i64::from(times.0);
            Request {
                judge: if threshold { JudgeName::ThresholdV1 } else { JudgeName::HaldaneV1 },
                config: CanaryConfig {
                    name: "any".into(),
                    description: text.clone(),
                    judge: "haldane-v1".into(),
                    mode: Default::default(),
                    population: None,
                    fail_on: FailOn::Critical,
                    thresholds: Thresholds::default(),
                    groups: BTreeMap::from([(text.clone(), 0.1)]),
                    min_observation: Period::from_seconds(300),
                    warmup: 3,
                    step: Some(Period::from_seconds(60)),
                    variables: BTreeMap::from([("zone".into(), Variable { description: String::new(), default: Some(text) })]),
                    metrics,
                },
                source: threshold.then(|| "prometheus".into()),
                baseline: Scope { variables: scopes.clone() },
                canary: Scope { variables: scopes },
                window: Some(Window { start, end: start + i64::from(times.1), step_seconds: times.2 }),
                step_seconds: times.2,
                baseline_offset_seconds: offset,
                baseline_window: None,
                canary_share: share,
                planned_end: end.map(|end| Timestamp::from_second(end).unwrap()),
                released_at: None,
                looks: None,
                ramp: Vec::new(),
                advisory: false,
                labels: Default::default(),
                samples: BTreeMap::new(),
                queries: BTreeMap::new(),
            }
        }
    }

    proptest! {
        #[test]
        fn every_request_reads_back(request in request(), created in 0..4_000_000_000_i64, random in any::<u64>()) {
            let created = Timestamp::from_second(created).unwrap();
            let id = encode(&request, &key(), created, random).unwrap().id;
            let decoded = decode::<Request>(&id, &key()).unwrap();
            prop_assert_eq!(decoded.request, request);
            prop_assert_eq!(decoded.created, created);
        }

        #[test]
        fn no_bytes_make_a_request_or_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,200}") {
            prop_assert!(decode::<Request>(&URL_SAFE_NO_PAD.encode(&bytes), &key()).is_err());
            prop_assert!(decode::<Request>(&text, &key()).is_err());
        }

        #[test]
        fn signed_bytes_never_panic(size in any::<u32>(), frame in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode::<Request>(&signed([header(1, 1, size), frame].concat()), &key()).is_err());
        }
    }

    #[test]
    fn any_changed_character_is_refused() {
        let id = encode(&typical(), &key(), Timestamp::UNIX_EPOCH, 42).unwrap().id;
        for at in 0..id.len() {
            for other in [b'A', b'_', b'%', b'=', b'z'] {
                let mut changed = id.clone().into_bytes();
                if changed[at] == other {
                    continue;
                }
                changed[at] = other;
                let changed = String::from_utf8(changed).unwrap();
                assert!(decode::<Request>(&changed, &key()).is_err(), "changed character {at} to {}", char::from(other));
            }
            assert!(decode::<Request>(&id[..at], &key()).is_err(), "cut at {at}");
        }
    }
}
