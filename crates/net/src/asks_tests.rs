use super::*;
use gateway_core::filter::PluginCall;
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

/// One test, because the bound is the process's.
#[test]
fn asks_go_out_in_batches_and_answers_come_back_to_whoever_asked() {
    let asks = Arc::new(Asks::default());
    let boxes = [0, 1].map(|_| Arc::new(Mailbox::new().expect("a descriptor")));
    let post = |of: usize, serial: u64| asks.post(ask(0), 1, (&boxes[of], 7, serial));
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
    assert_eq!((ASKS.load(Relaxed), BYTES.load(Relaxed)), (0, 0));
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
    assert_eq!((ASKS.load(Relaxed), BYTES.load(Relaxed)), (0, 0));
}
