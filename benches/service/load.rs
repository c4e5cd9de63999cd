//! Load: as much as is answered (a closed loop), or so many requests a second whatever is answered (an open one).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Failure;

/// Requests that are sent in turn: to one address, each with its body, or none.
#[derive(Clone)]
pub(crate) struct Target {
    client: Client,
    url: String,
    bodies: Arc<Vec<Bytes>>,
}

/// What became of the requests of a load.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// How many had which status; 0 for those that had no reply.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Seconds that each reply with status 200 took to its last byte, rising. In an open loop from when the request was due, not from
    /// when it could be sent, so that one that waits for others counts its wait.
    latencies: Vec<f64>,
    /// The same of replies with status 503.
    refusals: Vec<f64>,
    /// Length of the load, in seconds.
    seconds: f64,
}

impl Replies {
    /// Replies with status 200 a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }

    /// Replies with status 200.
    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// Seconds that a share of the replies took at most: the smallest latency that so many do not exceed.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        quantile(&self.latencies, share)
    }

    /// The same of those with status 503.
    pub(crate) fn refusal_quantile(&self, share: f64) -> f64 {
        quantile(&self.refusals, share)
    }

    /// Requests a second.
    pub(crate) fn offered(&self) -> f64 {
        self.statuses.values().sum::<u64>() as f64 / self.seconds
    }

    /// Requests that had no reply.
    pub(crate) fn unanswered(&self) -> u64 {
        self.statuses.get(&0).copied().unwrap_or(0)
    }

    /// Requests that were not answered with 200.
    pub(crate) fn others(&self) -> u64 {
        self.statuses.iter().filter(|(status, _)| **status != 200).map(|(_, count)| count).sum()
    }

    /// Requests that were answered with 503.
    pub(crate) fn told_to_come_back(&self) -> u64 {
        self.statuses.get(&503).copied().unwrap_or(0)
    }

    /// Several loads as one.
    pub(crate) fn together(loads: Vec<Self>) -> Self {
        let mut all = Self::default();
        for load in loads {
            load.statuses.into_iter().for_each(|(status, count)| *all.statuses.entry(status).or_default() += count);
            all.latencies.extend(load.latencies);
            all.refusals.extend(load.refusals);
            all.seconds += load.seconds;
        }
        all.latencies.sort_unstable_by(f64::total_cmp);
        all.refusals.sort_unstable_by(f64::total_cmp);
        all
    }

    fn add(&mut self, status: u16, latency: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        match status {
            200 => self.latencies.push(latency.as_secs_f64()),
            503 => self.refusals.push(latency.as_secs_f64()),
            _ => {}
        }
    }

    fn ended(mut self, start: Instant) -> Self {
        self.seconds = start.elapsed().as_secs_f64();
        self.latencies.sort_unstable_by(f64::total_cmp);
        self.refusals.sort_unstable_by(f64::total_cmp);
        self
    }
}

/// The smallest of rising figures that a share of them does not exceed.
fn quantile(figures: &[f64], share: f64) -> f64 {
    let rank = (share * figures.len() as f64).ceil() as usize;
    figures.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

impl Target {
    /// Requests to an address: `POST` with bodies, or `GET` without.
    pub(crate) fn new(url: String, bodies: Vec<Bytes>) -> Result<Self, Failure> {
        let client = Client::builder().no_proxy().no_gzip().http1_only().timeout(Duration::from_secs(120)).build()?;
        Ok(Self { client, url, bodies: Arc::new(bodies) })
    }

    /// Sends one of the requests, the `turn`th, and reads the reply to its end: its status, or 0 where there was none.
    pub(crate) async fn send(&self, turn: usize) -> u16 {
        let request = match self.bodies.len() {
            0 => self.client.get(&self.url),
            bodies => self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(self.bodies[turn % bodies].clone()),
        };
        let Ok(reply) = request.send().await else { return 0 };
        let status = reply.status().as_u16();
        if reply.bytes().await.is_ok() { status } else { 0 }
    }

    /// A closed loop: on each connection the next request follows the reply to the last.
    pub(crate) async fn closed(&self, connections: usize, length: Duration) -> Replies {
        let start = Instant::now();
        let mut connected = JoinSet::new();
        for connection in 0..connections {
            let target = self.clone();
            connected.spawn(async move {
                let mut replies = Vec::new();
                while start.elapsed() < length {
                    let sent = Instant::now();
                    let status = target.send(connection + replies.len()).await;
                    replies.push((status, sent.elapsed()));
                }
                replies
            });
        }
        let mut all = Replies::default();
        for (status, latency) in connected.join_all().await.into_iter().flatten() {
            all.add(status, latency);
        }
        all.ended(start)
    }

    /// An open loop: so many requests a second at even distances, on as many connections as it takes.
    pub(crate) async fn open(&self, rate: f64, length: Duration) -> Replies {
        self.at(rate, length, true).await
    }

    /// The same, each latency from when the request was sent: where this process, too, is late for want of a processor, which is not the
    /// service's doing.
    pub(crate) async fn flood(&self, rate: f64, length: Duration) -> Replies {
        self.at(rate, length, false).await
    }

    async fn at(&self, rate: f64, length: Duration, from_due: bool) -> Replies {
        let (sender, mut replies) = mpsc::unbounded_channel();
        let (target, runtime) = (self.clone(), tokio::runtime::Handle::current());
        let start = Instant::now();
        // A thread of its own, whose sleep is finer than the runtime's timer, and that no reply keeps busy.
        let clock = std::thread::spawn(move || {
            for turn in 0..(rate * length.as_secs_f64()) as usize {
                let due = start + Duration::from_secs_f64(turn as f64 / rate);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let (target, sender) = (target.clone(), sender.clone());
                runtime.spawn(async move {
                    let since = if from_due { due } else { Instant::now() };
                    let status = target.send(turn).await;
                    // The receiver waits for all.
                    let _ = sender.send((status, since.elapsed()));
                });
            }
        });
        let mut all = Replies::default();
        while let Some((status, latency)) = replies.recv().await {
            all.add(status, latency);
        }
        // It has ended: nobody sends any more.
        let _ = clock.join();
        all.ended(start)
    }
}
