//! Makes a recorded canary of a judgement: all that the judge was given, so that a replay comes to the same verdict.

use std::collections::BTreeMap;

use haldane_judges::CanaryConfig;
use haldane_judges::evidence::{ArmPoints, Comparison, Instance, Observation, Points, is_absent};
use sha2::{Digest, Sha256};

use super::case::{Case, CaseMetric, Instances, Label, MAX_LINE_BYTES};
use super::provenance::CaseProvenance;
use crate::analysis::{BucketSamples, EarlierSamples, Request, Scorecard};
use crate::hex::hex;

/// Characters of a scope that go into a case's id.
const SCOPE_CHARACTERS: usize = 100;

impl Case {
    /// What was judged, with everything that the verdict depended on: samples, past, instances, buckets, failures, population, looks, config.
    /// It holds no query and no address or credentials of a metric store.
    ///
    /// # Errors
    /// Why it cannot be recorded: the samples are no longer at hand, or there are none.
    pub fn of_judgement(request: &Request, scorecard: &Scorecard) -> Result<Self, String> {
        let evidence = scorecard.samples.0.as_ref().ok_or("the judgement's samples are not at hand")?;
        let (judgement, data) = (&scorecard.judgement, &scorecard.data);
        let config = judged_config(request, scorecard)?;
        let metrics: Vec<CaseMetric> = config.metrics.iter().zip(&evidence.observations).filter_map(|(m, of)| metric(m, of)).collect();
        if metrics.is_empty() {
            return Err("no metric has a sample".to_owned());
        }
        let (population, population_failure) = match &evidence.population {
            None => (None, None),
            Some(Ok(population)) => (Some(population.clone()), None),
            Some(Err(failure)) => (None, Some(failure.clone())),
        };
        let recorded = CaseProvenance {
            judge: judgement.judge,
            verdict: judgement.would_be.unwrap_or(judgement.verdict),
            score: judgement.score,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            judged_at: scorecard.judged_at,
            digest: data.digest.clone(),
            config_digest: judgement.config_digest.clone(),
            baseline: request.baseline.variables.clone(),
            canary: request.canary.variables.clone(),
            canary_window: data.canary_window.clone(),
            baseline_window: data.baseline_window.clone(),
            labels: request.labels.clone(),
            released_at: request.released_at,
        };
        let scope = recorded.canary.get("scope").unwrap_or(&config.name);
        let case = Self {
            id: id(&config.name, scope, &recorded, request),
            source: data.source.clone().unwrap_or_default(),
            group: Some(scope.chars().take(SCOPE_CHARACTERS).collect()),
            pairing: Some(if evidence.comparison == Comparison::Concurrent { "concurrent" } else { "before_after" }.to_owned()),
            step_seconds: evidence.step_seconds,
            canary_share: evidence.canary_share,
            observed_seconds: Some(evidence.observed_seconds),
            looks: evidence.looks,
            ramp: evidence.ramp.clone(),
            population,
            population_failure,
            null_is_absent: true,
            config: Some(config),
            recorded: Some(recorded),
            metrics,
            label: None,
            affected_metrics: None,
        };
        case.check().map(|()| case)
    }

    /// The same case with what it was in truth, and the metrics that the fault touched where that is known.
    #[must_use]
    pub fn labelled(mut self, label: Option<Label>, affected: Option<Vec<String>>) -> Self {
        (self.label, self.affected_metrics) = (label, affected);
        self
    }

    /// Its line in a file of recorded canaries, with the line's end.
    ///
    /// # Errors
    /// That it is longer than the lines that are read.
    pub fn line(&self) -> Result<Vec<u8>, String> {
        let mut line = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        if line.len() > MAX_LINE_BYTES {
            return Err(format!("{} bytes are more than the {MAX_LINE_BYTES} of a line", line.len()));
        }
        line.push(b'\n');
        Ok(line)
    }
}

/// The request's config with a metric for each pair of series, as the judge was given it.
fn judged_config(request: &Request, scorecard: &Scorecard) -> Result<CanaryConfig, String> {
    let mut config = request.config.clone();
    let mut metrics = Vec::with_capacity(scorecard.data.metrics.len());
    for read in &scorecard.data.metrics {
        let name = read.series_of.as_ref().unwrap_or(&read.name);
        let metric = request.config.metrics.iter().find(|metric| metric.name == *name);
        let mut metric = metric.cloned().ok_or_else(|| format!("`{name}` is no metric of the config"))?;
        metric.name.clone_from(&read.name);
        metrics.push(metric);
    }
    config.metrics = metrics;
    Ok(config)
}

