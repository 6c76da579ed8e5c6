//! `create` and `run`.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;

use super::CommandError;
use crate::args::{CreateArgs, Globals, RunArgs};
use crate::cgroup::Driver;
use crate::create::foreground::Foreground;
use crate::create::{Bundle, CreateRequest, Created, Options, Start, create};
use crate::host::Host as Machine;
use crate::notify::Watcher;
use crate::output::Log;
use crate::spec::Spec;
use crate::state::{State, StateError};
use crate::sys::Errno;
use crate::sys::file::open_directory;

/// Makes a container that waits for `start`.
#[inline(never)]
pub(super) fn run_create(globals: &Globals, args: &CreateArgs, log: &Log) -> Result<(), CommandError> {
    let asked = bundle(args)?;
    check_console(has_terminal(&asked.1), true, args.console_socket.is_some())?;
    make(globals, args, asked, Start::OnRequest, log).map(drop)
}

/// Makes a container and runs it; returns its exit code, 0 when detached.
#[inline(never)]
pub(super) fn run_run(globals: &Globals, args: &RunArgs, log: &Log) -> Result<u8, CommandError> {
    let asked = bundle(&args.create)?;
    check_console(has_terminal(&asked.1), args.detach, args.create.console_socket.is_some())?;
    if args.detach {
        let created = make(globals, &args.create, asked, Start::AtOnce, log)?;
        if let Some(notify) = created.notify {
            notify.wait(created.pidfd.as_fd(), created.pid)?;
        }
        return Ok(0);
    }
    let foreground = Foreground::begin()?;
    let created = make(globals, &args.create, asked, Start::AtOnce, log)?;
    let code = foreground.wait(created.pidfd.as_fd(), created.master.as_ref(), created.notify)?;
    if !args.keep {
        let id: ContainerId = args.create.id.parse().map_err(CommandError::Id)?;
        end_of_run(globals, (&id, created.pid), log)?;
    }
    Ok(code)
}

/// Removes what a container in the foreground, whose first process this was, leaves.
pub(super) fn end_of_run(
    globals: &Globals,
    (id, init): (&ContainerId, u32),
    log: &Log,
) -> Result<(), CommandError> {
    let state = match State::load(&globals.root, id) {
        // Somebody else's `delete` was faster.
        Err(StateError::NotFound(_)) => return Ok(()),
        state => state?,
    };
    // Or the name is another container's by now.
    match state.init {
        Some(process) if process.pid == init => super::delete::destroy(&globals.root, &state, log),
        _ => Ok(()),
    }
}

fn make(
    globals: &Globals,
    args: &CreateArgs,
    (bundle, spec): (Bundle, Spec),
    start: Start,
    log: &Log,
) -> Result<Created, CommandError> {
    let id: ContainerId = args.id.parse().map_err(CommandError::Id)?;
    let host = Machine::probe(globals.rootless)?;
    let request = request((globals, args, log), (&id, &bundle, &host), start)?;
    let created = create(&request, spec)?;
    for warning in &created.warnings {
        log.warning(warning);
    }
    Ok(created)
}

/// What was typed, as a request.
pub(super) fn request<'a>(
    (globals, args, log): (&'a Globals, &CreateArgs, &'a Log),
    (id, bundle, host): (&'a ContainerId, &'a Bundle, &'a Machine),
    start: Start,
) -> Result<CreateRequest<'a>, CommandError> {
    Ok(CreateRequest {
        id,
        root: &globals.root,
        bundle,
        host,
        driver: if globals.systemd_cgroup { Driver::Systemd } else { Driver::Cgroupfs },
        options: Options {
            console_socket: absolute(args.console_socket.as_deref())?,
            pidfd_socket: absolute(args.pidfd_socket.as_deref())?,
            pid_file: absolute(args.pid_file.as_deref())?,
            no_pivot: args.no_pivot,
            no_new_keyring: args.no_new_keyring,
            preserve_fds: args.preserve_fds,
            notify: Watcher::of_environment(),
        },
        start,
        log,
    })
}

pub(super) fn absolute(path: Option<&Path>) -> Result<Option<PathBuf>, CommandError> {
    path.map(std::path::absolute).transpose().map_err(|source| CommandError::Path { source })
}

/// The bundle, and its configuration.
pub(super) fn bundle(args: &CreateArgs) -> Result<(Bundle, Spec), CommandError> {
    let given = args.bundle.as_deref().unwrap_or(Path::new("."));
    let path = canonical(given)
        .map_err(|source| CommandError::Bundle { path: given.to_owned(), source: source.into() })?;
    Ok(Bundle::read(path)?)
}

/// A directory's path without symbolic links, as the kernel tells it of an open one: it looks the path up once, where
/// realpath(3) asks for each part of it.
fn canonical(directory: &Path) -> Result<PathBuf, Errno> {
    let opened = open_directory(directory)?;
    let link = rustix::fs::readlink(format!("/proc/self/fd/{}", opened.as_raw_fd()), Vec::new())?;
    Ok(OsString::from_vec(link.into_bytes()).into())
}

pub(super) fn has_terminal(spec: &Spec) -> bool {
    spec.process.as_ref().is_some_and(|process| process.terminal)
}

/// runc's two fixed texts.
pub(super) fn check_console(
    has_terminal: bool,
    is_detached: bool,
    has_socket: bool,
) -> Result<(), CommandError> {
    match (has_terminal && is_detached, has_socket) {
        (true, false) => Err(CommandError::NoConsoleSocket),
        (false, true) => Err(CommandError::NeedlessConsoleSocket),
        _ => Ok(()),
    }
}
