//! Docker's default seccomp profile as a table: what every container may call, what a capability or an architecture
//! adds, and the few calls that depend on their arguments. It never looks at the host: the runtime knows the numbers
//! and passes over names that an architecture has not.

use std::collections::HashSet;

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgBuilder, LinuxSeccompOperator,
    LinuxSyscall,
};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. CLONE_NEWTIME shares its bits with the exit
/// signal of clone(2), which therefore cannot ask for one.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
/// PER_LINUX, PER_LINUX32, both with UNAME26, and the value that only asks.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// AF_ALG (38) and AF_VSOCK (40) lead to the host's kernel and hypervisor rather than to a network; DECnet (12), Econet,
/// ATM, IrDA, WANPIPE, ISDN and CAIF are code that nothing uses any more. The families beside them are named one by one:
/// "not 40" would let a value with rubbish in its upper half pass, which the kernel then cuts off.
const FIRST_CLOSED_FAMILY: u64 = 12;
const OPEN_FAMILIES_AFTER: [u64; 25] =
    [13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];

/// What every container may call. io_uring is left out as in docker: too many ways out of the kernel went through it.
const ALWAYS: &str = "
accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid
getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek
lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir
mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock
munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open
pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2
prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2
read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg
sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount
statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime
utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// What a capability adds.
const BY_CAPABILITY: [(Capability, &str); 14] = [
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
         lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
         sethostname setns syslog umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module finit_module init_module"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    (Capability::SysRawio, "ioperm iopl"),
    (Capability::SysTime, "clock_settime clock_settime64 settimeofday stime"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// The profile of a container whose bounding set is `capabilities`, on a machine of this program's architecture.
pub(super) fn default_profile(capabilities: &HashSet<Capability>) -> LinuxSeccomp {
    let (architectures, own) = of_architecture(std::env::consts::ARCH);
    let mut rules = vec![allow(ALWAYS)];
    if !own.is_empty() {
        rules.push(allow(own));
    }
    rules.push(when(allow("socket"), 0, LinuxSeccompOperator::ScmpCmpLt, FIRST_CLOSED_FAMILY, None));
    for (name, values) in [("socket", &OPEN_FAMILIES_AFTER[..]), ("personality", &PERSONALITIES[..])] {
        let equal = |value| when(allow(name), 0, LinuxSeccompOperator::ScmpCmpEq, value, None);
        rules.extend(values.iter().copied().map(equal));
    }
    let given = BY_CAPABILITY.iter().filter(|(capability, _)| capabilities.contains(capability));
    rules.extend(given.map(|(_, names)| allow(names)));
    if !capabilities.contains(&Capability::SysAdmin) {
        // s390's clone has its flags second.
        let flags = usize::from(std::env::consts::ARCH == "s390x");
        let masked = LinuxSeccompOperator::ScmpCmpMaskedEq;
        rules.push(when(allow("clone"), flags, masked, CLONE_NAMESPACES, Some(0)));
        // Its flags are in memory, where no filter looks. With ENOSYS the C libraries fall back to clone.
        let mut clone3 = rule("clone3", LinuxSeccompAction::ScmpActErrno);
        clone3.set_errno_ret(Some(ENOSYS));
        rules.push(clone3);
    }
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(LinuxSeccompAction::ScmpActErrno);
    profile.set_default_errno_ret(Some(EPERM));
    profile.set_architectures(Some(architectures.to_vec()));
    profile.set_flags(None);
    profile.set_syscalls(Some(rules));
    profile
}

/// The architectures whose programs run on `machine`, its own first, and the calls that only they have.
fn of_architecture(machine: &str) -> (&'static [Arch], &'static str) {
    match machine {
        "x86_64" => (&[Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32], "arch_prctl modify_ldt"),
        "aarch64" => (
            &[Arch::ScmpArchAarch64, Arch::ScmpArchArm],
            "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
        ),
        "arm" => (
            &[Arch::ScmpArchArm],
            "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
        ),
        "riscv64" => (&[Arch::ScmpArchRiscv64], "riscv_flush_icache"),
        "s390x" => (
            &[Arch::ScmpArchS390x, Arch::ScmpArchS390],
            "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
        ),
        "powerpc64" => (&[Arch::ScmpArchPpc64le], "swapcontext sync_file_range2"),
        _ => (&[Arch::ScmpArchNative], ""),
    }
}

fn allow(names: &str) -> LinuxSyscall {
    rule(names, LinuxSeccompAction::ScmpActAllow)
}

fn rule(names: &str, action: LinuxSeccompAction) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.split_whitespace().map(str::to_owned).collect());
    rule.set_action(action);
    rule.set_args(None);
    rule
}

