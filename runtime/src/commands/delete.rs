//! `delete`: removes what is left of a container, and the container itself with `--force`.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use knarr_proto::id::ContainerId;
use knarr_proto::status::Status;
use rustix::io::Errno;

use super::error::CommandError;
use crate::args::command::DeleteArgs;
use crate::args::globals::Globals;
use crate::cgroup::paths::CgroupPaths;
use crate::cgroup::plan::Driver;
use crate::host::Host;
use crate::output::chain::Chain;
use crate::output::log::Log;
use crate::spec::Spec;
use crate::spec::load::SpecError;
use crate::state::claim::Directory;
use crate::state::error::StateError;
use crate::state::names::CONFIG;
use crate::state::record::{Process, State};
use crate::sys::pidfd;
use crate::{cgroup, hooks};

/// runc waits 100 times 100 ms; a process that SIGKILL does not end by then hangs in the kernel.
const DEATH_TIMEOUT: Duration = Duration::from_secs(10);

#[inline(never)]
pub(super) fn run(globals: &Globals, args: &DeleteArgs, log: &Log) -> Result<(), CommandError> {
    let root = globals.root.as_path();
    let state = match State::load(root, &args.id) {
        Ok(state) => state,
        Err(error) => return without_state(globals, args, error, log),
    };
    let status = state.observe(root)?.status;
    if !args.force && !matches!(status, Status::Stopped | Status::Created) {
        return Err(CommandError::NotStopped { id: args.id.clone(), status });
    }
    if status == Status::Creating {
        end(state.creator, &CgroupPaths::default())?;
    }
    let poststop = match poststop_spec(root, &state) {
        Err(error) if args.force => {
            log.warning(&format!("{}: its poststop hooks are not called", Chain(&error)));
            None
        }
        loaded => loaded?,
    };
    end_and_remove(root, &state, poststop, log)
}

/// Deletes a container whose state cannot be read: its creator got no further, or the file is damaged. What still runs
/// is found by the state's copy or the kept configuration, and ended only with `--force`.
fn without_state(
    globals: &Globals,
    args: &DeleteArgs,
    error: StateError,
    log: &Log,
) -> Result<(), CommandError> {
    let is_missing = matches!(error, StateError::NotFound(_));
    let directory = match Directory::open(&globals.root, &args.id) {
        Ok(directory) => directory,
        Err(StateError::NotFound(_)) if args.force => return Ok(()),
        Err(other) => return Err(other.into()),
    };
    // Its creator will write a state, or end and leave the directory to the next `delete`.
    if directory.is_claimed()? {
        return if args.force && is_missing { Ok(()) } else { Err(error.into()) };
    }
    let spec = Spec::load_kept(&globals.root.join(args.id.as_str()).join(CONFIG)).ok();
    let rebuilt = rebuild(globals, &args.id, spec.as_ref());
    if !args.force {
        let may_run = match &rebuilt {
            Some(state) => {
                state.init.is_some_and(|init| init.is_alive().unwrap_or(true))
                    || state.cgroups.has_processes()
            }
            None => false,
        };
        if is_missing && !may_run {
            directory.remove()?;
        }
        return Err(error.into());
    }
    match rebuilt {
        Some(state) => {
            log.warning(&format!("{}: what is left of the container is found by its cgroups", Chain(&error)));
            end_and_remove(&globals.root, &state, spec.filter(|_| state.has_poststop_hooks), log)
        }
        None => {
            if !is_missing {
                log.warning(&format!("{}: nothing tells which cgroups the container had", Chain(&error)));
            }
            Ok(directory.remove()?)
        }
    }
}

/// A state that is enough to end a container: the copy beside it, or what the kept configuration says of its cgroups.
fn rebuild(globals: &Globals, id: &ContainerId, spec: Option<&Spec>) -> Option<State> {
    if let Some(copy) = State::load_copy(&globals.root, id).ok().filter(|state| state.id == *id) {
        return Some(copy);
    }
    let spec = spec?;
    // systemd's form of the path has two colons.
    let is_systemd = globals.systemd_cgroup || spec.linux.cgroups_path.split(':').count() == 3;
    let driver = if is_systemd { Driver::Systemd } else { Driver::Cgroupfs };
    let host = Host::probe(globals.rootless).ok()?;
    let cgroups = cgroup::plan::plan(spec, id, &host, driver).ok()?.paths;
    Some(State::from_cgroups(id.clone(), cgroups, !spec.hooks.poststop.is_empty()))
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
        loaded => Ok(Some(loaded.map_err(crate::child::error::CreateError::from)?)),
    }
}

/// Ends what runs, removes the cgroups and the state, and then runs the poststop hooks.
pub(super) fn destroy(root: &Path, state: &State, log: &Log) -> Result<(), CommandError> {
    end_and_remove(root, state, poststop_spec(root, state)?, log)
}

fn end_and_remove(root: &Path, state: &State, poststop: Option<Spec>, log: &Log) -> Result<(), CommandError> {
    end(state.init, &state.cgroups)?;
    state.cgroups.end()?;
    if let Some(group) = &state.resctrl {
        group.remove()?;
    }
    Directory::open(root, &state.id)?.remove()?;
    if let Some(spec) = poststop {
        hooks::run_poststop(&spec.hooks, &state.oci("stopped", 0), Path::new(&state.bundle), log);
    }
    Ok(())
}
