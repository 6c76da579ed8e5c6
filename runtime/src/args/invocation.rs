//! A command line, understood or not.

use super::command::Command;
use super::error::UsageError;
use super::globals::Globals;

/// A whole command line, understood.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The name that we were called by, without its directory.
    pub(crate) program: String,
    /// What holds for every command.
    pub(crate) globals: Globals,
    /// What to do.
    pub(crate) command: Command,
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Do something.
    Invoke(Box<Invocation>),
    /// Print this and stop.
    Print(String),
}

/// A wrong command line, and what to print about it.
#[derive(Debug)]
pub(crate) struct Misuse {
    /// What is wrong.
    pub(crate) error: UsageError,
    /// `Incorrect Usage` and the help that fits, for stdout; empty where runc prints none.
    pub(crate) help: String,
    /// As much of `--log` and `--log-format` as was understood: the error goes there.
    pub(crate) globals: Globals,
}

pub(crate) fn misuse(error: UsageError, help: String, globals: Globals) -> Box<Misuse> {
    Box::new(Misuse { error, help, globals })
}
