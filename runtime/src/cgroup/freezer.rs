//! Freeze and thaw. v2's `cgroup.freeze` where there is a v2 cgroup, in hybrid layouts too: it tells when it is done,
//! and what it froze can still be killed. Else v1's freezer, which notifies of nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, SeekFrom, seek};
use rustix::io::Errno;

use super::directory::Cgroup;
use super::error::CgroupError;
use super::fence::Fence;
use super::paths::CgroupPaths;
use super::walk::{Step, walk};
use crate::sys::file;

/// A task that sits in the kernel (on NFS, in vfork) cannot be frozen; runc gives up after about as long.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// v1 reports no change of `freezer.state`; a frozen container is not a hot path.
const V1_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

impl CgroupPaths {
    /// Whether the container is frozen, by whichever interface; a cgroup that is gone is not.
    ///
    /// # Errors
    /// [`CgroupError::Read`].
    pub(crate) fn is_frozen(&self) -> Result<bool, CgroupError> {
        let (v2, v1) = (self.v2(), self.v1("freezer"));
        for (path, name, frozen) in [(v2, "cgroup.events", "frozen 1"), (v1, "freezer.state", "FROZEN")] {
            let Some(path) = path else { continue };
            let name = path.directory().join(name);
            match file::read_text(&name, file::MAX_PROC_BYTES) {
                Ok(text) if text.lines().any(|line| line == frozen) => return Ok(true),
                Ok(_) | Err(Errno::NOENT | Errno::NODEV) => {}
                Err(source) => return Err(CgroupError::Read { path: name, source }),
            }
        }
        Ok(false)
    }

    /// Thaws processes that were sent SIGKILL; without cgroups nothing holds them.
    ///
    /// # Errors
    /// Those of [`Fence::open`] and [`Fence::let_die`].
    pub(crate) fn let_die(&self) -> Result<(), CgroupError> {
        match Fence::open(self) {
            Err(CgroupError::Gone) => Ok(()),
            fence => fence?.let_die(),
        }
    }
}

impl Fence {
    /// Stops every process of the container. When one cannot be stopped, all are let go again.
    ///
    /// # Errors
    /// [`CgroupError::FreezeTimeout`], [`CgroupError::NoFreezer`] and those of writing.
    pub(crate) fn freeze(&self) -> Result<(), CgroupError> {
        let frozen = match (self.v2(), self.v1("freezer")) {
            (Some(cgroup), _) => change_v2(cgroup, "1"),
            (None, Some(cgroup)) => change_v1(cgroup, "FROZEN"),
            (None, None) => return Err(CgroupError::NoFreezer),
        };
        frozen.or_else(|error| self.thaw().and(Err(error)))
    }

    /// Thaws processes that were sent SIGKILL: what v1's freezer holds dies only then, also in a cgroup that the
    /// container has made inside its own. v2 does this by itself.
    ///
    /// # Errors
    /// As [`Fence::freeze`].
    pub(crate) fn let_die(&self) -> Result<(), CgroupError> {
        let Some(cgroup) = self.v1("freezer") else { return Ok(()) };
        let (name, value) = ("freezer.state", "THAWED");
        let thawed = walk(cgroup.directory()?, |step| match step {
            Step::Enter(inner) => match file::write_at(inner, Path::new(name), value.as_bytes()) {
                Err(Errno::NOENT | Errno::NODEV) => Ok(()),
                written => written,
            },
            Step::Leave(..) => Ok(()),
        });
        thawed.map_err(|source| CgroupError::Write {
            path: cgroup.file(name),
            value: value.to_owned(),
            source,
        })
    }

    /// Thaws every process of the container, whatever froze it.
    ///
    /// # Errors
    /// As [`Fence::freeze`].
    pub(crate) fn thaw(&self) -> Result<(), CgroupError> {
        if let Some(cgroup) = self.v2() {
            change_v2(cgroup, "0")?;
        }
        match self.v1("freezer") {
            Some(cgroup) => change_v1(cgroup, "THAWED"),
            None if self.v2().is_none() => Err(CgroupError::NoFreezer),
            None => Ok(()),
        }
    }
}

fn change_v2(cgroup: Cgroup<'_>, value: &str) -> Result<(), CgroupError> {
    cgroup.write("cgroup.freeze", value)?;
    wait_for_event(cgroup, &format!("frozen {value}"), LONGEST_WAIT)
}

/// Waits until a line of `cgroup.events` reads `wanted`.
pub(super) fn wait_for_event(cgroup: Cgroup<'_>, wanted: &str, longest: Duration) -> Result<(), CgroupError> {
    let name = cgroup.file("cgroup.events");
    let failed = |source| CgroupError::Wait { path: name.clone(), source };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let events =
        rustix::fs::openat(cgroup.directory()?, "cgroup.events", flags, Mode::empty()).map_err(failed)?;
    let deadline = Instant::now() + longest;
    loop {
        seek(&events, SeekFrom::Start(0)).map_err(failed)?;
        let text = file::read_all(&events, file::MAX_PROC_BYTES).map_err(failed)?;
        if text.lines().any(|line| line == wanted) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let waited_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            return Err(CgroupError::FreezeTimeout { path: name, state: text, waited_ms });
        }
        let timeout = Timespec::try_from(left).expect("a wait of seconds fits");
        let mut waiting = [PollFd::new(&events, PollFlags::PRI)];
        match poll(&mut waiting, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(source) => return Err(failed(source)),
        }
    }
}

/// The kernel finishes freezing when the state is read, and a task that was forking may need a second write.
fn change_v1(cgroup: Cgroup<'_>, wanted: &str) -> Result<(), CgroupError> {
    let deadline = Instant::now() + LONGEST_WAIT;
    loop {
        cgroup.write("freezer.state", wanted)?;
        let state = cgroup.read("freezer.state")?;
        if state.trim_end() == wanted {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let waited_ms = u64::try_from(LONGEST_WAIT.as_millis()).unwrap_or(u64::MAX);
            let state = state.trim_end().to_owned();
            return Err(CgroupError::FreezeTimeout { path: cgroup.file("freezer.state"), state, waited_ms });
        }
        // Interrupted or not, the state is read again.
        poll(&mut [], Some(&V1_PAUSE)).ok();
    }
}
