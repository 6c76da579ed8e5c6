//! What knarrd and its unpack helper tell each other.
//!
//! ```text
//! knarrd ── exec: knarrd unpack <Plan as JSON>, the compressed layer as stdin ──▶ helper
//! knarrd ◀── stdout: Report as JSON, one a line: read* (done | failed) ────────── helper
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::LayerError;

/// The word that makes knarrd its own helper.
pub(crate) const COMMAND: &str = "unpack";

/// How what a layer removes is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Removal {
    /// overlayfs's way: a whiteout device, an opaque directory, over these lower directories, nearest first.
    Whiteouts(Vec<PathBuf>),
    /// What is below was copied here: it is deleted.
    Deletion,
}

/// Where an unpacking ends at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Limits {
    /// Bytes when uncompressed.
    pub(super) layer_bytes: u64,
    /// A layer larger than this may not be `ratio` times as large as its blob.
    pub(super) free_bytes: u64,
    /// gzip gets to 1032; only a bomb gets further.
    pub(super) ratio: u64,
    /// Files, directories and others.
    pub(super) entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { layer_bytes: 256 << 30, free_bytes: 1 << 30, ratio: 2000, entries: 4 << 20 }
    }
}

/// One layer to unpack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Whose helper it is: it ends with that process.
    pub(super) parent_pid: i32,
    /// The directory that it goes into.
    pub(super) root: PathBuf,
    pub(super) removal: Removal,
    /// The digest that the uncompressed bytes must have; empty for any.
    pub(super) diff_id: String,
    /// Below which directory of the root the entries go.
    pub(super) prefix: String,
    /// An archive that is no layer: no name in it means that something is gone.
    pub(super) is_plain: bool,
    pub(super) limits: Limits,
}

/// What the helper says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// So many compressed bytes are read.
    Read(u64),
    /// The layer is in its place.
    Done,
    /// It is not.
    Failed(LayerError),
}
