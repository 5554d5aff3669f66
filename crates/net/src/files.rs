//! Files of folders: opened below their root, and read as clients take them.
//!
//! The system is asked to do only what it can do at once: names and bytes that it has in memory. For what is on a disk, or further
//! away, a thread beside the shards waits (`readers.rs`), so that a slow disk holds no other request.
//!
//! Bounds: a request reads one piece ahead, as long as a receive; see [`readers`] for those that wait.

use std::ffi::CString;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use gateway_core::file::{FileBody, FileCall, Found, Handle, Kind, Links, NoFile, Piece};

use crate::poll::Moved;

pub(crate) mod readers;
#[allow(unsafe_code, reason = "calls of the system")]
mod sys;

/// Whether a call may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It answers at once, or says that it would wait.
    None,
    /// It waits.
    Any,
}

/// What became of a call.
#[derive(Clone, Debug)]
pub(crate) enum Opened {
    Found(Found),
    No(NoFile),
    /// The root is no folder, or the system failed.
    Failed,
    /// It would wait.
    Blocked,
}

/// Opens the first path that is there.
pub(crate) fn open(call: &FileCall, patience: Patience) -> Opened {
    let cached = match patience {
        Patience::None => libc::RESOLVE_CACHED,
        Patience::Any => 0,
    };
    let Ok(root) = CString::new(call.root.as_os_str().as_bytes()) else {
        return Opened::Failed;
    };
    let folder = libc::O_PATH | libc::O_DIRECTORY;
    let root = match patiently(patience, || {
        sys::open(libc::AT_FDCWD, &root, folder, cached)
    }) {
        Ok(root) => root,
        Err(libc::EAGAIN) if patience == Patience::None => return Opened::Blocked,
        Err(_) => return Opened::Failed,
    };
    let links = match call.links {
        Links::Refuse => libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS,
        Links::Inside => libc::RESOLVE_BENEATH,
        Links::Follow => 0,
    };
    let resolve = links | libc::RESOLVE_NO_MAGICLINKS | cached;
    let mut denied = false;
    for (at, path) in call.paths.iter().enumerate() {
        let Ok(path) = CString::new(&**path) else {
            continue;
        };
        // What it is stands fast only once it is open; a FIFO must not hold the thread for that.
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let fd = patiently(patience, || {
            sys::open(root.as_raw_fd(), &path, flags, resolve)
        });
        let file = match fd {
            Ok(fd) => File::from(fd),
            Err(libc::EAGAIN) if patience == Patience::None => return Opened::Blocked,
            Err(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ENXIO | libc::ENODEV) => {
                continue;
            }
            Err(libc::EACCES | libc::EPERM | libc::ELOOP | libc::EXDEV) => {
                denied = true;
                continue;
            }
            Err(_) => return Opened::Failed,
        };
        let Ok(facts) = file.metadata() else {
            return Opened::Failed;
        };
        let kind = match facts.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() && call.directories => Kind::Directory,
            _ => continue,
        };
        return Opened::Found(Found {
            at,
            kind,
            size: facts.len(),
            modified: facts.mtime(),
            handle: Handle(Arc::new(file)),
        });
    }
    Opened::No(if denied {
        NoFile::Denied
    } else {
        NoFile::Absent
    })
}

/// The system also says EAGAIN when something was renamed meanwhile, so that it cannot tell whether a path stayed below its root.
fn patiently(patience: Patience, open: impl Fn() -> Result<OwnedFd, i32>) -> Result<OwnedFd, i32> {
    let mut left = match patience {
        Patience::None => 0,
        Patience::Any => TRIES,
    };
    loop {
        match open() {
            Err(libc::EAGAIN) if left > 0 => left -= 1,
            opened => return opened,
        }
    }
}

/// A body that is made of a file, and how far it was read.
pub(crate) struct Source {
    body: Arc<FileBody>,
    /// Which piece is read.
    piece: usize,
    /// How much of that was.
    at: u64,
    /// The read that a thread makes; 0 for none.
    pub waits: u64,
}

impl Source {
    /// From its beginning.
    pub fn new(body: Arc<FileBody>) -> Self {
        Self {
            body,
            piece: 0,
            at: 0,
            waits: 0,
        }
    }

    /// The file, for a thread that reads it.
    pub fn file(&self) -> Option<Arc<File>> {
        self.body.handle().0.clone().downcast().ok()
    }

    fn fd(&self) -> RawFd {
        let file = self.body.handle().0.downcast_ref::<File>();
        file.map_or(-1, AsRawFd::as_raw_fd)
    }

    /// As much of what comes next as is there without waiting. [`Moved::End`] if the file is shorter than it was.
    pub fn read(&mut self, into: &mut [u8]) -> Moved {
        let fd = self.fd();
        let mut filled = 0;
        while filled < into.len() {
            let room = &mut into[filled..];
            let got = match self.body.pieces().get(self.piece) {
                None => break,
                Some(Piece::Text(text)) => {
                    let rest = &text[self.at as usize..];
                    let n = rest.len().min(room.len());
                    room[..n].copy_from_slice(&rest[..n]);
                    Moved::Some(n)
                }
                Some(Piece::File { from, len }) => {
                    let n = fitting(len - self.at, room.len());
                    sys::read_now(fd, &mut room[..n], from + self.at)
                }
            };
            match got {
                Moved::Some(n) => {
                    self.advance(n);
                    filled += n;
                }
                _ if filled > 0 => break,
                other => return other,
            }
        }
        if filled == 0 {
            return Moved::End;
        }
        Moved::Some(filled)
    }

    /// What a thread is to read: where, and how much.
    pub fn wanted(&self, most: usize) -> Option<(u64, usize)> {
        match self.body.pieces().get(self.piece)? {
            Piece::File { from, len } => Some((from + self.at, fitting(len - self.at, most))),
            Piece::Text(_) => None,
        }
    }

    /// So many bytes of the piece were read.
    pub fn advance(&mut self, n: usize) {
        self.at += n as u64;
        while let Some(piece) = self.body.pieces().get(self.piece) {
            if self.at < piece.len() {
                return;
            }
            self.at = 0;
            self.piece += 1;
        }
    }
}

/// Reads, and waits for it. None if the file is shorter than it was, or cannot be read.
pub(crate) fn read_slowly(file: &File, from: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    loop {
        match file.read_at(&mut bytes, from) {
            Ok(0) => return None,
            Ok(n) => {
                bytes.truncate(n);
                return Some(bytes);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn fitting(len: u64, room: usize) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX).min(room)
}

/// Renames that one call outlasts.
const TRIES: u32 = 16;

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
