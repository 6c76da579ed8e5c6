//! v2: a cgroup has a controller only when each cgroup above it hands it down (`cgroup.subtree_control`). Enables them
//! on the way to a container, and judges whether its cgroup can take processes.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;

use super::directory::open_directory;
use super::error::CgroupError;
use super::fence::Fence;
use super::layout::Version;
use super::limits::settings::Limits;
use super::paths::CgroupPath;
use crate::sys::file;

/// A controller that could not be enabled, where, and why.
#[derive(Debug)]
pub(super) struct Obstacle {
    controller: String,
    above: PathBuf,
    source: Errno,
}

/// Controllers that have no threads of their own to look after: they do not work in threaded cgroups.
const DOMAIN_CONTROLLERS: [&str; 4] = ["memory", "io", "cpu", "hugetlb"];

impl Fence {
    /// Hands down what the limits need; where v2 is all there is, everything, so that usage can be read. What cannot be
    /// handed down matters only when a limit needs it.
    pub(super) fn enable_controllers(&mut self, limits: &Limits) -> Result<(), CgroupError> {
        let needed: Vec<&str> = limits
            .knots
            .iter()
            .filter(|knot| knot.version == Version::V2)
            .map(|knot| knot.controller)
            .collect();
        let is_unified = self.paths().is_unified();
        let Some(cgroup) = self.v2().filter(|_| is_unified || !needed.is_empty()) else { return Ok(()) };
        let path = cgroup.path.clone();
        let root = Path::new(&path.mount);
        let offered = file::read_text(&root.join("cgroup.controllers"), file::MAX_PROC_BYTES)
            .map_err(|source| CgroupError::Read { path: root.join("cgroup.controllers"), source })?;
        let wanted: Vec<&str> =
            offered.split_whitespace().filter(|name| is_unified || needed.contains(name)).collect();
        for above in ancestors(&path) {
            for (controller, source) in hand_down(&above, &wanted) {
                let above = above.clone();
                self.obstacles.push(Obstacle { controller, above, source });
            }
        }
        self.check_type(&needed)
    }

    /// Why `controller` is not here, when we have tried to enable it.
    pub(super) fn obstacle(&self, controller: &str) -> Option<(PathBuf, Errno)> {
        let found = self.obstacles.iter().find(|obstacle| obstacle.controller == controller)?;
        Some((found.above.clone(), found.source))
    }

    /// Below a cgroup that has processes and controllers a new one takes no process until it is made threaded, which
    /// the domain controllers cannot be.
    fn check_type(&self, needed: &[&str]) -> Result<(), CgroupError> {
        let Some(cgroup) = self.v2() else { return Ok(()) };
        // The hierarchy's root has no type.
        let Ok(text) = cgroup.read("cgroup.type") else { return Ok(()) };
        let needs_domain = needed.iter().any(|name| DOMAIN_CONTROLLERS.contains(name));
        match text.trim() {
            "domain invalid" | "domain threaded" | "threaded" if needs_domain => {
                let state = if text.starts_with("domain invalid") { "invalid" } else { text.trim() };
                Err(CgroupError::Threaded { path: cgroup.path.directory(), state: state.to_owned() })
            }
            "domain invalid" => cgroup.write("cgroup.type", "threaded"),
            _ => Ok(()),
        }
    }
}

/// The cgroups from the hierarchy's root to the one above `path`.
fn ancestors(path: &CgroupPath) -> Vec<PathBuf> {
    let mut all = vec![PathBuf::from(&path.mount)];
    let names: Vec<&str> = path.path.split('/').filter(|name| !name.is_empty()).collect();
    for name in names.iter().take(names.len().saturating_sub(1)) {
        let next = all.last().map(|above| above.join(name)).unwrap_or_default();
        all.push(next);
    }
    all
}

/// Enables what is missing; one refused controller does not keep the others back.
fn hand_down(above: &Path, wanted: &[&str]) -> Vec<(String, Errno)> {
    let name = Path::new("cgroup.subtree_control");
    let every = |source| wanted.iter().map(|name| ((*name).to_owned(), source)).collect();
    let directory = match open_directory(CWD, above) {
        Ok(directory) => directory,
        Err(source) => return every(source),
    };
    let present = match file::read_text_at(directory.as_fd(), name, file::MAX_PROC_BYTES) {
        Ok(present) => present,
        Err(source) => return every(source),
    };
    let is_missing = |wanted: &&&str| !present.split_whitespace().any(|present| present == **wanted);
    let missing: Vec<String> = wanted.iter().filter(is_missing).map(|name| format!("+{name}")).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    match file::write_at(&directory, name, missing.join(" ").as_bytes()) {
        Ok(()) => return Vec::new(),
        // It has processes of its own. One by one the threaded controllers would go through, and make the cgroup, which
        // is not ours, a threaded one.
        Err(Errno::BUSY) => return missing.iter().map(|name| (name[1..].to_owned(), Errno::BUSY)).collect(),
        Err(_) => {}
    }
    let refused = |one: &String| {
        let source = file::write_at(&directory, name, one.as_bytes()).err()?;
        Some((one.trim_start_matches('+').to_owned(), source))
    };
    missing.iter().filter_map(refused).collect()
}
