//! Random canaries of every kind of metric, each drawn from one seed, and a loop that judges many and names the seeds that break a rule.
//!
//! `HALDANE_CASES` is the number of cases a property (`make properties` sets many), `HALDANE_SEED` draws that one alone and prints it.

use std::collections::BTreeMap;

use haldane_judges::config::CheckedConfig;
use haldane_judges::evidence::{ArmPoints, Buckets, Comparison, Evidence, Instance, Looks, Observation, Points, Spacing};
use haldane_judges::scorecard::{Judgement, MetricResult, Status};
use haldane_judges::{JudgeName, judge};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};
use serde_json::{Value, json};

/// Draws from one seed.
pub(crate) struct Draw(StdRng);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.0.random_bool(p)
    }

    pub(crate) fn within(&mut self, low: f64, high: f64) -> f64 {
        self.0.random_range(low..high)
    }

    /// Between the two, as likely below as above their geometric mean.
    pub(crate) fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        self.within(low.ln(), high.ln()).exp()
    }

    /// Both ends included.
    pub(crate) fn whole(&mut self, low: usize, high: usize) -> usize {
        self.0.random_range(low..=high)
    }

    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.whole(0, of.len() - 1)].clone()
    }

    pub(crate) fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// So many of `total` requests that fail, each with chance `rate`.
    pub(crate) fn events(&mut self, total: f64, rate: f64) -> f64 {
        Binomial::new(total as u64, rate.clamp(0.0, 1.0)).unwrap().sample(&mut self.0) as f64
    }

    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        Poisson::new(mean).unwrap().sample(&mut self.0)
    }

    /// `n` values of mean 0 and standard deviation 1, of this lag-1 autocorrelation.
    pub(crate) fn dependent(&mut self, n: usize, phi: f64) -> Vec<f64> {
        let mut last = self.normal();
        (0..n)
            .map(|_| {
                let value = last;
                last = phi * last + (1.0 - phi * phi).sqrt() * self.normal();
                value
            })
            .collect()
    }

    /// In any order.
    pub(crate) fn shuffled<T>(&mut self, mut values: Vec<T>) -> Vec<T> {
        for i in (1..values.len()).rev() {
            values.swap(i, self.whole(0, i));
        }
        values
    }

    /// So many different places below `n`.
    pub(crate) fn places(&mut self, n: usize, many: usize) -> Vec<bool> {
        self.shuffled((0..n).map(|i| i < many).collect())
    }
}

/// One metric: what is asked of it, and what its arms show.
#[derive(Debug, Clone)]
pub(crate) struct Metric {
    /// Names the shape, so that a report can be grouped.
    pub(crate) shape: &'static str,
    pub(crate) spec: Value,
    pub(crate) baseline: ArmPoints,
    pub(crate) canary: ArmPoints,
}

impl Metric {
    pub(crate) fn new(shape: &'static str, spec: Value, baseline: ArmPoints, canary: ArmPoints) -> Self {
        Self { shape, spec, baseline, canary }
    }

    pub(crate) fn values(spec: Value, baseline: &[f64], canary: &[f64]) -> Self {
        Self::new("values", spec, ArmPoints::values(baseline.to_vec()), ArmPoints::values(canary.to_vec()))
    }

