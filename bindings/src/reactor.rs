//! A reactor of the core in the event loop of a Node thread: what is behind `door: app` and `inject`.
//!
//! JavaScript opens doors and hands over guests, takes what happened with [`Inner::take`], events of nine numbers and the bytes
//! that they speak of, and answers. It is called when there is something to take.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;

use napi::bindgen_prelude::{Function, JsValue};
use napi::{sys, Env};
use napi_derive::napi;
use net::outbox::said;
use net::{Arrival, Arrived, Exchange, Local};

use crate::error::{error, Result};
use crate::registry;
use crate::uv::{self, Uv};
use crate::watch::{Watch, Watched};

/// See the module; `ts/app/reactor.ts` is the other side.
#[napi]
pub struct Reactor {
    inner: Rc<Inner>,
}

pub(crate) struct Inner {
    env: sys::napi_env,
    /// Memory of heads, and of bodies, one after the other.
    pub(crate) heads: Cell<Vec<u8>>,
    pub(crate) bodies: Cell<Vec<u8>>,
    net: RefCell<Option<net::Reactor>>,
    watch: RefCell<Option<Rc<Watch>>>,
    /// A reference to the function; null once it is given back.
    wake: Cell<sys::napi_ref>,
    /// When the timer goes off, milliseconds of the process's clock; 0 if it does not.
    due: Cell<u64>,
    /// The first event not yet taken, and how much of its body was.
    taken: Cell<(usize, u32)>,
}

