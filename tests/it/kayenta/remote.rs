//! `POST /judge`: what a Kayenta sends whose config names the remote judge, and what it reads.

use serde_json::{Value, json};

use super::service::{KAYENTAS, Service, TEN, metric, no_null, points, refusal, success};

/// A request of these pairs, in which everything has the metric `lat`.
fn request(judge: Value, pairs: Value) -> Value {
    json!({
        "canaryConfig": {
            "name": "c", "judge": judge, "templates": {}, "metrics": [metric("lat")], "classifier": { "groupWeights": { "lat": 100.0 } }
        },
        "scoreThresholds": { "pass": 95.0, "marginal": 75.0 },
        "metricSetPairList": pairs
    })
}

fn pair(id: &str, control: Value, experiment: Value) -> Value {
    let scope = json!({ "startTimeIso": "2026-03-01T10:00:00Z", "startTimeMillis": TEN * 1000, "stepMillis": 60_000 });
    json!({
        "name": "lat", "id": id, "tags": {}, "values": { "control": control, "experiment": experiment },
        "scopes": { "control": scope, "experiment": scope },
        "attributes": { "control": { "query": "q" }, "experiment": { "query": "q" } }
    })
}

fn named(judge: &str) -> Value {
    json!({ "name": judge, "judgeConfigurations": {} })
}

async fn judged(service: &Service, body: &Value) -> Value {
    let result = success(service.post("/judge", body).await, 200).await;
    assert_eq!(no_null(&result), Ok(()));
    assert!(result["judgeName"].is_string() && result["groupScores"].is_array(), "{result}");
    assert!(result["score"]["score"].is_number() && result["score"]["classificationReason"].is_string(), "{result}");
    // Orca reads the counts further on.
    for one in result["results"].as_array().unwrap() {
        for side in ["controlMetadata", "experimentMetadata"] {
            assert!(one[side]["stats"]["count"].is_u64(), "{one}");
        }
    }
    result
}

/// A number as Kayenta writes it, by its bits; every NaN is the same.
fn bits(value: &Value) -> Option<u64> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(match text.as_str() {
            "NaN" => f64::NAN.to_bits(),
            "Infinity" => f64::INFINITY.to_bits(),
            "-Infinity" => f64::NEG_INFINITY.to_bits(),
            other => panic!("{other} is no number"),
        }),
        number => number.as_f64().map(f64::to_bits),
    }
}

#[tokio::test]
async fn every_metric_that_kayenta_judged_comes_back_the_same_to_the_last_bit() {
    let service = Service::start().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/reference/kayenta");
    for (file, number) in [("vectors.jsonl", 343), ("special.jsonl", 24)] {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let cases: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(cases.len(), number);
        for case in &cases {
            let (id, expected) = (case["id"].as_str().unwrap(), &case["expected"]);
            let mut body = request(named(KAYENTAS), json!([pair("p", case["control"].clone(), case["experiment"].clone())]));
            body["canaryConfig"]["metrics"][0]["name"] = json!("metric");
            body["canaryConfig"]["metrics"][0]["analysisConfigurations"]["canary"] = case["config"].clone();
            body["metricSetPairList"][0]["name"] = json!("metric");
            let result = judged(&service, &body).await;
            assert_eq!(result["judgeName"], KAYENTAS);
            let found = &result["results"][0];
            for side in ["control", "experiment"] {
                let (stats, expected) = (&found[format!("{side}Metadata")]["stats"], &expected[format!("{side}_stats")]);
                assert_eq!(stats["count"], expected["count"], "{id}");
                for name in ["mean", "min", "max", "std"] {
                    assert_eq!(bits(&stats[name]), bits(&expected[name]), "{id}: {side} {name}: {stats} {expected}");
                }
            }
            let random = case["nondeterministic"] == true;
            if !random || !expected["classification"].is_null() {
                assert_eq!(found["classification"], expected["classification"], "{id}: {found}");
                assert_eq!(found["critical"], expected["critical"], "{id}: {found}");
                assert_eq!(found.get("classificationReason").unwrap_or(&Value::Null), &expected["reason"], "{id}: {found}");
            }
            if random {
                continue;
            }
            for (theirs, ours) in [
                ("deviation", "ratio"),
                ("effect_size", "effectSize"),
                ("ci_lower", "lowerConfidence"),
                ("ci_upper", "upperConfidence"),
                ("estimate", "estimate"),
            ] {
                let ours = &found["resultMetadata"][ours];
                assert_eq!(bits(ours), bits(&expected[theirs]), "{id}: {theirs}: {ours}, expected {}", expected[theirs]);
            }
        }
    }
}

