//! What is said before the command.

use std::path::PathBuf;

/// How the log and the errors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// logrus' `time=… level=… msg=…`.
    #[default]
    Text,
    /// One object a line: `level`, `msg`, `time`.
    Json,
}

/// `--rootless`: whether a lack of permission on cgroups is forgiven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rootless {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is when the caller is not root in the initial user namespace.
    #[default]
    Auto,
}

/// What is said before the command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Globals {
    /// `--debug`.
    pub(crate) debug: bool,
    /// `--log`: a file, instead of stderr.
    pub(crate) log: Option<PathBuf>,
    /// `--log-format`.
    pub(crate) log_format: LogFormat,
    /// `--root`: the directory of all containers' state; absolute.
    pub(crate) root: PathBuf,
    /// Whether `--root` was given: a default that does not exist is no error.
    pub(crate) has_own_root: bool,
    /// `--systemd-cgroup`.
    pub(crate) systemd_cgroup: bool,
    /// `--rootless`.
    pub(crate) rootless: Rootless,
}
