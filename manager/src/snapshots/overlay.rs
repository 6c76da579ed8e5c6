//! Snapshots by overlayfs: each holds only what it changes, in `fs`; `work` is the kernel's while it is mounted.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags};

use super::error::failed;
use super::{Kind, Layout, Mount, SnapshotError, Snapshotter, copy, tree};

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
            Some(below) => copy::directory_itself(below, &layout.upper()),
            None => Ok(()),
        }
    }

    fn commit(&self, layout: &Layout) -> Result<(), SnapshotError> {
        tree::remove(&layout.work())
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
        vec![Mount { kind: "overlay".to_owned(), source: "overlay".to_owned(), options }]
    }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), SnapshotError> {
    DirBuilder::new().mode(mode).create(path).map_err(failed("make directory", path))?;
    // The umask is the administrator's; a root directory's mode is the image's.
    rustix::fs::chmod(path, Mode::from_raw_mode(mode))
        .map_err(|errno| failed("set the mode of", path)(errno.into()))
}

/// Whether overlayfs works on `root`'s file system: mounts one, detached so that nobody sees it, and deletes through it.
pub(super) fn probe(root: &Path) -> Result<(), SnapshotError> {
    let directory = root.join("probe");
    let result = tree::remove(&directory).and_then(|()| {
        for path in ["", "lower", "lower/gone", "upper", "work"] {
            make_directory(&directory.join(path), 0o700)?;
        }
        try_overlay(&directory).map_err(|source| SnapshotError::Unsupported { root: root.to_owned(), source })
    });
    let removed = tree::remove(&directory);
    result.and(removed)
}

fn try_overlay(directory: &Path) -> io::Result<()> {
    let mount =
        mount(&[directory.join("lower").as_path()], &directory.join("upper"), &directory.join("work"))?;
    let root =
        rustix::fs::openat(&mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // Makes a whiteout, then an opaque directory: what file systems below overlayfs fail at.
    rustix::fs::unlinkat(&root, "gone", rustix::fs::AtFlags::REMOVEDIR)?;
    rustix::fs::mkdirat(&root, "gone", Mode::RWXU)?;
    Ok(())
}

/// A detached, writable overlay. Each lower directory is given by itself, so that a page of options is no bound
/// (`lowerdir+`, Linux 6.5), with the one-string form for older kernels.
pub(crate) fn mount(lower: &[&Path], upper: &Path, work: &Path) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fd = || &context;
    let one_by_one =
        lower.iter().try_for_each(|path| rustix::mount::fsconfig_set_string(fd(), "lowerdir+", *path));
    if one_by_one.is_err() {
        let paths: Vec<_> = lower.iter().map(|path| path.display().to_string()).collect();
        rustix::mount::fsconfig_set_string(fd(), "lowerdir", paths.join(":"))?;
    }
    rustix::mount::fsconfig_set_string(fd(), "upperdir", upper)?;
    rustix::mount::fsconfig_set_string(fd(), "workdir", work)?;
    rustix::mount::fsconfig_set_string(fd(), "index", "off")?;
    rustix::mount::fsconfig_create(fd())?;
    let mount = rustix::mount::fsmount(fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    Ok(mount)
}

/// What `lower` (nearest first) shows together, read-only and without devices. A kernel before 6.5 takes the whole list
/// as one option, and mounts only at a place: the caller has its own mount namespace, in which `place` is covered.
pub(crate) fn view(lower: &[PathBuf], place: &Path) -> io::Result<OwnedFd> {
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let [only] = lower {
        return Ok(rustix::fs::open(only, open, Mode::empty())?);
    }
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let one_by_one =
        lower.iter().try_for_each(|path| rustix::mount::fsconfig_set_string(&context, "lowerdir+", path));
    if one_by_one.is_err() {
        let paths: Vec<_> = lower.iter().map(|path| path.display().to_string()).collect();
        let options = std::ffi::CString::new(format!("lowerdir={}", paths.join(":")))?;
        let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
        rustix::mount::mount("overlay", place, "overlay", flags, options.as_c_str())?;
        return Ok(rustix::fs::open(place, open, Mode::empty())?);
    }
    rustix::mount::fsconfig_set_flag(&context, "ro")?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // A mount's own descriptor is only a path.
    Ok(rustix::fs::openat(&mount, ".", open, Mode::empty())?)
}
