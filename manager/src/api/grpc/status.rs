//! The only place where an error becomes a gRPC status. The message is the error with its causes, one sentence.

use knarr_proto::escape;
use knarr_proto::kind::Kind;
use knarr_proto::reason::{self, Reason};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::containers::ContainerError;
use crate::error::Chain;
use crate::failure::Failure;
use crate::filters::InvalidFilter;
use crate::images::ImageError;
use crate::networks::NetworkError;
use crate::snapshots::SnapshotError;
use crate::volumes::VolumeError;

/// What can be done about a full disk.
const MAKE_ROOM: &str = "no space left on the disk of knarrd's root: remove containers with 'knarr rm', images with \
    'knarr rmi', or what is not used with 'knarr container prune' and 'knarr image prune'";
/// HTTP/2 headers are bounded; so is what a person reads.
const MAX_MESSAGE_BYTES: usize = 4096;

/// A kind's code.
pub(crate) fn code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::DataLoss => Code::DataLoss,
        Kind::Unimplemented => Code::Unimplemented,
        Kind::Cancelled => Code::Cancelled,
        Kind::Internal => Code::Internal,
    }
}

/// An error, told with its causes; its kind is the code, its reason metadata.
pub(crate) fn status(error: &(impl Failure + 'static)) -> Status {
    let kind = error.kind();
    // It may quote what an image, a registry or another client chose, and ends on a terminal.
    let mut message = escape::line(&Chain(error).to_string().replace('\n', " ")).into_owned();
    let remedy = match error.reason() {
        Some(Reason::NoSpace) => format!(": {MAKE_ROOM}"),
        Some(Reason::CommandNotFound | Reason::CommandNotExecutable) | None => String::new(),
    };
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES - remedy.len()));
    message.push_str(&remedy);
    if kind == Kind::Internal {
        tracing::error!(%message, "a request failed for no fault of its own");
    }
    let mut status = Status::new(code(kind), message);
    if let Some(reason) = error.reason() {
        status.metadata_mut().insert(reason::KEY, MetadataValue::from_static(reason.as_str()));
    }
    status
}

impl From<ContainerError> for Status {
    fn from(error: ContainerError) -> Self {
        status(&error)
    }
}

impl From<ImageError> for Status {
    fn from(error: ImageError) -> Self {
        status(&error)
    }
}

impl From<NetworkError> for Status {
    fn from(error: NetworkError) -> Self {
        status(&error)
    }
}

impl From<InvalidFilter> for Status {
    fn from(error: InvalidFilter) -> Self {
        status(&error)
    }
}

impl From<SnapshotError> for Status {
    fn from(error: SnapshotError) -> Self {
        status(&error)
    }
}

impl From<VolumeError> for Status {
    fn from(error: VolumeError) -> Self {
        status(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_metadata_and_only_a_full_disk_is_remedied_by_making_room() {
        let message = "exec: \"x\": executable file not found in $PATH".to_owned();
        let command = ContainerError::Command { reason: Reason::CommandNotFound, message };
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let disk = ContainerError::from(crate::files::failed::<std::io::Error>("write", "/x")(full()));
        let bound = ContainerError::from(crate::containers::TooManyExecs);
        for (error, code, reason) in [
            (command, Code::FailedPrecondition, Some("COMMAND_NOT_FOUND")),
            (disk, Code::ResourceExhausted, Some("NO_SPACE")),
            (bound, Code::ResourceExhausted, None),
        ] {
            let status = Status::from(error);
            assert_eq!(status.code(), code, "{status:?}");
            assert_eq!(
                status.metadata().get(reason::KEY).map(|value| value.to_str().expect("ascii")),
                reason
            );
            assert_eq!(status.message().contains("knarr rm"), reason == Some("NO_SPACE"), "{status:?}");
        }
    }
}
