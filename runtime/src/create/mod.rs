//! The creator's side: plan → claim the id → fence (cgroup) → one clone3 → map ids → serve the child's requests →
//! record. Every change to the host is on the undo record from the moment it is made.
#![forbid(unsafe_code)]

pub(crate) mod child;
pub(crate) mod decision;
pub(crate) mod error;
pub(crate) mod foreground;
pub(crate) mod gate;
pub(crate) mod request;
pub(crate) mod undo;

use std::mem::ManuallyDrop;
use std::os::fd::AsFd;

use self::decision::{CreateDecisions, decide, first_state};
use self::request::{CreateRequest, Created, Start};
use crate::cgroup::fence::Fence;
use crate::child::error::CreateError;
use crate::child::process::Child;
use crate::child::serve::{ChildServer, await_execution};
use crate::child::setup;
use crate::hooks::{self, HookKind};
use crate::notify::{self, Notify};
use crate::process::launch::UserNamespace;
use crate::spec::Spec;
use crate::spec::linux::NamespaceKind;
use crate::state::claim::Claim;
use crate::state::record::{Process, State};
use crate::{network, null, resctrl};
use undo::Undo;

/// runc's warning.
const UNBOUND: &str = "Creating a rootless container with no cgroup and no private pid namespace. Such configuration is \
                       strongly discouraged: what its first process leaves behind cannot be found and killed";

/// Makes a container of what `spec`, the bundle's configuration, asks for, and with [`Start::AtOnce`] runs it.
///
/// # Errors
/// [`CreateError`]; nothing of the container is left then.
pub(crate) fn create(request: &CreateRequest<'_>, mut spec: Spec) -> Result<Created, CreateError> {
    if request.options.notify.is_some() {
        notify::show(&mut spec, &request.root.join(request.id.as_str()));
    }
    // Never freed: to give it back piece by piece would write to pages that the child shares, and so copy them.
    let decided = ManuallyDrop::new(decide(request, spec)?);
    let mut undo = Undo::default();
    match make(request, &decided, &mut undo) {
        Ok(created) => Ok(created),
        Err(error) => {
            // Whatever it is that failed then, that is why.
            let is_oom = undo.fence.as_ref().is_some_and(Fence::has_oom_kills);
            undo.undo(&decided.spec.hooks, &request.bundle.path, request.log);
            Err(if is_oom { CreateError::OutOfMemory } else { error })
        }
    }
}

fn make(
    request: &CreateRequest<'_>,
    decided: &CreateDecisions,
    undo: &mut Undo,
) -> Result<Created, CreateError> {
    let claim = undo.claim.insert(Claim::take(request.root, request.id)?);
    let mut state = first_state(request, decided)?;
    Fence::check(&decided.cgroups)?;
    // Without a user namespace the child has the right to do it by itself, and as a rule a null of the container's own
    // to put the streams on instead.
    if request.user_namespace(&decided.plan) != UserNamespace::Hosts {
        null::protect_streams()?;
    }
    // `delete` runs the poststop hooks of whatever has a state.
    claim.keep_config(&request.bundle.text)?;
    let notify = notify_socket(request, claim)?;
    claim.record(&state)?;
    undo.stopped = Some(state.oci("stopped", 0));
    let fence = undo.fence.insert(Fence::create(&decided.cgroups)?);
    state.cgroups = fence.paths().clone();
    undo.resctrl = decided.resctrl.as_ref().map(resctrl::group::GroupPlan::make).transpose()?;
    let gate = match request.start {
        Start::OnRequest => Some(gate::make(claim.dir())?),
        Start::AtOnce => None,
    };
    let (child, channel) = child::clone(request, decided, fence, gate, &state)?;
    let child = &*undo.child.insert(child);
    let pid = child.pid;
    let channel = &*undo.channel.insert(channel);
    if let Some(group) = &undo.resctrl {
        group.enter(pid)?;
    }
    // These and those of `exec` are words of runc's log, which people search for.
    if let Some(filter) = &decided.seccomp {
        request.log.debug(&format!("seccomp filter flags: {}", filter.flags()));
    }
    request.log.debug(&format!("nsexec container setup: process {pid} is cloned"));
    setup::map_ids(&decided.plan, pid, channel)?;
    network::move_devices(&decided.plan, child.pidfd.as_fd())?;
    // While the child is at work; when it is ready it waits for nothing but a new name.
    (state.init, state.creator) = (Some(Process::from_pid(pid)?), None);
    let record = claim.prepare(&state)?;
    let served = ChildServer {
        options: &request.options,
        hooks: Some(&decided.spec.hooks),
        plan: Some(&decided.plan),
        seccomp: decided.seccomp.as_ref(),
        state: &state,
        child,
    };
    let master = served.serve(channel)?;
    fence.settle(&decided.cgroups)?;
    request.log.debug("child process in init(): all is set up");
    setup::limit(&decided.plan.process, pid, decided.plan.namespaces.has(NamespaceKind::User))?;
    record.record()?;
    if state.cgroups.hierarchies.is_empty() {
        claim.keep_copy(&state)?;
    }
    if let Some(path) = &request.options.pid_file {
        setup::write_pid_file(path, pid)?;
        undo.pid_file = Some(path.clone());
    }
    if let Some(path) = &request.options.pidfd_socket {
        setup::send(path, child.pidfd.as_fd(), b"pidfd")?;
    }
    request.log.debug("init: closing the pipe to signal completion");
    channel.go()?;
    if request.start == Start::AtOnce {
        await_execution(channel)?;
        let text = state.oci("running", pid);
        hooks::run(HookKind::Poststart, &decided.spec.hooks, &text, Some(&request.bundle.path))?;
    }
    let Child { pid, pidfd } = undo.keep()?;
    Ok(Created { pid, pidfd, master, notify, warnings: warnings(decided, &state) })
}

fn warnings(decided: &CreateDecisions, state: &State) -> Vec<String> {
    let is_unbound = state.cgroups.hierarchies.is_empty() && !state.has_pid_namespace;
    let planned = decided.plan.warnings.iter().chain(&decided.cgroups.limits.warnings).cloned();
    planned.chain(is_unbound.then(|| UNBOUND.to_owned())).collect()
}

/// `start` makes the socket of a container that waits for it.
fn notify_socket(request: &CreateRequest<'_>, claim: &Claim) -> Result<Option<Notify>, CreateError> {
    let Some(watcher) = &request.options.notify else { return Ok(None) };
    watcher.make_directory(claim.dir())?;
    match request.start {
        Start::AtOnce => Ok(watcher.clone().listen(claim.path())?),
        Start::OnRequest => Ok(None),
    }
}
