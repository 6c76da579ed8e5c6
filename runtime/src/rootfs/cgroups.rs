//! The mount of type `cgroup`: v2 is one filesystem; v1 is a tmpfs with a directory for each hierarchy.
//!
//! With a cgroup namespace of its own the container sees its cgroup as the root. Without one it sees all of v2, where
//! programs look for the path that /proc/self/cgroup tells, and of v1 its own cgroups alone, as under runc. A user that
//! could make it none has it in its own, and it sees those.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::error::MountError;
use super::mounts::{new_filesystem, open_source, place, refuse_root, set_readonly};
use super::surroundings::Surroundings;
use super::tree::{Links, Target, Tree, attach};
use crate::cgroup::layout::Version;
use crate::cgroup::paths::CgroupPath;
use crate::plan::mounts::{Attributes, Filesystem, Mount};
use crate::sys::mount::{Change, Reach};

/// What nothing in a cgroup filesystem needs.
const SAFE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;

pub(super) fn mount(tree: &Tree, mount: &Mount, around: &Surroundings<'_>) -> Result<(), MountError> {
    let target = tree
        .make_directory(&mount.destination, Links::Follow)
        .map_err(|source| MountError::Target { source })?;
    refuse_root(tree, target.as_fd())?;
    let v1: Vec<&CgroupPath> =
        around.cgroups.hierarchies.iter().filter(|path| path.version == Version::V1).collect();
    let attributes =
        Attributes { set: mount.attributes.set | mount.recursive.set | SAFE, ..Attributes::default() };
    if let (true, Some(v2)) = (v1.is_empty(), around.cgroups.v2()) {
        return match view(v2, attributes) {
            // Root of a user namespace may mount it in a cgroup namespace of its own alone.
            Err(MountError::Create { source: Errno::PERM, .. }) if !around.has_cgroup_namespace => {
                bind(Path::new(&v2.mount), attributes, target.as_fd().into())
            }
            made => place(made?.as_fd(), &[], target.as_fd()),
        };
    }
    let above = Attributes { set: attributes.set & !libc::MOUNT_ATTR_RDONLY, ..Attributes::default() };
    let mode = vec![("mode".to_owned(), Some("755".to_owned()))];
    let directory = new_filesystem(&Filesystem::without_device("tmpfs", mode), above, around.mount_label)?;
    attach(directory.as_fd(), target.as_fd()).map_err(|source| MountError::Attach { source })?;
    for path in v1 {
        let name = hierarchy_name(path);
        rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755))
            .map_err(|source| MountError::Target { source })?;
        let below = Target::below(directory.as_fd(), name);
        match around.has_cgroup_namespace {
            true => place(view(path, attributes)?.as_fd(), &[], below)?,
            false => bind(&path.directory(), attributes, below)?,
        }
        for controller in path.controllers.iter().filter(|controller| !controller.contains('=')) {
            if controller != name {
                rustix::fs::symlinkat(name, &directory, controller)
                    .map_err(|source| MountError::Target { source })?;
            }
        }
    }
    if attributes.set & libc::MOUNT_ATTR_RDONLY != 0 {
        set_readonly(directory.as_fd()).map_err(|source| MountError::Attributes { source })?;
    }
    Ok(())
}

/// The hierarchy's directory name on the host, which programs in the container expect.
pub(crate) fn hierarchy_name(path: &CgroupPath) -> &str {
    path.mount.rsplit('/').next().unwrap_or(&path.mount)
}

/// A new mount, whose root is that of the cgroup namespace.
fn view(path: &CgroupPath, attributes: Attributes) -> Result<OwnedFd, MountError> {
    let kind = match path.version {
        Version::V1 => "cgroup",
        Version::V2 => "cgroup2",
    };
    let mut data = Vec::with_capacity(2);
    for controller in &path.controllers {
        match controller.split_once('=') {
            Some((key, value)) => {
                data.push(("none".to_owned(), None));
                data.push((key.to_owned(), Some(value.to_owned())));
            }
            None => data.push((controller.clone(), None)),
        }
    }
    new_filesystem(&Filesystem::without_device(kind, data), attributes, "")
}

fn bind(directory: &Path, attributes: Attributes, target: Target<'_>) -> Result<(), MountError> {
    let bound = open_source(directory, Reach::One).map_err(|error| match error {
        MountError::Source { path, source } => MountError::Cgroup { path, source },
        other => other,
    })?;
    let wanted = Change { set: attributes.set, propagation: libc::MS_PRIVATE, ..Change::default() };
    place(bound.as_fd(), &[(wanted, Reach::One)], target)
}