#[tokio::test]
async fn the_judge_is_the_one_that_is_named_and_the_remote_judge_means_the_one_in_its_options() {
    let service = Service::start().await;
    let pairs = json!([pair("p", json!(points(100.0, 60)), json!(points(160.0, 60)))]);
    let inner = |name: &str, inner: Value| json!({ "name": name, "judgeConfigurations": { "judge": inner } });
    for (judge, expected) in [
        (named(KAYENTAS), KAYENTAS),
        (named("haldane-v1"), "haldane-v1"),
        (named("threshold-v1"), "threshold-v1"),
        (named("RemoteJudge-v1.0"), "haldane-v1"),
        (named(""), "haldane-v1"),
        (Value::Null, "haldane-v1"),
        (json!({}), "haldane-v1"),
        (inner("RemoteJudge-v1.0", json!(KAYENTAS)), KAYENTAS),
        (inner("RemoteJudge-v1.0", json!("")), "haldane-v1"),
        (inner("RemoteJudge-v1.0", Value::Null), "haldane-v1"),
        (inner("", json!("threshold-v1")), "threshold-v1"),
        // Who names a judge gets it, whatever the options say.
        (inner("haldane-v1", json!(KAYENTAS)), "haldane-v1"),
    ] {
        let result = judged(&service, &request(judge.clone(), pairs.clone())).await;
        assert_eq!(result["judgeName"], expected, "{judge}");
        let classification = if expected == "threshold-v1" { None } else { Some("Fail") };
        assert!(classification.is_none_or(|expected| result["score"]["classification"] == expected), "{judge}: {result}");
    }
    for judge in [named("dredd-v1.0"), inner("RemoteJudge-v1.0", json!("RemoteJudge-v1.0")), inner("", json!(7))] {
        let message = refusal(service.post("/judge", &request(judge.clone(), pairs.clone())).await, 400).await;
        assert!(message.starts_with("/canaryConfig/judge/"), "{judge}: {message}");
    }
}

#[tokio::test]
async fn quoted_numbers_nulls_and_arms_of_any_length_are_taken() {
    let service = Service::start().await;
    let quoted = json!([1.0, "NaN", 1.2, "Infinity", "-Infinity", null, 1.1, "1.3", 5e-324, -0.0]);
    let many = json!(points(1.0, 60));
    for judge in [KAYENTAS, "haldane-v1", "threshold-v1"] {
        for (control, experiment, counts) in [
            (quoted.clone(), many.clone(), None),
            (many.clone(), quoted.clone(), None),
            (json!(points(1.0, 60)), json!(points(1.0, 13)), Some((60, 13))),
            (json!([]), many.clone(), Some((0, 60))),
            (many.clone(), json!([]), Some((60, 0))),
            (json!([]), json!([]), Some((0, 0))),
            (json!(["NaN", null]), many.clone(), Some((0, 60))),
            (Value::Null, many.clone(), Some((0, 60))),
            (json!([1]), json!([2]), Some((1, 1))),
        ] {
            let result = judged(&service, &request(named(judge), json!([pair("p1", control.clone(), experiment.clone())]))).await;
            let one = &result["results"][0];
            assert_eq!((&one["id"], &one["name"], &one["groups"]), (&json!("p1"), &json!("lat"), &json!(["lat"])), "{one}");
            if let Some((of_control, of_experiment)) = counts {
                assert_eq!(one["controlMetadata"]["stats"]["count"], of_control, "{judge} {control} {experiment}: {one}");
                assert_eq!(one["experimentMetadata"]["stats"]["count"], of_experiment, "{judge} {control} {experiment}: {one}");
            }
            let empty = counts.is_some_and(|(control, experiment)| control.min(experiment) == 0);
            assert!(!empty || one["classification"] != "Pass", "{judge} {control} {experiment}: {one}");
        }
    }
}

