//! Why a container has no share of a resource.

use std::path::PathBuf;

use rustix::io::Errno;

/// Why a container has no share. runc's words where there are some.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum ResctrlError {
    #[error(
        "intelRdt is specified in config, but Intel RDT is not enabled: no resctrl filesystem is mounted; mount one \
         (mount -t resctrl resctrl /sys/fs/resctrl), or remove linux.intelRdt"
    )]
    NotMounted,
    #[error(
        "{field} is specified in config, but this machine's resctrl has no {resource} to share; remove it"
    )]
    NoResource { field: &'static str, resource: &'static str },
    #[error("invalid intelRdt.ClosID {0:?}: it must be the name of one directory, or /")]
    Class(String),
    #[error("{field} must be one line{beginning}, not {value:?}")]
    Line { field: &'static str, beginning: &'static str, value: String },
    #[error(
        "clos dir not accessible: {path} must exist when schemata, l3CacheSchema and memBwSchema are empty; make it"
    )]
    NoClass { path: PathBuf, source: Errno },
    #[error("{path} has other shares than {wanted:?} asks for ({found:?}); other containers may use them")]
    Differs { path: PathBuf, wanted: String, found: String },
    #[error("cannot make the resctrl group {path}{status}")]
    Make { path: PathBuf, status: Status, source: Errno },
    #[error("cannot write {value:?} to {path}{status}")]
    Write { path: PathBuf, value: String, status: Status, source: Errno },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: Errno },
    #[error("cannot remove the resctrl group {path}")]
    Remove { path: PathBuf, source: Errno },
}

/// What `info/last_cmd_status` says after a failure: the errno alone tells little.
#[derive(Debug)]
pub(crate) struct Status(pub(super) Option<String>);

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |text| write!(formatter, ", last_cmd_status: {text}"))
    }
}
