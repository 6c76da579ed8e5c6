//! How much of the disk a tree uses.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat};
use rustix::io::Errno;

use super::walk::{OPEN_DIRECTORY, list, open_below, path_of};

/// Disk space of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Allocated bytes; a file with several names counts once.
    pub(crate) size_bytes: u64,
    /// Files, directories and others.
    pub(crate) inodes: u64,
}

/// Counts what is below `path`. What a running container removes meanwhile is not counted.
pub(crate) fn usage(path: &Path) -> Result<Usage, Errno> {
    let mut usage = Usage::default();
    each(path, |stat, _| {
        usage.inodes += 1;
        usage.size_bytes += stat.st_blocks.unsigned_abs() * 512;
    })?;
    Ok(usage)
}

/// The lengths of the regular files below `path` together, which is what docker calls a container's size.
pub(crate) fn file_bytes(path: &Path) -> Result<u64, Errno> {
    let mut bytes = 0;
    each(path, |stat, kind| {
        if kind == FileType::RegularFile {
            bytes += stat.st_size.unsigned_abs();
        }
    })?;
    Ok(bytes)
}

/// Looks at everything below `path`, a file with several names once.
fn each(path: &Path, mut look: impl FnMut(&Stat, FileType)) -> Result<(), Errno> {
    let root = rustix::fs::openat(CWD, path, OPEN_DIRECTORY, Mode::empty())?;
    let mut linked = HashSet::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let directory = match open_below(&root, &relative) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(errno) => return Err(errno),
        };
        for (name, kind) in list(&directory)? {
            let stat = match rustix::fs::statat(&directory, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            };
            if stat.st_nlink < 2 || kind == FileType::Directory || linked.insert(stat.st_ino) {
                look(&stat, kind);
            }
            if kind == FileType::Directory {
                pending.push(relative.join(path_of(&name)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("a"), vec![1; 64 << 10]).expect("a file");
        let before = usage(directory.path()).expect("counted");
        std::fs::hard_link(directory.path().join("a"), directory.path().join("b")).expect("linked");
        assert_eq!(usage(directory.path()).expect("counted"), before);
        assert_eq!(file_bytes(directory.path()), Ok(64 << 10));
    }
}
