//! From what was asked to what will be done: everything is validated here, before the host is touched. Pure: no file is
//! read and no system call made, so that all of it can be tested without privilege.
//!
//! - [`namespaces`], [`mappings`]: what the container is apart from
//! - [`mounts`], [`options`], [`devices`]: what its root holds
//! - [`process`]: the user, the program, and its rights
//! - [`sysctls`]: its own kernel settings;  [`net_devices`]: interfaces that it gets
#![forbid(unsafe_code)]

pub(crate) mod devices;
pub(crate) mod error;
pub(crate) mod mappings;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod net_devices;
pub(crate) mod options;
pub(crate) mod process;
#[cfg(test)]
mod properties;
pub(crate) mod sysctls;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::spec::Spec;
use crate::spec::linux::{IdMapping, NamespaceKind};
use crate::sys::mount::Reach;
use error::{HOST_NAME_MAX_BYTES, PlanError};
use mounts::{IdSource, Mount, MountContext, MountKind};
use namespaces::Namespaces;
use net_devices::NetDevice;
use process::Process;
use sysctls::Sysctl;

/// Of `maskedPaths` and of `readonlyPaths`: each that is there is a mount, of which there are no more either.
const PATHS_MAX: usize = 10_000;

/// Nanoseconds in a second, which an offset's must be below.
const SECOND_NANOS: u32 = 1_000_000_000;

/// A container as it will be made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Namespaces to make and to join.
    pub(crate) namespaces: Namespaces,
    /// The ids of its user namespace, when it makes one.
    pub(crate) ids: Option<Ids>,
    /// Its root.
    pub(crate) root: Root,
    /// Its host name; empty leaves it.
    pub(crate) hostname: String,
    /// Its NIS domain name; empty leaves it.
    pub(crate) domainname: String,
    /// Its kernel settings.
    pub(crate) sysctls: Vec<Sysctl>,
    /// Text for /proc/self/timens_offsets; empty leaves it.
    pub(crate) time_offsets: String,
    /// Interfaces of the host that become its own.
    pub(crate) net_devices: Vec<NetDevice>,
    /// Its first process.
    pub(crate) process: Process,
    /// What was ignored, to be logged.
    pub(crate) warnings: Vec<String>,
}

/// Maps of a user namespace.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    /// Users.
    pub(crate) users: Vec<IdMapping>,
    /// Groups.
    pub(crate) groups: Vec<IdMapping>,
}

/// The container's view of files.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// Absolute path on the host.
    pub(crate) path: PathBuf,
    /// Whether it cannot be written to.
    pub(crate) is_readonly: bool,
    /// `MS_*` propagation of the root mount and how far; none is the default, private to the container.
    pub(crate) propagation: Option<(u64, Reach)>,
    /// Mounts in order.
    pub(crate) mounts: Vec<Mount>,
    /// What /dev is filled with; none when it is bound from elsewhere.
    pub(crate) devices: Option<Vec<devices::Device>>,
    /// Paths that cannot be read, below the root.
    pub(crate) masked: Vec<String>,
    /// Paths that cannot be written, below the root.
    pub(crate) readonly: Vec<String>,
}

