//! Snapshots by copying: each is whole by itself. Slow and large, but it works on any file system.

use super::directory::make_directory;
use super::{Layout, Mount, SnapshotError, Snapshotter};
use crate::files::failed;
use crate::trees;

/// A copy of what is below; blocks are shared where the file system can (FICLONE).
pub(crate) struct Native;

impl Snapshotter for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn is_layered(&self) -> bool {
        false
    }

    fn prepare(&self, layout: &Layout) -> Result<(), SnapshotError> {
        let upper = layout.upper();
        make_directory(&layout.directory, 0o700)?;
        make_directory(&upper, 0o755)?;
        match layout.lower.first() {
            Some(below) => Ok(trees::copy_tree(below, &upper).map_err(failed("copy", below))?),
            None => Ok(()),
        }
    }

    fn commit(&self, _layout: &Layout) -> Result<(), SnapshotError> {
        Ok(())
    }

    fn mounts(&self, layout: &Layout) -> Vec<Mount> {
        vec![layout.bind()]
    }
}
