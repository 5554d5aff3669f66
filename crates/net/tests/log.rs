//! The access log: one line for each request however it ended, a sink that takes nothing, and a
//! file that is moved away.

mod kit;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kit::http2::{config2, connect, map, post, request, run, take, Origin2};
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
fn calls_of_grpc_say_how_they_went() {
    let origin = Origin2::start(|mut turn| async move {
        take(&mut turn.body).await.expect("a body");
        let grpc = ("content-type", "application/grpc");
        match turn.head.uri.path() {
            "/trailers" => {
                let trailers = Some(map(&[("grpc-status", "5")]));
                turn.answer(map(&[grpc]), b"a message", trailers).await;
            }
            "/only" => {
                let head = map(&[grpc, ("grpc-status", "13")]);
                turn.answer(head, b"", None).await;
            }
            // Neither says how it went.
            "/silent" => turn.answer(map(&[grpc]), b"a message", None).await,
            _ => {
                let trailers = Some(map(&[("x-more", "1")]));
                turn.answer(map(&[]), b"a page", trailers).await;
            }
        }
    });
    let small = r#"[{ "use": "body_limit", "max": "1B" }]"#;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let (bridge, web) = (
        r#"[{ "use": "grpc_web" }]"#,
        [("content-type", "application/grpc-web")],
    );
    // Without `te` a client gets no trailers, but there were some.
    let alone = &grpc[..1];
    for (filters, path, fields, line) in [
        ("[]", "/trailers", &grpc[..], "200 5 -"),
        ("[]", "/trailers", alone, "200 5 -"),
        (bridge, "/trailers", &web, "200 5 -"),
        ("[]", "/only", &grpc, "200 13 -"),
        ("[]", "/silent", &grpc, "200 - -"),
        ("[]", "/page", &grpc, "200 - -"),
        (small, "/refused", &grpc, "200 2 body_too_large"),
        (small, "/refused", &[], "413 - body_too_large"),
    ] {
        let log = Log::new("calls");
        let upstream = r#""protocol": "http2""#;
        let config = config2(&[origin.at], "", "", upstream, filters);
        let format = r#""format": "$status $grpc_status $code""#;
        let edge = Edge::start(&log.with(&config, format));
        let answer = run(async {
            let (send, _) = connect(edge.at()).await;
            let call = request("POST", path, fields);
            post(&send, call, &[b"\0\0\0\0\x03abc"], None).await
        });
        assert!(answer.is_ok(), "{path}: {answer:?}");
        assert_eq!(log.wait_for(1), [line], "{path}");
    }
}

#[test]
fn a_sink_that_takes_nothing_costs_lines_and_no_request() {
    let origin = Origin::serve(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec());
    let log = Log::new("stuck");
    // A pipe whose reader never reads, held open by this test.
    log.make_pipe();
    let reader = log.open_pipe();
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
fn a_pipe_that_nobody_reads_is_an_error_and_not_a_wait() {
    let origin = Origin::echo();
    let log = Log::new("unread");
    log.make_pipe();
    let config = log.config(&origin, r#""format": "$path""#);
    let (told, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let config = gateway_core::config::parse(&config).expect("a config");
        let code = net::Gateway::start(config).err().map(|e| e.code());
        told.send(code)
    });
    let code = answer.recv_timeout(PATIENCE).expect("the start ends");
    assert_eq!(code, Some("access_log_failed"));
}

#[test]
fn lines_that_the_disk_refuses_are_counted() {
    let origin = Origin::echo();
    let log = Log {
        path: "/dev/full".into(),
        keep: true,
    };
    let edge = Edge::start(&log.config(&origin, r#""format": "$path""#));
    let mut client = Client::connect(edge.at());
    // What one buffer lost is counted when the next is handed over.
    let deadline = Instant::now() + PATIENCE;
    while edge.counter("access_log_dropped") == 0 {
        assert_eq!(client.get("/lost").status, 200);
        assert!(Instant::now() < deadline, "nothing is counted");
    }
}

#[test]
fn a_log_that_no_config_names_any_more_is_closed() {
    let origin = Origin::echo();
    let logs: Vec<_> = (0..20).map(|n| Log::new(&format!("closed-{n}"))).collect();
    let edge = Edge::start(&logs[0].config(&origin, r#""format": "$path""#));
    let mut client = Client::connect(edge.at());
    for log in &logs {
        edge.reload(&log.config(&origin, r#""format": "$path""#));
        client.get("/line");
        assert_eq!(log.wait_for(1), ["/line"]);
    }
    let open = logs.iter().filter(|l| l.is_open()).count();
    // The one in force, and the one before it until the next reload.
    assert!(open <= 2, "{open} files are open");
}

#[test]
fn a_file_is_opened_anew_although_its_writer_was_behind() {
    let origin = Origin::serve(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec());
    let log = Log::new("behind");
    log.make_pipe();
    let mut pipe = log.open_pipe();
    let edge = Edge::start(&log.config(&origin, r#""format": "$path""#));
    let mut client = Client::connect(edge.at());
    let path = format!("/{}", "x".repeat(7000));
    while edge.counter("access_log_dropped") == 0 {
        assert_eq!(client.get(&path).status, 200);
    }
    let moved = log.path.with_extension("1");
    std::fs::rename(&log.path, &moved).expect("moved");
    edge.gateway.reopen_logs();
    // The wish is heard before the pipe is read from: its writer cannot take it yet.
    client.get(&path);
    let reader = std::thread::spawn(move || {
        let mut piece = vec![0; 64 << 10];
        while pipe
            .read(&mut piece)
            .is_ok_and(|n| !piece[..n].contains(&b'\0'))
        {}
    });
    let deadline = Instant::now() + PATIENCE;
    while !log.path.exists() {
        client.get("/after");
        assert!(Instant::now() < deadline, "no new file");
    }
    // Ends the reader, which holds the pipe open by itself.
    let mut end = std::fs::OpenOptions::new()
        .write(true)
        .open(&moved)
        .expect("the pipe");
    end.write_all(b"\0").expect("the last byte");
    reader.join().expect("the reader");
    std::fs::remove_file(moved).expect("removed");
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
    /// It is not ours to remove.
    keep: bool,
}

impl Log {
    fn new(name: &str) -> Self {
        let file = format!("ironsluice-{name}-{}.log", std::process::id());
        Self {
            path: std::env::temp_dir().join(file),
            keep: false,
        }
    }

    fn make_pipe(&self) {
        let made = std::process::Command::new("mkfifo")
            .arg(&self.path)
            .status();
        assert!(made.expect("mkfifo").success());
    }

    /// Opened both ways it waits for nobody.
    fn open_pipe(&self) -> std::fs::File {
        let mut options = std::fs::OpenOptions::new();
        options
            .read(true)
            .write(true)
            .open(&self.path)
            .expect("the pipe")
    }

    /// Whether this process has it open.
    fn is_open(&self) -> bool {
        let all = std::fs::read_dir("/proc/self/fd").expect("descriptors");
        all.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
            .any(|to| to == self.path)
    }

    fn config(&self, origin: &Origin, format: &str) -> String {
        self.with(&config_to(&[origin.at], "{}", "[]"), format)
    }

    fn with(&self, config: &str, format: &str) -> String {
        let to = self.path.display();
        let log = format!(r#"{{ "access_log": {{ "to": "{to}", {format} }}, "#);
        config.replacen('{', &log, 1)
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
        if !self.keep {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}
