//! The directories that entries go into: found from the root's descriptor, name by name, never by a path of the host.
//!
//! Symbolic links on the way are followed as a container would follow them, in here and not by the kernel, so that
//! `/` is the image's root and `..` stops there. What a layer below has is seen through `lower`, and its directories
//! are made again here, with all they have, when something is placed below them.
//!
//! Open directories are remembered by where they are, never by a path through links that led there: a link may be
//! replaced later, and no list says which paths it was part of.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Uid, XattrFlags};
use rustix::io::Errno;

use super::budget::{BLOCK_BYTES, Budget};
use super::error::{LayerError, PathFault, placing, shown};
use super::later::{Later, forget_below, suspend_default_acl};
use super::path::{below, names};
use crate::trees::copy_metadata;

/// Linux's bound.
const MAX_LINKS: u32 = 40;
/// Open directories; more than any layer has in use at a time.
pub(super) const MAX_OPEN: usize = 256;

pub(super) const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// overlayfs's word for a directory that hides what is below it.
const OPAQUE: &str = "trusted.overlay.opaque";

/// A directory of the image.
pub(super) struct Directory {
    pub(super) descriptor: OwnedFd,
    /// From the root, without links.
    pub(super) path: Vec<u8>,
    /// The same directory of the layers below, if it shines through.
    pub(super) lower: Option<OwnedFd>,
}

/// Whether directories that are missing are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Make,
    Leave,
}

pub(super) struct Tree {
    root: Rc<Directory>,
    /// By where they are.
    open: HashMap<Vec<u8>, Rc<Directory>>,
    max_open: usize,
    opaque: BTreeSet<Vec<u8>>,
    /// What directories get at the end.
    pub(super) later: Later,
    budget: Budget,
}

impl Tree {
    /// Remembers at most `max_open` directories.
    pub(super) fn new(
        root: OwnedFd,
        lower: Option<OwnedFd>,
        budget: Budget,
        max_open: usize,
    ) -> Result<Self, LayerError> {
        let mut later = Later::default();
        suspend_default_acl(&root, b"", &mut later)?;
        let root = Rc::new(Directory { descriptor: root, path: Vec::new(), lower });
        Ok(Self { root, open: HashMap::new(), max_open, opaque: BTreeSet::new(), later, budget })
    }

    /// The directory at `path`. `None` when it is not there and not to be made.
    pub(super) fn directory(
        &mut self,
        path: &[u8],
        missing: Missing,
    ) -> Result<Option<Rc<Directory>>, LayerError> {
        if let Some(found) = self.open.get(path) {
            return Ok(Some(Rc::clone(found)));
        }
        let mut links = MAX_LINKS;
        let from = Rc::clone(&self.root);
        self.walk(from, path, missing, &mut links)
    }

    /// Forgets all of the directory that was at `path`, and of what was below it: it has been removed.
    pub(super) fn removed(&mut self, path: &[u8]) {
        self.open.clear();
        forget_below(&mut self.opaque, path);
        self.later.forget(path);
    }

