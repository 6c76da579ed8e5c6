//! `linux.netDevices`: the host's interfaces that become the container's (runtime-spec 1.3, "Network Devices"). An
//! interface keeps its permanent global addresses, which the kernel takes away with the move, and comes up in the
//! container. It goes back to the host when the namespace ends, if it is a physical one.
#![forbid(unsafe_code)]

pub(crate) mod netlink;

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::plan::Plan;
use crate::plan::namespaces::Namespaces;
use crate::plan::net_devices::{NAME_MAX_BYTES, NameInside, NetDevice};
use crate::spec::linux::NamespaceKind;
use crate::sys::namespace;
use netlink::{CREATE, Netlink, Request, attributes};

/// include/uapi/linux/if_link.h.
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
/// include/uapi/linux/if_addr.h: the address, the local one of a point-to-point link, and flags of 32 bits.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;

/// As many numbers as the kernel tries for a name (8 * PAGE_SIZE).
const NUMBERS_MAX: u32 = 32_768;

/// struct ifaddrmsg.
const ADDRESS_HEADER_BYTES: usize = 8;

/// Why an interface is not in the container.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum NetworkError {
    #[error("link not found for interface {name} on runtime namespace")]
    NotFound { name: String, source: Errno },
    #[error(
        "network device {host_name} cannot be {name} in the container: there is one of that name already"
    )]
    Taken { host_name: String, name: String },
    #[error("cannot move network device {name} to the container's network namespace")]
    Move { name: String, source: Errno },
    #[error("cannot give network device {name} its addresses in the container")]
    Addresses { name: String, source: Errno },
    #[error("cannot set up interface {name} in the container")]
    Up { name: String, source: Errno },
    #[error("cannot enter the container's network namespace")]
    Enter { source: Errno },
}

/// An address with what is needed to give it again.
struct Address {
    family: u8,
    prefix_bits: u8,
    local: Vec<u8>,
    peer: Vec<u8>,
}

/// An interface that can be moved.
struct Movable<'a> {
    host_name: &'a str,
    index: u32,
    name: String,
}

/// Moves the interfaces into the network namespace that `container` has or is about to join, if all of them are there
/// and can have their names: the kernel moves an interface before it finds its new name taken, and a virtual one would
/// end with the namespace.
///
/// # Errors
/// [`NetworkError`]; those that were moved go with the container.
pub(crate) fn move_devices(plan: &Plan, container: BorrowedFd<'_>) -> Result<(), NetworkError> {
    let devices = &plan.net_devices;
    if devices.is_empty() {
        return Ok(());
    }
    let enter = |source| NetworkError::Enter { source };
    let host = Netlink::connect().map_err(enter)?;
    let (namespace, inside) = connect_inside(&plan.namespaces, container).map_err(enter)?;
    let mut taken = interfaces(&inside).map_err(enter)?;
    let mut movable = Vec::new();
    for NetDevice { host_name, name } in devices {
        let index = index_of(host_name)
            .map_err(|source| NetworkError::NotFound { name: host_name.clone(), source })?;
        let name = free_name(name, &taken)
            .map_err(|name| NetworkError::Taken { host_name: host_name.clone(), name })?;
        taken.insert(name.clone(), index);
        movable.push(Movable { host_name, index, name });
    }
    movable.iter().try_for_each(|device| move_one(device, &host, &inside, &namespace))
}

/// The name, or the one that is taken.
fn free_name(wanted: &NameInside, taken: &BTreeMap<String, u32>) -> Result<String, String> {
    match wanted {
        NameInside::Given(name) if taken.contains_key(name) => Err(name.clone()),
        NameInside::Given(name) => Ok(name.clone()),
        NameInside::Numbered(prefix) => (0..NUMBERS_MAX)
            .map(|number| format!("{prefix}{number}"))
            .find(|name| name.len() <= NAME_MAX_BYTES && !taken.contains_key(name))
            .ok_or_else(|| format!("{prefix}%d")),
    }
}

/// The container's namespace, and a connection to it: a socket stays in the namespace that it was made in.
fn connect_inside(namespaces: &Namespaces, container: BorrowedFd<'_>) -> Result<(OwnedFd, Netlink), Errno> {
    let open_current = || namespace::open(c"/proc/self/ns/net");
    let own = open_current()?;
    match namespaces.joined(NamespaceKind::Network) {
        // The container's process need not be in it yet.
        Some(path) => namespace::enter(namespace::open(path)?, libc::CLONE_NEWNET)?,
        None => namespace::enter(container, libc::CLONE_NEWNET)?,
    }
    let made = open_current().and_then(|namespace| Ok((namespace, Netlink::connect()?)));
    namespace::enter(own, libc::CLONE_NEWNET)?;
    made
}

