//! Clients' connections: bounded in number, and known by what they do, so that those who only hold one give way to those
//! who need one. Counted, so that an idle daemon knows that it is.
//!
//! A connection without a call costs its client nothing and us a descriptor. When all places are taken, the one that has
//! been of no use for longest is closed; its client may come again. There are no keep-alive pings: on a unix socket the
//! kernel tells at once when a client has died, and one that is stopped (Ctrl-Z) is to find its streams again.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::authority::AuthorityFilter;

/// A client has so long to make its first call, or its next one, before it has to give way; less, when it has not even
/// said in which protocol it speaks.
const GRACE: Duration = Duration::from_secs(1);
const SILENT_GRACE: Duration = Duration::from_millis(100);
/// A client that neither sends nor takes anything for so long does not want the answer that it has asked for.
const STALLED_GRACE: Duration = Duration::from_secs(30);
/// Places or no places, a connection that was never used for a call is closed after this time, one that was after the
/// other. Clients connect again by themselves.
const SILENT_LIMIT: Duration = Duration::from_secs(60);
const IDLE_LIMIT: Duration = Duration::from_secs(600);
/// How often connections are looked over.
const ROUND: Duration = Duration::from_secs(15);
/// When the process or the machine has no descriptor left, some have to be closed first.
const PAUSE: Duration = Duration::from_millis(100);
/// A lack of descriptors comes and goes with each client that is closed; it is over when there was none for so long.
const LACK_OVER_AFTER: Duration = Duration::from_secs(10);

/// All connections.
#[derive(Clone)]
pub(crate) struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    clients: Mutex<Clients>,
    count: watch::Sender<usize>,
    /// A connection has ended.
    freed: Notify,
}

#[derive(Default)]
struct Clients {
    by_number: HashMap<u64, Arc<Client>>,
    next: u64,
}

/// What is known of the client at the other end.
pub(crate) struct Client {
    activity: Mutex<Activity>,
}

struct Activity {
    /// Calls whose request is here.
    short_calls: usize,
    long_calls: usize,
    has_spoken: bool,
    has_called: bool,
    /// When it last sent or took something, or a call ended.
    last: Instant,
    is_closed: bool,
    reader: Option<Waker>,
}

/// A call of a client, until it is dropped.
pub(crate) struct Call {
    client: Arc<Client>,
    is_long: bool,
    has_arrived: AtomicBool,
}

/// One connection; gives its place back when dropped.
pub(crate) struct Connection {
    stream: UnixStream,
    filter: AuthorityFilter,
    /// What has passed the filter and is not read yet.
    filtered: Vec<u8>,
    read: usize,
    client: Arc<Client>,
    number: u64,
    shared: Arc<Shared>,
}

impl Connections {
    /// No more than `limit` at a time.
    pub(crate) fn new(limit: usize) -> Self {
        let shared =
            Shared { limit, clients: Mutex::default(), count: watch::Sender::new(0), freed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// The number, now and as it changes.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.shared.count.subscribe()
    }
}

/// What is spoken on a listener's connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    /// HTTP/2, with authorities that need a filter.
    Grpc,
    Http1,
}

