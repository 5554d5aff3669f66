//! Several limits of one filter, and all that a single cell without a lock cannot count.
//!
//! The keys of all limits are held while they are asked, so that they are charged all or none; a request holds them in the
//! order of the limits, as every other does. What is left is one allocation a request, and only if responses tell it.

use algo::{Answer, Bucket, FixedWindow, Held, Limit, LimitTable, Said, SlidingLog, SlidingWindow};
use wire::Head;

use super::rate_field::{policy, SECOND};
use super::rate_key::LimitKeys;
use super::rate_limit::{
    bad_rate, default_burst, named, refusal, Algorithm, Config, LimitConfig, Scope,
};
use super::rate_queue;
use super::rate_spent::{said, Spent};
use super::rate_table::Tables;
use super::rate_told::{list, Told, Trio};
use super::Build;
use crate::filter::{Cx, Filter, Needs, Outcome, Verdict};
use crate::Nanos;

/// The filter with several limits, another algorithm, or a cost.
pub struct Limits {
    limits: Vec<One>,
    /// Whether they stand in a list.
    several: bool,
    cost: Cost,
    spent: Option<Spent>,
    headers: bool,
    legacy: bool,
    /// The value of RateLimit-Policy: all of them.
    policies: Box<[u8]>,
}

/// One limit of this process, or of each of its threads.
pub(super) struct One {
    pub(super) tables: Tables<LimitTable>,
    pub(super) key: LimitKeys,
    pub(super) name: Box<str>,
    pub(super) quota: u64,
    /// Names it here, over reloads.
    pub(super) identity: String,
}

pub(super) struct Cost {
    fixed: u64,
    /// The field that says it, and the most that it can say.
    header: Option<(Box<str>, u64)>,
}

/// What an admitted request keeps for its response.
struct Kept {
    told: [Told; MAX_LIMITS],
    /// The hash of its key in each table.
    keys: [u64; MAX_LIMITS],
    /// What it was charged so far.
    cost: u64,
}

impl Limits {
    /// From the filter's config, if all of it can be counted.
    pub(super) fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        let several = !config.limits.is_empty();
        if several {
            alone(&config, b);
        }
        if config.limits.len() > MAX_LIMITS {
            let why = format!("{} limits are more than {MAX_LIMITS}", config.limits.len());
            b.fault("limits", why, "write fewer, or a second filter");
            return None;
        }
        let (headers, legacy, scope) = (config.headers, config.legacy_headers, config.scope);
        let cost = Cost::build(&config, b);
        let spent = Spent::build(&config, b);
        let configs = match (several, config.rate) {
            (true, _) => config.limits,
            (false, rate) => vec![config.one(rate?)],
        };
        let (mut limits, mut policies): (Vec<One>, Vec<String>) = (Vec::new(), Vec::new());
        for (i, config) in configs.into_iter().enumerate() {
            let at = match several {
                true => format!("limits[{i}]."),
                false => String::new(),
            };
            let (count, period) = (config.rate.count, config.rate.period_ns);
            if config.mode.is_some() {
                let why = "is of a limit over several nodes";
                b.fault(
                    &format!("{at}mode"),
                    why,
                    "remove it, or write scope: global",
                );
            }
            let own = config.scope.unwrap_or(scope) == Scope::Thread;
            let Some(limit) = One::build((config, own), i, &at, &cost, b) else {
                continue;
            };
            policies.push(policy(&limit.name, count, period));
            if limits.iter().any(|other| other.name == limit.name) {
                let why = format!("two limits are called {:?}", limit.name);
                b.fault(&format!("{at}name"), why, "give each a name of its own");
            }
            limits.push(limit);
        }
        (b.faults.len() == before).then(|| Self {
            limits,
            several,
            cost,
            spent,
            headers,
            legacy,
            policies: policies.join(", ").into_bytes().into(),
        })
    }

    fn refuse(&self, told: &[Told], wait: u64, violated: Vec<Box<str>>) -> Verdict {
        let mut reply = refusal(violated, wait);
        if self.headers {
            let all = self.limits.iter().zip(told);
            let left = list(all.map(|(limit, told)| (&*limit.name, *told)));
            reply = reply
                .with("ratelimit-policy", &*self.policies)
                .with("ratelimit", left);
        }
        if self.legacy {
            reply = self.legacy(told).reply(reply);
        }
        Verdict::Reply(Box::new(reply))
    }

    /// Counts what a request turned out to cost above what it was charged. No less than that: nothing is given back.
    fn owe(&self, kept: &mut Kept, cost: u64, (thread, now): (usize, Nanos)) {
        let more = cost.saturating_sub(kept.cost);
        if more == 0 {
            return;
        }
        kept.cost = cost;
        for (i, limit) in self.limits.iter().enumerate() {
            let mut held = limit.tables.of(thread).hold(kept.keys[i], now);
            held.owe(more);
            kept.told[i] = told_of(&held.look(0));
        }
    }

    /// The older trio, of the limit that has the least left.
    fn legacy(&self, told: &[Told]) -> Trio {
        let all = self.limits.iter().zip(told);
        Trio::least(all.map(|(limit, told)| (limit.quota, *told)))
    }
}

