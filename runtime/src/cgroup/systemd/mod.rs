//! The systemd driver: systemd makes a transient scope for the container, and knows its limits as the unit's
//! properties; the files of the cgroup are then written as without it, since many limits have no property.
//!
//! A user's systemd also moves processes that cannot enter by themselves, as those of a login
//! (`child/intermediate.rs`). docs/decisions/0003 says why it is done this way.
//!
//! - [`properties`], [`annotations`]: what the unit is told
//! - [`message`], [`bus`]: D-Bus, as little of it as that needs
//! - [`placeholder`]: holds the scope open until the container is in

pub(crate) mod annotations;
pub(crate) mod bus;
pub(crate) mod error;
pub(crate) mod manager;
mod message;
pub(crate) mod placeholder;
pub(crate) mod properties;

use std::path::Path;

use knarr_proto::id::ContainerId;
use serde::{Deserialize, Serialize};

use super::devices::DeviceList;
use super::error::CgroupError;
use super::layout::Version;
use super::limits::settings::Fields;
use crate::host::Host;
use crate::spec::Spec;
use crate::spec::resources::Resources;
use bus::Bus;
use error::BusError;
use manager::Manager;
use message::{Property, Value, Writer};
use placeholder::Placeholder;

const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// A container's unit, as its state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scope {
    /// `prefix-name.scope`.
    pub(crate) unit: String,
    /// Whose it is.
    pub(crate) manager: Manager,
}

/// The unit before it is started.
#[derive(Clone, Debug)]
pub(super) struct ScopePlan {
    pub(super) scope: Scope,
    /// The cgroup in every hierarchy.
    pub(super) path: String,
    properties: Vec<Property>,
    /// Set when the container's first process is in: until then the placeholder counts too.
    tasks_max: Option<Property>,
}

/// What the unit is to hold its processes to.
pub(super) struct ScopeLimits<'a> {
    /// Made to [`fit`].
    pub(super) resources: &'a Resources,
    pub(super) devices: &'a DeviceList,
}

/// Plans the unit from `slice:prefix:name`.
pub(super) fn plan(
    spec: &Spec,
    id: &ContainerId,
    host: &Host,
    ScopeLimits { resources, devices }: &ScopeLimits<'_>,
) -> Result<ScopePlan, CgroupError> {
    // sd_booted(3).
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(CgroupError::NoSystemd);
    }
    let manager = if host.euid == 0 && !host.is_rootless { Manager::System } else { Manager::User };
    let version = host.cgroups.version();
    if manager == Manager::User && version == Version::V1 {
        return Err(CgroupError::NoUserSystemd);
    }
    let default_slice = if manager == Manager::User { "user.slice" } else { "system.slice" };
    let (slice, unit) = names(&spec.linux.cgroups_path, id, default_slice)?;
    let base = match manager {
        Manager::System => String::new(),
        // Where systemd has always put it (pam_systemd, user@.service).
        Manager::User => format!("/user.slice/user-{0}.slice/user@{0}.service", host.euid),
    };
    let path = format!("{base}{}/{unit}", expand(&slice)?);
    let fields = Fields("linux.resources");
    let text = |text: &str| Value::Text(text.to_owned());
    let mut all: Vec<Property> = vec![
        ("Description".to_owned(), text(&format!("knarr container {id}"))),
        ("Slice".to_owned(), text(&slice)),
    ];
    let io = if version == Version::V2 { "IOAccounting" } else { "BlockIOAccounting" };
    for (name, is_on) in [
        ("Delegate", true),
        ("DefaultDependencies", false),
        ("MemoryAccounting", true),
        ("CPUAccounting", true),
        (io, true),
        ("TasksAccounting", true),
    ] {
        all.push((name.to_owned(), Value::Boolean(is_on)));
    }
    all.extend(properties::unit_properties(resources, version, fields)?);
    if version == Version::V1 {
        all.extend(properties::of_devices(devices));
    }
    all.extend(annotations::properties(&spec.annotations)?);
    Ok(ScopePlan {
        scope: Scope { unit, manager },
        path,
        properties: all,
        tasks_max: properties::tasks_max(resources),
    })
}

/// The slice and the unit's name.
fn names(asked: &str, id: &ContainerId, default_slice: &str) -> Result<(String, String), CgroupError> {
    let bad = |problem| CgroupError::BadPath { path: asked.to_owned(), problem };
    if asked.is_empty() {
        return Ok((default_slice.to_owned(), format!("knarr-{id}.scope")));
    }
    let parts: Vec<&str> = asked.split(':').collect();
    let [slice, prefix, name] = parts.as_slice() else {
        return Err(bad("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups"));
    };
    let is_name =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-\\@".contains(&byte));
    if name.is_empty() || !is_name(prefix) || !is_name(name) {
        return Err(bad("a unit's name is made of letters, digits and _ . - \\ @"));
    }
    let unit = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
    if unit.len() > 255 {
        return Err(bad("a unit's name has at most 255 bytes"));
    }
    let slice = if slice.is_empty() { default_slice } else { slice };
    Ok((slice.to_owned(), unit))
}

/// systemd.slice(5): `a-b.slice` is in `a.slice`; `-.slice` is the root.
fn expand(slice: &str) -> Result<String, CgroupError> {
    let bad = |problem| CgroupError::BadPath { path: slice.to_owned(), problem };
    let stem = slice.strip_suffix(".slice").ok_or_else(|| bad("a slice's name ends with .slice"))?;
    if stem == "-" {
        return Ok(String::new());
    }
    let mut path = String::new();
    let mut prefix = String::new();
    for part in stem.split('-') {
        if part.is_empty() || part.contains('/') {
            return Err(bad("a slice's name has names between its dashes, and no slash"));
        }
        prefix.push_str(part);
        path.push_str(&format!("/{prefix}.slice"));
        prefix.push('-');
    }
    Ok(path)
}

