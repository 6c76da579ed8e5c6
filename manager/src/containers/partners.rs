//! Containers whose namespaces another one shares: named by id when it is made, and looked up as they run when it starts.

use super::error::ContainerError;
use super::registry::Registry;
use crate::tasks::plan::{Joined, NetworkMode, Partner, Sharing, SharingMode};

/// What the namespaces are called, as docker calls them.
const NETWORK: &str = "network";
const PID: &str = "PID";

/// Names the partners by id, so that a new name changes nothing.
///
/// # Errors
/// [`ContainerError::NoPartner`].
pub(super) fn by_id(registry: &Registry, sharing: &mut Sharing) -> Result<(), ContainerError> {
    let by_id = |partner: &mut String, namespace| match registry.find(partner) {
        Ok(container) => {
            *partner = container.id().to_string();
            Ok(())
        }
        Err(source) => Err(ContainerError::NoPartner { namespace, source: Box::new(source) }),
    };
    if let NetworkMode::Container(partner) = &mut sharing.network {
        by_id(partner, NETWORK)?;
    }
    if let SharingMode::Container(partner) = &mut sharing.pid {
        by_id(partner, PID)?;
    }
    Ok(())
}

/// The partners as they run now.
///
/// # Errors
/// [`ContainerError::PartnerNotRunning`], and [`ContainerError::NoPartner`] when one has been removed.
pub(super) fn running(registry: &Registry, sharing: &Sharing) -> Result<Joined, ContainerError> {
    let partner = |text: &str, namespace| {
        let found = registry.find(text);
        let container =
            found.map_err(|source| ContainerError::NoPartner { namespace, source: Box::new(source) })?;
        let life = container.life();
        match life.phase.holds_process() {
            true => Ok(Partner { id: container.id().clone(), pid: life.pid }),
            false => Err(ContainerError::PartnerNotRunning { namespace, name: container.name() }),
        }
    };
    let network = match &sharing.network {
        NetworkMode::Container(text) => Some(partner(text, NETWORK)?),
        NetworkMode::None | NetworkMode::Host | NetworkMode::Named(_) => None,
    };
    let pid = match &sharing.pid {
        SharingMode::Container(text) => Some(partner(text, PID)?),
        SharingMode::Private | SharingMode::Host => None,
    };
    Ok(Joined { network, pid })
}
