//! Moves one output stream from the process to where it belongs, from the first byte to the end. It decides when a stream
//! has ended; it never looks at what flows.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use knarr_proto::frame::Stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::attach::Attach;
use super::fanout::STALL_LIMIT;
use crate::descriptor::Descriptor;
use crate::flag::Flag;
use crate::journal;
use crate::logs::Log;

/// How long a stream may stay open when its process has ended: something that the process left behind holds
/// it. containerd's shim gives up after the same time.
pub(crate) const LINGER_LIMIT: Duration = Duration::from_secs(2);

/// As much as the largest pipe holds that a user may make (`/proc/sys/fs/pipe-max-size`). When so much has been read after
/// the exit, all that the process itself wrote is among it, however fast others go on.
const MAX_LEFT_BYTES: usize = 1024 * 1024;

/// Where output goes.
#[derive(Debug)]
pub(crate) enum Sink {
    /// containerd's fifo. A reader that has left may come back (containerd restarts), so it is waited for as containerd's
    /// own shim waits.
    Fifo(Descriptor),
    /// A file, appended to.
    File(File),
    /// The attach socket's clients, and the log if there is one.
    Attach {
        /// The clients.
        attach: Arc<Attach>,
        /// The record.
        log: Option<Arc<Mutex<Log>>>,
    },
}

/// The events that a pump watches, and the one that it reports.
#[derive(Debug)]
pub(crate) struct Signals {
    /// The process has been told to go; without a log, output is not read before.
    pub(crate) started: Flag,
    /// The process has ended.
    pub(crate) exited: Flag,
    /// Dropped when all that the process itself wrote has been taken.
    pub(crate) drained: mpsc::Sender<()>,
}

/// Moves `stream` until its end.
pub(crate) async fn pump(source: Arc<Descriptor>, stream: Stream, mut sink: Sink, signals: Signals) {
    let Signals { started, exited, drained } = signals;
    sink.wait_for_client(&started).await;
    let mut drained = Some(drained);
    let mut left_bytes = MAX_LEFT_BYTES;
    let mut give_up: Option<Instant> = None;
    loop {
        let read = tokio::select! {
            biased;
            // First: what holds the stream open may write without a pause.
            () = sleep_until(give_up.unwrap_or_else(Instant::now)), if give_up.is_some() => break,
            read = source.read() => read,
            // After the exit all that the process wrote is in the pipe: when it is empty, nothing of its is missing.
            () = exited.raised(), if drained.is_some() => match source.read_now() {
                Ok(Some(chunk)) => Ok(chunk),
                Ok(None) => {
                    drained = None;
                    give_up = Some(Instant::now() + LINGER_LIMIT);
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        match read {
            Ok(chunk) if chunk.is_empty() => break,
            Ok(chunk) => {
                let hurry = drained.is_some().then_some(&exited);
                if let Err(error) = sink.put(stream, &chunk, hurry).await {
                    journal::warn(&format!("{stream:?} cannot be delivered and is dropped: {error}"));
                }
                if drained.is_some() && exited.is_raised() {
                    left_bytes = left_bytes.saturating_sub(chunk.len());
                    if left_bytes == 0 {
                        drained = None;
                        give_up = Some(Instant::now() + LINGER_LIMIT);
                    }
                }
            }
            Err(error) => {
                journal::warn(&format!("{stream:?} cannot be read: {error}"));
                break;
            }
        }
    }
    drop(drained);
    if let Sink::Attach { attach, .. } = &sink {
        attach.deliver(stream, &[], None).await;
    }
}

impl Sink {
    /// Whether output may have to wait for somebody to read it, and not only for the disk.
    pub(super) fn waits_for_reader(&self) -> bool {
        matches!(self, Self::Fifo(_) | Self::Attach { log: None, .. })
    }

    /// Output that is recorded nowhere stays in the pipe until there is a client, which connects before the process is
    /// told to go; one that does not come within [`STALL_LIMIT`] of that is not waited for.
    async fn wait_for_client(&self, started: &Flag) {
        let Self::Attach { attach, log: None } = self else { return };
        let too_late = async {
            started.raised().await;
            timeout_at(Instant::now() + STALL_LIMIT, attach.arrived()).await.ok();
        };
        tokio::select! {
            () = attach.arrived() => {}
            () = too_late => {}
        }
    }

    /// Delivers `chunk`. With `hurry` raised no client is waited for: what it does not read in time is queued for it.
    async fn put(&mut self, stream: Stream, chunk: &[u8], hurry: Option<&Flag>) -> io::Result<()> {
        match self {
            Self::Fifo(fifo) => fifo.write_all(chunk).await,
            Self::File(file) => file.write_all(chunk),
            Self::Attach { attach, log } => {
                if let Some(log) = log {
                    log.lock().expect("nothing panics under this lock").append(stream, chunk);
                }
                attach.deliver(stream, chunk, hurry).await;
                Ok(())
            }
        }
    }
}
