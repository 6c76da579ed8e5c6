//! An OCI profile with every name understood: actions as the kernel's return values, operators, flags. Nothing here
//! knows system call numbers.

use super::architecture::ARCHITECTURES;
use super::check::{Check, Operator};
use super::error::SeccompError;
use super::listener::Listener;
use crate::spec;
use crate::sys::seccomp::NEW_LISTENER;

pub(super) const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_KILL_THREAD: u32 = 0x0000_0000;
const RET_TRAP: u32 = 0x0003_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
const RET_LOG: u32 = 0x7ffc_0000;
const RET_ALLOW: u32 = 0x7fff_0000;

/// What a call gets that is newer than the profile.
pub(super) const RET_ENOSYS: u32 = RET_ERRNO | libc::ENOSYS as u32;

/// The actions by name, with the return value and whether an errno goes with it.
pub(super) const ACTIONS: [(&str, u32, bool); 9] = [
    ("SCMP_ACT_ALLOW", RET_ALLOW, false),
    ("SCMP_ACT_ERRNO", RET_ERRNO, true),
    ("SCMP_ACT_KILL", RET_KILL_THREAD, false),
    ("SCMP_ACT_KILL_PROCESS", RET_KILL_PROCESS, false),
    ("SCMP_ACT_KILL_THREAD", RET_KILL_THREAD, false),
    ("SCMP_ACT_LOG", RET_LOG, false),
    ("SCMP_ACT_NOTIFY", RET_USER_NOTIF, false),
    ("SCMP_ACT_TRACE", RET_TRACE, true),
    ("SCMP_ACT_TRAP", RET_TRAP, false),
];

/// The flags by name. TSYNC changes nothing in a process of one thread, and is taken and dropped, as runc does.
pub(super) const FLAGS: [(&str, u32); 4] = [
    ("SECCOMP_FILTER_FLAG_LOG", 1 << 1),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE_RECV),
];
pub(super) const SPEC_ALLOW: u32 = 1 << 2;
pub(super) const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// The operators by name.
pub(super) const OPERATORS: [(&str, Operator); 7] = [
    ("SCMP_CMP_EQ", Operator::Equal),
    ("SCMP_CMP_GE", Operator::GreaterOrEqual),
    ("SCMP_CMP_GT", Operator::Greater),
    ("SCMP_CMP_LE", Operator::LessOrEqual),
    ("SCMP_CMP_LT", Operator::Less),
    ("SCMP_CMP_MASKED_EQ", Operator::MaskedEqual),
    ("SCMP_CMP_NE", Operator::NotEqual),
];

/// What the calls of these names get when all checks hold.
#[derive(Clone, Debug)]
pub(super) struct Rule<'a> {
    pub(super) names: &'a spec::words::Words,
    pub(super) checks: Vec<Check>,
    pub(super) returns: u32,
    /// False where the rule says what the default says: runc then drops it, but its names count as known.
    pub(super) decides: bool,
}

/// A profile in the kernel's terms.
#[derive(Debug)]
pub(super) struct Profile<'a> {
    pub(super) default: u32,
    /// In the profile's order.
    pub(super) rules: Vec<Rule<'a>>,
    pub(super) architectures: &'a [String],
    pub(super) flags: u32,
    pub(super) listener: Option<Listener>,
}

impl<'a> Profile<'a> {
    /// # Errors
    /// [`SeccompError`] with the JSON path of the first value that is wrong.
    pub(super) fn parse(profile: &'a spec::seccomp::Seccomp) -> Result<Self, SeccompError> {
        let default = action("defaultAction", &profile.default_action, profile.default_errno_ret)?;
        if default == RET_USER_NOTIF {
            return Err(SeccompError::NotifyByDefault);
        }
        for (index, name) in profile.architectures.iter().enumerate() {
            if !ARCHITECTURES.contains(&name.as_str()) {
                return Err(SeccompError::Architecture { index, name: name.clone() });
            }
        }
        let (mut rules, mut notifies) = (Vec::with_capacity(profile.syscalls.len()), false);
        for (index, rule) in profile.syscalls.iter().enumerate() {
            let returns = parse_rule(index, rule, &mut rules, default)?;
            notifies |= returns == RET_USER_NOTIF;
        }
        Ok(Self {
            default,
            rules,
            architectures: &profile.architectures,
            flags: flags(profile.flags.as_deref(), notifies)?,
            listener: listener(profile, notifies)?,
        })
    }

