//! concurrency: lets so many requests be in flight at a time for each key, and others wait for their turn.
//!
//! Config:  `{ use: concurrency, limit: 100, queue: 500, fair_by: client_ip }`
//! Reads:   what `key`, `fair_by` and the priorities name; `grpc-timeout` and the field `deadline_header`.
//! Asks:    a wait for its turn, at most `queue_timeout`, if there is a `queue`. The count is this process's own, exact over
//!          all its threads.
//! Replies: `concurrency_limited` if no slot is free and the queue has no place, or another took the place,
//!          `concurrency_queue_timeout` if none became free in time: 503, or 429 if `key` tells clients apart, or `status`; with
//!          Retry-After. 503 `deadline_unreachable` at once if the request could not end before its deadline, as waiting
//!          and serving took of late. 503 `concurrency_keys` if `max_keys` others have requests in flight.
//! Fails:   never open. Nothing has gone to an upstream when it refuses. A slot is held from its turn to the end of the
//!          response, however that ends; a client that goes away gives its slot or its place back at once.
//!          What is in flight stays counted over a reload that keeps this filter's place and keys.
//! Source:  start-time fair queueing over shuffle-sharded queues (see Kubernetes API Priority and Fairness); RFC 6585
//!          section 4 (429), RFC 9110 section 15.6.4 (503); gRPC over HTTP/2 (grpc-timeout).

use std::sync::Arc;

use algo::hash_key;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::concurrency_lines::{Entered, Lines, Rules, Ticket, Turn, Why, Wish};
use super::deadline;
use super::priority::{Levels, Priority, PriorityRule};
use super::rate_key::{LimitKey, LimitKeys};
use super::Build;
use crate::config::text::Whole;
use crate::config::units::Duration;
use crate::filter::{Answer, Ask, AskId, Cx, Exchange, Filter, Needs, Occupancy, Outcome, Verdict};
use crate::reply::Reply;
use crate::route::want::FieldName;
use crate::Nanos;

/// Lets so many requests be in flight at a time for each key, and others wait for their turn.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many requests of a key may be in flight, from their turn to the end of their responses. Required.
    pub limit: Whole<1, 1_000_000>,
    /// What is counted apart, as the key of `rate_limit`. Default: `route`, all requests of the route together.
    #[serde(default = "route")]
    pub key: LimitKeys,
    /// How many requests of a key may wait for a slot. Default: 0.
    #[serde(default = "none")]
    pub queue: Whole<0, 65_536>,
    /// How long a request may wait. Default: 1s.
    #[serde(default = "second")]
    pub queue_timeout: Duration,
    /// Whose requests wait apart and have even shares of the slots' time: a key, as that of `rate_limit`. In a full queue the newest of who has
    /// the most waiting gives way; `queue` must be at least 16. Default: none, first come, first served.
    pub fair_by: Option<LimitKeys>,
    /// A field of the request that says its priority: `critical`, `high`, `normal` or `low`. Clients can write it: let a filter
    /// before remove or set it. Default: none.
    pub priority_header: Option<FieldName>,
    /// Which requests have which priority; the first that fits counts, before `priority_header`. At most 32. Default: none.
    #[serde(default)]
    pub priorities: Vec<PriorityRule>,
    /// The priority of all others. A higher one has its turn first, and takes a lower one's place in a full queue. Default: `normal`.
    #[serde(default)]
    pub default_priority: Priority,
    /// How long a request may take from here: one that could not end in that time is refused at once. It is not cut. What the client
    /// says counts if it is shorter. Default: none.
    pub deadline: Option<Duration>,
    /// A field in which clients say by when they want the answer: how long they wait (`800ms`, `2s`), or a moment (seconds since 1970, with
    /// decimals if wanted). `grpc-timeout` counts too. Default: `x-request-deadline`.
    #[serde(default = "field")]
    pub deadline_header: FieldName,
    /// The status of refusals for want of a slot. Default: 503 if `key` is `route`, 429 otherwise.
    pub status: Option<Whole<400, 599>>,
    /// The most keys that may have requests in flight at a time, about 100 bytes each and a queue's own. Default: 65536.
    #[serde(default = "max_keys")]
    pub max_keys: Whole<1, 4_194_304>,
}

