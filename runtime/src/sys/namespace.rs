//! Leaving namespaces. (Entering them is safe and rustix's.)

use super::{Errno, checked};

/// Moves this process into new namespaces of the kinds in `flags` (`CLONE_NEW*` only).
///
/// # Errors
/// EPERM, ENOSPC.
pub fn unshare(flags: i32) -> Result<(), Errno> {
    // SAFETY: with CLONE_NEW* flags alone, neither memory nor the descriptor table is affected.
    checked(libc::c_long::from(unsafe { libc::unshare(flags) }))?;
    Ok(())
}
