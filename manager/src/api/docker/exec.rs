//! More processes of a container, in docker's four calls.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use http::StatusCode;
use knarr_proto::docker;
use serde_json::json;

use super::body::Json;
use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::{Name, Query};
use super::{answers, lifecycle, streams};
use crate::api::grpc::translate;
use crate::containers::{ExecStart, exec};
use crate::tasks::plan::TerminalSize;

pub(super) async fn create(State(engine): State<Arc<Engine>>, Name(name): Name, Json(body): Json) -> Answer {
    let config = docker::exec_config(&body)?;
    if config.args.is_empty() {
        return Err(Refusal::bad("No exec command specified"));
    }
    let id = exec::create(engine.containers(), &name, translate::exec_options(config))?;
    Ok(answers::json(StatusCode::CREATED, &json!({"Id": id})))
}

pub(super) async fn start(State(engine): State<Arc<Engine>>, Name(id): Name, mut request: Request) -> Answer {
    let conversation = streams::conversation(&mut request)?;
    let Json(body) = Json::from_request(request, &()).await?;
    let view = exec::inspect(engine.containers(), &id)?;
    let how = ExecStart { detach: body.flag("Detach")?, terminal_size: console_size(&body)? };
    if view.options.stdin && !how.detach && !conversation.has_input() {
        return Err(Refusal::bad("input needs a connection of its own: ask for Upgrade: tcp"));
    }
    if how.detach {
        exec::start(engine.containers(), &id, how).await?;
        return Ok(answers::empty(StatusCode::OK));
    }
    let keys = &view.options.detach_keys;
    let conversation = if view.options.tty { conversation.with_keys(keys)? } else { conversation };
    exec::check_start(engine.containers(), &id)?;
    let containers = engine.containers().clone();
    let session = async move { exec::start(&containers, &id, how).await };
    // Docker frames by what its client says of the terminal now.
    Ok(conversation.begin(&engine, body.flag("Tty")?, session))
}

pub(super) async fn inspect(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    let view = exec::inspect(engine.containers(), &id)?;
    Ok(answers::ok(&docker::exec(&translate::exec(view))))
}

pub(super) async fn resize(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    exec::resize(engine.containers(), &id, lifecycle::size(&query)?).await?;
    Ok(answers::empty(StatusCode::OK))
}

fn console_size(body: &docker::Fields) -> Result<Option<TerminalSize>, Refusal> {
    let size = docker::console_size(body)?;
    Ok(size.map(translate::size))
}
