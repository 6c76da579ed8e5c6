//! A container and its networks: what is asked for when it is made, joined when it starts, and changed while it runs.

use super::container::Container;
use super::error::ContainerError;
use super::handle::Containers;
use super::life::Phase;
use super::request::CreateRequest;
use crate::error::Chain;
use crate::held::{Held as _, Until};
use crate::images::Image;
use crate::networks::{DEFAULT, EndpointRequest, Joined, Joiner, Member, NONE, NetworkError, Networking};
use crate::tasks::plan::NetworkMode;
use crate::tasks::spec;

/// Decides which networks a container is to be in, and looks at what is asked of them.
///
/// # Errors
/// [`ContainerError`] for what contradicts itself or cannot be.
pub(super) fn resolve(containers: &Containers, request: &mut CreateRequest) -> Result<(), ContainerError> {
    let networks = &containers.execution.networks;
    networks.check(&request.networking)?;
    let mode = &mut request.isolation.sharing.network;
    if *mode == NetworkMode::Default {
        *mode = match networks.has_default() {
            true => NetworkMode::Named(DEFAULT.to_owned()),
            false => NetworkMode::None,
        };
    }
    match mode {
        NetworkMode::Named(name) => {
            if request.endpoints.is_empty() {
                request
                    .endpoints
                    .push(EndpointRequest { network: name.clone(), ..EndpointRequest::default() });
            }
            Ok(())
        }
        _ => {
            // A client may say of none or host what it says of a network, as long as it asks for nothing.
            let asks = |endpoint: &EndpointRequest| {
                let network = endpoint.network.clone();
                *endpoint != EndpointRequest { network, ..EndpointRequest::default() }
            };
            let refused = request.endpoints.iter().any(asks);
            request.endpoints.clear();
            if refused {
                Err(ContainerError::Conflict(
                    "conflicting options: the network mode and addresses or aliases in a network",
                ))
            } else {
                Ok(())
            }
        }
    }
}

/// What an image says that it serves.
pub(super) fn exposed(image: &Image) -> Vec<String> {
    let config = image.config.config().as_ref();
    config.and_then(|config| config.exposed_ports().clone()).unwrap_or_default()
}

/// What is asked for of a network that is none, in docker's words where it has some.
pub(super) fn warnings(networking: &Networking, mode: &NetworkMode) -> Vec<String> {
    let publishes = !networking.ports.is_empty() || networking.publish_all;
    let warning = match mode {
        NetworkMode::Host if publishes => "Published ports are discarded when using host network mode",
        NetworkMode::None if publishes => "published ports have no effect: the container has no network",
        _ => return Vec::new(),
    };
    vec![warning.to_owned()]
}

/// Records where a container is to be.
///
/// # Errors
/// [`ContainerError`] for a network that is not there, or an address that it does not have.
pub(super) async fn reserve(
    containers: &Containers,
    container: &Container,
    endpoints: Vec<EndpointRequest>,
) -> Result<(), ContainerError> {
    if endpoints.is_empty() {
        return Ok(());
    }
    match containers.execution.networks.reserve(container.id(), endpoints).await {
        Err(NetworkError::NotFound(name)) => Err(ContainerError::NoNetwork(name)),
        reserved => Ok(reserved.map(drop)?),
    }
}

/// Brings a container into its networks; `None` for one that is in none.
pub(super) async fn join(
    containers: &Containers,
    container: &Container,
) -> Result<Option<Joined>, ContainerError> {
    let NetworkMode::Named(name) = &container.spec.isolation.sharing.network else { return Ok(None) };
    let networks = &containers.execution.networks;
    let presence = networks.presence(container.id()).await?;
    if presence.places.is_empty() && containers.records.may_be_missing() {
        // Its record was made again of its bundle: where it was to be is all that is known.
        let request = EndpointRequest { network: name.clone(), ..EndpointRequest::default() };
        networks.reserve(container.id(), vec![request]).await?;
    }
    if presence.places.is_empty() && !containers.records.may_be_missing() {
        // It was taken out of all of them.
        return Ok(None);
    }
    match networks.join(joiner(container)).await {
        Ok(joined) => Ok(Some(joined)),
        Err(error) => {
            leave(containers, container).await;
            Err(error.into())
        }
    }
}

