//! Logs: a stream to a client. One that leaves is noticed by its closed channel.

use knarr_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::containers::Replies;
use super::translate;
use crate::containers::{ContainerError, LogPiece, LogReader};

/// Messages under way to one client: enough to keep it busy, little to hold.
const UNDER_WAY: usize = 16;

pub(super) fn logs(reader: LogReader) -> Replies<v1::ContainerLogsReply> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    tokio::spawn(async move {
        let sent = tokio::select! {
            sent = send_logs(reader, &sender) => sent,
            () = sender.closed() => return,
        };
        if let Err(error) = sent {
            drop(sender.send(Err(error.into())).await);
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

async fn send_logs(
    mut reader: LogReader,
    sender: &mpsc::Sender<Result<v1::ContainerLogsReply, Status>>,
) -> Result<(), ContainerError> {
    while let Some((pieces, rest)) = reader.next().await? {
        reader = rest;
        for LogPiece { stream, time, data } in pieces {
            let reply = v1::ContainerLogsReply {
                stream: translate::stream(stream).into(),
                time: time.parse().ok(),
                data,
            };
            if sender.send(Ok(reply)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
