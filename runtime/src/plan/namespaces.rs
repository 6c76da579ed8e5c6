//! Which namespaces are made and which are joined.

use std::path::{Path, PathBuf};

use super::error::PlanError;
use crate::spec::linux::{Linux, NamespaceKind};

/// The namespaces of the container; what is in neither list is shared with the caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces {
    /// To make.
    new: Vec<NamespaceKind>,
    /// To join, the user namespace first: it gives the rights over the others.
    pub(crate) join: Vec<(NamespaceKind, PathBuf)>,
}

impl Namespaces {
    pub(super) fn plan(linux: &Linux) -> Result<Self, PlanError> {
        let mut namespaces = Self::default();
        for (index, namespace) in linux.namespaces.iter().enumerate() {
            let kind = namespace.kind;
            if namespaces.has(kind) {
                return Err(PlanError::NamespaceTwice { index, kind });
            }
            if namespace.path.is_empty() {
                namespaces.new.push(kind);
            } else {
                namespaces.join.push((kind, PathBuf::from(&namespace.path)));
            }
        }
        namespaces.join.sort_by_key(|(kind, _)| *kind != NamespaceKind::User);
        // Without one it is taken back into the host's, which a user namespace has no right to.
        if namespaces.has(NamespaceKind::User) && !namespaces.has(NamespaceKind::Mount) {
            return Err(PlanError::NoMountNamespace);
        }
        Ok(namespaces)
    }

    /// Whether the container has its own, made or joined.
    #[must_use]
    pub(crate) fn has(&self, kind: NamespaceKind) -> bool {
        self.makes(kind) || self.joins(kind)
    }

    /// Whether it is made.
    #[must_use]
    pub(crate) fn makes(&self, kind: NamespaceKind) -> bool {
        self.new.contains(&kind)
    }

    /// Whether it is joined.
    #[must_use]
    pub(crate) fn joins(&self, kind: NamespaceKind) -> bool {
        self.joined(kind).is_some()
    }

    /// The path of the one that is joined.
    #[must_use]
    pub(crate) fn joined(&self, kind: NamespaceKind) -> Option<&Path> {
        self.join.iter().find(|(joined, _)| *joined == kind).map(|(_, path)| path.as_path())
    }

    /// Those that clone3 makes: also a mount namespace for a container that is to have the host's, to build the root
    /// in. The cgroup namespace is not among them, because its root is where its maker is, so that the child makes it
    /// from inside its cgroup; nor the time namespace, whose offsets can be set only while it is empty.
    #[must_use]
    pub(crate) fn clone_flags(&self) -> u64 {
        let late = [NamespaceKind::Cgroup, NamespaceKind::Time];
        let builds = (!self.has(NamespaceKind::Mount)).then_some(NamespaceKind::Mount);
        self.new
            .iter()
            .chain(&builds)
            .filter(|kind| !late.contains(kind))
            .map(|kind| u64::from(flag(*kind).cast_unsigned()))
            .sum()
    }
}

/// The kernel's flag for a kind.
#[must_use]
pub(crate) fn flag(kind: NamespaceKind) -> i32 {
    match kind {
        NamespaceKind::Pid => libc::CLONE_NEWPID,
        NamespaceKind::Network => libc::CLONE_NEWNET,
        NamespaceKind::Mount => libc::CLONE_NEWNS,
        NamespaceKind::Ipc => libc::CLONE_NEWIPC,
        NamespaceKind::Uts => libc::CLONE_NEWUTS,
        NamespaceKind::User => libc::CLONE_NEWUSER,
        NamespaceKind::Cgroup => libc::CLONE_NEWCGROUP,
        NamespaceKind::Time => libc::CLONE_NEWTIME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::linux::Namespace;

    fn plan(kinds: &[(NamespaceKind, &str)]) -> Result<Namespaces, PlanError> {
        let namespaces = kinds.iter().map(|(kind, path)| Namespace { kind: *kind, path: (*path).to_owned() });
        Namespaces::plan(&Linux { namespaces: namespaces.collect(), ..Linux::default() })
    }

    #[test]
    fn a_namespace_named_twice_is_refused() {
        let twice = plan(&[(NamespaceKind::Mount, ""), (NamespaceKind::Mount, "/proc/1/ns/mnt")]);
        assert!(matches!(twice, Err(PlanError::NamespaceTwice { index: 1, kind: NamespaceKind::Mount })));
    }

    #[test]
    fn the_user_namespace_is_joined_first() {
        let namespaces =
            plan(&[(NamespaceKind::Network, "/n"), (NamespaceKind::User, "/u"), (NamespaceKind::Mount, "")])
                .expect("valid");
        assert_eq!(namespaces.join[0].0, NamespaceKind::User);
        assert_eq!(namespaces.clone_flags(), libc::CLONE_NEWNS as u64);
    }
}
