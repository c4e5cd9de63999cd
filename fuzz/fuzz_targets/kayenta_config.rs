//! Any text read as a canary config of Kayenta's, and any text in its templates, is used or refused.
#![no_main]

use haldane::kayenta::convert::convert;
use haldane::kayenta::reading::model::CanaryConfig;
use haldane::kayenta::reading::query::build_query;
use haldane::kayenta::reading::request::CanaryScope;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let scope = CanaryScope { scope: "a\"b'c`\\".to_owned(), location: text.to_owned(), ..CanaryScope::default() };
    let inline = |kind| json!({ "name": "c", "metrics": [{ "name": "m", "query": { "type": kind, "customInlineTemplate": text } }] }).to_string();
    for document in [text.to_owned(), inline("prometheus"), inline("datadog")] {
        let Ok(config) = CanaryConfig::from_json(document.as_bytes()) else { continue };
        let _ = config.check_for_storage();
        for metric in &config.metrics {
            let _ = build_query(&config, metric, &scope);
        }
        let _ = convert(document.as_bytes());
        let shown = CanaryConfig::from_value(config.shown_with_execution()).expect("what is shown reads back");
        assert_eq!(shown.metrics.len(), config.metrics.len());
    }
});
