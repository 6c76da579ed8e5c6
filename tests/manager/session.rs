//! A client's end of Attach and ExecStart: what it sends, and what has come back so far.

use knarr_proto::v1;
use knarr_proto::v1::session_reply::Message as Reply;
use knarr_proto::v1::session_request::Message;
use knarr_tests::Grpc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

/// More than any test here sends before it reads.
const QUEUED_MESSAGES: usize = 64;

/// A session with a process.
pub(crate) struct Session<'a> {
    grpc: &'a Grpc,
    requests: Option<mpsc::Sender<v1::SessionRequest>>,
    replies: Streaming<v1::SessionReply>,
    pub(crate) started: v1::Started,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// An exec that is to be created and started.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) container: String,
    pub(crate) config: v1::ExecConfig,
    pub(crate) detach: bool,
    pub(crate) terminal_size: Option<v1::TerminalSize>,
}

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
pub(crate) fn command(container: &str, args: &[&str]) -> Command {
    let args = args.iter().map(|word| (*word).to_owned()).collect();
    let config = v1::ExecConfig { args, ..v1::ExecConfig::default() };
    Command { container: container.to_owned(), config, detach: false, terminal_size: None }
}

/// Joins a container that runs, or is started by that.
pub(crate) fn attach(grpc: &Grpc, open: v1::AttachOpen) -> Result<Session<'_>, Status> {
    let mut session = attach_early(grpc, open)?;
    session.expect_start()?;
    Ok(session)
}

/// Joins a container whether it runs or not; returns once it is joined.
pub(crate) fn attach_early(grpc: &Grpc, open: v1::AttachOpen) -> Result<Session<'_>, Status> {
    let mut client = grpc.containers();
    let mut session = begin(grpc, Message::Attach(open), async |requests| client.attach(requests).await)?;
    match session.next()? {
        Some(Reply::Attached(_)) => Ok(session),
        other => panic!("the first reply is {other:?}"),
    }
}

pub(crate) fn create_exec(grpc: &Grpc, command: &Command) -> Result<String, Status> {
    let request =
        v1::ExecCreateRequest { container: command.container.clone(), config: Some(command.config.clone()) };
    Ok(grpc.wait(grpc.containers().exec_create(request))?.into_inner().exec_id)
}

pub(crate) fn start_exec(grpc: &Grpc, open: v1::ExecOpen) -> Result<Session<'_>, Status> {
    let mut client = grpc.containers();
    let mut session = begin(grpc, Message::Exec(open), async |requests| client.exec_start(requests).await)?;
    session.expect_start()?;
    Ok(session)
}

/// Creates and starts an exec.
pub(crate) fn exec<'a>(grpc: &'a Grpc, command: &Command) -> Result<Session<'a>, Status> {
    let exec_id = create_exec(grpc, command)?;
    let Command { detach, terminal_size, .. } = *command;
    start_exec(grpc, v1::ExecOpen { exec_id, detach, terminal_size })
}

fn begin<'a>(
    grpc: &'a Grpc,
    open: Message,
    call: impl AsyncFnOnce(
        ReceiverStream<v1::SessionRequest>,
    ) -> Result<Response<Streaming<v1::SessionReply>>, Status>,
) -> Result<Session<'a>, Status> {
    let (requests, receiver) = mpsc::channel(QUEUED_MESSAGES);
    let open = v1::SessionRequest { message: Some(open) };
    requests.try_send(open).expect("a new channel has room");
    let replies = grpc.wait(call(ReceiverStream::new(receiver)))?.into_inner();
    let (started, requests) = (v1::Started::default(), Some(requests));
    Ok(Session { grpc, requests, replies, started, stdout: Vec::new(), stderr: Vec::new() })
}

impl Session<'_> {
    /// The next reply says that the process runs.
    #[track_caller]
    pub(crate) fn expect_start(&mut self) -> Result<(), Status> {
        match self.next()? {
            Some(Reply::Started(started)) => self.started = started,
            other => panic!("instead of `started`: {other:?}"),
        }
        Ok(())
    }

    /// The next reply; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Result<Option<Reply>, Status> {
        let reply = self.grpc.wait(self.replies.message())?;
        Ok(reply.map(|reply| reply.message.expect("a message")))
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

    fn send(&mut self, message: Message) {
        let requests = self.requests.as_ref().expect("not left yet");
        let request = v1::SessionRequest { message: Some(message) };
        self.grpc.wait(requests.send(request)).expect("knarrd takes requests");
    }

    /// Sends nothing more, but goes on listening.
    pub(crate) fn fall_silent(&mut self) {
        self.requests = None;
    }

    pub(crate) fn stdin(&mut self, data: &[u8]) {
        self.send(Message::Stdin(data.to_vec()));
    }

    pub(crate) fn close_stdin(&mut self) {
        self.send(Message::CloseStdin(v1::CloseStdin {}));
    }

    pub(crate) fn resize(&mut self, rows: u32, columns: u32) {
        self.send(Message::Resize(v1::TerminalSize { rows, columns }));
    }
}
