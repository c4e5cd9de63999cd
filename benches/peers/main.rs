//! Haldane's side of `make bench-peers`: writes the arms that every peer is given, and times both judges on them.
//!
//! Into the folder that is its argument go `arms-N.csv`, a series a line, baseline and canary in turn; and `haldane.json`, seconds a metric
//! by implementation and points an arm. A peer's own program reads the one and writes the like of the other.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use data::series;
use haldane_judges::config::{CanaryConfig, CheckedConfig};
use haldane_judges::evidence::{ArmPoints, Evidence, Observation};
use haldane_judges::stats::Sample;
use haldane_judges::stats::mann_whitney::mann_whitney;
use haldane_judges::{JudgeName, judge};
use serde_json::json;

#[path = "../support/data.rs"]
mod data;

/// Points an arm, and how many pairs of arms there are: so many that no processor learns their branches by heart.
const SIZES: [(usize, u64); 4] = [(60, 1000), (240, 250), (1440, 48), (10_080, 8)];
/// Passes over all pairs; the median of their means is what counts.
const PASSES: usize = 31;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = PathBuf::from(folder.ok_or("give the folder that the arms and the figures go to")?);
    std::fs::create_dir_all(&folder)?;
    let document = json!({ "name": "bench", "metrics": [{ "name": "latency", "direction": "increase" }] });
    let config = serde_json::from_value::<CanaryConfig>(document)?.check()?;
    let mut figures: BTreeMap<&str, BTreeMap<usize, f64>> = BTreeMap::new();
    for (n, pairs) in SIZES {
        let arms: Vec<(Vec<f64>, Vec<f64>)> = (0..pairs).map(|seed| (series(n, 2 * seed, 120.0), series(n, 2 * seed + 1, 126.0))).collect();
        let mut text = String::new();
        for arm in arms.iter().flat_map(|(baseline, canary)| [baseline, canary]) {
            let values: Vec<String> = arm.iter().map(f64::to_string).collect();
            writeln!(text, "{}", values.join(","))?;
        }
        std::fs::write(folder.join(format!("arms-{n}.csv")), text)?;
        let evidence: Vec<Evidence> = arms.iter().map(|(baseline, canary)| evidence(baseline, canary)).collect();
        let sort = |(baseline, canary): &(Vec<f64>, Vec<f64>)| {
            let (mut b, mut c) = (baseline.clone(), canary.clone());
            b.sort_unstable_by(f64::total_cmp);
            c.sort_unstable_by(f64::total_cmp);
            black_box((b, c));
        };
        let test = |(baseline, canary): &(Vec<f64>, Vec<f64>)| {
            let samples = (Sample::of_present(baseline), Sample::of_present(canary));
            if let (Ok(b), Ok(c)) = samples {
                let _ = black_box(mann_whitney(&c, &b));
            }
        };
        let judged = |name: JudgeName, config: &CheckedConfig, evidence: &Evidence| {
            black_box(judge(name, config, evidence));
        };
        let mut passes: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        // All in turn, so that a busy minute of the machine touches all alike. The first pass warms up.
        for pass in 0..=PASSES {
            let measured = [
                ("sort both arms (Rust)", seconds(&arms, sort)),
                ("haldane: Mann-Whitney test", seconds(&arms, test)),
                ("haldane-v1", seconds(&evidence, |evidence| judged(JudgeName::HaldaneV1, &config, evidence))),
                ("haldane's NetflixACAJudge-v1.0", seconds(&evidence, |evidence| judged(JudgeName::NetflixAca, &config, evidence))),
            ];
            for (name, seconds) in measured.into_iter().filter(|_| pass > 0) {
                passes.entry(name).or_default().push(seconds);
            }
        }
        for (name, mut seconds) in passes {
            seconds.sort_unstable_by(f64::total_cmp);
            figures.entry(name).or_default().insert(n, seconds[PASSES / 2]);
        }
    }
    std::fs::write(folder.join("haldane.json"), format!("{:#}\n", json!(figures)))?;
    Ok(())
}

fn evidence(baseline: &[f64], canary: &[f64]) -> Evidence {
    let observation = Observation::Sampled { baseline: ArmPoints::values(baseline.to_vec()), canary: ArmPoints::values(canary.to_vec()) };
    Evidence { observations: vec![observation], observed_seconds: 60.0 * baseline.len() as f64, ..Evidence::default() }
}

/// Seconds a pair of one pass over all.
fn seconds<T>(pairs: &[T], work: impl Fn(&T)) -> f64 {
    let start = Instant::now();
    pairs.iter().for_each(work);
    start.elapsed().as_secs_f64() / pairs.len() as f64
}
