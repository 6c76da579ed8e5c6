//! After knarrd has started: every container is brought back to what its record and its shim say together. Intents are
//! finished or undone, running containers are watched again, ended ones get their true exit status.

use std::collections::HashSet;
use std::sync::Arc;

use knarr_proto::id::ContainerId;
use tokio::task::JoinSet;

use super::error::{ContainerError, files};
use super::model::{Exit, Identity, Life, Phase, UnixNs};
use super::{Container, Containers, bundle, signal, table};
use crate::error::Chain;
use crate::shims::{ShimError, Task, TaskExit, TaskStatus, short};

/// Containers looked at side by side: shims answer within a millisecond, dead ones need a process each.
const AT_ONCE: usize = 8;
/// Docker's exit code of a container that went down with its machine.
const MACHINE_RESTARTED: u32 = 255;

/// What recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub(crate) containers: usize,
    pub(crate) running: usize,
    /// Directories, snapshots and sockets that belonged to nobody.
    pub(crate) swept: usize,
}

impl Containers {
    /// Loads all containers and settles each of them. Called once, before anybody is served.
    ///
    /// # Errors
    /// [`ContainerError`] when the records cannot be read; a single container's trouble is logged.
    pub(crate) async fn recover(&self) -> Result<Recovered, ContainerError> {
        let rows = self.parts().store.read("read the containers", table::all).await?;
        let containers: Vec<Arc<Container>> =
            rows.into_iter().map(|(identity, life)| self.load(identity, life)).collect();
        let mut settling = JoinSet::new();
        for container in containers {
            if settling.len() >= AT_ONCE {
                settled(settling.join_next().await);
            }
            let this = self.clone();
            settling.spawn(async move {
                let _turn = container.turn.lock().await;
                if let Err(error) = this.settle(&container).await {
                    tracing::error!(container = %container.id(), error = %Chain(&error), "a container was not recovered");
                }
            });
        }
        while !settling.is_empty() {
            settled(settling.join_next().await);
        }
        let swept = self.sweep().await?;
        let registry = self.registry();
        let running =
            registry.by_id.values().filter(|container| container.life().phase == Phase::Running).count();
        Ok(Recovered { containers: registry.by_id.len(), running, swept })
    }

    fn load(&self, identity: Identity, life: Life) -> Arc<Container> {
        let bundle = self.parts().bundles.join(identity.id.as_str());
        let (id, name) = (identity.id.clone(), identity.name.clone());
        let live = usize::from(life.phase.is_live());
        let container = Arc::new(Container::new(identity, life, bundle));
        let mut registry = self.registry();
        registry.id_by_name.insert(name, id.clone());
        registry.by_id.insert(id, Arc::clone(&container));
        self.shared.live.send_modify(|count| *count += live);
        container
    }

    async fn settle(&self, container: &Arc<Container>) -> Result<(), ContainerError> {
        let life = container.life();
        match life.phase {
            Phase::Creating | Phase::Removing => {
                self.end_leftovers(container).await;
                self.discard(container).await
            }
            Phase::Created | Phase::Exited => {
                self.end_leftovers(container).await;
                if life.phase == Phase::Exited && container.identity.config.auto_remove {
                    return self.remove_in_turn(container).await;
                }
                Ok(())
            }
            Phase::Starting | Phase::Running if life.boot_id != self.parts().boot_id => {
                self.went_down(container, life).await
            }
            Phase::Starting | Phase::Running => self.adopt(container, life).await,
        }
    }

    /// The container's shim decides what it is now.
    async fn adopt(&self, container: &Arc<Container>, life: Life) -> Result<(), ContainerError> {
        let (task, state) = match self.ask(container).await {
            Ok(answer) => answer,
            Err(error) => {
                let ran = life.phase == Phase::Running || bundle::exit_record(&container.bundle).is_some();
                if !ran {
                    return self.undo(container, life).await;
                }
                self.ended(container, Err(error)).await;
                return Ok(());
            }
        };
        container.set_task(Some(task.clone()));
        match state.status {
            TaskStatus::Running => {
                let started_at =
                    life.started_at.filter(|_| life.phase == Phase::Running).unwrap_or_else(UnixNs::now);
                let running = Life {
                    phase: Phase::Running,
                    pid: state.pid,
                    started_at: Some(started_at),
                    ..life.clone()
                };
                if running != life {
                    self.enter(container, running).await?;
                }
                self.supervise(Arc::clone(container), task);
                Ok(())
            }
            TaskStatus::Stopped => {
                self.ended(container, Ok(TaskExit { code: state.exit.code, at: state.exit.at })).await;
                Ok(())
            }
            // knarrd ended between making the task and starting it: nobody is told that it runs.
            TaskStatus::Created => {
                if let Err(error) = task.kill("", signal::KILL).await {
                    tracing::debug!(container = %container.id(), error = %Chain(&error), "the waiting process was not killed");
                }
                self.undo(container, life).await
            }
        }
    }

