//! Making the root filesystem a mount of its own, and entering it.
//!
//! A container without a mount namespace is built in one of its own all the same; then its process goes back to the
//! host's with a detached copy of its root as a chroot ([`Entry::Leave`]). No mount of it is in any namespace, so that
//! none is left whatever ends it, and it can mount nothing; `exec` enters it through /proc/PID/root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};

use super::error::RootError;
use super::tree::{Tree, attach, copy_tree};
use crate::rootfs::{masks, mounts};
use crate::sys::file::open_directory;
use crate::sys::mount::{Change, Reach, change_attached, propagate};
use crate::sys::{mountinfo, namespace};

/// No directory is deeper: paths are at most 4096 bytes.
const DEPTH_MAX: usize = 2048;

/// How the root is entered.
#[derive(Debug)]
pub(crate) enum Entry {
    /// pivot_root: the host's mounts are gone from the namespace.
    Pivot,
    /// The root is moved over `/` (`--no-pivot`, for roots on a ramdisk, which cannot be pivoted): the host's mounts
    /// are only hidden.
    Move,
    /// The root is taken along into this mount namespace, the host's, by a container that has none of its own.
    Leave(OwnedFd),
}

/// Copies the mount tree at the working directory, puts the copy in its place, and makes it the working directory.
pub(super) fn bind_root(propagation: Option<(u64, Reach)>) -> Result<Tree, RootError> {
    // Mounts of the container must not appear on the host, whatever the host's own mounts are (R30).
    let (flag, reach) = match propagation {
        // What is unbindable could not be copied; only the container's own root becomes so, when it is entered.
        None | Some((libc::MS_UNBINDABLE, _)) => (libc::MS_SLAVE, Reach::Tree),
        Some(given) => given,
    };
    propagate(c"/", flag, reach).map_err(|source| RootError::HostPropagation { source })?;
    // `slave` and `private` reach the one mount at `/`: that of the root filesystem may be another, and shared.
    if flag == libc::MS_SHARED || reach == Reach::One {
        let parents = if flag == libc::MS_SLAVE { libc::MS_SLAVE } else { libc::MS_PRIVATE };
        unshare_parent(parents).map_err(|source| RootError::HostPropagation { source })?;
    }
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let root = rustix::mount::open_tree(CWD, c".", flags).map_err(|source| RootError::Bind { source })?;
    rustix::mount::move_mount(&root, c"", CWD, c".", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|source| RootError::Bind { source })?;
    // The working directory is below the copy still, where nothing of the container will be: createContainer hooks
    // start in it.
    rustix::process::fchdir(&root).map_err(|source| RootError::Bind { source })?;
    if propagation.is_none() {
        // Nothing that is mounted on the host later shows up in the container (and criu finds no master of the root).
        let private = Change { propagation: libc::MS_PRIVATE, ..Change::default() };
        change_attached(root.as_fd(), private, Reach::Tree).map_err(|source| RootError::Bind { source })?;
    }
    Ok(Tree::new(root))
}

/// pivot_root refuses a new root whose parent mount is shared. The root is a copy of it and has its propagation.
fn unshare_parent(propagation: u64) -> Result<(), Errno> {
    let mut directory = open_directory(c".")?;
    for _ in 0..DEPTH_MAX {
        let status = rustix::fs::statx(&directory, c"", AtFlags::EMPTY_PATH, StatxFlags::INO)?;
        if status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            let wanted = Change { propagation, ..Change::default() };
            return change_attached(directory.as_fd(), wanted, Reach::One);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        directory = rustix::fs::openat(&directory, c"..", flags, Mode::empty())?;
    }
    Err(Errno::LOOP)
}

/// Makes the tree the root of this process and of its mount namespace.
///
/// # Errors
/// [`RootError::Pivot`], [`RootError::Leave`].
pub(crate) fn enter(tree: &Tree, root: &crate::plan::Root, entry: &Entry) -> Result<(), RootError> {
    let failed = |source| RootError::Pivot { source };
    if root.is_readonly {
        mounts::set_readonly(tree.as_fd())
            .map_err(|source| RootError::Readonly { path: "/".to_owned(), source })?;
    }
    match entry {
        Entry::Pivot => pivot(root.propagation.is_some()).map_err(failed)?,
        Entry::Move => {
            hide_kernel_files(&root.path).map_err(failed)?;
            replace(tree).map_err(failed)?;
        }
        Entry::Leave(host) => return leave(tree, host).map_err(|source| RootError::Leave { source }),
    }
    if let Some((flag, reach)) = root.propagation {
        propagate(c"/", flag, reach).map_err(failed)?;
    }
    Ok(())
}

/// pivot_root(2), "pivot_root(".", ".")", from the new root, where [`bind_root`] has brought us: the old root ends up
/// on top of the new one, from where it is taken away; no directory for it is needed.
fn pivot(host_may_be_shared: bool) -> Result<(), Errno> {
    let host = host_may_be_shared.then(|| open_directory(c"/")).transpose()?;
    rustix::process::pivot_root(c".", c".")?;
    if let Some(host) = host {
        // Otherwise the unmount would travel to the host.
        rustix::process::fchdir(&host)?;
        propagate(c".", libc::MS_SLAVE, Reach::Tree)?;
    }
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

/// The tree becomes the root of this process and part of no mount namespace: on the host nothing of it is seen, no `..`
/// leads out of it, and nothing of it is left when the last process in it is gone. Until then the kernel keeps it
/// whole: a tree that was never attached stays connected when its descriptor is closed (dissolve_on_fput's
/// UMOUNT_CONNECTED).
fn leave(tree: &Tree, host: &OwnedFd) -> Result<(), Errno> {
    let tree = copy_tree(tree.as_fd(), Reach::Tree)?;
    namespace::enter(host, libc::CLONE_NEWNS)?;
    become_root(tree.as_fd())
}

/// Makes a directory the root of this process, and its working directory.
pub(crate) fn become_root(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::fchdir(directory)?;
    rustix::process::chroot(c".")?;
    rustix::process::chdir(c"/")
}

/// The host's procfs and sysfs, whole and writable, would stay in the namespace, and by that allow the container to
/// mount new ones without masks. They are taken away, or covered where that is not allowed.
fn hide_kernel_files(root: &Path) -> Result<(), Errno> {
    let text = mountinfo::read()?;
    let outside = text.lines().filter_map(kernel_mount).filter(|path| !path.starts_with(root));
    for path in outside {
        match rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Gone with one above it.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::INVAL | Errno::PERM) => cover(&path)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn cover(path: &Path) -> Result<(), Errno> {
    let target = open_directory(path)?;
    let empty = masks::empty_directory("")?;
    attach(empty.as_fd(), target.as_fd())
}

/// The mount point of a line of proc_pid_mountinfo(5), if it is one of procfs or sysfs.
fn kernel_mount(line: &str) -> Option<PathBuf> {
    let (before, after) = line.split_once(" - ")?;
    let is_kernels = matches!(after.split(' ').next(), Some("proc" | "sysfs"));
    before.split(' ').nth(4).filter(|_| is_kernels).map(|path| mountinfo::unescape(path).into())
}

fn replace(tree: &Tree) -> Result<(), Errno> {
    rustix::mount::move_mount(tree, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    become_root(tree.as_fd())
}
