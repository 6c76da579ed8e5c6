//! `exec`: another process in a running container. The creator's side here is the same story as `create`'s with other
//! nouns: the container's namespaces by pidfd instead of new ones, its cgroup instead of a new fence; from `settle` on
//! the child goes the same way as a container's first process.
#![forbid(unsafe_code)]

pub(crate) mod enter;
pub(crate) mod error;
pub(crate) mod sub_cgroups;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use knarr_proto::status::Status;
use rustix::io::Errno;

use crate::cgroup::error::CgroupError;
use crate::cgroup::fallback::current_v2_cgroup;
use crate::cgroup::fence::{Entrance, Fence};
use crate::child::error::CreateError;
use crate::child::inherited::inherited;
use crate::child::options::Options;
use crate::child::process::Child;
use crate::child::serve::{ChildServer, await_execution};
use crate::child::setup;
use crate::handshake::CreatorEnd;
use crate::host::{is_in_user_namespace, is_own_namespace};
use crate::output::log::Log;
use crate::plan::process::Process;
use crate::process::launch::{Launch, UserNamespace};
use crate::process::policies::Policies;
use crate::security::seccomp::{self, Program};
use crate::spec::linux::{Linux, Namespace, NamespaceKind};
use crate::spec::{self, Spec};
use crate::state::record::State;
use crate::sys::file::open_directory;
use crate::sys::pidfd;
use error::ExecError;
use sub_cgroups::SubCgroups;

/// What to run where.
#[derive(Debug)]
pub(crate) struct ExecRequest<'a> {
    /// `--root`.
    pub(crate) root: &'a Path,
    /// The container.
    pub(crate) state: &'a State,
    /// The container's configuration.
    pub(crate) spec: &'a Spec,
    /// The process.
    pub(crate) process: &'a spec::process::Process,
    /// Flags shared with `create`.
    pub(crate) options: Options,
    /// `[controllers:]path` below the container's cgroup.
    pub(crate) cgroups: &'a [String],
    /// Also in a paused container, where it hangs until the container goes on.
    pub(crate) ignore_paused: bool,
    /// Where `--debug` tells how it goes.
    pub(crate) log: &'a Log,
}

/// A process that runs the user's program.
#[derive(Debug)]
pub(crate) struct Running {
    /// The process.
    pub(crate) pidfd: OwnedFd,
    /// The terminal's master, when no console socket took it.
    pub(crate) master: Option<OwnedFd>,
    /// What was ignored.
    pub(crate) warnings: Vec<String>,
}

/// Everything that was decided before the container is touched.
struct ExecDecisions {
    plan: Process,
    warnings: Vec<String>,
    seccomp: Option<Program>,
    policies: Policies,
    /// The namespaces that the container has of its own.
    kinds: Vec<NamespaceKind>,
}

/// One that the configuration gives by path may be the host's: only what the process is in counts.
fn kinds(linux: &Linux, init: BorrowedFd<'_>) -> Result<Vec<NamespaceKind>, ExecError> {
    if linux.namespaces.iter().all(|one| one.path.is_empty()) {
        return Ok(linux.namespaces.iter().map(|one| one.kind).collect());
    }
    let gone = |_| ExecError::Stopped;
    let directory = PathBuf::from(format!("/proc/{}/ns", pidfd::pid_of(init).map_err(gone)?));
    let is_shared = |one: &Namespace| {
        !one.path.is_empty() && is_own_namespace(one.kind, &directory.join(one.kind.file_name()))
    };
    let kinds = linux.namespaces.iter().filter(|one| !is_shared(one)).map(|one| one.kind).collect();
    // It has that pid still, so it had it meanwhile.
    pidfd::pid_of(init).map_err(gone)?;
    Ok(kinds)
}

fn decide(request: &ExecRequest<'_>, init: BorrowedFd<'_>) -> Result<ExecDecisions, ExecError> {
    let mut warnings = Vec::new();
    let (process, linux) = (request.process, &request.spec.linux);
    Ok(ExecDecisions {
        plan: Process::plan(process, &mut warnings)?,
        warnings,
        seccomp: linux.seccomp.as_ref().map(seccomp::compile).transpose().map_err(CreateError::from)?,
        policies: Policies::parse(Some(process), linux)?,
        kinds: kinds(linux, init)?,
    })
}

