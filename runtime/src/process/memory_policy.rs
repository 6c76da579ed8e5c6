//! `linux.memoryPolicy`: which NUMA nodes the first process allocates from (runtime-spec 1.3, "Memory policy").

use rustix::io::Errno;

use super::number_list::NumberListError;
use crate::process::number_list;
use crate::spec;
use crate::sys::memory_policy;

const MODES: [(&str, libc::c_int, Nodes); 7] = [
    ("MPOL_DEFAULT", 0, Nodes::None),
    ("MPOL_PREFERRED", 1, Nodes::Optional),
    ("MPOL_BIND", 2, Nodes::Some),
    ("MPOL_INTERLEAVE", 3, Nodes::Some),
    ("MPOL_LOCAL", 4, Nodes::None),
    ("MPOL_PREFERRED_MANY", 5, Nodes::Some),
    ("MPOL_WEIGHTED_INTERLEAVE", 6, Nodes::Some),
];

const FLAGS: [(&str, libc::c_int); 3] = [
    ("MPOL_F_STATIC_NODES", 1 << 15),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
];

/// The modes that can be asked for, for `features`.
pub(crate) fn modes() -> impl Iterator<Item = &'static str> {
    MODES.iter().map(|(name, ..)| *name)
}

/// The flags that can be asked for, for `features`.
pub(crate) fn flags() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().map(|(name, _)| *name)
}

/// How many nodes a mode wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nodes {
    None,
    Optional,
    Some,
}

/// Why a memory policy cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MemoryPolicyError {
    /// Not one of the kernel's modes.
    #[error("invalid memory policy mode {0:?} (linux.memoryPolicy.mode)")]
    Mode(String),
    /// Not one of the kernel's flags.
    #[error("invalid memory policy flag {0:?} (linux.memoryPolicy.flags)")]
    Flag(String),
    /// The list of nodes cannot be read.
    #[error("invalid memory policy node list (linux.memoryPolicy.nodes)")]
    NodeList {
        /// What the parser said.
        source: NumberListError,
    },
    /// A mode without nodes was given some.
    #[error("invalid memory policy: {mode} mode requires 0 nodes but got {count} (linux.memoryPolicy.nodes)")]
    UnwantedNodes {
        /// The mode.
        mode: String,
        /// How many nodes were given.
        count: u32,
    },
    /// A mode that chooses among nodes was given none.
    #[error("invalid memory policy: {0} mode requires at least 1 node but got 0 (linux.memoryPolicy.nodes)")]
    MissingNodes(String),
}

/// A policy in the kernel's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryPolicy {
    mode: libc::c_int,
    nodes: Vec<libc::c_ulong>,
}

impl MemoryPolicy {
    /// Reads mode, flags and nodes.
    ///
    /// # Errors
    /// [`MemoryPolicyError`].
    pub(crate) fn parse(policy: &spec::linux::MemoryPolicy) -> Result<Self, MemoryPolicyError> {
        let Some(&(name, mut mode, wants)) = MODES.iter().find(|(name, ..)| *name == policy.mode) else {
            return Err(MemoryPolicyError::Mode(policy.mode.clone()));
        };
        for flag in &policy.flags {
            let Some((_, bit)) = FLAGS.iter().find(|(name, _)| name == flag) else {
                return Err(MemoryPolicyError::Flag(flag.clone()));
            };
            mode |= bit;
        }
        let nodes =
            number_list::parse(&policy.nodes).map_err(|source| MemoryPolicyError::NodeList { source })?;
        match (wants, nodes.is_empty()) {
            (Nodes::None, false) => {
                let count = nodes.iter().map(|word| word.count_ones()).sum();
                Err(MemoryPolicyError::UnwantedNodes { mode: name.to_owned(), count })
            }
            (Nodes::Some, true) => Err(MemoryPolicyError::MissingNodes(name.to_owned())),
            (Nodes::None | Nodes::Optional, true) | (Nodes::Some | Nodes::Optional, false) => {
                Ok(Self { mode, nodes })
            }
        }
    }

    /// Applies it to the calling thread, which exec keeps.
    ///
    /// # Errors
    /// EINVAL for nodes that the machine or the cpuset does not have, ENOSYS without NUMA.
    pub(crate) fn apply(&self) -> Result<(), Errno> {
        memory_policy::set(self.mode, &self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(mode: &str, nodes: &str, flags: &[&str]) -> Result<MemoryPolicy, MemoryPolicyError> {
        MemoryPolicy::parse(&spec::linux::MemoryPolicy {
            mode: mode.to_owned(),
            nodes: nodes.to_owned(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        })
    }

    #[test]
    fn mode_flags_and_nodes_are_combined() {
        let policy = parse("MPOL_BIND", "0-1", &["MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"]);
        assert_eq!(policy, Ok(MemoryPolicy { mode: 0xa002, nodes: vec![0b11] }));
    }

    #[test]
    fn nodes_must_be_there_for_modes_that_choose_and_absent_for_others() {
        assert_eq!(parse("MPOL_BIND", "", &[]), Err(MemoryPolicyError::MissingNodes("MPOL_BIND".to_owned())));
        assert_eq!(
            parse("MPOL_LOCAL", "0", &[]),
            Err(MemoryPolicyError::UnwantedNodes { mode: "MPOL_LOCAL".to_owned(), count: 1 })
        );
        assert!(parse("MPOL_PREFERRED", "", &[]).is_ok());
        assert!(parse("MPOL_PREFERRED", "0", &[]).is_ok());
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(parse("BIND", "0", &[]), Err(MemoryPolicyError::Mode("BIND".to_owned())));
        assert_eq!(parse("MPOL_BIND", "0", &["F"]), Err(MemoryPolicyError::Flag("F".to_owned())));
    }
}
