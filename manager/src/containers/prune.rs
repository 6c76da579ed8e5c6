//! Removing all containers that do not run.

use knarr_proto::id::ContainerId;
use knarr_proto::kind::Kind;

use super::Containers;
use super::error::ContainerError;
use super::life::Phase;
use crate::failure::Failure as _;

impl Containers {
    /// Removes every container that has ended or never ran, and returns their ids.
    ///
    /// # Errors
    /// [`ContainerError`], when all that could be removed is; one that was started or removed meanwhile is no error.
    pub(crate) async fn prune(&self) -> Result<Vec<ContainerId>, ContainerError> {
        let is_over = |phase| matches!(phase, Phase::Created | Phase::Exited);
        let over: Vec<ContainerId> = {
            let registry = self.registry();
            let over = registry.by_id.values().filter(|container| is_over(container.life().phase));
            over.map(|container| container.id().clone()).collect()
        };
        let (mut removed, mut failed) = (Vec::new(), None);
        for id in over {
            match self.remove(id.as_str(), false).await {
                Ok(id) => removed.push(id),
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::FailedPrecondition) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(removed), Err)
    }
}
