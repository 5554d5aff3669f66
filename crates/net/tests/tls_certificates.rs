//! Which certificate a client is shown, and how it is replaced.

mod kit;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::config;
use kit::tls::{self, client_config, one, Authority, Folder, Wish};
use kit::{Edge, Origin};
use rustls::{ClientConfig, RootCertStore};

fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    let mut config = client_config(&authority.roots(), None);
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// A client that takes any certificate, to see which it is shown.
fn curious() -> Arc<ClientConfig> {
    #[derive(Debug)]
    struct Any;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    impl ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            tls::provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }
    let mut config = client_config(&Arc::new(RootCertStore::empty()), None);
    config.dangerous().set_certificate_verifier(Arc::new(Any));
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

#[test]
fn by_name_then_by_wildcard_then_the_first() {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    let first = authority.server(&["first.example"]);
    let wild = authority.server(&["*.b.example", "b.example"]);
    let exact = authority.server(&["x.b.example", "127.0.0.1"]);
    folder
        .pair("first", &first)
        .pair("wild", &wild)
        .pair("exact", &exact);
    let pair = |n: &str| format!("{{ \"cert\": \"{n}.pem\", \"key\": \"{n}.key\" }}");
    let all = ["first", "wild", "exact"].map(pair).join(", ");
    let tls = format!("{{ \"certificates\": [{all}] }}");
    let edge = Edge::start_in(&folder.0, &tls::config(origin.at, &tls, "{}"));
    let config = curious();
    for (asked, shown) in [
        ("first.example", &first),
        ("FIRST.example", &first),
        ("b.example", &wild),
        ("y.b.example", &wild),
        ("x.b.example", &exact),
        ("X.B.Example", &exact),
        ("z.y.b.example", &first),
        ("nobody.example", &first),
        // An address is not asked for.
        ("127.0.0.1", &first),
    ] {
        let client = tls::connect(edge.at(), asked, &config).expect("secure");
        assert_eq!(tls::shown(&client), tls::der(&shown.cert), "{asked}");
    }
}

/// `REPLACED_EACH_SECOND=60` replaces one each second for a minute instead.
#[test]
fn a_certificate_replaced_ten_times_a_second_fails_no_handshake() {
    let seconds = std::env::var("REPLACED_EACH_SECOND");
    let (long, pause) = match seconds.ok().and_then(|s| s.parse().ok()) {
        Some(seconds) => (Duration::from_secs(seconds), Duration::from_secs(1)),
        None => (Duration::from_secs(3), Duration::from_millis(100)),
    };
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    let leaves: Vec<_> = (1..=4)
        .map(|serial| {
            authority.make(Wish {
                names: &["a.example"],
                serial,
                ..Wish::default()
            })
        })
        .collect();
    folder.pair("a", &leaves[0]);
    let edge = Edge::start_in(&folder.0, &tls::config(origin.at, &one(""), "{}"));
    let (over, done) = (AtomicBool::new(false), AtomicU32::new(0));
    let config = trusting(&authority);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                let mut kept = tls::connect(edge.at(), "a.example", &config).expect("secure");
                while !over.load(SeqCst) {
                    let answer = tls::get(edge.at(), "a.example", &config).expect("a handshake");
                    assert_eq!(answer.status, 200);
                    assert_eq!(kept.get("/kept").status, 200, "a connection goes on");
                    done.fetch_add(1, SeqCst);
                }
            });
        }
        let began = Instant::now();
        let (mut replaced, mut halves) = (0, 0);
        for leaf in leaves.iter().cycle() {
            if began.elapsed() > long {
                break;
            }
            folder.put("a.pem", &leaf.cert);
            // Another look comes between the two: one half is no pair, and the old one stays.
            let looked = edge.gateway.look_at_certificates();
            halves += looked.iter().filter(|l| !l.faults.is_empty()).count();
            folder.put("a.key", &leaf.key);
            let looked = edge.gateway.look_at_certificates();
            assert!(looked.iter().all(|l| l.faults.is_empty()), "{looked:?}");
            let client = tls::connect(edge.at(), "a.example", &config).expect("secure");
            assert_eq!(tls::shown(&client), tls::der(&leaf.cert), "in use at once");
            replaced += 1;
            std::thread::sleep(pause);
        }
        over.store(true, SeqCst);
        let least = (long.as_millis() / pause.as_millis() / 2) as usize - 5;
        assert!(replaced >= least && halves >= least, "{replaced} {halves}");
        println!("replaced {replaced} times in {long:?}");
    });
    let done = done.load(SeqCst);
    println!("{done} whole handshakes beside, each with a request");
    assert!(done > 20, "{done} requests beside");
    let failures = "\"name\":\"ironsluice_tls_handshake_failures_total\"";
    let told = edge.gateway.metrics_json();
    let at = told.find(failures).expect("the counter");
    let end = at + told[at..].find("]}").expect("an end");
    assert!(
        told[at..end].ends_with("\"values\":["),
        "none failed: {}",
        &told[at..end]
    );
}

