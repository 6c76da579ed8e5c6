//! What Attach and Exec have in common: their messages, as one pair of types.

use knarr_proto::v1::attach_reply::Message as AttachMessage;
use knarr_proto::v1::attach_request::Message as AttachInput;
use knarr_proto::v1::exec_reply::Message as ExecMessage;
use knarr_proto::v1::exec_request::Message as ExecInput;
use knarr_proto::v1::{
    AttachReply, AttachRequest, CloseStdin, ExecReply, ExecRequest, ExitStatus, Stream, TerminalSize,
};

/// A request that carries input.
pub(crate) trait Outgoing: Send + 'static {
    /// Keys or bytes for the process.
    fn stdin(data: Vec<u8>) -> Self;
    /// There is no more input.
    fn close_stdin() -> Self;
    /// The terminal's new size.
    fn resize(size: TerminalSize) -> Self;
}

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// The process runs.
    Started,
    /// It wrote this.
    Output(Stream, Vec<u8>),
    /// So many bytes were lost on the way.
    Dropped(u64),
    /// It ended.
    Exited(ExitStatus),
    /// A message of a newer contract.
    Empty,
}

impl Outgoing for AttachRequest {
    fn stdin(data: Vec<u8>) -> Self {
        Self { message: Some(AttachInput::Stdin(data)) }
    }

    fn close_stdin() -> Self {
        Self { message: Some(AttachInput::CloseStdin(CloseStdin {})) }
    }

    fn resize(size: TerminalSize) -> Self {
        Self { message: Some(AttachInput::Resize(size)) }
    }
}

impl Outgoing for ExecRequest {
    fn stdin(data: Vec<u8>) -> Self {
        Self { message: Some(ExecInput::Stdin(data)) }
    }

    fn close_stdin() -> Self {
        Self { message: Some(ExecInput::CloseStdin(CloseStdin {})) }
    }

    fn resize(size: TerminalSize) -> Self {
        Self { message: Some(ExecInput::Resize(size)) }
    }
}

impl From<AttachReply> for Reply {
    fn from(reply: AttachReply) -> Self {
        match reply.message {
            Some(AttachMessage::Started(_)) => Self::Started,
            Some(AttachMessage::Output(output)) => Self::Output(output.stream(), output.data),
            Some(AttachMessage::Dropped(dropped)) => Self::Dropped(dropped.bytes),
            Some(AttachMessage::Exited(status)) => Self::Exited(status),
            None => Self::Empty,
        }
    }
}

impl From<ExecReply> for Reply {
    fn from(reply: ExecReply) -> Self {
        match reply.message {
            Some(ExecMessage::Started(_)) => Self::Started,
            Some(ExecMessage::Output(output)) => Self::Output(output.stream(), output.data),
            Some(ExecMessage::Dropped(dropped)) => Self::Dropped(dropped.bytes),
            Some(ExecMessage::Exited(status)) => Self::Exited(status),
            None => Self::Empty,
        }
    }
}