    /// Whether calls that the profile does not name go through.
    pub(super) fn is_permissive(&self) -> bool {
        matches!(self.default & 0xffff_0000, RET_ALLOW | RET_LOG | RET_TRACE)
    }
}

fn action(at: &str, name: &str, errno: Option<u32>) -> Result<u32, SeccompError> {
    let Some(&(_, returns, takes_errno)) = ACTIONS.iter().find(|(known, ..)| *known == name) else {
        return Err(SeccompError::Action { at: at.to_owned(), name: name.to_owned() });
    };
    match errno {
        None if takes_errno => Ok(returns | libc::EPERM as u32),
        None => Ok(returns),
        Some(_) if !takes_errno => {
            Err(SeccompError::UnwantedErrno { at: at.to_owned(), action: name.to_owned() })
        }
        Some(errno @ 0..=0xffff) => Ok(returns | errno),
        Some(errno) => Err(SeccompError::Errno { at: at.to_owned(), errno }),
    }
}

/// Adds what one entry of `syscalls` means, and returns its action.
fn parse_rule<'a>(
    at: usize,
    rule: &'a spec::seccomp::SyscallRule,
    rules: &mut Vec<Rule<'a>>,
    default: u32,
) -> Result<u32, SeccompError> {
    let returns = action(&format!("syscalls[{at}].action"), &rule.action, rule.errno_ret)?;
    if rule.names.count() == 0 || rule.names.iter().any(str::is_empty) {
        return Err(SeccompError::NoName { at });
    }
    if returns == RET_USER_NOTIF && rule.names.iter().any(|name| name == "write") {
        return Err(SeccompError::NotifyOnWrite { at });
    }
    let mut checks = Vec::with_capacity(rule.args.len());
    for (index, arg) in rule.args.iter().enumerate() {
        checks.push(check(at, index, arg)?);
    }
    let (names, decides) = (&rule.names, returns != default);
    // runc: "if two or more arguments have the same condition, revert to old behavior, adding each condition as a
    // separate rule". Profiles in the wild rely on it to say "this value or that".
    let repeats =
        checks.iter().enumerate().any(|(at, check)| checks[..at].iter().any(|c| c.index == check.index));
    if repeats {
        rules.extend(checks.into_iter().map(|check| Rule { names, checks: vec![check], returns, decides }));
    } else {
        rules.push(Rule { names, checks, returns, decides });
    }
    Ok(returns)
}

fn check(rule: usize, at: usize, arg: &spec::seccomp::ArgCheck) -> Result<Check, SeccompError> {
    let Some(&(_, operator)) = OPERATORS.iter().find(|(known, _)| *known == arg.op) else {
        return Err(SeccompError::Operator { rule, at, name: arg.op.clone() });
    };
    if arg.index > 5 {
        return Err(SeccompError::ArgumentIndex { rule, at, index: arg.index });
    }
    let (mask, value) = match operator {
        Operator::MaskedEqual => (arg.value, arg.value_two),
        _ => (u64::MAX, arg.value),
    };
    Ok(Check { index: arg.index, operator, mask, value })
}

fn flags(names: Option<&[String]>, notifies: bool) -> Result<u32, SeccompError> {
    let mut flags = if notifies { NEW_LISTENER } else { 0 };
    let Some(names) = names else {
        // runc's choice when the profile makes none: speculation is the machine's matter, not each container's.
        return Ok(flags | SPEC_ALLOW);
    };
    for (index, name) in names.iter().enumerate() {
        let Some((_, bit)) = FLAGS.iter().find(|(known, _)| known == name) else {
            return Err(SeccompError::Flag { index, name: name.clone() });
        };
        flags |= bit;
    }
    if !notifies {
        // The kernel refuses it without a listener; a profile that never notifies has nothing to wait for.
        flags &= !WAIT_KILLABLE_RECV;
    }
    Ok(flags)
}

fn listener(profile: &spec::seccomp::Seccomp, notifies: bool) -> Result<Option<Listener>, SeccompError> {
    match (notifies, profile.listener_path.as_str()) {
        (false, _) => Ok(None),
        (true, "") => Err(SeccompError::NoListener),
        (true, path) => Ok(Some(Listener { path: path.into(), metadata: profile.listener_metadata.clone() })),
    }
}
