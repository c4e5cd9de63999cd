//! Arms whose points lie apart in time, as a clock that is off or late data would have it: told from the points of all metrics together.
//!
//! Warnings only: nothing here changes a sample or a verdict. Both arms must lie over the same window.

use haldane_judges::evidence::Points;

use super::{present, spoken};

/// Both arms of one metric, on one grid.
#[derive(Debug, Clone, Copy)]
pub(in crate::analysis) struct ArmPair<'a> {
    pub(in crate::analysis) baseline: &'a Points,
    pub(in crate::analysis) canary: &'a Points,
    /// Distance between points, in seconds.
    pub(in crate::analysis) step_seconds: i64,
}

/// Points by which the ends of two arms must lie apart.
const APART: usize = 2;
/// Fewest metrics from which it is told.
const FEWEST_METRICS: usize = 2;
/// Share of the places from its first point to its last at which an arm reports that is steady.
const STEADY: f64 = 0.8;

/// Says once that an arm begins later or ends earlier than the other, where it does by two points or more in every metric that both arms
/// report steadily over more than half of the window, of which there must be two. Sparse metrics begin and end by chance.
pub(in crate::analysis) fn ends_apart(pairs: &[ArmPair<'_>]) -> Vec<String> {
    let reported: Vec<(ReportTimes, ReportTimes, i64)> =
        pairs.iter().filter_map(|pair| Some((ReportTimes::of(pair.baseline)?, ReportTimes::of(pair.canary)?, pair.step_seconds))).collect();
    // Of every metric, by how many seconds; the least of them.
    let in_all = |points: &dyn Fn(&ReportTimes, &ReportTimes) -> Option<usize>| -> Option<i64> {
        let apart = |(a, b, step): &(ReportTimes, ReportTimes, i64)| Some(i64::try_from(points(a, b)?).ok()?.saturating_mul(*step));
        reported.iter().map(apart).collect::<Option<Vec<i64>>>()?.into_iter().min()
    };
    if reported.len() < FEWEST_METRICS {
        return Vec::new();
    }
    let every = format!("all {} metrics that both report", reported.len());
    let mut said = Vec::new();
    for (late, other, swapped) in [("canary", "baseline", false), ("baseline", "canary", true)] {
        let order = |f: fn(&ReportTimes, &ReportTimes) -> Option<usize>| {
            move |a: &ReportTimes, b: &ReportTimes| if swapped { f(b, a) } else { f(a, b) }
        };
        // Of the other arm and the late one.
        if let Some(seconds) = in_all(&order(|other, late| late.begins_after(other))) {
            said.push(format!(
                "the {late}'s series start {} after the {other}'s in {every}: it is younger than the window, or a clock is off",
                spoken(seconds)
            ));
        }
        if let Some(seconds) = in_all(&order(|other, late| late.ends_before(other))) {
            said.push(format!(
                "the {late}'s series end {} before the {other}'s in {every}: late data, a clock behind, or it has stopped",
                spoken(seconds)
            ));
        }
    }
    said
}

/// Where an arm has points.
struct ReportTimes {
    first: usize,
    /// Places from the last point to the end of the window.
    after_last: usize,
    /// Longest run of places without a point between the two.
    gap: usize,
}

impl ReportTimes {
    /// `None` where the arm does not report steadily, or over half of the window at most.
    fn of(points: &Points) -> Option<Self> {
        let present = present(points);
        let first = present.iter().position(|present| *present)?;
        let last = present.iter().rposition(|present| *present)?;
        let between = &present[first..=last];
        let reports = between.iter().filter(|present| **present).count() as f64;
        if 2 * between.len() <= present.len() || reports < STEADY * between.len() as f64 {
            return None;
        }
        let gap = between.split(|present| *present).map(<[bool]>::len).max().unwrap_or(0);
        Some(Self { first, after_last: present.len() - 1 - last, gap })
    }

    /// By how many points, where it is more than the gaps that either arm has anyway.
    fn begins_after(&self, other: &Self) -> Option<usize> {
        Self::apart(self.first, other.first, self.gap.max(other.gap))
    }

    fn ends_before(&self, other: &Self) -> Option<usize> {
        Self::apart(self.after_last, other.after_last, self.gap.max(other.gap))
    }

    fn apart(own: usize, other: usize, usual: usize) -> Option<usize> {
        own.checked_sub(other).filter(|points| *points >= APART && *points > usual)
    }
}

/// Fewest points apart that are claimed: arms that are scraped at other moments of the step lie up to one apart.
const NEAREST: i64 = 2;
/// Furthest that the arms are compared apart, in points.
const FURTHEST: i64 = 5;
/// Fewest points of both arms from which it is told whether they lie apart.
const FEWEST: usize = 30;
/// Most points of a metric that are looked at, the newest.
const MOST: usize = 720;
/// Furthest that a series is compared with itself, in points.
const FURTHEST_OWN: usize = 60;
/// Correlation from which one arm is taken to follow the other.
const FOLLOWS: f64 = 0.5;
/// A series that repeats itself this much follows the other at any distance.
const PERIODIC: f64 = 0.5;
/// Normal quantile of 1 - 1e-5. Over the eight lags that are claimed that would be one healthy canary in 12,500, were Fisher's z exactly
/// normal and its variance exact; the thousand canaries of the simulation, none of them claimed, bound the rate at 0.3 % (95 %).
const QUANTILE: f64 = 4.265;
/// Variance of Fisher's z of a rank correlation, times n - 3: Fieller, Hartley & Pearson (1957), doi:10.1093/biomet/44.3-4.470.
const RANK_VARIANCE: f64 = 1.06;

/// How far one arm's points follow the other's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::analysis) struct Lag {
    /// Steps by which the canary's points come after the baseline's; negative where they come before.
    pub(in crate::analysis) steps: i64,
    /// Rank correlation at that lag, over all metrics.
    pub(in crate::analysis) correlation: f64,
}

