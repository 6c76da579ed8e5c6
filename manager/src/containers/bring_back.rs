//! Starting a container whose policy wants it back and whose shim cannot do it: the shim has died, or the machine was
//! restarted.

use std::sync::Arc;
use std::time::Duration;

use super::container::Container;
use super::handle::Containers;
use super::life::Life;
use super::start::{Asker, start_in_turn};
use crate::error::Chain;

/// Starts the container after `pause`, unless it has been started, stopped or removed by then, or knarrd stops first:
/// then its next recovery comes here again.
pub(super) fn bring_back(containers: &Containers, container: Arc<Container>, pause: Duration) {
    let this = containers.clone();
    let stopping = containers.work.stopping();
    let resting = |life: &Life| (life.phase, life.ends, life.removed);
    let before = resting(&container.life());
    containers.work.spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping.cancelled() => return,
        }
        let turn = container.turn.lock().await;
        if resting(&container.life()) != before {
            return;
        }
        if let Err(error) = start_in_turn(&this, &container, Asker::Policy, &turn).await {
            tracing::error!(container = %container.id(), error = %Chain(&error), "a container did not come back");
        }
    });
}
