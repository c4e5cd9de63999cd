//! `src/kayenta/quirks.md`: each row names the tests that hold it, and those that no other file has.

use std::path::{Path, PathBuf};

use haldane::archive::Archive;
use haldane::settings::{ConfigStore, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use super::service::{KAYENTAS, Service, ad_hoc, config, execution, judging, metric, refusal};

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_row_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "tests", "judges/src"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    let text = std::fs::read_to_string(root.join("src/kayenta/quirks.md")).unwrap();
    let rows: Vec<&str> = text.split("\n**").skip(1).collect();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let title = row.split("**").next().unwrap();
        let (_, held) = row.split_once("\nHeld by ").unwrap_or_else(|| panic!("`{title}` names no test"));
        let named: Vec<&str> = held.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
        assert!(!named.is_empty(), "`{title}` names no test");
        for name in named {
            let (place, function) = name.rsplit_once("::").unwrap();
            let is_there = |(path, text): &(String, String)| path.contains(place) && text.contains(&format!("fn {function}("));
            assert!(files.iter().any(is_there), "`{title}` names `{name}`, which is not there");
        }
    }
}

#[tokio::test]
async fn a_comparison_with_itself_passes_under_kayentas_judge_and_is_refused_under_haldanes() {
    let service = Service::start().await;
    let mut same = execution(75, 50);
    same["scopes"]["default"]["experimentScope"] = same["scopes"]["default"]["controlScope"].clone();
    let body = |judge: &str| ad_hoc(config(judge, &[metric("steady")]), same.clone());
    let status = service.ended("", &body(KAYENTAS)).await;
    let result = &status["result"]["judgeResult"]["results"][0];
    assert_eq!(result["classificationReason"], "The Canary and Baseline data are identical", "{status}");
    let message = refusal(service.post("/canary", &body("haldane-v1")).await, 400).await;
    assert!(message.contains("compared with themselves"), "{message}");
}

#[tokio::test]
async fn the_stages_of_an_execution_move_from_fetching_to_the_end() {
    let service = Service::start().await;
    let id = service.begun("", &judging(KAYENTAS, &["held"])).await;
    let running = service.found(&format!("/canary/{id}")).await;
    let expected = json!({
        "setupContext": "succeeded", "fetchControl0": "running", "fetchExperiment0": "running", "mixMetrics": "not_started", "judge": "not_started"
    });
    assert_eq!(running["stageStatus"], expected);
    let ended = service.ended("", &judging(KAYENTAS, &["steady"])).await;
    assert!(ended["stageStatus"].as_object().unwrap().values().all(|stage| stage == "succeeded"), "{ended}");
}

#[tokio::test]
async fn accounts_show_neither_addresses_nor_secrets() {
    let secret = "s3cr3t-token";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), secret).unwrap();
    let source =
        json!({ "kind": "prometheus", "url": "http://prometheus.internal:9090", "bearer_token": { "file": folder.path().join("token") } });
    let service = Service::with_source("prom", source).await;
    for path in ["/credentials", "/metricsServices"] {
        let accounts = service.found(path).await;
        let text = accounts.to_string();
        assert!(text.contains("prom") && !text.contains("internal") && !text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_config_of_the_folder_cannot_be_changed_through_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let mut golden = config(KAYENTAS, &[metric("steady")]);
    golden["id"] = json!("golden");
    std::fs::write(folder.path().join("golden.json"), golden.to_string()).unwrap();
    let settings = Settings {
        configs: ConfigStore::with_directory(folder.path()).unwrap(),
        store: Some(Archive::open("memory:").unwrap()),
        ..Settings::default()
    };
    let service = Service::with(settings).await;
    assert_eq!(service.found("/canaryConfig/golden").await["name"], golden["name"]);
    for (method, path) in [(Method::PUT, "/canaryConfig/golden"), (Method::DELETE, "/canaryConfig/golden"), (Method::POST, "/canaryConfig")]
    {
        let response = service.request(method.clone(), path).json::<Value>(&golden).send().await.unwrap();
        let message = refusal(response, 400).await;
        assert!(message.contains("comes from the folder"), "{method}: {message}");
    }
}
