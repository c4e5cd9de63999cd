//! What a real Prometheus answered about classic and native histograms of 100 canaries (`fixtures/distributions/real`), judged by the service:
//! healthy ones pass, and faults are found by their requests.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use haldane::analysis::Scorecard;
use haldane_judges::scorecard::{Examiner, Reason, Status};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::Service;
use crate::support::faults::{Answer, Asked, FaultyStore, Store};

/// One recorded reply.
#[derive(Debug, Deserialize)]
struct Recorded {
    pair: String,
    fault: String,
    arm: String,
    start: i64,
    end: i64,
    step: u32,
    reply: Value,
}

/// Recorded replies of one layout, by pair and arm.
struct Recording {
    /// Pairs and their faults, in order.
    pairs: BTreeMap<String, String>,
    replies: Arc<BTreeMap<(String, String), String>>,
    window: (i64, i64, u32),
}

impl Recording {
    fn read(file: &str) -> Self {
        let path = format!("{}/fixtures/distributions/real/{file}", env!("CARGO_MANIFEST_DIR"));
        let mut text = String::new();
        GzDecoder::new(std::fs::File::open(&path).expect("the recording")).read_to_string(&mut text).expect("its text");
        let lines: Vec<Recorded> = text.lines().map(|line| serde_json::from_str(line).expect("a recorded reply")).collect();
        let first = lines.first().expect("a line");
        let window = (first.start - i64::from(first.step), first.end, first.step);
        assert!(lines.iter().all(|line| (line.start - i64::from(line.step), line.end, line.step) == window), "{file}: one window");
        let pairs = lines.iter().map(|line| (line.pair.clone(), line.fault.clone())).collect();
        let replies = lines.into_iter().map(|line| ((line.pair, line.arm), line.reply.to_string())).collect();
        Self { pairs, replies: Arc::new(replies), window }
    }

    /// A store that answers a query by the pair and arm that it names.
    fn store(&self) -> Store {
        let replies = Arc::clone(&self.replies);
        Arc::new(move |asked: Asked| {
            let replies = Arc::clone(&replies);
            Box::pin(async move {
                let body = percent_encoding::percent_decode_str(&asked.body).decode_utf8_lossy().into_owned();
                let label = |name: &str| {
                    let from = body.find(&format!("{name}=\""))? + name.len() + 2;
                    body.get(from..)?.split('"').next().map(str::to_owned)
                };
                let named = label("pair").zip(label("arm"));
                match named.and_then(|named| replies.get(&named)) {
                    Some(reply) => Answer::json(200, reply),
                    None => Answer::json(200, r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#),
                }
            })
        })
    }
}

/// How the recordings are judged.
struct Judging<'a> {
    query: &'a str,
    /// `ms`, or `s` as the histogram has its bounds.
    unit: &'a str,
    baseline: &'a str,
    canary: &'a str,
    per_instance: bool,
}

impl Judging<'_> {
    async fn judged(&self, service: &Service, recording: &Recording, pair: &str) -> Scorecard {
        let time = |second: i64| jiff::Timestamp::from_second(second).expect("a time").to_string();
        let mut metric = json!({
            "name": "latency", "kind": "distribution", "unit": self.unit, "bucket_unit": "s", "direction": "increase",
            "tolerance": { "relative": 0.25 }, "history": { "mode": "off" },
            "queries": { "prometheus": self.query }
        });
        if self.per_instance {
            metric["per_instance"] = json!("instance");
        }
        let (start, end, step) = recording.window;
        let arm = |scope: &str| json!({ "scope": scope, "variables": { "pair": pair } });
        let request = json!({
            "config": { "name": "real", "min_observation": "0s", "variables": { "pair": {} }, "metrics": [metric] },
            "source": "recorded",
            "baseline": arm(self.baseline), "canary": arm(self.canary),
            "window": { "start": time(start), "end": time(end), "step": format!("{step}s") }
        });
        service.judged(&request).await.unwrap_or_else(|error| panic!("{pair}: {error}"))
    }

    /// The statuses of all pairs, by fault.
    async fn all(&self, recording: &Recording) -> BTreeMap<String, Vec<(String, Scorecard)>> {
        let store = FaultyStore::before(recording.store(), "nothing is broken").await;
        let sources = BTreeMap::from([("recorded".to_owned(), json!({ "kind": "prometheus", "url": store.url("recorded") }))]);
        let service = Service::over(&sources, Duration::from_secs(300));
        let mut found: BTreeMap<String, Vec<(String, Scorecard)>> = BTreeMap::new();
        for (pair, fault) in &recording.pairs {
            let card = self.judged(&service, recording, pair).await;
            found.entry(fault.clone()).or_default().push((pair.clone(), card));
        }
        found
    }
}

