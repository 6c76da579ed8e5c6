//! Copies trees as they are: data and holes, owners, modes, times, extended attributes, links between names, devices.
//! By descriptors; no symbolic link is followed. overlayfs's own attributes are not copied.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::walk::{OPEN_DIRECTORY, list, open_below, path_of};

/// Linux's bound for the value of one attribute, and for the list of names.
const MAX_XATTR_BYTES: usize = 64 << 10;
/// How much copy_file_range is asked for at once.
const COPY_STEP_BYTES: usize = 64 << 20;
/// What is copied at once where the kernel does not do it.
const BUFFER_BYTES: usize = 1 << 20;

/// Gives `to` the owner, mode, times and attributes of the directory `from`.
pub(crate) fn directory_itself(from: &Path, to: &Path) -> Result<(), Errno> {
    let source = rustix::fs::openat(CWD, from, OPEN_DIRECTORY, Mode::empty())?;
    let target = rustix::fs::openat(CWD, to, OPEN_DIRECTORY, Mode::empty())?;
    let stat = rustix::fs::fstat(&source)?;
    metadata(&source, &target, &stat)
}

/// Copies everything in `from`, and `from` itself, into the empty directory `to`.
pub(crate) fn tree(from: &Path, to: &Path) -> Result<(), Errno> {
    tree_from(rustix::fs::openat(CWD, from, OPEN_DIRECTORY, Mode::empty())?, to)
}

/// As [`tree`], of a directory that is open.
pub(crate) fn tree_from(source: OwnedFd, to: &Path) -> Result<(), Errno> {
    let mut copier = Copier {
        source,
        target: rustix::fs::openat(CWD, to, OPEN_DIRECTORY, Mode::empty())?,
        linked: HashMap::new(),
        pending: vec![PathBuf::new()],
    };
    copier.run()
}

struct Copier {
    source: OwnedFd,
    target: OwnedFd,
    /// Files with several names: inode to the first copied name.
    linked: HashMap<u64, PathBuf>,
    pending: Vec<PathBuf>,
}

impl Copier {
    fn run(&mut self) -> Result<(), Errno> {
        let mut directories = Vec::new();
        while let Some(relative) = self.pending.pop() {
            let source = open_below(&self.source, &relative)?;
            let target = open_below(&self.target, &relative)?;
            for (name, kind) in list(&source)? {
                self.entry(&relative, (&source, &target), &name, kind)?;
            }
            directories.push(relative);
        }
        // Last, and deepest first: making entries changes a directory's times.
        for relative in directories.iter().rev() {
            let source = open_below(&self.source, relative)?;
            let target = open_below(&self.target, relative)?;
            metadata(&source, &target, &rustix::fs::fstat(&source)?)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: &Path,
        (source, target): (&OwnedFd, &OwnedFd),
        name: &CString,
        kind: FileType,
    ) -> Result<(), Errno> {
        let stat = rustix::fs::statat(source, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        let relative = parent.join(path_of(name));
        if kind == FileType::Directory {
            rustix::fs::mkdirat(target, name.as_c_str(), Mode::RWXU)?;
            self.pending.push(relative);
            return Ok(());
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.linked.get(&stat.st_ino) {
                return rustix::fs::linkat(&self.target, first, target, name.as_c_str(), AtFlags::empty());
            }
            self.linked.insert(stat.st_ino, relative);
        }
        match kind {
            FileType::RegularFile => regular((source, target), name, &stat),
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(source, name.as_c_str(), Vec::new())?;
                rustix::fs::symlinkat(link.as_c_str(), target, name.as_c_str())?;
                special_metadata((source, target), name, &stat)
            }
            _ => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                rustix::fs::mknodat(target, name.as_c_str(), kind, mode, stat.st_rdev)?;
                rustix::fs::chmodat(target, name.as_c_str(), mode, AtFlags::empty())?;
                special_metadata((source, target), name, &stat)
            }
        }
    }
}

