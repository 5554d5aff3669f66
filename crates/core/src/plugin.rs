//! What a plugin is told of a request, and what it may say about it.
//!
//! Both are JSON texts, so that they cross to JavaScript and back in one piece each; bodies go beside
//! them as bytes. Field values are bytes: each is one character of the text, U+0000 to U+00FF, as
//! the Fetch API has it.
//!
//! Errors: a sentence on what is wrong with a verdict, for the log. Nothing of such a verdict is used.
//! Bounds: a verdict has at most [`MAX_TEXT`] bytes of text, [`MAX_FIELDS`] fields in each part, and
//! [`MAX_BODY`] bytes of body.

use std::collections::BTreeMap;

use serde::Deserialize;
use wire::{BadField, Head, Name};

use crate::config::text::Many;
use crate::filter::Client;
use crate::filters::name_fault;
use crate::reply::{Body, Reply};

/// What a plugin said. `Default` is a plugin that lets a request pass as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginVerdict {
    /// Changes to the request.
    pub request: Fields,
    /// Changes to the response.
    pub response: Fields,
    /// The answer to the client; then there are no changes.
    pub reply: Option<Reply>,
}

/// Changes to the fields of a head, checked: first those to remove, then to set, then to add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    remove: Vec<Box<str>>,
    set: Vec<(Box<str>, Vec<u8>)>,
    add: Vec<(Box<str>, Vec<u8>)>,
}

impl Fields {
    /// True if nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Makes the changes.
    ///
    /// # Errors
    /// The head's bound; the changes before it are made.
    pub fn apply(&self, head: &mut Head) -> Result<(), BadField> {
        for name in &self.remove {
            head.remove(name.as_bytes());
        }
        for (name, value) in &self.set {
            head.set(name.as_bytes(), value)?;
        }
        for (name, value) in &self.add {
            head.add(name.as_bytes(), value)?;
        }
        Ok(())
    }
}

/// What a plugin is told, as JSON: `{method, host, path, query?, headers: [name, value, …], client,
/// consumer?, route}`.
pub fn told(req: &Head, client: &Client, route: &str) -> String {
    let fields: usize = req.fields().map(|(n, v)| n.len() + v.len() + 6).sum();
    let mut out = String::with_capacity(fields + req.target().len() + 160);
    out.push_str("{\"method\":");
    quote(req.method_bytes(), &mut out);
    out.push_str(",\"host\":");
    quote(req.authority(), &mut out);
    out.push_str(",\"path\":");
    quote(req.path(), &mut out);
    if let Some(query) = req.query() {
        out.push_str(",\"query\":");
        quote(query, &mut out);
    }
    out.push_str(",\"headers\":[");
    for (i, (name, value)) in req.fields().enumerate() {
        if i > 0 {
            out.push(',');
        }
        quote(name, &mut out);
        out.push(',');
        quote(value, &mut out);
    }
    out.push_str("],\"client\":");
    quote(client.ip.to_string().as_bytes(), &mut out);
    if let Some(consumer) = &client.consumer {
        out.push_str(",\"consumer\":");
        quote(consumer.as_bytes(), &mut out);
    }
    out.push_str(",\"route\":");
    quote(route.as_bytes(), &mut out);
    out.push('}');
    out
}

/// Each byte as one character.
fn quote(bytes: &[u8], out: &mut String) {
    out.push('"');
    for &b in bytes {
        match b {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(b));
            }
            0..=0x1f => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(b >> 4)]));
                out.push(char::from(HEX[usize::from(b & 15)]));
            }
            _ => out.push(char::from(b)),
        }
    }
    out.push('"');
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    request: SaidFields,
    response: SaidFields,
    reply: Option<SaidReply>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SaidFields {
    remove: Vec<String>,
    set: BTreeMap<String, String>,
    add: BTreeMap<String, Many<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidReply {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The media type of a body for which `headers` has none.
    kind: Option<String>,
}

impl PluginVerdict {
    /// Reads what a plugin said: `{request?, response?, reply?}`, and the bytes of a reply's body.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str, body: Vec<u8>) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("it has more than {MAX_TEXT} bytes of text"));
        }
        if body.len() > MAX_BODY {
            return Err(format!("reply.body has more than {MAX_BODY} bytes"));
        }
        let said: Said = serde_json::from_str(text).map_err(|e| without_place(&e))?;
        let request = said.request.checked("request")?;
        let response = said.response.checked("response")?;
        let changes = !request.is_empty() || !response.is_empty();
        let reply = match said.reply {
            Some(_) if changes => {
                return Err("it has reply and changes: a reply ends the request".into())
            }
            Some(reply) => Some(reply.checked(body)?),
            None if body.is_empty() => None,
            None => return Err("it has a body and no reply".into()),
        };
        Ok(Self {
            request,
            response,
            reply,
        })
    }
}

