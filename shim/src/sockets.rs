//! Sockets that the shim makes outside of its bundle: each has a link to it in the bundle from before it is made until it
//! is removed, so that `delete` finds what a shim that died has left. A socket that a process serves is never removed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use knarr_proto::kind::is_disk_full;
use rustix::fs::Mode;

use crate::journal;

/// What the links' names begin with.
const LINK: &str = "socket-";

/// A socket's name in the file system, which is ours for as long as this very file is there.
#[derive(Debug)]
pub(crate) struct SocketName {
    path: PathBuf,
    file: (u64, u64),
    link: Option<PathBuf>,
}

impl SocketName {
    /// Listens at `path`, for this user alone from the first instant. What a dead process left there is replaced.
    pub(crate) fn bind(path: &Path, bundle: &Path) -> io::Result<(UnixListener, Self)> {
        let link = match path.file_name() {
            Some(name) => make_link(path, name, bundle)?,
            None => None,
        };
        let made = bind_private(path).and_then(|listener| Ok((listener, Self::at(path)?)));
        match made {
            Ok((listener, name)) => Ok((listener, Self { link, ..name })),
            Err(error) => {
                // Of two errors the first is told.
                remove_link(link.as_deref()).ok();
                Err(error)
            }
        }
    }

    /// The socket that is at `path` now, and is ours.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: file_of(&path.symlink_metadata()?), link: None })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a client that looks for the path finds this socket.
    pub(crate) fn is_in_place(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|found| file_of(&found) == self.file)
    }

    /// Makes the socket anew where its name is gone. `None` when it is in place, or another process serves the path, or
    /// the directory is missing.
    pub(crate) fn renew(&mut self) -> io::Result<Option<UnixListener>> {
        if self.is_in_place() || !self.path.parent().is_some_and(Path::is_dir) || is_served(&self.path) {
            return Ok(None);
        }
        let listener = bind_private(&self.path)?;
        self.file = Self::at(&self.path)?.file;
        Ok(Some(listener))
    }

    /// Removes the name, unless it has come to mean another socket.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.is_in_place() {
            remove_if_there(&self.path)?;
        }
        remove_link(self.link.as_deref())
    }
}

/// Removes the sockets that a shim of this bundle made and that no process serves any more.
pub(crate) fn remove_left(bundle: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(bundle) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut first = Ok(());
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(LINK) {
            continue;
        }
        let link = entry.path();
        let Ok(path) = fs::read_link(&link) else { continue };
        let removed = remove_dead(&path).and_then(|()| remove_link(Some(&link)));
        first = first.and(removed);
    }
    first
}

/// Removes the socket at `path`, unless a process serves it; what is no socket stays.
pub(crate) fn remove_dead(path: &Path) -> io::Result<()> {
    let is_socket = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    match UnixStream::connect(path) {
        // Whether a process serves it is not known: the caller has to come again.
        Err(error) if is_socket && is_shortage(&error) => Err(error),
        Err(error) if is_socket && error.kind() == ErrorKind::ConnectionRefused => remove_if_there(path),
        _ => Ok(()),
    }
}

/// Whether this process or the machine had too little of something to connect at all.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    shortages.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether a process listens at `path`. One that has too many connections to take ours listens, too.
pub(crate) fn is_served(path: &Path) -> bool {
    match UnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => {
            !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
                && path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket())
        }
    }
}

/// The pid of the process that serves the socket, by the kernel's word. `None` when none does, or the one that made the
/// socket has not handed it over yet.
pub(crate) fn server_of(path: &Path) -> Option<u32> {
    let connection = UnixStream::connect(path).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&connection).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// Makes the bundle's link to the socket at `path`. On a full disk there is none, and the socket serves all the same: a
/// container that has filled the disk can be entered, and emptied from within. Should this shim die, knarrd sweeps it.
fn make_link(path: &Path, name: &OsStr, bundle: &Path) -> io::Result<Option<PathBuf>> {
    let mut file = OsString::from(LINK);
    file.push(name);
    let link = bundle.join(file);
    match symlink(path, &link) {
        Err(error) if is_disk_full(&error) => {
            journal::warn(&format!("{} has no link in the bundle: {error}", path.display()));
            Ok(None)
        }
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(Some(link)),
    }
}

/// A listening socket with mode 0600 from its first instant. One that is there already and served is an error.
pub(crate) fn bind_private(path: &Path) -> io::Result<UnixListener> {
    remove_dead(path)?;
    // There is one thread; no other makes a file meanwhile.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}

fn file_of(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn remove_link(link: Option<&Path>) -> io::Result<()> {
    link.map_or(Ok(()), remove_if_there)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        directory: tempfile::TempDir,
        bundle: PathBuf,
        socket: PathBuf,
    }

    fn place() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let bundle = directory.path().join("bundle");
        fs::create_dir(&bundle).expect("a directory");
        let socket = directory.path().join("a.sock");
        Place { directory, bundle, socket }
    }

    #[test]
    fn what_a_dead_shim_left_is_found_by_its_links_and_a_served_socket_stays() {
        let place = place();
        let served = place.directory.path().join("b.sock");
        drop(SocketName::bind(&place.socket, &place.bundle).expect("bound"));
        let (_listener, _name) = SocketName::bind(&served, &place.bundle).expect("bound");
        remove_left(&place.bundle).expect("removed");
        assert!(!place.socket.exists(), "nobody serves it");
        assert!(served.exists(), "it is served");
    }

    #[test]
    fn a_link_to_a_file_that_is_no_socket_removes_nothing() {
        let place = place();
        let file = place.directory.path().join("file");
        fs::write(&file, "precious").expect("writable");
        symlink(&file, place.bundle.join("socket-file")).expect("a link");
        remove_left(&place.bundle).expect("removed");
        assert!(file.exists());
    }

    #[test]
    fn a_lost_name_is_made_anew_and_anothers_is_left_alone() {
        let place = place();
        let (listener, mut name) = SocketName::bind(&place.socket, &place.bundle).expect("bound");
        assert!(name.renew().expect("looked").is_none(), "it is in place");
        fs::remove_file(&place.socket).expect("removed");
        assert!(!name.is_in_place());
        let renewed = name.renew().expect("bound").expect("made anew");
        assert!(name.is_in_place() && UnixStream::connect(&place.socket).is_ok());
        drop((listener, renewed));
        fs::remove_file(&place.socket).expect("removed");
        let _other = UnixListener::bind(&place.socket).expect("bound");
        assert!(name.renew().expect("looked").is_none(), "another serves the path");
        name.remove().expect("left alone");
        assert!(place.socket.exists());
        assert!(UnixListener::bind(&place.socket).is_err());
    }
}
