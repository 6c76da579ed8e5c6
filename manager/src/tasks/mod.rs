//! Tasks: running a process on a root filesystem, under a shim. A [`plan::TaskPlan`] says what is to run; nothing here
//! knows names, records or images.

pub(crate) mod bundle;
mod error;
mod held;
pub(crate) mod keep;
mod launch;
mod once;
pub(crate) mod plan;
mod prepare;
pub(crate) mod shims;
pub(crate) mod spec;
pub(crate) mod streams;
pub(crate) mod user;

use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;
use knarr_proto::stdio::{KnarrStdio, LogTarget};
use tokio::net::UnixStream;

pub(crate) use error::TaskError;
pub(crate) use launch::{Connected, Launch, Launched, WaitingClient};
use plan::{LogChoice, TaskPlan};
pub(crate) use prepare::check;
use shims::{ShimError, Shims, Task, TaskStdio, short};

use crate::apparmor::AppArmor;
use crate::cgroups::Cgroups;

/// Where tasks are, and what they are made with. Each is found by its container's id.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    /// Directory of the bundles.
    pub(crate) bundles: PathBuf,
    /// Directory of the attach sockets.
    pub(crate) attach: PathBuf,
    pub(crate) shims: Shims,
    /// The maker of the containers' cgroups, and their parent.
    pub(crate) cgroups: Cgroups,
    /// What confines the containers that are not privileged.
    pub(crate) apparmor: AppArmor,
    /// The program that is a container's first process where it is asked for.
    pub(crate) init: PathBuf,
    /// Whether the kernel can limit swap.
    pub(crate) counts_swap: bool,
}

/// How large a task's log may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogBounds {
    pub(crate) max_size_bytes: u64,
    pub(crate) max_files: u32,
}

impl LogBounds {
    /// The bounds of a task's log, of which these are the default; `None` when it has no log.
    pub(crate) fn chosen(self, choice: LogChoice) -> Option<Self> {
        let own = |wanted, default| if wanted == 0 { default } else { wanted };
        match choice {
            LogChoice::None => None,
            LogChoice::Default => Some(self),
            LogChoice::Bounded { max_size_bytes: 0, max_files } => {
                Some(Self { max_files: own(max_files, self.max_files), ..self })
            }
            LogChoice::Bounded { max_size_bytes, max_files } => {
                Some(Self { max_size_bytes, max_files: own(max_files, self.max_files) })
            }
        }
    }
}

impl Tasks {
    /// The container's directory.
    pub(crate) fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.bundles.join(id.as_str())
    }

    /// The socket of the first process's streams.
    pub(crate) fn attach_socket(&self, id: &ContainerId) -> PathBuf {
        self.attach.join(format!("{}.sock", short(id)))
    }

    /// The socket of an exec's streams.
    pub(crate) fn exec_socket(&self, id: &ContainerId, exec_id: &str) -> PathBuf {
        self.attach.join(format!("{}-{}.sock", short(id), exec_id.get(..8).unwrap_or(exec_id)))
    }

    /// Joins the first process's streams.
    ///
    /// # Errors
    /// [`TaskError::Streams`] when nothing listens there.
    pub(crate) async fn connect_streams(&self, id: &ContainerId) -> Result<UnixStream, TaskError> {
        connect(&self.attach_socket(id)).await
    }

    /// Where the first process's streams go.
    fn stdio(&self, plan: &TaskPlan, log: Option<LogBounds>) -> TaskStdio {
        let log = log.map(|log| LogTarget {
            path: self.bundle(&plan.id).join(bundle::LOG).to_string_lossy().into_owned(),
            max_size_bytes: log.max_size_bytes,
            max_files: log.max_files,
        });
        let attach = self.attach_socket(&plan.id).to_string_lossy().into_owned();
        let uri = KnarrStdio { attach, log }.to_uri();
        TaskStdio { uri, stdin: plan.streams.open_stdin, terminal: plan.streams.tty }
    }

    /// Ends the container's task and shim: by `task`, its shim, when that answers, or else behind a shim that is dead or
    /// has to die.
    ///
    /// # Errors
    /// [`TaskError`]; it can be repeated.
    pub(crate) async fn end(&self, id: &ContainerId, task: Option<Task>) -> Result<(), TaskError> {
        let ended = match task {
            Some(task) => end_politely(&task).await.map(|()| true),
            None => Ok(false),
        };
        match ended {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(container = %id, error = %crate::error::Chain(&error), "the shim does not end by itself");
            }
        }
        let cleaned = self.shims.clean_up(id, &self.bundle(id)).await;
        let unmounted = self.unmount(id).await;
        cleaned?;
        unmounted
    }

    /// Takes away mounts that a dead shim has left.
    async fn unmount(&self, id: &ContainerId) -> Result<(), TaskError> {
        let directory = self.bundle(id);
        Ok(tokio::task::spawn_blocking(move || bundle::unmount(&directory)).await??)
    }
}

/// Joins a process's streams at their socket.
///
/// # Errors
/// [`TaskError::Streams`] when nothing listens there.
pub(crate) async fn connect(socket: &Path) -> Result<UnixStream, TaskError> {
    let connected = UnixStream::connect(socket).await;
    connected.map_err(|source| TaskError::Streams { doing: "join", source })
}

/// Has the shim delete its task and end.
async fn end_politely(task: &Task) -> Result<(), ShimError> {
    match task.delete("").await {
        // No task was created, so nothing is mounted or running.
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    task.shutdown().await
}