#[napi]
impl Reactor {
    /// A reactor of gateway `id` in this thread's loop; `wake` is called when there is something to take. `beside` is the
    /// Unix socket of uWebSockets.js in this thread, which is to have WebSockets that come by a door. Throws `closed`, `system`, and `not_supported` where this Node lacks functions of libuv.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, id: u32, wake: Function<(), ()>, beside: Option<String>) -> Result<Self> {
        let gateway = registry::find(id).ok_or_else(|| error("closed", "the gateway is closed"))?;
        let mut reactor = gateway.reactor().map_err(|e| error(e.code(), &e))?;
        if let (Some(path), true) = (beside, Uv::find().is_some()) {
            reactor.stand_beside(Path::new(&path));
        }
        let fd = reactor.fd();
        let inner = Rc::new(Inner {
            env: env.raw(),
            heads: Cell::default(),
            bodies: Cell::default(),
            net: RefCell::new(Some(reactor)),
            watch: RefCell::default(),
            wake: Cell::new(refer(&env, &wake)?),
            due: Cell::new(0),
            taken: Cell::default(),
        });
        let watch = Watch::start(&env, fd, inner.clone()).ok_or_else(|| {
            let why = "this Node lacks functions of libuv that a direct door needs (run the official build of Node 20 or later)";
            error("not_supported", why)
        })?;
        *inner.watch.borrow_mut() = Some(watch);
        Ok(Self { inner })
    }

    /// Listens at a listener with `door: app`, under a number of the caller's, not 0. Throws `bind_failed`, `closed`.
    #[napi(catch_unwind)]
    pub fn open(&self, listener: String, door: u32) -> Result<()> {
        let opened = self.inner.with(None, |n| Some(n.open(&listener, door)));
        match opened {
            Some(opened) => opened.map_err(|e| error(e.code(), &e)),
            None => Err(error("closed", "the gateway is closed")),
        }
    }

    /// Listens there no more; `LEFT` says when its last connection has ended.
    #[napi(catch_unwind)]
    pub fn leave(&self, listener: String) {
        self.inner.with((), |n| n.leave(&listener));
    }

    /// A guest: its listener, its address (4 or 16 bytes), and its head with the empty line. With `stubbed` the caller answers
    /// whatever would be forwarded. Returns its key, plus 2^32 if a body is awaited; -1 if the listener is gone.
    #[napi(catch_unwind)]
    pub fn arrive(&self, listener: String, peer: &[u8], head: &[u8], stubbed: bool) -> f64 {
        self.inner.with(-1.0, |n| {
            let Some(listener) = n.listener(&listener) else {
                return -1.0;
            };
            let arrival = Arrival {
                listener,
                peer: peer_of(peer),
                head,
                local: if stubbed { Local::All } else { Local::None },
            };
            match n.arrive(arrival) {
                Arrived::As { key, body } => f64::from(key) + if body { KEYS } else { 0.0 },
                Arrived::NoListener => -1.0,
            }
        })
    }

    /// The calls that every request makes, without the toll of the others; see `ReactorCalls` in `ts/app/reactor.ts`.
    #[napi(catch_unwind, ts_return_type = "unknown")]
    pub fn calls(&self, env: Env) -> Result<napi::bindgen_prelude::Object<'static>> {
        crate::calls::object(&env, &self.inner)
    }

    /// More of a request's body, and whether it is the last. Returns how many bytes wait: over 65536, push no more until
    /// `PUSH` is said.
    #[napi(catch_unwind)]
    pub fn push(&self, key: u32, bytes: &[u8], last: bool) -> u32 {
        self.inner.with(0, |n| n.push(key, bytes, last) as u32)
    }

    /// The client went away.
    #[napi(catch_unwind)]
    pub fn abort(&self, key: u32) {
        self.inner.with((), |n| n.abort(key));
    }

    /// Whether the answer of this exchange takes no more of the request's body just now. It begins deaf.
    #[napi(catch_unwind)]
    pub fn set_deaf(&self, key: f64, deaf: bool) {
        self.inner.with((), |n| n.set_deaf(exchange(key), deaf));
    }

    /// The caller's answer begins: a whole head with its framing. False if it is none, or too late.
    #[napi(catch_unwind)]
    pub fn respond(&self, key: f64, head: &[u8]) -> bool {
        self.inner
            .with(false, |n| n.respond(exchange(key), head, None))
    }

    /// More of it. Returns how many bytes wait: over 65536, no more until `ANSWER` is said.
    #[napi(catch_unwind)]
    pub fn answer(&self, key: f64, bytes: &[u8], last: bool) -> u32 {
        self.inner
            .with(0, |n| n.answer(exchange(key), bytes, last) as u32)
    }

    /// The caller breaks its answer off: the client sees that it is not whole.
    #[napi(catch_unwind)]
    pub fn break_off(&self, key: f64) {
        self.inner.with((), |n| n.break_off(exchange(key)));
    }

    /// Ends all that is in progress. The second time does nothing.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.inner.close();
    }
}

impl Inner {
    /// Copies events, nine numbers each (key, what is said, serial, head from and to, body from and to, length low and high),
    /// and their bytes. Returns how many; 0 when all were taken.
    pub(crate) fn take(&self, words: &mut [u32], room: &mut [u8]) -> u32 {
        let mut net = self.net.borrow_mut();
        let Some(reactor) = net.as_mut() else {
            return 0;
        };
        let outbox = reactor.outbox();
        let mut page = Page { room, used: 0 };
        let (mut at, mut part) = self.taken.get();
        let mut count = 0;
        for word in words.chunks_exact_mut(WORDS) {
            let Some(event) = outbox.events.get(at) else {
                break;
            };
            let mut said = event.said;
            let mut head = &outbox.bytes[event.head.0 as usize..event.head.1 as usize];
            let body = &outbox.bytes[(event.body.0 + part) as usize..event.body.1 as usize];
            if part > 0 {
                said &= !(said::HEAD | said::LOCAL);
                head = &[];
            }
            let Some(left) = page
                .left()
                .checked_sub(head.len() + usize::from(!body.is_empty()))
            else {
                break;
            };
            let some = &body[..body.len().min(left + usize::from(!body.is_empty()))];
            if some.len() < body.len() {
                said &= !LASTS;
                part += some.len() as u32;
            } else {
                part = 0;
                at += 1;
            }
            let (head, body) = (page.put(head), page.put(some));
            let length = (event.length as u32, (event.length >> 32) as u32);
            word.copy_from_slice(&[
                event.key,
                said,
                event.serial,
                head.0,
                head.1,
                body.0,
                body.1,
                length.0,
                length.1,
            ]);
            count += 1;
        }
        if at == outbox.events.len() {
            outbox.clear();
            at = 0;
        }
        self.taken.set((at, part));
        self.arm(reactor);
        count
    }

