//! A field line that is checked once and added to many heads.

use crate::head::{BadField, Field, Head};
use crate::name::Name;
use crate::span::Span;
use crate::syntax::{valid_name, valid_value};

/// A field's name, and what its value begins with or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `name: value`, and the end of the line.
    text: Box<[u8]>,
    name: u32,
    id: Name,
}

impl Line {
    /// Checks a name and a value. Errors: as [`Head::add`], but for the size.
    pub fn new(name: &[u8], value: &[u8]) -> Result<Self, BadField> {
        if !valid_name(name) {
            return Err(BadField::Name);
        }
        if !valid_value(value) {
            return Err(BadField::Value);
        }
        let id = Name::of(name);
        if id.is_hop_by_hop() {
            return Err(BadField::Reserved);
        }
        Ok(Self {
            text: [name, b": ", value, b"\r\n"].concat().into(),
            name: name.len() as u32,
            id,
        })
    }

    /// What its value begins with.
    pub fn value(&self) -> &[u8] {
        &self.text[self.name as usize + 2..self.begun().len()]
    }

    /// All but the end of the line.
    fn begun(&self) -> &[u8] {
        &self.text[..self.text.len() - 2]
    }
}

impl Head {
    /// Adds a field behind all others whose value ends with `more`, which may be empty. On an error nothing has changed.
    pub fn add_line(&mut self, line: &Line, more: &[u8]) -> Result<(), BadField> {
        self.admit(line.id, line.text.len() - 2 + more.len())?;
        let start = self.bytes.len();
        if more.is_empty() {
            self.bytes.extend_from_slice(&line.text);
        } else {
            if !valid_value(more) {
                return Err(BadField::Value);
            }
            self.bytes.extend_from_slice(line.begun());
            self.bytes.extend_from_slice(more);
            self.bytes.extend_from_slice(b"\r\n");
        }
        let end = self.bytes.len() - 2;
        self.known |= line.id.bit();
        let name = start + line.name as usize;
        self.fields.push(Field {
            name: Span::new(start, name),
            value: Span::new(name + 2, end),
            id: line.id,
            gone: false,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_add_would_have_written() {
        for (name, value, more) in [
            ("ratelimit", "\"a\";r=", "12"),
            ("Vary", "Origin", ""),
            ("x-a", "", "b"),
            ("x-empty", "", ""),
        ] {
            let (mut by_line, mut by_add) = (Head::new(), Head::new());
            for _ in 0..2 {
                let line = Line::new(name.as_bytes(), value.as_bytes()).expect(name);
                by_line.add_line(&line, more.as_bytes()).expect(name);
                let whole = [value, more].concat();
                by_add.add(name.as_bytes(), whole.as_bytes()).expect(name);
            }
            assert_eq!(by_line.bytes, by_add.bytes, "{name}");
            assert_eq!(by_line.known, by_add.known, "{name}");
            assert_eq!(
                by_line.find(name.as_bytes()),
                by_add.find(name.as_bytes()),
                "{name}"
            );
        }
    }

    #[test]
    fn what_add_refuses_is_refused() {
        for (name, value, why) in [
            ("a b", "", BadField::Name),
            ("a", "b\n", BadField::Value),
            ("a", " b", BadField::Value),
            ("Transfer-Encoding", "chunked", BadField::Reserved),
        ] {
            let made = Line::new(name.as_bytes(), value.as_bytes());
            assert_eq!(made, Err(why), "{name}: {value:?}");
        }
        let line = Line::new(b"a", b"b").expect("a line");
        let mut head = Head::new();
        for more in [&b"\r\nx: y"[..], b"c ", b" c"] {
            assert_eq!(head.add_line(&line, more), Err(BadField::Value), "{more:?}");
        }
        let long = vec![b'c'; crate::head::MAX_BYTES];
        assert_eq!(head.add_line(&line, &long), Err(BadField::TooLarge));
        assert!(head.bytes.is_empty() && head.fields.is_empty());
    }
}
