//! `process.execCPUAffinity`: the CPUs of a process that `exec` starts, before and after it enters the container's
//! cgroup (runtime-spec 1.2, "process.execCPUAffinity"). Has no effect on the container's first process.

use rustix::io::Errno;

use super::number_list::{self, NumberListError};
use crate::spec;
use crate::sys::scheduling;

/// Why an affinity cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("invalid CPU list at process.execCPUAffinity.{field}")]
pub struct CpuAffinityError {
    field: &'static str,
    source: NumberListError,
}

/// The two masks; an empty one changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuAffinity {
    initial: Vec<libc::c_ulong>,
    after: Vec<libc::c_ulong>,
}

impl CpuAffinity {
    /// Reads the two lists. Call in the plan of `exec`.
    ///
    /// # Errors
    /// [`CpuAffinityError`] for a list that is no list.
    pub fn parse(affinity: &spec::ExecCpuAffinity) -> Result<Self, CpuAffinityError> {
        let field =
            |field, list| number_list::parse(list).map_err(|source| CpuAffinityError { field, source });
        Ok(Self { initial: field("initial", &affinity.initial)?, after: field("final", &affinity.after)? })
    }

    /// Pins the calling thread before it enters the cgroup. Call in `join`'s child as its first step, or in the parent
    /// before the clone, which inherits it.
    ///
    /// # Errors
    /// EINVAL when the machine has none of these CPUs.
    pub fn apply_initial(&self) -> Result<(), Errno> {
        apply(&self.initial)
    }

    /// Pins the calling thread once it is in the container's cgroup. Call in `join`'s child after it entered the
    /// cgroup and before it drops privileges.
    ///
    /// # Errors
    /// EINVAL when the container's cpuset has none of these CPUs.
    pub fn apply_final(&self) -> Result<(), Errno> {
        apply(&self.after)
    }
}

fn apply(mask: &[libc::c_ulong]) -> Result<(), Errno> {
    if mask.is_empty() { Ok(()) } else { scheduling::set_affinity(mask) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_field() {
        let affinity = spec::ExecCpuAffinity { initial: "0".to_owned(), after: "x".to_owned() };
        let error = CpuAffinity::parse(&affinity).unwrap_err();
        assert_eq!(error.to_string(), "invalid CPU list at process.execCPUAffinity.final");
    }

    #[test]
    fn an_absent_list_changes_nothing() {
        let affinity = CpuAffinity::parse(&spec::ExecCpuAffinity::default()).unwrap();
        assert_eq!(affinity, CpuAffinity::default());
        assert_eq!(affinity.apply_initial(), Ok(()));
    }
}
