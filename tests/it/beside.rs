//! What is read beside a window and its past: the same clock of earlier days, and the bounds of histogram buckets. It is of use where it
//! comes, and missed by nobody where it does not.

use std::time::Duration;

use haldane::analysis::{AlsoRead, AnalysisLimits, Analyst, Request, Scorecard};
use haldane::source::sources::Sources;
use haldane_judges::evidence::Arm as ArmName;
use haldane_judges::scorecard::Status;
use serde_json::{Value, json};
use tokio::time::Instant;
use wiremock::ResponseTemplate;

use crate::history::{END, HISTORY, QUERY, START, Seen, Store, answer, judged, level, metric, only, request, success};
use crate::support::haldane::{client, command};
use crate::support::process::Server;
use crate::support::prometheus::Prometheus;
use crate::support::scorecard;
use crate::support::telemetry::{Arm, Gauge, MINUTES, START as RECORDED, gauges, openmetrics};

const DAY: i64 = 86_400;
/// Windows that are read on an earlier day, of 20 points each.
const WINDOWS: i64 = 7;

/// The samples of a scorecard's only metric.
fn samples(card: &Scorecard) -> Value {
    only(card);
    serde_json::to_value(card.data.metrics[0].samples.as_ref().unwrap()).unwrap()
}

fn also_read(card: &Scorecard) -> &[AlsoRead] {
    &card.data.metrics[0].also_read
}

/// The earlier days that were asked for, as the store saw them.
fn days(store: &Store) -> Vec<Seen> {
    let mut seen: Vec<Seen> = store.seen().into_iter().filter(Seen::is_earlier).collect();
    seen.sort_by(|a, b| (&a.query, -a.end).cmp(&(&b.query, -b.end)));
    seen
}

/// Points of each arm on each day of the samples: how many days ago, the baseline's, the canary's.
fn lengths(samples: &Value) -> Vec<(u64, Option<usize>, Option<usize>)> {
    let length = |day: &Value, arm: &str| day[arm]["values"].as_array().map(Vec::len);
    let days = samples["earlier"].as_array().into_iter().flatten();
    days.map(|day| (day["days"].as_u64().unwrap(), length(day, "baseline"), length(day, "canary"))).collect()
}

#[tokio::test]
async fn the_same_clock_of_yesterday_and_of_a_week_ago_is_read_with_six_windows_before_it() {
    let store = Store::start(answer).await;
    let analyst = store.analyst(&json!({}));
    let card = judged(&analyst, &request("canary", &[metric(QUERY)], &json!({}))).await;
    let seen = days(&store);
    let at = |scope: &str, days: i64| Seen {
        // The text is that of the window.
        query: format!("avg_over_time(m{{app=\"{scope}\"}}[1200s])"),
        start: END - days * DAY - WINDOWS * 1200 + 60,
        end: END - days * DAY,
        step: 60,
    };
    assert_eq!(seen, [at("base", 1), at("base", 7), at("canary", 1), at("canary", 7)]);
    let samples = samples(&card);
    assert_eq!(lengths(&samples), [(1, Some(140), Some(140)), (7, Some(140), Some(140))]);
    // Each point lies where its time says.
    for (day, arm, scope) in [(0, "baseline", "base"), (0, "canary", "canary"), (1, "canary", "canary")] {
        let asked = at(scope, [1, 7][day]);
        for (i, value) in samples["earlier"][day][arm]["values"].as_array().unwrap().iter().enumerate() {
            assert_eq!(value.as_f64(), Some(level(&asked.query, asked.start + 60 * i as i64)), "{day} {arm} {i}");
        }
    }
    let told: Vec<_> = also_read(&card).iter().map(|read| (read.arm, read.part.as_str(), read.days, read.series, read.points)).collect();
    let earlier = |arm, days| (arm, "earlier", Some(days), Some(1), Some(140));
    assert_eq!(
        told,
        [(ArmName::Baseline, 1), (ArmName::Baseline, 7), (ArmName::Canary, 1), (ArmName::Canary, 7)].map(|(arm, days)| earlier(arm, days))
    );
    let window = also_read(&card)[0].window.as_ref().unwrap();
    assert_eq!((window.end.as_second(), window.points), (END - DAY, 140));
    assert_eq!(also_read(&card)[0].query, at("base", 1).query);
    // The window's own queries are as without.
    assert!(card.data.metrics[0].queries.iter().all(|query| (query.points, query.history_points) == (Some(20), Some(HISTORY))));
    // Asked again, nothing is.
    let again = judged(&analyst, &request("canary", &[metric(QUERY)], &json!({}))).await;
    assert_eq!((store.seen(), again.data.digest.as_str()), (Vec::new(), card.data.digest.as_str()));
}

