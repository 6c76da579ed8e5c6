//! Networks: made, listed, looked at, removed; containers connected and disconnected.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use knarr_proto::docker;
use serde_json::{Value, json};

use super::answers;
use super::body::Json;
use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::{Name, Query};
use crate::api::grpc::{networking, networks as messages};
use crate::containers;
use crate::filters::{FilterKeys, Filters, Values};
use crate::networks::FILTER_KEYS;

/// What can be pruned is filtered by labels.
const PRUNE_KEYS: FilterKeys = FilterKeys { things: "pruned networks", keys: &[("label", Values::Any)] };

pub(super) async fn create(State(engine): State<Arc<Engine>>, Json(body): Json) -> Answer {
    let request = messages::create_request(docker::create_network(&body)?);
    let network = engine.system.networks.create(request).await?;
    Ok(answers::json(StatusCode::CREATED, &json!({"Id": network.id, "Warning": ""})))
}

pub(super) async fn list(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let filters = query.filters(&FILTER_KEYS)?;
    let listed = engine.system.networks.list(filters).await?;
    let shown = listed.into_iter().map(|listed| {
        let message = messages::message(engine.containers(), listed);
        docker::network(&message, true)
    });
    Ok(answers::ok(&Value::from_iter(shown)))
}

pub(super) async fn inspect(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    let listed = engine.system.networks.inspect(&name).await?;
    let message = messages::message(engine.containers(), listed);
    Ok(answers::ok(&docker::network(&message, false)))
}

pub(super) async fn remove(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    engine.system.networks.remove(&name).await?;
    Ok(answers::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn prune(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let filters: Filters = query.filters(&PRUNE_KEYS)?;
    let deleted = engine.system.networks.prune(filters).await?;
    let deleted = if deleted.is_empty() { Value::Null } else { json!(deleted) };
    Ok(answers::ok(&json!({"NetworksDeleted": deleted})))
}

pub(super) async fn connect(State(engine): State<Arc<Engine>>, Name(name): Name, Json(body): Json) -> Answer {
    let mut endpoint = docker::endpoint(&body.object("EndpointConfig")?)?;
    endpoint.network = name;
    let container = container(body.text("Container")?)?;
    containers::connect(engine.containers(), &container, networking::endpoint(endpoint)).await?;
    Ok(answers::empty(StatusCode::OK))
}

pub(super) async fn disconnect(
    State(engine): State<Arc<Engine>>,
    Name(name): Name,
    Json(body): Json,
) -> Answer {
    let container = container(body.text("Container")?)?;
    containers::disconnect(engine.containers(), &container, &name).await?;
    Ok(answers::empty(StatusCode::OK))
}

fn container(name: String) -> Result<String, Refusal> {
    match name.is_empty() {
        true => Err(Refusal::bad("no container is named: Container is empty")),
        false => Ok(name),
    }
}
