//! Asks that are answered outside of this thread: how they leave it, and what their answers do.

use gateway_core::engine::Step;
use gateway_core::filter::{Answer, Ask, AskId, Failed, Who};
use gateway_core::metrics::bump;
use gateway_core::Nanos;

use super::drive::Next;
use super::txn::{Pending, Txn, Until};
use crate::asks::{Answered, Brought, Overflow};
use crate::shard::{env, Shard};

impl Shard {
    /// Sends a call of a plugin on its way. One that cannot leave is answered at once.
    pub(super) fn call_plugin(
        &mut self,
        i: u32,
        t: &mut Txn,
        id: AskId,
        (ask, timeout): (Ask, Nanos),
    ) -> Option<Step> {
        bump(&self.counters.plugin_calls, 1);
        self.asked += 1;
        let serial = self.asked;
        let at = self.now.saturating_add(timeout);
        let to = (&self.mailbox, self.conns.token(i), serial);
        match self.plugins.post(ask, at, to) {
            Ok(_ticket) => {
                let until = Until::Answered { serial, _ticket };
                t.asks.push(Pending { id, at, until });
                None
            }
            Err(Overflow) => {
                bump(self.counters.plugin_failures.of("overflow"), 1);
                Some(t.run.answer(&mut env!(self), id, FAILED))
            }
        }
    }

    /// Its time is over: whatever comes now is too late.
    pub(super) fn plugin_late(&self) -> Answer<'static> {
        bump(self.counters.plugin_failures.of("timeout"), 1);
        FAILED
    }

    /// An answer has come from outside. One that nobody waits for any more is dropped.
    pub(crate) fn ask_answered(&mut self, answered: Answered) {
        let Answered {
            token,
            serial,
            brought,
        } = answered;
        let Some(i) = self.conns.of_token(token) else {
            return;
        };
        let Some(t) = self.take(i) else {
            return;
        };
        self.step(i, t, |shard, t| {
            let own =
                |a: &Pending| matches!(a.until, Until::Answered { serial: s, .. } if s == serial);
            let Some(at) = t.asks.iter().position(own) else {
                return Next::Wait;
            };
            let id = t.asks.swap_remove(at).id;
            shard.ask_timer(i, t);
            let answer = match &brought {
                Brought::Plugin(verdict) => Answer::Plugin(verdict),
                Brought::Failed => {
                    bump(shard.counters.plugin_failures.of("error"), 1);
                    FAILED
                }
                Brought::Late => shard.plugin_late(),
            };
            let step = t.run.answer(&mut env!(shard), id, answer);
            shard.apply(i, t, step)
        });
    }
}

/// A plugin may have done something before it failed.
const FAILED: Answer<'static> = Answer::Failed(Failed {
    who: Who::Plugin,
    may_retry: false,
});
