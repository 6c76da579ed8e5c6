//! Verbs and watchers under way. They go to their end whether or not the client that asked for them stays, and knarrd
//! waits for them when it stops.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::ContainerError;

/// How long verbs under way may take when knarrd stops; a look at a directory of the host can take for ever.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// What is under way; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    under_way: TaskTracker,
    stopping: CancellationToken,
}

impl Work {
    /// Runs a verb to its end even when the client that asked for it goes away in the middle.
    ///
    /// # Errors
    /// [`ContainerError::Stopping`], or the verb's own.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        verb: impl Future<Output = Result<T, ContainerError>> + Send + 'static,
    ) -> Result<T, ContainerError> {
        if self.stopping.is_cancelled() {
            return Err(ContainerError::Stopping);
        }
        self.under_way.spawn(verb).await?
    }

    /// Runs a watcher, which has to return soon after [`Work::stopping`] says so.
    pub(super) fn spawn(&self, watcher: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.under_way.spawn(watcher)
    }

    /// Cancelled when knarrd stops.
    pub(super) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Stops watchers. Returns when verbs under way are done, or hang: recovery then undoes them.
    pub(super) async fn close(&self) {
        self.stopping.cancel();
        let is_first = self.under_way.close();
        if is_first && tokio::time::timeout(CLOSE_LIMIT, self.under_way.wait()).await.is_err() {
            tracing::warn!(verbs = self.under_way.len(), "stopping in the middle of what does not end");
        }
    }
}
