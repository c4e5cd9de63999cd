//! Asks a server over HTTP.

use std::path::Path;
use std::time::Duration;

pub(super) use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use super::CommandFailure;
use crate::api::Problem;

/// How long samples may take where nothing is said.
pub(super) const DEFAULT_WAIT: Duration = Duration::from_secs(50);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than it was told to wait a server may take.
const GRACE: Duration = Duration::from_secs(15);
/// Longest reply that is read. A verbose scorecard of many metrics is a few megabytes.
const MAX_REPLY_BYTES: usize = 256 << 20;

/// A server, and who is asking.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    base: Url,
    token: Option<String>,
}

impl Server {
    /// A server at this address.
    ///
    /// # Errors
    /// [`CommandFailure::Usage`] for an address that is no URL.
    pub(super) fn at(address: &str, token: Option<String>) -> Result<Self, CommandFailure> {
        let with_slash = format!("{}/", address.trim_end_matches('/'));
        let base = Url::parse(&with_slash)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| CommandFailure::usage(format!("`{address}` is not a server's URL; write it like http://haldane:8090")))?;
        crate::tls::install_provider();
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).user_agent(concat!("haldane/", env!("CARGO_PKG_VERSION"))).build();
        let client = client.map_err(|error| CommandFailure::usage(format!("cannot set up HTTP: {}", chain(&error))))?;
        Ok(Self { client, base, token })
    }

    /// Where people read the judgement with this id.
    pub(super) fn link(&self, id: &str) -> String {
        format!("{}v1/judgements/{id}", self.base)
    }

    /// Where judgements are asked for.
    ///
    /// # Errors
    /// [`CommandFailure::Usage`] for an address that cannot be a base.
    pub(super) fn judgements(&self, wait: Option<Duration>, verbose: bool) -> Result<Url, CommandFailure> {
        let mut url = self.base.join("v1/judgements").map_err(|error| CommandFailure::usage(format!("`{}`: {error}", self.base)))?;
        if let Some(wait) = wait {
            url.query_pairs_mut().append_pair("wait", &wait.as_secs().to_string());
        }
        if verbose {
            url.query_pairs_mut().append_pair("verbose", "true");
        }
        Ok(url)
    }

    /// Posts a judgement request and reads the scorecard.
    ///
    /// # Errors
    /// [`CommandFailure::Unreachable`] when no server answered or it could not reach its metric store, [`CommandFailure::Usage`] when it refused.
    pub(super) async fn judge(&self, body: &Value, wait: Option<Duration>, verbose: bool) -> Result<Value, CommandFailure> {
        let url = self.judgements(wait, verbose)?;
        let patience = wait.unwrap_or(DEFAULT_WAIT) + GRACE;
        let mut request = self.client.post(url).header(ACCEPT, "application/json, application/problem+json").timeout(patience).json(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = self.read(response).await?;
        if status == StatusCode::OK
            && let Ok(scorecard) = serde_json::from_slice(&bytes)
        {
            return Ok(scorecard);
        }
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(refusal(&problem)),
            Err(_) => {
                let start = String::from_utf8_lossy(&bytes).chars().take(200).collect::<String>();
                let message = format!(
                    "{} answered {status} with something else than a judgement; is it a Haldane server? it begins `{start}`",
                    self.base
                );
                Err(if status.is_server_error() { CommandFailure::unreachable(message) } else { CommandFailure::usage(message) })
            }
        }
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, CommandFailure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + chunk.len() > MAX_REPLY_BYTES {
                return Err(CommandFailure::usage(format!(
                    "{} sent more than {MAX_REPLY_BYTES} bytes; is it a Haldane server?",
                    self.base
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn unreachable(&self, error: &reqwest::Error) -> CommandFailure {
        let what = if error.is_timeout() { "did not answer in time" } else { "could not be reached" };
        let remedy =
            if error.is_timeout() { "raise --wait, or shorten the window" } else { "check --server, and that `haldane serve` runs there" };
        CommandFailure::unreachable(format!("the server {} {what}: {}; {remedy}", self.base, chain(error)))
    }
}

/// A problem as `detail (pointer)`, a line each where there are several.
pub(super) fn refusal(problem: &Problem) -> CommandFailure {
    let mut message = match problem.errors.as_slice() {
        [] => pointed(&problem.detail, problem.pointer.as_deref()),
        [only] => pointed(&only.detail, Some(&only.pointer)),
        several => {
            let lines = several.iter().map(|error| format!("\n  {}", pointed(&error.detail, Some(&error.pointer))));
            format!("{}:{}", problem.title, lines.collect::<String>())
        }
    };
    match StatusCode::from_u16(problem.status) {
        Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            message.push_str("; give a token by --token-file or HALDANE_TOKEN");
            CommandFailure::usage(message)
        }
        Ok(status) if status.is_server_error() => CommandFailure::unreachable(message),
        _ => CommandFailure::usage(message),
    }
}

fn pointed(detail: &str, pointer: Option<&str>) -> String {
    match pointer.filter(|pointer| !pointer.is_empty()) {
        Some(pointer) => format!("{detail} ({pointer})"),
        None => detail.to_owned(),
    }
}

/// An error with its causes: reqwest names the request, its cause says what went wrong.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The bearer token: from a file, or from the environment.
///
/// # Errors
/// [`CommandFailure::Usage`] for a file that cannot be read or holds no token.
pub(super) fn token(file: Option<&Path>, from_environment: Option<String>) -> Result<Option<String>, CommandFailure> {
    let Some(file) = file else {
        return Ok(from_environment.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()));
    };
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| CommandFailure::usage(format!("cannot read the token file `{}`: {error}", file.display())))?;
    match text.trim() {
        "" => Err(CommandFailure::usage(format!("the token file `{}` is empty", file.display()))),
        token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(token.to_owned())),
        _ => Err(CommandFailure::usage(format!("the token file `{}` holds more than one word", file.display()))),
    }
}

/// A request with a JSON body for `curl`, to be pasted into a shell.
pub(super) fn curl(url: &Url, body: &str) -> String {
    let quoted = body.replace('\'', r"'\''");
    format!("curl -s '{url}' -H '{CONTENT_TYPE}: application/json' -d '{quoted}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::FieldProblem;

    #[test]
    fn a_problem_is_shown_with_its_pointer() {
        let mut problem = Problem::invalid("/judge", "`nope` is not a judge");
        let failure = refusal(&problem);
        assert!(matches!(&failure, CommandFailure::Usage(message) if message == "`nope` is not a judge (/judge)"), "{failure:?}");
        let error = |pointer: &str| FieldProblem { pointer: pointer.to_owned(), detail: "is odd".to_owned() };
        problem.errors = vec![error("/a"), error("/b")];
        problem.status = 503;
        let failure = refusal(&problem);
        let expected = "The request cannot be used:\n  is odd (/a)\n  is odd (/b)";
        assert!(matches!(&failure, CommandFailure::Unreachable(message) if message == expected), "{failure:?}");
    }

    #[test]
    fn a_path_below_the_host_is_kept() {
        let server = Server::at("http://host/haldane", None).unwrap();
        let url = server.judgements(Some(Duration::from_secs(9)), true).unwrap();
        assert_eq!(url.as_str(), "http://host/haldane/v1/judgements?wait=9&verbose=true");
        assert!(Server::at("host:8090", None).is_err());
    }
}
