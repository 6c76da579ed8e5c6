//! A pipe, fifo or terminal that is read and written without blocking. It knows nothing of what flows through it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;

/// One read: half of a pipe's capacity, so that the writer can go on while we deliver, and within a frame's payload.
pub(crate) const CHUNK_BYTES: usize = 32 * 1024;

/// Reads and writes in a row before the loop looks at everything else: 256 KiB, less than a millisecond. A descriptor that
/// is always ready never waits, and tokio has no budget for it: without this, a process that writes without a pause would
/// keep the shim from answering.
const MAX_IN_A_ROW: u32 = 8;

/// A descriptor that epoll can watch.
#[derive(Debug)]
pub(crate) struct Descriptor {
    io: AsyncFd<OwnedFd>,
    /// Reads and writes since it was last not ready.
    in_a_row: AtomicU32,
}

impl Descriptor {
    /// Makes it non-blocking and watches it. The mode is the open file's, so it must not be shared with the container.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let io = watched(fd, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { io, in_a_row: AtomicU32::new(0) })
    }

    /// The next bytes; empty at the end. The memory is allocated when there is something to read, so that an idle
    /// stream has none.
    pub(crate) async fn read(&self) -> io::Result<Vec<u8>> {
        loop {
            self.give_way().await;
            let mut guard = self.io.readable().await?;
            match self.read_now()? {
                Some(chunk) => return Ok(chunk),
                None => {
                    guard.clear_ready();
                    self.in_a_row.store(0, Ordering::Relaxed);
                }
            }
        }
    }

    /// What can be read at this instant; `None` when nothing, empty at the end.
    pub(crate) fn read_now(&self) -> io::Result<Option<Vec<u8>>> {
        // Not zeroed: most reads are short, and what they leave untouched is no memory.
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.io, spare_capacity(&mut chunk))) {
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
            self.give_way().await;
            let mut guard = self.io.writable().await?;
            match rustix::io::retry_on_intr(|| rustix::io::write(&self.io, bytes)) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::AGAIN) => {
                    guard.clear_ready();
                    self.in_a_row.store(0, Ordering::Relaxed);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Lets every other task run, and new requests in, after [`MAX_IN_A_ROW`] reads and writes without a pause.
    async fn give_way(&self) {
        if self.in_a_row.fetch_add(1, Ordering::Relaxed) >= MAX_IN_A_ROW {
            self.in_a_row.store(0, Ordering::Relaxed);
            yield_now().await;
        }
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
        self.io.as_fd()
    }
}
