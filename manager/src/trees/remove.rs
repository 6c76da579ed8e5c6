//! Removing whole trees. What is in them came from images and containers, so no symbolic link is followed and no depth
//! is believed.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::Arg;

use super::walk::{OPEN_DIRECTORY, list};

/// Deeper directories are moved up before they are removed: the stack and the descriptors stay few.
const MAX_REMOVAL_DEPTH: usize = 64;

/// Removes `path` and everything in it. That it is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<(), Errno> {
    match remove_below(CWD, path) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// Removes the directory `name` in `directory`, and everything in it.
pub(crate) fn remove_below(directory: impl AsFd, name: impl Arg + Copy) -> Result<(), Errno> {
    let top = retry_on_intr(|| rustix::fs::openat(&directory, name, OPEN_DIRECTORY, Mode::empty()))?;
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
            let open = || rustix::fs::openat(directory, name.as_c_str(), OPEN_DIRECTORY, Mode::empty());
            let child = retry_on_intr(open)?;
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
}
