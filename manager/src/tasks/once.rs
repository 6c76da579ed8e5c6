//! One process, run to its end: what a build's step is. Of the run nothing is left but what it wrote into its snapshot.

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::Tasks;
use super::bundle;
use super::error::TaskError;
use super::launch::Launch;
use super::plan::TaskPlan;
use super::shims::TaskExit;
use super::streams::{Output, Piece};
use crate::error::Chain;
use crate::snapshots::Snapshots;

impl Tasks {
    /// Runs a plan's process on the active snapshot of the plan's id and returns how it ended. Its output goes to
    /// `output` as it comes; a receiver that is gone does not end it, `cancelled` does.
    ///
    /// # Errors
    /// [`TaskError`]; [`TaskError::Cancelled`] when it was ended by `cancelled`.
    pub(crate) async fn run_once(
        &self,
        plan: TaskPlan,
        snapshots: &Snapshots,
        output: mpsc::Sender<Piece>,
        cancelled: &CancellationToken,
    ) -> Result<TaskExit, TaskError> {
        let (id, directory) = (plan.id.clone(), self.bundle(&plan.id));
        spawn_blocking(move || bundle::make(&directory)).await??;
        let ran = self.run(plan, snapshots, output, cancelled).await;
        let released = match self.end_if_there(&id).await {
            Ok(()) => self.remove_files(&id).await,
            Err(error) => Err(error),
        };
        match (ran, released) {
            (Ok(exit), Ok(())) => Ok(exit),
            (Ok(_), Err(error)) => Err(error),
            (Err(first), released) => {
                if let Err(error) = released {
                    tracing::warn!(task = %id, error = %Chain(&error), "not all of a task was cleaned up");
                }
                Err(first)
            }
        }
    }

    async fn run(
        &self,
        plan: TaskPlan,
        snapshots: &Snapshots,
        output: mpsc::Sender<Piece>,
        cancelled: &CancellationToken,
    ) -> Result<TaskExit, TaskError> {
        let (client, connected) = oneshot::channel();
        let launch = Launch { plan, log: None, is_for_once: false, clients: vec![client] };
        let launched = self.launch(launch, snapshots).await?;
        let connected = connected.await.expect("a launch that succeeds tells its clients")?;
        let (mut streams, _stdin) = Output::split(Some(connected.socket), true, true);
        let to_the_end = async {
            while let Some(piece) = streams.next().await? {
                // Without a receiver it is read all the same, so that the process goes on.
                drop(output.send(piece).await);
            }
            Ok(launched.task.wait("").await?)
        };
        tokio::select! {
            exit = to_the_end => exit,
            () = cancelled.cancelled() => Err(TaskError::Cancelled),
        }
    }
}

#[cfg(test)]
#[path = "once/tests.rs"]
mod tests;