impl Filter for Limits {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: self.headers || self.legacy || matches!(self.spent, Some(Spent::Header(..))),
            done: matches!(self.spent, Some(Spent::Bytes(_))),
            ..Needs::default()
        }
    }

    fn consumer_keys(&self) -> Vec<String> {
        let all = self.limits.iter().enumerate();
        let reading = all.filter(|(_, limit)| limit.key.reads_consumer());
        let key = |(i, _)| match self.several {
            true => format!("limits[{i}].key"),
            false => "key".to_owned(),
        };
        reading.map(key).collect()
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let cost = self.cost.of(req);
        let mut all: [Option<Held<'_>>; MAX_LIMITS] = [const { None }; MAX_LIMITS];
        let mut told = [Told::default(); MAX_LIMITS];
        let mut keys = [0; MAX_LIMITS];
        let (mut wait, mut violated) = (0, Vec::new());
        for (i, limit) in self.limits.iter().enumerate() {
            let table = limit.tables.of(cx.thread);
            let hash = |bytes: &[u8]| table.hash(bytes);
            let key = limit.key.hash(cx.client, req, hash);
            keys[i] = key;
            let mut held = table.hold(key, cx.now);
            let answer = held.look(cost);
            told[i] = told_of(&answer);
            let retry_after = match answer.said {
                Said::Admit => None,
                Said::Refuse { retry_after } => Some(retry_after),
                // No cost is above a quota, or there would be no filter.
                Said::Never => Some(answer.reset_after),
            };
            if let Some(retry_after) = retry_after {
                wait = wait.max(seconds(retry_after).max(1));
                violated.push(limit.name.clone());
            }
            all[i] = Some(held);
        }
        if violated.is_empty() {
            all.into_iter().flatten().for_each(|held| held.charge(cost));
            let needs = self.needs();
            if needs.response || needs.done {
                cx.slot.any = Some(Box::new(Kept { told, keys, cost }));
            }
            return Verdict::Next;
        }
        let told = &mut told[..self.limits.len()];
        // Those that would have admitted it say what is left without it.
        for (told, held) in told.iter_mut().zip(all.iter_mut().flatten()) {
            *told = told_of(&held.look(0));
        }
        drop(all);
        self.refuse(told, wait, violated)
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        let any = cx.slot.any.as_mut();
        let Some(kept) = any.and_then(|any| any.downcast_mut::<Kept>()) else {
            return Verdict::Next;
        };
        if let Some(cost) = self.spent.as_ref().and_then(|spent| spent.said(rsp)) {
            self.owe(kept, cost, (cx.thread, cx.now));
        }
        let told = &kept.told[..self.limits.len()];
        // Beside those of other policies. A head that is full goes without.
        if self.headers {
            let _full = rsp.add(b"ratelimit-policy", &self.policies);
            for (limit, told) in self.limits.iter().zip(told) {
                let _full = rsp.add(b"ratelimit", told.field(&limit.name).bytes());
            }
        }
        if self.legacy {
            self.legacy(told).set(rsp);
        }
        Verdict::Next
    }

    fn on_done(&self, cx: &mut Cx<'_>, outcome: &Outcome) {
        let any = cx.slot.any.as_mut();
        let kept = any.and_then(|any| any.downcast_mut::<Kept>());
        if let (Some(kept), Some(Spent::Bytes(most))) = (kept, &self.spent) {
            self.owe(kept, outcome.sent.min(*most), (cx.thread, cx.now));
        }
    }
}

