//! The rules of our table, which never change. The names of its sets are those of docs/networks.md.

use super::expression::{BEHIND_NAME, Base, Connection, Expression, FIRST, Meta, Operation};
use super::table::{Batch, Hook, Set, Type};

use Type::{Address, Address6, Interface, Port, Protocol};

/// All sets and maps.
const SETS: [Set; 22] = [
    set("bridges", &[Interface]),
    set("internal", &[Interface]),
    set("open", &[Interface]),
    set("routed", &[Interface]),
    set("lent", &[Interface]),
    set("same", &[Interface, Interface]),
    intervals("own4", &[Interface, Address]),
    intervals("own6", &[Interface, Address6]),
    intervals("shut4", &[Address]),
    intervals("shut6", &[Address6]),
    intervals("masq4", &[Interface, Address]),
    intervals("masq6", &[Interface, Address6]),
    map("at4", &[Protocol, Address, Port], &[Address, Port]),
    map("any4", &[Protocol, Port], &[Address, Port]),
    map("at6", &[Protocol, Address6, Port], &[Address6, Port]),
    map("any6", &[Protocol, Port], &[Address6, Port]),
    set("port4", &[Address, Protocol, Port]),
    set("port6", &[Address6, Protocol, Port]),
    set("gateway4", &[Interface, Address]),
    set("gateway6", &[Interface, Address6]),
    set("transport", &[Protocol]),
    set("errors", &[Protocol]),
];

const fn set(name: &'static str, key: &'static [Type]) -> Set {
    Set { name, key, value: &[], has_intervals: false }
}

const fn intervals(name: &'static str, key: &'static [Type]) -> Set {
    Set { name, key, value: &[], has_intervals: true }
}

const fn map(name: &'static str, key: &'static [Type], value: &'static [Type]) -> Set {
    Set { name, key, value, has_intervals: false }
}

pub(super) fn find_set(name: &str) -> Option<&'static Set> {
    SETS.iter().find(|set| set.name == name)
}

/// Chains, in an order in which each is there before it is jumped to.
const CHAINS: [(&str, Option<Hook>); 11] = [
    ("from", None),
    ("publish", None),
    ("to_container", None),
    ("from_container", None),
    ("masq_in", None),
    ("raw", Some(Hook { kind: "filter", number: 0, priority: -300 })),
    ("prerouting", Some(Hook { kind: "nat", number: 0, priority: -100 })),
    ("output", Some(Hook { kind: "nat", number: 3, priority: -100 })),
    ("forward", Some(Hook { kind: "filter", number: 2, priority: 0 })),
    ("input", Some(Hook { kind: "filter", number: 1, priority: 0 })),
    ("postrouting", Some(Hook { kind: "nat", number: 4, priority: 100 })),
];

type Rule = Vec<Expression>;

const DROP: Expression = Expression::Verdict { code: 0, chain: None };
const ACCEPT: Expression = Expression::Verdict { code: 1, chain: None };
const RETURN: Expression = Expression::Verdict { code: -5, chain: None };

fn jump(chain: &'static str) -> Expression {
    Expression::Verdict { code: -3, chain: Some(chain) }
}

/// A packet's family, and where its addresses are.
#[derive(Clone, Copy)]
enum Ip {
    V4,
    V6,
}

impl Ip {
    fn is(self) -> Rule {
        let number = match self {
            Self::V4 => 2,
            Self::V6 => 10,
        };
        vec![Expression::Meta { key: Meta::Family, register: FIRST }, equal(&[number])]
    }

    fn source(self, register: u32) -> Expression {
        let (offset, length) = match self {
            Self::V4 => (12, 4),
            Self::V6 => (8, 16),
        };
        Expression::Payload { base: Base::Network, offset, length, register }
    }

    fn destination(self, register: u32) -> Expression {
        let (offset, length) = match self {
            Self::V4 => (16, 4),
            Self::V6 => (24, 16),
        };
        Expression::Payload { base: Base::Network, offset, length, register }
    }

    /// How many registers an address takes.
    fn registers(self) -> u32 {
        match self {
            Self::V4 => 1,
            Self::V6 => 4,
        }
    }

    fn pick(self, four: &'static str, six: &'static str) -> &'static str {
        match self {
            Self::V4 => four,
            Self::V6 => six,
        }
    }
}

fn equal(value: &[u8]) -> Expression {
    Expression::Compare { operation: Operation::Equal, value: value.to_vec() }
}

fn found(set: &'static str) -> Expression {
    Expression::Lookup { set, result: false, is_inverted: false }
}

fn not_found(set: &'static str) -> Expression {
    Expression::Lookup { set, result: false, is_inverted: true }
}

fn name_in(set: &'static str) -> Rule {
    vec![Expression::Meta { key: Meta::InName, register: FIRST }, found(set)]
}

