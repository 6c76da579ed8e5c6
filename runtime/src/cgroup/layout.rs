//! Which cgroup hierarchies the host has and where: read from mountinfo, nothing assumed but that a cgroup2 filesystem
//! at /sys/fs/cgroup is the only one.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::CgroupError;
use crate::sys::{file, mountinfo};

/// Where systemd mounts cgroups, and all others after it.
const USUAL_MOUNT: &str = "/sys/fs/cgroup";

/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// The v1 controllers that Linux ever had; other words in a cgroup mount's options are options.
const V1_CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// The two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Version {
    /// One hierarchy per controller or group of controllers.
    V1,
    /// One hierarchy for all.
    V2,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Its interface.
    pub(crate) version: Version,
    /// v1: its controllers, or `name=systemd`; empty for v2.
    pub(crate) controllers: Vec<String>,
    /// Where it is mounted.
    pub(crate) mount: String,
    /// Which of its cgroups is mounted there; `/` but inside containers.
    pub(crate) root: String,
}

/// All hierarchies of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// v1 in mount order, v2 last.
    pub(crate) hierarchies: Vec<Hierarchy>,
}

impl Layout {
    /// Finds the hierarchies.
    ///
    /// # Errors
    /// [`CgroupError::Read`] when mountinfo cannot be read. A host without cgroups has an empty layout.
    pub(crate) fn detect() -> Result<Self, CgroupError> {
        let usual = rustix::fs::statfs(USUAL_MOUNT);
        if usual.is_ok_and(|found| u64::try_from(found.f_type) == Ok(CGROUP2_MAGIC)) {
            return Ok(Self { hierarchies: vec![Hierarchy::v2(USUAL_MOUNT, "/")] });
        }
        let text =
            mountinfo::read().map_err(|source| CgroupError::Read { path: mountinfo::PATH.into(), source })?;
        Ok(Self::from_mountinfo(&text))
    }

    /// Whether there is v2 and nothing else.
    #[must_use]
    pub(crate) fn is_unified(&self) -> bool {
        matches!(self.hierarchies.as_slice(), [only] if only.version == Version::V2)
    }

    /// Whose interface a container's limits have.
    #[must_use]
    pub(crate) fn version(&self) -> Version {
        if self.is_unified() { Version::V2 } else { Version::V1 }
    }

    /// Reads the text of mountinfo. Of a hierarchy that is mounted more than once, the first mount of its root
    /// counts, or else the first.
    #[must_use]
    pub(crate) fn from_mountinfo(text: &str) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for found in text.lines().filter_map(Hierarchy::from_mountinfo) {
            let same = |known: &&mut Hierarchy| {
                known.version == found.version && known.controllers == found.controllers
            };
            match hierarchies.iter_mut().find(same) {
                Some(known) if known.root != "/" && found.root == "/" => *known = found,
                Some(_) => {}
                None => hierarchies.push(found),
            }
        }
        hierarchies.sort_by_key(|found| found.version == Version::V2);
        Self { hierarchies }
    }
}

impl Hierarchy {
    fn v2(mount: &str, root: &str) -> Self {
        Self { version: Version::V2, controllers: Vec::new(), mount: mount.to_owned(), root: root.to_owned() }
    }

    /// proc(5): `36 35 98:0 /root /mount options optional… - type source superoptions`.
    fn from_mountinfo(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let kind = after.next()?;
        if !kind.starts_with("cgroup") {
            return None;
        }
        let mut before = before.split(' ').skip(3);
        let mut path = || mountinfo::unescape(before.next()?).into_string().ok();
        let (root, mount) = (path()?, path()?);
        if kind == "cgroup2" {
            return Some(Self::v2(&mount, &root));
        }
        let options = after.nth(1)?.split(',');
        let names = options.filter(|name| V1_CONTROLLERS.contains(name) || name.starts_with("name="));
        let controllers: Vec<String> = names.map(str::to_owned).collect();
        (kind == "cgroup" && !controllers.is_empty()).then_some(Self {
            version: Version::V1,
            controllers,
            mount,
            root,
        })
    }
}

/// The cgroups that a process is in, as in `/proc/<pid>/cgroup`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership(Vec<(Vec<String>, String)>);

