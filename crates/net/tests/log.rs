//! The access log: one line for each request however it ended, a sink that takes nothing, and a
//! file that is moved away.

mod kit;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kit::{config_to, Client, Edge, Origin, PATIENCE};

#[test]
fn each_request_has_one_line_however_it_ended() {
    let origin = Origin::start(|mut peer| {
        while let Some(request) = peer.head() {
            if request.head.starts_with("GET /hangs ") {
                peer.remember(request);
                assert!(peer.is_closed());
                return;
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let log = Log::new("lines");
    let edge = Edge::start(&log.config(
        &origin,
        r#""format": "$method $path $status $response_bytes $upstream""#,
    ));
    let mut client = Client::connect(edge.at());
    client.get("/one?q=1");
    let mut gone = Client::connect(edge.at());
    gone.send("GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for(1);
    drop(gone);
    client.send("GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n");
    assert_eq!(client.response().status, 400);
    let mut lines = log.wait_for(3);
    lines.sort();
    assert_eq!(
        lines[1..],
        ["GET /hangs 499 0 origin", "GET /one 200 2 origin"]
    );
    assert!(
        lines[0].contains(" 400 ") && lines[0].ends_with(" -"),
        "{lines:?}"
    );
}

#[test]
fn a_sink_that_takes_nothing_costs_lines_and_no_request() {
    let origin = Origin::serve(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec());
    let log = Log::new("stuck");
    // A pipe whose reader never reads, held open by this test.
    let made = std::process::Command::new("mkfifo").arg(&log.path).status();
    assert!(made.expect("mkfifo").success());
    let reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&log.path)
        .expect("the pipe");
    let edge = Edge::start(&log.config(&origin, r#""format": "$path""#));
    let mut client = Client::connect(edge.at());
    let path = format!("/{}", "x".repeat(7000));
    // 64 buffers of 32 KiB wait at most; then lines are dropped.
    for _ in 0..1000 {
        assert_eq!(client.get(&path).status, 200);
    }
    let metrics = edge.gateway.metrics_json();
    let dropped = metrics
        .split("access_log_dropped")
        .nth(1)
        .unwrap_or_default();
    let dropped = dropped.split("value\":").nth(1).unwrap_or_default();
    assert!(
        !dropped.starts_with('0') && !dropped.is_empty(),
        "{metrics}"
    );
    let began = Instant::now();
    drop(edge);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    drop(reader);
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let origin = Origin::echo();
    let log = Log::new("moved");
    let edge = Edge::start(&log.config(&origin, r#""format": "$path""#));
    let mut client = Client::connect(edge.at());
    client.get("/before");
    assert_eq!(log.wait_for(1), ["/before"]);
    let moved = log.path.with_extension("1");
    std::fs::rename(&log.path, &moved).expect("moved");
    edge.gateway.reopen_logs();
    let deadline = Instant::now() + PATIENCE;
    while !log.path.exists() {
        assert!(Instant::now() < deadline, "no new file");
    }
    client.get("/after");
    assert_eq!(log.wait_for(1), ["/after"]);
    std::fs::remove_file(moved).expect("removed");
}

/// A log file of one test; removed with it.
struct Log {
    path: PathBuf,
}

impl Log {
    fn new(name: &str) -> Self {
        let file = format!("ironsluice-{name}-{}.log", std::process::id());
        Self {
            path: std::env::temp_dir().join(file),
        }
    }

    fn config(&self, origin: &Origin, format: &str) -> String {
        let to = self.path.display();
        let log = format!(r#"{{ "access_log": {{ "to": "{to}", {format} }}, "#);
        config_to(&[origin.at], "{}", "[]").replacen('{', &log, 1)
    }

    fn wait_for(&self, lines: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&self.path).unwrap_or_default();
            let found: Vec<_> = text.lines().map(str::to_owned).collect();
            if found.len() >= lines {
                return found;
            }
            assert!(Instant::now() < deadline, "{found:?}");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}
