//! What is done for the child from outside: its id maps, its limits, and the messages to others about it.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::termios::{OptionalActions, OutputModes, tcgetattr, tcsetattr};

use super::error::CreateError;
use super::options::Options;
use super::process::Child;
use crate::child::id_maps;
use crate::child::serve::ChildServer;
use crate::handshake::CreatorEnd;
use crate::plan::Plan;
use crate::plan::process::Process;
use crate::security::seccomp::{Program, listener};
use crate::sys::{file, message};

/// As long as a listener may take.
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes the maps of the child's user namespace and lets it go on.
pub(crate) fn map_ids(plan: &Plan, pid: u32, channel: &CreatorEnd) -> Result<(), CreateError> {
    let Some(ids) = &plan.ids else { return Ok(()) };
    id_maps::write(ids, pid)?;
    Ok(channel.go()?)
}

/// Writes a file of the child's in procfs. It is ours and not reaped, so that its pid cannot be another's.
pub(crate) fn write(path: String, value: &str) -> Result<(), CreateError> {
    file::write_at(CWD, Path::new(&path), value.as_bytes())
        .map_err(|source| CreateError::Write { path, source })
}

/// Resource limits and OOM score: from outside, where a user namespace does not take the right to raise them, and when
/// the set-up, which they could disturb, is over.
pub(crate) fn limit(process: &Process, pid: u32, in_user_namespace: bool) -> Result<(), CreateError> {
    let handle = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(CreateError::Died)?;
    let from_outside = if in_user_namespace { process.rlimits.as_slice() } else { &[] };
    for (resource, rlimit) in from_outside {
        rustix::process::prlimit(Some(handle), *resource, *rlimit)
            .map_err(|source| CreateError::Limit { what: "a resource limit", source })?;
    }
    if let Some(score) = process.oom_score_adj {
        write(format!("/proc/{pid}/oom_score_adj"), &score.to_string())?;
    }
    Ok(())
}

/// A whole pid file or none: readers of the name never see half of it.
pub(crate) fn write_pid_file(path: &Path, pid: u32) -> Result<(), CreateError> {
    let failed = |source| CreateError::PidFile { path: path.to_owned(), source };
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}"));
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).open(&temporary).map_err(failed)?;
    file.write_all(pid.to_string().as_bytes()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}

/// Sends a descriptor to the listener at `path`, which has a bounded time to take it.
pub(crate) fn send(path: &Path, descriptor: BorrowedFd<'_>, text: &[u8]) -> Result<(), CreateError> {
    message::dial(path, SEND_TIMEOUT)
        .and_then(|socket| message::send(socket, text, Some(descriptor)))
        .map(drop)
        .map_err(|source| CreateError::Socket { path: path.to_owned(), source })
}

/// Hands a terminal's master to the listener at the console socket; without such a socket it stays with us.
pub(crate) fn deliver_terminal(
    options: &Options,
    master: OwnedFd,
    text: &[u8],
) -> Result<Option<OwnedFd>, CreateError> {
    if let Some(socket) = &options.console_socket {
        return send(socket, master.as_fd(), text).map(|()| None);
    }
    leave_line_ends(&master).map_err(|source| CreateError::Terminal { source })?;
    Ok(Some(master))
}

/// Fetches the child's seccomp notify descriptor and hands it to the agent of the profile.
pub(crate) fn deliver_listener(served: &ChildServer<'_>, number: RawFd) -> Result<(), CreateError> {
    let listener = served.seccomp.and_then(Program::listener).ok_or(CreateError::Order)?;
    let Child { pid, pidfd } = served.child;
    let notify = listener::fetch(pidfd.as_fd(), number)?;
    let object = served.state.oci_state("creating", *pid);
    Ok(listener.deliver(notify.as_fd(), pid.cast_signed(), &object)?)
}

/// The container's terminal gives line ends as the program wrote them, so that output into a file or a pipe has no
/// carriage returns; a terminal of ours adds them.
pub(crate) fn leave_line_ends(master: &OwnedFd) -> Result<(), Errno> {
    let mut modes = tcgetattr(master)?;
    modes.output_modes -= OutputModes::ONLCR;
    tcsetattr(master, OptionalActions::Now, &modes)
}
