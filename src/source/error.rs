//! Why a store could not be read. Each variant is something that is decided on; the words are for people alone.

use std::time::Duration;

/// What the messages of those say that would have had to wait longer than there was time.
pub(super) const TOO_LATE: &str = "which the deadline does not allow";

/// Why a store could not be read. No message holds a secret or a URL's credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The query's variables could not be put in.
    #[error("{0}")]
    Template(String),
    /// The query has a variable that was given no value.
    #[error("{said}")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The sentence about it.
        said: String,
    },
    /// The store cannot read the query's text, so that no window makes it right.
    #[error("the metric store refused the query: {0}")]
    Syntax(String),
    /// The store understood and said no: a limit of points or samples, series that do not go together.
    #[error("the metric store refused the query: {0}")]
    Refused(String),
    /// The store turned the account away: wrong credentials, or no store at its address. Callers cannot mend that.
    #[error("the metric store turned the account away: {0}")]
    Account(String),
    /// The store could not be reached, or broke off.
    #[error("the metric store could not be reached: {0}")]
    Unreachable(String),
    /// The store gave up on the query, for its time or its length: a shorter one may do, and the same one will not.
    #[error("the metric store gave up on the query: {0}")]
    GaveUp(String),
    /// The store has had more requests than it, or the source's settings, allow.
    #[error("the metric store's rate limit: {0}")]
    RateLimited(String),
    /// There was no time left: to wait for a rate limit, where it is `limited`, or else to try a store once more that had failed.
    #[error("the metric store{}: {said}", if *.limited { "'s rate limit" } else { " could not be reached" })]
    NoTime {
        /// Whether it is a rate limit that would have had to be waited for.
        limited: bool,
        /// What there was no time for.
        said: String,
    },
    /// The store took too long.
    #[error("the metric store did not answer within {} s: {stage}", .after.as_secs_f64())]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
        /// What had come by then.
        stage: String,
    },
    /// The store says that a part of what was asked for is missing from its reply. What is missing is no evidence of anything, and
    /// least of all a zero.
    #[error("the metric store's reply is partial, by its own words: {0}")]
    Partial(String),
    /// The reply is not in the store's format.
    #[error("the metric store sent a reply that cannot be read: {0}")]
    Unreadable(String),
    /// The reply is longer than is read.
    #[error("the metric store's reply is longer than the {0} bytes that are read; ask for fewer series or a larger step")]
    TooLarge(u64),
    /// The reply has more series, or values, than are read.
    #[error(
        "the metric store's reply has more than {0} series, or too many values in all; \
         aggregate in the query (such as `sum by (pod) (...)` in PromQL), or ask for a shorter window"
    )]
    TooManySeries(usize),
}

impl SourceError {
    /// The error of a reply that the store calls incomplete, with the store's own words.
    pub(super) fn partial(words: &str) -> Self {
        Self::Partial(format!(
            "{words}; mend what did not answer, or say `accept_partial: true` for the source where what came is to be judged all the same"
        ))
    }

