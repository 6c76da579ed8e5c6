//! `checkpoint`.

use std::path::Path;

use knarr_proto::status::Status;

use super::create::absolute;
use super::error::CommandError;
use crate::args::command::CheckpointArgs;
use crate::checkpoint::dump::{check_parent, dump};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::options::{DumpOptions, Options};
use crate::output::log::Log;
use crate::state::record::State;

/// Saves a container, and removes it unless it is to go on.
#[inline(never)]
pub(super) fn run(root: &Path, args: &CheckpointArgs, log: &Log) -> Result<(), CommandError> {
    let state = State::load(root, &args.id)?;
    let status = state.observe(root)?.status;
    if !matches!(status, Status::Running | Status::Paused) {
        return Err(CheckpointError::Status(status).into());
    }
    let options = DumpOptions { common: absolute_paths(&args.options.common)?, ..args.options.clone() };
    if let Some(parent) = &options.parent {
        check_parent(&options.common.images, parent)?;
    }
    let spec = state.spec(root).map_err(CheckpointError::from)?;
    dump(&state, &root.join(state.id.as_str()), spec, &options, log)?;
    if options.leave_running || options.pre_dump {
        return Ok(());
    }
    super::delete::destroy(root, &state, log)
}

/// With paths that do not depend on where we are.
pub(super) fn absolute_paths(options: &Options) -> Result<Options, CommandError> {
    let images = std::path::absolute(&options.images).map_err(|source| CommandError::Path { source })?;
    Ok(Options { images, work: absolute(options.work.as_deref())?, ..options.clone() })
}
