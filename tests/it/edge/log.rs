//! Standard error that cannot be written to: the service works on.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use super::{JUDGEMENT, connect, post, reply, status};
use crate::support::haldane::command;

/// The program with a standard error of its own, and where it listens.
struct Haldane {
    child: Child,
    address: std::net::SocketAddr,
}

impl Drop for Haldane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(stderr: Stdio) -> Haldane {
    let address = crate::support::process::free_address();
    let child = command().args(["serve", "--listen", &address.to_string()]).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    Haldane { child, address }
}

fn works(haldane: &Haldane, requests: usize) {
    super::eventually("its listening", || std::net::TcpStream::connect(haldane.address).is_ok());
    let mut stream = connect(haldane.address);
    for i in 0..requests {
        stream.write_all(b"GET /v1/judges HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(&stream);
        let mut length = 0;
        loop {
            head.clear();
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "request {i} is answered");
            if let Some(value) = head.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if head == "\r\n" {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
    }
    let mut last = connect(haldane.address);
    last.write_all(&post("/v1/judgements", "Content-Type: application/json\r\n", JUDGEMENT.as_bytes())).unwrap();
    assert_eq!(status(&reply(&mut last)), 200);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_nothing() {
    works(&start(OpenOptions::new().write(true).open("/dev/full").unwrap().into()), 10);
}

#[test]
fn a_reader_that_has_gone_stops_nothing() {
    let mut haldane = start(Stdio::piped());
    drop(haldane.child.stderr.take());
    works(&haldane, 10);
}

#[test]
fn a_reader_that_does_not_read_stops_nothing() {
    let haldane = start(Stdio::piped());
    // A line is some 250 bytes, and a pipe takes 65,536.
    works(&haldane, 2_000);
}
