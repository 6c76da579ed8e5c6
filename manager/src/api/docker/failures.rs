//! From an error to docker's answer: one table of kinds and statuses, and docker's words where its clients read them.

use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use knarr_proto::docker::InvalidBody;
use knarr_proto::escape;
use knarr_proto::kind::Kind;
use knarr_proto::reason::Reason;
use serde_json::json;

use super::answers;
use crate::containers::{ContainerError, Phase};
use crate::error::Chain;
use crate::failure::Failure;
use crate::images::ImageError;

/// Enough for a sentence and its causes.
const MAX_MESSAGE_BYTES: usize = 4096;

/// A request that is not carried out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    /// For clients that are too old for JSON.
    is_plain: bool,
}

/// What a handler returns.
pub(super) type Answer = Result<Response, Refusal>;

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), is_plain: false }
    }

    /// The request itself is wrong.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// knarrd does not do this yet.
    pub(super) fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// Docker's answer to an unknown path, and to a known one with another method.
    pub(super) fn page_not_found() -> Self {
        Self::not_found("page not found")
    }

    pub(super) fn in_plain_text(self) -> Self {
        Self { is_plain: true, ..self }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.is_plain {
            let text = [(http::header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            return (self.status, text, self.message + "\n").into_response();
        }
        answers::json(self.status, &json!({"message": self.message}))
    }
}

impl<E: Failure + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        let kind = error.kind();
        let chain = Chain(&error).to_string();
        let message = match kind {
            // Paths of the host are for the log.
            Kind::Internal => {
                tracing::error!(message = %chain, "a request failed for no fault of its own");
                error.to_string()
            }
            _ => in_docker_s_words(&error).unwrap_or(chain),
        };
        // It may quote what an image, a registry or another client chose, and ends on a terminal.
        let mut message = escape::line(&message.replace('\n', " ")).into_owned();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        let status = match error.reason() {
            // The client makes an exit code of the text.
            Some(Reason::CommandNotFound | Reason::CommandNotExecutable) => StatusCode::BAD_REQUEST,
            Some(Reason::NoSpace) | None => status(kind),
        };
        Self::new(status, message)
    }
}

impl Failure for InvalidBody {
    fn kind(&self) -> Kind {
        match self {
            Self::Type { .. } | Self::Value { .. } => Kind::InvalidArgument,
            Self::Unsupported { .. } => Kind::Unimplemented,
        }
    }
}

/// A kind's status.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::InvalidArgument => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::PermissionDenied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::AlreadyExists | Kind::FailedPrecondition => StatusCode::CONFLICT,
        Kind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::ResourceExhausted
        | Kind::DeadlineExceeded
        | Kind::DataLoss
        | Kind::Cancelled
        | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The sentences that programs search for words.
fn in_docker_s_words(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(ImageError::NotHere(image)) = error.downcast_ref() {
        return Some(format!("No such image: {image}"));
    }
    match error.downcast_ref::<ContainerError>()? {
        ContainerError::NotFound(name) => Some(format!("No such container: {name}")),
        ContainerError::NameTaken { name, holder } => Some(format!(
            "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". \
             You have to remove (or rename) that container to be able to reuse that name."
        )),
        ContainerError::Running(name) => Some(format!(
            "cannot remove container \"{name}\": container is running: \
             stop the container before removing or force remove"
        )),
        ContainerError::State { doing: "run a command in", name, phase: Phase::Paused } => {
            Some(format!("Container {name} is paused, unpause the container before exec"))
        }
        ContainerError::State { doing: "start", phase: Phase::Paused, .. } => {
            Some("cannot start a paused container, try unpause instead".to_owned())
        }
        ContainerError::NoExec(id) => Some(format!("No such exec instance: {id}")),
        ContainerError::ExecStarted(id) => Some(format!("exec command {id} has already run")),
        ContainerError::Image(error) => in_docker_s_words(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::TooManyExecs;

    #[test]
    fn a_kind_has_docker_s_status_and_some_errors_have_its_words() {
        let command =
            |reason| ContainerError::Command { reason, message: "exec: \"x\": not found".to_owned() };
        for (error, status, text) in [
            (ContainerError::NotFound("a".into()), 404, "No such container: a"),
            (ContainerError::Image(ImageError::NotHere("b".into())), 404, "No such image: b"),
            (ContainerError::Running("c".into()), 409, "cannot remove container \"c\": container is running"),
            (command(Reason::CommandNotFound), 400, "not found"),
            (command(Reason::CommandNotExecutable), 400, "not found"),
            (TooManyExecs.into(), 500, "execs"),
            (ContainerError::Stopping, 503, "stopping"),
            (ContainerError::TooLarge, 400, "1 MiB"),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!(refusal.status.as_u16(), status, "{refusal:?}");
            assert!(refusal.message.contains(text), "{refusal:?}");
        }
    }
}
