//! Logs, attach and exec: streams between a client and a process. A client that leaves is noticed by its closed
//! channel; what it left goes on.

use knarr_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::containers::Replies;
use super::{calls, translate};
use crate::containers::{
    AttachOptions, ContainerError, Containers, ExecOptions, Input, InputSink, LogPiece, LogReader, Piece,
    Session,
};

/// Messages under way to one client: enough to keep it busy, little to hold. Beyond it, the shim drops for it.
const UNDER_WAY: usize = 16;

/// What a stream of either kind tells its client.
enum Told {
    Started { pid: u32, exec_id: String },
    Piece(Piece),
    Exited(v1::ExitStatus),
}

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

/// A stream's first message, which has to come soon: without it the call is nothing but a place that is taken.
pub(super) async fn first<T>(requests: &mut Streaming<T>) -> Result<Option<T>, Status> {
    tokio::time::timeout(calls::ARRIVAL_LIMIT, requests.message()).await.map_err(|_| calls::late())?
}

pub(super) async fn attach(
    containers: &Containers,
    mut requests: Streaming<v1::AttachRequest>,
) -> Result<Replies<v1::AttachReply>, Status> {
    let Some(v1::attach_request::Message::Open(open)) =
        first(&mut requests).await?.and_then(|first| first.message)
    else {
        return Err(Status::invalid_argument("the first message must be `open`"));
    };
    let options = AttachOptions {
        stdin: open.stdin,
        stdout: open.stdout,
        stderr: open.stderr,
        start: open.start,
        logs: open.logs,
    };
    let session = containers.attach(&open.container, options).await?;
    let input = requests.map(|request| Ok(input_of_attach(request?)));
    let told = run(session, false, Box::pin(input));
    Ok(Box::pin(told.map(|told| told.map(|told| v1::AttachReply { message: Some(attach_reply(told)) }))))
}

pub(super) async fn exec(
    containers: &Containers,
    mut requests: Streaming<v1::ExecRequest>,
) -> Result<Replies<v1::ExecReply>, Status> {
    let Some(v1::exec_request::Message::Open(open)) =
        first(&mut requests).await?.and_then(|first| first.message)
    else {
        return Err(Status::invalid_argument("the first message must be `open`"));
    };
    let options = ExecOptions {
        args: open.args,
        env: open.env,
        working_dir: open.working_dir,
        user: open.user,
        tty: open.tty,
        stdin: open.stdin,
        privileged: open.privileged,
        detach: open.detach,
        terminal_size: open.terminal_size.map(translate::size),
    };
    let session = containers.exec(&open.container, options).await?;
    let input = requests.map(|request| Ok(input_of_exec(request?)));
    let told = run(session, open.detach, Box::pin(input));
    Ok(Box::pin(told.map(|told| told.map(|told| v1::ExecReply { message: Some(exec_reply(told)) }))))
}

type Inputs = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<Option<Input>, Status>> + Send>>;

fn run(session: Session, detach: bool, inputs: Inputs) -> ReceiverStream<Result<Told, Status>> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    tokio::spawn(async move {
        let Session { pid, exec_id, past, output, input, ending } = session;
        let talk = async {
            send(&sender, Told::Started { pid, exec_id }).await;
            if detach {
                return Ok(());
            }
            let outgoing = async {
                send_past(past, &sender).await?;
                let mut output = output;
                while let Some(piece) = output.next().await? {
                    send(&sender, Told::Piece(piece)).await;
                }
                send(&sender, Told::Exited(translate::exit(ending.exit().await?))).await;
                Ok::<(), ContainerError>(())
            };
            tokio::select! {
                done = outgoing => done,
                never = receive(inputs, input) => never,
            }
        };
        let talked = tokio::select! {
            talked = talk => talked,
            () = sender.closed() => return,
        };
        if let Err(error) = talked {
            // A client that has left does not want to know.
            drop(sender.send(Err(error.into())).await);
        }
    });
    ReceiverStream::new(receiver)
}

async fn send_past(
    past: Option<LogReader>,
    sender: &mpsc::Sender<Result<Told, Status>>,
) -> Result<(), ContainerError> {
    let Some(mut reader) = past else { return Ok(()) };
    while let Some((pieces, rest)) = reader.next().await? {
        reader = rest;
        for LogPiece { stream, data, .. } in pieces {
            send(sender, Told::Piece(Piece::Output { stream, data })).await;
        }
    }
    Ok(())
}

/// Passes on what the client sends. When it sends nothing more it may still listen; when it is gone, it detaches.
async fn receive(mut inputs: Inputs, mut sink: InputSink) -> Result<(), ContainerError> {
    while let Some(input) = inputs.next().await {
        match input {
            Ok(Some(input)) => sink.apply(input).await?,
            Ok(None) => {}
            Err(_) => return Ok(()),
        }
    }
    std::future::pending().await
}

/// A closed channel is seen by `run`, which ends then.
async fn send(sender: &mpsc::Sender<Result<Told, Status>>, told: Told) {
    drop(sender.send(Ok(told)).await);
}

fn input_of_attach(request: v1::AttachRequest) -> Option<Input> {
    use v1::attach_request::Message as M;
    match request.message? {
        M::Open(_) => None,
        M::Stdin(data) => Some(Input::Stdin(data)),
        M::CloseStdin(_) => Some(Input::CloseStdin),
        M::Resize(size) => Some(Input::Resize(translate::size(size))),
    }
}

fn input_of_exec(request: v1::ExecRequest) -> Option<Input> {
    use v1::exec_request::Message as M;
    match request.message? {
        M::Open(_) => None,
        M::Stdin(data) => Some(Input::Stdin(data)),
        M::CloseStdin(_) => Some(Input::CloseStdin),
        M::Resize(size) => Some(Input::Resize(translate::size(size))),
    }
}

fn attach_reply(told: Told) -> v1::attach_reply::Message {
    use v1::attach_reply::Message as M;
    match told {
        Told::Started { pid, exec_id } => M::Started(v1::Started { pid, exec_id }),
        Told::Piece(Piece::Output { stream, data }) => {
            M::Output(v1::Output { stream: translate::stream(stream).into(), data })
        }
        Told::Piece(Piece::Dropped { bytes }) => M::Dropped(v1::Dropped { bytes }),
        Told::Exited(exit) => M::Exited(exit),
    }
}

fn exec_reply(told: Told) -> v1::exec_reply::Message {
    use v1::exec_reply::Message as M;
    match told {
        Told::Started { pid, exec_id } => M::Started(v1::Started { pid, exec_id }),
        Told::Piece(Piece::Output { stream, data }) => {
            M::Output(v1::Output { stream: translate::stream(stream).into(), data })
        }
        Told::Piece(Piece::Dropped { bytes }) => M::Dropped(v1::Dropped { bytes }),
        Told::Exited(exit) => M::Exited(exit),
    }
}
