//! What this engine has not, or not yet: each is said in one sentence, and lists of such things are empty.

use axum::extract::Path;
use axum::response::IntoResponse;
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::answers;
use super::body::Ignored;
use super::failures::{Answer, Refusal};
use super::query::{Name, Query};

/// The networks that every engine has.
const NETWORKS: [&str; 2] = ["host", "none"];

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

pub(super) async fn networks(query: Query) -> Answer {
    let pairs = query.filter_pairs()?;
    let is_shown =
        |name: &&str| pairs.iter().all(|(key, value)| key != "name" || name.contains(value.as_str()));
    let networks: Vec<Value> = NETWORKS.into_iter().filter(is_shown).map(of_host).collect();
    Ok(answers::ok(&Value::from(networks)))
}

pub(super) async fn network(Name(name): Name) -> Answer {
    match NETWORKS.iter().find(|network| **network == name) {
        Some(network) => Ok(answers::ok(&of_host(network))),
        None => Err(Refusal::not_found(format!("network {name} not found"))),
    }
}

fn of_host(name: &str) -> Value {
    json!({
        "Name": name,
        "Id": name,
        "Created": "0001-01-01T00:00:00Z",
        "Scope": "local",
        "Driver": if name == "none" { "null" } else { name },
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": null, "Config": []},
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": {},
        "Options": {},
        "Labels": {},
    })
}

pub(super) async fn change_networks(_: Ignored) -> Refusal {
    Refusal::not_implemented("there are no networks yet but host and none, which cannot be changed")
}

pub(super) async fn prune_networks() -> Answer {
    Ok(answers::ok(&json!({"NetworksDeleted": null})))
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
