//! Recording where a container is to be, when it is made: nothing of the kernel is touched. Blocks.

use super::error::NetworkError;
use super::handle::Inner;
use super::model::{Endpoint, EndpointRequest, HOST, NONE, Network};
use super::{check, link, records};
use crate::held::OwnerId;
use crate::random;

/// Networks of one container; each is an interface.
const MAX_NETWORKS: usize = 64;

/// Records an owner's endpoints, and returns the networks.
pub(super) fn reserve(
    inner: &Inner,
    owner: &OwnerId,
    requests: Vec<EndpointRequest>,
) -> Result<Vec<Network>, NetworkError> {
    if requests.len() > MAX_NETWORKS {
        return Err(NetworkError::TooManyNetworks);
    }
    let mut endpoints: Vec<(Network, Endpoint)> = Vec::new();
    for request in requests {
        let network = inner.find(&request.network)?;
        if [HOST, NONE].contains(&network.name.as_str()) {
            return Err(NetworkError::Value {
                what: "network",
                value: network.name,
                problem: "a container in it is in no other one",
            });
        }
        check::endpoint(&request, &network)?;
        if endpoints.iter().any(|(other, _)| other.id == network.id) {
            let problem = "it is named twice";
            return Err(NetworkError::Value { what: "network", value: network.name, problem });
        }
        let endpoint = new_endpoint(&network, owner, request);
        endpoints.push((network, endpoint));
    }
    inner.store.write_unsynced_blocking("record a container's networks", |tx| {
        endpoints.iter().try_for_each(|(_, endpoint)| records::insert_endpoint(tx, endpoint))
    })?;
    Ok(endpoints.into_iter().map(|(network, _)| network).collect())
}

/// An endpoint that is not in the kernel yet.
pub(super) fn new_endpoint(network: &Network, owner: &OwnerId, request: EndpointRequest) -> Endpoint {
    Endpoint {
        network: network.id.clone(),
        owner: owner.clone(),
        id: random::hex(),
        mac: link::mac(&request.mac),
        request,
        names: Vec::new(),
        interface: String::new(),
        ipv4: None,
        ipv6: None,
    }
}