#[tokio::test]
async fn the_digest_covers_earlier_days_and_a_config_can_leave_them_out() {
    let digest = async |changed: bool| {
        let store = Store::start(move |seen: &Seen| {
            let more = if changed && seen.is_earlier() && seen.query.contains("canary") { 1.0 } else { 0.0 };
            success(&[seen.series(&json!({}), |time| Some(level(&seen.query, time) + more))])
        })
        .await;
        judged(&store.analyst(&json!({})), &request("canary", &[metric(QUERY)], &json!({}))).await.data.digest
    };
    assert_ne!(digest(false).await, digest(true).await);
    let store = Store::start(answer).await;
    let mut off = metric(QUERY);
    off["history"] = json!({ "clock": "off" });
    let card = judged(&store.analyst(&json!({})), &request("canary", &[off], &json!({}))).await;
    assert_eq!((store.seen().len(), samples(&card).get("earlier"), also_read(&card)), (2, None, &[][..]));
    assert!(only(&card).history.is_some());
}

/// A store that answers earlier days with `reply`, and everything else as it should.
async fn earlier_are(reply: impl Fn(&Seen) -> ResponseTemplate + Send + Sync + 'static) -> Store {
    Store::start(move |seen: &Seen| if seen.is_earlier() { reply(seen) } else { answer(seen) }).await
}

#[tokio::test]
async fn whatever_an_earlier_day_fails_of_changes_nothing_and_is_no_warning() {
    let plain = {
        let store = Store::start(answer).await;
        let mut off = metric(QUERY);
        off["history"] = json!({ "clock": "off" });
        judged(&store.analyst(&json!({})), &request("canary", &[off], &json!({}))).await
    };
    let said = |status: u16, kind: &str| {
        ResponseTemplate::new(status).set_body_json(json!({ "status": "error", "errorType": kind, "error": "query too long" }))
    };
    let partial = |seen: &Seen| {
        let series = seen.series(&json!({}), |time| Some(level(&seen.query, time)));
        let data = json!({ "resultType": "matrix", "result": [series] });
        ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "isPartial": true, "data": data }))
    };
    let several = |seen: &Seen| success(&["a", "b"].map(|pod| seen.series(&json!({ "pod": pod }), |time| Some(level(&seen.query, time)))));
    let before_alone =
        |seen: &Seen| success(&[seen.series(&json!({}), |time| (time <= seen.end - 1200).then(|| level(&seen.query, time)))]);
    let stores = [
        ("refused", earlier_are(move |_| said(422, "execution")).await),
        ("unreachable", earlier_are(move |_| said(503, "unavailable")).await),
        ("unreadable", earlier_are(|_| ResponseTemplate::new(200).set_body_string("<html>")).await),
        ("partial", earlier_are(partial).await),
        ("none", earlier_are(|_| success(&[])).await),
        ("several", earlier_are(several).await),
        ("before alone", earlier_are(before_alone).await),
    ];
    for (name, store) in stores {
        let settings = json!({ "connection": { "retries": 0 } });
        let card = judged(&store.analyst(&settings), &request("canary", &[metric(QUERY)], &json!({}))).await;
        assert_eq!(days(&store).len(), 4, "{name}");
        assert_eq!((only(&card), &card.judgement.warnings), (only(&plain), &plain.judgement.warnings), "{name}");
        assert_eq!(card.data.digest, plain.data.digest, "{name}");
        assert_eq!(also_read(&card).len(), 4, "{name}: it says what was asked all the same");
        let had = matches!(name, "none" | "several" | "before alone");
        assert!(also_read(&card).iter().all(|read| read.series.is_some() == had), "{name}: {:?}", also_read(&card));
    }
}

