use super::*;

fn request() -> Head {
    let mut head = Head::new();
    head.start_request(b"GET", b"/a//b?q=1", b"Example.COM:8080");
    head.add(b"X-One", b"1").unwrap();
    head.add(b"Accept", b"a").unwrap();
    head.add(b"accept", b"b").unwrap();
    head.add(b"x-one", b"2").unwrap();
    head
}

fn lines(head: &Head) -> Vec<String> {
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
    head.fields()
        .map(|(n, v)| format!("{}: {}", text(n), text(v)))
        .collect()
}

#[test]
fn a_target_has_a_path_and_a_query() {
    let mut head = request();
    assert_eq!(head.target(), b"/a/b?q=1");
    assert_eq!(head.path(), b"/a/b");
    assert_eq!(head.query(), Some(&b"q=1"[..]));
    head.set_path(b"/%63/../x%2Fy").unwrap();
    assert_eq!(head.target(), b"/x%2Fy?q=1");
    assert!(head.has_escaped_slash());
    head.set_query(Some(b"")).unwrap();
    assert_eq!(
        (head.target(), head.query()),
        (&b"/x%2Fy?"[..], Some(&b""[..]))
    );
    head.set_path(b"/z").unwrap();
    assert_eq!(head.target(), b"/z?");
    assert!(!head.has_escaped_slash());
    head.set_query(None).unwrap();
    assert_eq!((head.target(), head.query()), (&b"/z"[..], None));
    head.set_query(Some(b"a?b")).unwrap();
    assert_eq!(head.target(), b"/z?a?b");
    assert_eq!(head.query(), Some(&b"a?b"[..]));
}

#[test]
fn what_cannot_be_sent_is_not_set() {
    let mut head = request();
    for path in [
        &b""[..],
        b"a",
        b"/ ",
        b"/\r\n",
        b"/..",
        b"/a?b",
        b"/%0d",
        b"*",
    ] {
        assert_eq!(head.set_path(path), Err(BadField::Target), "{path:?}");
    }
    for query in [&b" "[..], b"\r", b"#", b"\x80"] {
        assert_eq!(
            head.set_query(Some(query)),
            Err(BadField::Target),
            "{query:?}"
        );
    }
    for authority in [&b""[..], b"a b", b"a,b", b"a\r\nX: y"] {
        assert_eq!(
            head.set_authority(authority),
            Err(BadField::Authority),
            "{authority:?}"
        );
    }
    let cases: [(&[u8], &[u8], BadField); 10] = [
        (b"", b"v", BadField::Name),
        (b"a b", b"v", BadField::Name),
        (b"a\r\nb", b"v", BadField::Name),
        (b"a", b"v\r\nX: y", BadField::Value),
        (b"a", b"v\0", BadField::Value),
        (b"a", b" v", BadField::Value),
        (b"content-length", b"1", BadField::Reserved),
        (b"Transfer-Encoding", b"chunked", BadField::Reserved),
        (b"Connection", b"close", BadField::Reserved),
        (b"HOST", b"a", BadField::Reserved),
    ];
    for (name, value, why) in cases {
        assert_eq!(head.add(name, value), Err(why), "{name:?}");
        assert_eq!(head.set(name, value), Err(why), "{name:?}");
    }
    assert_eq!(head.add_known(Name::Te, b"x"), Err(BadField::Reserved));
    assert_eq!(head.add_known(Name::Other, b"x"), Err(BadField::Name));
    assert_eq!(head.target(), b"/a/b?q=1");
    assert_eq!(head.authority(), b"example.com:8080");
    assert_eq!(
        lines(&head),
        ["X-One: 1", "Accept: a", "accept: b", "x-one: 2"]
    );
}

#[test]
fn fields_are_found_by_number_and_by_name() {
    let head = request();
    assert_eq!(head.get(Name::Accept), Some(&b"a"[..]));
    assert_eq!(head.get(Name::Cookie), None);
    assert_eq!(head.get(Name::Other), None);
    let all: Vec<&[u8]> = head.get_all(Name::Accept).collect();
    assert_eq!(all, [b"a", b"b"]);
    assert_eq!(head.find(b"ACCEPT"), Some(&b"a"[..]));
    assert_eq!(head.find(b"X-ONE"), Some(&b"1"[..]));
    assert_eq!(head.find(b"X-On"), None);
    let all: Vec<&[u8]> = head.find_all(b"x-one").collect();
    assert_eq!(all, [b"1", b"2"]);
    let last = head.find_all(b"x-one").next_back();
    assert_eq!(last, Some(&b"2"[..]));
}

#[test]
fn fields_are_set_and_removed() {
    let mut head = request();
    head.set(b"x-ONE", b"3").unwrap();
    assert_eq!(lines(&head), ["Accept: a", "accept: b", "x-ONE: 3"]);
    head.set_known(Name::Accept, b"c").unwrap();
    assert_eq!(lines(&head), ["x-ONE: 3", "Accept: c"]);
    assert!(head.remove(b"X-one"));
    assert!(!head.remove(b"X-one"));
    assert!(head.remove_known(Name::Accept));
    assert!(!head.remove_known(Name::Accept));
    assert!(!head.remove_known(Name::Other));
    assert_eq!(head.get(Name::Accept), None);
    assert_eq!(head.find(b"x-one"), None);
    assert!(lines(&head).is_empty());
    head.add(b"accept", b"").unwrap();
    assert_eq!(head.get(Name::Accept), Some(&b""[..]));
}

#[test]
fn hosts_are_lower_case_and_without_port() {
    let cases: [(&[u8], &[u8], &[u8]); 3] = [
        (b"A.Example:80", b"a.example:80", b"a.example"),
        (b"[2001:DB8::1]:80", b"[2001:db8::1]:80", b"[2001:db8::1]"),
        (b"LOCALHOST", b"localhost", b"localhost"),
    ];
    for (given, authority, host) in cases {
        let mut head = request();
        head.set_authority(given).unwrap();
        assert_eq!((head.authority(), head.host()), (authority, host));
    }
}

#[test]
fn reasons_are_registered_or_received() {
    let mut head = Head::new();
    head.start_response(404);
    assert_eq!((head.status(), head.reason()), (404, &b"Not Found"[..]));
    head.set_status(599);
    assert_eq!(head.reason(), b"");
}

#[test]
fn a_head_is_bounded_and_gives_large_memory_back() {
    let mut head = request();
    let value = vec![b'x'; 100_000];
    let mut added = 0;
    while head.add(b"x", &value).is_ok() {
        added += 1;
    }
    assert_eq!(added, 10);
    assert_eq!(head.add(b"x", &value), Err(BadField::TooLarge));
    head.clear();
    assert_eq!(head.bytes.capacity(), 0);
    let mut added = 0;
    while head.add(b"x", b"").is_ok() {
        added += 1;
    }
    assert_eq!(added, MAX_FIELDS);
    head.clear();
    let kept = head.bytes.capacity();
    assert!(kept > 0 && head.fields.capacity() > 0);
    assert_eq!(head.fields().count(), 0);
    assert_eq!(head.find(b"x"), None);
}

#[test]
fn a_star_has_no_query() {
    let mut head = Head::new();
    head.start_request(b"OPTIONS", b"*", b"a");
    assert_eq!(
        (head.target(), head.path(), head.query()),
        (&b"*"[..], &b"*"[..], None)
    );
}