/// A name that other judgements do not have, and that the same judgement has again.
fn id(config: &str, scope: &str, recorded: &CaseProvenance, request: &Request) -> String {
    let mut digest = Sha256::new();
    let parts = [recorded.digest.as_str(), recorded.config_digest.as_str(), recorded.judge.as_str()];
    digest.update(parts.join(" "));
    digest.update(format!(" {:?} {:?} {:?} {:?}", request.window, request.baseline_window(), request.looks, request.canary_share));
    digest.update(format!(" {:?} {:?} {:?}", request.baseline, request.canary, request.released_at));
    let digest = hex(digest.finalize().iter().take(6).copied());
    let end = recorded.canary_window.as_ref().map_or(recorded.judged_at, |window| window.end);
    let scope: String = scope.chars().take(SCOPE_CHARACTERS).collect();
    format!("{config}/{scope}/{end}/{digest}")
}

/// What was known of a metric; `None` where there is not one interval of it.
fn metric(metric: &haldane_judges::config::Metric, observation: &Observation) -> Option<CaseMetric> {
    let mut case =
        CaseMetric { name: metric.name.clone(), direction: metric.direction, unit: metric.unit.clone(), ..CaseMetric::default() };
    let (baseline, canary) = match observation {
        Observation::Failed(failure) => {
            case.failure = Some(failure.clone());
            return Some(case);
        }
        Observation::Sampled { baseline, canary } => (baseline, canary),
    };
    if baseline.points.is_empty() && canary.points.is_empty() {
        return None;
    }
    (case.baseline, case.baseline_totals, case.baseline_buckets) = columns(&baseline.points);
    (case.canary, case.canary_totals, case.canary_buckets) = columns(&canary.points);
    let past = |arm: &ArmPoints| arm.history.as_ref().map(columns);
    if let Some((values, totals, buckets)) = past(baseline) {
        case.baseline_history = Some(values).filter(|_| buckets.is_none());
        (case.baseline_history_totals, case.baseline_history_buckets) = (totals, buckets);
    }
    if let Some((values, totals, buckets)) = past(canary) {
        case.canary_history = Some(values).filter(|_| buckets.is_none());
        (case.canary_history_totals, case.canary_history_buckets) = (totals, buckets);
    }
    (case.baseline_instances, case.canary_instances) = (instances(&baseline.instances), instances(&canary.instances));
    case.earlier = EarlierSamples::of(baseline, canary);
    case.bucket_bounds.clone_from(&canary.bounds);
    case.step_seconds = canary.step_seconds;
    Some(case)
}

/// Values or events, totals, and buckets.
type PointColumns = (Vec<Option<f64>>, Option<Vec<Option<f64>>>, Option<BucketSamples>);

fn columns(points: &Points) -> PointColumns {
    match points {
        Points::Values(values) => (known(values), None, None),
        Points::Counts { events, totals } => (known(events), Some(known(totals)), None),
        Points::Buckets(buckets) => (Vec::new(), None, Some(BucketSamples::of(buckets))),
    }
}

fn known(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().map(|value| (!is_absent(*value)).then_some(*value)).collect()
}

fn instances(all: &[Instance]) -> Option<Instances> {
    let named: BTreeMap<String, Vec<Option<f64>>> = all.iter().map(|one| (one.name.clone(), known(&one.values))).collect();
    (!named.is_empty()).then_some(Instances::Named(named))
}

