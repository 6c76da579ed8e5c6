//! What knarrd and its edit helper tell each other.
//!
//! ```text
//! knarrd ── exec: knarrd edit -, the Plan as JSON on stdin ──▶ helper
//! knarrd ◀── stdout: one Report as JSON ────────────────────── helper
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::EditFault;
use super::select::Selection;

/// The word that makes knarrd its own helper.
pub(crate) const COMMAND: &str = "edit";

/// A mount, as the snapshotter has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::layers) struct MountPlan {
    pub(in crate::layers) is_overlay: bool,
    pub(in crate::layers) source: String,
    pub(in crate::layers) options: Vec<String>,
}

/// One snapshot to edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Whose helper it is: it ends with that process.
    pub(super) parent_pid: i32,
    /// What is edited; `None`: the directory itself.
    pub(super) mount: Option<MountPlan>,
    /// The directory, or where the mount goes, which only the helper sees.
    pub(super) place: PathBuf,
    /// Layers, nearest first, that files are copied from.
    pub(super) sources: Vec<PathBuf>,
    pub(super) edits: Vec<Edit>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Edit {
    /// A directory, and those above it, where they are missing.
    Directory { path: String, owner: Owner },
    /// A file of these bytes.
    File { path: String, text: String, mode: u32, owner: Owner },
    /// Files of the sources.
    Copy(CopyEdit),
}

/// Numbers of a user and a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyEdit {
    pub(crate) selection: Selection,
    /// Absolute; a slash at its end makes it a directory.
    pub(crate) target: String,
    /// `None` keeps that of the files.
    pub(crate) owner: Option<Owner>,
    /// As chmod(1) has it; empty keeps that of the files.
    pub(crate) mode: String,
}

/// The helper's last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// All is done.
    Done,
    /// Something is not.
    Failed(EditFault),
}
