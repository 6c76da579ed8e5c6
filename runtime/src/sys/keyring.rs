//! keyctl(2): the session keyring.

use std::ffi::CStr;

use rustix::io::Errno;

use crate::sys::checked;

const JOIN_SESSION_KEYRING: libc::c_int = 1;
const SETPERM: libc::c_int = 5;
const DESCRIBE: libc::c_int = 6;

/// A key's serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeySerial(libc::c_long);

/// Leaves the session keyring for the one of this name, made if there is none.
///
/// # Errors
/// ENOSYS without key support, EDQUOT when the user has too many keys, EACCES when one of that name is another's.
pub(crate) fn join_session_keyring(name: &CStr) -> Result<KeySerial, Errno> {
    // SAFETY: `name` is a terminated string that lives until the call returns.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) }).map(KeySerial)
}

/// Writes `type;uid;gid;permissions;description` into `buffer` and returns its length without the terminator.
///
/// # Errors
/// The kernel's, and ERANGE when the buffer is too small.
pub(crate) fn describe(key: KeySerial, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`, which we hold exclusively.
    let length = checked(unsafe {
        libc::syscall(libc::SYS_keyctl, DESCRIBE, key.0, buffer.as_mut_ptr(), buffer.len(), 0)
    })?;
    match usize::try_from(length) {
        Ok(length @ 1..) if length <= buffer.len() => Ok(length - 1),
        _ => Err(Errno::RANGE),
    }
}

/// Sets a key's permission bits.
///
/// # Errors
/// The kernel's.
pub(crate) fn set_permissions(key: KeySerial, permissions: u32) -> Result<(), Errno> {
    // SAFETY: three integers; nothing of our memory is read or written.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, key.0, permissions) }).map(drop)
}
