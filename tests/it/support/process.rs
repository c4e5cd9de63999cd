//! A program that serves HTTP on a port of 127.0.0.1, ended when dropped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a busy machine; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Another program may take a free port between its being found and its being used.
const ATTEMPTS: usize = 5;

/// A program that serves HTTP.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts what `command` makes of an address, and waits until `ready` answers with 200. Its output goes to `log`.
    pub(crate) fn start(log: &Path, ready: &str, command: impl Fn(SocketAddr) -> Command) -> Self {
        for _ in 0..ATTEMPTS {
            let address = free_address();
            let mut command = command(address);
            let output = File::create(log).expect("a log file");
            let errors = output.try_clone().expect("a second handle of it");
            command.stdin(Stdio::null()).stdout(output).stderr(errors);
            let child = command.spawn().unwrap_or_else(|e| panic!("{:?} cannot be started: {e}", command.get_program()));
            let mut server = Self { child, address };
            if server.becomes_ready(ready) {
                return server;
            }
        }
        panic!("did not become ready; its last words:\n{}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// Where it answers, such as `http://127.0.0.1:4711`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().expect("`kill` is there");
        assert!(sent.success(), "SIG{name} was sent");
    }

    /// Waits for its end, and says what it ended with; `None` where it goes on.
    pub(crate) fn ends(&mut self) -> Option<std::process::ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Ends the program as SIGKILL does: at once, and without its knowing.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the child is ours to kill");
        self.child.wait().expect("it ends");
    }

    /// The most memory that it has had so far, in bytes; `None` where the system does not say.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    }

    /// False when the program ended instead.
    fn becomes_ready(&mut self, path: &str) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.child.try_wait().expect("the child can be asked").is_some() {
                return false;
            }
            if status_of(self.address, path) == Some(200) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine at which nothing listens.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a free port")
}

fn status_of(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    reply.split(' ').nth(1)?.parse().ok()
}
