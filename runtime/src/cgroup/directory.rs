//! One of a container's cgroups, as a directory of its hierarchy. It is opened at the first look into it: most of
//! a v1 container's cgroups are made, entered and removed, and nothing more.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::error::CgroupError;
use super::paths::CgroupPath;
use crate::sys::file;

/// Where it is, and its descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cgroup<'a> {
    pub(super) path: &'a CgroupPath,
    opened: &'a OnceCell<OwnedFd>,
}

impl<'a> Cgroup<'a> {
    pub(super) fn new(path: &'a CgroupPath, opened: &'a OnceCell<OwnedFd>) -> Self {
        Self { path, opened }
    }

    /// # Errors
    /// [`CgroupError::Open`].
    pub(super) fn directory(self) -> Result<BorrowedFd<'a>, CgroupError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.as_fd());
        }
        let path = self.path.directory();
        let opened = open_directory(CWD, &path).map_err(|source| CgroupError::Open { path, source })?;
        Ok(self.opened.get_or_init(|| opened).as_fd())
    }

    /// Where one of its files is, for errors.
    pub(super) fn file(self, name: &str) -> PathBuf {
        self.path.directory().join(name)
    }

    /// Reads a file.
    pub(super) fn read(self, name: &str) -> Result<String, CgroupError> {
        file::read_text_at(self.directory()?, Path::new(name), file::MAX_PROC_BYTES)
            .map_err(|source| CgroupError::Read { path: self.file(name), source })
    }

    /// Writes a file.
    pub(super) fn write(self, name: &str, value: &str) -> Result<(), CgroupError> {
        self.write_each(name, &[value])
    }

    /// Writes several orders to a file.
    pub(super) fn write_each(self, name: &str, values: &[impl AsRef<str>]) -> Result<(), CgroupError> {
        let Some(first) = values.first() else { return Ok(()) };
        let failed = |value: &str, source| CgroupError::Write {
            path: self.file(name),
            value: value.to_owned(),
            source,
        };
        let opened = file::open_to_write(self.directory()?, Path::new(name))
            .map_err(|source| failed(first.as_ref(), source))?;
        values.iter().map(AsRef::as_ref).try_for_each(|value| {
            file::write_whole(&opened, value.as_bytes()).map_err(|source| failed(value, source))
        })
    }
}

/// cgroupfs holds no symbolic links, so one in the way is a trap (R18).
pub(super) fn open_directory(at: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    open(at, path, OFlags::PATH | OFlags::DIRECTORY, NO_LINKS)
}

/// The file that moves its writer into the cgroup at `path`. A path that begins at a cgroup does not leave it.
pub(super) fn open_tasks(at: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = if path.is_relative() { NO_LINKS | ResolveFlags::BENEATH } else { NO_LINKS };
    open(at, &path.join("tasks"), OFlags::WRONLY, resolve)
}

const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);

fn open(at: impl AsFd, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(at, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// The names of the cgroups directly inside one. A directory's link count tells when there are none.
pub(super) fn children(directory: BorrowedFd<'_>) -> Result<Vec<PathBuf>, Errno> {
    if rustix::fs::fstat(directory)?.st_nlink <= 2 {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listing = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    for entry in Dir::new(listing)? {
        let entry = entry?;
        // A container that may make one gives it any name.
        let name = entry.file_name().to_bytes();
        if entry.file_type() == FileType::Directory && !matches!(name, b"." | b"..") {
            names.push(PathBuf::from(OsStr::from_bytes(name)));
        }
    }
    Ok(names)
}
