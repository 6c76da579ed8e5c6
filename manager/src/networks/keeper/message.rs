//! What knarrd and the keeper say to each other: one packet a message, as JSON, with descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::held::OwnerId;

/// The form of these messages; a keeper of another one is replaced.
pub(super) const VERSION: u32 = 1;
/// A container with the most networks and names that it can have fits.
const MAX_BYTES: usize = 160 * 1024;
/// Descriptors beside one message; the kernel's bound is 253.
pub(super) const MAX_DESCRIPTORS: usize = 64;

/// What the keeper is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// What it holds. The answer has the firewall's socket beside it, if there is one.
    Hello {
        version: u32,
    },
    /// Beside it the firewall's socket.
    Firewall,
    /// Beside it a socket for each port.
    Ports {
        owner: OwnerId,
        ports: Vec<Forward>,
    },
    ReleasePorts {
        owner: OwnerId,
    },
    /// Beside it the two sockets of the resolver, unless it has them.
    Names {
        owner: OwnerId,
        names: Names,
    },
    /// All that is held for an owner.
    Release {
        owner: OwnerId,
    },
    /// End at once.
    Quit,
}

/// A held port, and where connections that come to it go on to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Forward {
    pub(super) protocol: String,
    pub(super) is_v6: bool,
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

/// What a container is called, and what it may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Names {
    pub(super) places: Vec<NamedPlace>,
    /// What it calls others, and how those are called.
    pub(super) links: Vec<(String, String)>,
    /// Who is asked for what is not known.
    pub(super) servers: Vec<IpAddr>,
}

/// A container's place in a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamedPlace {
    /// The network's id, and its name.
    pub(super) network: String,
    pub(super) network_name: String,
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    /// In the default network names are no addresses.
    pub(super) has_names: bool,
    /// Its network leads outside.
    pub(super) may_forward: bool,
}

/// What the keeper answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) version: u32,
    /// Owners with ports, and owners with a resolver.
    pub(super) with_ports: Vec<OwnerId>,
    pub(super) with_names: Vec<OwnerId>,
    pub(super) error: String,
}

/// Sends a message with descriptors beside it.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            sent => return Ok(sent.map(drop)?),
        }
    }
}

/// Receives one; `None` at the end.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MAX_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let slices = &mut [IoSliceMut::new(&mut bytes)];
        match recvmsg(&socket, slices, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let message = serde_json::from_slice(&bytes[..received.bytes]).map_err(io::Error::other)?;
    Ok(Some((message, descriptors)))
}
