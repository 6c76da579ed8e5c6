//! Going through a tree: which entries it has, in which order. Names are sorted byte by byte, a directory stands before
//! what is in it, so that the same tree always gives the same tar.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::data;
use super::error::{PackFault, reading, writing};
use super::message::Times;
use super::tar::{self, Attribute, Header, Kind};
use crate::trees::{self, ChangeKind, Form};

/// Linux's bound for the value of one attribute, and for the list of names.
const MAX_XATTR_BYTES: usize = 64 << 10;
const OPAQUE: &CStr = c"trusted.overlay.opaque";
const WHITEOUT: &CStr = c"trusted.overlay.whiteout";
const REDIRECT: &CStr = c"trusted.overlay.redirect";
const METACOPY: &CStr = c"trusted.overlay.metacopy";

/// A directory that is being packed.
struct Directory {
    descriptor: OwnedFd,
    /// Empty for the root, else with a slash behind it.
    path: Vec<u8>,
}

/// An entry that is not packed yet.
struct Pending {
    parent: Rc<Directory>,
    name: CString,
}

/// Writes entries.
pub(super) struct Packer<W> {
    out: W,
    times: Times,
    /// An overlay's upper directory, whose whiteouts mean something.
    is_upper: bool,
    /// Files with several names: the first one that was packed.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(out: W, times: Times, is_upper: bool) -> Self {
        Self { out, times, is_upper, linked: HashMap::new() }
    }

    /// Packs everything below `root`, which itself is no entry.
    pub(super) fn all(&mut self, root: BorrowedFd<'_>) -> Result<(), PackFault> {
        let root = trees::open_below(root, Path::new("")).map_err(reading("open", b""))?;
        let root = Rc::new(Directory { descriptor: root, path: Vec::new() });
        let mut pending = Vec::new();
        self.look_into(&root, &mut pending)?;
        while let Some(Pending { parent, name }) = pending.pop() {
            let Some(stat) = gone(stat_at(&parent, &name), &parent.path)? else { continue };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let path = [parent.path.as_slice(), name.as_bytes(), b"/"].concat();
                let opened = trees::open_below(&parent.descriptor, path_of(&name));
                let Some(descriptor) = gone(opened, &path)? else { continue };
                let directory = Rc::new(Directory { descriptor, path });
                self.directory(&directory, &stat)?;
                self.look_into(&directory, &mut pending)?;
            } else {
                self.entry(&parent, &name, &stat)?;
            }
        }
        Ok(())
    }

    /// Packs where `new` differs from `old`.
    pub(super) fn differences(
        &mut self,
        new: BorrowedFd<'_>,
        old: Option<BorrowedFd<'_>>,
    ) -> Result<(), PackFault> {
        use std::os::unix::ffi::OsStrExt;
        let changes = trees::compare(new, Form::Whole, old).map_err(reading("compare", b""))?;
        for change in changes {
            let (Some(parent), Some(name)) = (change.path.parent(), change.path.file_name()) else {
                continue;
            };
            let name = CString::new(name.as_bytes()).expect("a name has no NUL");
            let mut path = parent.as_os_str().as_bytes().to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            let Some(descriptor) = gone(trees::open_below(new, parent), &path)? else { continue };
            let parent = Directory { descriptor, path };
            if change.kind == ChangeKind::Deleted {
                self.whiteout(&parent, &name)?;
                continue;
            }
            let Some(stat) = gone(stat_at(&parent, &name), &parent.path)? else { continue };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let path = [parent.path.as_slice(), name.as_bytes(), b"/"].concat();
                let opened = trees::open_below(&parent.descriptor, path_of(&name));
                let Some(descriptor) = gone(opened, &path)? else { continue };
                self.directory(&Directory { descriptor, path }, &stat)?;
            } else {
                self.entry(&parent, &name, &stat)?;
            }
        }
        Ok(())
    }

    /// Ends the tar.
    pub(super) fn finish(mut self) -> Result<(), PackFault> {
        tar::write_end(&mut self.out).and_then(|()| self.out.flush()).map_err(writing)
    }

    fn look_into(&mut self, directory: &Rc<Directory>, pending: &mut Vec<Pending>) -> Result<(), PackFault> {
        let names = trees::list(&directory.descriptor).map_err(reading("list", &directory.path))?;
        let mut names: Vec<CString> = names.into_iter().map(|(name, _)| name).collect();
        names.sort_by(|one, other| other.as_bytes().cmp(one.as_bytes()));
        pending.extend(names.into_iter().map(|name| Pending { parent: Rc::clone(directory), name }));
        Ok(())
    }

    fn directory(&mut self, directory: &Directory, stat: &Stat) -> Result<(), PackFault> {
        let xattrs = xattrs(&directory.descriptor, &directory.path)?;
        self.header(&directory.path, (Kind::Directory, stat), b"", &xattrs)?;
        if !self.is_upper {
            return Ok(());
        }
        if has(&directory.descriptor, REDIRECT, None) {
            return Err(PackFault::Redirected {
                path: String::from_utf8_lossy(&directory.path).into_owned(),
            });
        }
        if has(&directory.descriptor, OPAQUE, Some(b"y")) {
            self.marker(&[directory.path.as_slice(), b".wh..wh..opq"].concat())?;
        }
        Ok(())
    }

    fn whiteout(&mut self, parent: &Directory, name: &CStr) -> Result<(), PackFault> {
        self.marker(&[parent.path.as_slice(), b".wh.", name.to_bytes()].concat())
    }

    /// Whiteouts have no owner and no time.
    fn marker(&mut self, path: &[u8]) -> Result<(), PackFault> {
        let header = Header {
            path,
            kind: Kind::File,
            mode: 0,
            uid: 0,
            gid: 0,
            size_bytes: 0,
            modified: 0,
            link: b"",
            device: (0, 0),
            xattrs: &[],
        };
        tar::write_header(&mut self.out, &header).map_err(writing)
    }

    fn entry(&mut self, parent: &Directory, name: &CStr, stat: &Stat) -> Result<(), PackFault> {
        let path = [parent.path.as_slice(), name.to_bytes()].concat();
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice if self.is_upper && stat.st_rdev == 0 => {
                return self.whiteout(parent, name);
            }
            FileType::CharacterDevice => Kind::Character,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            FileType::Symlink => Kind::Symlink,
            FileType::RegularFile => return self.file(parent, name, &path, stat),
            // A socket means nothing without the process that listens.
            _ => return Ok(()),
        };
        if self.known_link(&path, stat)? {
            return Ok(());
        }
        let link = match kind {
            Kind::Symlink => {
                let read = rustix::fs::readlinkat(&parent.descriptor, name, Vec::new());
                match gone(read, &path)? {
                    Some(link) => link.into_bytes(),
                    None => return Ok(()),
                }
            }
            _ => Vec::new(),
        };
        self.header(&path, (kind, stat), &link, &[])
    }

    fn file(&mut self, parent: &Directory, name: &CStr, path: &[u8], stat: &Stat) -> Result<(), PackFault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&parent.descriptor, name, flags, Mode::empty());
        let Some(file) = gone(opened, path)? else { return Ok(()) };
        if self.is_upper {
            if stat.st_size == 0 && has(&file, WHITEOUT, None) {
                return self.whiteout(parent, name);
            }
            if has(&file, METACOPY, None) {
                return Err(PackFault::Redirected { path: String::from_utf8_lossy(path).into_owned() });
            }
        }
        if self.known_link(path, stat)? {
            return Ok(());
        }
        let xattrs = xattrs(&file, path)?;
        self.header(path, (Kind::File, stat), b"", &xattrs)?;
        data::copy(&file, &mut self.out, stat.st_size.unsigned_abs(), path)
    }

    /// Writes a hard link to what was packed under another name.
    fn known_link(&mut self, path: &[u8], stat: &Stat) -> Result<bool, PackFault> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let inode = (stat.st_dev, stat.st_ino);
        match self.linked.get(&inode).cloned() {
            Some(first) => self.header(path, (Kind::HardLink, stat), &first, &[]).map(|()| true),
            None => {
                self.linked.insert(inode, path.to_vec());
                Ok(false)
            }
        }
    }

    fn header(
        &mut self,
        path: &[u8],
        (kind, stat): (Kind, &Stat),
        link: &[u8],
        xattrs: &[Attribute],
    ) -> Result<(), PackFault> {
        let modified = match self.times {
            Times::Kept => stat.st_mtime,
            Times::AtMost(latest) => stat.st_mtime.min(latest),
        };
        let header = Header {
            path,
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size_bytes: if kind == Kind::File { stat.st_size.unsigned_abs() } else { 0 },
            modified,
            link,
            device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
            xattrs,
        };
        tar::write_header(&mut self.out, &header).map_err(writing)
    }
}

