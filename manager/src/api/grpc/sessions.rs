//! A process's streams and a client, for Attach and ExecStart. The process goes on when the client leaves.

use std::pin::Pin;

use knarr_proto::v1;
use knarr_proto::v1::session_reply::Message as Reply;
use knarr_proto::v1::session_request::Message;
use tokio_stream::{Stream, StreamExt};
use tonic::{Status, Streaming};

use super::replies::{self, Replies};
use super::{calls, translate};
use crate::containers::{
    self, AttachOptions, ContainerError, Containers, ExecStart, Input, InputSink, LogPiece, LogReader,
    Session,
};
use crate::tasks::streams::Piece;

/// Where replies go; when too many are under way, the shim drops output for the client.
type Sender = replies::Sender<v1::SessionReply>;
type Inputs = Pin<Box<dyn Stream<Item = Result<Option<Input>, Status>> + Send>>;

/// A stream's first message, which has to come soon: without it the call only takes a place.
pub(super) async fn first<T>(requests: &mut Streaming<T>) -> Result<Option<T>, Status> {
    tokio::time::timeout(calls::ARRIVAL_LIMIT, requests.message()).await.map_err(|_| calls::late())?
}

pub(super) async fn attach(
    containers: &Containers,
    mut requests: Streaming<v1::SessionRequest>,
) -> Result<Replies<v1::SessionReply>, Status> {
    let Some(Message::Attach(open)) = first(&mut requests).await?.and_then(|first| first.message) else {
        return Err(Status::invalid_argument("the first message must be `attach`"));
    };
    let options = AttachOptions {
        stdin: open.stdin,
        stdout: open.stdout,
        stderr: open.stderr,
        start: open.start,
        logs: open.logs,
    };
    let attachment = containers::attach(containers, &open.container, options).await?;
    let inputs = inputs(requests);
    Ok(replies::replies(async move |client| {
        send(&client, Reply::Attached(v1::Attached {})).await;
        talk(attachment.session().await?, inputs, &client).await
    }))
}

pub(super) async fn exec(
    containers: &Containers,
    mut requests: Streaming<v1::SessionRequest>,
) -> Result<Replies<v1::SessionReply>, Status> {
    let Some(Message::Exec(open)) = first(&mut requests).await?.and_then(|first| first.message) else {
        return Err(Status::invalid_argument("the first message must be `exec`"));
    };
    let how = ExecStart { detach: open.detach, terminal_size: open.terminal_size.map(translate::size) };
    let session = containers::exec::start(containers, &open.exec_id, how).await?;
    let inputs = inputs(requests);
    Ok(replies::replies(async move |client| {
        if how.detach {
            send(&client, started(&session)).await;
            return Ok(());
        }
        talk(session, inputs, &client).await
    }))
}

async fn talk(session: Session, inputs: Inputs, sender: &Sender) -> Result<(), ContainerError> {
    if session.pid != 0 {
        send(sender, started(&session)).await;
    }
    let Session { past, mut output, input, ending, .. } = session;
    let outgoing = async {
        send_past(past, sender).await?;
        while let Some(piece) = output.next().await? {
            send(sender, reply(piece)).await;
        }
        send(sender, Reply::Exited(translate::exit(ending.exit().await?))).await;
        Ok(())
    };
    tokio::select! {
        done = outgoing => done,
        () = receive(inputs, input) => Ok(()),
    }
}

async fn send_past(past: Option<LogReader>, sender: &Sender) -> Result<(), ContainerError> {
    let Some(mut reader) = past else { return Ok(()) };
    while let Some((pieces, rest)) = reader.next().await? {
        reader = rest;
        for LogPiece { stream, data, .. } in pieces {
            send(sender, reply(Piece::Output { stream, data })).await;
        }
    }
    Ok(())
}

/// Passes on what the client sends. A client that sends nothing more may still listen; one that is gone detaches.
async fn receive(mut inputs: Inputs, mut sink: InputSink) {
    while let Some(input) = inputs.next().await {
        match input {
            Ok(Some(input)) => sink.apply(input).await,
            Ok(None) => {}
            Err(_) => return,
        }
    }
    std::future::pending::<()>().await;
}

/// A closed channel is seen by [`replies::replies`], which ends then.
async fn send(sender: &Sender, message: Reply) {
    drop(sender.send(Ok(v1::SessionReply { message: Some(message) })).await);
}

fn inputs(requests: Streaming<v1::SessionRequest>) -> Inputs {
    Box::pin(requests.map(|request| Ok(input(request?))))
}

fn input(request: v1::SessionRequest) -> Option<Input> {
    match request.message? {
        Message::Attach(_) | Message::Exec(_) => None,
        Message::Stdin(data) => Some(Input::Stdin(data)),
        Message::CloseStdin(_) => Some(Input::CloseStdin),
        Message::Resize(size) => Some(Input::Resize(translate::size(size))),
    }
}

fn started(session: &Session) -> Reply {
    Reply::Started(v1::Started { pid: session.pid })
}

fn reply(piece: Piece) -> Reply {
    match piece {
        Piece::Output { stream, data } => {
            Reply::Output(v1::Output { stream: translate::stream(stream).into(), data })
        }
        Piece::Dropped { bytes } => Reply::Dropped(v1::Dropped { bytes }),
    }
}
