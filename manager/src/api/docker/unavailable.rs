//! What this engine has not, or not yet: each is said in one sentence, and lists of such things are empty.

use axum::extract::Path;
use axum::response::IntoResponse;
use http::{StatusCode, Uri};
use serde_json::json;

use super::answers;
use super::body::Ignored;
use super::failures::Refusal;

/// Docker's word for an engine that is alone.
const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect \
                        this node to swarm and try again.";

pub(super) async fn page_not_found(_: Ignored) -> Refusal {
    Refusal::page_not_found()
}

pub(super) async fn swarm(_: Ignored) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, NO_SWARM)
}

pub(super) async fn verb(uri: Uri, _: Ignored) -> Refusal {
    let verb = uri.path().split('/').skip(3).collect::<Vec<_>>().join("/");
    Refusal::not_implemented(format!("containers have no {verb} yet"))
}

pub(super) fn image_verb(verb: &str) -> Refusal {
    Refusal::not_implemented(format!("images have no {verb} yet"))
}

pub(super) async fn search() -> Refusal {
    Refusal::not_implemented("registries are not searched yet")
}

pub(super) async fn build(_: Ignored) -> Refusal {
    Refusal::not_implemented("images cannot be built yet: build them elsewhere, and pull or load them")
}

pub(super) async fn commit(_: Ignored) -> Refusal {
    Refusal::not_implemented("a container cannot be committed to an image yet")
}

pub(super) async fn distribution() -> Refusal {
    Refusal::not_implemented("registries are only asked by pull yet")
}

pub(super) async fn auth(_: Ignored) -> Refusal {
    Refusal::not_implemented(
        "accounts of registries are not checked before they are used: log in with knarrd's own docker configuration",
    )
}

pub(super) async fn plugins() -> impl IntoResponse {
    answers::ok(&json!([]))
}

pub(super) async fn plugin(Path(path): Path<String>, _: Ignored) -> Refusal {
    let name = path.strip_suffix("/json").unwrap_or(&path);
    Refusal::not_found(format!("plugin {name:?} not found: there are no plugins"))
}