    pub(crate) fn direction(&self) -> &str {
        self.spec["direction"].as_str().unwrap_or("either")
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.spec["name"] = json!(name);
        self
    }

    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.spec[field] = value;
        self
    }

    pub(crate) fn is_counts(&self) -> bool {
        matches!(self.canary.points, Points::Counts { .. })
    }

    pub(crate) fn is_distribution(&self) -> bool {
        matches!(self.canary.points, Points::Buckets(_))
    }

    /// The same without the canary's intervals from one on.
    pub(crate) fn ended_at(&self, from: usize) -> Self {
        let cut = |values: &[f64]| values.iter().enumerate().map(|(t, v)| if t >= from { f64::NAN } else { *v }).collect::<Vec<f64>>();
        let points = match &self.canary.points {
            Points::Values(_) => return self.with_canary(|t, v| if t >= from { f64::NAN } else { v }),
            Points::Counts { events, totals } => Points::Counts { events: cut(events), totals: cut(totals) },
            Points::Buckets(buckets) => {
                let mut buckets = buckets.clone();
                (from..buckets.len()).for_each(|t| buckets.forget(t));
                Points::Buckets(buckets)
            }
        };
        Self { canary: ArmPoints { points, ..self.canary.clone() }, ..self.clone() }
    }

    /// The largest value it can have, where there is one.
    pub(crate) fn bound(&self) -> Option<f64> {
        let percent = self.spec["unit"] == "percent";
        match (self.spec["kind"] == "ratio", percent, self.direction()) {
            (true, true, _) | (false, true, "decrease") => Some(100.0),
            (true, false, _) => Some(1.0),
            _ => None,
        }
    }

    pub(crate) fn alone(&self) -> Canary {
        Canary::of(vec![self.clone()])
    }

    /// Another canary arm, from what is done to each of its points; the mean of its instances follows them.
    pub(crate) fn with_canary(&self, change: impl Fn(usize, f64) -> f64) -> Self {
        let changed = |values: &[f64]| values.iter().enumerate().map(|(t, v)| change(t, *v)).collect::<Vec<f64>>();
        let mut canary = if self.canary.instances.is_empty() {
            ArmPoints::values(changed(values_of(&self.canary.points)))
        } else {
            let instance = |i: &Instance| Instance { name: i.name.clone(), values: changed(&i.values) };
            ArmPoints::from_instances(self.canary.instances.iter().map(instance).collect())
        };
        canary.history = self.canary.history.clone();
        Self { canary, ..self.clone() }
    }

    /// The same in another unit.
    pub(crate) fn scaled(&self, by: f64) -> Self {
        let mut spec = self.spec.clone();
        for field in ["/tolerance/absolute", "/limits/max", "/limits/min"] {
            if let Some(value) = spec.pointer_mut(field).filter(|value| value.is_number()) {
                *value = json!(value.as_f64().unwrap() * by);
            }
        }
        Self { spec, baseline: changed_arm(&self.baseline, |v| v * by), canary: changed_arm(&self.canary, |v| v * by), ..self.clone() }
    }

    /// The complement of a ratio: what did not happen.
    pub(crate) fn complement(&self) -> Self {
        let whole = self.bound().unwrap();
        let direction = match self.direction() {
            "increase" => "decrease",
            "decrease" => "increase",
            other => other,
        };
        Self {
            baseline: changed_arm(&self.baseline, |v| whole - v),
            canary: changed_arm(&self.canary, |v| whole - v),
            ..self.clone().with("direction", json!(direction))
        }
    }

    /// The canary's part after the baseline's and the other way round.
    pub(crate) fn swapped(&self) -> Self {
        Self { baseline: self.canary.clone(), canary: self.baseline.clone(), ..self.clone() }
    }
}

pub(crate) fn values_of(points: &Points) -> &[f64] {
    match points {
        Points::Values(values) => values,
        Points::Counts { .. } | Points::Buckets(_) => panic!("counts are no values"),
    }
}

/// Each point of an arm changed alike: window, instances and past. Of counts the events, out of the totals.
fn changed_arm(arm: &ArmPoints, change: impl Fn(f64) -> f64) -> ArmPoints {
    let each = |values: &[f64]| values.iter().map(|v| change(*v)).collect::<Vec<f64>>();
    let points = |points: &Points| match points {
        Points::Values(values) => Points::Values(each(values)),
        Points::Counts { events, totals } => {
            // The only change of counts is their complement.
            Points::Counts { events: events.iter().zip(totals).map(|(x, m)| m - x).collect(), totals: totals.clone() }
        }
        // And of buckets another unit.
        Points::Buckets(buckets) => Points::Buckets(buckets.clone().scaled(change(1.0))),
    };
    let instance = |i: &Instance| Instance { name: i.name.clone(), values: each(&i.values) };
    ArmPoints {
        points: points(&arm.points),
        instances: arm.instances.iter().map(instance).collect(),
        history: arm.history.as_ref().map(points),
        ..arm.clone()
    }
}

/// What is judged.
#[derive(Debug, Clone)]
pub(crate) struct Canary {
    pub(crate) metrics: Vec<Metric>,
    pub(crate) looks: Option<Looks>,
    pub(crate) comparison: Comparison,
}

impl Canary {
    pub(crate) fn of(metrics: Vec<Metric>) -> Self {
        Self { metrics, looks: None, comparison: Comparison::Concurrent }
    }

    pub(crate) fn under(&self, looks: Looks) -> Self {
        Self { looks: Some(looks), ..self.clone() }
    }

