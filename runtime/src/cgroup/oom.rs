//! Out of memory, told by the kernel: v1's `memory.oom_control` through an eventfd, v2's count in `memory.events`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, PollFlags, eventfd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::directory::Cgroup;
use super::error::CgroupError;
use super::fence::Fence;
use crate::sys::file;

/// Waits for a container's processes to be short of memory.
#[derive(Debug)]
pub(crate) struct OomWatch {
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Readable with the number of times since the last read; also when the cgroup is removed.
    V1 { counter: OwnedFd, control: OwnedFd },
    /// Changed when any of its counts has.
    V2 { events: OwnedFd, seen: u64 },
}

impl Fence {
    /// Begins to watch.
    ///
    /// # Errors
    /// [`CgroupError::NoController`] when the container's memory is not controlled.
    pub(crate) fn watch_oom(&self) -> Result<OomWatch, CgroupError> {
        let source = match (self.v1("memory"), self.v2()) {
            (Some(cgroup), _) => watch_v1(cgroup)?,
            (None, Some(cgroup)) => watch_v2(cgroup)?,
            (None, None) => return Err(no_controller()),
        };
        Ok(OomWatch { source })
    }

    /// Whether the kernel has killed processes in it for want of memory; not where memory is not controlled.
    #[must_use]
    pub(crate) fn has_oom_kills(&self) -> bool {
        let v1 = self.v1("memory").map(|cgroup| open(cgroup, "memory.oom_control"));
        let v2 = || self.v2().map(|cgroup| open(cgroup, "memory.events"));
        let counts = v1.or_else(v2).and_then(Result::ok);
        counts.and_then(|counts| kills(&counts)).is_some_and(|count| count > 0)
    }
}

fn no_controller() -> CgroupError {
    CgroupError::NoController { what: "watching for OOM".to_owned(), controller: "memory".to_owned() }
}

fn open(cgroup: Cgroup<'_>, name: &str) -> Result<OwnedFd, CgroupError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(cgroup.directory()?, name, flags, Mode::empty()).map_err(|source| match source {
        Errno::NOENT => no_controller(),
        source => CgroupError::Read { path: cgroup.file(name), source },
    })
}

fn watch_v1(cgroup: Cgroup<'_>) -> Result<Source, CgroupError> {
    use std::os::fd::AsRawFd as _;
    let control = open(cgroup, "memory.oom_control")?;
    let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|source| CgroupError::Wait { path: "eventfd".into(), source })?;
    let line = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
    cgroup.write("cgroup.event_control", &line)?;
    Ok(Source::V1 { counter, control })
}

fn watch_v2(cgroup: Cgroup<'_>) -> Result<Source, CgroupError> {
    let events = open(cgroup, "memory.events")?;
    let seen = kills(&events).unwrap_or(0);
    Ok(Source::V2 { events, seen })
}

/// `None` when the cgroup is gone.
fn kills(counts: &OwnedFd) -> Option<u64> {
    rustix::fs::seek(counts, rustix::fs::SeekFrom::Start(0)).ok()?;
    let text = file::read_all(counts, file::MAX_PROC_BYTES).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

impl OomWatch {
    /// What to poll, and for which events.
    #[must_use]
    pub(crate) fn poll_on(&self) -> (BorrowedFd<'_>, PollFlags) {
        match &self.source {
            Source::V1 { counter, .. } => (counter.as_fd(), PollFlags::IN),
            Source::V2 { events, .. } => (events.as_fd(), PollFlags::PRI),
        }
    }

    /// Whether there was too little memory since the last time.
    pub(crate) fn has_happened(&mut self) -> bool {
        match &mut self.source {
            Source::V1 { counter, control } => {
                let mut count = [0; 8];
                let was_told = rustix::io::read(&*counter, &mut count).is_ok();
                // The removal of the cgroup is told the same way, and then its file cannot be read any more.
                let mut byte = [0];
                was_told && rustix::io::pread(&*control, &mut byte, 0).is_ok()
            }
            Source::V2 { events, seen } => {
                let now = kills(events).unwrap_or(*seen);
                let is_more = now > *seen;
                *seen = now;
                is_more
            }
        }
    }
}
