//! `haldane demo`: three canaries judged by the real service over HTTP, from built-in samples.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{self, Server};
use super::{CommandFailure, CommandOutcome, output, serve};
use crate::analysis::Scorecard;
use crate::report;
use crate::settings::Settings;

/// Arguments of `haldane demo`.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// Stop after the three scorecards; without it the service keeps running, to be tried with curl.
    #[arg(long)]
    once: bool,
    /// Show everything that the scorecards hold.
    #[arg(long, short)]
    verbose: bool,
}

/// A canary of the demo.
struct DemoCase {
    title: &'static str,
    config: &'static str,
    step: &'static str,
    samples: &'static str,
}

const CASES: [DemoCase; 3] = [
    DemoCase {
        title: "A bad canary: three times as many slow requests, and 2 % of requests fail instead of 0.5 %",
        config: "http-golden-signals",
        step: "1m",
        samples: include_str!("../../fixtures/demo/regressed.json"),
    },
    DemoCase {
        title: "A healthy canary: as noisy as the other, and no different from its baseline",
        config: "http-golden-signals",
        step: "1m",
        samples: include_str!("../../fixtures/demo/healthy.json"),
    },
    DemoCase {
        title: "A canary with little traffic: some 25 requests an hour, too few for statistics",
        config: "http-low-traffic",
        step: "5m",
        samples: include_str!("../../fixtures/demo/low-traffic.json"),
    },
];

impl DemoCase {
    fn body(&self) -> Result<Value, CommandFailure> {
        let samples = serde_json::from_str::<Value>(self.samples);
        let samples = samples.map_err(|error| CommandFailure::usage(format!("the built-in samples are damaged: {error}")))?;
        Ok(json!({
            "config": self.config,
            "baseline": {"scope": "shop"},
            "canary": {"scope": "shop-canary"},
            "window": {"step": self.step},
            "samples": samples,
        }))
    }
}

/// The service, in this process and on a free port.
struct DemoService {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl DemoService {
    async fn start() -> Result<Self, CommandFailure> {
        let cannot = |error: std::io::Error| CommandFailure::usage(format!("cannot listen on {}: {error}", Ipv4Addr::LOCALHOST));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let (state, router) = serve::assemble(Settings::default()).map_err(|error| CommandFailure::usage(error.to_string()))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async {
            // Dropping the sender stops as well as using it.
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve::bind_and_serve(listener, state, router, until, Duration::ZERO));
        Ok(Self { address, stop, serving })
    }

    async fn stop(self) -> Result<(), CommandFailure> {
        drop(self.stop);
        self.serving.await.map_err(|error| CommandFailure::usage(format!("the service broke off: {error}")))
    }
}

/// Starts the service, asks it three times and prints what it says.
///
/// # Errors
/// [`CommandFailure`] when the service cannot be started or does not answer.
pub(super) async fn command(args: DemoArgs) -> Result<CommandOutcome, CommandFailure> {
    let service = DemoService::start().await?;
    let address = format!("http://{}", service.address);
    let server = Server::at(&address, None)?;
    let url = server.judgements(None, false)?;
    output::print(&format!("Haldane serves on {address}. Three canaries are sent to it, each as POST {url}\n"))?;
    for (i, case) in CASES.iter().enumerate() {
        let reply = server.judge(&case.body()?, None, true).await?;
        let card = serde_json::from_value::<Scorecard>(reply);
        let card = card.map_err(|error| CommandFailure::usage(format!("the service's scorecard cannot be read: {error}")))?;
        let terminal = output::terminal();
        let shown = if args.verbose { report::verbose(&card, terminal) } else { report::terminal(&card, terminal) };
        let rule = "─".repeat(terminal.width.min(80));
        let judged = format!("POST {url} with config {}: 200 OK", case.config);
        output::print(&format!("\n{rule}\n{}. {}\n   {judged}\n{rule}\n\n{}", i + 1, case.title, shown))?;
    }
    if !args.once {
        output::print(&format!("\n{}\n", invitation(&url)))?;
        let interrupted = tokio::signal::ctrl_c().await;
        interrupted.map_err(|error| CommandFailure::usage(format!("cannot wait for Ctrl-C: {error}")))?;
    }
    service.stop().await?;
    Ok(CommandOutcome::Done)
}

/// How to go on, with a request that works against the running service and is short enough to read.
fn invitation(url: &client::Url) -> String {
    let body = json!({
        "config": {
            "name": "first-try",
            "metrics": [{"name": "latency", "unit": "ms", "direction": "increase", "tolerance": {"absolute": 5}}],
        },
        "samples": {"latency": {
            "baseline": [101, 99, 104, 98, 102, 100, 97, 103, 101, 99],
            "canary": [151, 149, 158, 147, 152, 150, 146, 155, 151, 148],
        }},
        "window": {"step": "1m"},
    });
    let curl = client::curl(url, &body.to_string());
    format!("The service keeps running; Ctrl-C stops it. Try it:\n\n{curl}")
}
