//! A quota that all nodes count together: what the store is asked, and what its answers mean (`ts/store/quota.lua`).
//!
//! The time is the store's: the node sends windows around what it takes for it, and the script finds the one that holds. So a node
//! whose wall clock is wrong counts in the same window as all others.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Quota, Replica, Standing, Window};
use crate::config::store::RedisStore;
use crate::filter::StoreCall;
use crate::snapshot::Snapshot;
use crate::store::{self, StoreState};
use crate::Nanos;

/// What happens while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaOnFail")]
pub enum OnFail {
    /// Each node admits its share of what it last knew to be left: that, over the number of nodes that there were.
    #[default]
    FairShare,
    /// Requests pass, and are counted.
    Open,
    /// Requests are refused.
    Closed,
}

/// What a quota has beside, if all nodes count it together.
pub struct Global {
    /// What this node knows.
    pub replica: Arc<Replica>,
    /// What is known of the store.
    pub store: Arc<StoreState>,
    /// What happens without it.
    pub on_fail: OnFail,
    /// Names the quota in the store.
    pub identity: [u8; 8],
    /// Requests about which was decided without the store.
    pub fallbacks: Arc<AtomicU64>,
}

/// What the script said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What of the question.
    pub said: Said,
    /// Where the consumer stands.
    pub at: Standing,
    /// The store's time, seconds since 1970.
    pub unix: u64,
    /// When the key was made that says so: another one has lost what this one counted. 0 if there is none.
    pub epoch: u64,
}

/// What the script said of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is within the quota, and what it costs is in what was used.
    Admitted,
    /// It is not.
    Refused,
    /// None of the windows held: nothing was done.
    Elsewhen,
}

/// What is asked of the script beside its key and its windows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question {
    /// A limit, and what is to be taken of it; none only looks.
    pub wanted: Option<(u64, u64)>,
    /// What was used before, and in which window.
    pub charge: super::Owed,
}

/// An ask for which no request waits: it gives what was used, or looks.
#[derive(Clone)]
pub struct ChargeCall {
    /// What the store is asked.
    pub call: StoreCall,
    /// Who gave it, and is told what the store says.
    pub replica: Arc<Replica>,
    /// Whose.
    pub consumer: Arc<str>,
    /// What was taken to be given.
    pub taken: Option<Arc<Taken>>,
    /// Takes the number when the store has answered, and is dropped in any case.
    pub told: Option<(Sender<usize>, usize)>,
}

/// What was taken of a replica. It goes back there unless it was given, also when its call is dropped.
pub struct Taken {
    replica: Arc<Replica>,
    consumer: Arc<str>,
    is_settled: AtomicBool,
}

