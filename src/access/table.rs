//! The tokens that are known: a YAML file of names, digests, roles and bounds.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use haldane_judges::document;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::token::TokenDigest;
use crate::files::read_secret_file;

/// Longest file of tokens.
const MAX_FILE_BYTES: usize = 4 << 20;

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AccessRole {
    /// Look at judgements, configs and metrics.
    Read,
    /// Judge, and what `read` may.
    Judge,
    /// Write configs and other documents, and all else.
    Admin,
}

impl fmt::Display for AccessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Judge => "judge",
            Self::Admin => "admin",
        })
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensFile {
    tokens: Vec<TokenLine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenLine {
    name: String,
    sha256: String,
    roles: Vec<AccessRole>,
    #[serde(default, deserialize_with = "names")]
    sources: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "names")]
    configs: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "names")]
    applications: Option<BTreeSet<String>>,
    #[serde(default)]
    per_minute: Option<NonZeroU32>,
    #[serde(default)]
    expires: Option<String>,
}

/// Names that are written, if none of them. A bound with nothing behind it is not the same as no bound.
fn names<'de, D: Deserializer<'de>>(names: D) -> Result<Option<BTreeSet<String>>, D::Error> {
    BTreeSet::deserialize(names).map(Some)
}

/// What is known of a token.
pub(crate) struct TokenGrant {
    pub(crate) name: String,
    pub(super) roles: Vec<AccessRole>,
    /// The only sources, configs and applications that it may use; `None` for every one.
    pub(super) sources: Option<BTreeSet<String>>,
    pub(super) configs: Option<BTreeSet<String>>,
    pub(super) applications: Option<BTreeSet<String>>,
    pub(super) expires: Option<Timestamp>,
    pub(super) per_minute: Option<NonZeroU32>,
    pub(super) rate: Option<Arc<DefaultDirectRateLimiter>>,
}

impl fmt::Debug for TokenGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenGrant").field("name", &self.name).field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// The tokens that are known, by their digests.
#[derive(Debug, Default)]
pub(super) struct TokenTable(HashMap<TokenDigest, Arc<TokenGrant>>);