impl Plan {
    /// Judges a whole configuration. `bundle` is the bundle's absolute path.
    ///
    /// # Errors
    /// [`PlanError`], which names the field.
    pub(crate) fn new(spec: &Spec, bundle: &Path) -> Result<Self, PlanError> {
        let mut warnings = Vec::new();
        let linux = &spec.linux;
        let namespaces = Namespaces::plan(linux)?;
        if spec.annotations.contains_key("") {
            return Err(PlanError::EmptyAnnotation);
        }
        let process = spec.process.as_ref().ok_or(PlanError::NoProcess)?;
        let relative = spec.mounts.iter().zip(0..).filter(|(mount, _)| !mount.destination.starts_with('/'));
        warnings.extend(relative.map(|(mount, index)| {
            let destination = &mount.destination;
            format!("mounts[{index}].destination: {destination:?} is not absolute, which is deprecated")
        }));
        if !namespaces.has(NamespaceKind::Mount) && !linux.rootfs_propagation.is_empty() {
            warnings.push("linux.rootfsPropagation has no effect without a mount namespace".to_owned());
        }
        Ok(Self {
            ids: ids(spec, &namespaces)?,
            root: root(spec, bundle, &namespaces)?,
            hostname: uts_name("hostname", &spec.hostname, &namespaces)?,
            domainname: uts_name("domainname", &spec.domainname, &namespaces)?,
            sysctls: sysctls::plan(&linux.sysctl, &namespaces)?,
            time_offsets: time_offsets(spec, &namespaces)?,
            net_devices: net_devices::plan(spec, &namespaces)?,
            process: Process::plan(process, &mut warnings)?,
            namespaces,
            warnings,
        })
    }
}

fn ids(spec: &Spec, namespaces: &Namespaces) -> Result<Option<Ids>, PlanError> {
    let (users, groups) = (&spec.linux.uid_mappings, &spec.linux.gid_mappings);
    if !namespaces.makes(NamespaceKind::User) {
        if (users.is_empty() && groups.is_empty()) || namespaces.joins(NamespaceKind::User) {
            return Ok(None);
        }
        return Err(PlanError::NeedsNamespace { field: "linux.uidMappings", kind: NamespaceKind::User });
    }
    for (field, mappings) in [("linux.uidMappings", users), ("linux.gidMappings", groups)] {
        if mappings.is_empty() {
            return Err(PlanError::NoMappings { field });
        }
        mappings::check(field, mappings)?;
    }
    Ok(Some(Ids { users: users.clone(), groups: groups.clone() }))
}

fn root(spec: &Spec, bundle: &Path, namespaces: &Namespaces) -> Result<Root, PlanError> {
    let root = spec.root.as_ref().filter(|root| !root.path.is_empty()).ok_or(PlanError::NoRoot)?;
    let linux = &spec.linux;
    let path = bundle.join(&root.path);
    let propagation = match linux.rootfs_propagation.as_str() {
        "" => None,
        word => Some(options::propagation(word).ok_or_else(|| PlanError::Propagation(word.to_owned()))?),
    };
    let mounts = mounts::plan(&spec.mounts, MountContext { bundle, root: &path, propagation })?;
    let needs_user_namespace =
        |mount: &&Mount| mount.id_map.as_ref().is_some_and(|map| matches!(map.source, IdSource::Container));
    if let (false, Some(mount)) =
        (namespaces.has(NamespaceKind::User), mounts.iter().find(needs_user_namespace))
    {
        return Err(PlanError::IdMapWithoutUserNamespace { destination: format!("/{}", mount.destination) });
    }
    let dev_is_bound =
        mounts.iter().any(|mount| mount.destination == "dev" && matches!(mount.kind, MountKind::Bind { .. }));
    Ok(Root {
        path,
        is_readonly: root.readonly,
        propagation,
        devices: if dev_is_bound { None } else { Some(devices::plan(&linux.devices)?) },
        mounts,
        masked: absolute("maskedPaths", &linux.masked_paths)?,
        readonly: absolute("readonlyPaths", &linux.readonly_paths)?,
    })
}

fn absolute(field: &'static str, paths: &[String]) -> Result<Vec<String>, PlanError> {
    if paths.len() > PATHS_MAX {
        return Err(PlanError::TooManyPaths { field, count: paths.len(), most: PATHS_MAX });
    }
    let mut planned = Vec::with_capacity(paths.len());
    let mut known = HashSet::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        if !path.starts_with('/') {
            return Err(PlanError::RelativePath { field, index, path: path.clone() });
        }
        let below = mounts::below_root(path);
        if known.insert(below.clone()) {
            planned.push(below);
        }
    }
    Ok(planned)
}

