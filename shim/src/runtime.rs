//! Calls the OCI runtime by runc's command line and reads what it answers. It knows nothing of tasks or streams; any
//! runtime with runc's interface will do (knarr-runtime, runc, crun).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use knarr_proto::kind::is_disk_full;
use knarr_proto::reason::Reason;
use rustix::fs::FallocateFlags;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::descriptor::Descriptor;
use crate::reaper::{Exit, Reaper};
use crate::record::{self, LiveProcess};

/// What is kept of a runtime's output: `ps` of 60 000 processes fits; the rest is read and thrown away.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// What is read of the log for one call: the last error is at its end, and a call writes a few lines.
const MAX_LOG_BYTES: u64 = 256 * 1024;
/// A longer error fits on no screen; it also has to fit in a ttrpc status.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// How a service manager speaks to the process that started us. A runtime takes these for the container's: it would wait for
/// READY=1 from it, or hand it descriptors that we do not have.
const SERVICE_MANAGER: [&str; 4] = ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// Marks the runtime's processes with the bundle that they work for, so that `delete` finds a call that has outlived its
/// shim.
const BUNDLE_VARIABLE: &str = "KNARR_SHIM_BUNDLE";

/// Calls to the runtime, for one container.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    binary: PathBuf,
    global: Vec<OsString>,
    bundle: PathBuf,
    reaper: Arc<Reaper>,
}

/// How the runtime is to be called for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// The program, looked for in PATH when it has no slash.
    pub(crate) binary: PathBuf,
    /// `--root`.
    pub(crate) root: PathBuf,
    /// `--systemd-cgroup`.
    pub(crate) systemd_cgroup: bool,
}

/// What the runtime's process has for its standard streams.
pub(crate) enum Streams {
    /// The container's: the new process inherits them.
    Container(ContainerStreams),
    /// Nothing to read, output collected.
    Collected,
    /// This to read, output collected.
    Input(Vec<u8>),
}

/// The container's ends of its three streams; `None` is /dev/null.
#[derive(Debug, Default)]
pub(crate) struct ContainerStreams {
    /// Descriptor 0.
    pub(crate) stdin: Option<OwnedFd>,
    /// Descriptor 1.
    pub(crate) stdout: Option<OwnedFd>,
    /// Descriptor 2.
    pub(crate) stderr: Option<OwnedFd>,
}

/// The runtime did not do as told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuntimeError {
    /// It could not be run.
    #[error("cannot run the OCI runtime {}: is it installed and executable?", binary.display())]
    Spawn {
        /// What was to be run.
        binary: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It ran and failed; its own last error message.
    #[error("OCI runtime {operation} failed: {message}")]
    Failed {
        /// `create`, `start`, ….
        operation: &'static str,
        /// The last error of its log, else of its output.
        message: String,
        /// Why the process's program cannot be executed, if that is what failed.
        reason: Option<Reason>,
    },
    /// Its streams could not be set up or read.
    #[error("cannot exchange data with OCI runtime {operation}")]
    Streams {
        /// `create`, `start`, ….
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl RuntimeError {
    /// Whether the runtime says that the process or container it was asked about is gone. The texts are runc's and
    /// crun's, as containerd's own shim looks for them.
    pub(crate) fn is_gone(&self) -> bool {
        const GONE: [&str; 5] = [
            "process already finished",
            "container not running",
            "no such process",
            "does not exist",
            "not running",
        ];
        match self {
            Self::Failed { message, .. } => {
                let message = message.to_lowercase();
                GONE.iter().any(|text| message.contains(text))
            }
            _ => false,
        }
    }

    /// Whether the container could not be made because its name is taken: then what bears the name is not ours.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Failed { message, .. } if message.to_lowercase().contains("already exists"))
    }

    /// Whether the runtime did not even run.
    pub(crate) fn is_spawn(&self) -> bool {
        matches!(self, Self::Spawn { .. })
    }
}

impl Runtime {
    /// A runtime that logs into `bundle`.
    pub(crate) fn new(invocation: &Invocation, bundle: &Path, reaper: Arc<Reaper>) -> Self {
        let mut global: Vec<OsString> = ["--root".into(), invocation.root.clone().into_os_string()].into();
        if invocation.systemd_cgroup {
            global.push("--systemd-cgroup".into());
        }
        Self { binary: invocation.binary.clone(), global, bundle: bundle.to_owned(), reaper }
    }

    /// The log of the next call. A bundle that has been deleted cannot have one; the runtime's last words are in its
    /// output, too.
    fn log(&self) -> PathBuf {
        if self.bundle.is_dir() { self.bundle.join("log.json") } else { PathBuf::from("/dev/null") }
    }

    /// Runs one operation to its end and returns what it wrote to stdout (nothing, with [`Streams::Container`]).
    ///
    /// There is no time limit here: hooks may take as long as their own timeouts allow, and the caller's deadline ends
    /// the caller's wait, not a container half made.
    pub(crate) async fn run(
        &self,
        operation: &'static str,
        arguments: &[&OsStr],
        streams: Streams,
    ) -> Result<Vec<u8>, RuntimeError> {
        let log = self.log();
        let log_start = log.metadata().map_or(0, |metadata| metadata.len());
        let mut command = Command::new(&self.binary);
        command
            .args(&self.global)
            .arg("--log")
            .arg(&log)
            .args(["--log-format", "json"])
            .arg(operation)
            .args(arguments);
        command.env(BUNDLE_VARIABLE, &self.bundle);
        for variable in SERVICE_MANAGER {
            command.env_remove(variable);
        }
        let failed = |source| RuntimeError::Streams { operation, source };
        let mut pipes = Pipes::connect(&mut command, streams).map_err(failed)?;
        let child =
            command.spawn().map_err(|source| RuntimeError::Spawn { binary: self.binary.clone(), source })?;
        let exit = self.reaper.watch(child.id());
        // The command holds our copies of the child's ends; without them gone there is no end of file.
        drop(command);
        let exit = pipes.converse(exit).await.map_err(failed)?;
        if exit.code == 0 {
            return Ok(pipes.stdout.kept);
        }
        let (message, reason) = last_log_error(&log, log_start).unwrap_or_else(|| {
            let last = last_line(&pipes.stderr.kept).or_else(|| last_line(&pipes.stdout.kept));
            (last.unwrap_or_else(|| wordless(exit.code, &log)), None)
        });
        Err(RuntimeError::Failed { operation, message, reason })
    }
}

/// The calls for `bundle` that are under way, whichever process has made them.
pub(crate) fn calls_for(bundle: &Path) -> io::Result<Vec<LiveProcess>> {
    let mark = [BUNDLE_VARIABLE.as_bytes(), b"=", bundle.as_os_str().as_encoded_bytes()].concat();
    let mut calls = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Before the environment is looked at, so that both are the same process's.
        let Some(stat) = record::stat(pid)? else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|entry| entry == mark) {
            calls.extend(LiveProcess::open(stat.identity)?);
        }
    }
    Ok(calls)
}

