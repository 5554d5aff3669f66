//! What must hold for any bytes whatever, however they are cut. Each law panics if it is broken.

use super::{chunked, request, response, Parsed};
use wire::http1::{write_request, write_response};
use wire::proxy::{self, Parsed as Proxied};
use wire::{forwarded, Connection, Framing, Limits, Method, Refusal, Version};

/// A request has one verdict. If it is taken, what an upstream is sent has the same meaning and
/// is written the same way again.
pub fn request_law(bytes: &[u8], cuts: &[usize]) {
    let parsed = request(bytes, &[]);
    same_verdict(&parsed, &request(bytes, cuts));
    let mut head = wire::Head::new();
    if let Some((len, info)) = wire::take_request(bytes, &Limits::default(), &mut head) {
        let once = Parsed { len, info, head };
        let twice = parsed.as_ref().expect("taken at once, so not refused");
        let twice = twice.as_ref().expect("taken at once, so whole");
        assert_eq!((once.len, once.info), (twice.len, twice.info));
        assert_eq!(write(&once), write(twice));
    }
    let Ok(Some(parsed)) = parsed else { return };
    let sent = write(&parsed);
    assert_lines(&sent);
    assert_eq!(count(&sent, b"\r\nhost:"), 1);
    assert!(count(&sent, b"\r\ncontent-length:") + count(&sent, b"\r\ntransfer-encoding:") <= 1);
    if parsed.head.authority().is_empty() {
        return; // HTTP/1.0 without Host: what is sent says so, and is for an upstream only
    }
    let again = request(&sent, &[]).expect("what is sent is strict");
    let again = again.expect("what is sent is whole");
    assert_eq!(again.len, sent.len());
    assert_eq!(again.info.framing, parsed.info.framing);
    assert_eq!(
        again.info.te_trailers,
        parsed.info.te_trailers && parsed.info.upgrade.is_none()
    );
    assert_eq!(again.info.expect_continue, parsed.info.expect_continue);
    assert_eq!(
        again.head.has_escaped_slash(),
        parsed.head.has_escaped_slash()
    );
    assert_eq!(write(&again), sent);
}

fn write(parsed: &Parsed<wire::RequestInfo>) -> Vec<u8> {
    let Parsed { info, head, .. } = parsed;
    let mut out = Vec::new();
    let upgrade = info.upgrade.map(|span| head.slice(span));
    write_request(head, info.framing, upgrade, info.te_trailers, &mut out);
    out
}

/// The same for the answer to a request with `method`.
pub fn response_law(bytes: &[u8], method: Method, cuts: &[usize]) {
    let parsed = response(bytes, method, &[]);
    same_verdict(&parsed, &response(bytes, method, cuts));
    let mut head = wire::Head::new();
    if let Some((len, info)) = wire::take_response(bytes, method, &Limits::default(), &mut head) {
        let once = Parsed { len, info, head };
        let twice = parsed.as_ref().expect("taken at once, so not refused");
        let twice = twice.as_ref().expect("taken at once, so whole");
        assert_eq!((once.len, once.info), (twice.len, twice.info));
        assert_eq!(write_answer(&once), write_answer(twice));
    }
    let Ok(Some(parsed)) = parsed else { return };
    let sent = write_answer(&parsed);
    assert_lines(&sent);
    let again = response(&sent, method, &[]).expect("what is sent is strict");
    let again = again.expect("what is sent is whole");
    assert_eq!(again.len, sent.len());
    assert_eq!(again.info.framing, parsed.info.framing);
    assert_eq!(again.info.declared_length, parsed.info.declared_length);
    assert_eq!(write_answer(&again), sent);
}

