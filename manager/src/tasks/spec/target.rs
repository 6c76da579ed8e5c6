//! Where in a container something is mounted: one spelling for each place, so that two requests for it are noticed.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// The kernel's PATH_MAX, with its closing NUL.
const MAX_PATH_BYTES: usize = 4096;
/// The kernel's NAME_MAX.
const MAX_NAME_BYTES: usize = 255;
/// What the kernel and the runtime put into every container: not an image's to cover.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// An absolute path below the container's root, without `.`, `..` and doubled slashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MountTarget(PathBuf);

/// Not a place where something can be mounted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid mount target {text:?}: it needs to be an absolute path below / without ..")]
pub(crate) struct InvalidTarget {
    text: String,
}

impl std::str::FromStr for MountTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let path = Path::new(text);
        let is_name = |part: Component<'_>| match part {
            Component::RootDir | Component::CurDir => true,
            Component::Normal(name) => name.len() <= MAX_NAME_BYTES,
            Component::ParentDir | Component::Prefix(_) => false,
        };
        let normal: PathBuf = path.components().collect();
        let fits = path.is_absolute()
            && path.components().all(is_name)
            && text.len() < MAX_PATH_BYTES
            && !text.contains('\0')
            && normal != Path::new("/");
        if fits { Ok(Self(normal)) } else { Err(InvalidTarget { text: text.chars().take(256).collect() }) }
    }
}

impl MountTarget {
    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }

    /// How many directories deep it is.
    pub(crate) fn depth(&self) -> usize {
        self.0.components().count()
    }

    /// Whether it is one of the kernel's own trees, or inside of one.
    pub(crate) fn is_kernels(&self) -> bool {
        KERNELS.iter().any(|tree| self.0.starts_with(tree))
    }
}

impl fmt::Display for MountTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, InvalidTarget> {
        text.parse::<MountTarget>().map(|target| target.to_string())
    }

    #[test]
    fn every_spelling_of_a_place_is_the_same_target() {
        for text in ["/a/b", "/a/b/", "//a//b", "/a/./b", "/./a/b/.", "/a/b///"] {
            assert_eq!(parse(text).as_deref(), Ok("/a/b"), "{text}");
        }
        assert_eq!(parse("/A/b").as_deref(), Ok("/A/b"), "case counts");
        assert_eq!(parse("/a b\n").as_deref(), Ok("/a b\n"));
    }

    #[test]
    fn what_is_no_place_below_the_root_is_refused() {
        let (long_name, long_path) = (format!("/{}", "n".repeat(256)), "/a".repeat(2048));
        for text in
            ["", "a", "./a", "/", "//", "/.", "/a/../b", "/..", "/a/..", "/a\0b", &long_name, &long_path]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&format!("/{}", "n".repeat(255))).is_ok());
    }

    #[test]
    fn the_kernels_trees_are_known() {
        for (text, expected) in [
            ("/proc", true),
            ("/sys/fs/cgroup", true),
            ("/dev/shm/", true),
            ("/process", false),
            ("/a/proc", false),
        ] {
            assert_eq!(text.parse::<MountTarget>().expect(text).is_kernels(), expected, "{text}");
        }
    }
}
