//! The attach socket: serves a process's streams to any number of clients by the protocol in `knarr_proto::frame`.
//! Who waits for whom is `fanout`'s to say; this moves the bytes.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use knarr_proto::frame::{FrameKind, HEADER_BYTES, Header, Stream};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Mode;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::fanout::{ClientId, Fanout, Room, STALL_LIMIT};
use super::stdin::Stdin;
use crate::descriptor::{CHUNK_BYTES, watched};
use crate::flag::Flag;
use crate::journal;

/// A process's attach socket. It is there, and clients can connect, from [`Attach::bind`] until the process's streams
/// have ended.
#[derive(Debug)]
pub(crate) struct Attach {
    path: PathBuf,
    listener: AsyncFd<UnixListener>,
    stdin: Arc<Stdin>,
    fanout: Mutex<Fanout>,
    /// Something for the clients' writers to look at: new frames, or the end.
    queued: Notify,
    /// Something for the pumps to look at: a client has read, come or gone.
    moved: Notify,
    arrived: Flag,
    ended: Flag,
    clients: Mutex<JoinSet<()>>,
}

impl Attach {
    /// Makes the socket, for this user alone. A socket left there by a shim that died is replaced.
    pub(crate) fn bind(path: &Path, stdin: Arc<Stdin>) -> io::Result<Arc<Self>> {
        let listener = bind_private(path)?;
        listener.set_nonblocking(true)?;
        Ok(Arc::new(Self {
            path: path.to_owned(),
            listener: watched(listener, Interest::READABLE)?,
            stdin,
            fanout: Mutex::default(),
            queued: Notify::new(),
            moved: Notify::new(),
            arrived: Flag::default(),
            ended: Flag::default(),
            clients: Mutex::new(JoinSet::new()),
        }))
    }

    /// Accepts clients until the streams have ended, then lets each read what is queued for it: at most [`STALL_LIMIT`]
    /// long without reading anything. The socket's name goes first, so that nobody comes too late.
    pub(crate) async fn serve(self: Arc<Self>) {
        loop {
            tokio::select! {
                ready = self.listener.readable() => match ready {
                    Ok(mut ready) => {
                        self.accept_waiting();
                        ready.clear_ready();
                    }
                    Err(error) => {
                        journal::warn(&format!("attach socket {}: {error}", self.path.display()));
                        break;
                    }
                },
                () = self.ended.raised() => break,
            }
        }
        self.accept_waiting();
        self.remove_name();
        let mut clients = std::mem::take(&mut *self.clients.lock().expect("nothing panics under this lock"));
        while clients.join_next().await.is_some() {}
    }

