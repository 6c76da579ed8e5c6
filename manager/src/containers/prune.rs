//! Removing all containers that do not run.

use std::time::SystemTime;

use knarr_proto::id::ContainerId;
use knarr_proto::kind::Kind;

use super::container::View;
use super::error::ContainerError;
use super::handle::Containers;
use super::remove::{Removal, remove};
use super::size::size;
use crate::failure::Failure as _;
use crate::filters::{FilterKeys, Filters, Values, label_matches};
use crate::time::moment;

/// What containers that are to go can be filtered by.
pub(crate) const PRUNE_KEYS: FilterKeys = FilterKeys {
    things: "containers to be removed",
    keys: &[("label", Values::Any), ("label!", Values::Any), ("until", Values::Moment)],
};

/// What is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pruned {
    pub(crate) ids: Vec<ContainerId>,
    /// What they had written.
    pub(crate) freed_bytes: u64,
}

/// Removes every container that has ended or never ran and that the filters choose.
///
/// # Errors
/// [`ContainerError`], when all that could be removed is; one that was started or removed meanwhile is no error.
pub(crate) async fn prune(containers: &Containers, filters: &Filters) -> Result<Pruned, ContainerError> {
    let now = SystemTime::now();
    let (mut pruned, mut failed) = (Pruned::default(), None);
    for container in containers.registry.all() {
        let view = container.view();
        if !view.life.phase.may_start() || !filters.all_match(|key, value| matches(&view, key, value, now)) {
            continue;
        }
        // One whose files cannot be counted can be removed all the same.
        let bytes = size(containers, &view).await.map_or(0, |size| size.written_bytes);
        match remove(containers, container.id().as_str(), Removal::default()).await {
            Ok(id) => {
                pruned.ids.push(id);
                pruned.freed_bytes += bytes;
            }
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::FailedPrecondition) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(pruned), Err)
}

fn matches(view: &View, key: &str, value: &str, now: SystemTime) -> bool {
    let has_label = || label_matches(value, |name| view.settings.labels.get(name).map(String::as_str));
    match key {
        "label" => has_label(),
        "label!" => !has_label(),
        "until" => moment(value, now).is_some_and(|until| view.spec.created_at.to_system_time() < until),
        _ => false,
    }
}
