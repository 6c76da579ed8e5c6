//! One file per command, each thin: understand what was asked, call what does it, print what came of it.
#![forbid(unsafe_code)]

mod create;
mod delete;
mod events;
mod exec;
mod kill;
mod list;
mod pause;
mod ps;
mod start;
mod state;
mod update;

use crate::args::{Command, Invocation};
use crate::cgroup::CgroupError;
use crate::create::foreground::WaitError;
use crate::create::{CreateError, StartError};
use crate::join::ExecError;
use crate::output::Log;
use crate::state::StateError;
use knarr_proto::id::InvalidId;

/// A command failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CommandError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Wait(#[from] WaitError),
    #[error(transparent)]
    Id(InvalidId),
    #[error(transparent)]
    Join(#[from] ExecError),
    #[error("exec failed")]
    Exec(#[source] Box<CommandError>),
    #[error("invalid user {0:?}: it must be uid[:gid] in numbers below 2147483648")]
    User(String),
    #[error("unknown capability {0:?}")]
    Capability(String),
    #[error("unknown signal {0:?}")]
    Signal(String),
    #[error("container not paused")]
    NotPaused,
    #[error("container not running")]
    NotRunning,
    #[error("unable to send signal {signal}")]
    SendSignal { signal: i32, source: rustix::io::Errno },
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped { id: knarr_proto::id::ContainerId, status: knarr_proto::status::Status },
    #[error("cannot make a path absolute")]
    Path { source: std::io::Error },
    #[error("cannot open the bundle {path:?}")]
    Bundle { path: std::path::PathBuf, source: std::io::Error },
    #[error("cannot allocate tty if runc will detach without setting console socket")]
    NoConsoleSocket,
    #[error("cannot use console socket if runc will not detach or allocate tty")]
    NeedlessConsoleSocket,
    #[error(transparent)]
    Update(#[from] update::UpdateError),
    #[error(transparent)]
    Ps(#[from] ps::PsError),
    #[error(transparent)]
    Events(#[from] events::EventsError),
    #[error("cannot write the result")]
    Print { source: std::io::Error },
    #[error("{0} is not implemented in this build")]
    Unimplemented(&'static str),
}

impl CommandError {
    /// runc's: 1, but 255 where `exec` itself failed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Exec(_)) { 255 } else { 1 }
    }
}

/// Does what was asked; the number is the exit code.
///
/// # Errors
/// [`CommandError`].
pub fn run(invocation: &Invocation, log: &Log) -> Result<u8, CommandError> {
    let root = invocation.globals.root.as_path();
    match &invocation.command {
        Command::State(id) => state::run(root, id)?,
        Command::List(args) => list::run(root, *args, log)?,
        Command::Create(args) => create::run_create(&invocation.globals, args, log)?,
        Command::Run(args) => return create::run_run(&invocation.globals, args, log),
        Command::Start(id) => start::run(root, id, log)?,
        Command::Kill(args) => kill::run(root, args)?,
        Command::Delete(args) => delete::run(root, args, log)?,
        Command::Exec(args) => {
            return exec::run(&invocation.globals, args, log)
                .map_err(|error| CommandError::Exec(Box::new(error)));
        }
        Command::Pause(id) => pause::pause(root, id)?,
        Command::Resume(id) => pause::resume(root, id)?,
        Command::Ps(args) => ps::run(root, args)?,
        Command::Update(args) => update::run(root, args, log)?,
        Command::Events(args) => events::run(root, args)?,
        Command::Spec(_) => return Err(CommandError::Unimplemented("spec")),
        Command::Features => return Err(CommandError::Unimplemented("features")),
    }
    Ok(0)
}
