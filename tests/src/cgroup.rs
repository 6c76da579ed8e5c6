//! What is set in a container's cgroups, as the host sees it: to compare two runtimes file by file.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::leftovers::cgroup_roots;

/// Files that tell what goes on, not what was asked, or that take commands.
const VOLATILE: [&str; 13] = [
    "peak",
    "tasks",
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.event_control",
    "usage",
    "failcnt",
    "memory.force_empty",
    "memory.pressure_level",
    "memory.kmem.slabinfo",
    "reset",
    "notify_on_release",
    ".pressure",
];

/// Every setting of a container's cgroups, by hierarchy and file.
///
/// # Panics
/// When a file cannot be looked at.
#[must_use]
pub fn settings(cgroup: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for root in cgroup_roots() {
        let directory = root.join(cgroup.trim_start_matches('/'));
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = entry.metadata().expect("a cgroup file has metadata");
            let is_setting = metadata.is_file() && metadata.mode() & 0o200 != 0;
            if !is_setting || VOLATILE.iter().any(|part| name.contains(part)) {
                continue;
            }
            // devices.allow and devices.deny are written only; devices.list shows what came of them.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                found.insert(format!("{}/{name}", root.display()), text);
            }
        }
        if let Ok(list) = fs::read_to_string(directory.join("devices.list")) {
            let mut lines: Vec<&str> = list.lines().collect();
            lines.sort_unstable();
            found.insert("devices.list".to_owned(), lines.join("\n"));
        }
    }
    found
}
