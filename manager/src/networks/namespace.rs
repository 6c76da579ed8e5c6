//! Network namespaces: made for a container's run, held by a file of their own until it ends. So that its processes may come
//! and go, and knarrd, too. Everything blocks.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::NetworkError;
use crate::files::failed;
use crate::held::OwnerId;

/// Where the files are, one for each owner.
#[derive(Clone, Debug)]
pub(super) struct Namespaces {
    directory: PathBuf,
}

impl Namespaces {
    pub(super) fn new(state: &Path) -> Self {
        Self { directory: state.join("netns") }
    }

    pub(super) fn path(&self, owner: &OwnerId) -> PathBuf {
        self.directory.join(owner.as_str().get(..12).unwrap_or_default())
    }

    /// Makes a namespace and its file, in the place of one that an earlier run has left.
    pub(super) fn make(&self, owner: &OwnerId) -> Result<OwnedFd, NetworkError> {
        let path = self.path(owner);
        self.remove(owner)?;
        std::fs::create_dir_all(&self.directory).map_err(failed("make the directory", &self.directory))?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path);
        drop(file.map_err(failed("make", &path))?);
        let target = path.clone();
        // A thread of its own, which ends in the namespace that it has made.
        let made = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .map_err(|errno| Errno::from_raw_os_error(errno as i32))?;
            rustix::mount::mount_bind("/proc/thread-self/ns/net", &target)?;
            // A copy in another mount namespace would keep it alive.
            rustix::mount::mount_change(&target, MountPropagationFlags::PRIVATE)
        });
        let made = made.join().unwrap_or(Err(Errno::IO));
        if let Err(errno) = made {
            self.remove(owner)?;
            return Err(NetworkError::Namespace(errno.into()));
        }
        self.open(owner)
    }

    pub(super) fn open(&self, owner: &OwnerId) -> Result<OwnedFd, NetworkError> {
        let path = self.path(owner);
        let file = File::open(&path).map_err(failed("open the network namespace", &path))?;
        Ok(file.into())
    }

    /// Whether there is one.
    pub(super) fn is_there(&self, owner: &OwnerId) -> bool {
        const NAMESPACES: i64 = 0x6e73_6673;
        rustix::fs::statfs(self.path(owner)).is_ok_and(|found| found.f_type == NAMESPACES)
    }

    /// Lets go of an owner's namespace; that there is none is no error.
    pub(super) fn remove(&self, owner: &OwnerId) -> Result<(), NetworkError> {
        remove_file(&self.path(owner))
    }

    /// The files that are there, by the beginning of their owners' ids.
    pub(super) fn all(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    pub(super) fn remove_named(&self, name: &str) -> Result<(), NetworkError> {
        remove_file(&self.directory.join(name))
    }
}

fn remove_file(path: &Path) -> Result<(), NetworkError> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(errno) => return Err(failed("unmount", path)(errno).into()),
    }
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed("remove", path)(errno).into()),
    }
}

/// Does something in another namespace: what is opened there stays there.
pub(super) fn inside<T: Send + 'static>(
    namespace: impl AsFd,
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    let namespace = rustix::io::fcntl_dupfd_cloexec(namespace, 0).map_err(NetworkError::of_namespace)?;
    let worker = std::thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(NetworkError::of_namespace)?;
        work()
    });
    worker.join().unwrap_or_else(|_| Err(NetworkError::of_namespace(Errno::IO)))
}

/// Writes a kernel parameter of the namespace that the thread is in.
pub(super) fn write_sysctl(path: &str, value: &str) -> Result<(), Errno> {
    let file =
        rustix::fs::open(path, rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, value.as_bytes()).map(drop)
}

/// Reads one; nothing when it is not there.
pub(super) fn read_sysctl(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}
