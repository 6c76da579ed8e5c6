//! The kernel's netlink, as far as networks need it: messages built in memory, several of them in one send, and what the
//! kernel says to each. `route` knows links, addresses and routes; the firewall has its own words.

mod message;
pub(super) mod route;
mod socket;

pub(super) use message::{CREATE, Messages, REQUEST};
pub(super) use socket::{Netlink, NetlinkError};
