//! The resctrl filesystem, wherever it is mounted, and its small files.

use std::path::{Path, PathBuf};

use super::error::{ResctrlError, Status};
use crate::sys::{file, mountinfo};

/// The kernel's files here are a line for each resource, or one number.
pub(crate) const MAX_FILE_BYTES: usize = 64 * 1024;

/// The mounted filesystem.
#[derive(Clone, Debug)]
pub(crate) struct Resctrl {
    pub(crate) root: PathBuf,
}

impl Resctrl {
    /// Looks for it in mountinfo.
    ///
    /// # Errors
    /// [`ResctrlError::Read`]; [`ResctrlError::NotMounted`] when there is none.
    pub(crate) fn find() -> Result<Self, ResctrlError> {
        let text = mountinfo::read()
            .map_err(|source| ResctrlError::Read { path: mountinfo::PATH.into(), source })?;
        let root = text.lines().find_map(mount_point).ok_or(ResctrlError::NotMounted)?;
        Ok(Self::at(mountinfo::unescape(root).into()))
    }

    /// The one that is mounted at `root`.
    #[must_use]
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Whether there is something of a kind (`L3`, `MB`) to share.
    #[must_use]
    pub(crate) fn shares(&self, resource: &str) -> bool {
        self.root.join("info").join(resource).is_dir()
    }

    pub(crate) fn status(&self) -> Status {
        let text = file::read_text(&self.root.join("info/last_cmd_status"), MAX_FILE_BYTES);
        Status(text.ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty() && text != "ok"))
    }
}

/// The mount point, escaped, of a line of proc_pid_mountinfo(5), if it is a resctrl filesystem's.
pub(crate) fn mount_point(line: &str) -> Option<&str> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let is_resctrl = filesystem.split(' ').next() == Some("resctrl");
    mount.split(' ').nth(4).filter(|_| is_resctrl)
}

pub(crate) fn read(path: &Path) -> Result<String, ResctrlError> {
    let text = file::read_text(path, MAX_FILE_BYTES)
        .map_err(|source| ResctrlError::Read { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}
