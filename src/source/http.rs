//! The HTTP client that every networked store shares: deadlines, credentials, TLS, a bound on what is read, and errors without secrets.
//!
//! Redirects are not followed, so a credential reaches the configured host and no other. Retries belong here, around
//! [`Client::send`], once they are built.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use schemars::JsonSchema;
use serde::Deserialize;

use super::SourceError;

/// Time a request may take, from connecting to its last byte, where settings give none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest reply that is read, after decompression, where settings give none.
pub const DEFAULT_MAX_REPLY_BYTES: u64 = 16 << 20;
/// Requests to one account at the same time, where settings give none.
pub const DEFAULT_MAX_CONCURRENT: u32 = 16;

/// A host that does not answer a SYN is not worth the whole request's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of a reply that reports a failure; its text is shortened further before anyone sees it.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Longest secret file; a token is far shorter, and a wrong path should not be read whole.
const MAX_SECRET_BYTES: usize = 64 << 10;

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
enum Secret {
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
    fn open(settings: &SecretSettings) -> Result<Self, String> {
        match settings {
            SecretSettings::File(path) => {
                checked_secret(path, std::fs::read(path))?;
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

    async fn read(&self) -> Result<String, SourceError> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::File(path) => checked_secret(path, tokio::fs::read(path).await).map_err(SourceError::Unreachable),
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
enum Authorization {
    Bearer(Secret),
    Basic { username: String, password: Secret },
}

/// What a store's settings say about its connection. A store has its own documented settings and fills these in.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    /// Time a request may take; [`DEFAULT_TIMEOUT`] where left out.
    pub timeout: Option<Duration>,
    /// Headers sent with every request.
    pub headers: BTreeMap<String, HeaderSettings>,
    /// Token sent as `Authorization: Bearer`.
    pub bearer_token: Option<SecretSettings>,
    /// User name and password, sent as `Authorization: Basic`.
    pub basic: Option<BasicSettings>,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest reply that is read; [`DEFAULT_MAX_REPLY_BYTES`] where left out.
    pub max_reply_bytes: Option<u64>,
}

/// A client for one account.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    headers: Vec<(HeaderName, Secret)>,
    authorization: Option<Authorization>,
    timeout: Duration,
    max_reply_bytes: u64,
}

/// What a server answered.
#[derive(Debug)]
pub struct HttpReply {
    /// Status.
    pub status: StatusCode,
    /// `Content-Type`, as sent; empty where there is none.
    pub content_type: String,
    /// Host and path that a redirect points to, without what could be secret in it.
    pub redirect: Option<String>,
    /// The body, decompressed; cut short where the status reports a failure.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// The start of the body, fit for a message.
    #[must_use]
    pub fn beginning(&self, characters: usize) -> String {
        // Four bytes are the longest character; a cut one at the end becomes U+FFFD and is cut off by `take`.
        let head = self.body.get(..characters.saturating_mul(4)).unwrap_or(&self.body);
        escaped(&String::from_utf8_lossy(head), characters)
    }
}

/// The first `characters` of a text from outside, with control characters escaped, for a message.
#[must_use]
pub fn escaped(text: &str, characters: usize) -> String {
    let mut shown = String::new();
    let mut rest = text.chars();
    for c in rest.by_ref().take(characters) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

/// rustls wants one provider of cryptography for the process; `main` and every test come through here.
fn install_crypto() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that somebody installed one already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

impl Client {
    /// A client for the store at `url`. Reads the secrets and the CA file; asks nothing yet.
    ///
    /// # Errors
    /// A message that names the setting and the remedy.
    pub fn open(url: &str, settings: &ClientSettings) -> Result<Self, String> {
        install_crypto();
        let base = base_url(url)?;
        let timeout = settings.timeout.unwrap_or(DEFAULT_TIMEOUT);
        if timeout.is_zero() {
            return Err("timeout: 0 s leaves no time for an answer; leave it out for 30s".to_owned());
        }
        let max_reply_bytes = settings.max_reply_bytes.unwrap_or(DEFAULT_MAX_REPLY_BYTES);
        if max_reply_bytes == 0 {
            return Err("max_reply_bytes: 0 leaves nothing to read; leave it out for 64 MiB".to_owned());
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("haldane/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .gzip(true);
        if let Some(path) = &settings.ca_file {
            builder = builder.tls_certs_only(ca_certificates(path)?);
        } else if base.scheme() == "http" {
            // Without redirects TLS is never spoken, so a container without CA certificates will do.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| match &settings.ca_file {
            Some(path) => format!("ca_file: `{}` cannot be used: {}", path.display(), root_cause(&error)),
            None => format!("no TLS client can be made: {}; name the certificate authority's PEM file in `ca_file`", root_cause(&error)),
        })?;
        Ok(Self { http, headers: open_headers(settings)?, authorization: open_authorization(settings)?, base, timeout, max_reply_bytes })
    }

    /// Address of `path` (such as `["api", "v1", "query"]`) below the store's URL.
    #[must_use]
    pub fn endpoint(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only a URL such as `mailto:` has no path; `base_url` lets http and https through alone.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Sends a request and reads the reply, whatever its status. `parameters` go into the query of a GET and into the form of a POST.
    ///
    /// # Errors
    /// [`SourceError::Unreachable`], [`SourceError::TimedOut`], [`SourceError::TooLarge`], and [`SourceError::Unreadable`] for
    /// a reply that cannot be decompressed.
    pub async fn send(&self, method: Method, url: &Url, parameters: &[(&str, &str)]) -> Result<HttpReply, SourceError> {
        let mut url = url.clone();
        if method == Method::GET {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let mut request = self.http.request(method.clone(), url).header(ACCEPT, HeaderValue::from_static("application/json"));
        if method != Method::GET {
            request = request.form(parameters);
        }
        for (name, secret) in &self.headers {
            request = request.header(name.clone(), sensitive(name, &secret.read().await?)?);
        }
        match &self.authorization {
            Some(Authorization::Bearer(token)) => {
                request = request.header(AUTHORIZATION, sensitive(&AUTHORIZATION, &format!("Bearer {}", token.read().await?))?);
            }
            Some(Authorization::Basic { username, password }) => {
                request = request.basic_auth(username, Some(password.read().await?));
            }
            None => {}
        }
        let response = request.send().await.map_err(|error| self.classify(&error))?;
        self.read(response).await
    }

    /// Reads a reply, and stops as soon as it is longer than allowed.
    async fn read(&self, mut response: reqwest::Response) -> Result<HttpReply, SourceError> {
        let status = response.status();
        let header = |name: HeaderName| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        let redirect = if status.is_redirection() { header(LOCATION).map(|to| self.redirect_target(&to)) } else { None };
        let bounded = status.is_success();
        if bounded && response.content_length().is_some_and(|length| length > self.max_reply_bytes) {
            return Err(SourceError::TooLarge(self.max_reply_bytes));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.classify(&error))? {
            if bounded && (body.len() as u64).saturating_add(chunk.len() as u64) > self.max_reply_bytes {
                return Err(SourceError::TooLarge(self.max_reply_bytes));
            }
            body.extend_from_slice(&chunk);
            if !bounded && body.len() >= MAX_ERROR_BYTES {
                body.truncate(MAX_ERROR_BYTES);
                break;
            }
        }
        Ok(HttpReply { status, content_type, redirect, body })
    }

    /// Host and port, the only part of the address that messages show.
    fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn redirect_target(&self, location: &str) -> String {
        self.base.join(location).map_or_else(
            |_| "an address that is none".to_owned(),
            |url| escaped(&format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path()), 200),
        )
    }

    /// What went wrong, in words that hold neither the URL nor a credential.
    fn classify(&self, error: &reqwest::Error) -> SourceError {
        let host = self.host();
        let cause = root_cause(error);
        if error.is_timeout() {
            return if error.is_connect() {
                SourceError::Unreachable(format!("no connection to {host} within {} s", CONNECT_TIMEOUT.as_secs()))
            } else {
                SourceError::TimedOut(self.timeout)
            };
        }
        if error.is_dns() {
            return SourceError::Unreachable(format!("the host name of {host} cannot be resolved: {cause}"));
        }
        let mut kind = None;
        let mut link: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(current) = link {
            if let Some(io) = current.downcast_ref::<io::Error>() {
                kind = Some(io.kind());
                if let Some(tls) = tls_error(io) {
                    return SourceError::Unreachable(format!(
                        "no TLS connection to {host}: {tls}; where its certificate authority is private, name its PEM file in `ca_file`"
                    ));
                }
            }
            link = current.source();
        }
        match kind {
            Some(io::ErrorKind::ConnectionRefused) => SourceError::Unreachable(format!("{host} refused the connection")),
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) if error.is_decode() => {
                SourceError::Unreadable(format!("it cannot be decompressed: {cause}"))
            }
            _ if error.is_connect() => SourceError::Unreachable(format!("no connection to {host}: {cause}")),
            _ => SourceError::Unreachable(format!("{host} broke off the connection: {cause}")),
        }
    }
}

/// The TLS error that an I/O error carries, perhaps in another I/O error. `source()` passes over what is carried.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<rustls::Error>().or_else(|| tls_error(inner.downcast_ref::<io::Error>()?))
}

/// The innermost cause of an error; the outer ones only say "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    let mut text = String::new();
    while let Some(current) = cause {
        text = current.to_string();
        cause = current.source();
    }
    if text.is_empty() { "the request could not be made".to_owned() } else { escaped(&text, 300) }
}

/// A header's value, kept out of debug output.
fn sensitive(name: &HeaderName, value: &str) -> Result<HeaderValue, SourceError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SourceError::Unreachable(format!("the value for the header `{name}` has characters that no header may have")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn base_url(url: &str) -> Result<Url, String> {
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

fn ca_certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| format!("ca_file: `{shown}` cannot be read: {error}"))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("ca_file: `{shown}` holds no PEM certificate (-----BEGIN CERTIFICATE-----)")),
    }
}

