//! Sources of bind mounts that the creator opens, because the child, in a user namespace, may not reach them or may not
//! map their ids. A source that earlier mounts make, or whose whole tree gets flags in a user namespace, is asked for
//! over the channel and opened in the child's mount namespace, where the kernel has locked the flags.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use super::error::CreateError;
use crate::mount_view::View;
use crate::plan::mounts::{IdMap, IdSource, Mount, MountKind};
use crate::plan::{Plan, mappings};
use crate::rootfs::error::MountError;
use crate::rootfs::mounts::open_source;
use crate::rootfs::surroundings::Source;
use crate::spec::linux::{IdMapping, NamespaceKind};
use crate::sys::clone::{Forked, fork_into};
use crate::sys::mount::{Change, change};
use crate::sys::{exec, file, namespace};

/// One entry for each mount of the plan.
pub(crate) fn open(plan: &Plan) -> Result<Vec<Source>, CreateError> {
    let in_user_namespace = plan.namespaces.has(NamespaceKind::User);
    let maps_ids = plan.root.mounts.iter().any(|mount| mount.id_map.is_some());
    if !in_user_namespace && !maps_ids {
        return Ok(Vec::new());
    }
    let open = |mount: &Mount| match &mount.kind {
        MountKind::Bind { .. } if !in_user_namespace && mount.id_map.is_none() => Ok(Source::ByChild),
        // It may be made of mounts that come before it. A creator that is not root cannot look at those of the child,
        // but has no rights that the child has not.
        MountKind::Bind { source, .. } if source.starts_with(&plan.root.path) => {
            Ok(if rustix::process::geteuid().is_root() { Source::OnRequest } else { Source::ByChild })
        }
        // From the child's mount namespace, where the kernel has locked the flags of every mount of the tree.
        MountKind::Bind { .. } if in_user_namespace && !mount.recursive.is_empty() => Ok(Source::OnRequest),
        MountKind::Bind { .. } => open_one(plan, mount),
        _ => Ok(Source::ByChild),
    };
    plan.root.mounts.iter().map(open).collect()
}

/// Opens a source where the child sees it, in its mount namespace, with our rights.
pub(crate) fn open_for(plan: &Plan, index: usize, child: BorrowedFd<'_>) -> Result<OwnedFd, CreateError> {
    let mount = plan.root.mounts.get(index).ok_or(CreateError::Order)?;
    let view = View::enter(child).map_err(|source| CreateError::View { source })?;
    let opened = open_one(plan, mount);
    view.leave().map_err(|source| CreateError::View { source })?;
    match opened? {
        Source::Given(tree) => Ok(tree),
        Source::ByChild | Source::OnRequest => Err(CreateError::Order),
    }
}

pub(crate) fn open_one(plan: &Plan, mount: &Mount) -> Result<Source, CreateError> {
    match &mount.id_map {
        Some(map) => mapped(plan, mount, map).map(Source::Given),
        None => unmapped(mount),
    }
}

pub(crate) fn unmapped(mount: &Mount) -> Result<Source, CreateError> {
    let MountKind::Bind { source, reach } = &mount.kind else { return Ok(Source::ByChild) };
    match open_source(source, *reach) {
        Ok(tree) => Ok(Source::Given(tree)),
        // Without rights over our own mount namespace the child, which has one, opens it as the same user.
        Err(MountError::Source { source: Errno::PERM, .. }) => Ok(Source::ByChild),
        Err(source) => Err(CreateError::Source { destination: mount.destination.clone(), source }),
    }
}

pub(crate) fn mapped(plan: &Plan, mount: &Mount, map: &IdMap) -> Result<OwnedFd, CreateError> {
    let failed = |source| CreateError::IdMap { destination: format!("/{}", mount.destination), source };
    let MountKind::Bind { source, reach } = &mount.kind else { return Err(failed(Errno::INVAL)) };
    let tree = open_source(source, *reach)
        .map_err(|source| CreateError::Source { destination: mount.destination.clone(), source })?;
    let namespace = namespace_of(plan, &map.source).map_err(failed)?;
    let wanted = Change { id_map: Some(namespace.as_fd()), ..Change::default() };
    change(tree.as_fd(), wanted, map.reach).map_err(failed)?;
    Ok(tree)
}

/// The user namespace that says which ids are mapped.
pub(crate) fn namespace_of(plan: &Plan, source: &IdSource) -> Result<OwnedFd, Errno> {
    match (source, &plan.ids, plan.namespaces.joined(NamespaceKind::User)) {
        (IdSource::Own { users, groups }, _, _) => make(users, groups),
        (IdSource::Container, Some(ids), _) => make(&ids.users, &ids.groups),
        (IdSource::Container, None, Some(path)) => namespace::open(path),
        (IdSource::Container, None, None) => Err(Errno::INVAL),
    }
}

/// A user namespace with these maps, kept alive by its descriptor alone.
pub(crate) fn make(users: &[IdMapping], groups: &[IdMapping]) -> Result<OwnedFd, Errno> {
    let creator = rustix::process::getpid();
    let (pid, pidfd) = match fork_into(libc::CLONE_NEWUSER as u64, None)? {
        // Until it is killed: its creator, or the end of its creator, sees to that.
        Forked::Child => loop {
            let dies_with_us = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            if dies_with_us.is_err() || rustix::process::getppid() != Some(creator) {
                exec::leave(1);
            }
            rustix::event::pause();
        },
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    let write = |file: &str, map: &[IdMapping]| {
        let path = PathBuf::from(format!("/proc/{pid}/{file}"));
        file::write_at(CWD, &path, mappings::text(map).as_bytes())
    };
    let opened = write("uid_map", users)
        .and_then(|()| write("gid_map", groups))
        .and_then(|()| namespace::open(format!("/proc/{pid}/ns/user")));
    rustix::process::pidfd_send_signal(&pidfd, Signal::KILL)?;
    rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    opened
}
