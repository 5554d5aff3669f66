//! Writes heads in their one canonical form.
//!
//! Source: RFC 9112 sections 2.1, 6 and 9, RFC 9110 sections 6.6.1 (Date), 7.6.1, 7.8 and 10.1.4.
//! Framing, Connection, Host and TE come from the arguments only; nothing that a peer sent about
//! them is in a head's list. Nothing here fails: a head holds no byte that could end a line.
//! Bounds: one reservation for each head, of its own size and a little more.

use super::Framing;
use crate::head::Head;
use crate::method::Version;
use crate::name::Name;

/// What a response says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection<'a> {
    /// It carries on. HTTP/1.1 needs no word for it.
    KeepAlive,
    /// It ends with this response.
    Close,
    /// It becomes the named protocol; for a 101.
    Upgrade(&'a [u8]),
}

/// Appends the head of a request for an upstream, always as HTTP/1.1 and on a connection that stays.
///
/// `framing` is never [`Framing::UntilClose`]. With `upgrade`, Connection and Upgrade are written;
/// else with `te_trailers` TE, and Connection as RFC 9110 section 10.1.4 asks for it.
pub fn write_request(
    head: &Head,
    framing: Framing,
    upgrade: Option<&[u8]>,
    te_trailers: bool,
    out: &mut Vec<u8>,
) {
    debug_assert!(
        framing != Framing::UntilClose,
        "a request's body ends by itself"
    );
    out.reserve(head.bytes.len() + upgrade.map_or(0, <[u8]>::len) + ROOM);
    out.extend_from_slice(head.method_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(head.authority());
    out.extend_from_slice(b"\r\n");
    put_fields(head, out);
    put_framing(framing, out);
    if let Some(protocol) = upgrade {
        put_upgrade(protocol, out);
    } else if te_trailers {
        out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of a response for a client that spoke `version`.
///
/// The status line always says HTTP/1.1 (RFC 9110 section 2.5). An HTTP/1.0 client knows no chunks:
/// for it `framing` is never [`Framing::Chunked`]. `declared_length` is Content-Length of a message
/// without a body (HEAD, 304). `date` is written if the head has no Date, but never in 1xx.
pub fn write_response(
    head: &Head,
    version: Version,
    framing: Framing,
    declared_length: Option<u64>,
    connection: Connection<'_>,
    date: &[u8; 29],
    out: &mut Vec<u8>,
) {
    debug_assert!(
        version == Version::Http11 || framing != Framing::Chunked,
        "HTTP/1.0 knows no chunks"
    );
    let status = head.status();
    let reason = head.reason();
    out.reserve(head.bytes.len() + reason.len() + ROOM);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[
        b'0' + (status / 100 % 10) as u8,
        b'0' + (status / 10 % 10) as u8,
        b'0' + (status % 10) as u8,
        b' ',
    ]);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    put_fields(head, out);
    let interim = (100..200).contains(&status);
    if !interim && head.get(Name::Date).is_none() {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
    }
    match declared_length {
        Some(length) if framing == Framing::None => put_framing(Framing::Length(length), out),
        _ => put_framing(framing, out),
    }
    match connection {
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
        Connection::Upgrade(protocol) => {
            out.reserve(protocol.len() + ROOM);
            put_upgrade(protocol, out);
        }
        Connection::KeepAlive if version == Version::Http10 && !interim => {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        Connection::KeepAlive => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the status, the reason and the fields of a response, for a server that writes the rest itself:
/// `200 OK`, and each field on a line of its own, without the last line's end. Date is left out.
pub fn write_response_block(head: &Head, out: &mut Vec<u8>) {
    let status = head.status();
    let reason = head.reason();
    out.reserve(head.bytes.len() + reason.len() + ROOM);
    out.extend_from_slice(&[
        b'0' + (status / 100 % 10) as u8,
        b'0' + (status / 10 % 10) as u8,
        b'0' + (status % 10) as u8,
        b' ',
    ]);
    out.extend_from_slice(reason);
    for field in head.fields.iter().filter(|f| !f.gone) {
        let line = &head.bytes[field.name.start as usize..field.value.end()];
        if !line[..line.len().min(5)].eq_ignore_ascii_case(b"date:") {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(line);
        }
    }
}

/// The line before `len` bytes of chunk data. `len` is not 0: that would end the body. The data is
/// followed by CR LF.
pub fn chunk_head(len: usize, buf: &mut [u8; 18]) -> &[u8] {
    debug_assert!(len > 0, "a chunk of no bytes ends the body");
    let mut at = 16;
    let mut left = len;
    loop {
        at -= 1;
        buf[at] = b"0123456789abcdef"[left & 15];
        left >>= 4;
        if left == 0 {
            break;
        }
    }
    buf[16] = b'\r';
    buf[17] = b'\n';
    &buf[at..]
}

/// Appends the last chunk, the fields of `trailers`, and the end of the body.
pub fn write_trailers(trailers: &Head, out: &mut Vec<u8>) {
    out.reserve(trailers.bytes.len() + ROOM);
    out.extend_from_slice(b"0\r\n");
    put_fields(trailers, out);
    out.extend_from_slice(b"\r\n");
}

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Copies the lines of the list. Each is canonical where it stands, so neighbours go in one piece.
fn put_fields(head: &Head, out: &mut Vec<u8>) {
    let (mut start, mut end) = (0, 0);
    for field in head.fields.iter().filter(|f| !f.gone) {
        if field.name.start as usize != end {
            out.extend_from_slice(&head.bytes[start..end]);
            start = field.name.start as usize;
        }
        end = field.value.end() + 2;
    }
    out.extend_from_slice(&head.bytes[start..end]);
}

fn put_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            put_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::None | Framing::UntilClose => {}
    }
}

fn put_upgrade(protocol: &[u8], out: &mut Vec<u8>) {
    debug_assert!(crate::syntax::valid_value(protocol), "one protocol name");
    out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: ");
    out.extend_from_slice(protocol);
    out.extend_from_slice(b"\r\n");
}

fn put_decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Enough for all that is written beside the head's own bytes: about 170.
const ROOM: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn a_block_is_a_head_without_what_the_server_says_itself() {
        let mut head = Head::new();
        head.start_response(404);
        for (name, value) in [("Date", "x"), ("A", "1"), ("B", ""), ("Dates", "2")] {
            head.add(name.as_bytes(), value.as_bytes()).unwrap();
        }
        head.remove(b"b");
        let mut out = Vec::new();
        write_response_block(&head, &mut out);
        assert_eq!(out, b"404 Not Found\r\nA: 1\r\nDates: 2");
    }

    fn request(framing: Framing, upgrade: Option<&[u8]>, te: bool) -> String {
        let mut head = Head::new();
        head.start_request(b"POST", b"/a?b", b"Example.com:81");
        head.add(b"A", b"1").unwrap();
        head.add(b"B", b"2").unwrap();
        head.add(b"C", b"3").unwrap();
        head.remove(b"b");
        let mut out = Vec::new();
        write_request(&head, framing, upgrade, te, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_are_written_from_values() {
        let start = "POST /a?b HTTP/1.1\r\nHost: example.com:81\r\nA: 1\r\nC: 3\r\n";
        let cases: [(Framing, Option<&[u8]>, bool, &str); 5] = [
            (Framing::None, None, false, ""),
            (Framing::Length(0), None, false, "Content-Length: 0\r\n"),
            (
                Framing::Length(u64::MAX),
                None,
                true,
                "Content-Length: 18446744073709551615\r\nConnection: TE\r\nTE: trailers\r\n",
            ),
            (
                Framing::Chunked,
                None,
                false,
                "Transfer-Encoding: chunked\r\n",
            ),
            (
                Framing::None,
                Some(b"websocket"),
                true,
                "Connection: upgrade\r\nUpgrade: websocket\r\n",
            ),
        ];
        for (framing, upgrade, te, end) in cases {
            assert_eq!(request(framing, upgrade, te), format!("{start}{end}\r\n"));
        }
    }

    #[test]
    fn responses_are_written_from_values() {
        use Connection::{Close, KeepAlive, Upgrade};
        use Version::{Http10, Http11};
        type Case = (
            u16,
            Version,
            Framing,
            Option<u64>,
            Connection<'static>,
            &'static str,
        );
        let cases: [Case; 8] = [
            (200, Http11, Framing::Length(5), None, KeepAlive,
             "200 OK\r\nA: 1\r\nDate: D\r\nContent-Length: 5\r\n"),
            (200, Http10, Framing::Length(5), None, KeepAlive,
             "200 OK\r\nA: 1\r\nDate: D\r\nContent-Length: 5\r\nConnection: keep-alive\r\n"),
            (200, Http10, Framing::UntilClose, None, Close,
             "200 OK\r\nA: 1\r\nDate: D\r\nConnection: close\r\n"),
            (404, Http11, Framing::Chunked, None, Close,
             "404 Not Found\r\nA: 1\r\nDate: D\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"),
            (304, Http11, Framing::None, Some(7), KeepAlive,
             "304 Not Modified\r\nA: 1\r\nDate: D\r\nContent-Length: 7\r\n"),
            (204, Http11, Framing::None, None, KeepAlive, "204 No Content\r\nA: 1\r\nDate: D\r\n"),
            (103, Http10, Framing::None, None, KeepAlive, "103 Early Hints\r\nA: 1\r\n"),
            (101, Http11, Framing::None, None, Upgrade(b"websocket"),
             "101 Switching Protocols\r\nA: 1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"),
        ];
        for (status, version, framing, declared, connection, text) in cases {
            let mut head = Head::new();
            head.start_response(status);
            head.add(b"A", b"1").unwrap();
            let mut out = Vec::new();
            write_response(
                &head, version, framing, declared, connection, DATE, &mut out,
            );
            let date = std::str::from_utf8(DATE).unwrap();
            let want = format!("HTTP/1.1 {text}\r\n").replace("Date: D", &format!("Date: {date}"));
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn a_date_that_is_there_stays_alone() {
        let mut head = Head::new();
        head.start_response(200);
        head.add_known(Name::Date, b"then").unwrap();
        let mut out = Vec::new();
        let none = Framing::Length(0);
        write_response(
            &head,
            Version::Http11,
            none,
            None,
            Connection::KeepAlive,
            DATE,
            &mut out,
        );
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("Date:").count(), 1, "{text}");
        assert!(text.contains("Date: then\r\n"), "{text}");
    }

    #[test]
    fn chunk_heads_are_plain_hexadecimal() {
        let cases = [
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (65536, "10000\r\n"),
            (usize::MAX, "ffffffffffffffff\r\n"),
        ];
        for (len, line) in cases {
            assert_eq!(chunk_head(len, &mut [0; 18]), line.as_bytes());
        }
    }
}
