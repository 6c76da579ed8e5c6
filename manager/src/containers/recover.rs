//! After knarrd has started: every container is brought back to what its record, its shim and the kernel say together.
//! Intents are finished or undone, running containers are watched again, ended ones get their true exit status. A shim
//! that does not answer keeps neither knarrd nor the other containers waiting: it is asked again in the background.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use knarr_proto::id::ContainerId;
use tokio::sync::Semaphore;

use super::error::{ContainerError, files};
use super::life::Event;
use super::model::{Exit, Life, Phase, UnixNs};
use super::reconcile::{self, Loaded};
use super::{Container, Containers, Link, bundle};
use crate::error::Chain;
use crate::shims::{ShimLook, SocketOwner, short};

/// Containers looked at side by side: shims answer within a millisecond, dead ones need a process each.
const AT_ONCE: usize = 16;
/// How long clients may wait for the slowest shim. What is not settled by then goes on beside them.
const READY_LIMIT: Duration = Duration::from_secs(1);
/// Between two attempts to reach a shim that does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// What is known of a shim that has not been asked yet.
const NOT_MET: &str = "it has not answered since knarrd was started";
/// Docker's exit code of a container that went down with its machine.
const MACHINE_RESTARTED: u32 = 255;

/// What recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub(crate) containers: usize,
    pub(crate) running: usize,
    /// Directories, snapshots and sockets that belonged to no container.
    pub(crate) swept: usize,
}

/// Whether a container is what its life says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Yes,
    /// Its shim does not answer, and is not dead.
    NotYet,
}

impl Containers {
    /// Loads all containers and settles each of them. Called once, before any client is served.
    ///
    /// # Errors
    /// [`ContainerError`] when the records cannot be read; a single container's trouble is logged.
    pub(crate) async fn recover(&self) -> Result<Recovered, ContainerError> {
        let loaded = self.reconcile().await?;
        let containers: Vec<Arc<Container>> = loaded.into_iter().map(|loaded| self.load(loaded)).collect();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let settling: Vec<_> = containers
            .into_iter()
            .map(|container| {
                let (this, places) = (self.clone(), Arc::clone(&places));
                self.shared.tasks.spawn(async move {
                    let place = places.acquire_owned().await;
                    this.settle_in_time(container).await;
                    drop(place);
                })
            })
            .collect();
        let all = async {
            for settling in settling {
                if let Err(error) = settling.await {
                    tracing::error!(%error, "recovering a container was interrupted");
                }
            }
        };
        if tokio::time::timeout(READY_LIMIT, all).await.is_err() {
            tracing::warn!("some containers are still being recovered");
        }
        let swept = self.sweep().await?;
        let registry = self.registry();
        let running =
            registry.by_id.values().filter(|container| container.life().phase == Phase::Running).count();
        Ok(Recovered { containers: registry.by_id.len(), running, swept })
    }

    fn load(&self, loaded: Loaded) -> Arc<Container> {
        let Loaded { identity, mut life, damage } = loaded;
        if let (Some(damage), false) = (&damage, life.phase.is_live()) {
            let unknown = Exit { code: 0, finished_at: UnixNs(0), oom_killed: false, error: String::new() };
            life.exit.get_or_insert(unknown).error.clone_from(damage);
        }
        let bundle = self.parts().bundles.join(identity.id.as_str());
        let (id, name) = (identity.id.clone(), identity.name.clone());
        let is_live = life.phase.is_live();
        let container = Arc::new(Container { damage, ..Container::new(identity, life, bundle) });
        if is_live {
            container.set_link(Link::Silent(NOT_MET.to_owned()));
        }
        let mut registry = self.registry();
        registry.id_by_name.insert(name, id.clone());
        registry.by_id.insert(id, Arc::clone(&container));
        self.shared.live.send_modify(|count| *count += usize::from(is_live));
        container
    }

    /// Settles a container, and leaves one whose shim does not answer to the background.
    pub(super) async fn settle_in_time(&self, container: Arc<Container>) {
        if self.settle_in_turn(&container).await == Settled::NotYet {
            self.settle_later(container);
        }
    }

