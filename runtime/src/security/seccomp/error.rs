//! What can be wrong with a profile.

/// Why a profile cannot be compiled. Every value is named by its JSON path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SeccompError {
    /// An action that the specification does not have.
    #[error("linux.seccomp.{at}: string {name} is not a valid action for seccomp")]
    Action {
        /// Path below `linux.seccomp`.
        at: String,
        /// What was given.
        name: String,
    },
    /// An errno for an action that returns none (the specification: the runtime must fail).
    #[error("linux.seccomp.{at}: {action} takes no errno, remove errnoRet")]
    UnwantedErrno {
        /// Path of the action.
        at: String,
        /// The action.
        action: String,
    },
    /// More than the kernel's 16 bits.
    #[error("linux.seccomp.{at}: errno {errno} is larger than 65535")]
    Errno {
        /// Path of the action.
        at: String,
        /// What was given.
        errno: u32,
    },
    /// An architecture that the specification does not have.
    #[error("linux.seccomp.architectures[{index}]: string {name} is not a valid arch for seccomp")]
    Architecture {
        /// Place in the list.
        index: usize,
        /// What was given.
        name: String,
    },
    /// A flag that we do not know.
    #[error("linux.seccomp.flags[{index}]: seccomp flag {name} is not known")]
    Flag {
        /// Place in the list.
        index: usize,
        /// What was given.
        name: String,
    },
    /// An operator that the specification does not have.
    #[error(
        "linux.seccomp.syscalls[{rule}].args[{at}].op: string {name} is not a valid operator for seccomp"
    )]
    Operator {
        /// Place of the rule.
        rule: usize,
        /// Place of the check.
        at: usize,
        /// What was given.
        name: String,
    },
    /// System calls have six arguments.
    #[error("linux.seccomp.syscalls[{rule}].args[{at}].index: {index} is not within 0 to 5")]
    ArgumentIndex {
        /// Place of the rule.
        rule: usize,
        /// Place of the check.
        at: usize,
        /// What was given.
        index: u32,
    },
    /// A rule for nothing, or for the empty name.
    #[error(
        "linux.seccomp.syscalls[{at}].names: empty string is not a valid syscall, and at least one is required"
    )]
    NoName {
        /// Place of the rule.
        at: usize,
    },
    /// Our own calls would wait for an agent that has not been told yet.
    #[error("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action")]
    NotifyByDefault,
    /// `write` tells the parent the descriptor's number, before the agent can answer for it.
    #[error("linux.seccomp.syscalls[{at}]: SCMP_ACT_NOTIFY cannot be used for the write syscall")]
    NotifyOnWrite {
        /// Place of the rule.
        at: usize,
    },
    /// Calls would wait for ever.
    #[error("linux.seccomp.listenerPath is required by SCMP_ACT_NOTIFY")]
    NoListener,
    /// The kernel's bound (BPF_MAXINSNS).
    #[error("linux.seccomp needs more than {max} BPF instructions, the kernel's limit; name fewer arguments")]
    TooLarge {
        /// The bound.
        max: usize,
    },
}
