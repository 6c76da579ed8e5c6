//! What each number gets, ABI by ABI.
//!
//! Which rule decides is libseccomp's answer, since profiles are written against it: a rule without arguments decides
//! its call whatever the others say, the first one if there are several; among rules with arguments the first that
//! holds decides; rules that say what the default says do not count.

use super::architecture::{Abi, Family, Multiplexer, Width, X32_BIT};
use super::check::{Check, Operator};
use super::profile::{Profile, RET_ENOSYS, RET_KILL_PROCESS, Rule};
use super::table::TableEntry;

/// The number that a tracer writes to have a call skipped: it must not kill.
const SKIPPED: u32 = u32::MAX;

/// What is returned when all checks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case<'a> {
    pub(super) checks: &'a [Check],
    pub(super) returns: u32,
}

/// What a call gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    Return(u32),
    /// That of the first case that holds, else the default.
    First(Box<[Case<'a>]>),
}

/// The verdict of all numbers from `start` to the next range's start.
#[derive(Debug)]
pub(super) struct Range<'a> {
    pub(super) start: u32,
    pub(super) width: Width,
    pub(super) verdict: Verdict<'a>,
}

/// A rule's name that the family knows.
#[derive(Clone, Copy)]
struct Known<'a> {
    call: TableEntry,
    rule: &'a Rule<'a>,
}

/// For each value that seccomp_data can have as its architecture, ranges from 0 on, the native one first. The native
/// ABI is always among them, as in libseccomp; architectures that are not there are the caller's to refuse.
pub(super) fn by_architecture<'a>(
    profile: &'a Profile<'a>,
    family: &Family,
    multiplexed: &'a [MultiplexedCall],
) -> Vec<(u32, Vec<Range<'a>>)> {
    let known = resolve(profile, family);
    let native = family.abis[0].name;
    let mut architectures: Vec<(u32, Vec<Range<'a>>)> = Vec::with_capacity(family.abis.len());
    for abi in family.abis {
        if abi.name != native && !profile.architectures.iter().any(|name| name == abi.name) {
            continue;
        }
        let ranges = Cases::new(profile.default, multiplexed, abi, &known).ranges(profile, abi);
        match architectures.iter_mut().find(|(audit, _)| *audit == abi.audit) {
            Some((_, sharing)) => sharing.extend(ranges),
            None => architectures.push((abi.audit, ranges)),
        }
    }
    for (audit, ranges) in &mut architectures {
        let has_x32 = ranges.iter().any(|range| range.start >= X32_BIT);
        if family.abis.iter().any(|abi| abi.audit == *audit && abi.base == X32_BIT) && !has_x32 {
            refuse_x32(ranges, profile.default);
        }
    }
    architectures
}

fn resolve<'a>(profile: &'a Profile<'a>, family: &Family) -> Vec<Known<'a>> {
    let mut known = Vec::with_capacity(profile.rules.iter().map(|rule| rule.names.count()).sum());
    for rule in &profile.rules {
        known.extend(
            rule.names.iter().filter_map(|name| Some(Known { call: family.table.find(name)?, rule })),
        );
    }
    known
}

/// x32 calls where the profile does not list x32: libseccomp takes them for a bad architecture.
fn refuse_x32(ranges: &mut Vec<Range<'_>>, default: u32) {
    let width = Width::Bits64;
    ranges.push(Range { start: X32_BIT, width, verdict: Verdict::Return(RET_KILL_PROCESS) });
    ranges.push(Range { start: SKIPPED, width, verdict: Verdict::Return(default) });
}

/// What a profile says of an ABI's calls.
struct Cases<'k, 'a> {
    known: &'k [Known<'a>],
    multiplexed: Vec<&'a MultiplexedCall>,
    /// Sorted.
    keys: Vec<Key>,
}

/// A call's number, and the place of one of its cases: that of the name in [`Cases::known`], whose order is part of the
/// rules' meaning, and whether it is meant by way of a multiplexer. In one word, which is quickly sorted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

impl Key {
    fn new(number: u32, place: usize, by_door: bool) -> Self {
        Self(u64::from(number) << 32 | (place as u64) << 1 | u64::from(by_door))
    }

    fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn place(self) -> usize {
        (self.0 as u32 >> 1) as usize
    }

    fn is_by_door(self) -> bool {
        self.0 & 1 != 0
    }
}

