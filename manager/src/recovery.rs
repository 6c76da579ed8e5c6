//! What knarrd does between its locks and its first client: every intent that the last knarrd left is finished or
//! undone, every shim is met again, and what belongs to no container is swept.

use crate::containers::{self, ContainerError, Containers};

/// Settles everything that an earlier knarrd left, however it ended.
///
/// # Errors
/// [`ContainerError`] when the records or directories cannot be read at all.
pub(crate) async fn run(containers: &Containers) -> Result<(), ContainerError> {
    let began = std::time::Instant::now();
    let found = containers::recover(containers).await?;
    let (containers, running, swept) = (found.containers, found.running, found.swept);
    tracing::info!(containers, running, swept, took = ?began.elapsed(), "recovered");
    Ok(())
}
