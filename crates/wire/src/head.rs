//! The head of a request or of a response: one buffer, and spans into it.
//!
//! Source: RFC 9110 sections 5 to 7, RFC 9112 sections 2 to 5.
//!
//! A head owns its bytes. Parsing copies the received head into them once; what is changed later
//! (a rewritten path, a field added by a filter) is appended and the span moved, so nothing is
//! shifted and nothing allocated once the buffer has grown. Fields that belong to one connection
//! or that frame the message (`Name::is_hop_by_hop`) and Host are never in the list: the first are
//! told by the parser's result and written anew, Host lives in [`Head::authority`].
//!
//! Errors: [`BadField`]; a head never holds a byte that could end a line.
//! Bounds: [`MAX_BYTES`] of text and [`MAX_FIELDS`] fields, patches included.

use crate::method::{Method, Version};
use crate::name::{Name, Names};
use crate::path::{normalise, valid_query};
use crate::span::Span;
use crate::status;
use crate::syntax::{is_token, valid_name, valid_value};

/// Most bytes that a head holds, patches and removed fields included.
pub const MAX_BYTES: usize = 1 << 20;
/// Most fields that a head holds, removed ones included.
pub const MAX_FIELDS: usize = 1024;

/// The head of a message. See the module's own text.
///
/// `Default` is an empty head, a `GET` with nothing in it.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// What all spans point into.
    pub(crate) bytes: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    /// Names that may be in `fields`: a clear bit is a sure no.
    pub(crate) known: u64,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) escaped_slash: bool,
    pub(crate) method_text: Span,
    /// Path, and behind it `?query` if there is one.
    pub(crate) target: Span,
    pub(crate) path_len: u32,
    pub(crate) authority: Span,
    /// The authority as it was received, once another has taken its place.
    pub(crate) asked: Span,
    pub(crate) host_len: u32,
    pub(crate) reason: Span,
}

/// One field. Its line is canonical in the head's bytes: `name: value\r\n`, nothing between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) id: Name,
    pub(crate) gone: bool,
}

/// Why a head was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadField {
    /// Not a token.
    Name,
    /// A control byte, or a space at an end.
    Value,
    /// A field that frames the message, belongs to the connection, or is Host: these are written
    /// from the framing and from [`Head::authority`].
    Reserved,
    /// Not a path (see `path::BadPath`) or not a query.
    Target,
    /// Not `host[:port]`.
    Authority,
    /// Over [`MAX_BYTES`] or [`MAX_FIELDS`].
    TooLarge,
}

impl std::fmt::Display for BadField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "a field name must be a token",
            Self::Value => "a field value holds a control byte, or a space at an end",
            Self::Reserved => "this field frames the message and cannot be set",
            Self::Target => "not a path or query that can be sent",
            Self::Authority => "an authority must be host[:port]",
            Self::TooLarge => "the head would be too large",
        })
    }
}

impl std::error::Error for BadField {}

impl Head {
    /// An empty head, without memory of its own yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the head for its next use. Memory is kept up to [`KEPT`] bytes.
    pub fn clear(&mut self) {
        // Cleared where it lies: a head is emptied several times a request.
        self.bytes.clear();
        self.fields.clear();
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        if self.fields.capacity() * size_of::<Field>() > KEPT {
            self.fields = Vec::new();
        }
        self.known = 0;
        self.method = Method::default();
        self.version = Version::default();
        self.status = 0;
        self.escaped_slash = false;
        self.method_text = Span::default();
        self.target = Span::default();
        self.path_len = 0;
        self.authority = Span::default();
        self.asked = Span::default();
        self.host_len = 0;
        self.reason = Span::default();
    }

    /// Begins a request that this program makes itself. `authority` may be empty (HTTP/1.0).
    ///
    /// # Panics
    /// If a part is not valid: for constants and for what a config check has passed. What comes
    /// from a client goes through the parser.
    pub fn start_request(&mut self, method: &[u8], target: &[u8], authority: &[u8]) {
        self.clear();
        assert!(is_token(method), "a method is a token");
        self.method = Method::of(method);
        self.method_text = self.append(method);
        if target == b"*" {
            self.target = self.append(target);
            self.path_len = 1;
        } else {
            let (path, query) = split_target(target);
            self.set_path(path).expect("a path that can be sent");
            self.set_query(query).expect("a query that can be sent");
        }
        if !authority.is_empty() {
            self.set_authority(authority).expect("host[:port]");
        }
    }

