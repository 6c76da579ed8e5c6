//! Whole directory trees: removed and counted, by descriptors alone. What is in them came from images and containers,
//! so no symbolic link is followed and no depth is believed.

use std::collections::HashSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use super::SnapshotError;
use super::error::failed;

/// Deeper directories are moved up before they are removed: the stack and the descriptors stay few.
const MAX_REMOVAL_DEPTH: usize = 64;

/// Disk space of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Allocated bytes; a file with several names counts once.
    pub(crate) size_bytes: u64,
    /// Files, directories and others.
    pub(crate) inodes: u64,
}

pub(super) const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes `path` and everything in it. That it is not there is no error.
pub(super) fn remove(path: &Path) -> Result<(), SnapshotError> {
    let removed = || -> Result<(), Errno> {
        let top = match rustix::fs::openat(CWD, path, OPEN_DIRECTORY, Mode::empty()) {
            Ok(top) => top,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let mut moved = 0;
        while empty(&top, &top, 0, &mut moved)? {}
        rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR)
    };
    removed().map_err(|errno| failed("remove", path)(errno.into()))
}

/// Removes the directory `name` in `directory`, and everything in it.
pub(crate) fn remove_below(directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    let top = rustix::fs::openat(directory, name, OPEN_DIRECTORY, Mode::empty())?;
    let mut moved = 0;
    while empty(&top, &top, 0, &mut moved)? {}
    rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)
}

/// Removes what is in `directory`; says whether there was anything.
fn empty(top: &OwnedFd, directory: &OwnedFd, depth: usize, moved: &mut u64) -> Result<bool, Errno> {
    let names = list(directory)?;
    for (name, kind) in &names {
        if *kind != FileType::Directory {
            rustix::fs::unlinkat(directory, name.as_c_str(), AtFlags::empty())?;
        } else if depth == MAX_REMOVAL_DEPTH {
            move_up(top, directory, name, moved)?;
        } else {
            let child = rustix::fs::openat(directory, name.as_c_str(), OPEN_DIRECTORY, Mode::empty())?;
            empty(top, &child, depth + 1, moved)?;
            rustix::fs::unlinkat(directory, name.as_c_str(), AtFlags::REMOVEDIR)?;
        }
    }
    Ok(!names.is_empty())
}

fn move_up(top: &OwnedFd, directory: &OwnedFd, name: &CString, moved: &mut u64) -> Result<(), Errno> {
    loop {
        *moved += 1;
        let free = format!("deep {moved}");
        match rustix::fs::renameat_with(directory, name.as_c_str(), top, free, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            other => return other,
        }
    }
}

/// The names in a directory with their types, without `.` and `..`.
pub(crate) fn list(directory: &OwnedFd) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        names.push((name.to_owned(), kind));
    }
    Ok(names)
}

/// Opens a directory below `root`, whose path went through no link.
pub(crate) fn open_below(root: impl AsFd, relative: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    rustix::fs::openat2(root, path, OPEN_DIRECTORY, Mode::empty(), resolve)
}

/// Counts what is below `path`. What a running container removes meanwhile is not counted.
pub(super) fn usage(path: &Path) -> Result<Usage, SnapshotError> {
    let counted = || -> io::Result<Usage> {
        let root = rustix::fs::openat(CWD, path, OPEN_DIRECTORY, Mode::empty())?;
        let mut usage = Usage::default();
        let mut linked = HashSet::new();
        let mut pending = vec![PathBuf::new()];
        while let Some(relative) = pending.pop() {
            let directory = match open_below(&root, &relative) {
                Ok(directory) => directory,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(errno.into()),
            };
            for (name, kind) in list(&directory)? {
                let stat = match rustix::fs::statat(&directory, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => stat,
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(errno.into()),
                };
                if stat.st_nlink < 2 || kind == FileType::Directory || linked.insert(stat.st_ino) {
                    usage.inodes += 1;
                    usage.size_bytes += stat.st_blocks.unsigned_abs() * 512;
                }
                if kind == FileType::Directory {
                    pending.push(relative.join(path_of(&name)));
                }
            }
        }
        Ok(usage)
    };
    counted().map_err(failed("count", path))
}

/// A name as a path component.
pub(super) fn path_of(name: &CString) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_the_stack_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let top = directory.path().join("top");
        std::fs::create_dir(&top).expect("top");
        let mut at = rustix::fs::openat(CWD, &top, OPEN_DIRECTORY, Mode::empty()).expect("open");
        for _ in 0..5_000 {
            rustix::fs::mkdirat(&at, "deep 1", Mode::RWXU).expect("mkdir");
            at = rustix::fs::openat(&at, "deep 1", OPEN_DIRECTORY, Mode::empty()).expect("open");
        }
        drop(at);
        remove(&top).expect("removed");
        assert!(!top.exists());
        remove(&top).expect("nothing to remove");
    }

    #[test]
    fn removal_does_not_follow_links_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let (top, canary) = (directory.path().join("top"), directory.path().join("canary"));
        std::fs::create_dir(&top).expect("top");
        std::fs::create_dir(&canary).expect("canary");
        std::fs::write(canary.join("alive"), "yes").expect("canary");
        std::os::unix::fs::symlink(&canary, top.join("link")).expect("link");
        remove(&top).expect("removed");
        assert!(canary.join("alive").exists());
    }

    #[test]
    fn a_file_with_two_names_counts_once() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("a"), vec![1; 64 << 10]).expect("a file");
        let before = usage(directory.path()).expect("counted");
        std::fs::hard_link(directory.path().join("a"), directory.path().join("b")).expect("linked");
        assert_eq!(usage(directory.path()).expect("counted"), before);
    }
}
