//! How one run of a container follows another: the runtime forgets the one that has ended and makes the next of the same
//! bundle. Whether and when is `keep`'s to say; here it is done.

use std::sync::Arc;
use std::time::Duration;

use knarr_proto::reason::Reason;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::container::Container;
use super::error::TaskError;
use super::run::Run;
use crate::chain::chain;
use crate::journal;
use crate::keep::Keeper;
use crate::reaper::Exit;

/// Docker's exit code of a container that could not be started for the machine's sake.
const NOT_STARTED: u32 = 128;
/// A process that is being killed ends at once, unless it is stuck in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(10);

impl Container {
    /// What is done for it without being asked.
    pub(crate) fn keeper(&self) -> Option<&Keeper> {
        self.keeper.as_ref()
    }

    /// Has another run follow, unless that is given up meanwhile. A run that cannot be started counts as one that
    /// has failed.
    pub(super) fn come_back(self: &Arc<Self>, mut pause: Duration) {
        let this = Arc::clone(self);
        // It ends with the run's start, or when the container is deleted or stopped.
        tokio::spawn(async move {
            let Some(keeper) = &this.keeper else { return };
            while keeper.pause(pause).await {
                let _turn = keeper.turn().await;
                if !keeper.is_waiting() {
                    return;
                }
                let Err(error) = this.run_again().await else { return };
                let words = chain(&error);
                journal::warn(&format!("the container cannot be started again: {words}"));
                let code = error.reason().and_then(Reason::exit_code).map_or(NOT_STARTED, u32::from);
                match keeper.fail(code, words) {
                    Some(longer) => pause = longer,
                    None => return,
                }
            }
        });
    }

    async fn run_again(self: &Arc<Self>) -> Result<(), TaskError> {
        let old = self.run();
        self.delete_run(&old, &[]).await?;
        self.let_go_of_streams(&old).await;
        let (run, exit) = self.maker.make(&self.context, &self.bundle).await?;
        let run = Arc::new(run);
        self.set_run(Arc::clone(&run));
        if let Err(error) = self.start_run(&run.init).await {
            self.take_back(&run, exit).await;
            return Err(error);
        }
        self.supervise(Arc::clone(&run.init), exit);
        Ok(())
    }

    /// Ends a run whose process waits for a start that has failed.
    async fn take_back(&self, run: &Run, exit: oneshot::Receiver<Exit>) {
        self.maker.delete_by_force("after a start that failed").await;
        match timeout(KILL_LIMIT, exit).await {
            Ok(Ok(exit)) => run.init.ended(exit),
            _ => journal::warn("the process of a start that failed does not end"),
        }
        self.let_go_of_streams(run).await;
    }

    /// Clients that still read what is queued for them may go on to.
    async fn let_go_of_streams(&self, run: &Run) {
        let clients = run.init.close_streams().await;
        let mut lingering = self.lingering.lock().expect("nothing panics under this lock");
        lingering.retain(|clients| !clients.is_finished());
        lingering.extend(clients);
    }
}
