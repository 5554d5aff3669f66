//! A reactor of the core in the event loop of a Node thread: what is behind `door: app` and `inject`.
//!
//! JavaScript hands over requests with [`Reactor::begin`] and takes what happened with [`Reactor::take`]: events of
//! eight numbers, and the bytes that they speak of. It is called when there is something to take.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use napi::bindgen_prelude::{Function, JsValue};
use napi::{sys, Env};
use napi_derive::napi;
use net::outbox::{said, Event};
use net::{Answered, Arrival, Arrived, Local};

use crate::error::{error, Result};
use crate::registry;
use crate::text::Text;
use crate::watch::{Watch, Watched};

/// See the module; `ts/app/door.ts` is the other side.
#[napi]
pub struct Reactor {
    inner: Rc<Inner>,
}

pub(crate) struct Inner {
    env: sys::napi_env,
    /// Memory of heads, one after the other.
    pub(crate) heads: Cell<Vec<u8>>,
    net: RefCell<Option<net::Reactor>>,
    watch: RefCell<Option<Rc<Watch>>>,
    /// A reference to the function; null once it is given back.
    wake: Cell<sys::napi_ref>,
    /// When the timer goes off, milliseconds of the process's clock; 0 if it does not.
    due: Cell<u64>,
    doors: RefCell<Vec<Place>>,
    /// The first event not yet taken, and how much of its body was.
    taken: Cell<(usize, u32)>,
}

/// A listener by its name, and where it stood in which config.
struct Place {
    listener: String,
    answers: Answers,
    revision: u64,
    at: Option<(u32, Local)>,
}

/// What the caller answers of what comes by a listener.
#[derive(Clone, Copy)]
enum Answers {
    Nothing,
    /// What leads to the listener's app.
    App,
    /// Whatever would be forwarded.
    All,
}

