//! The connections to the shim's socket: accepted, counted, and handed to the ttrpc server. It knows when the last one
//! ended; what is said on them is `service`'s.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::journal;

/// Connections that are accepted but not served yet; the kernel queues the others.
const MAX_WAITING: usize = 16;
/// After an accept that failed: without descriptors or memory the next one fails as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The count of open connections, and the way for new listeners to the server.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    count: Arc<Mutex<Count>>,
    closed: Arc<Notify>,
    accepted: mpsc::Sender<io::Result<Connection>>,
}

#[derive(Debug)]
struct Count {
    open: usize,
    idle_since: Instant,
}

/// One connection; it is counted until it is dropped.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    count: Arc<Mutex<Count>>,
    closed: Arc<Notify>,
}

struct Accepted(mpsc::Receiver<io::Result<Connection>>);

impl Connections {
    /// No listener yet; the server takes its connections from what is returned.
    pub(crate) fn new() -> (Self, Listener) {
        let (accepted, receiver) = mpsc::channel(MAX_WAITING);
        let count = Arc::new(Mutex::new(Count { open: 0, idle_since: Instant::now() }));
        (Self { count, closed: Arc::default(), accepted }, Listener::new(Accepted(receiver)))
    }

    /// Accepts from `listener`, too, from now until the server ends.
    pub(crate) fn accept_from(&self, listener: std::os::unix::net::UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let this = self.clone();
        // It ends when the server drops its side.
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        if this.accepted.send(Ok(this.counted(stream))).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        journal::warn(&format!("a connection was not accepted: {error}"));
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        Ok(())
    }

    /// For how long there has been no connection.
    pub(crate) fn idle_for(&self) -> Duration {
        let count = lock(&self.count);
        if count.open == 0 { count.idle_since.elapsed() } else { Duration::ZERO }
    }

    /// Waits until the last connection has closed.
    pub(crate) async fn all_closed(&self) {
        self.closed.notified().await;
    }

    fn counted(&self, stream: UnixStream) -> Connection {
        lock(&self.count).open += 1;
        Connection { stream, count: Arc::clone(&self.count), closed: Arc::clone(&self.closed) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut count = lock(&self.count);
        count.open -= 1;
        count.idle_since = Instant::now();
        if count.open == 0 {
            self.closed.notify_one();
        }
    }
}

impl Stream for Accepted {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn lock(count: &Mutex<Count>) -> MutexGuard<'_, Count> {
    count.lock().expect("nothing panics under this lock")
}