#[tokio::test]
async fn a_store_that_hangs_on_earlier_days_takes_a_third_of_the_time_at_most() {
    let store = earlier_are(|seen| answer(seen).set_delay(Duration::from_secs(60))).await;
    let metrics: Vec<Value> = (0..6)
        .map(|i| json!({ "name": format!("m{i}"), "direction": "increase", "queries": { "prometheus": format!("m{i}{{app=\"${{scope}}\"}}") } }))
        .collect();
    let analyst = store.analyst(&json!({ "max_concurrent": 2 }));
    let (began, deadline) = (Instant::now(), Duration::from_secs(24));
    let card = scorecard(&analyst, &request("canary-worse", &metrics, &json!({})), began + deadline).await.unwrap();
    assert!(began.elapsed() < deadline, "{:?}", began.elapsed());
    for (metric, data) in card.judgement.metrics.iter().zip(&card.data.metrics) {
        assert_eq!((metric.status, metric.history.is_some()), (Status::Regressed, true), "{}", metric.sentence);
        assert_eq!(metric.warnings, Vec::<String>::new());
        assert!(data.also_read.iter().all(|read| read.series.is_none()));
    }
}

#[tokio::test]
async fn arms_that_lie_apart_are_read_on_their_own_earlier_days() {
    let store = Store::start(answer).await;
    let mut request = request("canary", &[metric(QUERY)], &json!({}));
    request.baseline_offset_seconds = 3600;
    let card = judged(&store.analyst(&json!({})), &request).await;
    let ends: Vec<(bool, i64)> = days(&store).iter().map(|seen| (seen.query.contains("base"), seen.end)).collect();
    let day = |days: i64| END - days * DAY;
    assert_eq!(ends, [(true, day(1) - 3600), (true, day(7) - 3600), (false, day(1)), (false, day(7))]);
    assert_eq!(lengths(&samples(&card)), [(1, Some(140), Some(140)), (7, Some(140), Some(140))]);
}

#[tokio::test]
async fn a_past_that_reaches_back_a_day_is_not_asked_for_again() {
    let store = Store::start(answer).await;
    let mut request = request("canary", &[metric(QUERY)], &json!({}));
    // Two hours: twenty of them hold yesterday's and what lay before it.
    request.window.as_mut().unwrap().end = START + 7200;
    let card = judged(&store.analyst(&json!({})), &request).await;
    let seen = store.seen();
    assert_eq!(seen.iter().filter(|seen| seen.end == START + 7200 - 7 * DAY).count(), 2, "{seen:?}");
    assert_eq!(seen.len(), 4, "the window with its past, and last week: {seen:?}");
    let samples = samples(&card);
    let length = Some(7 * 120);
    assert_eq!(lengths(&samples), [(1, length, length), (7, length, length)]);
    let query = "avg_over_time(m{app=\"canary\"}[7200s])";
    let values = samples["earlier"][0]["canary"]["values"].as_array().unwrap();
    assert_eq!(values.last().unwrap().as_f64(), Some(level(query, START + 7200 - DAY)));
    assert_eq!(values[0].as_f64(), Some(level(query, START + 7200 - DAY - 60 * (7 * 120 - 1))));
    let told: Vec<_> = also_read(&card).iter().map(|read| read.days).collect();
    assert_eq!(told, [Some(7); 2]);
}

#[tokio::test]
async fn instances_of_earlier_days_are_those_that_reported_then() {
    let store = Store::start(|seen: &Seen| {
        let pods: &[(&str, f64)] =
            if seen.is_earlier() { &[("old-1", 80.0), ("old-2", 120.0)] } else { &[("new-1", 99.0), ("new-2", 101.0)] };
        success(&pods.iter().map(|(pod, level)| seen.series(&json!({ "pod": pod }), |_| Some(*level))).collect::<Vec<_>>())
    })
    .await;
    let mut per_instance = metric(QUERY);
    per_instance["per_instance"] = json!("pod");
    let card = judged(&store.analyst(&json!({})), &request("canary", &[per_instance], &json!({}))).await;
    let samples = samples(&card);
    for day in 0..2 {
        for arm in ["baseline", "canary"] {
            assert_eq!(samples["earlier"][day][arm], json!({ "values": vec![100.0; 140] }), "{day} {arm}");
        }
    }
}

#[tokio::test]
async fn a_metric_that_is_read_at_a_larger_step_has_its_earlier_days_at_that_step() {
    let store =
        Store::start(|seen: &Seen| success(&[seen.series(&json!({}), |time| (time % 300 == 0).then(|| level(&seen.query, time)))])).await;
    let mut request = request("canary", &[metric(QUERY)], &json!({}));
    request.window.as_mut().unwrap().end = START + 3600;
    let card = judged(&store.analyst(&json!({})), &request).await;
    assert_eq!(card.data.metrics[0].step_seconds, Some(300));
    let seen = days(&store);
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|seen| (seen.step, (seen.end - START).rem_euclid(DAY)) == (300, 3600)), "{seen:?}");
    let length = Some(7 * 12);
    let samples = samples(&card);
    assert_eq!(lengths(&samples), [(1, length, length), (7, length, length)]);
    assert!(samples["earlier"][0]["canary"]["values"].as_array().unwrap().iter().all(Value::is_number));
}

