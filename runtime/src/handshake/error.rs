//! Why the channel between creator and child failed.

use rustix::io::Errno;

/// Why the channel failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    /// socketpair, send or receive.
    #[error("the channel between knarr-runtime and the container's first process failed")]
    Socket {
        /// What the kernel said.
        source: Errno,
    },
    /// Something that the protocol does not have.
    #[error("the container's first process sent a malformed message")]
    Malformed,
    /// The child is gone without a word, most likely killed.
    #[error("the container's first process died during its set-up (killed, or out of memory)")]
    Died,
    /// The creator is gone.
    #[error("knarr-runtime was killed while it made the container")]
    CreatorGone,
}
