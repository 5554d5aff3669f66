//! Step 6: what an answer does to a request.

use super::acts::{Effect, Open};
use super::{Env, InForce, Phase, Run, Step};
use crate::filter::{Answer, Exchange, Failed, Join, Verdict, Who};
use crate::filters;
use crate::forward::{self, Failure};
use crate::grpc;
use crate::reply::{self, Reply};

impl Run {
    /// Answers asks that were refused at their bound, once the filter that started them has returned.
    pub(super) fn settle(&mut self, env: &mut Env<'_>, snapshot: &InForce, step: Step) -> Step {
        let Some((id, filter)) = self.acts.refused.pop() else {
            return step;
        };
        if self.acts.refusals > MAX_REFUSALS {
            // A filter that asks again whatever it is told would hold the thread.
            self.acts.refused.clear();
            return self.refuse(&reply::internal());
        }
        let open = Open {
            id,
            filter,
            join: Join::Joined,
            forward: false,
        };
        let failed = Failed {
            who: Who::Gateway,
            may_retry: true,
        };
        let then = self.answered(env, snapshot, open, Answer::Failed(failed));
        if then == Step::Wait {
            step
        } else {
            then
        }
    }

    pub(super) fn answered(
        &mut self,
        env: &mut Env<'_>,
        snapshot: &InForce,
        open: Open,
        answer: Answer<'_>,
    ) -> Step {
        let route = self.route_of(snapshot);
        let held = self.held == Some(open.id);
        if held {
            self.held = None;
        }
        let mut ex = std::mem::take(&mut self.exchange);
        let mut client = ex.client.clone();
        let verdict = {
            let (filter, mut cx, ..) = self.cx(env, snapshot, route, open.filter);
            cx.client = &mut client;
            cx.framing = ex.framing;
            cx.websocket = ex.websocket;
            filter.on_answer(&mut cx, &mut ex, open.id, answer)
        };
        ex.client = client;
        self.exchange = ex;
        let over = matches!(self.phase, Phase::Responded | Phase::Done);
        let unwanted = over || !matches!(verdict, Verdict::Next);
        if open.forward && unwanted && answer == Answer::Response {
            self.acts.effects.push_back(Effect::Cancel(open.id));
        }
        match verdict {
            Verdict::Reply(r) if !over => {
                self.acts.cancel_joined(None);
                self.reply(env, snapshot, &r, open.filter as usize)
            }
            Verdict::Reply(_) => Step::Wait,
            Verdict::Ask(ask) => {
                let id = self.acts.start(open.filter, ask, Join::Joined);
                if held {
                    self.held = Some(id);
                }
                self.settle(env, snapshot, Step::Wait)
            }
            Verdict::Next if over => self.settle(env, snapshot, Step::Wait),
            Verdict::Next if open.forward => self.forward_answered(env, snapshot, open, answer),
            Verdict::Next if !held => self.settle(env, snapshot, Step::Wait),
            Verdict::Next => match self.phase {
                Phase::Request if route.forwards == Some(open.filter) && self.forwards_open() => {
                    self.phase = Phase::Forwarding;
                    self.settle(env, snapshot, Step::Wait)
                }
                Phase::Request => {
                    self.cursor += 1;
                    self.requests(env, snapshot)
                }
                Phase::Response => {
                    let step = Step::Respond(self.adopted);
                    self.responses(env, snapshot, step)
                }
                _ => self.settle(env, snapshot, Step::Wait),
            },
        }
    }

    /// A filter let the answer of its forward stand: a response is adopted and the other asks are
    /// cancelled; a failure counts once no other forward is open.
    fn forward_answered(
        &mut self,
        env: &mut Env<'_>,
        snapshot: &InForce,
        open: Open,
        answer: Answer<'_>,
    ) -> Step {
        let route = self.route_of(snapshot);
        if answer == Answer::Response {
            self.acts.cancel_joined(Some(open.filter));
            self.adopted = open.id;
            self.standing = Some(open.id);
            self.held = None;
            self.cursor = route.response.iter().filter(|f| **f < open.filter).count();
            return self.responses(env, snapshot, Step::Respond(open.id));
        }
        if self.forwards_open() || self.held.is_some() {
            return self.settle(env, snapshot, Step::Wait);
        }
        let failure = self.failure.unwrap_or(Failure::Reset);
        self.reply(
            env,
            snapshot,
            &forward::reply(failure),
            open.filter as usize,
        )
    }

    /// The deadline that a filter set has passed. None if a response is on its way to the client: then that is to be cut.
    pub fn expired(&mut self, env: &mut Env<'_>) -> Option<Step> {
        let filter = self.acts.take_deadline()?;
        let snapshot = self.snapshot.clone()?;
        if matches!(self.phase, Phase::Responded | Phase::Done) {
            return None;
        }
        self.acts.cancel_joined(None);
        Some(self.reply(env, &snapshot, &filters::timed_out(), filter.into()))
    }

    /// Writes a reply of the gateway's own, so that who asked can read it.
    pub(super) fn write(&mut self, reply: &Reply) {
        let Exchange {
            request, response, ..
        } = &mut self.exchange;
        reply.write(response, &mut self.reply_body);
        self.reply_file = reply.file().cloned();
        if reply.status >= 400 {
            let bridged = self.acts.bridged().map(grpc::Web::kind);
            if let Some(kind) = bridged.or_else(|| grpc::of_call(request)) {
                grpc::refuse(request, kind, reply, response, &mut self.reply_body);
            }
        }
    }

    /// The gateway answers in the place of the forward that stands.
    pub(super) fn give_up(&mut self) {
        if let Some(id) = self.standing.take() {
            self.acts.effects.push_back(Effect::Cancel(id));
        }
    }

    pub(super) fn forwards_open(&self) -> bool {
        self.acts.open.iter().any(|o| o.forward)
    }
}

/// Asks of one request that are refused at their bound before the request is.
const MAX_REFUSALS: usize = 64;
