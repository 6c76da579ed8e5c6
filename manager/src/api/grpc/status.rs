//! The only place where an error becomes a gRPC status. The message is the error with its causes, one sentence.

use std::error::Error;

use knarr_proto::escape;
use knarr_proto::kind::Kind;
use tonic::{Code, Status};

use crate::containers::ContainerError;
use crate::error::Chain;
use crate::filters::InvalidFilter;
use crate::images::ImageError;
use crate::snapshots::SnapshotError;

/// The metadata key that tells why a command cannot be executed: COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE.
const REASON: &str = "knarr-reason";
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

/// An error of this kind, told with its causes.
pub(crate) fn status(kind: Kind, error: &(dyn Error + 'static)) -> Status {
    // It may quote what an image, a registry or another client chose, and ends on a terminal.
    let mut message = escape::line(&Chain(error).to_string().replace('\n', " ")).into_owned();
    let remedy = if kind == Kind::ResourceExhausted { format!(": {MAKE_ROOM}") } else { String::new() };
    let longest = MAX_MESSAGE_BYTES - remedy.len();
    if message.len() > longest {
        let end = (0..=longest).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
    }
    message.push_str(&remedy);
    if kind == Kind::Internal {
        tracing::error!(%message, "a request failed for no fault of its own");
    }
    Status::new(code(kind), message)
}

impl From<ContainerError> for Status {
    fn from(error: ContainerError) -> Self {
        let mut status = status(error.kind(), &error);
        if let Some(reason) = error.reason() {
            status
                .metadata_mut()
                .insert(REASON, tonic::metadata::MetadataValue::from_static(reason.as_str()));
        }
        status
    }
}

impl From<ImageError> for Status {
    fn from(error: ImageError) -> Self {
        status(error.kind(), &error)
    }
}

impl From<InvalidFilter> for Status {
    fn from(error: InvalidFilter) -> Self {
        status(Kind::InvalidArgument, &error)
    }
}

impl From<SnapshotError> for Status {
    fn from(error: SnapshotError) -> Self {
        status(error.kind(), &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::CommandReason;

    #[test]
    fn a_command_that_is_not_there_says_so_in_metadata() {
        let message = "exec: \"x\": executable file not found in $PATH".to_owned();
        let status = Status::from(ContainerError::Command { reason: CommandReason::NotFound, message });
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.metadata().get(REASON).expect("a reason"), "COMMAND_NOT_FOUND");
    }
}