    pub(crate) fn config(&self) -> CheckedConfig {
        let specs: Vec<&Value> = self.metrics.iter().map(|metric| &metric.spec).collect();
        let document = json!({ "name": "random", "min_observation": "0s", "metrics": specs });
        CheckedConfig::from_value(document).unwrap_or_else(|error| panic!("{error}: {specs:?}"))
    }

    pub(crate) fn judged(&self) -> Judgement {
        judge(JudgeName::HaldaneV1, &self.config(), &self.evidence())
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let observed = |m: &Metric| Observation::Sampled { baseline: m.baseline.clone(), canary: m.canary.clone() };
        let n = self.metrics.iter().map(|m| m.baseline.points.len().max(m.canary.points.len())).max().unwrap_or(0);
        Evidence {
            observations: self.metrics.iter().map(observed).collect(),
            observed_seconds: 60.0 * n as f64,
            comparison: self.comparison,
            looks: self.looks,
            ..Evidence::default()
        }
    }

    /// The result of the first metric.
    pub(crate) fn first(&self) -> MetricResult {
        self.judged().metrics.swap_remove(0)
    }
}

/// How grave a status is. Whoever moves down moves toward a pass.
pub(crate) fn gravity(status: Status) -> u8 {
    match status {
        Status::Regressed => 3,
        Status::Suspect => 2,
        Status::Inconclusive | Status::NoData | Status::Error => 1,
        Status::Pass => 0,
    }
}

/// A number of a scorecard by the first pointer that leads to one.
pub(crate) fn number(result: &MetricResult, pointers: &[&str]) -> Option<f64> {
    let shown = serde_json::to_value(result).unwrap();
    pointers.iter().find_map(|pointer| shown.pointer(pointer).and_then(Value::as_f64))
}

/// The tolerances of a metric: as a fraction and in its unit. Where none is stated those without a past, which are the wider ones.
pub(crate) fn tolerances(metric: &Metric) -> (f64, f64) {
    let stated = |field: &str| metric.spec.pointer(&format!("/tolerance/{field}")).and_then(Value::as_f64);
    if metric.is_distribution() {
        // 5 ms, in which they are drawn.
        return (stated("relative").unwrap_or(0.25), stated("absolute").unwrap_or(5.0));
    }
    let point = if metric.spec["kind"] != "ratio" { 0.0 } else { metric.bound().unwrap_or(1.0) / 1000.0 };
    (stated("relative").unwrap_or(0.25), stated("absolute").unwrap_or(0.0).max(point))
}

/// Whether the shift of a result lies beyond the tolerance, with `room` (1: at it). Without a relative shift it is infinite.
pub(crate) fn beyond(metric: &Metric, result: &MetricResult, room: f64) -> bool {
    let (relative, absolute) = tolerances(metric);
    if let Some(distribution) = &result.distribution {
        let far =
            |shift: f64, of_level: Option<f64>| shift > 0.0 && shift >= absolute * room && of_level.is_none_or(|of| of >= relative * room);
        return distribution.quantiles.iter().any(|one| one.resolved && far(one.shift, one.relative_shift));
    }
    let shift = number(result, &["/numbers/shift", "/counts/shift"]).unwrap_or(0.0);
    let of_level = number(result, &["/numbers/relative_shift", "/counts/relative_shift"]).unwrap_or(f64::INFINITY);
    shift > 0.0 && shift >= absolute * room && of_level >= relative * room
}

/// Number of points of a window: as many short ones as long ones.
pub(crate) fn any_length(draw: &mut Draw) -> usize {
    draw.magnitude(3.0, 201.0) as usize
}

/// Placebo windows before the window: often none, sometimes too few to teach anything.
fn any_past(draw: &mut Draw, n: usize) -> usize {
    let windows = match draw.whole(0, 9) {
        0..=5 => 0,
        6 => draw.whole(1, 4),
        _ => draw.whole(5, 20),
    };
    n * windows.min(800 / n)
}

/// Around which level, how much and how values scatter.
#[derive(Debug, Clone, Copy)]
struct Noise {
    shape: &'static str,
    level: f64,
    sd: f64,
    phi: f64,
    slope: f64,
}

const SHAPES: [&str; 9] = ["gauge", "latency", "integers", "dependent", "bimodal", "ramp", "zeros", "signed", "success"];

