//! What the service does under load: `make bench-service`. docs/BENCHMARKS.md says what each row is.
//!
//! The release program is started as it is delivered, beside a bare server that reads the same requests and sends the same replies. The
//! load comes from this process, on the same machine, whose processors it shares with the service.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use haldane::analysis::Scorecard;
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use serde_json::Value;

use load::Target;
use process::{Memory, target_folder};
use program::Program;
use report::{Report, Unit};
use store::{GAUGES, Relay};

#[path = "../support/body.rs"]
mod body;
#[path = "../support/data.rs"]
mod data;
mod echo;
mod load;
#[path = "../support/process.rs"]
mod process;
mod program;
mod report;
mod soak;
mod store;

/// Why there are no figures.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const HALDANE: &str = env!("CARGO_BIN_EXE_haldane");
/// Times that everything is measured, each in turn, so that a busy minute of the machine touches all alike.
const ROUNDS: usize = 3;
/// Connections of a closed loop that saturates the service.
const CONNECTIONS: usize = 16;
/// Share of the saturated rate at which latencies are measured.
const LOAD: f64 = 0.8;
/// What is measured, in this order.
const STEPS: [&str; 7] = ["start", "inline", "connections", "health", "overload", "overload beside its load", "prometheus"];
/// Different bodies that are sent in turn.
const BODIES: u64 = 32;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // This program is the bare server, too.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, address, reply] = &arguments[..]
        && word == "echo"
    {
        return echo::serve(address.parse()?, std::fs::read(reply)?.into()).await;
    }
    // A client wants a provider although nothing here speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let bench = Bench { folder: folder.path().to_owned() };
    if let [word, minutes, ..] = &arguments[..]
        && word == "soak"
    {
        return soak::soak(&bench, Duration::from_secs_f64(60.0 * minutes.parse::<f64>()?)).await;
    }
    let mut report = Report::default();
    let begun = Instant::now();
    report.add("binary: size", Unit::Bytes, std::fs::metadata(HALDANE)?.len() as f64);
    // Words name what alone is measured.
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    for name in STEPS.into_iter().filter(|name| wants(name)) {
        let measured = match name {
            "start" => bench.start(&mut report).await,
            "inline" => bench.inline(&mut report).await,
            "connections" => bench.connections(&mut report).await,
            "health" => bench.health(&mut report).await,
            "overload" => bench.overload_apart(&mut report).await,
            "overload beside its load" => bench.overload(&mut report, bench.haldane(&[])?, "").await,
            _ => bench.prometheus(&mut report).await,
        };
        measured.map_err(|error| format!("{name}: {error}"))?;
        // The whole takes minutes.
        eprintln!("measured: {name}");
    }
    let path = target_folder().join("bench-service.json");
    std::fs::write(&path, format!("{:#}\n", report.json()))?;
    println!("{}", report.markdown());
    println!("{:.0} s; all rounds in {}", begun.elapsed().as_secs_f64(), path.display());
    Ok(())
}

struct Bench {
    /// For logs, settings and data; deleted in the end.
    folder: PathBuf,
}

impl Bench {
    /// The service, with settings beyond those that it has anyway.
    fn haldane(&self, arguments: &[&str]) -> Result<Program, Failure> {
        Program::start(&self.folder.join("haldane.log"), "/health/ready", |address| {
            let mut command = Command::new(HALDANE);
            command.args(["serve", "--listen", &address.to_string(), "--log-level", "warn"]).args(arguments);
            command
        })
    }

    /// The bare server, which answers with given bytes.
    fn echo(&self, name: &str, reply: &[u8]) -> Result<Program, Failure> {
        let program = std::env::current_exe()?;
        let path: &Path = &self.folder.join(name);
        std::fs::write(path, reply)?;
        Program::start(&path.with_extension("log"), "/health/ready", |address| {
            let mut command = Command::new(program);
            command.args(["echo", &address.to_string()]).arg(path);
            command
        })
    }

    /// From its being started to its being ready, and memory at rest.
    async fn start(&self, report: &mut Report) -> Result<(), Failure> {
        for _ in 0..10 {
            let program = self.haldane(&[])?;
            report.add("start: to the first 200 of /health/ready", Unit::Seconds, program.start.as_secs_f64());
            tokio::time::sleep(Duration::from_millis(200)).await;
            report.add("memory: at rest", Unit::Bytes, program.memory(Memory::Resident)?);
        }
        Ok(())
    }

