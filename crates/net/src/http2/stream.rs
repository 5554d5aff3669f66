//! One request of a client: its frames become an HTTP/1.1 request in a pipe, and what comes back becomes frames.

use std::task::{Context, Waker};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use wire::{Framing, Head, Method};

use super::body::{Inward, Outward};
use super::head::{self, Asked};
use crate::http1::Reader;
use crate::pipe::{End, ROOM};

/// A request on its way, and its answer.
pub(super) struct Stream {
    /// The connection in the slab that carries it; another's place once the pipe says that it is gone.
    pub inner: u32,
    pub pipe: End,
    pub waker: Waker,
    /// Bytes of its head, for the bound on all of a connection.
    pub head: usize,
    /// When a byte of its answer last became a frame.
    pub moved: u64,
    asked: Asked,
    inward: Inward,
    answer: Answer,
}

/// How far the answer is.
enum Answer {
    Head(SendResponse<Bytes>),
    Body(SendStream<Bytes>, Outward),
}

/// What became of the answer in one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// The connection may send again.
    pub room: bool,
    /// It is whole.
    pub done: bool,
    /// A tunnel is open from now on: nobody has listened to what the client sends into it.
    pub opened: bool,
}

/// The answer is none, or broke off.
#[derive(Debug)]
pub(super) struct Cut;

impl Stream {
    pub fn new(
        (inner, pipe): (u32, End),
        waker: Waker,
        asked: Asked,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        now: u64,
    ) -> Self {
        let head = pipe.borrow().inward.len();
        Self {
            inner,
            head,
            pipe,
            waker,
            moved: now,
            asked,
            inward: Inward::new(body, asked.chunked),
            answer: Answer::Head(respond),
        }
    }

    /// Puts what came of the request's body into the pipe. True if that was anything.
    pub fn feed(&mut self, cx: &mut Context<'_>) -> Result<bool, h2::Error> {
        // What follows the request for a tunnel waits until there is one.
        if self.asked.websocket && matches!(self.answer, Answer::Head(_)) {
            return Ok(false);
        }
        let mut pipe = self.pipe.borrow_mut();
        self.inward.pull(&mut pipe, self.asked.websocket, cx)
    }

    /// True if the client has reset it.
    pub fn is_reset(&mut self, cx: &mut Context<'_>) -> bool {
        let reset = match &mut self.answer {
            Answer::Head(respond) => respond.poll_reset(cx),
            Answer::Body(send, _) => send.poll_reset(cx),
        };
        reset.is_ready()
    }

    /// Makes frames of what was answered.
    pub fn give(&mut self, cx: &mut Context<'_>, head: &mut Head, now: u64) -> Result<Given, Cut> {
        let mut pipe = self.pipe.borrow_mut();
        let mut opened = false;
        loop {
            let respond = match &mut self.answer {
                Answer::Head(respond) => respond,
                Answer::Body(send, outward) => {
                    let pushed = outward.push(&mut pipe, send, cx).map_err(|_| Cut)?;
                    if pushed.moved {
                        self.moved = now;
                    }
                    return Ok(Given {
                        room: pushed.room,
                        done: pushed.done,
                        opened,
                    });
                }
            };
            let method = if self.asked.head {
                Method::Head
            } else {
                Method::Get
            };
            let Some((end, info)) =
                wire::take_response(pipe.outward.as_slice(), method, &head::OURS, head)
            else {
                let hopeless = pipe.gone || pipe.outward.len() >= ROOM;
                return if hopeless {
                    Err(Cut)
                } else {
                    Ok(Given {
                        room: false,
                        done: false,
                        opened,
                    })
                };
            };
            pipe.outward.consume(end);
            self.moved = now;
            let status = head.status();
            let tunnel = status == 101;
            let response = head::response(head, &info, tunnel).ok_or(Cut)?;
            if status < 200 && !tunnel {
                respond.send_informational(response).map_err(|_| Cut)?;
                continue;
            }
            if tunnel != (self.asked.websocket && tunnel) || info.framing == Framing::UntilClose {
                return Err(Cut);
            }
            let outward = if tunnel {
                self.inward.tunnel();
                Outward::tunnel()
            } else {
                // What came of a body behind a refused CONNECT is nobody's.
                Outward::new(Reader::new(info.framing, &head::OURS))
            };
            let ended = outward.is_empty();
            let send = respond.send_response(response, ended).map_err(|_| Cut)?;
            if ended {
                return Ok(Given {
                    room: false,
                    done: true,
                    opened,
                });
            }
            self.answer = Answer::Body(send, outward);
            opened = tunnel;
        }
    }

    /// True if its answer is made and waits for the client's window.
    pub fn waits(&self) -> bool {
        self.pipe.borrow().gone
    }

    /// Ends it with a reset.
    pub fn reset(&mut self, why: Reason) {
        match &mut self.answer {
            Answer::Head(respond) => respond.send_reset(why),
            Answer::Body(send, _) => send.send_reset(why),
        }
    }
}
