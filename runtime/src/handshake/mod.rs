//! The one channel between a creator and its child: a SEQPACKET socketpair, one message a packet, a descriptor with
//! some. Both ends are close-on-exec, so that the end of the stream means that the user's program runs.
//!
//! ```text
//!   creator (create/, join/)                      child (init/, join/)
//!     │ clone3 ──────────────────────────────────▶ │
//!     │ ── Go ──────────────────────────────────▶  │  ids are mapped        only with a user namespace
//!     │ ◀─────────────────────────── Fetch index ─ │                        only for sources that other mounts make
//!     │ ── descriptor or Failure ───────────────▶  │
//!     │ ◀───────────────────────────────── Hooks ─ │  mounts are there      only with hooks
//!     │ ── Go ──────────────────────────────────▶  │
//!     │ ◀──────────────────────── Console+master ─ │                        only with a terminal
//!     │ ◀─────────────────────── Listener number ─ │                        only with a seccomp listener
//!     │ ── Go ──────────────────────────────────▶  │  it is fetched by pidfd
//!     │ ◀───────────────────────────────── Ready ─ │  all is set up
//!     │ ── Go ──────────────────────────────────▶  │  it is recorded
//!     │ ◀─────────────────────── end of stream ─── │  exec
//! ```
//! `Failure` may come instead of any message of the child and is its last. When the creator dies, the child reads the
//! end of the stream instead of `Go` and exits: no half-made container stays behind.
#![forbid(unsafe_code)]

pub(crate) mod error;
pub(crate) mod failure;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use crate::sys::message;
use error::ChannelError;
use failure::Failure;

/// A failure's texts are cut to this; paths are at most 4 KiB, and a chain has a few of them.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;

/// A message's first byte. What it carries follows, or comes as a descriptor.
mod tag {
    pub(super) const GO: u8 = b'g';
    pub(super) const HOOKS: u8 = b'h';
    pub(super) const CONSOLE: u8 = b'c';
    pub(super) const LISTENER: u8 = b'l';
    pub(super) const FETCH: u8 = b'm';
    pub(super) const READY: u8 = b'r';
    pub(super) const FAILURE: u8 = b'f';
}

/// What the child says.
#[derive(Debug)]
pub(crate) enum Message {
    /// The mounts are there, the root not yet entered: run prestart and createRuntime hooks.
    Hooks,
    /// The terminal's master.
    Console(OwnedFd),
    /// The number that the seccomp notify descriptor has in the child.
    Listener(RawFd),
    /// The source of the mount with this index is wanted.
    Fetch(usize),
    /// All is set up.
    Ready,
    /// It went wrong; the child is gone.
    Failure(Failure),
    /// The child's end is closed: exec worked, or the child died.
    Closed,
}

/// Why the creator gave no source.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("opened from outside of the container")]
    Refused { source: Failure },
}

/// The creator's end.
#[derive(Debug)]
pub(crate) struct CreatorEnd(OwnedFd);

/// The child's end.
#[derive(Debug)]
pub(crate) struct ChildEnd(OwnedFd);

/// Makes the channel.
///
/// # Errors
/// [`ChannelError::Socket`].
pub(crate) fn channel() -> Result<(CreatorEnd, ChildEnd), ChannelError> {
    let (ours, childs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|source| ChannelError::Socket { source })?;
    Ok((CreatorEnd(ours), ChildEnd(childs)))
}

impl CreatorEnd {
    /// Lets the child go on.
    ///
    /// # Errors
    /// [`ChannelError`]; [`ChannelError::Died`] when the other end is closed.
    pub(crate) fn go(&self) -> Result<(), ChannelError> {
        match send(&self.0, &[tag::GO], SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(ChannelError::Died),
            Err(source) => Err(ChannelError::Socket { source }),
        }
    }

    /// Waits for the child's next message.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub(crate) fn receive(&self) -> Result<Message, ChannelError> {
        let (bytes, descriptor) = receive(self.0.as_fd())?;
        if let Some(failure) = Failure::of_message(&bytes) {
            return failure.map(Message::Failure);
        }
        match (bytes.split_first(), descriptor) {
            (None, _) => Ok(Message::Closed),
            (Some((&tag::HOOKS, [])), None) => Ok(Message::Hooks),
            (Some((&tag::READY, [])), None) => Ok(Message::Ready),
            (Some((&tag::CONSOLE, [])), Some(master)) => Ok(Message::Console(master)),
            (Some((&tag::LISTENER, number)), None) => {
                Ok(Message::Listener(RawFd::from_ne_bytes(exactly(number)?)))
            }
            (Some((&tag::FETCH, number)), None) => Ok(Message::Fetch(usize::from_ne_bytes(exactly(number)?))),
            _ => Err(ChannelError::Malformed),
        }
    }

    /// Answers [`Message::Fetch`].
    ///
    /// # Errors
    /// [`ChannelError`].
    pub(crate) fn give(&self, answer: Result<BorrowedFd<'_>, &Failure>) -> Result<(), ChannelError> {
        match answer {
            Ok(descriptor) => say(self.0.as_fd(), &[tag::FETCH], Some(descriptor)),
            Err(failure) => say(self.0.as_fd(), &failure.to_bytes(), None),
        }
    }
}

