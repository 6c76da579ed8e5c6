//! Removing a container: the intent is recorded, then each noun lets go of what it holds, and the row goes last. It can be
//! repeated from any point.

use knarr_proto::id::ContainerId;
use knarr_proto::kind::Kind;

use super::container::{Container, Link};
use super::error::ContainerError;
use super::handle::Containers;
use super::hold_back::hold_back;
use super::life::{Event, Life};
use super::stop::kill_and_wait;
use crate::error::Chain;
use crate::failure::Failure as _;
use crate::held::{Held, Until};

/// What a removal may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removal {
    /// Kill it first when it runs.
    pub(crate) force: bool,
    /// Also its volumes without a name of their own, unless others use them.
    pub(crate) volumes: bool,
}

/// Removes a container; a running one only with `force`.
///
/// # Errors
/// [`ContainerError`]; what is left is removed at the next try or the next start of knarrd.
pub(crate) async fn remove(
    containers: &Containers,
    text: &str,
    removal: Removal,
) -> Result<ContainerId, ContainerError> {
    let container = containers.registry.find(text)?;
    let this = containers.clone();
    let removing = async move {
        if container.life().phase.holds_shim() {
            if !removal.force {
                return Err(ContainerError::Running(container.name()));
            }
            // One that is being started is waited for first.
            drop(container.turn.lock().await);
            hold_back(&this, &container).await?;
            kill_and_wait(&this.records, &container).await?;
        }
        let _turn = container.turn.lock().await;
        remove_in_turn(&this, &container, removal.volumes).await?;
        Ok(container.id().clone())
    };
    containers.work.finish(removing).await
}

/// As [`remove`], for a caller that holds the turn. With `volumes`, those without a name of their own go, too.
pub(super) async fn remove_in_turn(
    containers: &Containers,
    container: &Container,
    volumes: bool,
) -> Result<(), ContainerError> {
    let life = container.life();
    if life.removed {
        return Ok(());
    }
    if life.phase.holds_process() {
        return Err(ContainerError::Running(container.name()));
    }
    match containers.records.enter(container, Event::RemovalAsked).await {
        // Removing its files makes the room, and can be asked for again if it is interrupted.
        Err(error) if error.kind() == Kind::ResourceExhausted => {
            containers.records.show(container, container.after(Event::RemovalAsked)?);
        }
        entered => entered?,
    }
    discard(containers, container, volumes).await?;
    containers.records.publish(container, "destroy", &[]);
    Ok(())
}

pub(super) async fn remove_in_turn_or_log(containers: &Containers, container: &Container) {
    if let Err(error) = remove_in_turn(containers, container, true).await {
        tracing::error!(container = %container.id(), error = %Chain(&error), "a container was not removed");
    }
}

/// Removes everything of a container whose intent is recorded, its row last; and then, with `volumes`, those of its volumes
/// that have no name of their own, unless others use them.
pub(super) async fn discard(
    containers: &Containers,
    container: &Container,
    volumes: bool,
) -> Result<(), ContainerError> {
    container.set_link(Link::None);
    let storage = &containers.storage;
    let anonymous = if volumes { storage.volumes.anonymous_of(container.id()).await? } else { Vec::new() };
    // In the reverse order of their making: a root filesystem is unmounted before the snapshot below it goes.
    containers.execution.tasks.release(container.id(), Until::Ever).await?;
    containers.execution.networks.release(container.id(), Until::Ever).await?;
    storage.release(container).await?;
    containers.records.delete(container.id().clone()).await?;
    forget(containers, container);
    storage.collect(container).await;
    if !anonymous.is_empty()
        && let Err(error) = storage.volumes.remove_anonymous(anonymous).await
    {
        tracing::warn!(container = %container.id(), error = %Chain(&error), "volumes of its own stay until a prune");
    }
    Ok(())
}

/// Frees a container's name and id, and wakes the callers that wait for its removal.
pub(super) fn forget(containers: &Containers, container: &Container) {
    containers.registry.forget(container);
    containers.records.show(container, Life { removed: true, ..container.life() });
}