    /// The head of a request that the caller answers.
    pub(crate) fn head(&self, key: f64, out: &mut Vec<u8>) {
        self.with((), |n| n.head(exchange(key), out));
    }

    /// The caller's whole answer: a status line and fields, without framing; `length` is what a body declares that is not
    /// sent, if not negative. 1 if there is something to take, else 0.
    pub(crate) fn reply(&self, key: f64, head: &mut Vec<u8>, body: &[u8], length: f64) -> f64 {
        let declared = if length >= 0.0 && body.is_empty() {
            length as u64
        } else {
            body.len() as u64
        };
        // A body that may be none is told by the status: then the length is not.
        let bare = matches!(head.get(9..12), Some(b"204" | b"304"));
        if !bare {
            let _a_vector_takes_all = write!(head, "content-length: {declared}\r\n");
        }
        head.extend_from_slice(b"\r\n");
        self.with(0.0, |n| {
            n.respond(exchange(key), head, Some(body));
            if n.outbox().events.is_empty() {
                0.0
            } else {
                1.0
            }
        })
    }

    /// Sends a request on to an upstream instead of answering it. 0 if it is too late, 1 if it is on its way, 2 if there is
    /// no such upstream.
    pub(crate) fn forward(&self, key: f64, upstream: &str) -> f64 {
        let sent = self.with(Some(false), |n| n.send_on(exchange(key), upstream));
        sent.map_or(2.0, |sent| if sent { 1.0 } else { 0.0 })
    }

    fn with<T>(&self, gone: T, then: impl FnOnce(&mut net::Reactor) -> T) -> T {
        let mut net = self.net.borrow_mut();
        let Some(reactor) = net.as_mut() else {
            return gone;
        };
        let result = then(reactor);
        self.arm(reactor);
        result
    }

    /// Sees that the next deadline is met, and that what was said outside of a turn is taken.
    fn arm(&self, reactor: &mut net::Reactor) {
        let armed = self.due.get();
        if armed != 0 && !reactor.is_due_before(armed) {
            return;
        }
        let patience = reactor.patience();
        if patience < 0 {
            return;
        }
        let due = reactor.now_ms() + patience as u64;
        if armed == 0 || due < armed {
            self.due.set(due);
            if let Some(watch) = &*self.watch.borrow() {
                watch.after(patience as u64);
            }
        }
    }

    /// WebSockets that are silent get the server in this thread as their other end.
    fn hand_over(&self, reactor: &mut net::Reactor) {
        let mut event_loop = std::ptr::null_mut();
        // SAFETY: the environment is live, for `ending` has not been called.
        let got = unsafe { sys::napi_get_uv_event_loop(self.env, &mut event_loop) };
        let (Some(uv), sys::Status::napi_ok) = (Uv::find(), got) else {
            return;
        };
        let event_loop = event_loop.cast();
        // SAFETY: the loop is this thread's.
        let (polled, epoll) = unsafe { (uv::polled(&uv, event_loop), (uv.backend_fd)(event_loop)) };
        for fd in reactor.hand_over(&polled, epoll) {
            crate::guard::mark(fd);
        }
    }

    fn close(&self) {
        let wake = self.wake.replace(std::ptr::null_mut());
        if !wake.is_null() {
            // SAFETY: called by a script or a finalizer, so the environment is live; the reference is given back once.
            unsafe { sys::napi_delete_reference(self.env, wake) };
        }
        if let Some(watch) = self.watch.take() {
            watch.close();
        }
        drop(self.net.take());
    }
}

