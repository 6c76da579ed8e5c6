//! Placing: entries become files below the root's descriptor. The only code that writes into a snapshot.
//!
//! Whatever stood in an entry's way goes first; a file is made anew or not at all, so nothing is ever written through
//! a link. Owners, modes and times are set by descriptor. What the kernel made is looked at, not what it was asked for:
//! directories pass on groups, bits and ACLs, and file systems have rules of their own.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags};
use rustix::io::Errno;

use super::archive::{Archive, Entry, Kind};
use super::budget::BLOCK_BYTES;
use super::error::{LayerError, PathFault, placing, shown};
use super::later::{DEFAULT_ACL, times};
use super::path::{AUFS_LINKS, EntryPath, Meaning, below, meaning};
use super::remove::Remover;
use super::tree::{Directory, Missing, Tree, is_whiteout, settle_made};
use crate::trees::{copy_data, copy_metadata};

const CREATE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const SPECIAL_BITS: u32 = 0o6000;

pub(super) struct Placer {
    tree: Tree,
    remover: Remover,
    /// Where the entries of an archive go that is no layer.
    plain: Option<EntryPath>,
}

impl Placer {
    pub(super) fn new(tree: Tree, remover: Remover) -> Self {
        Self { tree, remover, plain: None }
    }

    /// The entries are no layer's, and go below `directory`.
    pub(super) fn plain(self, directory: EntryPath) -> Self {
        Self { plain: Some(directory), ..self }
    }

    /// Places all entries.
    pub(super) fn place_all(mut self, archive: &mut Archive) -> Result<(), LayerError> {
        while let Some(mut entry) = archive.next()? {
            if let Some(directory) = &self.plain {
                entry.path = entry.path.under(directory);
                if let Kind::HardLink(target) = &mut entry.kind {
                    *target = target.under(directory);
                }
            }
            self.place(&entry, archive)?;
        }
        if self.plain.is_none() {
            self.drop_aufs_links()?;
        }
        self.tree.finish()
    }

    /// AUFS keeps files with several names in a directory of its own, which names in the image are hard links to.
    fn drop_aufs_links(&mut self) -> Result<(), LayerError> {
        let root = self.tree.directory(b"", Missing::Leave)?.expect("there is always a root");
        self.remover.clear(&mut self.tree, &root, AUFS_LINKS)
    }

