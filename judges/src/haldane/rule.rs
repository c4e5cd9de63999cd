//! Every constant of the judge, with its unit, where it comes from and what it was measured to buy. `docs/METHOD.md` has the formulas.
//!
//! Measured on 2,282 healthy and 661 faulty recorded canaries and on simulations unless said otherwise. "Failed" is the share of healthy
//! canaries that fail, "found" that of faulty ones whose affected metric is regressed.

// ---- the ladder ------------------------------------------------------------------------------------------------------------------

/// Level at which a suspicion is raised, for the metric alone: never shared, so that healthy neighbours acquit nobody.
pub(super) const P_SUSPECT: f64 = 0.05;
/// Level at which a shift as large as must be detectable is excluded, which a pass takes.
pub(super) const P_PASS: f64 = 0.05;

// ---- values ----------------------------------------------------------------------------------------------------------------------

/// Level of a regression of a value, shared among the metrics and looks. .04 finds 1 point less and .07 fails 1 point more.
pub(super) const P_VALUE: f64 = 0.05;
/// Level of the exact Mann-Whitney test that a flag by ranks must reach as well. Without a past it costs 8 points of PetShop's windows of
/// three points and buys .3 points of healthy canaries not passed; with one it buys 3 points of those of many metrics.
pub(super) const P_RANK: f64 = 0.05;
/// What a p-value is multiplied by where there is a past, and two legs share the level: ranks, and means, which carry two thirds of it
/// since no rank test stands beside them (weighted Bonferroni). Means find 62 where ranks alone find 49 % of MS cloud's faults; with
/// each leg at the whole level 2.8 in place of 2.1 % of healthy canaries fail.
pub(super) const LEGS: (f64, f64) = (3.0, 1.5);
/// Windows that this window's own scatter is worth beside placebo windows. Without it 3.2 in place of 2.2 % of healthy canaries fail.
pub(super) const OWN_WINDOWS: f64 = 2.0;
/// Placebo windows from which the past decides, and most of them.
pub(super) const ENOUGH_WINDOWS: usize = crate::scorecard::HistoryNumbers::ENOUGH_WINDOWS;
pub(super) const MOST_WINDOWS: usize = 20;
/// Quantile of the placebo shifts' sizes that their standard deviation is read from, and that quantile of a normal variable's size. One
/// old incident does not move it; the root mean square in its place loses 4 points of what is found.
pub(super) const PLACEBO_QUANTILE: (f64, f64) = (0.90, 1.645);
/// Relative tolerance where the config states none: without a past, and with [`FULL_PAST`] placebo windows, between which it slides.
pub(super) const TOLERANCE: (f64, f64) = (0.25, 0.10);
/// Fraction of the tolerance from which a shift may be suspect, likewise.
pub(super) const SUSPECT_PART: (f64, f64) = (0.4, 0.5);
/// Placebo windows from which the past counts in full for the tolerance. A jump at the fifth window holds .3 points more of healthy canaries.
pub(super) const FULL_PAST: usize = MOST_WINDOWS;
/// Levels are floored at this fraction of the mean size of the values, of the window and of its past, and those of placebo windows at this
/// fraction of their median: next to zero no fraction means anything.
pub(super) const LEVEL_FLOOR: f64 = 0.1;
/// Largest placebo shift, as a fraction of its level; finite so that quantiles can be taken.
pub(super) const LARGEST_SHIFT: f64 = 1e6;
/// Smallest factor that a quotient of two days is formed of.
pub(super) const LEAST_FACTOR: f64 = 0.1;
/// Standard deviation between fresh instances of which nothing is known, as a fraction of the level, and the instances it is worth.
pub(super) const POD: (f64, f64) = (0.05, 2.0);
/// Instances that are compared one by one.
pub(super) const MOST_INSTANCES: usize = 8;
/// Fewest points of each arm for any comparison of values.
pub(super) const FEWEST: usize = 3;
/// Points of the smaller arm from which the baseline's scatter alone is the measure, so that a canary's bursts are no excuse.
pub(super) const BASELINE_SCATTER_FROM: usize = 10;
/// Below that many points, a scatter beyond this fraction of the level keeps a shift suspect unless it is gross: the level is not held
/// there (15 % of healthy pairs of 3 points, .6 against .15, would fail).
pub(super) const FEW_NOISY: (usize, f64) = (10, 0.30);
/// In the first half of a plan fewer points than this raise a suspicion of a value at most, unless it is gross: 12 looks at 60 points would
/// else fail 2.3 times as many healthy canaries as the last of them alone.
pub(super) const PLAN_POINTS: usize = 30;
/// A gross shift: of the level itself, in so large a share of the comparisons, and so many times the scatter.
pub(super) const GROSS: (f64, f64, f64) = (1.0, 0.95, 3.0);
/// A comparison that is exactly a limit reaches it in any unit.
pub(super) const REACHES: f64 = 1.0 + 1e-9;
/// An undecided metric speaks against the canary from this share of its own limit on, at this level of the rank test and this multiple
/// of the scatter. Costs .3 points of healthy canaries and keeps evidence against the canary from being called lack of data.
pub(super) const AGAINST: (f64, f64, f64) = (0.5, 0.01, 2.0);

// ---- rates of which the counts are not known ---------------------------------------------------------------------------------------

/// Level of the rank test, its variance inflated for dependence, that is the evidence where there is no past.
pub(super) const P_RATE: f64 = 0.10;
/// Smallest absolute tolerance of any ratio, and the rise that a past must be able to tell, in percentage points.
pub(super) const RATE_POINTS: f64 = crate::units::LEAST_POINTS;
pub(super) const RATE_DETECTABLE: f64 = 1.0;
/// Fewest points for a pass without a past.
pub(super) const FEWEST_RATE: usize = 10;

