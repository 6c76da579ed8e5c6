//! `tmpcopyup`: a tmpfs begins with what it hides. Works on descriptors alone and follows no symbolic link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// Deeper trees are refused rather than overflow the stack.
const DEPTH_MAX: usize = 64;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Copies the content of one directory into another, owners and modes included. The directory itself stays as the
/// options of its filesystem made it.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let from = rustix::fs::openat(from, c".", DIRECTORY, Mode::empty())?;
    copy_content(&from, to, DEPTH_MAX)
}

fn copy_content(from: &OwnedFd, to: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
    let Some(depth) = depth.checked_sub(1) else { return Err(Errno::LOOP) };
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        let status = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let inner = rustix::fs::openat(from, name, DIRECTORY, Mode::empty())?;
                let made = rustix::fs::openat(to, name, DIRECTORY, Mode::empty())?;
                copy_content(&inner, made.as_fd(), depth)?;
                own(&made, &status)?;
            }
            FileType::RegularFile => copy_file(from, to, name, &status)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(&target, to, name)?;
                chown(to, name, &status)?;
            }
            kind => {
                rustix::fs::mknodat(to, name, kind, mode, status.st_rdev)?;
                chown(to, name, &status)?;
            }
        }
    }
    Ok(())
}

fn copy_file(from: &OwnedFd, to: BorrowedFd<'_>, name: &std::ffi::CStr, status: &Stat) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let length = rustix::io::read(&source, &mut buffer)?;
        if length == 0 {
            return own(&target, status);
        }
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let written = rustix::io::write(&target, rest)?;
            rest = &rest[written..];
        }
    }
}

/// Owner first: a change of owner clears the set-user-id bit.
fn own(file: &OwnedFd, status: &Stat) -> Result<(), Errno> {
    rustix::fs::fchown(file, Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(status.st_mode & 0o7777))
}

fn chown(directory: BorrowedFd<'_>, name: &std::ffi::CStr, status: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}