fn path_of(name: &CStr) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

fn stat_at(directory: &Directory, name: &CStr) -> Result<Stat, Errno> {
    rustix::fs::statat(&directory.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// `None` for what was removed or replaced meanwhile: a container may go on while it is packed.
fn gone<T>(result: Result<T, Errno>, path: &[u8]) -> Result<Option<T>, PackFault> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
        Err(errno) => Err(reading("read", path)(errno)),
    }
}

fn has(file: impl AsFd, name: &CStr, wanted: Option<&[u8]>) -> bool {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(file, name, &mut value[..]) {
        Ok(size) => wanted.is_none_or(|wanted| &value[..size] == wanted),
        Err(Errno::RANGE) => wanted.is_none(),
        Err(_) => false,
    }
}

/// The attributes that belong to what a file is, in the order of their names: not those of overlayfs, nor the labels that
/// a host gives.
fn xattrs(file: &OwnedFd, path: &[u8]) -> Result<Vec<Attribute>, PackFault> {
    let mut names = vec![0; MAX_XATTR_BYTES];
    let count = match rustix::fs::flistxattr(file, names.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other.map_err(reading("list the attributes of", path))?,
    };
    let names = names[..count].split_inclusive(|byte| *byte == 0);
    let mut xattrs = Vec::new();
    for name in names.filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        let bytes = name.to_bytes();
        let is_of_user = bytes.starts_with(b"user.") && !bytes.starts_with(b"user.overlay.");
        if !is_of_user && bytes != b"security.capability" {
            continue;
        }
        let mut value = vec![0; MAX_XATTR_BYTES];
        let size = rustix::fs::fgetxattr(file, name, value.as_mut_slice())
            .map_err(reading("read an attribute of", path))?;
        value.truncate(size);
        xattrs.push((bytes.to_vec(), value));
    }
    xattrs.sort();
    Ok(xattrs)
}
