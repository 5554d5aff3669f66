//! One request on its way through a connection's thread.

use gateway_core::engine::Run;
use gateway_core::filter::{AskId, Who};
use wire::{RequestInfo, ResponseInfo, Scan};

use super::body::Stream;
use crate::asks::Ticket;
use crate::buf::Buf;
use crate::conns::NONE;
use crate::files::Source;
use crate::local::Local;

/// A request, from its first byte to the last byte of its response. Taken from its thread's store
/// when bytes arrive, and given back when the connection is idle again.
#[derive(Default)]
pub(crate) struct Txn {
    pub stage: Stage,
    pub run: Run,
    pub info: RequestInfo,
    /// From the client, not yet taken: a part of a head, a body, or requests to come.
    pub input: Buf,
    /// To the client.
    pub out: Buf,
    /// From the upstream: a part of a head.
    pub up_input: Buf,
    /// To the upstream.
    pub up_out: Buf,
    pub scan: Scan,
    pub up_scan: Scan,
    pub request: Stream,
    pub response: Stream,
    /// Where the next head begins in what the upstream sent.
    pub up_at: usize,
    /// What lies behind the response's head in the thread's scratch, for as long as it is handled.
    pub up_rest: (usize, usize),
    /// Where the response's head begins in `out`, as long as it is unsent.
    pub head_at: usize,
    /// What the response's head says of its body.
    pub rsp: ResponseInfo,
    /// The upstream connection in hand.
    pub up: u32,
    pub forward: AskId,
    /// By when a connection must be made.
    pub connect_by: u64,
    /// How long the client itself waits for its response from here on; 0 if it does not say.
    pub patience: u64,
    /// When the head's first byte was seen.
    pub started: u64,
    pub status: u16,
    /// How a call of gRPC went, from the trailers of its response.
    pub grpc_status: Option<u32>,
    /// Bytes of interim responses passed on; bounded.
    pub interim: u32,
    pub asks: Vec<Pending>,
    /// A body that a filter asked for whole.
    pub collect: Option<Collect>,
    /// What was collected: it goes upstream before what is still to be read.
    pub collected: Vec<u8>,
    /// The file that is the body of the response.
    pub source: Option<Source>,
    pub flags: Flags,
    /// By when the rest of a request's body, which nobody wants, must have come; 0 until its response is out.
    pub drain_by: u64,
    /// How long its client was waited for, for the body.
    pub waited: u64,
    /// Since when it is waited for again; 0 if it is not.
    pub waits_since: u64,
    /// Bytes to throw away at most before the connection is closed.
    pub linger_left: u32,
    /// For which upstreams the thread's owner answers.
    pub answers: Local,
    /// The number under which the owner knows it; 0 for what it does not answer.
    pub serial: u32,
    /// By when the owner's answer must begin.
    pub answer_by: u64,
    /// How often its silent tunnel was looked at.
    pub looked: u32,
}

/// Yes or no of a request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    /// A byte of the final response has been made for the client.
    pub responding: bool,
    /// Nothing has been sent to the client since the response's head was made.
    pub unsent: bool,
    /// The connection to the client is closed after this response.
    pub close: bool,
    /// The client was told to send the body that it announced.
    pub continued: bool,
    /// The upstream's connection may be used again, as far as its response says.
    pub up_keep: bool,
    /// The upstream takes no more bytes, but may still answer.
    pub up_deaf: bool,
    /// The response's head has come and is with the engine.
    pub headed: bool,
    /// A byte has come from the upstream on this connection for this request.
    pub up_spoke: bool,
    /// The request has been sent again on a new connection; it is not sent a third time.
    pub again: bool,
    /// Trailers of the response are passed on.
    pub trailers: bool,
    /// The response's end is the end of the connection.
    pub until_close: bool,
    /// A request has begun whose end is not yet told.
    pub begun: bool,
    /// The connection was shut for sending.
    pub shut: bool,
    /// The client has finished sending into the tunnel.
    pub client_ended: bool,
    /// The upstream has finished sending into the tunnel.
    pub up_ended: bool,
    /// The owner has handed over all of its answer.
    pub local_ended: bool,
    /// The owner has all of the request.
    pub local_read: bool,
    /// The owner takes no more of the request just now.
    pub local_deaf: bool,
    /// The owner was told to answer no more for now.
    pub local_held: bool,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A PROXY header must come first.
    Proxy,
    /// It becomes secure.
    Handshake,
    /// Its head is being read.
    #[default]
    Head,
    /// A filter waits for an answer.
    Asking,
    /// A connection to an upstream is being made.
    Connecting,
    /// The upstream has, or is being given, the request.
    Awaiting,
    /// The owner of the thread answers.
    Local,
    /// The response is on its way to the client.
    Responding,
    /// Bytes go both ways as they are.
    Tunnel,
    /// The response is out; the rest of the request's body is thrown away.
    Draining,
    /// Nothing more is sent; the client's bytes are thrown away until it closes.
    Lingering,
}

/// An ask that is open, and the moment at which it is answered by that.
pub(crate) struct Pending {
    pub id: AskId,
    pub at: u64,
    pub until: Until,
}

/// What may answer an ask before its moment comes.
pub(crate) enum Until {
    /// Nothing.
    Slept,
    /// Whoever wakes this key.
    Woken(u64),
    /// Whoever serves it, outside of this thread; the number is its own.
    Answered {
        serial: u64,
        who: Who,
        /// None for a file, which is opened in any case.
        _ticket: Option<Ticket>,
    },
}

/// A request body that is being collected.
pub(crate) struct Collect {
    pub id: AskId,
    pub max: usize,
    pub bytes: Vec<u8>,
}

impl Txn {
    /// Makes it ready for the next request of the same connection; what the client has sent
    /// already stays.
    pub fn next(&mut self) {
        self.run.clear();
        self.stage = Stage::Head;
        self.up_input.clear();
        self.up_out.clear();
        self.scan = Scan::default();
        self.up_scan = Scan::default();
        self.request = Stream::default();
        self.response = Stream::default();
        self.up_at = 0;
        self.up_rest = (0, 0);
        self.up = NONE;
        self.forward = AskId::default();
        self.connect_by = 0;
        self.patience = 0;
        self.status = 0;
        self.grpc_status = None;
        self.interim = 0;
        self.asks.clear();
        self.collect = None;
        self.collected = Vec::new();
        self.source = None;
        self.flags = Flags::default();
        self.answers = Local::None;
        self.serial = 0;
        self.answer_by = 0;
        self.looked = 0;
        self.drain_by = 0;
        self.waited = 0;
        self.waits_since = 0;
        self.linger_left = 0;
        self.started = 0;
    }

    /// A part of the body came, or nobody wants one just now. True if it was waited for.
    pub fn body_came(&mut self, now: u64) -> bool {
        let waited = self.waits_since != 0;
        if waited {
            self.waited += now - self.waits_since;
            self.waits_since = 0;
        }
        waited
    }

    /// True if nothing of it need be kept while its connection waits for a request.
    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Head && self.input.is_empty() && self.out.is_empty()
    }
}