/// Takes a container out of its networks until its next run.
pub(super) async fn leave(containers: &Containers, container: &Container) {
    if let Err(error) = containers.execution.networks.release(container.id(), Until::NextRun).await {
        tracing::warn!(container = %container.id(), error = %Chain(&error), "a container is still in its networks");
    }
}

/// Who joins: the container as it is called now.
fn joiner(container: &Container) -> Joiner {
    let hostname = spec::hostname(&container.task_plan()).unwrap_or_default();
    let domain = &container.spec.isolation.domainname;
    let hostname = if domain.is_empty() { hostname } else { format!("{hostname}.{domain}") };
    let networking = container.spec.networking.clone();
    Joiner { owner: container.id().clone(), name: container.name(), hostname, networking }
}

/// Makes what containers that went on without knarrd need of networks.
pub(super) async fn restore(containers: &Containers) {
    let networks = &containers.execution.networks;
    let all = containers.registry.all();
    let running = all
        .iter()
        .filter(|container| container.life().phase.is_up())
        .filter(|container| container.life().boot_id == containers.execution.boot_id)
        .filter(|container| matches!(container.spec.isolation.sharing.network, NetworkMode::Named(_)))
        .map(|container| joiner(container));
    if let Err(error) = networks.restore(running.collect()).await {
        tracing::error!(error = %Chain(&error), "networks were not restored");
    }
}

fn member(container: &Container) -> Member {
    let is_up = container.life().phase.holds_process();
    Member { joiner: joiner(container), etc: is_up.then(|| container.bundle.join("etc")) }
}

fn check_own_network(container: &Container) -> Result<(), ContainerError> {
    match container.spec.isolation.sharing.network {
        NetworkMode::Named(_) | NetworkMode::Default => Ok(()),
        NetworkMode::Host => Err(ContainerError::Conflict(
            "container cannot be disconnected from host network or connected to host network",
        )),
        NetworkMode::Container(_) => Err(ContainerError::Conflict(
            "container sharing network namespace with another container or host cannot be connected to any other network",
        )),
        NetworkMode::None => Err(ContainerError::Conflict(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        )),
    }
}

/// Connects a container to one more network.
///
/// # Errors
/// [`ContainerError`]; it is where it was then.
pub(crate) async fn connect(
    containers: &Containers,
    text: &str,
    request: EndpointRequest,
) -> Result<(), ContainerError> {
    let container = containers.registry.find(text)?;
    let this = containers.clone();
    let connect = async move {
        let _turn = container.turn.lock().await;
        container.check_there("connect")?;
        check_own_network(&container)?;
        Ok(this.execution.networks.connect(member(&container), request).await?)
    };
    containers.work.finish(connect).await
}

/// Disconnects a container from a network.
///
/// # Errors
/// [`ContainerError`].
pub(crate) async fn disconnect(
    containers: &Containers,
    text: &str,
    network: &str,
) -> Result<(), ContainerError> {
    let container = containers.registry.find(text)?;
    let (this, network) = (containers.clone(), network.to_owned());
    let disconnect = async move {
        let _turn = container.turn.lock().await;
        container.check_there("disconnect")?;
        if network == NONE {
            check_own_network(&container)?;
        }
        Ok(this.execution.networks.disconnect(member(&container), &network).await?)
    };
    containers.work.finish(disconnect).await
}

/// Tells a container's new name to the others in its networks.
pub(super) async fn renamed(containers: &Containers, container: &Container) {
    if container.life().phase == Phase::Running
        && let Err(error) = containers.execution.networks.renamed(joiner(container)).await
    {
        tracing::warn!(container = %container.id(), error = %Chain(&error), "a new name is not known in networks");
    }
}
