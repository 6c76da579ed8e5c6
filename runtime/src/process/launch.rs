//! The last steps before the user's program, the same for the container's first process and for `exec`: rights are
//! given up here and never come back. Each step consumes the one before, so that a wrong order does not compile.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, RawFd};

use knarr_proto::reason::Reason;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::console::{Console, ConsoleError, begin_session, own_stdio};
use super::policies::{ApplyError, Policies};
use super::program::{self, ProgramError, find};
use crate::handshake::ChildEnd;
use crate::handshake::error::ChannelError;
use crate::plan::process::Process;
use crate::process::home;
use crate::rootfs::procfs::Procfs;
use crate::security::apparmor::{self, AppArmorError};
use crate::security::capabilities::CapabilityError;
use crate::security::keyring::{self, KeyringError};
use crate::security::seccomp::{self, Program};
use crate::security::selinux::{self, SelinuxError};
use crate::sys::{descriptor, exec, signal};

/// Why a process could not be made what it was to be.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum LaunchError {
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error(transparent)]
    AppArmor(#[from] AppArmorError),
    #[error(transparent)]
    Selinux(#[from] SelinuxError),
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("cannot begin a session")]
    Session { source: Errno },
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("cannot mount a procfs to set security labels through")]
    Procfs { source: Errno },
    #[error("error setting rlimits")]
    Rlimit { source: Errno },
    #[error(transparent)]
    Policy(#[from] ApplyError),
    #[error("unable to setgroups {groups:?}: the groups must be mapped in the user namespace")]
    Groups { groups: Vec<u32>, source: Errno },
    #[error("unable to setgid {gid}: it must be mapped in the user namespace")]
    Gid { gid: u32, source: Errno },
    #[error("unable to setuid {uid}: it must be mapped in the user namespace")]
    Uid { uid: u32, source: Errno },
    #[error("unable to keep capabilities across the change of user")]
    KeepCapabilities { source: Errno },
    #[error("unable to set no_new_privs")]
    NoNewPrivileges { source: Errno },
    #[error("chdir to cwd ({cwd:?}) set in config.json failed")]
    Chdir { cwd: String, source: Errno },
    #[error(
        "current working directory is outside of container mount namespace root -- possible container breakout detected"
    )]
    CwdOutside,
    #[error("unable to init seccomp")]
    Seccomp { source: Errno },
    #[error("cannot pass on the caller's descriptors")]
    Descriptors { source: Errno },
    #[error("exec {program}")]
    Exec { program: String, source: Errno },
}

impl LaunchError {
    /// Why the user's program cannot be executed, if that is what failed. A working directory that is not there counts, as
    /// with docker.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Program(error) => Some(error.reason()),
            Self::Chdir { source, .. } => match *source {
                Errno::NOENT => Some(Reason::CommandNotFound),
                Errno::ACCESS | Errno::NOTDIR => Some(Reason::CommandNotExecutable),
                _ => None,
            },
            Self::Exec { source, .. } => Some(program::reason_of(*source)),
            _ => None,
        }
    }
}

/// Whose user namespace a process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserNamespace {
    /// The host's.
    Hosts,
    /// The one that we were called in, and the container with us.
    Callers,
    /// The container's own, or one that it joins.
    Containers,
}

impl UserNamespace {
    pub(crate) fn new(has_container: bool, has_caller: bool) -> Self {
        match (has_container, has_caller) {
            (true, _) => Self::Containers,
            (false, true) => Self::Callers,
            (false, false) => Self::Hosts,
        }
    }
}

/// What a launch needs besides its plan.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) plan: &'a Process,
    pub(crate) container: &'a str,
    /// Whether it gets the container's session keyring.
    pub(crate) joins_keyring: bool,
    pub(crate) user_namespace: UserNamespace,
    pub(crate) seccomp: Option<&'a Program>,
    pub(crate) policies: &'a Policies,
    pub(crate) inherited: Inherited,
}

/// Descriptors of our caller's that the program gets, from 3 on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inherited {
    /// LISTEN_FDS of our caller.
    pub(crate) listen_fds: u32,
    /// As many more as `--preserve-fds` says.
    pub(crate) preserved: u32,
}

impl Inherited {
    /// The first number behind them.
    pub(crate) fn end(self) -> RawFd {
        (3 + self.listen_fds + self.preserved).cast_signed()
    }
}

/// Has its keyring, its terminal and its scheduling; still all rights.
#[derive(Debug)]
pub(crate) struct Settled<'a>(Launch<'a>);

/// Has only the rights of the user's program.
#[derive(Debug)]
pub(crate) struct Confined<'a> {
    launch: Launch<'a>,
    program: CString,
    env: Vec<CString>,
}

/// Under its filter.
#[derive(Debug)]
pub(crate) struct Filtered<'a>(Confined<'a>);

impl<'a> Launch<'a> {
    /// Keyring, terminal, scheduling, file mode mask.
    pub(crate) fn settle(self, console: Option<Console>) -> Result<Settled<'a>, LaunchError> {
        // The creator has marked all others.
        (3..self.inherited.end())
            .try_for_each(descriptor::keep_on_exec)
            .map_err(|source| LaunchError::Descriptors { source })?;
        if self.joins_keyring {
            keyring::join_session(self.container, self.user_namespace == UserNamespace::Containers)?;
        }
        // Never in the caller's session, into whose terminal a container could otherwise type (R35).
        begin_session().map_err(|source| LaunchError::Session { source })?;
        if let Some(console) = console {
            console.take_control()?;
        }
        self.policies.apply()?;
        rustix::process::umask(Mode::from_raw_mode(self.plan.user.umask));
        Ok(Settled(self))
    }
}

