//! TLS, HTTP/2 within it, and callers that abuse that.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::{connect, eventually};
use crate::support::haldane::command;

/// An authority, whose certificate is in a folder.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// A client that trusts this authority, speaks these protocols, and shows a certificate of `own`.
    fn client(&self, protocols: &[&str], own: Option<&Self>) -> Arc<ClientConfig> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (certificate, key) = own.sign("caller");
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![CertificateDer::from(certificate.der().to_vec())], key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// The program, with a certificate.
struct Haldane {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Drop for Haldane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Haldane {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn show(folder: &TempDir, authority: &Authority) {
        let (certificate, key) = authority.sign("localhost");
        std::fs::write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    }

    fn start(authority: &Authority, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::show(&folder, authority);
        std::fs::write(folder.path().join("ca.pem"), authority.issuer.pem()).unwrap();
        let address = crate::support::process::free_address();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = command()
            .args(["serve", "--listen", &address.to_string(), "--tls-cert", "cert.pem", "--tls-key", "key.pem"])
            .args(arguments)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let haldane = Self { child, address, folder };
        eventually("its listening", || std::fs::read_to_string(haldane.file("log")).unwrap().contains("listening on https://"));
        haldane
    }

    fn open(&self, client: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, std::net::TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(client), name).unwrap(), connect(self.address))
    }

    /// The status of a request over HTTP/1; `None` where there is no TLS.
    fn status(&self, client: &Arc<ClientConfig>) -> Option<u16> {
        let mut stream = self.open(client);
        stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).ok()?;
        Some(super::status(&String::from_utf8_lossy(&reply)))
    }
}

#[test]
fn tls_alone_is_spoken_and_a_certificate_is_rotated_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let haldane = Haldane::start(&old, &[]);
    let (trusts_old, trusts_new) = (old.client(&["http/1.1"], None), new.client(&[], None));
    assert_eq!((haldane.status(&trusts_old), haldane.status(&trusts_new)), (Some(200), None));
    let mut plain = connect(haldane.address);
    plain.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut reply = Vec::new();
    let _ = plain.read_to_end(&mut reply);
    assert!(!reply.starts_with(b"HTTP/1.1 200"));
    // Half of a pair: it is not taken, and the old one stays.
    std::fs::write(haldane.file("cert.pem"), new.sign("localhost").0.pem()).unwrap();
    eventually("the warning", || std::fs::read_to_string(haldane.file("log")).unwrap().contains("do not go together"));
    assert_eq!(haldane.status(&trusts_old), Some(200));
    Haldane::show(&haldane.folder, &new);
    let sent = Command::new("kill").arg("-HUP").arg(haldane.child.id().to_string()).status().unwrap();
    assert!(sent.success());
    eventually("the new certificate", || haldane.status(&trusts_new) == Some(200));
    assert_eq!(haldane.status(&trusts_old), None);
}

#[test]
fn callers_without_a_certificate_of_the_authority_are_turned_away() {
    let (authority, other) = (Authority::new(), Authority::new());
    let haldane = Haldane::start(&authority, &["--tls-client-ca", "ca.pem"]);
    assert_eq!(haldane.status(&authority.client(&[], Some(&authority))), Some(200));
    assert_eq!(haldane.status(&authority.client(&[], Some(&other))), None);
    assert_eq!(haldane.status(&authority.client(&[], None)), None);
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// END_STREAM and END_HEADERS.
const WHOLE: u8 = 5;

/// `GET /v1/judges` of `localhost` in HPACK (RFC 7541): static entries, and two literals.
fn request() -> Vec<u8> {
    request_of(b"/v1/judges")
}

fn request_of(path: &[u8]) -> Vec<u8> {
    [&[0x82, 0x87, 0x41, 9][..], b"localhost", &[0x04, path.len() as u8], path].concat()
}

fn http2(haldane: &Haldane, authority: &Authority) -> StreamOwned<ClientConnection, std::net::TcpStream> {
    let mut stream = haldane.open(&authority.client(&["h2"], None));
    stream.write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    stream
}

/// The kinds of the frames that come, up to and with one of `last`, or to the end.
fn frames(stream: &mut StreamOwned<ClientConnection, std::net::TcpStream>, last: u8) -> Vec<u8> {
    let mut kinds = Vec::new();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        kinds.push(head[3]);
        if stream.read_exact(&mut payload).is_err() || head[3] == last {
            break;
        }
    }
    kinds
}

#[test]
fn a_flood_of_requests_that_are_reset_ends_its_connection_and_no_other() {
    let authority = Authority::new();
    let haldane = Haldane::start(&authority, &[]);
    let mut good = http2(&haldane, &authority);
    let mut flood = http2(&haldane, &authority);
    let resets: Vec<u8> = (0..5_000_u32)
        .flat_map(|i| [frame(HEADERS, WHOLE, 2 * i + 1, &request()), frame(RST_STREAM, 0, 2 * i + 1, &8_u32.to_be_bytes())].concat())
        .collect();
    // It may end before all is taken.
    let _ = flood.write_all(&resets);
    assert!(frames(&mut flood, GOAWAY).last() == Some(&GOAWAY) || frames(&mut flood, GOAWAY).is_empty());
    assert!(super::is_closed(&mut flood.sock));
    good.write_all(&frame(HEADERS, WHOLE, 1, &request())).unwrap();
    assert_eq!(frames(&mut good, HEADERS).last(), Some(&HEADERS));
}

#[test]
fn an_answer_that_its_window_never_lets_through_ends_its_connection() {
    let authority = Authority::new();
    let haldane = Haldane::start(&authority, &["--write-timeout", "1s", "--idle-timeout", "10m"]);
    // No stream may be sent anything (SETTINGS_INITIAL_WINDOW_SIZE, 6.5.2), while the connection itself has room.
    for windows in [0_u32, 100] {
        let mut stream = http2(&haldane, &authority);
        let setting = [&4_u16.to_be_bytes()[..], &windows.to_be_bytes()].concat();
        stream.write_all(&frame(SETTINGS, 0, 0, &setting)).unwrap();
        stream.write_all(&frame(HEADERS, WHOLE, 1, &request_of(b"/openapi.json"))).unwrap();
        assert!(super::is_closed(&mut stream.sock), "{windows}");
    }
    assert_eq!(haldane.status(&authority.client(&[], None)), Some(200));
}

#[test]
fn headers_that_never_end_are_bounded() {
    let authority = Authority::new();
    let haldane = Haldane::start(&authority, &[]);
    let mut stream = http2(&haldane, &authority);
    // HEADERS without END_HEADERS, and CONTINUATION frames after it (CVE-2024-27316).
    let literal = [&[0x00, 1, b'x', 127, 0x81, 0x7e][..], &[b'a'; 16_256]].concat();
    let _ = stream.write_all(&frame(HEADERS, 1, 1, &request()));
    for _ in 0..10_000 {
        if stream.write_all(&frame(9, 0, 1, &literal[..16_000])).is_err() {
            break;
        }
    }
    let _ = stream.flush();
    assert!(super::is_closed(&mut stream.sock));
    assert_eq!(haldane.status(&authority.client(&[], None)), Some(200));
}
