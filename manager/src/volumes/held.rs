//! Volumes, as held by the containers that they are mounted into; and what is swept: holds of containers that are gone, and
//! directories without a record.

use std::collections::HashSet;

use super::error::VolumeError;
use super::handle::Volumes;
use super::records;
use crate::failure::Failure as _;
use crate::held::{self, Held, HeldError, OwnerId, Until};

impl Held for Volumes {
    async fn release(&self, owner: &OwnerId, until: Until) -> Result<(), HeldError> {
        match until {
            // A stopped container keeps its volumes.
            Until::NextRun => Ok(()),
            Until::Ever => {
                let owner = owner.to_string();
                let released = self.blocking(move |volumes| {
                    let store = volumes.store.for_removal();
                    Ok(store.write_blocking("let go of volumes", move |tx| records::release(tx, &owner))?)
                });
                released.await.map_err(held::failed("let go of the container's volumes", VolumeError::kind))
            }
        }
    }

    async fn sweep(&self, living: &HashSet<OwnerId>) -> Result<usize, HeldError> {
        let living: HashSet<String> = living.iter().map(ToString::to_string).collect();
        let swept = self.blocking(move |volumes| {
            let owners = volumes.store.read_blocking("read who holds volumes", records::owners)?;
            let mut count = 0;
            for owner in owners.into_iter().filter(|owner| !living.contains(owner)) {
                let released =
                    volumes.store.write_blocking("let go of volumes", move |tx| records::release(tx, &owner));
                count += held::swept("volumes of a container that is gone", released);
            }
            volumes.sweep_directories()?;
            Ok(count)
        });
        swept.await.map_err(held::failed("sweep volumes", VolumeError::kind))
    }
}

impl Volumes {
    /// Removes the anonymous volumes of a container that nobody else uses, once it has let go of them: `rm -v`.
    ///
    /// # Errors
    /// [`VolumeError::Store`]; what is left is pruned.
    pub(crate) async fn remove_anonymous(&self, names: Vec<String>) -> Result<(), VolumeError> {
        self.blocking(move |volumes| {
            let changing = volumes.changing();
            for view in volumes.views()? {
                let is_meant = view.volume.is_anonymous && names.contains(&view.volume.name);
                if is_meant && view.users.is_empty() {
                    volumes.discard(&changing, &view.volume)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// The names of the anonymous volumes that a container has.
    ///
    /// # Errors
    /// [`VolumeError::Store`].
    pub(crate) async fn anonymous_of(&self, owner: &OwnerId) -> Result<Vec<String>, VolumeError> {
        let owner = owner.to_string();
        self.blocking(move |volumes| {
            let uses = volumes
                .store
                .read_blocking("read a container's volumes", move |tx| records::uses(tx, &owner))?;
            let anonymous = uses.into_iter().filter(|(_, volume)| volume.is_anonymous);
            Ok(anonymous.map(|(_, volume)| volume.name).collect())
        })
        .await
    }
}
