//! The seam between snapshots and file systems, and the suite that every implementation of it passes.

use std::path::PathBuf;

use super::{Kind, SnapshotError};

/// What a snapshot is mounted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountType {
    /// A directory, as it is.
    Bind,
    /// Several directories on top of each other.
    Overlay,
}

impl MountType {
    /// mount(8)'s name for it.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Overlay => "overlay",
        }
    }
}

/// One mount, as mount(8) would be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) kind: MountType,
    /// The directory for a bind mount, "overlay" for an overlay.
    pub(crate) source: String,
    /// mount(8)'s options.
    pub(crate) options: Vec<String>,
}

/// Where a snapshot is on disk and what it stands on.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Its own directory.
    pub(crate) directory: PathBuf,
    /// The `fs` directories below it, nearest first.
    pub(crate) lower: Vec<PathBuf>,
    /// What it is for.
    pub(crate) kind: Kind,
}

impl Layout {
    /// Where its own files are.
    #[must_use]
    pub(crate) fn upper(&self) -> PathBuf {
        self.directory.join("fs")
    }

    /// overlayfs's work directory.
    #[must_use]
    pub(crate) fn work(&self) -> PathBuf {
        self.directory.join("work")
    }

    /// The bind mount of its own files.
    pub(super) fn bind(&self) -> Mount {
        let access = match self.kind {
            Kind::Active => "rw",
            Kind::Committed => "ro",
        };
        Mount {
            kind: MountType::Bind,
            source: self.upper().display().to_string(),
            options: vec!["rbind".to_owned(), access.to_owned()],
        }
    }
}

/// Makes directories into file systems. It knows no keys and keeps no state; every method may block.
pub(crate) trait Snapshotter: Send + Sync {
    /// The name that is recorded with each snapshot.
    fn name(&self) -> &'static str;

    /// Whether `layout.upper()` holds only what a snapshot changes; otherwise, everything.
    fn is_layered(&self) -> bool;

    /// Makes `layout.directory`, which must not be there yet, so that its mounts show what is below it. The root's
    /// owner, mode, times and extended attributes are those of the snapshot below.
    ///
    /// # Errors
    /// [`SnapshotError::File`]; what was made is then left for the caller to remove.
    fn prepare(&self, layout: &Layout) -> Result<(), SnapshotError>;

    /// Brings `layout.directory` into the shape that others can stand on. It is not mounted any more.
    ///
    /// # Errors
    /// [`SnapshotError::File`].
    fn commit(&self, layout: &Layout) -> Result<(), SnapshotError>;

    /// How to mount it.
    fn mounts(&self, layout: &Layout) -> Vec<Mount>;
}
