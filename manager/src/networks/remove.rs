//! Removing networks that nobody is in. Blocks.

use std::sync::PoisonError;

use super::error::NetworkError;
use super::firewall::network_elements;
use super::handle::Inner;
use super::list;
use super::model::{DEFAULT, HOST, NONE, Network};
use super::{link, records};
use crate::filters::Filters;
use crate::held::OwnerId;

/// Removes a network and returns it.
pub(super) fn remove(inner: &Inner, text: &str) -> Result<Network, NetworkError> {
    let network = inner.find(text)?;
    if [DEFAULT, HOST, NONE].contains(&network.name.as_str()) {
        return Err(NetworkError::Predefined(network.name));
    }
    let _alone = inner.shape.write().unwrap_or_else(PoisonError::into_inner);
    let (_, endpoints) = list::inspect(inner, &network.id)?;
    if !endpoints.is_empty() {
        let short = |owner: &OwnerId| owner.as_str().chars().take(12).collect::<String>();
        let mut users: Vec<String> = endpoints
            .iter()
            .map(|endpoint| endpoint.names.first().cloned().unwrap_or_else(|| short(&endpoint.owner)))
            .collect();
        users.truncate(10);
        return Err(NetworkError::InUse { name: network.name, users: users.join(", ") });
    }
    // The row goes last: a removal that is interrupted can be asked for again.
    inner.unmake(&network.id);
    let kernel = inner.kernel()?;
    kernel.firewall.remove(&network_elements(&network))?;
    link::remove_bridge(&kernel.route, &network)?;
    let id = network.id.clone();
    let store = inner.store.for_removal();
    store.write_blocking("forget a network", |tx| records::delete_network(tx, &id))?;
    inner.publish(&network, "destroy", None);
    Ok(network)
}

/// Removes all networks that nobody is in, and returns their names.
pub(super) fn prune(inner: &Inner, filters: &Filters) -> Result<Vec<String>, NetworkError> {
    let mut removed = Vec::new();
    for (network, endpoints) in list::list(inner, filters)? {
        let is_ours = ![DEFAULT, HOST, NONE].contains(&network.name.as_str());
        if is_ours && endpoints.is_empty() {
            match remove(inner, &network.id) {
                Ok(network) => removed.push(network.name),
                // Somebody has joined it meanwhile, or removed it.
                Err(NetworkError::InUse { .. } | NetworkError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(removed)
}
