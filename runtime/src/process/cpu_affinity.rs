//! `process.execCPUAffinity`: the CPUs of a process that `exec` starts, before and after it enters the container's
//! cgroup (runtime-spec 1.2, "process.execCPUAffinity"). Has no effect on the container's first process.

use rustix::io::Errno;

use super::number_list::NumberListError;
use crate::process::number_list;
use crate::spec;
use crate::sys::scheduling;

/// Why an affinity cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("invalid CPU list at process.execCPUAffinity.{field}")]
pub(crate) struct CpuAffinityError {
    field: &'static str,
    source: NumberListError,
}

/// The two masks; an empty one changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuAffinity {
    initial: Vec<libc::c_ulong>,
    after: Vec<libc::c_ulong>,
}

impl CpuAffinity {
    /// Reads the two lists.
    ///
    /// # Errors
    /// [`CpuAffinityError`] for a list that is no list.
    pub(crate) fn parse(affinity: &spec::process::ExecCpuAffinity) -> Result<Self, CpuAffinityError> {
        let field =
            |field, list| number_list::parse(list).map_err(|source| CpuAffinityError { field, source });
        Ok(Self { initial: field("initial", &affinity.initial)?, after: field("final", &affinity.after)? })
    }

    /// Pins the calling thread, whose child inherits it, before that enters the container's cgroup.
    ///
    /// # Errors
    /// EINVAL when the machine has none of these CPUs.
    pub(crate) fn apply_initial(&self) -> Result<(), Errno> {
        apply(&self.initial)
    }

    /// The CPUs of the first step as runc's log has them; none when there are none.
    #[must_use]
    pub(crate) fn initial_mask(&self) -> Option<String> {
        let word = self.initial.iter().rev().find(|word| **word != 0)?;
        let rest = self.initial.iter().rev().skip_while(|word| **word == 0).skip(1);
        Some(rest.fold(format!("0x{word:x}"), |text, word| format!("{text}{word:016x}")))
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.initial.is_empty() && self.after.is_empty()
    }

    /// Pins the calling thread once it is in the container's cgroup.
    ///
    /// # Errors
    /// EINVAL when the container's cpuset has none of these CPUs.
    pub(crate) fn apply_final(&self) -> Result<(), Errno> {
        apply(&self.after)
    }
}

/// Gives the calling thread every CPU that its cgroup has: it must not inherit what its caller is pinned to. A kernel
/// or a sandbox that refuses leaves it as it is.
pub(crate) fn reset() {
    scheduling::set_affinity(&EVERY_CPU).ok();
}

/// More than any kernel has.
const EVERY_CPU: [libc::c_ulong; 128] = [libc::c_ulong::MAX; 128];

fn apply(mask: &[libc::c_ulong]) -> Result<(), Errno> {
    if mask.is_empty() { Ok(()) } else { scheduling::set_affinity(mask) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_field() {
        let affinity = spec::process::ExecCpuAffinity { initial: "0".to_owned(), after: "x".to_owned() };
        let error = CpuAffinity::parse(&affinity).unwrap_err();
        assert_eq!(error.to_string(), "invalid CPU list at process.execCPUAffinity.final");
    }

    #[test]
    fn an_absent_list_changes_nothing() {
        let affinity = CpuAffinity::parse(&spec::process::ExecCpuAffinity::default()).unwrap();
        assert_eq!(affinity, CpuAffinity::default());
        assert_eq!(affinity.apply_initial(), Ok(()));
    }
}
