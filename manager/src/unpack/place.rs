//! Placing: entries become files below the root's descriptor. The only code that writes into a snapshot.
//!
//! Whatever stood in an entry's way goes first; a file is made anew or not at all, so nothing is ever written through
//! a link. Modes, owners and times are set by descriptor, and only where they are not already right: most files of
//! most images are root's.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::archive::{Archive, Entry, Kind};
use super::error::{LayerError, PathFault, placing, shown};
use super::path::{EntryPath, Meaning, below, meaning};
use super::remove::Remover;
use super::tree::{Directory, Missing, Tree, is_whiteout};
use crate::snapshots::{copy_metadata, open_below};

const CREATE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const SPECIAL_BITS: u32 = 0o6000;

pub(super) struct Placer {
    tree: Tree,
    remover: Remover,
    /// Directories, and what is set once nothing more is made in them.
    last: Vec<Last>,
}

struct Last {
    path: Vec<u8>,
    mode: Option<Mode>,
    modified: Timespec,
}

impl Placer {
    pub(super) fn new(tree: Tree, remover: Remover) -> Self {
        Self { tree, remover, last: Vec::new() }
    }

    /// Places all entries.
    pub(super) fn place_all(mut self, archive: &mut Archive) -> Result<(), LayerError> {
        while let Some(entry) = archive.next()? {
            self.place(&entry, archive)?;
        }
        self.finish()
    }

    fn place(&mut self, entry: &Entry, archive: &mut Archive) -> Result<(), LayerError> {
        let Some((parent, name)) = entry.path.split() else { return self.root(entry) };
        match meaning(&entry.path, name)? {
            Meaning::Ignored => return Ok(()),
            Meaning::Whiteout(gone) => return self.whiteout(parent, gone),
            Meaning::Opaque => {
                if let Some(directory) = self.tree.directory(parent, Missing::Leave)? {
                    self.remover.hide_all(&mut self.tree, &directory)?;
                }
                return Ok(());
            }
            Meaning::Entry(_) => {}
        }
        // To overlayfs this device is a whiteout, so it is one everywhere.
        if matches!(entry.kind, Kind::Character(0, 0)) {
            return self.whiteout(parent, name);
        }
        let directory =
            self.tree.directory(parent, Missing::Make)?.expect("a directory that is missing is made");
        self.remover.placed(&below(&directory.path, name));
        match &entry.kind {
            Kind::File { size_bytes, segments } => {
                let file = self.make(&directory, name, |at| {
                    rustix::fs::openat(at, name, CREATE, Mode::from_raw_mode(entry.mode))
                })?;
                let file = File::from(file);
                super::write::data(&file, archive, *size_bytes, segments.as_deref(), entry.path.bytes())?;
                self.settle_open(&directory, &file.into(), entry, Timing::Now)
            }
            Kind::Directory => self.directory(&directory, name, entry),
            Kind::Symlink(target) => {
                self.make(&directory, name, |at| rustix::fs::symlinkat(target.as_slice(), at, name))?;
                self.settle_named(&directory, name, entry)
            }
            Kind::HardLink(target) => self.hard_link(&directory, name, entry, target),
            Kind::Character(major, minor) => {
                let device = rustix::fs::makedev(*major, *minor);
                self.node(&directory, name, entry, (FileType::CharacterDevice, device))
            }
            Kind::Block(major, minor) => {
                let device = rustix::fs::makedev(*major, *minor);
                self.node(&directory, name, entry, (FileType::BlockDevice, device))
            }
            Kind::Fifo => self.node(&directory, name, entry, (FileType::Fifo, 0)),
        }
    }

    /// Makes what does not exist; if something is in the way, removes that first.
    fn make<T>(
        &mut self,
        directory: &Directory,
        name: &[u8],
        mut make: impl FnMut(&OwnedFd) -> Result<T, Errno>,
    ) -> Result<T, LayerError> {
        let path = below(&directory.path, name);
        self.tree.replaced(&path);
        match make(&directory.descriptor) {
            Err(Errno::EXIST) => {
                self.remover.clear(&mut self.tree, directory, name)?;
                make(&directory.descriptor).map_err(placing("make", &path))
            }
            other => other.map_err(placing("make", &path)),
        }
    }

