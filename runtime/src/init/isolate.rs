//! The first phase: into the cgroup, then into the namespaces that clone3 could not give: those to join, the cgroup
//! namespace, which is made from inside the cgroup, and the time namespace, whose clocks are set while it is empty.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Uid};

use super::error::InitError;
use crate::handshake::ChildEnd;
use crate::plan::Plan;
use crate::plan::namespaces::flag;
use crate::spec::linux::NamespaceKind;
use crate::sys::{errno_of, namespace};

/// A namespace that the container joins, opened by the creator.
#[derive(Debug)]
pub(crate) struct NamespaceToJoin {
    pub(crate) kind: NamespaceKind,
    pub(crate) opened: OwnedFd,
}

impl NamespaceToJoin {
    pub(crate) fn enter(&self) -> Result<(), Errno> {
        namespace::enter(&self.opened, flag(self.kind))
    }
}

pub(super) fn enter_namespaces(
    plan: &Plan,
    joined: &[NamespaceToJoin],
    channel: &ChildEnd,
) -> Result<(), InitError> {
    if plan.ids.is_some() {
        channel.wait_go()?;
        become_root().map_err(|source| InitError::BecomeRoot { source })?;
    }
    // The pid namespace is the creator's to join: it holds for children only. In a joined user namespace we were born.
    for one in joined.iter().filter(|one| one.kind != NamespaceKind::Pid) {
        one.enter().map_err(|source| InitError::Join { kind: one.kind, source })?;
    }
    if plan.namespaces.joins(NamespaceKind::Mount) {
        rustix::process::chdir(&plan.root.path)
            .map_err(|source| InitError::Directory(plan.root.path.clone(), source))?;
    }
    make_late(plan)
}

/// Takes the ids that give all rights in a user namespace.
pub(crate) fn become_root() -> Result<(), Errno> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
}

/// The root of a cgroup namespace is where its maker is, so it is made from inside.
fn make_late(plan: &Plan) -> Result<(), InitError> {
    let namespaces = &plan.namespaces;
    for kind in [NamespaceKind::Cgroup, NamespaceKind::Time] {
        if namespaces.makes(kind) {
            namespace::unshare(flag(kind)).map_err(|source| InitError::Make { kind, source })?;
        }
    }
    if !plan.time_offsets.is_empty() {
        set_clocks(&plan.time_offsets).map_err(|source| InitError::TimeOffsets { source })?;
    }
    if namespaces.makes(NamespaceKind::Time) {
        enter_time().map_err(|source| InitError::Join { kind: NamespaceKind::Time, source })?;
    }
    Ok(())
}

/// Gives the time namespace that was just made its offsets, which can be set only while it is empty.
fn set_clocks(offsets: &str) -> Result<(), Errno> {
    // Having become root of a user namespace, we own our own files in procfs only as long as we can be dumped.
    let dumpable = rustix::process::dumpable_behavior();
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    // The host's procfs: no file of the container is in sight yet.
    let written = std::fs::write("/proc/self/timens_offsets", offsets);
    rustix::process::set_dumpable_behavior(dumpable?)?;
    written.map_err(|error| errno_of(&error))
}

/// Making a time namespace is for children only. Before Linux 6.3 exec did not take us in either.
fn enter_time() -> Result<(), Errno> {
    namespace::enter(namespace::open(c"/proc/self/ns/time_for_children")?, libc::CLONE_NEWTIME)
}
