//! rtnetlink(7), as far as moving an interface needs it: one request, its acknowledgement or its answers. All integers
//! are the machine's own, as the kernel has them.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// The kernel's answers to a dump come in packets of at most this (NL_DUMP buffers are 32 KiB).
const PACKET_MAX_BYTES: usize = 64 * 1024;

const HEADER_BYTES: usize = 16;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
/// NLM_F_ROOT and NLM_F_MATCH.
const NLM_F_DUMP: u16 = 0x300;
/// NLM_F_CREATE and NLM_F_EXCL.
pub(super) const CREATE: u16 = 0x600;

/// A connection to the network namespace that we were in when it was made.
#[derive(Debug)]
pub(super) struct Netlink(OwnedFd);

/// One request: a message type, its fixed part and its attributes.
#[derive(Debug)]
pub(super) struct Request {
    kind: u16,
    body: Vec<u8>,
}

impl Request {
    /// `fixed` is the type's own header, a multiple of four bytes long.
    pub(super) fn new(kind: u16, fixed: &[u8]) -> Self {
        Self { kind, body: fixed.to_vec() }
    }

    /// Adds an attribute.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).expect("names and addresses are short");
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    fn encode(&self, flags: u16) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + self.body.len()).expect("requests are short");
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        // Sequence number and port: there is one request at a time on a connection of our own.
        bytes.extend([0; 8]);
        bytes.extend(&self.body);
        bytes
    }
}

impl Netlink {
    pub(super) fn connect() -> Result<Self, Errno> {
        // NETLINK_ROUTE is 0, the protocol that is meant when none is given.
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).map(Self)
    }

    /// Sends a request and waits until it is done; `flags` are those of its kind.
    pub(super) fn ask(&self, request: &Request, flags: u16) -> Result<(), Errno> {
        send(&self.0, &request.encode(NLM_F_REQUEST | NLM_F_ACK | flags), SendFlags::empty())?;
        self.answers(|_| {})
    }

    /// Sends a request for everything of a kind; `each` gets the fixed part and attributes of every answer.
    pub(super) fn dump(&self, request: &Request, each: impl FnMut(&[u8])) -> Result<(), Errno> {
        send(&self.0, &request.encode(NLM_F_REQUEST | NLM_F_DUMP), SendFlags::empty())?;
        self.answers(each)
    }

    fn answers(&self, mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
        let mut packet = vec![0; PACKET_MAX_BYTES];
        loop {
            let (length, _) = recv(&self.0, &mut packet[..], RecvFlags::empty())?;
            let mut rest = packet.get(..length).ok_or(Errno::PROTO)?;
            while let Some((kind, body, next)) = message(rest) {
                match i32::from(kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => return acknowledged(body),
                    _ => each(body),
                }
                rest = next;
            }
        }
    }
}

/// The first message of a packet: its type, its body, and what follows.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEADER_BYTES..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// An error message holds the errno, negative, or zero for success.
fn acknowledged(body: &[u8]) -> Result<(), Errno> {
    let code = body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw_os_error(-code)),
        None => Err(Errno::PROTO),
    }
}

/// The attributes after a fixed part of `skip` bytes.
pub(super) fn attributes(body: &[u8], skip: usize) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    let mut rest = body.get(skip..).unwrap_or_default();
    while let (Some(length), Some(kind)) = (rest.get(..2), rest.get(2..4)) {
        let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
        let Some(value) = rest.get(4..length) else { break };
        found.push((u16::from_ne_bytes([kind[0], kind[1]]), value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let request = Request::new(16, &[0; 16]).with(3, b"eth0\0").with(28, &7_u32.to_ne_bytes());
        let bytes = request.encode(0);
        assert_eq!(bytes.len() % 4, 0);
        let (kind, body, rest) = message(&bytes).expect("whole");
        assert_eq!((kind, rest.len()), (16, 0));
        assert_eq!(attributes(body, 16), [(3, &b"eth0\0"[..]), (28, &7_u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn cut_messages_are_no_messages() {
        assert!(message(&[]).is_none());
        assert!(message(&[200, 0, 0, 0, 1, 0, 0, 0]).is_none());
        assert!(attributes(&[0, 0, 1, 0], 0).is_empty());
        assert!(attributes(&[9, 0, 1, 0], 0).is_empty());
    }
}
