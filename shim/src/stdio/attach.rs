//! The attach socket: serves a process's streams to any number of clients by the protocol in `knarr_proto::frame`.
//! `fanout` decides what waits for which client; this moves the bytes.

use std::fmt;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use knarr_proto::frame::{FrameKind, HEADER_BYTES, Header, Stream};
use rustix::event::{PollFd, PollFlags};
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
use crate::sockets::SocketName;

/// A process's attach socket. It is there, and clients can connect, from [`Attach::bind`] until the process's streams
/// have ended.
#[derive(Debug)]
pub(crate) struct Attach {
    name: Mutex<SocketName>,
    listener: Mutex<Arc<AsyncFd<UnixListener>>>,
    /// The listener has been replaced.
    renewed: Notify,
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
    /// Makes the socket, for this user alone. A socket left there by a shim that died is replaced. `bundle` remembers it
    /// for `delete`.
    pub(crate) fn bind(path: &Path, bundle: &Path, stdin: Arc<Stdin>) -> io::Result<Arc<Self>> {
        let (listener, name) = SocketName::bind(path, bundle)?;
        Ok(Arc::new(Self {
            name: Mutex::new(name),
            listener: Mutex::new(Arc::new(listening(listener)?)),
            renewed: Notify::new(),
            stdin,
            fanout: Mutex::default(),
            queued: Notify::new(),
            moved: Notify::new(),
            arrived: Flag::default(),
            ended: Flag::default(),
            clients: Mutex::new(JoinSet::new()),
        }))
    }

    /// Makes the socket anew if its name is gone and the streams have not ended.
    pub(crate) fn renew(&self) -> io::Result<()> {
        if self.ended.is_raised() {
            return Ok(());
        }
        if let Some(listener) = lock(&self.name).renew()? {
            *lock(&self.listener) = Arc::new(listening(listener)?);
            self.renewed.notify_waiters();
        }
        Ok(())
    }

    /// Accepts clients until the streams have ended, then lets each read what is queued for it: at most [`STALL_LIMIT`]
    /// long without reading anything. The socket's name goes first, so that no client comes too late.
    pub(crate) async fn serve(self: Arc<Self>) {
        loop {
            let renewed = self.renewed.notified();
            let listener = Arc::clone(&lock(&self.listener));
            tokio::select! {
                ready = listener.readable() => match ready {
                    Ok(mut ready) => {
                        self.accept_waiting();
                        ready.clear_ready();
                    }
                    Err(error) => {
                        journal::warn(&format!("attach socket {self}: {error}"));
                        break;
                    }
                },
                () = renewed => {}
                () = self.ended.raised() => break,
            }
        }
        self.accept_waiting();
        if let Err(error) = lock(&self.name).remove() {
            journal::warn(&format!("attach socket {self} stays: {error}"));
        }
        let mut clients = std::mem::take(&mut *lock(&self.clients));
        while clients.join_next().await.is_some() {}
    }

    /// Takes the clients that have connected up to this instant, so that output that follows reaches them.
    pub(crate) fn accept_waiting(self: &Arc<Self>) {
        loop {
            let accepted = lock(&self.listener).get_ref().accept();
            match accepted {
                Ok((stream, _)) => {
                    if let Err(error) = self.admit(stream) {
                        journal::warn(&format!("attach socket {self}: a client was refused: {error}"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    journal::warn(&format!("attach socket {self}: {error}"));
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
        let mut clients = lock(&self.clients);
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
            journal::debug(&format!("attach socket {self}: a client left: {error}"));
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
                journal::debug(&format!("attach socket {self}: input was not taken: {error}"));
            }
            payload.clear();
            payload.shrink_to(CHUNK_BYTES);
        }
    }

    /// Hands a chunk to every client, waiting for those that stall as long as they are allowed to, or until `hurry` is
    /// raised. An empty chunk says that the stream has ended.
    pub(crate) async fn deliver(&self, stream: Stream, chunk: &[u8], hurry: Option<&Flag>) {
        loop {
            let moved = self.moved.notified();
            let room = self.fanout().room(chunk.len(), Instant::now());
            match room {
                Room::Now => break,
                Room::Until(deadline) => tokio::select! {
                    () = moved => {}
                    () = sleep_until(deadline.into()) => {}
                    () = raised(hurry) => break,
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

    fn fanout(&self) -> MutexGuard<'_, Fanout> {
        lock(&self.fanout)
    }
}

/// Waits for `flag`; for ever without one.
async fn raised(flag: Option<&Flag>) {
    match flag {
        Some(flag) => flag.raised().await,
        None => std::future::pending().await,
    }
}

/// Whether the peer has closed both directions, told from one that only sends no more.
fn has_hung_up(reader: &OwnedReadHalf) -> bool {
    let mut poll = [PollFd::new(reader.as_ref(), PollFlags::empty())];
    let now = rustix::event::Timespec::default();
    // When in doubt it is there; writing to it will tell.
    rustix::event::poll(&mut poll, Some(&now)).is_ok() && poll[0].revents().contains(PollFlags::HUP)
}

fn listening(listener: UnixListener) -> io::Result<AsyncFd<UnixListener>> {
    listener.set_nonblocking(true)?;
    watched(listener, Interest::READABLE)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under these locks")
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lock(&self.name).path().display().fmt(f)
    }
}