/// A verdict is one line that nobody has seen: a column of it says nothing.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

impl SaidFields {
    fn checked(self, side: &str) -> Result<Fields, String> {
        let is_request = side == "request";
        let mut fields = Fields::default();
        for name in self.remove {
            check_name(&name, is_request, &format!("{side}.remove"))?;
            fields.remove.push(name.into());
        }
        for (name, value) in self.set {
            let at = format!("{side}.set");
            check_name(&name, is_request, &at)?;
            let value = bytes_of(&name, &value, &at)?;
            fields.set.push((name.into(), value));
        }
        for (name, values) in self.add {
            let at = format!("{side}.add");
            check_name(&name, is_request, &at)?;
            for value in values.iter() {
                let value = bytes_of(&name, value, &at)?;
                fields.add.push((name.as_str().into(), value));
            }
        }
        if fields.remove.len() + fields.set.len() + fields.add.len() > MAX_FIELDS {
            return Err(format!("{side} changes more than {MAX_FIELDS} fields"));
        }
        Ok(fields)
    }
}

impl SaidReply {
    fn checked(self, body: Vec<u8>) -> Result<Reply, String> {
        let status = self.status;
        if !(200..=599).contains(&status) {
            return Err(format!("reply.status is {status}: write 200 to 599"));
        }
        if !body.is_empty() && matches!(status, 204 | 205 | 304) {
            return Err(format!("reply.status is {status}, which has no body"));
        }
        if self.headers.len() > MAX_FIELDS {
            return Err(format!("reply.headers has more than {MAX_FIELDS} fields"));
        }
        let mut kind = self.kind;
        let mut fields = Vec::with_capacity(self.headers.len());
        for (name, value) in self.headers {
            check_name(&name, false, "reply.headers")?;
            let bytes = bytes_of(&name, &value, "reply.headers")?;
            if Name::of(name.as_bytes()) == Name::ContentType {
                kind = Some(value);
            } else {
                fields.push((name.into(), bytes));
            }
        }
        let kind = kind.unwrap_or_else(|| "application/octet-stream".into());
        if !kind.is_ascii() || !wire::valid_value(kind.as_bytes()) {
            return Err(format!("{kind:?} is no media type"));
        }
        let body = if body.is_empty() {
            Body::Empty
        } else {
            Body::Plain(kind.into(), body)
        };
        Ok(Reply {
            status,
            code: "",
            fields,
            body,
        })
    }
}

fn check_name(name: &str, is_request: bool, at: &str) -> Result<(), String> {
    match name_fault(name, is_request) {
        Some((why, _)) => Err(format!("{at}: {why}")),
        None => Ok(()),
    }
}

fn bytes_of(name: &str, value: &str, at: &str) -> Result<Vec<u8>, String> {
    let bytes: Result<Vec<u8>, _> = value.chars().map(u8::try_from).collect();
    match bytes {
        Ok(bytes) if wire::valid_value(&bytes) => Ok(bytes),
        Ok(_) => Err(format!(
            "{at}: the value of {name:?} has a control character, or a space at an end"
        )),
        Err(_) => Err(format!(
            "{at}: the value of {name:?} has a character beyond U+00FF: encode it"
        )),
    }
}

/// Bytes of a verdict without its body.
pub const MAX_TEXT: usize = 64 << 10;
/// Fields that one part of a verdict may change.
pub const MAX_FIELDS: usize = 100;
/// Bytes of a reply's body.
pub const MAX_BODY: usize = 1 << 20;

#[cfg(test)]
#[path = "plugin_tests.rs"]
mod tests;
