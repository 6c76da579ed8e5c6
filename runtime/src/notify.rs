//! sd_notify(3) across the border: the container gets a socket of ours at /run/notify/notify.sock, and what it says of
//! being ready goes on to the socket that our own caller named in NOTIFY_SOCKET. Nothing else is passed on.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, Mode};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, recv, socket_with,
};

use crate::spec;
use crate::state::names::{NOTIFY_DIRECTORY, NOTIFY_SOCKET};
use crate::sys::message;

/// Where the container finds it.
const INSIDE: &str = "/run/notify";

/// sd_notify's messages are a few lines.
const MESSAGE_MAX_BYTES: usize = 4096;

/// How long the host's side may take to read what it was told, as under runc.
const BARRIER: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Why notifications do not get through.
#[derive(Debug, thiserror::Error)]
#[error("cannot pass notifications of the container on to {watcher:?} (NOTIFY_SOCKET)")]
pub(crate) struct NotifyError {
    watcher: PathBuf,
    source: Errno,
}

/// The socket of the process that is to be notified.
#[derive(Clone, Debug)]
pub(crate) struct Watcher(PathBuf);

/// The socket that the container writes to.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: OwnedFd,
    watcher: Watcher,
    is_ready: bool,
}

/// Shows the socket to the container, whose state directory this is.
pub(crate) fn show(spec: &mut spec::Spec, state: &Path) {
    spec.mounts.push(spec::mount::Mount {
        destination: INSIDE.to_owned(),
        kind: String::new(),
        source: state.join(NOTIFY_DIRECTORY).display().to_string(),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec(),
        uid_mappings: Vec::new(),
        gid_mappings: Vec::new(),
    });
    if let Some(process) = &mut spec.process {
        process.env.push(format!("NOTIFY_SOCKET={INSIDE}/{NOTIFY_SOCKET}"));
    }
}

impl Watcher {
    /// The one that our caller named, if any.
    #[must_use]
    pub(crate) fn from_environment() -> Option<Self> {
        let path = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())?;
        Some(Self(path.into()))
    }

    /// Makes the directory that [`show`] mounts.
    ///
    /// # Errors
    /// [`NotifyError`].
    pub(crate) fn make_directory(&self, state: BorrowedFd<'_>) -> Result<(), NotifyError> {
        let made = rustix::fs::mkdirat(state, NOTIFY_DIRECTORY, Mode::from_raw_mode(0o755));
        made.map_err(|source| self.failed(source))
    }

    /// Makes the socket in the container's state directory.
    ///
    /// # Errors
    /// [`NotifyError`]; none when the container was made without one.
    pub(crate) fn listen(self, state: &Path) -> Result<Option<Notify>, NotifyError> {
        let directory = state.join(NOTIFY_DIRECTORY);
        if !directory.exists() {
            return Ok(None);
        }
        let path = directory.join(NOTIFY_SOCKET);
        let listen = || {
            let socket = datagram_socket()?;
            bind(&socket, &SocketAddrUnix::new(&path)?)?;
            // Any user in the container may say that it is ready.
            rustix::fs::chmodat(CWD, &path, Mode::from_raw_mode(0o777), AtFlags::empty())?;
            Ok(socket)
        };
        let socket = listen().map_err(|source| self.failed(source))?;
        Ok(Some(Notify { socket, watcher: self, is_ready: false }))
    }

    fn failed(&self, source: Errno) -> NotifyError {
        NotifyError { watcher: self.0.clone(), source }
    }

    /// An address that begins with `@` is an abstract one.
    fn connect(&self) -> Result<OwnedFd, Errno> {
        let address = match self.0.as_os_str().as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddrUnix::new_abstract_name(name)?,
            None => SocketAddrUnix::new(&self.0)?,
        };
        let socket = datagram_socket()?;
        connect(&socket, &address)?;
        Ok(socket)
    }
}

fn datagram_socket() -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
}

impl Notify {
    /// To be polled for input.
    #[must_use]
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        (!self.is_ready).then(|| self.socket.as_fd())
    }

    /// Reads one message; when it says that the container is ready, that is passed on with its first process.
    ///
    /// # Errors
    /// [`NotifyError`].
    pub(crate) fn forward(&mut self, pid: u32) -> Result<(), NotifyError> {
        let failed = |source| self.watcher.failed(source);
        let mut message = vec![0; MESSAGE_MAX_BYTES];
        let (length, _) = recv(&self.socket, &mut message[..], RecvFlags::DONTWAIT).map_err(failed)?;
        let lines = message.get(..length).unwrap_or_default().split(|byte| *byte == b'\n');
        let Some(ready) = lines.into_iter().find(|line| line.starts_with(b"READY=")) else { return Ok(()) };
        tell(&self.watcher, ready, pid).map_err(failed)?;
        self.is_ready = true;
        Ok(())
    }

    /// Waits until the container says that it is ready, or ends.
    ///
    /// # Errors
    /// [`NotifyError`].
    pub(crate) fn wait(mut self, process: BorrowedFd<'_>, pid: u32) -> Result<(), NotifyError> {
        while let Some(socket) = self.as_fd() {
            let mut waiting = [
                PollFd::from_borrowed_fd(socket, PollFlags::IN),
                PollFd::from_borrowed_fd(process, PollFlags::IN),
            ];
            retry_on_intr(|| poll(&mut waiting, None)).map_err(|source| self.watcher.failed(source))?;
            let (said, ended) = (!waiting[0].revents().is_empty(), !waiting[1].revents().is_empty());
            match (said, ended) {
                (true, _) => self.forward(pid)?,
                (false, true) => return Ok(()),
                (false, false) => {}
            }
        }
        Ok(())
    }
}

fn tell(watcher: &Watcher, ready: &[u8], pid: u32) -> Result<(), Errno> {
    let socket = watcher.connect()?;
    rustix::io::write(&socket, &[ready, b"\n"].concat())?;
    rustix::io::write(&socket, format!("MAINPID={pid}\n").as_bytes())?;
    // sd_notify_barrier(3): the pipe is closed when all before it was read.
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    message::send(&socket, b"BARRIER=1", Some(writer.as_fd()))?;
    drop(writer);
    poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&BARRIER)).map(drop)
}
