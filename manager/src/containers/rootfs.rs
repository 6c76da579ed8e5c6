//! A look into a container's file system while it is not mounted: as a detached, read-only mount that no other process
//! can see and that is gone when the descriptor is closed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::snapshots::Mount;
use crate::untrusted::UntrustedRoot;

/// Opens the root of what `mounts` would show.
///
/// # Errors
/// The kernel's, or that the mount is of a kind that is not understood.
pub(super) fn open(mounts: &[Mount]) -> io::Result<UntrustedRoot> {
    open_mount(mounts).map(UntrustedRoot::new)
}

fn open_mount(mounts: &[Mount]) -> io::Result<OwnedFd> {
    let unknown = || io::Error::new(io::ErrorKind::Unsupported, "the snapshot is neither overlay nor bind");
    let [mount] = mounts else { return Err(unknown()) };
    match mount.kind.as_str() {
        "bind" => open_directory(&mount.source),
        "overlay" => overlay(mount),
        _ => Err(unknown()),
    }
}

fn open_directory(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// The writable layer becomes the topmost of the read-only ones: so no work directory is touched, and what the
/// container changed in an earlier run counts.
fn overlay(mount: &Mount) -> io::Result<OwnedFd> {
    let option =
        |name: &str| mount.options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    let lower = option("lowerdir").ok_or_else(|| io::Error::other("an overlay without lowerdir"))?;
    let layers: Vec<&str> = option("upperdir").into_iter().chain(lower.split(':')).collect();
    if let [only] = layers.as_slice() {
        return open_directory(only);
    }
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in &layers {
        // Linux 6.5; before it the whole list is one option, which fsconfig cuts off at 256 bytes.
        if let Err(errno) = rustix::mount::fsconfig_set_string(&context, "lowerdir+", *layer) {
            return if errno == rustix::io::Errno::INVAL {
                overlay_before_6_5(&layers)
            } else {
                Err(errno.into())
            };
        }
    }
    rustix::mount::fsconfig_set_flag(&context, "ro")?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// mount(2) takes a page of options but needs a place: the working directory is never it, so a private directory is
/// made, covered, opened, uncovered and removed again.
fn overlay_before_6_5(layers: &[&str]) -> io::Result<OwnedFd> {
    let place = std::env::temp_dir().join(format!("knarrd-look-{}", super::name::new_id()));
    std::fs::create_dir(&place)?;
    let options = format!("lowerdir={}", layers.join(":"));
    let options = std::ffi::CString::new(options)?;
    let flags = rustix::mount::MountFlags::RDONLY
        | rustix::mount::MountFlags::NOSUID
        | rustix::mount::MountFlags::NODEV;
    let mounted = rustix::mount::mount("overlay", &place, "overlay", flags, options.as_c_str());
    let opened = mounted.map_err(io::Error::from).and_then(|()| {
        let opened = File::open(&place).map(OwnedFd::from);
        rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH)?;
        opened
    });
    std::fs::remove_dir(&place)?;
    opened
}
