//! What a connection tells of the client at its other end: that it has gone, while its answer waits for something, and
//! that it has read what was sent. A client that only has nothing more to say (nc, socat, some SDKs) is still listening:
//! hyper is told to let it, and so does not look any more.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// A client that reads, reads within this time.
const READ_LIMIT: Duration = Duration::from_millis(50);

/// The other end of a connection, as far as it can be gone.
pub(super) struct HangUp(AsyncFd<OwnedFd>);

impl HangUp {
    /// Watches a socket by a descriptor of its own.
    ///
    /// # Errors
    /// When there is no descriptor left.
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe to call; an OwnedFd keeps the promise that it asks for"
    )]
    pub(super) fn of(socket: &impl AsFd) -> io::Result<Self> {
        let descriptor = socket.as_fd().try_clone_to_owned()?;
        AsyncFd::with_interest(descriptor, Interest::WRITABLE).map(Self)
    }

    /// Returns when the client has closed both directions, or is gone.
    pub(super) async fn wait(&self) {
        // Room to write is not what is waited for: it is forgotten each time.
        while let Ok(mut ready) = self.0.ready(Interest::WRITABLE).await {
            if ready.ready().is_write_closed() {
                return;
            }
            ready.clear_ready();
        }
    }

    /// Returns when the client has read all that was sent, or is not going to in the next moment.
    ///
    /// A unix socket can be written to while no more than a quarter of its buffer is unread: of the smallest buffer there
    /// is, the headers of an answer are more than that.
    pub(super) async fn has_read(&self) {
        let socket = self.0.get_ref();
        let Ok(size) = sockopt::socket_send_buffer_size(socket) else { return };
        let narrowed = sockopt::set_socket_send_buffer_size(socket, 0);
        let reading = async {
            while narrowed.is_ok() && !self.is_writable() {
                let Ok(mut ready) = self.0.ready(Interest::WRITABLE).await else { return };
                ready.clear_ready();
            }
        };
        drop(timeout(READ_LIMIT, reading).await);
        // The kernel takes half of what it gives.
        if let Err(error) = sockopt::set_socket_send_buffer_size(socket, size / 2) {
            tracing::debug!(%error, "a client's socket keeps its smallest buffer");
        }
    }

    fn is_writable(&self) -> bool {
        let mut socket = [PollFd::new(self.0.get_ref(), PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut socket, Some(&now)).is_ok() && socket[0].revents().intersects(PollFlags::OUT)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn what_was_sent_has_been_read_when_the_client_has_read_it() {
        let (mut ours, mut client) = UnixStream::pair().expect("a connection");
        ours.set_nonblocking(true).expect("set");
        let hang_up = HangUp::of(&ours).expect("watched");
        let size = sockopt::socket_send_buffer_size(&ours).expect("a size");
        hang_up.has_read().await;
        ours.write_all(&[b'x'; 190]).expect("sent");
        let started = std::time::Instant::now();
        let reading = async {
            tokio::time::sleep(READ_LIMIT / 5).await;
            client.read_exact(&mut [0; 190]).expect("read");
        };
        tokio::join!(reading, hang_up.has_read());
        let waited = started.elapsed();
        assert!(waited >= READ_LIMIT / 5, "not before it was read: {waited:?}");
        assert_eq!(sockopt::socket_send_buffer_size(&ours).expect("a size"), size);
        // One that does not read is not waited for without end.
        ours.write_all(&[b'x'; 190]).expect("sent");
        hang_up.has_read().await;
    }
}
