//! What Spinnaker's Deck dereferences without a guard, as Gate passes it on.

use reqwest::Method;
use serde_json::{Value, json};

use super::service::{KAYENTAS, Service, config, judging, metric, no_null, success};

/// What the list of executions and the report read of any execution, running ones included.
#[track_caller]
fn check_execution(status: &Value) {
    assert_eq!(no_null(status), Ok(()), "{status}");
    for field in ["application", "pipelineId", "canaryConfigId", "status", "startTimeIso", "metricsAccountName", "storageAccountName"] {
        assert!(status[field].is_string(), "{field}: {status}");
    }
    // Deck writes to the config, and takes widths from its weights.
    assert!(status["config"]["name"].is_string(), "{status}");
    assert!(status["config"]["classifier"]["groupWeights"].as_object().unwrap().values().all(Value::is_number), "{status}");
    for metric in status["config"]["metrics"].as_array().unwrap() {
        assert!(metric["query"]["type"].is_string() && metric["query"]["serviceType"].is_string(), "{metric}");
        assert!(metric["scopeName"].is_string() && metric["name"].is_string(), "{metric}");
    }
    for arms in status["canaryExecutionRequest"]["scopes"].as_object().unwrap().values() {
        for arm in ["controlScope", "experimentScope"] {
            let arm = &arms[arm];
            assert!(["scope", "location", "start", "end"].iter().all(|field| arm[field].is_string()), "{arm}");
            assert!(arm["step"].is_u64() && arm["extendedScopeParams"].is_object(), "{arm}");
        }
    }
    for threshold in ["pass", "marginal"] {
        assert!(status["canaryExecutionRequest"]["thresholds"][threshold].is_number(), "{status}");
    }
    assert!(status["stageStatus"].as_object().unwrap().values().all(Value::is_string), "{status}");
}

/// What the report joins: results with pairs by id, and with the config's metrics by name.
#[track_caller]
fn check_report(status: &Value, pairs: &Value) {
    let results = status["result"]["judgeResult"]["results"].as_array().unwrap();
    let pairs = pairs.as_array().unwrap();
    assert_eq!(results.len(), pairs.len());
    let mut ids = std::collections::BTreeSet::new();
    for result in results {
        let pair = pairs.iter().find(|pair| pair["id"] == result["id"]).unwrap_or_else(|| panic!("no pair: {result}"));
        assert!(ids.insert(result["id"].as_str().unwrap()), "two of {}", result["id"]);
        assert_eq!((&pair["name"], &pair["tags"]), (&result["name"], &result["tags"]));
        let metrics = status["config"]["metrics"].as_array().unwrap();
        let metric = metrics.iter().find(|metric| metric["name"] == result["name"]).unwrap_or_else(|| panic!("no metric: {result}"));
        assert_eq!(metric["groups"], result["groups"]);
        assert!(result["tags"].is_object() && result["critical"].is_boolean() && result["muted"].is_boolean(), "{result}");
        for side in ["control", "experiment"] {
            // The detail view builds a link of these, whatever the store.
            assert!(pair["attributes"][side].is_object(), "{pair}");
            assert!(pair["values"][side].as_array().unwrap().iter().all(|value| value.is_number() || value.is_string()), "{pair}");
            let scope = &pair["scopes"][side];
            assert!(scope["startTimeIso"].is_string() && scope["startTimeMillis"].is_i64() && scope["stepMillis"].is_i64(), "{pair}");
        }
    }
    for group in status["result"]["judgeResult"]["groupScores"].as_array().unwrap() {
        assert!(status["config"]["classifier"]["groupWeights"][group["name"].as_str().unwrap()].is_number(), "{group}");
        assert!(group["score"].is_number(), "{group}");
    }
}

async fn listed(service: &Service, query: &str) -> Vec<Value> {
    let list = service.found(&format!("/canary/executions{query}")).await;
    list.as_array().unwrap_or_else(|| panic!("{list}")).clone()
}

