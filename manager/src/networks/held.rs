//! What containers have of networks, as held by their owners: ports, names, addresses, a namespace with all that is in it.

use std::collections::HashSet;

use super::error::NetworkError;
use super::handle::{Inner, Networks, elements_of_port};
use super::model::{Endpoint, Network};
use super::records;
use crate::failure::Failure as _;
use crate::held::{self, Held, HeldError, OwnerId, Until};

impl Held for Networks {
    async fn release(&self, owner: &OwnerId, until: Until) -> Result<(), HeldError> {
        let (inner, owner) = (self.inner.clone(), owner.clone());
        let released = tokio::task::spawn_blocking(move || release(&inner, &owner, until)).await;
        let released = released.map_err(NetworkError::from).and_then(|done| done);
        released.map_err(held::failed("take the container out of its networks", NetworkError::kind))
    }

    async fn sweep(&self, living: &HashSet<OwnerId>) -> Result<usize, HeldError> {
        let (inner, living) = (self.inner.clone(), living.clone());
        let swept = tokio::task::spawn_blocking(move || sweep(&inner, &living)).await;
        let swept = swept.map_err(NetworkError::from).and_then(|done| done);
        swept.map_err(held::failed("clear the containers' networks", NetworkError::kind))
    }
}

/// In the reverse order of joining: nobody reaches it any more, nobody finds it, and then it is gone.
fn release(inner: &Inner, owner: &OwnerId, until: Until) -> Result<(), NetworkError> {
    let (networks, endpoints, ports) = inner.store.read_blocking("read the container's networks", |tx| {
        Ok((records::networks(tx)?, records::endpoints(tx, Some(owner))?, records::ports(tx, Some(owner))?))
    })?;
    if endpoints.is_empty() && ports.is_empty() && !inner.namespaces.is_there(owner) {
        return Ok(());
    }
    let elements: Vec<_> =
        ports.iter().flat_map(|(_, port)| elements_of_port(*port, &endpoints, &networks)).collect();
    if !elements.is_empty() {
        inner.kernel()?.firewall.remove(&elements)?;
    }
    inner.keeper.release(owner);
    inner.namespaces.remove(owner)?;
    let store = inner.store.for_removal();
    let doing = "give a container's addresses back";
    store.write_unsynced_blocking(doing, |tx| match until {
        Until::NextRun => records::release_run(tx, owner),
        Until::Ever => records::release(tx, owner),
    })?;
    tell(inner, &networks, &endpoints);
    Ok(())
}

fn tell(inner: &Inner, networks: &[Network], endpoints: &[Endpoint]) {
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.is_joined()) {
        if let Some(network) = networks.iter().find(|network| network.id == endpoint.network) {
            inner.publish(network, "disconnect", Some(endpoint.owner.as_str()));
        }
    }
}

fn sweep(inner: &Inner, living: &HashSet<OwnerId>) -> Result<usize, NetworkError> {
    let mut count = 0;
    for owner in inner.store.read_blocking("read the owners of endpoints", records::owners)? {
        if !living.contains(&owner) {
            count += held::swept("an orphaned place in a network", release(inner, &owner, Until::Ever));
        }
    }
    for name in inner.namespaces.all() {
        if !living.iter().any(|owner| owner.as_str().starts_with(&name)) {
            let removed = inner.namespaces.remove_named(&name);
            count += held::swept("an orphaned network namespace", removed);
        }
    }
    Ok(count)
}
