//! Starting knarrd when nobody has: under a lock, in a session of its own, and awaited until it says that it is ready.
//!
//! ```text
//! knarr ── flock ── spawn ──▶ knarr (stage two: setsid, chdir /, close descriptors) ── exec ──▶ knarrd
//!   ▲                                                                                             │
//!   └────────────────────── READY=1 on $NOTIFY_SOCKET, or the child's end ◀───────────────────────┘
//! ```
//! It never waits by sleeping, and never leaves a second knarrd behind.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::FlockOperation;
use tokio::net::UnixDatagram;
use tokio::process::Command;

use crate::connect::Client;
use crate::error::Error;
use crate::output;

/// The first argument that makes this program the second stage; no person types it.
pub(crate) const STAGE_TWO: &str = "__start-daemon";

/// A knarrd that we start ends when it has had nothing to do for so long.
const IDLE_TIMEOUT_SECONDS: &str = "300";

/// Recovery of many containers takes seconds; beyond this something hangs, and the log says what.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The kernel's default bound of descriptors; one above it can only have been passed on purpose.
const MAX_INHERITED_DESCRIPTOR: i32 = 1024;

/// Why knarrd could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Only root can.
    #[error("knarrd is not running at unix://{}, and only root can start it: run 'sudo knarr …', or 'sudo knarrd' once", .0.display())]
    NotRoot(PathBuf),
    /// Neither beside this program nor in PATH.
    #[error("knarrd is not running, and there is none beside knarr or in PATH to be started: install knarrd")]
    NotInstalled,
    /// Something on the way.
    #[error("cannot start knarrd: cannot {action} {path}")]
    Step { action: &'static str, path: PathBuf, source: io::Error },
    /// It ended before it was ready.
    #[error("knarrd ended with {status} before it was ready: {} (all of it is in {})", .last_line, .log.display())]
    Ended { status: ExitStatus, last_line: String, log: PathBuf },
    /// It did not get ready.
    #[error("knarrd was not ready after {} seconds: see {}", READY_WITHIN.as_secs(), .0.display())]
    Late(PathBuf),
}

/// Starts a knarrd that keeps its state in `state` and listens on `socket`, unless another has done so meanwhile.
pub(crate) async fn start(state: &Path, socket: &Path) -> Result<Client, Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(StartError::NotRoot(socket.to_owned()).into());
    }
    let program = find_program().ok_or(StartError::NotInstalled)?;
    let _lock = lock(state).await?;
    if let Ok(client) = Client::to(socket).await {
        return Ok(client);
    }
    launch(&program, state, socket).await?;
    Client::to(socket).await.map_err(|source| Error::Connect { socket: socket.to_owned(), source })
}

/// The second stage: becomes knarrd, with nothing of the shell that ran knarr left. Returns only when it fails; what it
/// says then is read by the first stage in knarrd's log.
pub(crate) fn stage_two(arguments: &[OsString]) -> ExitCode {
    let failed = match arguments {
        [program, state, socket] => match become_knarrd(program, state, socket) {
            Ok(never) => match never {},
            Err(error) => error,
        },
        _ => StartError::NotInstalled,
    };
    output::complain(&failed.into());
    ExitCode::FAILURE
}

fn become_knarrd(program: &OsStr, state: &OsStr, socket: &OsStr) -> Result<Infallible, StartError> {
    let step = |action, source: io::Error| StartError::Step { action, path: program.into(), source };
    rustix::process::setsid().map_err(|errno| step("make a session for", errno.into()))?;
    std::env::set_current_dir("/").map_err(|source| step("change to / for", source))?;
    for descriptor in 3..MAX_INHERITED_DESCRIPTOR {
        // Most are not open. One that stays open would keep a pipe of the caller from ending.
        let _not_open = nix::unistd::close(descriptor);
    }
    let mut address = OsString::from("unix://");
    address.push(socket);
    let error = std::process::Command::new(program)
        .arg("--state")
        .arg(state)
        .arg("--address")
        .arg(address)
        .args(["--idle-timeout", IDLE_TIMEOUT_SECONDS])
        .exec();
    Err(step("execute", error))
}

/// Beside this program, else in PATH.
fn find_program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| own.canonicalize().ok());
    let beside = beside.and_then(|own| Some(own.parent()?.join("knarrd")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(
            std::env::split_paths(&path)
                .filter(|directory| directory.is_absolute())
                .map(|directory| directory.join("knarrd")),
        )
        .find(|candidate| {
            rustix::fs::access(candidate, rustix::fs::Access::EXEC_OK).is_ok() && candidate.is_file()
        })
}

/// One starter at a time; the lock ends with the file.
async fn lock(state: &Path) -> Result<File, StartError> {
    let path = state.join("start.lock");
    let step = |action, source| StartError::Step { action, path: path.clone(), source };
    DirBuilder::new().recursive(true).mode(0o711).create(state).map_err(|source| StartError::Step {
        action: "make the directory",
        path: state.to_owned(),
        source,
    })?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| step("open", source))?;
    let locked = tokio::task::spawn_blocking(move || {
        rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive)).map(|()| file)
    });
    match locked.await {
        Ok(result) => result.map_err(|errno| step("lock", errno.into())),
        Err(error) => Err(step("lock", io::Error::other(error))),
    }
}

async fn launch(program: &Path, state: &Path, socket: &Path) -> Result<(), StartError> {
    let log = state.join("knarrd.log");
    let step = |action, path: &Path, source| StartError::Step { action, path: path.to_owned(), source };
    let notify = Notify::bind(state).map_err(|(path, source)| step("listen on", &path, source))?;
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .map_err(|source| step("open", &log, source))?;
    let errors = output.try_clone().map_err(|source| step("open", &log, source))?;
    let begin = output.metadata().map_or(0, |metadata| metadata.len());
    let mut child = Command::new("/proc/self/exe")
        .arg(STAGE_TWO)
        .args([program, state, socket])
        .env("NOTIFY_SOCKET", &notify.path)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|source| step("execute", program, source))?;
    tokio::select! {
        ready = notify.ready() => ready.map_err(|source| step("read", &notify.path, source)),
        ended = child.wait() => match ended {
            Ok(status) => Err(StartError::Ended { status, last_line: last_line(&log, begin), log }),
            Err(source) => Err(step("wait for", program, source)),
        },
        () = tokio::time::sleep(READY_WITHIN) => Err(StartError::Late(log)),
    }
}

/// Where knarrd says that it is ready, as sd_notify(3).
struct Notify {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Notify {
    fn bind(state: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let path = state.join(format!("start-{}.sock", std::process::id()));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((path, error)),
            _ => {}
        }
        match UnixDatagram::bind(&path) {
            Ok(socket) => Ok(Self { path, socket }),
            Err(error) => Err((path, error)),
        }
    }

    async fn ready(&self) -> io::Result<()> {
        let mut message = [0; 4096];
        loop {
            let length = self.socket.recv(&mut message).await?;
            if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        // A socket that stays is removed by the next process that has our id, and harms nobody until then.
        let _left = std::fs::remove_file(&self.path);
    }
}

/// The last thing that knarrd said, for the error.
fn last_line(log: &Path, begin: u64) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(usize::try_from(begin).unwrap_or(0)..).unwrap_or_default());
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
}
