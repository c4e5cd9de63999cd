//! Who is told of every judgement.

use std::fmt::Debug;
use std::sync::Arc;

use super::plan::Plan;
use super::scorecard::Scorecard;

/// Is told of every judgement once it was made, on a thread that may take a moment but no longer: a caller waits for it.
pub trait JudgementObserver: Debug + Send + Sync {
    /// What was judged, and what came of it with its samples; it has no id yet.
    fn judged(&self, plan: &Arc<Plan>, scorecard: &Scorecard);
}
