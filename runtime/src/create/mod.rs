//! The creator's side: plan → claim the id → fence (cgroup) → one clone3 → map ids → serve the child's requests →
//! record. Every change to the host is on the undo record from the moment it is made.
#![forbid(unsafe_code)]

mod child;
mod error;
pub(crate) mod foreground;
mod gate;
mod id_maps;
mod inside;
mod oci_state;
pub(crate) mod outside;
mod serve;
pub(crate) mod sources;
pub(crate) mod undo;

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;

use crate::cgroup::{self, Driver, Fence};
use crate::hooks::{self, HookKind};
use crate::host::{Host, leave_out_own_namespaces};
use crate::network;
use crate::notify::{self, Notify, Watcher};
use crate::null;
use crate::output::Log;
use crate::plan::Plan;
use crate::process::launch::UserNamespace;
use crate::process::policies::Policies;
use crate::resctrl::{self, Resctrl};
use crate::security::seccomp::{self, Program};
use crate::spec::{NamespaceKind, Spec};
use crate::state::{Claim, Process, State, VERSION};

pub(crate) use child::{Birthplace, hide, inherited};
pub(crate) use error::{CreateError, StartError};
pub(crate) use gate::start;
pub(crate) use inside::{fork_between, or_brought};
pub(crate) use serve::{Served, await_execution};
pub(crate) use undo::Child;
use undo::Undo;

/// runc's warning.
const UNBOUND: &str = "Creating a rootless container with no cgroup and no private pid namespace. Such configuration is \
                       strongly discouraged: what its first process leaves behind cannot be found and killed";

/// What to create.
#[derive(Debug)]
pub(crate) struct CreateRequest<'a> {
    /// The container's id.
    pub(crate) id: &'a ContainerId,
    /// `--root`.
    pub(crate) root: &'a Path,
    /// What is to be made a container of.
    pub(crate) bundle: &'a Bundle,
    /// What is true of the host.
    pub(crate) host: &'a Host,
    /// Who makes the cgroups.
    pub(crate) driver: Driver,
    /// The other flags.
    pub(crate) options: Options,
    /// Whether the container waits for `start`.
    pub(crate) start: Start,
    /// Where `--debug` tells how it goes.
    pub(crate) log: &'a Log,
}

impl CreateRequest<'_> {
    fn user_namespace(&self, plan: &Plan) -> UserNamespace {
        UserNamespace::new(plan.namespaces.has(NamespaceKind::User), self.host.in_user_namespace)
    }
}

/// A bundle and its configuration, read once.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Its directory, absolute.
    pub(crate) path: PathBuf,
    /// config.json as it stands there.
    pub(crate) text: Vec<u8>,
}

impl Bundle {
    /// Reads a directory's configuration, and returns what it asks for.
    ///
    /// # Errors
    /// [`CreateError::Spec`].
    pub(crate) fn read(path: PathBuf) -> Result<(Self, Spec), CreateError> {
        let (spec, text) = Spec::read(&path)?;
        Ok((Self { path, text }, spec))
    }
}

/// Flags of `create`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Gets the terminal's master; absolute.
    pub(crate) console_socket: Option<PathBuf>,
    /// Gets a pidfd; absolute.
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// Gets the pid; absolute.
    pub(crate) pid_file: Option<PathBuf>,
    /// Move the root instead of pivoting.
    pub(crate) no_pivot: bool,
    /// Stay in the caller's session keyring.
    pub(crate) no_new_keyring: bool,
    /// Descriptors from 3 on to pass on.
    pub(crate) preserve_fds: u32,
    /// Gets the container's notifications.
    pub(crate) notify: Option<Watcher>,
}

/// When the user's program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At once (`run`).
    AtOnce,
    /// When `start` asks for it.
    OnRequest,
}

/// A container that was made.
#[derive(Debug)]
pub(crate) struct Created {
    /// Its first process.
    pub(crate) pid: u32,
    /// The same, for ever.
    pub(crate) pidfd: OwnedFd,
    /// The terminal's master, when no console socket took it.
    pub(crate) master: Option<OwnedFd>,
    /// Where it says that it is ready, when it runs and somebody wants to know.
    pub(crate) notify: Option<Notify>,
    /// What the plan ignored.
    pub(crate) warnings: Vec<String>,
}

