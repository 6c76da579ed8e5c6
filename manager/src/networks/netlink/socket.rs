//! A netlink socket. The kernel works while it is sent to: when a send returns, all answers are there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use super::message::Messages;

/// Kinds of answers.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// The kernel's largest piece of a list.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The kernel refused a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel says: {}", std::io::Error::from(*errno))]
pub(crate) struct NetlinkError {
    pub(crate) errno: Errno,
    /// Which one of those that were sent together, from 1 on; 0 when none got there.
    pub(crate) message: u32,
}

impl From<Errno> for NetlinkError {
    fn from(errno: Errno) -> Self {
        Self { errno, message: 0 }
    }
}

/// A socket of the network namespace that it was opened in, for one conversation at a time.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    turn: Mutex<()>,
}

impl Netlink {
    /// For links, addresses and routes.
    pub(crate) fn route() -> Result<Self, NetlinkError> {
        Self::open(None)
    }

    /// For the firewall.
    pub(crate) fn netfilter() -> Result<Self, NetlinkError> {
        Self::open(Some(NETFILTER))
    }

    fn open(protocol: Option<rustix::net::Protocol>) -> Result<Self, NetlinkError> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        Ok(Self::from(socket))
    }

    /// Sends messages and returns the first error. All of them are to be acknowledged, or the last one.
    pub(crate) fn send(&self, messages: &Messages) -> Result<(), NetlinkError> {
        self.converse(messages).map(drop)
    }

    /// Sends a request for a list and returns its messages: kind and what follows the head.
    pub(crate) fn list(&self, request: &Messages) -> Result<Vec<(u16, Vec<u8>)>, NetlinkError> {
        self.converse(request)
    }

    fn converse(&self, messages: &Messages) -> Result<Vec<(u16, Vec<u8>)>, NetlinkError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        send(&self.socket, messages.bytes(), SendFlags::empty())?;
        let (mut found, mut first) = (Vec::new(), None);
        let mut buffer = vec![0; MAX_ANSWER_BYTES];
        loop {
            let length = match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno.into()),
            };
            for answer in Answers(&buffer[..length]) {
                match answer.kind {
                    ERROR => {
                        let code = i32::from_ne_bytes(first_four(answer.body));
                        if code != 0 && first.is_none() {
                            let errno = Errno::from_raw_os_error(code.saturating_neg());
                            first = Some(NetlinkError { errno, message: answer.sequence });
                        }
                    }
                    DONE => {}
                    kind => found.push((kind, answer.body.to_vec())),
                }
            }
        }
        match first {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }
}

impl From<OwnedFd> for Netlink {
    fn from(socket: OwnedFd) -> Self {
        Self { socket, turn: Mutex::new(()) }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

struct Answer<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

struct Answers<'a>(&'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;

    fn next(&mut self) -> Option<Answer<'a>> {
        let head = self.0.get(..16)?;
        let length = usize::try_from(u32::from_ne_bytes(first_four(head))).ok()?;
        let kind = u16::from_ne_bytes([head[4], head[5]]);
        let sequence = u32::from_ne_bytes(first_four(&head[8..]));
        let body = self.0.get(16..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Answer { kind, sequence, body })
    }
}

fn first_four(bytes: &[u8]) -> [u8; 4] {
    bytes.get(..4).and_then(|four| four.try_into().ok()).unwrap_or_default()
}