#[cfg(test)]
mod tests {
    use haldane_judges::config::Metric;
    use haldane_judges::evidence::{ABSENT, Arm, Buckets, Earlier, Evidence, FetchFailure, Looks, Member, Population, Spacing};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => -1e300..1e300,
            4 => (0_u32..50).prop_map(f64::from),
            1 => Just(ABSENT),
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY)
        ]
    }

    fn values(n: usize) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(value(), n)
    }

    fn points(kind: u8, n: usize) -> BoxedStrategy<Points> {
        match kind {
            0 => values(n).prop_map(Points::Values).boxed(),
            1 => (values(n), values(n)).prop_map(|(events, totals)| Points::Counts { events, totals }).boxed(),
            _ => prop::collection::vec(prop::option::of(prop::collection::vec(0.0..1e6, 3)), n)
                .prop_map(|rows| Points::Buckets(Buckets::from_rows(vec![0.1, 0.7], &rows, Spacing::Exponential).unwrap()))
                .boxed(),
        }
    }

    fn arm(kind: u8, step: Option<f64>, bounds: Vec<f64>) -> impl Strategy<Value = ArmPoints> {
        let instances = prop::collection::btree_map("[a-z]{1,3}", values(6), 0..3);
        // What earlier days hold is no finer than numbers and gaps.
        let day = points(kind, 9).prop_map(|points| match points {
            Points::Values(values) => Points::Values(plain(&values)),
            Points::Counts { events, totals } => Points::Counts { events: plain(&events), totals: plain(&totals) },
            buckets @ Points::Buckets(_) => buckets,
        });
        (points(kind, 6), instances, prop::option::of(points(kind, 12)), prop::option::of(day)).prop_map(
            move |(points, instances, history, day)| ArmPoints {
                points,
                instances: instances.into_iter().map(|(name, values)| Instance { name, values }).collect(),
                history,
                earlier: day.map(|points| Earlier { days: 7, points }).into_iter().collect(),
                bounds: bounds.clone(),
                step_seconds: step,
            },
        )
    }

    fn plain(values: &[f64]) -> Vec<f64> {
        values.iter().map(|value| if value.is_finite() { *value } else { f64::NAN }).collect()
    }

    fn observation() -> impl Strategy<Value = Observation> {
        let sampled =
            (0_u8..3, prop::option::of(1.0..600.0), prop::collection::btree_set(1_u32..50, 0..4)).prop_flat_map(|(kind, step, bounds)| {
                let bounds: Vec<f64> = bounds.into_iter().map(f64::from).collect();
                (arm(kind, step, bounds.clone()), arm(kind, step, bounds))
            });
        let failure = FetchFailure { arm: Arm::Canary, reason: "refused".to_owned(), message: "no".to_owned() };
        prop_oneof![
            9 => sampled.prop_map(|(baseline, canary)| Observation::Sampled { baseline, canary }),
            1 => Just(Observation::Failed(failure))
        ]
    }

    fn evidence() -> impl Strategy<Value = Evidence> {
        let population = Population {
            baseline: vec![Member { instance: "a".to_owned(), version: "1".to_owned(), points: 3, at_end: true }],
            canary: Vec::new(),
        };
        let failure = FetchFailure { arm: Arm::Baseline, reason: "timeout".to_owned(), message: "late".to_owned() };
        let population = prop_oneof![Just(None), Just(Some(Ok(population))), Just(Some(Err(failure)))];
        let looks = prop::option::of(Just(Looks { look: 2, looks: 5, early_pass: true }));
        (prop::collection::vec(observation(), 1..4), population, looks, prop::option::of(0.01..0.99), any::<bool>()).prop_map(
            |(observations, population, looks, canary_share, concurrent)| Evidence {
                observations,
                step_seconds: 30.0,
                observed_seconds: 1234.5,
                comparison: if concurrent { Comparison::Concurrent } else { Comparison::BeforeAfter },
                canary_share,
                looks,
                ramp: canary_share.map(|share| vec![share / 2.0, share]).unwrap_or_default(),
                population,
                advisory: false,
            },
        )
    }

    /// Everything that a judge could tell apart, NaN by its bits.
    fn told(evidence: &Evidence) -> String {
        let text = format!("{evidence:?}");
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let of = |points: &Points| match points {
            Points::Values(values) => vec![bits(values)],
            Points::Counts { events, totals } => vec![bits(events), bits(totals)],
            Points::Buckets(_) => Vec::new(),
        };
        let arms = evidence.observations.iter().flat_map(|observation| match observation {
            Observation::Sampled { baseline, canary } => vec![baseline, canary],
            Observation::Failed(_) => Vec::new(),
        });
        let arms = arms.map(|arm| {
            (of(&arm.points), arm.history.as_ref().map(of), arm.instances.iter().map(|one| bits(&one.values)).collect::<Vec<_>>())
        });
        format!("{text} {:?}", arms.collect::<Vec<_>>())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_recorded_case_is_read_back_as_the_evidence_that_it_was(evidence in evidence()) {
            let names: Vec<String> = (0..evidence.observations.len()).map(|i| format!("m{i}")).collect();
            let config = json!({ "name": "c", "metrics": names.iter().map(|name| json!({ "name": name, "queries": { "prometheus": "up" } })).collect::<Vec<_>>() });
            let config: CanaryConfig = serde_json::from_value(config).unwrap();
            let metrics: Vec<&Metric> = config.metrics.iter().collect();
            let (population, population_failure) = match &evidence.population {
                None => (None, None),
                Some(Ok(population)) => (Some(population.clone()), None),
                Some(Err(failure)) => (None, Some(failure.clone())),
            };
            let case = Case {
                id: "a".to_owned(),
                pairing: Some(if evidence.comparison == Comparison::Concurrent { "concurrent" } else { "before_after" }.to_owned()),
                step_seconds: evidence.step_seconds,
                observed_seconds: Some(evidence.observed_seconds),
                canary_share: evidence.canary_share,
                looks: evidence.looks,
                ramp: evidence.ramp.clone(),
                population,
                population_failure,
                null_is_absent: true,
                config: Some(config.clone()),
                metrics: metrics.iter().zip(&evidence.observations).filter_map(|(m, of)| metric(m, of)).collect(),
                ..Case::default()
            };
            let line = case.line().unwrap();
            let read = Case::parse(line.strip_suffix(b"\n").unwrap()).unwrap();
            let config = read.derived_config(super::super::Rule::HaldaneV1).unwrap();
            prop_assert_eq!(told(&read.evidence(&config, true)), told(&evidence));
        }
    }
}
