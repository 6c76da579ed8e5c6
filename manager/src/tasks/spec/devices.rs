//! Devices: docker's list of what the device cgroup lets through; a privileged container has all of the host's.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

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

/// The device cgroup's rules.
pub(super) fn rules(privileged: bool) -> Vec<LinuxDeviceCgroup> {
    if privileged {
        return vec![rule(true, None, None, None, "rwm")];
    }
    let mut rules =
        vec![rule(false, None, None, None, "rwm"), rule(true, Some(LinuxDeviceType::B), None, None, "m")];
    rules.extend(
        ALLOWED
            .iter()
            .map(|(major, minor, access)| rule(true, Some(LinuxDeviceType::C), *major, *minor, access)),
    );
    rules
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
        let typ = match kind {
            kind if kind.is_char_device() => LinuxDeviceType::C,
            kind if kind.is_block_device() => LinuxDeviceType::B,
            _ => continue,
        };
        if devices.len() < MAX_DEVICES {
            devices.push(device(&entry.path(), typ, &metadata));
        }
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
