//! The measuring programs against one another: what they count must be what happened.

mod kit;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use kit::number;

struct Server {
    child: Child,
    port: String,
}

impl Server {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let port = line.trim().strip_prefix("ready ").expect("a port").into();
        Self { child, port }
    }

    fn origin() -> Self {
        Self::start(env!("CARGO_BIN_EXE_origin"), &[])
    }

    fn floor(origin: &Self) -> Self {
        let upstream = origin.address();
        Self::start(env!("CARGO_BIN_EXE_floor"), &["--upstream", &upstream])
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn load(&self, args: &[&str]) -> String {
        let (to, pid) = (self.address(), self.child.id().to_string());
        let usual = ["--to", &to, "--watch", &pid, "--connections", "8"];
        kit::load(&[&usual[..], args].concat())
    }

    fn exchange(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("it accepts");
        stream.write_all(request).expect("it reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("it answers and closes");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_kind_of_load_passes_the_floor_without_a_bad_answer() {
    let origin = Server::origin();
    let floor = Server::floor(&origin);
    let cases: [&[&str]; 5] = [
        &["--body", "128"],
        &["--path", "/16k", "--body", "16384"],
        &["--close", "--body", "128"],
        &["--path", "/upload", "--post", "65536", "--body", "2"],
        &["--path", "/upload", "--post", "8000000", "--body", "2"],
    ];
    for case in cases {
        let line = floor.load(case);
        for key in ["wrong", "cut", "late"] {
            assert_eq!(number(&line, key), 0, "{key} with {case:?}: {line}");
        }
        assert!(number(&line, "requests") > 0, "{case:?}: {line}");
        assert!(number(&line, "cpu_ns") > 0, "{case:?}: {line}");
    }
}

#[test]
fn messages_of_a_websocket_are_counted_when_they_come_back() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    // One thread a connection; they end with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || echo(stream));
        }
    });
    let run = |length: &str| {
        kit::load(&[
            "--to",
            &address,
            "--websocket",
            length,
            "--connections",
            "8",
        ])
    };
    let line = run("64");
    assert!(number(&line, "requests") > 0, "{line}");
    for key in ["wrong", "cut", "late"] {
        assert_eq!(number(&line, key), 0, "{key}: {line}");
    }
    // The server breaks this one.
    let line = run("13");
    assert_eq!(number(&line, "requests"), 0, "{line}");
    assert!(number(&line, "cut") > 0, "{line}");
}

/// Takes any handshake, and sends back what comes in short frames; one of 13 bytes with another content.
fn echo(mut stream: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(answer.as_bytes()).ok()?;
    loop {
        let mut start = [0; 6];
        stream.read_exact(&mut start).ok()?;
        let length = start[1] & 0x7f;
        let mut body = vec![0; length.into()];
        stream.read_exact(&mut body).ok()?;
        for (at, byte) in body.iter_mut().enumerate() {
            *byte ^= start[2 + at % 4];
        }
        if length == 13 {
            body[12] = b'!';
        }
        let frame = [&[0x81, length][..], &body].concat();
        stream.write_all(&frame).ok()?;
    }
}

#[test]
fn bad_answers_are_counted() {
    let origin = Server::origin();
    let length = origin.load(&["--body", "127"]);
    assert_eq!(
        number(&length, "wrong"),
        number(&length, "requests"),
        "{length}"
    );
    let status = origin.load(&["--path", "/nowhere"]);
    assert_eq!(
        number(&status, "wrong"),
        number(&status, "requests"),
        "{status}"
    );
    let expected = origin.load(&["--path", "/nowhere", "--expect", "200,404"]);
    assert_eq!(number(&expected, "wrong"), 0, "{expected}");
    assert_eq!(
        number(&expected, "404"),
        number(&expected, "requests"),
        "{expected}"
    );
}

#[test]
fn the_origin_answers_pipelined_and_chunked_requests_in_order() {
    let origin = Server::origin();
    let answer = origin.exchange(
        b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
          GET /128 HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let statuses: Vec<&str> = answer.matches("HTTP/1.1 200 OK").collect();
    assert_eq!(statuses.len(), 2, "{answer}");
    assert!(answer.contains("\r\n\r\nokHTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("not here"), "{answer}");
    let refused = origin.exchange(b"nonsense\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
}

#[test]
fn idle_connections_are_opened_and_counted() {
    let origin = Server::origin();
    let pid = origin.child.id().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_idle"))
        .args([
            "--to",
            &origin.address(),
            "--watch",
            &pid,
            "--steps",
            "0,300",
        ])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("it is text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(number(lines[1], "connections"), 300, "{text}");
    assert!(
        number(lines[1], "memory_kib") > number(lines[0], "memory_kib"),
        "{text}"
    );
}
