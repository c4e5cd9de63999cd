//! Hours of everything at once, among it metric stores that fail: does what the process holds grow?

use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::load::Target;
use super::process::Memory;
use super::{Bench, Failure, body};

/// Parts of the time, of each of which the most that was held is compared.
const PARTS: u32 = 12;
/// How much more the last quarter may hold than the second: what is remembered fills up first.
const GROWTH: f64 = 1.15;
const SLACK_BYTES: f64 = 16e6;

/// One store that takes requests and never answers, one that is not there, and the settings for both.
async fn stores(bench: &Bench) -> Result<(TcpListener, String), Failure> {
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let gone = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let source = |address: &dyn std::fmt::Display| json!({ "kind": "prometheus", "url": format!("http://{address}"), "timeout": "1s" });
    let settings = json!({ "deadline": "3s", "background_deadline": "3s", "sources": { "silent": source(&silent.local_addr()?), "gone": source(&gone) } });
    let path = bench.folder.join("soak.yaml");
    std::fs::write(&path, settings.to_string())?;
    Ok((silent, path.display().to_string()))
}

/// Judgements by a store, each of another window.
fn by_store(source: &str) -> Vec<Bytes> {
    let window = |i: u32| json!({ "start": format!("2026-11-01T{:02}:{:02}:00Z", i / 60, i % 60), "duration": "30m" });
    let request = |i: u32| -> Value {
        json!({ "config": "http-golden-signals", "source": source, "baseline": { "scope": "a" }, "canary": { "scope": format!("b{i}") }, "window": window(i) })
    };
    (0..600).map(|i| request(i).to_string().into()).collect()
}

/// Puts a mixed load on the service for so long, and prints what it holds. Fails where that grows.
pub(crate) async fn soak(bench: &Bench, length: Duration) -> Result<(), Failure> {
    let (_silent, settings) = stores(bench).await?;
    let service = bench.haldane(&["--settings", &settings, "--concurrent-analyses", "16"])?;
    let inline = |metrics, points| -> Vec<Bytes> { (0..64).map(|seed| body::inline(metrics, points, seed).to_string().into()).collect() };
    let broken = [&b"{"[..], b"{\"config\":\"nowhere\"}", b"[]", b"\xff"].map(Bytes::from_static).to_vec();
    let post = |bodies| Target::new(service.url("/v1/judgements"), bodies);
    let get = |path: &str| Target::new(service.url(path), Vec::new());
    let loads = [
        (post(inline(10, 60))?, 40.0),
        (post(inline(50, 1_440))?, 0.5),
        (post(broken)?, 10.0),
        (post(by_store("silent"))?, 5.0),
        (post(by_store("gone"))?, 5.0),
        (get("/")?, 1.0),
        (get("/v1/judgements")?, 2.0),
        (get("/metrics")?, 0.5),
        (get("/openapi.json")?, 0.5),
        (get("/nowhere")?, 5.0),
    ];
    let (began, part) = (Instant::now(), length / PARTS);
    let mut parts = Vec::new();
    println!(
        "| minutes | answers | none | 5xx but 502, 503 and 504 | resident | at most | descriptors |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for _ in 0..PARTS {
        let most = async {
            let (mut bytes, mut files, end) = (0.0_f64, 0, Instant::now() + part);
            while Instant::now() < end {
                tokio::time::sleep(Duration::from_millis(500)).await;
                bytes = bytes.max(service.memory(Memory::Resident)?);
                files = files.max(service.descriptors()?);
            }
            Ok::<_, Failure>((bytes, files))
        };
        let all = futures::future::join_all(loads.iter().map(|(target, rate)| target.open(*rate, part)));
        let (replies, most) = tokio::join!(all, most);
        let (bytes, files) = most?;
        let of = |wanted: &dyn Fn(u16) -> bool| -> u64 {
            replies.iter().flat_map(|load| &load.statuses).filter(|(status, _)| wanted(**status)).map(|(_, count)| count).sum()
        };
        let faults = of(&|status| status >= 500 && !matches!(status, 502..=504));
        let (answers, none) = (of(&|status| status > 0), of(&|status| status == 0));
        let resident = service.memory(Memory::Resident)? / 1e6;
        println!(
            "| {:.0} | {answers} | {none} | {faults} | {resident:.0} MB | {:.0} MB | {files} |",
            began.elapsed().as_secs_f64() / 60.0,
            bytes / 1e6
        );
        if none + faults > 0 {
            return Err(format!("{none} requests had no answer, {faults} a fault of the service's").into());
        }
        parts.push((bytes, files));
    }
    let quarter = PARTS as usize / 4;
    let most = |parts: &[(f64, usize)]| parts.iter().fold((0.0_f64, 0), |(bytes, files), part| (bytes.max(part.0), files.max(part.1)));
    let (before, last) = (most(&parts[quarter..2 * quarter]), most(&parts[3 * quarter..]));
    if last.0 > before.0 * GROWTH + SLACK_BYTES || last.1 > before.1 * 2 + 16 {
        return Err(format!("it grows: {before:?} bytes and descriptors in the second quarter, {last:?} in the last").into());
    }
    Ok(())
}
