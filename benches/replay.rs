//! What `haldane replay` does in a second, and the memory that it takes for a long recording.
//!
//! Canaries of ten metrics of 60 points an arm are written to a file as long as HALDANE_REPLAY_MB says (64), and replayed by the release
//! program with one thread and with one for each processor. `make bench` runs it; the figures are kept in `replay.json`.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use data::series;
use process::{Memory, memory, target_folder};
use serde_json::{Value, json};

#[path = "support/data.rs"]
mod data;
#[path = "support/process.rs"]
mod process;

const METRICS: usize = 10;
const POINTS: usize = 60;
/// Different canaries; a longer file has them again under other names.
const CANARIES: u64 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let megabytes: u64 = match std::env::var("HALDANE_REPLAY_MB") {
        Ok(text) => text.parse().map_err(|_| format!("HALDANE_REPLAY_MB={text}: give a whole number of megabytes"))?,
        Err(_) => 64,
    };
    let folder = target_folder();
    let path = folder.join("bench-replay.jsonl");
    let canaries = record(&path, megabytes << 20)?;
    let bytes = std::fs::metadata(&path)?.len();
    let mut rows = Vec::new();
    for threads in [Some(1), None] {
        rows.push(replay(&path, threads, canaries)?);
    }
    std::fs::remove_file(&path)?;
    let document = json!({ "canaries": canaries, "metrics": METRICS, "points": POINTS, "bytes": bytes, "runs": rows });
    std::fs::write(folder.join("bench-replay.json"), format!("{document:#}\n"))?;
    println!("{document:#}");
    Ok(())
}

/// Writes a recording of about so many bytes; how many canaries it holds.
fn record(path: &PathBuf, bytes: u64) -> Result<u64, Box<dyn Error>> {
    let metric = |seed: u64, i: usize| {
        let arm = |canary: u64| series(POINTS, (seed * METRICS as u64 + i as u64) * 2 + canary, 120.0);
        json!({ "name": format!("latency_{i}"), "role": "latency", "direction": "increase", "baseline": arm(0), "canary": arm(1) })
    };
    let metrics: Vec<String> =
        (0..CANARIES).map(|seed| Value::from((0..METRICS).map(|i| metric(seed, i)).collect::<Vec<_>>()).to_string()).collect();
    let mut file = BufWriter::new(File::create(path)?);
    let (mut written, mut canaries) = (0, 0);
    for (id, metrics) in metrics.iter().cycle().enumerate() {
        if written >= bytes {
            break;
        }
        let line =
            format!(r#"{{"id":"canary-{id}","group":"service-{}","label":"healthy","step_seconds":60,"metrics":{metrics}}}"#, id % 50);
        writeln!(file, "{line}")?;
        written += line.len() as u64 + 1;
        canaries += 1;
    }
    file.flush()?;
    Ok(canaries)
}

fn replay(path: &Path, threads: Option<usize>, canaries: u64) -> Result<Value, Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haldane"));
    command.arg("replay").arg(path).args(["--strict", "--format", "json"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(threads) = threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let start = Instant::now();
    let mut child = command.spawn()?;
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak = memory(child.id(), Memory::Peak).unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(5));
    };
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("haldane replay ended with {status}").into());
    }
    let pairs = canaries * METRICS as u64;
    let threads = threads.map_or_else(|| json!("all"), |threads| json!(threads));
    Ok(json!({ "threads": threads, "seconds": seconds, "metric_pairs_per_second": pairs as f64 / seconds, "peak_memory_bytes": peak }))
}
