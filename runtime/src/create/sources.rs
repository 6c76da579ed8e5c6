//! Sources of bind mounts that the creator opens, because the child, in a user namespace, may not reach them or may not
//! map their ids.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use super::{CreateError, Decided};
use crate::plan::mappings;
use crate::plan::mounts::{IdMap, IdSource, Mount, MountKind};
use crate::rootfs::mounts::open_source;
use crate::rootfs::{MountError, Source};
use crate::spec::{IdMapping, NamespaceKind};
use crate::sys::clone::{Forked, fork_into};
use crate::sys::file::{self, open_directory};
use crate::sys::mount::{Change, change};
use crate::sys::{Errno, exec, namespace};

/// One entry for each mount of the plan.
pub(super) fn open(decided: &Decided) -> Result<Vec<Source>, CreateError> {
    let plan = &decided.plan;
    let in_user_namespace = plan.namespaces.has(NamespaceKind::User);
    let maps_ids = plan.root.mounts.iter().any(|mount| mount.id_map.is_some());
    if !in_user_namespace && !maps_ids {
        return Ok(Vec::new());
    }
    let open = |mount: &Mount| match &mount.kind {
        MountKind::Bind { .. } if !in_user_namespace && mount.id_map.is_none() => Ok(Source::ByChild),
        // It may be made of mounts that come before it. Who is not root cannot look at those of the child, but has no
        // rights that the child has not.
        MountKind::Bind { source, .. } if source.starts_with(&plan.root.path) => {
            Ok(if rustix::process::geteuid().is_root() { Source::OnRequest } else { Source::ByChild })
        }
        // From the child's mount namespace, where the kernel has locked the flags of every mount of the tree.
        MountKind::Bind { .. } if in_user_namespace && !mount.recursive.is_empty() => Ok(Source::OnRequest),
        MountKind::Bind { .. } => open_one(decided, mount),
        _ => Ok(Source::ByChild),
    };
    plan.root.mounts.iter().map(open).collect()
}

/// Opens a source where the child sees it, in its mount namespace, with our rights.
pub(super) fn open_for(
    decided: &Decided,
    index: usize,
    child: BorrowedFd<'_>,
) -> Result<OwnedFd, CreateError> {
    let mount = decided.plan.root.mounts.get(index).ok_or(CreateError::Order)?;
    let view = View::enter(child).map_err(|source| CreateError::View { source })?;
    let opened = open_one(decided, mount);
    view.leave().map_err(|source| CreateError::View { source })?;
    match opened? {
        Source::Given(tree) => Ok(tree),
        Source::ByChild | Source::OnRequest => Err(CreateError::Order),
    }
}

/// What this process saw before it went to look at something else.
pub(crate) struct View {
    namespace: OwnedFd,
    root: OwnedFd,
    directory: OwnedFd,
}

impl View {
    /// Looks through the eyes of a child.
    fn enter(child: BorrowedFd<'_>) -> Result<Self, Errno> {
        let view = Self::of_now()?;
        namespace::enter(child, libc::CLONE_NEWNS)?;
        Ok(view)
    }

    /// Has mounts of its own from here on, to begin with the same.
    pub(crate) fn unshare() -> Result<Self, Errno> {
        let view = Self::of_now()?;
        namespace::unshare(libc::CLONE_NEWNS)?;
        Ok(view)
    }

    fn of_now() -> Result<Self, Errno> {
        let namespace = namespace::open(c"/proc/self/ns/mnt")?;
        Ok(Self { namespace, root: open_directory(c"/")?, directory: open_directory(c".")? })
    }

    pub(crate) fn leave(self) -> Result<(), Errno> {
        namespace::enter(self.namespace, libc::CLONE_NEWNS)?;
        rustix::process::fchdir(&self.root)?;
        rustix::process::chroot(c".")?;
        rustix::process::fchdir(&self.directory)
    }
}

fn open_one(decided: &Decided, mount: &Mount) -> Result<Source, CreateError> {
    match &mount.id_map {
        Some(map) => mapped(decided, mount, map).map(Source::Given),
        None => unmapped(mount),
    }
}

fn unmapped(mount: &Mount) -> Result<Source, CreateError> {
    let MountKind::Bind { source, reach } = &mount.kind else { return Ok(Source::ByChild) };
    match open_source(source, *reach) {
        Ok(tree) => Ok(Source::Given(tree)),
        // Without rights over our own mount namespace the child, who has one, opens it as the same user.
        Err(MountError::Source { source: Errno::PERM, .. }) => Ok(Source::ByChild),
        Err(source) => Err(CreateError::Source { destination: mount.destination.clone(), source }),
    }
}

fn mapped(decided: &Decided, mount: &Mount, map: &IdMap) -> Result<OwnedFd, CreateError> {
    let failed = |source| CreateError::IdMap { destination: format!("/{}", mount.destination), source };
    let MountKind::Bind { source, reach } = &mount.kind else { return Err(failed(Errno::INVAL)) };
    let tree = open_source(source, *reach)
        .map_err(|source| CreateError::Source { destination: mount.destination.clone(), source })?;
    let namespace = namespace_of(decided, &map.source).map_err(failed)?;
    let wanted = Change { id_map: Some(namespace.as_fd()), ..Change::default() };
    change(tree.as_fd(), wanted, map.reach).map_err(failed)?;
    Ok(tree)
}

/// The user namespace that says which ids are mapped.
fn namespace_of(decided: &Decided, source: &IdSource) -> Result<OwnedFd, Errno> {
    let plan = &decided.plan;
    match (source, &plan.ids, plan.namespaces.joined(NamespaceKind::User)) {
        (IdSource::Own { users, groups }, _, _) => make(users, groups),
        (IdSource::Container, Some(ids), _) => make(&ids.users, &ids.groups),
        (IdSource::Container, None, Some(path)) => namespace::open(path),
        (IdSource::Container, None, None) => Err(Errno::INVAL),
    }
}

/// A user namespace with these maps, kept alive by its descriptor alone.
fn make(users: &[IdMapping], groups: &[IdMapping]) -> Result<OwnedFd, Errno> {
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
