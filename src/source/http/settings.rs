//! What settings say about a connection: secrets, certificates, proxies, bounds. Everything is read and checked before the first request.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haldane_judges::config::Period;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::files::read_secret_file;
use crate::source::error::SourceError;
use crate::source::text::escaped;

/// Longest secret file; a token is far shorter, and a wrong path should not be read whole.
const MAX_SECRET_BYTES: usize = 64 << 10;
/// Longest PEM file; a system's whole bundle of authorities is a quarter of a megabyte.
const MAX_PEM_BYTES: usize = 8 << 20;

/// Where a secret is kept. Settings never hold the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum SecretSettings {
    /// Path of a file that holds the secret. It is read again for each request, so that tokens may be rotated in place;
    /// a newline at its end is left out.
    File(PathBuf),
    /// Name of an environment variable that holds the secret, read once at the start.
    Env(String),
}

/// Written out, because a derived one quotes what it did not expect, and that may be the secret itself.
impl<'de> Deserialize<'de> for SecretSettings {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = serde_json::Value::deserialize(deserializer)?;
        let place = written.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
        match place {
            Some((kind, serde_json::Value::String(path))) if kind == "file" => Ok(Self::File(path.into())),
            Some((kind, serde_json::Value::String(name))) if kind == "env" => Ok(Self::Env(name.clone())),
            _ => Err(serde::de::Error::custom("a secret is not written here; give {file: PATH} or {env: NAME}, which hold it")),
        }
    }
}

/// The value of a header: plain, or a secret.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum HeaderSettings {
    /// The value itself, for what is no secret.
    Value(String),
    /// Path of a file that holds the value. It is read again for each request; a newline at its end is left out.
    File(PathBuf),
    /// Name of an environment variable that holds the value, read once at the start.
    Env(String),
}

/// Plain header values are redacted too: people put tokens there all the same.
impl fmt::Debug for HeaderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(<redacted>)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
        }
    }
}

/// A user name and password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicSettings {
    /// User name.
    pub username: String,
    /// Where the password is kept.
    pub password: SecretSettings,
}

/// A secret that has been found.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    Fixed(String),
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl Secret {
    /// Reads the secret once, so that a wrong path or name is known at the start.
    pub(super) fn open(settings: &SecretSettings) -> Result<Self, String> {
        match settings {
            SecretSettings::File(path) => {
                checked_secret(path, read_secret_file(path, MAX_SECRET_BYTES))?;
                Ok(Self::File(path.clone()))
            }
            SecretSettings::Env(name) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(Self::Fixed(value)),
                Ok(_) => Err(format!("the environment variable `{name}` is empty")),
                Err(std::env::VarError::NotPresent) => Err(format!("the environment variable `{name}` is not set")),
                Err(std::env::VarError::NotUnicode(_)) => Err(format!("the environment variable `{name}` is not UTF-8")),
            },
        }
    }

    /// The secret as it is now, at the start.
    fn read_now(&self) -> Result<String, String> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::File(path) => checked_secret(path, read_secret_file(path, MAX_SECRET_BYTES)),
        }
    }

    pub(super) async fn read(&self) -> Result<String, SourceError> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::File(path) => {
                // A disk that hangs keeps a thread for files, and not one for everything.
                let owned = path.clone();
                let read = tokio::task::spawn_blocking(move || read_secret_file(&owned, MAX_SECRET_BYTES)).await;
                checked_secret(path, read.unwrap_or_else(|error| Err(io::Error::other(error)))).map_err(SourceError::Unreachable)
            }
        }
    }
}

