//! The container's cgroup, found through its first process: where its files are and which processes are in it. `v1` and `v2` read its
//! metrics, `oom` watches it, `own` ends it where the runtime cannot. Nothing else here changes a container's cgroup.

pub(crate) mod oom;
pub(crate) mod own;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;

/// A container's cgroup directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cgroup {
    /// One directory per controller (also on a hybrid machine, as containerd sees it). The unified hierarchy, which has no
    /// controller there, comes last, with an empty name.
    V1(Vec<(String, PathBuf)>),
    /// The one directory.
    V2(PathBuf),
}

/// The cgroup cannot be found or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    /// The process's /proc files cannot be read: it has gone, mostly.
    #[error("cannot find the cgroup of process {pid}")]
    Find {
        /// The process.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The shim cannot be put into the cgroup that the options name.
    #[error("cannot put the shim into the cgroup {}", path.display())]
    Join {
        /// The cgroup.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No file of it can be read.
    #[error("cannot read the cgroup {}", path.display())]
    Read {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The table of mounts that we see.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Reads a table of procfs. Other programs' names in it may be any bytes; those that are not UTF-8 are not ours.
fn read_names(path: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

impl Cgroup {
    /// The cgroup that `pid` is in at this moment.
    pub(crate) fn find(pid: u32) -> Result<Self, CgroupError> {
        let read = |path: &str| read_names(path).map_err(|source| CgroupError::Find { pid, source });
        let membership = read(&format!("/proc/{pid}/cgroup"))?;
        let mounts = read(MOUNTS)?;
        Self::resolve(&membership, &mounts).ok_or_else(|| CgroupError::Find {
            pid,
            source: io::Error::new(io::ErrorKind::NotFound, "no cgroup hierarchy is mounted here"),
        })
    }

    fn resolve(membership: &str, mountinfo: &str) -> Option<Self> {
        let mounts: Vec<_> = mountinfo.lines().filter_map(Hierarchy::parse).collect();
        let unified = mounts.iter().find(|mount| mount.controllers.is_none());
        if let Some(unified) = unified.filter(|mount| mount.at == Path::new("/sys/fs/cgroup")) {
            let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
            return Some(Self::V2(unified.place(path)?));
        }
        let mut directories = Vec::new();
        for line in membership.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            for controller in controllers.split(',').filter(|name| !name.is_empty()) {
                let has_it = |mount: &&Hierarchy| {
                    mount.controllers.as_ref().is_some_and(|all| all.contains(&controller))
                };
                if let Some(directory) = mounts.iter().find(has_it).and_then(|mount| mount.place(path)) {
                    directories.push((controller.to_owned(), directory));
                }
            }
        }
        if directories.is_empty() {
            return None;
        }
        let path = membership.lines().find_map(|line| line.strip_prefix("0::"));
        let unified = unified.and_then(|mount| mount.place(path?));
        directories.extend(unified.map(|directory| (String::new(), directory)));
        Some(Self::V1(directories))
    }

    /// Puts this very process into the cgroup at `path`, which must be there, in every hierarchy that has it.
    pub(crate) fn admit_us(path: &str) -> Result<(), CgroupError> {
        let directory = PathBuf::from(path);
        let refused = |source| CgroupError::Join { path: directory.clone(), source };
        let mounts = read_names(MOUNTS).map_err(refused)?;
        let mut is_in = false;
        for mount in mounts.lines().filter_map(Hierarchy::parse) {
            let procs = mount.place(path).map(|place| place.join("cgroup.procs"));
            if let Some(procs) = procs.filter(|procs| procs.exists()) {
                fs::write(procs, "0").map_err(refused)?;
                is_in = true;
            }
        }
        if is_in { Ok(()) } else { Err(refused(io::ErrorKind::NotFound.into())) }
    }

    /// The pids of all processes in it and in the cgroups below, by the host's numbers.
    pub(crate) fn processes(&self) -> Result<Vec<u32>, CgroupError> {
        let directory = match self {
            Self::V2(directory) => directory,
            // A controller that the runtime left alone shows a cgroup above the container's.
            Self::V1(directories) => {
                let depth = |(_, path): &&(String, PathBuf)| path.components().count();
                &directories.iter().max_by_key(depth).expect("found with at least one").1
            }
        };
        exists(directory)?;
        Ok(own::members(directory))
    }

    /// A v1 controller's directory.
    fn controller(directories: &[(String, PathBuf)], name: &str) -> Option<PathBuf> {
        directories.iter().find(|(controller, _)| controller == name).map(|(_, path)| path.clone())
    }

    /// What `ctr tasks metrics` and the CRI expect, in the form for this kind of cgroup.
    pub(crate) fn metrics(&self) -> Result<Any, CgroupError> {
        let (type_url, value) = match self {
            Self::V1(directories) => {
                ("io.containerd.cgroups.v1.Metrics", v1::metrics(directories)?.write_to_bytes())
            }
            Self::V2(directory) => {
                ("io.containerd.cgroups.v2.Metrics", v2::metrics(directory)?.write_to_bytes())
            }
        };
        let value = value.expect("metrics have no required fields");
        Ok(Any { type_url: type_url.to_owned(), value, ..Any::default() })
    }
}

/// A line of /proc/self/mountinfo about a cgroup hierarchy.
struct Hierarchy<'a> {
    /// The cgroup that is the mount's root.
    root: &'a str,
    at: PathBuf,
    /// `None` for v2.
    controllers: Option<Vec<&'a str>>,
}

impl<'a> Hierarchy<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, at) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let controllers = match file_system.next()? {
            "cgroup2" => None,
            "cgroup" => Some(file_system.nth(1)?.split(',').collect()),
            _ => return None,
        };
        Some(Self { root, at: PathBuf::from(at), controllers })
    }

    /// Where the cgroup `path` is in the file system, if this mount shows it.
    fn place(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(self.root).ok()?;
        // Outside our cgroup namespace: the kernel shows it with dots.
        (!path.contains("/..")).then(|| self.at.join(below))
    }
}

