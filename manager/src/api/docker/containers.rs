//! Containers: made, listed, looked at, removed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use http::StatusCode;
use knarr_proto::docker;
use knarr_proto::v1;
use serde_json::{Value, json};

use super::answers;
use super::body::Json;
use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::{Name, Query};
use crate::api::grpc::translate;
use crate::containers::{self, FILTER_KEYS, PRUNE_KEYS, Removal, View, exec};
use crate::filters::Filters;
use crate::held::OwnerId;
use crate::networks::Presence;

pub(super) async fn create(State(engine): State<Arc<Engine>>, query: Query, Json(body): Json) -> Answer {
    let docker::CreateBody { mut request, mut warnings } = docker::create(&body)?;
    let name = query.text("name");
    request.name = name.strip_prefix('/').unwrap_or(name).to_owned();
    request.platform = query.text("platform").to_owned();
    if request.config.as_ref().is_none_or(|config| config.image.is_empty()) {
        return Err(Refusal::bad("no image is named: Image is empty"));
    }
    let created = containers::create(engine.containers(), translate::create_request(request)?).await?;
    warnings.extend(created.warnings);
    let answer = json!({"Id": created.id.to_string(), "Warnings": warnings});
    Ok(answers::json(StatusCode::CREATED, &answer))
}

pub(super) async fn list(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let filters = query.filters(&FILTER_KEYS)?;
    // Docker: the last so many, whether or not they run; without a number, 0 or -1, all.
    let limit =
        query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let views = containers::list(engine.containers(), query.is_set("all") || limit.is_some(), &filters);
    let views = views.into_iter().take(limit.unwrap_or(usize::MAX));
    summaries(&engine, views, query.is_set("size")).await.map(|summaries| answers::ok(&summaries.into()))
}

pub(super) async fn inspect(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let view = containers::inspect(engine.containers(), &name)?;
    let presences = engine.system.networks.presences().await?;
    let message = message(&engine, view, query.is_set("size"), &presences).await?;
    Ok(answers::ok(&docker::container(&message)))
}

pub(super) async fn remove(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    if query.is_set("link") {
        return Err(Refusal::not_implemented("there are no links between containers"));
    }
    let removal = Removal { force: query.is_set("force"), volumes: query.is_set("v") };
    containers::remove(engine.containers(), &name, removal).await?;
    Ok(answers::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn prune(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let pruned = containers::prune(engine.containers(), &query.filters(&PRUNE_KEYS)?).await?;
    let deleted: Vec<String> = pruned.ids.into_iter().map(String::from).collect();
    Ok(answers::ok(&json!({"ContainersDeleted": deleted, "SpaceReclaimed": pruned.freed_bytes})))
}

/// All containers, for the engine's usage of the disk.
pub(super) async fn all(engine: &Engine) -> Result<Vec<Value>, Refusal> {
    let views = containers::list(engine.containers(), true, &Filters::default());
    summaries(engine, views.into_iter(), true).await
}

async fn summaries(
    engine: &Engine,
    views: impl Iterator<Item = View>,
    with_size: bool,
) -> Result<Vec<Value>, Refusal> {
    let now = SystemTime::now();
    let presences = engine.system.networks.presences().await?;
    let mut summaries = Vec::new();
    for view in views {
        summaries.push(docker::container_summary(&message(engine, view, with_size, &presences).await?, now));
    }
    Ok(summaries)
}

async fn message(
    engine: &Engine,
    view: View,
    with_size: bool,
    presences: &HashMap<OwnerId, Presence>,
) -> Result<v1::Container, Refusal> {
    let size = match with_size {
        true => Some(translate::container_size(containers::size(engine.containers(), &view).await?)),
        false => None,
    };
    let none = Presence::default();
    let presence = presences.get(&view.spec.id).unwrap_or(&none);
    let exec_ids = exec::ids(engine.containers(), &view.spec.id);
    Ok(v1::Container { size, ..translate::container(view, exec_ids, presence) })
}