fn checked_secret(path: &Path, bytes: io::Result<Vec<u8>>) -> Result<String, String> {
    let path = path.display();
    let bytes = bytes.map_err(|error| format!("the secret file `{path}` cannot be read: {error}"))?;
    if bytes.len() > MAX_SECRET_BYTES {
        return Err(format!("the secret file `{path}` has {} bytes; a secret has at most {MAX_SECRET_BYTES}", bytes.len()));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("the secret file `{path}` is not UTF-8"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(format!("the secret file `{path}` is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("the secret file `{path}` has more than one line, or a control character"));
    }
    Ok(text.to_owned())
}

#[derive(Debug)]
pub(super) enum Authorization {
    Bearer(Secret),
    Basic { username: String, password: Secret },
}

/// How a source's store is reached, beyond its address: for all stores that are reached over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionSettings {
    /// Time to connect, name resolution and TLS included; `5s` where left out.
    pub connect_timeout: Option<Period>,
    /// How often a request that failed for the store's or the network's sake is sent again; 5 where left out, at most 10. No more than
    /// a fifth of a source's requests are such, but for ten a second.
    pub retries: Option<u32>,
    /// Most requests a second, on average; above 0. Left out, only `max_concurrent` bounds them, and what the store's replies say.
    pub requests_per_second: Option<f64>,
    /// Proxy through which every request goes. Left out, the environment decides (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
    pub proxy: Option<ProxySettings>,
    /// Certificate that this side shows to the store.
    pub client_certificate: Option<CertificateSettings>,
}

/// A forward proxy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxySettings {
    /// Its address, such as `http://proxy.example:3128`, without credentials.
    pub url: String,
    /// User name and password for the proxy.
    #[serde(default)]
    pub basic: Option<BasicSettings>,
    /// Hosts that are reached without it: names, domains such as `.internal`, addresses, networks.
    #[serde(default)]
    pub except: Vec<String>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// PEM file of the certificate, followed by those that lead to its authority.
    pub cert_file: PathBuf,
    /// PEM file of the certificate's private key.
    pub key_file: PathBuf,
}

/// What a store's settings say about its connection. A store has its own documented settings and fills these in.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    /// Time one try may take, from connecting to the reply's last byte; [`DEFAULT_TIMEOUT`](super::DEFAULT_TIMEOUT) where left out.
    pub timeout: Option<Duration>,
    /// Headers sent with every request.
    pub headers: BTreeMap<String, HeaderSettings>,
    /// Token sent as `Authorization: Bearer`.
    pub bearer_token: Option<SecretSettings>,
    /// User name and password, sent as `Authorization: Basic`.
    pub basic: Option<BasicSettings>,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest reply that is read; [`DEFAULT_MAX_REPLY_BYTES`](super::DEFAULT_MAX_REPLY_BYTES) where left out.
    pub max_reply_bytes: Option<u64>,
    /// Most requests at the same time; [`DEFAULT_MAX_CONCURRENT`](super::DEFAULT_MAX_CONCURRENT) where left out.
    pub max_concurrent: Option<u32>,
    /// Whether the store tells of its limit by `X-RateLimit-Remaining` and `X-RateLimit-Reset`, the latter in seconds from now.
    pub rate_limit_headers: bool,
    /// The rest.
    pub connection: ConnectionSettings,
}

pub(super) fn base_url(url: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "write it like `https://prometheus.example:9090`";
    let parsed = Url::parse(url).map_err(|error| {
        // What could not be read may hold a password, so it is shown only where it cannot.
        let shown = if url.contains('@') { String::new() } else { format!("`{}` ", escaped(url, 200)) };
        format!("url: {shown}cannot be read: {error}; {EXAMPLE}")
    })?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("url: holds a user name or a password; put them into `basic`, which keeps the password in a file".to_owned());
    }
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(format!("url: the scheme `{}` is not http or https; {EXAMPLE}", escaped(parsed.scheme(), 40)));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(format!("url: has a `?query` or a `#fragment`; leave them out, {EXAMPLE}"));
    }
    Ok(parsed)
}

pub(super) fn ca_certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let shown = path.display();
    let pem = read_secret_file(path, MAX_PEM_BYTES).map_err(|error| format!("ca_file: `{shown}` cannot be read: {error}"))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("ca_file: `{shown}` holds no PEM certificate (-----BEGIN CERTIFICATE-----)")),
    }
}

