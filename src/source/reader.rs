//! What every metric store does: it takes variables into its query language, and reads series.

use tokio::time::Instant;

use super::advice::{Advice, BoundsQuery};
use super::error::SourceError;
use super::query::{Query, Reply, Template};

/// Reads metrics over a window.
///
/// Owns a store's language and wire format and nothing else: the cache, the deadline and the limit on concurrency wrap it.
pub trait StoreReader: Send + Sync {
    /// Puts the variables into a query, each escaped for the place it lands in, so that none can change the query's shape.
    ///
    /// # Errors
    /// [`SourceError::Template`] for an unknown variable, or one in a place where it cannot be escaped.
    fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError>;

    /// What a person should know about the query before trusting its points, such as a rate window longer than the step.
    fn advise(&self, query: &Query) -> Vec<Advice>;

    /// Whether a point of the query depends on the range over which it is asked, and not on its own time alone. Such a query cannot be
    /// asked over a longer range for its past.
    fn depends_on_range(&self, text: &str) -> bool;

    /// Whether each point of the query is the same over whatever range it is asked, so that a window may be read in parts.
    fn is_pointwise(&self, text: &str) -> bool {
        _ = text;
        false
    }

    /// Why the requests in each bucket of a histogram cannot be had from it, with what to ask for in their place; `None` where they can.
    fn without_buckets(&self) -> Option<&'static str> {
        None
    }

    /// How to ask which histogram buckets the values of a query are interpolated in; `None` where they are not, or that is not known.
    fn buckets(&self, query: &Query) -> Option<BoundsQuery> {
        let _ = query;
        None
    }

    /// Reads the series of a query. After `deadline` nobody waits for them any more.
    fn fetch(&self, query: &Query, deadline: Instant) -> impl Future<Output = Result<Reply, SourceError>> + Send;

    /// The names of the metrics there are.
    fn metric_names(&self, deadline: Instant) -> impl Future<Output = Result<Vec<String>, SourceError>> + Send {
        let _ = deadline;
        std::future::ready(Err(SourceError::Refused("it does not list its metrics".to_owned())))
    }
}
