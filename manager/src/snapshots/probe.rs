//! Finds out whether overlayfs works on the file system that the snapshots are on, by doing with it what a container's
//! start does, and what a container then does to its files.

use std::io;
use std::path::Path;

use knarr_proto::kind::is_disk_full;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::mount::MountFlags;

use super::detached::{in_own_namespace, overlay_at, view_layers};
use super::directory::make_directory;
use super::overlay::Overlay;
use super::{Kind, Layout, SnapshotError, Snapshotter};
use crate::files::failed;
use crate::trees;

/// Why overlayfs is not known to work.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    /// The kernel or the file system cannot do it.
    #[error("overlayfs does not work here")]
    Refused(#[source] io::Error),
    /// There was no room to try it, which says nothing about overlayfs.
    #[error("overlayfs could not be tried")]
    Untried(#[source] SnapshotError),
}

/// Mounts an overlay of two layers in `root`, where no other process sees it, deletes and changes through it, and looks
/// at it read-only.
pub(super) fn probe(root: &Path) -> Result<(), ProbeError> {
    let directory = root.join("probe");
    let layout = Layout {
        lower: [directory.join("lower"), directory.join("lowest")].to_vec(),
        directory: directory.clone(),
        kind: Kind::Active,
    };
    let made = make(&layout).map_err(ProbeError::Untried);
    let tried = made.and_then(|()| try_overlay(&layout).map_err(|error| refused(root, error)));
    if let Err(error) = trees::remove(&directory) {
        // It does no harm, and the next probe removes it.
        tracing::debug!(%error, "the probe of overlayfs is left");
    }
    tried
}

fn make(layout: &Layout) -> Result<(), SnapshotError> {
    trees::remove(&layout.directory).map_err(failed("remove", &layout.directory))?;
    let directory = &layout.directory;
    for path in [directory, &layout.upper(), &layout.work(), &directory.join("place")] {
        make_directory(path, 0o700)?;
    }
    for lower in &layout.lower {
        make_directory(lower, 0o700)?;
    }
    for path in ["lower/gone", "lowest/kept"] {
        make_directory(&directory.join(path), 0o700)?;
    }
    Ok(())
}

fn try_overlay(layout: &Layout) -> io::Result<()> {
    let options: Vec<String> = Overlay.mounts(layout).into_iter().flat_map(|mount| mount.options).collect();
    in_own_namespace(|| {
        let root = overlay_at(&layout.directory.join("place"), &options, MountFlags::empty())?;
        // Makes a whiteout, then an opaque directory, then copies up: what file systems below overlayfs fail at.
        rustix::fs::unlinkat(&root, "gone", AtFlags::REMOVEDIR)?;
        rustix::fs::mkdirat(&root, "gone", Mode::RWXU)?;
        rustix::fs::chmodat(&root, "kept", Mode::RWXU | Mode::RGRP, AtFlags::empty())?;
        Ok(())
    })?;
    let layers: Vec<_> = std::iter::once(layout.upper()).chain(layout.lower.iter().cloned()).collect();
    let root = view_layers(&layers)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&root, "kept", flags, Mode::empty())?;
    Ok(())
}

fn refused(root: &Path, error: io::Error) -> ProbeError {
    match is_disk_full(&error) {
        true => ProbeError::Untried(failed("try overlayfs in", root)(error).into()),
        false => ProbeError::Refused(error),
    }
}
