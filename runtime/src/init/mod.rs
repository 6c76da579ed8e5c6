//! The child's side of creating a container: from a copy of the creator to the user's program. Each phase consumes the
//! one before, so that a wrong order does not compile. Runs alone in its process: no thread, no lock, no way back.
//!
//! isolate (cgroup, namespaces) → root (mounts, kernel settings, pivot_root) → settle (names, keyring, terminal) →
//! confine (labels, limits, capabilities, user, filter) → wait (for `start`) → exec
#![forbid(unsafe_code)]

pub(crate) mod error;
pub(crate) mod isolate;
pub(crate) mod wait;

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use knarr_proto::reason::Reason;
use rustix::fs::Mode;

use crate::cgroup::fence::Entrance;
use crate::cgroup::paths::CgroupPaths;
use crate::handshake::ChildEnd;
use crate::handshake::failure::{Failure, Phase};
use crate::hooks::{self, HookKind};
use crate::plan::Plan;
use crate::process::console::Console;
use crate::process::cpu_affinity;
use crate::process::launch::{Filtered, Launch, LaunchError, Settled, UserNamespace};
use crate::rootfs;
use crate::rootfs::enter::Entry;
use crate::rootfs::surroundings::{Source, Surroundings};
use crate::rootfs::tree::Tree;
use crate::spec::hooks::Hooks;
use crate::spec::linux::NamespaceKind;
use crate::sys::{exec, interface};
use error::InitError;
use isolate::NamespaceToJoin;

impl InitError {
    /// Why the user's program cannot be executed, if that is what failed.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Launch(error) => error.reason(),
            _ => None,
        }
    }
}

/// Everything that the child needs; all of it was decided or opened by the creator.
pub(crate) struct Init<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) launch: Launch<'a>,
    pub(crate) hooks: &'a Hooks,
    /// The state that hooks get; the pid is the child's as hooks see it.
    pub(crate) state: &'a dyn Fn(&'static str) -> Vec<u8>,
    pub(crate) cgroups: &'a CgroupPaths,
    pub(crate) entrance: Entrance,
    pub(crate) joined: Vec<NamespaceToJoin>,
    pub(crate) sources: Vec<Source>,
    pub(crate) entry: Entry,
    pub(crate) mount_label: &'a str,
    /// The start gate; none when the creator starts the container itself.
    pub(crate) gate: Option<OwnedFd>,
}

/// runc's: what the container's process exits with that never became the user's program.
const NO_PROGRAM: i32 = 255;

/// Runs the child to its end: the user's program, or a failure that is told to the creator, and on stderr when the
/// creator no longer listens. A program that the kernel does not execute ends the container like any other: it is told
/// on stderr, whether `run` or `start` had it executed.
pub(crate) fn run(init: Init<'_>, channel: &ChildEnd) -> ! {
    let Err((phase, error)) = phases(init, channel);
    let failure = Failure { reason: error.reason(), ..Failure::new(phase, &error, error.path()) };
    if matches!(error, InitError::Launch(LaunchError::Exec { .. })) || !channel.fail(&failure) {
        eprintln!("{failure}");
    }
    exec::leave(NO_PROGRAM)
}

fn phases(mut init: Init<'_>, channel: &ChildEnd) -> Result<Infallible, (Phase, InitError)> {
    let gate = init.gate.take();
    let (hooks, state) = (init.hooks, init.state);
    let isolated = Isolated::new(init, channel).map_err(at(Phase::Isolate))?;
    let rooted = isolated.enter_root(channel).map_err(at(Phase::Root))?;
    let settled = rooted.settle().map_err(at(Phase::Settle))?;
    let confined = settled.confine(channel).map_err(at(Phase::Confine))?;
    let _gate = wait::wait(channel, gate, confined.inherited()).map_err(at(Phase::Wait))?;
    let filtered = confined.filter().map_err(at(Phase::Exec))?;
    start_hooks(hooks, state, filtered.environment()).map_err(at(Phase::Exec))?;
    Filtered::execute(filtered).map_err(at(Phase::Exec))
}

/// Says where it went wrong.
pub(crate) fn at<E: Into<InitError>>(phase: Phase) -> impl Fn(E) -> (Phase, InitError) {
    move |error| (phase, error.into())
}

/// In its cgroup and its namespaces, seeing the host's files still.
struct Isolated<'a>(Init<'a>);

