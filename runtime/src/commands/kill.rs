//! `kill`: a signal to a container's first process, or to all of them.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;

use super::error::CommandError;
use crate::args::command::KillArgs;
use crate::cgroup::error::CgroupError;
use crate::cgroup::fence::Fence;
use crate::state::record::State;
use crate::sys::pidfd;

/// Signals 1 to 31 by name.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

#[inline(never)]
pub(super) fn run(root: &Path, args: &KillArgs) -> Result<(), CommandError> {
    let signal = number(&args.signal).ok_or_else(|| CommandError::Signal(args.signal.clone()))?;
    let state = State::load(root, &args.id)?;
    // Without a pid namespace of its own, what the first process left behind outlives it. Where a user could make no
    // cgroup, no other process is known.
    let is_for_all = args.all || (!state.has_pid_namespace && signal == libc::SIGKILL);
    if is_for_all && !state.cgroups.hierarchies.is_empty() {
        return match Fence::open(&state.cgroups) {
            Ok(fence) => Ok(fence.signal_all(signal)?),
            Err(CgroupError::Gone) => nobody(args),
            Err(error) => Err(error.into()),
        };
    }
    let Some(process) = state.open_init()? else { return nobody(args) };
    match pidfd::send_signal(process.as_fd(), signal) {
        Ok(()) if signal == libc::SIGKILL => Ok(state.cgroups.let_die()?),
        Ok(()) => Ok(()),
        Err(Errno::SRCH) => nobody(args),
        Err(source) => Err(CommandError::SendSignal { signal, source }),
    }
}

/// With `--all` it is no error that all have ended.
fn nobody(args: &KillArgs) -> Result<(), CommandError> {
    if args.all { Ok(()) } else { Err(CommandError::NotRunning) }
}

/// A number, a name, or a name with `SIG`, in any case; real-time signals as `RTMIN+n`.
fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (0..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse::<i32>().ok()? };
        return (0..=30).contains(&offset).then_some(34 + offset);
    }
    let name = match name {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        name => name,
    };
    let index = NAMES.iter().position(|known| *known == name)?;
    i32::try_from(index).ok().map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use crate::commands::kill::number;

    #[test]
    fn signals_are_known_by_number_and_by_name() {
        for text in ["9", "KILL", "SIGKILL", "sigkill"] {
            assert_eq!(number(text), Some(9), "{text}");
        }
        assert_eq!(number("SIGRTMIN+3"), Some(37));
        assert_eq!(number("SYS"), Some(31));
        for text in ["", "SIG", "65", "-1", "NOPE", "RTMIN+31"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
