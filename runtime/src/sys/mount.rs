//! mount_setattr: a mount's flags and propagation, by descriptor.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Errno, checked};

/// What to change of a mount: `MOUNT_ATTR_*` to set and to clear, an `MS_*` propagation or 0, and the user namespace of
/// an id-mapped mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'fd> {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear, before those to set.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or `MS_UNBINDABLE`; 0 leaves it.
    pub propagation: u64,
    /// Maps ids by this user namespace.
    pub id_map: Option<BorrowedFd<'fd>>,
}

/// How far a [`Change`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This mount.
    One,
    /// This mount and those below it.
    Tree,
}

/// Changes the mount that the descriptor refers to; it must be the root of the mount.
///
/// # Errors
/// EPERM for flags that a user namespace has locked, EINVAL for what is no mount's root.
pub fn change(mount: BorrowedFd<'_>, change: Change<'_>, reach: Reach) -> Result<(), Errno> {
    let mut attributes = libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: 0,
    };
    if let Some(namespace) = change.id_map {
        attributes.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attributes.userns_fd = namespace.as_raw_fd() as u64;
    }
    let recursive = if reach == Reach::Tree { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the empty path with AT_EMPTY_PATH names the descriptor; the attributes live through the call, which is
    // told their size.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw mut attributes,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}