fn open_headers(settings: &ClientSettings) -> Result<Vec<(HeaderName, Secret)>, String> {
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

fn open_authorization(settings: &ClientSettings) -> Result<Option<Authorization>, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_credentials_is_refused_without_repeating_them() {
        for url in ["http://joe:hunter2@prometheus:9090", "joe:hunter2@prometheus", "http://joe:hunter2@:x"] {
            let error = Client::open(url, &ClientSettings::default()).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.starts_with("url:"), "{error}");
        }
    }

    #[test]
    fn a_url_that_is_none_is_refused_with_an_example() {
        for url in ["", "prometheus:9090", "ftp://host", "http://", "http://host?token=1", "/etc/passwd"] {
            let error = Client::open(url, &ClientSettings::default()).unwrap_err();
            assert!(error.contains("https://prometheus.example:9090"), "{url}: {error}");
        }
    }

    #[test]
    fn the_path_of_the_url_is_kept() {
        for url in ["http://host:1/select/0/prometheus", "http://host:1/select/0/prometheus/"] {
            let client = Client::open(url, &ClientSettings::default()).unwrap();
            assert_eq!(client.endpoint(&["api", "v1"]).as_str(), "http://host:1/select/0/prometheus/api/v1");
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
        let client = Client::open("http://host", &settings).unwrap();
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
            let error = Client::open("http://host", &settings).unwrap_err();
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
            assert!(Client::open("http://host", &settings).is_err(), "{settings:?}");
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

    #[test]
    fn what_is_shown_of_a_reply_has_no_control_characters() {
        assert_eq!(escaped("a\u{1b}[31m\r\nb", 6), "a\\u{1b}[31m…");
        assert_eq!(escaped("short", 120), "short");
    }
}
