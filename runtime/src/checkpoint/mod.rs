//! `checkpoint` and `restore`, done by criu(8), which is started for each of them and spoken to over a socket.
//!
//! - [`protocol`]: what is said, as bytes
//! - [`criu`]: the conversation: start, ask, answer notifications, end
//! - [`dump`]: a running container becomes files
//! - [`restore`]: files become a running container
//! - `external`: the mounts that belong to the host, which criu is told of by name both times
//!
//! What is ours stays ours: cgroups, state and hooks are handled here as in [`crate::create`]; criu gets processes,
//! namespaces and mounts.
#![forbid(unsafe_code)]

pub(crate) mod criu;
pub(crate) mod dump;
mod external;
pub(crate) mod protocol;
pub(crate) mod restore;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::cgroup::CgroupError;
use crate::create::CreateError;
use crate::handshake::Failure;
use crate::hooks::HookError;
use crate::plan::{Plan, PlanError};
use crate::spec::{NamespaceKind, Spec, SpecError};
use crate::state::StateError;
use crate::sys::{Errno, errno_of};
use criu::Criu;
use protocol::{CgroupMode, Message, Response, field};

/// criu's most talkative level but one, as under runc: what goes wrong is found in the log only.
const LOG_LEVEL: u64 = 4;

/// Beside criu's images: what the standard streams of the container's first process were. runc's name and form.
const DESCRIPTORS: &str = "descriptors.json";

/// criu's settings, which win over ours, unless the annotation `org.criu.config` names others (runc's file and word).
const CONFIG_FILE: &str = "/etc/criu/runc.conf";
const CONFIG_ANNOTATION: &str = "org.criu.config";

/// What both verbs have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct Options {
    /// Where criu's images are.
    pub(crate) images: PathBuf,
    /// Where its log and other files go; none is beside the images.
    pub(crate) work: Option<PathBuf>,
    pub(crate) tcp_established: bool,
    pub(crate) ext_unix_sk: bool,
    pub(crate) shell_job: bool,
    pub(crate) file_locks: bool,
    pub(crate) cgroups: CgroupMode,
    pub(crate) auto_dedup: bool,
    pub(crate) lazy_pages: bool,
}

/// Why there is no checkpoint, or no container from it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum CheckpointError {
    #[error("criu is not in PATH, and checkpoints are its work; install it (Debian: apt-get install criu)")]
    NoCriu,
    #[error("criu is older than 3.16, which is the oldest that works; install a newer one")]
    OldCriu,
    #[error("criu cannot be run")]
    Start { source: Errno },
    #[error("cannot prepare what criu needs")]
    Prepare { source: Failure },
    #[error("cannot enter the container's cgroups")]
    Enter { source: Errno },
    #[error("--parent-path must be relative")]
    ParentAbsolute,
    #[error("invalid --parent-path: {path:?} cannot be listed")]
    Parent { path: PathBuf, source: std::io::Error },
    #[error("cannot open the restored process {pid}")]
    Process { pid: u32, source: Errno },
    #[error("criu ended without an answer; try `criu check`")]
    Died,
    #[error("criu sent what is no response of its protocol")]
    Malformed,
    #[error("cannot speak with criu")]
    Socket { source: Errno },
    #[error("this kernel or criu cannot {what}; try `criu check --all`")]
    Missing { what: &'static str },
    #[error("criu failed: type {verb} errno {errno}; its log {log} says: {said}")]
    Failed { verb: &'static str, errno: i32, log: String, said: String },
    #[error("cannot open or make {path:?}, the directory of a checkpoint")]
    Directory { path: PathBuf, source: Errno },
    #[error("cannot read or write {path:?} of the checkpoint")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path:?} is not what `checkpoint` writes there")]
    Descriptors { path: PathBuf, source: serde_json::Error },
    #[error("invalid --status-fd argument {number}: it is not open for writing")]
    StatusFd { number: i32 },
    #[error("Container cannot be checkpointed in {0} state")]
    Status(knarr_proto::status::Status),
    #[error("cannot find out about the {kind:?} namespace {path:?}")]
    Namespace { kind: NamespaceKind, path: PathBuf, source: Errno },
    #[error("criu saves no container without a mount namespace")]
    NoMountNamespace,
    #[error(
        "criu cannot join a cgroup namespace that is given by its path; leave it out of linux.namespaces"
    )]
    CgroupNamespace,
    #[error("cannot prepare the mount point {destination:?}")]
    MountPoint { destination: String, source: crate::rootfs::MountError },
    #[error("cannot prepare the root filesystem {path:?}")]
    Root { path: PathBuf, source: Errno },
    #[error("cannot have mounts of our own for a while")]
    View { source: Errno },
    #[error("criu restored no process")]
    NoProcess,
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// Directories that criu works in; it opens them through our descriptors.
#[derive(Debug)]
struct Directories {
    images: OwnedFd,
    work: Option<OwnedFd>,
}

