//! Many tests at once: p-values adjusted for their number.

/// Holm's step-down adjustment: the chance of any false rejection stays below the level.
///
/// Entries keep their order. Method: Holm 1979. Checked against R `p.adjust`, `fixtures/reference/multiplicity.json`.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![0.0; p.len()];
    let mut running: f64 = 0.0;
    for (k, i) in order.into_iter().enumerate() {
        running = running.max(((p.len() - k) as f64 * p[i]).min(1.0));
        adjusted[i] = running;
    }
    adjusted
}

/// Benjamini and Hochberg's step-up adjustment: the expected share of false rejections stays below the level.
///
/// Entries keep their order. Method: Benjamini & Hochberg 1995. Checked against R `p.adjust`,
/// `fixtures/reference/multiplicity.json`.
#[must_use]
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![0.0; p.len()];
    let mut running: f64 = 1.0;
    for (k, i) in order.into_iter().enumerate().rev() {
        running = running.min((p.len() as f64 / (k + 1) as f64 * p[i]).min(1.0));
        adjusted[i] = running;
    }
    adjusted
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    order
}
