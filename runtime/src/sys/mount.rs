//! What a mount is like: its attributes and its propagation, by descriptor with mount_setattr where the kernel has it.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::sys::checked;

/// What to change of a mount: `MOUNT_ATTR_*` to set and to clear, an `MS_*` propagation or 0, and the user namespace of
/// an id-mapped mount.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change<'fd> {
    /// `MOUNT_ATTR_*` to set.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` to clear, before those to set.
    pub(crate) clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or `MS_UNBINDABLE`; 0 leaves it.
    pub(crate) propagation: u64,
    /// Maps ids by this user namespace.
    pub(crate) id_map: Option<BorrowedFd<'fd>>,
}

impl Change<'_> {
    /// Read-only, and otherwise as it was.
    pub(crate) const READONLY: Self =
        Self { set: libc::MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, id_map: None };
}

/// How far a [`Change`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This mount.
    One,
    /// This mount and those below it.
    Tree,
}

/// The field of access time modes has three values; mount(2) has a flag for each.
const ATIME_FLAGS: [(u64, MountFlags); 3] = [
    (libc::MOUNT_ATTR_RELATIME, MountFlags::RELATIME),
    (libc::MOUNT_ATTR_NOATIME, MountFlags::NOATIME),
    (libc::MOUNT_ATTR_STRICTATIME, MountFlags::STRICTATIME),
];
/// An attribute, its flag of mount(2), and the one of statvfs(3), of which the libc crate has some for glibc alone.
const FLAGS: [(u64, MountFlags, u64); 6] = [
    (libc::MOUNT_ATTR_RDONLY, MountFlags::RDONLY, libc::ST_RDONLY),
    (libc::MOUNT_ATTR_NOSUID, MountFlags::NOSUID, libc::ST_NOSUID),
    (libc::MOUNT_ATTR_NODEV, MountFlags::NODEV, libc::ST_NODEV),
    (libc::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC, libc::ST_NOEXEC),
    (libc::MOUNT_ATTR_NODIRATIME, MountFlags::NODIRATIME, libc::ST_NODIRATIME),
    (libc::MOUNT_ATTR_NOSYMFOLLOW, MountFlags::from_bits_retain(libc::MS_NOSYMFOLLOW as u32), 0x2000),
];
const ST_RELATIME: u64 = 0x1000;

/// Changes the mount that the descriptor refers to, which may be attached nowhere; it must be the root of the mount.
///
/// # Errors
/// EPERM for flags that a user namespace has locked, EINVAL for what is no mount's root. ENOSYS before Linux 5.12, and
/// EINVAL for an attribute that came later (`MOUNT_ATTR_NOSYMFOLLOW`: 5.14).
pub(crate) fn change(mount: BorrowedFd<'_>, change: Change<'_>, reach: Reach) -> Result<(), Errno> {
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

/// Changes a mount that is attached in our mount namespace, while our root is still the host's: what mount_setattr
/// cannot do yet is asked of mount(2), by the name that the host's /proc has for the descriptor, which cannot be
/// exchanged.
///
/// # Errors
/// Those of [`change`]; ENOSYS only for attributes of a whole tree and for mapped ids, which mount(2) does not know.
pub(crate) fn change_attached(mount: BorrowedFd<'_>, wanted: Change<'_>, reach: Reach) -> Result<(), Errno> {
    let refused = match change(mount, wanted, reach) {
        Err(errno @ (Errno::NOSYS | Errno::INVAL)) => errno,
        changed => return changed,
    };
    let has_attributes = wanted.set | wanted.clear != 0;
    if wanted.id_map.is_some() || (has_attributes && reach == Reach::Tree) {
        return Err(refused);
    }
    let name = format!("/proc/self/fd/{}", mount.as_raw_fd());
    if wanted.propagation != 0 {
        rustix::mount::mount_change(&name, propagation_flags(wanted.propagation, reach))?;
    }
    if has_attributes {
        let whole = attributes(mount)? & !wanted.clear | wanted.set;
        rustix::mount::mount_remount(&name, MountFlags::BIND | flags_of(whole), c"")?;
    }
    Ok(())
}

/// Changes the propagation of the mount at `/` or `.`, which cannot be exchanged either.
///
/// # Errors
/// EINVAL for what is no mount's root.
pub(crate) fn propagate(path: &'static CStr, propagation: u64, reach: Reach) -> Result<(), Errno> {
    rustix::mount::mount_change(path, propagation_flags(propagation, reach))
}

/// The attributes that a mount has, as `MOUNT_ATTR_*`; a read-only filesystem counts as a read-only mount.
///
/// # Errors
/// The kernel's.
pub(crate) fn attributes(mount: BorrowedFd<'_>) -> Result<u64, Errno> {
    let present = rustix::fs::fstatvfs(mount)?.f_flag.bits();
    let named = FLAGS.iter().filter(|(_, _, shown)| present & shown != 0);
    let atime = match (present & libc::ST_NOATIME, present & ST_RELATIME) {
        (0, 0) => libc::MOUNT_ATTR_STRICTATIME,
        (0, _) => libc::MOUNT_ATTR_RELATIME,
        _ => libc::MOUNT_ATTR_NOATIME,
    };
    Ok(named.fold(atime, |all, (attribute, _, _)| all | attribute))
}

fn flags_of(attributes: u64) -> MountFlags {
    let named = FLAGS.iter().filter(|(attribute, _, _)| attributes & attribute != 0);
    let atime = ATIME_FLAGS.iter().filter(|(mode, _)| attributes & libc::MOUNT_ATTR__ATIME == *mode);
    named.map(|(_, flag, _)| *flag).chain(atime.map(|(_, flag)| *flag)).collect()
}

fn propagation_flags(propagation: u64, reach: Reach) -> MountPropagationFlags {
    let recursive =
        if reach == Reach::Tree { MountPropagationFlags::REC } else { MountPropagationFlags::empty() };
    MountPropagationFlags::from_bits_retain(propagation as u32) | recursive
}
