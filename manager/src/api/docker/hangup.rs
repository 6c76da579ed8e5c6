//! Noticing that a client has gone, while its answer waits for something. A client that only has nothing more to say
//! (nc, socat, some SDKs) is still listening: hyper is told to let it, and so does not look any more.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
}
