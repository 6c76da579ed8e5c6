//! A client's end of Attach and Exec: what it sends, and what has come back so far.

use std::future::Future;

use knarr_proto::v1::{self, attach_reply, attach_request, exec_reply, exec_request};
use knarr_tests::Grpc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

/// More than any test here sends before it reads.
const QUEUED_MESSAGES: usize = 64;

/// A reply of either call.
#[derive(Debug)]
pub(crate) enum Reply {
    Started(v1::Started),
    Output(v1::Output),
    Dropped,
    Exited(v1::ExitStatus),
}

/// What knarrd sends in either call.
pub(crate) trait ReplyMessage {
    fn reply(self) -> Option<Reply>;
}

/// A session with a process.
pub(crate) struct Session<'a, Q, R> {
    grpc: &'a Grpc,
    requests: Option<mpsc::Sender<Q>>,
    replies: Streaming<R>,
    pub(crate) started: v1::Started,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

pub(crate) type Attach<'a> = Session<'a, v1::AttachRequest, v1::AttachReply>;
pub(crate) type Exec<'a> = Session<'a, v1::ExecRequest, v1::ExecReply>;

/// All streams of a container that runs.
pub(crate) fn all_of(container: &str) -> v1::AttachOpen {
    v1::AttachOpen {
        container: container.to_owned(),
        stdin: true,
        stdout: true,
        stderr: true,
        start: false,
        logs: false,
    }
}

/// One more process.
pub(crate) fn command(container: &str, args: &[&str]) -> v1::ExecOpen {
    v1::ExecOpen {
        container: container.to_owned(),
        args: args.iter().map(|word| (*word).to_owned()).collect(),
        ..v1::ExecOpen::default()
    }
}

pub(crate) fn attach(grpc: &Grpc, open: v1::AttachOpen) -> Result<Attach<'_>, Status> {
    let open = v1::AttachRequest { message: Some(attach_request::Message::Open(open)) };
    let mut client = grpc.containers();
    begin(grpc, open, async move |requests| client.attach(requests).await)
}

pub(crate) fn exec(grpc: &Grpc, open: v1::ExecOpen) -> Result<Exec<'_>, Status> {
    let open = v1::ExecRequest { message: Some(exec_request::Message::Open(open)) };
    let mut client = grpc.containers();
    begin(grpc, open, async move |requests| client.exec(requests).await)
}

fn begin<'a, Q, R, F>(
    grpc: &'a Grpc,
    open: Q,
    call: impl FnOnce(ReceiverStream<Q>) -> F,
) -> Result<Session<'a, Q, R>, Status>
where
    R: ReplyMessage,
    F: Future<Output = Result<Response<Streaming<R>>, Status>>,
{
    let (requests, receiver) = mpsc::channel(QUEUED_MESSAGES);
    requests.try_send(open).expect("a new channel has room");
    let replies = grpc.wait(call(ReceiverStream::new(receiver)))?.into_inner();
    let started = v1::Started::default();
    let mut session =
        Session { grpc, requests: Some(requests), replies, started, stdout: Vec::new(), stderr: Vec::new() };
    match session.next()? {
        Some(Reply::Started(started)) => session.started = started,
        other => panic!("the first reply is {other:?}"),
    }
    Ok(session)
}

impl<Q, R: ReplyMessage> Session<'_, Q, R> {
    /// The next reply; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Result<Option<Reply>, Status> {
        let reply = self.grpc.wait(self.replies.message())?;
        Ok(reply.map(|reply| reply.reply().expect("a message")))
    }

    /// Reads until this has come on standard output.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.stdout).contains(text) {
            match self.next().expect("a stream") {
                Some(Reply::Output(output)) => self.take(output),
                other => panic!("{other:?} before {text:?}; stdout is {:?}", self.stdout),
            }
        }
    }

    /// Reads to the end; how the process ended.
    #[track_caller]
    pub(crate) fn exit(&mut self) -> v1::ExitStatus {
        loop {
            match self.next().expect("a stream") {
                Some(Reply::Output(output)) => self.take(output),
                Some(Reply::Exited(exit)) => {
                    assert!(self.next().expect("an end").is_none(), "`exited` is the last");
                    return exit;
                }
                other => panic!("{other:?} before the end"),
            }
        }
    }

    fn take(&mut self, output: v1::Output) {
        match output.stream() {
            v1::Stream::Stdout => self.stdout.extend(output.data),
            v1::Stream::Stderr => self.stderr.extend(output.data),
            v1::Stream::Unspecified => panic!("output of no stream"),
        }
    }

    fn send(&mut self, message: Q) {
        let requests = self.requests.as_ref().expect("not left yet");
        self.grpc.wait(requests.send(message)).expect("knarrd takes requests");
    }

    /// Sends nothing more, but goes on listening.
    pub(crate) fn fall_silent(&mut self) {
        self.requests = None;
    }
}

impl Attach<'_> {
    pub(crate) fn stdin(&mut self, data: &[u8]) {
        self.send(v1::AttachRequest { message: Some(attach_request::Message::Stdin(data.to_vec())) });
    }

    pub(crate) fn close_stdin(&mut self) {
        let close = attach_request::Message::CloseStdin(v1::CloseStdin {});
        self.send(v1::AttachRequest { message: Some(close) });
    }

    pub(crate) fn resize(&mut self, rows: u32, columns: u32) {
        let resize = attach_request::Message::Resize(v1::TerminalSize { rows, columns });
        self.send(v1::AttachRequest { message: Some(resize) });
    }
}

impl Exec<'_> {
    pub(crate) fn stdin(&mut self, data: &[u8]) {
        self.send(v1::ExecRequest { message: Some(exec_request::Message::Stdin(data.to_vec())) });
    }

    pub(crate) fn close_stdin(&mut self) {
        let close = exec_request::Message::CloseStdin(v1::CloseStdin {});
        self.send(v1::ExecRequest { message: Some(close) });
    }

    pub(crate) fn resize(&mut self, rows: u32, columns: u32) {
        let resize = exec_request::Message::Resize(v1::TerminalSize { rows, columns });
        self.send(v1::ExecRequest { message: Some(resize) });
    }
}

impl ReplyMessage for v1::AttachReply {
    fn reply(self) -> Option<Reply> {
        Some(match self.message? {
            attach_reply::Message::Started(started) => Reply::Started(started),
            attach_reply::Message::Output(output) => Reply::Output(output),
            attach_reply::Message::Dropped(_) => Reply::Dropped,
            attach_reply::Message::Exited(exit) => Reply::Exited(exit),
        })
    }
}

impl ReplyMessage for v1::ExecReply {
    fn reply(self) -> Option<Reply> {
        Some(match self.message? {
            exec_reply::Message::Started(started) => Reply::Started(started),
            exec_reply::Message::Output(output) => Reply::Output(output),
            exec_reply::Message::Dropped(_) => Reply::Dropped,
            exec_reply::Message::Exited(exit) => Reply::Exited(exit),
        })
    }
}