impl Noise {
    fn any(draw: &mut Draw, shape: &'static str) -> Self {
        let level = if shape == "integers" { draw.within(0.3, 8.0) } else { draw.magnitude(1e-3, 1e6) };
        let slope = if shape == "ramp" { draw.within(-0.6, 2.0) } else { 0.0 };
        Self { shape, level, sd: draw.magnitude(0.01, 0.8), phi: draw.within(0.2, 0.95), slope }
    }

    /// `before` values of the past and `n` of the window.
    fn series(&self, draw: &mut Draw, before: usize, n: usize) -> Vec<f64> {
        let noise = draw.dependent(before + n, if self.shape == "dependent" { self.phi } else { 0.0 });
        let at = |(t, z): (usize, f64), draw: &mut Draw| match self.shape {
            "latency" | "dependent" => self.level * (self.sd * z).exp(),
            "integers" => (self.level + self.level.sqrt() * z).round().max(0.0),
            "bimodal" => self.level * (1.0 + f64::from(u8::from(draw.chance(0.4)))) * (0.1 * self.sd * z).exp(),
            "ramp" => self.level * (1.0 + self.slope * t.saturating_sub(before) as f64 / n as f64 + 0.1 * self.sd * z).max(0.01),
            "zeros" if draw.chance(0.7) => 0.0,
            "signed" => self.level * z,
            "success" => 100.0 - (self.sd * (0.5 * z).exp()).min(100.0),
            _ => self.level * (1.0 + self.sd.min(0.3) * z).max(0.01),
        };
        noise.into_iter().enumerate().map(|point| at(point, draw)).collect()
    }
}

fn any_direction(draw: &mut Draw) -> &'static str {
    match draw.whole(0, 19) {
        0..=9 => "increase",
        10..=16 => "decrease",
        _ => "either",
    }
}

/// What the release does to a level above 0: nothing, something to all points, or to some.
fn any_effect(draw: &mut Draw, n: usize, values: &mut [f64]) {
    let factor = if draw.chance(0.8) { draw.magnitude(1.05, 6.0) } else { 1.0 / draw.magnitude(1.05, 6.0) };
    let places: Vec<bool> = match draw.whole(0, 9) {
        0..=3 => return,
        4..=7 => vec![true; n],
        8 => draw.places(n, n * 3 / 10),
        _ => (0..n).map(|t| t >= n - n / 5).collect(),
    };
    let start = values.len() - n;
    values[start..].iter_mut().zip(places).filter(|(_, touched)| *touched).for_each(|(v, _)| *v *= factor);
}

fn with_gaps(draw: &mut Draw, values: &mut [f64]) {
    let share = draw.within(0.02, 0.15);
    values.iter_mut().for_each(|v| {
        if draw.chance(share) {
            *v = f64::NAN;
        }
    });
}

/// A stated tolerance and limits, now and then, around a level.
fn stated(draw: &mut Draw, spec: &mut Value, level: f64) {
    if draw.chance(0.2) {
        spec["tolerance"]["relative"] = json!(draw.pick(&[0.05, 0.1, 0.5]));
    }
    if draw.chance(0.1) {
        spec["tolerance"]["absolute"] = json!(level * draw.within(0.01, 0.4));
    }
    // On the side that is worse: a canary that moves away from a limit on the other keeps it the better the worse it is.
    let (rises, falls) = (spec["direction"] != "decrease", spec["direction"] != "increase");
    if rises && draw.chance(0.15) {
        spec["limits"]["max"] = json!(level * draw.within(0.9, 3.0));
    }
    if falls && draw.chance(0.15) {
        spec["limits"]["min"] = json!(level * draw.within(0.1, 0.89));
    }
    if draw.chance(0.05) {
        spec["limits"]["max_ratio"] = json!(draw.within(1.1, 3.0));
    }
}