impl Taken {
    fn settle(&self, given: bool) {
        if !self.is_settled.swap(true, Relaxed) {
            self.replica.settle(&self.consumer, given);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl Reply {
    /// Out of what a script returned; none if that is no answer of this script.
    pub fn read(values: &[i64]) -> Option<Self> {
        let [said, used, start, end, unix, epoch] = *values else {
            return None;
        };
        let whole = |n: i64| u64::try_from(n).ok();
        let (start, end) = (whole(start)?, whole(end)?);
        let said = match said {
            1 => Said::Admitted,
            0 => Said::Refused,
            -1 => Said::Elsewhen,
            _ => return None,
        };
        if said != Said::Elsewhen && start >= end {
            return None;
        }
        Some(Self {
            said,
            at: Standing {
                window: Window { start, end },
                used: whole(used)?,
            },
            unix: whole(unix)?,
            epoch: whole(epoch)?,
        })
    }
}

impl Global {
    /// The time of the store, or that of this node's wall clock if the store never said one.
    pub fn unix(&self, now: Nanos, wall: u64) -> u64 {
        self.store.unix(now).unwrap_or(wall)
    }

    /// Counts a request about which is decided without the store.
    pub fn fell_back(&self) {
        self.fallbacks.fetch_add(1, Relaxed);
    }
}

impl Quota {
    /// The time by which this quota's windows are told, seconds since 1970.
    pub fn unix(&self, now: Nanos, wall: u64) -> u64 {
        let global = self.global.as_ref();
        global.map_or(wall, |global| global.unix(now, wall))
    }

    /// What the store is asked at about this second.
    pub fn call(
        &self,
        global: &Global,
        redis: Option<&RedisStore>,
        consumer: &Arc<str>,
        unix: u64,
        question: Question,
    ) -> StoreCall {
        let (limit, cost) = question
            .wanted
            .map_or((0, -1), |(l, c)| (l as i64, c as i64));
        // What was written down of this node counts too: all that the store knew may be lost.
        let own = || self.counts.standing(consumer, &self.calendar, unix);
        let known = global.replica.known(consumer, unix, own);
        let (known, epoch) = known.filter(|(at, _)| at.used > 0).unwrap_or_default();
        let charge = question.charge;
        let numbers = [
            charge.units,
            charge.window,
            known.window.start,
            known.window.end,
            known.used,
            epoch,
        ];
        let numbers = numbers.into_iter().chain(self.calendar.around(unix));
        let args = [limit, cost].into_iter().chain(numbers.map(|n| n as i64));
        StoreCall {
            script: "quota",
            key: store::key(
                redis.map_or("", |r| &*r.prefix),
                &global.identity,
                &Sha256::digest(consumer.as_bytes()),
            ),
            more: Vec::new(),
            args: args.collect(),
            timeout: redis.map_or(0, |r| r.timeout.nanos()),
        }
    }

    /// Takes what a consumer used and the store does not know, and gives it; none if there is nothing, or some is on its way.
    pub fn give(
        &self,
        redis: Option<&RedisStore>,
        consumer: &Arc<str>,
        unix: u64,
    ) -> Option<ChargeCall> {
        let global = self.global.as_ref().filter(|g| g.store.is_up())?;
        let question = Question {
            wanted: None,
            charge: global.replica.take(consumer)?,
        };
        let taken = Taken {
            replica: global.replica.clone(),
            consumer: consumer.clone(),
            is_settled: AtomicBool::new(false),
        };
        Some(ChargeCall {
            call: self.call(global, redis, consumer, unix, question),
            replica: global.replica.clone(),
            consumer: consumer.clone(),
            taken: Some(Arc::new(taken)),
            told: None,
        })
    }
}

impl ChargeCall {
    /// Brings the store's answer; none if the call failed or is late.
    pub fn settle(&self, values: Option<&[i64]>) {
        let reply = values.and_then(Reply::read);
        let reply = reply.filter(|reply| reply.said != Said::Elsewhen);
        if let Some(reply) = reply {
            self.replica.heard(&self.consumer, reply.at, reply.epoch);
            if let Some((told, number)) = &self.told {
                // Who asked may have gone.
                let _gone = told.send(*number);
            }
        }
        if let Some(taken) = &self.taken {
            taken.settle(reply.is_some());
        }
    }
}

impl Snapshot {
    /// Takes what was used here and the store does not know, of at most so many consumers.
    pub fn owed(&self, now: Nanos, wall: u64, most: usize) -> Vec<ChargeCall> {
        let redis = self.config.store.redis();
        let mut all = Vec::new();
        for quota in self.quotas() {
            let Some(global) = &quota.global else {
                continue;
            };
            let unix = global.unix(now, wall);
            let due = global.replica.due(most.saturating_sub(all.len()));
            all.extend(due.iter().filter_map(|c| quota.give(redis, c, unix)));
        }
        all
    }

    /// Asks where a consumer stands with each quota of all nodes. Each tells the number of its quota.
    pub fn looks(
        &self,
        consumer: &str,
        now: Nanos,
        wall: u64,
        told: &Sender<usize>,
    ) -> Vec<ChargeCall> {
        let redis = self.config.store.redis();
        let consumer: Arc<str> = consumer.into();
        let look = |(number, quota): (usize, &Quota)| {
            let global = quota.global.as_ref().filter(|g| g.store.is_up())?;
            let unix = global.unix(now, wall);
            Some(ChargeCall {
                call: quota.call(global, redis, &consumer, unix, Question::default()),
                replica: global.replica.clone(),
                consumer: consumer.clone(),
                taken: None,
                told: Some((told.clone(), number)),
            })
        };
        self.quotas()
            .into_iter()
            .enumerate()
            .filter_map(look)
            .collect()
    }
}

impl PartialEq for ChargeCall {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.replica, &other.replica)
            && self.consumer == other.consumer
            && self.call == other.call
    }
}

impl fmt::Debug for ChargeCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChargeCall")
            .field("call", &self.call)
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}
