//! Where the caller wants a process's streams: reads the request's three URIs and opens what they name. Fifos are opened
//! so that neither side's coming and going blocks, ends or kills anything.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use knarr_proto::stdio::{BadStdio, KnarrStdio, SCHEME};
use rustix::fs::{Mode, OFlags};

use super::StdioError;
use super::attach::Attach;
use super::pump::Sink;
use super::stdin::Stdin;
use crate::descriptor::Descriptor;
use crate::logs::Log;

/// The stdio part of a create or exec request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// One stream, a terminal.
    pub(crate) terminal: bool,
    /// A URI or a path; empty for none.
    pub(crate) stdin: String,
    /// Likewise.
    pub(crate) stdout: String,
    /// Likewise.
    pub(crate) stderr: String,
}

/// The request's streams, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// containerd's forms.
    Paths {
        /// A fifo.
        stdin: Option<PathBuf>,
        /// A fifo or a file.
        stdout: Option<PathBuf>,
        /// Likewise.
        stderr: Option<PathBuf>,
    },
    /// knarrd's form.
    Knarr {
        /// The socket and the log.
        stdio: KnarrStdio,
        /// Which of the three streams are wanted.
        wanted: [bool; 3],
    },
}

/// The request's streams make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// binary://, npipe://, ….
    #[error("streams of the form {0:?} are not supported: use a fifo, file:// or knarr://")]
    Scheme(String),
    /// No absolute path.
    #[error("the stream's path {0:?} is not absolute")]
    Relative(String),
    /// A knarr:// URI that cannot be read.
    #[error("the knarr:// URI is malformed")]
    Knarr(#[source] BadStdio),
    /// Our form for one stream and another for the next.
    #[error("a process has one attach socket: give the same knarr:// URI for every stream")]
    Mixed,
}

/// What a target names, opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) attach: Option<Arc<Attach>>,
    pub(super) input: Option<Input>,
    pub(super) stdout: Option<Sink>,
    pub(super) stderr: Option<Sink>,
}

/// The caller's fifo for input.
#[derive(Debug)]
pub(super) struct Input {
    reader: Descriptor,
    /// Our own writing end: while it is held, a client that leaves does not end the input.
    keeper: OwnedFd,
}

impl Target {
    /// Reads the request.
    pub(crate) fn parse(request: &Request) -> Result<Self, BadTarget> {
        let fields = [&request.stdin, &request.stdout, &request.stderr];
        let Some(uri) = fields.iter().find(|field| field.starts_with(SCHEME)) else {
            let [stdin, stdout, stderr] = fields.map(|field| path_of(field));
            return Ok(Self::Paths { stdin: stdin?, stdout: stdout?, stderr: stderr? });
        };
        if fields.iter().any(|field| !field.is_empty() && field != uri) {
            return Err(BadTarget::Mixed);
        }
        let stdio = KnarrStdio::parse(uri).map_err(BadTarget::Knarr)?;
        Ok(Self::Knarr { stdio, wanted: fields.map(|field| !field.is_empty()) })
    }

    /// Whether the process gets input at all.
    pub(super) fn has_stdin(&self) -> bool {
        match self {
            Self::Paths { stdin, .. } => stdin.is_some(),
            Self::Knarr { wanted: [stdin, ..], .. } => *stdin,
        }
    }

    /// Whether clients have to find it before the process is told to go. The caller's fifos and files are opened only
    /// then: a writer that waits for its reader is to wait until there is a process to read, as under containerd's shim.
    pub(crate) fn is_needed_before_start(&self) -> bool {
        matches!(self, Self::Knarr { .. })
    }

