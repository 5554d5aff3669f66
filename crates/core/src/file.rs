//! Files: what a filter asks of the owner of the thread, what it is told, and the body that is made of one.
//!
//! The core says which path below which root, and which bytes of the file; it never reads one. What was opened is a
//! [`Handle`] that the core hands back and does not look inside.
//!
//! Bounds: [`MOST_PATHS`] paths of one call.

use std::any::Any;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

/// The most paths of one call.
pub const MOST_PATHS: usize = 16;

/// Asks for the first of these paths that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCall {
    /// The folder that nothing outside of is opened.
    pub root: Arc<Path>,
    /// Paths below it: without a slash in front, empty segments, `.`, `..` or NUL.
    pub paths: Arc<[Box<[u8]>]>,
    /// Whether a directory counts as there; else it is passed over.
    pub directories: bool,
    /// What is done about symbolic links below the root.
    pub links: Links,
}

/// What is done about symbolic links below a root. The root itself may be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StaticSymlinks")]
pub enum Links {
    /// A path with one in it is refused.
    Refuse,
    /// They are followed as long as they stay below the root; an absolute one does not.
    #[default]
    Inside,
    /// They are followed wherever they lead.
    Follow,
}

/// What was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which of the paths.
    pub at: usize,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// When it was last changed: seconds since 1970.
    pub modified: i64,
    /// The file itself.
    pub handle: Handle,
}

/// What a path leads to. Nothing else is opened: no device, no FIFO, no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Why no path led to anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFile {
    /// None is there.
    Absent,
    /// One may be there, and must not be opened: its permissions, or a link that leads outside.
    Denied,
}

/// An open file, of which only its owner knows more.
#[derive(Clone)]
pub struct Handle(pub Arc<dyn Any + Send + Sync>);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Handle {}

/// A body that is made of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBody {
    handle: Handle,
    pieces: Vec<Piece>,
    len: u64,
}

impl FileBody {
    /// These pieces of this file.
    pub fn new(handle: Handle, pieces: Vec<Piece>) -> Self {
        let len = pieces.iter().map(Piece::len).sum();
        Self {
            handle,
            pieces,
            len,
        }
    }

    /// The file.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What it is made of, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Bytes of all pieces.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A piece of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Text(Vec<u8>),
    /// Bytes of the file.
    File {
        /// Where they begin.
        from: u64,
        /// How many they are.
        len: u64,
    },
}

impl Piece {
    /// Its bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
