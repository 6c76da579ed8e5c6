//! What both verbs tell criu and do with its answer.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::criu::{self, Criu};
use super::error::CheckpointError;
use super::options::Options;
use super::protocol::{Message, Response, field};
use crate::plan::Plan;
use crate::spec::Spec;
use crate::spec::linux::NamespaceKind;
use crate::sys::errno_of;

/// criu's most talkative level but one, as under runc: what goes wrong is found in the log only.
pub(crate) const LOG_LEVEL: u64 = 4;

/// Beside criu's images: what the standard streams of the container's first process were. runc's name and form.
pub(crate) const DESCRIPTORS: &str = "descriptors.json";

/// criu's settings, which win over ours, unless the annotation `org.criu.config` names others (runc's file and word).
pub(crate) const CONFIG_FILE: &str = "/etc/criu/runc.conf";

pub(crate) const CONFIG_ANNOTATION: &str = "org.criu.config";

/// Directories that criu works in; it opens them through our descriptors.
#[derive(Debug)]
pub(crate) struct Directories {
    pub(crate) images: OwnedFd,
    pub(crate) work: Option<OwnedFd>,
}

impl Directories {
    pub(crate) fn open(options: &Options) -> Result<Self, CheckpointError> {
        let work = options.work.as_deref().map(|path| make(path).and_then(|()| open(path))).transpose()?;
        Ok(Self { images: open(&options.images)?, work })
    }
}

pub(crate) fn make(path: &Path) -> Result<(), CheckpointError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        let source = errno_of(&error);
        CheckpointError::Directory { path: path.to_owned(), source }
    })
}

pub(crate) fn open(path: &Path) -> Result<OwnedFd, CheckpointError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|source| CheckpointError::Directory { path: path.to_owned(), source })
}

/// The name by which criu knows a namespace of the host in both requests.
pub(crate) fn namespace_key(kind: NamespaceKind) -> Option<(&'static str, &'static str)> {
    match kind {
        NamespaceKind::Network => Some(("net", "extRootNetNS")),
        NamespaceKind::Pid => Some(("pid", "extRootPidNS")),
        _ => None,
    }
}

/// The root of a container without a mount namespace is in no list of mounts that criu could read.
pub(crate) fn require_mount_namespace(plan: &Plan) -> Result<(), CheckpointError> {
    match plan.namespaces.has(NamespaceKind::Mount) {
        true => Ok(()),
        false => Err(CheckpointError::NoMountNamespace),
    }
}

impl Options {
    /// criu could not, and its log says why.
    pub(crate) fn failed(&self, verb: &'static str, errno: Option<i32>, log: &str) -> CheckpointError {
        let path = self.work.as_ref().unwrap_or(&self.images).join(log);
        CheckpointError::Failed {
            verb,
            errno: errno.unwrap_or(0),
            said: criu::complaint(&path),
            log: path.display().to_string(),
        }
    }

    /// What came of a request. When criu ended instead of answering, its log says why as well.
    pub(crate) fn conclude(
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
    pub(crate) fn message(&self, directories: &Directories, log: &str, spec: &Spec) -> Message {
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
