//! The clone into a container and the child's way in.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::error::ExecError;
use crate::cgroup::error::CgroupError;
use crate::cgroup::fallback::current_v2_cgroup;
use crate::cgroup::fence::Entrance;
use crate::child::error::CreateError;
use crate::child::intermediate::{fork_through_intermediate, retry_moved_by_systemd};
use crate::child::pid_namespace::{ChildPidNamespace, make_undumpable};
use crate::child::process::Child;
use crate::handshake::failure::{Failure, Phase};
use crate::handshake::{ChildEnd, CreatorEnd, channel};
use crate::init::at;
use crate::init::error::InitError;
use crate::init::isolate::become_root;
use crate::plan::namespaces::flag;
use crate::process::console::Console;
use crate::process::cpu_affinity::{self, CpuAffinity};
use crate::process::launch::{Filtered, Launch};
use crate::rootfs;
use crate::rootfs::tree::Tree;
use crate::spec::linux::NamespaceKind;
use crate::sys::clone::{Forked, fork_into};
use crate::sys::file::open_directory;
use crate::sys::{exec, namespace};

/// Where the child goes.
pub(super) struct ExecTarget<'a> {
    pub(super) init: &'a OwnedFd,
    pub(super) kinds: &'a [NamespaceKind],
    pub(super) entrance: &'a Entrance,
    /// `--cgroup`: no other cgroup will do then.
    pub(super) sub_cgroups: &'a [String],
    pub(super) affinity: Option<&'a CpuAffinity>,
    /// The container's root, where its mount namespace may have another.
    pub(super) root: Option<&'a OwnedFd>,
}

/// Clones a child that is born in the container's pid namespace. In the child this never returns.
pub(super) fn fork(entering: &ExecTarget<'_>, launch: Launch<'_>) -> Result<(Child, CreatorEnd), ExecError> {
    let (ours, childs) = channel().map_err(CreateError::from)?;
    let failed = |source| ExecError::PidNamespace { source };
    make_undumpable().map_err(|source| ExecError::Hide { source })?;
    let has = |kind| entering.kinds.contains(&kind);
    // A caller other than root can join the pid namespace only after joining the user namespace that owns it.
    let user_first =
        !rustix::process::geteuid().is_root() && has(NamespaceKind::User) && has(NamespaceKind::Pid);
    let first: &[NamespaceKind] =
        if user_first { &[NamespaceKind::User, NamespaceKind::Pid] } else { &[NamespaceKind::Pid] };
    let pid_namespace = match has(NamespaceKind::Pid) && !user_first {
        true => match ChildPidNamespace::set(entering.init) {
            // A process in between, which has no need to come back, goes instead.
            Err(Errno::PERM) => None,
            left => Some(left.map_err(failed)?),
        },
        false => None,
    };
    let needs_between = has(NamespaceKind::Pid) && pid_namespace.is_none();
    let inside = || {
        if needs_between {
            join(entering.init, first)?;
        }
        fork_into(libc::CLONE_PARENT as u64, None)
    };
    let fork = |cgroup: Option<BorrowedFd<'_>>| match needs_between {
        false => fork_into(0, cgroup).map_err(|source| CreateError::Clone { source }),
        true => fork_through_intermediate(cgroup, inside),
    };
    let forked = match fork(entering.entrance.v2.as_ref().map(AsFd::as_fd)) {
        Err(CreateError::Clone { source: source @ (Errno::BUSY | Errno::OPNOTSUPP) }) => {
            if !entering.sub_cgroups.is_empty() {
                return Err(ExecError::Enter { source: CgroupError::Crowded { source } });
            }
            fork(Some(current_v2_cgroup(entering.init.as_fd())?.as_fd()))
        }
        forked => forked,
    };
    let child = match retry_moved_by_systemd(forked, entering.entrance.mover.as_ref(), inside)? {
        Forked::Child => {
            drop(ours);
            run(entering, first, launch, &childs);
        }
        Forked::Parent { pid, pidfd } => Child { pid, pidfd },
    };
    pid_namespace.map_or(Ok(()), ChildPidNamespace::restore).map_err(failed)?;
    Ok((child, ours))
}

fn join(init: &OwnedFd, kinds: &[NamespaceKind]) -> Result<(), Errno> {
    namespace::enter(init, kinds.iter().fold(0, |flags, kind| flags | flag(*kind)))
}

fn run(entering: &ExecTarget<'_>, joined: &[NamespaceKind], launch: Launch<'_>, channel: &ChildEnd) -> ! {
    let Err((phase, error)) = phases(entering, joined, launch, channel);
    let failure = Failure { reason: error.reason(), ..Failure::new(phase, &error, error.path()) };
    if !channel.fail(&failure) {
        eprintln!("{failure}");
    }
    exec::leave(1)
}

fn phases(
    entering: &ExecTarget<'_>,
    joined: &[NamespaceKind],
    launch: Launch<'_>,
    channel: &ChildEnd,
) -> Result<Infallible, (Phase, InitError)> {
    enter(entering, joined).map_err(at(Phase::Isolate))?;
    let console = console(&launch, channel).map_err(at(Phase::Root))?;
    let settled = launch.settle(console).map_err(at(Phase::Settle))?;
    let confined = settled.confine(channel).map_err(at(Phase::Confine))?;
    channel.ready().map_err(at(Phase::Wait))?;
    confined.filter().and_then(Filtered::execute).map_err(at(Phase::Exec))
}

fn enter(entering: &ExecTarget<'_>, joined: &[NamespaceKind]) -> Result<(), InitError> {
    entering.entrance.enter_v1().map_err(|source| InitError::Cgroup { source })?;
    match entering.affinity.filter(|affinity| !affinity.is_empty()) {
        Some(affinity) => affinity.apply_final().map_err(|source| InitError::Affinity { source })?,
        None => cpu_affinity::reset(),
    }
    let others: Vec<NamespaceKind> =
        entering.kinds.iter().copied().filter(|kind| !joined.contains(kind)).collect();
    join(entering.init, &others).map_err(|source| InitError::JoinContainer { source })?;
    if entering.kinds.contains(&NamespaceKind::User) {
        become_root().map_err(|source| InitError::BecomeRoot { source })?;
    }
    if let Some(root) = entering.root {
        rootfs::enter::become_root(root.as_fd()).map_err(|source| InitError::JoinContainer { source })?;
    }
    Ok(())
}

/// A terminal of the container's, where one is asked for.
fn console(launch: &Launch<'_>, channel: &ChildEnd) -> Result<Option<Console>, InitError> {
    let Some(terminal) = launch.plan.terminal else { return Ok(None) };
    let root = open_directory(c"/").map_err(|source| InitError::Directory("/".into(), source))?;
    let console = Console::open(&Tree::new(root), None, terminal)?;
    channel.console(console.master.as_fd())?;
    Ok(Some(console))
}
