//! Replies that come one after the other for as long as the client listens. One that leaves is noticed by its closed
//! channel, and what it asked for is given up.

use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Messages under way to one client: enough to keep it busy, little to hold.
pub(super) const UNDER_WAY: usize = 16;

/// A stream of replies.
pub(super) type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Where replies go.
pub(super) type Sender<T> = mpsc::Sender<Result<T, Status>>;

/// What `conversation` sends, until it has ended or the client has left; its error is the last reply.
pub(super) fn replies<T, E, C>(conversation: impl FnOnce(Sender<T>) -> C) -> Replies<T>
where
    T: Send + 'static,
    E: Into<Status> + Send,
    C: Future<Output = Result<(), E>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let conversation = conversation(sender.clone());
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = conversation => ended,
            () = sender.closed() => return,
        };
        if let Err(error) = ended {
            // A client that has left does not want to know.
            drop(sender.send(Err(error.into())).await);
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}