/// A metric of values: one series an arm, or one for each of its instances.
pub(crate) fn any_values(draw: &mut Draw, n: usize) -> Metric {
    let shape = draw.pick(&SHAPES);
    let noise = Noise::any(draw, shape);
    let mut spec = json!({ "name": "m", "direction": any_direction(draw) });
    if shape == "success" {
        spec["unit"] = json!("percent");
        spec["direction"] = json!("decrease");
    } else {
        if shape == "ramp" && draw.chance(0.3) {
            spec["accumulating"] = json!(true);
            spec["direction"] = json!("increase");
        }
        stated(draw, &mut spec, noise.level);
    }
    if draw.chance(0.15) {
        spec["per_instance"] = json!("pod");
        return instances(draw, n, noise, spec);
    }
    let before = any_past(draw, n);
    let mut arms = [noise.series(draw, before, n), noise.series(draw, before, n)];
    if shape == "success" {
        let mut failures: Vec<f64> = arms[1].iter().map(|v| 100.0 - v).collect();
        any_effect(draw, n, &mut failures);
        arms[1] = failures.iter().map(|v| 100.0 - v.min(100.0)).collect();
    } else {
        any_effect(draw, n, &mut arms[1]);
    }
    if draw.chance(0.15) {
        for arm in &mut arms {
            with_gaps(draw, arm);
        }
    }
    let only_baseline = draw.chance(0.3);
    let [baseline, canary] = arms.map(|values| {
        let past = (before > 0).then(|| Points::Values(values[..before].to_vec()));
        ArmPoints::values(values[before..].to_vec()).with_history(past)
    });
    let canary = if only_baseline { canary.with_history(None) } else { canary };
    Metric::new(shape, spec, baseline, canary)
}

fn instances(draw: &mut Draw, n: usize, noise: Noise, spec: Value) -> Metric {
    let spread = draw.within(0.0, 0.2);
    let effect = if draw.chance(0.5) { 1.0 } else { draw.magnitude(0.5, 4.0) };
    let one_bad = draw.chance(0.3);
    let mut arm = |prefix: &str, effect: f64, one_bad: bool| {
        let of = |i: usize, draw: &mut Draw| {
            let by = (spread * draw.normal()).exp() * if one_bad && i == 0 { 3.0 } else { effect };
            let values = noise.series(draw, 0, n).into_iter().map(|v| if noise.shape == "success" { v } else { v * by });
            Instance { name: format!("{prefix}{i}"), values: values.collect() }
        };
        let many = draw.whole(2, 6);
        ArmPoints::from_instances((0..many).map(|i| of(i, draw)).collect())
    };
    let (baseline, canary) = (arm("old", 1.0, false), arm("new", effect, one_bad));
    Metric::new("instances", spec, baseline, canary)
}

/// A ratio with counts: failures, or successes where a fall is worse.
pub(crate) fn any_counts(draw: &mut Draw, n: usize) -> Metric {
    let rate = draw.pick(&[1e-4, 1e-3, 0.003, 0.01, 0.02, 0.05, 0.2, 0.5]);
    let (to_baseline, to_canary) =
        draw.pick(&[(1000.0, 1000.0), (100.0, 100.0), (20.0, 20.0), (1900.0, 100.0), (19_000.0, 1000.0), (6000.0, 6000.0)]);
    let ramped = draw.chance(0.15);
    let before = any_past(draw, n);
    let all = before + n;
    let wave = |draw: &mut Draw| -> Vec<f64> {
        let sd = draw.within(0.2, 1.0);
        draw.dependent(all, 0.6).into_iter().map(|z| (sd * z - sd * sd / 2.0).exp()).collect()
    };
    let steady = vec![1.0; all];
    let (shape, factors) = match draw.whole(0, 9) {
        0..=4 => ("independent", [steady.clone(), steady]),
        5..=6 => {
            let shared = wave(draw);
            ("shared bursts", [shared.clone(), shared])
        }
        7..=8 => ("own bursts", [wave(draw), wave(draw)]),
        _ => {
            let one = draw.whole(before, all - 1);
            let mut canary = steady.clone();
            canary[one] = 30.0;
            ("one burst", [steady, canary])
        }
    };
    let mut effects = vec![1.0; all];
    any_effect(draw, n, &mut effects);
    let successes = draw.chance(0.3);
    let either = draw.chance(0.1);
    let gaps = draw.chance(0.1);
    let mut arm = |requests: f64, factors: &[f64], effects: Option<&[f64]>| {
        let ramp = |t: usize| if ramped && effects.is_some() { (t + 1) as f64 / all as f64 } else { 1.0 };
        let mut points: Vec<(f64, f64)> = (0..all)
            .map(|t| {
                let total = (requests * ramp(t) * draw.within(0.7, 1.3)).round();
                let failed = draw.events(total, rate * factors[t] * effects.map_or(1.0, |of| of[t]));
                (if successes { total - failed } else { failed }, total)
            })
            .collect();
        if gaps {
            let place = draw.whole(0, all - 1);
            points[place] = (f64::NAN, f64::NAN);
        }
        let counts = |points: &[(f64, f64)]| {
            let (events, totals) = points.iter().copied().unzip();
            Points::Counts { events, totals }
        };
        ArmPoints::of(counts(&points[before..])).with_history((before > 0).then(|| counts(&points[..before])))
    };
    let (baseline, canary) = (arm(to_baseline, &factors[0], None), arm(to_canary, &factors[1], Some(&effects)));
    let direction = if either { "either" } else { ["increase", "decrease"][usize::from(successes)] };
    let mut spec = json!({ "name": "m", "kind": "ratio", "direction": direction });
    if draw.chance(0.1) {
        spec["tolerance"]["relative"] = json!(draw.pick(&[0.05, 0.1, 0.5]));
    }
    if draw.chance(0.1) {
        let failures = (rate * draw.within(1.0, 4.0)).min(1.0);
        let (limit, value) = if successes { ("min", 1.0 - failures) } else { ("max", failures) };
        spec["limits"][limit] = json!(value);
    }
    Metric::new(shape, spec, baseline, canary)
}

