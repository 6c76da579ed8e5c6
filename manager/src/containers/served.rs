//! Containers that living shims have, whatever is left of their records: where a root was deleted or another database put
//! in its place, the shim is all that knows of a container.

use std::collections::HashSet;

use knarr_proto::id::ContainerId;
use tokio::task::JoinSet;

use super::census;
use crate::tasks::Tasks;

/// Those of this root. Every shim that was started in one of its directories is asked, and makes its sockets anew first
/// where they were deleted. Takes some seconds at most.
pub(super) async fn served(tasks: &Tasks) -> HashSet<ContainerId> {
    let bundles = tasks.bundles.clone();
    let shims = match tokio::task::spawn_blocking(move || census::shims_below(&bundles)).await {
        Ok(Ok(shims)) => shims,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the processes cannot be listed");
            return HashSet::new();
        }
        Err(_) => return HashSet::new(),
    };
    let mut asked = JoinSet::new();
    for (id, pids) in shims {
        pids.iter().for_each(|pid| census::ask_for_sockets(&id, *pid));
        let shims = tasks.shims.clone();
        asked.spawn(async move { shims.has_task(&id).await.then_some(id) });
    }
    asked.join_all().await.into_iter().flatten().collect()
}
