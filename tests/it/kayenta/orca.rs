//! What Spinnaker's Orca reads, as strictly as its Kotlin classes read it, and what it makes of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::service::{KAYENTAS, Service, ad_hoc, config, execution, execution_until, judging, metric, no_null, refusal, success};

/// `ExecutionStatus` of Orca; another word throws.
const STATUSES: [&str; 12] = [
    "not_started",
    "running",
    "paused",
    "suspended",
    "succeeded",
    "failed_continue",
    "terminal",
    "canceled",
    "redirect",
    "stopped",
    "skipped",
    "buffered",
];

/// `CanaryExecutionStatusResponse` as Orca has it. What is not optional here throws there where it is absent, or would be 0.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(rename = "application")]
    _application: String,
    complete: bool,
    status: String,
    result: Option<CanaryResult>,
    exception: Option<Map<String, Value>>,
    #[serde(rename = "buildTimeIso")]
    _built: Option<Timestamp>,
    #[serde(rename = "startTimeIso")]
    _started: Option<Timestamp>,
    end_time_iso: Option<Timestamp>,
    storage_account_name: Option<String>,
    canary_execution_request: Option<ExecutionRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CanaryResult {
    judge_result: JudgeResult,
    canary_duration: Option<SignedDuration>,
}

#[derive(Debug, Deserialize)]
struct JudgeResult {
    score: Score,
    results: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Score {
    /// An integer there, to which Jackson truncates.
    score: f64,
    classification: String,
    classification_reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    control_metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    stats: Stats,
}

#[derive(Debug, Deserialize)]
struct Stats {
    count: i32,
}

#[derive(Debug, Deserialize)]
struct ExecutionRequest {
    scopes: BTreeMap<String, BTreeMap<String, Scope>>,
    thresholds: Thresholds,
}

#[derive(Debug, Deserialize)]
struct Scope {
    start: Timestamp,
    end: Timestamp,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Thresholds {
    pass: f64,
    marginal: f64,
}

/// Reads a status as Orca does.
#[track_caller]
fn read(document: &Value) -> Status {
    assert_eq!(no_null(document), Ok(()), "{document}");
    let status: Status = serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{error}: {document}"));
    assert!(STATUSES.contains(&status.status.as_str()), "{document}");
    // Of these words Orca would poll on for twelve hours.
    assert!(!["failed_continue", "skipped"].contains(&status.status.as_str()), "{document}");
    assert_eq!(status.complete, !["not_started", "running"].contains(&status.status.as_str()), "{document}");
    assert_eq!(status.result.is_some(), status.status == "succeeded", "{document}");
    status
}

/// How a stage of one interval ends.
#[derive(Debug, PartialEq)]
enum Stage {
    Polling,
    /// The canary failed, or the execution did.
    Terminal,
    /// The interval is done, and the last one's score did not reach the pass threshold.
    Unpassed,
    Succeeded,
}

impl Status {
    fn thresholds(&self) -> Thresholds {
        self.canary_execution_request.as_ref().unwrap().thresholds
    }