/// Bounds of histograms in ms: OpenTelemetry's, those of Prometheus' clients, coarse ones, and a native histogram's of schema 3.
pub(crate) fn layout(name: &str) -> (Vec<f64>, Spacing) {
    let classic = |bounds: &[f64]| (bounds.to_vec(), Spacing::Linear);
    match name {
        "otel" => classic(&[5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10_000.0]),
        "prometheus" => classic(&[5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0]),
        "coarse" => classic(&[50.0, 1000.0]),
        _ => ((0..136).map(|j| 2f64.powf(f64::from(j) / 8.0)).collect(), Spacing::Exponential),
    }
}

/// Latencies: log-normal around a median, a share of them ten times as slow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) median: f64,
    pub(crate) sigma: f64,
    /// The share that is ten times as slow.
    pub(crate) slow: f64,
    /// A share that takes so many times as long as the rest.
    pub(crate) part: (f64, f64),
    /// A share that takes 300 ms more.
    pub(crate) bump: f64,
}

impl Latency {
    pub(crate) const USUAL: Self = Self { median: 60.0, sigma: 0.6, slow: 0.01, part: (0.0, 1.0), bump: 0.0 };

    pub(crate) fn times(self, by: f64) -> Self {
        Self { median: self.median * by, ..self }
    }

    /// The share at or below a bound.
    fn share_below(&self, bound: f64) -> f64 {
        let one = |bound: f64, by: f64| {
            if bound <= 0.0 { 0.0 } else { 1.0 - haldane_judges::stats::normal_sf((bound / (self.median * by)).ln() / self.sigma) }
        };
        let (share, by) = self.part;
        let mixed = |bound: f64| {
            let of = |times: f64| (1.0 - share) * one(bound, times) + share * one(bound, times * by);
            (1.0 - self.slow) * of(1.0) + self.slow * of(10.0)
        };
        (1.0 - self.bump) * mixed(bound) + self.bump * mixed(bound - 300.0)
    }
}

/// An interval's requests in each bucket: a Poisson number of them, on average so many.
pub(crate) fn requests(draw: &mut Draw, bounds: &[f64], per_interval: f64, latency: &Latency) -> Vec<f64> {
    let mut left = draw.poisson(per_interval);
    let mut below = 0.0;
    let mut row: Vec<f64> = bounds
        .iter()
        .map(|bound| {
            let up_to = latency.share_below(*bound);
            let count = if left > 0.0 { draw.events(left, ((up_to - below) / (1.0 - below).max(1e-300)).clamp(0.0, 1.0)) } else { 0.0 };
            (left, below) = (left - count, up_to.max(below));
            count
        })
        .collect();
    row.push(left);
    row
}

