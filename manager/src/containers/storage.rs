//! What containers are made of and what goes with them: images, snapshots, and the directories that mounts ask for.

use super::container::Container;
use super::copy;
use super::error::ContainerError;
use crate::content::Digest;
use crate::error::Chain;
use crate::held::{Held, Until};
use crate::images::Images;
use crate::snapshots::Snapshots;
use crate::tasks::bundle;
use crate::tasks::spec::mounts;
use crate::volumes::Volumes;

/// What making and removing a container needs.
pub(crate) struct Storage {
    pub(crate) images: Images,
    pub(crate) snapshots: Snapshots,
    pub(crate) volumes: Volumes,
}

impl Storage {
    /// Makes a container's snapshot on `parent`, and its bundle beside it.
    pub(super) async fn make(
        &self,
        container: &Container,
        parent: Option<&Digest>,
    ) -> Result<(), ContainerError> {
        let snapshot = self.snapshots.prepare(container.id().as_str(), parent);
        let (record, directory) = (container.record(), container.bundle.clone());
        let files = tokio::task::spawn_blocking(move || -> Result<(), ContainerError> {
            bundle::make(&directory)?;
            copy::keep(&directory, &record)?;
            Ok(mounts::make_sources(&record.spec.files)?)
        });
        let (snapshot, files) = tokio::join!(snapshot, files);
        files??;
        snapshot.map(drop).map_err(|source| ContainerError::Snapshot { doing: "make", source })
    }

    /// Lets go of everything that is kept for a container. It may be repeated.
    pub(super) async fn release(&self, container: &Container) -> Result<(), ContainerError> {
        let volumes = self.volumes.release(container.id(), Until::Ever).await;
        self.snapshots.release(container.id(), Until::Ever).await?;
        Ok(volumes?)
    }

    /// Collects what only this container's image needed, if that was removed before the container.
    pub(super) async fn collect(&self, container: &Container) {
        if let Err(error) = self.images.released(&container.spec.image.id).await {
            tracing::warn!(container = %container.id(), error = %Chain(&error), "what only it needed was not collected");
        }
    }
}