fn when(
    mut rule: LinuxSyscall,
    index: usize,
    operator: LinuxSeccompOperator,
    value: u64,
    value_two: Option<u64>,
) -> LinuxSyscall {
    let argument = LinuxSeccompArgBuilder::default().index(index).value(value).op(operator);
    // Only a masked comparison has a second value: the first is then the mask.
    let argument = match value_two {
        Some(second) => argument.value_two(second),
        None => argument,
    };
    let argument = argument.build().expect("every field has a default");
    rule.set_args(Some(vec![argument]));
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_for(name: &str, capabilities: &[Capability]) -> Vec<LinuxSyscall> {
        let profile = default_profile(&capabilities.iter().copied().collect());
        let rules = profile.syscalls().clone().expect("rules");
        rules.into_iter().filter(|rule| rule.names().iter().any(|known| known == name)).collect()
    }

    fn is_free(name: &str, capabilities: &[Capability]) -> bool {
        rules_for(name, capabilities)
            .iter()
            .any(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow && rule.args().is_none())
    }

    #[test]
    fn what_reaches_the_host_needs_its_capability() {
        for (name, capability) in [
            ("mount", Capability::SysAdmin),
            ("unshare", Capability::SysAdmin),
            ("clone3", Capability::SysAdmin),
            ("reboot", Capability::SysBoot),
            ("init_module", Capability::SysModule),
            ("clock_settime", Capability::SysTime),
            ("open_by_handle_at", Capability::DacReadSearch),
            ("bpf", Capability::Bpf),
        ] {
            assert!(!is_free(name, &[]), "{name}");
            assert!(is_free(name, &[capability]), "{name}");
        }
        for name in ["read", "execve", "openat2", "futex", "ptrace"] {
            assert!(is_free(name, &[]), "{name}");
        }
        for name in
            ["kexec_load", "add_key", "keyctl", "io_uring_setup", "userfaultfd", "swapon", "nfsservctl"]
        {
            assert!(rules_for(name, &[Capability::SysAdmin]).is_empty(), "{name}");
        }
    }

    #[test]
    fn a_new_namespace_is_refused_and_clone3_is_not_there() {
        let clone = &rules_for("clone", &[])[0];
        let argument = clone.args().as_ref().expect("an argument")[0];
        assert_eq!(
            (argument.op(), argument.value(), argument.value_two()),
            (LinuxSeccompOperator::ScmpCmpMaskedEq, 0x7e02_0000, Some(0))
        );
        let clone3 = &rules_for("clone3", &[])[0];
        assert_eq!((clone3.action(), clone3.errno_ret()), (LinuxSeccompAction::ScmpActErrno, Some(ENOSYS)));
    }

    #[test]
    fn sockets_to_the_hypervisor_are_closed_whatever_the_upper_half_says() {
        let passes = |family: u64| {
            rules_for("socket", &[]).iter().any(|rule| {
                let argument = rule.args().as_ref().expect("every rule has an argument")[0];
                match argument.op() {
                    LinuxSeccompOperator::ScmpCmpLt => family < argument.value(),
                    LinuxSeccompOperator::ScmpCmpEq => family == argument.value(),
                    other => panic!("{other:?}"),
                }
            })
        };
        for family in [1, 2, 10, 16, 17, 44] {
            assert!(passes(family), "{family}");
        }
        for family in [12, 19, 20, 23, 25, 34, 37, 38, 40, 38 | 1 << 32, 40 | 1 << 32, 46] {
            assert!(!passes(family), "{family}");
        }
    }
}
