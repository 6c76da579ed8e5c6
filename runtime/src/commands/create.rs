//! `create` and `run`.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;
use rustix::io::Errno;

use super::error::CommandError;
use crate::args::command::{CreateArgs, RunArgs};
use crate::args::globals::Globals;
use crate::cgroup::plan::Driver;
use crate::child::options::Options;
use crate::create::create;
use crate::create::foreground::Foreground;
use crate::create::request::{Bundle, CreateRequest, Created, Start};
use crate::host::Host;
use crate::notify::Watcher;
use crate::output::log::Log;
use crate::spec::Spec;
use crate::state::error::StateError;
use crate::state::record::State;
use crate::sys::file::open_directory;

/// Makes a container that waits for `start`.
#[inline(never)]
pub(super) fn run_create(globals: &Globals, args: &CreateArgs, log: &Log) -> Result<(), CommandError> {
    let (asked, spec) = CreateInput::gather(globals, args, true)?;
    make(&asked, spec, Start::OnRequest, log).map(drop)
}

/// Makes a container and runs it; returns its exit code, 0 when detached.
#[inline(never)]
pub(super) fn run_run(globals: &Globals, args: &RunArgs, log: &Log) -> Result<u8, CommandError> {
    let (asked, spec) = CreateInput::gather(globals, &args.create, args.detach)?;
    if args.detach {
        let created = make(&asked, spec, Start::AtOnce, log)?;
        if let Some(notify) = created.notify {
            notify.wait(created.pidfd.as_fd(), created.pid)?;
        }
        return Ok(0);
    }
    let foreground = Foreground::begin()?;
    let created = make(&asked, spec, Start::AtOnce, log)?;
    let code = foreground.wait(created.pidfd.as_fd(), created.master.as_ref(), created.notify)?;
    if !args.keep {
        asked.end_of_run(created.pid, log)?;
    }
    Ok(code)
}

fn make(asked: &CreateInput<'_>, spec: Spec, start: Start, log: &Log) -> Result<Created, CommandError> {
    let created = create(&asked.request(start, log)?, spec)?;
    for warning in &created.warnings {
        log.warning(warning);
    }
    Ok(created)
}

/// A container that was asked for on the command line, with what there is to know before it is made.
pub(super) struct CreateInput<'a> {
    globals: &'a Globals,
    args: &'a CreateArgs,
    id: ContainerId,
    bundle: Bundle,
    host: Host,
}

impl<'a> CreateInput<'a> {
    /// Looks at the bundle and at the host, and returns the bundle's configuration as well.
    pub(super) fn gather(
        globals: &'a Globals,
        args: &'a CreateArgs,
        is_detached: bool,
    ) -> Result<(Self, Spec), CommandError> {
        let (bundle, spec) = bundle(args)?;
        let has_terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
        check_console(has_terminal, is_detached, args.console_socket.is_some())?;
        let id = args.id.parse().map_err(CommandError::Id)?;
        let host = Host::probe(globals.rootless)?;
        Ok((Self { globals, args, id, bundle, host }, spec))
    }

    pub(super) fn request(&'a self, start: Start, log: &'a Log) -> Result<CreateRequest<'a>, CommandError> {
        let Self { globals, args, id, bundle, host } = self;
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
                notify: Watcher::from_environment(),
            },
            start,
            log,
        })
    }

    /// Removes what the container leaves, which was in the foreground and whose first process `init` was.
    pub(super) fn end_of_run(&self, init: u32, log: &Log) -> Result<(), CommandError> {
        let root = &self.globals.root;
        let state = match State::load(root, &self.id) {
            // Another `delete` was faster.
            Err(StateError::NotFound(_)) => return Ok(()),
            state => state?,
        };
        // Or the name is another container's by now.
        match state.init {
            Some(process) if process.pid == init => super::delete::destroy(root, &state, log),
            _ => Ok(()),
        }
    }
}

pub(super) fn absolute(path: Option<&Path>) -> Result<Option<PathBuf>, CommandError> {
    path.map(std::path::absolute).transpose().map_err(|source| CommandError::Path { source })
}

fn bundle(args: &CreateArgs) -> Result<(Bundle, Spec), CommandError> {
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
