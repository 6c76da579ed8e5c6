//! Kernel parameters that a container has for itself, by the namespace that each belongs to.

use std::collections::HashMap;

use super::error::SpecError;
use crate::tasks::plan::{Isolation, SharingMode};

/// Those of System V's interprocess communication; POSIX message queues have a directory.
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];
/// Docker: no capability is needed to use ping and low ports in a network namespace of one's own.
const WITH_A_NETWORK: [(&str, &str); 2] =
    [("net.ipv4.ping_group_range", "0 2147483647"), ("net.ipv4.ip_unprivileged_port_start", "0")];

/// Those that were asked for, and docker's.
///
/// # Errors
/// [`SpecError::Sysctl`] for one that is the host's.
pub(super) fn sysctls(isolation: &Isolation) -> Result<Option<HashMap<String, String>>, SpecError> {
    let has_own_network = isolation.sharing.network.has_own_namespace();
    let has_own_ipc = isolation.sharing.ipc == SharingMode::Private;
    let is_own = |name: &str| {
        (has_own_network && name.starts_with("net."))
            || (has_own_ipc && (OF_IPC.contains(&name) || name.starts_with("fs.mqueue.")))
    };
    if let Some(name) = isolation.sysctls.keys().find(|name| !is_own(name)) {
        return Err(SpecError::Sysctl(name.clone()));
    }
    let mut sysctls: HashMap<_, _> = isolation.sysctls.clone().into_iter().collect();
    if has_own_network {
        for (name, value) in WITH_A_NETWORK {
            sysctls.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    Ok((!sysctls.is_empty()).then_some(sysctls))
}
