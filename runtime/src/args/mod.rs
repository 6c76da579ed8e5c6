//! The command line, exactly as runc has it: what can be asked, and the one place where text becomes a [`Command`].
//! Never looks at the host.
//!
//! - [`flags`]: how flags are written
//! - [`verbs`]: which flags and operands each command has, and `build`: what they become, a [`Command`]
//! - [`help`]: the text for people

#![forbid(unsafe_code)]

mod build;
mod command;
mod duration;
pub(crate) mod flags;
pub(crate) mod help;
pub(crate) mod verbs;

use std::path::PathBuf;

use knarr_proto::id::InvalidId;

pub(crate) use command::{
    CheckpointArgs, Command, CreateArgs, DeleteArgs, EventsArgs, ExecArgs, KillArgs, ListArgs, ListFormat,
    PsArgs, RestoreArgs, RunArgs, SpecArgs, UpdateArgs,
};

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

/// A whole command line, understood.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The name that we were called by, without its directory.
    pub(crate) program: String,
    /// What holds for every command.
    pub(crate) globals: Globals,
    /// What to do.
    pub(crate) command: Command,
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Do something.
    Invoke(Box<Invocation>),
    /// Print this and stop.
    Print(String),
}

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

/// A wrong command line, and what to print about it.
#[derive(Debug)]
pub(crate) struct Misuse {
    /// What is wrong.
    pub(crate) error: UsageError,
    /// `Incorrect Usage` and the help that fits, for stdout; empty where runc prints none.
    pub(crate) help: String,
    /// As much of `--log` and `--log-format` as was understood: the error goes there.
    pub(crate) globals: Globals,
}

/// Understands a command line; `arguments` begins with the program's name.
///
/// # Errors
/// [`Misuse`], with the text to show on stdout.
pub(crate) fn parse(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Request, Box<Misuse>> {
    let mut texts = Vec::new();
    for (index, argument) in arguments.enumerate() {
        let text = argument.into_string();
        texts.push(text.map_err(|_| misuse(UsageError::NotUtf8(index), String::new(), Globals::default()))?);
    }
    let mut texts = texts.into_iter();
    let path = texts.next().unwrap_or_default();
    let program =
        path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("knarr-runtime").to_owned();
    verbs::parse(program, texts)
}

pub(crate) fn misuse(error: UsageError, help: String, globals: Globals) -> Box<Misuse> {
    Box::new(Misuse { error, help, globals })
}