const CLASSIC: &str = r#"sum by (le) (increase(latency_seconds_bucket{pair="${pair}",arm="${scope}"}[${step}]))"#;
const NATIVE: &str = r#"sum (increase(latency_native_seconds{pair="${pair}",arm="${scope}"}[${step}]))"#;
const IN_MS: Judging<'_> = Judging { query: CLASSIC, unit: "ms", baseline: "baseline", canary: "canary", per_instance: false };

/// How many have a status.
fn count(cards: &[(String, Scorecard)], status: Status) -> usize {
    cards.iter().filter(|(_, card)| card.judgement.metrics[0].status == status).count()
}

/// What each group came to, for a reader of a failed test.
fn told(found: &BTreeMap<String, Vec<(String, Scorecard)>>) -> String {
    let group = |(fault, cards): (&String, &Vec<(String, Scorecard)>)| {
        let of = [Status::Regressed, Status::Suspect, Status::Pass, Status::Inconclusive].map(|status| count(cards, status).to_string());
        format!("{fault}: {}", of.join("/"))
    };
    found.iter().map(group).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_tell_healthy_canaries_from_slow_ones_by_classic_and_native_buckets() {
    for (file, query) in [("classic.jsonl.gz", CLASSIC), ("native.jsonl.gz", NATIVE)] {
        let recording = Recording::read(file);
        let found = Judging { query, ..IN_MS }.all(&recording).await;
        let told = told(&found);
        println!("{file}: regressed/suspect/pass/inconclusive: {told}");
        let of = |fault: &str| found.get(fault).unwrap_or_else(|| panic!("no {fault} in {told}")).as_slice();
        assert_eq!((of("none").len(), of("x1.5").len()), (40, 10), "{told}");
        assert!(count(of("none"), Status::Regressed) <= 1 && count(of("none"), Status::Pass) >= 38, "{told}");
        assert_eq!(count(of("x1.5"), Status::Regressed), 10, "{told}");
        assert_eq!(count(of("x1.25"), Status::Pass) + count(of("x1.25"), Status::Inconclusive), 0, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_grows_is_found_at_three_hundred_requests_a_minute() {
    for (file, query) in [("busy/classic.jsonl.gz", CLASSIC), ("busy/native.jsonl.gz", NATIVE)] {
        let recording = Recording::read(file);
        let found = Judging { query, ..IN_MS }.all(&recording).await;
        let told = told(&found);
        println!("{file}: regressed/suspect/pass/inconclusive: {told}");
        let tail = found.iter().find(|(fault, _)| fault.contains("tail")).map(|(_, cards)| cards.as_slice()).expect("a tail");
        assert!(
            count(tail, Status::Regressed) >= 8 && count(tail, Status::Regressed) + count(tail, Status::Suspect) == tail.len(),
            "{told}"
        );
        assert_eq!(count(&found["none"], Status::Pass), found["none"].len(), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_requests_give_the_same_verdict_in_seconds_and_swapped_arms_are_healthy_too() {
    let recording = Recording::read("classic.jsonl.gz");
    let (ms, seconds) = (IN_MS.all(&recording).await, Judging { unit: "s", ..IN_MS }.all(&recording).await);
    for (fault, cards) in &ms {
        for ((pair, here), (_, there)) in cards.iter().zip(&seconds[fault]) {
            let (here, there) = (&here.judgement.metrics[0], &there.judgement.metrics[0]);
            assert_eq!((here.status, here.reason), (there.status, there.reason), "{pair}: {} | {}", here.sentence, there.sentence);
        }
    }
    let swapped = Judging { baseline: "canary", canary: "baseline", ..IN_MS }.all(&recording).await;
    let told = told(&swapped);
    let flagged: usize = swapped.values().map(|cards| count(cards, Status::Regressed)).sum();
    assert!(flagged <= 1 && count(&swapped["x1.5"], Status::Pass) == 10, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_instance_of_four_is_named() {
    let recording = Recording::read("instances.jsonl.gz");
    let query = CLASSIC.replace("by (le)", "by (le, instance)");
    let found = Judging { query: &query, per_instance: true, ..IN_MS }.all(&recording).await;
    let told = told(&found);
    println!("by instance: regressed/suspect/pass/inconclusive: {told}");
    let slow = found.iter().find(|(fault, _)| fault.as_str() == "instance").map(|(_, cards)| cards.as_slice()).expect("one of four");
    let named = |(_, card): &&(String, Scorecard)| {
        let metric = &card.judgement.metrics[0];
        let by_instance = metric.examiner == Examiner::Instance || metric.findings.iter().any(|found| found.reason == Reason::Instance);
        by_instance && metric.worst_instance.as_ref().is_some_and(|worst| worst.name == "canary-3")
    };
    assert!(slow.iter().filter(named).count() >= 8, "{told}");
    assert!(count(&found["none"], Status::Regressed) <= 1, "{told}");
}
