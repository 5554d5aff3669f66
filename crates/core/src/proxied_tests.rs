use super::*;
use crate::secure::ClientCertificate;

/// Type, length and value of each.
fn block(tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let one = |(kind, value): &(u8, &[u8])| {
        let len = (value.len() as u16).to_be_bytes();
        [&[*kind][..], &len, value].concat()
    };
    tlvs.iter().flat_map(one).collect()
}

fn said(tlvs: &[(u8, &[u8])]) -> Proxied {
    Proxied::new(None, Tlvs::new(&block(tlvs)))
}

fn get(proxied: &Proxied, value: &str) -> Option<String> {
    let value = ProxyValue::parse(value).expect(value);
    let told = proxied.get(value)?;
    Some(told.escape_ascii().to_string())
}

#[test]
fn each_value_is_found_by_its_name() {
    let parts = block(&[
        (0x21, b"TLSv1.3"),
        (0x22, b"alice"),
        (0x23, b"TLS_AES_128_GCM_SHA256"),
        (0x24, b"SHA256"),
        (0x25, b"RSA2048"),
    ]);
    let ssl = [&[7, 0, 0, 0, 0][..], &parts].concat();
    let said = said(&[
        (0x04, b"padding"),
        (0x01, b"h2"),
        (0x02, b"A.example"),
        (0x03, b"\x01\x02\x03\x04"),
        (0x02, b"second.example"),
        (0x05, b"\x00\xff"),
        (0x20, &ssl),
        (0x30, b"blue"),
        (0xea, b"\x01vpce-08d2bf15fac5001c9"),
        (0xee, b"\x01\x04\x03\x02\x01"),
        (0xe0, b"\x00\x00\x00\x00\x00\x01\x00\x02"),
        (0xf0, b""),
    ]);
    for (value, want) in [
        ("alpn", Some("h2")),
        ("authority", Some("A.example")),
        ("unique_id", Some(r"\x00\xff")),
        ("netns", Some("blue")),
        ("ssl_version", Some("TLSv1.3")),
        ("ssl_cn", Some("alice")),
        ("ssl_cipher", Some("TLS_AES_128_GCM_SHA256")),
        ("ssl_sig_alg", Some("SHA256")),
        ("ssl_key_alg", Some("RSA2048")),
        ("ssl_verify", Some("success")),
        ("aws_vpce_id", Some("vpce-08d2bf15fac5001c9")),
        ("azure_pel_id", Some("16909060")),
        ("gcp_conn_id", Some("65538")),
        ("tlv_f0", Some("")),
        ("tlv_04", None),
        ("tlv_03", None),
        ("tlv_f1", None),
    ] {
        assert_eq!(get(&said, value).as_deref(), want, "{value}");
    }
}

#[test]
fn what_is_not_there_or_not_known_is_none() {
    for (tlvs, value) in [
        (&[][..], "authority"),
        (&[], "ssl_verify"),
        (&[], "aws_vpce_id"),
        (&[(0xea, &b"\x02vpce"[..])], "aws_vpce_id"),
        (&[(0xea, b"")], "aws_vpce_id"),
        (&[(0xee, b"\x01\x01\x02\x03")], "azure_pel_id"),
        (&[(0xee, b"\x02\x01\x02\x03\x04")], "azure_pel_id"),
        (&[(0xe0, b"\x01")], "gcp_conn_id"),
        (&[(0x20, b"\x01\0\0\0\0")], "ssl_cn"),
    ] {
        assert_eq!(get(&said(tlvs), value), None, "{tlvs:?} {value}");
    }
}

#[test]
fn only_a_certificate_that_was_shown_is_verified() {
    for (client, verify, want) in [
        // HAProxy says 0 also where no certificate was asked for.
        (1, 0, "none"),
        (1, 1, "none"),
        (3, 0, "success"),
        (5, 0, "success"),
        (7, 1, "failed"),
    ] {
        let ssl = [client, 0, 0, 0, verify];
        let said = said(&[(0x20, &ssl)]);
        let told = get(&said, "ssl_verify");
        assert_eq!(told.as_deref(), Some(want), "{client} {verify}");
    }
}

fn told(known: &Known<'_>, tlvs: &str) -> String {
    let wanted = format!(r#"{{ "version": "v2", "tlvs": [{tlvs}] }}"#);
    let wanted: UpstreamProxy = serde_json::from_str(&wanted).expect("a good config");
    let Told { values, checksum } = known.told(&wanted);
    let mut all: Vec<String> = values
        .iter()
        .map(|(kind, value)| format!("{kind:02x}={}", value.escape_ascii()))
        .collect();
    all.extend(checksum.then(|| "sum".to_owned()));
    all.join(" ")
}

#[test]
fn what_is_known_is_told_in_order_and_own_proof_counts_first() {
    let before = said(&[
        (0x01, b"h2"),
        (0x02, b"before.example"),
        (0x05, b"id"),
        (0x20, b"\x01\0\0\0\x01"),
        (0x30, b"blue"),
    ]);
    let tls = Secure {
        version: "TLSv1.3",
        cipher: "TLS13_AES_256_GCM_SHA384",
        sni: Some("a.example".into()),
        ..Secure::default()
    };
    let nothing = Known {
        id: b"made",
        ..Known::default()
    };
    let proxied = Known {
        proxied: Some(&before),
        ..nothing
    };
    let secure = Known {
        tls: Some(&tls),
        alpn: Some(b"http/1.1"),
        ..proxied
    };
    let all = r#""authority", "crc32c", "alpn", "unique_id", "tlv_30""#;
    for (known, tlvs, want) in [
        (nothing, all, "05=made sum"),
        (proxied, all, "02=before.example 01=h2 05=id 30=blue sum"),
        (secure, all, "02=a.example 01=http/1.1 05=id 30=blue sum"),
        (secure, "", ""),
        (nothing, r#""ssl""#, ""),
        (proxied, r#""ssl""#, r"20=\x01\x00\x00\x00\x01"),
        (
            secure,
            r#""ssl""#,
            r"20=\x01\x00\x00\x00\x01!\x00\x07TLSv1.3#\x00\x16TLS_AES_256_GCM_SHA384",
        ),
    ] {
        assert_eq!(told(&known, tlvs), want, "{tlvs}");
    }
}

#[test]
fn a_certificate_is_told_as_it_was_proved() {
    let long = "x".repeat(MAX_CN + 1);
    for (resumed, name, want) in [
        (false, Some("alice"), (7, true, Some("alice"))),
        (true, Some("alice"), (5, true, Some("alice"))),
        (false, None, (7, true, None)),
        (false, Some(&*long), (7, true, None)),
    ] {
        let tls = Secure {
            version: "TLSv1.2",
            resumed,
            certificate: Some(ClientCertificate {
                common_name: name.map(Into::into),
                ..ClientCertificate::default()
            }),
            ..Secure::default()
        };
        let value = ssl(&tls);
        let mut read = Ssl::parse(&value).expect("well-formed");
        let cn = read.parts.find(|t| t.kind == Ssl::CN).map(|t| t.value);
        let (client, verified, name) = want;
        assert_eq!((read.client, read.verified), (client, verified));
        assert_eq!(cn, name.map(str::as_bytes));
    }
}
