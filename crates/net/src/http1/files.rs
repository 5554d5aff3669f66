//! Replies whose body is a file: opened for an ask, read a piece at a time as the client takes it.

use std::sync::Arc;

use gateway_core::engine::Step;
use gateway_core::file::{FileBody, FileCall};
use gateway_core::filter::{Answer, AskId, Failed, Who};
use gateway_core::filters::file_unreadable;
use wire::{Framing, Method, ResponseInfo};

use super::drive::Next;
use super::txn::{Pending, Txn, Until};
use crate::files::readers::{Job, Work};
use crate::files::{open, Opened, Patience, Source};
use crate::poll::Moved;
use crate::shard::{env, Shard};

impl Shard {
    /// Opens a file at once if that needs no disk; else a thread does.
    pub(super) fn open_file(
        &mut self,
        i: u32,
        t: &mut Txn,
        id: AskId,
        call: Box<FileCall>,
    ) -> Option<Step> {
        let opened = open(&call, Patience::None);
        let answer = match &opened {
            Opened::Found(found) => Answer::File(found),
            Opened::No(why) => Answer::NoFile(*why),
            Opened::Failed => FAILED,
            Opened::Blocked => match self.leave_to_reader(i, Work::Open(call)) {
                Some(serial) => {
                    let at = self.now.saturating_add(OPENING);
                    let until = Until::Answered {
                        serial,
                        who: Who::Files,
                        _ticket: None,
                    };
                    t.asks.push(Pending { id, at, until });
                    return None;
                }
                None => FAILED,
            },
        };
        Some(t.run.answer(&mut env!(self), id, answer))
    }

    fn leave_to_reader(&mut self, i: u32, work: Work) -> Option<u64> {
        self.asked += 1;
        let serial = self.asked;
        let job = Job {
            work,
            mailbox: self.mailbox.clone(),
            token: self.conns.token(i),
            serial,
        };
        self.outside.files.post(job).is_ok().then_some(serial)
    }

    /// Begins a reply whose body is a file: from here on it is as the response of an upstream.
    pub(super) fn begin_file(&mut self, i: u32, t: &mut Txn, body: Arc<FileBody>) -> Next {
        let is_head = t.run.exchange.request.method() == Method::Head;
        let len = body.len();
        let framing = if is_head {
            Framing::None
        } else {
            Framing::Length(len)
        };
        t.rsp = ResponseInfo {
            framing,
            keep_alive: true,
            declared_length: is_head.then_some(len),
            upgrade: None,
        };
        t.response.begin(framing, &wire::Limits::default());
        // Nobody takes the request's body any more.
        t.flags.up_deaf = true;
        t.up_rest = (0, 0);
        if !t.response.reader.is_done() {
            t.source = Some(Source::new(body));
            // The first piece goes with the head, in one send.
            match self.read_file(i, t) {
                Moved::Some(n) => t.up_rest = (0, n),
                Moved::Blocked => {}
                Moved::End | Moved::Broken => return self.file_unread(i, t),
            }
        }
        self.begin_response(i, t)
    }

    /// Reads the next piece of a file into the thread's scratch.
    pub(super) fn read_file(&mut self, i: u32, t: &mut Txn) -> Moved {
        let Some(source) = t.source.as_mut().filter(|s| s.waits == 0) else {
            return Moved::Blocked;
        };
        let moved = source.read(&mut self.scratch);
        if moved != Moved::Blocked {
            return moved;
        }
        let (Some((from, len)), Some(file)) = (source.wanted(self.scratch.len()), source.file())
        else {
            return Moved::Broken;
        };
        match self.leave_to_reader(i, Work::Read { file, from, len }) {
            Some(serial) => {
                source.waits = serial;
                Moved::Blocked
            }
            None => Moved::Broken,
        }
    }

    /// A thread has read a piece, or could not. None if it was not for this request.
    pub(super) fn file_came(
        &mut self,
        i: u32,
        t: &mut Txn,
        serial: u64,
        bytes: Option<&[u8]>,
    ) -> Option<Next> {
        let source = t.source.as_mut().filter(|s| s.waits == serial)?;
        source.waits = 0;
        let Some(bytes) = bytes else {
            return Some(self.file_cut(i, t));
        };
        source.advance(bytes.len());
        t.up_input.append(bytes);
        Some(self.drive_on(i, t))
    }

    /// The file has become shorter, or cannot be read: its client must see that it did not get the whole.
    pub(super) fn file_cut(&mut self, i: u32, t: &mut Txn) -> Next {
        if !t.flags.unsent {
            return Next::Reset;
        }
        t.out.truncate(t.head_at);
        t.flags.responding = false;
        self.file_unread(i, t)
    }

    fn file_unread(&mut self, i: u32, t: &mut Txn) -> Next {
        t.source = None;
        t.up_input.clear();
        self.reply(i, t, &file_unreadable())
    }
}

const FAILED: Answer<'static> = Answer::Failed(Failed {
    who: Who::Files,
    may_retry: true,
});

/// How long a thread may take to open a file, nanoseconds.
const OPENING: u64 = 10_000_000_000;
