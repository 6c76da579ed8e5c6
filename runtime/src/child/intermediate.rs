//! Cloning a container's first process where a user namespace and joined namespaces meet. What belongs to the host can
//! be joined only with the host's rights, before the user namespace is entered; and a new namespace belongs to the user
//! namespace of its maker, so its maker must be inside. A process in between does that: it has the container's process
//! be our child (CLONE_PARENT), tells us which one it is, and ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{WaitId, WaitIdOptions};

use super::error::CreateError;
use crate::cgroup::fence::SystemdMover;
use crate::init::isolate::{NamespaceToJoin, become_root};
use crate::spec::linux::NamespaceKind;
use crate::sys::clone::{Forked, fork_into};
use crate::sys::{exec, message, pidfd};

/// What the process in between waits for.
pub(crate) const ADMITTED: &[u8] = b"+";

/// As [`fork_into`], for a process in between: in the namespaces of `joined` that can be joined from outside, which are
/// taken off the list; then in its user namespace, if it has one, as root. The mount namespace is left to others, and
/// so is the pid namespace unless `needs_pid`. Further namespaces are made as `flags` say.
pub(crate) fn fork_inside(
    joined: &mut Vec<NamespaceToJoin>,
    needs_pid: bool,
    flags: u64,
) -> Result<Forked, Errno> {
    enter(joined)?;
    if let Some(pids) = joined.iter().find(|one| needs_pid && one.kind == NamespaceKind::Pid) {
        pids.enter()?;
    }
    fork_into(flags | libc::CLONE_PARENT as u64, None)
}

/// Has `enter_and_fork` called by a process in between, and the child that it makes with CLONE_PARENT be ours.
pub(crate) fn fork_through_intermediate(
    cgroup: Option<BorrowedFd<'_>>,
    enter_and_fork: impl FnOnce() -> Result<Forked, Errno>,
) -> Result<Forked, CreateError> {
    // Into the cgroup already here, which root of a user namespace may not enter; the child is born in it.
    fork_admitted(cgroup, |_| Ok(()), enter_and_fork)
}

/// What was forked. Where the cgroup refused us and we have a mover, it is tried again as by
/// [`fork_through_intermediate`], but the process in between is brought to the cgroup before it goes on.
pub(crate) fn retry_moved_by_systemd(
    forked: Result<Forked, CreateError>,
    mover: Option<&SystemdMover>,
    enter_and_fork: impl FnOnce() -> Result<Forked, Errno>,
) -> Result<Forked, CreateError> {
    match (forked, mover) {
        (Err(CreateError::Clone { source: Errno::ACCESS }), Some(mover)) => {
            fork_admitted(None, |pid| Ok(mover.move_process(pid)?), enter_and_fork)
        }
        (forked, _) => forked,
    }
}

/// The process in between goes on when `admit` has returned for it.
pub(crate) fn fork_admitted(
    cgroup: Option<BorrowedFd<'_>>,
    admit: impl FnOnce(u32) -> Result<(), CreateError>,
    enter_and_fork: impl FnOnce() -> Result<Forked, Errno>,
) -> Result<Forked, CreateError> {
    let failed = |source| CreateError::Clone { source };
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(failed)?;
    let (pid, between) = match fork_into(0, cgroup).map_err(failed)? {
        Forked::Parent { pid, pidfd } => (pid, pidfd),
        Forked::Child => {
            drop(ours);
            match wait_admission(&theirs).and_then(|()| enter_and_fork()) {
                Ok(Forked::Child) => return Ok(Forked::Child),
                Ok(Forked::Parent { pidfd, .. }) => leave(&theirs, &Ok(pidfd)),
                Err(errno) => leave(&theirs, &Err(errno)),
            }
        }
    };
    drop(theirs);
    let tell = |()| rustix::net::send(&ours, ADMITTED, SendFlags::NOSIGNAL).map_err(failed);
    let answer = match admit(pid).and_then(tell) {
        Ok(_) => receive(&ours).map_err(failed),
        Err(error) => {
            // It ends when our end is closed.
            drop(ours);
            Err(error)
        }
    };
    rustix::process::waitid(WaitId::PidFd(between.as_fd()), WaitIdOptions::EXITED).map_err(failed)?;
    let child = answer?;
    Ok(Forked::Parent { pid: pidfd::pid_of(child.as_fd()).map_err(failed)?, pidfd: child })
}

pub(crate) fn wait_admission(from: &OwnedFd) -> Result<(), Errno> {
    let mut byte = [0; ADMITTED.len()];
    match rustix::net::recv(from, &mut byte, RecvFlags::empty())? {
        (1, _) => Ok(()),
        _ => Err(Errno::PIPE),
    }
}

pub(crate) fn enter(joined: &mut Vec<NamespaceToJoin>) -> Result<(), Errno> {
    let is_others = |kind| matches!(kind, NamespaceKind::User | NamespaceKind::Pid | NamespaceKind::Mount);
    // What is refused here belongs to the user namespace, and is tried again inside.
    joined.retain(|one| is_others(one.kind) || one.enter().is_err());
    if let Some(at) = joined.iter().position(|one| one.kind == NamespaceKind::User) {
        joined.remove(at).enter()?;
        become_root()?;
    }
    Ok(())
}

/// Tells the creator and ends. If the send fails, the creator has died; the child detects that too.
pub(crate) fn leave(to: &OwnedFd, result: &Result<OwnedFd, Errno>) -> ! {
    let errno = result.as_ref().err().map_or(0, |errno| errno.raw_os_error()).to_ne_bytes();
    let sent = message::send(to, &errno, result.as_ref().ok().map(AsFd::as_fd));
    exec::leave(i32::from(sent.is_err()));
}

pub(crate) fn receive(from: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut errno = [0; 4];
    let (length, descriptor) = message::receive(from, &mut errno)?;
    match (length, i32::from_ne_bytes(errno), descriptor) {
        (4, 0, Some(descriptor)) => Ok(descriptor),
        (4, errno @ 1.., None) => Err(Errno::from_raw_os_error(errno)),
        _ => Err(Errno::CHILD),
    }
}
