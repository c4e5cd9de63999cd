//! Bodies that are slow, long, unwanted, or not what they are said to be.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Haldane, JUDGEMENT, post, reply, status};

pub(super) const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn a_body_that_dribbles_is_given_up_and_said_so_on_both_surfaces() {
    let haldane = Haldane::start(&["--body-timeout", "2s"]);
    for path in ["/v1/judgements", "/judge"] {
        let mut stream = haldane.connect();
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 1000\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut slow = stream.try_clone().unwrap();
        let dribble = thread::spawn(move || {
            while slow.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
        });
        let answer = reply(&mut stream);
        assert!(status(&answer) == 408 && answer.contains("connection: close") && answer.contains("bytes a second"), "{path}: {answer}");
        drop(stream);
        dribble.join().unwrap();
    }
}

/// Every one of many callers that send a long body and then read sees the answer.
pub(super) fn all_see(haldane: &Haldane, path: &'static str, headers: &'static str, expected: u16) {
    let address = haldane.server.address();
    let callers: Vec<_> = (0..40)
        .map(|_| {
            thread::spawn(move || {
                let mut stream = super::connect(address);
                stream.write_all(&post(path, headers, &vec![b' '; 1 << 20])).expect("the body is taken");
                status(&reply(&mut stream))
            })
        })
        .collect();
    let seen: Vec<u16> = callers.into_iter().map(|caller| caller.join().unwrap_or(0)).collect();
    assert!(seen.iter().all(|status| *status == expected), "{path}: {seen:?}");
}

#[test]
fn callers_with_long_bodies_see_why_they_are_refused() {
    let haldane = Haldane::start(&["--max-body-bytes", "1000"]);
    for path in ["/v1/judgements", "/judge"] {
        all_see(&haldane, path, JSON, 413);
        all_see(&haldane, path, "Content-Type: text/plain\r\n", 415);
        all_see(&haldane, path, "Content-Type: application/json\r\nContent-Encoding: br\r\n", 415);
    }
    all_see(&haldane, "/nowhere", JSON, 404);
}

#[test]
fn a_body_beyond_what_is_thrown_away_is_answered_and_its_connection_closed() {
    let haldane = Haldane::start(&["--max-body-bytes", "1000"]);
    let mut stream = haldane.connect();
    let head = format!("POST /v1/judgements HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 100000000000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[b' '; 100_000]).unwrap();
    let answer = reply(&mut stream);
    assert!(status(&answer) == 413 && answer.contains("connection: close"), "{answer}");
}

#[test]
fn a_form_is_within_the_limits_of_bodies_whatever_its_parts_are() {
    let haldane = Haldane::start(&["--max-body-bytes", "100000", "--body-timeout", "2s"]);
    let head =
        "POST /try HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    // A head of a part that never ends, and a part that nobody asked for.
    for part in
        ["--x\r\nContent-Disposition: form-data; name=\"name\"\r\nX: ", "--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n"]
    {
        let mut stream = haldane.connect();
        stream.write_all(format!("{head}{}", chunk(part)).as_bytes()).unwrap();
        let more = chunk(&"a".repeat(10_000));
        // It is refused before all is sent.
        let sent = (0..1_000).take_while(|_| stream.write_all(more.as_bytes()).is_ok()).count();
        let answer = reply(&mut stream);
        assert!(status(&answer) == 413 || sent < 1_000 && answer.is_empty(), "{part}: {answer}");
        let mut slow = haldane.connect();
        slow.write_all(format!("{head}{}", chunk(part)).as_bytes()).unwrap();
        assert_eq!(status(&reply(&mut slow)), 408, "{part}");
    }
    let parts: String = (0..60).map(|i| format!("--x\r\nContent-Disposition: form-data; name=\"f{i}\"\r\n\r\n1\r\n")).collect();
    let whole = format!("{parts}--x--\r\n");
    let answer = haldane.ask(&format!(
        "POST /try HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n{whole}",
        whole.len()
    ));
    assert!(status(&answer) == 400 && answer.contains("more than 50 fields"), "{answer}");
}

#[test]
fn a_body_may_be_compressed_by_gzip_and_a_bomb_is_too_large() {
    let haldane = Haldane::start(&[]);
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let ask = |body: &[u8]| {
        let mut stream = haldane.connect();
        stream.write_all(&post("/v1/judgements", &format!("{JSON}Content-Encoding: gzip\r\n"), body)).unwrap();
        reply(&mut stream)
    };
    assert_eq!(status(&ask(&gzip(JUDGEMENT.as_bytes()))), 200);
    assert_eq!(status(&ask(&gzip(&vec![b' '; 100 << 20]))), 413);
    let answer = ask(JUDGEMENT.as_bytes());
    assert!(status(&answer) == 400 && answer.contains("not gzip"), "{answer}");
}