fn uts_name(field: &'static str, name: &str, namespaces: &Namespaces) -> Result<String, PlanError> {
    if !name.is_empty() && !namespaces.has(NamespaceKind::Uts) {
        return Err(PlanError::NeedsNamespace { field, kind: NamespaceKind::Uts });
    }
    if name.len() > HOST_NAME_MAX_BYTES {
        return Err(PlanError::NameTooLong { field });
    }
    Ok(name.to_owned())
}

fn time_offsets(spec: &Spec, namespaces: &Namespaces) -> Result<String, PlanError> {
    let offsets = &spec.linux.time_offsets;
    if !offsets.is_empty() && !namespaces.makes(NamespaceKind::Time) {
        return Err(PlanError::NeedsNamespace { field: "linux.timeOffsets", kind: NamespaceKind::Time });
    }
    offsets
        .iter()
        .map(|(clock, offset)| match clock.as_str() {
            "monotonic" | "boottime" if offset.nanosecs >= SECOND_NANOS => {
                Err(PlanError::Nanoseconds { clock: clock.clone(), nanosecs: offset.nanosecs })
            }
            "monotonic" | "boottime" => Ok(format!("{clock} {} {}\n", offset.secs, offset.nanosecs)),
            _ => Err(PlanError::Clock(clock.clone())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, PlanError> {
        let text = format!(
            r#"{{"ociVersion":"1.3.0","root":{{"path":"rootfs"}},"process":{{"cwd":"/","args":["sh"]}},{text}}}"#
        );
        let spec = Spec::parse(text.as_bytes(), Path::new("config.json")).expect("a valid document");
        Plan::new(&spec, Path::new("/bundle"))
    }

    #[test]
    fn a_relative_root_is_the_bundles() {
        let plan = plan(r#""linux":{"namespaces":[{"type":"mount"}]}"#).expect("valid");
        assert_eq!(plan.root.path, Path::new("/bundle/rootfs"));
        assert_eq!(plan.root.devices.map(|devices| devices.len()), Some(6));
    }

    #[test]
    fn what_needs_a_namespace_is_refused_without_it() {
        for text in [
            r#""hostname":"a","linux":{"namespaces":[{"type":"mount"}]}"#,
            r#""linux":{"namespaces":[{"type":"mount"}],"uidMappings":[{"containerID":0,"hostID":1,"size":1}]}"#,
            r#""linux":{"namespaces":[{"type":"mount"}],"timeOffsets":{"monotonic":{"secs":1}}}"#,
        ] {
            assert!(matches!(plan(text), Err(PlanError::NeedsNamespace { .. })), "{text}");
        }
        assert!(matches!(
            plan(r#""linux":{"namespaces":[{"type":"user"},{"type":"mount"}]}"#),
            Err(PlanError::NoMappings { .. })
        ));
        assert!(matches!(
            plan(r#""linux":{"namespaces":[{"type":"user"}]}"#),
            Err(PlanError::NoMountNamespace)
        ));
        let warnings = |text: &str| plan(text).expect("valid").warnings.len();
        assert_eq!(warnings(r#""linux":{"namespaces":[],"rootfsPropagation":"slave"}"#), 1);
        assert_eq!(warnings(r#""linux":{"namespaces":[]}"#), 0);
        let mounts =
            r#""linux":{"namespaces":[{"type":"mount"}]},"mounts":[{"destination":"a","type":"tmpfs"}]"#;
        assert_eq!(warnings(mounts), 1);
        let refusal = |text: &str| plan(text).expect_err(text).to_string();
        assert_eq!(
            refusal(r#""hostname":"a","linux":{"namespaces":[{"type":"mount"}]}"#),
            "hostname needs a new namespace of type uts in linux.namespaces"
        );
    }

    #[test]
    fn a_bound_dev_is_not_filled() {
        let text = r#""linux":{"namespaces":[{"type":"mount"}]},"mounts":[{"destination":"/dev","source":"/dev","options":["rbind"]}]"#;
        assert!(plan(text).expect("valid").root.devices.is_none());
    }
}
