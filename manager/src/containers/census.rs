//! Which processes of which containers are alive, as the kernel tells it: for when a shim does not. A file that is
//! missing proves nothing; a process is a container's when it is in that container's cgroup, wherever that is.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal};

use knarr_proto::id::ContainerId;

/// Digits of an id that knarrd makes.
const ID_DIGITS: usize = 64;

/// All containers' processes at one moment.
#[derive(Debug, Default)]
pub(super) struct Census {
    by_id: HashMap<String, Traces>,
}

/// What is alive of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traces {
    /// Host pids of its processes.
    pub(super) processes: Vec<i32>,
    /// Host pids of shims that were started for it, each with whether it is stopped by a signal or a debugger.
    pub(super) shims: Vec<(i32, bool)>,
}

impl Census {
    /// Looks at every process. Blocks for some milliseconds.
    ///
    /// # Errors
    /// When /proc cannot be read: then nothing is known.
    pub(super) fn take() -> io::Result<Self> {
        let mut census = Self::default();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process that ends meanwhile has no files any more.
            if let Some(id) = container_of(pid) {
                if is_alive(pid) {
                    census.by_id.entry(id).or_default().processes.push(pid);
                }
            } else if let Some(id) = shim_of(pid)
                && is_alive(pid)
            {
                let is_stopped = matches!(state(pid), Some('T' | 't'));
                census.by_id.entry(id).or_default().shims.push((pid, is_stopped));
            }
        }
        Ok(census)
    }

    /// What is alive of this container.
    pub(super) fn of_container(&self, id: &ContainerId) -> Traces {
        self.by_id.get(id.as_str()).cloned().unwrap_or_default()
    }
}

/// The containers whose shims were started in a directory below `bundles`, each with its shims' pids. Blocks as a census.
///
/// # Errors
/// When /proc cannot be read.
pub(super) fn shims_below(bundles: &Path) -> io::Result<HashMap<ContainerId, Vec<i32>>> {
    let mut found: HashMap<ContainerId, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some((id, bundle)) = served_by(pid) else { continue };
        if bundle.parent() == Some(bundles)
            && is_alive(pid)
            && let Ok(id) = id.parse()
        {
            found.entry(id).or_default().push(pid);
        }
    }
    Ok(found)
}

/// Asks a shim of container `id` for the sockets that it has lost, if the process still is one.
pub(super) fn ask_for_sockets(id: &ContainerId, pid: i32) {
    signal_if(pid, Signal::HUP, || shim_of(pid).is_some_and(|found| found == id.as_str()));
}

/// Sends a signal to a process of container `id`, if it still is one.
pub(super) fn signal_process(id: &ContainerId, pid: i32, signal: Signal) {
    signal_if(pid, signal, || is_process_of(id, pid));
}

/// Kills a shim of container `id`, if it still is one.
pub(super) fn kill_shim(id: &ContainerId, pid: i32) {
    signal_if(pid, Signal::KILL, || shim_of(pid).is_some_and(|found| found == id.as_str()));
}

/// Pids are used again: the process is looked at once it can no longer become another.
fn signal_if(pid: i32, signal: Signal, is_it: impl FnOnce() -> bool) {
    let opened = Pid::from_raw(pid).map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()));
    let Some(Ok(process)) = opened else { return };
    if is_it()
        && let Err(errno) = rustix::process::pidfd_send_signal(process, signal)
    {
        tracing::debug!(pid, %errno, "a process was not signalled");
    }
}

/// Whether the process is one of container `id`'s.
pub(super) fn is_process_of(id: &ContainerId, pid: i32) -> bool {
    container_of(pid).is_some_and(|found| found == id.as_str())
}

/// The container whose cgroup the process is in: the first part of a cgroup's path that is an id, as the cgroup itself
/// is named with either driver. What a container makes further below does not count.
fn container_of(pid: i32) -> Option<String> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    cgroups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        path.split('/').find_map(|part| {
            let name = part.strip_suffix(".scope").unwrap_or(part);
            let digits = name.rsplit('-').next().unwrap_or(name);
            let is_id = digits.len() == ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_id.then(|| digits.to_owned())
        })
    })
}

/// The container that a shim's server was started for: it says so on its command line, and works in the bundle.
fn shim_of(pid: i32) -> Option<String> {
    served_by(pid).map(|(id, _)| id)
}

/// As [`shim_of`], with the bundle.
fn served_by(pid: i32) -> Option<(String, PathBuf)> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<&str> =
        line.split(|byte| *byte == 0).map(|word| str::from_utf8(word).unwrap_or("")).collect();
    let value = |flag| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1));
    let (id, bundle) = (value("-id")?, value("-bundle")?);
    let bundle = PathBuf::from(bundle);
    let is_ours = bundle.file_name().is_some_and(|name| name.to_str() == Some(id));
    (words.contains(&"serve") && is_ours).then(|| ((*id).to_owned(), bundle))
}

fn is_alive(pid: i32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// The letter of /proc/PID/stat, behind the name, which may have brackets in it.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_in_no_containers_cgroup_is_nobodys() {
        let own = std::process::id().cast_signed();
        assert_eq!(container_of(own), None);
        assert_eq!(shim_of(own), None);
        assert!(is_alive(own));
        assert!(!is_alive(0));
    }
}
