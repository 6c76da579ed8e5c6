//! A container's end: seen through its shim's Wait, or noticed by the shim's own end. The exit status is recorded and
//! told before anything is cleaned up.

use std::sync::Arc;

use super::life::{Event, Exit};
use super::recover::Recovery;
use super::{Container, Containers, Link};
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

impl Containers {
    /// Watches a container from now until it ends, or until knarrd stops.
    pub(super) fn supervise(&self, container: Arc<Container>, task: Task) {
        let this = self.clone();
        let stopping = self.shared.stopping.clone();
        self.shared.tasks.spawn(async move {
            let ended = tokio::select! {
                ended = task.wait("") => ended,
                () = stopping.cancelled() => return,
            };
            match ended {
                Ok(exit) => {
                    let _turn = container.turn.lock().await;
                    this.ended(&container, Ended::Seen(exit)).await;
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
    pub(super) async fn ended(&self, container: &Arc<Container>, ended: Ended) {
        let record = bundle::exit_record(&container.bundle).await;
        let exit = match (ended, record) {
            (Ended::Seen(seen), record) => Exit {
                code: seen.code,
                finished_at: record
                    .as_ref()
                    .map_or_else(UnixNs::now, |record| UnixNs(record.exited_at_unix_ns)),
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
        };
        let (code, oom_killed) = (exit.code, exit.oom_killed);
        let auto_remove = container.settings.auto_remove;
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
        let recorded = if auto_remove { Ok(()) } else { self.record(container, &life, durability).await };
        self.show(container, life);
        if let Err(error) = recorded {
            tracing::error!(container = %container.id(), error = %Chain(&error), "an end was not recorded");
        }
        if oom_killed {
            self.publish(container, "oom", &[]);
        }
        self.publish(container, "die", &[("exitCode", code.to_string())]);
        self.end_task(container).await;
        if auto_remove {
            self.remove_in_turn_or_log(container).await;
        }
    }

    /// Ends the container's task and shim. The caller has the turn. What cannot be done is logged and tried again at the
    /// next start of knarrd.
    pub(super) async fn end_task(&self, container: &Container) {
        let task = container.task();
        container.set_link(Link::None);
        if let Err(error) = self.parts().tasks.end(container.id(), task).await {
            tracing::warn!(container = %container.id(), error = %Chain(&error), "not all of a task was cleaned up");
        }
    }
}
