//! Where the numbers come from: the digest of all samples, and what they are like.

use haldane_judges::CheckedConfig;
use haldane_judges::evidence::{Evidence, Observation, Points};
use sha2::{Digest, Sha256};

use super::scorecard::{MetricStatistics, Statistics};

/// SHA-256 of all samples in the config's order; every NaN is one and the same missing point.
pub(super) fn digest(config: &CheckedConfig, evidence: &Evidence) -> String {
    let mut hash = Sha256::new();
    let mut vector = |name: &str, values: &[f64]| {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update((values.len() as u64).to_le_bytes());
        for value in values {
            let bits = if value.is_nan() { u64::MAX } else { value.to_bits() };
            hash.update(bits.to_le_bytes());
        }
    };
    let all = |points: &Points, vector: &mut dyn FnMut(&[f64])| match points {
        Points::Values(values) => vector(values),
        Points::Counts { events, totals } => {
            vector(events);
            vector(totals);
        }
        Points::Buckets(buckets) => {
            vector(buckets.bounds());
            vector(&buckets.rows().flatten().copied().collect::<Vec<f64>>());
        }
    };
    for (metric, observation) in config.metrics.iter().zip(&evidence.observations) {
        let Observation::Sampled { baseline, canary } = observation else {
            vector(&metric.name, &[]);
            continue;
        };
        if let Some(step) = canary.step_seconds {
            vector("\0step", &[step]);
        }
        for arm in [baseline, canary] {
            all(&arm.points, &mut |values| vector(&metric.name, values));
            for instance in &arm.instances {
                vector(&instance.name, &instance.values);
            }
            // No metric and no instance has a name with such a character.
            if let Some(history) = &arm.history {
                all(history, &mut |values| vector("\0history", values));
            }
            for earlier in &arm.earlier {
                let name = format!("\0{} days ago", earlier.days);
                all(&earlier.points, &mut |values| vector(&name, values));
            }
            if !arm.bounds.is_empty() {
                vector("\0bounds", &arm.bounds);
            }
        }
    }
    if let Some(Ok(population)) = &evidence.population {
        for (name, members) in [("\0baseline", &population.baseline), ("\0canary", &population.canary)] {
            vector(name, &[]);
            for member in members {
                vector(&member.instance, &[]);
                vector(&member.version, &[member.points as f64, f64::from(u8::from(member.at_end))]);
            }
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the samples of both arms are like; `None` where they could not be had.
pub(super) fn statistics(observation: &Observation) -> Option<MetricStatistics> {
    match observation {
        Observation::Sampled { baseline, canary } => {
            Some(MetricStatistics { baseline: Statistics::of(&baseline.points), canary: Statistics::of(&canary.points) })
        }
        Observation::Failed(_) => None,
    }
}
