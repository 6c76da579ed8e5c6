//! `pause` and `resume`: the container's cgroup is frozen and thawed.

use std::path::Path;

use knarr_proto::id::ContainerId;
use knarr_proto::status::Status;

use super::error::CommandError;
use crate::cgroup::fence::Fence;
use crate::state::record::State;

pub(super) fn pause(root: &Path, id: &ContainerId) -> Result<(), CommandError> {
    let state = State::load(root, id)?;
    match state.observe(root)?.status {
        Status::Running | Status::Created => Ok(Fence::open(&state.cgroups)?.freeze()?),
        _ => Err(CommandError::NotRunning),
    }
}

pub(super) fn resume(root: &Path, id: &ContainerId) -> Result<(), CommandError> {
    let state = State::load(root, id)?;
    match state.observe(root)?.status {
        Status::Paused => Ok(Fence::open(&state.cgroups)?.thaw()?),
        _ => Err(CommandError::NotPaused),
    }
}
