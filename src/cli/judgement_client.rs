//! Who judges for a command: a server, or this process with metric stores of its own.

use std::time::Duration;

use haldane_judges::Verdict;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::CommandFailure;
use super::client::{DEFAULT_WAIT, JudgementRefusal, Server};
use super::progress::Spinner;
use crate::analysis::{AnalysisError, Analyst, Scorecard};
use crate::api::Problem;
use crate::settings::{BodyLimits, ConfigStore};

/// How long after the end of a window its samples have arrived, where nobody says.
const SETTLE: Duration = Duration::from_secs(60);

/// Who judges.
pub(super) enum JudgementClient {
    /// A server over HTTP.
    Remote(Server),
    /// This process.
    Local {
        /// With the metric stores.
        analyst: Box<Analyst>,
        /// The configs on offer.
        configs: ConfigStore,
    },
}

impl JudgementClient {
    /// Judges a request, the JSON body of `POST /v1/judgements`.
    ///
    /// # Errors
    /// [`JudgementRefusal`] where there is no verdict.
    pub(super) async fn judge(&self, body: Value, wait: Option<Duration>, with_samples: bool) -> Result<ScorecardReply, JudgementRefusal> {
        match self {
            Self::Remote(server) => {
                let _waiting = Spinner::start("waiting for the server's judgement");
                let document = server.judge(&body, wait, with_samples).await?;
                let link = document.get("id").and_then(Value::as_str).map(|id| server.link(id));
                Ok(ScorecardReply::Received { document, link })
            }
            Self::Local { analyst, configs } => {
                let request = crate::api::translate(body, configs, &BodyLimits::default(), analyst.sources(), Timestamp::now())?;
                let waiting = Spinner::start("judging");
                let until = Instant::now() + wait.unwrap_or(DEFAULT_WAIT);
                let judging = async { analyst.run(&analyst.plan(request)?, until, &|progress| waiting.fetched(progress)).await };
                let scorecard = judging.await.map_err(|error| match error {
                    AnalysisError::UnknownSource { .. } => JudgementRefusal::from(CommandFailure::usage(format!(
                        "{error}; give --prometheus URL, --settings FILE or --server URL"
                    ))),
                    // As the server would put it, so that both ways end with the same exit code.
                    _ => Problem::from(&error).into(),
                })?;
                Ok(ScorecardReply::Made(Box::new(if with_samples { scorecard.with_samples() } else { scorecard })))
            }
        }
    }

    /// How long after the end of a window the samples of this source have arrived.
    pub(super) fn settle(&self, source: Option<&str>) -> Duration {
        match self {
            Self::Remote(_) => SETTLE,
            Self::Local { analyst, .. } => {
                let source = analyst.sources().choose(source).ok();
                source.map_or(SETTLE, |source| Duration::from_secs(source.settle_seconds().unsigned_abs()))
            }
        }
    }
}

/// A scorecard: a server's own words, which JSON output passes on untouched, or one made here.
pub(super) enum ScorecardReply {
    /// A server's, and where it is read if the server does not know its own address.
    Received { document: Value, link: Option<String> },
    /// Made here.
    Made(Box<Scorecard>),
}

impl ScorecardReply {
    /// Its verdict.
    ///
    /// # Errors
    /// [`CommandFailure::Usage`] for a document that has none.
    pub(super) fn verdict(&self) -> Result<Verdict, CommandFailure> {
        match self {
            Self::Made(card) => Ok(card.judgement.verdict),
            Self::Received { document, .. } => {
                let known = document.get("verdict").and_then(|verdict| Verdict::deserialize(verdict).ok());
                known.ok_or_else(|| CommandFailure::usage("the server's reply has no verdict; is it a Haldane server?"))
            }
        }
    }

    /// The scorecard itself.
    ///
    /// # Errors
    /// [`CommandFailure::Usage`] for a document that another version wrote otherwise.
    pub(super) fn card(&self) -> Result<Scorecard, CommandFailure> {
        match self {
            Self::Made(card) => Ok(Scorecard::clone(card)),
            Self::Received { document, link } => {
                let card = Scorecard::deserialize(document).map_err(|error| {
                    CommandFailure::usage(format!(
                        "the server's scorecard cannot be read: {error}; it may be of another version: use --output json"
                    ))
                })?;
                Ok(Scorecard { url: card.url.clone().or_else(|| link.clone()), ..card })
            }
        }
    }
}
