//! What a test left on the host: processes, mounts and cgroups that bear its mark. It looks only for the test's own,
//! because others run at the same time, and ends only those, by pid.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};

use crate::process;
use crate::scratch::{MARK, Scratch};

/// What is there, besides files in the scratch directory.
#[derive(Debug)]
pub struct Leftovers {
    processes: Vec<(Pid, String)>,
    mounts: Vec<PathBuf>,
    cgroups: Vec<PathBuf>,
}

impl Leftovers {
    /// Looks over the host.
    #[must_use]
    pub fn of(scratch: &Scratch) -> Self {
        let prefix = scratch.cgroup_prefix();
        let cgroups = cgroup_roots()
            .iter()
            .flat_map(|root| children(&root.join(prefix.trim_start_matches('/'))))
            .collect();
        Self { processes: processes_of(scratch), mounts: mounts_below(scratch.path()), cgroups }
    }

    /// Nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.mounts.is_empty() && self.cgroups.is_empty()
    }

    /// No container is left; processes of a manager may be there.
    #[must_use]
    pub fn has_no_container(&self) -> bool {
        self.mounts.is_empty() && self.cgroups.is_empty()
    }

    /// Ends, unmounts and removes all of it.
    pub fn remove(&self) {
        for (pid, _) in &self.processes {
            process::signal(*pid, Signal::KILL);
        }
        for cgroup in &self.cgroups {
            thaw(cgroup);
        }
        for (pid, _) in &self.processes {
            process::wait_for_pid(*pid, Duration::from_secs(5));
        }
        for mount in self.mounts.iter().rev() {
            // Detached, so that one that is busy goes as well; one that went with its parent is gone already.
            rustix::mount::unmount(mount, UnmountFlags::DETACH).ok();
        }
        for cgroup in &self.cgroups {
            remove_cgroup_tree(cgroup);
        }
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pid, command) in &self.processes {
            write!(f, "\n  process {} {command}", pid.as_raw_nonzero())?;
        }
        for mount in &self.mounts {
            write!(f, "\n  mount {}", mount.display())?;
        }
        for cgroup in &self.cgroups {
            write!(f, "\n  cgroup {}", cgroup.display())?;
        }
        Ok(())
    }
}

/// Processes that carry the scratch directory in their environment or arguments, or sit in one of the test's cgroups.
fn processes_of(scratch: &Scratch) -> Vec<(Pid, String)> {
    let mark = format!("{MARK}={}", scratch.path().display());
    let path = scratch.path().display().to_string();
    let prefix = format!(":{}/", scratch.cgroup_prefix());
    let own = std::process::id().cast_signed();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own)
        .filter_map(|pid| {
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let is_ours = read("environ").split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
                || command.contains(&path)
                || String::from_utf8_lossy(&read("cgroup")).contains(&prefix);
            // A zombie has ended; its parent, not we, must reap it.
            let is_zombie = String::from_utf8_lossy(&read("stat")).contains(") Z ");
            (is_ours && !is_zombie).then_some((Pid::from_raw(pid)?, command))
        })
        .collect()
}

/// Mount points below `path`, parents first.
#[must_use]
pub fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(path)).collect()
}

/// Where the machine's cgroup hierarchies are mounted.
#[must_use]
pub fn cgroup_roots() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let cgroups = table.lines().filter(|line| line.contains(" - cgroup"));
    cgroups.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

fn children(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// A frozen process can't die.
fn thaw(cgroup: &Path) {
    // Only the freezer's hierarchies have one of the two files.
    fs::write(cgroup.join("freezer.state"), "THAWED").ok();
    fs::write(cgroup.join("cgroup.freeze"), "0").ok();
}

/// Removes a cgroup and those below it, children first. What is busy stays, and is seen by the caller's next look.
pub fn remove_cgroup_tree(path: &Path) {
    for child in children(path) {
        remove_cgroup_tree(&child);
    }
    process_free(path);
    fs::remove_dir(path).ok();
}

/// Waits until the kernel has taken the dead out of a cgroup.
fn process_free(path: &Path) {
    crate::eventually::holds_within(Duration::from_secs(5), || {
        fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().is_empty()
    });
}
