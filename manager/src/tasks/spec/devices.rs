//! Devices: docker's list of what the device cgroup lets through; a privileged container has all of the host's.

use std::fs::FileType;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use super::error::SpecError;
use crate::tasks::plan::{Devices, RequestedDevice};

/// Character devices that every container may use: type, major, minor (`None` is all), access.
const ALLOWED: [(Option<i64>, Option<i64>, &str); 9] = [
    (None, None, "m"),
    (Some(1), Some(3), "rwm"),
    (Some(1), Some(5), "rwm"),
    (Some(1), Some(7), "rwm"),
    (Some(1), Some(8), "rwm"),
    (Some(1), Some(9), "rwm"),
    (Some(5), Some(0), "rwm"),
    (Some(5), Some(2), "rwm"),
    (Some(136), None, "rwm"),
];
/// How deep below /dev, and how many: enough for /dev/bus/usb of a large machine.
const MAX_DEPTH: u32 = 4;
const MAX_DEVICES: usize = 4096;

/// A device of the container, and what it may do with it.
pub(super) type Granted = (LinuxDevice, LinuxDeviceCgroup);

/// The devices that were asked for. Of a directory, those in it and below it.
///
/// # Errors
/// [`SpecError`] for one that is not there, or is none.
pub(super) fn requested(devices: &Devices) -> Result<Vec<Granted>, SpecError> {
    let mut granted = Vec::new();
    for wanted in &devices.requested {
        granted.extend(grant(wanted)?);
    }
    Ok(granted)
}

fn grant(wanted: &RequestedDevice) -> Result<Vec<Granted>, SpecError> {
    let refuse = |problem| {
        let text = wanted.host_path.chars().take(200).collect();
        Err(SpecError::DeviceForm { text, problem })
    };
    let host = Path::new(&wanted.host_path);
    let inside = match wanted.container_path.as_str() {
        "" => host,
        path => Path::new(path),
    };
    if !host.is_absolute() || !inside.is_absolute() {
        return refuse("it needs an absolute path");
    }
    let access = match wanted.permissions.as_str() {
        "" => "rwm",
        access if access.bytes().all(|letter| b"rwm".contains(&letter)) => access,
        _ => return refuse("its permissions are of the letters r, w and m"),
    };
    let metadata = host.metadata().map_err(|source| SpecError::Device { path: host.to_owned(), source })?;
    let mut found = Vec::new();
    match device_type(metadata.file_type()) {
        Some(typ) => found.push(device(inside, typ, &metadata)),
        None if metadata.is_dir() => {
            collect(host, 1, &mut found);
            for device in &mut found {
                let below = device
                    .path()
                    .strip_prefix(host)
                    .map_or_else(|_| inside.to_owned(), |path| inside.join(path));
                device.set_path(below);
            }
        }
        None => return refuse("it is neither a device nor a directory"),
    }
    if found.is_empty() {
        return refuse("no device is in that directory");
    }
    let granted = found.into_iter().map(|device| {
        let rule = rule(true, Some(device.typ()), Some(device.major()), Some(device.minor()), access);
        (device, rule)
    });
    Ok(granted.collect())
}

