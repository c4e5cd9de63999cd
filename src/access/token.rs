//! A token: what its holder sends, and what the service knows of it, which is its SHA-256 digest alone.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// What every token begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "hdn_";
/// Longest text that is taken for a token.
const MAX_TOKEN_LENGTH: usize = 512;

/// The SHA-256 digest of a token. Tokens are looked up by it: how long that takes says something of the digest, and nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits, as `sha256sum` prints them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (i, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok().filter(|_| !text[2 * i..].starts_with('+'))?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0))
    }
}

/// A token that nobody had before: 256 random bits.
#[must_use]
pub fn new_token() -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// Whether a text may be a token at all.
pub(super) fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_one_that_sha256sum_prints() {
        // printf hunter2 | sha256sum
        let text = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
        assert_eq!(TokenDigest::of("hunter2").to_string(), text);
        assert_eq!(TokenDigest::parse(text), Some(TokenDigest::of("hunter2")));
        for wrong in ["", "f5", &text.replace('f', "g"), &format!("{text}00"), &text.replacen("f5", "+5", 1)] {
            assert_eq!(TokenDigest::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn tokens_can_stand_in_an_address_and_differ() {
        let (one, other) = (new_token(), new_token());
        assert_ne!(one, other);
        assert!(one.starts_with(PREFIX) && one.len() == 47 && is_token(&one), "{one}");
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')), "{one}");
    }
}
