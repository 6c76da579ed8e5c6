//! `lost/` below the root: what no record names, but may still be of use. Nothing here is ever deleted by knarrd: people
//! look through it, and remove it.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Names that are tried for one thing; they begin with the second in which it was found.
const MAX_NAMES: u32 = 10_000;

/// Where things are set aside.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    directory: PathBuf,
}

impl Lost {
    /// Of this root. Nothing is made before it is needed.
    pub(crate) fn below(root: &Path) -> Self {
        Self { directory: root.join("lost") }
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Moves a file or directory of the same file system here. Returns where it is now. Blocks.
    ///
    /// # Errors
    /// The file system's; the thing is where it was, then.
    pub(crate) fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let parent = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let free = (0..MAX_NAMES)
            .map(|number| self.directory.join(format!("{seconds}-{number}-{parent}-{name}")))
            .find(|target| target.symlink_metadata().is_err());
        let target = free.ok_or_else(|| io::Error::other("no free name below lost/"))?;
        fs::rename(path, &target)?;
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_twice_is_kept_twice() {
        let root = tempfile::tempdir().expect("a directory");
        let lost = Lost::below(root.path());
        let path = root.path().join("thing");
        let kept: Vec<PathBuf> = ["one", "two"]
            .iter()
            .map(|content| {
                fs::write(&path, content).expect("writable");
                lost.set_aside(&path).expect("moved")
            })
            .collect();
        assert!(!path.exists());
        assert_eq!(fs::read_to_string(&kept[0]).expect("kept"), "one");
        assert_eq!(fs::read_to_string(&kept[1]).expect("kept"), "two");
    }
}
