//! Every parser, and the statistics, on inputs that nobody wrote: none panics, whatever it is given. README.md says how to run them longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod engine;
mod numbers;

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::run;
use haldane::analysis::{AnalysisLimits, Analyst, Request};
use haldane::api::translate;
use haldane::judgements::id::{IdKey, decode, encode};
use haldane::kayenta::convert::convert;
use haldane::kayenta::reading::model::CanaryConfig as KayentaConfig;
use haldane::kayenta::reading::query::build_query;
use haldane::kayenta::reading::request::{CanaryScope, ExecutionRequest};
use haldane::kayenta::reading::standalone::AnalysisRequest;
use haldane::replay::{Column, ReplayOptions, Rule};
use haldane::settings::{BodyLimits, ConfigStore};
use haldane::source::sources::Sources;
use haldane::source::{Window, datadog, leftovers, prometheus};
use haldane_judges::CheckedConfig;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

const WINDOW: Window = Window { start: 1_772_359_200, end: 1_772_362_800, step_seconds: 60 };
const KEY: [u8; 32] = [7; 32];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn any_text_is_a_canary_config_or_refused_and_one_reads_back_as_it_was() {
    run("config", &["judges/configs"], |bytes| {
        if let Ok(config) = CheckedConfig::from_yaml(&text(bytes)) {
            let json = serde_json::to_value(&config).expect("a checked config is plain data");
            let again = CheckedConfig::from_value(json).expect("what was accepted is accepted again");
            assert_eq!(config.digest(), again.digest());
        }
    });
}

#[test]
fn any_text_is_a_config_of_kayentas_or_refused_and_what_is_shown_reads_back() {
    run("kayenta_config", &["fixtures/kayenta/configs", "tests/conformance/argo/configs/kayenta"], |bytes| {
        let text = text(bytes);
        let scope = CanaryScope { scope: "a\"b'c`\\".to_owned(), location: text.clone(), ..CanaryScope::default() };
        let inline = |kind| json!({ "name": "c", "metrics": [{ "name": "m", "query": { "type": kind, "customInlineTemplate": text } }] });
        for document in [text.clone(), inline("prometheus").to_string(), inline("datadog").to_string()] {
            let Ok(config) = KayentaConfig::from_json(document.as_bytes()) else { continue };
            let _ = config.check_for_storage();
            for metric in &config.metrics {
                let _ = build_query(&config, metric, &scope);
            }
            let _ = convert(document.as_bytes());
            let shown = KayentaConfig::from_value(config.shown_with_execution()).expect("what is shown reads back");
            assert_eq!(shown.metrics.len(), config.metrics.len());
        }
    });
}

#[test]
fn any_document_is_a_request_of_kayentas_or_refused() {
    run("kayenta_request", &[], |bytes| {
        let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
        if let Ok(request) = ExecutionRequest::from_value(document.clone()) {
            let _ = (request.thresholds(), request.pair("default").map(|(control, experiment)| (control.window(), experiment.window())));
        }
        let Ok(analysis) = AnalysisRequest::from_value(document) else { return };
        let Ok(schedule) = analysis.schedule("2026-03-01T10:00:30Z".parse().expect("a time")) else { return };
        for number in [1, schedule.judgements] {
            let _ = (analysis.judgement(&schedule, number), schedule.due(number), analysis.control_window(&schedule, number));
        }
        let _ = analysis.shown();
    });
}

#[test]
fn any_text_is_a_query_or_refused() {
    run("template", &[], |bytes| {
        let text = text(bytes);
        let _ = (prometheus::variables_of(&text), prometheus::sampled(&text), prometheus::shape(&text), leftovers::leftovers(&text));
        let _ = (datadog::shape(&text, None), datadog::shape(&text, Some(60)));
        for split in text.char_indices().map(|(at, _)| at).take(200) {
            let (before, next) = text.split_at(split);
            let _ = datadog::TemplatePlace::of(before, next).check(&text);
        }
    });
}

#[test]
fn any_bytes_are_a_reply_of_prometheus_or_refused() {
    run("prometheus_reply", &["fixtures/prometheus"], |bytes| prometheus::read_any(bytes, WINDOW));
}

#[test]
fn any_bytes_are_a_reply_of_datadogs_or_refused() {
    run("datadog_reply", &["fixtures/datadog"], |bytes| datadog::read_any(bytes, WINDOW));
}

/// An id of format 1 around any frame. A caller cannot make one; what could not either would never get past the tag.
fn signed(size: u32, frame: &[u8]) -> String {
    let mut bytes = vec![1, 1];
    bytes.extend_from_slice(&1_700_000_000_i64.to_be_bytes());
    bytes.extend_from_slice(&1_u64.to_be_bytes());
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(frame);
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("a key of any length will do");
    mac.update(&bytes);
    bytes.extend_from_slice(&mac.finalize().into_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn any_text_is_an_id_or_refused_rightly_signed_or_not() {
    let key = IdKey::from_bytes(&KEY).expect("32 bytes");
    run("id", &[], |bytes| {
        let size = u32::try_from(bytes.len()).expect("a short input");
        let compressed = zstd::bulk::compress(bytes, 1).expect("memory");
        for id in [text(bytes), signed(size, bytes), signed(size, &compressed), signed(u32::MAX, &compressed)] {
            let Ok(decoded) = decode::<Request>(&id, &key) else { continue };
            // What was decoded can be encoded again, unless it carries what no id may.
            if let Ok(again) = encode(&decoded.request, &key, decoded.created, 1) {
                assert_eq!(decode::<Request>(&again.id, &key).expect("its own id").request, decoded.request);
            }
        }
    });
}

#[test]
fn any_document_is_a_request_or_refused_and_one_with_its_samples_is_judged() {
    static CONFIGS: LazyLock<ConfigStore> = LazyLock::new(ConfigStore::shipped);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let analyst = Analyst::new(Sources::default(), AnalysisLimits::default());
    run("request", &[], |bytes| {
        let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
        let now = "2026-11-21T12:00:00Z".parse().expect("a time");
        let Ok(request) = translate(document, &CONFIGS, &BodyLimits::default(), &Sources::default(), now) else { return };
        let Ok(plan) = analyst.plan(request) else { return };
        let judged = runtime.block_on(async {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
            analyst.run(&plan, deadline, &|_| {}).await
        });
        if let Ok(scorecard) = judged {
            serde_json::to_vec(&scorecard.with_samples()).expect("a scorecard is plain data");
        }
    });
}

#[test]
fn any_lines_are_recorded_canaries_or_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    run("recording", &["fixtures/replay"], |bytes| {
        // A build without tables refuses the second by its name.
        for name in ["canaries.jsonl", "canaries.csv"] {
            let file = folder.path().join(name);
            std::fs::write(&file, bytes).expect("a file");
            let options = ReplayOptions {
                paths: vec![file],
                columns: vec![Column::derived(Rule::HaldaneV1), Column::derived(Rule::NetflixAca)],
                injection: None,
                looks: None,
                filters: Vec::new(),
                min_points: 1,
                window_seconds: None,
                output: None,
                resume: false,
                threads: std::num::NonZeroUsize::MIN,
            };
            let _ = haldane::replay::run(&options, &mut |_| {}, &|_| {});
        }
    });
}
