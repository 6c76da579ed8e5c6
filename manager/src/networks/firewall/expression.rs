//! What a rule is made of: the kernel's expressions, as messages. Registers are those of four bytes, numbered from 8 on.

use crate::networks::netlink::Messages;

/// The first register of four bytes. Sixteen bytes, as of an interface's name, take four of them.
pub(super) const FIRST: u32 = 8;
/// The register behind an interface's name.
pub(super) const BEHIND_NAME: u32 = FIRST + 4;

/// Where a payload begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    Network = 1,
    Transport = 2,
}

/// What is known of a packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meta {
    InName = 6,
    OutName = 7,
    Family = 15,
    Protocol = 16,
}

/// A step of a rule.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    Meta {
        key: Meta,
        register: u32,
    },
    Payload {
        base: Base,
        offset: u32,
        length: u32,
        register: u32,
    },
    /// Writes the register's two bytes to the transport header at `offset`, with its checksum at the other.
    WritePort {
        offset: u32,
        checksum: u32,
    },
    Connection {
        key: Connection,
        mask: u32,
    },
    Local {
        is_source: bool,
    },
    Compare {
        operation: Operation,
        value: Vec<u8>,
    },
    Lookup {
        set: &'static str,
        result: bool,
        is_inverted: bool,
    },
    Value(Vec<u8>),
    Verdict {
        code: i32,
        chain: Option<&'static str>,
    },
    /// To the address and port in the registers.
    Redirect {
        is_v6: bool,
    },
    Masquerade,
}

/// Of a connection, as bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Connection {
    State = 0,
    Status = 2,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Equal = 0,
    NotEqual = 1,
    AtLeast = 5,
    AtMost = 3,
}

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Self::Meta { .. } => "meta",
            Self::Payload { .. } | Self::WritePort { .. } => "payload",
            Self::Connection { .. } => "ct",
            Self::Local { .. } => "fib",
            Self::Compare { .. } => "cmp",
            Self::Lookup { .. } => "lookup",
            Self::Value(_) | Self::Verdict { .. } => "immediate",
            Self::Redirect { .. } => "nat",
            Self::Masquerade => "masq",
        }
    }

    /// Adds it to a rule's list. A connection's bits are three steps: taken, masked, and not all zero.
    pub(super) fn add(&self, list: &mut Messages) {
        element(list, self.name(), |data| self.fill(data));
        if let Self::Connection { mask, .. } = self {
            element(list, "bitwise", |data| {
                data.put_be32(1, FIRST);
                data.put_be32(2, FIRST);
                data.put_be32(3, 4);
                data.nest(4, &[], |value| value.put(1, &mask.to_ne_bytes()));
                data.nest(5, &[], |value| value.put(1, &[0; 4]));
            });
            let any = Self::Compare { operation: Operation::NotEqual, value: vec![0; 4] };
            any.add(list);
        }
    }

    fn fill(&self, data: &mut Messages) {
        match self {
            Self::Meta { key, register } => {
                data.put_be32(1, *register);
                data.put_be32(2, *key as u32);
            }
            Self::Payload { base, offset, length, register } => {
                for (kind, number) in [(1, *register), (2, *base as u32), (3, *offset), (4, *length)] {
                    data.put_be32(kind, number);
                }
            }
            Self::WritePort { offset, checksum } => {
                const INTERNET_CHECKSUM: u32 = 1;
                let base = Base::Transport as u32;
                for (kind, number) in [
                    (5, FIRST),
                    (2, base),
                    (3, *offset),
                    (4, 2),
                    (6, INTERNET_CHECKSUM),
                    (7, *checksum),
                    (8, 0),
                ] {
                    data.put_be32(kind, number);
                }
            }
            Self::Connection { key, .. } => {
                data.put_be32(1, FIRST);
                data.put_be32(2, *key as u32);
            }
            Self::Local { is_source } => {
                const ADDRESS_TYPE: u32 = 3;
                data.put_be32(1, FIRST);
                data.put_be32(2, ADDRESS_TYPE);
                data.put_be32(3, if *is_source { 1 } else { 2 });
            }
            Self::Compare { operation, value } => {
                data.put_be32(1, FIRST);
                data.put_be32(2, *operation as u32);
                data.nest(3, &[], |inner| inner.put(1, value));
            }
            _ => self.fill_decision(data),
        }
    }

    /// The steps that decide: where a packet is looked for, and what becomes of it.
    fn fill_decision(&self, data: &mut Messages) {
        match self {
            Self::Lookup { set, result, is_inverted } => {
                data.put_text(1, set);
                data.put_be32(2, FIRST);
                if *result {
                    data.put_be32(3, FIRST);
                }
                if *is_inverted {
                    data.put_be32(5, 1);
                }
            }
            Self::Value(value) => {
                data.put_be32(1, FIRST);
                data.nest(2, &[], |inner| inner.put(1, value));
            }
            Self::Verdict { code, chain } => {
                data.put_be32(1, 0);
                data.nest(2, &[], |value| {
                    value.nest(2, &[], |verdict| {
                        verdict.put_be32(1, code.cast_unsigned());
                        if let Some(chain) = chain {
                            verdict.put_text(2, chain);
                        }
                    });
                });
            }
            Self::Redirect { is_v6 } => {
                const DESTINATION: u32 = 1;
                data.put_be32(1, DESTINATION);
                data.put_be32(2, if *is_v6 { 10 } else { 2 });
                data.put_be32(3, FIRST);
                data.put_be32(5, if *is_v6 { FIRST + 4 } else { FIRST + 1 });
            }
            _ => {}
        }
    }
}

fn element(list: &mut Messages, name: &str, fill: impl FnOnce(&mut Messages)) {
    list.nest(1, &[], |element| {
        element.put_text(1, name);
        element.nest(2, &[], fill);
    });
}
