//! Callers that hold on to connections.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{Haldane, is_closed, status};
use crate::support::haldane::command;

const SHORT: [&str; 6] = ["--head-timeout", "1s", "--idle-timeout", "2s", "--write-timeout", "1s"];

#[test]
fn silent_dribbling_and_idle_connections_are_closed() {
    let haldane = Haldane::start(&SHORT);
    let mut held: Vec<TcpStream> = Vec::new();
    for i in 0..150 {
        let mut stream = haldane.connect();
        match i % 3 {
            0 => {}
            1 => stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: a").unwrap(),
            _ => {
                stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                let mut answered = [0; 12];
                stream.read_exact(&mut answered).unwrap();
                assert_eq!(&answered, b"HTTP/1.1 200");
            }
        }
        held.push(stream);
    }
    // Dribbling on makes no difference: the head has a time, and not each of its bytes.
    let dribblers: Vec<TcpStream> = held.iter().skip(1).step_by(3).map(|stream| stream.try_clone().unwrap()).collect();
    let dribble = thread::spawn(move || {
        let mut left = dribblers;
        while !left.is_empty() {
            left.retain_mut(|stream| stream.write_all(b"a").is_ok());
            thread::sleep(Duration::from_millis(50));
        }
    });
    for (i, stream) in held.iter_mut().enumerate() {
        assert!(is_closed(stream), "connection {i}");
    }
    dribble.join().unwrap();
    assert_eq!(status(&haldane.get("/health/live")), 200);
}

#[cfg(unix)]
#[test]
fn with_few_descriptors_newcomers_still_get_in_while_others_hold_connections() {
    let haldane = Haldane::start_by(&["--head-timeout", "10m", "--idle-timeout", "10m"], |haldane| {
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg("ulimit -n 256; exec \"$0\" \"$@\"").arg(haldane.get_program()).args(haldane.get_args());
        shell.env_clear().envs(std::env::vars().filter(|(name, _)| !name.starts_with("HALDANE_")));
        shell
    });
    let mut held = Vec::new();
    for round in 0..5 {
        for i in 0..100 {
            let mut stream = haldane.connect();
            if i % 2 == 0 {
                // One that was replaced meanwhile takes nothing.
                let _ = stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: ");
            }
            held.push(stream);
        }
        assert_eq!(status(&haldane.get("/health/live")), 200, "round {round}");
    }
    let closed = haldane.metric("haldane_connections_closed_early_total{reason=\"replaced\"}").unwrap();
    assert!(closed > 200.0, "{closed}");
    assert_eq!(haldane.metric("haldane_accept_errors_total"), Some(0.0));
}

#[test]
fn a_caller_that_takes_no_answer_is_cut_off() {
    let haldane = Haldane::start(&SHORT);
    let many = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(300);
    let held: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = haldane.connect();
            stream.write_all(many.as_bytes()).unwrap();
            stream
        })
        .collect();
    super::eventually("the end of those that do not read", || {
        haldane.metric("haldane_connections_closed_early_total{reason=\"stalled\"}") == Some(held.len() as f64)
    });
    assert_eq!(status(&haldane.get("/health/live")), 200);
}

#[test]
fn when_every_connection_has_a_request_a_newcomer_is_told_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, settings) = super::silent_store(folder.path());
    let haldane =
        Haldane::start(&["--settings", &settings, "--max-connections", "4", "--max-connections-per-address", "4", "--deadline", "10m"]);
    let (mut busy, mut told) = (Vec::new(), String::new());
    // One that is not under way yet makes room for the newcomer, so that several may be needed.
    super::eventually("being told", || {
        let mut stream = haldane.connect();
        let body = super::STORE_JUDGEMENT.as_bytes();
        let _ = stream.write_all(&super::post("/v1/judgements", "Content-Type: application/json\r\n", body));
        busy.push(stream);
        told = haldane.get("/health/live");
        status(&told) == 503
    });
    assert!(
        told.contains("retry-after: ") && told.contains("connection: close") && told.contains("urn:haldane:problem:overloaded"),
        "{told}"
    );
    drop(busy);
}

#[test]
fn a_request_in_flight_outlasts_every_limit_of_connections() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, settings) = super::silent_store(folder.path());
    let mut short = SHORT.to_vec();
    short.extend(["--settings", &settings, "--deadline", "5s"]);
    let haldane = Haldane::start(&short);
    let request = super::post("/v1/judgements", "Content-Type: application/json\r\n", super::STORE_JUDGEMENT.as_bytes());
    let answer = haldane.ask(&String::from_utf8(request).unwrap());
    assert!(status(&answer) == 200 && answer.contains("\"reason\":\"deadline\""), "{answer}");
}

#[test]
fn limits_that_would_refuse_everything_are_refused() {
    for (flag, value) in [("--max-connections", "0"), ("--idle-timeout", "0s")] {
        let output = command().args(["serve", "--listen", "127.0.0.1:0", flag, value]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains("give at least"), "{flag}: {said}");
    }
}