impl<'k, 'a> Cases<'k, 'a> {
    fn new(default: u32, multiplexed: &'a [MultiplexedCall], abi: &Abi, known: &'k [Known<'a>]) -> Self {
        let multiplexed: Vec<&MultiplexedCall> =
            multiplexed.iter().filter(|multiplexer| multiplexer.abi == abi.name).collect();
        let mut cases =
            Self { known, keys: Vec::with_capacity(known.len() + multiplexed.len()), multiplexed };
        for (place, Known { call, rule }) in known.iter().enumerate().filter(|(_, known)| known.rule.decides)
        {
            if let Some(number) = call.number(abi.column) {
                cases.keys.push(Key::new(number, place, false));
            }
            // Arguments of a call behind a multiplexer are out of sight: what the rule forbids is then forbidden for
            // all arguments, and what it permits for some is permitted for none. (libseccomp forgets the arguments
            // either way.)
            let holds_multiplexed = rule.checks.is_empty() || is_stricter(rule.returns, default);
            if let (true, Some(multiplexer)) = (holds_multiplexed, cases.multiplexer(*call)) {
                cases.keys.push(Key::new(multiplexer.number, place, true));
            }
        }
        cases.keys.sort_unstable();
        cases
    }

    fn multiplexer(&self, call: TableEntry) -> Option<&'a MultiplexedCall> {
        self.multiplexed
            .binary_search_by_key(&call, |multiplexer| multiplexer.leads_to)
            .ok()
            .map(|at| self.multiplexed[at])
    }

    fn case(&self, key: Key) -> Case<'a> {
        let Known { call, rule } = self.known[key.place()];
        let multiplexer = if key.is_by_door() { self.multiplexer(call) } else { None };
        let checks = multiplexer
            .map_or(rule.checks.as_slice(), |multiplexer| std::slice::from_ref(&multiplexer.check));
        Case { checks, returns: rule.returns }
    }

    fn ranges(&self, profile: &Profile<'_>, abi: &Abi) -> Vec<Range<'a>> {
        let mut ranges: Vec<Range<'a>> = Vec::new();
        // Neighbours that get the same are one range from the start: most of a profile's hundreds of calls are.
        let mut add = |number: u32, verdict| {
            if ranges.last().is_none_or(|range| range.verdict != verdict) {
                ranges.push(Range { start: abi.base | number, width: abi.width, verdict });
            }
        };
        let mut next = 0;
        for group in self.keys.chunk_by(|a, b| a.number() == b.number()) {
            let number = group[0].number();
            if next < number {
                add(next, Verdict::Return(profile.default));
            }
            add(number, self.verdict(group));
            next = number + 1;
        }
        // What is newer than every call that the profile names gets ENOSYS, as in runc (libcontainer/seccomp/patchbpf):
        // EPERM would keep a newer libc from falling back to the older call. A multiplexer to a named call is as good
        // as named.
        let named = self.known.iter().filter_map(|known| known.call.number(abi.column));
        let newest = named.chain(self.keys.last().map(|last| last.number())).max();
        match newest {
            Some(newest) if !profile.is_permissive() => {
                if next <= newest {
                    add(next, Verdict::Return(profile.default));
                }
                add(newest + 1, Verdict::Return(RET_ENOSYS));
            }
            Some(_) | None => add(next, Verdict::Return(profile.default)),
        }
        ranges
    }

    fn verdict(&self, group: &[Key]) -> Verdict<'a> {
        let mut cases = group.iter().map(|key| self.case(*key));
        match cases.clone().find(|case| case.checks.is_empty()) {
            Some(case) => Verdict::Return(case.returns),
            None => Verdict::First(cases.by_ref().collect()),
        }
    }
}

/// One call behind a multiplexer.
pub(super) struct MultiplexedCall {
    /// Whose multiplexer it is.
    abi: &'static str,
    number: u32,
    leads_to: TableEntry,
    check: Check,
}

/// All of them, sorted by the call; an ABI has at most one to a call.
pub(super) fn multiplexed(family: &Family) -> Vec<MultiplexedCall> {
    let find = |name| family.table.find(name).expect("multiplexers and what is behind them are in the table");
    let mut multiplexed = Vec::new();
    for abi in family.abis {
        for Multiplexer { name, mask, calls } in abi.multiplexers {
            let number = find(name).number(abi.column).expect("a multiplexer belongs to an ABI that has it");
            for &(name, value) in *calls {
                let check = Check {
                    index: 0,
                    operator: Operator::MaskedEqual,
                    mask: (*mask).into(),
                    value: value.into(),
                };
                multiplexed.push(MultiplexedCall { abi: abi.name, number, leads_to: find(name), check });
            }
        }
    }
    multiplexed.sort_unstable_by_key(|multiplexer| multiplexer.leads_to);
    multiplexed
}

/// The kernel's order of actions (`seccomp(2)`): their return values as signed numbers.
fn is_stricter(returns: u32, than: u32) -> bool {
    (returns & 0xffff_0000).cast_signed() < (than & 0xffff_0000).cast_signed()
}