impl One {
    /// `own` if each thread counts by itself.
    pub(super) fn build(
        (config, own): (LimitConfig, bool),
        i: usize,
        at: &str,
        cost: &Cost,
        b: &mut Build<'_>,
    ) -> Option<Self> {
        let before = b.faults.len();
        let (rate, algorithm) = (config.rate, config.algorithm);
        let (count, period) = (rate.count, rate.period_ns);
        let bucket = algorithm.is_bucket();
        if algorithm == Algorithm::LeakyBucket {
            rate_queue::refuse(at, b);
            return None;
        }
        if config.burst.is_some() && !bucket {
            let why = "a window has no burst: the rate's count may come at once";
            b.fault(&format!("{at}burst"), why, "remove it, or write gcra");
        }
        let burst = config
            .burst
            .map_or(default_burst(rate, algorithm), u64::from);
        let made = match algorithm {
            Algorithm::Gcra | Algorithm::TokenBucket | Algorithm::LeakyBucket => {
                Bucket::new(count, period, burst).map(Limit::Bucket)
            }
            Algorithm::FixedWindow => FixedWindow::new(count, period).map(Limit::FixedWindow),
            Algorithm::SlidingWindow => SlidingWindow::new(count, period).map(Limit::SlidingWindow),
            Algorithm::SlidingWindowLog => SlidingLog::new(count, period).map(Limit::SlidingLog),
        };
        let limit = match made {
            Ok(limit) => limit,
            Err(algo::BadRate::TooManyEntries) => {
                let why = format!(
                    "a log of {count} times is above the most, {}",
                    SlidingLog::MAX_ENTRIES
                );
                b.fault(&format!("{at}rate"), why, "write algorithm: sliding_window");
                return None;
            }
            Err(why) => {
                bad_rate(why, &format!("{at}burst"), b);
                return None;
            }
        };
        let (most, quota) = (cost.most(), limit.quota());
        if most > quota {
            let whose = at.strip_suffix('.').unwrap_or("the limit");
            let why = format!("{most} is above {quota}, the most that {whose} admits at once");
            b.fault(
                cost.key(),
                why,
                "write a lower cost, or a higher burst or rate",
            );
        }
        let name = named(config.name, rate, &format!("{at}name"), b);
        if config.max_keys == 0
            || LimitTable::bytes(&limit, config.max_keys) > LimitTable::MAX_BYTES
        {
            let most = LimitTable::MAX_BYTES / LimitTable::bytes(&limit, 8) * 8;
            let why = format!("{} is not 1 to {most}", config.max_keys);
            b.fault(
                &format!("{at}max_keys"),
                why,
                "write twice the keys you expect; a shorter log has room for more",
            );
        }
        if b.faults.len() > before {
            return None;
        }
        let identity = format!(
            "{}:{i}:{algorithm:?}:{rate}:{}:{burst}:{}",
            b.ordinal, config.key, b.route
        );
        Some(Self {
            tables: Tables::limit(own, &identity, (limit, config.max_keys), b)?,
            key: config.key,
            name: name.into(),
            quota,
            identity,
        })
    }
}

impl Cost {
    pub(super) fn build(config: &Config, b: &mut Build<'_>) -> Self {
        if config.cost == 0 {
            b.fault("cost", "a cost of 0 is never refused", "write 1 or more");
        }
        let header = match (&config.cost_header, config.max_cost) {
            (None, None) => None,
            (Some(name), Some(most)) => {
                if !wire::valid_name(name.as_bytes()) {
                    let why = format!("{name:?} is no name of a field");
                    b.fault("cost_header", why, "write a name such as x-cost");
                }
                if most < config.cost.max(1) {
                    let why = format!(
                        "{most} is below the cost without the field, {}",
                        config.cost
                    );
                    b.fault("max_cost", why, "write the most that one request may cost");
                }
                Some((name.to_ascii_lowercase().into(), u64::from(most)))
            }
            (Some(_), None) => {
                let why = "is required with cost_header";
                b.fault("max_cost", why, "write the most that one request may cost");
                None
            }
            (None, Some(_)) if Spent::is_named(config) => None,
            (None, Some(_)) => {
                let why = "bounds a cost_header, and there is none";
                b.fault("max_cost", why, "remove it, or write cost_header");
                None
            }
        };
        Self {
            fixed: u64::from(config.cost),
            header,
        }
    }

    pub(super) fn most(&self) -> u64 {
        self.header.as_ref().map_or(self.fixed, |(_, most)| *most)
    }

    /// Where the most is written.
    pub(super) fn key(&self) -> &'static str {
        match self.header {
            Some(_) => "max_cost",
            None => "cost",
        }
    }

    pub(super) fn of(&self, req: &Head) -> u64 {
        let Some((name, most)) = &self.header else {
            return self.fixed;
        };
        said(req, name, *most).unwrap_or(self.fixed)
    }
}

/// Reports what stands beside `limits` and belongs into one of them.
pub(super) fn alone(config: &Config, b: &mut Build<'_>) {
    for (key, given) in [
        ("rate", config.rate.is_some()),
        ("burst", config.burst.is_some()),
        ("algorithm", config.algorithm != Algorithm::default()),
        ("key", config.key != LimitKeys::default()),
        ("max_keys", config.max_keys != LimitTable::DEFAULT_CAPACITY),
        ("name", config.name.is_some()),
    ] {
        if given {
            b.fault(
                key,
                "stands beside limits",
                "move it into one of the limits",
            );
        }
    }
}

pub(super) fn told_of(answer: &Answer) -> Told {
    Told::of(answer.remaining, answer.more_after, answer.reset_after)
}

/// Rounded up.
fn seconds(nanos: u64) -> u64 {
    nanos.div_ceil(SECOND)
}

/// Limits of one filter.
pub(super) const MAX_LIMITS: usize = 8;

#[cfg(test)]
#[path = "rate_limits_tests.rs"]
mod tests;
