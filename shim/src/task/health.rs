//! A container's health while it runs: a probe at a time, what it says, and what follows from it. What is known is `keep`'s
//! and outlives the run.

use std::sync::Arc;
use std::time::Instant;

use knarr_proto::keep::health::{HealthStatus, OnUnhealthy};
use knarr_proto::status::Status;
use tokio::time::{sleep, timeout};

use super::container::Container;
use super::probe::probe;
use super::process::Process;
use crate::chain::chain;
use crate::journal;
use crate::keep::Keeper;

/// SIGKILL.
const KILL: u32 = 9;

/// Watches the health of the run that begins now, until it ends.
pub(super) fn watch(container: &Arc<Container>, init: &Arc<Process>) {
    let Some(check) = container.keeper.as_ref().and_then(Keeper::health_check) else { return };
    let (container, init) = (Arc::clone(container), Arc::clone(init));
    // It ends with the process, at the latest after a probe's time.
    tokio::spawn(async move {
        let Some(keeper) = &container.keeper else { return };
        let began = Instant::now();
        loop {
            tokio::select! {
                () = sleep(check.pause(keeper.health_status(), began.elapsed())) => {}
                _ = init.exit() => return,
            }
            // What is frozen cannot answer.
            if init.state().status == Status::Paused {
                continue;
            }
            let since_start = began.elapsed();
            let result = probe(&container, &check).await;
            let state = init.state();
            if state.exit.is_some() {
                return;
            }
            // Frozen in the middle of it.
            if state.status == Status::Paused {
                continue;
            }
            let (before, now) = keeper.take(&check, result, since_start);
            if now == HealthStatus::Unhealthy && before != now {
                act_on_unhealthy(&container, keeper, &init).await;
            }
        }
    });
}

async fn act_on_unhealthy(container: &Container, keeper: &Keeper, init: &Process) {
    let Some((action, signal, patience)) = keeper.on_unhealthy() else { return };
    journal::warn(&format!("the container is unhealthy: {}", action.name()));
    match action {
        OnUnhealthy::None => {}
        OnUnhealthy::Kill => signal_or_log(container, KILL).await,
        OnUnhealthy::Stop | OnUnhealthy::Restart => {
            signal_or_log(container, signal).await;
            if timeout(patience, init.exit()).await.is_err() {
                signal_or_log(container, KILL).await;
            }
        }
    }
}

async fn signal_or_log(container: &Container, signal: u32) {
    if let Err(error) = container.kill(signal, false).await {
        journal::warn(&format!("an unhealthy container was not sent signal {signal}: {}", chain(&error)));
    }
}
