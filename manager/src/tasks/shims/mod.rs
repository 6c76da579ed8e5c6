//! Shims: started, found again, cleaned up after. One shim is one container's; it outlives knarrd. Nothing here knows
//! what containers mean to people.

mod keep;
mod look;
mod record;
mod task;
mod usage;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;
use knarr_proto::id::ContainerId;
use knarr_proto::kind::Kind;
use knarr_proto::reason::Reason;
use tokio::process::Command;

pub(crate) use look::{ShimLook, SocketOwner, UnknownSocket};
pub(crate) use task::{CreateTask, ExecTask, Task, TaskExit, TaskState, TaskStatus, TaskStdio, shim_mount};
pub(crate) use usage::Usage;

/// containerd's namespace that our containers are in; the shim puts it into its own cgroup's and log's names.
const NAMESPACE: &str = "knarr";
/// Starting a shim takes some milliseconds; on a machine that swaps, seconds.
const START_LIMIT: Duration = Duration::from_secs(30);
/// `delete` kills what is left and unmounts.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(30);
/// What of a shim's last words is worth telling.
const MAX_WORDS_BYTES: usize = 1024;

/// How to start shims, and where their sockets are.
#[derive(Clone, Debug)]
pub(crate) struct Shims {
    /// The shim's executable.
    pub(crate) program: PathBuf,
    /// The OCI runtime that shims are to call.
    pub(crate) runtime: PathBuf,
    /// The runtime's `--root`.
    pub(crate) runtime_root: PathBuf,
    /// Directory of the shims' sockets.
    pub(crate) sockets: PathBuf,
    /// The soft limit of open files that containers have, when knarrd has raised its own.
    pub(crate) open_files: Option<u64>,
}

/// A shim did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShimError {
    /// Its program cannot be run.
    #[error("cannot run the shim {program}: is knarr installed completely?")]
    Spawn { program: PathBuf, source: std::io::Error },
    /// The container's directory, in which it is to run, has been deleted.
    #[error("the container's directory {} is gone: remove the container and make it again", bundle.display())]
    NoBundle { bundle: PathBuf },
    /// It said why not.
    #[error("the shim could not {doing}: {words}")]
    Refused { doing: &'static str, words: String },
    /// It did not come to an end.
    #[error("the shim did not {doing} within {} seconds", limit.as_secs())]
    TimedOut { doing: &'static str, limit: Duration },
    /// No process listens on its socket, or the socket is not there. The shim may be alive all the same:
    /// [`Shims::look`] asks the kernel.
    #[error("cannot reach the shim at {socket}")]
    Connect { socket: PathBuf, source: std::io::Error },
    /// It is there and does not answer: stopped, stuck, or the machine is overloaded. This says nothing about what it
    /// was asked about, and does not prove its death.
    #[error("the shim did not {doing}: it has not answered for {} seconds", limit.as_secs())]
    Silent { doing: &'static str, limit: Duration },
    /// The connection broke in the middle: the shim has ended.
    #[error("the shim ended while it was to {doing}")]
    Lost { doing: &'static str, source: ttrpc::Error },
    /// It did what it was told, and that failed: the OCI runtime's words.
    #[error("{message}")]
    Task { code: ttrpc::Code, message: String, reason: Option<Reason> },
}

impl ShimError {
    /// What kind of failure this is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Refused { words, .. } | Self::Task { message: words, .. } if is_disk_full(words) => {
                Kind::ResourceExhausted
            }
            Self::Spawn { .. } | Self::Refused { .. } => Kind::Internal,
            Self::NoBundle { .. } => Kind::FailedPrecondition,
            Self::TimedOut { .. } => Kind::DeadlineExceeded,
            Self::Connect { .. } | Self::Silent { .. } | Self::Lost { .. } => Kind::Unavailable,
            Self::Task { code: ttrpc::Code::NOT_FOUND, .. } => Kind::NotFound,
            Self::Task { code: ttrpc::Code::FAILED_PRECONDITION, .. } => Kind::FailedPrecondition,
            Self::Task { code: ttrpc::Code::INVALID_ARGUMENT, .. } => Kind::InvalidArgument,
            Self::Task { .. } => Kind::Internal,
        }
    }

    /// Whether what was asked for is not there (any more).
    pub(crate) fn is_not_found(&self) -> bool {
        self.kind() == Kind::NotFound
    }
}

