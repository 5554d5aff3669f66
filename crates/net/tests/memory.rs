//! What an idle connection costs: memory of the shards between 5,000 and 15,000 connections that
//! have each served a request. The clients live in a process of their own, which is this file run
//! again; what the kernel keeps for sockets is not counted.

mod kit;

use std::net::TcpStream;

use kit::{config_to, raise_descriptors, resident, Client, Edge, Origin, Second};

#[test]
fn an_idle_connection_costs_at_most_300_bytes() {
    let most = raise_descriptors();
    assert!(
        most >= 16_000,
        "this test needs 16,000 open files: ulimit -n says {most}"
    );
    // It remembers nothing: its memory is this process's, too.
    let origin = Origin::start(|mut peer| {
        while peer.head().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let config = config_to(&[origin.at], "{}", "[]").replace("\"workers\": 1", "\"workers\": 2");
    let edge = Edge::start(&config);
    let mut holders = Vec::new();
    let mut memory = Vec::new();
    for (total, more) in [(5_000, 5_000), (15_000, 10_000)] {
        let order = format!("{} {more}", edge.at());
        holders.push(Second::start("hold", &order, |l| {
            l.contains("held").then_some(())
        }));
        // One more, on the main thread: all others are idle by now.
        assert_eq!(Client::connect(edge.at()).get("/").status, 200);
        memory.push((total, resident()));
    }
    let (from, to) = (memory[0], memory[1]);
    let slope = (to.1 as f64 - from.1 as f64) / f64::from(to.0 - from.0);
    println!("{slope:.0} bytes for each connection ({memory:?})");
    assert!(
        slope <= 300.0,
        "{slope:.0} bytes for each connection: {memory:?}"
    );
    drop(holders);
}

/// Not a test of its own: the other process's part.
#[test]
fn hold() {
    let Some(order) = Second::order() else {
        return;
    };
    raise_descriptors();
    let (to, n) = order.split_once(' ').expect("an address and a number");
    let n: usize = n.parse().expect("a number");
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..n {
        let mut client = Client::connect(to.parse().expect("an address"));
        assert_eq!(client.get("/").status, 200);
        held.push(client.stream);
    }
    println!("held {}", held.len());
    Second::stay();
}
