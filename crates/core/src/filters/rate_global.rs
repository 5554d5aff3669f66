//! A limit over all nodes that share a store: `scope: global`.
//!
//! `strict` asks the store about each request. `leased` decides here, by what was granted before: see [`algo::lease`].
//! Without the store `on_fail` decides; `fair_share` is a GCRA of this node's share of the rate and of the burst, in a
//! table of its own, whatever the algorithm.

use std::sync::Arc;

use algo::{Decision, Gcra, GcraTable, LeaseDecision, LeaseTable, Said};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::rate_field::SECOND;
use super::rate_key::LimitKeys;
use super::rate_limit::{refusal, unavailable, Config};
use super::rate_limits::Cost;
use super::rate_plan::{of_one_process, By, Plan};
use super::rate_store::{key_of, store_call, Script, Stored};
use super::rate_told::{Fields, Told, Trio};
use super::Build;
use crate::config::units::Rate;
use crate::filter::{Answer, Ask, AskId, Cx, Exchange, Filter, Needs, Verdict};
use crate::store::{granted, LeaseCall, StoreState};

/// How nodes share a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RateLimitMode")]
pub enum Mode {
    /// A node takes tokens in the background, and decides by itself.
    #[default]
    Leased,
    /// The store is asked about each request.
    Strict,
}

/// What happens while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RateLimitOnFail")]
pub enum OnFail {
    /// Each node admits its share: the rate and the burst, over the number of nodes that there were.
    #[default]
    FairShare,
    /// Requests pass.
    Open,
    /// Requests are refused with 503.
    Closed,
}

/// A limit over all nodes.
pub struct Global {
    how: How,
    store: Arc<StoreState>,
    on_fail: OnFail,
    /// Names the limit in the store.
    identity: [u8; 8],
    key: LimitKeys,
    cost: Cost,
    /// The most that is admitted at one instant.
    quota: u64,
    headers: bool,
    legacy: bool,
    name: Box<str>,
    fields: Fields,
}

enum How {
    Strict(Script, Share),
    Leased(Arc<LeaseTable>),
}

/// What this node admits by itself.
struct Share {
    table: Arc<GcraTable>,
    count: u64,
    period_ns: u64,
    burst: u64,
}

/// A request that waits for the store.
struct Waiting {
    hash: u64,
    cost: u64,
    /// What was asked for by a lease.
    ask: Option<algo::LeaseAsk>,
}