fn ids(list: &[Value]) -> Vec<&str> {
    list.iter().map(|status| status["pipelineId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_has_running_succeeded_failed_and_cancelled_executions_newest_first() {
    for service in [Service::start().await, Service::with_store().await] {
        let query = "?application=pay&parentPipelineExecutionId=no-parent-pipeline-execution";
        let mut started = Vec::new();
        for names in [&["steady"][..], &["broken"], &["held"], &["steady", "held"]] {
            started.insert(0, service.begun(query, &judging("haldane-v1", names)).await);
            // Lists are by the millisecond.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let cancel = service.request(Method::PUT, &format!("/pipelines/{}/cancel", started[1])).send().await.unwrap();
        assert_eq!(cancel.status().as_u16(), 202);
        for ending in [&started[1], &started[2], &started[3]] {
            service.end_of(ending).await;
        }
        service.begun("?application=other", &judging(KAYENTAS, &["steady"])).await;

        let list = listed(&service, "?application=pay&limit=20&page=1&storageAccountName=haldane").await;
        assert_eq!(ids(&list), started, "{list:?}");
        list.iter().for_each(check_execution);
        let statuses: Vec<&str> = list.iter().map(|status| status["status"].as_str().unwrap()).collect();
        assert_eq!(statuses, ["running", "canceled", "terminal", "succeeded"]);
        for status in &list {
            // The list keeps what has a result.
            assert_eq!(status.get("result").is_some(), status["status"] == "succeeded", "{status}");
            let failed = ["canceled", "terminal"].contains(&status["status"].as_str().unwrap());
            // The page of a failed run has nothing else to show.
            assert_eq!(status["exception"]["details"]["error"].is_string(), failed, "{status}");
            assert_eq!(status["exception"]["details"]["errors"].is_array(), failed, "{status}");
            assert_eq!(status["parentPipelineExecutionId"], "no-parent-pipeline-execution");
        }

        let some = |range: std::ops::Range<usize>| started[range].iter().map(String::as_str).collect::<Vec<_>>();
        for (page, range) in [(1, 0..3), (2, 3..4), (3, 0..0)] {
            assert_eq!(ids(&listed(&service, &format!("?application=pay&limit=3&page={page}")).await), some(range), "page {page}");
        }
        for (statuses, expected) in
            [("SUCCEEDED", vec![3]), ("RUNNING, TERMINAL", vec![0, 2]), ("CANCELED,STOPPED", vec![1]), ("PAUSED", vec![])]
        {
            let list = listed(&service, &format!("?application=pay&statuses={}", statuses.replace(' ', "%20"))).await;
            let expected: Vec<&str> = expected.into_iter().map(|i: usize| started[i].as_str()).collect();
            assert_eq!(ids(&list), expected, "{statuses}");
        }
        assert_eq!(listed(&service, "?application=other").await.len(), 1);
        assert_eq!(listed(&service, "?application=nobody").await.len(), 0);
        // Without an application, those that were started without one.
        assert_eq!(listed(&service, "").await.len(), 0);
    }
}

#[tokio::test]
async fn a_report_joins_results_pairs_and_metrics_also_where_one_metric_has_several_tag_sets() {
    let service = Service::start().await;
    for judge in [KAYENTAS, "haldane-v1"] {
        let status = service.ended("?application=pay", &judging(judge, &["steady", "zones", "absent"])).await;
        check_execution(&status);
        let list = status["metricSetPairListId"].as_str().unwrap();
        let pairs = service.found(&format!("/metricSetPairList/{list}?accountName=haldane")).await;
        check_report(&status, &pairs);
        let results = status["result"]["judgeResult"]["results"].as_array().unwrap();
        let found: Vec<_> =
            results.iter().map(|one| (one["name"].as_str().unwrap(), &one["tags"], one["classification"].as_str().unwrap())).collect();
        let (a, b, none) = (json!({ "zone": "a" }), json!({ "zone": "b" }), json!({}));
        assert_eq!(found, [("steady", &none, "Pass"), ("zones", &a, "Pass"), ("zones", &b, "High"), ("absent", &none, "Nodata")]);
        // An execution's pairs have the same ids whenever they are asked for.
        let again = service.found(&format!("/canary/{}", status["pipelineId"].as_str().unwrap())).await;
        assert_eq!(again, status);
    }
}

#[tokio::test]
async fn the_config_of_an_execution_has_its_templates_escaped() {
    let service = Service::start().await;
    let mut body = judging(KAYENTAS, &["steady"]);
    body["canaryConfig"]["templates"] = json!({ "shared": "app=\"${scope}\"" });
    let status = service.ended("", &body).await;
    assert_eq!(status["config"]["templates"]["shared"], "app=\"$\\{scope}\"");
    assert_eq!(status["config"]["metrics"][0]["query"]["customInlineTemplate"], "PromQL:steady{app=\"$\\{scope}\"}");
}

#[tokio::test]
async fn a_config_comes_back_as_the_editor_wrote_it() {
    let service = Service::with_store().await;
    let mut written = config(KAYENTAS, &[metric("steady")]);
    written["isNew"] = json!(true);
    written["judge"]["judgeConfigurations"] = json!({ "anything": { "goes": [1, "two"] } });
    written["metrics"][0]["query"]["queryType"] = json!("PROMQL");
    written["metrics"][0]["analysisConfigurations"]["other"] = json!({ "kept": 1.5 });
    // Kayenta reads these as numbers with a point, and to a page they are the same.
    written["classifier"]["scoreThresholds"] = json!({ "pass": 95.0, "marginal": 75.0 });
    written["unknown"] = json!({ "deep": [{ "kept": true }] });
    let id = success(service.post("/canaryConfig?configurationAccountName=haldane", &written).await, 200).await["canaryConfigId"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut read = service.found(&format!("/canaryConfig/{id}")).await;
    let created = read["createdTimestamp"].as_i64().unwrap();
    assert_eq!((&read["updatedTimestamp"], read["createdTimestampIso"].is_string()), (&json!(created), true), "{read}");

    // The editor sends the whole object back.
    read["description"] = json!("changed");
    read["metrics"][0]["groups"] = json!(["latency"]);
    assert_eq!(success(service.put(&format!("/canaryConfig/{id}"), &read).await, 200).await, json!({ "canaryConfigId": id }));
    let mut again = service.found(&format!("/canaryConfig/{id}")).await;
    assert_eq!(again["createdTimestamp"], created);
    assert!(again["updatedTimestamp"].as_i64().unwrap() >= created, "{again}");
    let times = ["createdTimestamp", "createdTimestampIso", "updatedTimestamp", "updatedTimestampIso"];
    for document in [&mut read, &mut again] {
        times.iter().for_each(|time| drop(document.as_object_mut().unwrap().remove(*time)));
    }
    assert_eq!(again, read);
    for (field, value) in written.as_object().unwrap() {
        if !["description", "metrics"].contains(&field.as_str()) {
            assert_eq!(again[field], *value, "{field}");
        }
    }
    assert_eq!(again["metrics"][0]["query"]["queryType"], "PROMQL");
    assert_eq!(again["metrics"][0]["analysisConfigurations"], written["metrics"][0]["analysisConfigurations"]);

    let deleted = service.request(Method::DELETE, &format!("/canaryConfig/{id}")).send().await.unwrap();
    assert_eq!((deleted.status().as_u16(), deleted.bytes().await.unwrap().len()), (204, 0));
    assert_eq!(service.get(&format!("/canaryConfig/{id}")).await.status().as_u16(), 404);
}

#[tokio::test]
async fn the_selectors_have_judges_and_accounts_of_the_types_that_configs_name() {
    let service = Service::start().await;
    let judges = service.found("/judges").await;
    let judges: Vec<_> = judges.as_array().unwrap().iter().filter(|judge| judge["visible"] == true).map(|judge| &judge["name"]).collect();
    assert!(judges[0] == KAYENTAS && judges.iter().any(|judge| *judge == "haldane-v1"), "{judges:?}");
    let accounts = service.found("/credentials").await;
    for account in accounts.as_array().unwrap() {
        assert!(account["name"].is_string() && account["type"].is_string(), "{account}");
        for list in ["supportedTypes", "locations", "recommendedLocations"] {
            assert!(account[list].as_array().unwrap().iter().all(Value::is_string), "{list}: {account}");
        }
    }
    let reads_prometheus = |account: &Value| {
        account["type"] == "prometheus" && account["supportedTypes"].as_array().unwrap().contains(&json!("METRICS_STORE"))
    };
    assert!(accounts.as_array().unwrap().iter().any(reads_prometheus), "{accounts}");
}

#[tokio::test]
async fn a_page_of_another_origin_may_ask_where_it_is_configured() {
    let mut settings = haldane::settings::Settings::default();
    let closed = Service::with(haldane::settings::Settings::default()).await;
    let response = closed.request(Method::GET, "/judges").header("Origin", "https://deck.example").send().await.unwrap();
    assert!(!response.headers().contains_key("access-control-allow-origin"), "{response:?}");
    settings.access.cors_origins = vec!["https://deck.example".to_owned()];
    let service = Service::with(settings).await;
    let response = service.request(Method::GET, "/judges").header("Origin", "https://deck.example").send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "https://deck.example");
    let preflight = service.request(Method::OPTIONS, "/canary").header("Origin", "https://deck.example");
    let preflight = preflight.header("Access-Control-Request-Method", "POST").send().await.unwrap();
    assert_eq!((preflight.status().as_u16(), &preflight.headers()["access-control-max-age"]), (200, &"3600".parse().unwrap()));
}