    /// Takes the clients that have connected up to this instant, so that output that follows reaches them.
    pub(crate) fn accept_waiting(self: &Arc<Self>) {
        loop {
            match self.listener.get_ref().accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.admit(stream) {
                        journal::warn(&format!(
                            "attach socket {}: a client was refused: {error}",
                            self.path.display()
                        ));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    journal::warn(&format!("attach socket {}: {error}", self.path.display()));
                    return;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: std::os::unix::net::UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
        }
        let client = self
            .fanout()
            .join()
            .ok_or_else(|| io::Error::new(io::ErrorKind::QuotaExceeded, "there are too many clients"))?;
        let mut clients = self.clients.lock().expect("nothing panics under this lock");
        // Those that have left.
        while clients.try_join_next().is_some() {}
        clients.spawn(Arc::clone(self).attend(client, stream));
        drop(clients);
        self.arrived.raise();
        Ok(())
    }

    /// Both directions of one client. It stays while it can be written to; that it sends no more is no reason to go.
    async fn attend(self: Arc<Self>, client: ClientId, stream: UnixStream) {
        let (reader, writer) = stream.into_split();
        let outcome = tokio::select! {
            outcome = self.send(client, writer) => outcome,
            outcome = self.receive(reader) => outcome,
        };
        if let Err(error) = outcome {
            journal::debug(&format!("attach socket {}: a client left: {error}", self.path.display()));
        }
        self.fanout().leave(client);
        self.moved.notify_waiters();
    }

    async fn send(&self, client: ClientId, mut writer: OwnedWriteHalf) -> io::Result<()> {
        loop {
            let queued = self.queued.notified();
            let has_ended = self.ended.is_raised();
            let next = self.fanout().next(client);
            let Some(frame) = next else {
                if has_ended {
                    return writer.shutdown().await;
                }
                tokio::select! {
                    () = queued => {}
                    () = self.ended.raised() => {}
                }
                continue;
            };
            let header = Header { kind: frame.kind, length: frame.payload.len() }.encode();
            let write = async {
                writer.write_all(&header).await?;
                writer.write_all(&frame.payload).await
            };
            if has_ended {
                timeout(STALL_LIMIT, write).await.map_err(|_| io::ErrorKind::TimedOut)??;
            } else {
                // Until the end of the streams it may stall; then its time starts.
                tokio::pin!(write);
                tokio::select! {
                    written = &mut write => written?,
                    () = self.ended.raised() => {
                        timeout(STALL_LIMIT, write).await.map_err(|_| io::ErrorKind::TimedOut)??;
                    }
                }
            }
            self.fanout().sent(client);
            self.moved.notify_waiters();
        }
    }

    /// Passes on what a client types. Returns when the client has gone altogether or does not speak the protocol.
    async fn receive(&self, mut reader: OwnedReadHalf) -> io::Result<()> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; HEADER_BYTES];
            match reader.read_exact(&mut header).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return if has_hung_up(&reader) { Ok(()) } else { std::future::pending().await };
                }
                Err(error) => return Err(error),
            }
            let header =
                Header::decode(header).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?;
            if header.kind != FrameKind::Stdin {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "only stdin frames come from clients",
                ));
            }
            payload.resize(header.length, 0);
            reader.read_exact(&mut payload).await?;
            if payload.is_empty() {
                self.stdin.close();
            } else if let Err(error) = self.stdin.write(&payload).await {
                // The process reads no more; the client may still want its output.
                journal::debug(&format!(
                    "attach socket {}: input was not taken: {error}",
                    self.path.display()
                ));
            }
            payload.clear();
            payload.shrink_to(CHUNK_BYTES);
        }
    }

    /// Hands a chunk to every client, waiting for those that stall as long as they are allowed to. An empty chunk says
    /// that the stream has ended.
    pub(crate) async fn deliver(&self, stream: Stream, chunk: &[u8]) {
        loop {
            let moved = self.moved.notified();
            let room = self.fanout().room(chunk.len(), Instant::now());
            match room {
                Room::Now => break,
                Room::Until(deadline) => tokio::select! {
                    () = moved => {}
                    () = sleep_until(deadline.into()) => {}
                },
            }
        }
        self.fanout().push(stream, &Arc::from(chunk));
        self.queued.notify_waiters();
    }

    /// Waits until a client has connected for the first time.
    pub(crate) async fn arrived(&self) {
        self.arrived.raised().await;
    }

    /// All streams have ended: no new clients, and the present ones are let go when they have read all.
    pub(crate) fn end(&self) {
        self.ended.raise();
    }

    fn remove_name(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            journal::warn(&format!("attach socket {} stays: {error}", self.path.display()));
        }
    }

    fn fanout(&self) -> MutexGuard<'_, Fanout> {
        self.fanout.lock().expect("nothing panics under this lock")
    }
}

/// Whether the peer has closed both directions, told from one that only sends no more.
fn has_hung_up(reader: &OwnedReadHalf) -> bool {
    let mut poll = [PollFd::new(reader.as_ref(), PollFlags::empty())];
    let now = rustix::event::Timespec::default();
    // When in doubt it is there; writing to it will tell.
    rustix::event::poll(&mut poll, Some(&now)).is_ok() && poll[0].revents().contains(PollFlags::HUP)
}

/// A listening socket with mode 0600 from its first instant.
pub(crate) fn bind_private(path: &Path) -> io::Result<UnixListener> {
    if path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    // There is one thread; nobody else makes a file meanwhile.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}
