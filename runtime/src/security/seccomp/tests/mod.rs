//! The compiler against second opinions: a naive evaluation, libseccomp, seccompiler. Programs are run by [`simulate`].

pub(crate) mod docker;
pub(crate) mod libseccomp;
pub(crate) mod meaning;
mod properties;
pub(crate) mod refusals;
pub(crate) mod seccompiler;

use super::architecture::{ARM, Family, X86};
use super::simulate::Call;
use crate::security::seccomp::{Program, compile_for, oracle, simulate};
use crate::spec::seccomp::{ArgCheck, Seccomp, SyscallRule};

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

fn profile(default: &str, architectures: &[&str], rules: Vec<SyscallRule>) -> Seccomp {
    Seccomp {
        default_action: default.to_owned(),
        default_errno_ret: None,
        architectures: architectures.iter().map(|&name| name.to_owned()).collect(),
        flags: None,
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls: rules,
    }
}

fn rule(names: &[&str], action: &str, args: &[ArgCheck]) -> SyscallRule {
    SyscallRule {
        names: names.iter().copied().collect(),
        action: action.to_owned(),
        errno_ret: None,
        args: args.to_vec(),
    }
}

fn errno(names: &[&str], errno: u32, args: &[ArgCheck]) -> SyscallRule {
    SyscallRule { errno_ret: Some(errno), ..rule(names, "SCMP_ACT_ERRNO", args) }
}

fn arg(index: u32, op: &str, value: u64) -> ArgCheck {
    ArgCheck { index, value, value_two: 0, op: format!("SCMP_CMP_{op}") }
}

fn compiled(profile: &Seccomp, family: &Family) -> Program {
    compile_for(profile, family).unwrap()
}

fn call(architecture: u32, number: u32, arguments: &[u64]) -> Call {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    Call { number, architecture, arguments: all }
}

fn verdict(program: &Program, architecture: u32, number: u32, arguments: &[u64]) -> u32 {
    simulate::run(program.instructions(), &call(architecture, number, arguments))
}

/// The values on both sides of every edge that the profile's checks have, in both halves.
fn boundaries(profile: &Seccomp) -> Vec<u64> {
    let mut values = vec![0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX];
    for arg in profile.syscalls.iter().flat_map(|rule| &rule.args) {
        for value in [arg.value, arg.value_two, arg.value & !arg.value_two, !arg.value] {
            let wrapped =
                [value, value.wrapping_sub(1), value.wrapping_add(1), value ^ 1 << 32, value | 1 << 63];
            values.extend(wrapped);
        }
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// Every number that an ABI of the family has or may get, and a few that none will.
fn numbers() -> impl Iterator<Item = u32> {
    let x32 = (0..600).map(|number| number | 0x4000_0000);
    let odd = [0x3fff_ffff, 0x4000_ffff, 0x7fff_ffff, 0xffff_fffe, u32::MAX, 0xf_0001, 0xf_0006, 0xf_0007];
    (0..600).chain(x32).chain(odd)
}

/// The calls worth comparing: of every number, with every boundary in every argument where rules with arguments (or the
/// multiplexers of i386) can make a difference, and otherwise with the two extremes.
fn calls<'a>(profile: &'a Seccomp, family: &'a Family, architecture: u32) -> impl Iterator<Item = Call> + 'a {
    let boundaries = boundaries(profile);
    let with_arguments = profile.syscalls.iter().filter(|rule| !rule.args.is_empty());
    let names: Vec<_> = with_arguments.flat_map(|rule| rule.names.iter()).collect();
    let depends = move |number: u32| {
        names.iter().copied().chain(["socketcall", "ipc"]).filter_map(|name| family.table.find(name)).any(
            |found| {
                family
                    .abis
                    .iter()
                    .any(|abi| found.number(abi.column).map(|found| found | abi.base) == Some(number))
            },
        )
    };
    numbers().flat_map(move |number| {
        let values = if depends(number) { boundaries.clone() } else { vec![0, u64::MAX] };
        let all_equal = values.clone().into_iter().map(move |value| call(architecture, number, &[value; 6]));
        let one = (0..6).flat_map(move |at| {
            values.clone().into_iter().map(move |value| {
                let mut call = call(architecture, number, &[]);
                call.arguments[at] = value;
                call
            })
        });
        all_equal.chain(one)
    })
}

/// Compares the program with the naive evaluation.
fn agrees_with_oracle(profile: &Seccomp, family: &Family) {
    let program = compiled(profile, family);
    let mut audits: Vec<u32> = family.abis.iter().map(|abi| abi.audit).collect();
    audits.extend([0, 0xc000_00f3]);
    for architecture in audits {
        for call in calls(profile, family, architecture) {
            let (got, want) =
                (simulate::run(program.instructions(), &call), oracle::evaluate(profile, family, &call));
            assert_eq!(got, want, "{call:x?} under {profile:?}");
        }
    }
}
