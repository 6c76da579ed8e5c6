//! `start`.

use std::path::Path;

use knarr_proto::id::ContainerId;

use super::CommandError;
use crate::output::Log;
use crate::state::State;

pub(super) fn run(root: &Path, id: &ContainerId, log: &Log) -> Result<(), CommandError> {
    let state = State::load(root, id)?;
    for warning in crate::create::start(root, &state)? {
        log.warning(&warning);
    }
    Ok(())
}
