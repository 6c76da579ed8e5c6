//! Any bytes as `linux.resources`, and a second line of them as what was in force before: limits planned for v1 and v2,
//! device rules folded, the update merged. Planned or refused, never a panic.

use crate::cgroup;
use crate::cgroup::devices::DeviceList;
use crate::cgroup::layout::Version;
use crate::cgroup::limits::settings::{Fields, Limits};
use crate::cgroup::paths::{CgroupPath, CgroupPaths};
use crate::spec::resources::Resources;

fn paths(version: Version, controllers: &[&str]) -> CgroupPaths {
    let one = |name: &&str| CgroupPath {
        version,
        controllers: if name.is_empty() { Vec::new() } else { vec![(*name).to_owned()] },
        mount: format!("/sys/fs/cgroup/{name}"),
        path: "/fuzz".to_owned(),
    };
    CgroupPaths { hierarchies: controllers.iter().map(one).collect(), scope: None }
}

/// One input.
pub fn resources(text: &[u8]) {
    let split = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let Ok(wanted) = serde_json::from_slice::<Resources>(&text[..split]) else { return };
    let v1 =
        ["memory", "cpu", "cpuset", "pids", "blkio", "hugetlb", "net_cls", "net_prio", "rdma", "devices"];
    let fields = Fields("linux.resources");
    for paths in [paths(Version::V1, &v1), paths(Version::V2, &[""]), CgroupPaths::default()] {
        // Limits or a refusal: both are answers.
        drop(Limits::plan(&wanted, &paths, fields));
    }
    drop(DeviceList::plan(&wanted.devices, fields));
    if let Ok(mut current) = serde_json::from_slice(text.get(split + 1..).unwrap_or_default()) {
        cgroup::update::merge(&mut current, wanted);
        drop(Limits::plan(&current, &paths(Version::V2, &[""]), fields));
    }
}
