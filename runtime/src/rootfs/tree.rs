//! The container's root as a descriptor, and everything below it reached through that descriptor alone: a name in an
//! image never leads out, whatever symbolic links it has and however they are swapped meanwhile (CVE-2021-30465,
//! CVE-2024-45310).

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags};

use crate::sys::mount::{Change, Reach, change, change_attached};

/// Symbolic links are followed as if the root were `/`; magic ones, which leave any root, are refused.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// openat2 says EAGAIN when something was renamed while it resolved; more often than this in a row is an attack.
const ATTEMPTS_MAX: usize = 128;

/// As many symbolic links as the kernel follows.
const LINKS_MAX: usize = 40;

/// A directory that acts as `/`.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
    /// Mount and inode of the root, once they are asked for.
    place: OnceCell<(u64, u64)>,
}

/// How a path is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Symbolic links lead on, inside the root.
    Follow,
    /// No part of the path may be a symbolic link.
    Refuse,
}

/// What is made where nothing is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
}

impl Tree {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root, place: OnceCell::new() }
    }

    /// Opens what is at `path`, as O_PATH.
    pub(crate) fn resolve(&self, path: &str, links: Links) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH, links)
    }

    /// Opens what is at `path`.
    pub(crate) fn open(&self, path: &str, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
        let resolve = match links {
            Links::Follow => INSIDE,
            Links::Refuse => INSIDE | ResolveFlags::NO_SYMLINKS,
        };
        let path = if path.is_empty() { "." } else { path };
        for _ in 0..ATTEMPTS_MAX {
            match rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                opened => return opened,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens the directory at `path`, made with its parents if it is not there.
    pub(crate) fn make_directory(&self, path: &str, links: Links) -> Result<OwnedFd, Errno> {
        self.make(path, links, Kind::Directory, LINKS_MAX)
    }

    /// Opens the file at `path`, made empty with its parents if it is not there.
    pub(crate) fn make_file(&self, path: &str, links: Links) -> Result<OwnedFd, Errno> {
        self.make(path, links, Kind::File, LINKS_MAX)
    }

    /// Opens a mount point at `path` for `mount`, made as a directory or an empty file as that is one.
    pub(crate) fn make_target(&self, path: &str, mount: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        match is_directory(mount)? {
            true => self.make_directory(path, Links::Follow),
            false => self.make_file(path, Links::Follow),
        }
    }

    /// A symbolic link that leads nowhere leads to where the kernel would look below the root: it is made there.
    /// Whatever is swapped meanwhile, each step stays below the root.
    fn make(&self, path: &str, links: Links, kind: Kind, links_left: usize) -> Result<OwnedFd, Errno> {
        let flags = match kind {
            Kind::Directory => OFlags::PATH | OFlags::DIRECTORY,
            Kind::File => OFlags::PATH,
        };
        match self.open(path, flags, links) {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        let (parent_path, name) = split(path);
        let parent = self.make(parent_path, links, Kind::Directory, links_left)?;
        let made = match kind {
            Kind::Directory => rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)),
            // O_EXCL makes no file through a symbolic link.
            Kind::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o755)).map(drop)
            }
        };
        match made {
            Ok(()) => return self.open(path, flags, links),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let target = match rustix::fs::readlinkat(&parent, name, Vec::new()) {
            Err(Errno::INVAL) => return self.open(path, flags, links),
            target => target?,
        };
        let target = target.to_str().map_err(|_| Errno::ILSEQ)?;
        let next = match target.strip_prefix('/') {
            Some(absolute) => absolute.to_owned(),
            None => format!("{parent_path}/{target}"),
        };
        match (links, links_left.checked_sub(1)) {
            (Links::Follow, Some(left)) => self.make(next.trim_matches('/'), links, kind, left),
            _ => Err(Errno::LOOP),
        }
    }

    /// Whether a descriptor is of the root itself: of the same directory in the same mount.
    pub(crate) fn is_root(&self, opened: BorrowedFd<'_>) -> Result<bool, Errno> {
        let place = |descriptor: BorrowedFd<'_>| {
            let fields = StatxFlags::INO | StatxFlags::MNT_ID;
            let status = match rustix::fs::statx(descriptor, c"", AtFlags::EMPTY_PATH, fields) {
                // Filtered: the directory alone must do, also where it is mounted a second time.
                Err(Errno::NOSYS | Errno::PERM) => {
                    let status = rustix::fs::fstat(descriptor)?;
                    return Ok((status.st_dev, status.st_ino));
                }
                status => status?,
            };
            Ok::<_, Errno>((status.stx_mnt_id, status.stx_ino))
        };
        let own = match self.place.get() {
            Some(own) => *own,
            None => {
                let own = place(self.root.as_fd())?;
                *self.place.get_or_init(|| own)
            }
        };
        Ok(place(opened)? == own)
    }

    /// The parent of `path`, made if it is not there, and the last name.
    pub(crate) fn make_parent<'path>(
        &self,
        path: &'path str,
        links: Links,
    ) -> Result<(OwnedFd, &'path str), Errno> {
        let (parent, name) = split(path);
        Ok((self.make_directory(parent, links)?, name))
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Where a mount goes: what a descriptor refers to, or a name below it, in a directory of our own making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    directory: BorrowedFd<'a>,
    /// Not followed if it is a symbolic link; empty for the descriptor itself.
    name: &'a str,
}

