//! What a shard's owner is told: events, and the bytes they speak of, in the order in which they came.
//!
//! Bounds: a guest hands over more only while fewer than [`FULL`] bytes wait here, an exchange one part of a body a turn.

/// What happened; several may be said of one event.
pub mod said {
    /// A response begins; its block is in `head`.
    pub const HEAD: u32 = 1;
    /// The response is whole.
    pub const END: u32 = 2;
    /// The connection ends with this response.
    pub const CLOSE: u32 = 4;
    /// The response is cut off: what was sent is not the whole.
    pub const CUT: u32 = 8;
    /// The response has no body; a length is the one it declares.
    pub const BODILESS: u32 = 16;
    /// The owner answers this request.
    pub const LOCAL: u32 = 32;
    /// It has a body, of which nothing is told before the owner asks for it.
    pub const BODY: u32 = 64;
    /// A part of the request's body for the owner's answer.
    pub const REQUEST: u32 = 128;
    /// The last of them.
    pub const REQUEST_END: u32 = 256;
    /// What was pushed has been taken: more is welcome.
    pub const PUSH: u32 = 512;
    /// What was answered has been taken: more is welcome.
    pub const ANSWER: u32 = 1024;
    /// The length of the body is known.
    pub const LENGTH: u32 = 2048;
    /// Nobody waits for the owner's answer any more.
    pub const GONE: u32 = 4096;
    /// The last connection of a door that was left has ended.
    pub const LEFT: u32 = 8192;
}

/// One event. `head` and `body` are ranges of [`Outbox::bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Whose it is: a guest's key, or the place of an exchange.
    pub key: u32,
    /// The number of an exchange that the owner answers; 0 for what is said of a guest.
    pub serial: u32,
    /// Bits of [`said`].
    pub said: u32,
    /// The response's block: status, reason, and fields.
    pub head: (u32, u32),
    /// Bytes of a body.
    pub body: (u32, u32),
    /// Bytes of the whole body, if [`said::LENGTH`].
    pub length: u64,
}

/// What the owner of a shard has not taken yet.
#[derive(Default)]
pub struct Outbox {
    /// In their order.
    pub events: Vec<Event>,
    /// What events speak of.
    pub bytes: Vec<u8>,
}

impl Outbox {
    /// Forgets what was taken.
    pub fn clear(&mut self) {
        self.events.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 * FULL);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> (u32, u32) {
        let from = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        (from, self.bytes.len() as u32)
    }

    /// Says more of the last event if it is `key`'s and can still be added to, else begins one.
    pub(crate) fn say(&mut self, key: u32, said: u32) {
        match self.events.last_mut() {
            Some(last) if last.key == key && last.serial == 0 => last.said |= said,
            _ => self.events.push(Event {
                key,
                said,
                ..Event::default()
            }),
        }
    }
}

/// Bytes.
const FULL: usize = 1 << 20;
