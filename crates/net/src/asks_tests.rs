use super::*;
use gateway_core::filter::{PluginCall, StoreCall};
use gateway_core::store::StoreState;
use std::sync::atomic::AtomicU64;

fn ask(bytes: usize) -> Ask {
    Ask::Plugin(Box::new(PluginCall {
        module: "p".into(),
        told: String::new(),
        body: Some(vec![0; bytes]),
        timeout: 1,
    }))
}

/// What lies in a mailbox: serial, and whether it is an answer.
fn mail(mailbox: &Mailbox) -> Vec<(u64, bool)> {
    let all = mailbox.take().into_iter().flat_map(|m| match m {
        Mail::Answers(all) => all,
        _ => Vec::new(),
    });
    all.map(|a| (a.serial, !matches!(a.brought, Brought::Failed)))
        .collect()
}

fn good() -> Brought {
    Brought::Plugin(Box::default())
}

#[test]
fn asks_go_out_in_batches_and_answers_come_back_to_whoever_asked() {
    let asks = Arc::new(Asks::default());
    let boxes = [0, 1].map(|_| Arc::new(Mailbox::new().expect("a descriptor")));
    let post = |of: usize, serial: u64| asks.post(ask(0), 1, (&boxes[of], 7, serial));
    let used = || (asks.used.asks.load(Relaxed), asks.used.bytes.load(Relaxed));
    let woken = Arc::new(AtomicU64::new(0));
    let serve = || {
        let woken = woken.clone();
        asks.serve(move || {
            woken.fetch_add(1, Relaxed);
        })
    };

    // They wait for a server, which is woken once for all that waits, and again for what comes later.
    let tickets: Vec<Ticket> = (0..3).map(|s| post(0, s).expect("room")).collect();
    let first = serve();
    assert_eq!(woken.load(Relaxed), 1);
    let other = post(1, 9).expect("room");
    assert_eq!(woken.load(Relaxed), 1, "it has not looked yet");
    let taken = first.take();
    assert_eq!(taken.len(), 4);
    assert!(first.take().is_empty());
    let later = post(0, 3).expect("room");
    assert_eq!(woken.load(Relaxed), 2);

    // Answers go to their mailboxes, in any order; an unknown number is passed over, and so is a second answer.
    let numbers: Vec<u64> = taken.iter().map(|a| a.number).collect();
    first.answer([(numbers[3], good()), (numbers[1], good()), (999, good())]);
    first.answer([(numbers[1], good())]);
    assert_eq!(mail(&boxes[0]), [(1, true)]);
    assert_eq!(mail(&boxes[1]), [(9, true)]);

    // One that was given up is not answered; one that was given up before it was taken never is.
    let mut tickets = tickets.into_iter();
    drop(tickets.next());
    drop(later);
    first.answer([(numbers[0], good())]);
    assert_eq!(mail(&boxes[0]), []);
    assert!(first.take().is_empty());
    drop(other);

    // A server that leaves fails what it had; what waits goes to the next.
    let waits = post(0, 4).expect("room");
    drop(first);
    assert_eq!(mail(&boxes[0]), [(2, false)]);
    let second = serve();
    assert_eq!(second.take().len(), 1);

    // Another takes its place: it can do nothing more.
    let third = serve();
    assert_eq!(mail(&boxes[0]), [(4, false)]);
    let waits_too = post(0, 5).expect("room");
    assert!(second.take().is_empty());
    drop(second);
    assert_eq!(third.take().len(), 1);
    drop((tickets, waits, waits_too, third));

    // All of them have given their room back: it is bounded by number and by bytes.
    assert_eq!(used(), (0, 0));
    let mut held: Vec<Ticket> = (0..MOST as u64)
        .map(|s| post(0, s).expect("room"))
        .collect();
    assert_eq!(post(0, 0).err(), Some(Overflow));
    held.pop();
    held.push(post(0, 0).expect("room again"));
    let server = serve();
    let before = woken.load(Relaxed);
    let mut sizes = Vec::new();
    while let Some(n) = Some(server.take().len()).filter(|n| *n > 0) {
        sizes.push(n);
    }
    assert_eq!(sizes, [BATCH; MOST / BATCH], "at most a batch at a time");
    assert_eq!(
        woken.load(Relaxed) - before,
        (MOST / BATCH) as u64 - 1,
        "and it is told of the rest"
    );
    assert_eq!(
        post(0, 0).err(),
        Some(Overflow),
        "taken ones count until they are answered"
    );
    drop((held, server));
    let large = asks
        .post(ask(MOST_BYTES), 1, (&boxes[0], 7, 0))
        .expect("room");
    assert!(asks.post(ask(1), 1, (&boxes[0], 7, 0)).is_err());
    drop(large);
    assert_eq!(used(), (0, 0));
}

