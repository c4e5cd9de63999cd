//! Events out of totals, interval by interval: errors of requests, conversions of visits.
//!
//! Pooled counts are tested exactly while events look independent. Where they come in bursts every pooled test raises false
//! alarms, so the p-value is then the larger of the pooled one and one that allows for bursts.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::binomial::conditional_mid_p;
use super::dependence::{lag1_autocorrelation, long_run_variance, variance_inflation};
use super::paired::{mean_test, paired_rank_test};
use super::ranks::mid_ranks;
use super::{StatError, normal_isf, normal_sf};

/// Chance of dispersion above which events are taken for independent.
pub const INDEPENDENT_ABOVE: f64 = 0.3;
/// Mean events an interval and arm from which log rates carry more than the rates' ranks.
const MANY_EVENTS: f64 = 5.0;

/// One arm's counts, interval by interval; intervals in which the arm did not report are left out by the caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmCounts<'a> {
    /// Events of each interval.
    pub events: &'a [f64],
    /// Totals of each interval.
    pub totals: &'a [f64],
}

impl ArmCounts<'_> {
    fn pooled(&self) -> (f64, f64) {
        (self.events.iter().sum(), self.totals.iter().sum())
    }

    fn check(&self) -> Result<(), StatError> {
        if self.events.len() != self.totals.len() {
            return Err(StatError::Unequal(self.events.len(), self.totals.len()));
        }
        let valid = |(x, m): (&f64, &f64)| x.is_finite() && m.is_finite() && *x >= 0.0 && *x <= *m;
        if self.events.iter().zip(self.totals).all(valid) { Ok(()) } else { Err(StatError::NotCounts) }
    }
}

/// The test that gave a count comparison its p-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountTest {
    /// No events in either arm.
    NoEvents,
    /// One arm had no traffic.
    NoTraffic,
    /// Exact conditional test of the pooled counts, mid-p.
    Pooled,
    /// Signed ranks of the log rates, paired by interval, with a long-run variance.
    SignedRank,
    /// Ranks of the rates, paired by interval, with a long-run variance.
    Ranks,
    /// The pooled counts with their variance inflated by the dispersion within each arm; for arms that do not align.
    Inflated,
}

impl CountTest {
    /// The test's name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoEvents => "no events",
            Self::NoTraffic => "no traffic in one arm",
            Self::Pooled => "exact conditional mid-p",
            Self::SignedRank => "signed ranks of log rates, long-run variance",
            Self::Ranks => "ranks of rates, long-run variance",
            Self::Inflated => "pooled counts, variance inflated by dispersion within the arms",
        }
    }
}

/// Result of a count comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountComparison {
    /// One-sided p-value that the canary's rate is higher.
    pub p: f64,
    /// The test that gave it.
    pub test: CountTest,
    /// Exact conditional mid-p of the pooled counts.
    pub p_pooled: f64,
    /// The pooled one-sided p-value, allowing for bursts which the counts are too few to show; a regression needs it as well.
    pub p_bursts: f64,
    /// Chance of dispersion this large, or autocorrelation this strong, if events were independent; `None` without events.
    pub p_dispersion: Option<f64>,
    /// Independent intervals that the intervals are worth, where a test with a long-run variance was tried.
    pub effective: Option<f64>,
}

impl CountComparison {
    fn untested(test: CountTest) -> Self {
        Self { p: 1.0, test, p_pooled: 1.0, p_bursts: 1.0, p_dispersion: None, effective: None }
    }
}

