//! Which namespaces a container has for itself, which it shares with the host, and which with another container.

use std::os::fd::AsRawFd;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

use super::error::SpecError;
use crate::tasks::plan::{NetworkMode, Partner, SharingMode, TaskPlan};

/// The namespaces that are made or joined; those that are left out are the host's.
pub(super) fn namespaces(plan: &TaskPlan) -> Result<Vec<LinuxNamespace>, SpecError> {
    use LinuxNamespaceType as T;
    let sharing = &plan.isolation.sharing;
    let refused = |mode: &SharingMode, what| match mode {
        SharingMode::Container(_) => Err(SpecError::Sharing(what)),
        SharingMode::Private | SharingMode::Host => Ok(()),
    };
    refused(&sharing.ipc, "the ipc namespace is private or host: another container's cannot be joined yet")?;
    refused(&sharing.uts, "invalid UTS mode: it is host, or empty for one of its own")?;
    refused(&sharing.cgroup, "invalid cgroup namespace mode: it is private or host")?;
    if sharing.uts == SharingMode::Host
        && !(plan.isolation.hostname.is_empty() && plan.isolation.domainname.is_empty())
    {
        return Err(SpecError::Sharing("conflicting options: hostname and the UTS mode"));
    }
    let network = match &sharing.network {
        NetworkMode::None | NetworkMode::Default => Some(own(T::Network)),
        NetworkMode::Host => None,
        NetworkMode::Container(_) if !plan.isolation.hostname.is_empty() => {
            return Err(SpecError::Sharing("conflicting options: hostname and the network mode"));
        }
        NetworkMode::Container(_) => Some(joined(T::Network, plan.joined.network.as_ref())),
        NetworkMode::Named(_) => {
            let mut namespace = own(T::Network);
            namespace.set_path(plan.place.as_ref().map(|place| place.namespace.clone()));
            Some(namespace)
        }
    };
    let pid = match &sharing.pid {
        SharingMode::Private => Some(own(T::Pid)),
        SharingMode::Host => None,
        SharingMode::Container(_) => Some(joined(T::Pid, plan.joined.pid.as_ref())),
    };
    let unless_hosts = |mode: &SharingMode, kind| (*mode == SharingMode::Private).then(|| own(kind));
    let others = [
        unless_hosts(&sharing.uts, T::Uts),
        unless_hosts(&sharing.ipc, T::Ipc),
        pid,
        unless_hosts(&sharing.cgroup, T::Cgroup),
    ];
    Ok(std::iter::once(own(T::Mount)).chain(others.into_iter().chain([network]).flatten()).collect())
}

fn own(kind: LinuxNamespaceType) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind);
    namespace
}

/// The partner's namespace, by our own descriptor. While a container is only being checked, nobody has been looked up.
fn joined(kind: LinuxNamespaceType, partner: Option<&Partner>) -> LinuxNamespace {
    let ours = std::process::id();
    let mut namespace = own(kind);
    let path = |partner: &Partner| format!("/proc/{ours}/fd/{}", partner.namespace.as_raw_fd()).into();
    namespace.set_path(partner.map(path));
    namespace
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::tasks::plan::{Isolation, Joined};
    use crate::tasks::spec::tests::plan;

    fn kinds(change: impl FnOnce(&mut Isolation)) -> Vec<LinuxNamespaceType> {
        namespaces(&plan(change)).expect("ok").iter().map(LinuxNamespace::typ).collect()
    }

    #[test]
    fn what_is_the_hosts_is_left_out() {
        use LinuxNamespaceType as T;
        assert_eq!(kinds(|_| {}), [T::Mount, T::Uts, T::Ipc, T::Pid, T::Cgroup, T::Network]);
        let all = kinds(|isolation| {
            isolation.sharing.network = NetworkMode::Host;
            for mode in [
                &mut isolation.sharing.pid,
                &mut isolation.sharing.ipc,
                &mut isolation.sharing.uts,
                &mut isolation.sharing.cgroup,
            ] {
                *mode = SharingMode::Host;
            }
        });
        assert_eq!(all, [T::Mount]);
    }

    #[test]
    fn a_partners_namespaces_are_named_by_our_descriptors() {
        let mut plan = plan(|isolation| {
            isolation.sharing.network = NetworkMode::Container("a".repeat(64));
            isolation.sharing.pid = SharingMode::Container("b".repeat(64));
        });
        let partner = |digit: &str, file: &str| {
            let namespace = std::fs::File::open(format!("/proc/self/ns/{file}")).expect("a namespace");
            Partner { id: digit.repeat(64).parse().expect("an id"), namespace: Arc::new(namespace.into()) }
        };
        let (network, pid) = (partner("a", "net"), partner("b", "pid"));
        let paths_of = [&pid, &network].map(|partner| {
            PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), partner.namespace.as_raw_fd()))
        });
        plan.joined = Joined { network: Some(network), pid: Some(pid) };
        let found = namespaces(&plan).expect("ok");
        let paths: Vec<_> = found.iter().filter_map(|namespace| namespace.path().clone()).collect();
        assert_eq!(paths, paths_of);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for change in [
            |isolation: &mut Isolation| isolation.sharing.uts = SharingMode::Container("x".into()),
            |isolation: &mut Isolation| isolation.sharing.ipc = SharingMode::Container("x".into()),
            |isolation: &mut Isolation| {
                isolation.sharing.uts = SharingMode::Host;
                isolation.hostname = "h".into();
            },
            |isolation: &mut Isolation| {
                isolation.sharing.network = NetworkMode::Container("x".into());
                isolation.hostname = "h".into();
            },
        ] {
            assert!(matches!(namespaces(&plan(change)), Err(SpecError::Sharing(_))));
        }
    }
}
