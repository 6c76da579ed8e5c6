//! Where containers' cgroups are and what makes them: the runtime itself, or systemd where that is the machine's manager
//! of cgroups. A second writer at the root of the tree is what systemd forbids.
#![allow(clippy::disallowed_methods, reason = "before clients are served")]

use std::path::{Component, Path, PathBuf};

use knarr_proto::id::ContainerId;

/// Containers are found by it in /sys/fs/cgroup.
const DEFAULT_PARENT: &str = "/knarr";
/// Where docker and podman have their scopes, too.
const DEFAULT_SLICE: &str = "system.slice";
/// What a scope's name begins with: `knarr-<id>.scope`.
const SCOPE_PREFIX: &str = "knarr";
/// The kernel's NAME_MAX, which a unit's name has to fit in.
const MAX_UNIT_BYTES: usize = 255;

/// What makes containers' cgroups, and below which parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// The runtime, below this path of each hierarchy.
    Cgroupfs { parent: PathBuf },
    /// systemd, as transient scopes in this slice.
    Systemd { slice: String },
}

/// The two settings do not fit together, or one is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCgroups {
    #[error("cgroup-driver is {0:?}, but must be cgroupfs or systemd")]
    Driver(String),
    #[error("cgroup-parent is {0:?}, but must be an absolute path without .. for the driver cgroupfs")]
    Path(String),
    #[error(
        "cgroup-parent is {0:?}, but must be the name of a slice, as in knarr.slice, for the driver systemd"
    )]
    Slice(String),
}

impl Cgroups {
    /// What the settings mean. Without a driver the parent tells it: a slice is systemd's, a path is not; without either
    /// it is systemd's where systemd is pid 1.
    ///
    /// # Errors
    /// [`InvalidCgroups`].
    pub(crate) fn choose(
        driver: Option<&str>,
        parent: Option<&str>,
        is_systemd_here: impl FnOnce() -> bool,
    ) -> Result<Self, InvalidCgroups> {
        let is_systemd = match (driver, parent) {
            (Some("systemd"), _) => true,
            (Some("cgroupfs"), _) => false,
            (Some(other), _) => return Err(InvalidCgroups::Driver(other.to_owned())),
            (None, Some(parent)) => !parent.contains('/'),
            (None, None) => is_systemd_here(),
        };
        match is_systemd {
            true => slice(parent.unwrap_or(DEFAULT_SLICE)),
            false => path(parent.unwrap_or(DEFAULT_PARENT)),
        }
    }

    /// The same with another parent; with an empty one, the same.
    ///
    /// # Errors
    /// [`InvalidCgroups`] for a parent that the driver cannot have.
    pub(crate) fn below(&self, parent: &str) -> Result<Self, InvalidCgroups> {
        match (parent, self) {
            ("", _) => Ok(self.clone()),
            (parent, Self::Systemd { .. }) => slice(parent),
            (parent, Self::Cgroupfs { .. }) => path(parent),
        }
    }

    /// The driver's name, as in docker.
    pub(crate) fn driver(&self) -> &'static str {
        match self {
            Self::Cgroupfs { .. } => "cgroupfs",
            Self::Systemd { .. } => "systemd",
        }
    }

    /// Whether the runtime is to ask systemd.
    pub(crate) fn is_systemd(&self) -> bool {
        matches!(self, Self::Systemd { .. })
    }

    /// A container's `linux.cgroupsPath`, in the form that runtimes take with this driver.
    pub(crate) fn path(&self, id: &ContainerId) -> PathBuf {
        match self {
            Self::Cgroupfs { parent } => parent.join(id.as_str()),
            Self::Systemd { slice } => format!("{slice}:{SCOPE_PREFIX}:{id}").into(),
        }
    }
}

/// Whether systemd is this machine's pid 1, as sd_booted(3) finds out.
pub(crate) fn is_systemd_here() -> bool {
    Path::new("/run/systemd/system").symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

fn path(text: &str) -> Result<Cgroups, InvalidCgroups> {
    let parent = PathBuf::from(text);
    let is_plain = parent.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    match parent.is_absolute() && is_plain {
        true => Ok(Cgroups::Cgroupfs { parent }),
        false => Err(InvalidCgroups::Path(text.to_owned())),
    }
}

/// systemd.slice(5): dashes are levels, so that none is at an end or beside another; `-.slice` is the root.
fn slice(text: &str) -> Result<Cgroups, InvalidCgroups> {
    let is_name = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-\\".contains(&byte);
        let levels = name == "-" || name.split('-').all(|level| !level.is_empty());
        levels && name.bytes().all(allowed)
    };
    let fits = text.len() <= MAX_UNIT_BYTES && text.strip_suffix(".slice").is_some_and(is_name);
    match fits {
        true => Ok(Cgroups::Systemd { slice: text.to_owned() }),
        false => Err(InvalidCgroups::Slice(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(driver: Option<&str>, parent: Option<&str>, here: bool) -> Result<String, InvalidCgroups> {
        let cgroups = Cgroups::choose(driver, parent, || here)?;
        let id = "abc".parse().expect("an id");
        Ok(format!("{} {}", cgroups.driver(), cgroups.path(&id).display()))
    }

    #[test]
    fn systemd_is_asked_where_it_is_pid_1_and_nothing_else_was_said() {
        for (driver, parent, here, expected) in [
            (None, None, false, "cgroupfs /knarr/abc"),
            (None, None, true, "systemd system.slice:knarr:abc"),
            (Some("cgroupfs"), None, true, "cgroupfs /knarr/abc"),
            (Some("systemd"), None, false, "systemd system.slice:knarr:abc"),
            (None, Some("/a/b"), true, "cgroupfs /a/b/abc"),
            (None, Some("a-b.slice"), false, "systemd a-b.slice:knarr:abc"),
            (Some("systemd"), Some("-.slice"), false, "systemd -.slice:knarr:abc"),
        ] {
            assert_eq!(chosen(driver, parent, here).as_deref(), Ok(expected), "{driver:?} {parent:?} {here}");
        }
    }

    #[test]
    fn a_parent_that_the_driver_cannot_have_is_refused() {
        for (driver, parent) in [
            (Some("cgroupsfs"), None),
            (Some(""), None),
            (Some("cgroupfs"), Some("a.slice")),
            (Some("cgroupfs"), Some("/a/../b")),
            (Some("systemd"), Some("/a")),
            (Some("systemd"), Some("a.scope")),
            (Some("systemd"), Some(".slice")),
            (Some("systemd"), Some("-a.slice")),
            (Some("systemd"), Some("a--b.slice")),
            (Some("systemd"), Some("a:b.slice")),
            (Some("systemd"), Some("a/b.slice")),
            (None, Some("../a")),
            (None, Some("a")),
        ] {
            assert!(chosen(driver, parent, true).is_err(), "{driver:?} {parent:?}");
        }
    }
}