/// Everything that was decided before the host is touched.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) spec: Spec,
    pub(crate) plan: Plan,
    pub(crate) seccomp: Option<Program>,
    pub(crate) policies: Policies,
    pub(crate) cgroups: cgroup::CgroupPlan,
    pub(crate) resctrl: Option<resctrl::Wanted>,
}

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

pub(crate) fn decide(request: &CreateRequest<'_>, mut spec: Spec) -> Result<Decided, CreateError> {
    leave_out_own_namespaces(&mut spec);
    let plan = Plan::new(&spec, &request.bundle.path)?;
    hooks::check(&spec.hooks)?;
    if let Some(process) = &spec.process {
        crate::security::apparmor::check(&process.apparmor_profile)?;
        crate::security::selinux::check(&process.selinux_label)?;
    }
    let seccomp = spec.linux.seccomp.as_ref().map(seccomp::compile).transpose()?;
    let policies = Policies::parse(spec.process.as_deref(), &spec.linux)?;
    let cgroups = cgroup::plan(&spec, request.id, request.host, request.driver)?;
    let resctrl = match &spec.linux.intel_rdt {
        Some(wanted) => Some(resctrl::Wanted::new(&Resctrl::find()?, wanted, request.id)?),
        None => None,
    };
    Ok(Decided { spec, plan, seccomp, policies, cgroups, resctrl })
}

fn make(request: &CreateRequest<'_>, decided: &Decided, undo: &mut Undo) -> Result<Created, CreateError> {
    let claim = undo.claim.insert(Claim::take(request.root, request.id)?);
    let mut state = first_state(request, decided)?;
    Fence::check(&decided.cgroups)?;
    // Without a user namespace the child has the right to do it by itself, and as a rule a null of the container's own to
    // put the streams on instead.
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
    undo.resctrl = decided.resctrl.as_ref().map(resctrl::Wanted::make).transpose()?;
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
    outside::map_ids(&decided.plan, pid, channel)?;
    network::move_devices(&decided.plan, child.pidfd.as_fd())?;
    // While the child is at work; when it is ready it waits for nothing but a new name.
    (state.init, state.creator) = (Some(Process::of(pid)?), None);
    let record = claim.prepare(&state)?;
    let served = Served {
        options: &request.options,
        hooks: Some(&decided.spec.hooks),
        decided: Some(decided),
        seccomp: decided.seccomp.as_ref(),
        state: &state,
        child,
    };
    let master = served.serve(channel)?;
    fence.settle(&decided.cgroups)?;
    request.log.debug("child process in init(): all is set up");
    outside::limit(&decided.plan.process, pid, decided.plan.namespaces.has(NamespaceKind::User))?;
    record.record()?;
    if state.cgroups.hierarchies.is_empty() {
        claim.keep_copy(&state)?;
    }
    if let Some(path) = &request.options.pid_file {
        outside::write_pid_file(path, pid)?;
        undo.pid_file = Some(path.clone());
    }
    if let Some(path) = &request.options.pidfd_socket {
        outside::send(path, child.pidfd.as_fd(), b"pidfd")?;
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

fn warnings(decided: &Decided, state: &State) -> Vec<String> {
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

pub(crate) fn first_state(request: &CreateRequest<'_>, decided: &Decided) -> Result<State, CreateError> {
    let spec = &decided.spec;
    Ok(State {
        version: VERSION,
        id: request.id.clone(),
        bundle: request.bundle.path.display().to_string(),
        rootfs: decided.plan.root.path.display().to_string(),
        created: crate::output::time::now_nanos(),
        owner: request.host.euid,
        annotations: spec.annotations.clone(),
        cgroups: decided.cgroups.paths.clone(),
        resctrl: decided.resctrl.as_ref().map(|wanted| wanted.group().clone()),
        creator: Some(Process::of(std::process::id())?),
        init: None,
        has_pid_namespace: decided.plan.namespaces.makes(NamespaceKind::Pid),
        has_poststart_hooks: !spec.hooks.poststart.is_empty(),
        has_poststop_hooks: !spec.hooks.poststop.is_empty(),
        descriptors: match &spec.process {
            Some(process) if process.terminal => Vec::new(),
            _ => standard_streams(),
        },
    })
}

/// What our standard streams are, and so the container's: criu is told of pipes by these names.
fn standard_streams() -> Vec<String> {
    let target = |number| rustix::fs::readlink(format!("/proc/self/fd/{number}"), Vec::new());
    let name =
        |number| target(number).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default();
    (0..3).map(name).collect()
}
