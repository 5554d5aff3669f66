//! One limit of this process, as most have it: one cell for a key, no lock, no allocation.

use algo::{Decision, Gcra, GcraTable};
use wire::Head;

use super::rate_field::SECOND;
use super::rate_key::LimitKeys;
use super::rate_limit::{bad_rate, default_burst, named, refusal, Algorithm, Config, Scope};
use super::rate_queue;
use super::rate_table::Tables;
use super::rate_told::Fields;
use super::Build;
use crate::config::units::Rate;
use crate::filter::{Answer, Ask, AskId, Cx, Exchange, Filter, Needs, Verdict};

/// One limit, as most have it.
pub struct One {
    gcra: Gcra,
    tables: Tables<GcraTable>,
    pub(super) key: LimitKeys,
    /// Nanoseconds in which one more request is allowed.
    interval: u64,
    /// Whether who is admitted waits for its turn.
    queue: bool,
    headers: bool,
    name: Box<str>,
    fields: Fields,
}

impl One {
    pub(super) fn build(config: Config, rate: Rate, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        let Rate { count, period_ns } = rate;
        let burst = config
            .burst
            .map_or(default_burst(rate, config.algorithm), u64::from);
        let queue = config.algorithm == Algorithm::LeakyBucket;
        let made = match queue {
            true => rate_queue::gcra(&config, rate, b),
            false => Gcra::new(count, period_ns, burst),
        };
        let gcra = match made {
            Ok(gcra) => Some(gcra),
            Err(why) => {
                bad_rate(why, "burst", b);
                None
            }
        };
        let most = GcraTable::MAX_CAPACITY;
        if config.max_keys == 0 || config.max_keys > most {
            b.fault(
                "max_keys",
                format!("{} is not 1 to {most}", config.max_keys),
                "write 65536, or twice the keys you expect",
            );
        }
        let name = named(config.name, rate, "name", b);
        if b.faults.len() > before {
            return None;
        }
        let kind = if queue { "queue:" } else { "" };
        let identity = format!(
            "{}:{kind}{}:{burst}:{}:{}",
            b.ordinal, rate, config.key, b.route
        );
        let own = config.scope == Scope::Thread;
        let tables = Tables::gcra(own, &identity, config.max_keys, b)?;
        let fields = Fields::of(&name, rate)?;
        let interval = period_ns.div_ceil(count);
        Some(Self {
            gcra: gcra?,
            tables,
            key: config.key,
            interval,
            queue,
            headers: config.headers,
            name: name.into(),
            fields,
        })
    }

    fn refuse(&self, retry_after: u64, left: u64) -> Verdict {
        let seconds = retry_after.div_ceil(SECOND).max(1);
        let mut reply = refusal(vec![self.name.clone()], seconds);
        if self.headers {
            reply = self.fields.reply(reply, left, seconds);
        }
        Verdict::Reply(Box::new(reply))
    }
}

impl Filter for One {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: self.headers,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let table = self.tables.of(cx.thread);
        let hash = self.key.hash(cx.client, req, |bytes| table.hash(bytes));
        match table.decide(hash, &self.gcra, cx.now, 1) {
            Decision::Admit {
                tat,
                remaining,
                reset_after,
            } => {
                let used = self.gcra.burst() - remaining;
                let next = reset_after.saturating_sub(used.saturating_sub(1) * self.interval);
                cx.slot.words = [remaining, next.div_ceil(SECOND)];
                if self.queue {
                    let wait = self.gcra.wait(tat, cx.now);
                    // A client that leaves meanwhile takes the ask with it; its turn passes unused.
                    if wait > 0 {
                        return Verdict::Ask(Ask::Sleep(wait));
                    }
                }
                Verdict::Next
            }
            Decision::Refuse {
                retry_after,
                remaining,
                ..
            } => self.refuse(retry_after, remaining),
            // Only a cost above the burst is never admitted, and the burst is at least 1.
            Decision::Never => self.refuse(self.gcra.window(), 0),
        }
    }

    fn on_answer(&self, _: &mut Cx<'_>, _: &mut Exchange, _: AskId, a: Answer<'_>) -> Verdict {
        match a {
            Answer::Slept => Verdict::Next,
            // It could not wait, and must not go before its turn.
            _ => self.refuse(self.interval, 0),
        }
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        let [left, seconds] = cx.slot.words;
        self.fields.add(rsp, left, Some(seconds));
        Verdict::Next
    }
}