    fn settle_later(&self, container: Arc<Container>) {
        let this = self.clone();
        self.shared.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = this.shared.stopping.cancelled() => return,
                }
                if this.settle_in_turn(&container).await == Settled::Yes {
                    return;
                }
            }
        });
    }

    async fn settle_in_turn(&self, container: &Arc<Container>) -> Settled {
        let _turn = container.turn.lock().await;
        let life = container.life();
        if life.removed || container.task().is_some() {
            return Settled::Yes;
        }
        match self.settle(container, life).await {
            Ok(settled) => settled,
            Err(error) => {
                tracing::error!(container = %container.id(), error = %Chain(&error), "a container was not recovered");
                Settled::Yes
            }
        }
    }

    async fn settle(&self, container: &Arc<Container>, life: Life) -> Result<Settled, ContainerError> {
        match life.phase {
            Phase::Creating | Phase::Removing => {
                if self.end_leftovers(container).await == Settled::NotYet {
                    return Ok(Settled::NotYet);
                }
                self.discard(container).await?;
            }
            Phase::Created | Phase::Exited => {
                if self.end_leftovers(container).await == Settled::NotYet {
                    return Ok(Settled::NotYet);
                }
                if life.phase == Phase::Exited && container.identity.config.auto_remove {
                    self.remove_in_turn(container).await?;
                }
            }
            Phase::Starting | Phase::Running | Phase::Paused | Phase::Restarting
                if life.boot_id != self.parts().boot_id =>
            {
                self.went_down(container).await?;
            }
            Phase::Starting | Phase::Running | Phase::Paused | Phase::Restarting => {
                return self.meet(container, life).await;
            }
        }
        Ok(Settled::Yes)
    }

    /// Takes a start back. The caller has the turn.
    pub(super) async fn undo(&self, container: &Arc<Container>) -> Result<(), ContainerError> {
        self.end_shim(container).await;
        self.enter(container, Event::StartUndone { exit: None }).await?;
        if container.identity.config.auto_remove {
            return self.remove_in_turn(container).await;
        }
        Ok(())
    }

    /// The machine was restarted under it. Its shim's exit record counts, if it got as far as writing one.
    async fn went_down(&self, container: &Arc<Container>) -> Result<(), ContainerError> {
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
        self.enter(container, Event::Ended(exit)).await?;
        if container.identity.config.auto_remove {
            return self.remove_in_turn(container).await;
        }
        Ok(())
    }

    /// A container that does not run may still have a shim, or mounts: knarrd ended before it had cleaned up.
    async fn end_leftovers(&self, container: &Container) -> Settled {
        let socket = self.parts().shims.socket(container.id());
        match self.parts().shims.look(container.id(), &container.bundle).await {
            ShimLook::HasTask(task, _) | ShimLook::NoTask(task) => container.set_link(Link::Task(task)),
            ShimLook::Dead { .. } if !socket.exists() => {
                let directory = container.bundle.clone();
                let unmounted = tokio::task::spawn_blocking(move || bundle::unmount(&directory)).await;
                if let Ok(Err(error)) = unmounted {
                    tracing::warn!(container = %container.id(), error = %Chain(&error), "a root filesystem is still mounted");
                }
                return Settled::Yes;
            }
            ShimLook::Dead { .. } => {}
            ShimLook::Unknown(error) => {
                container.set_link(Link::Silent(Chain(&error).to_string()));
                return Settled::NotYet;
            }
        }
        self.end_shim(container).await;
        Settled::Yes
    }

    /// Clears away what belongs to no container: empty bundles, snapshots, sockets.
    async fn sweep(&self) -> Result<usize, ContainerError> {
        let ids: HashSet<ContainerId> = self.registry().by_id.keys().cloned().collect();
        let bundles = self.parts().bundles.clone();
        let known = ids.clone();
        let cleared = move || reconcile::clear_bundles(&bundles, &known);
        let mut swept = tokio::task::spawn_blocking(cleared).await??;
        let snapshots = self.parts().snapshots.list().await;
        for snapshot in snapshots.map_err(|source| ContainerError::Snapshot { doing: "list", source })? {
            let is_orphan = snapshot.kind == crate::snapshots::Kind::Active
                && snapshot.key.parse::<ContainerId>().is_ok_and(|id| !ids.contains(&id));
            if is_orphan {
                let kept = self.parts().snapshots.set_aside(&snapshot.key).await;
                let kept = kept.map_err(|source| ContainerError::Snapshot { doing: "set aside", source });
                swept += logged("an orphaned snapshot", kept);
            }
        }
        Ok(swept + self.sweep_shims(&ids).await? + self.sweep_attach_sockets(&ids).await?)
    }

    /// Ends shims that have no container, and leaves alone those that have one.
    async fn sweep_shims(&self, ids: &HashSet<ContainerId>) -> Result<usize, ContainerError> {
        let directory = &self.parts().shims.sockets;
        let unknown = self.parts().shims.unknown_sockets(ids).await.map_err(files("read", directory))?;
        let mut swept = 0;
        for socket in unknown {
            let path = socket.path;
            swept += match socket.owner {
                SocketOwner::Dead => {
                    let removed = std::fs::remove_file(&path).map_err(files("remove", path));
                    logged("an orphaned shim's socket", removed)
                }
                SocketOwner::EmptyShim(task) => {
                    logged("an orphaned shim", task.shutdown().await.map_err(ContainerError::from))
                }
                SocketOwner::Container { id, bundle, state, .. } => {
                    let bundle = bundle.display();
                    tracing::error!(container = %id, %bundle, pid = state.pid, "a container runs that no record or directory here belongs to: it is left alone");
                    0
                }
                SocketOwner::Silent(error) => {
                    tracing::warn!(socket = %path.display(), error = %Chain(&error), "a shim that belongs to no container does not answer");
                    0
                }
            };
        }
        Ok(swept)
    }

    async fn sweep_attach_sockets(&self, ids: &HashSet<ContainerId>) -> Result<usize, ContainerError> {
        let shorts: HashSet<&str> = ids.iter().map(short).collect();
        let directory = &self.parts().attach;
        let mut swept = 0;
        for name in reconcile::names(directory)? {
            let owner = name.split(['.', '-']).next().unwrap_or_default();
            let path = directory.join(&name);
            if shorts.contains(owner) || tokio::net::UnixStream::connect(&path).await.is_ok() {
                continue;
            }
            let removed = std::fs::remove_file(&path).map_err(files("remove", path));
            swept += logged("an orphaned attach socket", removed);
        }
        Ok(swept)
    }
}

fn logged(what: &'static str, done: Result<(), ContainerError>) -> usize {
    match done {
        Ok(()) => {
            tracing::info!(what, "swept");
            1
        }
        Err(error) => {
            tracing::warn!(what, error = %Chain(&error), "not swept");
            0
        }
    }
}
