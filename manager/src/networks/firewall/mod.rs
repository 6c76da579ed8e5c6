//! Networks' rules in the kernel: one table of our own, whose rules never change; only elements of its sets and maps do
//! (docs/networks.md has it as text). Nobody else's table is touched. Where the kernel can, the table is owned by our
//! socket: `nft flush ruleset` of others passes it by.

mod elements;
mod expression;
mod rules;
mod table;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

pub(super) use elements::{Element, network_elements, port_elements};
pub(super) use table::resolver_table;

use super::error::NetworkError;
use super::netlink::{Messages, Netlink, NetlinkError};

/// The table, by the socket that may own it.
#[derive(Debug)]
pub(super) struct Firewall {
    netlink: Netlink,
    table: String,
}

/// The kernel's marks of a table: its socket alone changes it, and it stays when that is closed.
const OWNED: u32 = 0x2;
const PERSISTENT: u32 = 0x4;

impl Firewall {
    /// Over a socket that an earlier knarrd had, or a new one.
    pub(super) fn new(table: String, socket: Option<OwnedFd>) -> Result<Self, NetworkError> {
        let netlink = match socket {
            Some(socket) => Netlink::from(socket),
            None => Netlink::netfilter().map_err(NetworkError::firewall("open the firewall"))?,
        };
        Ok(Self { netlink, table })
    }

    /// Makes the table anew, with these elements, in one step: no packet meets it half done.
    pub(super) fn replace(&self, elements: &[Element]) -> Result<(), NetworkError> {
        let mut last = None;
        // An owned table that would go with its socket is worse than an ordinary one.
        for flags in [OWNED | PERSISTENT, 0] {
            match self.load(flags, elements) {
                Ok(()) => return Ok(()),
                Err(error) if matches!(error.errno, Errno::INVAL | Errno::OPNOTSUPP) => last = Some(error),
                Err(error) => {
                    return Err(NetworkError::firewall("write the networks' firewall rules")(error));
                }
            }
        }
        let error = last.unwrap_or(NetlinkError { errno: Errno::INVAL, message: 0 });
        Err(NetworkError::firewall("write the networks' firewall rules")(error))
    }

    fn load(&self, flags: u32, elements: &[Element]) -> Result<(), NetlinkError> {
        let mut batch = table::Batch::begin();
        // Made first, so that there is one to delete.
        batch.add_table(&self.table, flags);
        batch.delete_table(&self.table);
        batch.add_table(&self.table, flags);
        rules::add(&mut batch, &self.table);
        elements::add_all(&mut batch, &self.table, elements);
        self.netlink.send(&batch.end())
    }

    /// Whether the table is there, as this socket left it.
    pub(super) fn is_there(&self) -> bool {
        self.netlink.send(&table::ask(&self.table)).is_ok()
    }

    pub(super) fn add(&self, elements: &[Element]) -> Result<(), NetworkError> {
        if elements.is_empty() {
            return Ok(());
        }
        let mut batch = table::Batch::begin();
        elements::add(&mut batch, &self.table, elements);
        self.netlink.send(&batch.end()).map_err(NetworkError::kernel("add to the networks' firewall rules"))
    }

    /// Takes elements away; those that are not there any more are no error.
    pub(super) fn remove(&self, elements: &[Element]) -> Result<(), NetworkError> {
        let delete = |elements: &[Element]| -> Result<(), NetlinkError> {
            let mut batch = table::Batch::begin();
            elements::delete(&mut batch, &self.table, elements);
            self.netlink.send(&batch.end())
        };
        if elements.is_empty() {
            return Ok(());
        }
        let doing = "take from the networks' firewall rules";
        match delete(elements) {
            // One that is missing undoes all of it: each for itself, then.
            Err(NetlinkError { errno: Errno::NOENT, .. }) => {
                elements.iter().try_for_each(|element| match delete(std::slice::from_ref(element)) {
                    Ok(()) | Err(NetlinkError { errno: Errno::NOENT, .. }) => Ok(()),
                    Err(error) => Err(NetworkError::kernel(doing)(error)),
                })
            }
            deleted => deleted.map_err(NetworkError::kernel(doing)),
        }
    }
}

impl AsFd for Firewall {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}

/// Sends the messages of a table of another namespace.
pub(super) fn send(netlink: &Netlink, messages: &Messages) -> Result<(), NetworkError> {
    netlink.send(messages).map_err(NetworkError::firewall("write the rules for names in the container"))
}
