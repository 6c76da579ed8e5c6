//! `--device` and the limits of devices.

use knarr_proto::v1::{Device, DeviceRate};

use super::{BadOption, size};

/// `HOST[:CONTAINER][:PERMISSIONS]`. What a name of a CDI device is, is no path.
pub(crate) fn parse(text: &str) -> Result<Device, BadOption> {
    let is_access = |part: &str| !part.is_empty() && part.bytes().all(|letter| b"rwm".contains(&letter));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts.as_slice() {
        [host] => (*host, "", ""),
        [host, access] if is_access(access) => (*host, "", *access),
        [host, container] => (*host, *container, ""),
        [host, container, access] if is_access(access) => (*host, *container, *access),
        [_, _, access] => return Err(BadOption::part(access, text, "is not of the letters r, w and m")),
        _ => return Err(BadOption::form(text, "HOST[:CONTAINER][:rwm]")),
    };
    if !host.starts_with('/') {
        return match host.contains('=') {
            true => {
                Err(BadOption::unsupported(text, "CDI devices are not known yet; name the device's path"))
            }
            false => Err(BadOption::part(host, text, "is not an absolute path")),
        };
    }
    if !container.is_empty() && !container.starts_with('/') {
        return Err(BadOption::part(container, text, "is not an absolute path"));
    }
    Ok(Device { host_path: host.into(), container_path: container.into(), permissions: permissions.into() })
}

/// `--device-cgroup-rule`: `TYPE MAJOR:MINOR ACCESS`.
pub(crate) fn parse_rule(text: &str) -> Result<String, BadOption> {
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    let words: Vec<&str> = text.split(' ').collect();
    let is_rule = matches!(words.as_slice(), [kind, numbers, access]
        if matches!(*kind, "a" | "b" | "c")
            && numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
            && (1..=3).contains(&access.len()) && access.bytes().all(|letter| b"rwm".contains(&letter)));
    if is_rule { Ok(text.to_owned()) } else { Err(BadOption::form(text, "a rule such as 'c 13:* rwm'")) }
}

/// `--blkio-weight`
pub(crate) fn parse_weight(text: &str) -> Result<u32, BadOption> {
    let weight = text.parse().ok().filter(|weight| *weight == 0 || (10..=1000).contains(weight));
    weight.ok_or_else(|| BadOption::form(text, "a weight of 10 to 1000, or 0"))
}

/// `DEVICE:WEIGHT`
pub(crate) fn parse_device_weight(text: &str) -> Result<DeviceRate, BadOption> {
    rate(text, |weight| parse_weight(weight).ok().map(u64::from), "DEVICE:WEIGHT, as in /dev/sda:500")
}

/// `DEVICE:RATE`, in reads or writes a second.
pub(crate) fn parse_rate(text: &str) -> Result<DeviceRate, BadOption> {
    rate(text, |number| number.parse().ok(), "DEVICE:NUMBER, as in /dev/sda:1000")
}

/// `DEVICE:RATE`, in bytes a second.
pub(crate) fn parse_bytes_rate(text: &str) -> Result<DeviceRate, BadOption> {
    let bytes = |text: &str| size::parse(text).ok().and_then(|bytes| u64::try_from(bytes).ok());
    rate(text, bytes, "DEVICE:SIZE, as in /dev/sda:10mb")
}

fn rate(
    text: &str,
    number: impl FnOnce(&str) -> Option<u64>,
    form: &'static str,
) -> Result<DeviceRate, BadOption> {
    let parsed = text.rsplit_once(':').and_then(|(path, rate)| Some((path, number(rate)?)));
    match parsed {
        Some((path, rate)) if path.starts_with("/dev/") => Ok(DeviceRate { path: path.to_owned(), rate }),
        _ => Err(BadOption::form(text, form)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_docker_reads_it() {
        let parts = |text: &str| {
            let device = parse(text).expect(text);
            [device.host_path, device.container_path, device.permissions]
        };
        assert_eq!(parts("/dev/fuse"), ["/dev/fuse", "", ""]);
        assert_eq!(parts("/dev/fuse:rw"), ["/dev/fuse", "", "rw"]);
        assert_eq!(parts("/dev/sda:/dev/xvdc:r"), ["/dev/sda", "/dev/xvdc", "r"]);
        for text in ["", "fuse", "/dev/a:b", "/dev/a:/b:x", "/dev/a:/b:r:w", "vendor.com/class=one"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_name_a_device() {
        assert_eq!(parse_bytes_rate("/dev/sda:1mb").expect("a rate").rate, 1 << 20);
        assert_eq!(parse_rate("/dev/sda:7").expect("a rate").path, "/dev/sda");
        assert_eq!(parse_device_weight("/dev/sda:10").expect("a weight").rate, 10);
        for text in ["/dev/sda", "sda:1", "/dev/sda:-1", "/dev/sda:x"] {
            assert!(parse_rate(text).is_err() && parse_bytes_rate(text).is_err(), "{text}");
        }
        for text in ["5", "1001", "x"] {
            assert!(parse_weight(text).is_err(), "{text}");
        }
        for text in ["c 1:3 r", "a *:* rwm"] {
            assert!(parse_rule(text).is_ok(), "{text}");
        }
        for text in ["c 1 r", "d 1:3 r", "c 1:3", "c 1:3 rx", "c 1:3 r "] {
            assert!(parse_rule(text).is_err(), "{text}");
        }
    }
}