impl Global {
    /// From the filter's config, whose scope is `global` and which has one limit.
    pub(super) fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        of_one_process(&config, b);
        let cost = Cost::build(&config, b);
        let Some(rate) = config.rate else {
            b.fault("rate", "is required", "write a rate such as 100/s");
            return None;
        };
        let (headers, legacy) = (config.headers, config.legacy_headers);
        let on_fail = config.on_fail.unwrap_or_default();
        let mode = config.mode.unwrap_or_default();
        let plan = Plan::build(config.one(rate), (mode, on_fail), None, &cost, b);
        if b.faults.len() > before {
            return None;
        }
        let plan = plan?;
        let Rate { count, period_ns } = plan.rate;
        let own = format!("global:{}", plan.identity);
        let how = match plan.by {
            By::Leases(lease) => How::Leased(plan.leases(lease, b.shared.map(|s| (s, b.route)))?),
            By::Script(script) => {
                let table = match b.shared {
                    Some(shared) => shared.table(&own, plan.max_keys),
                    None => Arc::new(GcraTable::new(1, 0).ok()?),
                };
                let share = Share {
                    table,
                    count,
                    period_ns,
                    burst: plan.quota,
                };
                How::Strict(script, share)
            }
        };
        Some(Self {
            how,
            store: b.shared.map(|s| s.store().clone()).unwrap_or_default(),
            on_fail,
            identity: super::rate_store::identity_of(&plan.identity),
            key: plan.key,
            cost,
            quota: plan.quota,
            headers,
            legacy,
            fields: Fields::of(&plan.name, plan.rate)?,
            name: plan.name,
        })
    }

    fn store_key(&self, cx: &Cx<'_>, req: &Head) -> Vec<u8> {
        let redis = cx.snapshot.config.store.redis();
        let prefix = redis.map_or("", |r| &*r.prefix);
        key_of(prefix, &self.identity, &self.key, cx.client, req)
    }

    /// By this node's own share, or as `on_fail` says.
    fn alone(&self, cx: &mut Cx<'_>, share: &Share, hash: u64, cost: u64) -> Verdict {
        self.store.fell_back();
        match self.on_fail {
            OnFail::Open => return Verdict::Next,
            OnFail::Closed => return unavailable(),
            OnFail::FairShare => {}
        }
        let nodes = self.store.nodes();
        // Its burst is at least what this request costs, or that would never be admitted.
        let burst = (share.burst / nodes).max(cost);
        let period = share.period_ns.saturating_mul(nodes);
        let gcra = Gcra::new(share.count, period, burst)
            .or_else(|_| Gcra::new(share.count, share.period_ns, burst));
        let Ok(gcra) = gcra else {
            return unavailable();
        };
        let told = |left, reset| Stored {
            admits: true,
            left,
            more: period / share.count,
            reset,
            retry: 0,
        };
        let stored = match share.table.decide(hash, &gcra, cx.now, cost) {
            Decision::Admit {
                remaining,
                reset_after,
                ..
            } => told(remaining, reset_after),
            Decision::Refuse {
                retry_after,
                remaining,
                reset_after,
            } => Stored {
                admits: false,
                retry: retry_after,
                ..told(remaining, reset_after)
            },
            Decision::Never => Stored {
                admits: false,
                retry: gcra.window(),
                ..told(0, gcra.window())
            },
        };
        self.tell(cx, &stored)
    }

    fn strict(&self, cx: &mut Cx<'_>, req: &Head, how: (&Script, &Share)) -> Verdict {
        let (script, share) = how;
        let cost = self.cost.of(req);
        let hash = self
            .key
            .hash(cx.client, req, |bytes| share.table.hash(bytes));
        if !self.store.is_up() {
            return self.alone(cx, share, hash, cost);
        }
        cx.slot.words = [hash, cost];
        let key = self.store_key(cx, req);
        let (name, args) = script.call(cost);
        Verdict::Ask(Ask::Store(Box::new(store_call(cx, name, key, args))))
    }

    fn leased(
        &self,
        cx: &mut Cx<'_>,
        req: &Head,
        (table, waited): (&Arc<LeaseTable>, Option<(u64, u64)>),
    ) -> Verdict {
        let (hash, cost) = waited.unwrap_or_else(|| {
            let hash = self.key.hash(cx.client, req, |bytes| table.hash(bytes));
            (hash, self.cost.of(req))
        });
        let (up, nodes) = (self.store.is_up(), self.store.nodes());
        let decision = match waited {
            None => table.decide(hash, cx.now, cost, nodes, up),
            Some(_) => table.decide_again(hash, cx.now, cost, nodes, up),
        };
        let LeaseDecision {
            answer,
            ask,
            wait,
            alone,
        } = decision;
        if alone {
            self.store.fell_back();
        }
        if let Some(ask) = ask {
            let key = self.store_key(cx, req);
            let args = table.lease().arguments(&ask).to_vec();
            let call = store_call(cx, "gcra", key, args);
            if wait && waited.is_none() {
                let ask = Some(ask);
                cx.slot.any = Some(Box::new(Waiting { hash, cost, ask }));
                return Verdict::Ask(Ask::Store(Box::new(call)));
            }
            cx.lease(LeaseCall {
                call,
                table: table.clone(),
                key: hash,
                ask,
                store: self.store.clone(),
            });
        }
        let (admits, retry) = match answer.said {
            Said::Admit => (true, 0),
            Said::Refuse { retry_after } => (false, retry_after),
            Said::Never => (false, answer.reset_after),
        };
        if !admits && alone && self.on_fail == OnFail::Closed {
            return unavailable();
        }
        self.tell(
            cx,
            &Stored {
                admits,
                left: answer.remaining,
                more: answer.more_after,
                reset: answer.reset_after,
                retry,
            },
        )
    }

    /// The verdict, and what responses say.
    fn tell(&self, cx: &mut Cx<'_>, stored: &Stored) -> Verdict {
        let told = Told::of(stored.left, stored.more, stored.reset);
        if stored.admits {
            cx.slot.words = told.pack();
            return Verdict::Next;
        }
        let seconds = stored.retry.div_ceil(SECOND).max(1);
        let mut reply = refusal(vec![self.name.clone()], seconds);
        if self.headers {
            reply = self.fields.reply(reply, told.left, told.more.max(1));
        }
        if self.legacy {
            reply = Trio::of(self.quota, told).reply(reply);
        }
        Verdict::Reply(Box::new(reply))
    }
}

impl Filter for Global {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: self.headers || self.legacy,
            ..Needs::default()
        }
    }

    fn consumer_keys(&self) -> Vec<String> {
        let reads = self.key.reads_consumer();
        reads.then(|| "key".to_owned()).into_iter().collect()
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        match &self.how {
            How::Strict(script, share) => self.strict(cx, req, (script, share)),
            How::Leased(table) => self.leased(cx, req, (table, None)),
        }
    }

    fn on_answer(&self, cx: &mut Cx<'_>, ex: &mut Exchange, _: AskId, a: Answer<'_>) -> Verdict {
        match &self.how {
            How::Strict(script, share) => {
                let [hash, cost] = std::mem::take(&mut cx.slot.words);
                let said = match a {
                    Answer::Store(values) => script.read(values, cost),
                    _ => None,
                };
                match said {
                    Some(stored) => self.tell(cx, &stored),
                    None => self.alone(cx, share, hash, cost),
                }
            }
            How::Leased(table) => {
                let any = cx.slot.any.take();
                let Some(waiting) = any.and_then(|any| any.downcast::<Waiting>().ok()) else {
                    return unavailable();
                };
                let Waiting { hash, cost, ask } = *waiting;
                let answer = match a {
                    Answer::Store(values) => granted(values),
                    _ => None,
                };
                match (answer, &ask) {
                    (Some((granted, reset_after)), Some(ask)) => {
                        table.granted(hash, cx.now, ask, granted, reset_after);
                    }
                    _ => table.failed(hash, cx.now, self.store.nodes()),
                }
                self.leased(cx, &ex.request, (table, Some((hash, cost))))
            }
        }
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        let Some(told) = Told::unpack(cx.slot.words) else {
            return Verdict::Next;
        };
        if self.headers {
            self.fields.add(rsp, told.left, told.after());
        }
        if self.legacy {
            Trio::of(self.quota, told).set(rsp);
        }
        Verdict::Next
    }
}

#[cfg(test)]
#[path = "rate_global_tests.rs"]
mod tests;
