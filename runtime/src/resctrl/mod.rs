//! resctrl, the kernel's interface to shares of caches and memory bandwidth (Intel RDT and its likes): a container's
//! control group, which is a directory like a cgroup's, its monitoring group, and what they count.
//!
//! The root is wherever mountinfo says that resctrl is mounted; this never mounts it. A control group is the
//! container's own (`linux.intelRdt.closID` is not set), and goes with it, or somebody else's, and stays.
#![forbid(unsafe_code)]

mod group;
mod schema;
mod stats;

use std::path::{Path, PathBuf};

use crate::sys::{Errno, file, mountinfo};

pub(crate) use group::{Group, Wanted};
pub(crate) use schema::Schemata;
pub(crate) use stats::Stats;

/// The kernel's files here are a line for each resource, or one number.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// Why a container has no share. runc's words where there are some.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum ResctrlError {
    #[error(
        "intelRdt is specified in config, but Intel RDT is not enabled: no resctrl filesystem is mounted; mount one \
         (mount -t resctrl resctrl /sys/fs/resctrl), or remove linux.intelRdt"
    )]
    NotMounted,
    #[error(
        "{field} is specified in config, but this machine's resctrl has no {resource} to share; remove it"
    )]
    NoResource { field: &'static str, resource: &'static str },
    #[error("invalid intelRdt.ClosID {0:?}: it must be the name of one directory, or /")]
    Class(String),
    #[error("{field} must be one line{beginning}, not {value:?}")]
    Line { field: &'static str, beginning: &'static str, value: String },
    #[error(
        "clos dir not accessible: {path} must exist when schemata, l3CacheSchema and memBwSchema are empty; make it"
    )]
    NoClass { path: PathBuf, source: Errno },
    #[error("{path} has other shares than {wanted:?} asks for ({found:?}); other containers may use them")]
    Differs { path: PathBuf, wanted: String, found: String },
    #[error("cannot make the resctrl group {path}{status}")]
    Make { path: PathBuf, status: Status, source: Errno },
    #[error("cannot write {value:?} to {path}{status}")]
    Write { path: PathBuf, value: String, status: Status, source: Errno },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: Errno },
    #[error("cannot remove the resctrl group {path}")]
    Remove { path: PathBuf, source: Errno },
}

/// What `info/last_cmd_status` says after a failure: the errno alone tells little.
#[derive(Debug)]
pub(crate) struct Status(Option<String>);

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |text| write!(formatter, ", last_cmd_status: {text}"))
    }
}

/// The mounted filesystem.
#[derive(Clone, Debug)]
pub(crate) struct Resctrl {
    root: PathBuf,
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

    fn status(&self) -> Status {
        let text = file::read_text(&self.root.join("info/last_cmd_status"), MAX_FILE_BYTES);
        Status(text.ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty() && text != "ok"))
    }
}

/// The mount point, escaped, of a line of proc_pid_mountinfo(5), if it is a resctrl filesystem's.
fn mount_point(line: &str) -> Option<&str> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let is_resctrl = filesystem.split(' ').next() == Some("resctrl");
    mount.split(' ').nth(4).filter(|_| is_resctrl)
}

fn read(path: &Path) -> Result<String, ResctrlError> {
    let text = file::read_text(path, MAX_FILE_BYTES)
        .map_err(|source| ResctrlError::Read { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
