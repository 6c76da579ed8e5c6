//! Tables, chains, rules and sets, as messages of one batch: all of it comes to be, or nothing.

use super::expression::{Expression, FIRST, Meta, Operation};
use crate::networks::firewall::expression::Base;
use crate::networks::netlink::{CREATE, Messages, REQUEST};

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const NEW_SET: u16 = SUBSYSTEM | 9;
pub(super) const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
pub(super) const DELETE_ELEMENT: u16 = SUBSYSTEM | 14;
const APPEND: u16 = 0x800;

/// Both families of addresses together.
const INET: u8 = 1;
/// `struct nfgenmsg`.
pub(super) const HEAD: [u8; 4] = [INET, 0, 0, 0];

/// A type of a key or value, as nft(8) numbers and measures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Address,
    Address6,
    Protocol,
    Port,
    Interface,
}

impl Type {
    fn number(self) -> u32 {
        match self {
            Self::Address => 7,
            Self::Address6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Interface => 41,
        }
    }

    fn bytes(self) -> u32 {
        match self {
            Self::Address | Self::Protocol | Self::Port => 4,
            Self::Address6 | Self::Interface => 16,
        }
    }

    /// What it measures when it stands alone.
    fn own_bytes(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::Port => 2,
            other => other.bytes(),
        }
    }
}

/// A set, or a map where there are values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) key: &'static [Type],
    pub(super) value: &'static [Type],
    pub(super) has_intervals: bool,
}

/// Where a chain is called by the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    pub(super) kind: &'static str,
    pub(super) number: u32,
    pub(super) priority: i32,
}

/// Messages that take effect together.
pub(super) struct Batch(Messages);

impl Batch {
    pub(super) fn begin() -> Self {
        let mut messages = Messages::default();
        messages.add(BATCH_BEGIN, REQUEST, &[0, 0, 0, 10], |_| {});
        Self(messages)
    }

    pub(super) fn end(mut self) -> Messages {
        self.0.acknowledge_last();
        self.0.add(BATCH_END, REQUEST, &[0, 0, 0, 10], |_| {});
        self.0
    }

    pub(super) fn add(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Messages)) {
        self.0.add(kind, REQUEST | flags, &HEAD, fill);
    }

    pub(super) fn add_table(&mut self, table: &str, flags: u32) {
        self.add(NEW_TABLE, CREATE, |message| {
            message.put_text(1, table);
            message.put_be32(2, flags);
        });
    }

    pub(super) fn delete_table(&mut self, table: &str) {
        self.add(DELETE_TABLE, 0, |message| message.put_text(1, table));
    }

    pub(super) fn add_chain(&mut self, table: &str, name: &str, hook: Option<Hook>) {
        const ACCEPT: u32 = 1;
        self.add(NEW_CHAIN, CREATE, |message| {
            message.put_text(1, table);
            message.put_text(3, name);
            if let Some(hook) = hook {
                message.nest(4, &[], |place| {
                    place.put_be32(1, hook.number);
                    place.put_be32(2, hook.priority.cast_unsigned());
                });
                message.put_be32(5, ACCEPT);
                message.put_text(7, hook.kind);
            }
        });
    }

    pub(super) fn add_rule(&mut self, table: &str, chain: &str, rule: &[Expression]) {
        self.add(NEW_RULE, CREATE | APPEND, |message| {
            message.put_text(1, table);
            message.put_text(2, chain);
            message.nest(4, &[], |list| rule.iter().for_each(|expression| expression.add(list)));
        });
    }

    pub(super) fn add_set(&mut self, table: &str, set: &Set, id: u32) {
        const INTERVALS: u32 = 4;
        const MAP: u32 = 8;
        const CONCATENATION: u32 = 128;
        let joined = |types: &[Type]| types.iter().fold(0, |number, kind| number << 6 | kind.number());
        let length = |types: &[Type]| match types {
            [only] => only.own_bytes(),
            types => types.iter().map(|kind| kind.bytes()).sum(),
        };
        let is_joined_interval = set.has_intervals && set.key.len() > 1;
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let flags = flag(set.has_intervals, INTERVALS)
            | flag(!set.value.is_empty(), MAP)
            | flag(is_joined_interval, CONCATENATION);
        self.add(NEW_SET, CREATE, |message| {
            message.put_text(1, table);
            message.put_text(2, set.name);
            message.put_be32(3, flags);
            message.put_be32(4, joined(set.key));
            message.put_be32(5, length(set.key));
            if !set.value.is_empty() {
                message.put_be32(6, joined(set.value));
                message.put_be32(7, length(set.value));
            }
            message.put_be32(10, id);
            if set.key == [Type::Interface] {
                // For nft(8), which shows it: names are in the host's order of bytes.
                message.put(13, &[0, 4, 1, 0, 0, 0]);
            }
            if is_joined_interval {
                message.nest(9, &[], |description| {
                    description.nest(2, &[], |fields| {
                        for kind in set.key {
                            fields.nest(1, &[], |field| field.put_be32(1, kind.bytes()));
                        }
                    });
                });
            }
        });
    }
}

/// Asks whether a table is there.
pub(super) fn ask(table: &str) -> Messages {
    let mut messages = Messages::default();
    messages.add(GET_TABLE, REQUEST, &HEAD, |message| message.put_text(1, table));
    messages
}

/// What makes 127.0.0.11:53 of a namespace lead to other ports of it, without following connections: on the way to them
/// and back the port is changed, and nothing else.
pub(in crate::networks) fn resolver_table(udp: u16, tcp: u16) -> Messages {
    /// Before connections are followed.
    const EARLY: i32 = -300;
    const TABLE: &str = "knarr_names";
    const RESOLVER: [u8; 4] = [127, 0, 0, 11];
    let mut batch = Batch::begin();
    batch.add_table(TABLE, 0);
    batch.delete_table(TABLE);
    batch.add_table(TABLE, 0);
    batch.add_chain(TABLE, "out", Some(Hook { kind: "filter", number: 3, priority: EARLY }));
    let port = |offset| Expression::Payload { base: Base::Transport, offset, length: 2, register: FIRST };
    let equal = |value: &[u8]| Expression::Compare { operation: Operation::Equal, value: value.to_vec() };
    for (protocol, checksum, number) in [(17, 6, udp), (6, 16, tcp)] {
        // At 16 the destination's address, at 12 the source's; at 2 the destination's port, at 0 the source's.
        for (address_offset, port_offset, from, to) in [(16, 2, 53, number), (12, 0, number, 53)] {
            let address = Expression::Payload {
                base: Base::Network,
                offset: address_offset,
                length: 4,
                register: FIRST,
            };
            let rule = [
                Expression::Meta { key: Meta::Family, register: FIRST },
                equal(&[2]),
                address,
                equal(&RESOLVER),
                Expression::Meta { key: Meta::Protocol, register: FIRST },
                equal(&[protocol]),
                port(port_offset),
                equal(&from.to_be_bytes()),
                Expression::Value(to.to_be_bytes().to_vec()),
                Expression::WritePort { offset: port_offset, checksum },
            ];
            batch.add_rule(TABLE, "out", &rule);
        }
    }
    batch.end()
}