    async fn ask(&self, container: &Container) -> Result<(Task, crate::shims::TaskState), ShimError> {
        let task = self.parts().shims.connect(container.id()).await?;
        let state = task.state().await?;
        Ok((task, state))
    }

    /// Takes a start back. The caller has the turn.
    async fn undo(&self, container: &Arc<Container>, life: Life) -> Result<(), ContainerError> {
        self.end_shim(container).await;
        let phase = if life.started_at.is_some() { Phase::Exited } else { Phase::Created };
        self.enter(container, Life { phase, pid: 0, ..life }).await?;
        if container.identity.config.auto_remove {
            return self.remove_in_turn(container).await;
        }
        Ok(())
    }

    /// The machine was restarted under it. Its shim's exit record counts, if it got as far as writing one.
    async fn went_down(&self, container: &Arc<Container>, life: Life) -> Result<(), ContainerError> {
        let exit = match bundle::exit_record(&container.bundle) {
            Some(record) => Exit {
                code: record.code,
                finished_at: UnixNs(record.exited_at_unix_ns),
                oom_killed: record.oom_killed,
                error: String::new(),
            },
            None => Exit {
                code: MACHINE_RESTARTED,
                finished_at: UnixNs::now(),
                oom_killed: false,
                error: "the machine was restarted while it ran".to_owned(),
            },
        };
        let exited = Life { phase: Phase::Exited, pid: 0, exit: Some(exit), ends: life.ends + 1, ..life };
        self.enter(container, exited).await?;
        if container.identity.config.auto_remove {
            return self.remove_in_turn(container).await;
        }
        Ok(())
    }

    /// A container that does not run may still have a shim, or mounts: knarrd ended before it had cleaned up.
    async fn end_leftovers(&self, container: &Container) {
        if !self.parts().shims.socket(container.id()).exists() {
            let directory = container.bundle.clone();
            let unmounted = tokio::task::spawn_blocking(move || bundle::unmount(&directory)).await;
            if let Ok(Err(error)) = unmounted {
                tracing::warn!(container = %container.id(), error = %Chain(&error), "a root filesystem is still mounted");
            }
            return;
        }
        container.set_task(self.parts().shims.connect(container.id()).await.ok());
        self.end_shim(container).await;
    }

    /// Removes directories, snapshots and sockets that belong to no container.
    async fn sweep(&self) -> Result<usize, ContainerError> {
        let ids: HashSet<ContainerId> = self.registry().by_id.keys().cloned().collect();
        let shorts: HashSet<String> = ids.iter().map(|id| short(id).to_owned()).collect();
        let parts = self.parts();
        let mut swept = 0;
        for name in names(&parts.bundles)? {
            if ids.iter().any(|id| id.as_str() == name) {
                continue;
            }
            let (directory, id) = (parts.bundles.join(&name), name.parse::<ContainerId>());
            if let (Ok(id), true) = (id, directory.join("config.json").exists())
                && let Err(error) = parts.shims.clean_up(&id, &directory).await
            {
                tracing::warn!(container = %id, error = %Chain(&error), "an orphan's task was not cleaned up");
            }
            swept += usize::from(logged("an orphaned bundle", bundle::remove(&directory)));
        }
        let snapshots = parts.snapshots.list().await;
        for snapshot in snapshots.map_err(|source| ContainerError::Snapshot { doing: "list", source })? {
            let orphan = snapshot.kind == crate::snapshots::Kind::Active
                && snapshot.key.parse::<ContainerId>().is_ok_and(|id| !ids.contains(&id));
            if orphan {
                let kept = parts.snapshots.set_aside(&snapshot.key).await;
                let kept = kept.map_err(|source| ContainerError::Snapshot { doing: "set aside", source });
                swept += usize::from(logged("an orphaned snapshot", kept));
            }
        }
        for directory in [&parts.attach, &parts.shims.sockets] {
            for name in names(directory)? {
                let owner = name.split(['.', '-']).next().unwrap_or_default();
                let path = directory.join(&name);
                if shorts.contains(owner) || tokio::net::UnixStream::connect(&path).await.is_ok() {
                    continue;
                }
                swept += usize::from(logged(
                    "an orphaned socket",
                    std::fs::remove_file(&path).map_err(files("remove", path)),
                ));
            }
        }
        Ok(swept)
    }
}

fn names(directory: &std::path::Path) -> Result<Vec<String>, ContainerError> {
    let entries = std::fs::read_dir(directory).map_err(files("read", directory))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn logged(what: &'static str, removed: Result<(), ContainerError>) -> bool {
    match removed {
        Ok(()) => tracing::info!(what, "swept"),
        Err(error) => tracing::warn!(what, error = %Chain(&error), "not swept"),
    }
    true
}

fn settled(joined: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = joined {
        tracing::error!(%error, "recovering a container was interrupted");
    }
}
