//! Copying files into a snapshot: what is there stays unless the copy has it, too; directories are merged. Nothing is
//! written through a link, and every path is resolved beneath the snapshot's root.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use knarr_proto::ignore::Ignore;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::error::{EditFault, failed};
use super::message::{CopyEdit, Owner};
use super::mode::Change;
use super::place::{DIRECTORY_MODE, directories, directory_at};
use super::select::{self, Chosen};
use crate::files::has_room;
use crate::trees;

const MAX_XATTR_BYTES: usize = 64 << 10;

/// Carries out a copy from `sources` to `target`.
pub(super) fn copy(edit: &CopyEdit, sources: &OwnedFd, target: &OwnedFd) -> Result<(), EditFault> {
    let chosen = edit.selection.find(sources)?;
    let ignore = edit.selection.ignore()?;
    let change = Change::parse(&edit.mode).map_err(EditFault::Wrong)?;
    let wanted = edit.target.trim_start_matches('/').as_bytes().to_vec();
    let is_directory = edit.target.ends_with('/')
        || chosen.len() > 1
        || edit.selection.parents
        || chosen.iter().any(|one| one.is_directory)
        || directory_at(target, &wanted).is_ok();
    let owner = edit.owner.unwrap_or_default();
    let mut copier = Copier { sources, edit, change, ignore, linked: HashMap::new() };
    for one in chosen {
        if !one.is_directory && copier.ignore.excludes(&one.name) {
            continue;
        }
        let path = match (is_directory, one.name.is_empty()) {
            (true, false) => [trimmed(&wanted), b"/", &one.name].concat(),
            (true, true) | (false, _) => trimmed(&wanted).to_vec(),
        };
        copier.chosen(&one, target, &path, owner)?;
    }
    Ok(())
}

fn trimmed(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

struct Copier<'a> {
    sources: &'a OwnedFd,
    edit: &'a CopyEdit,
    change: Change,
    ignore: Ignore,
    /// Files with several names: where the first one went, by its directory and name.
    linked: HashMap<(u64, u64), (OwnedFd, CString)>,
}

/// A directory that is being copied.
struct Pair {
    source: OwnedFd,
    target: OwnedFd,
    /// Below what was chosen, for patterns.
    path: Vec<u8>,
}

