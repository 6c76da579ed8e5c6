//! Which capabilities a container has: docker's fourteen, with what was added and dropped. Inheritable and ambient
//! sets stay empty (CVE-2022-24769).

use std::collections::HashSet;
use std::str::FromStr;

use oci_spec::runtime::{Capability, LinuxCapabilities};

use super::error::SpecError;
use crate::tasks::plan::Rights;

const DEFAULTS: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// All that Linux knows up to 5.9, by name; the kernel's own last one is asked below.
const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Every capability that knarrd itself may give away: its own bounding set.
pub(crate) fn all() -> HashSet<Capability> {
    let own = own_bounding_set();
    let granted = |number: usize| own.is_none_or(|mask| mask >> number & 1 == 1);
    // `ALL` is in the order of the kernel's numbers.
    ALL.iter().enumerate().filter(|(number, _)| granted(*number)).map(|(_, capability)| *capability).collect()
}

fn own_bounding_set() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let hex = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

/// The capabilities of a container's processes.
///
/// # Errors
/// [`SpecError::Capability`] for a name that is none.
pub(super) fn capability_sets(rights: &Rights) -> Result<LinuxCapabilities, SpecError> {
    if rights.privileged {
        return Ok(sets(all()));
    }
    let (add_all, add) = parse(&rights.cap_add)?;
    let (drop_all, drop) = parse(&rights.cap_drop)?;
    // Docker: ALL is applied first, single names after it, drops before additions.
    let mut chosen: HashSet<Capability> = match (add_all, drop_all) {
        (true, _) => all(),
        (false, true) => HashSet::new(),
        (false, false) => DEFAULTS.into(),
    };
    chosen.retain(|capability| !drop.contains(capability));
    chosen.extend(add);
    Ok(sets(chosen))
}

/// The same capabilities, in the sets of a process that starts with them.
pub(crate) fn sets(chosen: HashSet<Capability>) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(chosen.clone()));
    sets.set_effective(Some(chosen.clone()));
    sets.set_permitted(Some(chosen));
    sets.set_inheritable(None);
    sets.set_ambient(None);
    sets
}

fn parse(names: &[String]) -> Result<(bool, HashSet<Capability>), SpecError> {
    let mut all = false;
    let mut chosen = HashSet::new();
    for name in names {
        if bare(name) == "ALL" {
            all = true;
            continue;
        }
        chosen.insert(named(name).ok_or_else(|| SpecError::Capability(name.clone()))?);
    }
    Ok((all, chosen))
}

/// The capability of this name, in any case, with or without `CAP_`.
pub(super) fn named(name: &str) -> Option<Capability> {
    let bare = bare(name);
    Capability::from_str(&format!("CAP_{bare}")).or_else(|_| Capability::from_str(&bare)).ok()
}

fn bare(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str]) -> Result<HashSet<Capability>, SpecError> {
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let rights = Rights { cap_add: strings(add), cap_drop: strings(drop), ..Rights::default() };
        capability_sets(&rights).map(|sets| sets.bounding().clone().expect("a bounding set"))
    }

    #[test]
    fn names_are_added_and_dropped_as_in_docker() {
        assert_eq!(of(&[], &[]).expect("ok"), HashSet::from(DEFAULTS));
        assert!(of(&["net_admin"], &[]).expect("ok").contains(&Capability::NetAdmin));
        assert!(!of(&[], &["CAP_CHOWN"]).expect("ok").contains(&Capability::Chown));
        assert_eq!(of(&["CHOWN"], &["ALL"]).expect("ok"), HashSet::from([Capability::Chown]));
        assert_eq!(of(&["ALL"], &[]).expect("ok"), all());
        assert!(!of(&["ALL"], &["sys_time"]).expect("ok").contains(&Capability::SysTime));
        assert!(matches!(of(&["CAP_NOPE"], &[]), Err(SpecError::Capability(_))));
    }

    #[test]
    fn nothing_is_inheritable_or_ambient() {
        let sets = capability_sets(&Rights { privileged: true, ..Rights::default() }).expect("ok");
        assert!(sets.inheritable().is_none() && sets.ambient().is_none());
    }
}