pub(super) fn open_headers(settings: &ClientSettings) -> Result<Vec<(HeaderName, Secret)>, String> {
    let mut opened: Vec<(HeaderName, Secret)> = Vec::new();
    for (name, value) in &settings.headers {
        let shown = escaped(name, 60);
        let parsed = HeaderName::try_from(name).map_err(|_| format!("headers: `{shown}` is not the name of a header"))?;
        if matches!(parsed.as_str(), "host" | "content-length" | "content-type" | "transfer-encoding" | "connection" | "accept") {
            return Err(format!("headers: `{shown}` is set by the client; leave it out"));
        }
        if parsed == AUTHORIZATION && (settings.bearer_token.is_some() || settings.basic.is_some()) {
            return Err(format!("headers: `{shown}` is set by `bearer_token` or `basic`; keep one of them"));
        }
        if opened.iter().any(|(known, _)| *known == parsed) {
            return Err(format!("headers: `{shown}` is given twice; the case of a header's name does not matter"));
        }
        let secret = match value {
            HeaderSettings::Value(value) => Ok(Secret::Fixed(value.clone())),
            HeaderSettings::File(path) => Secret::open(&SecretSettings::File(path.clone())),
            HeaderSettings::Env(variable) => Secret::open(&SecretSettings::Env(variable.clone())),
        }
        .map_err(|error| format!("headers: `{shown}`: {error}"))?;
        if let Secret::Fixed(value) = &secret
            && HeaderValue::from_str(value).is_err()
        {
            return Err(format!("headers: the value of `{shown}` has characters that no header may have"));
        }
        opened.push((parsed, secret));
    }
    Ok(opened)
}

pub(super) fn open_authorization(settings: &ClientSettings) -> Result<Option<Authorization>, String> {
    match (&settings.bearer_token, &settings.basic) {
        (Some(_), Some(_)) => Err("bearer_token and basic are both given; keep one of them".to_owned()),
        (Some(token), None) => {
            Secret::open(token).map(|token| Some(Authorization::Bearer(token))).map_err(|error| format!("bearer_token: {error}"))
        }
        (None, Some(BasicSettings { username, password })) => {
            if username.contains(':') {
                return Err("basic: a user name has no colon".to_owned());
            }
            let password = Secret::open(password).map_err(|error| format!("basic: {error}"))?;
            Ok(Some(Authorization::Basic { username: username.clone(), password }))
        }
        (None, None) => Ok(None),
    }
}

/// The proxy, with its credentials.
pub(super) fn open_proxy(settings: &ProxySettings) -> Result<reqwest::Proxy, String> {
    let url = base_url(&settings.url).map_err(|error| format!("connection.proxy.{error}"))?;
    let mut proxy = reqwest::Proxy::all(url).map_err(|_| "connection.proxy.url: cannot be used as a proxy".to_owned())?;
    if let Some(BasicSettings { username, password }) = &settings.basic {
        let secret = Secret::open(password).map_err(|error| format!("connection.proxy.basic: {error}"))?;
        let password = secret.read_now().map_err(|error| format!("connection.proxy.basic: {error}"))?;
        proxy = proxy.basic_auth(username, &password);
    }
    Ok(proxy.no_proxy(reqwest::NoProxy::from_string(&settings.except.join(","))))
}