impl TokenTable {
    /// Reads a file. Of tokens that `before` had, what was counted goes on.
    ///
    /// # Errors
    /// What is wrong, and where; never what the file says there, which may be a token.
    pub(super) fn read(path: &Path, before: Option<&Self>) -> Result<Self, String> {
        let bytes = read_secret_file(path, MAX_FILE_BYTES).map_err(|error| format!("cannot be read: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        Self::parse(&text, before)
    }

    fn parse(text: &str, before: Option<&Self>) -> Result<Self, String> {
        let document = serde_saphyr::from_str::<Value>(text).map_err(|error| {
            error.location().map_or_else(|| "is not YAML".to_owned(), |place| format!("is not YAML at line {}", place.line()))
        })?;
        // What is of the wrong kind would be quoted, and may be a token.
        let file: TokensFile = document::read(document).map_err(|problem| match problem.message {
            message if message.starts_with("invalid") => {
                format!(
                    "{}: is of the wrong kind; a line is `{{name: TEXT, sha256: TEXT, roles: [judge]}}` below `tokens`",
                    problem.pointer
                )
            }
            message => format!("{}: {message}", problem.pointer),
        })?;
        let mut grants = HashMap::new();
        let mut names = BTreeSet::new();
        for (i, line) in file.tokens.into_iter().enumerate() {
            let at = |field: &str, message: &str| format!("/tokens/{i}/{field}: {message}");
            let digest = TokenDigest::parse(&line.sha256.to_lowercase()).ok_or_else(|| {
                at("sha256", "is not the 64 hexadecimal digits of a SHA-256 digest; `haldane token new` prints a line with one")
            })?;
            if line.name.is_empty() || line.name.chars().any(char::is_control) || line.name.len() > 100 {
                return Err(at("name", "is empty, too long, or has a control character; give a word that the log may show"));
            }
            if !names.insert(line.name.clone()) {
                return Err(at("name", "is the name of two tokens; what one did could not be told from what the other did"));
            }
            if line.roles.is_empty() {
                return Err(at("roles", "is empty; give `read`, `judge` or `admin`, or take the token out"));
            }
            let expires = line
                .expires
                .map(|text| text.parse::<Timestamp>().map_err(|_| at("expires", "is not a time; write it like `2027-01-31T00:00:00Z`")));
            let limiter = |per_minute| Arc::new(RateLimiter::direct(Quota::per_minute(per_minute)));
            let same = before.and_then(|before| before.0.get(&digest)).filter(|old| old.per_minute == line.per_minute);
            let rate = match same {
                Some(old) => old.rate.clone(),
                None => line.per_minute.map(limiter),
            };
            let grant = TokenGrant {
                name: line.name,
                roles: line.roles,
                sources: line.sources,
                configs: line.configs,
                applications: line.applications,
                expires: expires.transpose()?,
                per_minute: line.per_minute,
                rate,
            };
            if grants.insert(digest, Arc::new(grant)).is_some() {
                return Err(at("sha256", "is the digest of two tokens; give each its own"));
            }
        }
        Ok(Self(grants))
    }

    /// What is known of a token.
    pub(super) fn find(&self, token: &str) -> Option<&Arc<TokenGrant>> {
        self.0.get(&TokenDigest::of(token))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, token: &str, rest: &str) -> String {
        format!("  - {{name: {name}, sha256: {}{rest}}}\n", TokenDigest::of(token))
    }

    #[test]
    fn a_token_is_found_by_itself_and_by_nothing_near_it() {
        let text = format!("tokens:\n{}{}", line("ci", "secret", ", roles: [judge]"), line("ui", "other", ", roles: [read]"));
        let table = TokenTable::parse(&text, None).unwrap();
        assert_eq!(table.find("secret").map(|grant| grant.name.as_str()), Some("ci"));
        for near in ["secre", "secret ", "Secret", "", &TokenDigest::of("secret").to_string()] {
            assert!(table.find(near).is_none(), "{near}");
        }
    }

    #[test]
    fn what_is_wrong_is_placed_and_no_token_repeated() {
        let long = format!("tokens:\n{}", line("a", "hunter2", ", roles: [read]").repeat(2));
        for (text, expected) in [
            ("tokens: [{name: a, sha256: hunter2, roles: [read]}]", "/tokens/0/sha256"),
            ("tokens: [{name: a, token: hunter2, roles: [read]}]", "token"),
            ("tokens: [{name: 'hunter2", "not YAML"),
            (long.as_str(), "/tokens/1/name"),
            ("- hunter2", "wrong kind"),
            ("tokens: [{name: a, sha256: hunter2, roles: [read], configs: }]", "/tokens/0/configs"),
            ("tokens: [{name: a, sha256: hunter2, roles: [read], sources: null}]", "/tokens/0/sources"),
        ] {
            let error = TokenTable::parse(text, None).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{text}: {error}");
        }
        let digest = TokenDigest::of("x");
        for (rest, expected) in [("roles: []", "roles"), ("roles: [owner]", "owner"), ("roles: [read], expires: soon", "expires")] {
            let error = TokenTable::parse(&format!("tokens: [{{name: a, sha256: {digest}, {rest}}}]"), None).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(TokenTable::parse("tokens: []", None).unwrap().len(), 0);
    }

    #[test]
    fn a_rate_goes_on_when_the_file_is_read_again() {
        let text = format!("tokens:\n{}", line("ci", "secret", ", roles: [judge], per_minute: 2"));
        let table = TokenTable::parse(&text, None).unwrap();
        let rate = |table: &TokenTable| table.find("secret").unwrap().rate.clone().unwrap();
        assert!(rate(&table).check().is_ok() && rate(&table).check().is_ok() && rate(&table).check().is_err());
        let again = TokenTable::parse(&text, Some(&table)).unwrap();
        assert!(rate(&again).check().is_err());
        let raised = TokenTable::parse(&text.replace("per_minute: 2", "per_minute: 5"), Some(&again)).unwrap();
        assert!(rate(&raised).check().is_ok());
    }
}
