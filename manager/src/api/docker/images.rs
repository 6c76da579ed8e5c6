//! Images: listed, looked at, named, removed.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{Method, StatusCode};
use knarr_proto::docker;
use serde_json::{Value, json};

use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::Query;
use super::versions::{self, Part, Version};
use super::{answers, transfers, unavailable};
use crate::api::grpc::images::{message, platform};
use crate::filters::{FilterKeys, Filters, Values};
use crate::images::{FILTER_KEYS, Image, Listed, Removed};
use crate::verbs;

/// What can be removed is only filtered by whether it has a name.
const PRUNE_KEYS: FilterKeys = FilterKeys {
    things: "pruned images",
    keys: &[("dangling", Values::OneOf(&["true", "false", "1", "0"]))],
};

pub(super) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(version): Extension<Version>,
    query: Query,
) -> Answer {
    let filters = query.filters(&FILTER_KEYS)?;
    let mut summaries = summaries(&engine, &filters).await?;
    for summary in &mut summaries {
        versions::adapt(version, Part::Images, summary);
    }
    Ok(answers::ok(&Value::from(summaries)))
}

/// The images that match. One whose configuration is damaged is none to docker.
pub(super) async fn summaries(engine: &Engine, filters: &Filters) -> Result<Vec<Value>, Refusal> {
    let images = engine.system.images.list(filters).await?;
    let whole = images.into_iter().filter_map(|image| match image {
        Listed::Whole(image) => Some(*image),
        Listed::Damaged(_) => None,
    });
    Ok(whole.map(|image| summary(engine, image)).collect())
}

fn summary(engine: &Engine, image: Image) -> Value {
    let users = crate::containers::users_of(engine.containers(), &image.id);
    let count = users.running.len() + users.stopped.len();
    docker::image_summary(&message(image), Some(count))
}

/// What is below an image's name, which may have slashes: the last word says what is asked for.
pub(super) async fn named(
    State(engine): State<Arc<Engine>>,
    Extension(version): Extension<Version>,
    Path(path): Path<String>,
    method: Method,
    query: Query,
) -> Answer {
    let (name, verb) = path.rsplit_once('/').unwrap_or((&path, ""));
    match (method.as_str(), verb) {
        ("GET", "json") if !name.is_empty() => inspect(&engine, version, name, &query).await,
        ("GET", "get") if !name.is_empty() => transfers::save(&engine, &[name.to_owned()]).await,
        ("GET", "history") if !name.is_empty() => Err(unavailable::image_verb("history")),
        ("GET", "attestations") if !name.is_empty() => Err(unavailable::image_verb("attestations")),
        ("POST", "tag") if !name.is_empty() => tag(&engine, name, &query).await,
        ("POST", "push") if !name.is_empty() => Err(unavailable::image_verb("push")),
        ("DELETE", _) => remove(&engine, &path, &query).await,
        _ => Err(Refusal::page_not_found()),
    }
}

async fn inspect(engine: &Engine, version: Version, name: &str, query: &Query) -> Answer {
    if query.is_set("manifests") {
        return Err(Refusal::not_implemented("manifests of images are not listed yet"));
    }
    let platform = platform(query.text("platform"))?;
    let image = engine.system.images.resolve_for(name, platform.as_ref()).await?;
    let mut object = docker::image(&message(image));
    versions::adapt(version, Part::Image, &mut object);
    Ok(answers::ok(&object))
}

async fn tag(engine: &Engine, source: &str, query: &Query) -> Answer {
    let repository = query.text("repo");
    let target = match query.text("tag") {
        "" => repository.to_owned(),
        tag => format!("{repository}:{tag}"),
    };
    engine.system.images.tag(source, &target).await?;
    Ok(answers::empty(StatusCode::CREATED))
}

async fn remove(engine: &Engine, name: &str, query: &Query) -> Answer {
    let force = query.is_set("force");
    let removed = verbs::remove_image(&engine.system.images, engine.containers(), name, force).await?;
    Ok(answers::ok(&Value::from(removal(removed))))
}

pub(super) async fn prune(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let filters = query.filters(&PRUNE_KEYS)?;
    let all = filters
        .values("dangling")
        .is_some_and(|values| values.iter().any(|value| value == "false" || value == "0"));
    let before = size_bytes(&engine).await?;
    let removed = verbs::prune_images(&engine.system.images, engine.containers(), all).await?;
    let freed = before.saturating_sub(size_bytes(&engine).await?);
    Ok(answers::ok(&json!({"ImagesDeleted": removal(removed), "SpaceReclaimed": freed})))
}

async fn size_bytes(engine: &Engine) -> Result<u64, Refusal> {
    let images = engine.system.images.list(&Filters::default()).await?;
    Ok(images
        .iter()
        .map(|image| match image {
            Listed::Whole(image) => image.size_bytes,
            Listed::Damaged(image) => image.size_bytes,
        })
        .sum())
}

fn removal(removed: Removed) -> Vec<Value> {
    let untagged = removed.untagged.into_iter();
    let untagged = untagged.map(|reference| json!({"Untagged": docker::reference::short(&reference)}));
    untagged.chain(removed.deleted.into_iter().map(|id| json!({"Deleted": id}))).collect()
}

/// What takes room on the disk.
pub(super) async fn usage(State(engine): State<Arc<Engine>>) -> Result<Response, Refusal> {
    let images = summaries(&engine, &Filters::default()).await?;
    let object = json!({
        "LayersSize": size_bytes(&engine).await?,
        "Images": images,
        "Containers": super::containers::all(&engine).await?,
        "Volumes": super::volumes::all(&engine).await?,
        "BuildCache": [],
    });
    Ok(answers::ok(&object))
}
