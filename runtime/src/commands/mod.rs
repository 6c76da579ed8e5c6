//! One file per command, each thin: understand what was asked, call what does it, print what came of it. None is
//! inlined: `state` would touch the stack that `restore` needs.
#![forbid(unsafe_code)]

pub(crate) mod checkpoint;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod features;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod print;
pub(crate) mod ps;
pub(crate) mod restore;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod update;

use crate::args::command::Command;
use crate::args::invocation::Invocation;
use crate::output::log::Log;
use crate::sealed::SealError;
use error::CommandError;

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
