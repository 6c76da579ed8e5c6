//! After knarrd has started: every container is brought back to what its record, its shim and the kernel say together.
//! Intents are finished or undone, running containers are watched again, ended ones get their true exit status. A shim
//! that does not answer keeps neither knarrd nor the other containers waiting: it is asked again in the background.
#![allow(clippy::disallowed_methods, reason = "before clients are served")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use knarr_proto::id::ContainerId;
use knarr_proto::kind::Kind;
use tokio::sync::Semaphore;

use super::bring_back::bring_back;
use super::container::{Container, Link};
use super::error::ContainerError;
use super::handle::Containers;
use super::life::{Event, Exit, Life, Phase};
use super::network;
use super::reconcile::{Loaded, reconcile};
use super::remove::{discard, remove_in_turn};
use crate::error::Chain;
use crate::held::{Held, Until};
use crate::tasks::{bundle, keep};
use crate::time::UnixNs;

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

/// Whether its policy starts it now that the machine has come up again.
fn is_for_boot(container: &Container, life: &Life) -> bool {
    let policy = container.settings().restart;
    policy.is_for_boot(life.phase.holds_shim(), life.started_at.is_some(), life.is_stopped, life.restarts)
}

/// Brings containers to what they are; clones share them.
#[derive(Clone)]
pub(super) struct Recovery(pub(super) Containers);

/// Loads all containers and settles each of them. Called once, before any client is served.
///
/// # Errors
/// [`ContainerError`] when the records cannot be read; a single container's trouble is logged.
pub(crate) async fn recover(containers: &Containers) -> Result<Recovered, ContainerError> {
    Recovery(containers.clone()).run().await
}

impl Recovery {
    async fn run(&self) -> Result<Recovered, ContainerError> {
        let loaded = reconcile(&self.0.records, &self.0.storage, &self.0.execution).await?;
        let containers: Vec<Arc<Container>> = loaded.into_iter().map(|loaded| self.load(loaded)).collect();
        network::restore(&self.0).await;
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let settling: Vec<_> = containers
            .into_iter()
            .map(|container| {
                let (this, places) = (self.clone(), Arc::clone(&places));
                self.0.work.spawn(async move {
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
        let all = self.0.registry.all();
        let running = all.iter().filter(|container| container.life().phase.holds_process()).count();
        Ok(Recovered { containers: all.len(), running, swept })
    }

    fn load(&self, loaded: Loaded) -> Arc<Container> {
        let Loaded { record, mut life, damage } = loaded;
        if let (Some(damage), false) = (&damage, life.phase.holds_shim()) {
            let unknown = Exit { code: 0, finished_at: UnixNs(0), oom_killed: false, error: String::new() };
            life.exit.get_or_insert(unknown).error.clone_from(damage);
        }
        let bundle = self.0.execution.tasks.bundle(&record.spec.id);
        let is_live = life.phase.holds_shim();
        let container = Arc::new(Container::new(record, life, bundle).with_damage(damage));
        if container.spec.health.active().is_some() {
            let kept = keep::read(&container.bundle);
            container.set_health(kept.and_then(|kept| kept.health));
        }
        if is_live {
            container.set_link(Link::Silent(NOT_MET.to_owned()));
            self.0.records.count_live();
        }
        self.0.registry.add(&container);
        container
    }

    /// Settles a container, and leaves one whose shim does not answer to the background.
    pub(super) async fn settle_in_time(&self, container: Arc<Container>) {
        if self.settle_in_turn(&container).await == Settled::NotYet {
            self.settle_later(container);
        }
    }

    fn settle_later(&self, container: Arc<Container>) {
        let (this, stopping) = (self.clone(), self.0.work.stopping());
        self.0.work.spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = stopping.cancelled() => return,
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
                if self.release_run(container).await? == Settled::NotYet {
                    return Ok(Settled::NotYet);
                }
                discard(&self.0, container, container.settings().auto_remove).await?;
            }
            Phase::Created | Phase::Exited => {
                if self.release_run(container).await? == Settled::NotYet {
                    return Ok(Settled::NotYet);
                }
                if life.phase == Phase::Exited && container.settings().auto_remove {
                    remove_in_turn(&self.0, container, true).await?;
                } else if life.boot_id != self.0.execution.boot_id && is_for_boot(container, &life) {
                    bring_back(&self.0, Arc::clone(container), Duration::ZERO);
                }
            }
            Phase::Starting | Phase::Running | Phase::Paused | Phase::Restarting
                if life.boot_id != self.0.execution.boot_id =>
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
        self.0.execution.end_task(container).await;
        self.0.records.enter(container, Event::StartUndone { exit: None }).await?;
        if container.settings().auto_remove {
            return remove_in_turn(&self.0, container, true).await;
        }
        Ok(())
    }

    /// The machine was restarted under it. Its shim's exit record counts, if it got as far as writing one.
    async fn went_down(&self, container: &Arc<Container>) -> Result<(), ContainerError> {
        let exit = match bundle::exit_record(&container.bundle).await {
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
        let returns = is_for_boot(container, &container.life());
        match (container.life().phase, returns) {
            // How its last run ended is known.
            (Phase::Restarting, true) => {}
            (Phase::Restarting, false) => self.0.records.enter(container, Event::GivenUp).await?,
            (_, true) => self.0.records.enter(container, Event::EndedToReturn(exit)).await?,
            (_, false) => self.0.records.enter(container, Event::Ended(exit)).await?,
        }
        // Where the state directory has outlived the machine, what is in it is of no use to a new run.
        if self.release_run(container).await? == Settled::Yes && returns {
            bring_back(&self.0, Arc::clone(container), Duration::ZERO);
        } else if container.settings().auto_remove {
            return remove_in_turn(&self.0, container, true).await;
        }
        Ok(())
    }

    /// Lets go of what a container that does not run may still hold of its last run: knarrd ended before it had.
    async fn release_run(&self, container: &Container) -> Result<Settled, ContainerError> {
        match self.0.execution.tasks.release(container.id(), Until::NextRun).await {
            Ok(()) => {}
            Err(error) if error.kind == Kind::Unavailable => {
                container.set_link(Link::Silent(Chain(&error).to_string()));
                return Ok(Settled::NotYet);
            }
            // What is left is tried again at the next start of knarrd; the container can be used meanwhile.
            Err(error) => {
                tracing::warn!(container = %container.id(), error = %Chain(&error), "not all of a task was cleaned up");
            }
        }
        if let Err(error) = self.0.execution.networks.release(container.id(), Until::NextRun).await {
            tracing::warn!(container = %container.id(), error = %Chain(&error), "a container is still in its networks");
        }
        container.set_link(Link::None);
        Ok(Settled::Yes)
    }

    /// Has every noun let go of what belongs to no container.
    async fn sweep(&self) -> Result<usize, ContainerError> {
        let all = self.0.registry.all();
        let living: HashSet<ContainerId> = all.iter().map(|container| container.id().clone()).collect();
        let tasks = self.0.execution.tasks.sweep(&living).await?;
        let networks = self.0.execution.networks.sweep(&living).await?;
        let volumes = self.0.storage.volumes.sweep(&living).await?;
        Ok(tasks + networks + volumes + self.0.storage.snapshots.sweep(&living).await?)
    }
}