    fn node(
        &mut self,
        directory: &Directory,
        name: &[u8],
        entry: &Entry,
        (kind, device): (FileType, u64),
    ) -> Result<(), LayerError> {
        let mode = Mode::from_raw_mode(entry.mode);
        self.make(directory, name, |at| rustix::fs::mknodat(at, name, kind, mode, device))?;
        self.settle_named(directory, name, entry)
    }

    fn directory(&mut self, parent: &Directory, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let path = below(&parent.path, name);
        let mode = Mode::from_raw_mode(entry.mode & !SPECIAL_BITS);
        let mut is_new = true;
        match rustix::fs::mkdirat(&parent.descriptor, name, mode) {
            // A link of the layers below may have led on from here.
            Ok(()) => self.tree.replaced(&path),
            Err(Errno::EXIST) => {
                let stat = stat(parent, name)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    is_new = false;
                } else {
                    // What was here hid what is below; it goes on doing so.
                    self.remover.clear(&mut self.tree, parent, name)?;
                    rustix::fs::mkdirat(&parent.descriptor, name, mode).map_err(placing("make", &path))?;
                    if let Some(made) =
                        self.tree.directory(&path, Missing::Leave)?.filter(|made| made.lower.is_some())
                    {
                        self.tree.hide_below(&made)?;
                    }
                }
            }
            Err(errno) => return Err(placing("make directory", &path)(errno)),
        }
        let made = self
            .tree
            .directory(&path, Missing::Leave)?
            .ok_or_else(|| LayerError::Path { path: shown(&path), source: PathFault::NoDirectory })?;
        let timing = if is_new { Timing::Last } else { Timing::LastWithMode };
        self.settle_open(parent, &made.descriptor, entry, timing)?;
        Ok(())
    }

    fn root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        if !matches!(entry.kind, Kind::Directory) {
            return Err(LayerError::Path { path: "/".to_owned(), source: PathFault::Root });
        }
        let root = self.tree.directory(b"", Missing::Leave)?.expect("there is always a root");
        self.settle_open(&Rc::clone(&root), &root.descriptor, entry, Timing::LastWithMode)
    }

    fn whiteout(&mut self, parent: &[u8], gone: &[u8]) -> Result<(), LayerError> {
        match self.tree.directory(parent, Missing::Leave)? {
            Some(directory) => self.remover.hide(&mut self.tree, &directory, gone),
            None => Ok(()),
        }
    }

    fn hard_link(
        &mut self,
        directory: &Directory,
        name: &[u8],
        entry: &Entry,
        target: &EntryPath,
    ) -> Result<(), LayerError> {
        let wrong = || LayerError::Link { path: shown(entry.path.bytes()), target: shown(target.bytes()) };
        let (parent, target_name) = target.split().ok_or_else(wrong)?;
        let from = self.tree.directory(parent, Missing::Leave)?.ok_or_else(wrong)?;
        let found = match rustix::fs::statat(&from.descriptor, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => bring_up(&from, target_name)?.ok_or_else(wrong)?,
            Err(errno) => return Err(placing("look at", target.bytes())(errno)),
        };
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory || is_whiteout(&found) {
            return Err(wrong());
        }
        let is_itself = stat(directory, name).is_ok_and(|here| here.st_ino == found.st_ino);
        if is_itself {
            return Ok(());
        }
        self.make(directory, name, |at| {
            rustix::fs::linkat(&from.descriptor, target_name, at, name, AtFlags::empty())
        })
    }

    /// Owner, mode, attributes and times of what is open.
    fn settle_open(
        &mut self,
        parent: &Directory,
        made: &OwnedFd,
        entry: &Entry,
        timing: Timing,
    ) -> Result<(), LayerError> {
        let path = entry.path.bytes();
        let is_directory = timing != Timing::Now;
        let has_owner =
            entry.uid != 0 || entry.gid != 0 || parent.gives_group || timing == Timing::LastWithMode;
        if has_owner {
            let (uid, gid) = owner(entry);
            rustix::fs::fchown(made, uid, gid).map_err(placing("set the owner of", path))?;
        }
        // chown(2) takes setuid and setgid away.
        if has_owner && !is_directory && entry.mode & SPECIAL_BITS != 0 {
            rustix::fs::fchmod(made, Mode::from_raw_mode(entry.mode))
                .map_err(placing("set the mode of", path))?;
        }
        for (name, value) in &entry.xattrs {
            match rustix::fs::fsetxattr(made, name.as_c_str(), value, XattrFlags::empty()) {
                // The file system has none of this kind: the file is good without, as docker sees it.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(placing("set an attribute of", path)(errno)),
            }
        }
        if !is_directory {
            return rustix::fs::futimens(made, &times(entry.modified))
                .map_err(placing("set the time of", path));
        }
        let needs_mode =
            timing == Timing::LastWithMode || entry.mode & SPECIAL_BITS != 0 || parent.gives_group;
        let mode = needs_mode.then(|| Mode::from_raw_mode(entry.mode));
        let name = entry.path.split().map_or(&[][..], |(_, name)| name);
        let path = if name.is_empty() { Vec::new() } else { below(&parent.path, name) };
        self.last.push(Last { path, mode, modified: entry.modified });
        Ok(())
    }

    /// As [`Self::settle_open`], for what cannot be opened without an effect.
    fn settle_named(&mut self, directory: &Directory, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let path = entry.path.bytes();
        let at = &directory.descriptor;
        let has_owner = entry.uid != 0 || entry.gid != 0 || directory.gives_group;
        if has_owner {
            let (uid, gid) = owner(entry);
            rustix::fs::chownat(at, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(placing("set the owner of", path))?;
            if entry.mode & SPECIAL_BITS != 0 && !matches!(entry.kind, Kind::Symlink(_)) {
                // We made it a moment ago, and it is no link.
                rustix::fs::chmodat(at, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                    .map_err(placing("set the mode of", path))?;
            }
        }
        rustix::fs::utimensat(at, name, &times(entry.modified), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(placing("set the time of", path))
    }

    /// Modes and times of directories, now that nothing more is made in them. Later entries of the same path count.
    fn finish(mut self) -> Result<(), LayerError> {
        let root = self.tree.directory(b"", Missing::Leave)?.expect("there is always a root");
        let opened = |path: &[u8]| {
            use std::os::unix::ffi::OsStrExt;
            match open_below(&root.descriptor, std::path::Path::new(std::ffi::OsStr::from_bytes(path))) {
                Ok(directory) => Ok(Some(directory)),
                // A later entry took its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                Err(errno) => Err(placing("open", path)(errno)),
            }
        };
        let copied = self.tree.take_copied().into_iter().map(|(path, stat)| Last {
            path,
            mode: None,
            modified: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() },
        });
        for last in copied.chain(self.last) {
            let Some(directory) = opened(&last.path)? else { continue };
            if let Some(mode) = last.mode {
                rustix::fs::fchmod(&directory, mode).map_err(placing("set the mode of", &last.path))?;
            }
            rustix::fs::futimens(&directory, &times(last.modified))
                .map_err(placing("set the time of", &last.path))?;
        }
        Ok(())
    }
}

/// When an entry's times are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timing {
    /// It is a file.
    Now,
    /// It is a directory that was made for this entry.
    Last,
    /// It is a directory that was here, with whatever owner and mode.
    LastWithMode,
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

fn times(modified: Timespec) -> Timestamps {
    Timestamps { last_access: modified, last_modification: modified }
}

fn stat(directory: &Directory, name: &[u8]) -> Result<Stat, LayerError> {
    rustix::fs::statat(&directory.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(placing("look at", &below(&directory.path, name)))
}

/// Copies a file of the layers below to where it is, so that it can have one more name.
fn bring_up(directory: &Directory, name: &[u8]) -> Result<Option<Stat>, LayerError> {
    let path = below(&directory.path, name);
    let Some(lower) = &directory.lower else { return Ok(None) };
    // Looked at before it is opened: opening a device does things.
    let stat = match rustix::fs::statat(lower, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => stat,
        Ok(_) | Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(placing("look below at", &path)(errno)),
    };
    let reading = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source =
        rustix::fs::openat(lower, name, reading, Mode::empty()).map_err(placing("open below", &path))?;
    let target = rustix::fs::openat(&directory.descriptor, name, CREATE, Mode::from_raw_mode(0o600))
        .map_err(placing("make", &path))?;
    let (mut source, mut target) = (File::from(source), File::from(target));
    std::io::copy(&mut source, &mut target)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .map_err(placing("copy", &path))?;
    let target = OwnedFd::from(target);
    copy_metadata(&source.into(), &target, &stat).map_err(placing("copy", &path))?;
    rustix::fs::fstat(&target).map(Some).map_err(placing("look at", &path))
}