impl Watched for Inner {
    fn ready(&self) {
        self.due.set(0);
        let waits = self.with(false, |n| {
            n.turn();
            if n.has_silent() {
                self.hand_over(n);
            }
            !n.outbox().events.is_empty()
        });
        if !waits {
            return;
        }
        let env = self.env;
        let mut scope = std::ptr::null_mut();
        // SAFETY: the environment is live, for `ending` has not been called, and this is its thread, outside of
        // any script: so a scope is opened and the call is made as from the loop, which also runs what promises wait for.
        unsafe {
            if sys::napi_open_handle_scope(env, &mut scope) != sys::Status::napi_ok {
                return;
            }
            let mut function = std::ptr::null_mut();
            let wake = self.wake.get();
            if !wake.is_null() {
                sys::napi_get_reference_value(env, wake, &mut function);
            }
            if !function.is_null() {
                let (mut global, mut result) = (std::ptr::null_mut(), std::ptr::null_mut());
                sys::napi_get_global(env, &mut global);
                let status = sys::napi_make_callback(
                    env,
                    std::ptr::null_mut(),
                    global,
                    function,
                    0,
                    std::ptr::null(),
                    &mut result,
                );
                if status == sys::Status::napi_pending_exception {
                    let mut thrown = std::ptr::null_mut();
                    sys::napi_get_and_clear_last_exception(env, &mut thrown);
                    sys::napi_fatal_exception(env, thrown);
                }
            }
            sys::napi_close_handle_scope(env, scope);
        }
    }

    fn ending(&self) {
        // The environment takes its references along.
        self.wake.replace(std::ptr::null_mut());
        self.watch.take();
        drop(self.net.take());
    }
}

/// What is handed over in one go.
struct Page<'a> {
    room: &'a mut [u8],
    used: usize,
}

impl Page<'_> {
    fn left(&self) -> usize {
        self.room.len() - self.used
    }

    fn put(&mut self, bytes: &[u8]) -> (u32, u32) {
        let from = self.used;
        self.used += bytes.len();
        self.room[from..self.used].copy_from_slice(bytes);
        (from as u32, self.used as u32)
    }
}

fn refer(env: &Env, function: &Function<(), ()>) -> Result<sys::napi_ref> {
    let mut reference = std::ptr::null_mut();
    // SAFETY: both are of the call that is under way.
    let status =
        unsafe { sys::napi_create_reference(env.raw(), function.value().value, 1, &mut reference) };
    if status != sys::Status::napi_ok {
        return Err(error("internal", "a function could not be kept"));
    }
    Ok(reference)
}

fn peer_of(bytes: &[u8]) -> SocketAddr {
    let ip = match bytes {
        b if b.len() == 4 => IpAddr::V4(Ipv4Addr::new(b[0], b[1], b[2], b[3])),
        b if b.len() == 16 => {
            let v6 = <[u8; 16]>::try_from(b).map(Ipv6Addr::from);
            v6.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |v6| {
                IpAddr::V6(v6).to_canonical()
            })
        }
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    SocketAddr::new(ip, 0)
}

/// An exchange by its key, its serial times 2^21 plus its place.
fn exchange(key: f64) -> Exchange {
    let key = key as u64;
    Exchange {
        place: (key & ((1 << PLACE_BITS) - 1)) as u32,
        serial: (key >> PLACE_BITS) as u32,
    }
}

/// As `INDEX_BITS` of `crates/net/src/guest.rs`.
const PLACE_BITS: u32 = 21;
/// 2^32: keys of guests are below.
const KEYS: f64 = 4_294_967_296.0;
/// Numbers of an event.
const WORDS: usize = 9;
/// Said with the last part of a body only.
const LASTS: u32 = said::END | said::CUT | said::REQUEST_END | said::PUSH | said::ANSWER;
