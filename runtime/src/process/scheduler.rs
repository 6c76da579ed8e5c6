//! `process.scheduler`: policy and parameters of sched_setattr (runtime-spec 1.1, "process.scheduler").

use rustix::io::Errno;

use crate::spec;
use crate::sys::scheduling::{self, SchedulingAttributes};

const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// Why scheduler settings cannot be used; what is refused is what runc refuses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SchedulerError {
    /// Absent.
    #[error("process.scheduler.policy is required")]
    NoPolicy,
    /// Not one of the kernel's policies.
    #[error("invalid process.scheduler.policy {0:?}")]
    Policy(String),
    /// Not one of the kernel's flags.
    #[error("invalid process.scheduler.flags entry {0:?}")]
    Flag(String),
    /// Outside -20 to 19 for a policy that has nice values.
    #[error("invalid process.scheduler.nice {0} (-20 to 19)")]
    Nice(i32),
    /// A negative static priority.
    #[error("invalid process.scheduler.priority {0} (0 or more)")]
    NegativePriority(i32),
    /// A static priority for a policy that has none.
    #[error("process.scheduler.priority can only be given for SCHED_FIFO or SCHED_RR")]
    UnwantedPriority,
    /// Deadline parameters for another policy.
    #[error("process.scheduler.runtime, deadline and period can only be given for SCHED_DEADLINE")]
    UnwantedDeadline,
}

/// Settings in the kernel's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheduler(SchedulingAttributes);

impl Scheduler {
    /// Reads policy, flags and parameters.
    ///
    /// # Errors
    /// [`SchedulerError`].
    pub(crate) fn parse(scheduler: &spec::process::Scheduler) -> Result<Self, SchedulerError> {
        let name = scheduler.policy.as_str();
        if name.is_empty() {
            return Err(SchedulerError::NoPolicy);
        }
        let Some(&(_, policy)) = POLICIES.iter().find(|(known, _)| *known == name) else {
            return Err(SchedulerError::Policy(name.to_owned()));
        };
        if matches!(name, "SCHED_OTHER" | "SCHED_BATCH") && !(-20..=19).contains(&scheduler.nice) {
            return Err(SchedulerError::Nice(scheduler.nice));
        }
        let priority = u32::try_from(scheduler.priority)
            .map_err(|_| SchedulerError::NegativePriority(scheduler.priority))?;
        if priority != 0 && !matches!(name, "SCHED_FIFO" | "SCHED_RR") {
            return Err(SchedulerError::UnwantedPriority);
        }
        let has_deadline = (scheduler.runtime, scheduler.deadline, scheduler.period) != (0, 0, 0);
        if has_deadline && name != "SCHED_DEADLINE" {
            return Err(SchedulerError::UnwantedDeadline);
        }
        Ok(Self(SchedulingAttributes {
            size: size_of::<SchedulingAttributes>() as u32,
            policy,
            flags: parse_flags(&scheduler.flags)?,
            nice: scheduler.nice,
            priority,
            runtime: scheduler.runtime,
            deadline: scheduler.deadline,
            period: scheduler.period,
            utilisation_min: 0,
            utilisation_max: 0,
        }))
    }

    /// Applies it to the calling thread.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_NICE, or for SCHED_DEADLINE inside a cpuset; EINVAL for
    /// parameters that contradict each other.
    pub(crate) fn apply(&self) -> Result<(), Errno> {
        scheduling::set_attributes(&self.0)
    }
}

fn parse_flags(names: &[String]) -> Result<u64, SchedulerError> {
    let mut flags = 0;
    for name in names {
        let Some((_, bit)) = FLAGS.iter().find(|(known, _)| known == name) else {
            return Err(SchedulerError::Flag(name.clone()));
        };
        flags |= bit;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(policy: &str) -> spec::process::Scheduler {
        spec::process::Scheduler { policy: policy.to_owned(), ..spec::process::Scheduler::default() }
    }

    #[test]
    fn policy_and_flags_become_the_kernels_numbers() {
        let asked = spec::process::Scheduler {
            priority: 5,
            flags: vec!["SCHED_FLAG_RESET_ON_FORK".to_owned()],
            ..scheduler("SCHED_RR")
        };
        let Scheduler(attributes) = Scheduler::parse(&asked).unwrap();
        assert_eq!(
            (attributes.size, attributes.policy, attributes.flags, attributes.priority),
            (56, 2, 1, 5)
        );
    }

    #[test]
    fn nice_is_bounded_where_it_counts() {
        let nice = |policy, nice| Scheduler::parse(&spec::process::Scheduler { nice, ..scheduler(policy) });
        assert!(nice("SCHED_OTHER", 19).is_ok());
        assert_eq!(nice("SCHED_OTHER", 20), Err(SchedulerError::Nice(20)));
        assert_eq!(nice("SCHED_BATCH", -21), Err(SchedulerError::Nice(-21)));
    }

    #[test]
    fn parameters_of_another_policy_are_refused() {
        let priority = spec::process::Scheduler { priority: 1, ..scheduler("SCHED_OTHER") };
        assert_eq!(Scheduler::parse(&priority), Err(SchedulerError::UnwantedPriority));
        let runtime = spec::process::Scheduler { runtime: 1, ..scheduler("SCHED_FIFO") };
        assert_eq!(Scheduler::parse(&runtime), Err(SchedulerError::UnwantedDeadline));
        let negative = spec::process::Scheduler { priority: -1, ..scheduler("SCHED_RR") };
        assert_eq!(Scheduler::parse(&negative), Err(SchedulerError::NegativePriority(-1)));
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(Scheduler::parse(&scheduler("")), Err(SchedulerError::NoPolicy));
        assert_eq!(Scheduler::parse(&scheduler("FIFO")), Err(SchedulerError::Policy("FIFO".to_owned())));
        let flag = spec::process::Scheduler { flags: vec!["X".to_owned()], ..scheduler("SCHED_RR") };
        assert_eq!(Scheduler::parse(&flag), Err(SchedulerError::Flag("X".to_owned())));
    }
}
