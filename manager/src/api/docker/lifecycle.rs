//! Verbs that move a container through its life, and waiting for its end.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};
use tonic::codegen::Bytes;

use super::answers;
use super::body::Nothing;
use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::{Name, Query};
use crate::containers::{self, ContainerError, WaitCondition};
use crate::error::Chain;
use crate::tasks::plan::TerminalSize;

pub(super) async fn start(State(engine): State<Arc<Engine>>, Name(name): Name, _: Nothing) -> Answer {
    let started = containers::start(engine.containers(), &name).await?;
    Ok(answers::done(started.is_already()))
}

pub(super) async fn stop(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let (seconds, signal) = (patience(&query)?, query.text("signal"));
    let stopped = containers::stop(engine.containers(), &name, seconds, signal).await?;
    Ok(answers::done(stopped.is_already()))
}

pub(super) async fn restart(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let (seconds, signal) = (patience(&query)?, query.text("signal"));
    containers::restart(engine.containers(), &name, seconds, signal).await?;
    Ok(answers::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn kill(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    containers::kill(engine.containers(), &name, query.text("signal")).await?;
    Ok(answers::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn pause(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    containers::pause(engine.containers(), &name).await?;
    Ok(answers::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn unpause(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    containers::unpause(engine.containers(), &name).await?;
    Ok(answers::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn rename(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    containers::rename(engine.containers(), &name, query.text("name")).await?;
    Ok(answers::empty(StatusCode::NO_CONTENT))
}

/// The processes, as ps(1) has them with docker's arguments.
pub(super) async fn top(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let arguments: Vec<String> = query.text("ps_args").split_whitespace().map(str::to_owned).collect();
    let found = containers::top(engine.containers(), &name, &arguments).await?;
    Ok(answers::ok(&json!({"Titles": found.titles, "Processes": found.rows})))
}

pub(super) async fn resize(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    containers::resize(engine.containers(), &name, size(&query)?).await?;
    Ok(answers::empty(StatusCode::OK))
}

/// The headers come at once: from then on an end is not missed, and so docker's CLI starts the container only then.
pub(super) async fn wait(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let condition = match query.text("condition") {
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(Refusal::bad(format!("invalid condition: {other:?}"))),
    };
    let waiter = containers::wait(engine.containers(), &name, condition)?;
    Ok(answers::stream(&engine, answers::JSON, async move |pieces| {
        let object = match waiter.exit().await {
            // That it is gone is no error, whatever it ended with.
            Ok(exit) if condition == WaitCondition::Removed => {
                json!({"StatusCode": exit.code, "Error": null})
            }
            Ok(exit) => json!({"StatusCode": exit.code, "Error": reason(&exit.error)}),
            // knarrd ends, and the container goes on: a code would be a lie.
            Err(ContainerError::Stopping) => return,
            Err(error) => json!({"StatusCode": -1, "Error": reason(&Chain(&error).to_string())}),
        };
        answers::send(&pieces, Bytes::from(format!("{object}\n"))).await;
    }))
}

fn reason(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!({"Message": text}) }
}

/// Seconds before SIGKILL; docker's -1 is for ever.
fn patience(query: &Query) -> Result<Option<u32>, Refusal> {
    let Some(seconds) = query.number("t")? else { return Ok(None) };
    Ok(Some(u32::try_from(seconds).unwrap_or(u32::MAX)))
}

/// The size of a terminal that a request names.
pub(super) fn size(query: &Query) -> Result<TerminalSize, Refusal> {
    let side = |name| {
        let number = query.number(name)?.and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| Refusal::bad(format!("invalid resize {name}: it must be a whole number")))
    };
    Ok(TerminalSize { rows: side("h")?, columns: side("w")? })
}
