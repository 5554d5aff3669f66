//! `history`: how many published configs are kept, to go back to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Whole;
use super::units::Size;

/// What is kept of published configs. The oldest leave first; the newest stays whatever its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How many; 0 for none.
    #[serde(default = "revisions")]
    pub revisions: Whole<0, 1000>,
    /// How many bytes all of them may have on disk, 1MiB to 1TiB.
    #[serde(default = "size")]
    pub size: Size,
}

impl Default for History {
    fn default() -> Self {
        Self {
            revisions: revisions(),
            size: size(),
        }
    }
}

fn revisions() -> Whole<0, 1000> {
    Whole::of(20)
}

fn size() -> Size {
    Size::kib(64 * 1024)
}

/// The least `size`.
pub(super) const LEAST_SIZE: Size = Size::kib(1024);