#[napi]
impl Reactor {
    /// A reactor of gateway `id` in this thread's loop; `wake` is called when there is something to take. Throws
    /// `closed`, `system`, and `not_supported` where this Node lacks functions of libuv.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, id: u32, wake: Function<(), ()>) -> Result<Self> {
        let gateway = registry::find(id).ok_or_else(|| error("closed", "the gateway is closed"))?;
        let reactor = gateway.reactor().map_err(|e| error(e.code(), &e))?;
        let fd = reactor.fd();
        let inner = Rc::new(Inner {
            env: env.raw(),
            heads: Cell::default(),
            net: RefCell::new(Some(reactor)),
            watch: RefCell::default(),
            wake: Cell::new(refer(&env, &wake)?),
            due: Cell::new(0),
            doors: RefCell::default(),
            taken: Cell::default(),
        });
        let watch = Watch::start(&env, fd, inner.clone()).ok_or_else(|| {
            let why = "this Node lacks functions of libuv that a direct door needs (run the official build of Node 20 or later)";
            error("not_supported", why)
        })?;
        *inner.watch.borrow_mut() = Some(watch);
        Ok(Self { inner })
    }

    /// The number of a listener for `begin`. `answers`: the caller answers what leads to the listener's app; with
    /// `all` it answers whatever would be forwarded.
    #[napi(catch_unwind)]
    pub fn door(&self, listener: String, answers: bool, all: bool) -> u32 {
        let mut doors = self.inner.doors.borrow_mut();
        let answers = match (all, answers) {
            (true, _) => Answers::All,
            (false, true) => Answers::App,
            (false, false) => Answers::Nothing,
        };
        doors.push(Place {
            listener,
            answers,
            revision: 0,
            at: None,
        });
        doors.len() as u32 - 1
    }

    /// The calls that every request makes, without the toll of the others; see `ReactorCalls` in `ts/app/reactor.ts`.
    #[napi(catch_unwind, ts_return_type = "unknown")]
    pub fn calls(&self, env: Env) -> Result<napi::bindgen_prelude::Object<'static>> {
        crate::calls::object(&env, &self.inner)
    }

    /// Says whose request it is that came without an address: before `head` and `forward`.
    #[napi(catch_unwind)]
    pub fn name(&self, key: u32, peer: &[u8]) {
        self.inner.with((), |n| n.name(key, peer_of(peer)));
    }

    /// More of a request's body, and whether it is the last. Returns how many bytes wait: over 65536, push no more until
    /// `PUSH` is said.
    #[napi(catch_unwind)]
    pub fn push(&self, key: u32, bytes: &[u8], last: bool) -> u32 {
        self.inner.with(0, |n| n.push(key, bytes, last) as u32)
    }

    /// Whether the client takes more.
    #[napi(catch_unwind)]
    pub fn set_writable(&self, key: u32, writable: bool) {
        self.inner.with((), |n| n.set_writable(key, writable));
    }

    /// Whether the caller's answer takes no more of the request's body just now.
    #[napi(catch_unwind)]
    pub fn set_deaf(&self, key: u32, deaf: bool) {
        self.inner.with((), |n| n.set_deaf(key, deaf));
    }

    /// The client went away.
    #[napi(catch_unwind)]
    pub fn abort(&self, key: u32) {
        self.inner.with((), |n| n.abort(key));
    }

    /// The head of a request that the caller answers, Latin-1.
    #[napi(catch_unwind, ts_return_type = "string")]
    pub fn head(&self, key: u32) -> Text {
        let mut out = Vec::new();
        self.inner.with((), |n| n.head(key, &mut out));
        Text::new(out)
    }

    /// The caller's answer begins: a whole head with its framing. False if it is none, or too late.
    #[napi(catch_unwind)]
    pub fn respond(&self, key: u32, head: &[u8]) -> bool {
        self.inner.with(false, |n| n.respond(key, head))
    }

    /// More of it. Returns how many bytes wait: over 65536, no more until `ANSWER` is said.
    #[napi(catch_unwind)]
    pub fn answer(&self, key: u32, bytes: &[u8], last: bool) -> u32 {
        self.inner.with(0, |n| n.answer(key, bytes, last) as u32)
    }

    /// The caller has begun to answer a request that was said to be `PLAIN`: no deadline is kept any more.
    #[napi(catch_unwind)]
    pub fn begun(&self, key: u32) {
        self.inner.with((), |n| n.begun(key));
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
    /// A request: its door, the peer's address (4 or 16 bytes; another length for this machine), and its head with the
    /// empty line. Without an address it is begun only if nobody looks at it; see `name`.
    ///
    /// Returns its key, plus 2^32 times: 0 nothing yet, 1 the caller answers and calls `answered`, 2 there is something
    /// to take, 3 the head is no text: come again with bytes, 4 the listener is gone, 5 come again with the address; and
    /// plus 2^35 if a body is awaited.
    pub(crate) fn begin(&self, door: u32, peer: Option<&[u8]>, head: &Text) -> f64 {
        if head.is_unsure() {
            return 3.0 * KEYS;
        }
        let mut net = self.net.borrow_mut();
        let Some(reactor) = net.as_mut() else {
            return 4.0 * KEYS;
        };
        let Some((listener, local)) = self.place(reactor, door) else {
            return 4.0 * KEYS;
        };
        let arrival = Arrival {
            listener,
            peer: peer.map(peer_of),
            head: head.bytes(),
            local,
        };
        let before = reactor.outbox().events.len();
        let (key, body) = match reactor.arrive(arrival) {
            Arrived::As { key, body } => (key, body),
            Arrived::WhoseIsIt => return 5.0 * KEYS,
            Arrived::NoListener => return 4.0 * KEYS,
        };
        let outbox = reactor.outbox();
        let mut code = 0.0;
        match &outbox.events[before..] {
            [] => {}
            [Event { said, .. }] if *said == said::LOCAL | said::PLAIN => {
                outbox.events.pop();
                code = 1.0;
            }
            _ => code = 2.0,
        }
        self.arm(reactor);
        let body = if body { 8.0 } else { 0.0 };
        f64::from(key) + (code + body) * KEYS
    }

    /// Copies events, eight numbers each (key, what is said, head from and to, body from and to, length low and high),
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
                event.key, said, head.0, head.1, body.0, body.1, length.0, length.1,
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

    /// Sends a request on to an upstream instead of answering it; `peer` says whose it is, if that is not known yet.
    /// 0 if it is too late, 1 if it is on its way, 2 if there is no such upstream.
    pub(crate) fn forward(&self, key: u32, upstream: &str, peer: Option<&[u8]>) -> f64 {
        let sent = self.with(Some(false), |n| {
            if let Some(peer) = peer {
                n.name(key, peer_of(peer));
            }
            n.send_on(key, upstream)
        });
        sent.map_or(2.0, |sent| if sent { 1.0 } else { 0.0 })
    }

    /// The caller has answered a request that was said to be `PLAIN`.
    pub(crate) fn answered(&self, key: u32, how: Answered) {
        self.with((), |n| n.answered(key, how));
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

    fn place(&self, reactor: &net::Reactor, door: u32) -> Option<(u32, Local)> {
        let mut doors = self.doors.borrow_mut();
        let place = doors.get_mut(door as usize)?;
        let revision = reactor.revision();
        if place.revision != revision {
            let found = reactor.door(&place.listener);
            place.at = found.map(|(listener, app)| match (place.answers, app) {
                (Answers::All, _) => (listener, Local::All),
                (Answers::App, Some(app)) => (listener, Local::One(app)),
                _ => (listener, Local::None),
            });
            place.revision = revision;
        }
        place.at
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

/// 2^32: keys are below.
const KEYS: f64 = 4_294_967_296.0;
/// Numbers of an event.
const WORDS: usize = 8;
/// Said with the last part of a body only.
const LASTS: u32 = said::END | said::CUT | said::REQUEST_END | said::PUSH | said::ANSWER;
