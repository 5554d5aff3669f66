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
    /// Sends an ask on its way to a plugin or to the store. One that cannot leave is answered at once.
    pub(super) fn ask_outside(
        &mut self,
        i: u32,
        t: &mut Txn,
        id: AskId,
        (ask, who, timeout): (Ask, Who, Nanos),
    ) -> Option<Step> {
        self.asked += 1;
        let serial = self.asked;
        let at = self.now.saturating_add(timeout);
        let to = (&self.mailbox, self.conns.token(i), serial);
        let asks = match who {
            Who::Store => &self.outside.store,
            _ => {
                bump(&self.counters.plugin_calls, 1);
                &self.outside.plugins
            }
        };
        match asks.post(ask, at, to) {
            Ok(ticket) => {
                let until = Until::Answered {
                    serial,
                    who,
                    _ticket: Some(ticket),
                };
                t.asks.push(Pending { id, at, until });
                None
            }
            Err(Overflow) => {
                let answer = self.ask_failed(who, "overflow");
                Some(t.run.answer(&mut env!(self), id, answer))
            }
        }
    }

    /// Its time is over: whatever comes now is too late.
    pub(super) fn ask_late(&self, who: Who) -> Answer<'static> {
        match who {
            Who::Store => Answer::Late,
            who => self.ask_failed(who, "timeout"),
        }
    }

    /// It may have done something before it failed. What fails of the store is counted where it is served.
    fn ask_failed(&self, who: Who, kind: &'static str) -> Answer<'static> {
        if who == Who::Plugin {
            bump(self.counters.plugin_failures.of(kind), 1);
        }
        Answer::Failed(Failed {
            who,
            may_retry: false,
        })
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
            if let Brought::Bytes(bytes) = &brought {
                let next = shard.file_came(i, t, serial, bytes.as_deref());
                return next.unwrap_or(Next::Wait);
            }
            let own = |a: &Pending| match a.until {
                Until::Answered { serial: s, who, .. } if s == serial => Some(who),
                _ => None,
            };
            let mut open = t.asks.iter().enumerate();
            let Some((at, who)) = open.find_map(|(at, a)| Some((at, own(a)?))) else {
                return Next::Wait;
            };
            let id = t.asks.swap_remove(at).id;
            shard.ask_timer(i, t);
            let answer = match &brought {
                Brought::Plugin(verdict) => Answer::Plugin(verdict),
                Brought::Store(values) => Answer::Store(values),
                Brought::File(Ok(found)) => Answer::File(found),
                Brought::File(Err(why)) => Answer::NoFile(*why),
                Brought::Failed | Brought::Bytes(_) => shard.ask_failed(who, "error"),
                Brought::Late => shard.ask_late(who),
            };
            let step = t.run.answer(&mut env!(shard), id, answer);
            shard.apply(i, t, step)
        });
    }
}
