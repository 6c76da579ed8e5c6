//! Networks: where containers find each other, and the world finds them. A network is a bridge, addresses, and elements in
//! the sets of one table of rules that never change; a container's place in it is a pair of interfaces between the bridge
//! and the container's own namespace.
//!
//! What a container has here is recorded under its id and let go by [`crate::held::Held`]. Records say what is to be;
//! bridges, interfaces and rules are made of them, and made again where they are gone. The kernel is spoken to over netlink,
//! without other programs. Everything blocks but the verbs of `verbs`, which have threads for that.

mod addresses;
mod check;
mod connect;
mod create;
mod error;
mod etc;
mod firewall;
mod handle;
mod held;
mod join;
pub(crate) mod keeper;
mod link;
mod list;
mod model;
mod namespace;
mod netlink;
mod options;
mod ports;
mod records;
mod remove;
mod reserve;
mod restore;
mod verbs;

pub(crate) use connect::Member;
pub(crate) use error::NetworkError;
pub(crate) use etc::HOSTS;
pub(crate) use handle::{NetworkSettings, Networks};
pub(crate) use list::{FILTER_KEYS, Listed};
pub(crate) use model::{
    DEFAULT, Endpoint, EndpointRequest, Joined, Joiner, NONE, NetworkRequest, Networking, Place, PoolRequest,
    PortRequest, Presence, PublishedPort,
};
pub(crate) use options::interface;
pub(crate) use records::SCHEMA_1;
