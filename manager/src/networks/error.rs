//! Why something with a network failed: one enum for the whole noun, with the kind that codes are derived from.

use knarr_proto::kind::Kind;
use rustix::io::Errno;

use super::addresses::{Family, InvalidSubnet, Subnet};
use super::model::PublishedPort;
use super::netlink::NetlinkError;
use super::options::InvalidOption;
use crate::failure::Failure;
use crate::files::FileError;
use crate::store::StoreError;

/// A verb of networks failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// Docker's words.
    #[error("network {0} not found")]
    NotFound(String),
    #[error("network {0:?} is ambiguous: it is the beginning of several networks' ids; write more of it")]
    Ambiguous(String),
    /// Docker's words.
    #[error("network with name {0} already exists")]
    NameTaken(String),
    #[error(
        "invalid network name {0:?}: it begins with a letter or digit, and has letters, digits, dots, dashes and underscores, 63 at most"
    )]
    Name(String),
    #[error("the network name {0:?} is reserved: choose another one")]
    Reserved(String),
    #[error("networks with the driver {0:?} are not supported: there is bridge")]
    Driver(String),
    #[error("{0} is a pre-defined network and cannot be removed")]
    Predefined(String),
    /// Docker's words.
    #[error("network {name} has active endpoints ({users}): disconnect or remove these containers first")]
    InUse { name: String, users: String },
    #[error(transparent)]
    Subnet(#[from] InvalidSubnet),
    #[error(transparent)]
    Option(#[from] InvalidOption),
    /// Docker's words.
    #[error(
        "Pool overlaps with other one on this address space: {wanted} overlaps {taken}, which {holder} has; choose another subnet"
    )]
    Overlap { wanted: Subnet, taken: Subnet, holder: String },
    #[error("no subnet is free: all of the default ones are in use; name one by --subnet")]
    NoSubnet,
    /// What is wrong with addresses of a network.
    #[error("invalid {what} {value:?}: {problem}")]
    Value { what: &'static str, value: String, problem: &'static str },
    #[error("{address} is no address of network {name}, which has {subnet}")]
    Outside { address: std::net::IpAddr, name: String, subnet: Subnet },
    #[error("network {name} has no {} addresses: create it with {}", family.as_str(), if *family == Family::V6 { "--ipv6" } else { "an IPv4 subnet" })]
    NoFamily { name: String, family: Family },
    /// Docker's words.
    #[error(
        "user specified IP address is supported only when connecting to networks with user configured subnets: create {0} with --subnet"
    )]
    NoChoice(String),
    /// Docker's words.
    #[error("Address already in use: {address} belongs to {holder}; choose another one")]
    AddressTaken { address: std::net::IpAddr, holder: String },
    #[error("no free {} address is left in network {name}: remove containers from it, or make a larger one", family.as_str())]
    Full { name: String, family: Family },
    /// Docker's words.
    #[error("Bind for {}:{} failed: port is already allocated: container {holder} has it; choose another host port", bracketed(*.port), port.host_port)]
    PortTaken { port: PublishedPort, holder: String },
    #[error("cannot publish {}:{}/{}: choose another host port, or end what listens there", bracketed(*.port), port.host_port, port.protocol.as_str())]
    PortInUse { port: PublishedPort, source: std::io::Error },
    #[error("no host port from {first} to {last} is free for {container_port}/{protocol}: choose others")]
    NoPort { first: u16, last: u16, container_port: u16, protocol: &'static str },
    /// Docker's words.
    #[error("endpoint with name {container} already exists in network {network}")]
    Connected { container: String, network: String },
    /// Docker's words.
    #[error("container {container} is not connected to network {network}")]
    NotConnected { container: String, network: String },
    #[error("a container has 64 networks at most")]
    TooManyNetworks,
    #[error(
        "cannot use the network namespace: knarrd needs the rights of root for that; --network host or none needs none"
    )]
    Namespace(#[source] std::io::Error),
    /// The kernel refused.
    #[error("cannot {doing}")]
    Kernel { doing: &'static str, source: NetlinkError },
    #[error(
        "cannot {doing}: the kernel has no nf_tables, without which no network can be protected; load its modules (nf_tables, nft_fib_inet, nft_nat, nft_masq, nft_ct), or use --network host or none"
    )]
    NoFirewall { doing: &'static str, source: NetlinkError },
    #[error("an interface {0:?} is here that is no bridge of knarr's: remove it, or choose another name")]
    Foreign(String),
    #[error("cannot {doing}")]
    Keeper { doing: &'static str, source: std::io::Error },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the operation was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

fn bracketed(port: PublishedPort) -> String {
    match port.host_address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    }
}

impl NetworkError {
    pub(super) fn of_namespace(errno: Errno) -> Self {
        Self::Namespace(errno.into())
    }

    /// For `map_err`: what was being done with links.
    pub(super) fn kernel(doing: &'static str) -> impl FnOnce(NetlinkError) -> Self {
        move |source| Self::Kernel { doing, source }
    }

    /// The same of the firewall, which a kernel may lack.
    pub(super) fn firewall(doing: &'static str) -> impl FnOnce(NetlinkError) -> Self {
        move |source| match source.errno {
            Errno::NOENT | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::INVAL => {
                Self::NoFirewall { doing, source }
            }
            _ => Self::Kernel { doing, source },
        }
    }
}

impl Failure for NetworkError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::Ambiguous(_)
            | Self::Name(_)
            | Self::Reserved(_)
            | Self::Subnet(_)
            | Self::Option(_)
            | Self::Value { .. }
            | Self::Outside { .. }
            | Self::NoFamily { .. }
            | Self::NoChoice(_) => Kind::InvalidArgument,
            Self::NameTaken(_) => Kind::AlreadyExists,
            Self::Driver(_) => Kind::Unimplemented,
            Self::Predefined(_) | Self::InUse { .. } | Self::Overlap { .. } | Self::Connected { .. } => {
                Kind::PermissionDenied
            }
            Self::NoSubnet | Self::Full { .. } | Self::NoPort { .. } | Self::TooManyNetworks => {
                Kind::FailedPrecondition
            }
            Self::AddressTaken { .. }
            | Self::PortTaken { .. }
            | Self::PortInUse { .. }
            | Self::NotConnected { .. }
            | Self::Namespace(_)
            | Self::NoFirewall { .. }
            | Self::Foreign(_) => Kind::FailedPrecondition,
            Self::Kernel { source, .. } => match source.errno {
                Errno::PERM | Errno::ACCESS => Kind::FailedPrecondition,
                _ => Kind::Internal,
            },
            Self::File(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Keeper { .. } | Self::Interrupted(_) => Kind::Internal,
        }
    }
}