/// Accepts connections until the returned stream is dropped; by the last of `renewed` where there is one.
pub(crate) fn accept(
    mut listener: UnixListener,
    mut renewed: mpsc::Receiver<UnixListener>,
    connections: &Connections,
    protocol: Protocol,
) -> ReceiverStream<Result<Connection, io::Error>> {
    let (sender, receiver) = mpsc::channel(1);
    let shared = Arc::clone(&connections.shared);
    tokio::spawn(async move {
        let accepting = async {
            let mut lack = Lack::default();
            loop {
                let stream = tokio::select! {
                    stream = shared.next(&listener, &mut lack) => stream,
                    Some(new) = renewed.recv() => {
                        listener = new;
                        continue;
                    }
                };
                shared.make_room().await;
                if sender.send(Ok(Connection::new(stream, &shared, protocol))).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = shared.look_over() => {}
            () = sender.closed() => {}
        }
    });
    ReceiverStream::new(receiver)
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next client. A lack of descriptors is waited for.
    async fn next(&self, listener: &UnixListener, lack: &mut Lack) -> UnixStream {
        loop {
            let error = match listener.accept().await {
                Ok((stream, _)) => {
                    if lack.is_over(Instant::now()) {
                        tracing::info!("clients are accepted again");
                    }
                    return stream;
                }
                Err(error) => error,
            };
            if !is_shortage(&error) {
                // The client has gone before it was accepted.
                tracing::debug!(%error, "a client was not accepted");
                continue;
            }
            if lack.begins(Instant::now()) {
                tracing::error!(%error, "no client can be accepted at the moment: raise knarrd's limit of open files");
            }
            self.close_idlest(Instant::now());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns when one more connection has a place.
    async fn make_room(&self) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.clients().by_number.len() < self.limit {
                return;
            }
            match self.close_idlest(Instant::now()) {
                // The youngest of them has its grace.
                Some(ready_at) => {
                    tokio::select! {
                        () = freed => {}
                        () = tokio::time::sleep_until(ready_at) => {}
                    }
                }
                None => freed.await,
            }
        }
    }

    /// Closes the connection that is of least use. Returns when another one may be closed, if none may yet.
    fn close_idlest(&self, now: Instant) -> Option<Instant> {
        let clients = self.clients();
        let ripe = clients.by_number.values().filter_map(|client| Some((client.may_close_at()?, client)));
        let (at, client) = ripe.min_by_key(|(at, _)| *at)?;
        if at > now {
            return Some(at);
        }
        client.close();
        None
    }

    /// Closes what has been idle for too long, again and again.
    async fn look_over(&self) {
        loop {
            tokio::time::sleep(ROUND).await;
            let now = Instant::now();
            for client in self.clients().by_number.values() {
                client.close_if_idle(now);
            }
        }
    }
}

/// A lack of descriptors, which is logged when it begins and when it is over.
#[derive(Debug, Default)]
struct Lack {
    /// When a client could not be accepted for want of one.
    last: Option<Instant>,
}

impl Lack {
    /// A client could not be accepted. Returns true when this is the first one of a lack.
    fn begins(&mut self, now: Instant) -> bool {
        let before = self.last.replace(now);
        before.is_none_or(|last| last + LACK_OVER_AFTER <= now)
    }

    /// A client was accepted. Returns true once after a lack.
    fn is_over(&mut self, now: Instant) -> bool {
        let is_over = self.last.is_some_and(|last| last + LACK_OVER_AFTER <= now);
        if is_over {
            self.last = None;
        }
        is_over
    }
}

/// Whether the process or the machine has too little of something at the moment.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl Client {
    fn new() -> Self {
        let activity = Activity {
            short_calls: 0,
            long_calls: 0,
            has_spoken: false,
            has_called: false,
            last: Instant::now(),
            is_closed: false,
            reader: None,
        };
        Self { activity: Mutex::new(activity) }
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call has begun; it counts once its request is here.
    pub(crate) fn call(self: &Arc<Self>, is_long: bool) -> Call {
        Call { client: Arc::clone(self), is_long, has_arrived: AtomicBool::new(false) }
    }

    /// When it may be closed for another client's sake; `None` while it waits for something, or is closed already.
    fn may_close_at(&self) -> Option<Instant> {
        let activity = self.activity();
        let grace = match *activity {
            Activity { is_closed: true, .. } | Activity { long_calls: 1.., .. } => return None,
            Activity { short_calls: 1.., .. } => STALLED_GRACE,
            Activity { has_spoken: false, .. } => SILENT_GRACE,
            Activity { .. } => GRACE,
        };
        Some(activity.last + grace)
    }

    fn close_if_idle(&self, at: Instant) {
        let activity = self.activity();
        let limit = if activity.has_called { IDLE_LIMIT } else { SILENT_LIMIT };
        let is_idle = activity.short_calls + activity.long_calls == 0 && activity.last + limit <= at;
        drop(activity);
        if is_idle {
            self.close();
        }
    }

    /// It has sent or taken something. Bytes that lead to no call do not make it young again.
    fn touch(&self) {
        let mut activity = self.activity();
        activity.has_spoken = true;
        if activity.short_calls + activity.long_calls > 0 {
            activity.last = Instant::now();
        }
    }

    /// Lets the server read the end of the stream.
    fn close(&self) {
        let mut activity = self.activity();
        activity.is_closed = true;
        if let Some(reader) = activity.reader.take() {
            reader.wake();
        }
    }

    /// Whether it is closed; if not, `context` is woken when it will be.
    fn poll_closed(&self, context: &Context<'_>) -> bool {
        let mut activity = self.activity();
        let is_known = activity.reader.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if !activity.is_closed && !is_known {
            activity.reader = Some(context.waker().clone());
        }
        activity.is_closed
    }
}

impl Activity {
    fn calls(&mut self, is_long: bool) -> &mut usize {
        if is_long { &mut self.long_calls } else { &mut self.short_calls }
    }
}

impl Call {
    /// Its request is here, or the first message of it; said more than once.
    pub(crate) fn arrive(&self) {
        if !self.has_arrived.swap(true, Ordering::Relaxed) {
            let mut activity = self.client.activity();
            *activity.calls(self.is_long) += 1;
            activity.has_called = true;
            activity.last = Instant::now();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if *self.has_arrived.get_mut() {
            let mut activity = self.client.activity();
            *activity.calls(self.is_long) -= 1;
            activity.last = Instant::now();
        }
    }
}

impl Connection {
    fn new(stream: UnixStream, shared: &Arc<Shared>, protocol: Protocol) -> Self {
        let client = Arc::new(Client::new());
        let mut clients = shared.clients();
        let number = clients.next;
        clients.next += 1;
        clients.by_number.insert(number, Arc::clone(&client));
        drop(clients);
        shared.count.send_modify(|count| *count += 1);
        Self {
            stream,
            filter: match protocol {
                Protocol::Grpc => AuthorityFilter::default(),
                Protocol::Http1 => AuthorityFilter::none(),
            },
            filtered: Vec::new(),
            read: 0,
            client,
            number,
            shared: Arc::clone(shared),
        }
    }

    /// Moves what has passed the filter to `buffer`, as much as fits.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let left = &self.filtered[self.read..];
        let length = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..length]);
        self.read += length;
        if self.read == self.filtered.len() {
            self.filtered.clear();
            self.read = 0;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.clients().by_number.remove(&self.number);
        self.shared.count.send_modify(|count| *count = count.saturating_sub(1));
        self.shared.freed.notify_one();
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Client>;

    fn connect_info(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.client.poll_closed(context) {
            return Poll::Ready(Ok(()));
        }
        while this.filtered.is_empty() {
            let before = buffer.filled().len();
            std::task::ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let length = buffer.filled().len() - before;
            if length == 0 {
                this.filter.end(&mut this.filtered);
                break;
            }
            this.client.touch();
            if this.filter.passes(length) {
                return Poll::Ready(Ok(()));
            }
            this.filter.take(&buffer.filled()[before..], &mut this.filtered);
            buffer.set_filled(before);
        }
        this.give(buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, data);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.client.touch();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_that_comes_and_goes_is_one() {
        let (mut lack, start) = (Lack::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!lack.is_over(at(0)), "there was none");
        assert!(lack.begins(at(0)));
        for second in 1..30 {
            assert!(!lack.is_over(at(second)) && !lack.begins(at(second)), "{second}");
        }
        assert!(!lack.is_over(at(30)));
        assert!(lack.is_over(at(39)) && !lack.is_over(at(40)), "it is told once that it is over");
        assert!(lack.begins(at(41)), "the next one is told again");
        assert!(lack.begins(at(60)), "also when no client came in between");
    }
}
