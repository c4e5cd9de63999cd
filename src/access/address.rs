//! What an address says beside where it leads: a token before the path, for callers that cannot send a header, and a link's signature.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// What an address says of access.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AddressCredentials {
    /// The token of `/t/<token>/...`.
    pub(super) token: Option<String>,
    /// `expires` and `signature` of a signed link.
    pub(super) link: Option<(String, String)>,
}

/// Takes what says something of access out of an address, so that nothing behind it ever sees that.
pub(super) fn take(uri: &mut Uri) -> AddressCredentials {
    let mut found = AddressCredentials::default();
    let mut path = uri.path().to_owned();
    if let Some(rest) = path.strip_prefix("/t/") {
        let (token, rest) = rest.split_once('/').map_or((rest, "/".to_owned()), |(token, rest)| (token, format!("/{rest}")));
        found.token = Some(token.to_owned());
        path = rest;
    }
    let mut query = uri.query().map(str::to_owned);
    if let Some(parameters) = &query
        && let (Some(expires), Some(signature)) = (parameter(parameters, "expires"), parameter(parameters, "signature"))
    {
        found.link = Some((expires.to_owned(), signature.to_owned()));
        let others = parameters.split('&').filter(|pair| !is(pair, "expires") && !is(pair, "signature"));
        query = Some(others.collect::<Vec<_>>().join("&")).filter(|query| !query.is_empty());
    }
    if found != AddressCredentials::default() {
        let text = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
        let mut parts = uri.clone().into_parts();
        // It was a part of an address before; one that is none leads nowhere.
        parts.path_and_query = Some(text.parse().unwrap_or_else(|_| PathAndQuery::from_static("/")));
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
    found
}

fn is(pair: &str, name: &str) -> bool {
    pair.split('=').next() == Some(name)
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_before_the_path_is_taken_out_once_and_what_follows_is_left_as_it_is() {
        for (address, token, left) in [
            ("/t/secret/canary/x?a=b", Some("secret"), "/canary/x?a=b"),
            ("/t/secret", Some("secret"), "/"),
            ("/t/secret/", Some("secret"), "/"),
            ("/t/../metrics", Some(".."), "/metrics"),
            ("/t/a/t/b/metrics", Some("a"), "/t/b/metrics"),
            ("/t/a%2Fmetrics", Some("a%2Fmetrics"), "/"),
            ("/t//metrics", Some(""), "/metrics"),
            ("/t/a/../metrics", Some("a"), "/../metrics"),
            ("//t/a/metrics", None, "//t/a/metrics"),
            ("/T/a/metrics", None, "/T/a/metrics"),
            ("/%74/a/metrics", None, "/%74/a/metrics"),
            ("/v1/t/a", None, "/v1/t/a"),
        ] {
            let mut uri: Uri = address.parse().unwrap();
            assert_eq!((take(&mut uri).token.as_deref(), uri.to_string().as_str()), (token, left), "{address}");
        }
        let mut uri: Uri = "https://haldane.example/t/secret/metrics".parse().unwrap();
        assert_eq!(take(&mut uri).token.as_deref(), Some("secret"));
        assert_eq!(uri, "https://haldane.example/metrics");
    }

    #[test]
    fn a_signature_is_taken_out_of_the_query() {
        let mut uri: Uri = "/v1/judgements/x?verbose=true&expires=1&signature=s&wait=2".parse().unwrap();
        assert_eq!(take(&mut uri).link, Some(("1".to_owned(), "s".to_owned())));
        assert_eq!(uri, "/v1/judgements/x?verbose=true&wait=2");
        let mut alone: Uri = "/v1/judgements/x?expires=1&signature=s".parse().unwrap();
        take(&mut alone);
        assert_eq!(alone, "/v1/judgements/x");
        let mut half: Uri = "/v1/judgements/x?expires=1".parse().unwrap();
        assert_eq!((take(&mut half).link, half.to_string().as_str()), (None, "/v1/judgements/x?expires=1"));
    }
}