fn name_not_in(set: &'static str) -> Rule {
    vec![Expression::Meta { key: Meta::InName, register: FIRST }, not_found(set)]
}

fn out_in(set: &'static str) -> Rule {
    vec![Expression::Meta { key: Meta::OutName, register: FIRST }, found(set)]
}

fn out_not_in(set: &'static str) -> Rule {
    vec![Expression::Meta { key: Meta::OutName, register: FIRST }, not_found(set)]
}

/// An interface's name and an address behind it.
fn name_and(key: Meta, address: Expression, set: &'static str) -> Rule {
    vec![Expression::Meta { key, register: FIRST }, address, found(set)]
}

fn protocol(register: u32) -> Expression {
    Expression::Meta { key: Meta::Protocol, register }
}

fn destination_port(register: u32) -> Expression {
    Expression::Payload { base: Base::Transport, offset: 2, length: 2, register }
}

const STATUS_REDIRECTED: Expression = Expression::Connection { key: Connection::Status, mask: 1 << 5 };
const STATE_KNOWN: Expression = Expression::Connection { key: Connection::State, mask: 2 | 4 };
const STATE_INVALID: Expression = Expression::Connection { key: Connection::State, mask: 1 };

/// All sets, chains and rules.
pub(super) fn add(batch: &mut Batch, table: &str) {
    for (id, set) in (1..).zip(&SETS) {
        batch.add_set(table, set, id);
    }
    for (name, hook) in CHAINS {
        batch.add_chain(table, name, hook);
    }
    let all = [
        ("raw", raw()),
        ("from", from()),
        ("publish", publish()),
        ("prerouting", vec![to_published()]),
        ("output", vec![to_published()]),
        ("forward", forward()),
        ("to_container", to_container()),
        ("from_container", from_container()),
        ("input", input()),
        ("postrouting", postrouting()),
        ("masq_in", masquerade_in()),
    ];
    for (chain, rules) in all {
        for rule in rules {
            batch.add_rule(table, chain, &rule);
        }
    }
}

/// Before anything else: nobody from outside gets to loopback or to a container's own address.
fn raw() -> Vec<Rule> {
    let mut loopback_name = b"lo".to_vec();
    loopback_name.resize(16, 0);
    let not_loopback = vec![
        Expression::Meta { key: Meta::InName, register: FIRST },
        Expression::Compare { operation: Operation::NotEqual, value: loopback_name },
    ];
    let first_byte = Expression::Payload { base: Base::Network, offset: 16, length: 1, register: FIRST };
    let outside = |ip: Ip, set| {
        [name_not_in("bridges"), ip.is(), vec![ip.destination(FIRST), found(set), DROP]].concat()
    };
    vec![
        [not_loopback, Ip::V4.is(), vec![first_byte, equal(&[127]), DROP]].concat(),
        [name_in("bridges"), vec![jump("from")]].concat(),
        outside(Ip::V4, "shut4"),
        outside(Ip::V6, "shut6"),
    ]
}

/// What a container sends has an address of its network.
fn from() -> Vec<Rule> {
    let own =
        |ip: Ip, set| [ip.is(), name_and(Meta::InName, ip.source(BEHIND_NAME), set), vec![RETURN]].concat();
    let source_is = |ip: Ip, value: &[u8]| [ip.is(), vec![ip.source(FIRST), equal(value), RETURN]].concat();
    let first_bytes = || Expression::Payload { base: Base::Network, offset: 8, length: 2, register: FIRST };
    let link_local = [
        Ip::V6.is(),
        vec![
            first_bytes(),
            Expression::Compare { operation: Operation::AtLeast, value: vec![0xfe, 0x80] },
            Expression::Compare { operation: Operation::AtMost, value: vec![0xfe, 0xbf] },
            RETURN,
        ],
    ];
    vec![
        own(Ip::V4, "own4"),
        source_is(Ip::V4, &[0; 4]),
        own(Ip::V6, "own6"),
        source_is(Ip::V6, &[0; 16]),
        link_local.concat(),
        vec![DROP],
    ]
}

fn publish() -> Vec<Rule> {
    let at = |ip: Ip, set| {
        let behind = FIRST + 1 + ip.registers();
        let lookup = Expression::Lookup { set, result: true, is_inverted: false };
        let is_v6 = matches!(ip, Ip::V6);
        let steps = vec![
            protocol(FIRST),
            ip.destination(FIRST + 1),
            destination_port(behind),
            lookup,
            Expression::Redirect { is_v6 },
        ];
        [ip.is(), steps].concat()
    };
    let any = |ip: Ip, set| {
        let lookup = Expression::Lookup { set, result: true, is_inverted: false };
        let is_v6 = matches!(ip, Ip::V6);
        let steps =
            vec![protocol(FIRST), destination_port(FIRST + 1), lookup, Expression::Redirect { is_v6 }];
        [ip.is(), steps].concat()
    };
    let first_bytes = Expression::Payload { base: Base::Network, offset: 8, length: 2, register: FIRST };
    let link_local = vec![
        first_bytes,
        Expression::Compare { operation: Operation::AtLeast, value: vec![0xfe, 0x80] },
        Expression::Compare { operation: Operation::AtMost, value: vec![0xfe, 0xbf] },
        RETURN,
    ];
    let mut loopback = [0; 16];
    loopback[15] = 1;
    vec![
        at(Ip::V4, "at4"),
        any(Ip::V4, "any4"),
        [Ip::V6.is(), link_local].concat(),
        // An answer to ::1 would not find its way back: the keeper listens there.
        [Ip::V6.is(), vec![Ip::V6.destination(FIRST), equal(&loopback), RETURN]].concat(),
        at(Ip::V6, "at6"),
        any(Ip::V6, "any6"),
    ]
}

