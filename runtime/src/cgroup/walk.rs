//! The cgroups inside one, however deep a container that may write there has nested them: a level costs a name, neither
//! a descriptor nor stack. What is removed meanwhile is left out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::directory::{children, open_directory};

/// Where a walk is.
pub(super) enum Step<'a> {
    /// In a cgroup, before those inside it are seen; the first one is where the walk begins.
    Enter(BorrowedFd<'a>),
    /// Back in a cgroup, with the name of the one inside it of which all is seen.
    Leave(BorrowedFd<'a>, &'a Path),
}

/// Goes through a cgroup and all inside it.
///
/// # Errors
/// The kernel's, and those of `act`.
pub(super) fn walk(
    top: BorrowedFd<'_>,
    mut act: impl FnMut(Step<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    act(Step::Enter(top))?;
    let mut unseen = vec![children(top)?];
    let mut path: Vec<PathBuf> = Vec::new();
    let mut inside: Option<OwnedFd> = None;
    loop {
        let here = inside.as_ref().map_or(top, AsFd::as_fd);
        if let Some(name) = unseen.last_mut().and_then(Vec::pop) {
            let opened = match open_directory(here, &name) {
                Err(Errno::NOENT) => continue,
                opened => opened?,
            };
            act(Step::Enter(opened.as_fd()))?;
            unseen.push(children(opened.as_fd())?);
            path.push(name);
            inside = Some(opened);
        } else {
            let Some(name) = path.pop() else { return Ok(()) };
            unseen.pop();
            // No cgroup can be moved into another one.
            let parent = open_directory(here, Path::new(".."))?;
            act(Step::Leave(parent.as_fd(), &name))?;
            inside = Some(parent);
        }
    }
}
