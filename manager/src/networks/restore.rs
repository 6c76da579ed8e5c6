//! Making the kernel what the records say, when knarrd starts: rules, bridges, held ports and names of containers that went on
//! without it. What is right is left alone. Blocks.

use super::create;
use super::error::NetworkError;
use super::handle::Inner;
use super::join::Pair;
use super::list::ordered;
use super::model::{Endpoint, Joiner, Network};
use super::records;
use crate::error::Chain;

/// What has to be before any container is started or looked at.
pub(super) fn prepare(inner: &Inner) {
    if let Err(error) = create::ensure_default(inner) {
        tracing::warn!(error = %Chain(&error), "there is no default network: containers without --network do not start");
    }
}

/// Makes again what running containers have; the trouble of one is logged.
pub(super) fn restore(inner: &Inner, running: &[Joiner]) -> Result<(), NetworkError> {
    let (networks, endpoints) = inner.store.read_blocking("read the networks", |tx| {
        Ok((records::networks(tx)?, records::endpoints(tx, None)?))
    })?;
    let owners = running.iter().map(|joiner| joiner.owner.clone()).collect();
    inner.keeper.keep_only(&owners);
    if !endpoints.iter().any(Endpoint::is_joined) {
        return Ok(());
    }
    for network in &networks {
        let is_used = endpoints.iter().any(|endpoint| endpoint.network == network.id && endpoint.is_joined());
        if is_used {
            inner.make(network)?;
        }
    }
    for joiner in running {
        let own = endpoints.iter().filter(|endpoint| endpoint.owner == joiner.owner).cloned().collect();
        if let Err(error) = restore_one(inner, joiner, &networks, own) {
            tracing::error!(container = %joiner.owner, error = %Chain(&error), "a container's network was not restored");
        }
    }
    Ok(())
}

fn restore_one(
    inner: &Inner,
    joiner: &Joiner,
    networks: &[Network],
    endpoints: Vec<Endpoint>,
) -> Result<(), NetworkError> {
    let pairs: Vec<Pair> = ordered(networks, endpoints);
    if pairs.is_empty() || !inner.namespaces.is_there(&joiner.owner) {
        return Ok(());
    }
    let owner = &joiner.owner;
    let ports = inner.store.read_blocking("read the ports", |tx| records::ports(tx, Some(owner)))?;
    let ports: Vec<_> = ports.into_iter().map(|(_, port)| port).collect();
    let target = pairs.iter().find_map(|(_, endpoint)| endpoint.addresses().next());
    inner.keeper.hold_ports_again(owner, &ports, target)?;
    let namespace = inner.namespaces.open(owner)?;
    super::join::set_names(inner, joiner, &pairs, &namespace).map(drop)
}
