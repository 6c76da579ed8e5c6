//! A process's end: what is done in which order. Its output first, then the record on the disk, then the waiting callers, then
//! containerd; and never before its start has been told.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use containerd_shim_protos::events::task::TaskExit;
use containerd_shim_protos::protobuf::MessageField;
use knarr_proto::exit::{ExitRecord, VERSION};
use tokio::sync::oneshot;

use super::container::Container;
use super::process::Process;
use crate::chain::chain;
use crate::reaper::Exit;
use crate::runtime::Streams;
use crate::{exit, journal, timestamp};

impl Container {
    /// Waits for the end of `process`, which comes through `exit`, and tells it.
    pub(super) fn supervise(self: &Arc<Self>, process: Arc<Process>, exit: oneshot::Receiver<Exit>) {
        let this = Arc::clone(self);
        // It ends with the process; the container's deletion waits for that.
        tokio::spawn(async move {
            let exit = exit.await.expect("the reaper outlives every process");
            let _turn = process.turn().await;
            let is_first = process.exec_id.is_empty();
            if is_first && this.shares_pids {
                this.kill_rest().await;
            }
            if let Some(streams) = process.streams() {
                streams.process_exited().await;
            }
            let pause = if is_first { this.record(&process, exit) } else { None };
            process.ended(exit);
            this.tell_exit(&process, exit);
            if let Some(pause) = pause {
                this.come_back(pause);
            }
        });
    }

    /// Without a pid namespace of its own, what the first process leaves behind is not the kernel's to end.
    async fn kill_rest(&self) {
        let arguments = ["--all", &self.id, "KILL"].map(OsStr::new);
        match self.maker.runtime.run("kill", &arguments, Streams::Collected).await {
            Err(error) if !error.is_gone() => {
                journal::warn(&format!(
                    "processes may be left of a container that has ended: {}",
                    chain(&error)
                ));
            }
            _ => {}
        }
    }

    /// Keeps the end of a run. After how long another one follows, if one does.
    fn record(&self, process: &Process, exit: Exit) -> Option<Duration> {
        let oom = self.run().oom.clone();
        let record = ExitRecord {
            version: VERSION,
            pid: process.state().pid,
            code: exit.code,
            exited_at_unix_ns: exit::unix_ns(exit.at),
            oom_killed: oom.is_some_and(|oom| oom.tell_and_check()),
        };
        // It is reported all the same, also when the disk is full.
        if let Err(error) = exit::write(&self.bundle, &record) {
            journal::warn(&format!("{}: exit status {} is only told", chain(&error), exit.code));
        }
        self.keeper.as_ref()?.end(&record)
    }

    fn tell_exit(&self, process: &Process, exit: Exit) {
        let id = if process.exec_id.is_empty() { self.id.clone() } else { process.exec_id.clone() };
        let event = TaskExit {
            container_id: self.id.clone(),
            id,
            pid: process.state().pid,
            exit_status: exit.code,
            exited_at: MessageField::some(timestamp::protobuf(exit.at)),
            ..TaskExit::default()
        };
        self.context.publisher.publish("/tasks/exit", &event);
    }
}