impl Copier<'_> {
    fn chosen(&mut self, one: &Chosen, root: &OwnedFd, path: &[u8], owner: Owner) -> Result<(), EditFault> {
        let cleaned = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect::<Vec<_>>();
        if one.is_directory {
            let source =
                select::open_directory(self.sources, &one.path).map_err(failed("open", &one.path))?;
            let path = cleaned.join(&b'/');
            let (target, is_new) = directories(root, &path, owner)?;
            if is_new {
                let stat = rustix::fs::fstat(&source).map_err(failed("look at", &one.path))?;
                self.settle(&source, &target, &stat, &path)?;
            }
            return self.content(Pair { source, target, path: Vec::new() });
        }
        let Some((name, above)) = cleaned.split_last() else {
            return Err(EditFault::InTheWay { path: "/".to_owned(), what: "it is a directory".into() });
        };
        let (target, _) = directories(root, &above.join(&b'/'), owner)?;
        let stat = select::stat(self.sources, &one.path).map_err(failed("look at", &one.path))?;
        let sources = self.sources;
        let open = || select::open(sources, &one.path, OFlags::RDONLY | OFlags::NONBLOCK);
        let name = CString::new(*name).map_err(|_| EditFault::Wrong("a path has a NUL byte".to_owned()))?;
        self.file(open, None, &stat, (&target, &name))
    }

    /// Everything in a directory, level by level.
    fn content(&mut self, pair: Pair) -> Result<(), EditFault> {
        let mut pending = vec![pair];
        let mut made = Vec::new();
        while let Some(pair) = pending.pop() {
            let mut names = trees::list(&pair.source).map_err(failed("list", &pair.path))?;
            names.sort_by(|one, other| one.0.cmp(&other.0));
            for (name, kind) in names {
                let path = match pair.path.is_empty() {
                    true => name.as_bytes().to_vec(),
                    false => [pair.path.as_slice(), b"/", name.as_bytes()].concat(),
                };
                let excluded = self.ignore.excludes(&path);
                if kind == FileType::Directory {
                    if excluded && !self.ignore.may_include_below(&path) {
                        continue;
                    }
                    if let Some(below) = self.below(&pair, &name, path)? {
                        pending.push(below);
                    }
                } else if !excluded {
                    self.entry(&pair, &name, &path)?;
                }
            }
            made.push(pair);
        }
        // Making entries has changed the directories' times.
        made.iter().rev().filter(|pair| !pair.path.is_empty()).try_for_each(|pair| {
            let stat = rustix::fs::fstat(&pair.source).map_err(failed("look at", &pair.path))?;
            rustix::fs::futimens(&pair.target, &times(&stat)).map_err(failed("set the times of", &pair.path))
        })
    }

    fn below(&self, pair: &Pair, name: &CString, path: Vec<u8>) -> Result<Option<Pair>, EditFault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let source =
            rustix::fs::openat(&pair.source, name, flags, Mode::empty()).map_err(failed("open", &path))?;
        match rustix::fs::mkdirat(&pair.target, name, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make", &path)(errno)),
        }
        let target = match rustix::fs::openat(&pair.target, name, flags, Mode::empty()) {
            Ok(target) => target,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let path = String::from_utf8_lossy(&path).into_owned();
                return Err(EditFault::InTheWay { path, what: "it is not a directory".into() });
            }
            Err(errno) => return Err(failed("open", &path)(errno)),
        };
        let stat = rustix::fs::fstat(&source).map_err(failed("look at", &path))?;
        self.settle(&source, &target, &stat, &path)?;
        Ok(Some(Pair { source, target, path }))
    }

    fn entry(&mut self, pair: &Pair, name: &CString, path: &[u8]) -> Result<(), EditFault> {
        let stat = rustix::fs::statat(&pair.source, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("look at", path))?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&pair.source, name, flags, Mode::empty());
        self.file(open, Some((&pair.source, name)), &stat, (&pair.target, name))
    }

    /// Anything but a directory. `link` is where a symbolic link can be read.
    fn file(
        &mut self,
        open: impl Fn() -> Result<OwnedFd, Errno>,
        link: Option<(&OwnedFd, &CString)>,
        stat: &Stat,
        (target, name): (&OwnedFd, &CString),
    ) -> Result<(), EditFault> {
        let path = name.as_bytes();
        match rustix::fs::unlinkat(target, name.as_c_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => {
                let path = name.to_string_lossy().into_owned();
                return Err(EditFault::InTheWay {
                    path,
                    what: "it is a directory, the source is not".into(),
                });
            }
            Err(errno) => return Err(failed("replace", path)(errno)),
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if stat.st_nlink > 1 && kind == FileType::RegularFile {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some((directory, first)) = self.linked.get(&inode) {
                return rustix::fs::linkat(directory, first, target, name, AtFlags::empty())
                    .map_err(failed("link", path));
            }
            let directory = target.try_clone().map_err(|_| failed("open", path)(Errno::MFILE))?;
            self.linked.insert(inode, (directory, name.clone()));
        }
        match (kind, link) {
            (FileType::RegularFile, _) => {
                let source = open().map_err(failed("open", path))?;
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(target, name, flags, Mode::RUSR | Mode::WUSR)
                    .map_err(failed("make", path))?;
                if !has_room(&file, stat.st_size.unsigned_abs()).map_err(failed("look for room in", path))? {
                    return Err(EditFault::NoRoom);
                }
                trees::copy_data(&source, &file, stat.st_size.unsigned_abs())
                    .map_err(failed("copy", path))?;
                self.settle(&source, &file, stat, path)
            }
            (FileType::Symlink, Some((directory, link))) => {
                let link =
                    rustix::fs::readlinkat(directory, link, Vec::new()).map_err(failed("read", path))?;
                rustix::fs::symlinkat(link.as_c_str(), target, name.as_c_str())
                    .map_err(failed("make", path))?;
                self.settle_named((target, name), stat)
            }
            (FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice, _) => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                rustix::fs::mknodat(target, name.as_c_str(), kind, mode, stat.st_rdev)
                    .map_err(failed("make", path))?;
                self.settle_named((target, name), stat)
            }
            // A socket means nothing without the process that listens.
            _ => Ok(()),
        }
    }

    fn owner(&self, stat: &Stat) -> (Uid, Gid) {
        let owner = self.edit.owner.unwrap_or(Owner { uid: stat.st_uid, gid: stat.st_gid });
        (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid))
    }

    /// Owner, mode, attributes and times of what is open.
    fn settle(&self, source: &OwnedFd, target: &OwnedFd, stat: &Stat, path: &[u8]) -> Result<(), EditFault> {
        let (uid, gid) = self.owner(stat);
        rustix::fs::fchown(target, Some(uid), Some(gid)).map_err(failed("give away", path))?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let mode = self.change.apply(stat.st_mode & 0o7777, is_directory);
        rustix::fs::fchmod(target, Mode::from_raw_mode(mode)).map_err(failed("set the mode of", path))?;
        let mut names = vec![0; MAX_XATTR_BYTES];
        let count = match rustix::fs::flistxattr(source, names.as_mut_slice()) {
            Err(Errno::OPNOTSUPP) => 0,
            other => other.map_err(failed("list the attributes of", path))?,
        };
        for name in names[..count].split(|byte| *byte == 0) {
            let is_kept = name == b"security.capability"
                || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."));
            if is_kept {
                let mut value = vec![0; MAX_XATTR_BYTES];
                let size = rustix::fs::fgetxattr(source, name, value.as_mut_slice())
                    .map_err(failed("read an attribute of", path))?;
                rustix::fs::fsetxattr(target, name, &value[..size], XattrFlags::empty())
                    .map_err(failed("set an attribute of", path))?;
            }
        }
        rustix::fs::futimens(target, &times(stat)).map_err(failed("set the times of", path))
    }

    /// As [`Copier::settle`], of what cannot be opened without an effect.
    fn settle_named(&self, (target, name): (&OwnedFd, &CString), stat: &Stat) -> Result<(), EditFault> {
        let path = name.as_bytes();
        let (uid, gid) = self.owner(stat);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(target, name, Some(uid), Some(gid), flags).map_err(failed("give away", path))?;
        rustix::fs::utimensat(target, name, &times(stat), flags).map_err(failed("set the times of", path))
    }
}

fn times(stat: &Stat) -> Timestamps {
    let modified = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() };
    Timestamps { last_access: modified, last_modification: modified }
}
