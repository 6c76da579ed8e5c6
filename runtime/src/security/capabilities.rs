//! Capability sets: from names in the plan, onto the process in the child.
//!
//! What is not asked for is dropped from all five sets, the bounding set included; inheritable and ambient stay empty
//! unless they are asked for (CVE-2022-24769, CVE-2022-29162). What we do not hold ourselves cannot be given: the
//! specification has us warn and go on.

use std::collections::BTreeSet;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::spec;

/// Names by number (include/uapi/linux/capability.h).
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The five sets as bit masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    /// Bounding set.
    pub(crate) bounding: u64,
    /// Effective set.
    pub(crate) effective: u64,
    /// Inheritable set.
    pub(crate) inheritable: u64,
    /// Permitted set.
    pub(crate) permitted: u64,
    /// Ambient set.
    pub(crate) ambient: u64,
}

/// Why the sets are not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CapabilityError {
    /// prctl(PR_CAPBSET_DROP).
    #[error("unable to drop {name} from the bounding set")]
    Bounding {
        /// The capability.
        name: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// capset.
    #[error("unable to set capabilities")]
    Set {
        /// What the kernel said.
        source: Errno,
    },
    /// prctl(PR_CAP_AMBIENT).
    #[error("unable to raise {name} in the ambient set")]
    Ambient {
        /// The capability.
        name: &'static str,
        /// What the kernel said.
        source: Errno,
    },
}

/// Every capability's name, for `features`.
#[must_use]
pub(crate) fn names() -> &'static [&'static str] {
    &NAMES
}

/// The number of a capability's name.
#[must_use]
pub(crate) fn number(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

impl Sets {
    /// Reads the names; those that are unknown are returned besides, to be warned about.
    #[must_use]
    pub(crate) fn parse<'a>(
        capabilities: Option<&'a spec::process::Capabilities>,
    ) -> (Self, BTreeSet<&'a str>) {
        let mut unknown = BTreeSet::new();
        let Some(capabilities) = capabilities else { return (Self::default(), unknown) };
        let mut mask = |names: &'a [String]| {
            names.iter().fold(0, |mask, name| match number(name) {
                Some(number) => mask | 1 << number,
                None => {
                    unknown.insert(name.as_str());
                    mask
                }
            })
        };
        let sets = Self {
            bounding: mask(&capabilities.bounding),
            effective: mask(&capabilities.effective),
            inheritable: mask(&capabilities.inheritable),
            permitted: mask(&capabilities.permitted),
            ambient: mask(&capabilities.ambient),
        };
        (sets, unknown)
    }

    /// Leaves out of the ambient set what is not both permitted and inheritable, which the kernel would refuse; returns
    /// the names.
    pub(crate) fn limit_ambient(&mut self) -> Vec<&'static str> {
        let refused = self.ambient & !(self.permitted & self.inheritable);
        self.ambient &= !refused;
        NAMES.iter().enumerate().filter(|(bit, _)| refused >> bit & 1 == 1).map(|(_, name)| *name).collect()
    }

    /// Drops from the bounding set what is not in ours. Needs CAP_SETPCAP, so it comes before the change of user.
    ///
    /// # Errors
    /// [`CapabilityError::Bounding`].
    pub(crate) fn drop_bounding(&self) -> Result<(), CapabilityError> {
        for (number, name) in NAMES.iter().enumerate() {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            if self.bounding & capability.bits() == 0 {
                match rustix::thread::remove_capability_from_bounding_set(capability) {
                    // A kernel older than the capability.
                    Ok(()) | Err(Errno::INVAL) => {}
                    Err(source) => return Err(CapabilityError::Bounding { name, source }),
                }
            }
        }
        Ok(())
    }

    /// Sets the other four sets. The change of user must be over.
    ///
    /// # Errors
    /// [`CapabilityError`].
    pub(crate) fn apply(&self) -> Result<(), CapabilityError> {
        let held = rustix::thread::capabilities(None).map_err(|source| CapabilityError::Set { source })?;
        let permitted = self.permitted & held.permitted.bits();
        let sets = CapabilitySets {
            effective: CapabilitySet::from_bits_retain(self.effective & permitted),
            permitted: CapabilitySet::from_bits_retain(permitted),
            inheritable: CapabilitySet::from_bits_retain(self.inheritable & held.permitted.bits()),
        };
        rustix::thread::set_capabilities(None, sets).map_err(|source| CapabilityError::Set { source })?;
        // The change to another user has cleared it already, but root that stays root has not changed. What is not both
        // permitted and inheritable the kernel refuses as ambient.
        rustix::thread::clear_ambient_capability_set().map_err(|source| CapabilityError::Set { source })?;
        let ambient = self.ambient & sets.permitted.bits() & sets.inheritable.bits();
        for (number, name) in NAMES.iter().enumerate().filter(|(number, _)| ambient & (1 << number) != 0) {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            rustix::thread::configure_capability_in_ambient_set(capability, true)
                .map_err(|source| CapabilityError::Ambient { name, source })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_returned_once_and_known_ones_become_bits() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let capabilities = spec::process::Capabilities {
            bounding: names(&["CAP_CHOWN", "CAP_WARP", "CAP_CHECKPOINT_RESTORE"]),
            effective: names(&["CAP_KILL", "CAP_WARP", "cap_kill"]),
            ..spec::process::Capabilities::default()
        };
        let (sets, unknown) = Sets::parse(Some(&capabilities));
        assert_eq!((sets.bounding, sets.effective, sets.inheritable), (1 | 1 << 40, 1 << 5, 0));
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["CAP_WARP", "cap_kill"]);
    }

    /// The names are the configuration's, which may be of 16 MB.
    #[test]
    fn many_unknown_names_are_told_apart_in_no_time() {
        let bounding = (0..100_000).map(|number| format!("CAP_{number}")).collect();
        let capabilities = spec::process::Capabilities { bounding, ..spec::process::Capabilities::default() };
        let begun = std::time::Instant::now();
        assert_eq!(Sets::parse(Some(&capabilities)).1.len(), 100_000);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_cannot_be_ambient_is_left_out_and_named() {
        let mut sets = Sets { permitted: 0b11, inheritable: 0b10, ambient: 0b11, ..Sets::default() };
        assert_eq!(sets.limit_ambient(), ["CAP_CHOWN"]);
        assert_eq!(sets.ambient, 0b10);
    }

    #[test]
    fn no_capabilities_object_means_none_at_all() {
        assert_eq!(Sets::parse(None).0, Sets::default());
    }
}
