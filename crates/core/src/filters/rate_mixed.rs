//! Several limits of one filter, of which at least one is over all nodes: from its config, and what is told of them.
//!
//! A request is admitted by all or counts for none. How that is decided: [`super::rate_round`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use algo::{Bucket, LeaseTable, Limit, LimitTable};
use wire::Head;

use super::rate_field::{policy, SECOND};
use super::rate_global::OnFail;
use super::rate_key::LimitKeys;
use super::rate_limit::{refusal, Config, LimitConfig, Scope};
use super::rate_limits::{self, alone, Cost, MAX_LIMITS};
use super::rate_plan::{of_one_process, By, Plan};
use super::rate_round::Round;
use super::rate_store::{identity_of, Script};
use super::rate_table::{Own, Reserved, Tables};
use super::rate_told::{list, Told, Trio};
use super::Build;
use crate::filter::{Answer, AskId, Cx, Exchange, Filter, Needs, Outcome, Verdict};
use crate::store::StoreState;

/// The filter with several limits over several nodes, or over these and this one.
pub struct Mixed {
    pub(super) limits: Vec<One>,
    pub(super) store: Arc<StoreState>,
    pub(super) on_fail: OnFail,
    pub(super) cost: Cost,
    /// Of those that the store is asked about each time; none without them.
    pub(super) strict: Option<Together>,
    spare: Spare,
    headers: bool,
    legacy: bool,
    /// The value of RateLimit-Policy: all of them.
    policies: Box<[u8]>,
}

/// One of them.
pub(super) struct One {
    pub(super) how: How,
    pub(super) key: LimitKeys,
    pub(super) name: Box<str>,
    /// Names it in the store.
    pub(super) identity: [u8; 8],
    quota: u64,
}

/// How it is counted.
pub(super) enum How {
    /// In this process.
    Local(Tables<LimitTable>, Arc<Reserved>),
    /// By what the store granted.
    Leased(Arc<LeaseTable>),
    /// By the store.
    Strict(Script, Share),
}

/// What this node admits by itself of a limit that the store counts: a bucket in which a request costs as many times more as
/// there are nodes.
pub(super) struct Share {
    pub(super) table: Arc<LimitTable>,
    /// Nanoseconds of a token.
    pub(super) interval: u64,
}

/// Limits that one call of the store decides.
pub(super) struct Together {
    /// Names the filter in the store.
    pub(super) identity: [u8; 8],
    /// What all of their keys have in common.
    pub(super) common: LimitKeys,
}

impl Mixed {
    /// From the filter's config, which has limits, some of scope `global`.
    pub(super) fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        alone(&config, b);
        of_one_process(&config, b);
        if config.limits.len() > MAX_LIMITS {
            let why = format!("{} limits are more than {MAX_LIMITS}", config.limits.len());
            b.fault("limits", why, "write fewer, or a second filter");
            return None;
        }
        let cost = Cost::build(&config, b);
        let on_fail = config.on_fail.unwrap_or_default();
        let whole = (config.scope, config.mode, on_fail);
        let (mut limits, mut policies): (Vec<One>, Vec<String>) = (Vec::new(), Vec::new());
        for (i, limit) in config.limits.into_iter().enumerate() {
            let (count, period) = (limit.rate.count, limit.rate.period_ns);
            let Some(one) = One::build(limit, i, whole, &cost, b) else {
                continue;
            };
            policies.push(policy(&one.name, count, period));
            if limits.iter().any(|other| other.name == one.name) {
                let why = format!("two limits are called {:?}", one.name);
                b.fault(
                    &format!("limits[{i}].name"),
                    why,
                    "give each a name of its own",
                );
            }
            limits.push(one);
        }
        (b.faults.len() == before).then(|| Self {
            strict: Together::of(&limits, b),
            spare: Spare::default(),
            limits,
            store: b.shared.map(|s| s.store().clone()).unwrap_or_default(),
            on_fail,
            cost,
            headers: config.headers,
            legacy: config.legacy_headers,
            policies: policies.join(", ").into_bytes().into(),
        })
    }

    /// A refusal by these limits, which tells what is known.
    pub(super) fn refuse(&self, round: &Round) -> Verdict {
        let violated = self.limits.iter().enumerate();
        let violated = violated.filter(|(i, _)| round.refused & (1 << i) != 0);
        let names = violated.map(|(_, limit)| limit.name.clone()).collect();
        let mut reply = refusal(names, round.retry.div_ceil(SECOND).max(1));
        if self.headers {
            let left = list(
                self.known(&round.told)
                    .map(|(limit, told)| (&*limit.name, told)),
            );
            reply = reply
                .with("ratelimit-policy", &*self.policies)
                .with("ratelimit", left);
        }
        if self.legacy {
            reply = self.legacy(&round.told).reply(reply);
        }
        Verdict::Reply(Box::new(reply))
    }

    /// Lets a request pass, and keeps what its response is to tell.
    pub(super) fn pass(&self, cx: &mut Cx<'_>, told: [Option<Told>; MAX_LIMITS]) -> Verdict {
        if self.headers || self.legacy {
            cx.slot.any = Some(self.spare.fill(cx.thread, Kept(told)));
        }
        Verdict::Next
    }

    /// The older trio, of the limit that has the least left.
    fn legacy(&self, told: &[Option<Told>]) -> Trio {
        Trio::least(self.known(told).map(|(limit, told)| (limit.quota, told)))
    }

    /// The limits of which something is known.
    fn known<'a>(&'a self, told: &'a [Option<Told>]) -> impl Iterator<Item = (&'a One, Told)> {
        let all = self.limits.iter().zip(told);
        all.filter_map(|(limit, told)| Some((limit, (*told)?)))
    }
}

