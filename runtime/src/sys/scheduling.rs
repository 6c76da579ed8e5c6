//! How the calling thread is scheduled: sched_setattr(2), sched_setaffinity(2), ioprio_set(2).

use rustix::io::Errno;

use crate::sys::checked;

/// The kernel's `struct sched_attr`, version 0 and the utilisation clamps of version 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchedulingAttributes {
    /// Size of this structure in bytes.
    pub(crate) size: u32,
    /// `SCHED_*`.
    pub(crate) policy: u32,
    /// `SCHED_FLAG_*`.
    pub(crate) flags: u64,
    /// For SCHED_OTHER and SCHED_BATCH.
    pub(crate) nice: i32,
    /// For SCHED_FIFO and SCHED_RR.
    pub(crate) priority: u32,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub(crate) runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub(crate) deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub(crate) period: u64,
    /// 0 to 1024.
    pub(crate) utilisation_min: u32,
    /// 0 to 1024.
    pub(crate) utilisation_max: u32,
}

/// Sets policy and parameters of the calling thread.
///
/// # Errors
/// The kernel's: EPERM without CAP_SYS_NICE (or SCHED_DEADLINE within a cpuset), EINVAL for impossible values.
pub(crate) fn set_attributes(attributes: &SchedulingAttributes) -> Result<(), Errno> {
    // SAFETY: the kernel reads `attributes.size` bytes at most, and checks it against its own; our value lives until
    // the call returns.
    checked(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attributes, 0u32) }).map(drop)
}

/// Pins the calling thread to CPUs; bit n of `mask` (lowest word first) is CPU n.
///
/// # Errors
/// EINVAL when none of them is allowed by the cpuset.
pub(crate) fn set_affinity(mask: &[libc::c_ulong]) -> Result<(), Errno> {
    let bytes = size_of_val(mask);
    // SAFETY: the kernel reads `bytes` bytes from `mask`, which has as many.
    checked(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, bytes, mask.as_ptr()) }).map(drop)
}

/// Sets the I/O class (bits 13 and up) and level of the calling thread.
///
/// # Errors
/// EPERM for the real-time class without CAP_SYS_ADMIN or CAP_SYS_NICE.
pub(crate) fn set_io_priority(value: u32) -> Result<(), Errno> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: three integers; nothing of our memory is read or written.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) }).map(drop)
}
