//! Many analyses at once against a real Prometheus: how much it is asked, and how much of that at once.

use std::collections::BTreeMap;

use futures::future::join_all;
use haldane::analysis::Scorecard;
use haldane_judges::Verdict;
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::faults::{FaultyStore, store_at};
use crate::support::haldane::{ALONE, client, command};
use crate::support::process::Server;
use crate::support::prometheus::Prometheus;
use crate::support::telemetry::{Gauge, START, gauges};

/// Length of the recording, in minutes; all of it is judged.
const MINUTES: usize = 30;
/// What the account allows at once: what it does where settings say nothing.
const MAX_CONCURRENT: usize = 16;
/// What is asked for in every query, and in nothing else.
const QUERY: &str = "queue_wait_ms";

/// A baseline and so many canaries, none of them worse.
fn recording(canaries: usize) -> String {
    let apps = (0..canaries).map(|canary| format!("canary-{canary}")).chain(["baseline".to_owned()]);
    let gauge = |app: String| Gauge { name: QUERY, labels: format!("app=\"{app}\""), levels: vec![80.0; MINUTES] };
    gauges(&apps.map(gauge).collect::<Vec<_>>())
}

/// A request for a judgement of so many metrics.
fn request(canary: usize, metrics: usize) -> Value {
    let metric = |i: usize| {
        json!({
            "name": format!("metric-{i}"), "direction": "increase", "history": { "mode": "off" },
            "queries": { "prometheus": format!("{} * avg_over_time({QUERY}{{app=\"${{scope}}\"}}[${{step}}])", i + 1) }
        })
    };
    let time = |minute: usize| jiff::Timestamp::from_second(START + 60 * minute as i64).expect("a time").to_string();
    json!({
        "config": { "name": "load", "metrics": (0..metrics).map(metric).collect::<Vec<_>>() },
        "baseline": { "scope": "baseline" },
        "canary": { "scope": format!("canary-{canary}") },
        "window": { "start": time(0), "end": time(MINUTES), "step": "60s" }
    })
}

async fn verdict(client: &Client, server: &Server, request: &Value) -> Result<Verdict, String> {
    let reply = client.post(format!("{}/v1/judgements", server.url())).json(request).send().await.map_err(|error| format!("{error:?}"))?;
    let (status, body) = (reply.status().as_u16(), reply.text().await.map_err(|error| format!("{error:?}"))?);
    if status != 200 {
        return Err(format!("{status}: {body}"));
    }
    let card: Scorecard = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
    Ok(card.judgement.verdict)
}

/// A counter or gauge of the service's account.
async fn measured(client: &Client, server: &Server, name: &str) -> u64 {
    let text = client.get(format!("{}/metrics", server.url())).send().await.expect("an answer").text().await.expect("a body");
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("haldane_{name}{{account=\"load\"}} ")));
    found.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// Sends all requests at once, and returns how often the store was asked each query, and for how many the cache had a reply.
async fn load(canaries: usize, requests: &[Value]) -> (BTreeMap<String, usize>, u64) {
    let _alone = ALONE.lock().await;
    let prometheus = Prometheus::over(&recording(canaries));
    let store = FaultyStore::before(store_at(prometheus.url()), QUERY).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = folder.path().join("settings.yaml");
    let text = json!({
        // In the default build a judgement takes a hundredth of what it does here.
        "deadline": "5m",
        // Nor does the test send the last of hundreds of requests within seconds of opening its connection.
        "connections": { "head_timeout": "5m", "idle_timeout": "5m" },
        "sources": { "load": { "kind": "prometheus", "url": store.url("load"), "timeout": "60s" } }
    });
    std::fs::write(&settings, text.to_string()).expect("the settings are written");
    let server = Server::start(&folder.path().join("log"), "/health/ready", |address| {
        let mut command = command();
        command.args(["serve", "--listen", &address.to_string(), "--settings"]).arg(&settings);
        command
    });
    let client = client();
    let verdicts = join_all(requests.iter().map(|request| verdict(&client, &server, request))).await;
    let others: Vec<_> = verdicts.iter().filter(|verdict| **verdict != Ok(Verdict::Pass)).collect();
    assert!(others.is_empty(), "{} of {} did not pass, such as {:?}", others.len(), requests.len(), others[0]);
    let most = store.most_at_once();
    assert!((2..=MAX_CONCURRENT).contains(&most), "{most} requests at once");
    let asked = store.asked("load");
    let sent: usize = asked.values().sum();
    assert_eq!(measured(&client, &server, "upstream_requests_total").await, sent as u64);
    assert_eq!(measured(&client, &server, "upstream_under_way").await, 0);
    assert_eq!(measured(&client, &server, "cache_misses_total").await, sent as u64);
    let hits = measured(&client, &server, "cache_hits_total").await;
    (asked, hits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_analyses_of_twenty_metrics_ask_each_query_once() {
    const CANARIES: usize = 25;
    const METRICS: usize = 20;
    let requests: Vec<Value> = (0..500).map(|i| request(i % CANARIES, METRICS)).collect();
    let (asked, hits) = load(CANARIES, &requests).await;
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
    assert_eq!(asked.len(), METRICS * (CANARIES + 1));
    assert_eq!(hits as usize, 500 * METRICS * 2 - asked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_analyses_that_share_a_baseline_cost_one_fetch_of_it() {
    let requests: Vec<Value> = (0..200).map(|canary| request(canary, 1)).collect();
    let (asked, hits) = load(200, &requests).await;
    let baseline: Vec<_> = asked.iter().filter(|(query, _)| query.contains("baseline")).collect();
    assert!(matches!(baseline[..], [(_, 1)]), "{baseline:?}");
    assert_eq!((asked.len(), hits), (201, 199));
}