    /// Takes a name into account that needs `bytes` of the disk beside its inode.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), LayerError> {
        self.budget.charge(&self.root.descriptor, bytes)
    }

    /// Hides what the layers below have in this directory.
    pub(super) fn hide_below(&mut self, directory: &Directory) -> Result<(), LayerError> {
        // What is open below it shows the layers below.
        self.open.clear();
        self.opaque.insert(directory.path.clone());
        rustix::fs::fsetxattr(&directory.descriptor, OPAQUE, b"y", XattrFlags::empty())
            .map_err(placing("hide what is below", &directory.path))
    }

    /// Gives directories what they get at the end.
    pub(super) fn finish(self) -> Result<(), LayerError> {
        self.later.finish(&self.root.descriptor)
    }

    fn remember(&mut self, path: Vec<u8>, directory: &Rc<Directory>) {
        if self.open.len() >= self.max_open {
            self.open.clear();
        }
        self.open.insert(path, Rc::clone(directory));
    }

    fn walk(
        &mut self,
        from: Rc<Directory>,
        path: &[u8],
        missing: Missing,
        links: &mut u32,
    ) -> Result<Option<Rc<Directory>>, LayerError> {
        let mut at = from;
        for name in names(path) {
            let next = match name {
                b"." => Some(at),
                b".." => self.parent(&at, missing, links)?,
                name => self.enter(&at, name, missing, links)?,
            };
            let Some(next) = next else { return Ok(None) };
            at = next;
        }
        Ok(Some(at))
    }

    /// Only links have `..` in them; the root is its own parent.
    fn parent(
        &mut self,
        at: &Directory,
        missing: Missing,
        links: &mut u32,
    ) -> Result<Option<Rc<Directory>>, LayerError> {
        let above = at.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let root = Rc::clone(&self.root);
        self.walk(root, &at.path[..above], missing, links)
    }

    fn enter(
        &mut self,
        at: &Rc<Directory>,
        name: &[u8],
        missing: Missing,
        links: &mut u32,
    ) -> Result<Option<Rc<Directory>>, LayerError> {
        let path = below(&at.path, name);
        if let Some(found) = self.open.get(&path) {
            return Ok(Some(Rc::clone(found)));
        }
        let found = match rustix::fs::openat(&at.descriptor, name, OPEN, Mode::empty()) {
            Ok(descriptor) => Some(self.opened(at, name, descriptor)?),
            Err(Errno::NOENT) => self.absent(at, name, missing, links)?,
            // A link, or no directory at all.
            Err(Errno::NOTDIR | Errno::LOOP) => self.diverted(at, name, missing, links)?,
            Err(errno) => return Err(placing("open", &path)(errno)),
        };
        // Where a link leads is remembered under its own path only.
        if let Some(found) = &found
            && found.path == path
        {
            self.remember(path, found);
        }
        Ok(found)
    }

    fn opened(
        &mut self,
        at: &Directory,
        name: &[u8],
        descriptor: OwnedFd,
    ) -> Result<Rc<Directory>, LayerError> {
        let path = below(&at.path, name);
        suspend_default_acl(&descriptor, &path, &mut self.later)?;
        let lower = match &at.lower {
            Some(lower) if !self.opaque.contains(&path) => open_lower(lower, name, &path)?,
            _ => None,
        };
        Ok(Rc::new(Directory { descriptor, path, lower }))
    }

    /// Not here: perhaps below.
    fn absent(
        &mut self,
        at: &Rc<Directory>,
        name: &[u8],
        missing: Missing,
        links: &mut u32,
    ) -> Result<Option<Rc<Directory>>, LayerError> {
        let path = below(&at.path, name);
        let Some(lower) = &at.lower else { return self.made(at, name, missing) };
        match rustix::fs::statat(lower, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => self.made(at, name, missing),
            Err(errno) => Err(placing("look below at", &path)(errno)),
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => self.made(at, name, missing),
                FileType::Symlink => {
                    let target = rustix::fs::readlinkat(lower, name, Vec::new())
                        .map_err(placing("read the link", &path))?;
                    self.follow(at, (target.as_bytes(), &path), missing, links)
                }
                _ => no_directory(&path),
            },
        }
    }

    fn diverted(
        &mut self,
        at: &Rc<Directory>,
        name: &[u8],
        missing: Missing,
        links: &mut u32,
    ) -> Result<Option<Rc<Directory>>, LayerError> {
        let path = below(&at.path, name);
        let stat = rustix::fs::statat(&at.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(placing("look at", &path))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            let target = rustix::fs::readlinkat(&at.descriptor, name, Vec::new())
                .map_err(placing("read the link", &path))?;
            return self.follow(at, (target.as_bytes(), &path), missing, links);
        }
        if !is_whiteout(&stat) || missing == Missing::Leave {
            return if missing == Missing::Leave { Ok(None) } else { no_directory(&path) };
        }
        rustix::fs::unlinkat(&at.descriptor, name, AtFlags::empty()).map_err(placing("replace", &path))?;
        let made = self.make(at, name)?;
        let directory = self.opened(at, name, made)?;
        self.hide_below(&directory)?;
        self.enter(at, name, Missing::Leave, links)
    }

    fn follow(
        &mut self,
        at: &Rc<Directory>,
        (target, path): (&[u8], &[u8]),
        missing: Missing,
        links: &mut u32,
    ) -> Result<Option<Rc<Directory>>, LayerError> {
        *links = links
            .checked_sub(1)
            .ok_or_else(|| LayerError::Path { path: shown(path), source: PathFault::TooManyLinks })?;
        let from = if target.starts_with(b"/") { &self.root } else { at };
        let from = Rc::clone(from);
        self.walk(from, target, missing, links)
    }

    fn made(
        &mut self,
        at: &Directory,
        name: &[u8],
        missing: Missing,
    ) -> Result<Option<Rc<Directory>>, LayerError> {
        let path = below(&at.path, name);
        let lower = match &at.lower {
            Some(lower) => open_lower(lower, name, &path)?,
            None => None,
        };
        if missing == Missing::Leave && lower.is_none() {
            return Ok(None);
        }
        let descriptor = self.make(at, name)?;
        if let Some(lower) = &lower {
            let stat = rustix::fs::fstat(lower).map_err(placing("look below at", &path))?;
            copy_metadata(lower, &descriptor, &stat).map_err(placing("copy what is below as", &path))?;
            let modified = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() };
            self.later.at(&path).modified.get_or_insert(modified);
        }
        self.opened(at, name, descriptor).map(Some)
    }

    /// A directory that no entry describes.
    fn make(&mut self, at: &Directory, name: &[u8]) -> Result<OwnedFd, LayerError> {
        let path = below(&at.path, name);
        self.charge(BLOCK_BYTES)?;
        let mode = Mode::from_raw_mode(0o755);
        rustix::fs::mkdirat(&at.descriptor, name, mode).map_err(placing("make directory", &path))?;
        let made =
            rustix::fs::openat(&at.descriptor, name, OPEN, Mode::empty()).map_err(placing("open", &path))?;
        settle_made(&made, (0, 0, mode)).map_err(placing("set the mode of", &path))?;
        Ok(made)
    }
}

/// Gives what was just made the owner and mode that it should have, if the directory that it was made in, or the file
/// system, gave it others.
pub(super) fn settle_made(made: &OwnedFd, (uid, gid, mode): (u32, u32, Mode)) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(made)?;
    let has_owner = (stat.st_uid, stat.st_gid) == (uid, gid);
    if !has_owner {
        rustix::fs::fchown(made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    // chown(2) takes setuid and setgid away.
    if !has_owner || Mode::from_raw_mode(stat.st_mode) != mode {
        rustix::fs::fchmod(made, mode)?;
    }
    Ok(())
}

fn open_lower(lower: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Option<OwnedFd>, LayerError> {
    match rustix::fs::openat(lower, name, OPEN, Mode::empty()) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(placing("open below", path)(errno)),
    }
}

fn no_directory<T>(path: &[u8]) -> Result<T, LayerError> {
    Err(LayerError::Path { path: shown(path), source: PathFault::NoDirectory })
}

/// overlayfs's mark that something of a lower directory is gone.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}
