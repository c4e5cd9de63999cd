//! A server in front of a metric store that hands requests on, and breaks the replies to some of them as an account's fault says.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use futures::future::BoxFuture;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::haldane::client;
use super::relay::lock;

/// Length of a reply that is too long.
const LONG_BYTES: usize = 200 << 20;
/// What a bomb decompresses to.
const BOMB_BYTES: usize = 1 << 30;
/// Time between the bytes of a reply that dribbles.
const DRIBBLE: Duration = Duration::from_millis(100);

/// A request, as the store is asked it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query, without the account.
    pub(crate) target: String,
    /// Headers, their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body, its form decoded.
    pub(crate) body: String,
    raw: Vec<u8>,
}

impl Asked {
    /// The body, where it is JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.raw).unwrap_or_default()
    }
}

/// A reply. `Content-Length` is added.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: impl ToString) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body: body.to_string().into_bytes() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_string()));
        self
    }

    fn head(&self, length: Option<usize>) -> String {
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match length {
            // A reply without content has no length either.
            Some(_) if self.status == 204 => {}
            Some(length) => head.push_str(&format!("content-length: {length}\r\n")),
            None => head.push_str("connection: close\r\n"),
        }
        head + "\r\n"
    }
}

/// What answers the requests that are handed on.
pub(crate) type Store = Arc<dyn Fn(Asked) -> BoxFuture<'static, Answer> + Send + Sync>;

/// The store at this address.
pub(crate) fn store_at(url: String) -> Store {
    let client = client();
    Arc::new(move |asked: Asked| {
        let (client, url) = (client.clone(), url.clone());
        Box::pin(async move {
            let method = Method::from_bytes(asked.method.as_bytes()).expect("a method");
            let mut request = client.request(method, format!("{url}{}", asked.target)).body(asked.raw);
            if let Some(kind) = asked.headers.get("content-type") {
                request = request.header("content-type", kind);
            }
            let reply = request.send().await.expect("the store answers");
            let status = reply.status().as_u16();
            let body = reply.bytes().await.expect("a whole reply").to_vec();
            Answer { status, headers: vec![("content-type", "application/json".to_owned())], body }
        })
    })
}

/// Makes another reply of a request and its good one.
pub(crate) type Rewrite = Box<dyn Fn(&Asked, Answer) -> Answer + Send + Sync>;

/// What becomes of a reply.
pub(crate) enum Fault {
    /// Another one is sent.
    Answer(Rewrite),
    /// The connection is reset when the request has come.
    ResetBefore,
    /// The connection is reset when half of the reply is sent.
    ResetWithin,
    /// The connection is closed when half of the reply is sent.
    Cut,
    /// Nothing is ever sent.
    BlackHole,
    /// The head comes byte for byte, without an end.
    SlowHead,
    /// The body comes byte for byte.
    SlowBody,
    /// It decompresses to 1 GiB.
    Bomb,
    /// It has 200 MB, which it says before or does not.
    Long { announced: bool },
    /// The server is gone: every connection breaks, and no other is accepted.
    Vanish,
}

/// A fault, and which replies it befalls.
pub(crate) struct Broken {
    fault: Fault,
    /// Only so many replies to each query.
    first: usize,
    /// Only so many replies in all.
    most: usize,
    /// Not before so many good replies have been sent to the account.
    after: usize,
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self { fault, first: usize::MAX, most: usize::MAX, after: 0 }
    }
}

impl Broken {
    pub(crate) fn first(self, first: usize) -> Self {
        Self { first, ..self }
    }

    pub(crate) fn most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    pub(crate) fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }
}

#[derive(Default)]
struct Source {
    broken: Option<Arc<Broken>>,
    /// Replies that were broken.
    befallen: usize,
    /// How often each request came.
    asked: BTreeMap<String, usize>,
}

struct Shared {
    store: Store,
    /// A text in all queries that are broken, and in no other.
    marker: &'static str,
    accounts: Mutex<BTreeMap<String, Source>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    /// Good replies to each account.
    answered: watch::Sender<BTreeMap<String, usize>>,
    gone: watch::Sender<bool>,
}

/// A metric store that breaks. The first part of a path is the account.
pub(crate) struct FaultyStore {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for FaultyStore {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FaultyStore {
    pub(crate) async fn before(store: Store, marker: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            store,
            marker,
            accounts: Mutex::default(),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            answered: watch::Sender::default(),
            gone: watch::Sender::new(false),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut gone = serving.gone.subscribe();
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => {
                        let serving = Arc::clone(&serving);
                        connections.spawn(async move {
                            // Whoever hangs up may.
                            let _ = serving.connection(stream).await;
                        });
                    }
                    // The listener and all connections go with this task.
                    _ = gone.wait_for(|gone| *gone) => return,
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { address, shared, task }
    }

    /// The address that an account is configured with.
    pub(crate) fn url(&self, account: &str) -> String {
        format!("http://{}/{account}", self.address)
    }

    /// Breaks an account's replies from now on, or leaves them whole.
    pub(crate) fn breaks(&self, account: &str, broken: Option<Broken>) {
        lock(&self.shared.accounts).entry(account.to_owned()).or_default().broken = broken.map(Arc::new);
    }

    /// How often each of an account's requests came since the last call.
    pub(crate) fn asked(&self, account: &str) -> BTreeMap<String, usize> {
        lock(&self.shared.accounts).get_mut(account).map(|account| std::mem::take(&mut account.asked)).unwrap_or_default()
    }

