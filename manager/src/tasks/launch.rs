//! Giving a plan its process: bundle written while the shim starts → task made → clients joined → process started. What
//! fails on the way is undone.

use std::time::Instant;

use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::error::TaskError;
use super::plan::TaskPlan;
use super::shims::{CreateTask, Task, shim_mount};
use super::{LogBounds, Tasks};
use crate::error::Chain;
use crate::snapshots::{Mount, MountType, Snapshots};

/// An overlay whose unmount does not wait until all that was written is on the disk (Linux 5.10): for the files of a
/// container that are removed when it ends.
const VOLATILE: &str = "volatile";

/// A connection to the streams of a process that runs now.
pub(crate) struct Connected {
    pub(crate) pid: u32,
    pub(crate) socket: UnixStream,
}

/// A client that waits for a process; its sender is dropped when the launch fails.
pub(crate) type WaitingClient = oneshot::Sender<Result<Connected, TaskError>>;

/// What is to be launched, and for whom.
pub(crate) struct Launch {
    pub(crate) plan: TaskPlan,
    /// `None` for a process whose output only its clients get.
    pub(crate) log: Option<LogBounds>,
    /// Its files are removed when it ends.
    pub(crate) is_for_once: bool,
    /// Those that are to miss none of its output.
    pub(crate) clients: Vec<WaitingClient>,
}

/// A process that runs.
pub(crate) struct Launched {
    pub(crate) task: Task,
    pub(crate) pid: u32,
}

impl Tasks {
    /// Runs a plan's process on the active snapshot of the plan's id, in the bundle that is there.
    ///
    /// # Errors
    /// [`TaskError`]; nothing runs then.
    pub(crate) async fn launch(&self, launch: Launch, snapshots: &Snapshots) -> Result<Launched, TaskError> {
        let id = launch.plan.id.clone();
        let (began, bundle) = (Instant::now(), self.bundle(&id));
        let (mounts, spawned) =
            tokio::join!(self.prepare_root(&launch.plan, snapshots), self.shims.spawn(&id, &bundle));
        let ready = began.elapsed();
        let (shim, launched) = match (spawned, mounts) {
            (Ok(task), Ok(mounts)) => (Some(task.clone()), self.start(launch, mounts, task).await),
            (Ok(task), Err(error)) => (Some(task), Err(error)),
            (Err(error), _) => (None, Err(error.into())),
        };
        match &launched {
            Ok(_) => {
                tracing::debug!(container = %id, ?ready, started = ?began.elapsed(), "launched");
            }
            Err(_) => {
                if let Err(error) = self.end(&id, shim).await {
                    tracing::warn!(container = %id, error = %Chain(&error), "not all of a task was cleaned up");
                }
            }
        }
        launched
    }

    async fn prepare_root(&self, plan: &TaskPlan, snapshots: &Snapshots) -> Result<Vec<Mount>, TaskError> {
        let mounts = snapshots.mounts(plan.id.as_str()).await.map_err(TaskError::Root)?;
        self.prepare(plan.clone(), snapshots.clone()).await?;
        Ok(mounts)
    }

    async fn start(&self, launch: Launch, mounts: Vec<Mount>, task: Task) -> Result<Launched, TaskError> {
        let Launch { plan, log, is_for_once, clients } = launch;
        let rootfs = mounts.into_iter().map(|Mount { kind, source, options }| {
            let volatile = (is_for_once && kind == MountType::Overlay).then(|| VOLATILE.to_owned());
            shim_mount(kind.as_str().to_owned(), source, options.into_iter().chain(volatile).collect())
        });
        let create = CreateTask {
            bundle: self.bundle(&plan.id).to_string_lossy().into_owned(),
            rootfs: rootfs.collect(),
            streams: self.stdio(&plan, log),
            systemd_cgroup: self.cgroups.is_systemd(),
        };
        task.create(create).await?;
        let mut joined = Vec::with_capacity(clients.len());
        for client in clients {
            joined.push((client, self.connect_streams(&plan.id).await));
        }
        let pid = task.start("").await?;
        for (client, connected) in joined {
            // One that has left meanwhile needs no connection.
            drop(client.send(connected.map(|socket| Connected { pid, socket })));
        }
        Ok(Launched { task, pid })
    }
}
