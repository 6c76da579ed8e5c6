//! The kernel's policies for one process, all in one value: scheduler, I/O priority, memory policy, personality. Parsed
//! in the plan of `create` and of `exec`; the process itself applies them before it gives up its rights.

use rustix::io::Errno;

use super::cpu_affinity::{CpuAffinity, CpuAffinityError};
use super::io_priority::{IoPriority, IoPriorityError};
use super::memory_policy::{MemoryPolicy, MemoryPolicyError};
use super::personality::{Personality, PersonalityError};
use super::scheduler::{Scheduler, SchedulerError};
use crate::spec;

/// What is wrong with one of them; the text names the field.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum PolicyError {
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    #[error(transparent)]
    IoPriority(#[from] IoPriorityError),
    #[error(transparent)]
    Memory(#[from] MemoryPolicyError),
    #[error(transparent)]
    Personality(#[from] PersonalityError),
    #[error(transparent)]
    Affinity(#[from] CpuAffinityError),
}

/// Why the kernel would not have one of them.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum ApplyError {
    #[error("cannot set {field}")]
    Refused { field: &'static str, source: Errno },
    /// SCHED_DEADLINE wants all CPUs; the text is runc's.
    #[error("process scheduler can't be used together with AllowedCPUs")]
    Cpuset { source: Errno },
}

/// Those that the configuration has.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    scheduler: Option<Scheduler>,
    io_priority: Option<IoPriority>,
    memory: Option<MemoryPolicy>,
    personality: Option<Personality>,
    /// For `exec` alone, which applies it around its entry into the container's cgroup.
    pub(crate) affinity: Option<CpuAffinity>,
    has_cpuset: bool,
}

impl Policies {
    /// Reads those of a process and of the container that it belongs to.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub(crate) fn parse(
        process: Option<&spec::process::Process>,
        linux: &spec::linux::Linux,
    ) -> Result<Self, PolicyError> {
        let scheduler = process.and_then(|process| process.scheduler.as_ref());
        let io_priority = process.and_then(|process| process.io_priority.as_ref());
        let affinity = process.and_then(|process| process.exec_cpu_affinity.as_ref());
        Ok(Self {
            scheduler: scheduler.map(Scheduler::parse).transpose()?,
            io_priority: io_priority.map(IoPriority::parse).transpose()?,
            memory: linux.memory_policy.as_ref().map(MemoryPolicy::parse).transpose()?,
            personality: linux.personality.as_ref().map(Personality::parse).transpose()?,
            affinity: affinity.map(CpuAffinity::parse).transpose()?,
            has_cpuset: linux.resources.cpu.as_ref().is_some_and(|cpu| !cpu.cpus.is_empty()),
        })
    }

    /// Applies them to the calling process, which exec keeps.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub(crate) fn apply(&self) -> Result<(), ApplyError> {
        let failed = |field| move |source| ApplyError::Refused { field, source };
        if let Some(scheduler) = &self.scheduler {
            scheduler.apply().map_err(|source| match (source, self.has_cpuset) {
                (Errno::PERM, true) => ApplyError::Cpuset { source },
                _ => failed("process.scheduler")(source),
            })?;
        }
        if let Some(priority) = &self.io_priority {
            priority.apply().map_err(failed("process.ioPriority"))?;
        }
        if let Some(memory) = &self.memory {
            memory.apply().map_err(failed("linux.memoryPolicy"))?;
        }
        if let Some(personality) = self.personality {
            personality.apply().map_err(failed("linux.personality"))?;
        }
        Ok(())
    }
}
