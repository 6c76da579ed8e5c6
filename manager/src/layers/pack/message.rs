//! What knarrd and its pack helper tell each other.
//!
//! ```text
//! knarrd ── exec: knarrd pack <Plan as JSON> ───────────────▶ helper
//! knarrd ◀── stdout: the tar; stderr: one Report as JSON ──── helper
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::PackFault;

/// The word that makes knarrd its own helper.
pub(crate) const COMMAND: &str = "pack";

/// What is packed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Tree {
    /// What an overlay's upper directory holds: only what was changed, with whiteouts.
    Changes { upper: PathBuf },
    /// Where a whole directory differs from what these layers, nearest first, show.
    Differences { directory: PathBuf, below: Vec<PathBuf> },
    /// All that these layers, nearest first, show.
    Whole { layers: Vec<PathBuf> },
}

/// Which times the entries get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Times {
    /// Their own, in seconds.
    Kept,
    /// Their own, and none after so many seconds since 1970.
    AtMost(i64),
}

/// One tree to pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Whose helper it is: it ends with that process.
    pub(super) parent_pid: i32,
    pub(super) tree: Tree,
    pub(super) times: Times,
}

/// The helper's last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The tar is whole.
    Done,
    /// It is not.
    Failed(PackFault),
}
