//! How the calling thread is scheduled: sched_setattr(2), sched_setaffinity(2), ioprio_set(2).

use rustix::io::Errno;

use super::checked;

/// The kernel's `struct sched_attr`, version 0 and the utilisation clamps of version 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulingAttributes {
    /// Size of this structure in bytes.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For SCHED_OTHER and SCHED_BATCH.
    pub nice: i32,
    /// For SCHED_FIFO and SCHED_RR.
    pub priority: u32,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub period: u64,
    /// 0 to 1024.
    pub utilisation_min: u32,
    /// 0 to 1024.
    pub utilisation_max: u32,
}

/// Sets policy and parameters of the calling thread.
///
/// # Errors
/// The kernel's: EPERM without CAP_SYS_NICE (or SCHED_DEADLINE within a cpuset), EINVAL for impossible values.
pub fn set_attributes(attributes: &SchedulingAttributes) -> Result<(), Errno> {
    // SAFETY: the kernel reads `attributes.size` bytes at most, and checks it against its own; our value lives until
    // the call returns.
    checked(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attributes, 0u32) }).map(drop)
}

/// Pins the calling thread to CPUs; bit n of `mask` (lowest word first) is CPU n.
///
/// # Errors
/// EINVAL when none of them is allowed by the cpuset.
pub fn set_affinity(mask: &[libc::c_ulong]) -> Result<(), Errno> {
    let bytes = size_of_val(mask);
    // SAFETY: the kernel reads `bytes` bytes from `mask`, which has as many.
    checked(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, bytes, mask.as_ptr()) }).map(drop)
}

/// Sets the I/O class (bits 13 and up) and level of the calling thread.
///
/// # Errors
/// EPERM for the real-time class without CAP_SYS_ADMIN or CAP_SYS_NICE.
pub fn set_io_priority(value: u32) -> Result<(), Errno> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: three integers; nothing of our memory is read or written.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) }).map(drop)
}
