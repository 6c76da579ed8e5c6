//! A second, naive reading of a profile: one call, one walk over the rules, no numbers sorted and no trees; and the
//! words that profiles are made of to compare the two. For tests and fuzz targets alone.

#[cfg(fuzzing)]
use super::architecture::NATIVE;
use super::architecture::{Abi, Family, Width, X32_BIT};
use super::simulate::Call;
use crate::spec::seccomp::{ArgCheck, Seccomp, SyscallRule};

/// Few calls, so that rules meet: of one architecture alone, behind `socketcall` and `ipc`, and the newest.
pub(crate) const NAMES: [&str; 17] = [
    "read",
    "write",
    "open",
    "clone",
    "clone3",
    "personality",
    "socket",
    "connect",
    "semop",
    "shmat",
    "execve",
    "futex",
    "keyctl",
    "openat2",
    "set_tls",
    "listns",
    "map_shadow_stack",
];
/// The actions that [`evaluate_native`] knows, without their `SCMP_ACT_`.
pub(crate) const ACTIONS: [&str; 8] =
    ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "TRACE", "TRAP"];
/// The comparisons, without their `SCMP_CMP_`.
pub(crate) const OPERATORS: [&str; 7] = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"];

fn action(name: &str, errno: Option<u32>) -> u32 {
    let errno = errno.unwrap_or(1);
    match name {
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | errno,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        other => panic!("unknown action {other}"),
    }
}

fn holds(check: &ArgCheck, width: Width, arguments: &[u64; 6]) -> bool {
    let cut = |value: u64| if width == Width::Bits32 { value & 0xffff_ffff } else { value };
    let (argument, value, two) =
        (cut(arguments[check.index as usize]), cut(check.value), cut(check.value_two));
    match check.op.as_str() {
        "SCMP_CMP_EQ" => argument == value,
        "SCMP_CMP_NE" => argument != value,
        "SCMP_CMP_LT" => argument < value,
        "SCMP_CMP_LE" => argument <= value,
        "SCMP_CMP_GT" => argument > value,
        "SCMP_CMP_GE" => argument >= value,
        "SCMP_CMP_MASKED_EQ" => argument & value == two,
        other => panic!("unknown operator {other}"),
    }
}

fn rule_holds(rule: &SyscallRule, width: Width, arguments: &[u64; 6]) -> bool {
    let mut indexes: Vec<_> = rule.args.iter().map(|arg| arg.index).collect();
    indexes.sort_unstable();
    let mut check = rule.args.iter().map(|arg| holds(arg, width, arguments));
    if indexes.is_sorted_by(|a, b| a < b) { check.all(|holds| holds) } else { check.any(|holds| holds) }
}

/// A multiplexer hides arguments: a rule about them says nothing there, unless it is to forbid.
fn holds_multiplexed(rule: &SyscallRule, default: u32) -> bool {
    let returns = action(&rule.action, rule.errno_ret);
    let stricter = (returns & 0xffff_0000).cast_signed() < (default & 0xffff_0000).cast_signed();
    returns != default && (rule.args.is_empty() || stricter)
}

/// The multiplexers that lead to a call of the profile.
fn multiplexers_of<'a>(
    profile: &'a Seccomp,
    family: &'a Family,
    abi: &'a Abi,
    default: u32,
) -> impl Iterator<Item = u32> + 'a {
    let names = profile
        .syscalls
        .iter()
        .filter(move |rule| holds_multiplexed(rule, default))
        .flat_map(|rule| rule.names.iter());
    let multiplexers = names.flat_map(|name| {
        abi.multiplexers
            .iter()
            .filter(move |multiplexer| multiplexer.calls.iter().any(|(call, _)| *call == name))
    });
    multiplexers.filter_map(|multiplexer| family.table.find(multiplexer.name)?.number(abi.column))
}

/// What the call gets under the profile on the kernel that this program is built for.
///
/// # Panics
/// On an action or an operator that does not exist.
#[must_use]
#[cfg(fuzzing)]
pub(crate) fn evaluate_native(profile: &Seccomp, call: &Call) -> u32 {
    evaluate(profile, NATIVE, call)
}

/// The same on a kernel of the family.
pub(super) fn evaluate(profile: &Seccomp, family: &Family, call: &Call) -> u32 {
    const KILL_PROCESS: u32 = 0x8000_0000;
    let default = action(&profile.default_action, profile.default_errno_ret);
    let listed = |abi: &Abi| {
        abi.name == family.abis[0].name || profile.architectures.iter().any(|name| name == abi.name)
    };
    let is_x32 = call.architecture == 0xc000_003e && call.number & !(X32_BIT - 1) != 0;
    let base = if is_x32 { X32_BIT } else { 0 };
    let abi = family.abis.iter().find(|abi| abi.audit == call.architecture && abi.base == base);
    let Some(abi) = abi.filter(|abi| listed(abi)) else {
        let skipped = call.architecture == 0xc000_003e && call.number == u32::MAX;
        return if skipped { default } else { KILL_PROCESS };
    };
    let number_of = |name: &str| Some(abi.base | family.table.find(name)?.number(abi.column)?);
    let behind = |name: &str| {
        abi.multiplexers.iter().any(|multiplexer| {
            let number = family.table.find(multiplexer.name).unwrap().number(abi.column);
            let argument = (call.arguments[0] as u32) & multiplexer.mask;
            number == Some(call.number) && multiplexer.calls.contains(&(name, argument))
        })
    };
    let mut first = None;
    for rule in &profile.syscalls {
        let returns = action(&rule.action, rule.errno_ret);
        if returns == default {
            continue;
        }
        let direct = rule.names.iter().any(|name| number_of(name) == Some(call.number));
        if direct && rule.args.is_empty() {
            return returns;
        }
        let through_multiplexer = holds_multiplexed(rule, default) && rule.names.iter().any(&behind);
        if first.is_none() && (direct && rule_holds(rule, abi.width, &call.arguments) || through_multiplexer)
        {
            first = Some(returns);
        }
    }
    let named = profile.syscalls.iter().flat_map(|rule| rule.names.iter()).filter_map(number_of);
    let newest = named.chain(multiplexers_of(profile, family, abi, default)).max();
    let permissive = matches!(default & 0xffff_0000, 0x7fff_0000 | 0x7ffc_0000 | 0x7ff0_0000);
    let is_newer = !permissive && newest.is_some_and(|newest| call.number > newest);
    first.unwrap_or(if is_newer { 0x0005_0026 } else { default })
}
