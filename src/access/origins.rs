//! The pages that may have a browser ask: those of the service itself, and of origins that are configured.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use url::Url;

use super::denial::Denial;

/// The origins whose pages may ask, such as `https://deck.example`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct OriginRule(Vec<String>);

/// An origin as browsers write it; `None` for what is none.
fn normalized(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none() && url.username().is_empty();
    bare.then(|| url.origin().ascii_serialization())
}

impl OriginRule {
    /// These.
    ///
    /// # Errors
    /// The first that is no origin.
    pub(super) fn new(origins: &[String]) -> Result<Self, String> {
        let read = origins.iter().map(|origin| {
            normalized(origin).ok_or_else(|| format!("`{origin}` is no origin; write it like `https://deck.example`, without a path"))
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Them as header values.
    pub(super) fn values(&self) -> Vec<HeaderValue> {
        self.0.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect()
    }

    /// Whether what changes something is asked by no page, by one of the service itself, or by one that may.
    ///
    /// A page of any origin can have a browser send a request; it is only kept from reading the answer.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap, authority: Option<&str>) -> Result<(), Denial> {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("null"));
        let refuse = |whose: &str| {
            let shown: String = whose.chars().take(100).collect();
            Err(Denial::cross_origin(format!("{shown} may not have a browser do this; start the service with `--cors-origin` if it is to")))
        };
        let site = text(header::HeaderName::from_static("sec-fetch-site"));
        match text(header::ORIGIN) {
            // A page that tells nobody its address has none as its origin either; the browser still says whose it is, and no page can.
            Some("null") if site == Some("same-origin") => Ok(()),
            Some(origin) => {
                let own = authority.and_then(|authority| {
                    let scheme = origin.split_once("://")?.0;
                    normalized(&format!("{scheme}://{authority}"))
                });
                match normalized(origin) {
                    Some(origin) if own.as_ref() == Some(&origin) || self.0.contains(&origin) => Ok(()),
                    _ => refuse(&format!("a page of `{origin}`")),
                }
            }
            None => match site {
                None | Some("same-origin" | "none") => Ok(()),
                Some(_) => refuse("a page of another site"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_changes_something_is_no_business_of_other_pages() {
        let rule = OriginRule::new(&["https://deck.example/".to_owned()]).unwrap();
        let check = |method, pairs: &[(&'static str, &'static str)]| rule.check(&method, &headers(pairs), Some("haldane.example:8090"));
        for fine in [
            &[][..],
            &[("origin", "http://haldane.example:8090")],
            &[("origin", "https://deck.example"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-origin")],
            &[("origin", "null"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(check(Method::POST, fine).is_ok(), "{fine:?}");
        }
        for foreign in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("origin", "null"), ("sec-fetch-site", "none")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
            &[("origin", "http://haldane.example")],
            &[("origin", "https://deck.example.evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                assert_eq!(check(method, foreign).unwrap_err().status.as_u16(), 403, "{foreign:?}");
            }
            assert!(check(Method::GET, foreign).is_ok());
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_by_name() {
        for wrong in ["deck.example", "*", "https://deck.example/path", "ftp://deck.example", "https://a:b@deck.example"] {
            assert!(OriginRule::new(&[wrong.to_owned()]).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