/// Our ends of the runtime's streams.
#[derive(Default)]
struct Pipes {
    input: Option<(Descriptor, Vec<u8>)>,
    stdout: Collector,
    stderr: Collector,
}

#[derive(Default)]
struct Collector {
    pipe: Option<Descriptor>,
    kept: Vec<u8>,
}

impl Pipes {
    fn connect(command: &mut Command, streams: Streams) -> io::Result<Self> {
        let mut pipes = Self::default();
        let input = match streams {
            Streams::Container(container) => {
                let stdio = |end: Option<OwnedFd>| end.map_or_else(Stdio::null, Stdio::from);
                command
                    .stdin(stdio(container.stdin))
                    .stdout(stdio(container.stdout))
                    .stderr(stdio(container.stderr));
                return Ok(pipes);
            }
            Streams::Collected => None,
            Streams::Input(input) => Some(input),
        };
        command.stdin(match input {
            None => Stdio::null(),
            Some(input) => {
                let (theirs, ours) = io::pipe()?;
                pipes.input = Some((Descriptor::new(ours.into())?, input));
                Stdio::from(theirs)
            }
        });
        for (collector, is_stdout) in [(&mut pipes.stdout, true), (&mut pipes.stderr, false)] {
            let (ours, theirs) = io::pipe()?;
            collector.pipe = Some(Descriptor::new(ours.into())?);
            if is_stdout {
                command.stdout(theirs)
            } else {
                command.stderr(theirs)
            };
        }
        Ok(pipes)
    }

    /// Feeds and collects until the process has ended; then takes what is left in the pipes, without waiting for their
    /// end, which a hook's own child could hold back for ever.
    async fn converse(&mut self, mut exit: oneshot::Receiver<Exit>) -> io::Result<Exit> {
        let input = self.input.take();
        let feed = async {
            if let Some((pipe, bytes)) = input {
                // The runtime may rightly end without reading it all; its exit status tells.
                pipe.write_all(&bytes).await.ok();
            }
            std::future::pending::<()>().await;
        };
        tokio::pin!(feed);
        let exit = loop {
            tokio::select! {
                ended = &mut exit => break ended.expect("the reaper outlives every call"),
                read = self.stdout.collect() => read?,
                read = self.stderr.collect() => read?,
                () = &mut feed => {}
            }
        };
        self.stdout.collect_rest()?;
        self.stderr.collect_rest()?;
        Ok(exit)
    }
}

impl Collector {
    async fn collect(&mut self) -> io::Result<()> {
        let Some(pipe) = &self.pipe else { return std::future::pending().await };
        let chunk = pipe.read().await?;
        self.keep(&chunk);
        Ok(())
    }

    fn collect_rest(&mut self) -> io::Result<()> {
        while let Some(pipe) = &self.pipe {
            let Some(chunk) = pipe.read_now()? else { return Ok(()) };
            self.keep(&chunk);
        }
        Ok(())
    }

