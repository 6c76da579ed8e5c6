//! The volumes of a container: which it has, by its request, its image and other containers, and how it holds them.

use super::container::Container;
use super::error::ContainerError;
use super::name;
use super::registry::Registry;
use super::storage::Storage;
use crate::tasks::plan::{Files, Mount, MountKind, NamedVolume, VolumeOrigin};
use crate::tasks::spec::target::MountTarget;
use crate::volumes::{NewVolume, VolumeUse};

/// Gives names to volumes that have none, and adds the mounts of other containers. Where both want the same place, the
/// container's own win.
///
/// # Errors
/// [`ContainerError::NoPartner`], [`ContainerError::VolumesFrom`].
pub(super) fn complete(registry: &Registry, files: &mut Files) -> Result<(), ContainerError> {
    for mount in &mut files.mounts {
        if let MountKind::Named(volume) = &mut mount.kind
            && volume.name.is_empty()
        {
            volume.name = name::new_id().to_string();
            volume.origin = VolumeOrigin::Anonymous;
        }
    }
    for text in files.volumes_from.clone() {
        let (other, read_only) = match text.rsplit_once(':') {
            None => (text.as_str(), false),
            Some((other, "ro")) => (other, true),
            Some((other, "rw" | "z" | "Z")) => (other, false),
            Some((_, _)) => return Err(ContainerError::VolumesFrom(text)),
        };
        let none = |source| ContainerError::NoPartner { namespace: "the volumes", source: Box::new(source) };
        let theirs = registry.find(other).map_err(none)?.spec.files.mounts.clone();
        for mount in theirs.into_iter().filter_map(|mount| shared(mount, read_only)) {
            if !has_place(files, &mount.target) {
                files.mounts.push(mount);
            }
        }
    }
    Ok(())
}

/// What another container gets of a mount: volumes as they are, binds, and no memory.
fn shared(mount: Mount, read_only: bool) -> Option<Mount> {
    let kind = match mount.kind {
        MountKind::Named(volume) => {
            MountKind::Named(NamedVolume { origin: VolumeOrigin::Shared, no_copy: true, ..volume })
        }
        bind @ MountKind::Bind { .. } => bind,
        MountKind::Tmpfs { .. } | MountKind::Volume {} => return None,
    };
    Some(Mount { kind, target: mount.target, read_only: mount.read_only || read_only })
}

fn has_place(files: &Files, target: &str) -> bool {
    let place = |text: &str| text.parse::<MountTarget>().ok();
    let wanted = place(target);
    files.mounts.iter().any(|mount| place(&mount.target) == wanted)
}

/// Holds the volumes of a container that is being made, and seeds those that are empty.
///
/// # Errors
/// [`ContainerError::Volume`].
pub(super) async fn hold(storage: &Storage, container: &Container) -> Result<(), ContainerError> {
    let uses: Vec<VolumeUse> = container.spec.files.mounts.iter().filter_map(volume_use).collect();
    if uses.is_empty() {
        return Ok(());
    }
    let (snapshots, key) = (storage.snapshots.clone(), container.id().to_string());
    let root = move || snapshots.view(&key).map_err(std::io::Error::other);
    Ok(storage.volumes.hold(container.id(), uses, root).await?)
}

fn volume_use(mount: &Mount) -> Option<VolumeUse> {
    let wanted = mount.named()?;
    let volume = NewVolume {
        name: wanted.name.clone(),
        driver: wanted.driver.clone(),
        options: wanted.options.clone(),
        labels: wanted.labels.clone(),
        is_anonymous: matches!(wanted.origin, VolumeOrigin::Anonymous | VolumeOrigin::Image),
    };
    Some(VolumeUse { volume, target: mount.target.clone(), is_seeded: !wanted.no_copy })
}
