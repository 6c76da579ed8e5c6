//! Giving a container its task: intent recorded → bundle written while the shim starts → task made → clients joined →
//! task started → recorded, and watched from then on. What fails on the way is undone.

use std::sync::Arc;

use knarr_proto::stdio::{KnarrStdio, LogTarget};
use tokio::net::UnixStream;

use super::error::{self, ContainerError};
use super::life::Event;
use super::model::{Exit, Phase, UnixNs};
use super::spec::RootfsFacts;
use super::spec::volumes::volume_roots;
use super::{Container, Containers, Link, bundle, rootfs, spec, user};
use crate::error::Chain;
use crate::shims::{CreateTask, Task, TaskStdio, shim_mount, short};
use crate::snapshots::Mount;

/// Docker's exit code of a container that could not be started for the machine's sake.
const NOT_STARTED: u32 = 128;

/// An overlay whose unmount does not wait until all that was written is on the disk (Linux 5.10): for the files of a
/// container that are removed when it ends.
const VOLATILE: &str = "volatile";

/// A container that runs now.
pub(super) struct Started {
    pub(super) pid: u32,
    /// The attach socket, connected before the process ran, when that was asked for.
    pub(super) streams: Option<UnixStream>,
}

impl Containers {
    /// Starts a container; that it runs already is no error. Its pid.
    ///
    /// # Errors
    /// [`ContainerError`]; [`ContainerError::Command`] when its command cannot be executed.
    pub(crate) async fn start(&self, text: &str) -> Result<u32, ContainerError> {
        let container = self.find(text)?;
        let this = self.clone();
        self.to_the_end(async move { this.start_now(&container, false).await.map(|started| started.pid) })
            .await
    }

    pub(super) async fn start_now(
        &self,
        container: &Arc<Container>,
        attach: bool,
    ) -> Result<Started, ContainerError> {
        let _turn = container.turn.lock().await;
        let before = container.life();
        if let Some(cause) = &container.damage {
            return Err(ContainerError::Damaged { name: container.name(), cause: cause.clone() });
        }
        match before.phase {
            Phase::Running | Phase::Paused => {
                let streams = if attach { Some(self.connect_streams(container).await?) } else { None };
                return Ok(Started { pid: before.pid, streams });
            }
            // The others, the table lets through or not.
            _ => {}
        }
        container.is_killed.store(false, std::sync::atomic::Ordering::Relaxed);
        self.enter(container, Event::StartAsked { boot_id: self.parts().boot_id.clone() }).await?;
        let (task, started) = match self.launch(container, attach).await {
            Ok(launched) => launched,
            Err(error) => {
                self.undo_start(container, &error).await;
                return Err(error);
            }
        };
        let event = Event::Started { pid: started.pid, at: UnixNs::now() };
        let durability = event.durability(container.identity.config.auto_remove);
        let running = container.after(event)?;
        container.set_link(Link::Task(task.clone()));
        self.publish(container, "start", &[]);
        // The process runs whatever becomes of the record: watch it first, and do not take it back.
        self.supervise(Arc::clone(container), task);
        self.show(container, running.clone());
        self.record(container, &running, durability).await?;
        Ok(started)
    }

    async fn launch(&self, container: &Container, attach: bool) -> Result<(Task, Started), ContainerError> {
        let parts = self.parts();
        let began = std::time::Instant::now();
        let spawned = parts.shims.spawn(container.id(), &container.bundle);
        let (mounts, task) = tokio::join!(self.write_bundle(container), spawned);
        let task = task?;
        // From here on a failure is undone through the task.
        container.set_link(Link::Task(task.clone()));
        let mounts = mounts?;
        let ready = began.elapsed();
        let is_for_once = container.identity.config.auto_remove;
        let rootfs = mounts.into_iter().map(|Mount { kind, source, options }| {
            let volatile = (is_for_once && kind == "overlay").then(|| VOLATILE.to_owned());
            shim_mount(kind, source, options.into_iter().chain(volatile).collect())
        });
        let create = CreateTask {
            bundle: container.bundle.to_string_lossy().into_owned(),
            rootfs: rootfs.collect(),
            streams: self.streams(container),
            systemd_cgroup: parts.cgroups.is_systemd(),
        };
        task.create(create).await.map_err(error::of_start)?;
        let created = began.elapsed();
        let streams = if attach { Some(self.connect_streams(container).await?) } else { None };
        let pid = task.start("").await.map_err(error::of_start)?;
        tracing::debug!(container = %container.id(), ?ready, ?created, started = ?began.elapsed(), "launched");
        Ok((task, Started { pid, streams }))
    }

    /// Writes config.json for this run; who the user is may have changed since the last one.
    async fn write_bundle(&self, container: &Container) -> Result<Vec<Mount>, ContainerError> {
        let mounts = self.parts().snapshots.mounts(container.id().as_str()).await;
        let mounts = mounts.map_err(|source| ContainerError::Snapshot { doing: "find", source })?;
        let (identity, directory, view) =
            (Arc::clone(&container.identity), container.bundle.clone(), mounts.clone());
        let cgroups = self.parts().cgroups.clone();
        tokio::task::spawn_blocking(move || {
            let root =
                rootfs::open(&view).map_err(error::files("look into the root filesystem of", &directory))?;
            let account = user::look_up(&root, &identity.process.user, &identity.config.group_add)?;
            let volumes = volume_roots(&root, &identity.process.volumes)?;
            drop(root);
            let spec = spec::build(&identity, &RootfsFacts { account, volumes }, &directory, &cgroups)?;
            bundle::write(&directory, &identity, &spec)
        })
        .await??;
        Ok(mounts)
    }

    fn streams(&self, container: &Container) -> TaskStdio {
        let logs = self.parts().logs;
        let config = &container.identity.config;
        let log = LogTarget {
            path: container.bundle.join(bundle::LOG).to_string_lossy().into_owned(),
            max_size_bytes: logs.max_size_bytes,
            max_files: logs.max_files,
        };
        let attach = self.attach_socket(container).to_string_lossy().into_owned();
        let uri = KnarrStdio { attach, log: Some(log) }.to_uri();
        TaskStdio { uri, stdin: config.open_stdin, terminal: config.tty }
    }

    pub(super) fn attach_socket(&self, container: &Container) -> std::path::PathBuf {
        self.parts().attach.join(format!("{}.sock", short(container.id())))
    }

    pub(super) async fn connect_streams(&self, container: &Container) -> Result<UnixStream, ContainerError> {
        let connected = UnixStream::connect(self.attach_socket(container)).await;
        connected.map_err(|source| ContainerError::Streams { doing: "join", source })
    }

    /// Back to where it was, with the reason kept; the first error is the one that is told.
    async fn undo_start(&self, container: &Arc<Container>, cause: &ContainerError) {
        self.end_shim(container).await;
        let exit = Exit {
            code: cause.reason().map_or(NOT_STARTED, super::CommandReason::exit_code),
            finished_at: UnixNs::now(),
            oom_killed: false,
            error: Chain(cause).to_string(),
        };
        let event = Event::StartUndone { exit: Some(exit) };
        if let Err(error) = self.enter(container, event.clone()).await {
            tracing::error!(container = %container.id(), error = %Chain(&error), "a failed start was not recorded");
            if let Ok(life) = container.after(event) {
                self.show(container, life);
            }
        }
        if container.identity.config.auto_remove {
            self.remove_in_turn_or_log(container).await;
        }
    }
}