impl ChildEnd {
    /// Waits until the creator lets us go on.
    ///
    /// # Errors
    /// [`ChannelError`]; [`ChannelError::CreatorGone`] when it never will.
    pub(crate) fn wait_go(&self) -> Result<(), ChannelError> {
        let mut byte = [0_u8];
        match retry_on_intr(|| rustix::io::read(&self.0, &mut byte[..])) {
            Ok(1) if byte == [tag::GO] => Ok(()),
            Ok(0) => Err(ChannelError::CreatorGone),
            Ok(_) => Err(ChannelError::Malformed),
            Err(source) => Err(ChannelError::Socket { source }),
        }
    }

    /// Asks for the hooks that run outside, and waits for their end.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub(crate) fn hooks(&self) -> Result<(), ChannelError> {
        self.say(&[tag::HOOKS], None)?;
        self.wait_go()
    }

    /// Hands over the terminal's master.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub(crate) fn console(&self, master: BorrowedFd<'_>) -> Result<(), ChannelError> {
        self.say(&[tag::CONSOLE], Some(master))
    }

    /// Tells where the seccomp notify descriptor is, and waits until it has been fetched. `write` and `read` alone are
    /// used here: the filter that is in force already may have others answered by the very listener.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub(crate) fn listener(&self, notify: BorrowedFd<'_>) -> Result<(), ChannelError> {
        let mut bytes = [tag::LISTENER, 0, 0, 0, 0];
        bytes[1..].copy_from_slice(&notify.as_raw_fd().to_ne_bytes());
        self.say(&bytes, None)?;
        self.wait_go()
    }

    /// Has the creator open the source of the mount with this index.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) fn fetch(&self, index: usize) -> Result<OwnedFd, FetchError> {
        let mut bytes = vec![tag::FETCH];
        bytes.extend(index.to_ne_bytes());
        self.say(&bytes, None)?;
        let (bytes, descriptor) = receive(self.0.as_fd())?;
        match (bytes.as_slice(), descriptor) {
            ([tag::FETCH], Some(descriptor)) => Ok(descriptor),
            ([], _) => Err(ChannelError::CreatorGone.into()),
            (other, _) => match Failure::of_message(other) {
                Some(failure) => Err(FetchError::Refused { source: failure? }),
                None => Err(ChannelError::Malformed.into()),
            },
        }
    }

    /// Says that all is set up, and waits until that is recorded.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub(crate) fn ready(&self) -> Result<(), ChannelError> {
        self.say(&[tag::READY], None)?;
        self.wait_go()
    }

    /// Reports a failure. False when the creator's end is closed.
    pub(crate) fn fail(&self, failure: &Failure) -> bool {
        let bytes = failure.to_bytes();
        bytes.len() <= MESSAGE_MAX_BYTES && self.say(&bytes, None).is_ok()
    }

    fn say(&self, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<(), ChannelError> {
        say(self.0.as_fd(), bytes, descriptor)
    }
}

fn say(to: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<(), ChannelError> {
    let sent = match descriptor {
        None => rustix::io::write(to, bytes),
        Some(_) => message::send(to, bytes, descriptor),
    };
    sent.map(drop).map_err(|source| ChannelError::Socket { source })
}

fn exactly<const LENGTH: usize>(bytes: &[u8]) -> Result<[u8; LENGTH], ChannelError> {
    bytes.try_into().map_err(|_| ChannelError::Malformed)
}

/// One packet and its descriptor; no bytes at the end of the stream.
fn receive(from: BorrowedFd<'_>) -> Result<(Vec<u8>, Option<OwnedFd>), ChannelError> {
    // Its length first: a buffer for the longest would be pages to touch for what is one byte mostly.
    let peek = || recv(from, &mut [0_u8; 0], RecvFlags::PEEK | RecvFlags::TRUNC).map(|(_, length)| length);
    let length = match retry_on_intr(peek) {
        Err(Errno::CONNRESET) => 0,
        length => length.map_err(|source| ChannelError::Socket { source })?,
    };
    if length == 0 {
        return Ok((Vec::new(), None));
    }
    let mut bytes = vec![0; length.min(MESSAGE_MAX_BYTES)];
    let (length, descriptor) =
        message::receive(from, &mut bytes).map_err(|source| ChannelError::Socket { source })?;
    bytes.truncate(length);
    Ok((bytes, descriptor))
}

#[cfg(test)]
mod tests {
    use super::failure::Phase;
    use super::*;

    #[test]
    fn a_failure_crosses_with_its_phase_and_its_chain() {
        let (creator, child) = channel().expect("socketpair");
        let error = ChannelError::Socket { source: Errno::ACCESS };
        assert!(child.fail(&Failure::new(Phase::Root, &error, None)));
        let Message::Failure(failure) = creator.receive().expect("received") else { panic!("not a failure") };
        assert_eq!(failure.phase, Phase::Root);
        assert_eq!(failure.chain.last().map(String::as_str), Some("permission denied"));
    }

    #[test]
    fn a_descriptor_crosses_and_a_closed_end_is_seen() {
        let (creator, child) = channel().expect("socketpair");
        child.console(child.0.as_fd()).expect("sent");
        assert!(matches!(creator.receive(), Ok(Message::Console(_))));
        drop(child);
        assert!(matches!(creator.receive(), Ok(Message::Closed)));
        assert!(matches!(creator.go(), Err(ChannelError::Died)));
    }

    #[test]
    fn a_message_without_its_descriptor_is_refused() {
        let (creator, child) = channel().expect("socketpair");
        child.say(&[tag::CONSOLE], None).expect("sent");
        assert!(matches!(creator.receive(), Err(ChannelError::Malformed)));
        drop(creator);
        assert!(matches!(child.wait_go(), Err(ChannelError::CreatorGone)));
    }
}
