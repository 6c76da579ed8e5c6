//! A look into a container's file system while it is not mounted: as a detached, read-only mount that no other process
//! can see and that is gone when the descriptor is closed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

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
    let layers: Vec<PathBuf> = layers.into_iter().map(PathBuf::from).collect();
    crate::snapshots::view(&layers)
}
