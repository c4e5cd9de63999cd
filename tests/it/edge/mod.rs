//! What callers may do to the service, and it to them: the program itself, over sockets.

mod access;
mod bodies;
mod connections;
mod ending;
mod files;
mod log;
mod overload;
mod tls;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::haldane::command;
use crate::support::process::Server;

/// Long enough for a busy machine; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, and the folder of its log and files.
struct Haldane {
    server: Server,
    folder: TempDir,
}

impl Haldane {
    fn start(arguments: &[&str]) -> Self {
        Self::start_by(arguments, |command| command)
    }

    fn start_by(arguments: &[&str], change: impl Fn(Command) -> Command) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"), arguments, change)
    }

    fn start_in(folder: TempDir, arguments: &[&str], change: impl Fn(Command) -> Command) -> Self {
        let server = Server::start(&folder.path().join("log"), "/health/live", |address| {
            let mut haldane = command();
            haldane.arg("serve").arg("--listen").arg(address.to_string()).args(arguments);
            change(haldane)
        });
        Self { server, folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("its log")
    }

    fn connect(&self) -> TcpStream {
        connect(self.server.address())
    }

    /// What one request is answered, whole.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("the request is taken");
        reply(&mut stream)
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// A metric's value; `None` while there is none.
    fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics");
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// All that comes until the other side closes.
fn reply(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        panic!("{error}, after `{}`", String::from_utf8_lossy(&bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The status of a reply.
fn status(reply: &str) -> u16 {
    reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no reply: `{reply}`"))
}

/// Whether the other side closes the connection, with or without a word.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    }
}

/// Waits until something holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A request to judge, by samples that come with it.
const JUDGEMENT: &str = r#"{"config":{"name":"c","metrics":[{"name":"m"}]},"samples":{"m":{"baseline":[1,2,3],"canary":[1,2,3]}}}"#;

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A metric store that takes requests and never answers, and the settings of a source for it.
fn silent_store(folder: &Path) -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let settings = folder.join("settings.yaml");
    let url = listener.local_addr().expect("its address");
    std::fs::write(&settings, format!("sources: {{main: {{kind: prometheus, url: 'http://{url}', timeout: 10m}}}}\n"))
        .expect("the settings");
    (listener, settings.display().to_string())
}

/// A request to judge by a store.
const STORE_JUDGEMENT: &str = r#"{"config":"http-golden-signals","baseline":{"scope":"a"},"canary":{"scope":"b"},
    "window":{"start":"2026-11-01T10:00:00Z","end":"2026-11-01T11:00:00Z"}}"#;
