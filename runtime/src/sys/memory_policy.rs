//! set_mempolicy(2).

use rustix::io::Errno;

use crate::sys::checked;

/// Sets the calling thread's NUMA policy; bit n of `nodes` (lowest word first) is node n.
///
/// # Errors
/// The kernel's: EINVAL for nodes that do not exist or a mode that it does not know, ENOSYS without NUMA.
pub(crate) fn set(mode: libc::c_int, nodes: &[libc::c_ulong]) -> Result<(), Errno> {
    // The kernel reads one bit less than it is told (get_nodes decrements maxnode), hence the bit more.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * libc::c_ulong::BITS as usize + 1 };
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the kernel reads `bits - 1` bits from `mask`, which is all of `nodes`, or nothing for a null mask.
    checked(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}
