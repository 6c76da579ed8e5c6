//! An empty volume gets what the image has in its place, as docker has it: a directory's entries with their owners, modes,
//! times and attributes, and the directory's own owner and mode. Everything by descriptors: nothing of the image, and
//! nothing that another container does to the volume meanwhile, leads anywhere else.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::trees;

/// Where files are put first, beside the volume's own directory.
const UNFINISHED: &str = "seed";

/// Seeds the volume in `directory` from `target` below `root`. With `is_shared`, another container has it: its directory
/// stays the same one, and is filled in place. Otherwise it is there as a whole, or not at all.
///
/// # Errors
/// The kernel's.
pub(super) fn seed(root: &OwnedFd, target: &str, directory: &Path, is_shared: bool) -> io::Result<()> {
    let data = directory.join(super::disk::DATA);
    if fs::read_dir(&data)?.next().is_some() {
        return Ok(());
    }
    let Some(source) = open(root, target)? else { return Ok(()) };
    if is_shared {
        return Ok(trees::copy_tree_from(source, &data)?);
    }
    let unfinished = directory.join(UNFINISHED);
    clear(directory)?;
    fs::create_dir(&unfinished)?;
    trees::copy_tree_from(source, &unfinished)?;
    fs::rename(&unfinished, &data)
}

/// Removes what a seeding that was killed has left.
pub(super) fn clear(directory: &Path) -> io::Result<()> {
    match trees::remove(&directory.join(UNFINISHED)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The image's directory; none where it has something else, or nothing.
fn open(root: &OwnedFd, target: &str) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, target, flags, Mode::empty(), beneath) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    struct Bed {
        directory: tempfile::TempDir,
        root: OwnedFd,
    }

    fn bed() -> Bed {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        fs::create_dir_all(path.join("image/data/sub")).expect("an image");
        fs::write(path.join("image/data/sub/file"), "text").expect("a file");
        symlink("/etc/passwd", path.join("image/data/link")).expect("a link");
        symlink("../../..", path.join("image/out")).expect("a link");
        fs::write(path.join("image/file"), "").expect("a file");
        fs::set_permissions(path.join("image/data"), fs::Permissions::from_mode(0o750)).expect("a mode");
        fs::create_dir_all(path.join("volume/_data")).expect("a volume");
        let root = fs::File::open(path.join("image")).expect("opened").into();
        Bed { directory, root }
    }

    #[test]
    fn an_empty_volume_gets_what_the_image_has() {
        for is_shared in [false, true] {
            let bed = bed();
            let volume = bed.directory.path().join("volume");
            seed(&bed.root, "/data", &volume, is_shared).expect("seeded");
            let data = volume.join("_data");
            assert_eq!(fs::read_to_string(data.join("sub/file")).expect("copied"), "text");
            assert_eq!(fs::read_link(data.join("link")).expect("a link"), Path::new("/etc/passwd"));
            assert_eq!(data.metadata().expect("there").mode() & 0o7777, 0o750);
            fs::write(bed.directory.path().join("image/data/later"), "").expect("a file");
            seed(&bed.root, "/data", &volume, is_shared).expect("not empty: left alone");
            assert!(!data.join("later").exists());
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_from_nowhere() {
        for target in ["/nowhere", "/file", "/file/below", "/data/link"] {
            let bed = bed();
            let volume = bed.directory.path().join("volume");
            seed(&bed.root, target, &volume, false).expect(target);
            assert_eq!(fs::read_dir(volume.join("_data")).expect("there").count(), 0, "{target}");
        }
        // A link that leaves the image ends at its root.
        let bed = bed();
        let volume = bed.directory.path().join("volume");
        seed(&bed.root, "/out", &volume, false).expect("the image's root");
        assert!(volume.join("_data/data").is_dir() && !volume.join("_data/volume").exists());
    }

    #[test]
    fn what_a_killed_seeding_left_is_not_in_the_way() {
        let bed = bed();
        let volume = bed.directory.path().join("volume");
        fs::create_dir_all(volume.join("seed/half")).expect("left");
        seed(&bed.root, "/data", &volume, false).expect("seeded");
        assert!(volume.join("_data/sub/file").exists() && !volume.join("seed").exists());
    }
}