    /// Begins a response that this program makes itself.
    pub fn start_response(&mut self, status: u16) {
        self.clear();
        self.set_status(status);
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as it was sent.
    pub fn method_bytes(&self) -> &[u8] {
        self.slice(self.method_text)
    }

    /// What is sent upstream: the normalised path and `?query`; `*` for `OPTIONS *`;
    /// `host:port` for CONNECT.
    pub fn target(&self) -> &[u8] {
        self.slice(self.target)
    }

    /// The normalised path, without the query. Empty for CONNECT.
    pub fn path(&self) -> &[u8] {
        &self.target()[..self.path_len as usize]
    }

    /// What follows the first `?` of the target, exactly as it was sent.
    pub fn query(&self) -> Option<&[u8]> {
        match &self.target()[self.path_len as usize..] {
            [b'?', query @ ..] => Some(query),
            _ => None,
        }
    }

    /// `host[:port]` in lower case, from Host or from an absolute target. Empty only for an
    /// HTTP/1.0 request that named none.
    pub fn authority(&self) -> &[u8] {
        self.slice(self.authority)
    }

    /// The authority without its port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &[u8] {
        &self.authority()[..self.host_len as usize]
    }

    /// The version in which the message came.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Does the path hold a `%2F`?
    pub fn has_escaped_slash(&self) -> bool {
        self.escaped_slash
    }

    /// Replaces the path by the normal form of `path`; the query stays.
    pub fn set_path(&mut self, path: &[u8]) -> Result<(), BadField> {
        let end = self.target.end();
        let query = match self.query() {
            Some(query) => Span::new(end - query.len() - 1, end),
            None => Span::new(end, end),
        };
        self.room(path.len() + query.len as usize)?;
        let start = self.bytes.len();
        let flags = match normalise(path, &mut self.bytes) {
            Ok(flags) => flags,
            Err(_) => {
                self.bytes.truncate(start);
                return Err(BadField::Target);
            }
        };
        if !flags.changed {
            self.bytes.extend_from_slice(path);
        }
        self.path_len = (self.bytes.len() - start) as u32;
        self.bytes
            .extend_from_within(query.start as usize..query.end());
        self.target = Span::new(start, self.bytes.len());
        self.escaped_slash = flags.escaped_slash;
        Ok(())
    }

    /// Replaces or removes the query; the path stays.
    pub fn set_query(&mut self, query: Option<&[u8]>) -> Result<(), BadField> {
        let Some(query) = query else {
            self.target.len = self.path_len;
            return Ok(());
        };
        if !valid_query(query) {
            return Err(BadField::Target);
        }
        self.room(self.path_len as usize + 1 + query.len())?;
        let start = self.bytes.len();
        let path = self.target.start as usize;
        self.bytes
            .extend_from_within(path..path + self.path_len as usize);
        self.bytes.push(b'?');
        self.bytes.extend_from_slice(query);
        self.target = Span::new(start, self.bytes.len());
        Ok(())
    }

    /// Replaces the authority, which is also what Host will say. What was received is remembered
    /// for [`Head::set_known_to_authority`].
    pub fn set_authority(&mut self, authority: &[u8]) -> Result<(), BadField> {
        let host_len = crate::authority::host_len(authority).ok_or(BadField::Authority)?;
        self.room(authority.len())?;
        if self.asked.len == 0 {
            self.asked = self.authority;
        }
        self.authority = self.append(authority);
        self.host_len = host_len as u32;
        self.lower_authority();
        Ok(())
    }

