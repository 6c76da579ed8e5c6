//! Tells when the kernel has killed a process of the container for want of memory: v1 by an eventfd on
//! memory.oom_control, v2 by inotify on memory.events. The kernel's own counter decides; the wake-ups only say when to look.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::EventfdFlags;
use rustix::fs::inotify::{CreateFlags, WatchFlags};

use super::{Cgroup, pairs, value_of};
use crate::descriptor::Descriptor;

/// The memory controller's files of one container.
#[derive(Clone, Debug)]
pub(crate) struct OomCounter {
    directory: PathBuf,
    file: &'static str,
}

impl OomCounter {
    /// The counter; `None` without a memory controller.
    pub(crate) fn open(cgroup: &Cgroup) -> Option<Self> {
        match cgroup {
            Cgroup::V1(directories) => Cgroup::controller(directories, "memory")
                .map(|directory| Self { directory, file: "memory.oom_control" }),
            Cgroup::V2(directory) => Some(Self { directory: directory.clone(), file: "memory.events" })
                .filter(|counter| counter.directory.join(counter.file).exists()),
        }
    }

    /// How many processes of the container the kernel has killed so far.
    pub(crate) fn kills(&self) -> u64 {
        value_of(&pairs(&self.directory, self.file), "oom_kill")
    }

    /// Whether the cgroup is still there.
    pub(crate) fn is_there(&self) -> bool {
        self.directory.exists()
    }

    /// Something to wait on.
    pub(crate) fn watch(&self) -> io::Result<OomWatch> {
        let path = self.directory.join(self.file);
        if self.file == "memory.events" {
            let notifier = rustix::fs::inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            rustix::fs::inotify::add_watch(&notifier, &path, WatchFlags::MODIFY)?;
            return Ok(OomWatch { wakes: Descriptor::new(notifier)?, _control: None });
        }
        let control = OwnedFd::from(fs::File::open(path)?);
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        register_v1(&self.directory, &event, &control)?;
        Ok(OomWatch { wakes: Descriptor::new(event)?, _control: Some(control) })
    }
}

fn register_v1(directory: &Path, event: &OwnedFd, control: &OwnedFd) -> io::Result<()> {
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    fs::write(directory.join("cgroup.event_control"), line)
}

/// Wakes when there may have been a kill, and when the cgroup goes.
#[derive(Debug)]
pub(crate) struct OomWatch {
    wakes: Descriptor,
    /// Must stay open as long as the event is registered.
    _control: Option<OwnedFd>,
}

impl OomWatch {
    /// Waits for the next wake-up.
    pub(crate) async fn woken(&self) -> io::Result<()> {
        self.wakes.read().await.map(drop)
    }
}