/// A histogram of latencies in ms.
pub(crate) fn any_distribution(draw: &mut Draw, n: usize) -> Metric {
    let (bounds, spacing) = layout(draw.pick(&["otel", "otel", "prometheus", "coarse", "native"]));
    let per_interval = draw.pick(&[3.0, 10.0, 50.0, 500.0, 5000.0]);
    let share = draw.pick(&[1.0, 1.0, 0.1]);
    let base = Latency { median: draw.pick(&[3.0, 60.0, 60.0, 60.0, 800.0, 20_000.0]), sigma: draw.within(0.2, 1.0), ..Latency::USUAL };
    let bad = match draw.whole(0, 9) {
        0..=3 => base,
        4..=6 => base.times(draw.magnitude(0.5, 6.0)),
        7 => Latency { slow: draw.magnitude(0.01, 0.3), ..base },
        8 => Latency { bump: draw.magnitude(0.01, 0.5), ..base },
        _ => Latency { part: (draw.within(0.1, 0.5), 3.0), ..base },
    };
    let places: Vec<bool> = match draw.whole(0, 9) {
        0..=6 => vec![true; n],
        7 => draw.places(n, n * 3 / 10),
        _ => (0..n).map(|t| t >= n - n / 5).collect(),
    };
    let before = any_past(draw, n);
    let drift = draw.pick(&[0.0, 0.0, 0.05, 0.3]);
    let gaps = draw.chance(0.1);
    let mut arm = |per_interval: f64, bad: Option<&Latency>| {
        let wave = draw.dependent(before + n, 0.6);
        let rows: Vec<Option<Vec<f64>>> = (0..before + n)
            .map(|t| {
                let of = match (bad, t.checked_sub(before)) {
                    (Some(bad), Some(at)) if places[at] => bad,
                    _ => &base,
                };
                let row = requests(draw, &bounds, per_interval, &of.times((drift * wave[t]).exp()));
                (!(gaps && draw.chance(0.05))).then_some(row)
            })
            .collect();
        let of = |rows: &[Option<Vec<f64>>]| Points::Buckets(Buckets::from_rows(bounds.clone(), rows, spacing).unwrap());
        ArmPoints::of(of(&rows[before..])).with_history((before > 0).then(|| of(&rows[..before])))
    };
    let (baseline, canary) = (arm(per_interval, None), arm(per_interval * share, Some(&bad)));
    let mut spec = json!({ "name": "m", "kind": "distribution", "unit": "ms", "direction": any_direction(draw) });
    if draw.chance(0.2) {
        spec["tolerance"]["relative"] = json!(draw.pick(&[0.05, 0.1, 0.5]));
    }
    if draw.chance(0.1) {
        spec["tolerance"]["absolute"] = json!(draw.pick(&[0.0, 20.0, 100.0]));
    }
    if draw.chance(0.2) {
        spec["quantiles"] = draw.pick(&[json!([0.5]), json!([0.9, 0.99]), json!([0.25, 0.5, 0.75, 0.999])]);
    }
    if spec["direction"] == "increase" && draw.chance(0.15) {
        spec["limits"] = json!({ "p95": { "max": base.median * draw.within(1.0, 8.0) } });
    }
    Metric::new("distribution", spec, baseline, canary)
}

/// Places in one, so that a complement and a percentage are exact.
const GRAIN: f64 = 65_536.0;

/// A ratio whose counts are not known: errors, or successes where a fall is worse, as a fraction or in percent.
pub(crate) fn any_rate(draw: &mut Draw, n: usize) -> Metric {
    let level = draw.magnitude(5e-4, 0.6);
    let sd = draw.within(0.05, 1.0);
    let before = any_past(draw, n);
    let mut arm = |effect: bool| {
        let mut values: Vec<f64> = (0..before + n).map(|_| level * (sd * draw.normal()).exp()).collect();
        if effect {
            any_effect(draw, n, &mut values);
        }
        let values: Vec<f64> = values.iter().map(|v| (v.min(1.0) * GRAIN).round() / GRAIN).collect();
        let past = (before > 0).then(|| Points::Values(values[..before].to_vec()));
        ArmPoints::values(values[before..].to_vec()).with_history(past)
    };
    let (baseline, canary) = (arm(false), arm(true));
    // A query of its own, so that the config knows that there are no counts.
    let mut spec = json!({ "name": "m", "kind": "ratio", "direction": "increase", "queries": { "prometheus": "errors" } });
    stated(draw, &mut spec, level.min(0.3));
    let errors = Metric::new("rate", spec, baseline, canary);
    let errors = if draw.chance(0.5) { errors.scaled(100.0).with("unit", json!("percent")) } else { errors };
    match (errors.spec["limits"].is_null(), draw.whole(0, 9)) {
        (true, 0..=3) => errors.complement(),
        (true, 4) => errors.with("direction", json!("either")),
        _ => errors,
    }
}

