//! A container's end: seen through its shim's Wait, or noticed by the shim's own end. The exit status is recorded and
//! told before anything is cleaned up.

use std::sync::Arc;
use std::time::Duration;

use knarr_proto::keep::Kept;
use knarr_proto::keep::policy::{Ending, FIRST_PAUSE};

use super::bring_back::bring_back;
use super::container::{Container, Link};
use super::follow::{Followed, follow};
use super::handle::Containers;
use super::keep;
use super::life::{Event, Exit};
use super::recover::Recovery;
use super::remove::remove_in_turn_or_log;
use crate::error::Chain;
use crate::tasks::bundle;
use crate::tasks::shims::{ShimError, Task, TaskExit};
use crate::time::UnixNs;

/// SIGKILL's code, for a process whose end was not seen: what is left of it is killed, an exec with its container.
pub(super) const UNSEEN: u32 = 137;

/// What is known of an end.
pub(super) enum Ended {
    /// Its shim told it.
    Seen(TaskExit),
    /// Why it did not. The exit record counts, if there is one.
    Unseen(String),
}

/// What a shim tells of its container.
enum Told {
    /// It has ended, by a shim that does nothing by itself.
    Exit(TaskExit),
    /// What the shim has done by itself.
    Kept(Kept),
}

/// Watches a container from now until it ends for good, or until knarrd stops.
pub(super) fn supervise(containers: &Containers, container: Arc<Container>, task: Task) {
    let this = containers.clone();
    let stopping = containers.work.stopping();
    containers.work.spawn(async move {
        let mut seen = 0;
        loop {
            let told = tokio::select! {
                told = listen(&container, &task, seen) => told,
                () = stopping.cancelled() => return,
            };
            match told {
                Ok(Told::Kept(kept)) => {
                    seen = kept.change;
                    let _turn = container.turn.lock().await;
                    match follow(&this, &container, &kept).await {
                        Ok(Followed::GoesOn) => {}
                        Ok(Followed::IsOver) => return,
                        Err(error) => {
                            tracing::error!(container = %container.id(), error = %Chain(&error), "a shim is not followed");
                            return;
                        }
                    }
                }
                Ok(Told::Exit(exit)) => {
                    let _turn = container.turn.lock().await;
                    // It may have got a policy while it ran.
                    if !keep::is_kept(&container) {
                        return end(&this, &container, Ended::Seen(exit)).await;
                    }
                }
                // A connection that broke says nothing about the container.
                Err(error) => {
                    tracing::warn!(container = %container.id(), error = %Chain(&error), "a shim's connection broke");
                    container.set_link(Link::Silent(Chain(&error).to_string()));
                    return Recovery(this).settle_in_time(container).await;
                }
            }
        }
    });
}

/// Returns when the shim has something to tell.
async fn listen(container: &Container, task: &Task, seen: u64) -> Result<Told, ShimError> {
    if keep::is_kept(container) {
        match task.watch(seen).await {
            // A shim of an earlier version, or the container has been deleted.
            Err(ShimError::Task { .. }) => {}
            kept => return kept.map(Told::Kept),
        }
    }
    task.wait("").await.map(Told::Exit)
}

/// Records the end, tells it, and cleans up. The caller has the turn. An end that the shim has not seen is followed by
/// another run if the policy says so: the shim has said so of the others.
pub(super) async fn end(containers: &Containers, container: &Arc<Container>, ended: Ended) {
    let records = &containers.records;
    let is_seen = matches!(ended, Ended::Seen(_));
    let exit = exit(container, ended).await;
    let (code, oom_killed) = (exit.code, exit.oom_killed);
    let auto_remove = container.settings().auto_remove;
    let pause = if is_seen { None } else { pause_after(container, &exit) };
    let event = if pause.is_some() { Event::EndedToReturn(exit) } else { Event::Ended(exit) };
    let durability = event.durability(auto_remove);
    let mut life = match container.after(event) {
        Ok(life) => life,
        Err(error) => {
            tracing::error!(container = %container.id(), error = %Chain(&error), "an end came too late");
            return;
        }
    };
    life.restarts += u32::from(pause.is_some());
    // An auto-removed container's next record is that it is being removed; its exit is in exit.json until then.
    let recorded = if auto_remove { Ok(()) } else { records.write(container, &life, durability).await };
    records.show(container, life);
    if let Err(error) = recorded {
        tracing::error!(container = %container.id(), error = %Chain(&error), "an end was not recorded");
    }
    if oom_killed {
        records.publish(container, "oom", &[]);
    }
    records.publish(container, "die", &[("exitCode", code.to_string())]);
    containers.execution.end_task(container).await;
    if let Some(pause) = pause {
        bring_back(containers, Arc::clone(container), pause);
    }
    if auto_remove {
        remove_in_turn_or_log(containers, container).await;
    }
}

/// How long after an end that its shim has not seen a container is to be started again, if at all.
fn pause_after(container: &Container, exit: &Exit) -> Option<Duration> {
    let life = container.life();
    let started_at = life.started_at.unwrap_or(exit.finished_at);
    container.settings().restart.pause_after(Ending {
        code: exit.code,
        ran_for: Duration::from_nanos(exit.finished_at.0.saturating_sub(started_at.0)),
        restarts: life.restarts,
        // How long it was, the shim has known.
        last_pause: if life.restarts == 0 { Duration::ZERO } else { FIRST_PAUSE },
        is_stopped: life.is_stopped,
    })
}

/// How it ended, by the best word that there is.
async fn exit(container: &Container, ended: Ended) -> Exit {
    let record = bundle::exit_record(&container.bundle).await;
    match (ended, record) {
        (Ended::Seen(seen), record) => Exit {
            code: seen.code,
            finished_at: record.as_ref().map_or_else(UnixNs::now, |record| UnixNs(record.exited_at_unix_ns)),
            oom_killed: record.is_some_and(|record| record.oom_killed),
            error: String::new(),
        },
        (Ended::Unseen(_), Some(record)) => Exit {
            code: record.code,
            finished_at: UnixNs(record.exited_at_unix_ns),
            oom_killed: record.oom_killed,
            error: String::new(),
        },
        (Ended::Unseen(error), None) => {
            tracing::warn!(container = %container.id(), error, "an end was not seen");
            Exit { code: UNSEEN, finished_at: UnixNs::now(), oom_killed: false, error }
        }
    }
}