/// In its own root.
struct Rooted<'a> {
    init: Init<'a>,
    console: Option<Console>,
}

impl<'a> Isolated<'a> {
    fn new(init: Init<'a>, channel: &ChildEnd) -> Result<Self, InitError> {
        init.entrance.enter_v1().map_err(|source| InitError::Cgroup { source })?;
        cpu_affinity::reset();
        isolate::enter_namespaces(init.plan, &init.joined, channel)?;
        Ok(Self(init))
    }

    fn enter_root(self, channel: &ChildEnd) -> Result<Rooted<'a>, InitError> {
        let init = self.0;
        let around = Surroundings {
            sources: &init.sources,
            channel,
            cgroups: init.cgroups,
            has_cgroup_namespace: init.plan.namespaces.has(NamespaceKind::Cgroup),
            in_user_namespace: init.launch.user_namespace != UserNamespace::Hosts,
            mount_label: init.mount_label,
            cwd: &init.plan.process.cwd,
        };
        let callers_umask = rustix::process::umask(Mode::empty());
        let mut built = rootfs::build(&init.plan.root, &around)?;
        run_outer_hooks(&init, channel, callers_umask)?;
        let console = console(&init, &built.tree, built.devpts(), channel)?;
        if !init.plan.sysctls.is_empty() {
            let procfs = built.take_procfs()?;
            for sysctl in &init.plan.sysctls {
                procfs
                    .write(&format!("sys/{}", sysctl.path), sysctl.value.as_bytes())
                    .map_err(|source| InitError::Sysctl { name: sysctl.path.clone(), source })?;
            }
        }
        rootfs::cover(&built, &init.plan.root, init.mount_label)?;
        rootfs::enter::enter(&built.tree, &init.plan.root, &init.entry)?;
        Ok(Rooted { init, console })
    }
}

fn run_outer_hooks(init: &Init<'_>, channel: &ChildEnd, callers_umask: Mode) -> Result<(), InitError> {
    if !init.hooks.prestart.is_empty() || !init.hooks.create_runtime.is_empty() {
        channel.hooks()?;
    }
    if !init.hooks.create_container.is_empty() {
        rustix::process::umask(callers_umask);
        hooks::run(HookKind::CreateContainer, init.hooks, &(init.state)("creating"), None)?;
        rustix::process::umask(Mode::empty());
    }
    Ok(())
}

fn console(
    init: &Init<'_>,
    tree: &Tree,
    devpts: Option<BorrowedFd<'_>>,
    channel: &ChildEnd,
) -> Result<Option<Console>, InitError> {
    let Some(terminal) = init.plan.process.terminal else { return Ok(None) };
    let console = Console::open(tree, devpts, terminal)?;
    console.bind(tree)?;
    channel.console(console.master.as_fd())?;
    Ok(Some(console))
}

impl<'a> Rooted<'a> {
    fn settle(self) -> Result<Settled<'a>, InitError> {
        let plan = self.init.plan;
        if !plan.hostname.is_empty() {
            rustix::system::sethostname(plan.hostname.as_bytes())
                .map_err(|source| InitError::HostName { source })?;
        }
        if !plan.domainname.is_empty() {
            rustix::system::setdomainname(plan.domainname.as_bytes())
                .map_err(|source| InitError::DomainName { source })?;
        }
        if plan.namespaces.makes(NamespaceKind::Network) {
            interface::bring_loopback_up().map_err(|source| InitError::Loopback { source })?;
        }
        Ok(self.init.launch.settle(self.console)?)
    }
}

/// These are programs of the container: without an environment of their own they have its, as under runc. Hooks of the
/// host never do (CVE-2025-23266).
fn start_hooks(
    hooks: &Hooks,
    state: &dyn Fn(&'static str) -> Vec<u8>,
    environment: impl Iterator<Item = String>,
) -> Result<(), InitError> {
    if hooks.start_container.is_empty() {
        return Ok(());
    }
    let environment: Vec<String> = environment.collect();
    let mut start_container = hooks.start_container.clone();
    for hook in &mut start_container {
        hook.env.get_or_insert_with(|| environment.clone());
    }
    let hooks = Hooks { start_container, ..Hooks::default() };
    hooks::run(HookKind::StartContainer, &hooks, &state("created"), None)?;
    Ok(())
}