fn write_answer(parsed: &Parsed<wire::ResponseInfo>) -> Vec<u8> {
    let Parsed { info, head, .. } = parsed;
    let connection = match info.upgrade {
        Some(span) => Connection::Upgrade(head.slice(span)),
        None if info.keep_alive => Connection::KeepAlive,
        None => Connection::Close,
    };
    let (mut out, date) = (Vec::new(), wire::date::imf_fixdate(0));
    let (framing, declared) = (info.framing, info.declared_length);
    write_response(
        head,
        Version::Http11,
        framing,
        declared,
        connection,
        &date,
        &mut out,
    );
    out
}

/// A body has one verdict, one length and one content.
pub fn chunked_law(bytes: &[u8], cuts: &[usize]) {
    let limits = Limits {
        head: 300,
        ..Limits::default()
    };
    let whole = chunked(bytes, &[], &limits);
    let cut = chunked(bytes, cuts, &limits);
    assert_eq!(whole, cut, "the cut changes the verdict");
    if let Ok(body) = whole {
        assert!(body.data.len() <= bytes.len());
        assert!(body.len.is_none_or(|len| len <= bytes.len()));
    }
}

/// A PROXY header stays what it was when more bytes come: only "partial" may change.
pub fn proxy_law(bytes: &[u8]) {
    let mut last = Ok(Proxied::Partial);
    for end in 0..=bytes.len() {
        let now = proxy::parse(&bytes[..end]);
        match &last {
            Ok(Proxied::Partial) => {}
            settled => assert_eq!(&now, settled, "at {end} bytes"),
        }
        if let Ok(Proxied::Done { header, len }) = &now {
            assert!(*len <= end);
            assert!(header.tlv_range.end <= *len);
            assert!(header.tlvs(bytes).map(|t| t.value.len() + 3).sum::<usize>() <= *len);
        }
        last = now;
    }
}

/// Any value of a forwarding field is walked in bounded work and without a panic.
pub fn forwarded_law(value: &[u8]) {
    let most = forwarded::MOST_HOPS;
    assert!(forwarded::hops_from_right([value, value].into_iter()).count() <= most);
    assert!(forwarded::forwarded_from_right([value, value].into_iter()).count() <= most);
    // What stands before cannot change what the nearest proxy wrote behind it.
    let behind = [value, b", for=192.0.2.7"].concat();
    let nearest = forwarded::forwarded_from_right([behind.as_slice()].into_iter()).next();
    assert_eq!(nearest, Some(Ok([192, 0, 2, 7].into())));
}

fn same_verdict<I: PartialEq + std::fmt::Debug>(
    one: &Result<Option<Parsed<I>>, Refusal>,
    two: &Result<Option<Parsed<I>>, Refusal>,
) {
    match (one, two) {
        (Ok(Some(a)), Ok(Some(b))) => {
            assert_eq!(
                (&a.info, a.len),
                (&b.info, b.len),
                "the cut changes the meaning"
            );
        }
        (Ok(None), Ok(None)) => {}
        (Err(a), Err(b)) => assert_eq!(a, b, "the cut changes the refusal"),
        _ => panic!("the cut changes the verdict: {one:?} or {two:?}"),
    }
}

/// CR LF at the end of each line, and no other control byte but HTAB.
fn assert_lines(head: &[u8]) {
    let lines = head.strip_suffix(b"\r\n\r\n").expect("the empty line");
    for line in lines.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let bad = line
            .iter()
            .find(|&&b| (b < b' ' && b != b'\t') || b == 0x7f);
        assert_eq!(bad, None, "in {}", head.escape_ascii());
    }
    assert_eq!(count(head, b"\n"), count(head, b"\r\n"));
}

fn count(bytes: &[u8], part: &[u8]) -> usize {
    let windows = bytes.windows(part.len());
    windows.filter(|w| w.eq_ignore_ascii_case(part)).count()
}

/// Framings in which a request can be written.
pub fn request_framing(choice: u64) -> Framing {
    match choice % 3 {
        0 => Framing::None,
        1 => Framing::Chunked,
        _ => Framing::Length(choice >> 1),
    }
}
