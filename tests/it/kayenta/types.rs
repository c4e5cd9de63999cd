//! Every shape of reply that Deck and Referee read, held to their own TypeScript types by the compiler (`tests/conformance/types`).

use std::fmt::Write as _;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use super::service::{KAYENTAS, Service, ad_hoc, config, judging, metric, success};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/types");
const QUERY: &str = "?application=shapes&parentPipelineExecutionId=parent&storageAccountName=haldane";

/// Replies with the type of `clients.ts` that each is to fit.
#[derive(Default)]
struct Replies(String);

impl Replies {
    fn add(&mut self, kind: &str, reply: &Value) {
        // The annotation is what checks; a text that is a type's only value stays one.
        writeln!(self.0, "const reply{}: clients.{kind} = {reply};", self.0.lines().count()).unwrap();
    }
}

/// An analysis of the past, in two judgements of half an hour.
async fn analysis(service: &Service, names: &[&str]) -> String {
    let metrics: Vec<Value> = names.iter().map(|name| metric(name)).collect();
    let scope = json!({
        "controlScope": "pay-base", "experimentScope": "pay-canary", "startTimeIso": "2026-03-01T10:00:00Z", "endTimeIso": "2026-03-01T11:00:00Z"
    });
    let request = json!({ "scopes": [scope], "thresholds": { "pass": 75, "marginal": 50 }, "analysisIntervalMins": 30 });
    let path = format!("/standalone_canary_analysis{QUERY}&user=somebody");
    let started = success(service.post(&path, &ad_hoc(config(KAYENTAS, &metrics), request)).await, 200).await;
    started["canaryAnalysisExecutionId"].as_str().unwrap().to_owned()
}

async fn ended(service: &Service, id: &str) -> Value {
    for _ in 0..3000 {
        let status = service.found(&format!("/standalone_canary_analysis/{id}")).await;
        if status["complete"] == true {
            return status;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{id} does not end");
}

async fn cancel(service: &Service, id: &str) {
    let reply = service.request(Method::PUT, &format!("/pipelines/{id}/cancel")).json("").send().await.unwrap();
    assert_eq!(reply.status().as_u16(), 202);
}

#[tokio::test]
#[ignore = "needs Node and the types that `make types` fetches"]
async fn every_shape_of_reply_fits_the_types_of_deck_and_referee() {
    let mut replies = Replies::default();
    let service = Service::with_store().await;

    let held = service.begun(QUERY, &judging(KAYENTAS, &["held"])).await;
    replies.add("DeckStarted", &json!({ "canaryExecutionId": held }));
    replies.add("DeckRunning", &service.found(&format!("/canary/{held}")).await);
    for judge in [KAYENTAS, "haldane-v1", "threshold-v1"] {
        let status = service.ended(QUERY, &judging(judge, &["steady", "risen", "absent", "gappy", "zones"])).await;
        replies.add("DeckSucceeded", &status);
        replies.add("RefereeExecution", &status);
        let pairs = format!("/metricSetPairList/{}", status["metricSetPairListId"].as_str().unwrap());
        replies.add("DeckPairs", &service.found(&pairs).await);
    }
    for body in [judging(KAYENTAS, &["broken"]), judging("dredd-v1.0", &["steady"])] {
        replies.add("DeckFailed", &service.ended(QUERY, &body).await);
    }
    cancel(&service, &held).await;
    replies.add("DeckFailed", &service.end_of(&held).await);
    let list = service.found("/canary/executions?application=shapes").await;
    assert!(list.as_array().is_some_and(|list| list.len() >= 6), "{list}");
    replies.add("DeckExecutions", &list);

    let created = success(service.post("/canaryConfig", &config(KAYENTAS, &[metric("steady")])).await, 200).await;
    replies.add("DeckConfigUpdate", &created);
    replies.add("DeckConfig", &service.found(&format!("/canaryConfig/{}", created["canaryConfigId"].as_str().unwrap())).await);
    replies.add("DeckConfigs", &service.found("/canaryConfig").await);
    replies.add("DeckAccounts", &service.found("/credentials").await);
    replies.add("DeckJudges", &service.found("/judges").await);

    let held = analysis(&service, &["held"]).await;
    let running = service.found(&format!("/standalone_canary_analysis/{held}")).await;
    assert_eq!(running["executionStatus"], "RUNNING", "{running}");
    replies.add("RefereeRunning", &running);
    cancel(&service, &held).await;
    for (id, word) in [
        (held, "CANCELED"),
        (analysis(&service, &["steady"]).await, "SUCCEEDED"),
        (analysis(&service, &["risen"]).await, "TERMINAL"),
        (analysis(&service, &["broken"]).await, "TERMINAL"),
    ] {
        let status = ended(&service, &id).await;
        assert_eq!(status["executionStatus"], word, "{status}");
        replies.add("RefereeEnded", &status);
    }

    let count = replies.0.lines().count();
    let text = format!("import type * as clients from './clients';\n\n{}export const replies = {count};\n", replies.0);
    std::fs::write(format!("{FOLDER}/replies.ts"), text).unwrap();
    let compiled = Command::new("node").args(["node_modules/typescript/bin/tsc", "-p", "."]).current_dir(FOLDER).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stdout));
}
