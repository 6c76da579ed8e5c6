//! The cgroup to enter where a container's own v2 cgroup takes no process in: its first process may have moved to a
//! cgroup inside and handed controllers down to it (systemd does), or may have left a cgroup that is removed by now.
//! Whatever it is in now it could enter by itself, so that nothing is given away.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use super::directory::open_directory;
use super::error::CgroupError;
use super::layout::{Layout, Membership, Version};
use crate::sys::pidfd;

/// Opens the v2 cgroup that a process is in now.
///
/// # Errors
/// [`CgroupError::Gone`] where there is no v2, [`CgroupError::Lost`] when the process has ended or is out of sight, and
/// those of reading and opening.
pub(crate) fn current_v2_cgroup(process: BorrowedFd<'_>) -> Result<OwnedFd, CgroupError> {
    let layout = Layout::detect()?;
    let hierarchy = layout.hierarchies.iter().find(|found| found.version == Version::V2);
    let hierarchy = hierarchy.ok_or(CgroupError::Gone)?;
    let pid = pidfd::pid_of(process).map_err(|_| CgroupError::Lost)?;
    let membership = Membership::read(&PathBuf::from(format!("/proc/{pid}/cgroup")))?;
    // It still has that pid, so it had it while the file was read.
    pidfd::pid_of(process).map_err(|_| CgroupError::Lost)?;
    let path = membership.path_in(hierarchy).ok_or(CgroupError::Lost)?;
    // The kernel writes it so when it is outside our cgroup namespace.
    if path.split('/').any(|name| name == "..") {
        return Err(CgroupError::Lost);
    }
    let directory = format!("{}{path}", hierarchy.mount);
    open_directory(CWD, Path::new(&directory))
        .map_err(|source| CgroupError::Open { path: directory.into(), source })
}
