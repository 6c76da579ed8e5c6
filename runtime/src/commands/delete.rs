//! `delete`: removes what is left of a container, and the container itself with `--force`.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use knarr_proto::id::ContainerId;
use knarr_proto::status::Status;

use super::CommandError;
use crate::args::DeleteArgs;
use crate::cgroup::CgroupPaths;
use crate::hooks;
use crate::output::Log;
use crate::spec::{Spec, SpecError};
use crate::state::{Directory, Process, State, StateError};
use crate::sys::{Errno, pidfd};

/// runc waits 100 times 100 ms; a process that SIGKILL does not end by then hangs in the kernel.
const DEATH_TIMEOUT: Duration = Duration::from_secs(10);

#[inline(never)]
pub(super) fn run(root: &Path, args: &DeleteArgs, log: &Log) -> Result<(), CommandError> {
    let state = match State::load(root, &args.id) {
        Ok(state) => state,
        Err(StateError::NotFound(id)) => return without_state(root, &id, args.force),
        Err(error) => return Err(error.into()),
    };
    let status = state.observe(root)?.status;
    if !args.force && !matches!(status, Status::Stopped | Status::Created) {
        return Err(CommandError::NotStopped { id: args.id.clone(), status });
    }
    if status == Status::Creating {
        end(state.creator, &CgroupPaths::default())?;
    }
    destroy(root, &state, log)
}

/// A directory without a state belongs to a creator that got no further.
fn without_state(root: &Path, id: &ContainerId, force: bool) -> Result<(), CommandError> {
    match Directory::open(root, id) {
        Ok(directory) if !directory.is_claimed()? => directory.remove()?,
        Ok(_) | Err(StateError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    if force { Ok(()) } else { Err(StateError::NotFound(id.clone()).into()) }
}

fn end(process: Option<Process>, cgroups: &CgroupPaths) -> Result<(), CommandError> {
    let Some(process) = process else { return Ok(()) };
    let Some(opened) = process.open()? else { return Ok(()) };
    let ended = match pidfd::send_signal(opened.as_fd(), libc::SIGKILL) {
        Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno),
        Ok(()) => {
            cgroups.let_die()?;
            pidfd::wait_exit(opened.as_fd(), DEATH_TIMEOUT)
        }
    };
    ended.map_err(|source| CommandError::SendSignal { signal: libc::SIGKILL, source })
}

/// The configuration whose poststop hooks are to run. A `delete` that was killed may have removed it already.
fn poststop_spec(root: &Path, state: &State) -> Result<Option<Spec>, CommandError> {
    if !state.has_poststop_hooks {
        return Ok(None);
    }
    match state.spec(root) {
        Err(SpecError::NotFound { .. }) => Ok(None),
        loaded => Ok(Some(loaded.map_err(crate::create::CreateError::from)?)),
    }
}

/// Ends what runs, removes the cgroups and the state, and then runs the poststop hooks.
pub(super) fn destroy(root: &Path, state: &State, log: &Log) -> Result<(), CommandError> {
    let spec = poststop_spec(root, state)?;
    end(state.init, &state.cgroups)?;
    state.cgroups.end()?;
    if let Some(group) = &state.resctrl {
        group.remove()?;
    }
    Directory::open(root, &state.id)?.remove()?;
    if let Some(spec) = spec {
        hooks::run_poststop(&spec.hooks, &state.oci("stopped", 0), log);
    }
    Ok(())
}