    /// Orca's decision: at or below the marginal threshold a canary fails.
    fn stage(&self) -> Stage {
        match (self.status.as_str(), &self.result) {
            ("succeeded", Some(result)) => {
                let (score, Thresholds { pass, marginal }) = (result.judge_result.score.score.trunc(), self.thresholds());
                match score {
                    _ if score <= marginal => Stage::Terminal,
                    _ if score < pass => Stage::Unpassed,
                    _ => Stage::Succeeded,
                }
            }
            ("terminal" | "canceled" | "stopped", _) => Stage::Terminal,
            _ => Stage::Polling,
        }
    }
}

/// The text of a failed execution, as Orca copies it into its stage.
fn exception(status: &Status) -> (String, Vec<String>) {
    let exception = status.exception.as_ref().unwrap();
    let details = &exception["details"];
    let errors = details["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap().to_owned()).collect();
    assert!(exception["exceptionType"].is_string() && exception["operation"].is_string(), "{exception:?}");
    (details["error"].as_str().unwrap().to_owned(), errors)
}

#[tokio::test]
async fn orca_reads_an_execution_that_ended_well_whatever_its_verdict_and_judge() {
    let service = Service::start().await;
    for judge in [KAYENTAS, "haldane-v1", "threshold-v1", ""] {
        for names in [&["steady"][..], &["risen"], &["steady", "risen"], &["steady", "absent"], &["steady", "gappy", "zones"]] {
            let document = service.ended("?application=pay&storageAccountName=haldane", &judging(judge, names)).await;
            let status = read(&document);
            assert_eq!(status.status, "succeeded", "{document}");
            let result = status.result.as_ref().unwrap();
            assert!(result.judge_result.results.len() >= names.len(), "{document}");
            assert!(result.judge_result.results.iter().all(|one| (0..=61).contains(&one.control_metadata.stats.count)), "{document}");
            let score = &result.judge_result.score;
            assert!(["Pass", "Marginal", "Fail"].contains(&score.classification.as_str()), "{document}");
            // Kayenta's judge has nothing to say of most canaries.
            assert!(judge.is_empty() || judge == KAYENTAS || !score.classification_reason.is_empty(), "{document}");
            assert_eq!(result.canary_duration, Some(SignedDuration::from_hours(1)), "{document}");
            assert_eq!((status.storage_account_name.as_deref(), status.exception.is_none()), (Some("haldane"), true));
            assert!(status.end_time_iso.is_some(), "{document}");
            let request = status.canary_execution_request.as_ref().unwrap();
            let arms = &request.scopes["default"];
            assert_eq!(arms.keys().collect::<Vec<_>>(), ["controlScope", "experimentScope"]);
            assert!(arms.values().all(|arm| arm.end.duration_since(arm.start) == SignedDuration::from_hours(1)));
        }
    }
}

#[tokio::test]
async fn orca_polls_an_execution_that_runs_and_ends_its_stage_when_it_is_cancelled() {
    let service = Service::start().await;
    for judge in [KAYENTAS, "haldane-v1"] {
        let id = service.begun("?application=pay", &judging(judge, &["steady", "held"])).await;
        let running = service.found(&format!("/canary/{id}")).await;
        let status = read(&running);
        assert_eq!((status.status.as_str(), status.stage()), ("running", Stage::Polling), "{running}");
        assert!(status.exception.is_none() && status.end_time_iso.is_none(), "{running}");

        // Orca sends an empty JSON text, and old releases read what comes back as a map or nothing.
        let cancelled = service.request(Method::PUT, &format!("/pipelines/{id}/cancel")).json("").send().await.unwrap();
        assert_eq!(cancelled.status(), StatusCode::ACCEPTED);
        assert_eq!(cancelled.headers()["content-length"], "0");
        assert_eq!(cancelled.bytes().await.unwrap().len(), 0);

        let ended = service.end_of(&id).await;
        let status = read(&ended);
        assert_eq!((status.status.as_str(), status.stage()), ("canceled", Stage::Terminal), "{ended}");
        assert!(exception(&status).0.contains("cancelled"), "{ended}");
        // It is over: saying so again is no error, and changes nothing.
        let again = service.request(Method::PUT, &format!("/pipelines/{id}/cancel")).json("").send().await.unwrap();
        assert_eq!(again.status(), StatusCode::ACCEPTED);
        assert_eq!(service.found(&format!("/canary/{id}")).await, ended);
    }
}

#[tokio::test]
async fn an_execution_that_ended_before_it_was_cancelled_keeps_its_result() {
    let service = Service::start().await;
    let document = service.ended("", &judging(KAYENTAS, &["steady"])).await;
    let id = document["pipelineId"].as_str().unwrap();
    let cancelled = service.request(Method::PUT, &format!("/pipelines/{id}/cancel")).json("").send().await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::ACCEPTED);
    assert_eq!(service.found(&format!("/canary/{id}")).await, document);
}

#[tokio::test]
async fn orca_ends_its_stage_with_the_reason_where_an_execution_fails() {
    let service = Service::start().await;
    for (judge, names, part) in [
        // Nothing could be read.
        (KAYENTAS, &["broken"][..], "no such thing"),
        ("haldane-v1", &["broken"], "no such thing"),
        // Kayenta's judge would leave a metric that could not be read out of the score.
        (KAYENTAS, &["steady", "broken"], "no such thing"),
        // Kayenta starts what names a judge that is not there, and its judge stage fails.
        ("NetflixACAJudge-v9", &["steady"], "NetflixACAJudge-v9"),
    ] {
        let document = service.ended("?application=pay", &judging(judge, names)).await;
        let status = read(&document);
        assert_eq!((status.status.as_str(), status.stage()), ("terminal", Stage::Terminal), "{document}");
        let (error, errors) = exception(&status);
        assert!(error.contains(part) && !errors.is_empty(), "{document}");
        assert!(document["stageStatus"].as_object().unwrap().values().any(|stage| stage == "terminal"), "{document}");
    }
    // Haldane's own judge has a finding for a metric that could not be read, and does not pass.
    let document = service.ended("", &judging("haldane-v1", &["steady", "broken"])).await;
    let status = read(&document);
    assert_eq!(status.status, "succeeded", "{document}");
    assert_ne!(status.stage(), Stage::Succeeded, "{document}");
}

/// A body whose verdict by `haldane-v1` is known: too short an observation is marginal at best.
fn judged_as(verdict: &str, pass: u32, marginal: u32) -> Value {
    let (name, end) = match verdict {
        "fail" => ("risen", "2026-03-01T11:00:00Z"),
        "marginal" => ("steady", "2026-03-01T10:03:00Z"),
        _ => ("steady", "2026-03-01T11:00:00Z"),
    };
    ad_hoc(config("haldane-v1", &[metric(name)]), execution_until(end, pass, marginal))
}

#[tokio::test]
async fn orca_and_argo_decide_as_the_verdict_says_or_the_reason_warns() {
    let service = Service::start().await;
    for (pass, marginal) in [(75, 50), (95, 94), (100, 99), (0, 0)] {
        for verdict in ["fail", "marginal", "pass"] {
            let document = service.ended("", &judged_as(verdict, pass, marginal)).await;
            assert_eq!(document["haldane"]["verdict"], verdict, "{document}");
            let status = read(&document);
            let Score { score, classification, classification_reason: reason } = &status.result.as_ref().unwrap().judge_result.score;
            assert_eq!(classification.to_lowercase(), verdict, "{document}");
            assert_eq!(score.fract(), 0.0, "{document}");
            let argo = match score {
                _ if *score >= f64::from(pass) => "Successful",
                _ if *score >= f64::from(marginal) => "Inconclusive",
                _ => "Failed",
            };
            let (orca_expected, argo_expected) = match verdict {
                "fail" => (Stage::Terminal, "Failed"),
                "marginal" => (Stage::Unpassed, "Inconclusive"),
                _ => (Stage::Succeeded, "Successful"),
            };
            let agreed = (status.stage() == orca_expected, argo == argo_expected);
            // No whole score lies strictly between 94 and 95, and none below 0.
            let room = match verdict {
                "fail" => (true, marginal > 0),
                "marginal" => (pass > marginal + 1, pass > marginal),
                _ => (true, true),
            };
            assert_eq!(agreed, room, "{verdict} at {pass} and {marginal}: {score}, {reason}");
            assert_eq!(reason.contains("Orca will fail"), !room.0, "{reason}");
            assert_eq!(reason.contains("Argo Rollouts will"), !room.1, "{reason}");
        }
    }
}

#[tokio::test]
async fn kayentas_judge_gives_orca_the_score_that_kayenta_gives() {
    let service = Service::start().await;
    // Two groups of equal weight, one of which fails: 50, which is marginal to Kayenta's judge and a failure to Orca.
    let document = service.ended("", &judging(KAYENTAS, &["steady", "risen"])).await;
    let status = read(&document);
    let score = &status.result.as_ref().unwrap().judge_result.score;
    assert_eq!((score.score, score.classification.as_str(), status.stage()), (50.0, "Marginal", Stage::Terminal), "{document}");
    // A fraction above the threshold is cut off by Orca, which then fails.
    let mut body = judging(KAYENTAS, &["steady", "risen"]);
    body["canaryConfig"]["classifier"]["groupWeights"] = json!({ "steady": 50.7, "risen": 49.3 });
    let document = service.ended("", &body).await;
    let status = read(&document);
    let score = &status.result.as_ref().unwrap().judge_result.score;
    assert_eq!((score.score, score.classification.as_str(), status.stage()), (50.7, "Marginal", Stage::Terminal), "{document}");
}

#[tokio::test]
async fn orca_starts_a_stored_config_with_all_its_parameters() {
    let service = Service::with_store().await;
    let created = success(service.post("/canaryConfig", &config(KAYENTAS, &[metric("steady")])).await, 200).await;
    let id = created["canaryConfigId"].as_str().unwrap();
    let query = "application=pay&parentPipelineExecutionId=01PARENT&metricsAccountName=prom-main&configurationAccountName=haldane&storageAccountName=haldane";
    let started = success(service.post(&format!("/canary/{id}?{query}"), &execution(75, 50)).await, 200).await;
    let execution = started["canaryExecutionId"].as_str().unwrap();
    let document = service.end_of(execution).await;
    assert_eq!(read(&document).stage(), Stage::Succeeded, "{document}");
    for (field, value) in [
        ("application", "pay"),
        ("parentPipelineExecutionId", "01PARENT"),
        ("canaryConfigId", id),
        ("pipelineId", execution),
        ("metricsAccountName", "prom-main"),
        ("configurationAccountName", "haldane"),
        ("storageAccountName", "haldane"),
    ] {
        assert_eq!(document[field], value, "{document}");
    }
}

#[tokio::test]
async fn every_item_of_the_lists_has_what_orca_demands() {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary {
        id: String,
        name: String,
        updated_timestamp: i64,
        updated_timestamp_iso: Timestamp,
        applications: Vec<String>,
    }

    #[derive(Deserialize)]
    struct Source {
        name: String,
        #[serde(rename = "type")]
        kind: String,
    }

    let service = Service::with_store().await;
    assert_eq!(service.found("/canaryConfig").await, json!([]));
    let mut ids = Vec::new();
    for (name, application) in [("one", "pay"), ("two", "pay"), ("one", "shop")] {
        let mut config = config(KAYENTAS, &[metric("steady")]);
        (config["name"], config["applications"], config["description"]) = (json!(name), json!([application, "both"]), Value::Null);
        if name == "two" {
            config["applications"] = json!([application]);
        }
        let created = service.post("/canaryConfig", &config).await;
        // Another config of that name shares an application.
        if application == "shop" {
            assert!(refusal(created, 400).await.contains("`one`"));
        } else {
            ids.push(success(created, 200).await["canaryConfigId"].as_str().unwrap().to_owned());
        }
    }
    let listed = service.found("/canaryConfig").await;
    assert_eq!(no_null(&listed), Ok(()));
    let summaries: Vec<Summary> = serde_json::from_value(listed).unwrap();
    let named: BTreeMap<&str, &Summary> = summaries.iter().map(|one| (one.name.as_str(), one)).collect();
    assert_eq!(named.keys().collect::<Vec<_>>(), [&"one", &"two"]);
    assert_eq!((&named["one"].id, &named["two"].id), (&ids[0], &ids[1]));
    assert_eq!(named["one"].applications, ["pay", "both"]);
    assert!(summaries.iter().all(|one| one.updated_timestamp_iso.as_millisecond() == one.updated_timestamp));
    for (query, names) in
        [("application=both", 1), ("application=pay", 2), ("application=both&application=pay", 2), ("application=none", 0)]
    {
        assert_eq!(service.found(&format!("/canaryConfig?{query}")).await.as_array().unwrap().len(), names, "{query}");
    }

    let accounts = service.found("/credentials").await;
    assert_eq!(no_null(&accounts), Ok(()));
    let accounts: Vec<Source> = serde_json::from_value(accounts).unwrap();
    let accounts: Vec<_> = accounts.iter().map(|one| (one.name.as_str(), one.kind.as_str())).collect();
    assert_eq!(accounts, [("prom-main", "prometheus"), ("haldane", "memory")]);
}
