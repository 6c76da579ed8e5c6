//! Why a command line is wrong, in runc's words.

use std::path::PathBuf;

use knarr_proto::id::InvalidId;

/// The command line is wrong.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum UsageError {
    #[error("flag provided but not defined: -{0}")]
    UnknownFlag(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid boolean value \"{value}\" for -{name}: parse error")]
    BadBoolean { name: String, value: String },
    #[error("invalid value \"{value}\" for flag -{name}: parse error")]
    BadValue { name: String, value: String },
    #[error("{program}: \"{command}\" requires {bound} argument(s)")]
    Operands { program: String, command: &'static str, bound: String },
    #[error("No help topic for '{0}'")]
    UnknownCommand(String),
    #[error("argument {0} is not valid UTF-8")]
    NotUtf8(usize),
    #[error("invalid log-format: {0}")]
    LogFormat(String),
    #[error("invalid format option")]
    ListFormat,
    #[error("--root is {0:?}, but the root directory itself cannot hold containers' state")]
    RootIsSlash(PathBuf),
    #[error("cannot make --root {root:?} absolute")]
    RootPath { root: PathBuf, source: std::io::Error },
    #[error("invalid manage-cgroups-mode value")]
    CgroupMode,
    #[error("namespace {0:?} is not supported")]
    EmptyNamespace(String),
    #[error("Use --page-server ADDRESS:PORT to specify page server")]
    PageServer,
    #[error(transparent)]
    Id(#[from] InvalidId),
}

impl UsageError {
    pub(crate) fn bad_value(name: &str, value: &str) -> Self {
        Self::BadValue { name: name.to_owned(), value: value.to_owned() }
    }

    /// runc's: 3 for a command that it does not have, otherwise 1.
    #[must_use]
    pub(crate) fn exit_code(&self) -> u8 {
        if matches!(self, Self::UnknownCommand(_)) { 3 } else { 1 }
    }
}
