//! bpf(2), as far as cgroup device programs need it.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::sys::checked;

/// One instruction, as the kernel's `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Operation.
    pub(crate) code: u8,
    /// Destination in the lower four bits, source in the upper.
    pub(crate) registers: u8,
    /// For jumps and loads.
    pub(crate) offset: i16,
    /// Immediate operand.
    pub(crate) value: i32,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The kernel attaches at most this many programs to a cgroup.
const MAX_PROGRAMS: usize = 64;

/// The verifier gives up with EAGAIN when a signal arrives; as often as libbpf and runc try.
const MAX_TRIES: usize = 30;

/// The beginnings of `union bpf_attr`; the kernel takes what is missing for zero.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// All of it: Linux 6.17 writes `revision` whatever size it is told.
#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
    program_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

fn size_of<T>() -> libc::c_uint {
    libc::c_uint::try_from(std::mem::size_of::<T>()).expect("a few words")
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    u32::try_from(descriptor.as_raw_fd()).expect("a borrowed descriptor is not negative")
}

/// Loads a program that decides on devices.
///
/// # Errors
/// EPERM without CAP_BPF or CAP_SYS_ADMIN, EINVAL and EACCES for a program that the verifier refuses.
pub(crate) fn load_device_program(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let license = c"Apache-2.0";
    let attributes = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: program.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
    };
    let mut loaded = Err(Errno::AGAIN);
    for _ in 0..MAX_TRIES {
        // SAFETY: `attributes` begins like union bpf_attr for BPF_PROG_LOAD and its size is told; the instructions and
        // the licence that it points to live until the call returns, and the kernel copies them.
        loaded = checked(unsafe {
            libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size_of::<Load>())
        });
        if loaded != Err(Errno::AGAIN) {
            break;
        }
    }
    let raw = RawFd::try_from(loaded?).map_err(|_| Errno::OVERFLOW)?;
    // SAFETY: a successful BPF_PROG_LOAD returns a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Has the kernel ask the program about devices for the cgroup and all below, besides those that are there.
///
/// # Errors
/// The kernel's: EPERM when a cgroup above has a program that allows no others.
pub(crate) fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    change(PROG_ATTACH, cgroup, program, ALLOW_MULTI)
}

/// Takes a program off a cgroup.
///
/// # Errors
/// The kernel's; ENOENT when it is not attached.
pub(crate) fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    change(PROG_DETACH, cgroup, program, 0)
}

fn change(
    command: libc::c_int,
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    flags: u32,
) -> Result<(), Errno> {
    let attributes =
        Attach { target: number(cgroup), program: number(program), kind: ATTACH_CGROUP_DEVICE, flags };
    // SAFETY: `attributes` begins like union bpf_attr for BPF_PROG_ATTACH and _DETACH, its size is told, and both
    // descriptors are open.
    checked(unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attributes, size_of::<Attach>()) })
        .map(drop)
}

/// The ids of the programs that are attached to a cgroup itself.
///
/// # Errors
/// The kernel's.
pub(crate) fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    let mut ids = vec![0_u32; MAX_PROGRAMS];
    let mut query = Query {
        target: number(cgroup),
        kind: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(MAX_PROGRAMS).expect("64"),
        padding: 0,
        program_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: `query` is union bpf_attr for BPF_PROG_QUERY and its size is told; the kernel writes into it and at most
    // `count` ids into the buffer, both of which we hold exclusively.
    checked(unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut query, size_of::<Query>()) })?;
    ids.truncate(usize::try_from(query.count).map_err(|_| Errno::OVERFLOW)?);
    Ok(ids)
}

/// A descriptor of a loaded program.
///
/// # Errors
/// The kernel's; ENOENT when it is gone.
pub(crate) fn program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: the attribute of BPF_PROG_GET_FD_BY_ID is the id; its size is told, and it lives until the call returns.
    let returned =
        checked(unsafe { libc::syscall(libc::SYS_bpf, PROG_GET_FD_BY_ID, &raw const id, size_of::<u32>()) })?;
    let raw = RawFd::try_from(returned).map_err(|_| Errno::OVERFLOW)?;
    // SAFETY: a successful call returns a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
