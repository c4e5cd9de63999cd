//! What is the same for every metric of one canary.

use crate::evidence::Looks;

/// What is the same for every metric of one canary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Metrics that could differ at all (m).
    pub(crate) live: usize,
    /// Ratios with counts and distributions among them, and ratios of any kind.
    pub(crate) live_counts: usize,
    pub(crate) live_ratios: usize,
    /// Metrics among them that accumulate.
    pub(crate) live_accumulating: usize,
    pub(crate) step_seconds: f64,
    pub(crate) observed_seconds: f64,
    /// The plan of looks, where there is one of several.
    pub(crate) looks: Option<Looks>,
}

impl Context {
    /// What the level of a regression is divided by at this look: of a plan of `L`, look `l` spends `(2 l - 1) / L^2` of it, so that `l` looks
    /// have spent the square of the fraction that they are of the plan. Early looks see little, and spend little.
    pub(crate) fn looks(&self) -> f64 {
        self.looks.map_or(1.0, |plan| {
            let (look, looks) = (f64::from(plan.look.max(1)), f64::from(plan.looks.max(plan.look).max(1)));
            looks * looks / (2.0 * look - 1.0)
        })
    }

    /// How many chances a healthy canary has of being flagged by so many metrics: each at every look.
    pub(crate) fn chances_of(&self, metrics: usize) -> f64 {
        metrics.max(1) as f64 * self.looks()
    }

    /// Looks at which a healthy canary may pass.
    pub(crate) fn passing_looks(&self) -> f64 {
        self.looks.filter(|plan| plan.early_pass && plan.look < plan.looks).map_or(1.0, |plan| f64::from(plan.looks))
    }
}