#[test]
fn what_cannot_be_used_is_reported_and_the_old_stays() {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    let old = authority.server(&["a.example"]);
    let new = authority.server(&["a.example"]);
    folder.pair("a", &old);
    let edge = Edge::start_in(&folder.0, &tls::config(origin.at, &one(""), "{}"));
    assert_eq!(edge.gateway.look_at_certificates(), [], "nothing changed");
    let at = "listeners[0].tls.certificates[0]";
    for (file, text, path, why) in [
        ("a.key", new.key.as_str(), "key", "another certificate's"),
        ("a.pem", "no PEM", "cert", "there is no certificate"),
        ("a.key", "", "key", "there is no private key"),
    ] {
        folder.pair("a", &old);
        edge.gateway.look_at_certificates();
        folder.put(file, text);
        let looked = edge.gateway.look_at_certificates();
        let fault = &looked[0].faults[0];
        assert_eq!(fault.path, format!("{at}.{path}"));
        assert!(fault.why.contains(why), "{fault}");
        let client = tls::connect(edge.at(), "a.example", &trusting(&authority)).expect("secure");
        assert_eq!(tls::shown(&client), tls::der(&old.cert));
    }
    std::fs::remove_file(folder.0.join("a.pem")).expect("removed");
    assert!(edge.gateway.look_at_certificates()[0].faults[0]
        .why
        .contains("no such file"));
    assert!(tls::get(edge.at(), "a.example", &trusting(&authority)).is_ok());
    folder.pair("a", &new);
    assert!(edge.gateway.look_at_certificates()[0].faults.is_empty());
    let client = tls::connect(edge.at(), "a.example", &trusting(&authority)).expect("secure");
    assert_eq!(tls::shown(&client), tls::der(&new.cert));
}

#[test]
fn a_reload_with_bad_files_changes_nothing() {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    folder.pair("a", &authority.server(&["a.example"]));
    let good = tls::config(origin.at, &one(""), "{}");
    let edge = Edge::start_in(&folder.0, &good);
    let bad = config::parse(&good.replace("a.pem", "b.pem")).expect("a config");
    let refused = edge.gateway.reload(bad);
    assert!(matches!(refused, Err(net::StartError::Config(f)) if f[0].why.contains("b.pem")));
    assert_eq!(edge.gateway.revision(), 1);
    assert!(tls::get(edge.at(), "a.example", &trusting(&authority)).is_ok());
}