fn move_one(
    device: &Movable<'_>,
    host: &Netlink,
    inside: &Netlink,
    namespace: &OwnedFd,
) -> Result<(), NetworkError> {
    let name = || device.host_name.to_owned();
    let moved = |source| NetworkError::Move { name: name(), source };
    // Before it goes down, which takes its IPv6 addresses. The kernel renames no interface that is up.
    let addresses = permanent_addresses(host, device.index).map_err(moved)?;
    host.ask(&link(device.index, Up::No), 0).map_err(moved)?;
    let request = link(device.index, Up::AsItIs)
        .with(IFLA_IFNAME, &[device.name.as_bytes(), b"\0"].concat())
        .with(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
    host.ask(&request, 0).map_err(moved)?;
    let up = |source| NetworkError::Up { name: device.name.clone(), source };
    // Its number may be another one there.
    let index = *interfaces(inside).map_err(up)?.get(&device.name).ok_or(up(Errno::NODEV))?;
    for address in &addresses {
        inside
            .ask(&address.request(index), CREATE)
            .map_err(|source| NetworkError::Addresses { name: name(), source })?;
    }
    inside.ask(&link(index, Up::Yes), 0).map_err(up)
}

fn index_of(name: &str) -> Result<u32, Errno> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)?;
    rustix::net::netdevice::name_to_index(&socket, name)
}

/// The interfaces of a namespace, by name.
fn interfaces(of: &Netlink) -> Result<BTreeMap<String, u32>, Errno> {
    let mut found = BTreeMap::new();
    of.dump(&Request::new(libc::RTM_GETLINK, &[0; 16]), |body| {
        let index = body.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        let name = attributes(body, 16).into_iter().find(|(kind, _)| *kind == IFLA_IFNAME);
        if let (Some(index), Some((_, name))) = (index, name) {
            let name = name.strip_suffix(b"\0").unwrap_or(name);
            found.insert(String::from_utf8_lossy(name).into_owned(), index);
        }
    })?;
    Ok(found)
}

/// Whether a change of an interface brings it up.
#[derive(Clone, Copy)]
enum Up {
    Yes,
    No,
    AsItIs,
}

/// struct ifinfomsg: family, type, index, flags, and which flags are meant.
fn link(index: u32, up: Up) -> Request {
    let up_flag = libc::IFF_UP.cast_unsigned();
    let (flags, meant) = match up {
        Up::Yes => (up_flag, up_flag),
        Up::No => (0, up_flag),
        Up::AsItIs => (0, 0),
    };
    let fixed = [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), meant.to_ne_bytes()].concat();
    Request::new(libc::RTM_NEWLINK, &fixed)
}

/// Addresses that were configured by hand, valid everywhere: others are of the host's network.
fn permanent_addresses(host: &Netlink, index: u32) -> Result<Vec<Address>, Errno> {
    let mut addresses = Vec::new();
    host.dump(&Request::new(libc::RTM_GETADDR, &[0; ADDRESS_HEADER_BYTES]), |body| {
        addresses.extend(Address::read(body, index));
    })?;
    Ok(addresses)
}

impl Address {
    /// struct ifaddrmsg: family, prefix, flags, scope, index.
    fn read(body: &[u8], wanted: u32) -> Option<Self> {
        let [family, prefix_bits, flags, scope, index @ ..] = *body.first_chunk::<ADDRESS_HEADER_BYTES>()?;
        let (mut flags, mut local, mut peer) = (u32::from(flags), Vec::new(), Vec::new());
        for (kind, value) in attributes(body, ADDRESS_HEADER_BYTES) {
            match kind {
                IFA_ADDRESS => peer = value.to_vec(),
                IFA_LOCAL => local = value.to_vec(),
                IFA_FLAGS => flags = value.try_into().map_or(flags, u32::from_ne_bytes),
                _ => {}
            }
        }
        if local.is_empty() {
            local.clone_from(&peer);
        }
        let is_kept = u32::from_ne_bytes(index) == wanted
            && flags & libc::IFA_F_PERMANENT != 0
            && scope == libc::RT_SCOPE_UNIVERSE;
        is_kept.then_some(Self { family, prefix_bits, local, peer })
    }

    fn request(&self, index: u32) -> Request {
        let mut fixed = vec![self.family, self.prefix_bits, 0, libc::RT_SCOPE_UNIVERSE];
        fixed.extend(index.to_ne_bytes());
        Request::new(libc::RTM_NEWADDR, &fixed).with(IFA_LOCAL, &self.local).with(IFA_ADDRESS, &self.peer)
    }
}
