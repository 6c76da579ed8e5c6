//! Mount points: what a mount needs in the image's files is made for it, and taken away again where nothing has come of it.
//! Otherwise every layer would hold empty files, and no two would be the same.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::error::BuildError;
use crate::layers::edit::{EditFault, failed, select};
use crate::trees;

/// Where the kernel's file systems and a container's own files are mounted.
const ALWAYS: [&str; 6] = ["proc", "sys", "dev", "etc/hosts", "etc/hostname", "etc/resolv.conf"];

/// What the places of mounts were before, each directory before what is in it.
pub(super) struct Before(Vec<(Vec<u8>, Option<Stat>)>);

/// Looks at the places of mounts, and at the directories above them.
pub(super) fn look(root: Option<&OwnedFd>, targets: Vec<String>) -> Result<Before, EditFault> {
    let mut paths: Vec<Vec<u8>> = Vec::new();
    for target in ALWAYS.iter().map(|target| (*target).to_owned()).chain(targets) {
        let names: Vec<&str> = target.split('/').filter(|name| !name.is_empty()).collect();
        for count in 1..=names.len() {
            paths.push(names[..count].join("/").into_bytes());
        }
    }
    paths.sort();
    paths.dedup();
    let look = |path: Vec<u8>| {
        let stat = match root.map(|root| select::stat(root, &path)) {
            Some(Ok(stat)) => Some(stat),
            None | Some(Err(Errno::NOENT | Errno::NOTDIR)) => None,
            Some(Err(errno)) => return Err(failed("look at", &path)(errno)),
        };
        Ok((path, stat))
    };
    paths.into_iter().map(look).collect::<Result<_, _>>().map(Before)
}

/// Takes away what was made and is still empty; gives the directories above it their times back.
pub(super) fn clear(upper: &Path, is_layered: bool, before: Before) -> Result<(), BuildError> {
    let root = rustix::fs::open(upper, trees::OPEN_DIRECTORY, Mode::empty());
    let root = root.map_err(failed("open", b""))?;
    // What is in a directory before the directory.
    for (path, was) in before.0.into_iter().rev() {
        let at = path.iter().rposition(|byte| *byte == b'/');
        let (above, name) = at.map_or((&b""[..], path.as_slice()), |at| (&path[..at], &path[at + 1..]));
        let above = Path::new(std::str::from_utf8(above).unwrap_or_default());
        let Ok(directory) = trees::open_below(&root, above) else { continue };
        let Ok(stat) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let is_empty_file =
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0;
        match was {
            None if is_directory => remove_directory(&directory, name),
            None if is_empty_file => {
                rustix::fs::unlinkat(&directory, name, AtFlags::empty()).map_err(failed("clear", name))?;
            }
            Some(was) if is_directory => {
                let owner_and_mode = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid);
                let is_same = owner_and_mode(&was) == owner_and_mode(&stat);
                let Ok(inner) = rustix::fs::openat(&directory, name, trees::OPEN_DIRECTORY, Mode::empty())
                else {
                    continue;
                };
                let is_empty = trees::list(&inner).is_ok_and(|names| names.is_empty());
                let is_opaque = {
                    let mut value = [0; 1];
                    matches!(rustix::fs::fgetxattr(&inner, c"trusted.overlay.opaque", &mut value[..]), Ok(1))
                };
                if is_layered && is_empty && is_same && !is_opaque {
                    remove_directory(&directory, name);
                } else if is_empty || !is_layered {
                    restore(&inner, &was).map_err(failed("restore", name))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// One that is not empty stays.
fn remove_directory(directory: &OwnedFd, name: &[u8]) {
    rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).ok();
}

fn restore(directory: &OwnedFd, was: &Stat) -> Result<(), Errno> {
    let modified = Timespec { tv_sec: was.st_mtime, tv_nsec: was.st_mtime_nsec.cast_signed() };
    rustix::fs::futimens(directory, &Timestamps { last_access: modified, last_modification: modified })
}
