//! Mounts that are not the container's own but parts of the host: bind mounts, masks, cgroup v1 without a namespace.
//! criu saves them by name, and at the restore is told what each name is then. The name is the destination as the
//! configuration has it; where in the container that is, symbolic links decide, so that is looked up in the container.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::Errno;

use super::error::CheckpointError;
use super::protocol::{Message, field};
use crate::cgroup::layout::Version;
use crate::cgroup::paths::CgroupPaths;
use crate::plan::Plan;
use crate::plan::mounts::MountKind;
use crate::rootfs::cgroups::hierarchy_name;
use crate::rootfs::tree::{Links, Tree, is_directory};
use crate::spec::linux::NamespaceKind;
use crate::sys::file::open_directory;

/// What files are masked with, and its name.
const NULL: &str = "/dev/null";

/// One mount of the host's.
pub(super) struct External {
    /// Where, as the configuration has it, below the root.
    destination: String,
    /// What, on the host.
    source: String,
}

/// Every mount of the host's that the container has, but for the masks.
pub(super) fn list(plan: &Plan, cgroups: &CgroupPaths) -> Vec<External> {
    let mut list = Vec::new();
    for mount in &plan.root.mounts {
        match &mount.kind {
            MountKind::Bind { source, .. } => {
                let source = source.display().to_string();
                list.push(External { destination: mount.destination.clone(), source });
            }
            // In a cgroup namespace they are filesystems of the container's own, and so is v2 alone everywhere.
            MountKind::Cgroup if !plan.namespaces.has(NamespaceKind::Cgroup) => {
                let v1 = cgroups.hierarchies.iter().filter(|path| path.version == Version::V1);
                list.extend(v1.map(|path| External {
                    destination: format!("{}/{}", mount.destination, hierarchy_name(path)),
                    source: path.directory().display().to_string(),
                }));
            }
            MountKind::Cgroup | MountKind::Filesystem(_) | MountKind::Remount => {}
        }
    }
    if plan.namespaces.has(NamespaceKind::User) {
        list.extend(plan.root.devices.iter().flatten().map(|device| External {
            destination: device.path.clone(),
            source: format!("/{}", device.path),
        }));
    }
    list
}

/// For the dump: where each mount is in the container with the first process `pid`, and its name.
pub(super) fn say_where(
    message: &mut Message,
    list: &[External],
    plan: &Plan,
    pid: u32,
) -> Result<(), CheckpointError> {
    let path = format!("/proc/{pid}/root");
    let failed = |source| CheckpointError::Root { path: path.clone().into(), source };
    let tree = Tree::new(open_directory(&path).map_err(failed)?);
    for external in list {
        if let Some(opened) = find(&tree, &external.destination).map_err(failed)? {
            let place = place(&opened).map_err(failed)?;
            message.pair(field::EXT_MNT, &place, &format!("/{}", external.destination));
        }
    }
    for masked in &plan.root.masked {
        match find(&tree, masked).map_err(failed)? {
            Some(opened) if !is_directory(opened.as_fd()).map_err(failed)? => {
                message.pair(field::EXT_MNT, &place(&opened).map_err(failed)?, NULL);
            }
            _ => {}
        }
    }
    Ok(())
}

/// For the restore: what each name is now.
pub(super) fn say_what(message: &mut Message, list: &[External]) {
    for external in list {
        message.pair(field::EXT_MNT, &format!("/{}", external.destination), &external.source);
    }
    message.pair(field::EXT_MNT, NULL, NULL);
}

fn find(tree: &Tree, path: &str) -> Result<Option<OwnedFd>, Errno> {
    match tree.resolve(path, Links::Follow) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        found => found.map(Some),
    }
}

/// The kernel tells a path in another mount namespace from that namespace's root.
fn place(opened: &OwnedFd) -> Result<String, Errno> {
    let link = format!("/proc/self/fd/{}", opened.as_raw_fd());
    let path = rustix::fs::readlink(&link, Vec::new())?;
    path.into_string().map_err(|_| Errno::ILSEQ)
}