impl<'a> Settled<'a> {
    /// Labels, no_new_privs, limits, capabilities, user, directory, program.
    pub(crate) fn confine(self, channel: &ChildEnd) -> Result<Confined<'a>, LaunchError> {
        let launch = self.0;
        let plan = launch.plan;
        label(plan)?;
        let env = environment(&launch);
        if plan.no_new_privileges {
            rustix::thread::set_no_new_privs(true)
                .map_err(|source| LaunchError::NoNewPrivileges { source })?;
        } else {
            // Without no_new_privs the kernel wants CAP_SYS_ADMIN, which is about to go.
            load_filter(launch.seccomp, channel)?;
        }
        plan.capabilities.drop_bounding()?;
        own_stdio(plan.user.uid)?;
        // As root still, whose right it is to raise them; in a user namespace the creator does it from outside.
        if launch.user_namespace != UserNamespace::Containers {
            for (resource, rlimit) in &plan.rlimits {
                rustix::process::setrlimit(*resource, *rlimit)
                    .map_err(|source| LaunchError::Rlimit { source })?;
            }
        }
        // A directory that only root may enter, and one that only the user may: either has to work.
        let enter = || rustix::process::chdir(plan.cwd.as_str());
        let entered = enter();
        become_user(plan, launch.user_namespace)?;
        let entered = if entered == Err(Errno::ACCESS) { enter() } else { entered };
        entered.map_err(|source| LaunchError::Chdir { cwd: plan.cwd.clone(), source })?;
        refuse_outside_cwd()?;
        plan.capabilities.apply()?;
        let program = find(&plan.argv[0], &plan.search_path)?;
        // While the creator is there to fetch the listener.
        if plan.no_new_privileges && launch.seccomp.is_some_and(|filter| filter.listener().is_some()) {
            load_filter(launch.seccomp, channel)?;
        }
        Ok(Confined { launch, program, env })
    }
}

impl<'a> Confined<'a> {
    pub(crate) fn inherited(&self) -> Inherited {
        self.launch.inherited
    }

    /// Loads the filter that was not loaded before; from here on the profile may forbid whatever it likes.
    pub(crate) fn filter(self) -> Result<Filtered<'a>, LaunchError> {
        let launch = &self.launch;
        signal::restore_defaults();
        let is_late =
            launch.plan.no_new_privileges && launch.seccomp.is_some_and(|filter| filter.listener().is_none());
        if let (true, Some(filter)) = (is_late, launch.seccomp) {
            seccomp::install(filter).map_err(|source| LaunchError::Seccomp { source })?;
        }
        Ok(Filtered(self))
    }
}

impl Filtered<'_> {
    /// `KEY=value` of the user's program.
    pub(crate) fn environment(&self) -> impl Iterator<Item = String> {
        self.0.env.iter().map(|entry| entry.to_string_lossy().into_owned())
    }

    /// Runs the user's program in place of this one.
    pub(crate) fn execute(self) -> Result<Infallible, LaunchError> {
        let Self(confined) = self;
        exec::execute(&confined.program, &confined.launch.plan.argv, &confined.env).map_err(|source| {
            LaunchError::Exec { program: confined.program.to_string_lossy().into_owned(), source }
        })
    }
}

fn label(plan: &Process) -> Result<(), LaunchError> {
    if plan.apparmor_profile.is_empty() && plan.selinux_label.is_empty() {
        return Ok(());
    }
    let procfs = Procfs::mount().map_err(|source| LaunchError::Procfs { source })?;
    selinux::apply_on_exec(&procfs, &plan.selinux_label)?;
    Ok(apparmor::apply_on_exec(&procfs, &plan.apparmor_profile)?)
}

fn load_filter(filter: Option<&Program>, channel: &ChildEnd) -> Result<(), LaunchError> {
    let Some(filter) = filter else { return Ok(()) };
    match seccomp::install(filter).map_err(|source| LaunchError::Seccomp { source })? {
        Some(notify) => Ok(channel.listener(notify.as_fd())?),
        None => Ok(()),
    }
}

fn become_user(plan: &Process, namespace: UserNamespace) -> Result<(), LaunchError> {
    let user = &plan.user;
    rustix::thread::set_keep_capabilities(true).map_err(|source| LaunchError::KeepCapabilities { source })?;
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    match rustix::thread::set_thread_groups(&groups) {
        // An unprivileged user namespace has setgroups denied for good; there is then nothing to drop or to add.
        Err(Errno::PERM) if groups.is_empty() && namespace != UserNamespace::Hosts => {}
        Err(source) => return Err(LaunchError::Groups { groups: user.groups.clone(), source }),
        Ok(()) => {}
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .map_err(|source| LaunchError::Gid { gid: user.gid, source })?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
        .map_err(|source| LaunchError::Uid { uid: user.uid, source })
}

/// A directory that came in through a leaked descriptor has no path below the root (CVE-2024-21626).
fn refuse_outside_cwd() -> Result<(), LaunchError> {
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.as_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(LaunchError::CwdOutside),
        // A directory that the user may not read, above the one it is in.
        Err(_) => Ok(()),
    }
}

fn environment(launch: &Launch<'_>) -> Vec<CString> {
    let mut env = launch.plan.env.clone();
    if launch.plan.wants_home {
        env.retain(|entry| entry.as_bytes() != b"HOME=");
        env.push(home::variable(launch.plan.user.uid));
    }
    if launch.inherited.listen_fds > 0 {
        env.extend(CString::new(format!("LISTEN_FDS={}", launch.inherited.listen_fds)));
        env.push(CString::from(c"LISTEN_PID=1"));
    }
    env
}