/// What an admitted request keeps for its response: of each limit, if anything is known of it.
struct Kept([Option<Told>; MAX_LIMITS]);

/// Boxes for that, used again: a thread takes its own.
#[derive(Default)]
struct Spare(Own<Mutex<Boxes>>);

#[allow(clippy::vec_box, reason = "a request holds one by the same box")]
type Boxes = Vec<Box<Kept>>;

impl Spare {
    fn fill(&self, thread: usize, kept: Kept) -> Box<Kept> {
        let mut own = self.of(thread);
        match own.pop() {
            Some(mut spare) => {
                *spare = kept;
                spare
            }
            None => Box::new(kept),
        }
    }

    fn put(&self, thread: usize, kept: Box<Kept>) {
        let mut own = self.of(thread);
        if own.len() < MOST_SPARE {
            own.push(kept);
        }
    }

    fn of(&self, thread: usize) -> MutexGuard<'_, Boxes> {
        let own = self.0.of(thread);
        own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filter for Mixed {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: self.headers || self.legacy,
            // A client may go away while the store is asked.
            done: self.strict.is_some(),
            ..Needs::default()
        }
    }

    fn consumer_keys(&self) -> Vec<String> {
        let all = self.limits.iter().enumerate();
        let reading = all.filter(|(_, limit)| limit.key.reads_consumer());
        reading.map(|(i, _)| format!("limits[{i}].key")).collect()
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let round = Round::new(self, cx, req);
        self.decide(cx, req, round)
    }

    fn on_answer(&self, cx: &mut Cx<'_>, ex: &mut Exchange, _: AskId, a: Answer<'_>) -> Verdict {
        self.answered(cx, &ex.request, a)
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        let any = cx.slot.any.take();
        let Some(kept) = any.and_then(|any| any.downcast::<Kept>().ok()) else {
            return Verdict::Next;
        };
        let told = &kept.0;
        // Beside those of other policies. A head that is full goes without.
        if self.headers {
            let _full = rsp.add(b"ratelimit-policy", &self.policies);
            for (limit, told) in self.known(told) {
                let _full = rsp.add(b"ratelimit", told.field(&limit.name).bytes());
            }
        }
        if self.legacy {
            self.legacy(told).set(rsp);
        }
        self.spare.put(cx.thread, kept);
        Verdict::Next
    }

    fn on_done(&self, cx: &mut Cx<'_>, _: &Outcome) {
        let any = cx.slot.any.take();
        if let Some(mut round) = any.and_then(|any| any.downcast::<Round>().ok()) {
            self.give_back(cx, &mut round);
        }
    }
}

impl One {
    fn build(
        config: LimitConfig,
        i: usize,
        (scope, mode, on_fail): (Scope, Option<super::rate_global::Mode>, OnFail),
        cost: &Cost,
        b: &mut Build<'_>,
    ) -> Option<Self> {
        let at = format!("limits[{i}].");
        let scope = config.scope.unwrap_or(scope);
        if scope != Scope::Global {
            if config.mode.is_some() {
                let why = "is of a limit over several nodes";
                b.fault(
                    &format!("{at}mode"),
                    why,
                    "remove it, or write scope: global",
                );
                return None;
            }
            let own = scope == Scope::Thread;
            let one = rate_limits::One::build((config, own), i, &at, cost, b)?;
            let reserved = match b.shared {
                Some(shared) => shared.kept(
                    &format!("rate_limit reserved:{}", one.identity),
                    Reserved::default,
                ),
                None => Arc::default(),
            };
            return Some(Self {
                how: How::Local(one.tables, reserved),
                identity: identity_of(&one.identity),
                key: one.key,
                name: one.name,
                quota: one.quota,
            });
        }
        let mode = config.mode.or(mode).unwrap_or_default();
        let plan = Plan::build(config, (mode, on_fail), Some(i), cost, b)?;
        let identity = identity_of(&plan.identity);
        let how = match plan.by {
            By::Leases(lease) => How::Leased(plan.leases(lease, b.shared.map(|s| (s, b.route)))?),
            By::Script(script) => How::Strict(script, Share::build(&plan, b)?),
        };
        Some(Self {
            how,
            key: plan.key,
            name: plan.name,
            identity,
            quota: plan.quota,
        })
    }
}

impl Share {
    fn build(plan: &Plan, b: &Build<'_>) -> Option<Self> {
        let (count, period) = (plan.rate.count, plan.rate.period_ns);
        let limit = Limit::Bucket(Bucket::new(count, period, plan.quota).ok()?);
        let table = match b.shared {
            Some(shared) => {
                let identity = format!("share:{}", plan.identity);
                shared.limit(&identity, limit, plan.max_keys)?
            }
            None => Arc::new(LimitTable::new(limit, 1, 0).ok()?),
        };
        Some(Self {
            table,
            interval: period.div_ceil(count),
        })
    }
}

impl Together {
    fn of(limits: &[One], b: &Build<'_>) -> Option<Self> {
        let mut strict = limits.iter().filter(|l| matches!(l.how, How::Strict(..)));
        let first = strict.next()?;
        let mut common = first.key.0.clone();
        for limit in strict {
            common.retain(|key| limit.key.0.contains(key));
        }
        Some(Self {
            identity: identity_of(&format!("{}:{}", b.route, b.ordinal)),
            common: LimitKeys(common),
        })
    }
}

/// Boxes that a thread keeps.
const MOST_SPARE: usize = 64;

#[cfg(test)]
#[path = "rate_mixed_back_tests.rs"]
mod back_tests;
#[cfg(test)]
#[path = "rate_mixed_tests.rs"]
mod tests;
