//! A container's name and directory: taken by one creator at a time, given up, removed.
//!
//! The creator holds a flock on the directory for as long as it works. The kernel drops it when the creator dies,
//! whatever killed it, so "is being created" is never a lie.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;
use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::error::StateError;
use super::names::{CONFIG, NOTIFY_DIRECTORY, NOTIFY_SOCKET, START_GATE};
use super::record::{FILE_NAME, NEW_FILE_NAME, State, write_private};
use crate::sys::errno_of;

/// A container's directory while the container is being made. Dropped without [`Claim::publish`] or
/// [`Claim::release`] it leaves a half-made container, which `delete --force` removes.
#[derive(Debug)]
pub(crate) struct Claim {
    directory: OwnedFd,
    path: PathBuf,
    /// Whether a state is in force.
    is_recorded: Cell<bool>,
}

impl Claim {
    /// Makes the directory of `id` below `root`, and locks it.
    ///
    /// # Errors
    /// [`StateError::Exists`] when the name is taken.
    pub(crate) fn take(root: &Path, id: &ContainerId) -> Result<Self, StateError> {
        let path = root.join(id.as_str());
        let mode = Mode::from_raw_mode(0o700);
        let mut made = rustix::fs::mkdirat(CWD, &path, mode);
        if made == Err(Errno::NOENT) {
            make_root(root)?;
            made = rustix::fs::mkdirat(CWD, &path, mode);
        }
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(StateError::Exists(id.clone())),
            Err(source) => return Err(StateError::Make { path, source }),
        }
        match lock(&path) {
            Ok(directory) => Ok(Self { directory, path, is_recorded: Cell::new(false) }),
            Err(error) => {
                // Nothing is in it yet; the error is the one to tell.
                rustix::fs::unlinkat(CWD, &path, AtFlags::REMOVEDIR).ok();
                Err(error)
            }
        }
    }

    /// Replaces what is remembered.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub(crate) fn record(&self, state: &State) -> Result<(), StateError> {
        self.prepare(state)?.record()
    }

    /// Writes down what is to be remembered, and leaves what is as it is until [`Prepared::record`].
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub(crate) fn prepare(&self, state: &State) -> Result<Prepared<'_>, StateError> {
        write_private(self.directory.as_fd(), NEW_FILE_NAME, &state.text(&self.path)?)
            .map_err(|source| self.not_written(source))?;
        Ok(Prepared(self))
    }

    /// Writes `state`, which is in force already, a second time: a container without cgroups is found by its process
    /// alone when the first is damaged.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub(crate) fn keep_copy(&self, state: &State) -> Result<(), StateError> {
        self.prepare(state).map(drop)
    }

    fn not_written(&self, source: Errno) -> StateError {
        StateError::Write { path: self.path.join(FILE_NAME), source }
    }

    /// Keeps the configuration as it was when the container was made.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub(crate) fn keep_config(&self, config: &[u8]) -> Result<(), StateError> {
        write_private(self.directory.as_fd(), CONFIG, config)
            .map_err(|source| StateError::Write { path: self.path.join(CONFIG), source })
    }

    /// The directory, to make the start gate in.
    #[must_use]
    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The directory's path.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The container is made: unlocks its directory, for the child too, which may have inherited the descriptor.
    ///
    /// # Errors
    /// [`StateError::Lock`].
    pub(crate) fn publish(self) -> Result<(), StateError> {
        rustix::fs::flock(&self.directory, FlockOperation::Unlock)
            .map_err(|source| StateError::Lock { path: self.path, source })
    }

    /// The container will not be: removes its directory.
    ///
    /// # Errors
    /// [`StateError::Remove`].
    pub(crate) fn release(self) -> Result<(), StateError> {
        Directory { descriptor: self.directory, path: self.path }.remove()
    }
}

/// A state that is written, but not in force.
#[derive(Debug)]
#[must_use]
pub(crate) struct Prepared<'a>(&'a Claim);

impl Prepared<'_> {
    /// Replaces what is remembered. The state before, which names the cgroups too, stays as a copy: `delete --force`
    /// finds by it what runs when this one is damaged.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub(crate) fn record(self) -> Result<(), StateError> {
        let (directory, is_second) = (self.0.dir(), self.0.is_recorded.replace(true));
        let flags = if is_second { RenameFlags::EXCHANGE } else { RenameFlags::empty() };
        let rename = |flags| rustix::fs::renameat_with(directory, NEW_FILE_NAME, directory, FILE_NAME, flags);
        match rename(flags) {
            // Not every filesystem exchanges.
            Err(Errno::INVAL | Errno::NOSYS) => rename(RenameFlags::empty()),
            renamed => renamed,
        }
        .map_err(|source| self.0.not_written(source))
    }
}

