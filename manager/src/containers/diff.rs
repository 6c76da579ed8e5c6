//! What a container has changed of its image's files.

use std::path::Path;

use super::error::ContainerError;
use super::handle::Containers;
use crate::trees::{Change, ChangeKind};

/// Places that a container is given when it is started, where its image has none: not its doing.
const GIVEN: [&str; 9] =
    ["dev", "dev/console", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf", "proc", "sys", "dev/shm"];

/// The changes, by path.
///
/// # Errors
/// [`ContainerError::NotFound`], [`ContainerError::Snapshot`].
pub(crate) async fn diff(containers: &Containers, text: &str) -> Result<Vec<Change>, ContainerError> {
    let container = containers.registry.find(text)?;
    let changes = containers.storage.snapshots.changes(container.id().as_str()).await;
    let changes = changes.map_err(|source| ContainerError::Snapshot { doing: "compare", source })?;
    Ok(own(changes))
}

/// Those without the places that it was given.
fn own(changes: Vec<Change>) -> Vec<Change> {
    let is_given = |path: &Path| GIVEN.iter().any(|given| path == Path::new(given));
    let is_own = |change: &Change| change.kind == ChangeKind::Deleted || !is_given(&change.path);
    let own: Vec<&Path> =
        changes.iter().filter(|change| is_own(change)).map(|change| change.path.as_path()).collect();
    // A given directory with something of the container's own in it is told.
    let is_told = |change: &Change| {
        is_own(change) || own.iter().any(|path| *path != change.path && path.starts_with(&change.path))
    };
    let told: Vec<bool> = changes.iter().map(is_told).collect();
    changes.into_iter().zip(told).filter_map(|(change, is_told)| is_told.then_some(change)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_was_given_is_not_its_change() {
        let change = |kind, path: &str| Change { kind, path: path.into() };
        let (added, modified, deleted) = (ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted);
        let given = vec![
            change(added, "dev"),
            change(added, "dev/console"),
            change(modified, "etc"),
            change(added, "etc/hosts"),
            change(added, "proc"),
        ];
        assert_eq!(own(given.clone()), []);
        let mut changes = given;
        changes.insert(3, change(added, "etc/own"));
        changes.push(change(deleted, "sys"));
        let told = [change(modified, "etc"), change(added, "etc/own"), change(deleted, "sys")];
        assert_eq!(own(changes), told);
    }
}
