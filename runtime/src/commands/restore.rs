//! `restore`.

use std::os::fd::AsFd;

use super::checkpoint::absolute_paths;
use super::create::CreateInput;
use super::error::CommandError;
use crate::args::command::RestoreArgs;
use crate::args::globals::Globals;
use crate::checkpoint::options::RestoreOptions;
use crate::checkpoint::restore::restore;
use crate::create::foreground::Foreground;
use crate::create::request::Start;
use crate::output::log::Log;

/// Brings a container back; returns its exit code, 0 when detached.
#[inline(never)]
pub(super) fn run(globals: &Globals, args: &RestoreArgs, log: &Log) -> Result<u8, CommandError> {
    let (asked, spec) = CreateInput::gather(globals, &args.create, args.detach)?;
    let request = asked.request(Start::AtOnce, log)?;
    let options = RestoreOptions { common: absolute_paths(&args.options.common)?, ..args.options.clone() };
    let foreground = if args.detach { None } else { Some(Foreground::begin()?) };
    let restored = restore(&request, spec, &options)?;
    for warning in &restored.warnings {
        log.warning(warning);
    }
    let Some(foreground) = foreground else { return Ok(0) };
    let code = foreground.wait(restored.pidfd.as_fd(), restored.master.as_ref(), None)?;
    asked.end_of_run(restored.pid, log)?;
    Ok(code)
}
