//! The system calls that nothing here can do without and that came to Linux late, or that filters around us like to
//! forbid.

use rustix::io::Errno;

use crate::sys::checked;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LateCall {
    /// As in its manual.
    pub(crate) name: &'static str,
    /// The first Linux that has it.
    pub(crate) since: &'static str,
    number: libc::c_long,
}

const fn call(name: &'static str, since: &'static str, number: libc::c_long) -> LateCall {
    LateCall { name, since, number }
}

/// All of them.
pub(crate) const LATE_CALLS: [LateCall; 15] = [
    call("openat2", "5.6", libc::SYS_openat2),
    call("clone3", "5.3", libc::SYS_clone3),
    call("open_tree", "5.2", libc::SYS_open_tree),
    call("move_mount", "5.2", libc::SYS_move_mount),
    call("fsopen", "5.2", libc::SYS_fsopen),
    call("fsconfig", "5.2", libc::SYS_fsconfig),
    call("fsmount", "5.2", libc::SYS_fsmount),
    call("mount_setattr", "5.12", libc::SYS_mount_setattr),
    call("pidfd_open", "5.3", libc::SYS_pidfd_open),
    call("pidfd_send_signal", "5.1", libc::SYS_pidfd_send_signal),
    call("pidfd_getfd", "5.6", libc::SYS_pidfd_getfd),
    call("execveat", "3.19", libc::SYS_execveat),
    call("memfd_create", "3.17", libc::SYS_memfd_create),
    call("seccomp", "3.17", libc::SYS_seccomp),
    call("keyctl", "2.6", libc::SYS_keyctl),
];

impl LateCall {
    /// What the kernel says to arguments that are all wrong: ENOSYS or EPERM when it is the call that it does not like.
    #[must_use]
    pub(crate) fn answer(&self) -> Errno {
        const WRONG: libc::c_long = -1;
        // SAFETY: -1 is no descriptor, process, command or address and has every unknown flag; of the calls above each
        // refuses at least one of these before it does or touches anything (clone3: a structure of 0 bytes).
        let answered = unsafe { libc::syscall(self.number, WRONG, 0_usize, WRONG, WRONG, WRONG) };
        checked(answered).err().unwrap_or(Errno::INVAL)
    }
}
