//! Any text read as an execution id is refused or decoded, and so is anything that was signed with the right key.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haldane::analysis::Request;
use haldane::judgements::id::{IdKey, decode, encode};
use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::{Corpus, fuzz_target};
use sha2::Sha256;

const KEY: [u8; 32] = [7; 32];

/// An id of format 1 around any frame. A caller cannot make one; a fuzzer that could not either would never get past the tag.
fn signed(size: u32, frame: &[u8]) -> String {
    let mut bytes = vec![1, 1];
    bytes.extend_from_slice(&1_700_000_000_i64.to_be_bytes());
    bytes.extend_from_slice(&1_u64.to_be_bytes());
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(frame);
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("a key of any length will do");
    mac.update(&bytes);
    bytes.extend_from_slice(&mac.finalize().into_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((kind, data)) = input.split_first() else { return Corpus::Reject };
    let id = match kind % 3 {
        0 => String::from_utf8_lossy(data).into_owned(),
        1 => {
            let Some((size, frame)) = data.split_first_chunk() else { return Corpus::Reject };
            signed(u32::from_be_bytes(*size), frame)
        }
        _ => {
            let frame = zstd::bulk::compress(data, 1).expect("memory");
            signed(u32::try_from(data.len()).expect("a short input"), &frame)
        }
    };
    let key = IdKey::from_bytes(&KEY).expect("32 bytes");
    if let Ok(decoded) = decode::<Request>(&id, &key) {
        // What was decoded can be encoded again, unless it carries what no id may.
        if let Ok(again) = encode(&decoded.request, &key, decoded.created, 1) {
            let again = decode::<Request>(&again, &key).expect("its own id");
            assert_eq!(again.request, decoded.request);
        }
    }
    Corpus::Keep
});
