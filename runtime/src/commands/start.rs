//! `start`.

use std::path::Path;

use knarr_proto::id::ContainerId;

use super::CommandError;
use crate::state::State;

pub(super) fn run(root: &Path, id: &ContainerId) -> Result<(), CommandError> {
    let state = State::load(root, id)?;
    Ok(crate::create::start(root, &state)?)
}
