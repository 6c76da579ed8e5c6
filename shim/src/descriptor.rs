//! A pipe, fifo or terminal that is read and written without blocking. It knows nothing of what flows through it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One read: half of a pipe's capacity, so that the writer can go on while we deliver, and within a frame's payload.
pub(crate) const CHUNK_BYTES: usize = 32 * 1024;

/// A descriptor that epoll can watch.
#[derive(Debug)]
pub(crate) struct Descriptor(AsyncFd<OwnedFd>);

impl Descriptor {
    /// Makes it non-blocking and watches it. The mode is the open file's, so it must not be shared with the container.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        watched(fd, Interest::READABLE | Interest::WRITABLE).map(Self)
    }

    /// The next bytes; empty at the end. The memory is allocated when there is something to read, so that an idle
    /// stream has none.
    pub(crate) async fn read(&self) -> io::Result<Vec<u8>> {
        loop {
            let mut guard = self.0.readable().await?;
            match self.read_now()? {
                Some(chunk) => return Ok(chunk),
                None => guard.clear_ready(),
            }
        }
    }

    /// What can be read at this instant; `None` when nothing, empty at the end.
    pub(crate) fn read_now(&self) -> io::Result<Option<Vec<u8>>> {
        // Not zeroed: most reads are short, and what they leave untouched is no memory.
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.0, spare_capacity(&mut chunk))) {
            Ok(_) => Ok(Some(chunk)),
            Err(Errno::AGAIN) => Ok(None),
            // A terminal whose other side has been closed: its end.
            Err(Errno::IO) => Ok(Some(Vec::new())),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Writes all of it, waiting for room as long as it takes.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut guard = self.0.writable().await?;
            match rustix::io::retry_on_intr(|| rustix::io::write(&self.0, bytes)) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// Has epoll watch `io`, which must be non-blocking.
#[expect(
    deprecated,
    reason = "the replacement is an unsafe fn; what it asks for, AsFd guarantees by its type"
)]
pub(crate) fn watched<T: AsFd + AsRawFd>(io: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(io, interest)
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