    /// How many requests without the marker an account's good replies were to, since the last call of [`Self::asked`].
    pub(crate) fn unmarked(&self, account: &str) -> usize {
        let accounts = lock(&self.shared.accounts);
        let asked = accounts.get(account).into_iter().flat_map(|account| &account.asked);
        asked.filter(|(request, _)| !request.contains(self.shared.marker)).map(|(_, times)| times).sum()
    }

    /// The most requests that were under way at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

impl Shared {
    async fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        while let Some((account, asked)) = read_request(&mut stream).await? {
            self.most.fetch_max(self.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let kept = self.exchange(&mut stream, &account, asked).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if !kept? {
                break;
            }
        }
        Ok(())
    }

    /// Answers one request. False where the connection is not to be used again.
    async fn exchange(&self, stream: &mut TcpStream, account: &str, asked: Asked) -> io::Result<bool> {
        let marked = asked.body.contains(self.marker) || asked.target.contains(self.marker);
        let broken = {
            let mut accounts = lock(&self.accounts);
            let account = accounts.entry(account.to_owned()).or_default();
            let times = account.asked.entry(format!("{} {}", asked.target, asked.body)).or_default();
            *times += 1;
            let befalls = |broken: &Arc<Broken>| marked && *times <= broken.first && account.befallen < broken.most;
            let broken = account.broken.clone().filter(befalls);
            account.befallen += usize::from(broken.is_some());
            broken
        };
        let good = (self.store)(asked.clone()).await;
        let Some(broken) = broken else {
            stream.write_all(good.head(Some(good.body.len())).as_bytes()).await?;
            stream.write_all(&good.body).await?;
            self.answered.send_modify(|answered| *answered.entry(account.to_owned()).or_default() += 1);
            return Ok(true);
        };
        // The sender lives as long as this server.
        let _ = self
            .answered
            .subscribe()
            .wait_for(|answered| answered.get(account).is_some_and(|answered| *answered >= broken.after) || broken.after == 0)
            .await;
        self.fail(stream, &broken.fault, &asked, good).await
    }

    async fn fail(&self, stream: &mut TcpStream, fault: &Fault, asked: &Asked, good: Answer) -> io::Result<bool> {
        let half = good.body.len() / 2;
        match fault {
            Fault::Answer(other) => {
                let answer = other(asked, good);
                stream.write_all(answer.head(Some(answer.body.len())).as_bytes()).await?;
                stream.write_all(&answer.body).await?;
                return Ok(true);
            }
            Fault::ResetBefore => stream.set_zero_linger()?,
            Fault::ResetWithin | Fault::Cut => {
                stream.write_all(good.head(Some(good.body.len())).as_bytes()).await?;
                stream.write_all(&good.body[..half]).await?;
                if matches!(fault, Fault::ResetWithin) {
                    // What has not left yet is lost with a reset.
                    sleep(DRIBBLE).await;
                    stream.set_zero_linger()?;
                }
            }
            Fault::BlackHole => {
                // Until the other side goes away.
                let _ = stream.read(&mut [0; 1]).await;
            }
            Fault::SlowHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").await?;
                loop {
                    stream.write_all(b"a").await?;
                    sleep(DRIBBLE).await;
                }
            }
            Fault::SlowBody => {
                stream.write_all(good.head(Some(good.body.len())).as_bytes()).await?;
                for byte in good.body {
                    stream.write_all(&[byte]).await?;
                    sleep(DRIBBLE).await;
                }
            }
            Fault::Bomb => {
                stream.write_all(good.with("content-encoding", "gzip").head(None).as_bytes()).await?;
                const PART: usize = 1 << 20;
                // No part refers to the one before it, so one will do for all.
                let part = deflated(&vec![b' '; PART])?;
                stream.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]).await?;
                for _ in 0..BOMB_BYTES / PART {
                    stream.write_all(&part).await?;
                }
            }
            Fault::Long { announced } => {
                stream.write_all(good.head(announced.then_some(LONG_BYTES)).as_bytes()).await?;
                let part = vec![b' '; 64 << 10];
                for _ in 0..LONG_BYTES / part.len() {
                    stream.write_all(&part).await?;
                }
            }
            Fault::Vanish => {
                self.gone.send_replace(true);
                std::future::pending::<()>().await;
            }
        }
        Ok(false)
    }
}

/// Bytes as blocks of a deflate stream that goes on.
fn deflated(bytes: &[u8]) -> io::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.flush()?;
    Ok(encoder.get_ref().clone())
}

/// The next request of a connection; `None` where there is no more.
pub(crate) async fn read_request(stream: &mut TcpStream) -> io::Result<Option<(String, Asked)>> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: BTreeMap<String, String> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut raw = read.split_off(end + 4);
    while raw.len() < length {
        if stream.read_buf(&mut raw).await? == 0 {
            return Ok(None);
        }
    }
    let path = path.trim_start_matches('/');
    let (account, target) = path.split_at(path.find('/').unwrap_or(path.len()));
    let body = String::from_utf8_lossy(&raw).replace('+', " ");
    let body = percent_encoding::percent_decode_str(&body).decode_utf8_lossy().into_owned();
    let asked = Asked { method: method.to_owned(), target: target.to_owned(), headers, body, raw };
    Ok(Some((account.to_owned(), asked)))
}