#[tokio::test]
async fn earlier_days_and_bounds_may_come_with_the_samples() {
    let points = |n: usize| (0..n).map(|i| 100.0 + (i * 7 % 5) as f64).collect::<Vec<_>>();
    let card = async |clock: &str| {
        let mut metric = metric(QUERY);
        metric["history"] = json!({ "clock": clock });
        let mut body = serde_json::to_value(request("canary", &[metric], &json!({}))).unwrap();
        let arm = |n: usize| json!({ "values": points(n) });
        body["samples"] = json!({ "m": {
            "baseline": arm(20), "canary": arm(20), "baseline_history": arm(400), "canary_history": arm(400),
            "earlier": [{ "days": 7, "canary": arm(20) }, { "days": 1, "baseline": arm(140), "canary": arm(140) }],
            "bucket_bounds": [90, 110]
        } });
        let request: Request = serde_json::from_value(body).unwrap();
        judged(&Analyst::new(Sources::default(), AnalysisLimits::default()), &request).await
    };
    let (with, without) = (card("auto").await, card("off").await);
    assert_eq!(lengths(&samples(&with)), [(1, Some(140), Some(140)), (7, None, Some(20))]);
    assert_eq!(samples(&with)["bucket_bounds"], json!([90.0, 110.0]));
    assert_eq!(samples(&without).get("earlier"), None);
    assert_ne!(with.data.digest, without.data.digest);
}

/// Seconds, of which the query makes milliseconds.
const LATENCY: &str = "1000 * histogram_quantile(0.95, sum by (le) (rate(x_bucket{app=\"${scope}\"}[1m])))";

fn is_buckets(seen: &Seen) -> bool {
    seen.query.starts_with("group by (le)")
}

#[tokio::test]
async fn the_baseline_is_asked_for_the_buckets_of_a_quantile_and_both_arms_have_them() {
    let store = Store::start(|seen: &Seen| {
        if !is_buckets(seen) {
            return answer(seen);
        }
        success(&["+Inf", "0.1", "0.025", "0.05", "1"].map(|le| seen.series(&json!({ "le": le }), |_| Some(1.0))))
    })
    .await;
    let analyst = store.analyst(&json!({}));
    let card = judged(&analyst, &request("canary", &[metric(LATENCY)], &json!({}))).await;
    let buckets: Vec<Seen> = store.seen().into_iter().filter(is_buckets).collect();
    assert_eq!(buckets.len(), 1, "{buckets:?}");
    assert!(buckets[0].query.contains("x_bucket{app=\"base\"}[1m]"), "{buckets:?}");
    assert_eq!((buckets[0].start, buckets[0].end), ((START + END) / 2, END));
    assert_eq!(samples(&card)["bucket_bounds"], json!([25.0, 50.0, 100.0, 1000.0]));
    let told: Vec<_> = also_read(&card).iter().filter(|read| read.part == "buckets").collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].arm, &told[0].query, told[0].series, told[0].points), (ArmName::Baseline, &buckets[0].query, Some(5), Some(10)));
    // Another canary of the baseline shares them.
    let other = judged(&analyst, &request("canary-2", &[metric(LATENCY)], &json!({}))).await;
    assert_eq!(
        (store.seen().iter().filter(|seen| is_buckets(seen)).count(), samples(&other)["bucket_bounds"].clone()),
        (0, json!([25.0, 50.0, 100.0, 1000.0]))
    );
}

#[tokio::test]
async fn bounds_that_cannot_be_had_are_none_and_only_one_judge_asks() {
    let store = Store::start(|seen: &Seen| {
        if is_buckets(seen) {
            let error = json!({ "status": "error", "errorType": "bad_data", "error": "no" });
            return ResponseTemplate::new(400).set_body_json(error);
        }
        answer(seen)
    })
    .await;
    let analyst = store.analyst(&json!({}));
    let card = judged(&analyst, &request("other", &[metric(LATENCY)], &json!({}))).await;
    assert_eq!(store.seen().iter().filter(|seen| is_buckets(seen)).count(), 1);
    assert_eq!((only(&card).status, samples(&card).get("bucket_bounds")), (Status::Pass, None), "{}", only(&card).sentence);
    assert!(only(&card).warnings.iter().all(|warning| warning.starts_with("histogram_quantile")), "{:?}", only(&card).warnings);
    for judge in ["threshold-v1", "NetflixACAJudge-v1.0"] {
        judged(&analyst, &request("other", &[metric(LATENCY)], &json!({ "judge": judge }))).await;
    }
    assert!(!store.seen().iter().any(is_buckets));
}

