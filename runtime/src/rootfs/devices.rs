//! /dev: device nodes and the symbolic links that programs expect, made through a descriptor of the directory that was
//! verified to be no symbolic link (CVE-2026-41579, CVE-2026-47766).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};

use super::error::RootError;
use super::tree::{Links, Tree, attach_readonly, copy_tree};
use crate::null::is_null;
use crate::plan::devices::Device;
use crate::spec::linux::DeviceKind;
use crate::sys::descriptor;
use crate::sys::mount::Reach;

/// runtime-spec, "Dev symbolic links".
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

/// Returns whether standard streams that were on /dev/null are on the container's own now.
pub(super) fn fill(tree: &Tree, devices: &[Device], in_user_namespace: bool) -> Result<bool, RootError> {
    let directory = tree
        .make_directory("dev", Links::Refuse)
        .map_err(|source| RootError::Device { path: "/dev".to_owned(), source })?;
    for device in devices {
        let made = if in_user_namespace { bind(tree, device) } else { make(tree, directory.as_fd(), device) };
        made.map_err(|source| RootError::Device { path: format!("/{}", device.path), source })?;
    }
    for (target, name) in LINKS {
        link(directory.as_fd(), target, name)?;
    }
    if rustix::fs::statat(CWD, c"/proc/kcore", AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        link(directory.as_fd(), "/proc/kcore", "core")?;
    }
    // An image's own ptmx would be the host's.
    match rustix::fs::unlinkat(&directory, "ptmx", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => link(directory.as_fd(), "pts/ptmx", "ptmx")?,
        Err(source) => return Err(RootError::Link { path: "ptmx", source }),
    }
    reopen_null(tree).map_err(|source| RootError::Device { path: "/dev/null".to_owned(), source })
}

/// Standard streams on /dev/null become the container's own: criu saves no file that is outside the container. False
/// for a container without a null of its own.
fn reopen_null(tree: &Tree) -> Result<bool, Errno> {
    let Ok(own) = tree.open("dev/null", OFlags::RDWR | OFlags::NOCTTY, Links::Refuse) else {
        return Ok(false);
    };
    if !is_null(&rustix::fs::fstat(&own)?) {
        return Ok(false);
    }
    for (number, stream) in (0..).zip([stdin(), stdout(), stderr()]) {
        if rustix::fs::fstat(stream).is_ok_and(|status| is_null(&status)) {
            descriptor::duplicate_onto(own.as_raw_fd(), number)?;
        }
    }
    Ok(true)
}

fn link(directory: BorrowedFd<'_>, target: &'static str, name: &'static str) -> Result<(), RootError> {
    match rustix::fs::symlinkat(target, directory, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(source) => Err(RootError::Link { path: name, source }),
    }
}

fn make(tree: &Tree, dev: BorrowedFd<'_>, device: &Device) -> Result<(), Errno> {
    let parent;
    let (directory, name) = match device.path.strip_prefix("dev/").filter(|name| !name.contains('/')) {
        Some(name) => (dev, name),
        None => {
            let made = tree.make_parent(&device.path, Links::Refuse)?;
            parent = made.0;
            (parent.as_fd(), made.1)
        }
    };
    let number = rustix::fs::makedev(device.major, device.minor);
    let mode = Mode::from_raw_mode(device.mode);
    match rustix::fs::mknodat(directory, name, file_type(device.kind), mode, number) {
        Ok(()) => {}
        Err(Errno::EXIST) => return verify(directory, name, device),
        Err(errno) => return Err(errno),
    }
    if device.uid == 0 && device.gid == 0 {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// What the image has there already must be that very device.
fn verify(directory: BorrowedFd<'_>, name: &str, device: &Device) -> Result<(), Errno> {
    let status = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let number = rustix::fs::makedev(device.major, device.minor);
    let same_number = device.kind == DeviceKind::Fifo || status.st_rdev == number;
    let same = FileType::from_raw_mode(status.st_mode) == file_type(device.kind) && same_number;
    if same { Ok(()) } else { Err(Errno::EXIST) }
}

/// The host's node of the same path, which must be that very device; read-only, so that its owner in there
/// can use it and not change its owner or mode.
fn bind(tree: &Tree, device: &Device) -> Result<(), Errno> {
    let path = format!("/{}", device.path);
    let host: OwnedFd = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let status = rustix::fs::fstat(&host)?;
    let same = FileType::from_raw_mode(status.st_mode) == file_type(device.kind)
        && status.st_rdev == rustix::fs::makedev(device.major, device.minor);
    if !same {
        return Err(Errno::NODEV);
    }
    let copy = copy_tree(host.as_fd(), Reach::One)?;
    let target = tree.make_file(&device.path, Links::Follow)?;
    attach_readonly(copy.as_fd(), target.as_fd())
}

fn file_type(kind: DeviceKind) -> FileType {
    match kind {
        DeviceKind::Character | DeviceKind::Unbuffered => FileType::CharacterDevice,
        DeviceKind::Block => FileType::BlockDevice,
        DeviceKind::Fifo => FileType::Fifo,
    }
}
