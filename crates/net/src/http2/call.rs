//! One request to an upstream that speaks HTTP/2: the bytes of its pipe become frames, and the answer's frames bytes.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use wire::{Framing, Head};

use super::body::{Inward, Outward};
use super::head::{self, Sent};
use crate::http1::Reader;
use crate::pipe::{End, Pipe, Then, ROOM};

/// A request on its way, and its answer.
pub(super) struct Call {
    /// The connection in the slab that carries it; another's place once the pipe says that it is gone.
    pub inner: u64,
    pub pipe: End,
    pub waker: Waker,
    stage: Stage,
}

enum Stage {
    /// Its head is not whole.
    Head,
    Open {
        sent: Sent,
        send: SendStream<Bytes>,
        /// None once all of it is out, or nobody takes more.
        outward: Option<Outward>,
        answer: Answer,
    },
    /// Nothing more comes.
    Over,
}

enum Answer {
    Head(ResponseFuture),
    Body(Inward, bool),
}

/// What became of a call in one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Went {
    /// Its connection has something to receive.
    pub came: bool,
    /// Its connection may send again.
    pub room: bool,
}

impl Call {
    pub fn new(inner: u64, pipe: End, waker: Waker) -> Self {
        Self {
            inner,
            pipe,
            waker,
            stage: Stage::Head,
        }
    }

    /// Makes what progress there is to be made.
    pub fn advance(&mut self, to: Option<&SendRequest<Bytes>>, scratch: &mut Head) -> Went {
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        let end = self.pipe.clone();
        let mut pipe = end.borrow_mut();
        let mut went = Went::default();
        if let Stage::Head = self.stage {
            match open(&mut pipe, to, scratch, &mut cx) {
                Ok(Some(stage)) => self.stage = stage,
                Ok(None) => return went,
                Err(unprocessed) => return self.cut(&mut pipe, unprocessed),
            }
        }
        self.send(&mut pipe, &mut cx, &mut went);
        match self.receive(&mut pipe, &mut cx) {
            Ok(came) => went.came |= came,
            Err(e) => {
                let refused = e.is_reset() && e.reason() == Some(Reason::REFUSED_STREAM);
                // What is beyond the last stream that the other side's GOAWAY names was not looked at.
                let beyond = e.is_go_away() && e.is_remote();
                return self.cut(&mut pipe, refused || beyond);
            }
        }
        went
    }

    fn cut(&mut self, pipe: &mut Pipe, unprocessed: bool) -> Went {
        self.stage = Stage::Over;
        pipe.unprocessed = unprocessed;
        pipe.then = Then::Cut;
        Went {
            came: true,
            room: true,
        }
    }

    fn send(&mut self, pipe: &mut Pipe, cx: &mut Context<'_>, went: &mut Went) {
        let Stage::Open { send, outward, .. } = &mut self.stage else {
            return;
        };
        match outward.as_mut().map(|o| o.push(pipe, send, cx)) {
            Some(Ok(pushed)) => {
                went.room = pushed.room;
                if pushed.done {
                    *outward = None;
                }
            }
            Some(Err(_)) => *outward = None,
            None => {
                // The upstream takes no more of it, but may still answer.
                let left = pipe.outward.len();
                pipe.outward.consume(left);
                went.room = pipe.has_room();
            }
        }
    }

    fn receive(&mut self, pipe: &mut Pipe, cx: &mut Context<'_>) -> Result<bool, h2::Error> {
        let Stage::Open { sent, answer, .. } = &mut self.stage else {
            return Ok(false);
        };
        let mut came = false;
        if let Answer::Head(response) = answer {
            while let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
                let (parts, ()) = interim?.into_parts();
                if head::write_response(&parts, sent, true, pipe.inward.vec()).is_none() {
                    return Err(Reason::PROTOCOL_ERROR.into());
                }
                came = true;
            }
            let Poll::Ready(response) = Pin::new(response).poll(cx) else {
                return Ok(came);
            };
            let (parts, body) = response?.into_parts();
            let ended = body.is_end_stream();
            let answered = head::write_response(&parts, sent, ended, pipe.inward.vec())
                .ok_or(Reason::PROTOCOL_ERROR)?;
            came = true;
            *answer = Answer::Body(Inward::new(body, answered.chunked), answered.tunnel);
        }
        if let Answer::Body(inward, tunnel) = answer {
            came |= inward.pull(pipe, *tunnel, cx)?;
        }
        Ok(came)
    }
}

/// Begins the stream once the head is whole. An error says whether anybody may have looked at it.
fn open(
    pipe: &mut Pipe,
    to: Option<&SendRequest<Bytes>>,
    scratch: &mut Head,
    cx: &mut Context<'_>,
) -> Result<Option<Stage>, bool> {
    let Some((end, info)) = wire::take_request(pipe.outward.as_slice(), &head::OURS, scratch)
    else {
        return if pipe.outward.len() >= ROOM {
            Err(false)
        } else {
            Ok(None)
        };
    };
    let mut to = to.cloned().ok_or(true)?;
    pipe.outward.consume(end);
    let (request, websocket) = head::request(scratch, &info).ok_or(false)?;
    if websocket && !to.is_extended_connect_protocol_enabled() {
        return Err(false);
    }
    let sent = Sent {
        head: scratch.method() == wire::Method::Head,
        websocket: websocket.then(|| head::websocket_key(scratch)),
    };
    let outward = if websocket {
        Outward::tunnel()
    } else {
        Outward::new(Reader::new(info.framing, &head::OURS))
    };
    let ended = outward.is_empty();
    debug_assert!(
        info.framing != Framing::UntilClose,
        "a request's body ends by itself"
    );
    if to.poll_ready(cx).is_pending() {
        return Err(true);
    }
    let (response, send) = to.send_request(request, ended).map_err(|_| true)?;
    Ok(Some(Stage::Open {
        sent,
        send,
        outward: (!ended).then_some(outward),
        answer: Answer::Head(response),
    }))
}