/// A file with one number; `max` is the largest. 0 when it is not there, as for a controller that is switched off.
fn number(directory: &Path, file: &str) -> u64 {
    fs::read_to_string(directory.join(file)).map_or(0, |text| parse_number(text.trim()))
}

fn parse_number(text: &str) -> u64 {
    match text {
        "max" => u64::MAX,
        _ => text.parse().unwrap_or(0),
    }
}

/// A file of `key value` lines.
fn pairs(directory: &Path, file: &str) -> Vec<(String, u64)> {
    let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
    let pair =
        |line: &str| line.split_once(' ').map(|(key, value)| (key.to_owned(), parse_number(value.trim())));
    text.lines().filter_map(pair).collect()
}

/// The value of `key`; 0 when it is not there.
fn value_of(pairs: &[(String, u64)], key: &str) -> u64 {
    pairs.iter().find(|(name, _)| name == key).map_or(0, |(_, value)| *value)
}

/// That the cgroup is still there; metrics of a cgroup that has gone would all be 0.
fn exists(directory: &Path) -> Result<(), CgroupError> {
    fs::metadata(directory)
        .map(drop)
        .map_err(|source| CgroupError::Read { path: directory.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 25 0:28 /outer /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";

    #[test]
    fn a_hybrid_machine_is_v1() {
        let membership = "5:memory:/knarr/web\n4:cpu,cpuacct:/outer/knarr/web\n0::/knarr/web";
        let found = Cgroup::resolve(membership, HYBRID).expect("found");
        let directories = [
            ("memory", "/sys/fs/cgroup/memory/knarr/web"),
            ("cpu", "/sys/fs/cgroup/cpu,cpuacct/knarr/web"),
            ("cpuacct", "/sys/fs/cgroup/cpu,cpuacct/knarr/web"),
            ("", "/sys/fs/cgroup/unified/knarr/web"),
        ];
        assert_eq!(
            found,
            Cgroup::V1(directories.map(|(name, path)| (name.to_owned(), path.into())).to_vec())
        );
    }

    #[test]
    fn a_unified_machine_is_v2() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let found = Cgroup::resolve("0::/knarr/web\n", mounts);
        assert_eq!(found, Some(Cgroup::V2("/sys/fs/cgroup/knarr/web".into())));
        assert_eq!(Cgroup::resolve("0::/../web\n", mounts), None, "outside our namespace");
    }
}
