//! The pid namespace that children of ours are born in, and what they must not be born with there.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::DumpableBehavior;

use crate::sys::namespace;

/// The pid namespace that children of ours are born in by themselves, while they are born in another.
pub(crate) struct ChildPidNamespace(OwnedFd);

impl ChildPidNamespace {
    /// Has our children born in another pid namespace: `other` is a descriptor of it, or a pidfd of a process in it.
    /// EPERM, too, where we could not come back: in a user namespace to which our own pid namespace does not belong.
    pub(crate) fn set(other: impl AsFd) -> Result<Self, Errno> {
        let own = namespace::open(c"/proc/self/ns/pid")?;
        namespace::enter(&own, libc::CLONE_NEWPID)?;
        namespace::enter(other, libc::CLONE_NEWPID).map(|()| Self(own))
    }

    pub(crate) fn restore(self) -> Result<(), Errno> {
        namespace::enter(self.0, libc::CLONE_NEWPID)
    }
}

/// Before a child is born where a container's processes see it: they must not trace it or open what it holds (R03). It
/// is born with this, and exec takes it away.
pub(crate) fn make_undumpable() -> Result<(), Errno> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