/// Whether the shim or the runtime had no room for its files. The words are the kernel's, whichever runtime it is.
fn is_disk_full(words: &str) -> bool {
    words.to_lowercase().contains("no space left on device")
}

impl Shims {
    /// The socket of the container's shim.
    pub(crate) fn socket(&self, id: &ContainerId) -> PathBuf {
        self.sockets.join(format!("{}.sock", short(id)))
    }

    /// Starts the container's shim and connects to it.
    ///
    /// # Errors
    /// [`ShimError`]; whatever was started is for [`Shims::clean_up`].
    pub(crate) async fn spawn(&self, id: &ContainerId, bundle: &Path) -> Result<Task, ShimError> {
        self.call(id, bundle, "start", START_LIMIT).await?;
        self.connect(id).await
    }

    /// Connects to the container's shim, if it is there.
    ///
    /// # Errors
    /// [`ShimError::Connect`] when no process listens.
    pub(crate) async fn connect(&self, id: &ContainerId) -> Result<Task, ShimError> {
        Task::connect(&self.socket(id), id.as_str().to_owned()).await
    }

    /// Ends everything of the container and cleans up: processes, mounts, cgroups, the runtime's state, sockets, and
    /// the shim's own server if it is still alive. How the container ended, if that is known: nothing is made up.
    ///
    /// # Errors
    /// [`ShimError`] when that could not be done; it can be tried again.
    pub(crate) async fn clean_up(
        &self,
        id: &ContainerId,
        bundle: &Path,
    ) -> Result<Option<TaskExit>, ShimError> {
        let answer = self.call(id, bundle, "delete", CLEAN_UP_LIMIT).await?;
        let ended = DeleteResponse::parse_from_bytes(&answer).unwrap_or_default();
        Ok(ended.exited_at.is_some().then(|| task::exit_of(ended.exit_status, &ended.exited_at)))
    }

    async fn call(
        &self,
        id: &ContainerId,
        bundle: &Path,
        action: &'static str,
        limit: Duration,
    ) -> Result<Vec<u8>, ShimError> {
        let mut command = Command::new(&self.program);
        command.args(["-namespace", NAMESPACE, "-id", id.as_str(), "-address", "", "-publish-binary", ""]);
        // Not from inside the bundle: it may be gone, and the shim has to clean up all the same.
        command.arg("-bundle").arg(bundle).arg(action).current_dir("/");
        command
            .env("KNARR_SHIM_SOCKET", self.socket(id))
            .env("KNARR_RUNTIME", &self.runtime)
            .env("KNARR_RUNTIME_ROOT", &self.runtime_root)
            .envs(self.open_files.map(|soft| ("KNARR_SHIM_OPEN_FILES", soft.to_string())))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(limit, command.output())
            .await
            .map_err(|_| ShimError::TimedOut { doing: action, limit })?
            .map_err(|source| ShimError::Spawn { program: self.program.clone(), source })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        if !tokio::fs::try_exists(bundle).await.unwrap_or(true) {
            return Err(ShimError::NoBundle { bundle: bundle.to_owned() });
        }
        let words = &output.stderr[output.stderr.len().saturating_sub(MAX_WORDS_BYTES)..];
        let words = String::from_utf8_lossy(words).trim().to_owned();
        Err(ShimError::Refused {
            doing: action,
            words: if words.is_empty() { output.status.to_string() } else { words },
        })
    }
}

/// An id as it is in socket names, whose length is bounded: the first 12 characters.
pub(crate) fn short(id: &ContainerId) -> &str {
    let id = id.as_str();
    id.get(..12).unwrap_or(id)
}
