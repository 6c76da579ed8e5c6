//! How large a container is: what it has written, and its root filesystem with its image.

use super::container::View;
use super::error::ContainerError;
use super::handle::Containers;
use crate::snapshots::SnapshotError;

/// A container's size, as docker counts: the lengths of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// What it has written or changed.
    pub(crate) written_bytes: u64,
    /// All that it sees: its image's files, too.
    pub(crate) rootfs_bytes: u64,
}

/// The size of one container; every file that it has written is looked at. One that is removed meanwhile has none, and
/// of one whose image has been removed only what it has written is known.
///
/// # Errors
/// [`ContainerError::Snapshot`].
pub(crate) async fn size(containers: &Containers, view: &View) -> Result<Size, ContainerError> {
    let snapshot = |source| ContainerError::Snapshot { doing: "count the files of", source };
    let written_bytes = match containers.storage.snapshots.written_bytes(view.spec.id.as_str()).await {
        Ok(bytes) => bytes,
        Err(SnapshotError::NotFound { .. }) => return Ok(Size::default()),
        Err(error) => return Err(snapshot(error)),
    };
    let image = containers.storage.images.resolve(&view.spec.image.id).await;
    let image_bytes = image.map_or(0, |image| image.size_bytes);
    Ok(Size { written_bytes, rootfs_bytes: written_bytes + image_bytes })
}