impl Membership {
    /// The caller's own.
    ///
    /// # Errors
    /// [`CgroupError::Read`].
    pub(crate) fn own() -> Result<Self, CgroupError> {
        Self::read(Path::new("/proc/self/cgroup"))
    }

    /// Reads a process's `cgroup` file in procfs.
    ///
    /// # Errors
    /// [`CgroupError::Read`].
    pub(crate) fn read(path: &Path) -> Result<Self, CgroupError> {
        file::read_text(path, file::MAX_PROC_BYTES)
            .map(|text| Self::from_text(&text))
            .map_err(|source| CgroupError::Read { path: path.to_owned(), source })
    }

    /// Lines of `id:controllers:path`; v2's has no controllers.
    #[must_use]
    pub(crate) fn from_text(text: &str) -> Self {
        let mut own = Vec::new();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            if let (Some(controllers), Some(path)) = (fields.next(), fields.next()) {
                let names = controllers.split(',').filter(|name| !name.is_empty());
                own.push((names.map(str::to_owned).collect(), path.to_owned()));
            }
        }
        Self(own)
    }

    /// Where the process is in `hierarchy`, relative to what is mounted.
    #[must_use]
    pub(crate) fn path_in(&self, hierarchy: &Hierarchy) -> Option<&str> {
        let is_it = |names: &Vec<String>| match hierarchy.controllers.first() {
            None => names.is_empty(),
            Some(controller) => names.contains(controller),
        };
        let (_, path) = self.0.iter().find(|(names, _)| is_it(names))?;
        let below = path.strip_prefix(hierarchy.root.trim_end_matches('/')).unwrap_or(path);
        Some(if below.is_empty() { "/" } else { below })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
24 1 0:5 / /proc rw - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /mnt/my\\040memory rw,relatime - cgroup cgroup rw,memory,release_agent=/x
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
";

    #[test]
    fn every_hierarchy_is_found_where_it_is_mounted() {
        let layout = Layout::from_mountinfo(HYBRID);
        let seen: Vec<_> = layout
            .hierarchies
            .iter()
            .map(|found| (found.controllers.join(","), found.mount.as_str()))
            .collect();
        let expected = [
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
            ("memory", "/mnt/my memory"),
            ("name=systemd", "/sys/fs/cgroup/systemd"),
            ("", "/sys/fs/cgroup/unified"),
        ];
        assert_eq!(seen, expected.map(|(names, mount)| (names.to_owned(), mount)));
        assert!(!layout.is_unified());
    }

    #[test]
    fn the_mount_of_the_hierarchy_s_root_is_preferred() {
        let text = "\
1 0 0:1 /docker/a /inner rw - cgroup cgroup rw,pids
2 0 0:1 / /outer rw - cgroup cgroup rw,pids
3 0 0:1 / /third rw - cgroup cgroup rw,pids
";
        let layout = Layout::from_mountinfo(text);
        assert_eq!(layout.hierarchies.len(), 1);
        assert_eq!(layout.hierarchies[0].mount, "/outer");
    }

    #[test]
    fn a_host_without_cgroups_has_none() {
        assert_eq!(Layout::from_mountinfo("24 1 0:5 / /proc rw - proc proc rw\n"), Layout::default());
    }

    #[test]
    fn our_own_cgroup_is_told_relative_to_the_mount() {
        let own = Membership::from_text("5:cpu,cpuacct:/docker/a/b\n1:name=systemd:/\n0::/user.slice/x\n");
        let at = |controllers: &[&str], root: &str| Hierarchy {
            version: if controllers.is_empty() { Version::V2 } else { Version::V1 },
            controllers: controllers.iter().map(ToString::to_string).collect(),
            mount: "/m".to_owned(),
            root: root.to_owned(),
        };
        assert_eq!(own.path_in(&at(&["cpu", "cpuacct"], "/")), Some("/docker/a/b"));
        assert_eq!(own.path_in(&at(&["cpu", "cpuacct"], "/docker/a")), Some("/b"));
        assert_eq!(own.path_in(&at(&["cpu", "cpuacct"], "/docker/a/b")), Some("/"));
        assert_eq!(own.path_in(&at(&["name=systemd"], "/")), Some("/"));
        assert_eq!(own.path_in(&at(&[], "/")), Some("/user.slice/x"));
        assert_eq!(own.path_in(&at(&["memory"], "/")), None);
    }
}