impl Directories {
    fn open(options: &Options) -> Result<Self, CheckpointError> {
        let work = options.work.as_deref().map(|path| make(path).and_then(|()| open(path))).transpose()?;
        Ok(Self { images: open(&options.images)?, work })
    }
}

fn make(path: &Path) -> Result<(), CheckpointError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        let source = errno_of(&error);
        CheckpointError::Directory { path: path.to_owned(), source }
    })
}

fn open(path: &Path) -> Result<OwnedFd, CheckpointError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|source| CheckpointError::Directory { path: path.to_owned(), source })
}

impl Options {
    /// criu could not, and its log says why.
    fn failed(&self, verb: &'static str, errno: Option<i32>, log: &str) -> CheckpointError {
        let path = self.work.as_ref().unwrap_or(&self.images).join(log);
        CheckpointError::Failed {
            verb,
            errno: errno.unwrap_or(0),
            said: criu::complaint(&path),
            log: path.display().to_string(),
        }
    }

    /// What came of a request. When criu ended instead of answering, its log says why as well.
    fn conclude(
        &self,
        criu: Criu,
        answered: Result<Response, CheckpointError>,
        verb: &'static str,
        log: &str,
    ) -> Result<(), CheckpointError> {
        let response = match answered {
            Err(CheckpointError::Died) => return Err(self.failed(verb, None, log)),
            answered => answered?,
        };
        criu.finish()?;
        if response.success { Ok(()) } else { Err(self.failed(verb, response.errno, log)) }
    }

    /// What both verbs tell criu.
    fn message(&self, directories: &Directories, log: &str, spec: &Spec) -> Message {
        use std::os::fd::AsRawFd;
        let number = |descriptor: &OwnedFd| u64::from(descriptor.as_raw_fd().cast_unsigned());
        let mut message = Message::default();
        message.number(field::IMAGES_DIR_FD, number(&directories.images));
        if let Some(work) = &directories.work {
            message.number(field::WORK_DIR_FD, number(work));
        }
        message.number(field::LOG_LEVEL, LOG_LEVEL);
        message.text(field::LOG_FILE, log);
        message.flag(field::NOTIFY_SCRIPTS, true);
        message.flag(field::MANAGE_CGROUPS, true);
        message.number(field::MANAGE_CGROUPS_MODE, self.cgroups as u64);
        message.flag(field::SHELL_JOB, self.shell_job);
        message.flag(field::TCP_ESTABLISHED, self.tcp_established);
        message.flag(field::EXT_UNIX_SK, self.ext_unix_sk);
        message.flag(field::FILE_LOCKS, self.file_locks);
        message.flag(field::AUTO_DEDUP, self.auto_dedup);
        message.flag(field::LAZY_PAGES, self.lazy_pages);
        message.flag(field::ORPHAN_PTS_MASTER, true);
        // Interfaces and addresses are not ours to set, as they are not in `create`.
        message.number(field::EMPTY_NS, u64::from(libc::CLONE_NEWNET.cast_unsigned()));
        match spec.annotations.get(CONFIG_ANNOTATION).map(String::as_str) {
            None => message.text(field::CONFIG_FILE, CONFIG_FILE),
            Some("") => {}
            Some(path) => message.text(field::CONFIG_FILE, path),
        }
        message
    }
}

/// The name by which criu knows a namespace of the host in both requests.
fn namespace_key(kind: NamespaceKind) -> Option<(&'static str, &'static str)> {
    match kind {
        NamespaceKind::Network => Some(("net", "extRootNetNS")),
        NamespaceKind::Pid => Some(("pid", "extRootPidNS")),
        _ => None,
    }
}

/// The root of a container without a mount namespace is in no list of mounts that criu could read.
fn require_mount_namespace(plan: &Plan) -> Result<(), CheckpointError> {
    match plan.namespaces.has(NamespaceKind::Mount) {
        true => Ok(()),
        false => Err(CheckpointError::NoMountNamespace),
    }
}
