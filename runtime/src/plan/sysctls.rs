//! Which kernel settings a container may have: those that belong to a namespace of its own.

use std::collections::BTreeMap;

use super::error::PlanError;
use super::namespaces::Namespaces;
use crate::spec::linux::NamespaceKind;

/// Settings of the IPC namespace besides `fs.mqueue.*`.
const IPC: [&str; 9] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.shm_next_id",
];

/// A setting and where it is below /proc/sys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sysctl {
    /// Path below /proc/sys.
    pub(crate) path: String,
    /// What to write.
    pub(crate) value: String,
}

pub(super) fn plan(
    sysctls: &BTreeMap<String, String>,
    namespaces: &Namespaces,
) -> Result<Vec<Sysctl>, PlanError> {
    sysctls
        .iter()
        .map(|(name, value)| {
            let (dotted, path) = both_forms(name);
            let safe = !path.split('/').any(|part| matches!(part, "" | "." | ".."));
            if !safe || !is_namespaced(&dotted, namespaces) {
                return Err(PlanError::Sysctl { name: name.clone() });
            }
            Ok(Sysctl { path, value: value.clone() })
        })
        .collect()
}

/// As sysctl(8): the first separator decides; with `.` first, a `/` stands for a dot inside a name.
fn both_forms(name: &str) -> (String, String) {
    let swap = |text: &str| -> String {
        text.chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect()
    };
    match name.find(['.', '/']) {
        Some(first) if name.as_bytes()[first] == b'/' => (swap(name), name.to_owned()),
        _ => (name.to_owned(), swap(name)),
    }
}

fn is_namespaced(name: &str, namespaces: &Namespaces) -> bool {
    let own = |kind| namespaces.has(kind);
    match name {
        "kernel.domainname" => own(NamespaceKind::Uts),
        // The host name has a field of its own in the specification; set twice, the two could contradict.
        "kernel.hostname" => false,
        _ if IPC.contains(&name) || name.starts_with("fs.mqueue.") => own(NamespaceKind::Ipc),
        _ if name.starts_with("net.") => own(NamespaceKind::Network),
        _ if name.starts_with("user.") => own(NamespaceKind::User),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::linux::Linux;
    use crate::spec::linux::Namespace;

    fn allowed(name: &str) -> bool {
        let kinds = [NamespaceKind::Mount, NamespaceKind::Network, NamespaceKind::Uts];
        let namespaces = kinds.map(|kind| Namespace { kind, path: String::new() }).to_vec();
        let namespaces = Namespaces::plan(&Linux { namespaces, ..Linux::default() }).expect("valid");
        plan(&BTreeMap::from([(name.to_owned(), "1".to_owned())]), &namespaces).is_ok()
    }

    #[test]
    fn only_settings_of_own_namespaces_are_allowed() {
        assert!(allowed("net.ipv4.ip_forward"));
        assert!(allowed("net/ipv4/conf/eth0.100/forwarding"));
        assert!(allowed("kernel.domainname"));
        for name in [
            "kernel.shmmax",
            "kernel.core_pattern",
            "vm.overcommit_memory",
            "kernel.hostname",
            "fs.mqueue.msg_max",
        ] {
            assert!(!allowed(name), "{name}");
        }
    }

    #[test]
    fn a_name_cannot_climb() {
        assert!(!allowed("net/../kernel/core_pattern"));
        assert!(!allowed("net..ipv4"));
    }

    #[test]
    fn a_slash_in_a_dotted_name_is_a_dot() {
        assert_eq!(both_forms("net.ipv4.conf.eth0/100.forwarding").1, "net/ipv4/conf/eth0.100/forwarding");
    }
}
