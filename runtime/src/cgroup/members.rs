//! The processes in a container's cgroups: listed, counted, killed. A signal goes to a pid
//! only through a pidfd that was taken while the cgroup still listed the pid.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::directory::Cgroup;
use super::error::CgroupError;
use super::fence::Fence;
use super::freezer::wait_for_event;
use super::layout::Version;
use super::walk::{Step, walk};
use crate::sys::{file, pidfd};

/// A list of pids: `pid_max` is 4 million, each at most 8 bytes.
const MAX_PIDS_BYTES: usize = 32 << 20;

/// How often new processes may appear while all are being killed; the freezer keeps a fork bomb from winning.
const MAX_ROUNDS: usize = 100;

/// As long as a kill may take: a process in an uninterruptible sleep does not die sooner.
const LONGEST_DEATH: Duration = Duration::from_secs(10);

impl Fence {
    /// Every process in the container's cgroups and below, by its pid in our pid namespace, in ascending order.
    ///
    /// # Errors
    /// [`CgroupError::Read`].
    pub(crate) fn pids(&self) -> Result<BTreeSet<u32>, CgroupError> {
        let mut pids = BTreeSet::new();
        let wanted = self.v2().or_else(|| self.v1("devices")).or_else(|| self.cgroups().next());
        if let Some(cgroup) = wanted {
            collect(cgroup, &mut pids)?;
        }
        Ok(pids)
    }

    /// Sends a signal to every process in the container's cgroups; SIGKILL also ends those that a freezer holds.
    ///
    /// # Errors
    /// [`CgroupError::Signal`], those of reading, and those of [`Fence::let_die`].
    pub(crate) fn signal_all(&self, signal: i32) -> Result<(), CgroupError> {
        self.signal_members(signal)?;
        if signal == libc::SIGKILL { self.let_die() } else { Ok(()) }
    }

    /// Kills every process in the container's cgroups and returns when all are dead.
    ///
    /// # Errors
    /// [`CgroupError`]; [`CgroupError::NotEmpty`] when some do not die.
    pub(crate) fn kill_all(&self) -> Result<(), CgroupError> {
        if let Some(cgroup) = self.v2() {
            let killed = cgroup
                .write("cgroup.kill", "1")
                .and_then(|()| self.let_die())
                .and_then(|()| wait_for_event(cgroup, "populated 0", LONGEST_DEATH));
            match killed {
                // cgroup.kill came with Linux 5.14.
                Err(CgroupError::Write { source: Errno::NOENT, .. }) => {}
                killed => gone_is_empty(killed)?,
            }
        }
        for _ in 0..MAX_ROUNDS {
            if self.pids_of_all()?.is_empty() {
                return Ok(());
            }
            self.kill_round()?;
        }
        let path = self.cgroups().next().map(|cgroup| cgroup.path.directory()).unwrap_or_default();
        Err(CgroupError::NotEmpty { path, count: self.pids_of_all()?.len() })
    }

    /// v1: what is frozen cannot fork, and dies when it is thawed.
    fn kill_round(&self) -> Result<(), CgroupError> {
        let has_freezer = self.v1("freezer").is_some();
        if has_freezer {
            // Killing works without; freezing only keeps new processes from appearing.
            self.freeze().ok();
        }
        let killed = self.signal_members(libc::SIGKILL);
        if has_freezer {
            gone_is_empty(self.thaw())?;
            self.let_die()?;
        }
        for process in killed? {
            pidfd::wait_exit(process.as_fd(), LONGEST_DEATH)
                .map_err(|source| CgroupError::Wait { path: Path::new("pidfd").to_owned(), source })?;
        }
        Ok(())
    }

    fn signal_members(&self, signal: i32) -> Result<Vec<OwnedFd>, CgroupError> {
        let mut opened = Vec::new();
        for pid in self.pids_of_all()? {
            match pidfd::open(pid) {
                Ok(process) => opened.push((pid, process)),
                Err(Errno::SRCH | Errno::INVAL) => {}
                Err(source) => return Err(CgroupError::Signal { pid, source }),
            }
        }
        let still = self.pids_of_all()?;
        opened.retain(|(pid, _)| still.contains(pid));
        for (pid, process) in &opened {
            match pidfd::send_signal(process.as_fd(), signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(source) => return Err(CgroupError::Signal { pid: *pid, source }),
            }
        }
        Ok(opened.into_iter().map(|(_, process)| process).collect())
    }

    /// The processes of all hierarchies: a process with enough rights may have left some of them.
    fn pids_of_all(&self) -> Result<BTreeSet<u32>, CgroupError> {
        let mut pids = BTreeSet::new();
        for cgroup in self.cgroups() {
            collect(cgroup, &mut pids)?;
        }
        Ok(pids)
    }
}

/// systemd removes the cgroup of a scope as soon as the last process in it has died.
pub(super) fn gone_is_empty(done: Result<(), CgroupError>) -> Result<(), CgroupError> {
    match done {
        Err(
            CgroupError::Write { source: Errno::NOENT | Errno::NODEV, .. }
            | CgroupError::Read { source: Errno::NOENT | Errno::NODEV, .. }
            | CgroupError::Wait { source: Errno::NOENT | Errno::NODEV, .. },
        ) => Ok(()),
        done => done,
    }
}

/// Adds the processes of a cgroup and of those inside it.
pub(super) fn collect(cgroup: Cgroup<'_>, pids: &mut BTreeSet<u32>) -> Result<(), CgroupError> {
    let collected = walk(cgroup.directory()?, |step| match step {
        Step::Enter(directory) => collect_own(directory, cgroup.path.version, pids),
        Step::Leave(..) => Ok(()),
    });
    collected.map_err(|source| CgroupError::Read { path: cgroup.file("cgroup.procs"), source })
}

fn collect_own(directory: BorrowedFd<'_>, version: Version, pids: &mut BTreeSet<u32>) -> Result<(), Errno> {
    let text = match file::read_text_at(directory, Path::new("cgroup.procs"), MAX_PIDS_BYTES) {
        // Threaded v2 cgroups list no processes; their threads are listed by the one above.
        Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
        Err(Errno::OPNOTSUPP) if version == Version::V2 => return Ok(()),
        text => text?,
    };
    // 0 is a process outside our pid namespace.
    pids.extend(text.lines().filter_map(|line| line.parse().ok()).filter(|pid: &u32| *pid != 0));
    Ok(())
}
