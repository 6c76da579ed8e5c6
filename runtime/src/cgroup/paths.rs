//! Where a container's cgroups are: one path for each hierarchy, as its state remembers them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::CgroupError;
use super::layout::Version;
use super::systemd::Scope;

/// Where a container's cgroups are, as its state remembers them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupPaths {
    /// One for each hierarchy of the host that the container is in.
    pub(crate) hierarchies: Vec<CgroupPath>,
    /// Its unit, when systemd has made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<Scope>,
}

/// A cgroup in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupPath {
    /// Which interface the hierarchy has.
    pub(crate) version: Version,
    /// v1: the controllers bound to it, or `name=systemd`; empty for v2.
    pub(crate) controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub(crate) mount: String,
    /// The cgroup below that mount, with a leading slash, without `.` and `..`.
    pub(crate) path: String,
}

impl CgroupPath {
    /// The directory on the host.
    #[must_use]
    pub(crate) fn directory(&self) -> PathBuf {
        PathBuf::from(format!("{}{}", self.mount, self.path))
    }
}

impl CgroupPaths {
    /// The v1 cgroup that has `controller`.
    #[must_use]
    pub(crate) fn v1(&self, controller: &str) -> Option<&CgroupPath> {
        self.hierarchies.iter().find(|path| path.controllers.iter().any(|name| name == controller))
    }

    /// Whether there is v2 and nothing else.
    #[must_use]
    pub(crate) fn is_unified(&self) -> bool {
        matches!(self.hierarchies.as_slice(), [only] if only.version == Version::V2)
    }

    /// Whose interface its limits have.
    #[must_use]
    pub(crate) fn version(&self) -> Version {
        if self.is_unified() { Version::V2 } else { Version::V1 }
    }

    /// Has systemd stop and forget the unit, if there is one: one that failed stays until then.
    pub(crate) fn forget(&self) -> Result<(), CgroupError> {
        self.scope.as_ref().map_or(Ok(()), Scope::stop)
    }

    /// The v2 cgroup.
    #[must_use]
    pub(crate) fn v2(&self) -> Option<&CgroupPath> {
        self.hierarchies.iter().find(|path| path.version == Version::V2)
    }
}