    fn keep(&mut self, chunk: &[u8]) {
        if chunk.is_empty() {
            self.pipe = None;
        }
        let room = MAX_OUTPUT_BYTES - self.kept.len();
        self.kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
}

#[derive(Deserialize)]
struct LogEntry {
    level: String,
    msg: String,
    /// knarr-runtime's facts (runtime/src/output/facts.rs): an entry of it always has a kind, one of another runtime never.
    kind: Option<String>,
    /// A word of a newer runtime is no reason.
    reason: Option<String>,
}

impl LogEntry {
    fn reason(&self) -> Option<Reason> {
        match &self.kind {
            Some(_) => self.reason.as_deref().and_then(|word| word.parse().ok()),
            None => reason_of_text(&self.msg),
        }
    }
}

/// The reason in an error of runc or crun, which have no other way to tell it than these sentences: docker's daemon looks
/// for the same.
fn reason_of_text(message: &str) -> Option<Reason> {
    let message = message.to_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if !says(&["exec: ", "exec failed", "chdir to cwd", "executable file"]) {
        return None;
    }
    if says(&["executable file not found", "no such file or directory"]) {
        return Some(Reason::CommandNotFound);
    }
    says(&["permission denied", "exec format error", "is a directory"])
        .then_some(Reason::CommandNotExecutable)
}

/// The last error among the entries that were written behind `start`.
fn last_log_error(log: &Path, start: u64) -> Option<(String, Option<Reason>)> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(MAX_LOG_BYTES)))).ok()?;
    let mut text = Vec::new();
    file.take(MAX_LOG_BYTES).read_to_end(&mut text).ok()?;
    text.split(|byte| *byte == b'\n')
        .rev()
        .filter_map(|line| serde_json::from_slice::<LogEntry>(line).ok())
        .find(|entry| matches!(entry.level.as_str(), "error" | "fatal"))
        .map(|entry| (bounded(entry.msg.trim()), entry.reason()))
        .filter(|(message, _)| !message.is_empty())
}

fn last_line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(bounded)
}

/// Why the runtime says nothing but its exit code: mostly, because its log cannot be written.
fn wordless(code: u32, log: &Path) -> String {
    let room = File::options().append(true).create(true).open(log).and_then(|file| {
        let end = file.metadata()?.len();
        Ok(rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, end, MAX_MESSAGE_BYTES as u64)?)
    });
    match room {
        Err(error) if is_disk_full(&error) => {
            format!("exit status {code}, and its log cannot be written: {error}")
        }
        _ => format!("exit status {code}"),
    }
}

fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_MESSAGE_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_this_call_is_the_one_that_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log.json");
        let old = "{\"level\":\"error\",\"msg\":\"of an earlier call\",\"time\":\"x\"}\n";
        std::fs::write(&log, old).expect("writable");
        let start = u64::try_from(old.len()).expect("small");
        assert_eq!(last_log_error(&log, start), None);

        let new = "{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"second\"}\n\
                   {\"level\":\"warning\",\"msg\":\"beside it\"}\ntorn {";
        std::fs::write(&log, format!("{old}{new}")).expect("writable");
        assert_eq!(last_log_error(&log, start), Some(("second".to_owned(), None)));
    }

    #[test]
    fn the_texts_for_gone_are_those_of_runc_and_crun() {
        let failed = |message: &str| RuntimeError::Failed {
            operation: "kill",
            message: message.to_owned(),
            reason: None,
        };
        assert!(failed("container not running").is_gone());
        assert!(failed("os: process already finished").is_gone());
        assert!(failed("kill container: No such process").is_gone());
        assert!(!failed("permission denied").is_gone());
    }

    #[test]
    fn the_reason_is_what_the_runtime_tells_and_only_of_others_what_their_words_say() {
        let reason = |line: &str| serde_json::from_str::<LogEntry>(line).expect("an entry").reason();
        for (line, expected) in [
            (
                r#"{"level":"error","msg":"x","kind":"not_found","reason":"COMMAND_NOT_FOUND"}"#,
                Some("COMMAND_NOT_FOUND"),
            ),
            (r#"{"level":"error","msg":"x","kind":"not_found","reason":"OF_A_NEWER_RUNTIME"}"#, None),
            (r#"{"level":"error","msg":"exec: \"x\": no such file or directory","kind":"not_found"}"#, None),
            (
                r#"{"level":"error","msg":"unable to start container process: exec: \"x\": executable file not found in $PATH"}"#,
                Some("COMMAND_NOT_FOUND"),
            ),
            (
                r#"{"level":"error","msg":"exec failed: unable to start container process: exec: \"/etc\": is a directory"}"#,
                Some("COMMAND_NOT_EXECUTABLE"),
            ),
            (
                r#"{"level":"error","msg":"executable file `x` not found in $PATH: No such file or directory"}"#,
                Some("COMMAND_NOT_FOUND"),
            ),
            (r#"{"level":"error","msg":"cannot mount /x: no such file or directory"}"#, None),
            (r#"{"level":"error","msg":"container does not exist"}"#, None),
        ] {
            assert_eq!(reason(line).map(Reason::as_str), expected, "{line}");
        }
    }
}
