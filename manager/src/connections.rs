//! Clients' connections: bounded in number, and counted, so that an idle daemon knows that it is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, UdsConnectInfo};

/// Clients at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 512;

/// How many connections there are.
#[derive(Clone)]
pub(crate) struct Connections {
    free: Arc<Semaphore>,
    count: Arc<watch::Sender<usize>>,
}

/// One connection; gives its place back when dropped.
pub(crate) struct Connection {
    stream: UnixStream,
    count: Arc<watch::Sender<usize>>,
    _place: OwnedSemaphorePermit,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_CONNECTIONS)), count: Arc::new(watch::Sender::new(0)) }
    }

    /// The number, now and as it changes.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}

/// Accepts for as long as anybody takes the connections.
pub(crate) fn accept(
    listener: UnixListener,
    connections: &Connections,
) -> ReceiverStream<Result<Connection, io::Error>> {
    let (sender, receiver) = mpsc::channel(1);
    let Connections { free, count } = connections.clone();
    tokio::spawn(async move {
        loop {
            let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let connection = accepted.map(|(stream, _)| {
                count.send_modify(|count| *count += 1);
                Connection { stream, count: Arc::clone(&count), _place: place }
            });
            if sender.send(connection).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
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
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