#[tokio::test]
async fn several_pairs_of_one_metric_are_judged_apart_and_keep_ids_tags_and_order() {
    let service = Service::start().await;
    // Labels as Kubernetes has them: longer together than a metric's name may be.
    let tags = |zone: &str| json!({ "zone": zone, "pod": "x".repeat(150), "image": "y".repeat(150), "number": 7, "none": null });
    let mut pairs = Vec::new();
    for (id, zone, level) in [("b", "b", 160.0), ("a", "a", 100.0), ("again", "a", 100.0), ("A", "a\u{0}\n", 160.0)] {
        let mut pair = pair(id, json!(points(100.0, 60)), json!(points(level, 60)));
        pair["tags"] = tags(zone);
        pairs.push(pair);
    }
    for judge in [KAYENTAS, "haldane-v1"] {
        let result = judged(&service, &request(named(judge), json!(pairs))).await;
        let found: Vec<_> = result["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["id"].as_str().unwrap(), one["classification"].as_str().unwrap()))
            .collect();
        // Two of the pairs are one series twice, of which Kayenta's judge thinks well.
        let same = if judge == KAYENTAS { "Pass" } else { "Nodata" };
        assert_eq!(found, [("b", "High"), ("a", same), ("again", same), ("A", "High")], "{judge}");
        for (one, pair) in result["results"].as_array().unwrap().iter().zip(&pairs) {
            assert_eq!((&one["name"], &one["tags"]["zone"], &one["tags"]["number"]), (&json!("lat"), &pair["tags"]["zone"], &json!("7")));
        }
        let reason = result["results"][0]["classificationReason"].as_str().unwrap();
        assert!(judge != KAYENTAS || reason == "lat was classified as High", "{reason}");
    }
}

#[tokio::test]
async fn templates_in_their_escaped_form_and_queries_of_any_type_are_no_matter() {
    let service = Service::start().await;
    let mut body = request(named("RemoteJudge-v1.0"), json!([pair("p", json!(points(1.0, 60)), json!(points(1.001, 60)))]));
    body["canaryConfig"]["templates"] = json!({ "t": "$\\{scope}" });
    for query in [
        json!({ "type": "prometheus", "customInlineTemplate": "PromQL:x{a=\"$\\{scope}\",b=\"${unknown}\"}" }),
        json!({ "type": "stackdriver", "metricType": "m", "crossSeriesReducer": "REDUCE_MEAN", "groupByFields": ["x"] }),
        json!({ "type": "signalfx", "queryPairs": [{ "key": "k", "value": "v" }] }),
        json!({ "type": "atlas", "q": ":true" }),
        json!({}),
    ] {
        body["canaryConfig"]["metrics"][0]["query"] = query.clone();
        assert_eq!(judged(&service, &body).await["score"]["classification"], "Pass", "{query}");
    }
}

#[tokio::test]
async fn forty_thousand_points_an_arm_are_judged_and_overflow_where_kayenta_does() {
    let service = Service::start().await;
    // Kayenta computes `cles` in 32-bit integers: 0.921 with 32 767 points a side, -0.921 with one more.
    for (points_a_side, classification) in [(32_767, "High"), (32_768, "Pass"), (40_000, "Pass")] {
        let mut body =
            request(named(KAYENTAS), json!([pair("p", json!(points(100.0, points_a_side)), json!(points(101.8, points_a_side)))]));
        let effect = json!({ "measure": "cles", "allowedIncrease": 0.6 });
        body["canaryConfig"]["metrics"][0]["analysisConfigurations"]["canary"] = json!({ "direction": "increase", "effectSize": effect });
        let result = judged(&service, &body).await;
        assert_eq!(result["results"][0]["classification"], classification, "{points_a_side}: {}", result["results"][0]);
    }
    for experiment in [points(100.0, 40_000), points(160.0, 40_000)] {
        let fails = experiment[0] > 120.0;
        let body = request(named("haldane-v1"), json!([pair("p", json!(points(100.0, 40_000)), json!(experiment))]));
        let result = judged(&service, &body).await;
        assert_eq!(result["score"]["classification"] == "Fail", fails, "{}", result["score"]);
        assert_eq!(result["results"][0]["controlMetadata"]["stats"]["count"], 40_000);
    }
}

#[tokio::test]
async fn pairs_without_times_tags_or_ids_are_judged_all_the_same() {
    let service = Service::start().await;
    for judge in [KAYENTAS, "haldane-v1"] {
        let bare = json!({ "name": "lat", "values": { "control": points(1.0, 60), "experiment": points(1.6, 60) } });
        let result = judged(&service, &request(named(judge), json!([bare]))).await;
        assert_eq!((&result["results"][0]["id"], &result["results"][0]["tags"]), (&json!(""), &json!({})));
        assert_eq!(result["score"]["classification"], "Fail");
        // The arms of a comparison over time begin at different times.
        let mut apart = pair("p", json!(points(1.0, 60)), json!(points(1.6, 60)));
        apart["scopes"]["control"]["startTimeMillis"] = json!((TEN - 604_800) * 1000);
        let result = judged(&service, &request(named(judge), json!([apart]))).await;
        assert_eq!(result["score"]["classification"], "Fail", "{result}");
    }
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused_at_its_place() {
    let service = Service::start().await;
    let fine = request(named("haldane-v1"), json!([pair("p", json!([1.0]), json!([1.0]))]));
    for (pointer, value, part) in [
        ("", json!([]), "`canaryConfig`"),
        ("", json!("x"), "`canaryConfig`"),
        ("/canaryConfig", Value::Null, "/canaryConfig"),
        ("/canaryConfig", json!(7), "/canaryConfig"),
        ("/canaryConfig/metrics", json!({}), "/canaryConfig/metrics"),
        ("/scoreThresholds", Value::Null, "/scoreThresholds"),
        ("/scoreThresholds/pass", json!("NaN"), "/scoreThresholds/pass"),
        ("/scoreThresholds/pass", json!("Infinity"), "/scoreThresholds/pass"),
        ("/scoreThresholds/marginal", Value::Null, "/scoreThresholds/marginal"),
        ("/scoreThresholds/marginal", json!(99), "marginal"),
        ("/metricSetPairList", Value::Null, "/metricSetPairList"),
        ("/metricSetPairList", json!({}), "/metricSetPairList"),
        ("/metricSetPairList", json!(vec![fine["metricSetPairList"][0].clone(); 501]), "501"),
        ("/metricSetPairList/0", json!(1), "/metricSetPairList/0"),
        ("/metricSetPairList/0/name", json!("other"), "`other` is no metric of the config; it has lat"),
        ("/metricSetPairList/0/name", Value::Null, "/metricSetPairList/0/name"),
        ("/metricSetPairList/0/values/control", json!(7), "/values/control"),
        ("/metricSetPairList/0/values/control/0", json!("many"), "/values/control/0"),
        ("/metricSetPairList/0/values/experiment/0", json!([1]), "/values/experiment/0"),
        ("/metricSetPairList/0/values/experiment/0", json!(true), "/values/experiment/0"),
    ] {
        let mut body = fine.clone();
        *body.pointer_mut(pointer).unwrap() = value.clone();
        let message = refusal(service.post("/judge", &body).await, 400).await;
        assert!(message.contains(part), "{pointer} {value}: {message}");
    }
}

#[tokio::test]
async fn stored_pairs_are_judged_again_by_another_config_and_other_thresholds() {
    let service = Service::with_store().await;
    let pairs = json!([pair("p", json!(points(1.0, 60)), json!(points(1.6, 60)))]);
    let list = success(service.post("/metricSetPairList", &pairs).await, 200).await["metricSetPairListId"].as_str().unwrap().to_owned();
    assert_eq!(service.found(&format!("/metricSetPairList/{list}?accountName=haldane")).await, pairs);
    let config = super::service::config(KAYENTAS, &[metric("lat")]);
    let config = success(service.post("/canaryConfig", &config).await, 200).await["canaryConfigId"].as_str().unwrap().to_owned();
    for (thresholds, classification) in
        [("passThreshold=75&marginalThreshold=50", "Fail"), ("passThreshold=75&marginalThreshold=0.0", "Marginal")]
    {
        let path = format!("/judges/judge?canaryConfigId={config}&metricSetPairListId={list}&{thresholds}");
        let result = success(service.post(&path, &Value::Null).await, 200).await;
        assert_eq!((&result["score"]["classification"], &result["results"][0]["id"]), (&json!(classification), &json!("p")), "{result}");
    }
    for (query, part) in [
        (format!("canaryConfigId={config}&metricSetPairListId={list}&passThreshold=75"), "marginalThreshold"),
        (format!("canaryConfigId={config}&metricSetPairListId={list}&passThreshold=NaN&marginalThreshold=1"), "passThreshold"),
        (format!("metricSetPairListId={list}&passThreshold=75&marginalThreshold=50"), "canaryConfigId"),
    ] {
        assert!(refusal(service.post(&format!("/judges/judge?{query}"), &Value::Null).await, 400).await.contains(part));
    }
    let missing = format!("/judges/judge?canaryConfigId={config}&metricSetPairListId=none&passThreshold=75&marginalThreshold=50");
    refusal(service.post(&missing, &Value::Null).await, 404).await;
}
