//! Containers' snapshots, as held by their owners: the key is the owner's id.

use std::collections::HashSet;

use super::{Kind, SnapshotError, Snapshots};
use crate::failure::Failure as _;
use crate::held::{self, Held, HeldError, OwnerId, Until};

impl Held for Snapshots {
    async fn release(&self, owner: &OwnerId, until: Until) -> Result<(), HeldError> {
        match until {
            // What a container has written outlives its runs.
            Until::NextRun => Ok(()),
            Until::Ever => match self.remove(owner.as_str()).await {
                Err(SnapshotError::NotFound { .. }) => Ok(()),
                removed => removed.map_err(failed("remove the container's snapshot")),
            },
        }
    }

    /// What such a snapshot holds may be all that is left of a container: it is set aside, not removed.
    async fn sweep(&self, living: &HashSet<OwnerId>) -> Result<usize, HeldError> {
        let mut count = 0;
        for snapshot in self.list().await.map_err(failed("list the containers' snapshots"))? {
            let is_orphan = snapshot.kind == Kind::Active
                && snapshot.key.parse::<OwnerId>().is_ok_and(|owner| !living.contains(&owner));
            if is_orphan {
                count += held::swept("an orphaned snapshot", self.set_aside(&snapshot.key).await);
            }
        }
        Ok(count)
    }
}

fn failed(doing: &'static str) -> impl FnOnce(SnapshotError) -> HeldError {
    held::failed(doing, SnapshotError::kind)
}
