//! What kind of failure an error is. gRPC codes and exit codes derive from it, each in one place.

use std::io;

/// The failure kinds, named as containerd's errdefs and gRPC's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong, whatever the state of the world.
    InvalidArgument,
    /// The thing named does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The thing's state does not allow it.
    FailedPrecondition,
    /// The peer refused these credentials.
    PermissionDenied,
    /// The peer wants credentials.
    Unauthenticated,
    /// A bound was reached: space, streams, sizes.
    ResourceExhausted,
    /// Somebody else's program or machine did not answer; a retry may work.
    Unavailable,
    /// It took longer than was allowed.
    DeadlineExceeded,
    /// Bytes are not what their digest says.
    DataLoss,
    /// The request asks for what is not built.
    Unimplemented,
    /// The client went away.
    Cancelled,
    /// Our fault.
    Internal,
}

/// Whether there was no room: neither bytes nor inodes, or none that the quota allows.
#[must_use]
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