// ---- ratios with counts ------------------------------------------------------------------------------------------------------------

/// Level of a regression of a ratio, shared among the ratios beyond three of a canary.
pub(super) const P_COUNTS: f64 = 0.01;
pub(super) const FREE_RATIOS: f64 = 3.0;
/// Level at which independent events beyond the tolerance leave a worsening unexplained.
pub(super) const P_UNEXPLAINED: f64 = 0.001;
/// Fewest events in the worse arm for any flag, and fewest of its intervals that have some for a regression.
pub(super) const FEW_EVENTS: f64 = 4.0;
pub(super) const FEW_INTERVALS: usize = 3;
/// Smallest rise of a rate that must be excluded for a pass: one percentage point, as a fraction.
pub(super) const DETECTABLE_RATE: f64 = 0.01;

// ---- distributions ------------------------------------------------------------------------------------------------------------------

/// A bucket bound tells of a quantile where the odds of the share above it are within this factor of the quantile's.
pub(super) const RESOLVED: f64 = 3.0;
/// Normal deviate at which an optional quantile stands in the way of a pass: of the canary, were it as the baseline, the exclusion would reach
/// .05 nine times in ten (1.645 + 1.282). With a fixed number of slow requests in its place (20) more requests turned passes into holds: of
/// simulated healthy canaries 99 to 100 % passed with 1,800 requests and 43 to 58 % with 2,100.
pub(super) const POWER: f64 = 2.927;
/// Smallest shift of a latency worth acting on where none is stated, in seconds.
pub(super) const LEAST_LATENCY: f64 = 0.005;

// ---- the examiners around the level ------------------------------------------------------------------------------------------------

/// Recent view: the last part in so many of the window, at least so many points of at least so many. Longer views found 27-60 % where
/// this finds 68 % of steps to x2 in the last fifth, since a step inside of a view widens its own scatter.
pub(super) const RECENT: (usize, usize, usize) = (6, 5, 10);
/// Chances of a view in those of the whole window, for a regression.
pub(super) const RECENT_CHANCES: f64 = 2.0;
/// Chances that a view is given for a suspicion, whatever the metrics and looks are: of the end, and of a minority of points. With fewer
/// for the end 96 in place of 70 % of steps by half in the last quarter of 31 points are seen, for .3 points of healthy canaries held.
pub(super) const RECENT_SUSPECT: f64 = 4.0;
pub(super) const MINORITY_SUSPECT: f64 = 8.0;
/// Healed: the last part in so many shows less than this part of the tolerance, and is better than the rest by the rank test: what is not
/// proved to have gone is still there (without that test 5 points of added errors were lost).
pub(super) const HEALED: (usize, f64) = (3, 0.5);
/// Silence at the end: points missing beyond what is usual for a suspicion; for a regression so many, and one part in so many of the
/// window. 0 of 12,561 recorded pairs are flagged.
pub(super) const ENDED: (usize, usize, usize) = (3, 5, 10);
/// A minority of points: the worst part in so many of at least so many points is averaged.
pub(super) const MINORITY: (usize, usize) = (5, 10);
/// What the average must have moved by, as a fraction of the level: for a suspicion and a regression.
pub(super) const MINORITY_SHIFT: (f64, f64) = (0.5, 2.0);
/// Times its distance from the median in the baseline: without and with a past for a suspicion, and for a regression.
pub(super) const MINORITY_TIMES: (f64, f64, f64) = (3.0, 1.5, 5.0);
/// Multiple of the scatter without and with a past; without, it grows by half for each doubling of the chances.
pub(super) const MINORITY_NOISE: (f64, f64) = (2.0, 1.0);
/// Multiple of the placebos' quantile with a past, which grows alike.
pub(super) const MINORITY_USUAL: f64 = 1.25;
/// What each doubling of the chances adds to both.
pub(super) const EACH_DOUBLING: f64 = 0.5;
/// Quantiles of both arms' points beyond which points are counted: for a suspicion and a regression.
pub(super) const MINORITY_CUT: (f64, f64) = (0.9, 0.8);
/// Share of the points past a limit that breaks it by itself, and the shares that a comparison with the baseline must confirm for a
/// regression and a suspicion; at least [`FEW_INTERVALS`] points each.
pub(super) const LIMIT_SHARES: (f64, f64, f64) = (0.6, 0.25, 0.10);
/// Sparse: more than this share of both arms' points is exactly 0.
pub(super) const SPARSE: f64 = 0.5;
/// Part of the tolerance from which events may be suspect.
pub(super) const EVENTS_SUSPECT: f64 = 0.4;
/// Part at the end of the window in which an instance that does not report is gone, and that has only zeros is dead.
pub(super) const INSTANCE_TAIL: f64 = 1.0 / 3.0;
/// Share of its points that an instance must be above 0 to be alive.
pub(super) const ALIVE: f64 = 0.8;
/// Share of the instances that must be gone or dead for a regression by itself.
pub(super) const HALF: f64 = 0.5;

/// Levels of a test for a regression and a suspicion: of its exact p, and of the same with dependence allowed for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    pub(super) regressed: (f64, f64),
    pub(super) suspect: (f64, f64),
}

/// Of a test by counts of points: limits and events.
pub(super) const POINT_LEVELS: Levels = Levels { regressed: (0.01, 0.05), suspect: (0.05, 0.10) };
/// Of a minority of points, which is looked for after the level found nothing.
pub(super) const MINORITY_LEVELS: Levels = Levels { regressed: (0.001, 0.01), suspect: (0.05, 0.10) };

/// Times by which the arms' traffic may differ before what follows it is not compared as it is.
pub(super) const UNEVEN: f64 = 2.0;
