//! What a container is doing now. Nothing of it is stored: the process, the start gate, the creator's lock and the
//! freezer are asked each time.

use std::path::Path;

use knarr_proto::id::ContainerId;
use knarr_proto::status::Status;
use rustix::fs::CWD;

use super::claim::Directory;
use super::error::StateError;
use super::names::START_GATE;
use super::record::State;
use crate::sys::{errno_of, file};

/// A container as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// What it is doing.
    pub(crate) status: Status,
    /// Its first process in our pid namespace; 0 when there is none, as runc prints it.
    pub(crate) pid: u32,
}

impl State {
    /// Looks at the container.
    ///
    /// # Errors
    /// [`StateError`] when the process or the cgroup cannot be asked.
    pub(crate) fn observe(&self, root: &Path) -> Result<Observed, StateError> {
        let Some(init) = self.init else {
            let status = if self.is_claimed(root)? { Status::Creating } else { Status::Stopped };
            return Ok(Observed { status, pid: 0 });
        };
        if !init.is_alive()? {
            return Ok(Observed { status: Status::Stopped, pid: 0 });
        }
        let status = if self.cgroups.is_frozen()? {
            Status::Paused
        } else if !self.has_gate(root)? {
            Status::Running
        } else if self.is_claimed(root)? {
            Status::Creating
        } else {
            Status::Created
        };
        Ok(Observed { status, pid: init.pid })
    }

    fn has_gate(&self, root: &Path) -> Result<bool, StateError> {
        let path = root.join(self.id.as_str()).join(START_GATE);
        file::exists_at(CWD, &path).map_err(|source| StateError::Read { path, source })
    }

    fn is_claimed(&self, root: &Path) -> Result<bool, StateError> {
        match Directory::open(root, &self.id) {
            Ok(directory) => directory.is_claimed(),
            Err(StateError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Every container below `root`, in the order of their names.
///
/// # Errors
/// [`StateError::Read`] when `root` cannot be listed; that it does not exist is no error.
pub(crate) fn list(root: &Path) -> Result<Vec<ContainerId>, StateError> {
    let failed = |error: &std::io::Error| StateError::Read { path: root.to_owned(), source: errno_of(error) };
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed(&error))?;
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let id = entry.file_name().to_str().and_then(|name| name.parse::<ContainerId>().ok());
        ids.extend(id.filter(|_| is_directory));
    }
    ids.sort();
    Ok(ids)
}