/// What a request of key 7 asks for.
fn lease_call(
    lease: algo::Lease,
    table: &Arc<algo::LeaseTable>,
    store: Arc<StoreState>,
    now: Nanos,
) -> Box<LeaseCall> {
    let ask = table.decide(7, now, 1, 2, true).ask.expect("an ask");
    let call = StoreCall {
        script: "gcra",
        key: b"k".to_vec(),
        more: Vec::new(),
        args: lease.arguments(&ask).to_vec(),
        timeout: 1,
    };
    Box::new(LeaseCall {
        call,
        table: table.clone(),
        key: 7,
        ask,
        store,
    })
}

#[test]
fn asks_of_leases_wake_a_server_that_is_at_rest_and_those_with_a_request_any() {
    let lease = algo::Lease::new(1000, 1_000_000_000, 4, algo::Fallback::Closed).expect("a lease");
    let asks = Arc::new(Asks::default());
    let woken = Arc::new(AtomicU64::new(0));
    let count = woken.clone();
    let service = asks.serve(move || {
        count.fetch_add(1, Relaxed);
    });
    let mailbox = Arc::new(Mailbox::new().expect("a descriptor"));
    let post_lease = || {
        let table = Arc::new(algo::LeaseTable::new(lease, 8, 1).expect("a table"));
        asks.post_lease(lease_call(lease, &table, Arc::default(), 0), 0);
    };
    let mut tickets = Vec::new();
    // What is done, how often the server was woken by then, and what a `take` after it brings.
    let steps: [(&str, u64, usize); 6] = [
        ("a lease", 1, 1),
        ("a lease", 1, 1), // it looks by itself
        ("nothing", 1, 0), // it has looked, and rests
        ("a lease", 2, 1),
        ("a lease and a request", 3, 2),
        ("a request", 4, 1),
    ];
    for (i, (what, wakes, takes)) in steps.into_iter().enumerate() {
        if what.starts_with("a lease") {
            post_lease();
        }
        if what.ends_with("a request") {
            tickets.push(asks.post(ask(0), 1, (&mailbox, 7, i as u64)).expect("room"));
        }
        assert_eq!(woken.load(Relaxed), wakes, "step {i}: {what}");
        assert_eq!(service.take().len(), takes, "step {i}: {what}");
    }
}

#[test]
fn an_ask_of_a_lease_ends_in_its_table_whatever_becomes_of_it() {
    let lease = algo::Lease::new(1, 1_000_000_000, 4, algo::Fallback::Closed).expect("a lease");
    // What is done with the ask, and how many of 4 requests are admitted afterwards: 2 nodes have 2 each, one of which is used.
    type Does = fn(&Arc<Asks>, Service);
    let cases: [(&str, Does, u64); 5] = [
        ("granted", |_, s| answer(&s, Some(vec![2, 4_000_000, 0])), 2),
        ("failed", |_, s| answer(&s, None), 0),
        ("nonsense", |_, s| answer(&s, Some(vec![2])), 0),
        ("the server leaves with it", |_, s| drop((s.take(), s)), 0),
        ("the server leaves before it took it", |_, s| drop(s), 0),
    ];
    fn answer(service: &Service, values: Option<Vec<i64>>) {
        let taken = service.take();
        assert_eq!(taken.len(), 1);
        assert!(matches!(&taken[0].ask, Ask::Store(call) if call.script == "gcra"));
        let brought = values.map_or(Brought::Failed, Brought::Store);
        service.answer([(taken[0].number, brought)]);
    }
    for (what, does, want) in cases {
        let asks = Arc::new(Asks::default());
        let table = Arc::new(algo::LeaseTable::new(lease, 8, 1).expect("a table"));
        let store = Arc::new(StoreState::default());
        store.note(true, 2, 0);
        let now = monotonic();
        let call = lease_call(lease, &table, store, now);
        let service = asks.serve(|| {});
        asks.post_lease(call, now);
        does(&asks, service);
        assert_eq!(asks.used.asks.load(Relaxed), 0, "{what}");
        let admits = |_: &u64| {
            let decision = table.decide(7, now, 1, 2, true);
            decision.answer.said == algo::Said::Admit
        };
        assert_eq!((0..4).filter(admits).count() as u64, want, "{what}");
    }
}