fn regular((source, target): (&OwnedFd, &OwnedFd), name: &CStr, stat: &Stat) -> Result<(), Errno> {
    let reading = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let writing = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(source, name, reading, Mode::empty())?;
    let target = rustix::fs::openat(target, name, writing, Mode::RUSR | Mode::WUSR)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        data(&source, &target, stat.st_size.unsigned_abs())?;
    }
    metadata(&source, &target, stat)
}

/// Copies the parts that have data; the rest stays holes.
pub(crate) fn data(source: &OwnedFd, target: &OwnedFd, size_bytes: u64) -> Result<(), Errno> {
    rustix::fs::ftruncate(target, size_bytes)?;
    let mut at = 0;
    while at < size_bytes {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(start))?;
        if !piece((source, target), start, end)? {
            return Ok(());
        }
        at = end;
    }
    Ok(())
}

/// Copies what is between two offsets. Returns false at the end of the source.
fn piece((source, target): (&OwnedFd, &OwnedFd), start: u64, end: u64) -> Result<bool, Errno> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let step = usize::try_from(end - from).unwrap_or(usize::MAX).min(COPY_STEP_BYTES);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), step) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            // Two file systems, of which some kernels copy between none, some between those of a kind.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return by_hand((source, target), from, end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}

fn by_hand((source, target): (&OwnedFd, &OwnedFd), mut at: u64, end: u64) -> Result<bool, Errno> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while at < end {
        let step = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let count = rustix::io::pread(source, &mut buffer[..step], at)?;
        if count == 0 {
            return Ok(false);
        }
        let mut written = 0;
        while written < count {
            written += rustix::io::pwrite(target, &buffer[written..count], at + written as u64)?;
        }
        at += count as u64;
    }
    Ok(true)
}

/// Gives `target` the owner, mode, attributes and times of `source`, whose `stat` this is.
/// Owner before mode and attributes: chown(2) clears setuid bits and file capabilities.
pub(crate) fn metadata(source: &OwnedFd, target: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(target, Some(uid), Some(gid))?;
    // It may have got them from the directory that it was made in.
    for acl in [c"system.posix_acl_access", c"system.posix_acl_default"] {
        match rustix::fs::fremovexattr(target, acl) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::ACCESS) => {}
            Err(errno) => return Err(errno),
        }
    }
    rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode))?;
    let mut names = vec![0; MAX_XATTR_BYTES];
    let count = match rustix::fs::flistxattr(source, names.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    for name in copied_names(&names[..count]) {
        let mut value = vec![0; MAX_XATTR_BYTES];
        let size = rustix::fs::fgetxattr(source, name, value.as_mut_slice())?;
        rustix::fs::fsetxattr(target, name, &value[..size], XattrFlags::empty())?;
    }
    rustix::fs::futimens(target, &times(stat))
}

/// For what cannot be opened without an effect: links, devices, fifos. /proc gives their attributes a path that ends
/// in a name below a descriptor.
fn special_metadata((source, target): (&OwnedFd, &OwnedFd), name: &CStr, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(target, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    let from = through_proc(source, name);
    let to = through_proc(target, name);
    let mut names = vec![0; MAX_XATTR_BYTES];
    let count = match rustix::fs::llistxattr(&from, names.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    for attribute in copied_names(&names[..count]) {
        let mut value = vec![0; MAX_XATTR_BYTES];
        let size = rustix::fs::lgetxattr(&from, attribute, value.as_mut_slice())?;
        rustix::fs::lsetxattr(&to, attribute, &value[..size], XattrFlags::empty())?;
    }
    rustix::fs::utimensat(target, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

fn through_proc(directory: &OwnedFd, name: &CStr) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let directory = PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()));
    directory.join(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

fn copied_names(names: &[u8]) -> impl Iterator<Item = &CStr> {
    names
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .filter(|name| !name.to_bytes().starts_with(b"trusted.overlay."))
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec.cast_signed() },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() },
    }
}
