//! What this engine is: ping, version, info.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use http::{HeaderName, Method};
use knarr_proto::docker::{self, ApiVersions};

use super::answers;
use super::engine::Engine;
use super::failures::Answer;
use super::versions;

/// Whether somebody is there. Docker's CLI asks before every command: nothing is looked at.
pub(super) async fn ping(method: Method) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (PRAGMA, "no-cache"),
        (HeaderName::from_static("builder-version"), "1"),
        (HeaderName::from_static("docker-experimental"), "false"),
        (HeaderName::from_static("swarm"), "inactive"),
    ];
    let body = if method == Method::HEAD { "" } else { "OK" };
    (headers, body).into_response()
}

pub(super) async fn version(State(engine): State<Arc<Engine>>) -> Answer {
    let version = engine.system.version().await;
    let api = ApiVersions { newest: versions::NEWEST.to_string(), oldest: versions::OLDEST.to_string() };
    Ok(answers::ok(&docker::version(&version, &api)))
}

pub(super) async fn info(State(engine): State<Arc<Engine>>) -> Answer {
    Ok(answers::ok(&docker::info(&engine.system.info().await?)))
}
