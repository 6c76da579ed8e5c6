//! Our terminal or pipes joined with a process in a container, for `run`, `start -a`, `attach` and `exec`.
//!
//! ```text
//! stdin, SIGWINCH ── uplink ──▶ requests ══ gRPC ══ replies ──▶ stdout, stderr
//! signals ─────────▶ Kill                                         (signals.rs)
//! ```
//! Every queue is bounded and every write is awaited: a slow reader slows the daemon, never fills memory.

pub(crate) mod signals;
mod uplink;

use std::time::Duration;

use knarr_proto::detach::DetachKeys;
use knarr_proto::v1::session_reply::Message as Reply;
use knarr_proto::v1::session_request::Message;
use knarr_proto::v1::{ExitStatus, PingRequest, SessionReply, SessionRequest, Stream};
use tokio::io::{AsyncWriteExt, Stderr, Stdout};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use crate::connect::Client;
use crate::error::Error;
use crate::options::config::Streams;
use crate::output;
use crate::terminal::RawMode;
use uplink::Uplink;

/// Messages on their way to the daemon: enough to keep the pipe full with 32 KiB each, little enough to hold.
const QUEUED_MESSAGES: usize = 8;

/// After detaching, the daemon has this long to take what was typed before; the container does not care.
const DETACH_WITHIN: Duration = Duration::from_secs(2);

/// How a session is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What is joined.
    pub(crate) streams: Streams,
    /// The process has a terminal.
    pub(crate) tty: bool,
    /// Leave the process running.
    pub(crate) detach_keys: DetachKeys,
    /// The daemon that the call goes to.
    pub(crate) client: Client,
    /// Make the terminal small for a moment, so that a program that already runs draws itself again.
    pub(crate) redraw: bool,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// The process ended.
    Exited(ExitStatus),
    /// The person left, and the process runs on.
    Detached,
    /// A signal ended us, not the process.
    Signalled(i32),
}

/// Requests before they are sent.
pub(crate) struct Requests {
    sender: mpsc::Sender<SessionRequest>,
}

/// The requests' two ends; the first message is in already.
pub(crate) fn requests(open: Message) -> (Requests, ReceiverStream<SessionRequest>) {
    let (sender, receiver) = mpsc::channel(QUEUED_MESSAGES);
    // It has just been made, with room for more than one.
    sender.try_send(SessionRequest { message: Some(open) }).expect("a new channel has room");
    (Requests { sender }, ReceiverStream::new(receiver))
}

/// Joins the streams until the process ends or the person leaves. `started` is told when the process runs.
///
/// # Errors
/// What the daemon says, or [`Error::Lost`]. The terminal is as it was in every case.
pub(crate) async fn join(
    plan: Plan,
    requests: Requests,
    call: impl Future<Output = Result<Response<Streaming<SessionReply>>, Status>>,
    started: Option<oneshot::Sender<()>>,
) -> Result<Ending, Error> {
    let is_raw = plan.tty && plan.streams.stdin;
    let client = plan.client.clone();
    // Signals are caught before the terminal changes, so that none comes between.
    let mut ends = signals::Endings::new(is_raw)?;
    let mut downlink = Downlink::new(call.await?.into_inner(), started);
    let _raw = if is_raw { Some(RawMode::enter()?) } else { None };
    let mut uplink = Uplink::start(plan, requests.sender)?;
    loop {
        tokio::select! {
            // Output first: what the process said before it was left is shown.
            biased;
            reply = downlink.next() => {
                if let Some(status) = reply? {
                    return Ok(Ending::Exited(status));
                }
            }
            signal = ends.next() => return Ok(Ending::Signalled(signal)),
            left = uplink.left() => {
                left?;
                // Once it has answered what is asked after it, the daemon has what was typed. Whatever comes of it, we leave.
                let mut system = client.system();
                let _late = tokio::time::timeout(DETACH_WITHIN, system.ping(PingRequest {})).await;
                return Ok(Ending::Detached);
            }
        }
    }
}

/// What comes from the daemon.
struct Downlink {
    replies: Streaming<SessionReply>,
    started: Option<oneshot::Sender<()>>,
    stdout: Stdout,
    stderr: Stderr,
    dropped_bytes: u64,
}

impl Downlink {
    fn new(replies: Streaming<SessionReply>, started: Option<oneshot::Sender<()>>) -> Self {
        Self { replies, started, stdout: tokio::io::stdout(), stderr: tokio::io::stderr(), dropped_bytes: 0 }
    }

    /// Takes one reply; the exit status when it is the last.
    async fn next(&mut self) -> Result<Option<ExitStatus>, Error> {
        // Cancelled by select! only here, where nothing is lost: a reply that was taken is written below in full,
        // because every other branch ends the session.
        let reply = self.replies.message().await?.ok_or(Error::Lost)?;
        match reply.message.ok_or(Error::Contract { call: "the session", missing: "message" })? {
            Reply::Attached(_) => {}
            Reply::Started(_) => {
                if let Some(started) = self.started.take() {
                    // Nobody waits for it when signals are not forwarded.
                    let _unheard = started.send(());
                }
            }
            Reply::Output(piece) => match piece.stream() {
                Stream::Stderr => {
                    self.stderr.write_all(&piece.data).await.map_err(output::written)?;
                    self.stderr.flush().await.map_err(output::written)?;
                }
                Stream::Stdout | Stream::Unspecified => {
                    self.stdout.write_all(&piece.data).await.map_err(output::written)?;
                    self.stdout.flush().await.map_err(output::written)?;
                }
            },
            Reply::Dropped(dropped) => {
                self.dropped_bytes = self.dropped_bytes.saturating_add(dropped.bytes);
            }
            Reply::Exited(status) => {
                self.report_dropped();
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    fn report_dropped(&self) {
        if self.dropped_bytes > 0 {
            output::note(&format!(
                "knarr: {} bytes of output were not shown, because they were not read fast enough; see 'knarr logs'",
                self.dropped_bytes
            ));
        }
    }
}