fn route() -> LimitKeys {
    LimitKeys(vec![LimitKey::Route])
}

fn none() -> Whole<0, 65_536> {
    Whole::of(0)
}

fn second() -> Duration {
    Duration::secs(1)
}

fn field() -> FieldName {
    FieldName::of("x-request-deadline")
}

fn max_keys() -> Whole<1, 4_194_304> {
    Whole::of(65_536)
}

/// The filter.
pub struct Concurrency {
    lines: Arc<Lines>,
    rules: Rules,
    key: LimitKeys,
    fair_by: Option<LimitKeys>,
    levels: Levels,
    patience: Nanos,
    deadline: Option<Nanos>,
    deadline_header: FieldName,
    status: u16,
    seed: u64,
}

impl Concurrency {
    /// From its config, if that means something.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        let queue = config.queue.get() as usize;
        if queue == 0 {
            let levels = config.priority_header.is_some() || !config.priorities.is_empty();
            for (key, is_there) in [
                ("fair_by", config.fair_by.is_some()),
                ("priorities", levels),
            ] {
                if is_there {
                    let why = "nobody waits, so nobody has a turn";
                    b.fault(key, why, "write queue: 100, or remove the key");
                }
            }
        }
        if config.fair_by.is_some() && queue > 0 && queue < LEAST_FAIR {
            let why = format!("{queue} places are too few to tell who has more of them");
            b.fault("queue", why, format!("write {LEAST_FAIR} or more"));
        }
        let levels = Levels::build(
            config.priority_header,
            config.priorities,
            config.default_priority,
            b,
        );
        if b.faults.len() > before {
            return None;
        }
        let fair = config.fair_by.is_some();
        let identity = format!(
            "concurrency:{}:{}:{fair}:{}",
            b.ordinal, config.key, b.route
        );
        let base = algo::stable_hash(identity.as_bytes());
        let (lines, seed) = match b.shared {
            Some(shared) => (shared.kept(&identity, || Lines::new(base)), shared.seed()),
            None => (Arc::new(Lines::new(base)), 0),
        };
        let of_all = config.key.0.iter().all(|k| *k == LimitKey::Route);
        Some(Self {
            lines,
            rules: Rules {
                limit: config.limit.get() as u32,
                queue,
                fair,
                max_keys: config.max_keys.get() as usize,
            },
            key: config.key,
            fair_by: config.fair_by,
            levels,
            patience: config.queue_timeout.nanos(),
            deadline: config.deadline.map(Duration::nanos),
            deadline_header: config.deadline_header,
            status: match config.status {
                Some(status) => status.get() as u16,
                None if of_all => 503,
                None => 429,
            },
            seed,
        })
    }

    fn wish(&self, cx: &Cx<'_>, req: &Head) -> Wish {
        let hash = |bytes: &[u8]| hash_key(self.seed, bytes);
        let flow = self
            .fair_by
            .as_ref()
            .map(|by| by.hash(cx.client, req, hash));
        let told = deadline::told(req, self.deadline_header.as_bytes(), cx.unix);
        let left = told.into_iter().chain(self.deadline).min();
        Wish {
            now: cx.now,
            key: self.key.hash(cx.client, req, hash),
            level: self.levels.of(cx.client, req) as usize,
            flow: flow.unwrap_or(0),
            deadline: left.map(|left| cx.now.saturating_add(left)),
        }
    }

    fn refuse(&self, why: Why, seconds: u64) -> Verdict {
        self.lines.count(why);
        let (status, text) = match why {
            Why::Full => (self.status, "As many requests are in flight as may be."),
            Why::Late => (self.status, "No request in flight has ended in time."),
            Why::Deadline => (
                503,
                "The request could not be answered before its deadline.",
            ),
            Why::Keys => (
                503,
                "As many clients as there is room for have requests in flight.",
            ),
        };
        let reply = Reply::problem(status, why.code(), text);
        Verdict::Reply(Box::new(reply.with("retry-after", seconds.to_string())))
    }
}

