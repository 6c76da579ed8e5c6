//! Removing a container: the intent is recorded, then each noun lets go of what it holds, and the row goes last. It can be
//! repeated from any point.

use std::sync::Arc;

use knarr_proto::id::ContainerId;
use knarr_proto::kind::Kind;

use super::error::ContainerError;
use super::life::{Event, Life, Phase};
use super::{Container, Containers, Link, table};
use crate::error::Chain;
use crate::failure::Failure as _;
use crate::held::{Held, Until};

impl Containers {
    /// Removes a container; a running one only with `force`.
    ///
    /// # Errors
    /// [`ContainerError`]; what is left is removed at the next try or the next start of knarrd.
    pub(crate) async fn remove(&self, text: &str, force: bool) -> Result<ContainerId, ContainerError> {
        let container = self.find(text)?;
        let this = self.clone();
        self.to_the_end(async move {
            if container.life().phase.is_live() {
                if !force {
                    return Err(ContainerError::Running(container.name()));
                }
                // One that is being started is waited for first.
                drop(container.turn.lock().await);
                this.kill_and_wait(&container).await?;
            }
            let _turn = container.turn.lock().await;
            this.remove_in_turn(&container).await?;
            Ok(container.id().clone())
        })
        .await
    }

    pub(super) async fn remove_in_turn(&self, container: &Arc<Container>) -> Result<(), ContainerError> {
        let life = container.life();
        if life.removed {
            return Ok(());
        }
        match life.phase {
            Phase::Creating | Phase::Starting | Phase::Restarting => {
                return Err(ContainerError::State {
                    doing: "remove",
                    name: container.name(),
                    phase: life.phase,
                });
            }
            Phase::Running | Phase::Paused => return Err(ContainerError::Running(container.name())),
            Phase::Created | Phase::Exited | Phase::Removing => {}
        }
        match self.enter(container, Event::RemovalAsked).await {
            // Removing its files makes the room, and can be asked for again if it is interrupted.
            Err(error) if error.kind() == Kind::ResourceExhausted => {
                self.show(container, container.after(Event::RemovalAsked)?);
            }
            entered => entered?,
        }
        self.discard(container).await?;
        self.publish(container, "destroy", &[]);
        Ok(())
    }

    pub(super) async fn remove_in_turn_or_log(&self, container: &Arc<Container>) {
        if let Err(error) = self.remove_in_turn(container).await {
            tracing::error!(container = %container.id(), error = %Chain(&error), "a container was not removed");
        }
    }

    /// Removes everything of a container whose intent is recorded, its row last.
    pub(super) async fn discard(&self, container: &Container) -> Result<(), ContainerError> {
        let parts = self.parts();
        container.set_link(Link::None);
        // In the reverse order of their making: a root filesystem is unmounted before the snapshot below it goes.
        parts.tasks.release(container.id(), Until::Ever).await?;
        parts.snapshots.release(container.id(), Until::Ever).await?;
        let id = container.id().clone();
        let store = parts.store.for_removal();
        store.write_unsynced("forget a container", move |tx| table::delete(tx, &id)).await?;
        self.forget(container);
        if let Err(error) = parts.images.released(&container.spec.image.id).await {
            tracing::warn!(container = %container.id(), error = %Chain(&error), "what only it needed was not collected");
        }
        Ok(())
    }

    /// Frees a container's name and id, and wakes the callers that wait for its removal.
    pub(super) fn forget(&self, container: &Container) {
        let mut registry = self.registry();
        registry.by_id.remove(container.id());
        registry.id_by_name.remove(&container.settings.name);
        drop(registry);
        self.show(container, Life { removed: true, ..container.life() });
    }
}