impl Lag {
    /// What the scorecard says of it.
    pub(in crate::analysis) fn warning(self, step_seconds: i64) -> String {
        let (follows, leads) = if self.steps > 0 { ("canary", "baseline") } else { ("baseline", "canary") };
        let steps = self.steps.abs();
        format!(
            "the {follows}'s points follow the {leads}'s by {steps} steps ({} s; correlation {:.2}): a clock is off, or data arrives late",
            steps.saturating_mul(step_seconds),
            self.correlation
        )
    }
}

/// The lag at which the canary's points follow the baseline's, where that is clearly two points or more.
///
/// Arms under one load rise and fall together. So first differences of both arms are put in ranks (a single burst must not decide) and
/// correlated at lags of -5 to 5 points; Fisher's z of each metric is pooled, weighted by its points. Claimed is the best lag, where its
/// correlation is at least 0.5 and its z is above that of lag 0 by more than 4.265 standard errors of their difference. That error is as
/// large as if all metrics were one, since they share what moves them, and grows with the arms' autocorrelation: of correlations of two
/// series of n points, `n cov(r_i, r_j)` is about the sum over k of `rho_x(k) rho_y(k + j - i)` (Bartlett 1946, doi:10.2307/2983611).
/// Left out are metrics with fewer than 30 points in both arms, those that seldom change, and those whose differences repeat: a job that runs every
/// five minutes in both arms, but not in the same minute, is no clock.
pub(in crate::analysis) fn lag(pairs: &[ArmPair<'_>]) -> Option<Lag> {
    let metrics: Vec<Correlated> = pairs.iter().filter_map(|pair| Correlated::of(pair.baseline, pair.canary)).collect();
    let weight: f64 = metrics.iter().map(|one| one.weight).sum();
    if metrics.is_empty() || weight <= 0.0 {
        return None;
    }
    let pooled = |of: &dyn Fn(&Correlated) -> f64| metrics.iter().map(|one| one.weight * of(one)).sum::<f64>() / weight;
    let z: Vec<f64> = (0..LAGS).map(|i| pooled(&|one| one.z[i])).collect();
    let best = (0..LAGS).max_by(|a, b| z[*a].total_cmp(&z[*b]))?;
    let margin = QUANTILE * pooled(&|one| one.variance[best]).sqrt();
    let claimed = best.abs_diff(ZERO) >= NEAREST as usize && z[best].tanh() >= FOLLOWS && z[best] - z[ZERO] > margin;
    claimed.then(|| Lag { steps: best as i64 - FURTHEST, correlation: z[best].tanh() })
}

/// Lags that are looked at, and the place of lag 0 among them.
const LAGS: usize = 2 * FURTHEST as usize + 1;
const ZERO: usize = FURTHEST as usize;

/// What one metric says.
struct Correlated {
    weight: f64,
    /// Fisher's z of the correlation at each lag.
    z: [f64; LAGS],
    /// Variance of its difference to that at lag 0.
    variance: [f64; LAGS],
}

impl Correlated {
    fn of(baseline: &Points, canary: &Points) -> Option<Self> {
        let (baseline, canary) = (newest(baseline), newest(canary));
        let both = baseline.iter().zip(&canary).filter(|(b, c)| b.is_finite() && c.is_finite()).count();
        if both < FEWEST || baseline.len() != canary.len() {
            return None;
        }
        let (b, c) = (ranks_of_differences(&baseline)?, ranks_of_differences(&canary)?);
        let own = (both / 3).min(FURTHEST_OWN);
        let autocorrelations = |of: &[f64]| -> Vec<f64> { (0..=own).map(|k| correlation(of, of, k as i64).unwrap_or(0.0)).collect() };
        let (of_b, of_c) = (autocorrelations(&b), autocorrelations(&c));
        if of_b.iter().chain(&of_c).zip((0..=own).chain(0..=own)).any(|(r, k)| k >= 2 && *r >= PERIODIC) {
            return None;
        }
        // Sum over k of the products at k and k + lag.
        let bartlett = |lag: i64| -> f64 {
            let reach = own as i64;
            let at = |of: &[f64], k: i64| of.get(usize::try_from(k.abs()).unwrap_or(usize::MAX)).copied().unwrap_or(0.0);
            (-reach..=reach).map(|k| at(&of_b, k) * at(&of_c, k + lag)).sum()
        };
        let weight = both as f64 - 4.0;
        let (mut z, mut variance) = ([0.0; LAGS], [0.0; LAGS]);
        for (i, lag) in (-FURTHEST..=FURTHEST).enumerate() {
            z[i] = correlation(&b, &c, lag)?.clamp(-0.999, 0.999).atanh();
            // Never taken for smaller than for series without autocorrelation.
            variance[i] = RANK_VARIANCE * (2.0 * (bartlett(0) - bartlett(lag))).max(2.0) / weight;
        }
        Some(Self { weight, z, variance })
    }
}

/// The newest points; for counts and buckets the totals, which follow the load.
fn newest(points: &Points) -> Vec<f64> {
    let values = match points {
        Points::Values(values) => values,
        Points::Counts { totals, .. } => totals,
        Points::Buckets(buckets) => buckets.totals(),
    };
    values[values.len().saturating_sub(MOST)..].to_vec()
}

/// Ranks of the differences between neighbours, ties at their mean rank; `NaN` where a neighbour is missing. `None` where fewer than half of
/// them are other than 0.
fn ranks_of_differences(values: &[f64]) -> Option<Vec<f64>> {
    let differences: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut order: Vec<usize> = (0..differences.len()).filter(|i| differences[*i].is_finite()).collect();
    let moved = order.iter().filter(|i| differences[**i] != 0.0).count();
    if order.is_empty() || 2 * moved < order.len() {
        return None;
    }
    order.sort_by(|a, b| differences[*a].total_cmp(&differences[*b]));
    let mut ranks = vec![f64::NAN; differences.len()];
    let mut begin = 0;
    for tied in order.chunk_by(|a, b| differences[*a] == differences[*b]) {
        let rank = begin as f64 + (tied.len() - 1) as f64 / 2.0;
        tied.iter().for_each(|i| ranks[*i] = rank);
        begin += tied.len();
    }
    Some(ranks)
}

/// Pearson's correlation of `a` with `b`, `lag` places later; `None` over fewer than 20 pairs, and of what does not vary.
fn correlation(a: &[f64], b: &[f64], lag: i64) -> Option<f64> {
    let shift = usize::try_from(lag.unsigned_abs()).ok()?;
    let (a, b) = if lag >= 0 { (a, b.get(shift..)?) } else { (a.get(shift..)?, b) };
    let known = || a.iter().zip(b).filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let n = known().count();
    if n < 20 {
        return None;
    }
    let (sum_a, sum_b) = known().fold((0.0, 0.0), |sums, (a, b)| (sums.0 + a, sums.1 + b));
    let (mean_a, mean_b) = (sum_a / n as f64, sum_b / n as f64);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in known() {
        let (a, b) = (a - mean_a, b - mean_b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

#[cfg(test)]
mod tests {
    use haldane_judges::evidence::ABSENT;
    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn values(length: usize, from: usize, to: usize) -> Points {
        Points::Values((0..length).map(|i| if (from..to).contains(&i) { 1.0 } else { ABSENT }).collect())
    }

    fn said(arms: &[(Points, Points)]) -> Vec<String> {
        let pairs: Vec<ArmPair<'_>> = arms.iter().map(|(baseline, canary)| ArmPair { baseline, canary, step_seconds: 60 }).collect();
        ends_apart(&pairs)
    }

    #[test]
    fn an_arm_that_ends_early_in_every_metric_is_told_once() {
        let early = || (values(30, 0, 30), values(30, 0, 26));
        let warnings = said(&[early(), early(), (values(30, 0, 30), values(30, 0, 25)), (values(30, 0, 30), values(30, 0, 0))]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("the canary's series end 4 min before the baseline's in all 3 metrics"), "{warnings:?}");
    }

    #[test]
    fn a_young_canary_is_told_and_so_is_a_young_baseline() {
        let both = |baseline: Points, canary: Points| said(&[(baseline.clone(), canary.clone()), (baseline, canary)]);
        let warnings = both(values(30, 0, 30), values(30, 12, 30));
        assert!(warnings.len() == 1 && warnings[0].starts_with("the canary's series start 12 min after"), "{warnings:?}");
        let warnings = both(values(30, 2, 30), values(30, 0, 30));
        assert!(warnings.len() == 1 && warnings[0].starts_with("the baseline's series start 2 min after"), "{warnings:?}");
    }

    #[test]
    fn ends_that_lie_a_point_apart_or_not_in_all_metrics_or_within_usual_gaps_are_not_told() {
        let early = || (values(30, 0, 30), values(30, 0, 26));
        let apart = || (values(30, 0, 30), values(30, 1, 29));
        assert_eq!(said(&[apart(), apart()]), [""; 0]);
        assert_eq!(said(&[early(), (values(30, 0, 30), values(30, 0, 30))]), [""; 0]);
        let sparse = |offset: usize| Points::Values((0..30).map(|i| if i % 6 == offset { 1.0 } else { ABSENT }).collect());
        assert_eq!(said(&[(sparse(5), sparse(1)), (sparse(5), sparse(1))]), [""; 0]);
        assert_eq!(said(&[]), [""; 0]);
    }

    #[test]
    fn one_metric_sparse_ones_and_bursts_tell_nothing_of_the_ends() {
        let early = || (values(30, 0, 30), values(30, 0, 26));
        assert_eq!(said(&[early()]), [""; 0]);
        let some = |places: &[usize]| Points::Values((0..30).map(|i| if places.contains(&i) { 1.0 } else { ABSENT }).collect());
        let sparse = || (some(&[1, 9, 14, 20, 29]), some(&[0, 3, 11, 22]));
        let burst = || (values(30, 20, 28), values(30, 4, 12));
        for arms in [vec![sparse(), sparse()], vec![burst(), burst()], vec![early(), sparse(), burst()]] {
            assert_eq!(said(&arms), [""; 0]);
        }
        // They do not keep the others from telling either.
        assert_eq!(said(&[early(), early(), sparse(), burst()]).len(), 1);
    }

    /// A normal deviate, by Box and Muller.
    fn normal(rng: &mut SmallRng) -> f64 {
        let (u, v): (f64, f64) = (rng.random(), rng.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Moments of a step at which an arm may be scraped.
    const MOMENTS: usize = 4;

    /// An autoregressive series of order 1 with variance 1, a value each moment of `n` steps, whose autocorrelation over a step is `phi`.
    fn autoregressive(steps: usize, phi: f64, rng: &mut SmallRng) -> Vec<f64> {
        let (n, phi) = (steps * MOMENTS, phi.powf(1.0 / MOMENTS as f64));
        let mut at = normal(rng);
        (0..n)
            .map(|_| {
                at = phi * at + (1.0 - phi * phi).sqrt() * normal(rng);
                at
            })
            .collect()
    }

    /// A service: metrics of both arms under one load, the canary's so many points late.
    struct LoadedService {
        n: usize,
        metrics: usize,
        /// Autocorrelation of the load and of the noise.
        load: f64,
        noise: f64,
        /// Noise against the load.
        noisy: f64,
        /// Points over which each value is a mean, as those of a rate window longer than the step.
        window: usize,
        late: usize,
        /// Whether each arm is scraped at its own moment of the step.
        phases: bool,
    }

    impl LoadedService {
        fn play(&self, seed: u64) -> Vec<(Points, Points)> {
            let rng = &mut SmallRng::seed_from_u64(seed);
            let long = self.n + self.late + self.window + 1;
            let load = autoregressive(long, self.load, rng);
            let phases: [usize; 2] = std::array::from_fn(|_| if self.phases { rng.random_range(0..MOMENTS) } else { 0 });
            let mut arm = |late: usize, phase: usize| {
                let noise = autoregressive(long, self.noise, rng);
                let raw: Vec<f64> = load.iter().zip(noise).map(|(load, noise)| load + self.noisy * noise).collect();
                let smooth = raw.windows(self.window * MOMENTS).map(|part| part.iter().sum::<f64>() / part.len() as f64);
                let smooth: Vec<f64> = smooth.collect();
                // What an arm has at a place is what the load was at its last scrape, and in the canary `late` places before.
                let first = smooth.len() - 1 - (self.n - 1 + late) * MOMENTS - phase;
                let scrapes = smooth[first..].iter().step_by(MOMENTS).take(self.n);
                Points::Values(scrapes.map(|value| 100.0 + 10.0 * value).collect())
            };
            (0..self.metrics).map(|_| (arm(0, phases[0]), arm(self.late, phases[1]))).collect()
        }

        fn lag(&self, seed: u64) -> Option<i64> {
            let arms = self.play(seed);
            let pairs: Vec<ArmPair<'_>> = arms.iter().map(|(baseline, canary)| ArmPair { baseline, canary, step_seconds: 60 }).collect();
            lag(&pairs).map(|lag| lag.steps)
        }
    }

    /// Services of many kinds, healthy but for how late the canary's points are.
    fn services(late: usize, phases: bool) -> impl Iterator<Item = (u64, LoadedService)> {
        let kinds = [(0.0, 0.0), (0.0, 0.7), (0.9, 0.0), (0.9, 0.5), (0.99, 0.9)];
        (0..1_000_u64).map(move |seed| {
            let i = seed as usize;
            let (load, noise) = kinds[i % 5];
            let (n, metrics) = ([30, 45, 60, 120][i / 5 % 4], [1, 2, 8][i / 20 % 3]);
            let (noisy, window) = ([0.1, 0.5, 2.0][i / 60 % 3], [1, 2, 5][i / 180 % 3]);
            (seed, LoadedService { n, metrics, load, noise, noisy, window, late, phases })
        })
    }

    #[test]
    fn no_healthy_canary_of_a_thousand_is_said_to_be_late() {
        for (seed, service) in services(0, false).chain(services(0, true)) {
            assert_eq!(service.lag(seed), None, "seed {seed}, each its own scrape: {}", service.phases);
        }
    }

    #[test]
    fn what_the_moment_of_the_scrape_explains_is_not_claimed() {
        // An arm that is scraped right before the other's next scrape lies a step behind.
        for (seed, service) in services(1, false) {
            assert_eq!(service.lag(seed), None, "seed {seed}");
        }
    }

    #[test]
    fn late_points_are_found_within_a_step_where_each_arm_has_its_own_scrape() {
        let (mut clear, mut found) = (0, 0);
        for (seed, service) in services(3, true) {
            let lag = service.lag(seed);
            assert!(matches!(lag, None | Some(2..=4)), "seed {seed}: {lag:?}");
            // A load that changes slowly against the step, with little noise, over two hours.
            if service.noisy < 0.2 && service.n >= 120 && service.load == 0.9 && service.window == 2 {
                clear += 1;
                found += u32::from(lag.is_some());
            }
        }
        assert!(clear >= 10 && found * 10 >= clear * 7, "{found} of {clear}");
    }

    #[test]
    fn late_points_are_found_by_how_many_and_never_at_another_lag() {
        let (mut clear, mut found) = (0, 0);
        for (seed, service) in services(2, false) {
            let lag = service.lag(seed);
            assert!(matches!(lag, None | Some(2)), "seed {seed}: {lag:?}");
            // A load that moves every minute, with little noise, over an hour.
            if service.window == 1 && service.noisy < 0.2 && service.n >= 60 && service.load < 0.95 {
                clear += 1;
                found += u32::from(lag.is_some());
            }
        }
        assert!(clear >= 40 && found * 10 >= clear * 9, "{found} of {clear}");
    }

    #[test]
    fn the_arm_that_follows_is_named() {
        let service = LoadedService { n: 60, metrics: 3, load: 0.5, noise: 0.0, noisy: 0.1, window: 1, late: 3, phases: false };
        let arms = service.play(7);
        let pair = |(baseline, canary)| ArmPair { baseline, canary, step_seconds: 60 };
        let forth: Vec<ArmPair<'_>> = arms.iter().map(|(b, c)| pair((b, c))).collect();
        let back: Vec<ArmPair<'_>> = arms.iter().map(|(b, c)| pair((c, b))).collect();
        let (forth, back) = (lag(&forth).unwrap(), lag(&back).unwrap());
        assert_eq!((forth.steps, back.steps), (3, -3));
        assert!(forth.warning(60).starts_with("the canary's points follow the baseline's by 3 steps (180 s;"), "{}", forth.warning(60));
        assert!(back.warning(60).starts_with("the baseline's points follow the canary's by 3 steps"), "{}", back.warning(60));
    }

    #[test]
    fn jobs_that_run_in_another_minute_and_single_bursts_are_no_clock() {
        let rng = &mut SmallRng::seed_from_u64(1);
        let mut arm = |burst: &dyn Fn(usize) -> bool, n: usize, noise: f64| {
            Points::Values((0..n).map(|i| f64::from(u8::from(burst(i))) * 50.0 + noise * normal(rng)).collect())
        };
        let jobs = (arm(&|i| i % 5 == 0, 120, 1.0), arm(&|i| i % 5 == 2, 120, 1.0));
        let bursts = (arm(&|i| i == 20, 60, 1.0), arm(&|i| i == 22, 60, 1.0));
        let rare = (arm(&|i| i == 20 || i == 33, 60, 0.0), arm(&|i| i == 22 || i == 35, 60, 0.0));
        for (baseline, canary) in [&jobs, &bursts, &rare] {
            assert_eq!(lag(&[ArmPair { baseline, canary, step_seconds: 60 }]), None);
        }
    }

    proptest! {
        #[test]
        fn no_points_make_it_panic(
            a in prop::collection::vec(prop::num::f64::ANY, 0..90), b in prop::collection::vec(prop::num::f64::ANY, 0..90), step_seconds: i64
        ) {
            let (baseline, canary) = (Points::Values(a.clone()), Points::Counts { events: a, totals: b });
            let pair = ArmPair { baseline: &baseline, canary: &canary, step_seconds };
            let _ = (ends_apart(&[pair]), lag(&[pair]).map(|lag| lag.warning(step_seconds)));
        }
    }
}