/// Compares the rates of two arms whose intervals align: entry `i` of both is the same interval.
///
/// # Errors
/// [`StatError::Unequal`] for different lengths, [`StatError::NotCounts`] for a negative count or more events than total.
///
/// Method and switch: pooled mid-p (Lancaster 1961) while the chi-square dispersion around the pooled split and the lag-1
/// autocorrelation of the Pearson residuals are unremarkable (combined p above 0.3). Checked against
/// `fixtures/reference/golden_vectors.json`.
pub fn compare_aligned(canary: ArmCounts<'_>, baseline: ArmCounts<'_>) -> Result<CountComparison, StatError> {
    let pooled = match compare_pooled(canary, baseline)? {
        Ok(pooled) => pooled,
        Err(untested) => return Ok(untested),
    };
    let n = canary.events.len();
    if n != baseline.events.len() {
        return Err(StatError::Unequal(n, baseline.events.len()));
    }
    let intervals = || {
        let counts = canary.events.iter().zip(canary.totals).zip(baseline.events.iter().zip(baseline.totals));
        counts.map(|((xc, mc), (xb, mb))| (*xc, *mc, *xb, *mb))
    };
    let (rate_canary, rate_baseline) = smoothed_rates(canary, baseline);
    let (mut chi_square, mut informative) = (0.0, 0usize);
    let residuals: Vec<f64> = intervals()
        .map(|(xc, mc, xb, mb)| {
            let events = xc + xb;
            if events == 0.0 {
                return 0.0;
            }
            let share = rate_canary * mc / (rate_canary * mc + rate_baseline * mb);
            let variance = (share * (1.0 - share) * events).max(1e-12);
            let excess = xc - share * events;
            chi_square += excess * excess / variance;
            informative += 1;
            excess / variance.sqrt()
        })
        .collect();
    let p_dispersion = dispersion(chi_square, informative.saturating_sub(1), &[&residuals]);
    let p_bursts = if n < 3 { pooled.p } else { burst_proof(canary, baseline, pooled.p) };
    let pooled = CountComparison { p_dispersion: Some(p_dispersion), p_bursts, ..pooled };
    if p_dispersion > INDEPENDENT_ABOVE || n < 3 {
        return Ok(pooled);
    }
    let (events_canary, _) = canary.pooled();
    let (events_baseline, _) = baseline.pooled();
    let (robust, test) = if (events_canary + events_baseline) / (2.0 * n as f64) >= MANY_EVENTS {
        let log_ratio = |(xc, mc, xb, mb): (f64, f64, f64, f64)| ((xc + 0.5) / (mc + 1.0)).ln() - ((xb + 0.5) / (mb + 1.0)).ln();
        let logs: Vec<f64> = intervals().map(log_ratio).collect();
        let ranks = mid_ranks(&logs.iter().map(|v| v.abs()).collect::<Vec<_>>());
        let sign = |v: f64| if v == 0.0 { 0.0 } else { v.signum() };
        let signed: Vec<f64> = logs.iter().zip(ranks).map(|(v, rank)| sign(*v) * rank / (n as f64 + 1.0)).collect();
        (mean_test(&signed), CountTest::SignedRank)
    } else {
        let rate = |x: f64, m: f64| if m > 0.0 { x / m } else { 0.0 };
        let canary: Vec<f64> = intervals().map(|(xc, mc, _, _)| rate(xc, mc)).collect();
        let baseline: Vec<f64> = intervals().map(|(_, _, xb, mb)| rate(xb, mb)).collect();
        (paired_rank_test(&canary, &baseline)?, CountTest::Ranks)
    };
    Ok(CountComparison { p: robust.p.max(pooled.p), test, effective: Some(robust.effective), ..pooled })
}

/// The pooled score divided by the root of how much more the events in excess of the fitted split vary, over the window and in the
/// long run, than independent events would. Bursts that both arms share cancel out.
///
/// A quasi-likelihood score test (McCullagh & Nelder 1989, section 4.5) with a long-run variance in place of the dispersion. Checked
/// against `fixtures/reference/bursts.json`.
fn burst_proof(canary: ArmCounts<'_>, baseline: ArmCounts<'_>, p_pooled: f64) -> f64 {
    let (rate_canary, rate_baseline) = smoothed_rates(canary, baseline);
    let mut binomial = 0.0;
    let counts = canary.events.iter().zip(canary.totals).zip(baseline.events.iter().zip(baseline.totals));
    let excess: Vec<f64> = counts
        .map(|((xc, mc), (xb, mb))| {
            let weighted = rate_canary * mc + rate_baseline * mb;
            let share = if weighted > 0.0 { rate_canary * mc / weighted } else { 0.0 };
            binomial += share * (1.0 - share) * (xc + xb);
            xc - share * (xc + xb)
        })
        .collect();
    let inflation = long_run_variance(&excess).variance * excess.len() as f64 / binomial.max(1e-12);
    if inflation > 1.0 { normal_sf(normal_isf(p_pooled) / inflation.sqrt()) } else { p_pooled }
}

