//! Shutting a helper in, before it reads the first byte of a layer or a file: it keeps a mount namespace in which the
//! snapshot is the root, the rights that its work takes, and the system calls for that. No step is optional but landlock,
//! which old kernels lack.
//!
//! ```text
//! own mount namespace → snapshot bound and entered as root, the host unmounted → fewer capabilities
//!   → landlock (write below the root if at all, read the views) → seccomp
//! ```

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::Signal;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use serde::{Deserialize, Serialize};

use super::edit::MountPlan;
use super::errno::Errno as Told;
use crate::snapshots::{mount_overlay, view_layers};

/// zstd's window, chunks, what is known of directories; virtual memory, thread stacks included.
const MAX_MEMORY_BYTES: u64 = 2 << 30;

/// What reading anybody's files takes; the last is for `trusted.overlay.*`, and for mounting at the beginning.
const READING: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::SYS_ADMIN);

/// What making files of any owner and kind takes.
const WRITING: CapabilitySet = READING
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP);

/// A helper cannot be shut in; then it does not work at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum ConfineError {
    /// A step failed.
    #[error("cannot confine the helper: {doing} failed")]
    Step {
        /// Which.
        doing: Cow<'static, str>,
        /// The reason.
        source: Told,
    },
    /// As before, in the seccomp or landlock library's words, or ours.
    #[error("cannot confine the helper: {0}")]
    Sandbox(String),
}

/// What a helper is to see.
pub(super) struct Confinement<'a> {
    /// The process whose helper it is: it ends with that one.
    pub(super) parent_pid: i32,
    /// What is mounted at `root` first, which nobody else sees.
    pub(super) mount: Option<&'a MountPlan>,
    /// The directory that becomes its root.
    pub(super) root: &'a Path,
    /// Whether it may change what is in there.
    pub(super) may_write: bool,
    /// Layers, nearest first, whose common view it may read, each time; none for no view.
    pub(super) view: &'a [PathBuf],
}

/// Where the helper may work.
pub(super) struct Place {
    pub(super) root: OwnedFd,
    /// What the layers of the view show, read-only.
    pub(super) view: Option<OwnedFd>,
}

fn failed(doing: &'static str) -> impl FnOnce(Errno) -> ConfineError {
    move |errno| ConfineError::Step { doing: doing.into(), source: errno.into() }
}

/// Shuts the process in. It must have one thread only.
pub(super) fn enter(wanted: &Confinement<'_>) -> Result<Place, ConfineError> {
    end_with_parent(wanted.parent_pid)?;
    own_mounts()?;
    let view = look_at(wanted.view)?;
    if let Some(mount) = wanted.mount {
        mount_at(mount, wanted.root)?;
    }
    become_root(wanted.root, wanted.may_write)?;
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", open, Mode::empty()).map_err(failed("opening the root"))?;
    rustix::process::umask(Mode::empty());
    let memory = Rlimit { current: Some(MAX_MEMORY_BYTES), maximum: Some(MAX_MEMORY_BYTES) };
    rustix::process::setrlimit(Resource::As, memory).map_err(failed("bounding memory"))?;
    keep_capabilities(if wanted.may_write { WRITING } else { READING })?;
    restrict_files(&root, wanted.may_write, view.as_ref())
        .map_err(|error| ConfineError::Sandbox(error.to_string()))?;
    restrict_calls().map_err(|error| ConfineError::Sandbox(error.to_string()))?;
    Ok(Place { root, view })
}

/// The next knarrd removes what a helper leaves, and must find nobody at work in it.
fn end_with_parent(parent_pid: i32) -> Result<(), ConfineError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed("watching for knarrd's end"))?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    match parent == Some(parent_pid) {
        true => Ok(()),
        false => Err(ConfineError::Sandbox("knarrd is gone".to_owned())),
    }
}

fn own_mounts() -> Result<(), ConfineError> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)
        .map_err(|errno| failed("leaving the mount namespace")(Errno::from_raw_os_error(errno as i32)))?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(failed("making mounts private"))
}

fn look_at(layers: &[PathBuf]) -> Result<Option<OwnedFd>, ConfineError> {
    if layers.is_empty() {
        return Ok(None);
    }
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    view_layers(layers).map(Some).map_err(|error| failed("looking at the layers")(errno(error)))
}

