//! Removing all containers that do not run.

use knarr_proto::id::ContainerId;
use knarr_proto::kind::Kind;

use super::error::ContainerError;
use super::handle::Containers;
use super::remove::remove;
use crate::failure::Failure as _;

/// Removes every container that has ended or never ran, and returns their ids.
///
/// # Errors
/// [`ContainerError`], when all that could be removed is; one that was started or removed meanwhile is no error.
pub(crate) async fn prune(containers: &Containers) -> Result<Vec<ContainerId>, ContainerError> {
    let (mut removed, mut failed) = (Vec::new(), None);
    for container in containers.registry.all() {
        if !container.life().phase.may_start() {
            continue;
        }
        match remove(containers, container.id().as_str(), false).await {
            Ok(id) => removed.push(id),
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::FailedPrecondition) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(removed), Err)
}
