//! personality(2).

use rustix::io::Errno;

use crate::sys::checked;

/// Sets the calling thread's execution domain.
///
/// # Errors
/// The kernel's.
pub(crate) fn set(domain: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: one integer; nothing of our memory is read or written.
    checked(libc::c_long::from(unsafe { libc::personality(domain) })).map(drop)
}
