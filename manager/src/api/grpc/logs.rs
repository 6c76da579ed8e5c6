//! Logs: a stream to a client.

use knarr_proto::v1;

use super::replies::{Replies, Sender, replies};
use super::translate;
use crate::containers::{ContainerError, LogPiece, LogReader};

pub(super) fn logs(reader: LogReader) -> Replies<v1::ContainerLogsReply> {
    replies(|sender| send_logs(reader, sender))
}

async fn send_logs(
    mut reader: LogReader,
    sender: Sender<v1::ContainerLogsReply>,
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
