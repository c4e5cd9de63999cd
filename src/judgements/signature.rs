//! Links to one judgement that need no token: a browser that follows one sends none. Each is signed and ends.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use super::id::IdKey;

/// What the addresses of judgements begin with.
const JUDGEMENTS: &str = "/v1/judgements/";
/// Endings by which a judgement is asked for in another form. A link to it is one to all its forms.
const ENDINGS: [&str; 5] = [".html", ".md", ".txt", ".xml", ".json"];

/// Signs links. Replicas with the same key follow each other's.
#[derive(Clone)]
pub struct LinkKey(Hmac<Sha256>);

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(..)")
    }
}

/// The judgement that an address asks for; `None` for any other address.
fn judgement(path: &str) -> Option<&str> {
    let name = path.strip_prefix(JUDGEMENTS).filter(|name| !name.is_empty() && !name.contains(['/', '%']))?;
    Some(ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name))
}

impl LinkKey {
    /// A key that follows from the one that signs ids.
    #[must_use]
    pub fn of(key: &IdKey) -> Self {
        // Zeros behind it change nothing: HMAC itself fills a short key up to a block.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&key.derived("links to judgements"));
        Self(Hmac::new(&block.into()))
    }

    fn mac(&self, judgement: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(format!("{judgement}\n{expires}").as_bytes());
        mac
    }

    /// The path and query of a link to a judgement, and when it ends.
    #[must_use]
    pub fn link(&self, id: &str, now: Timestamp, lifetime: Duration) -> (String, Timestamp) {
        let seconds = now.as_second().saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        let expires = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let signature = URL_SAFE_NO_PAD.encode(self.mac(id, expires.as_second()).finalize().into_bytes());
        (format!("{JUDGEMENTS}{id}?expires={}&signature={signature}", expires.as_second()), expires)
    }

    /// Whether a request for this address with these parameters follows a link that has not ended.
    ///
    /// # Errors
    /// What is wrong with the link.
    pub(crate) fn verify(&self, path: &str, expires: &str, signature: &str, now: Timestamp) -> Result<(), &'static str> {
        const WRONG: &str = "the link was changed, or signed with another key; ask for another one";
        let (Some(judgement), Ok(expires)) = (judgement(path), expires.parse::<i64>()) else { return Err(WRONG) };
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| WRONG)?;
        // Compared in constant time.
        self.mac(judgement, expires).verify_slice(&signature).map_err(|_| WRONG)?;
        if now.as_second() > expires { Err("the link has ended; ask for another one") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_to_one_judgement_in_all_its_forms_and_ends() {
        let key = LinkKey::of(&IdKey::random());
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let (link, expires) = key.link("abc", now, Duration::from_secs(60));
        assert_eq!(expires.as_second(), 1_800_000_060);
        let (path, query) = link.split_once('?').unwrap();
        let (expires, signature) = query.split_once('&').unwrap();
        let (expires, signature) = (expires.strip_prefix("expires=").unwrap(), signature.strip_prefix("signature=").unwrap());
        assert_eq!(path, "/v1/judgements/abc");
        for fine in ["/v1/judgements/abc", "/v1/judgements/abc.html", "/v1/judgements/abc.md"] {
            assert_eq!(key.verify(fine, expires, signature, now), Ok(()), "{fine}");
        }
        for other in [
            "/v1/judgements/abd",
            "/v1/judgements/abc.html.html",
            "/v1/judgements/",
            "/canary/abc",
            "/v1/judgements/abc/link",
            "/v1/judgements/%61bc",
        ] {
            assert!(key.verify(other, expires, signature, now).is_err(), "{other}");
        }
        let later = Timestamp::from_second(1_800_000_061).unwrap();
        assert!(key.verify(path, expires, signature, later).unwrap_err().contains("ended"));
        assert!(key.verify(path, "1800000999", signature, now).is_err());
        assert!(key.verify(path, expires, "", now).is_err());
        assert!(LinkKey::of(&IdKey::random()).verify(path, expires, signature, now).is_err());
    }
}
