//! The points that every benchmark judges: the same on every run and machine, from a generator small enough to need no crate.

/// Latencies around a level with autocorrelation and a heavy tail, to three decimals as stores report them, so that long series have ties.
pub(crate) fn series(n: usize, mut state: u64, level: f64) -> Vec<f64> {
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 / (1u64 << 53) as f64).max(1e-12)
    };
    // The first numbers of neighbouring seeds resemble each other.
    for _ in 0..8 {
        unit();
    }
    let mut drift = 0.0;
    (0..n)
        .map(|_| {
            drift = 0.5 * drift + (unit() - 0.5);
            (level * (1.0 + 0.05 * drift + 0.01 / unit().sqrt()) * 1000.0).round() / 1000.0
        })
        .collect()
}