/// A container's directory, whatever is in it.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens the directory of `id`.
    ///
    /// # Errors
    /// [`StateError::NotFound`] when there is none.
    pub(crate) fn open(root: &Path, id: &ContainerId) -> Result<Self, StateError> {
        let path = root.join(id.as_str());
        match open(&path) {
            Ok(descriptor) => Ok(Self { descriptor, path }),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Err(StateError::NotFound(id.clone())),
            Err(source) => Err(StateError::Read { path, source }),
        }
    }

    /// Whether a creator is at work. If not, none can be from now on.
    ///
    /// # Errors
    /// [`StateError::Lock`].
    pub(crate) fn is_claimed(&self) -> Result<bool, StateError> {
        match rustix::fs::flock(&self.descriptor, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(source) => Err(StateError::Lock { path: self.path.clone(), source }),
        }
    }

    /// Removes the directory with everything in it.
    ///
    /// # Errors
    /// [`StateError::Remove`].
    pub(crate) fn remove(self) -> Result<(), StateError> {
        let failed = |source| StateError::Remove { path: self.path.clone(), source };
        let socket = format!("{NOTIFY_DIRECTORY}/{NOTIFY_SOCKET}");
        ignore_missing(rustix::fs::unlinkat(&self.descriptor, socket, AtFlags::empty())).map_err(failed)?;
        // The state goes last: as long as it is there, what it names can be found and removed.
        for name in [START_GATE, CONFIG, NEW_FILE_NAME, FILE_NAME] {
            match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
                // None of ours is a directory: it goes with what else is left.
                Err(Errno::ISDIR) => {}
                removed => ignore_missing(removed).map_err(failed)?,
            }
        }
        match rustix::fs::unlinkat(CWD, &self.path, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                remove_content(self.descriptor.as_fd()).map_err(failed)?;
                rustix::fs::unlinkat(CWD, &self.path, AtFlags::REMOVEDIR).map_err(failed)
            }
            removed => ignore_missing(removed).map_err(failed),
        }
    }
}

fn ignore_missing(removed: Result<(), Errno>) -> Result<(), Errno> {
    if removed == Err(Errno::NOENT) { Ok(()) } else { removed }
}

/// What another version of this program, or a hook, has left there. One level: nothing of ours has directories.
fn remove_content(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    let listing = rustix::fs::openat(directory, ".", FLAGS, Mode::empty())?;
    for entry in Dir::new(listing)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            let removed = rustix::fs::unlinkat(directory, entry.file_name(), AtFlags::empty());
            let removed = match removed {
                Err(Errno::ISDIR) => rustix::fs::unlinkat(directory, entry.file_name(), AtFlags::REMOVEDIR),
                other => other,
            };
            ignore_missing(removed)?;
        }
    }
    Ok(())
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, FLAGS, Mode::empty())
}

fn lock(path: &Path) -> Result<OwnedFd, StateError> {
    let directory = open(path).map_err(|source| StateError::Make { path: path.to_owned(), source })?;
    // Waits at most for a process that looks whether it is locked.
    rustix::io::retry_on_intr(|| rustix::fs::flock(&directory, FlockOperation::LockExclusive))
        .map_err(|source| StateError::Lock { path: path.to_owned(), source })?;
    Ok(directory)
}

/// Makes `--root` and what is missing above it, for its owner alone.
fn make_root(root: &Path) -> Result<(), StateError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|error| StateError::Make { path: root.to_owned(), source: errno_of(&error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own for each test, removed at the end.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("knarr-claim-{name}-{}", std::process::id()));
            Self(path)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn id(text: &str) -> ContainerId {
        text.parse().expect(text)
    }

    #[test]
    fn a_name_is_taken_once() {
        let root = Root::new("once");
        let claim = Claim::take(&root.0, &id("a")).expect("free");
        assert!(matches!(Claim::take(&root.0, &id("a")), Err(StateError::Exists(_))));
        claim.release().expect("removed");
        Claim::take(&root.0, &id("a")).expect("free again").release().expect("removed");
    }

    #[test]
    fn the_creator_s_lock_ends_with_its_work() {
        let root = Root::new("lock");
        let claim = Claim::take(&root.0, &id("a")).expect("free");
        assert!(Directory::open(&root.0, &id("a")).expect("there").is_claimed().expect("flock"));
        claim.publish().expect("unlocked");
        assert!(!Directory::open(&root.0, &id("a")).expect("there").is_claimed().expect("flock"));
    }

    #[test]
    fn what_was_left_half_made_is_removed_whole() {
        let root = Root::new("half");
        let claim = Claim::take(&root.0, &id("a")).expect("free");
        std::fs::write(claim.path().join(".state.json"), "{").expect("half a state");
        std::fs::write(claim.path().join("left by a hook"), "x").expect("a file");
        drop(claim);
        Directory::open(&root.0, &id("a")).expect("there").remove().expect("removed");
        assert!(matches!(Directory::open(&root.0, &id("a")), Err(StateError::NotFound(_))));
    }

    #[test]
    fn a_symbolic_link_is_no_container() {
        let root = Root::new("link");
        std::fs::create_dir_all(root.0.join("victim")).expect("a directory");
        std::os::unix::fs::symlink("victim", root.0.join("a")).expect("a link");
        assert!(matches!(Directory::open(&root.0, &id("a")), Err(StateError::NotFound(_))));
    }
}
