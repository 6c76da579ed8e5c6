//! `start`.

use std::path::Path;

use knarr_proto::id::ContainerId;

use super::error::CommandError;
use crate::state::record::State;

pub(super) fn run(root: &Path, id: &ContainerId) -> Result<(), CommandError> {
    let state = State::load(root, id)?;
    Ok(crate::create::gate::start(root, &state)?)
}
