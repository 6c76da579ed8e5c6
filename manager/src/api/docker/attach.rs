//! Joining the streams of a container.

use std::sync::Arc;

use axum::extract::{Request, State};

use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::{Name, Query};
use super::streams;
use crate::containers::{self, AttachOptions, LogOptions};

/// Joins a container, running or not: it is joined at its next start then.
pub(super) async fn attach(
    State(engine): State<Arc<Engine>>,
    Name(name): Name,
    query: Query,
    mut request: Request,
) -> Answer {
    let conversation = streams::conversation(&mut request)?;
    let tty = containers::inspect(engine.containers(), &name)?.spec.streams.tty;
    let keys = query.text("detachKeys");
    let conversation = if tty { conversation.with_keys(keys)? } else { conversation };
    let (stdout, stderr) = (query.is_set("stdout"), query.is_set("stderr"));
    let logs = query.is_set("logs");
    if !query.is_set("stream") {
        let is_asked = logs && (stdout || stderr);
        let options = LogOptions { stdout, stderr, ..LogOptions::default() };
        let reader = is_asked.then(|| containers::logs(engine.containers(), &name, &options)).transpose()?;
        return Ok(conversation.past(&engine, tty, reader));
    }
    if query.is_set("stdin") && !conversation.has_input() {
        return Err(Refusal::bad("input needs a connection of its own: ask for Upgrade: tcp"));
    }
    let options = AttachOptions { stdin: query.is_set("stdin"), stdout, stderr, start: false, logs };
    let attachment = containers::attach(engine.containers(), &name, options).await?;
    Ok(conversation.begin(&engine, tty, attachment.session()))
}
