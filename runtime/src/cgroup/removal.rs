//! The end of a container's cgroups. Most are empty by then, and are removed without being looked into.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use super::directory::Cgroup;
use super::error::CgroupError;
use super::fence::Fence;
use super::paths::CgroupPaths;
use super::walk::{Step, walk};

impl CgroupPaths {
    /// Kills the processes that are left in the cgroups, and removes the cgroups and those that were made inside them.
    ///
    /// # Errors
    /// Those of [`Fence::open`], [`Fence::kill_all`] and [`Fence::remove`].
    pub(crate) fn end(&self) -> Result<(), CgroupError> {
        if self.scope.is_none() && self.remove_empty() {
            return Ok(());
        }
        match Fence::open(self) {
            Err(CgroupError::Gone) => self.forget(),
            opened => {
                let fence = opened?;
                fence.kill_all()?;
                fence.remove()
            }
        }
    }

    /// Whether anything runs in one of the cgroups, as far as they can be looked into.
    #[must_use]
    pub(crate) fn has_processes(&self) -> bool {
        Fence::open(self).and_then(|fence| fence.pids()).is_ok_and(|pids| !pids.is_empty())
    }

    /// False at the first that is in use, or cannot be removed for another reason: a process in one is in the others,
    /// the freezer among them, which is needed to kill a fork bomb.
    fn remove_empty(&self) -> bool {
        self.hierarchies.iter().all(|path| remove_directory(CWD, &path.directory()).is_ok())
    }
}

impl Fence {
    /// Removes the cgroups and those that were made inside them. They must be empty of processes.
    ///
    /// # Errors
    /// The first [`CgroupError::Remove`]; the others have been tried all the same.
    pub(crate) fn remove(mut self) -> Result<(), CgroupError> {
        if let Some(placeholder) = self.placeholder.take() {
            placeholder.end();
        }
        let mut first = self.paths.forget();
        for cgroup in self.cgroups() {
            first = first.and(remove_whole(cgroup));
        }
        first
    }
}

fn remove_whole(cgroup: Cgroup<'_>) -> Result<(), CgroupError> {
    let path = cgroup.path.directory();
    let removed = match remove_directory(CWD, &path) {
        // There are cgroups inside it.
        Err(Errno::BUSY | Errno::NOTEMPTY) => {
            remove_children(cgroup.directory()?).and_then(|()| remove_directory(CWD, &path))
        }
        removed => removed,
    };
    removed.map_err(|source| CgroupError::Remove { path, source })
}

fn remove_directory(at: impl AsFd, path: &Path) -> Result<(), Errno> {
    match rustix::fs::unlinkat(at, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NODEV) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn remove_children(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    walk(directory, |step| match step {
        Step::Enter(_) => Ok(()),
        Step::Leave(parent, name) => remove_directory(parent, name),
    })
}
