//! Answers as docker writes them: JSON with a newline, nothing at all, or pieces as they come.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Bytes;

use super::engine::Engine;

/// Pieces under way to one client: enough to keep it busy, little to hold.
const UNDER_WAY: usize = 16;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");

/// Where the pieces of an answer go.
pub(super) type Pieces = mpsc::Sender<Bytes>;

/// An object, with the newline that Go's encoder writes.
pub(super) fn json(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, JSON)], format!("{value}\n")).into_response()
}

/// An object, and that all is well.
pub(super) fn ok(value: &Value) -> Response {
    json(StatusCode::OK, value)
}

/// A status without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    status.into_response()
}

/// 204 when something was done, 304 when it was so already.
pub(super) fn done(is_already: bool) -> Response {
    empty(if is_already { StatusCode::NOT_MODIFIED } else { StatusCode::NO_CONTENT })
}

/// Headers at once, then what `conversation` sends, until it has ended or the client has left.
pub(super) fn stream<C>(
    engine: &Engine,
    content_type: HeaderValue,
    conversation: impl FnOnce(Pieces) -> C,
) -> Response
where
    C: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let conversation = conversation(sender.clone());
    engine.work.spawn(async move {
        tokio::select! {
            () = conversation => {}
            () = sender.closed() => {}
        }
    });
    let pieces = ReceiverStream::new(receiver).map(Ok::<_, std::convert::Infallible>);
    ([(CONTENT_TYPE, content_type)], Body::from_stream(pieces)).into_response()
}

/// Sends a piece. A client that has left ends the whole conversation, not this.
pub(super) async fn send(pieces: &Pieces, piece: Bytes) {
    drop(pieces.send(piece).await);
}

/// An object of a stream of progress: Go's encoder for those escapes what HTML would read, and each ends in `\r\n`.
pub(super) fn progress_line(value: &Value) -> Bytes {
    let text = value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    Bytes::from(text + "\r\n")
}
