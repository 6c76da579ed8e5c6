//! Snapshots by overlayfs: each holds only what it changes, in `fs`; `work` is the kernel's while it is mounted.

use super::directory::make_directory;
use super::{Kind, Layout, Mount, MountType, SnapshotError, Snapshotter};
use crate::files::failed;
use crate::trees;

/// overlayfs, index and redirect_dir off as containerd has it: a lower layer may serve many at a time.
pub(crate) struct Overlay;

impl Snapshotter for Overlay {
    fn name(&self) -> &'static str {
        "overlayfs"
    }

    fn is_layered(&self) -> bool {
        true
    }

    fn prepare(&self, layout: &Layout) -> Result<(), SnapshotError> {
        make_directory(&layout.directory, 0o700)?;
        make_directory(&layout.work(), 0o711)?;
        make_directory(&layout.upper(), 0o755)?;
        match layout.lower.first() {
            Some(below) => {
                let copied = trees::directory_itself(below, &layout.upper());
                Ok(copied.map_err(failed("copy the root of", below))?)
            }
            None => Ok(()),
        }
    }

    fn commit(&self, layout: &Layout) -> Result<(), SnapshotError> {
        Ok(trees::remove(&layout.work()).map_err(failed("remove", layout.work()))?)
    }

    fn mounts(&self, layout: &Layout) -> Vec<Mount> {
        if layout.lower.is_empty() {
            return vec![layout.bind()];
        }
        let mut lower: Vec<String> = layout.lower.iter().map(|path| path.display().to_string()).collect();
        let mut options = vec!["index=off".to_owned()];
        match layout.kind {
            Kind::Active => {
                options.push(format!("workdir={}", layout.work().display()));
                options.push(format!("upperdir={}", layout.upper().display()));
            }
            Kind::Committed => {
                lower.insert(0, layout.upper().display().to_string());
                options.push("ro".to_owned());
            }
        }
        options.push(format!("lowerdir={}", lower.join(":")));
        vec![Mount { kind: MountType::Overlay, source: "overlay".to_owned(), options }]
    }
}
