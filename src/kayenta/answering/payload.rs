//! What an execution id of this edge holds: the request as it was sent, with the accounts it means.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::judgements::id::{self, Dictionary, IdContent, IdError, IdKey};
use crate::judgements::{Identity, Key};

/// Anything that can be asked for again by its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Payload {
    /// One judgement.
    Canary(CanaryPayload),
    /// Judgements at intervals.
    Standalone(StandalonePayload),
    /// The series of one query.
    Fetch(FetchPayload),
}

impl IdContent for Payload {
    const DICTIONARY: Dictionary = Dictionary::Kayenta;
}

/// One judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CanaryPayload {
    /// Who asked and with which accounts.
    #[serde(flatten)]
    pub(crate) origin: RequestOrigin,
    /// The canary config as it was sent or stored.
    pub(crate) config: Value,
    /// The execution request as it was sent.
    pub(crate) request: Value,
}

/// Judgements at intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StandalonePayload {
    /// Who asked and with which accounts.
    #[serde(flatten)]
    pub(crate) origin: RequestOrigin,
    /// The user named in the request.
    pub(crate) user: String,
    /// The canary config as it was sent or stored.
    pub(crate) config: Value,
    /// The analysis request as it was sent.
    pub(crate) request: Value,
}

/// Who asked and with which accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestOrigin {
    pub(crate) application: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent_pipeline_execution_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metrics_account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage_account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) configuration_account: Option<String>,
    /// `ad-hoc`, or the id of a stored config.
    pub(crate) canary_config_id: String,
}

/// The series of one query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FetchPayload {
    pub(crate) metrics_account: String,
    pub(crate) metric_set_name: String,
    pub(crate) query: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step_seconds: u32,
}

/// An id that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Execution {
    pub(crate) payload: Payload,
    pub(crate) identity: Identity,
    pub(crate) created: Timestamp,
}

/// Makes an id.
pub(crate) fn identify(payload: &Payload, key: &IdKey, created: Timestamp, random: u64) -> Result<Identity, IdError> {
    id::encode(payload, key, created, random)
}

/// Reads an id.
pub(crate) fn read(id: &str, key: &IdKey) -> Result<Execution, IdError> {
    let id::DecodedId { request, created, key } = id::decode::<Payload>(id, key)?;
    Ok(Execution { payload: request, identity: Identity { key, id: id.to_owned() }, created })
}

/// What follows an execution's id in the id of its list of metric set pairs.
const PAIRS: &str = ".pairs";

/// The id of an execution's list of metric set pairs.
pub(crate) fn pairs_id(id: &str) -> String {
    format!("{id}{PAIRS}")
}

/// The execution whose list of metric set pairs has this id.
pub(crate) fn execution_of_pairs(id: &str) -> Option<&str> {
    id.strip_suffix(PAIRS)
}

/// The id of one metric set pair of an execution, in the form of a UUID: the same whenever and wherever it is asked for.
pub(crate) fn pair_id(key: &Key, index: usize) -> String {
    let digest = Sha256::new().chain_update(b"pair").chain_update(key).chain_update((index as u64).to_be_bytes()).finalize();
    uuid_like(&digest)
}

/// The random part of the id of the judgement at one interval of an analysis.
pub(crate) fn interval_random(key: &Key, interval: u32) -> u64 {
    let digest = Sha256::new().chain_update(b"interval").chain_update(key).chain_update(interval.to_be_bytes()).finalize();
    digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Sixteen bytes in the form of a UUID of version 8, the one whose bits its maker chooses (RFC 9562).
pub(crate) fn uuid_like(bytes: &[u8]) -> String {
    let mut value = bytes.first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes));
    value = (value & !(0xf << 76)) | (0x8 << 76);
    value = (value & !(0x3 << 62)) | (0x2 << 62);
    let hex = format!("{value:032x}");
    [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)].iter().filter_map(|(from, to)| hex.get(*from..*to)).collect::<Vec<_>>().join("-")
}

/// A random UUID.
pub(crate) fn new_id() -> String {
    uuid_like(&rand::random::<[u8; 16]>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload() -> Payload {
        let origin = RequestOrigin {
            application: "shop".to_owned(),
            parent_pipeline_execution_id: None,
            metrics_account: Some("prometheus".to_owned()),
            storage_account: None,
            configuration_account: None,
            canary_config_id: "ad-hoc".to_owned(),
        };
        Payload::Canary(CanaryPayload {
            origin,
            config: json!({"name": "c", "unknown": [1, {"x": "y"}]}),
            request: json!({"thresholds": {"pass": 95}}),
        })
    }

    #[test]
    fn an_id_holds_the_request_as_it_was_sent() {
        let key = IdKey::random();
        let identity = identify(&payload(), &key, Timestamp::UNIX_EPOCH, 1).unwrap();
        let decoded = read(&identity.id, &key).unwrap();
        assert_eq!((decoded.payload, decoded.identity), (payload(), identity));
    }

    #[test]
    fn an_id_of_the_native_api_is_not_taken_for_one_of_ours() {
        let key = IdKey::random();
        let request: crate::analysis::Request = serde_json::from_value(json!({
            "judge": "haldane-v1", "config": {"name": "c", "metrics": [{"name": "m"}]}, "baseline": {}, "canary": {}, "step_seconds": 60
        }))
        .unwrap();
        let native = id::encode(&request, &key, Timestamp::UNIX_EPOCH, 1).unwrap().id;
        assert!(matches!(read(&native, &key), Err(IdError::Unknown(_))));
        let ours = identify(&payload(), &key, Timestamp::UNIX_EPOCH, 1).unwrap().id;
        assert!(matches!(id::decode::<crate::analysis::Request>(&ours, &key), Err(IdError::Unknown(_))));
    }

    #[test]
    fn pair_ids_are_uuids_that_differ_by_execution_and_place() {
        let ids = [pair_id(&[1; 32], 0), pair_id(&[1; 32], 1), pair_id(&[2; 32], 0)];
        assert!(ids[0] != ids[1] && ids[0] != ids[2]);
        for id in ids {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12]);
            assert_eq!((id.as_bytes()[14], matches!(id.as_bytes()[19], b'8'..=b'b')), (b'8', true));
        }
        assert_eq!(execution_of_pairs(&pairs_id("abc")), Some("abc"));
    }
}