/// The scorecard with its samples of a service over a real Prometheus.
async fn card_of(prometheus: &Prometheus, body: &Value) -> Scorecard {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&folder.path().join("log"), "/health/ready", |address| {
        let mut command = command();
        command.args(["serve", "--listen", &address.to_string(), "--prometheus", &prometheus.url()]);
        command
    });
    let reply = client().post(format!("{}/v1/judgements?verbose", server.url())).json(body).send().await.expect("an answer");
    let (status, text) = (reply.status(), reply.text().await.expect("a body"));
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn time(second: i64) -> String {
    jiff::Timestamp::from_second(second).expect("a time").to_string()
}

#[tokio::test]
async fn a_real_prometheus_has_the_same_clock_of_a_week_ago_and_of_yesterday() {
    // Eight days, of which the same three hours were scraped; each day stands at its own level.
    const DAYS: usize = 8;
    const HOURS: usize = 3;
    let levels: Vec<f64> =
        (0..DAYS * 1440).map(|minute| if minute % 1440 < HOURS * 60 { 100.0 + 10.0 * (minute / 1440) as f64 } else { f64::NAN }).collect();
    let gauge = |app: &str| Gauge { name: "queue_wait_ms", labels: format!("app=\"{app}\""), levels: levels.clone() };
    let prometheus = Prometheus::over(&gauges(&[gauge("base"), gauge("canary")]));
    let today = RECORDED + 7 * DAY;
    let body = json!({
        "config": { "name": "c", "metrics": [{
            "name": "wait", "direction": "increase", "queries": { "prometheus": "avg_over_time(queue_wait_ms{app=\"${scope}\"}[${step}])" }
        }] },
        "baseline": { "scope": "base" }, "canary": { "scope": "canary" },
        "window": { "start": time(today + 9600), "end": time(today + 10_800), "step": "60s" }
    });
    let card = card_of(&prometheus, &body).await;
    let samples = samples(&card);
    assert_eq!(lengths(&samples), [(1, Some(140), Some(140)), (7, Some(140), Some(140))]);
    for (day, level) in [(0, 160.0), (1, 100.0)] {
        for arm in ["baseline", "canary"] {
            let values: Vec<f64> = serde_json::from_value(samples["earlier"][day][arm]["values"].clone()).unwrap();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((mean - level).abs() < 2.0, "{day} {arm}: {mean}");
        }
    }
    assert!(also_read(&card).iter().all(|read| (read.series, read.points) == (Some(1), Some(140))), "{:?}", also_read(&card));
}

#[tokio::test]
async fn a_real_prometheus_names_the_buckets_of_a_quantile() {
    let prometheus = Prometheus::over(&openmetrics(&[Arm::healthy("shop"), Arm::healthy("shop-canary")]));
    let requests = "http_server_request_duration_seconds_bucket{pod=~\"${scope}-[^-]+-[^-]+\"}";
    let body = json!({
        "config": { "name": "c", "metrics": [{
            "name": "latency", "unit": "ms", "direction": "increase",
            "queries": { "prometheus": format!("histogram_quantile(0.95, sum by (le) (rate({requests}[${{step}}]))) * 1000") }
        }] },
        "baseline": { "scope": "shop" }, "canary": { "scope": "shop-canary" },
        "window": { "start": time(RECORDED + 3600), "end": time(RECORDED + 60 * MINUTES as i64), "step": "60s" }
    });
    let card = card_of(&prometheus, &body).await;
    let bounds: Vec<f64> = serde_json::from_value(samples(&card)["bucket_bounds"].clone()).unwrap();
    let near = |at: usize, bound: f64| (bounds[at] - bound).abs() < 1e-9 * bound;
    assert!(bounds.len() == 18 && near(0, 10.0) && near(1, 25.0) && near(17, 2500.0), "{bounds:?}");
    assert!(bounds.is_sorted());
}
