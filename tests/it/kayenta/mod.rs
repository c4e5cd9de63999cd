//! Kayenta's API as its clients find it, and its configs and requests as they send them.

mod convert;
mod datadog;
mod deck;
mod history;
mod leniency;
mod orca;
mod quirks;
mod referee;
mod refusals;
mod rejudged;
mod remote;
mod replicas;
pub(crate) mod service;
mod shapes;
mod standalone;
mod store;
mod translate;
mod types;

use serde_json::{Value, json};

/// Every config below `fixtures/kayenta/configs`, by name.
fn configs() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/kayenta/configs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut configs: Vec<_> =
        files.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap())).collect();
    configs.sort();
    assert!(configs.len() >= 3);
    configs
}

fn config(name: &str) -> Value {
    let (_, text) = configs().into_iter().find(|(config, _)| config == name).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A request with one scope, `default`, over the hour from 10:00, both arms at the same time.
fn request() -> Value {
    let scope =
        |name: &str| json!({ "scope": name, "location": "eu", "start": "2026-03-01T10:00:00Z", "end": "2026-03-01T11:00:00Z", "step": 60 });
    json!({
        "scopes": { "default": { "controlScope": scope("pay-base"), "experimentScope": scope("pay-canary") } },
        "thresholds": { "pass": 95, "marginal": 75 }
    })
}
