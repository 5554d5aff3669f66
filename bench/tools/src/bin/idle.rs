//! Connections that serve one request each and then rest: what a connection costs when nothing happens.
//!
//! Opens connections one after the other up to each number in `--steps`, from 127.0.0.2 upwards (20,000 from
//! each address), and after each step prints one line of JSON: connections open, and the memory of the process tree `--watch`
//! (kibibytes, Pss). With `--tls CERTIFICATE` all is TLS 1.3, and the server shows this certificate (a PEM file). Then holds them until standard input ends, or for `--hold` seconds (default 60).
//! Errors: an answer that is not 200 ends the program, because the next number would be wrong.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bench_tools::answer::Answers;
use bench_tools::args::Args;
use bench_tools::channel::{self, HOST};
use bench_tools::{procfs, sys};
use rustls::ClientConfig;

fn main() -> io::Result<()> {
    let mut args = Args::new(
        "idle --to ADDRESS:PORT --watch PID [--steps 0,5000,15000] [--path /128] [--hold SECONDS] \
         [--tls CERTIFICATE]",
    );
    let to: SocketAddrV4 = args.required("--to");
    let watch: u32 = args.required("--watch");
    let mut steps: Vec<usize> = args.list("--steps");
    let path: String = args.value("--path").unwrap_or_else(|| "/128".into());
    let hold = Duration::from_secs(args.value("--hold").unwrap_or(60));
    let tls: Option<PathBuf> = args.value("--tls");
    args.finish();
    let tls = tls.as_deref().map(channel::secure).transpose()?;
    if steps.is_empty() {
        steps = vec![0, 5_000, 15_000];
    }
    let limit = sys::raise_open_files()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut open = Vec::new();
    for step in steps {
        if step as u64 + 64 > limit {
            return Err(io::Error::other(format!(
                "{step} connections need more open files than {limit}"
            )));
        }
        while open.len() < step {
            let stream = connect(to, source(open.len()))?;
            match &tls {
                None => ask(&stream, request.as_bytes())?,
                // What a session knows is let go: the connection rests, and nobody speaks on it again.
                Some(config) => ask_secure(config, &stream, request.as_bytes())?,
            }
            open.push(stream);
        }
        let memory = procfs::memory_kib(watch)?;
        println!("{{\"connections\":{step},\"memory_kib\":{memory}}}");
    }
    hold_open(hold);
    Ok(())
}

fn connect(to: SocketAddrV4, from: Ipv4Addr) -> io::Result<TcpStream> {
    let stream = sys::connect(to, Some(from))?;
    // Blocking from here on: a connect still under way is waited for by the first write.
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

fn ask_secure(
    config: &Arc<ClientConfig>,
    mut stream: &TcpStream,
    request: &[u8],
) -> io::Result<()> {
    let mut session = channel::session(config)?;
    ask(rustls::Stream::new(&mut session, &mut stream), request)
}

fn ask(mut stream: impl Read + Write, request: &[u8]) -> io::Result<()> {
    stream.write_all(request)?;
    let mut answers = Answers::default();
    let mut scratch = [0; 4096];
    loop {
        let n = stream.read(&mut scratch)?;
        let fed = answers.feed(&scratch[..n]);
        match fed {
            Ok((_, Some(answer))) if answer.status == 200 && !answer.close => return Ok(()),
            Ok((_, None)) if n > 0 => {}
            other => {
                return Err(io::Error::other(format!("unexpected answer: {other:?}")));
            }
        }
    }
}

fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 2 + (number / PER_ADDRESS) as u8)
}

fn hold_open(limit: Duration) {
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        ended.send(())
    });
    // Either way it is over: the connections close with the process.
    let _ = end.recv_timeout(limit);
}

/// Below the size of the default ephemeral range (28,232).
const PER_ADDRESS: usize = 20_000;
