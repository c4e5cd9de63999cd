//! Bounds of one analysis.

/// Bounds of one analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnalysisLimits {
    /// Most points an arm of a metric may have.
    pub max_points: usize,
    /// Most points it may have where they came with the request.
    pub max_inline_points: usize,
    /// Most queries in flight for one analysis.
    pub concurrent_queries: usize,
}

impl Default for AnalysisLimits {
    fn default() -> Self {
        Self { max_points: 11_000, max_inline_points: 100_000, concurrent_queries: 64 }
    }
}
