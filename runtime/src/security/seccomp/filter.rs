//! From a profile to a program: the verdict of every number as few ranges, a balanced tree over them, and chains of
//! argument checks where the number alone does not decide.

use super::architecture::{Family, Width};
use super::assembler::{Assembler, Jump, Target};
use super::check::Check;
use super::profile::{Profile, RET_KILL_PROCESS};
use super::verdicts::{Range, Verdict};
use crate::security::seccomp::verdicts;
use crate::sys::seccomp::Instruction;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;

/// Compiles for the kernels of a family.
pub(super) fn generate(profile: &Profile<'_>, family: &Family) -> Vec<Instruction> {
    let mut assembler = Assembler::default();
    let mut next = assembler.returns(RET_KILL_PROCESS);
    // Last to first, as the assembler writes: the native ABI is then the first that is compared with.
    let multiplexed = verdicts::multiplexed(family);
    for (audit, ranges) in verdicts::by_architecture(profile, family, &multiplexed).iter().rev() {
        let tree = tree(&mut assembler, profile.default, ranges);
        let section = assembler.load(OFFSET_NUMBER, tree);
        next = assembler.branch(Jump::Equal, *audit, section, next);
    }
    assembler.load(OFFSET_ARCHITECTURE, next);
    assembler.finish()
}

/// Finds the range of the number in the accumulator. The kernel remembers which calls are allowed whatever their
/// arguments by running this at load time, for which it understands loads, jumps and AND, and so nothing else is used.
fn tree(assembler: &mut Assembler, default: u32, ranges: &[Range<'_>]) -> Target {
    if let [range] = ranges {
        return leaf(assembler, default, range);
    }
    if assembler.is_full() {
        return assembler.returns(default);
    }
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    let yes = tree(assembler, default, upper);
    let no = tree(assembler, default, lower);
    assembler.branch(Jump::GreaterOrEqual, upper[0].start, yes, no)
}

fn leaf(assembler: &mut Assembler, default: u32, range: &Range<'_>) -> Target {
    match &range.verdict {
        Verdict::Return(value) => assembler.returns(*value),
        Verdict::First(cases) => {
            let mut next = assembler.returns(default);
            for case in cases.iter().rev() {
                let yes = assembler.returns(case.returns);
                next = all(assembler, range.width, case.checks, yes, next);
            }
            next
        }
    }
}

fn all(assembler: &mut Assembler, width: Width, checks: &[Check], yes: Target, no: Target) -> Target {
    let mut holds = yes;
    for check in checks.iter().rev() {
        holds = check.emit(assembler, width, holds, no);
        if assembler.is_full() {
            break;
        }
    }
    holds
}
