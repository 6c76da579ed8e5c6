//! A process's streams on the connection of the client that asks for them: the client says `Upgrade`, is told 101, and then
//! both sides only send what the process reads and writes. One that does not say it gets the output as an answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use knarr_proto::detach::{DetachKeys, InvalidKeys, Watched, Watcher};
use knarr_proto::frame::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf};
use tokio::sync::{mpsc, oneshot};
use tonic::codegen::Bytes;

use super::answers::{self, Pieces};
use super::engine::Engine;
use super::failures::Refusal;
use super::frames::Framing;
use super::place::Place;
use super::versions::Version;
use crate::containers::{ContainerError, Input, InputSink, LogPiece, LogReader, Session};
use crate::error::Chain;
use crate::tasks::streams::Piece;

/// What is read of a client's input at a time.
const INPUT_BYTES: usize = 32 * 1024;

/// How a client wants to talk to a process, as its request says.
pub(super) struct Conversation {
    upgrade: Option<OnUpgrade>,
    place: Place,
    version: Version,
    keys: DetachKeys,
}

/// What is left of a request when its way to talk is taken out.
pub(super) fn conversation(request: &mut Request) -> Result<Conversation, Refusal> {
    let is_asked = request.headers().contains_key(UPGRADE);
    let extensions = request.extensions_mut();
    let upgrade = extensions.remove::<OnUpgrade>().filter(|_| is_asked);
    match (extensions.get::<Place>().cloned(), extensions.get::<Version>().copied()) {
        (Some(place), Some(version)) => {
            Ok(Conversation { upgrade, place, version, keys: DetachKeys::none() })
        }
        _ => Err(Refusal::page_not_found()),
    }
}

impl Conversation {
    /// Whether input can be sent.
    pub(super) fn has_input(&self) -> bool {
        self.upgrade.is_some()
    }

    /// The keys by which a person leaves a terminal; an empty text is docker's own.
    pub(super) fn with_keys(self, text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self { keys: DetachKeys::default(), ..self });
        }
        let invalid = |invalid: InvalidKeys| Refusal::bad(format!("invalid detach keys: {invalid}"));
        Ok(Self { keys: text.parse().map_err(invalid)?, ..self })
    }

    /// Lets the client talk to the process; the answer is its headers. `session` is only waited for when the client has
    /// them, as docker starts a process then. Output is framed where `tty` is not set.
    pub(super) fn begin(
        self,
        engine: &Arc<Engine>,
        tty: bool,
        session: impl Future<Output = Result<Session, ContainerError>> + Send + 'static,
    ) -> Response {
        let framing = Framing::of(tty);
        self.answer(engine, framing, async move |pieces, input| {
            send_output(session, framing, &pieces, input).await;
        })
    }

    /// Sends what was recorded, and that is all.
    pub(super) fn past(self, engine: &Arc<Engine>, tty: bool, reader: Option<LogReader>) -> Response {
        let framing = Framing::of(tty);
        self.answer(engine, framing, async move |pieces, _input| {
            if let Err(error) = send_past(reader, framing, &pieces).await {
                let sentence = format!("Error grabbing logs: {}", Chain(&error));
                answers::send(&pieces, framing.error(&sentence)).await;
            }
        })
    }

    /// The headers; `sending` begins when the client has them.
    fn answer<S>(
        self,
        engine: &Arc<Engine>,
        framing: Framing,
        sending: impl FnOnce(Pieces, oneshot::Sender<InputSink>) -> S,
    ) -> Response
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let content_type = framing.content_type(self.version);
        let (sink, input) = oneshot::channel();
        let Some(upgrade) = self.upgrade else {
            let raw = Framing::Raw.content_type(self.version);
            return answers::stream(engine, raw, |pieces| sending(pieces, sink));
        };
        let (pieces, sent) = mpsc::channel(1);
        let sending = sending(pieces, sink);
        let place = self.place;
        engine.work.spawn(async move {
            // The client may go before it has read the headers.
            let Ok(upgraded) = upgrade.await else { return };
            // One that reads the headers with more than them in reach would lose that.
            place.hang_up.has_read().await;
            tokio::select! {
                () = talk(upgraded, sending, sent, (input, Watcher::new(self.keys))) => {}
                () = place.hang_up.wait() => {}
            }
        });
        let headers = [
            (CONTENT_TYPE, content_type),
            (CONNECTION, HeaderValue::from_static("Upgrade")),
            (UPGRADE, HeaderValue::from_static("tcp")),
        ];
        let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response();
        response.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
        response
    }
}