/// Compares the rates of two arms whose intervals do not align, with dispersion measured within each arm.
///
/// Where events look bursty, the pooled normal score is shrunk by the square root of the dispersion (quasi-binomial) and of the
/// inflation that autocorrelated residuals cause.
///
/// # Errors
/// As [`compare_aligned`], but for arms of different lengths.
pub fn compare_unaligned(canary: ArmCounts<'_>, baseline: ArmCounts<'_>) -> Result<CountComparison, StatError> {
    let pooled = match compare_pooled(canary, baseline)? {
        Ok(pooled) => pooled,
        Err(untested) => return Ok(untested),
    };
    let (mut chi_square, mut degrees, mut inflation) = (0.0, 0usize, 1.0f64);
    let mut residuals = Vec::with_capacity(2);
    for arm in [canary, baseline] {
        let (events, total) = arm.pooled();
        let rate = (events + 0.5) / (total + 1.0);
        let of_arm: Vec<f64> = arm
            .events
            .iter()
            .zip(arm.totals)
            .filter(|(_, m)| **m > 0.0)
            .map(|(x, m)| (x - rate * m) / (rate * (1.0 - rate) * m).max(1e-12).sqrt())
            .collect();
        chi_square += of_arm.iter().map(|z| z * z).sum::<f64>();
        degrees += of_arm.len().saturating_sub(1);
        if of_arm.len() >= 5 {
            inflation = inflation.max(variance_inflation(lag1_autocorrelation(&of_arm), of_arm.len()));
        }
        residuals.push(of_arm);
    }
    let slices: Vec<&[f64]> = residuals.iter().map(Vec::as_slice).collect();
    let p_dispersion = dispersion(chi_square, degrees, &slices);
    let factor = (chi_square / degrees.max(1) as f64).max(1.0) * inflation;
    let p_bursts = if factor > 1.0 { normal_sf(normal_isf(pooled.p) / factor.sqrt()).max(pooled.p) } else { pooled.p };
    let pooled = CountComparison { p_dispersion: Some(p_dispersion), p_bursts, ..pooled };
    if p_dispersion > INDEPENDENT_ABOVE || degrees == 0 {
        return Ok(pooled);
    }
    Ok(CountComparison { p: p_bursts, test: CountTest::Inflated, ..pooled })
}

/// The pooled test, or the reason why there is nothing to test.
fn compare_pooled(canary: ArmCounts<'_>, baseline: ArmCounts<'_>) -> Result<Result<CountComparison, CountComparison>, StatError> {
    canary.check()?;
    baseline.check()?;
    let ((xc, mc), (xb, mb)) = (canary.pooled(), baseline.pooled());
    if mc <= 0.0 || mb <= 0.0 {
        return Ok(Err(CountComparison::untested(CountTest::NoTraffic)));
    }
    if (xc + xb).round() == 0.0 {
        return Ok(Err(CountComparison::untested(CountTest::NoEvents)));
    }
    let p = conditional_mid_p(xc, mc, xb, mb);
    Ok(Ok(CountComparison { p, test: CountTest::Pooled, p_pooled: p, p_bursts: p, p_dispersion: None, effective: None }))
}

/// Rates with half an event added, so that neither is 0.
fn smoothed_rates(canary: ArmCounts<'_>, baseline: ArmCounts<'_>) -> (f64, f64) {
    let smoothed = |(x, m): (f64, f64)| (x + 0.5) / (m + 1.0);
    (smoothed(canary.pooled()), smoothed(baseline.pooled()))
}

/// Chance of a chi-square this large or of a lag-1 autocorrelation this strong, whichever is smaller, doubled.
fn dispersion(chi_square: f64, degrees: usize, residuals: &[&[f64]]) -> f64 {
    let p_chi = ChiSquared::new(degrees.max(1) as f64).map_or(1.0, |distribution| distribution.sf(chi_square));
    let (mut products, mut squares, mut n) = (0.0, 0.0, 0usize);
    for z in residuals {
        let mean = z.iter().sum::<f64>() / z.len().max(1) as f64;
        squares += z.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        products += z.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum::<f64>();
        n += z.len();
    }
    let r = if squares > 0.0 { products / squares } else { 0.0 };
    let nf = n.max(1) as f64;
    let p_serial = normal_sf((r + 1.0 / nf) * nf.sqrt());
    (2.0 * p_chi.min(p_serial)).min(1.0)
}
