//! What containers use and have changed: their limits, stats and the files that differ from the image's.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use knarr_proto::{docker, v1};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tonic::codegen::Bytes;

use super::answers::{self, Pieces};
use super::body::Json;
use super::engine::Engine;
use super::failures::Answer;
use super::query::{Name, Query};
use crate::api::grpc::translate::InvalidRequest;
use crate::api::grpc::{keep, resources, stats};
use crate::containers::{self, ContainerError};
use crate::trees::ChangeKind;

/// Docker's, between two looks.
const PERIOD: Duration = Duration::from_secs(1);

pub(super) async fn update(State(engine): State<Arc<Engine>>, Name(name): Name, Json(body): Json) -> Answer {
    let v1::UpdateContainerRequest { resources, restart, .. } = docker::update(&body)?;
    let change = resources::resources(resources.unwrap_or_default())?;
    let restart = restart.as_ref().map(keep::policy).transpose().map_err(InvalidRequest::from)?;
    containers::update(engine.containers(), &name, change, restart).await?;
    Ok(answers::ok(&json!({"Warnings": null})))
}

/// The changes, by path; `null` for none, as docker.
pub(super) async fn changes(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    let found = containers::diff(engine.containers(), &name).await?;
    let changes: Vec<Value> = found
        .iter()
        .map(|change| {
            let kind = match change.kind {
                ChangeKind::Modified => 0,
                ChangeKind::Added => 1,
                ChangeKind::Deleted => 2,
            };
            json!({"Path": format!("/{}", change.path.display()), "Kind": kind})
        })
        .collect();
    Ok(answers::ok(&if changes.is_empty() { Value::Null } else { Value::from(changes) }))
}

/// One object a second while the container runs; with `stream=0` one after two looks, or with `one-shot=1` after one.
pub(super) async fn stats(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let follows = query.texts("stream").next().is_none() || query.is_set("stream");
    let looks = match (follows, query.is_set("one-shot")) {
        (true, _) => None,
        (false, true) => Some(1),
        (false, false) => Some(2),
    };
    // That there is no such container is the answer, not a part of it.
    let view = containers::inspect(engine.containers(), &name)?;
    let (id, name) = (view.spec.id.to_string(), view.settings.name.clone());
    let this = Arc::clone(&engine);
    Ok(answers::stream(&engine, answers::JSON, async move |pieces| {
        look(&this, &id, &name, looks, &pieces).await;
    }))
}

/// Sends what each of so many looks shows; of a bounded number only the last.
async fn look(engine: &Engine, id: &str, name: &str, looks: Option<u32>, pieces: &Pieces) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    let mut count = 0;
    loop {
        ticks.tick().await;
        let last = match containers::stats(engine.containers(), id).await {
            Ok(sample) => stats::reply(&sample),
            Err(error) => {
                let is_first = before.is_none();
                // Docker's word for a container that does not run is an object of zeros.
                if is_first && matches!(error, ContainerError::NotRunning(_)) {
                    send(pieces, &docker::stats(id, name, None, None)).await;
                }
                return;
            }
        };
        count += 1;
        if looks.is_none_or(|looks| looks == count) {
            send(pieces, &docker::stats(id, name, Some(&last), before.as_ref())).await;
        }
        if looks == Some(count) {
            return;
        }
        before = Some(last);
    }
}

async fn send(pieces: &Pieces, object: &Value) {
    answers::send(pieces, Bytes::from(format!("{object}\n"))).await;
}
