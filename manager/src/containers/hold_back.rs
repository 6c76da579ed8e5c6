//! Seeing to it that a container which is to end does not come back: said to its shim before anything is sent to its
//! process, so that no return overtakes the signal.

use std::sync::Arc;

use super::container::Container;
use super::error::ContainerError;
use super::follow::give_up;
use super::handle::Containers;
use super::keep;
use super::life::{Event, Phase};

/// Holds a container back from its next run, if its policy would bring it back; waits for a start that is under way. A
/// container between two runs ends by this alone.
///
/// # Errors
/// [`ContainerError`] when it cannot be written that it is stopped: nothing has been sent then.
pub(super) async fn hold_back(
    containers: &Containers,
    container: &Arc<Container>,
) -> Result<(), ContainerError> {
    let _turn = container.turn.lock().await;
    if !container.life().phase.holds_shim() || !keep::is_kept(container) {
        return Ok(());
    }
    containers.records.enter(container, Event::HeldBack).await?;
    keep::order_now(&containers.execution.tasks, container).await?;
    // Without a shim it is knarrd that would have brought it back.
    if container.life().phase == Phase::Restarting && container.task().is_none() {
        give_up(containers, container).await;
    }
    Ok(())
}