    /// Scorecards a second, latencies and processor time for requests that carry their samples.
    async fn inline(&self, report: &mut Report) -> Result<(), Failure> {
        let service = self.haldane(&[])?;
        let mut subjects = Vec::new();
        for metrics in [10, 50] {
            let bodies = bodies(metrics, 60);
            let target = Target::new(service.url("/v1/judgements"), bodies.clone())?;
            let reply = reply(&service, &bodies[0]).await?;
            let name = format!("inline, {metrics} metrics");
            report.add(&format!("{name}: size of a request"), Unit::Bytes, bodies[0].len() as f64);
            report.add(&format!("{name}: size of a reply"), Unit::Bytes, reply.len() as f64);
            let echo = self.echo(&format!("echo-{metrics}"), &reply)?;
            let floor = Target::new(echo.url("/v1/judgements"), bodies)?;
            target.closed(CONNECTIONS, Duration::from_secs(1)).await;
            floor.closed(CONNECTIONS, Duration::from_secs(1)).await;
            subjects.push((name, target, echo, floor));
        }
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            for (name, target, echo, floor) in &subjects {
                let before = service.processor_time()?;
                let saturated = target.closed(CONNECTIONS, Duration::from_secs(4)).await;
                let seconds = (service.processor_time()? - before) / saturated.count() as f64;
                if saturated.others() > 0 {
                    return Err(format!("{name}: not all were answered with 200: {:?}", saturated.statuses).into());
                }
                let before = echo.processor_time()?;
                let bare = floor.closed(CONNECTIONS, Duration::from_secs(2)).await;
                let floor_seconds = (echo.processor_time()? - before) / bare.count() as f64;
                let open = target.open(LOAD * saturated.rate(), Duration::from_secs(10)).await;
                if open.others() > open.told_to_come_back() {
                    return Err(format!("{name}: not all were answered with 200 or 503: {:?}", open.statuses).into());
                }
                rounds.push((name, saturated, seconds, bare.rate(), floor_seconds, open));
            }
        }
        for (name, saturated, seconds, bare, floor_seconds, open) in rounds {
            let mut add = |what: &str, unit, figure| report.add(&format!("{name}: {what}"), unit, figure);
            add("scorecards a second, saturated", Unit::PerSecond, saturated.rate());
            add("the bare server, saturated", Unit::PerSecond, bare);
            add("processor time a request", Unit::Seconds, seconds);
            add("the bare server's", Unit::Seconds, floor_seconds);
            add("requests a second in the open loop", Unit::PerSecond, LOAD * saturated.rate());
            add("p50 in it", Unit::Seconds, open.quantile(0.5));
            add("p99 in it", Unit::Seconds, open.quantile(0.99));
            add("p99.9 in it", Unit::Seconds, open.quantile(0.999));
            add("told to come back in it (503)", Unit::Count, open.told_to_come_back() as f64);
        }
        report.add("memory: saturated, at most", Unit::Bytes, service.memory(Memory::Peak)?);
        tokio::time::sleep(Duration::from_secs(1)).await;
        report.add("memory: a second after", Unit::Bytes, service.memory(Memory::Resident)?);
        Ok(())
    }

    /// A thousand connections: all with a request at once, and at half of what the service can do.
    async fn connections(&self, report: &mut Report) -> Result<(), Failure> {
        let service = self.haldane(&[])?;
        let target = Target::new(service.url("/v1/judgements"), bodies(10, 60))?;
        let saturated = target.closed(CONNECTIONS, Duration::from_secs(2)).await.rate();
        for _ in 0..ROUNDS {
            let (open, all) = tokio::join!(
                async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    target.open(saturated / 2.0, Duration::from_secs(4)).await
                },
                idle(&service, 1000, Duration::from_secs(6)),
            );
            let name = "1,000 idle connections beside half of the saturated rate";
            report.add(&format!("{name}: open connections"), Unit::Count, all? as f64);
            report.add(&format!("{name}: p99"), Unit::Seconds, open.quantile(0.99));
            report.add(&format!("{name}: not 200"), Unit::Count, open.others() as f64);
            let all = target.closed(1000, Duration::from_secs(4)).await;
            let name = "1,000 connections, a request on each at all times";
            report.add(&format!("{name}: scorecards a second"), Unit::PerSecond, all.rate());
            report.add(&format!("{name}: p99 of them"), Unit::Seconds, all.quantile(0.99));
            let told = all.told_to_come_back();
            report.add(&format!("{name}: told to come back (503)"), Unit::Count, told as f64);
            report.add(&format!("{name}: any other reply, or none"), Unit::Count, (all.others() - told) as f64);
        }
        report.add("memory: 1,000 connections, at most", Unit::Bytes, service.memory(Memory::Peak)?);
        Ok(())
    }

    /// How soon `/health/live` answers, alone and while ten large requests are judged.
    async fn health(&self, report: &mut Report) -> Result<(), Failure> {
        let service =
            self.haldane(&["--max-body-bytes", "100000000", "--max-inline-points", "3000000", "--max-bytes-in-flight", "2000000000"])?;
        let health = Target::new(service.url("/health/live"), Vec::new())?;
        let large = Bytes::from(body::inline(100, 10_080, 0).to_string());
        reply(&service, &large).await?;
        let target = Target::new(service.url("/v1/judgements"), vec![large])?;
        for _ in 0..ROUNDS {
            let alone = health.open(200.0, Duration::from_secs(2)).await;
            report.add("/health/live, nothing else to do: p50", Unit::Seconds, alone.quantile(0.5));
            report.add("/health/live, nothing else to do: p99", Unit::Seconds, alone.quantile(0.99));
            let judging = tokio::spawn({
                let target = target.clone();
                async move {
                    let began = Instant::now();
                    let sent = (0..10).map(|turn| target.send(turn));
                    (futures::future::join_all(sent).await, began.elapsed())
                }
            });
            let mut probes = Vec::new();
            while !judging.is_finished() {
                probes.push(health.open(200.0, Duration::from_millis(500)).await);
            }
            let (statuses, took) = judging.await?;
            if statuses.iter().any(|status| *status != 200) || probes.iter().any(|probe| probe.others() > 0) {
                return Err(format!("not all were answered with 200: {statuses:?}").into());
            }
            let probes = load::Replies::together(probes);
            let name = "/health/live beside ten requests of 100 metrics of 10,080 points";
            report.add(&format!("{name}: p50"), Unit::Seconds, probes.quantile(0.5));
            report.add(&format!("{name}: p99"), Unit::Seconds, probes.quantile(0.99));
            report.add(&format!("{name}: probes"), Unit::Count, probes.count() as f64);
            report.add("those ten requests", Unit::Seconds, took.as_secs_f64());
        }
        report.add("memory: those ten requests, at most", Unit::Bytes, service.memory(Memory::Peak)?);
        Ok(())
    }

    /// Four times as many requests as saturate it, with the service on the first half of the cores and the load on the others: what comes from
    /// elsewhere takes nothing from the service. Needs `taskset` (util-linux).
    async fn overload_apart(&self, report: &mut Report) -> Result<(), Failure> {
        let cores = std::thread::available_parallelism()?.get();
        if cores < 2 {
            return Err("one core has no half for the load".into());
        }
        let (first, others) = (format!("0-{}", cores / 2 - 1), format!("{}-{}", cores / 2, cores - 1));
        let service = Program::start(&self.folder.join("haldane.log"), "/health/ready", |address| {
            let mut command = Command::new("taskset");
            command.args(["-c", &first, HALDANE, "serve", "--listen", &address.to_string(), "--log-level", "warn"]);
            command
        })?;
        let own = std::process::id().to_string();
        let keep_to = |cores: &str| -> Result<(), Failure> {
            let ended = Command::new("taskset").args(["-apc", cores, &own]).stdout(Stdio::null()).status()?;
            if ended.success() { Ok(()) } else { Err(format!("taskset -apc {cores}: {ended}").into()) }
        };
        keep_to(&others)?;
        let measured = self.overload(report, service, ", the load on cores of its own").await;
        keep_to(&format!("0-{}", cores - 1))?;
        measured
    }

    /// Four times as many requests as saturate it, and what is left of that.
    async fn overload(&self, report: &mut Report, service: Program, name: &str) -> Result<(), Failure> {
        const FACTOR: f64 = 4.0;
        let target = Target::new(service.url("/v1/judgements"), bodies(10, 60))?;
        let health = Target::new(service.url("/health/live"), Vec::new())?;
        for _ in 0..ROUNDS {
            let saturated = target.closed(CONNECTIONS, Duration::from_secs(4)).await;
            let rate = saturated.rate();
            let full = target.flood(rate, Duration::from_secs(10)).await;
            let (over, probes) =
                tokio::join!(target.flood(FACTOR * rate, Duration::from_secs(30)), health.flood(50.0, Duration::from_secs(30)),);
            let ended = Instant::now();
            while target.send(0).await != 200 {}
            let first = ended.elapsed();
            let after = target.flood(rate / 2.0, Duration::from_secs(3)).await;
            let mut row = |what: &str, unit, figure| report.add(&format!("10 metrics inline{name}: {what}"), unit, figure);
            row("saturated by 16 connections", Unit::PerSecond, rate);
            row("p99 of these", Unit::Seconds, saturated.quantile(0.99));
            row("at that rate: accepted", Unit::PerSecond, full.rate());
            row("at that rate: p99 of accepted", Unit::Seconds, full.quantile(0.99));
            row("at that rate: told to come back (503)", Unit::Count, full.told_to_come_back() as f64);
            row("4 times that rate: offered", Unit::PerSecond, over.offered());
            row("4 times that rate: accepted", Unit::PerSecond, over.rate());
            row("4 times that rate: p99 of accepted", Unit::Seconds, over.quantile(0.99));
            row("4 times that rate: p99 of refused", Unit::Seconds, over.refusal_quantile(0.99));
            row("4 times that rate: no answer", Unit::Count, over.unanswered() as f64);
            row("4 times that rate: any other reply", Unit::Count, (over.others() - over.told_to_come_back() - over.unanswered()) as f64);
            row("4 times that rate: p99 of /health/live", Unit::Seconds, probes.quantile(0.99));
            row("afterwards: to the first scorecard", Unit::Seconds, first.as_secs_f64());
            row("afterwards: p99 at half of the rate", Unit::Seconds, after.quantile(0.99));
            row("afterwards: told to come back (503)", Unit::Count, after.told_to_come_back() as f64);
        }
        report.add(&format!("memory{name}: 4 times the rate, at most"), Unit::Bytes, service.memory(Memory::Peak)?);
        for seconds in [1, 10, 60] {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            report.add(&format!("memory{name}: {seconds} s more after it"), Unit::Bytes, service.memory(Memory::Resident)?);
        }
        Ok(())
    }

    /// Judgements whose samples come from a Prometheus.
    async fn prometheus(&self, report: &mut Report) -> Result<(), Failure> {
        let prometheus = store::prometheus(&self.folder)?;
        let (relay, address) = Relay::before(&prometheus).await?;
        let service = self.haldane(&["--prometheus", &format!("http://{address}")])?;
        let client = Client::builder().no_proxy().no_gzip().build()?;
        let post = |body: Value| client.post(service.url("/v1/judgements")).header(CONTENT_TYPE, "application/json").body(body.to_string());
        // The first reply of Prometheus reads its blocks.
        judged(post(store::request(GAUGES, 0, "first")?)).await?;
        for window in 1..=12 {
            let name = format!("Prometheus, {GAUGES} metrics of 60 points with 20 windows before, nothing cached");
            relay.take();
            let sent = Instant::now();
            judged(post(store::request(GAUGES, window, "cold")?)).await?;
            let (end, spans) = (Instant::now(), relay.take());
            let slowest = spans.iter().map(|span| span.end - span.start).max().ok_or("the store was not asked")?;
            let last = spans.iter().map(|span| span.end).max().ok_or("the store was not asked")?;
            let total = end - sent;
            report.add(&format!("{name}: whole"), Unit::Seconds, total.as_secs_f64());
            report.add(&format!("{name}: queries"), Unit::Count, spans.len() as f64);
            report.add(&format!("{name}: the slowest reply of the store"), Unit::Seconds, slowest.as_secs_f64());
            report.add(&format!("{name}: beyond the slowest reply"), Unit::Seconds, total.saturating_sub(slowest).as_secs_f64());
            report.add(&format!("{name}: after the last reply"), Unit::Seconds, end.saturating_duration_since(last).as_secs_f64());
            let name = "the same under another name, its replies cached";
            for turn in 0..3 {
                // Another name, or the scorecard itself would be remembered.
                let sent = Instant::now();
                judged(post(store::request(GAUGES, window, &format!("warm-{turn}"))?)).await?;
                report.add(&format!("{name}: whole"), Unit::Seconds, sent.elapsed().as_secs_f64());
                report.add(&format!("{name}: queries"), Unit::Count, relay.take().len() as f64);
            }
        }
        for round in 0..ROUNDS as i64 {
            relay.take();
            let sent = Instant::now();
            let request = post(store::request(500, 20 + round, "async")?).header("prefer", "respond-async");
            let reply = request.send().await?;
            let location = reply.headers().get(LOCATION).ok_or("no Location")?.to_str()?.to_owned();
            if reply.status() != 202 {
                return Err(format!("{}: {}", reply.status(), reply.text().await?).into());
            }
            reply.bytes().await?;
            let name = "respond-async, 500 metrics";
            report.add(&format!("{name}: to the 202"), Unit::Seconds, sent.elapsed().as_secs_f64());
            judged(client.get(service.url(&format!("{location}?wait=120")))).await?;
            let end = Instant::now();
            let spans = relay.take();
            let last = spans.iter().map(|span| span.end).max().ok_or("the store was not asked")?;
            report.add(&format!("{name}: to the scorecard"), Unit::Seconds, (end - sent).as_secs_f64());
            report.add(&format!("{name}: queries"), Unit::Count, spans.len() as f64);
            report.add(
                &format!("{name}: after the last reply of the store"),
                Unit::Seconds,
                end.saturating_duration_since(last).as_secs_f64(),
            );
        }
        report.add("memory: with a Prometheus, at most", Unit::Bytes, service.memory(Memory::Peak)?);
        Ok(())
    }
}