/// Events an interval, nearly always 0 while all is well.
pub(crate) fn any_events(draw: &mut Draw, n: usize) -> Metric {
    let often = draw.magnitude(0.005, 0.3);
    let more = if draw.chance(0.4) { 1.0 } else { draw.magnitude(1.0, 20.0) };
    let size = draw.whole(1, 20);
    let mut arm =
        |often: f64| -> Vec<f64> { (0..n).map(|_| if draw.chance(often.min(1.0)) { draw.whole(1, size) as f64 } else { 0.0 }).collect() };
    let (baseline, canary) = (arm(often), arm(often * more));
    let direction = if draw.chance(0.15) { "either" } else { "increase" };
    let mut spec = json!({ "name": "m", "kind": "events", "direction": direction });
    if draw.chance(0.2) {
        spec["limits"]["max"] = json!(0);
    }
    Metric { shape: "events", ..Metric::values(spec, &baseline, &canary) }
}

pub(crate) fn any_metric(draw: &mut Draw, n: usize) -> Metric {
    match draw.whole(0, 11) {
        0..=4 => any_values(draw, n),
        5..=7 => any_counts(draw, n),
        8 => any_rate(draw, n),
        9 => any_events(draw, n),
        // Thousands of requests an interval take long to draw.
        _ => any_distribution(draw, n.min(60)),
    }
}

/// A metric that is as it was: scatter of one and the same kind in both arms, now and then the very same points in another order.
pub(crate) fn any_healthy(draw: &mut Draw, n: usize) -> Metric {
    let spec = json!({ "name": "healthy", "direction": any_direction(draw) });
    let sd = draw.within(0.01, 0.05);
    let mut arm = || (0..n).map(|_| 100.0 * (1.0 + sd * draw.normal())).collect::<Vec<f64>>();
    let (baseline, canary) = (arm(), arm());
    let canary = if draw.chance(0.5) { draw.shuffled(baseline.clone()) } else { canary };
    Metric { shape: "healthy", ..Metric::values(spec, &baseline, &canary) }
}

pub(crate) fn any_plan(draw: &mut Draw) -> Looks {
    let looks = draw.whole(2, 24) as u32;
    Looks { look: draw.whole(1, looks as usize) as u32, looks, early_pass: draw.chance(0.5) }
}

/// How a rule fared on one case.
pub(crate) enum Outcome {
    /// It does not speak of this case.
    Silent,
    Held,
    /// Of which kind the case was, and what was seen.
    Broken(String, String),
}

/// Broken where `holds` is not so.
pub(crate) fn expect(holds: bool, kind: &str, says: impl FnOnce() -> String) -> Outcome {
    if holds { Outcome::Held } else { Outcome::Broken(kind.to_owned(), says()) }
}

/// Prints the seed if the judge panics.
struct Named<'a>(&'a str, u64);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: panicked at HALDANE_SEED={}", self.0, self.1);
        }
    }
}

fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Whether one seed alone is run, whose case is to be shown.
pub(crate) fn alone() -> bool {
    asked("HALDANE_SEED").is_some()
}

/// Judges so many cases, and fails where a rule is broken in more than `tolerated` of those of which it speaks.
pub(crate) fn hold(rule: &str, cases: u64, tolerated: f64, check: impl Fn(&mut Draw) -> Outcome) {
    let seeds = asked("HALDANE_SEED").map_or(0..asked("HALDANE_CASES").unwrap_or(cases), |seed| seed..seed + 1);
    let (mut spoken, mut broken) = (0u64, 0u64);
    let mut kinds: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
    for seed in seeds {
        let _named = Named(rule, seed);
        match check(&mut Draw::new(seed)) {
            Outcome::Silent => {}
            Outcome::Held => spoken += 1,
            Outcome::Broken(kind, says) => {
                (spoken, broken) = (spoken + 1, broken + 1);
                let (times, shown) = kinds.entry(kind).or_default();
                *times += 1;
                if shown.len() < 3 {
                    shown.push(format!("    HALDANE_SEED={seed}: {says}"));
                }
            }
        }
    }
    let report = kinds.iter().map(|(kind, (times, shown))| format!("\n  {kind}: {times}\n{}", shown.join("\n")));
    let report = format!("{rule}: broken in {broken} of {spoken}{}", report.collect::<String>());
    assert!(spoken > 0 || alone(), "{rule}: no case of which it speaks");
    assert!(broken as f64 <= tolerated * spoken as f64, "{report}");
    println!("{report}");
}
