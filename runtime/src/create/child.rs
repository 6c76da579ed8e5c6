//! The one clone3, and what is opened for the child before it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::decision::CreateDecisions;
use crate::cgroup::fence::Fence;
use crate::child::error::CreateError;
use crate::child::inherited::inherited;
use crate::child::intermediate::{fork_inside, fork_through_intermediate, retry_moved_by_systemd};
use crate::child::pid_namespace::{ChildPidNamespace, make_undumpable};
use crate::child::process::Child;
use crate::child::sources;
use crate::create::CreateRequest;
use crate::handshake::{CreatorEnd, channel};
use crate::host::{NamespaceError, open_namespace};
use crate::init::isolate::NamespaceToJoin;
use crate::init::{self, Init};
use crate::process::launch::Launch;
use crate::rootfs::enter::Entry;
use crate::spec::linux::NamespaceKind;
use crate::state::record::State;
use crate::sys::clone::{Forked, fork_into};
use crate::sys::file::open_directory;
use crate::sys::namespace;

/// Clones the child. In the child this never returns.
pub(super) fn clone(
    request: &CreateRequest<'_>,
    decided: &CreateDecisions,
    fence: &Fence,
    gate: Option<OwnedFd>,
    state: &State,
) -> Result<(Child, CreatorEnd), CreateError> {
    let plan = &decided.plan;
    let inherited = inherited(request.options.preserve_fds)?;
    let entrance = fence.entrance()?;
    let joined = open_namespaces(decided)?;
    let sources = sources::open(&decided.plan)?;
    let cgroups = fence.actual_paths(&decided.cgroups);
    let hooks_state = |status: &'static str| state.oci(status, std::process::id());
    let launch = Launch {
        plan: &plan.process,
        container: request.id.as_str(),
        joins_keyring: !request.options.no_new_keyring,
        user_namespace: request.user_namespace(plan),
        seccomp: decided.seccomp.as_ref(),
        policies: &decided.policies,
        inherited,
    };
    let init = Init {
        plan,
        launch,
        hooks: &decided.spec.hooks,
        state: &hooks_state,
        cgroups: &cgroups,
        entrance,
        joined,
        sources,
        entry: entry(request, decided)?,
        mount_label: &decided.spec.linux.mount_label,
        gate,
    };
    fork(init, &plan.root.path)
}

fn fork(mut init: Init<'_>, root: &Path) -> Result<(Child, CreatorEnd), CreateError> {
    let (ours, childs) = channel()?;
    // The child's copy of the working directory is in its own mount namespace: the root needs no second look-up, in
    // which it could have been exchanged (R09).
    let before = open_directory(c".").map_err(|source| CreateError::Root { path: ".".into(), source })?;
    enter(root)?;
    let plan = init.plan;
    let joins_user = plan.namespaces.joins(NamespaceKind::User);
    let pid_namespace = set_pid_namespace(&init.joined)?;
    let cgroup = init.entrance.v2.as_ref().map(AsFd::as_fd);
    let namespaces = &plan.namespaces;
    let needs_between = joins_user
        || (namespaces.joins(NamespaceKind::Pid) && pid_namespace.is_none())
        || (namespaces.makes(NamespaceKind::User)
            && init.joined.iter().any(|one| one.kind != NamespaceKind::Pid));
    let flags = namespaces.clone_flags();
    let joined = &mut init.joined;
    let mut inside = || fork_inside(joined, pid_namespace.is_none(), flags);
    let forked = match needs_between {
        false => fork_into(flags, cgroup).map_err(|source| CreateError::Clone { source }),
        true => fork_through_intermediate(cgroup, &mut inside),
    };
    let (pid, pidfd) = match retry_moved_by_systemd(forked, init.entrance.mover.as_ref(), inside)? {
        Forked::Child => {
            drop(ours);
            // Nothing of the creator's, whose copy we are, may run after this: no destructor, no buffer.
            init::run(init, &childs)
        }
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    pid_namespace
        .map_or(Ok(()), ChildPidNamespace::restore)
        .map_err(|source| CreateError::Clone { source })?;
    rustix::process::fchdir(&before).map_err(|source| CreateError::Root { path: ".".into(), source })?;
    Ok((Child { pid, pidfd }, ours))
}

fn enter(root: &Path) -> Result<(), CreateError> {
    let failed = |source| CreateError::Root { path: root.to_owned(), source };
    let opened = open_directory(root).map_err(failed)?;
    rustix::process::fchdir(&opened).map_err(failed)
}

fn entry(request: &CreateRequest<'_>, decided: &CreateDecisions) -> Result<Entry, CreateError> {
    let kind = NamespaceKind::Mount;
    match (decided.plan.namespaces.has(kind), request.options.no_pivot) {
        (true, false) => Ok(Entry::Pivot),
        (true, true) => Ok(Entry::Move),
        (false, _) => {
            let path = Path::new("/proc/self/ns/mnt");
            namespace::open(path)
                .map(Entry::Leave)
                .map_err(|source| NamespaceError::Open { kind, path: path.to_owned(), source }.into())
        }
    }
}

/// Has our child born in the pid namespace to join. None when there is none to join, and when a process in between has
/// to join it, for want of rights that only the user namespace gives, or of a way back.
fn set_pid_namespace(joined: &[NamespaceToJoin]) -> Result<Option<ChildPidNamespace>, CreateError> {
    let Some(pids) = joined.iter().find(|one| one.kind == NamespaceKind::Pid) else { return Ok(None) };
    match make_undumpable().and_then(|()| ChildPidNamespace::set(&pids.opened)) {
        Err(Errno::PERM) => Ok(None),
        left => left.map(Some).map_err(|source| {
            NamespaceError::Open { kind: pids.kind, path: "/proc/self/ns/pid".into(), source }.into()
        }),
    }
}

fn open_namespaces(decided: &CreateDecisions) -> Result<Vec<NamespaceToJoin>, CreateError> {
    let open = |(kind, path): &(NamespaceKind, PathBuf)| {
        Ok(NamespaceToJoin { kind: *kind, opened: open_namespace(*kind, path)? })
    };
    decided.plan.namespaces.join.iter().map(open).collect()
}
