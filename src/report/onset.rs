//! Since when a canary is worse: the interval at which a change of its level explains its points best (the change point of largest likelihood:
//! D. V. Hinkley, Biometrika 57(1), 1970, doi:10.1093/biomet/57.1.1).

use haldane_judges::stats::Sample;

/// Points by which those of the time before must look healthy rather than worse, for a beginning after the window's; for rates the same as
/// the logarithm of how much likelier (20 times).
const EVIDENCE: f64 = 3.0;

/// Of points that a limit parts: the interval from which on those beyond the middle between the baseline's level and theirs outnumber the
/// others by most. `None` where it never was so.
pub(super) fn of_values(points: &[Option<f64>], baseline: f64, is_past: impl Fn(f64) -> bool) -> Option<usize> {
    let sign = |so: bool| if so { 1.0 } else { -1.0 };
    let first = since(points.iter().map(|point| point.map_or(0.0, |value| sign(is_past(value)))))?;
    let worse: Vec<f64> = points[first..].iter().flatten().copied().collect();
    let level = Sample::of_present(&worse).ok()?.median();
    // The limit may lie so near to either level that chance takes half of the points across it.
    let middle = f64::midpoint(baseline, level);
    let is_nearer = |value: f64| if level > baseline { value > middle } else { value < middle };
    since(points.iter().map(|point| point.map_or(0.0, |value| sign(is_nearer(value)))))
}

/// Of events out of totals, interval by interval: the same by how much likelier each interval is at the canary's rate than at the baseline's.
pub(super) fn of_rates(events: &[Option<f64>], totals: &[Option<f64>], baseline: f64) -> Option<usize> {
    let known = || events.iter().zip(totals).map(|(events, total)| events.zip(*total).filter(|(_, total)| *total > 0.0));
    let from = |first: usize| {
        let (events, total) = known().skip(first).flatten().fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
        // Neither none nor all, of which nothing else could be.
        let within = |rate: f64| rate.clamp(0.5 / (total + 1.0), (total + 0.5) / (total + 1.0));
        let (usual, rate) = (within(baseline), within(events / total));
        let (by_event, by_other) = ((rate / usual).ln(), ((1.0 - rate) / (1.0 - usual)).ln());
        since(known().map(|one| one.map_or(0.0, |(events, total)| events * by_event + (total - events).max(0.0) * by_other)))
    };
    // Once more with the rate since then: that of the whole window is less where the beginning is late.
    from(from(0)?)
}

/// The interval from which on the sum is largest: the first one, unless the time before speaks against it.
fn since(evidence: impl DoubleEndedIterator<Item = f64> + ExactSizeIterator) -> Option<usize> {
    let (mut sum, mut most, mut since) = (0.0, 0.0, None);
    for (i, one) in evidence.enumerate().rev() {
        sum += one;
        if sum > most {
            (most, since) = (sum, Some(i));
        }
    }
    if most - sum < EVIDENCE { since.map(|_| 0) } else { since }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().map(|value| Some(*value).filter(|v| !v.is_nan())).collect()
    }

    #[test]
    fn values_are_worse_since_their_level_changed() {
        let is = |values: &[f64], expected: Option<usize>| {
            assert_eq!(of_values(&points(values), 1.0, |value| value > 1.5), expected, "{values:?}");
        };
        is(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0], Some(3));
        is(&[1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 2.0, f64::NAN, 2.0], Some(6));
        is(&[2.0, 2.0, 1.0, 2.0], Some(0));
        is(&[1.0, 1.0, 2.0, 2.0, 2.0], Some(0));
        is(&[1.0], None);
        is(&[], None);
        // Half of the points are within the limit, and none is of the baseline's level.
        is(&[1.4, 1.45, 1.6, 1.4, 1.4, 1.6, 1.45, 1.6, 1.7, 1.6, 1.4, 1.6], Some(0));
    }

    #[test]
    fn rates_are_worse_since_what_is_likeliest() {
        let totals = points(&[100.0; 12]);
        let is = |events: &[f64; 12], baseline: f64, expected: Option<usize>| {
            assert_eq!(of_rates(&points(events), &totals, baseline), expected, "{events:?}");
        };
        is(&[1.0, 0.0, 2.0, 1.0, 1.0, 0.0, 9.0, 7.0, 4.0, 9.0, 8.0, 9.0], 0.01, Some(6));
        // An interval without events is nothing that one of few events would not have.
        is(&[0.0, 3.0, 4.0, 0.0, 2.0, 5.0, 2.0, 0.0, 4.0, 3.0, 2.0, 6.0], 0.01, Some(0));
        is(&[99.0, 100.0, 99.0, 100.0, 100.0, 99.0, 90.0, 91.0, 90.0, 92.0, 90.0, 91.0], 0.995, Some(6));
        is(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0, 9.0, 9.0, 9.0], 0.0, Some(8));
        is(&[1.0; 12], 0.01, None);
    }
}
