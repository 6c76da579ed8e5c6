//! What can go wrong, as one line for a person, and the exit code that goes with it. The only place where both are made.

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::PathBuf;

use knarr_proto::reason::{self, Reason};
use tonic::{Code, Status};

use crate::daemon::StartError;
use crate::format::template::TemplateError;
use crate::options::BadOption;

/// Docker's exit codes.
const FAILED: u8 = 1;
const ENGINE_FAILED: u8 = 125;
/// What a shell shows for a program that SIGPIPE ended.
const SIGPIPE: u8 = 128 + 13;

/// A command that did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An option's value, found wrong after the command line was read.
    #[error(transparent)]
    Option(#[from] BadOption),
    /// `--format` is no template, or does not fit.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// `--host` or `KNARR_HOST` is not understood.
    #[error("cannot use {host:?} as the daemon's address: write unix:///path/to/knarrd.sock")]
    Host { host: String },
    /// Nobody listens there, or we may not.
    #[error("cannot connect to knarrd at unix://{}: {}", socket.display(), connect_remedy(source))]
    Connect { socket: PathBuf, source: std::io::Error },
    /// No knarrd listens, and none could be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The daemon refused.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
    /// The daemon went away while it was talking.
    #[error("lost the connection to knarrd; what runs goes on running, see 'knarr ps'")]
    Lost,
    /// The daemon said something that the contract does not allow.
    #[error("knarrd's answer to {call} has no {missing}: are knarr and knarrd of the same version?")]
    Contract { call: &'static str, missing: &'static str },
    /// `-it` in a script.
    #[error("the input device is not a TTY")]
    NoTerminal,
    /// The terminal does not do what terminals do.
    #[error("cannot {action}")]
    Terminal { action: &'static str, source: rustix::io::Errno },
    /// A file that the user named.
    #[error("cannot {action} {path}")]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    /// Our own input or output.
    #[error("cannot {action}")]
    Stream { action: &'static str, source: std::io::Error },
    /// Whoever read our output has gone; nothing is said, as by other programs in a pipe.
    #[error("standard output was closed")]
    OutputClosed,
    /// The state of a container does not allow it.
    #[error("{0}")]
    State(String),
    /// `inspect` found neither.
    #[error("no such object: {0}")]
    NoSuchObject(String),
    /// Said already, for each name apart.
    #[error("")]
    Reported,
}

/// Who failed: `run` and `exec` stand for the command that they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// 125, 126 and 127 are not the container's own.
    Run,
    /// 126 and 127.
    Exec,
    /// 1
    Other,
}

impl Error {
    /// The line to print, without the program's name; none when there is nothing to say.
    pub(crate) fn line(&self) -> Option<String> {
        if matches!(self, Self::OutputClosed | Self::Reported) {
            return None;
        }
        let mut line = self.to_string();
        // Connect and Refused have said their cause; a status's source is ours, not the daemon's.
        let mut cause = match self {
            Self::Connect { .. } | Self::Refused(_) => None,
            _ => self.source(),
        };
        while let Some(error) = cause {
            // Writing to a String cannot fail.
            let _infallible = write!(line, ": {error}");
            cause = error.source();
        }
        Some(without_numbers(&line.replace('\n', " ")))
    }

    /// The exit code.
    pub(crate) fn exit_code(&self, verb: Verb) -> u8 {
        match (self, verb) {
            (Self::OutputClosed, _) => SIGPIPE,
            (Self::Option(_), _) => ENGINE_FAILED,
            (Self::NoTerminal, _) => FAILED,
            (Self::Refused(status), Verb::Run) => command_code(status).unwrap_or(ENGINE_FAILED),
            (Self::Refused(status), Verb::Exec) => command_code(status).unwrap_or(FAILED),
            (_, Verb::Run) => ENGINE_FAILED,
            (_, Verb::Exec | Verb::Other) => FAILED,
        }
    }

    /// The daemon does not know what was named.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code() == Code::NotFound)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // A status that the transport made has its cause; one that the daemon sent has not.
        match status.source() {
            Some(_) => Self::Lost,
            None => Self::Refused(Box::new(status)),
        }
    }
}

/// The exit code of a command that could not be started, when the daemon tells why as data.
fn command_code(status: &Status) -> Option<u8> {
    let word = status.metadata().get(reason::KEY)?.to_str().ok()?;
    word.parse::<Reason>().ok()?.exit_code()
}

/// Leaves out what std writes behind the system's words for an error, ` (os error 2)`: it helps nobody.
fn without_numbers(line: &str) -> String {
    let mut pieces = line.split(" (os error ");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str(piece.split_once(')').map_or(piece, |(_, rest)| rest));
    }
    out
}

fn connect_remedy(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match source.kind() {
        ErrorKind::PermissionDenied => "permission denied; run as root, or as a member of the socket's group",
        ErrorKind::NotFound => "there is no such socket; is knarrd running?",
        ErrorKind::ConnectionRefused => "nobody listens on the socket; is knarrd running?",
        _ => "it does not answer; is knarrd running?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code, message: &str, reason: Option<&str>) -> Error {
        let mut status = Status::new(code, message);
        if let Some(reason) = reason {
            status.metadata_mut().insert(reason::KEY, reason.parse().expect("ascii"));
        }
        status.into()
    }

    #[test]
    fn exit_codes_are_dockers() {
        use Verb::{Exec, Other, Run};
        let not_found = refused(Code::FailedPrecondition, "x", Some("COMMAND_NOT_FOUND"));
        let not_executable = refused(Code::FailedPrecondition, "x", Some("COMMAND_NOT_EXECUTABLE"));
        let text_alone =
            refused(Code::FailedPrecondition, "exec: \"x\": executable file not found in $PATH", None);
        let full = refused(Code::ResourceExhausted, "x", Some("NO_SPACE"));
        let no_image = refused(Code::NotFound, "no such file or directory", None);
        for (error, verb, code) in [
            (&not_found, Run, 127),
            (&not_found, Exec, 127),
            (&not_found, Other, 1),
            (&not_executable, Run, 126),
            (&not_executable, Exec, 126),
            (&text_alone, Run, 125),
            (&text_alone, Exec, 1),
            (&full, Run, 125),
            (&no_image, Run, 125),
            (&no_image, Exec, 1),
            (&no_image, Other, 1),
            (&Error::OutputClosed, Other, 141),
            (&Error::Lost, Run, 125),
        ] {
            assert_eq!(error.exit_code(verb), code, "{error:?} {verb:?}");
        }
    }

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Error::File { action: "write", path: "/x".into(), source };
        assert_eq!(error.line().as_deref(), Some("cannot write /x: entity not found"));
        assert_eq!(refused(Code::Internal, "a\nb", None).line().as_deref(), Some("a b"));
        assert_eq!(Error::Reported.line(), None);
        let told = refused(Code::Internal, "cannot a: No such file (os error 2): b (os error 17)", None);
        assert_eq!(told.line().as_deref(), Some("cannot a: No such file: b"));
    }
}
