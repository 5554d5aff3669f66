//! The client with TLS against a server of rustls: what is agreed on, and that all bytes come through.

mod kit;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use kit::number;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

/// A server with a thread a connection; they end with the process.
struct Server {
    address: String,
    folder: PathBuf,
}

impl Server {
    fn start(name: &str, change: impl FnOnce(&mut CryptoProvider)) -> Self {
        let folder =
            std::env::temp_dir().join(format!("bench-tools-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("it can be made");
        let key = certificate(&folder, "shown.pem");
        certificate(&folder, "other.pem");
        let mut provider = aws_lc_rs::default_provider();
        change(&mut provider);
        let chain =
            CertificateDer::from_pem_file(folder.join("shown.pem")).expect("it was written");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it is a key");
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("there are versions")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("they fit");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = config.clone();
                std::thread::spawn(move || serve(config, stream));
            }
        });
        Self { address, folder }
    }

    fn load(&self, certificate: &str, args: &[&str]) -> String {
        let certificate = self.folder.join(certificate);
        let certificate = certificate.to_str().expect("it is text");
        let to = ["--to", &self.address, "--tls", certificate];
        kit::load(&[&to[..], &["--connections", "4"], args].concat())
    }

    fn idle(&self, certificate: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_idle"))
            .args(["--to", &self.address, "--tls"])
            .arg(self.folder.join(certificate))
            .args(args)
            .output()
            .expect("it runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Writes a certificate of its own authority and returns its key, both PEM.
fn certificate(folder: &Path, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed(["bench.test".to_string()]).expect("it is made");
    fs::write(folder.join(name), made.cert.pem()).expect("it can be written");
    made.signing_key.serialize_pem()
}

/// Answers requests with as many bytes as their path says, after their bodies.
fn serve(config: Arc<ServerConfig>, socket: TcpStream) -> io::Result<()> {
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = io::BufReader::new(rustls::StreamOwned::new(session, socket));
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head);
        let after = |mark: &str| {
            head.split(mark)
                .nth(1)
                .and_then(|rest| rest.split_whitespace().next())
        };
        let length = after("Content-Length: ").map_or(0, |text| text.parse().expect("a length"));
        io::copy(&mut (&mut stream).take(length), &mut io::sink())?;
        let length = after(" /").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + length, b'x');
        stream.get_mut().write_all(&answer)?;
    }
}

#[test]
fn requests_come_through_and_handshakes_are_counted() {
    let server = Server::start("requests", |_| {});
    let cases: [&[&str]; 4] = [
        &["--path", "/128", "--body", "128"],
        &["--path", "/200000", "--body", "200000"],
        &["--path", "/2", "--body", "2", "--post", "8000000"],
        &["--path", "/128", "--body", "128", "--close"],
    ];
    for case in cases {
        let line = server.load("shown.pem", case);
        for key in ["wrong", "cut", "late"] {
            assert_eq!(number(&line, key), 0, "{key} with {case:?}: {line}");
        }
        let (requests, handshakes) = (number(&line, "requests"), number(&line, "handshakes"));
        assert!(requests > 0, "{case:?}: {line}");
        let expected = r#""tls":["TLS13_AES_128_GCM_SHA256 X25519"]"#;
        assert!(line.contains(expected), "{case:?}: {line}");
        if case.contains(&"--close") {
            // One a connection may lie on either side of an end of the window.
            assert!(handshakes.abs_diff(requests) <= 4, "{line}");
        } else {
            assert!(handshakes <= 4, "{case:?}: {line}");
        }
    }
}

#[test]
fn a_retry_for_another_curve_is_told() {
    let server = Server::start("retry", |provider| {
        provider.kx_groups = vec![kx_group::SECP256R1]
    });
    let line = server.load("shown.pem", &["--body", "128", "--path", "/128"]);
    let expected = r#""tls":["TLS13_AES_128_GCM_SHA256 secp256r1 after a retry"]"#;
    assert!(line.contains(expected), "{line}");
}

#[test]
fn another_certificate_is_refused() {
    let server = Server::start("refused", |_| {});
    let line = server.load("other.pem", &[]);
    assert_eq!(number(&line, "requests"), 0, "{line}");
    assert_eq!(number(&line, "handshakes"), 0, "{line}");
    assert!(number(&line, "cut") > 0, "{line}");
}

#[test]
fn idle_connections_have_tls() {
    let server = Server::start("idle", |_| {});
    let pid = std::process::id().to_string();
    let args = ["--watch", &pid, "--steps", "0,20", "--hold", "0"];
    let output = server.idle("shown.pem", &args);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert_eq!(
        number(text.lines().nth(1).expect("two lines"), "connections"),
        20,
        "{text}"
    );
    let output = server.idle("other.pem", &args);
    assert!(!output.status.success(), "{output:?}");
}
