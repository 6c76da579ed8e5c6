//! Device nodes to make.

use super::error::PlanError;
use super::mounts::below_root;
use crate::spec;
use crate::spec::linux::DeviceKind;

/// A device node.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// Path below the root, without leading slash.
    pub(crate) path: String,
    /// Kind of node.
    pub(crate) kind: DeviceKind,
    /// Major number.
    pub(crate) major: u32,
    /// Minor number.
    pub(crate) minor: u32,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Owner inside the container.
    pub(crate) uid: u32,
    /// Group inside the container.
    pub(crate) gid: u32,
}

/// runtime-spec, "Default Devices"; /dev/console and /dev/ptmx are made with the terminal.
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("dev/null", 1, 3),
    ("dev/zero", 1, 5),
    ("dev/full", 1, 7),
    ("dev/random", 1, 8),
    ("dev/urandom", 1, 9),
    ("dev/tty", 5, 0),
];

/// The container's own, which comes with its devpts: the host's must not take its place.
const MULTIPLEXER: &str = "dev/ptmx";

/// The default devices, replaced by those of the same path in the configuration.
pub(super) fn plan(devices: &[spec::linux::Device]) -> Result<Vec<Device>, PlanError> {
    let mut planned: Vec<Device> = devices
        .iter()
        .enumerate()
        .filter(|(_, device)| below_root(&device.path) != MULTIPLEXER)
        .map(|(index, device)| {
            plan_one(device).map_err(|error| PlanError::Device { index, source: Box::new(error) })
        })
        .collect::<Result<_, _>>()?;
    for (path, major, minor) in DEFAULTS {
        if !planned.iter().any(|device| device.path == path) {
            let kind = DeviceKind::Character;
            planned.push(Device { path: path.to_owned(), kind, major, minor, mode: 0o666, uid: 0, gid: 0 });
        }
    }
    Ok(planned)
}

fn plan_one(device: &spec::linux::Device) -> Result<Device, PlanError> {
    let number =
        |value: i64| u32::try_from(value).map_err(|_| PlanError::DeviceNumber { path: device.path.clone() });
    let path = below_root(&device.path);
    if path.is_empty() || !device.path.starts_with('/') {
        return Err(PlanError::DevicePath { path: device.path.clone() });
    }
    Ok(Device {
        path,
        kind: device.kind,
        major: number(device.major)?,
        minor: number(device.minor)?,
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid,
        gid: device.gid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_the_configuration_replaces_the_default_one() {
        let null = spec::linux::Device {
            path: "/dev/null".to_owned(),
            kind: DeviceKind::Character,
            major: 1,
            minor: 3,
            file_mode: Some(0o600),
            uid: 5,
            gid: 6,
        };
        let planned = plan(std::slice::from_ref(&null)).expect("valid");
        assert_eq!(planned.len(), 6);
        assert_eq!((planned[0].mode, planned[0].uid), (0o600, 5));
        assert_eq!(
            plan(&[spec::linux::Device { path: "/dev/ptmx".to_owned(), ..null.clone() }])
                .expect("valid")
                .len(),
            6
        );
        assert!(plan(&[spec::linux::Device { major: -1, ..null.clone() }]).is_err());
        assert!(plan(&[spec::linux::Device { path: "/..".to_owned(), ..null }]).is_err());
    }
}
