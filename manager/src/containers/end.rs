//! A container's end: seen through its shim's Wait, or noticed by the shim's own end. The exit status is recorded and
//! told before anything is cleaned up.

use std::sync::Arc;

use super::container::{Container, Link};
use super::handle::Containers;
use super::life::{Event, Exit};
use super::recover::Recovery;
use super::remove::remove_in_turn_or_log;
use crate::error::Chain;
use crate::tasks::bundle;
use crate::tasks::shims::{Task, TaskExit};
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

/// Watches a container from now until it ends, or until knarrd stops.
pub(super) fn supervise(containers: &Containers, container: Arc<Container>, task: Task) {
    let this = containers.clone();
    let stopping = containers.work.stopping();
    containers.work.spawn(async move {
        let ended = tokio::select! {
            ended = task.wait("") => ended,
            () = stopping.cancelled() => return,
        };
        match ended {
            Ok(exit) => {
                let _turn = container.turn.lock().await;
                end(&this, &container, Ended::Seen(exit)).await;
            }
            // A connection that broke says nothing about the container.
            Err(error) => {
                tracing::warn!(container = %container.id(), error = %Chain(&error), "a shim's connection broke");
                container.set_link(Link::Silent(Chain(&error).to_string()));
                Recovery(this).settle_in_time(container).await;
            }
        }
    });
}

/// Records the end, tells it, and cleans up. The caller has the turn.
pub(super) async fn end(containers: &Containers, container: &Arc<Container>, ended: Ended) {
    let records = &containers.records;
    let exit = exit(container, ended).await;
    let (code, oom_killed) = (exit.code, exit.oom_killed);
    let auto_remove = container.settings().auto_remove;
    let event = Event::Ended(exit);
    let durability = event.durability(auto_remove);
    let life = match container.after(event) {
        Ok(life) => life,
        Err(error) => {
            tracing::error!(container = %container.id(), error = %Chain(&error), "an end came too late");
            return;
        }
    };
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
    if auto_remove {
        remove_in_turn_or_log(containers, container).await;
    }
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
