//! A container's own cgroups: which they are, and their end when the runtime no longer knows them. A cgroup that others
//! share is never touched, nor a process that was there before the container.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use knarr_proto::processes::CgroupIdentity;
use rustix::process::Signal;

use super::Cgroup;
use crate::record::{self, LiveProcess};

/// Processes that survive SIGKILL for so long are stuck in the kernel.
const END_LIMIT: Duration = Duration::from_secs(10);
/// A cgroup is busy for a moment after its last process has ended.
const REMOVE_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks while waiting for that.
const PAUSE: Duration = Duration::from_millis(5);

impl Cgroup {
    /// The directories that the container has for itself: its first process is alone in them, and they are the deepest
    /// that it is in. A controller that the runtime left alone shows a cgroup above, which is not the container's.
    pub(crate) fn own(&self, pid: u32) -> Vec<CgroupIdentity> {
        let directories: Vec<&Path> = match self {
            Self::V1(directories) => directories.iter().map(|(_, path)| path.as_path()).collect(),
            Self::V2(directory) => vec![directory],
        };
        let depth = |path: &Path| path.components().count();
        let deepest = directories.iter().map(|path| depth(path)).max().unwrap_or_default();
        let is_own = |path: &Path| {
            let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            depth(path) == deepest && members.trim() == pid.to_string()
        };
        let mut own: Vec<_> = directories.into_iter().filter(|path| is_own(path)).collect();
        own.sort_unstable();
        own.dedup();
        own.into_iter().filter_map(identify).collect()
    }
}

fn identify(path: &Path) -> Option<CgroupIdentity> {
    let inode = path.metadata().ok()?.ino();
    Some(CgroupIdentity { path: path.to_str()?.to_owned(), inode })
}

/// Kills what is in these cgroups and was started at `since` or later, and removes them. Those that are gone, or have
/// become another container's, are left out.
pub(crate) fn end(cgroups: &[CgroupIdentity], since: u64) -> io::Result<()> {
    let present: Vec<PathBuf> = cgroups
        .iter()
        .filter(|cgroup| identify(Path::new(&cgroup.path)).as_ref() == Some(cgroup))
        .map(|cgroup| PathBuf::from(&cgroup.path))
        .collect();
    if present.is_empty() {
        return Ok(());
    }
    kill_all(&present, since)?;
    present.iter().try_for_each(|path| remove(path))
}

fn kill_all(cgroups: &[PathBuf], since: u64) -> io::Result<()> {
    let end = Instant::now() + END_LIMIT;
    loop {
        let mut processes = Vec::new();
        for pid in cgroups.iter().flat_map(|path| members(path)) {
            let found = record::stat(pid)?.filter(|stat| stat.identity.start_time >= since);
            if let Some(stat) = found.filter(knarr_proto::processes::ProcessStat::is_alive) {
                processes.extend(LiveProcess::open(stat.identity)?);
            }
        }
        if processes.is_empty() {
            return Ok(());
        }
        for process in &processes {
            process.signal(Signal::KILL)?;
        }
        cgroups.iter().for_each(|path| thaw(path));
        for process in &processes {
            if !process.wait(end.saturating_duration_since(Instant::now()))? {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("process {} does not die of SIGKILL", process.identity().pid),
                ));
            }
        }
    }
}

/// The pids in a cgroup and in those below it.
pub(super) fn members(cgroup: &Path) -> Vec<u32> {
    let (mut pids, mut below) = (Vec::new(), vec![cgroup.to_owned()]);
    while let Some(directory) = below.pop() {
        // One that goes meanwhile has no processes any more.
        let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        below.extend(children(&directory));
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(cgroup) else { return Vec::new() };
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

/// A frozen process cannot die. Only the freezer's hierarchies have one of the two files.
fn thaw(cgroup: &Path) {
    fs::write(cgroup.join("freezer.state"), "THAWED").ok();
    fs::write(cgroup.join("cgroup.freeze"), "0").ok();
}

/// Removes a cgroup and those below it, children first.
fn remove(cgroup: &Path) -> io::Result<()> {
    for child in children(cgroup) {
        remove(&child)?;
    }
    let end = Instant::now() + REMOVE_LIMIT;
    loop {
        match fs::remove_dir(cgroup) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                std::thread::park_timeout(PAUSE);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(()),
        }
    }
}
