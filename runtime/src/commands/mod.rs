//! One file per command, each thin: understand what was asked, call what does it, print what came of it.
#![forbid(unsafe_code)]

mod list;
mod state;

use crate::args::{Command, Invocation};
use crate::cgroup::CgroupError;
use crate::output::Log;
use crate::state::StateError;

/// A command failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CommandError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("cannot write the result")]
    Print { source: std::io::Error },
    #[error("{0} is not implemented in this build")]
    Unimplemented(&'static str),
}

impl CommandError {
    /// runc's: 1, but 255 where `exec` itself failed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        1
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
        Command::Create(_) => return Err(CommandError::Unimplemented("create")),
        Command::Run(_) => return Err(CommandError::Unimplemented("run")),
        Command::Start(_) => return Err(CommandError::Unimplemented("start")),
        Command::Kill(_) => return Err(CommandError::Unimplemented("kill")),
        Command::Delete(_) => return Err(CommandError::Unimplemented("delete")),
        Command::Exec(_) => return Err(CommandError::Unimplemented("exec")),
        Command::Pause(_) => return Err(CommandError::Unimplemented("pause")),
        Command::Resume(_) => return Err(CommandError::Unimplemented("resume")),
        Command::Ps(_) => return Err(CommandError::Unimplemented("ps")),
        Command::Update(_) => return Err(CommandError::Unimplemented("update")),
        Command::Events(_) => return Err(CommandError::Unimplemented("events")),
        Command::Spec(_) => return Err(CommandError::Unimplemented("spec")),
        Command::Features => return Err(CommandError::Unimplemented("features")),
    }
    Ok(0)
}