fn mount_at(mount: &MountPlan, place: &Path) -> Result<(), ConfineError> {
    match mount.is_overlay {
        true => {
            let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
            mount_overlay(place, &mount.options)
                .map_err(|error| failed("mounting the snapshot")(errno(error)))
        }
        false if Path::new(&mount.source) == place => Ok(()),
        false => rustix::mount::mount_bind(&mount.source, place).map_err(failed("mounting the snapshot")),
    }
}

/// Devices and setuid programs may be made in here, not used.
fn become_root(snapshot: &Path, may_write: bool) -> Result<(), ConfineError> {
    rustix::mount::mount_bind(snapshot, snapshot).map_err(failed("binding the snapshot"))?;
    let mut inert = MountFlags::BIND | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    inert.set(MountFlags::RDONLY, !may_write);
    rustix::mount::mount_remount(snapshot, inert, c"").map_err(failed("making the snapshot inert"))?;
    rustix::process::chdir(snapshot).map_err(failed("entering the snapshot"))?;
    rustix::process::pivot_root(".", ".").map_err(failed("making the snapshot the root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(failed("leaving the host's files"))?;
    rustix::process::chdir("/").map_err(failed("entering the root"))
}

fn keep_capabilities(needed: CapabilitySet) -> Result<(), ConfineError> {
    // What an outer container did not give us cannot be kept.
    let have = rustix::thread::capabilities(None).map_err(failed("reading capabilities"))?.permitted;
    let kept = needed & have;
    let kept = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, kept).map_err(failed("giving up capabilities"))
}

fn restrict_files(
    root: &OwnedFd,
    may_write: bool,
    view: Option<&OwnedFd>,
) -> Result<(), landlock::RulesetError> {
    let abi = ABI::V6;
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let writing = AccessFs::from_write(abi) | AccessFs::Refer;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rule(PathBeneath::new(root, if may_write { reading | writing } else { reading }))?;
    if let Some(view) = view {
        rules = rules.add_rule(PathBeneath::new(view, reading))?;
    }
    rules.restrict_self()?;
    Ok(())
}

/// Everything else is answered with ENOSYS, which the C library takes as an old kernel's answer.
fn restrict_calls() -> Result<(), Box<dyn std::error::Error>> {
    let rules = ALLOWED.iter().map(|number| (*number, Vec::new())).collect();
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    let denied = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let filter: BpfProgram =
        SeccompFilter::new(rules, denied, SeccompAction::Allow, architecture)?.try_into()?;
    seccompiler::apply_filter(&filter)?;
    Ok(())
}

/// Files, memory, threads, and ends. Nothing that starts programs, opens sockets, mounts or looks at processes.
#[rustfmt::skip]
const ALLOWED: &[libc::c_long] = &[
    // Read, write, look.
    libc::SYS_read, libc::SYS_write, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_lseek,
    libc::SYS_close, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_fstatfs,
    libc::SYS_getdents64, libc::SYS_readlinkat, libc::SYS_fcntl, libc::SYS_copy_file_range,
    // Make and remove.
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_mkdirat, libc::SYS_mknodat, libc::SYS_symlinkat, libc::SYS_linkat,
    libc::SYS_unlinkat, libc::SYS_renameat2, libc::SYS_ftruncate,
    // Owners, modes, times, attributes.
    libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_utimensat,
    libc::SYS_fsetxattr, libc::SYS_fgetxattr, libc::SYS_flistxattr, libc::SYS_fremovexattr,
    // Memory and threads.
    libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect, libc::SYS_madvise,
    libc::SYS_clone, libc::SYS_futex, libc::SYS_set_robust_list, libc::SYS_rseq, libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask, libc::SYS_rt_sigaction, libc::SYS_rt_sigreturn, libc::SYS_restart_syscall,
    libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_gettid, libc::SYS_getpid, libc::SYS_tgkill,
    libc::SYS_prctl, libc::SYS_getrandom, libc::SYS_clock_gettime,
    libc::SYS_exit, libc::SYS_exit_group,
];
