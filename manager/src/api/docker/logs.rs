//! A container's recorded output.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use tonic::codegen::Bytes;

use super::answers;
use super::answers::Pieces;
use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::frames::Framing;
use super::query::{Name, Query};
use super::times;
use super::versions::Version;
use crate::api::grpc::translate;
use crate::containers::{self, ContainerError, LogOptions, LogPiece, LogReader};
use crate::error::Chain;

pub(super) async fn logs(
    State(engine): State<Arc<Engine>>,
    Extension(version): Extension<Version>,
    Name(name): Name,
    query: Query,
) -> Answer {
    let (stdout, stderr) = (query.is_set("stdout"), query.is_set("stderr"));
    if !stdout && !stderr {
        return Err(Refusal::bad("Bad parameters: must specify at least one of 'stdout' or 'stderr'"));
    }
    let time = |name| Ok::<_, Refusal>(times::parse(name, query.text(name))?.map(translate::record_time));
    let options = LogOptions {
        follow: query.is_set("follow"),
        stdout,
        stderr,
        since: time("since")?,
        until: time("until")?,
        tail: tail(&query),
    };
    let view = containers::inspect(engine.containers(), &name)?;
    let framing = Framing::of(view.spec.streams.tty);
    let reader = containers::logs(engine.containers(), &name, &options)?;
    let format = Format { framing, has_times: query.is_set("timestamps") };
    Ok(answers::stream(&engine, framing.content_type(version), async move |pieces| {
        if let Err(error) = send(reader, &format, &pieces).await {
            let sentence = format!("Error grabbing logs: {}", Chain(&error));
            answers::send(&pieces, framing.error(&sentence)).await;
        }
    }))
}

/// How lines are shown.
struct Format {
    framing: Framing,
    has_times: bool,
}

async fn send(mut reader: LogReader, format: &Format, pieces: &Pieces) -> Result<(), ContainerError> {
    // Of stdout and stderr: whether what comes next begins a line.
    let mut begins = [true, true];
    while let Some((read, rest)) = reader.next().await? {
        reader = rest;
        for LogPiece { stream, time, data } in read {
            let begins = &mut begins[usize::from(stream == knarr_proto::frame::Stream::Stderr)];
            let mut line = Vec::with_capacity(data.len() + 40);
            if *begins && format.has_times {
                line.extend_from_slice(time.as_bytes());
                line.push(b' ');
            }
            *begins = data.ends_with(b"\n");
            line.extend_from_slice(&data);
            let piece: Bytes = format.framing.output(stream, line);
            answers::send(pieces, piece).await;
        }
    }
    Ok(())
}

/// `all`, and what is no number, is everything.
fn tail(query: &Query) -> Option<u64> {
    query.text("tail").parse().ok()
}
