//! Joining the streams of a container.

use std::sync::Arc;

use axum::extract::{Request, State};

use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::frames::Framing;
use super::query::{Name, Query};
use super::{answers, streams};
use crate::containers::{self, AttachOptions, LogOptions};

/// Joins a container, running or not: it is joined at its next start then.
pub(super) async fn attach(
    State(engine): State<Arc<Engine>>,
    Name(name): Name,
    query: Query,
    mut request: Request,
) -> Answer {
    let conversation = streams::conversation(&mut request)?.with_keys(query.text("detachKeys"))?;
    let tty = containers::inspect(engine.containers(), &name)?.spec.streams.tty;
    let (stdout, stderr) = (query.is_set("stdout"), query.is_set("stderr"));
    if !query.is_set("stream") {
        return past(&engine, &name, &query, tty);
    }
    if query.is_set("stdin") && !conversation.has_input() {
        return Err(Refusal::bad("input needs a connection of its own: ask for Upgrade: tcp"));
    }
    let options = AttachOptions {
        stdin: query.is_set("stdin"),
        stdout,
        stderr,
        start: false,
        logs: query.is_set("logs"),
    };
    let attachment = containers::attach(engine.containers(), &name, options).await?;
    Ok(conversation.begin(&engine, tty, attachment.session()))
}

/// Only what was recorded, when that was asked for.
fn past(engine: &Arc<Engine>, name: &str, query: &Query, tty: bool) -> Answer {
    let (stdout, stderr) = (query.is_set("stdout"), query.is_set("stderr"));
    let framing = Framing::of(tty);
    let is_asked = query.is_set("logs") && (stdout || stderr);
    let options = LogOptions { stdout, stderr, ..LogOptions::default() };
    let reader = is_asked.then(|| containers::logs(engine.containers(), name, &options)).transpose()?;
    let content_type = Framing::Raw.content_type(super::versions::NEWEST);
    Ok(answers::stream(engine, content_type, async move |pieces| {
        if let Err(error) = streams::send_past(reader, framing, &pieces).await {
            answers::send(&pieces, framing.error(&format!("Error grabbing logs: {error}"))).await;
        }
    }))
}