impl<'a> Target<'a> {
    pub(crate) fn below(directory: BorrowedFd<'a>, name: &'a str) -> Self {
        Self { directory, name }
    }
}

impl<'a> From<BorrowedFd<'a>> for Target<'a> {
    fn from(directory: BorrowedFd<'a>) -> Self {
        Self { directory, name: "" }
    }
}

/// Puts a detached mount on `target`; no path is resolved.
pub(crate) fn attach<'a>(mount: BorrowedFd<'_>, target: impl Into<Target<'a>>) -> Result<(), Errno> {
    let Target { directory, name } = target.into();
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", directory, name, flags)
}

/// What went wrong of [`attach_changed`].
#[derive(Debug)]
pub(crate) enum AttachError {
    /// A change.
    Change(Errno),
    /// The mount is changed, but not where it belongs.
    Attach(Errno),
}

/// Changes a detached mount, then puts it on `target`. A kernel that can only change what is attached gets
/// it the other way round: no other process is in the mount namespace in between.
pub(crate) fn attach_changed(
    mount: BorrowedFd<'_>,
    changes: &[(Change<'_>, Reach)],
    target: Target<'_>,
) -> Result<(), AttachError> {
    match changes.iter().try_for_each(|(wanted, reach)| change(mount, *wanted, *reach)) {
        Err(Errno::NOSYS | Errno::INVAL) => {
            attach(mount, target).map_err(AttachError::Attach)?;
            let mut changes = changes.iter();
            changes
                .try_for_each(|(wanted, reach)| change_attached(mount, *wanted, *reach))
                .map_err(AttachError::Change)
        }
        changed => {
            changed.map_err(AttachError::Change)?;
            attach(mount, target).map_err(AttachError::Attach)
        }
    }
}

/// Puts a detached mount on what `target` refers to, read-only, and out of reach of what is mounted over its source
/// later.
pub(crate) fn attach_readonly(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let wanted = Change { propagation: libc::MS_PRIVATE, ..Change::READONLY };
    attach_changed(mount, &[(wanted, Reach::One)], target.into())
        .map_err(|(AttachError::Change(errno) | AttachError::Attach(errno))| errno)
}

/// A detached copy of the mount that the descriptor is in, from there downwards.
pub(crate) fn copy_tree(of: BorrowedFd<'_>, reach: Reach) -> Result<OwnedFd, Errno> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if reach == Reach::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(of, c"", flags)
}

/// Whether the descriptor is a directory's.
pub(crate) fn is_directory(descriptor: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(descriptor)?.st_mode) == FileType::Directory)
}