/// A rule as people write it: `c 13:* rwm`.
fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup, SpecError> {
    let refuse = || SpecError::DeviceForm {
        text: text.chars().take(200).collect(),
        problem: "a rule has the form of `c 13:* rwm`: a, b or c, the numbers, and some of r, w and m",
    };
    let mut words = text.split_ascii_whitespace();
    let (Some(typ), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(refuse());
    };
    let typ = match typ {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(refuse()),
    };
    let number = |text: &str| match text {
        "*" => Ok(None),
        text => text.parse::<u32>().map(|number| Some(i64::from(number))).map_err(|_| refuse()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(refuse)?;
    match access.bytes().all(|letter| b"rwm".contains(&letter)) {
        true => Ok(rule(true, Some(typ), number(major)?, number(minor)?, access)),
        false => Err(refuse()),
    }
}

/// The device cgroup's rules: docker's, those of the devices that are `granted`, and those that were asked for.
///
/// # Errors
/// [`SpecError::DeviceForm`] for a rule that is none.
pub(super) fn rules(
    privileged: bool,
    granted: &[Granted],
    asked: &[String],
) -> Result<Vec<LinuxDeviceCgroup>, SpecError> {
    let asked: Vec<LinuxDeviceCgroup> =
        asked.iter().map(|text| parse_rule(text)).collect::<Result<_, _>>()?;
    if privileged {
        return Ok(vec![rule(true, None, None, None, "rwm")]);
    }
    let mut rules =
        vec![rule(false, None, None, None, "rwm"), rule(true, Some(LinuxDeviceType::B), None, None, "m")];
    rules.extend(
        ALLOWED
            .iter()
            .map(|(major, minor, access)| rule(true, Some(LinuxDeviceType::C), *major, *minor, access)),
    );
    rules.extend(granted.iter().map(|(_, rule)| rule.clone()));
    rules.extend(asked);
    Ok(rules)
}

fn rule(
    allow: bool,
    typ: Option<LinuxDeviceType>,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow);
    rule.set_typ(typ);
    rule.set_major(major);
    rule.set_minor(minor);
    rule.set_access(Some(access.to_owned()));
    rule
}

/// The host's devices, for a privileged container. What cannot be read is left out, as docker does.
pub(super) fn of_the_host() -> Vec<LinuxDevice> {
    let mut devices = Vec::new();
    collect(Path::new("/dev"), 0, &mut devices);
    devices
}

fn collect(directory: &Path, depth: u32, devices: &mut Vec<LinuxDevice>) {
    // Those are mounts or the container's own.
    const LEFT_OUT: [&str; 6] = ["pts", "shm", "fd", "mqueue", "console", ".udev"];
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if depth == 0 && LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let (Ok(kind), Ok(metadata)) = (entry.file_type(), entry.metadata()) else { continue };
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(&entry.path(), depth + 1, devices);
        }
        let Some(typ) = device_type(kind) else { continue };
        if devices.len() < MAX_DEVICES {
            devices.push(device(&entry.path(), typ, &metadata));
        }
    }
}

fn device_type(kind: FileType) -> Option<LinuxDeviceType> {
    match kind {
        kind if kind.is_char_device() => Some(LinuxDeviceType::C),
        kind if kind.is_block_device() => Some(LinuxDeviceType::B),
        _ => None,
    }
}

fn device(path: &Path, typ: LinuxDeviceType, metadata: &std::fs::Metadata) -> LinuxDevice {
    let mut device = LinuxDevice::default();
    device.set_path(path.to_owned());
    device.set_typ(typ);
    device.set_major(i64::from(rustix::fs::major(metadata.rdev())));
    device.set_minor(i64::from(rustix::fs::minor(metadata.rdev())));
    device.set_file_mode(Some(metadata.mode() & 0o7777));
    device.set_uid(Some(metadata.uid()));
    device.set_gid(Some(metadata.gid()));
    device
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(host: &str, inside: &str, permissions: &str) -> Result<Vec<Granted>, SpecError> {
        let wanted = RequestedDevice {
            host_path: host.into(),
            container_path: inside.into(),
            permissions: permissions.into(),
        };
        requested(&Devices { requested: vec![wanted], cgroup_rules: Vec::new() })
    }

    #[test]
    fn a_device_comes_under_its_name_with_its_rights() {
        let granted = granted("/dev/null", "/dev/other", "r").expect("there");
        let (device, rule) = &granted[0];
        assert_eq!(
            (device.path().as_path(), device.major(), device.minor()),
            (Path::new("/dev/other"), 1, 3)
        );
        assert_eq!((rule.allow(), rule.access().as_deref()), (true, Some("r")));
    }

    #[test]
    fn what_is_no_device_is_refused_by_its_name() {
        for (host, inside, permissions) in [
            ("/dev/nowhere", "", ""),
            ("dev/null", "", ""),
            ("/dev/null", "null", ""),
            ("/dev/null", "", "x"),
            ("/etc/passwd", "", ""),
            ("/proc/self/fdinfo", "", ""),
        ] {
            let error = granted(host, inside, permissions).expect_err(host).to_string();
            assert!(error.contains(host), "{error}");
        }
    }

    #[test]
    fn rules_are_read_as_docker_reads_them() {
        let rule = parse_rule("c 13:* rm").expect("a rule");
        assert_eq!((rule.major(), rule.minor(), rule.access().as_deref()), (Some(13), None, Some("rm")));
        for text in
            ["", "c", "c 13 r", "x 1:1 r", "c 1:1 rwx", "c -1:1 r", "c 1:1 r more", "c 4294967296:1 r"]
        {
            assert!(parse_rule(text).is_err(), "{text}");
        }
    }
}
