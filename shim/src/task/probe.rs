//! One probe of a container's health: an exec of the shim's own, with the first process's rights and surroundings. Its
//! output is kept up to a bound, its time is bounded, and no client ever sees it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, SystemTime};

use knarr_proto::keep::health::{HealthCheck, MAX_OUTPUT_BYTES, NO_END, ProbeResult};
use rustix::process::Signal;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::config;
use super::container::Container;
use super::error::TaskError;
use super::launch::{Launch, in_memory};
use super::process::Process;
use crate::chain::chain;
use crate::descriptor::Descriptor;
use crate::exit::unix_ns;
use crate::reaper::Exit;
use crate::runtime::ContainerStreams;
use crate::stdio::Request;

/// No exec that a manager asks for can have this id.
const PROBE_ID: &str = ".probe";
/// A process that is being killed ends at once, unless it is stuck in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// What is behind output that was cut; docker's.
const CUT: &str = "...";

/// Runs `check` once, to its end or to the end of its time.
pub(super) async fn probe(container: &Container, check: &HealthCheck) -> ProbeResult {
    let began_unix_ns = unix_ns(SystemTime::now());
    let deadline = Instant::now() + check.timeout();
    let (code, output) = match launch(container, check).await {
        Ok(probe) => probe.run(deadline, check.timeout()).await,
        Err(error) => (NO_END, chain(&error)),
    };
    ProbeResult { began_unix_ns, ended_unix_ns: unix_ns(SystemTime::now()), code, output }
}

async fn launch(container: &Container, check: &HealthCheck) -> Result<Probe, TaskError> {
    let specification = config::process_for(&container.bundle, &check.args)?;
    let memory =
        in_memory(&specification).map_err(|source| TaskError::Bundle("the probe's process", source))?;
    let process = Process::new(PROBE_ID.to_owned(), Request::default())?;
    let (ours, theirs) = io::pipe().map_err(TaskError::Probe)?;
    let stderr = theirs.try_clone().map_err(TaskError::Probe)?;
    let output = Descriptor::new(OwnedFd::from(ours)).map_err(TaskError::Probe)?;
    let (stdout, stderr) = (Some(theirs.into()), Some(stderr.into()));
    process.give_ends(ContainerStreams { stdin: None, stdout, stderr });
    let path = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
    let arguments: Vec<OsString> = vec!["--detach".into(), "--process".into(), path.into()];
    let pid_file = container.context.settings.volatile_file(PROBE_ID, "pid");
    let launch = Launch { operation: "exec", arguments, id: &container.id, pid_file: pid_file.clone() };
    let launched = launch.run(&container.maker.runtime, &container.context, &process).await;
    fs::remove_file(pid_file).ok();
    Ok(Probe { exit: launched?, process, output, kept: Vec::new(), is_cut: false })
}

/// A probe that runs.
struct Probe {
    process: std::sync::Arc<Process>,
    exit: oneshot::Receiver<Exit>,
    output: Descriptor,
    kept: Vec<u8>,
    is_cut: bool,
}

impl Probe {
    /// Its exit code and what it wrote.
    async fn run(mut self, deadline: Instant, limit: Duration) -> (i32, String) {
        let ended = timeout_at(deadline, self.converse()).await;
        if let Ok(exit) = ended {
            let code = exit.map_or(NO_END, |exit| i32::try_from(exit.code).unwrap_or(NO_END));
            return (code, self.words());
        }
        // That it has ended meanwhile is as well.
        self.process.signal(Signal::KILL).ok();
        drop(timeout(KILL_LIMIT, self.converse()).await);
        let output = self.words();
        let before = if output.is_empty() { "" } else { ": " };
        (NO_END, format!("Health check exceeded timeout ({limit:?}){before}{output}"))
    }

    /// Reads until it has ended; then what is left, without waiting for those that it has left behind.
    async fn converse(&mut self) -> Option<Exit> {
        let exit = loop {
            tokio::select! {
                exit = &mut self.exit => break exit.ok(),
                chunk = self.output.read() => match chunk {
                    Ok(chunk) if !chunk.is_empty() => keep(&mut self.kept, &mut self.is_cut, &chunk),
                    _ => break (&mut self.exit).await.ok(),
                },
            }
        };
        while let Ok(Some(chunk)) = self.output.read_now()
            && !chunk.is_empty()
            && !self.is_cut
        {
            keep(&mut self.kept, &mut self.is_cut, &chunk);
        }
        exit
    }

    fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let mut text = text[..text.floor_char_boundary(MAX_OUTPUT_BYTES)].to_owned();
        if self.is_cut {
            text.push_str(CUT);
        }
        text
    }
}

fn keep(kept: &mut Vec<u8>, is_cut: &mut bool, chunk: &[u8]) {
    let room = MAX_OUTPUT_BYTES - kept.len();
    kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    *is_cut |= chunk.len() > room;
}