    /// Opens all of it.
    pub(super) fn open(&self, stdin: &Arc<Stdin>, bundle: &Path) -> Result<Opened, StdioError> {
        match self {
            Self::Paths { stdin, stdout, stderr } => {
                let input = at_path(stdin.as_deref(), Input::open)?;
                let stdout = at_path(stdout.as_deref(), open_sink)?;
                Ok(Opened { attach: None, input, stdout, stderr: at_path(stderr.as_deref(), open_sink)? })
            }
            Self::Knarr { stdio, wanted: [_, stdout, stderr] } => {
                let log = match &stdio.log {
                    None => None,
                    Some(target) => {
                        let log = at_path(Some(Path::new(&target.path)), |_| Log::open(target.clone()))?;
                        log.map(|log| Arc::new(Mutex::new(log)))
                    }
                };
                let bind = |path: &Path| Attach::bind(path, bundle, Arc::clone(stdin));
                let attach = at_path(Some(Path::new(&stdio.attach)), bind)?;
                let sink = |wanted: bool| {
                    let attach = attach.clone().filter(|_| wanted)?;
                    Some(Sink::Attach { attach, log: log.clone() })
                };
                Ok(Opened { input: None, stdout: sink(*stdout), stderr: sink(*stderr), attach })
            }
        }
    }
}

impl Input {
    fn open(path: &Path) -> io::Result<Self> {
        // The reading end first: without it the writing end cannot be opened non-blocking.
        let reader = open_fifo(path, OFlags::RDONLY)?;
        let keeper = open_fifo(path, OFlags::WRONLY)?;
        Ok(Self { reader: Descriptor::new(reader)?, keeper })
    }

    /// Moves input until the caller has closed it: then what its clients have written is passed on up to their end.
    pub(super) async fn pump(self, stdin: Arc<Stdin>) {
        let mut keeper = Some(self.keeper);
        loop {
            let chunk = tokio::select! {
                chunk = self.reader.read() => chunk,
                () = stdin.closed(), if keeper.is_some() => {
                    keeper = None;
                    continue;
                }
            };
            // A fifo that cannot be read has ended, too.
            let Ok(chunk) = chunk else { break };
            if chunk.is_empty() || stdin.write(&chunk).await.is_err() {
                break;
            }
        }
        stdin.close();
    }
}

fn path_of(field: &str) -> Result<Option<PathBuf>, BadTarget> {
    let path = match field.split_once("://") {
        None if field.is_empty() => return Ok(None),
        None => field,
        Some(("fifo" | "file", path)) => path,
        Some(_) => return Err(BadTarget::Scheme(field.to_owned())),
    };
    if path.starts_with('/') { Ok(Some(path.into())) } else { Err(BadTarget::Relative(field.to_owned())) }
}

fn at_path<T>(
    path: Option<&Path>,
    open: impl FnOnce(&Path) -> io::Result<T>,
) -> Result<Option<T>, StdioError> {
    let Some(path) = path else { return Ok(None) };
    open(path).map(Some).map_err(|source| StdioError::Open { path: path.to_owned(), source })
}

fn open_sink(path: &Path) -> io::Result<Sink> {
    if path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        // Read and write: the open never waits, and a reader's leaving is no broken pipe.
        return Descriptor::new(open_fifo(path, OFlags::RDWR)?).map(Sink::Fifo);
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let file: File = OpenOptions::new().append(true).create(true).mode(0o644).open(path)?;
    Ok(Sink::File(file))
}

fn open_fifo(path: &Path, mode: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, mode | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(stdin: &str, stdout: &str, stderr: &str) -> Request {
        Request { terminal: false, stdin: stdin.into(), stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn containerds_forms_are_understood() {
        let target = Target::parse(&request("", "/run/out", "file:///var/err")).expect("good");
        let (stdout, stderr) = (Some("/run/out".into()), Some("/var/err".into()));
        assert_eq!(target, Target::Paths { stdin: None, stdout, stderr });
    }

    #[test]
    fn our_form_says_which_streams_are_wanted() {
        let uri = "knarr:///run/a.sock";
        let target = Target::parse(&request("", uri, uri)).expect("good");
        assert!(matches!(&target, Target::Knarr { wanted: [false, true, true], .. }));
        assert!(!target.has_stdin());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(Target::parse(&request("", "knarr:///a", "/b")), Err(BadTarget::Mixed));
        assert_eq!(Target::parse(&request("", "b", "")), Err(BadTarget::Relative("b".into())));
        let binary = "binary:///usr/bin/logger";
        assert_eq!(Target::parse(&request("", binary, "")), Err(BadTarget::Scheme(binary.into())));
        assert!(matches!(Target::parse(&request("", "knarr://a", "")), Err(BadTarget::Knarr(_))));
    }
}
