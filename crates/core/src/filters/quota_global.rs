//! A quota over all nodes that share a store: `scope: global`.
//!
//! The store is asked about each request. What is measured when a response has ended is given to it then, in a call for which nobody
//! waits: one at a time for each consumer, with all that came since the last. Without the store `on_fail` decides, what is used is
//! counted here, and given to the store when it is back.

use std::sync::Arc;

use super::quota::{unavailable, Config, QuotaFilter, Scope};
use super::rate_store::identity_of;
use super::Build;
use crate::filter::{Answer, Ask, Cx, Verdict};
use crate::quota::{Admission, Global, Identity, OnFail, Owed, Question, Said, MOST};
use crate::quota::{Reply as Told, Window};
use crate::snapshot::Shared;

/// Reports what a quota of this scope cannot have.
pub(super) fn check(config: &Config, b: &mut Build<'_>) {
    if config.scope == Scope::Process {
        if config.on_fail.is_some() {
            let why = "is of a quota over several nodes";
            b.fault("on_fail", why, "remove it, or write scope: global");
        }
        return;
    }
    let plans = config.plans.iter();
    let plans = plans.map(|(name, limit)| (format!("plans.{name}"), *limit));
    let all = std::iter::once(("limit".to_owned(), config.limit)).chain(plans);
    for (key, limit) in all.filter(|(_, limit)| *limit > MOST) {
        let why = format!("{limit} is more than the store counts exactly, {MOST}");
        b.fault(&key, why, "write a lower one");
    }
}

/// What such a quota has beside.
pub(super) fn of(on_fail: OnFail, quota: &Identity, shared: Option<&Shared>) -> Global {
    let text = format!("quota:{}:{}:{}", quota.per, quota.unit, quota.name);
    let usage = shared.map(|shared| &shared.usage);
    Global {
        replica: usage.map_or_else(Arc::default, |usage| usage.replica(quota)),
        store: shared.map_or_else(Arc::default, |shared| shared.store().clone()),
        on_fail,
        identity: identity_of(&text),
        fallbacks: usage.map_or_else(Arc::default, |usage| usage.fallbacks().clone()),
    }
}

impl QuotaFilter {
    /// Asks the store about a request; without it, decides here.
    pub(super) fn begin(&self, cx: &mut Cx<'_>, global: &Global, consumer: &Arc<str>) -> Verdict {
        let unix = global.unix(cx.now, cx.unix);
        if !global.store.is_up() {
            return self.alone(cx, global, consumer, unix);
        }
        // It goes before the question, so that is answered with it.
        self.give(cx, consumer, unix);
        cx.slot.words = [0; 2];
        self.ask(cx, global, consumer, unix)
    }

    fn ask(&self, cx: &mut Cx<'_>, global: &Global, consumer: &Arc<str>, unix: u64) -> Verdict {
        let (limit, _) = self.quota.limit_of(consumer);
        let question = Question {
            wanted: Some((limit, self.cost())),
            charge: Owed::default(),
        };
        let redis = cx.snapshot.config.store.redis();
        let call = self.quota.call(global, redis, consumer, unix, question);
        Verdict::Ask(Ask::Store(Box::new(call)))
    }

    /// The store has answered, or not.
    pub(super) fn answered(
        &self,
        cx: &mut Cx<'_>,
        global: &Global,
        consumer: &Arc<str>,
        answer: Answer<'_>,
    ) -> Verdict {
        let told = match answer {
            Answer::Store(values) => Told::read(values),
            _ => None,
        };
        let again = std::mem::replace(&mut cx.slot.words, [1, 0])[0] > 0;
        let Some(told) = told.filter(|t| !(again && t.said == Said::Elsewhen)) else {
            let unix = global.unix(cx.now, cx.unix);
            return self.alone(cx, global, consumer, unix);
        };
        let Told { at, unix, .. } = told;
        let (limit, _) = self.quota.limit_of(consumer);
        if told.said != Said::Elsewhen {
            global.replica.heard(consumer, at, told.epoch);
        }
        match told.said {
            Said::Elsewhen => self.ask(cx, global, consumer, unix),
            Said::Refused => self.tell(cx, Admission::Refused(at), (limit, unix)),
            Said::Admitted => {
                self.used(cx, consumer, (at.window, unix), self.cost());
                self.tell(cx, Admission::Admitted(at), (limit, unix))
            }
        }
    }

    /// By this node's own share, or as `on_fail` says.
    fn alone(&self, cx: &mut Cx<'_>, global: &Global, consumer: &Arc<str>, unix: u64) -> Verdict {
        global.fell_back();
        if global.on_fail == OnFail::Closed {
            return unavailable();
        }
        let (limit, _) = self.quota.limit_of(consumer);
        let is_open = global.on_fail == OnFail::Open;
        let asked = (limit, self.cost(), global.store.nodes(), is_open);
        let own = || {
            self.quota
                .counts
                .standing(consumer, &self.quota.calendar, unix)
        };
        let admission = global.replica.admit(consumer, unix, asked, own);
        if let Admission::Admitted(at) = admission {
            self.used(cx, consumer, (at.window, unix), self.cost());
        }
        self.tell(cx, admission, (limit, unix))
    }

    /// Takes what a request turned out to cost, and gives it to the store unless some is on its way.
    pub(super) fn charge(&self, cx: &mut Cx<'_>, global: &Global, consumer: &Arc<str>, units: u64) {
        let unix = global.unix(cx.now, cx.unix);
        let own = || {
            self.quota
                .counts
                .standing(consumer, &self.quota.calendar, unix)
        };
        let counted = global.replica.charge(consumer, unix, units, own);
        let window = counted.unwrap_or_else(|| self.quota.calendar.window(unix));
        self.used(cx, consumer, (window, unix), units);
        self.give(cx, consumer, unix);
    }

    fn give(&self, cx: &mut Cx<'_>, consumer: &Arc<str>, unix: u64) {
        let redis = cx.snapshot.config.store.redis();
        if let Some(call) = self.quota.give(redis, consumer, unix) {
            cx.charge(call);
        }
    }

    /// Counts at this node what was used, and writes it down.
    fn used(&self, cx: &Cx<'_>, consumer: &Arc<str>, (window, unix): (Window, u64), units: u64) {
        if units > 0 {
            let quota = &self.quota;
            quota.counts.charge(consumer, &quota.calendar, unix, units);
            self.note(consumer, window, units, cx.unix);
        }
    }
}

#[cfg(test)]
#[path = "quota_global_tests.rs"]
mod tests;
