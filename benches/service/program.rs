//! A program that serves HTTP on a port of 127.0.0.1, ended when dropped.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Failure;
use super::process::{Memory, memory};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// In how many parts of a second the system counts processor time; the same on every Linux.
const TICKS: f64 = 100.0;

/// A program that serves HTTP.
pub(crate) struct Program {
    child: Child,
    address: SocketAddr,
    /// From its being started to its being ready.
    pub(crate) start: Duration,
}

impl Program {
    /// Starts what `command` makes of an address, and waits until `ready` answers with 200. Its output goes to `log`.
    pub(crate) fn start(log: &Path, ready: &str, command: impl FnOnce(SocketAddr) -> Command) -> Result<Self, Failure> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr())?;
        let mut command = command(address);
        // Whatever the person who runs this has set for a Haldane of their own.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HALDANE_")) {
            command.env_remove(name);
        }
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let began = Instant::now();
        let child = command.spawn().map_err(|error| format!("{:?} cannot be started: {error}", command.get_program()))?;
        let mut program = Self { child, address, start: Duration::ZERO };
        while status(address, ready) != Some(200) {
            if program.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                let words = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{:?} did not become ready; its last words:\n{words}", command.get_program()).into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        program.start = began.elapsed();
        Ok(program)
    }

    /// An address of it, such as `http://127.0.0.1:4711/health/live`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Memory, in bytes.
    pub(crate) fn memory(&self, which: Memory) -> Result<f64, Failure> {
        memory(self.child.id(), which).map(|bytes| bytes as f64).ok_or_else(|| "the system does not say how much memory it has".into())
    }

    /// Files and sockets that it has open.
    pub(crate) fn descriptors(&self) -> Result<usize, Failure> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Processor time so far, its threads together and the system's work for it included, in seconds.
    pub(crate) fn processor_time(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name stands in parentheses and may hold anything; utime and stime are the 12th and 13th fields after it.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let ticks: Vec<f64> = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok((user + system) / TICKS),
            _ => Err("the system does not say how much processor time it has had".into()),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    reply.split(' ').nth(1)?.parse().ok()
}
