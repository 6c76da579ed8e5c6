//! The clone into a container and the child's way in.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use super::ExecError;
use crate::cgroup::{CgroupError, Entrance, refuge};
use crate::create::{Child, fork_between, hide, or_brought};
use crate::handshake::{ChildEnd, CreatorEnd, Failure, Phase};
use crate::init::{InitError, become_root, enter_cgroups};
use crate::plan::namespaces::flag;
use crate::process::console::Console;
use crate::process::cpu_affinity::{self, CpuAffinity};
use crate::process::launch::{Filtered, Launch};
use crate::rootfs::mounts::open_directory;
use crate::rootfs::{self, Tree};
use crate::spec::NamespaceKind;
use crate::sys::Errno;
use crate::sys::clone::{Forked, fork_into};

/// Where the child goes.
pub(super) struct Entering<'a> {
    pub(super) init: &'a OwnedFd,
    pub(super) kinds: &'a [NamespaceKind],
    pub(super) entrance: &'a Entrance,
    /// `--cgroup`: no other cgroup will do then.
    pub(super) sub_cgroups: &'a [String],
    pub(super) affinity: Option<&'a CpuAffinity>,
    /// The container's root, where it has no mount namespace to have it from.
    pub(super) root: Option<&'a OwnedFd>,
}

/// Clones a child that is born in the container's pid namespace. In the child this never returns.
pub(super) fn fork(
    entering: &Entering<'_>,
    launch: Launch<'_>,
    (channel, creator): (ChildEnd, &CreatorEnd),
) -> Result<Child, ExecError> {
    let failed = |source| ExecError::PidNamespace { source };
    hide().map_err(|source| ExecError::Hide { source })?;
    let user_and_pid = [NamespaceKind::User, NamespaceKind::Pid];
    // Who is not root has rights over the pid namespace only from inside the user namespace that it belongs to.
    let user_first = !rustix::process::geteuid().is_root()
        && user_and_pid.iter().all(|kind| entering.kinds.contains(kind));
    let own = match entering.kinds.contains(&NamespaceKind::Pid) && !user_first {
        false => None,
        true => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let own = rustix::fs::open(c"/proc/self/ns/pid", flags, Mode::empty()).map_err(failed)?;
            join(entering.init, &[NamespaceKind::Pid]).map_err(failed)?;
            Some(own)
        }
    };
    let inside = || {
        if user_first {
            join(entering.init, &user_and_pid)?;
        }
        fork_into(libc::CLONE_PARENT as u64, None)
    };
    let fork = |cgroup: Option<BorrowedFd<'_>>| match user_first {
        false => fork_into(0, cgroup),
        true => fork_between(cgroup, inside),
    };
    let forked = match fork(entering.entrance.v2.as_ref().map(AsFd::as_fd)) {
        Err(source @ (Errno::BUSY | Errno::OPNOTSUPP)) if !entering.sub_cgroups.is_empty() => {
            return Err(ExecError::Enter { source: CgroupError::Crowded { source } });
        }
        Err(Errno::BUSY | Errno::OPNOTSUPP) => fork(Some(refuge(entering.init.as_fd())?.as_fd())),
        forked => forked,
    };
    let child = match or_brought(forked, entering.entrance.usher.as_ref(), inside)? {
        Forked::Child => {
            creator.close_in_child();
            let joined: &[NamespaceKind] = if user_first { &user_and_pid } else { &[NamespaceKind::Pid] };
            run(entering, joined, launch, &channel);
            crate::sys::exec::leave(1);
        }
        Forked::Parent { pid, pidfd } => Child { pid, pidfd },
    };
    if let Some(own) = own {
        rustix::thread::move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::ProcessID))
            .map_err(failed)?;
    }
    Ok(child)
}

fn join(init: &OwnedFd, kinds: &[NamespaceKind]) -> Result<(), Errno> {
    let flags = kinds.iter().fold(0, |flags, kind| flags | flag(*kind).cast_unsigned());
    rustix::thread::move_into_thread_name_spaces(init.as_fd(), ThreadNameSpaceType::from_bits_retain(flags))
}

fn run(entering: &Entering<'_>, joined: &[NamespaceKind], launch: Launch<'_>, channel: &ChildEnd) {
    let Err((phase, error)) = phases(entering, joined, launch, channel);
    let failure = Failure::new(phase, &error, error.path());
    if !channel.fail(&failure) {
        eprintln!("{failure}");
    }
}

fn phases(
    entering: &Entering<'_>,
    joined: &[NamespaceKind],
    launch: Launch<'_>,
    channel: &ChildEnd,
) -> Result<Infallible, (Phase, InitError)> {
    let at = |phase| move |error: InitError| (phase, error);
    enter(entering, joined).map_err(at(Phase::Isolate))?;
    let console = console(&launch, channel).map_err(at(Phase::Root))?;
    let settled = launch.settle(console).map_err(|error| (Phase::Settle, error.into()))?;
    let confined = settled.confine(channel).map_err(|error| (Phase::Confine, error.into()))?;
    channel.ready().map_err(|error| (Phase::Wait, error.into()))?;
    confined.filter().and_then(Filtered::execute).map_err(|error| (Phase::Exec, error.into()))
}

fn enter(entering: &Entering<'_>, joined: &[NamespaceKind]) -> Result<(), InitError> {
    enter_cgroups(entering.entrance)?;
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
    match entering.root {
        Some(root) => rootfs::become_root(root.as_fd()),
        None => Ok(()),
    }
    .map_err(|source| InitError::JoinContainer { source })
}

/// A terminal of the container's, where one is asked for.
fn console(launch: &Launch<'_>, channel: &ChildEnd) -> Result<Option<Console>, InitError> {
    let Some(terminal) = launch.plan.terminal else { return Ok(None) };
    let root = open_directory("/".as_ref()).map_err(|source| InitError::Directory("/".into(), source))?;
    let console = Console::open(&Tree::new(root), None, terminal)?;
    channel.console(console.master.as_fd())?;
    Ok(Some(console))
}