/// Runs a process in a container; returns when it runs the user's program.
///
/// # Errors
/// [`ExecError`]; the process is gone then.
pub(crate) fn exec(request: &ExecRequest<'_>) -> Result<Running, ExecError> {
    match request.state.observe(request.root)?.status {
        Status::Stopped | Status::Creating => return Err(ExecError::Stopped),
        Status::Paused if !request.ignore_paused => return Err(ExecError::Paused),
        Status::Paused | Status::Created | Status::Running => {}
    }
    let init = request.state.open_init()?.ok_or(ExecError::Stopped)?;
    let decided = decide(request, init.as_fd())?;
    let entrance = entrance(request, init.as_fd())?;
    let inherited = inherited(request.options.preserve_fds)?;
    let has = |kind| decided.kinds.contains(&kind);
    if let Some(affinity) = &decided.policies.affinity {
        affinity.apply_initial().map_err(|source| ExecError::SetAffinity { source })?;
        if let Some(mask) = affinity.initial_mask() {
            request.log.debug(&format!("nsexec container setup: affinity: {mask}"));
        }
    }
    let launch = Launch {
        plan: &decided.plan,
        container: request.state.id.as_str(),
        joins_keyring: !request.options.no_new_keyring,
        user_namespace: UserNamespace::new(has(NamespaceKind::User), is_in_user_namespace()),
        seccomp: decided.seccomp.as_ref(),
        policies: &decided.policies,
        inherited,
    };
    // A mount namespace that was made for the container has its root. One that was given may be its creator's, in which
    // the container is chrooted.
    let makes_mounts = request
        .spec
        .linux
        .namespaces
        .iter()
        .any(|one| one.kind == NamespaceKind::Mount && one.path.is_empty());
    let root = match makes_mounts {
        true => None,
        false => Some(root_of(&init).map_err(|source| ExecError::Root { source })?),
    };
    let entering = enter::ExecTarget {
        init: &init,
        kinds: &decided.kinds,
        entrance: &entrance,
        sub_cgroups: request.cgroups,
        affinity: decided.policies.affinity.as_ref(),
        root: root.as_ref(),
    };
    let (child, channel) = enter::fork(&entering, launch)?;
    request.log.debug(&format!("nsexec container setup: process {} is cloned", child.pid));
    match finish(request, &decided, &child, &channel) {
        Ok(master) => Ok(Running { pidfd: child.pidfd, master, warnings: decided.warnings }),
        Err(error) => {
            child.end();
            Err(error.into())
        }
    }
}

/// The root of a process, which has not ended: its pid is no other's.
fn root_of(process: &OwnedFd) -> Result<OwnedFd, Errno> {
    let root = open_directory(format!("/proc/{}/root", pidfd::pid_of(process.as_fd())?))?;
    pidfd::pid_of(process.as_fd()).map(|_| root)
}

fn finish(
    request: &ExecRequest<'_>,
    decided: &ExecDecisions,
    child: &Child,
    channel: &CreatorEnd,
) -> Result<Option<OwnedFd>, CreateError> {
    let served = ChildServer {
        options: &request.options,
        hooks: None,
        plan: None,
        seccomp: decided.seccomp.as_ref(),
        state: request.state,
        child,
    };
    if let Some(group) = &request.state.resctrl {
        group.enter(child.pid)?;
    }
    let master = served.serve(channel)?;
    request.log.debug("child process in init(): all is set up");
    setup::limit(&decided.plan, child.pid, decided.kinds.contains(&NamespaceKind::User))?;
    if let Some(path) = &request.options.pid_file {
        setup::write_pid_file(path, child.pid)?;
    }
    if let Some(path) = &request.options.pidfd_socket {
        setup::send(path, child.pidfd.as_fd(), b"pidfd")?;
    }
    request.log.debug("setns_init: about to exec");
    channel.go()?;
    await_execution(channel)?;
    Ok(master)
}

/// The container's cgroups, or those below them that `--cgroup` names.
fn entrance(request: &ExecRequest<'_>, init: BorrowedFd<'_>) -> Result<Entrance, ExecError> {
    let paths = &request.state.cgroups;
    if request.cgroups.is_empty() {
        return match Entrance::open(paths) {
            Err(CgroupError::Gone) => {
                Ok(Entrance { v2: Some(current_v2_cgroup(init)?), ..Entrance::default() })
            }
            entrance => entrance.map_err(ExecError::Cgroup),
        };
    }
    let fence = Fence::open(paths)?;
    let below = SubCgroups::parse(request.cgroups, fence.paths())?;
    fence.entrance_below(|path| below.path_for(path)).map_err(|source| ExecError::Enter { source })
}