fn to_published() -> Rule {
    const LOCAL: u32 = 2;
    vec![
        protocol(FIRST),
        found("transport"),
        Expression::Local { is_source: false },
        equal(&LOCAL.to_ne_bytes()),
        jump("publish"),
    ]
}

fn forward() -> Vec<Rule> {
    vec![
        [out_in("bridges"), vec![jump("to_container")]].concat(),
        [name_in("bridges"), vec![jump("from_container")]].concat(),
        [name_in("lent"), out_not_in("bridges"), vec![DROP]].concat(),
    ]
}

fn to_container() -> Vec<Rule> {
    let same = vec![
        Expression::Meta { key: Meta::InName, register: FIRST },
        Expression::Meta { key: Meta::OutName, register: BEHIND_NAME },
        found("same"),
        ACCEPT,
    ];
    let routed = |ip: Ip| {
        let behind = FIRST + ip.registers();
        let set = ip.pick("port4", "port6");
        let steps =
            vec![ip.destination(FIRST), protocol(behind), destination_port(behind + 1), found(set), ACCEPT];
        [out_in("routed"), ip.is(), steps].concat()
    };
    vec![
        vec![STATE_KNOWN, ACCEPT],
        vec![STATE_INVALID, DROP],
        same,
        [out_in("internal"), vec![DROP]].concat(),
        [name_in("internal"), vec![DROP]].concat(),
        vec![STATUS_REDIRECTED, ACCEPT],
        [out_in("open"), name_not_in("bridges"), vec![ACCEPT]].concat(),
        [out_in("routed"), vec![protocol(FIRST), found("errors"), ACCEPT]].concat(),
        routed(Ip::V4),
        routed(Ip::V6),
        vec![DROP],
    ]
}

fn from_container() -> Vec<Rule> {
    vec![vec![STATE_KNOWN, ACCEPT], vec![STATE_INVALID, DROP], [name_in("internal"), vec![DROP]].concat()]
}

/// An internal network's containers reach the host by their own gateway's address alone.
fn input() -> Vec<Rule> {
    let gateway = |ip: Ip, set| {
        let address = name_and(Meta::InName, ip.destination(BEHIND_NAME), set);
        [name_in("internal"), ip.is(), address, vec![ACCEPT]].concat()
    };
    let not_v4 = [name_in("internal"), Ip::V4.is(), vec![DROP]].concat();
    let neighbours =
        [name_in("internal"), Ip::V6.is(), vec![protocol(FIRST), found("errors"), ACCEPT]].concat();
    let not_v6 = [name_in("internal"), Ip::V6.is(), vec![DROP]].concat();
    vec![
        [name_in("internal"), vec![STATE_KNOWN, ACCEPT]].concat(),
        gateway(Ip::V4, "gateway4"),
        gateway(Ip::V6, "gateway6"),
        neighbours,
        not_v4,
        not_v6,
    ]
}

fn postrouting() -> Vec<Rule> {
    let leaving = |ip: Ip| {
        let source = name_and(Meta::InName, ip.source(BEHIND_NAME), ip.pick("masq4", "masq6"));
        [out_not_in("bridges"), ip.is(), source, vec![Expression::Masquerade]].concat()
    };
    vec![[out_in("bridges"), vec![jump("masq_in")]].concat(), leaving(Ip::V4), leaving(Ip::V6)]
}

/// What comes to a container by the host's own address gets one that its answer comes back to.
fn masquerade_in() -> Vec<Rule> {
    const LOCAL: u32 = 2;
    let hairpin = |ip: Ip| {
        let source = name_and(Meta::OutName, ip.source(BEHIND_NAME), ip.pick("own4", "own6"));
        [vec![STATUS_REDIRECTED], ip.is(), source, vec![Expression::Masquerade]].concat()
    };
    let from_host = vec![
        STATUS_REDIRECTED,
        Expression::Local { is_source: true },
        equal(&LOCAL.to_ne_bytes()),
        Expression::Masquerade,
    ];
    vec![hairpin(Ip::V4), hairpin(Ip::V6), from_host]
}
