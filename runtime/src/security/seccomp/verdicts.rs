//! What each number gets, ABI by ABI.
//!
//! Which rule decides is libseccomp's answer, since profiles are written against it: a rule without arguments decides
//! its call whatever the others say, the first one if there are several; among rules with arguments the first that
//! holds decides; rules that say what the default says do not count.

use std::borrow::Cow;

use super::architecture::{Abi, Family, Multiplexer, Width, X32_BIT};
use super::check::{Check, Operator};
use super::profile::{Profile, RET_ENOSYS, RET_KILL_PROCESS, Rule};
use super::table::Found;

/// The number that a tracer writes to have a call skipped: it must not kill.
const SKIPPED: u32 = u32::MAX;

/// What is returned when all checks hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case<'a> {
    pub(super) checks: Cow<'a, [Check]>,
    pub(super) returns: u32,
}

/// What a call gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    Return(u32),
    /// That of the first case that holds, else the default.
    First(Vec<Case<'a>>),
}

/// The verdict of all numbers from `start` to the next range's start.
#[derive(Debug)]
pub(super) struct Range<'a> {
    pub(super) start: u32,
    pub(super) width: Width,
    pub(super) verdict: Verdict<'a>,
}

/// A rule's name that the family knows.
struct Known<'a> {
    call: Found,
    rule: &'a Rule<'a>,
}

/// For each value that seccomp_data can have as its architecture, ranges from 0 on, the native one first. The native
/// ABI is always among them, as in libseccomp; architectures that are not there are the caller's to refuse.
pub(super) fn by_architecture<'a>(profile: &'a Profile<'a>, family: &Family) -> Vec<(u32, Vec<Range<'a>>)> {
    let known = resolve(profile, family);
    let native = family.abis[0].name;
    let mut architectures: Vec<(u32, Vec<Range<'a>>)> = Vec::with_capacity(family.abis.len());
    for abi in family.abis {
        if abi.name != native && !profile.architectures.iter().any(|name| name == abi.name) {
            continue;
        }
        let ranges = ranges(profile, family, abi, &known);
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
        ranges.dedup_by(|next, range| next.verdict == range.verdict && next.width == range.width);
    }
    architectures
}

fn resolve<'a>(profile: &'a Profile<'a>, family: &Family) -> Vec<Known<'a>> {
    let mut known = Vec::with_capacity(profile.rules.iter().map(|rule| rule.names.len()).sum());
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

fn ranges<'a>(profile: &'a Profile<'a>, family: &Family, abi: &Abi, known: &[Known<'a>]) -> Vec<Range<'a>> {
    let calls = cases(profile.default, family, abi, known);
    let range = |number: u32, verdict| Range { start: abi.base | number, width: abi.width, verdict };
    let mut ranges = Vec::with_capacity(2 * calls.len());
    let mut next = 0;
    for group in calls.chunk_by(|a, b| a.0 == b.0) {
        let number = group[0].0;
        if next < number {
            ranges.push(range(next, Verdict::Return(profile.default)));
        }
        ranges.push(range(number, verdict(group)));
        next = number + 1;
    }
    // What is newer than every call that the profile names gets ENOSYS, as in runc (libcontainer/seccomp/patchbpf):
    // EPERM would keep a newer libc from falling back to the older call. A door to a named call is as good as named.
    let named = known.iter().filter_map(|known| known.call.number(abi.column));
    let newest = named.chain(calls.last().map(|(number, _)| *number)).max();
    match newest {
        Some(newest) if !profile.is_permissive() => {
            if next <= newest {
                ranges.push(range(next, Verdict::Return(profile.default)));
            }
            ranges.push(range(newest + 1, Verdict::Return(RET_ENOSYS)));
        }
        Some(_) | None => ranges.push(range(next, Verdict::Return(profile.default))),
    }
    ranges
}

/// The cases of each number, sorted by number, within a number in the profile's order.
fn cases<'a>(default: u32, family: &Family, abi: &Abi, known: &[Known<'a>]) -> Vec<(u32, Case<'a>)> {
    let doors = doors(family, abi);
    let mut cases = Vec::with_capacity(known.len());
    for Known { call, rule } in known.iter().filter(|known| known.rule.decides) {
        if let Some(number) = call.number(abi.column) {
            let checks = Cow::Borrowed(rule.checks.as_slice());
            cases.push((number, Case { checks, returns: rule.returns }));
        }
        // Arguments of a call behind a multiplexer are out of sight: what the rule forbids is then forbidden for all
        // arguments, and what it permits for some is permitted for none. (libseccomp forgets the arguments either way.)
        if rule.checks.is_empty() || is_stricter(rule.returns, default) {
            let behind = doors.iter().filter(|door| door.leads_to.is(*call));
            cases.extend(behind.map(|door| (door.number, door.case(rule.returns))));
        }
    }
    // Stable: the order of a call's rules is part of their meaning.
    cases.sort_by_key(|(number, _)| *number);
    cases
}

/// One call behind a multiplexer.
struct Door {
    number: u32,
    leads_to: Found,
    check: Check,
}

impl Door {
    fn case<'a>(&self, returns: u32) -> Case<'a> {
        Case { checks: Cow::Owned(vec![self.check]), returns }
    }
}

fn doors(family: &Family, abi: &Abi) -> Vec<Door> {
    let find = |name| family.table.find(name).expect("multiplexers and what is behind them are in the table");
    let mut doors = Vec::new();
    for Multiplexer { name, mask, calls } in abi.multiplexers {
        let number = find(name).number(abi.column).expect("a multiplexer belongs to an ABI that has it");
        for &(name, value) in *calls {
            let check = Check {
                index: 0,
                operator: Operator::MaskedEqual,
                mask: (*mask).into(),
                value: value.into(),
            };
            doors.push(Door { number, leads_to: find(name), check });
        }
    }
    doors
}

/// The kernel's order of actions (`seccomp(2)`): their return values as signed numbers.
fn is_stricter(returns: u32, than: u32) -> bool {
    (returns & 0xffff_0000).cast_signed() < (than & 0xffff_0000).cast_signed()
}

fn verdict<'a>(group: &[(u32, Case<'a>)]) -> Verdict<'a> {
    match group.iter().find(|(_, case)| case.checks.is_empty()) {
        Some((_, case)) => Verdict::Return(case.returns),
        None => Verdict::First(group.iter().map(|(_, case)| case.clone()).collect()),
    }
}