    /// Whether a query over a shorter window might not have failed so: too many points or samples, too much time, or series of the
    /// past that do not go together.
    #[must_use]
    pub fn may_be_of_length(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::GaveUp(_)
            | Self::TimedOut { .. }
            | Self::Unreadable(_)
            | Self::TooLarge(_)
            | Self::TooManySeries(_) => true,
            // The part that did not answer may be the one that keeps the past.
            Self::Partial(_) => true,
            Self::Template(_)
            | Self::UnknownVariable { .. }
            | Self::Syntax(_)
            | Self::Account(_)
            | Self::Unreachable(_)
            | Self::RateLimited(_)
            | Self::NoTime { .. } => false,
        }
    }

    /// Whether more time, and nothing else, might have helped: the store was slow, or asked to wait for longer than there was time.
    #[must_use]
    pub fn lacked_time(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::NoTime { .. })
    }

    /// Whether the store is at fault, and not the query: any other query would have failed as well.
    #[must_use]
    pub fn is_of_store(&self) -> bool {
        matches!(
            self,
            Self::Account(_)
                | Self::Unreachable(_)
                | Self::RateLimited(_)
                | Self::NoTime { .. }
                | Self::TimedOut { .. }
                | Self::Unreadable(_)
        )
    }

    /// Whether the same query may succeed in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::RateLimited(_) | Self::NoTime { .. } | Self::TimedOut { .. })
    }

    /// What it says, where it says anything.
    fn said(&mut self) -> Option<&mut String> {
        match self {
            Self::Template(said)
            | Self::UnknownVariable { said, .. }
            | Self::Syntax(said)
            | Self::Refused(said)
            | Self::Account(said)
            | Self::Unreachable(said)
            | Self::GaveUp(said)
            | Self::RateLimited(said)
            | Self::Partial(said)
            | Self::Unreadable(said)
            | Self::NoTime { said, .. }
            | Self::TimedOut { stage: said, .. } => Some(said),
            Self::TooLarge(_) | Self::TooManySeries(_) => None,
        }
    }

    /// The error with more words.
    pub(super) fn with(mut self, words: &str) -> Self {
        if let Some(said) = self.said() {
            said.push_str(words);
        }
        self
    }

    /// The error without a secret.
    pub(super) fn without(mut self, secret: &str) -> Self {
        // A shorter one is found in half of all texts, and protects nothing.
        const SHORTEST: usize = 4;
        if let Some(said) = self.said().filter(|said| secret.len() >= SHORTEST && said.contains(secret)) {
            *said = said.replace(secret, "<redacted>");
        }
        self
    }

    /// The error with how often the store was asked, and whether there was no time to ask again, perhaps after as long as it asked for.
    #[must_use]
    pub(super) fn after_tries(mut self, tries: u32, took: Duration, too_late: bool, asked_to_wait: Option<Duration>) -> Self {
        let (Self::Unreachable(said) | Self::RateLimited(said) | Self::NoTime { said, .. } | Self::TimedOut { stage: said, .. }) =
            &mut self
        else {
            return self;
        };
        match asked_to_wait {
            Some(wait) if too_late => said.push_str(&format!("; it asks to wait {} s, {TOO_LATE}", wait.as_secs())),
            None if too_late => said.push_str(&format!("; another try was due, {TOO_LATE}")),
            _ => {}
        }
        if tries > 1 {
            said.push_str(&format!(" ({tries} tries in {:.1} s)", took.as_secs_f64()));
        }
        match self {
            Self::Unreachable(said) if too_late => Self::NoTime { limited: false, said },
            Self::RateLimited(said) if too_late => Self::NoTime { limited: true, said },
            other => other,
        }
    }

    /// The stable word for the kind of failure, as scorecards show it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Template(_) | Self::UnknownVariable { .. } => "template",
            Self::Syntax(_) | Self::Refused(_) => "refused",
            Self::Account(_) => "account",
            Self::Unreachable(_) | Self::NoTime { limited: false, .. } => "unreachable",
            Self::RateLimited(_) | Self::NoTime { limited: true, .. } => "rate_limited",
            Self::GaveUp(_) | Self::TimedOut { .. } => "timeout",
            Self::Partial(_) => "partial",
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge(_) | Self::TooManySeries(_) => "too_large",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_was_no_time_for_is_told_from_what_failed() {
        let down = || SourceError::Unreachable("503 Service Unavailable: no text".to_owned());
        let limited = || SourceError::RateLimited("429 Too Many Requests: no text".to_owned());
        let (took, wait) = (Duration::from_secs(3), Some(Duration::from_secs(20)));
        for error in [down().after_tries(1, took, true, None), limited().after_tries(1, took, true, wait)] {
            assert!(error.lacked_time(), "{error}");
        }
        for error in [down().after_tries(4, took, false, None), limited().after_tries(4, took, false, wait), SourceError::TooLarge(1)] {
            assert!(!error.lacked_time(), "{error}");
        }
    }

    #[test]
    fn only_what_a_shorter_window_may_mend_counts_as_being_of_length() {
        let refused = |said: &str| SourceError::Refused(said.to_owned());
        for of_length in [
            refused("bad_data: exceeded maximum resolution of 11,000 points per timeseries"),
            refused("execution: query processing would load too many samples into memory in query execution"),
            refused("execution: found duplicate series for the match group"),
            SourceError::GaveUp("503 Service Unavailable: timeout: query timed out in expression evaluation".to_owned()),
            SourceError::TimedOut { after: Duration::from_secs(30), stage: String::new() },
            SourceError::TooLarge(1),
            SourceError::TooManySeries(1),
            SourceError::partial("No StoreAPIs matched for this query"),
        ] {
            assert!(of_length.may_be_of_length(), "{of_length}");
        }
        for other in [
            SourceError::Syntax("bad_data: 1:4: parse error: unexpected end of input inside braces".to_owned()),
            SourceError::Unreachable("localhost:9090 refused the connection".to_owned()),
            SourceError::Account("401".to_owned()),
            SourceError::Template("x".to_owned()),
        ] {
            assert!(!other.may_be_of_length(), "{other}");
        }
    }
}
