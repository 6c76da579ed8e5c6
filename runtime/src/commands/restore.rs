//! `restore`.

use std::os::fd::AsFd;

use super::CommandError;
use super::checkpoint::absolute_paths;
use super::create::{bundle, check_console, end_of_run, has_terminal, request};
use crate::args::{Globals, RestoreArgs};
use crate::checkpoint::restore::{RestoreOptions, restore};
use crate::create::Start;
use crate::create::foreground::Foreground;
use crate::host::Host;
use crate::output::Log;

/// Brings a container back; returns its exit code, 0 when detached.
#[inline(never)]
pub(super) fn run(globals: &Globals, args: &RestoreArgs, log: &Log) -> Result<u8, CommandError> {
    let (bundle, spec) = bundle(&args.create)?;
    check_console(has_terminal(&spec), args.detach, args.create.console_socket.is_some())?;
    let id = args.create.id.parse().map_err(CommandError::Id)?;
    let host = Host::probe(globals.rootless)?;
    let request = request((globals, &args.create, log), (&id, &bundle, &host), Start::AtOnce)?;
    let options = RestoreOptions { common: absolute_paths(&args.options.common)?, ..args.options.clone() };
    let foreground = if args.detach { None } else { Some(Foreground::begin()?) };
    let restored = restore(&request, spec, &options)?;
    for warning in &restored.warnings {
        log.warning(warning);
    }
    let Some(foreground) = foreground else { return Ok(0) };
    let code = foreground.wait(restored.pidfd.as_fd(), restored.master.as_ref(), None)?;
    end_of_run(globals, (&id, restored.pid), log)?;
    Ok(code)
}
