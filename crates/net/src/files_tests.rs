use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::readers::{Job, Readers, Work};
use super::*;
use crate::asks::{Answered, Brought};
use crate::mailbox::{Mail, Mailbox};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ironsluice-{name}-{}", std::process::id()));
        let _left_over = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("site/d")).expect("a folder");
        Self(path)
    }

    fn put(&self, name: &str, text: &[u8]) {
        fs::write(self.0.join(name), text).expect("a file");
    }

    fn call(&self, paths: &[&str], directories: bool, links: Links) -> FileCall {
        FileCall {
            root: Arc::from(self.0.join("site")),
            paths: paths.iter().map(|p| p.as_bytes().into()).collect(),
            directories,
            links,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// In few words.
fn told(opened: &Opened) -> String {
    match opened {
        Opened::Found(f) => format!("{} {:?} {}", f.at, f.kind, f.size),
        Opened::No(why) => format!("{why:?}"),
        Opened::Failed => "failed".to_owned(),
        Opened::Blocked => "blocked".to_owned(),
    }
}

#[test]
fn the_first_path_that_is_there_is_opened_and_none_outside() {
    let f = Folder::new("open");
    f.put("secret", b"secret");
    f.put("site/a", b"12345");
    symlink("../secret", f.0.join("site/out")).expect("a link");
    symlink("a", f.0.join("site/in")).expect("a link");
    symlink("/dev/zero", f.0.join("site/zero")).expect("a link");
    for (paths, directories, links, want) in [
        (&["a"][..], true, Links::Inside, "0 File 5"),
        (&["x", "a"], true, Links::Inside, "1 File 5"),
        (&["d"], true, Links::Inside, "0 Directory"),
        (&["d"], false, Links::Inside, "Absent"),
        (&["d", "a"], false, Links::Inside, "1 File 5"),
        (&["x"], true, Links::Inside, "Absent"),
        (&["a/x"], true, Links::Inside, "Absent"),
        (&["in"], true, Links::Inside, "0 File 5"),
        (&["in"], true, Links::Refuse, "Denied"),
        (&["out"], true, Links::Inside, "Denied"),
        (&["out", "a"], true, Links::Inside, "1 File 5"),
        (&["out", "x"], true, Links::Inside, "Denied"),
        (&["out"], true, Links::Follow, "0 File 6"),
        (&["zero"], true, Links::Follow, "Absent"),
        // The core asks for no such paths: the system refuses them by itself.
        (&["../secret"], true, Links::Inside, "Denied"),
        (&["/etc/passwd"], true, Links::Inside, "Denied"),
        (&["a\0b"], true, Links::Follow, "Absent"),
    ] {
        let call = f.call(paths, directories, links);
        let got = told(&open(&call, Patience::Any));
        assert!(got.starts_with(want), "{paths:?} {links:?}: {got}");
        // What was just looked for is known to the system, and needs no patience; of some errors it is not sure by itself.
        let again = told(&open(&call, Patience::None));
        let unsure = again == "blocked" && paths != ["a"];
        assert!(again == got || unsure, "{paths:?} {links:?}: {again}");
    }
    let nowhere = FileCall {
        root: Arc::from(Path::new("/nowhere")),
        ..f.call(&["a"], true, Links::Inside)
    };
    assert_eq!(told(&open(&nowhere, Patience::Any)), "failed");
}

/// Reads all of it, `room` bytes at a time, as far as it goes.
fn drained(source: &mut Source, room: usize) -> (Vec<u8>, bool) {
    let (mut all, mut into) = (Vec::new(), vec![0; room]);
    loop {
        match source.read(&mut into) {
            Moved::Some(n) => all.extend_from_slice(&into[..n]),
            Moved::Blocked => {
                // As a thread does it.
                let (from, len) = source.wanted(room).expect("a piece of the file");
                let file = source.file().expect("a file");
                let Some(bytes) = read_slowly(&file, from, len) else {
                    return (all, false);
                };
                source.advance(bytes.len());
                all.extend_from_slice(&bytes);
            }
            Moved::End => return (all, source.wanted(1).is_none()),
            Moved::Broken => panic!("it is broken"),
        }
    }
}

fn body(opened: Opened, pieces: Vec<Piece>) -> Arc<FileBody> {
    let Opened::Found(found) = opened else {
        panic!("{opened:?}")
    };
    Arc::new(FileBody::new(found.handle, pieces))
}

#[test]
fn pieces_are_read_in_order_whatever_the_room_and_a_shorter_file_ends_early() {
    let f = Folder::new("read");
    f.put("site/a", b"0123456789");
    let text = |t: &str| Piece::Text(t.as_bytes().to_vec());
    let part = |from, len| Piece::File { from, len };
    let pieces = || {
        vec![
            text("<"),
            part(0, 10),
            text("|"),
            part(7, 3),
            text(""),
            text(">"),
        ]
    };
    let call = f.call(&["a"], true, Links::Inside);
    for room in [1, 2, 3, 7, 64] {
        let body = body(open(&call, Patience::Any), pieces());
        assert_eq!(body.len(), 16);
        let (all, whole) = drained(&mut Source::new(body), room);
        assert_eq!(
            (all.as_slice(), whole),
            (&b"<0123456789|789>"[..], true),
            "{room}"
        );
    }
    let body = body(open(&call, Patience::Any), pieces());
    f.put("site/a", b"0123");
    let (all, whole) = drained(&mut Source::new(body), 64);
    assert_eq!((all.as_slice(), whole), (&b"<0123"[..], false));
}

#[test]
fn threads_open_and_read_and_tell_who_asked() {
    let f = Folder::new("threads");
    f.put("site/a", b"0123456789");
    let mailbox = Arc::new(Mailbox::new().expect("a mailbox"));
    let readers = Readers::default();
    let post = |serial, work| {
        let job = Job {
            work,
            mailbox: mailbox.clone(),
            token: 7,
            serial,
        };
        assert!(readers.post(job).is_ok());
    };
    let call = |path| Work::Open(Box::new(f.call(&[path], true, Links::Inside)));
    post(1, call("a"));
    post(2, call("x"));
    let file = Arc::new(File::open(f.0.join("site/a")).expect("a file"));
    for (serial, from) in [(3, 4), (4, 99)] {
        let file = file.clone();
        post(serial, Work::Read { file, from, len: 3 });
    }
    let mut came: Vec<Answered> = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while came.len() < 4 {
        assert!(Instant::now() < deadline, "{} of 4 came", came.len());
        for mail in mailbox.take() {
            if let Mail::Answers(all) = mail {
                came.extend(all);
            }
        }
        std::thread::yield_now();
    }
    came.sort_by_key(|a| a.serial);
    let told: Vec<String> = came
        .iter()
        .map(|a| match &a.brought {
            Brought::File(Ok(found)) => format!("{} {}", a.token, found.size),
            Brought::File(Err(why)) => format!("{} {why:?}", a.token),
            Brought::Bytes(bytes) => format!("{} {bytes:?}", a.token),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["7 10", "7 Absent", "7 Some([52, 53, 54])", "7 None"]);
}
