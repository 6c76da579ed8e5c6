//! From `linux.cgroupsPath` and `linux.resources` to paths and values. Touches nothing; at most it reads where the
//! caller itself is, for a relative path and for a caller that may make none.

use std::borrow::Cow;

use knarr_proto::id::ContainerId;

use super::devices::DeviceList;
use super::error::CgroupError;
use super::layout::{Hierarchy, Membership, Version};
use super::limits::settings::{Fields, Limits};
use super::paths::{CgroupPath, CgroupPaths};
use super::systemd::{ScopeLimits, ScopePlan};
use crate::cgroup::{owner, systemd};
use crate::host::Host;
use crate::spec::Spec;

/// What makes the cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Driver {
    /// We do, in cgroupfs.
    #[default]
    Cgroupfs,
    /// systemd does (`--systemd-cgroup`).
    Systemd,
}

/// A container's cgroups before they are made.
#[derive(Clone, Debug)]
pub(crate) struct CgroupPlan {
    /// Where they will be.
    pub(crate) paths: CgroupPaths,
    /// What the container may use.
    pub(crate) limits: Limits,
    /// Which device nodes it may use.
    pub(super) devices: DeviceList,
    /// systemd's unit.
    pub(super) scope: Option<ScopePlan>,
    /// The user that may divide the v2 cgroup further.
    pub(super) owner: Option<u32>,
    /// Whether device rules that we have no permission for are left out (rootless).
    pub(super) is_rootless: bool,
    /// Whether a hierarchy that we have no permission for is left out (rootless, and nothing there was asked for).
    forgiving: bool,
    /// Where the caller is, and the container stays in such a hierarchy (rootless).
    pub(super) own: CgroupPaths,
}

impl CgroupPlan {
    /// Whether there may be no cgroup in a hierarchy that we have no permission for. Beside v1, v2 has no limits, so
    /// that users that have v1 cgroups of their own have none there.
    pub(super) fn forgives(&self, path: &CgroupPath) -> bool {
        let is_beside_v1 = path.version == Version::V2 && !self.paths.is_unified();
        self.forgiving || (self.is_rootless && is_beside_v1)
    }
}

/// Plans the container's cgroups: `cgroupsPath` absolute is below each hierarchy's mount, relative is below the
/// caller's own cgroup (v2: beside it, since a v2 cgroup with processes cannot have children with controllers), and
/// absent is `/<id>`.
///
/// # Errors
/// [`CgroupError`] for a path that could leave its place, a limit that makes no sense or has no controller, and for
/// systemd where none runs.
pub(crate) fn plan(
    spec: &Spec,
    id: &ContainerId,
    host: &Host,
    driver: Driver,
) -> Result<CgroupPlan, CgroupError> {
    let linux = &spec.linux;
    if host.cgroups.hierarchies.is_empty() {
        return Err(CgroupError::NoneMounted);
    }
    let fields = Fields("linux.resources");
    let devices = DeviceList::plan(&linux.resources.devices, fields)?;
    let mut resources = Cow::Borrowed(&linux.resources);
    let version = host.cgroups.version();
    let (scope, warning) = match driver {
        Driver::Cgroupfs => (None, None),
        Driver::Systemd => {
            let warning = systemd::properties::fit(resources.to_mut(), version);
            let wanted = ScopeLimits { resources: &resources, devices: &devices };
            (Some(systemd::plan(spec, id, host, &wanted)?), warning)
        }
    };
    let paths = match &scope {
        None => paths(&linux.cgroups_path, id, host)?,
        Some(planned) => {
            let paths = below(host, |_| planned.path.clone());
            CgroupPaths { scope: Some(planned.scope.clone()), ..paths }
        }
    };
    let own = match host.is_rootless {
        true => {
            let own = Membership::own()?;
            below(host, |hierarchy| own.path_in(hierarchy).unwrap_or("/").to_owned())
        }
        false => CgroupPaths::default(),
    };
    let forgiving = host.is_rootless && linux.cgroups_path.is_empty() && scope.is_none();
    let mut limits = Limits::plan(&resources, &paths, fields)?;
    limits.warnings.extend(warning.map(str::to_owned));
    Ok(CgroupPlan {
        owner: if scope.is_some() && version == Version::V2 { owner::plan(spec) } else { None },
        limits,
        devices,
        scope,
        is_rootless: host.is_rootless,
        paths,
        forgiving,
        own,
    })
}

fn paths(asked: &str, id: &ContainerId, host: &Host) -> Result<CgroupPaths, CgroupError> {
    let wanted = if asked.is_empty() { format!("/{id}") } else { asked.to_owned() };
    let inner = normal(&wanted)?;
    let own = if wanted.starts_with('/') { None } else { Some(Membership::own()?) };
    Ok(below(host, |hierarchy| {
        let base = own.as_ref().map_or("/", |own| own.path_in(hierarchy).unwrap_or("/"));
        let base = match hierarchy.version {
            Version::V1 => base,
            Version::V2 => base.rsplit_once('/').map_or("", |(parent, _)| parent),
        };
        format!("{}{inner}", base.trim_end_matches('/'))
    }))
}

/// A cgroup in each hierarchy of the host.
fn below(host: &Host, path: impl Fn(&Hierarchy) -> String) -> CgroupPaths {
    let in_one = |hierarchy: &Hierarchy| CgroupPath {
        version: hierarchy.version,
        controllers: hierarchy.controllers.clone(),
        mount: hierarchy.mount.clone(),
        path: path(hierarchy),
    };
    CgroupPaths { hierarchies: host.cgroups.hierarchies.iter().map(in_one).collect(), scope: None }
}

/// The path with one slash before each name. Refuses what could lead elsewhere or to the root itself.
fn normal(path: &str) -> Result<String, CgroupError> {
    let bad = |problem| CgroupError::BadPath { path: path.to_owned(), problem };
    let mut out = String::with_capacity(path.len() + 1);
    for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
        match name {
            ".." => return Err(bad("\"..\" is not allowed")),
            _ if name.len() > 255 => return Err(bad("a name is longer than 255 bytes")),
            _ if name.contains(['\0', '\n']) => return Err(bad("a name holds a NUL or a newline")),
            _ => out.extend(["/", name]),
        }
    }
    match out.len() {
        0 => Err(bad("it is the root of the hierarchy")),
        1..=3500 => Ok(out),
        _ => Err(bad("it is longer than 3500 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart_and_put_together_again() {
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("a", "/a"),
            ("//a/./b//", "/a/b"),
            ("/kubepods/pod..1/x", "/kubepods/pod..1/x"),
        ] {
            assert_eq!(normal(path).expect(path), expected);
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        let long_name = format!("/{}", "x".repeat(256));
        let long_path = "/x".repeat(2000);
        for path in ["/", "", ".", "../x", "/a/../../x", "a/..", "/a\0b", "/a\nb", &long_name, &long_path] {
            assert!(normal(path).is_err(), "{path:?}");
        }
    }
}