    fn place(&mut self, entry: &Entry, archive: &mut Archive) -> Result<(), LayerError> {
        let Some((parent, name)) = entry.path.split() else { return self.root(entry) };
        let meaning = match self.plain {
            None => meaning(&entry.path, name)?,
            Some(_) => Meaning::Entry(name),
        };
        match meaning {
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
        self.tree.charge(disk_bytes(entry))?;
        match &entry.kind {
            Kind::File { size_bytes, segments } => {
                let file = self.make(&directory, name, |at| {
                    rustix::fs::openat(at, name, CREATE, Mode::from_raw_mode(entry.mode))
                })?;
                let file = File::from(file);
                super::write::data(&file, archive, *size_bytes, segments.as_deref(), entry.path.bytes())?;
                settle_file(&file.into(), entry)
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
        match rustix::fs::mkdirat(&parent.descriptor, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = stat(parent, name)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
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
        self.settle_directory(&made, entry)
    }

    fn root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        if !matches!(entry.kind, Kind::Directory) {
            return Err(LayerError::Path { path: "/".to_owned(), source: PathFault::Root });
        }
        let root = self.tree.directory(b"", Missing::Leave)?.expect("there is always a root");
        self.settle_directory(&root, entry)
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
            Err(Errno::NOENT) => bring_up(&mut self.tree, &from, target_name)?.ok_or_else(wrong)?,
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

    /// Owner and attributes of a directory now; its mode and times once nothing more is made in it.
    fn settle_directory(&mut self, made: &Directory, entry: &Entry) -> Result<(), LayerError> {
        let path = entry.path.bytes();
        let stat = rustix::fs::fstat(&made.descriptor).map_err(placing("look at", path))?;
        if (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid) {
            let (uid, gid) = owner(entry);
            rustix::fs::fchown(&made.descriptor, uid, gid).map_err(placing("set the owner of", path))?;
        }
        let (default_acl, others): (Vec<_>, Vec<_>) =
            entry.xattrs.iter().partition(|(name, _)| name.as_c_str() == DEFAULT_ACL);
        set_attributes(&made.descriptor, others, path)?;
        let later = self.tree.later.at(&made.path);
        if let Some((_, acl)) = default_acl.last() {
            later.default_acl = Some(acl.clone());
        }
        later.mode = Some(Mode::from_raw_mode(entry.mode));
        later.modified = Some(entry.modified);
        Ok(())
    }

    /// As [`settle_file`], for what cannot be opened without an effect.
    fn settle_named(&mut self, directory: &Directory, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let path = entry.path.bytes();
        let at = &directory.descriptor;
        let made = stat(directory, name)?;
        let has_owner = (made.st_uid, made.st_gid) == (entry.uid, entry.gid);
        if !has_owner {
            let (uid, gid) = owner(entry);
            rustix::fs::chownat(at, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(placing("set the owner of", path))?;
        }
        let has_mode = has_owner && made.st_mode & 0o7777 == entry.mode;
        if !has_mode && !matches!(entry.kind, Kind::Symlink(_)) {
            // We made it a moment ago, and it is no link.
            rustix::fs::chmodat(at, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .map_err(placing("set the mode of", path))?;
        }
        rustix::fs::utimensat(at, name, &times(entry.modified), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(placing("set the time of", path))
    }
}

/// What an entry takes of the disk beside its inode.
fn disk_bytes(entry: &Entry) -> u64 {
    let data_bytes = match &entry.kind {
        Kind::File { size_bytes, segments: None } => *size_bytes,
        Kind::File { segments: Some(segments), .. } => {
            segments.iter().map(|segment| segment.length_bytes.next_multiple_of(BLOCK_BYTES)).sum()
        }
        Kind::Directory => BLOCK_BYTES,
        Kind::Symlink(target) => target.len() as u64,
        Kind::HardLink(_) | Kind::Character(..) | Kind::Block(..) | Kind::Fifo => 0,
    };
    data_bytes.saturating_add(xattr_bytes(entry.xattrs.iter().map(|(_, value)| value.len())))
}

/// What attributes with values of these lengths take.
fn xattr_bytes(lengths: impl Iterator<Item = usize>) -> u64 {
    /// A name, and what is written around it.
    const OVERHEAD_BYTES: u64 = 64;
    lengths.map(|length| length as u64 + OVERHEAD_BYTES).sum()
}

/// Owner, mode, attributes and times of a file that was just made.
fn settle_file(made: &OwnedFd, entry: &Entry) -> Result<(), LayerError> {
    let path = entry.path.bytes();
    settle_made(made, (entry.uid, entry.gid, Mode::from_raw_mode(entry.mode)))
        .map_err(placing("set the owner and mode of", path))?;
    set_attributes(made, &entry.xattrs, path)?;
    rustix::fs::futimens(made, &times(entry.modified)).map_err(placing("set the time of", path))
}

fn set_attributes<'a>(
    made: &OwnedFd,
    xattrs: impl IntoIterator<Item = &'a (CString, Vec<u8>)>,
    path: &[u8],
) -> Result<(), LayerError> {
    for (name, value) in xattrs {
        match rustix::fs::fsetxattr(made, name.as_c_str(), value, XattrFlags::empty()) {
            // The file system has none of this kind: the file is good without, as docker sees it.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(placing("set an attribute of", path)(errno)),
        }
    }
    Ok(())
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

fn stat(directory: &Directory, name: &[u8]) -> Result<Stat, LayerError> {
    rustix::fs::statat(&directory.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(placing("look at", &below(&directory.path, name)))
}

/// Copies a file of the layers below to where it is, with its holes, so that it can have one more name.
fn bring_up(tree: &mut Tree, directory: &Directory, name: &[u8]) -> Result<Option<Stat>, LayerError> {
    let path = below(&directory.path, name);
    let Some(lower) = &directory.lower else { return Ok(None) };
    // Looked at before it is opened: opening a device does things.
    let stat = match rustix::fs::statat(lower, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => stat,
        Ok(_) | Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(placing("look below at", &path)(errno)),
    };
    tree.charge(stat.st_blocks.unsigned_abs() * 512)?;
    let reading = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source =
        rustix::fs::openat(lower, name, reading, Mode::empty()).map_err(placing("open below", &path))?;
    let target = rustix::fs::openat(&directory.descriptor, name, CREATE, Mode::from_raw_mode(0o600))
        .map_err(placing("make", &path))?;
    copy_data(&source, &target, stat.st_size.unsigned_abs()).map_err(placing("copy", &path))?;
    copy_metadata(&source, &target, &stat).map_err(placing("copy", &path))?;
    rustix::fs::fstat(&target).map(Some).map_err(placing("look at", &path))
}