/// Output one way until the process has ended or the person has left, input the other until the client has no more.
async fn talk(
    upgraded: Upgraded,
    sending: impl Future<Output = ()>,
    mut sent: mpsc::Receiver<Bytes>,
    (input, keys): (oneshot::Receiver<InputSink>, Watcher),
) {
    let (reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
    let writing = async {
        while let Some(piece) = sent.recv().await {
            // A client that does not read any more may still send.
            if writer.write_all(&piece).await.is_err() {
                return;
            }
        }
        // That the client has gone already is no error.
        drop(writer.shutdown().await);
    };
    let incoming = async {
        if let Ok(sink) = input.await
            && receive(reader, sink, keys).await == Received::Detach
        {
            return;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(sending, writing) } => {}
        () = incoming => {}
    }
}

/// Sends what a process writes until its end, or why it does not run, as docker does: in the place of its output.
async fn send_output(
    session: impl Future<Output = Result<Session, ContainerError>>,
    framing: Framing,
    pieces: &Pieces,
    input: oneshot::Sender<InputSink>,
) {
    let session = match session.await {
        Ok(session) => session,
        Err(error) => {
            let sentence = format!("{}\r\n", Refusal::from(error).message());
            return answers::send(pieces, framing.output(Stream::Stdout, sentence.into_bytes())).await;
        }
    };
    if let Err(error) = pass_output(session, framing, pieces, input).await {
        let sentence = framing.error(&Chain(&error).to_string());
        answers::send(pieces, sentence).await;
    }
}

async fn pass_output(
    session: Session,
    framing: Framing,
    pieces: &Pieces,
    input: oneshot::Sender<InputSink>,
) -> Result<(), ContainerError> {
    let Session { past, mut output, input: sink, ending, .. } = session;
    // The client may have gone; then this is dropped as well.
    drop(input.send(sink));
    send_past(past, framing, pieces).await?;
    while let Some(piece) = output.next().await? {
        match piece {
            Piece::Output { stream, data } => answers::send(pieces, framing.output(stream, data)).await,
            // Docker has no word for it, and the container's log has it all.
            Piece::Dropped { bytes } => {
                tracing::debug!(bytes, "a client was too slow for a process's output");
            }
        }
    }
    // Only now does the client ask how it ended.
    ending.exit().await.map(drop)
}

/// What was recorded before the client came.
pub(super) async fn send_past(
    past: Option<LogReader>,
    framing: Framing,
    pieces: &Pieces,
) -> Result<(), ContainerError> {
    let Some(mut reader) = past else { return Ok(()) };
    while let Some((read, rest)) = reader.next().await? {
        reader = rest;
        for LogPiece { stream, data, .. } in read {
            answers::send(pieces, framing.output(stream, data)).await;
        }
    }
    Ok(())
}

/// How a client's input has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    /// There is no more of it.
    End,
    /// The person has typed the keys.
    Detach,
}

/// Passes on what the client sends, and that it sends nothing more.
async fn receive(
    mut reader: ReadHalf<TokioIo<Upgraded>>,
    mut sink: InputSink,
    mut keys: Watcher,
) -> Received {
    let mut buffer = vec![0; INPUT_BYTES];
    loop {
        let Ok(length @ 1..) = reader.read(&mut buffer).await else {
            sink.apply(Input::Stdin(keys.finish())).await;
            sink.apply(Input::CloseStdin).await;
            return Received::End;
        };
        let Watched { input, detach } = keys.watch(&buffer[..length]);
        sink.apply(Input::Stdin(input)).await;
        if detach {
            sink.apply(Input::Detach).await;
            return Received::Detach;
        }
    }
}
