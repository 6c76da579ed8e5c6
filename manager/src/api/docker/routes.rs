//! Every path of docker's API, and who answers it.

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};

use super::engine::Engine;
use super::{
    attach, build, containers, events, exec, images, lifecycle, logs, networks, system, transfers,
    unavailable, usage, volumes,
};

/// Every path that docker has, without its version.
pub(super) fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .merge(system_routes())
        .merge(container_routes())
        .merge(image_routes())
        .merge(network_routes())
        .merge(unavailable_routes())
        .fallback(unavailable::page_not_found)
        .method_not_allowed_fallback(unavailable::page_not_found)
        .with_state(engine)
}

fn system_routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/_ping", get(system::ping).head(system::ping))
        .route("/version", get(system::version))
        .route("/info", get(system::info))
        .route("/events", get(events::events))
        .route("/system/df", get(images::usage))
        .route("/auth", post(unavailable::auth))
}

fn container_routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/containers/create", post(containers::create))
        .route("/containers/json", get(containers::list))
        .route("/containers/prune", post(containers::prune))
        .route("/containers/{name}", delete(containers::remove))
        .route("/containers/{name}/json", get(containers::inspect))
        .route("/containers/{name}/start", post(lifecycle::start))
        .route("/containers/{name}/stop", post(lifecycle::stop))
        .route("/containers/{name}/restart", post(lifecycle::restart))
        .route("/containers/{name}/kill", post(lifecycle::kill))
        .route("/containers/{name}/pause", post(lifecycle::pause))
        .route("/containers/{name}/unpause", post(lifecycle::unpause))
        .route("/containers/{name}/rename", post(lifecycle::rename))
        .route("/containers/{name}/top", get(lifecycle::top))
        .route("/containers/{name}/stats", get(usage::stats))
        .route("/containers/{name}/update", post(usage::update))
        .route("/containers/{name}/changes", get(usage::changes))
        .route("/containers/{name}/wait", post(lifecycle::wait))
        .route("/containers/{name}/resize", post(lifecycle::resize))
        .route("/containers/{name}/attach", post(attach::attach))
        .route("/containers/{name}/logs", get(logs::logs))
        .route("/containers/{name}/exec", post(exec::create))
        .route("/exec/{name}/start", post(exec::start))
        .route("/exec/{name}/json", get(exec::inspect))
        .route("/exec/{name}/resize", post(exec::resize))
        .merge(unavailable_of_containers())
}

fn image_routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/images/json", get(images::list))
        .route("/images/create", post(transfers::create))
        .route("/images/load", post(transfers::load))
        .route("/images/get", get(transfers::save_several))
        .route("/images/prune", post(images::prune))
        .route("/images/search", get(unavailable::search))
        .route("/images/{*path}", get(images::named).post(images::named).delete(images::named))
}

fn network_routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/networks", get(networks::list))
        .route("/networks/{name}", get(networks::inspect).delete(networks::remove))
        .route("/networks/{name}/connect", post(networks::connect))
        .route("/networks/{name}/disconnect", post(networks::disconnect))
        .route("/networks/create", post(networks::create))
        .route("/networks/prune", post(networks::prune))
}

/// Verbs that containers have not yet.
fn unavailable_of_containers() -> Router<Arc<Engine>> {
    use unavailable::verb;
    let archive = get(verb).head(verb).put(verb);
    Router::new()
        .route("/containers/{name}/archive", archive)
        .route("/containers/{name}/attach/ws", get(verb))
        .route("/containers/{name}/export", get(verb))
}

fn unavailable_routes() -> Router<Arc<Engine>> {
    use unavailable as no;
    Router::new()
        .route("/volumes", get(volumes::list))
        .route("/volumes/{name}", get(volumes::inspect).delete(volumes::remove).put(no::swarm))
        .route("/volumes/create", post(volumes::create))
        .route("/volumes/prune", post(volumes::prune))
        .route("/build", post(build::build))
        .route("/build/prune", post(build::prune))
        .route("/build/cancel", post(build::cancel))
        .route("/session", post(no::build))
        .route("/grpc", post(no::build))
        .route("/commit", post(no::commit))
        .route("/distribution/{*name}", get(no::distribution))
        .route("/plugins", get(no::plugins))
        .route("/plugins/{*rest}", get(no::plugin).post(no::plugin).delete(no::plugin))
        .route("/swarm", get(no::swarm))
        .route("/swarm/{verb}", get(no::swarm).post(no::swarm))
        .merge(swarm_routes("nodes"))
        .merge(swarm_routes("services"))
        .merge(swarm_routes("tasks"))
        .merge(swarm_routes("secrets"))
        .merge(swarm_routes("configs"))
}

fn swarm_routes(noun: &str) -> Router<Arc<Engine>> {
    use unavailable::swarm;
    Router::new()
        .route(&format!("/{noun}"), get(swarm))
        .route(&format!("/{noun}/{{id}}"), get(swarm).delete(swarm).post(swarm))
        .route(&format!("/{noun}/{{id}}/update"), post(swarm))
        .route(&format!("/{noun}/{{id}}/logs"), get(swarm))
}
