//! A socket over which a runtime hands out a descriptor: a terminal's other end, a seccomp filter's agent. Who has
//! connected and sent has done so by the time that the runtime has ended, so nobody waits for it.

use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::process::DEADLINE;
use crate::scratch::Scratch;

/// Longer than any message of a runtime: the state of a container.
const MESSAGE_BYTES: usize = 65_536;
/// More descriptors than a runtime sends.
const DESCRIPTORS: usize = 4;

/// What a runtime can connect to.
#[derive(Debug)]
pub struct Receiver {
    path: PathBuf,
    socket: UnixListener,
}

impl Receiver {
    /// Listens in the test's directory.
    ///
    /// # Panics
    /// When the name is taken.
    #[must_use]
    pub fn new(scratch: &Scratch, name: &str) -> Self {
        let path = scratch.join(name);
        let socket = UnixListener::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("a socket need not block");
        Self { path, socket }
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a runtime that has ended has sent: the bytes to their end, and the descriptors with them.
    ///
    /// # Panics
    /// When it has not connected, or somebody whom it left the socket to keeps it open.
    #[must_use]
    #[track_caller]
    pub fn take(&self) -> (Vec<u8>, Vec<OwnedFd>) {
        let (mut stream, _) = self.socket.accept().expect("the runtime has connected");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        let mut bytes = vec![0; MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let buffers = &mut [IoSliceMut::new(&mut bytes)];
        let received = rustix::net::recvmsg(&stream, buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        bytes.truncate(received.expect("a message").bytes);
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(sent) = message {
                descriptors.extend(sent);
            }
        }
        stream.read_to_end(&mut bytes).expect("the rest");
        (bytes, descriptors)
    }
}
