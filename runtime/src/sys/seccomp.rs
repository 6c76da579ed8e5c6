//! seccomp(2): loading a filter. Never sets no_new_privs: the OCI configuration says whether it is set.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::sys::checked;

/// One classic BPF instruction, as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Operation.
    pub(crate) code: u16,
    /// Instructions to skip when a comparison holds.
    pub(crate) jt: u8,
    /// Instructions to skip when it does not.
    pub(crate) jf: u8,
    /// Operand.
    pub(crate) k: u32,
}

const SET_MODE_FILTER: libc::c_uint = 1;

/// The flag that makes [`load`] return a descriptor.
pub(crate) const NEW_LISTENER: u32 = 1 << 3;

/// Adds `program` to the filters of the calling thread, with the kernel's `flags`.
///
/// The listener is returned when `flags` has [`NEW_LISTENER`]; the kernel makes it close-on-exec.
///
/// # Errors
/// The kernel's: EACCES without CAP_SYS_ADMIN and without no_new_privs, EINVAL for a bad program or flag.
pub(crate) fn load(program: &[Instruction], flags: u32) -> Result<Option<OwnedFd>, Errno> {
    let header = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `header` and the instructions that it points to live until the call returns, and the kernel copies them;
    // Instruction has the layout of struct sock_filter.
    let returned = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const header) };
    let returned = checked(returned)?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    let raw = RawFd::try_from(returned).map_err(|_| Errno::OVERFLOW)?;
    // SAFETY: with NEW_LISTENER a successful call returns a new descriptor that nothing else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) }))
}

/// Whether the kernel knows the filter flags: it looks at them before it reads the (null) program, and so says EFAULT
/// for flags that it knows and EINVAL for those that it does not.
pub(crate) fn knows_flags(flags: u32) -> bool {
    let nothing = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: a null program is never read: the kernel fails with EFAULT and installs nothing.
    let returned = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, nothing) };
    checked(returned) == Err(Errno::FAULT)
}