    /// The status code; 0 in a request.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Replaces the status code and with it the reason phrase.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
        self.reason = Span::default();
    }

    /// The reason phrase that was received, or the registered one.
    pub fn reason(&self) -> &[u8] {
        match self.slice(self.reason) {
            [] => status::reason(self.status).as_bytes(),
            received => received,
        }
    }

    /// The bytes of a span that the parser of this head returned.
    pub fn slice(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// The first value of `name`.
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// All values of `name`, in order.
    pub fn get_all(&self, name: Name) -> impl DoubleEndedIterator<Item = &[u8]> {
        let fields = if self.known & name.bit() != 0 {
            &self.fields[..]
        } else {
            &[]
        };
        let found = fields.iter().filter(move |f| f.id == name && !f.gone);
        found.map(|f| self.slice(f.value))
    }

    /// The first value of the field called `name` in any case.
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        let id = Name::of(name);
        let mut found = self.fields.iter().filter(|f| self.is_called(f, id, name));
        found.next().map(|f| self.slice(f.value))
    }

    /// All values of the field called `name` in any case, in order.
    pub fn find_all<'a>(&'a self, name: &'a [u8]) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let id = Name::of(name);
        let found = self.fields.iter();
        let found = found.filter(move |f| self.is_called(f, id, name));
        found.map(|f| self.slice(f.value))
    }

    /// All fields, name and value, in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        let here = self.fields.iter().filter(|f| !f.gone);
        here.map(|f| (self.slice(f.name), self.slice(f.value)))
    }

    /// Adds a field behind all others.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        if !valid_name(name) {
            return Err(BadField::Name);
        }
        self.push(Name::of(name), name, value)
    }

    /// Removes all fields called `name` and adds this one. On an error nothing has changed.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        let before = self.fields.len();
        self.add(name, value)?;
        self.forget(Name::of(name), name, before);
        Ok(())
    }

    /// Removes all fields called `name`; was there one?
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.forget(Name::of(name), name, self.fields.len())
    }

    /// [`Head::add`] for a known name.
    pub fn add_known(&mut self, name: Name, value: &[u8]) -> Result<(), BadField> {
        if name == Name::Other {
            return Err(BadField::Name);
        }
        self.push(name, name.as_str().as_bytes(), value)
    }

    /// [`Head::set`] for a known name.
    pub fn set_known(&mut self, name: Name, value: &[u8]) -> Result<(), BadField> {
        let had = self.known & name.bit() != 0;
        let before = self.fields.len();
        self.add_known(name, value)?;
        if had {
            self.forget(name, b"", before);
        }
        Ok(())
    }

    /// [`Head::remove`] for a known name.
    pub fn remove_known(&mut self, name: Name) -> bool {
        name != Name::Other && self.forget(name, b"", self.fields.len())
    }

    /// Removes all fields whose name is in `names`.
    pub fn remove_names(&mut self, names: Names) {
        if self.known & names.0 == 0 {
            return;
        }
        for field in &mut self.fields {
            field.gone |= field.id.bit() & names.0 != 0;
        }
        self.known &= !names.0;
    }

    /// [`Head::set_known`] with the authority for its value, as it was received: a filter may have
    /// put another in its place.
    pub fn set_known_to_authority(&mut self, name: Name) -> Result<(), BadField> {
        if name == Name::Other {
            return Err(BadField::Name);
        }
        let text = name.as_str().as_bytes();
        let asked = [self.authority, self.asked][usize::from(self.asked.len > 0)];
        self.admit(name, text.len() + asked.len as usize)?;
        let had = self.known & name.bit() != 0;
        let before = self.fields.len();
        let name_span = self.append(text);
        self.bytes.extend_from_slice(b": ");
        let start = self.bytes.len();
        self.bytes
            .extend_from_within(asked.start as usize..asked.end());
        let value = Span::new(start, self.bytes.len());
        self.end_line(name, name_span, value);
        if had {
            self.forget(name, b"", before);
        }
        Ok(())
    }

    fn push(&mut self, id: Name, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        if !valid_value(value) {
            return Err(BadField::Value);
        }
        self.admit(id, name.len() + value.len())?;
        self.push_line(id, name, value);
        Ok(())
    }

    pub(crate) fn admit(&self, id: Name, len: usize) -> Result<(), BadField> {
        if id.is_hop_by_hop() {
            return Err(BadField::Reserved);
        }
        self.room(len + 4)?;
        if self.fields.len() >= MAX_FIELDS {
            return Err(BadField::TooLarge);
        }
        Ok(())
    }

    /// Appends a line that the caller has checked.
    pub(crate) fn push_line(&mut self, id: Name, name: &[u8], value: &[u8]) {
        let name = self.append(name);
        self.bytes.extend_from_slice(b": ");
        let value = self.append(value);
        self.end_line(id, name, value);
    }

    fn end_line(&mut self, id: Name, name: Span, value: Span) {
        self.bytes.extend_from_slice(b"\r\n");
        self.known |= id.bit();
        self.fields.push(Field {
            name,
            value,
            id,
            gone: false,
        });
    }

    /// Marks the fields of that name gone, among the first `before`.
    fn forget(&mut self, id: Name, name: &[u8], before: usize) -> bool {
        if id != Name::Other && self.known & id.bit() == 0 {
            return false;
        }
        let mut found = false;
        for field in &mut self.fields[..before] {
            let same = field.id == id
                && !field.gone
                && (id != Name::Other || field.name.of(&self.bytes).eq_ignore_ascii_case(name));
            field.gone |= same;
            found |= same;
        }
        found
    }

    fn is_called(&self, field: &Field, id: Name, name: &[u8]) -> bool {
        field.id == id
            && !field.gone
            && (id != Name::Other || self.slice(field.name).eq_ignore_ascii_case(name))
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    pub(crate) fn lower_authority(&mut self) {
        let range = self.authority.start as usize..self.authority.end();
        self.bytes[range].make_ascii_lowercase();
    }

    fn room(&self, more: usize) -> Result<(), BadField> {
        if self.bytes.len() + more > MAX_BYTES {
            return Err(BadField::TooLarge);
        }
        Ok(())
    }
}

/// Path, and query if there is a `?`.
pub(crate) fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// Most bytes of memory that an idle head keeps, for its text and for its fields each.
pub const KEPT: usize = 64 << 10;

#[cfg(test)]
mod tests;
