//! grpc_web: lets clients of gRPC-Web, such as browsers, call a service that speaks gRPC.
//!
//! Config:  `{ use: grpc_web }`
//! Reads:   Content-Type and Accept of the request, Content-Type of the answer.
//! Asks:    nothing.
//! Replies: nothing of its own. Text that is no base64 ends as any body that cannot be read (`bad_body`), which a client of
//!          gRPC-Web gets as `grpc-status: 13`.
//! Fails:   never. What is no gRPC-Web passes as it is, and so does an answer that is no gRPC.
//! Source:  gRPC-Web (`PROTOCOL-WEB.md` of the gRPC repository).

use std::cell::RefCell;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::grpc_web::{write_trailers, TextReader, TextWriter};
use wire::{Head, Name};

use super::Build;
use crate::body::{Abort, Done, Pipe, Side};
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::grpc::{self, Web};

/// Lets clients of gRPC-Web, such as browsers, call a service that speaks gRPC: their requests become gRPC, and its
/// answers gRPC-Web, message by message, binary or as text. The upstream must speak HTTP/2 (`protocol: http2`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// The filter.
pub struct GrpcWeb {}

impl GrpcWeb {
    /// From its config; nothing here can be at fault.
    pub fn build(_: Config, _: &mut Build<'_>) -> Option<Self> {
        Some(Self {})
    }
}

impl Filter for GrpcWeb {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: true,
            trailers: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let kind = req.get(Name::ContentType).unwrap_or_default();
        let Some((sent, format)) = grpc::web(kind) else {
            return Verdict::Next;
        };
        let kind = [grpc::GRPC, format].concat();
        let accepted = req
            .get_all(Name::Accept)
            .flat_map(|v| v.split(|b| *b == b','));
        let wanted = accepted
            .filter_map(|kind| grpc::web(kind.trim_ascii()))
            .map(|(form, _)| form)
            .next();
        let form = wanted.unwrap_or(sent);
        cx.slot.words[0] = match form {
            Web::Binary => BINARY,
            Web::Text => TEXT,
        };
        cx.bridge(form);
        // It is no longer than what stood there.
        let put = req.set_known(Name::ContentType, &kind);
        debug_assert!(put.is_ok(), "a part of a valid value");
        if sent == Web::Text {
            cx.pipe(Side::Request, Box::new(FromText(TextReader::default())));
        }
        Verdict::Next
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        let form = match cx.slot.words[0] {
            BINARY => Web::Binary,
            TEXT => Web::Text,
            _ => return Verdict::Next,
        };
        let kind = rsp.get(Name::ContentType).unwrap_or_default();
        let Some(format) = grpc::format(kind) else {
            return Verdict::Next;
        };
        let kind = [form.kind(), format].concat();
        if rsp.set_known(Name::ContentType, &kind).is_err() {
            // A head that is full to the last byte: there is nothing left to say it in.
            return Verdict::Reply(Box::new(crate::reply::internal()));
        }
        // A head with a status is its own trailers, and no body follows.
        if rsp.find(b"grpc-status").is_none() {
            let trailers = Trailers::default();
            cx.slot.any = Some(Box::new(trailers.clone()));
            let text = (form == Web::Text).then(TextWriter::default);
            cx.pipe(Side::Response, Box::new(ToWeb { text, trailers }));
        }
        Verdict::Next
    }

    fn on_trailers(&self, cx: &mut Cx<'_>, trailers: &mut Head) {
        let any = cx.slot.any.as_ref();
        if let Some(frame) = any.and_then(|any| any.downcast_ref::<Trailers>()) {
            write_trailers(trailers, &mut frame.borrow_mut());
            trailers.clear();
        }
    }
}

/// The frame of trailers, once they have come.
type Trailers = Rc<RefCell<Vec<u8>>>;

/// A request's text into frames.
struct FromText(TextReader);

impl Pipe for FromText {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Abort> {
        self.0.push(input, out).map_err(|_| Abort)?;
        Ok(input.len())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<Done, Abort> {
        self.0.finish().map_err(|_| Abort)?;
        Ok(Done::Finished)
    }
}

/// An answer's frames, and its trailers behind them.
struct ToWeb {
    text: Option<TextWriter>,
    trailers: Trailers,
}

impl Pipe for ToWeb {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Abort> {
        match &mut self.text {
            Some(text) => text.push(input, out),
            None => out.extend_from_slice(input),
        }
        Ok(input.len())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Done, Abort> {
        let frame = self.trailers.take();
        match &mut self.text {
            Some(text) => {
                // A message that is cut short stays apart from what follows it.
                text.finish(out);
                let mut last = TextWriter::default();
                last.push(&frame, out);
            }
            None => out.extend_from_slice(&frame),
        }
        Ok(Done::Finished)
    }
}

/// What a slot says of its request: the form of the answer; at first nothing.
const BINARY: u64 = 1;
const TEXT: u64 = 2;

#[cfg(test)]
#[path = "grpc_web_tests.rs"]
mod tests;
