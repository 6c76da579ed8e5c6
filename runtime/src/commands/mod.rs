//! One file per command, each thin: understand what was asked, call what does it, print what came of it. None is inlined:
//! `state` would touch the stack that `restore` needs.
#![forbid(unsafe_code)]

mod checkpoint;
mod create;
mod delete;
mod error;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod restore;
mod spec;
mod start;
mod state;
mod update;

use std::io::Write as _;

use crate::args::{Command, Invocation};
use crate::output::Log;
use crate::sealed::SealError;

pub(crate) use error::CommandError;

/// Says the result of a command.
fn print(text: &[u8]) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout();
    stdout.write_all(text).and_then(|()| stdout.flush()).map_err(|source| CommandError::Print { source })
}

/// Does what was asked; the number is the exit code. `sealed` says whether the commands that need it may be done.
///
/// # Errors
/// [`CommandError`].
pub(crate) fn run(
    invocation: &Invocation,
    sealed: Result<(), SealError>,
    log: &Log,
) -> Result<u8, CommandError> {
    log.make()?;
    let root = invocation.globals.root.as_path();
    let made = |verb| {
        let program = invocation.program.clone();
        move |source| CommandError::Make { program, verb, source: Box::new(source) }
    };
    if invocation.command.enters_a_container() {
        sealed?;
    }
    match &invocation.command {
        Command::State(id) => state::run(root, id)?,
        Command::List(args) => list::run(&invocation.globals, *args, log)?,
        Command::Create(args) => {
            create::run_create(&invocation.globals, args, log).map_err(made("create"))?;
        }
        Command::Run(args) => {
            return create::run_run(&invocation.globals, args, log).map_err(made("run"));
        }
        Command::Start(id) => start::run(root, id)?,
        Command::Kill(args) => kill::run(root, args)?,
        Command::Delete(args) => delete::run(&invocation.globals, args, log)?,
        Command::Exec(args) => {
            return exec::run(&invocation.globals, args, log)
                .map_err(|error| CommandError::Exec(Box::new(error)));
        }
        Command::Pause(id) => pause::pause(root, id)?,
        Command::Resume(id) => pause::resume(root, id)?,
        Command::Ps(args) => ps::run(root, args)?,
        Command::Update(args) => update::run(root, args, log)?,
        Command::Events(args) => events::run(root, args)?,
        Command::Spec(args) => spec::run(args)?,
        Command::Features => features::run()?,
        Command::Checkpoint(args) => checkpoint::run(root, args, log)?,
        Command::Restore(args) => {
            crate::null::protect_streams()?;
            return restore::run(&invocation.globals, args, log).map_err(made("restore"));
        }
    }
    Ok(0)
}
