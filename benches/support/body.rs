//! Bodies of `POST /v1/judgements` that carry their samples.

use serde_json::{Map, Value, json};

use super::data::series;

/// A canary of so many metrics of so many points an arm, of values; every fourth a ratio with counts. No other seed gives the same.
pub(crate) fn inline(metrics: usize, points: usize, seed: u64) -> Value {
    let (mut config, mut samples) = (Vec::new(), Map::new());
    for i in 0..metrics {
        let name = format!("metric-{i}");
        let arm = |canary: u64| {
            let level = 120.0 + 3.0 * canary as f64;
            let points = series(points, (seed * metrics as u64 + i as u64) * 2 + canary, level);
            if i % 4 < 3 {
                return json!(points);
            }
            let events: Vec<f64> = points.iter().map(|v| if *v > 1.07 * level { 1.0 } else { 0.0 }).collect();
            json!({ "events": events, "totals": vec![200; points.len()] })
        };
        samples.insert(name.clone(), json!({ "baseline": arm(0), "canary": arm(1) }));
        config.push(json!({ "name": name, "kind": if i % 4 < 3 { "value" } else { "ratio" }, "direction": "increase" }));
    }
    json!({ "config": { "name": "bench", "metrics": config }, "window": { "step": "60s" }, "samples": samples })
}
