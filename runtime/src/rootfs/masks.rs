//! Masked paths show nothing, read-only paths take nothing. Both are mounts placed by descriptor; one /dev/null and one
//! empty read-only tmpfs serve all of them, and each further one is a copy of the first.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::error::RootError;
use super::mounts::{new_filesystem, set_readonly};
use super::tree::{Links, Tree, attach, attach_readonly, copy_tree, is_directory};
use crate::plan::mounts::{Attributes, Filesystem};
use crate::sys::mount::Reach;

/// Makes `path` read-only where it is there; mounts below it stay as they are, as under runc. A mount over the root
/// itself would be left behind when the root is entered, so that it is the root which becomes read-only then.
pub(super) fn make_readonly(tree: &Tree, path: &str) -> Result<(), Errno> {
    let target = match tree.resolve(path, Links::Follow) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        opened => opened?,
    };
    if tree.is_root(target.as_fd())? {
        return set_readonly(tree.as_fd());
    }
    let copy = copy_tree(target.as_fd(), Reach::Tree)?;
    attach(copy.as_fd(), target.as_fd())?;
    set_readonly(copy.as_fd())
}

/// Masks `paths` where they are there; the directories have the SELinux label of mounts, which the container may read.
pub(super) fn mask(tree: &Tree, paths: &[String], mount_label: &str) -> Result<(), RootError> {
    let (mut null, mut empty) = (None, None);
    for path in paths {
        let failed = |source| RootError::Mask { path: format!("/{path}"), source };
        let target = match tree.resolve(path, Links::Follow) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            opened => opened.map_err(failed)?,
        };
        // A mask over it would be left behind, too.
        if tree.is_root(target.as_fd()).map_err(failed)? {
            return Err(RootError::MaskRoot { path: format!("/{path}") });
        }
        let mask = if is_directory(target.as_fd()).map_err(failed)? {
            next(&mut empty, || empty_directory(mount_label).map_err(failed))
        } else {
            next(&mut null, || crate::null::copy().map_err(|source| RootError::HostNull { source }))
        }?;
        mask.put_on(target.as_fd()).map_err(failed)?;
    }
    Ok(())
}

/// A mask: made for the first path, copied for the others, which the kernel allows once the first is attached.
struct Mask {
    mount: OwnedFd,
    is_attached: bool,
}

impl Mask {
    fn put_on(&mut self, target: BorrowedFd<'_>) -> Result<(), Errno> {
        if std::mem::replace(&mut self.is_attached, true) {
            return attach(copy_tree(self.mount.as_fd(), Reach::One)?.as_fd(), target);
        }
        attach_readonly(self.mount.as_fd(), target)
    }
}

fn next(
    mask: &mut Option<Mask>,
    make: impl FnOnce() -> Result<OwnedFd, RootError>,
) -> Result<&mut Mask, RootError> {
    match mask {
        Some(mask) => Ok(mask),
        None => Ok(mask.insert(Mask { mount: make()?, is_attached: false })),
    }
}

pub(super) fn empty_directory(mount_label: &str) -> Result<OwnedFd, Errno> {
    let one = |key: &str| (key.to_owned(), Some("1".to_owned()));
    let tmpfs = Filesystem::without_device("tmpfs", vec![one("nr_blocks"), one("nr_inodes")]);
    let readonly = Attributes { set: libc::MOUNT_ATTR_RDONLY, ..Attributes::default() };
    new_filesystem(&tmpfs, readonly, mount_label).map_err(|error| match error {
        crate::rootfs::error::MountError::Create { source, .. }
        | crate::rootfs::error::MountError::Option { source, .. }
        | crate::rootfs::error::MountError::Type { source, .. } => source,
        _ => Errno::IO,
    })
}