impl Why {
    /// The stable word.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Full => "concurrency_limited",
            Self::Late => "concurrency_queue_timeout",
            Self::Deadline => "deadline_unreachable",
            Self::Keys => "concurrency_keys",
        }
    }
}

/// What a request has of the filter, from its turn or its place in the line to its end.
struct Held {
    ticket: Ticket,
    /// The moment at which it waits no longer.
    until: Nanos,
    /// Whether that is its deadline.
    by_deadline: bool,
}

fn wake(cx: &mut Cx<'_>, keys: Vec<u64>) {
    for key in keys {
        cx.wake(key);
    }
}

impl Filter for Concurrency {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            done: true,
            ..Needs::default()
        }
    }

    fn consumer_keys(&self) -> Vec<String> {
        let fair_by = self.fair_by.as_ref();
        [
            ("key", self.key.reads_consumer()),
            ("fair_by", fair_by.is_some_and(LimitKeys::reads_consumer)),
            ("priorities", self.levels.reads_consumer()),
        ]
        .into_iter()
        .filter(|(_, reads)| *reads)
        .map(|(key, _)| key.to_owned())
        .collect()
    }

    fn occupancy(&self) -> Option<Occupancy> {
        let (in_flight, queued) = self.lines.load();
        Some(Occupancy {
            filter: "concurrency",
            key: self.key.to_string(),
            in_flight,
            queued,
            limit: self.rules.limit.into(),
            refused: self.lines.refused(),
        })
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let wish = self.wish(cx, req);
        let mut wakes = Vec::new();
        let entered = self.lines.enter(self.rules, &wish, &mut wakes);
        wake(cx, wakes);
        let patience = cx.now.saturating_add(self.patience);
        let by_deadline = wish.deadline.is_some_and(|d| d < patience);
        let until = wish.deadline.unwrap_or(patience).min(patience);
        let held = |ticket| {
            Box::new(Held {
                ticket,
                until,
                by_deadline,
            })
        };
        match entered {
            Entered::Refused(why, seconds) => self.refuse(why, seconds),
            Entered::Has(ticket) => {
                cx.slot.any = Some(held(ticket));
                Verdict::Next
            }
            Entered::Waits(ticket) => {
                let key = ticket.wake();
                cx.slot.any = Some(held(ticket));
                Verdict::Ask(Ask::Wait { key, until })
            }
        }
    }

    fn on_answer(&self, cx: &mut Cx<'_>, _: &mut Exchange, _: AskId, a: Answer<'_>) -> Verdict {
        let held = cx.slot.any.as_mut().and_then(|any| any.downcast_mut());
        let Some(held): Option<&mut Held> = held else {
            return Verdict::Next;
        };
        let turn = match a {
            Answer::Woken => held.ticket.turn(),
            _ if held.by_deadline => held.ticket.give_up(Why::Deadline),
            _ => held.ticket.give_up(Why::Late),
        };
        match turn {
            Turn::Has => Verdict::Next,
            // Somebody else's wake-up has the same number.
            Turn::Waits => Verdict::Ask(Ask::Wait {
                key: held.ticket.wake(),
                until: held.until,
            }),
            Turn::Refused(why) => self.refuse(why, held.ticket.again()),
        }
    }

    fn on_done(&self, cx: &mut Cx<'_>, outcome: &Outcome) {
        let held = cx.slot.any.take().and_then(|any| any.downcast().ok());
        let Some(held): Option<Box<Held>> = held else {
            return;
        };
        // A tunnel, or what failed, says nothing of how long others take.
        let counts = outcome.complete && outcome.status < 500 && !cx.websocket;
        let mut wakes = Vec::new();
        held.ticket.leave(cx.now, counts, &mut wakes);
        wake(cx, wakes);
    }
}

/// Places of a fair queue: two for each queue of a tenant's hand.
const LEAST_FAIR: usize = 16;

#[cfg(test)]
#[path = "concurrency_tests.rs"]
mod tests;