/// Bodies of requests that carry their samples.
fn bodies(metrics: usize, points: usize) -> Vec<Bytes> {
    (0..BODIES).map(|seed| body::inline(metrics, points, seed).to_string().into()).collect()
}

/// The service's reply to a request.
async fn reply(service: &Program, body: &Bytes) -> Result<Bytes, Failure> {
    let client = Client::builder().no_proxy().no_gzip().build()?;
    let request = client.post(service.url("/v1/judgements")).header(CONTENT_TYPE, "application/json").body(body.clone());
    let reply = request.send().await?;
    let (status, bytes) = (reply.status(), reply.bytes().await?);
    if status == 200 { Ok(bytes) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&bytes)).into()) }
}

/// Sends a request that must be answered with a scorecard of which no metric is an error.
async fn judged(request: reqwest::RequestBuilder) -> Result<(), Failure> {
    let reply = request.send().await?;
    let (status, bytes) = (reply.status(), reply.bytes().await?);
    if status != 200 {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&bytes)).into());
    }
    let card: Scorecard = serde_json::from_slice(&bytes)?;
    match card.judgement.metrics.iter().find(|metric| matches!(metric.status, haldane_judges::scorecard::Status::Error)) {
        Some(metric) => Err(format!("`{}` could not be read: {:?}", metric.name, metric.reason).into()),
        None => Ok(()),
    }
}

/// Holds so many connections open that have asked once and ask no more; how many there were.
async fn idle(service: &Program, connections: usize, length: Duration) -> Result<usize, Failure> {
    let address = service.url("").trim_start_matches("http://").to_owned();
    let mut open = Vec::new();
    for _ in 0..connections {
        let stream = tokio::net::TcpStream::connect(&address).await?;
        stream.writable().await?;
        stream.try_write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        open.push(stream);
    }
    tokio::time::sleep(length).await;
    let mut buffer = [0; 12];
    let alive = |stream: &tokio::net::TcpStream| matches!(stream.try_read(&mut buffer), Ok(12)) && buffer == *b"HTTP/1.1 200";
    Ok(open.iter().map(alive).filter(|alive| *alive).count())
}
