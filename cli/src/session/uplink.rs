//! What goes to the daemon: input, its end, and the terminal's size.

use knarr_proto::detach::{DetachKeys, Watcher};
use knarr_proto::v1::session_request::Message;
use knarr_proto::v1::{CloseStdin, SessionRequest, TerminalSize};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

use super::Plan;
use crate::error::Error;
use crate::terminal;

/// One read of standard input; well below the contract's 64 KiB.
const CHUNK_BYTES: usize = 32 * 1024;

/// The task that sends.
pub(super) struct Uplink {
    /// None once its end was seen.
    task: Option<JoinHandle<Result<bool, Error>>>,
}

impl Uplink {
    /// Begins to read.
    pub(super) fn start(plan: Plan, sender: Sender<SessionRequest>) -> Result<Self, Error> {
        let resized = match plan.tty {
            true => Some(window_changes()?),
            false => None,
        };
        let is_terminal = plan.tty && plan.streams.stdin;
        let keys = Watcher::new(if is_terminal { plan.detach_keys } else { DetachKeys::none() });
        let pump = Pump { sender, keys, has_input: plan.streams.stdin, is_terminal };
        Ok(Self { task: Some(tokio::spawn(pump.run(resized, plan.redraw))) })
    }

    /// Returns when the person has left. Not when the daemon listens no more: what it says last is still to come.
    pub(super) async fn left(&mut self) -> Result<(), Error> {
        if let Some(task) = &mut self.task {
            let ended = task.await;
            self.task = None;
            match ended {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => return Err(error),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        std::future::pending().await
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn window_changes() -> Result<Signal, Error> {
    signal(SignalKind::window_change())
        .map_err(|source| Error::Stream { action: "watch for SIGWINCH", source })
}

struct Pump {
    sender: Sender<SessionRequest>,
    keys: Watcher,
    has_input: bool,
    is_terminal: bool,
}

impl Pump {
    /// Sends until the person leaves (true) or the daemon listens no more (false).
    async fn run(mut self, mut resized: Option<Signal>, redraw: bool) -> Result<bool, Error> {
        if redraw && let Some(size) = terminal::size() {
            self.send(Message::Resize(TerminalSize { rows: size.rows + 1, columns: size.columns + 1 })).await;
        }
        self.send_size(resized.is_some()).await;
        let mut stdin = tokio::io::stdin();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            tokio::select! {
                () = self.sender.closed() => return Ok(false),
                () = next(&mut resized) => self.send_size(true).await,
                read = stdin.read(&mut buffer), if self.has_input => {
                    let length = read.map_err(|source| Error::Stream { action: "read standard input", source })?;
                    if self.take(&buffer[..length]).await {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Passes input on; an empty piece is its end. True when it held the detach keys.
    async fn take(&mut self, typed: &[u8]) -> bool {
        if typed.is_empty() {
            self.has_input = false;
            let kept = self.keys.finish();
            if !kept.is_empty() {
                self.send(Message::Stdin(kept)).await;
            }
            self.send(Message::CloseStdin(CloseStdin {})).await;
            return false;
        }
        if !self.is_terminal {
            self.send(Message::Stdin(typed.to_vec())).await;
            return false;
        }
        let watched = self.keys.watch(typed);
        if !watched.input.is_empty() {
            self.send(Message::Stdin(watched.input)).await;
        }
        watched.detach
    }

    async fn send_size(&mut self, has_terminal: bool) {
        if let Some(size) = terminal::size().filter(|_| has_terminal) {
            self.send(Message::Resize(size)).await;
        }
    }

    async fn send(&mut self, message: Message) {
        // When the daemon listens no more, its last reply says why; run() sees the closed channel.
        let _gone = self.sender.send(SessionRequest { message: Some(message) }).await;
    }
}

/// The next change of the window; never, when there is none to watch.
async fn next(resized: &mut Option<Signal>) {
    match resized {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
