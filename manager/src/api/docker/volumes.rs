//! Volumes: made, listed, looked at, removed.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use http::StatusCode;
use knarr_proto::docker;
use serde_json::{Value, json};

use super::answers;
use super::body::Json;
use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::{Name, Query};
use super::versions::Version;
use crate::api::grpc::translate;
use crate::filters::Filters;
use crate::trees;
use crate::volumes::{FILTER_KEYS, NewVolume, PRUNE_KEYS};

/// From here on a prune removes only volumes without a name of their own.
const PRUNES_ANONYMOUS: Version = Version::new(1, 42);

pub(super) async fn create(State(engine): State<Arc<Engine>>, Json(body): Json) -> Answer {
    let asked = docker::create_volume(&body)?;
    let (options, labels) = (asked.options.into_iter().collect(), asked.labels.into_iter().collect());
    let new = NewVolume::asked(asked.name, asked.driver, options, labels);
    let volume = translate::volume(engine.volumes().create(new).await?);
    Ok(answers::json(StatusCode::CREATED, &docker::volume(&volume)))
}

pub(super) async fn list(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let views = engine.volumes().list(query.filters(&FILTER_KEYS)?).await?.into_iter();
    let volumes: Vec<Value> = views.map(|view| docker::volume(&translate::volume(view))).collect();
    Ok(answers::ok(&json!({"Volumes": volumes, "Warnings": null})))
}

pub(super) async fn inspect(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    let view = engine.volumes().inspect(&name).await?;
    Ok(answers::ok(&docker::volume(&translate::volume(view))))
}

pub(super) async fn remove(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    engine.volumes().remove(&name, query.is_set("force")).await?;
    Ok(answers::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn prune(
    State(engine): State<Arc<Engine>>,
    Extension(version): Extension<Version>,
    query: Query,
) -> Answer {
    let all = (version < PRUNES_ANONYMOUS).then(|| ("all".to_owned(), "true".to_owned()));
    let pairs = query.filter_pairs()?.into_iter().chain(all);
    let pruned = engine.volumes().prune(Filters::parse(&PRUNE_KEYS, pairs)?).await?;
    Ok(answers::ok(&json!({"VolumesDeleted": pruned.names, "SpaceReclaimed": pruned.freed_bytes})))
}

/// All volumes with their sizes, for the engine's usage of the disk.
pub(super) async fn all(engine: &Engine) -> Result<Vec<Value>, Refusal> {
    let views = engine.volumes().list(Filters::default()).await?;
    let mut volumes = Vec::new();
    for view in views {
        let path = view.path.clone();
        let counted = tokio::task::spawn_blocking(move || trees::file_bytes(&path)).await;
        let size = counted.ok().and_then(Result::ok);
        volumes.push(docker::volume_usage(&translate::volume(view), size));
    }
    Ok(volumes)
}