impl ScopePlan {
    /// Has systemd start the unit around a placeholder.
    pub(super) fn start(&self) -> Result<Placeholder, CgroupError> {
        let failed = |source| self.scope.failed("start", source);
        let mut bus = Bus::connect(self.scope.manager).map_err(failed)?;
        let placeholder = Placeholder::fork().map_err(|source| CgroupError::Placeholder { source })?;
        let started = match self.start_around(&placeholder, &mut bus) {
            // One that failed and has not been deleted yet is in the way.
            Err(error) if error.is(UNIT_EXISTS) => {
                bus.reset_failed(&self.scope.unit).and_then(|()| self.start_around(&placeholder, &mut bus))
            }
            started => started,
        };
        match started {
            Ok(()) => Ok(placeholder),
            Err(error) => {
                placeholder.end();
                Err(failed(error))
            }
        }
    }

    fn start_around(&self, placeholder: &Placeholder, bus: &mut Bus) -> Result<(), BusError> {
        let mut properties = self.properties.clone();
        properties::leave_out_unknown(&mut properties, || bus.version())?;
        properties.push(("PIDs".to_owned(), Value::Uint32s(vec![placeholder.pid])));
        let mut body = Writer::default();
        body.text(&self.scope.unit);
        body.text("replace");
        body.properties(&properties);
        body.no_structures();
        bus.job("StartTransientUnit", "ssa(sv)a(sa(sv))", body)
    }

    /// The container is in: its own number of tasks counts from now on.
    pub(super) fn limit_tasks(&self) -> Result<(), CgroupError> {
        match &self.tasks_max {
            Some(property) => self.scope.set(vec![property.clone()]),
            None => Ok(()),
        }
    }
}

impl Scope {
    /// Tells systemd new limits.
    pub(super) fn update(&self, resources: &Resources, version: Version) -> Result<(), CgroupError> {
        let mut properties = properties::unit_properties(resources, version, Fields(""))?;
        properties.extend(properties::tasks_max(resources));
        if properties.is_empty() { Ok(()) } else { self.set(properties) }
    }

    fn set(&self, mut properties: Vec<Property>) -> Result<(), CgroupError> {
        let failed = |source| self.failed("set properties of", source);
        let mut bus = Bus::connect(self.manager).map_err(failed)?;
        properties::leave_out_unknown(&mut properties, || bus.version()).map_err(failed)?;
        bus.set_properties(&self.unit, &properties).map_err(failed)
    }

    /// Has a user's systemd move a process of the user's into the unit's cgroup, or into the one `below` it. A
    /// process in a login's cgroup, which is not the user's own, may not move itself.
    pub(super) fn attach(&self, below: &str, pid: u32) -> Result<(), CgroupError> {
        let failed = |source| self.failed("move a process into", source);
        let mut body = Writer::default();
        body.text(&self.unit);
        body.text(&format!("/{below}"));
        body.numbers(&[pid]);
        let mut bus = Bus::connect(self.manager).map_err(failed)?;
        bus.ask_manager("AttachProcessesToUnit", "ssau", body).map(drop).map_err(failed)
    }

    /// Has systemd stop the unit and forget it if it failed, as by OOM; one that is gone is as good.
    pub(super) fn stop(&self) -> Result<(), CgroupError> {
        let failed = |source| self.failed("stop", source);
        let mut bus = Bus::connect(self.manager).map_err(failed)?;
        let mut body = Writer::default();
        body.text(&self.unit);
        body.text("replace");
        let stopped = bus.job("StopUnit", "ss", body).and_then(|()| bus.reset_failed(&self.unit));
        match stopped {
            Err(error) if error.is(NO_SUCH_UNIT) => Ok(()),
            stopped => stopped.map_err(failed),
        }
    }

    fn failed(&self, verb: &'static str, source: BusError) -> CgroupError {
        CgroupError::Unit { verb, unit: self.unit.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ContainerId {
        "web".parse().expect("an id")
    }

    #[test]
    fn a_unit_has_its_slice_and_its_name() {
        let pair = |slice: &str, unit: &str| (slice.to_owned(), unit.to_owned());
        assert_eq!(
            names("", &id(), "system.slice").expect("default"),
            pair("system.slice", "knarr-web.scope")
        );
        assert_eq!(
            names("a-b.slice:docker:1", &id(), "x").expect("three"),
            pair("a-b.slice", "docker-1.scope")
        );
        assert_eq!(names("::1", &id(), "system.slice").expect("three"), pair("system.slice", "1.scope"));
        for path in ["/a/b", "a:b", "a:b:c:d", "a.slice:x:", "a.slice:x:a/b", "a.slice:x:a b"] {
            assert!(names(path, &id(), "x").is_err(), "{path}");
        }
    }

    #[test]
    fn dashes_in_a_slice_are_levels() {
        assert_eq!(expand("-.slice").expect("root"), "");
        assert_eq!(expand("a.slice").expect("one"), "/a.slice");
        assert_eq!(expand("a-b-c.slice").expect("three"), "/a.slice/a-b.slice/a-b-c.slice");
        for slice in ["a", "a.scope", "-a.slice", "a-.slice", "a--b.slice", "a/b.slice", ".slice"] {
            assert!(expand(slice).is_err(), "{slice}");
        }
    }
}
