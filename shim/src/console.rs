//! A process's terminal: the socket on which the runtime hands over its master side, and the window's size. What is typed
//! and shown is `stdio`'s.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::termios::Winsize;
use tokio::time::timeout;

use crate::descriptor::Descriptor;
use crate::sockets::bind_private;

/// The runtime sends the terminal before it ends; what is sent arrives at once on the same machine. This only keeps a
/// runtime that sends nothing from being waited for.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(5);

/// The runtime's terminal cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsoleError {
    /// The socket cannot be made.
    #[error("cannot make the console socket {}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing came.
    #[error("the OCI runtime sent no terminal")]
    NothingSent(#[source] io::Error),
    /// The window's size cannot be set.
    #[error("cannot resize the terminal")]
    Resize(#[source] io::Error),
}

/// Listens for one terminal; its name goes when it is dropped.
#[derive(Debug)]
pub(crate) struct ConsoleSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    /// A socket for one process.
    pub(crate) fn bind(path: PathBuf) -> Result<Self, ConsoleError> {
        let bound = bind_private(&path).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        match bound {
            Ok(listener) => Ok(Self { path, listener }),
            Err(source) => Err(ConsoleError::Socket { path, source }),
        }
    }

    /// For `--console-socket`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal. To be called when the runtime has ended well: then it has been sent.
    pub(crate) async fn receive(self) -> Result<Arc<Descriptor>, ConsoleError> {
        let receive = async {
            let (stream, _) = self.listener.accept()?;
            let master = receive_descriptor(stream).await?;
            Descriptor::new(master).map(Arc::new)
        };
        let received = timeout(ARRIVAL_LIMIT, receive).await;
        received.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(ConsoleError::NothingSent)
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        // It lies in a directory of our own, and bind replaces what is left.
        std::fs::remove_file(&self.path).ok();
    }
}

async fn receive_descriptor(stream: UnixStream) -> io::Result<OwnedFd> {
    stream.set_nonblocking(true)?;
    let stream = tokio::net::UnixStream::from_std(stream)?;
    loop {
        stream.readable().await?;
        let mut name = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = stream.try_io(tokio::io::Interest::READABLE, || {
            let mut name = [IoSliceMut::new(&mut name)];
            Ok(rustix::net::recvmsg(&stream, &mut name, &mut control, RecvFlags::CMSG_CLOEXEC)?)
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let rights = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        return rights
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a message without a descriptor"));
    }
}

/// Tells the terminal its window's size.
pub(crate) fn resize(terminal: &Descriptor, width: u32, height: u32) -> Result<(), ConsoleError> {
    let cells = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
    let size = Winsize { ws_row: cells(height), ws_col: cells(width), ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).map_err(|errno| ConsoleError::Resize(errno.into()))
}