/// The certificate that this side shows.
pub(super) fn open_identity(settings: &CertificateSettings) -> Result<reqwest::Identity, String> {
    let read = |name: &str, path: &Path| {
        read_secret_file(path, MAX_PEM_BYTES)
            .map_err(|error| format!("connection.client_certificate.{name}: `{}` cannot be read: {error}", path.display()))
    };
    let mut pem = read("cert_file", &settings.cert_file)?;
    let key = read("key_file", &settings.key_file)?;
    pem.push(b'\n');
    pem.extend_from_slice(&key);
    reqwest::Identity::from_pem(&pem).map_err(|_| {
        format!(
            "connection.client_certificate: `{}` and `{}` hold no certificate and unencrypted key in PEM",
            settings.cert_file.display(),
            settings.key_file.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::http::Client;

    fn open(url: &str, settings: &ClientSettings) -> Result<Client, String> {
        Client::open("main", "store", url, settings)
    }

    #[test]
    fn a_url_with_credentials_is_refused_without_repeating_them() {
        for url in ["http://joe:hunter2@prometheus:9090", "joe:hunter2@prometheus", "http://joe:hunter2@:x"] {
            let error = open(url, &ClientSettings::default()).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.starts_with("url:"), "{error}");
        }
    }

    #[test]
    fn a_url_that_is_none_is_refused_with_an_example() {
        for url in ["", "prometheus:9090", "ftp://host", "http://", "http://host?token=1", "/etc/passwd"] {
            let error = open(url, &ClientSettings::default()).unwrap_err();
            assert!(error.contains("https://prometheus.example:9090"), "{url}: {error}");
        }
    }

    #[test]
    fn the_path_of_the_url_is_kept() {
        for url in ["http://host:1/select/0/prometheus", "http://host:1/select/0/prometheus/"] {
            let client = open(url, &ClientSettings::default()).unwrap();
            assert_eq!(client.endpoint(&["api", "v1"]).as_str(), "http://host:1/select/0/prometheus/api/v1");
        }
    }

    #[test]
    fn a_url_may_name_the_api_that_is_asked_already() {
        for (url, expected) in [
            ("http://host/prom/api/v1", "http://host/prom/api/v1/query"),
            ("http://host/prom/api/v1/", "http://host/prom/api/v1/query"),
            ("http://host/api/v1", "http://host/api/v1/query"),
            ("http://host/api", "http://host/api/api/v1/query"),
            ("http://host/v1", "http://host/v1/api/v1/query"),
            ("http://host/api/v2", "http://host/api/v2/api/v1/query"),
            ("http://host/xapi/v1", "http://host/xapi/v1/api/v1/query"),
        ] {
            assert_eq!(open(url, &ClientSettings::default()).unwrap().endpoint(&["api", "v1", "query"]).as_str(), expected, "{url}");
        }
    }

    #[test]
    fn secrets_show_neither_in_settings_nor_in_clients() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "hunter2\n").unwrap();
        let settings = ClientSettings {
            bearer_token: Some(SecretSettings::File(file)),
            headers: BTreeMap::from([("X-Key".to_owned(), HeaderSettings::Value("hunter2".to_owned()))]),
            ..ClientSettings::default()
        };
        let client = open("http://host", &settings).unwrap();
        assert!(!format!("{settings:?} {client:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_that_cannot_be_had_names_the_setting_and_the_place() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        let two_lines = directory.path().join("two");
        std::fs::write(&two_lines, "a\nb\n").unwrap();
        for (secret, expected) in [
            (SecretSettings::File(directory.path().join("absent")), "absent"),
            (SecretSettings::File(empty), "is empty"),
            (SecretSettings::File(two_lines), "more than one line"),
            (SecretSettings::Env("HALDANE_NO_SUCH_VARIABLE".to_owned()), "`HALDANE_NO_SUCH_VARIABLE` is not set"),
        ] {
            let settings = ClientSettings { bearer_token: Some(secret), ..ClientSettings::default() };
            let error = open("http://host", &settings).unwrap_err();
            assert!(error.starts_with("bearer_token:") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let key = || HeaderSettings::Value("x".to_owned());
        let env = || SecretSettings::Env("PATH".to_owned());
        let both = ClientSettings {
            bearer_token: Some(env()),
            basic: Some(BasicSettings { username: "joe".to_owned(), password: env() }),
            ..ClientSettings::default()
        };
        let authorization = ClientSettings {
            bearer_token: Some(env()),
            headers: BTreeMap::from([("authorization".to_owned(), key())]),
            ..ClientSettings::default()
        };
        let twice = ClientSettings {
            headers: BTreeMap::from([("X-Key".to_owned(), key()), ("x-key".to_owned(), key())]),
            ..ClientSettings::default()
        };
        for settings in [both, authorization, twice] {
            assert!(open("http://host", &settings).is_err(), "{settings:?}");
        }
    }

    #[test]
    fn settings_read_one_place_for_a_secret_and_nothing_else() {
        let read = |json: &str| serde_json::from_str::<SecretSettings>(json);
        assert_eq!(read(r#"{"file": "/run/token"}"#).unwrap(), SecretSettings::File("/run/token".into()));
        assert_eq!(read(r#"{"env": "TOKEN"}"#).unwrap(), SecretSettings::Env("TOKEN".to_owned()));
        for wrong in [r#""hunter2""#, r#"{"value": "hunter2"}"#, r#"{"file": "/a", "env": "B"}"#, "{}"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