#[test]
fn published_certificates_and_challenges() {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    let own = authority.server(&["a.example", "*.wild.example"]);
    folder.pair("a", &own);
    let edge = Edge::start_in(&folder.0, &tls::config(origin.at, &one(""), "{}"));
    let g = &edge.gateway;
    let given = authority.server(&["a.example", "b.example", "c.wild.example"]);
    let publish = |name: &str, leaf: &tls::Leaf| {
        g.publish_certificate(name, leaf.cert.as_bytes(), leaf.key.as_bytes())
    };
    for name in ["a.example", "b.example", "c.wild.example"] {
        publish(name, &given).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let ended = authority.make(Wish {
        names: &["b.example"],
        days: -1,
        ..Wish::default()
    });
    assert_eq!(publish("b.example", &ended), Err(net::Unpublished::NotNow));
    assert_eq!(
        publish("z.example", &given),
        Err(net::Unpublished::OtherName)
    );
    let mixed = tls::Leaf {
        cert: given.cert.clone(),
        key: own.key.clone(),
    };
    assert!(matches!(
        publish("b.example", &mixed),
        Err(net::Unpublished::Bad(_))
    ));
    let shown = |host: &str| {
        let client = tls::connect(edge.at(), host, &curious()).expect("secure");
        tls::shown(&client)
    };
    // The config's own names go first, its wildcards last.
    assert_eq!(shown("a.example"), tls::der(&own.cert));
    assert_eq!(shown("b.example"), tls::der(&given.cert));
    assert_eq!(shown("c.wild.example"), tls::der(&given.cert));
    assert_eq!(shown("d.wild.example"), tls::der(&own.cert));
    // They stay over a reload.
    edge.reload(
        &tls::config(origin.at, &one(""), "{}")
            .replace("a.pem", &folder.0.join("a.pem").display().to_string()),
    );
    assert_eq!(shown("b.example"), tls::der(&given.cert));
    let metric = g.metrics_json();
    assert!(metric.contains("ironsluice_certificate_not_after_seconds"));
    assert!(
        metric.contains(r#""labels":{"listener":"","name":"b.example"}"#),
        "{metric}"
    );
    assert!(g.withdraw_certificate("b.example") && !g.withdraw_certificate("b.example"));
    assert_eq!(shown("b.example"), tls::der(&own.cert));

    let proof = authority.server(&["b.example"]);
    g.set_challenge("b.example", proof.cert.as_bytes(), proof.key.as_bytes())
        .expect("taken");
    let mut asking = (*curious()).clone();
    asking.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let asking = Arc::new(asking);
    let mut client = tls::connect(edge.at(), "b.example", &asking).expect("secure");
    assert_eq!(tls::shown(&client), tls::der(&proof.cert));
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert_eq!(client.ends(), Ok(()), "nothing is spoken in it");
    assert_eq!(
        shown("b.example"),
        tls::der(&own.cert),
        "others see nothing of it"
    );
    assert!(g.clear_challenge("b.example"));
    assert!(tls::connect(edge.at(), "b.example", &asking).is_err());
}

#[test]
fn faults_of_files() {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    let good = authority.server(&["a.example"]);
    let other = authority.server(&["a.example"]);
    let ended = authority.make(Wish {
        names: &["a.example"],
        days: -1,
        ..Wish::default()
    });
    folder
        .pair("a", &good)
        .pair("other", &other)
        .pair("ended", &ended);
    folder.put("empty.pem", "");
    folder.put(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    folder.put("ca.pem", &authority.pem);
    let listener = "listeners[0].tls.certificates[0]";
    let upstream = "upstreams[0].tls";
    for (tls, up, faults) in [
        (one(""), "{}".to_owned(), vec![]),
        (
            one("").replace("a.pem", "none.pem"),
            "{}".into(),
            vec![(format!("{listener}.cert"), "no such file")],
        ),
        (
            one("").replace("a.key", "other.key"),
            "{}".into(),
            vec![(format!("{listener}.key"), "another certificate's")],
        ),
        (
            one("").replace("a.key", "locked.key"),
            "{}".into(),
            vec![(format!("{listener}.key"), "encrypted")],
        ),
        (
            one("").replace("a.pem", "empty.pem"),
            "{}".into(),
            vec![(format!("{listener}.cert"), "no certificate")],
        ),
        (
            one("").replace("\"a.", "\"ended."),
            "{}".into(),
            vec![(format!("{listener}.cert"), "ended on")],
        ),
        (
            one(r#", "client": { "mode": "required", "ca": "empty.pem" }"#),
            "{}".into(),
            vec![("listeners[0].tls.client.ca".into(), "no certificate")],
        ),
        (
            one(r#", "client": { "mode": "required", "ca": "ca.pem", "crl": "ca.pem" }"#),
            "{}".into(),
            vec![("listeners[0].tls.client.crl".into(), "no revocation list")],
        ),
        (
            one("").replace("a.pem", "none.pem"),
            r#"{ "tls": { "ca": "none.pem" } }"#.into(),
            vec![
                (format!("{listener}.cert"), "no such file"),
                (format!("{upstream}.ca"), "no such file"),
            ],
        ),
        (
            one(""),
            r#"{ "tls": { "client_cert": "a.pem", "client_key": "other.key" } }"#.into(),
            vec![(format!("{upstream}.client_key"), "another certificate's")],
        ),
    ] {
        let text = tls::config(origin.at, &tls, &up[..]);
        let config = config::parse(&text).unwrap_or_else(|f| panic!("{f:?} {text}"));
        let found = net::check_files(&config, &folder.0, true);
        assert_eq!(found.len(), faults.len(), "{found:?}");
        for (fault, (path, why)) in found.iter().zip(&faults) {
            assert_eq!(&fault.path, path, "{fault}");
            assert!(fault.why.contains(why) && !fault.fix.is_empty(), "{fault}");
        }
    }
    // A start takes a certificate that has ended: an old one is better than none.
    let text = tls::config(origin.at, &one("").replace("\"a.", "\"ended."), "{}");
    let config = config::parse(&text).expect("a config");
    assert_eq!(net::check_files(&config, &folder.0, false), []);
    let edge = Edge::start_in(&folder.0, &text);
    let client = tls::connect(edge.at(), "a.example", &curious()).expect("secure");
    assert_eq!(tls::shown(&client), tls::der(&ended.cert));
}
