//! Snapshots by copying: each is whole by itself. Slow and large, but it works on any file system.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use super::error::failed;
use super::{Layout, Mount, SnapshotError, Snapshotter, copy};

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
        for (path, mode) in [(&layout.directory, 0o700), (&upper, 0o755)] {
            DirBuilder::new().mode(mode).create(path).map_err(failed("make directory", path))?;
        }
        match layout.lower.first() {
            Some(below) => copy::tree(below, &upper),
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
