//! The local driver: a directory below the root, or what its options ask mount(2) for: docker's `type`, `o`, `device`.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

use super::error::VolumeError;
use super::model::Volume;

const KNOWN: [&str; 3] = ["type", "o", "device"];

/// What is mounted for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeSource {
    /// A file system's type, or `bind`.
    pub(crate) kind: String,
    pub(crate) source: String,
    /// As mount(8) writes them.
    pub(crate) options: Vec<String>,
}

/// Whether options fit together, in docker's words.
///
/// # Errors
/// [`VolumeError::Options`].
pub(super) fn check(name: &str, options: &BTreeMap<String, String>) -> Result<(), VolumeError> {
    let refuse = |problem: String| Err(VolumeError::Options { name: name.to_owned(), problem });
    if options.contains_key("size") {
        return refuse("quota size requested but no quota support: leave the option size out".to_owned());
    }
    if let Some(unknown) = options.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return refuse(format!("invalid option: {unknown:?}; there are type, o and device"));
    }
    if options.is_empty() {
        return Ok(());
    }
    for required in ["device", "type"] {
        if options.get(required).is_none_or(String::is_empty) {
            return refuse(format!("missing required option: {required:?}"));
        }
    }
    let text = |key: &str| options.get(key).map_or("", String::as_str);
    if options.values().any(|value| value.contains('\0')) {
        return refuse("an option holds a NUL".to_owned());
    }
    if is_bind(text("type"), text("o")) && !text("device").starts_with('/') {
        return refuse(format!("the device {:?} of a bind mount is no absolute path", text("device")));
    }
    Ok(())
}

fn is_bind(kind: &str, options: &str) -> bool {
    kind == "none" || options.split(',').any(|option| ["bind", "rbind"].contains(&option))
}

/// What a container gets mounted. Looks up the address of a file server, which may take a while. Blocks.
///
/// # Errors
/// [`VolumeError::Gone`], [`VolumeError::Address`].
pub(super) fn source(volume: &Volume, data: &Path) -> Result<VolumeSource, VolumeError> {
    if volume.options.is_empty() {
        if !data.is_dir() {
            return Err(VolumeError::Gone(volume.name.clone()));
        }
        return Ok(VolumeSource {
            kind: "bind".to_owned(),
            source: data.to_string_lossy().into_owned(),
            options: vec!["rbind".to_owned(), "rprivate".to_owned()],
        });
    }
    let text = |key: &str| volume.options.get(key).map_or("", String::as_str);
    let (kind, device) = (text("type"), text("device").to_owned());
    let given = text("o").split(',').filter(|option| !option.is_empty()).map(str::to_owned);
    let mut options: Vec<String> = given.collect();
    if is_bind(kind, text("o")) {
        if !options.iter().any(|option| ["bind", "rbind"].contains(&option.as_str())) {
            options.push("rbind".to_owned());
        }
        return Ok(VolumeSource { kind: "bind".to_owned(), source: device, options });
    }
    for option in &mut options {
        if let Some(host) = option.strip_prefix("addr=").filter(|_| kind.starts_with("nfs") || kind == "cifs")
        {
            *option = format!("addr={}", address(volume, host)?);
        }
    }
    Ok(VolumeSource { kind: kind.to_owned(), source: device, options })
}

/// The kernel takes addresses only.
fn address(volume: &Volume, host: &str) -> Result<IpAddr, VolumeError> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let failed = |source| VolumeError::Address { name: volume.name.clone(), host: host.to_owned(), source };
    let mut found = (host, 0).to_socket_addrs().map_err(failed)?;
    let none = || failed(std::io::ErrorKind::NotFound.into());
    found.next().map(|address| address.ip()).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixNs;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn mounted(pairs: &[(&str, &str)]) -> VolumeSource {
        let volume = Volume {
            name: "data".to_owned(),
            options: options(pairs),
            labels: BTreeMap::new(),
            is_anonymous: false,
            created_at: UnixNs(0),
        };
        source(&volume, Path::new("/")).expect("a source")
    }

    #[test]
    fn options_become_what_is_mounted() {
        for (pairs, kind, source, options) in [
            (&[][..], "bind", "/", &["rbind", "rprivate"][..]),
            (&[("type", "none"), ("o", "bind,ro"), ("device", "/srv")], "bind", "/srv", &["bind", "ro"]),
            (&[("type", "none"), ("device", "/srv")], "bind", "/srv", &["rbind"]),
            (
                &[("type", "tmpfs"), ("o", "size=1m,uid=9"), ("device", "tmpfs")],
                "tmpfs",
                "tmpfs",
                &["size=1m", "uid=9"],
            ),
            (
                &[("type", "nfs"), ("o", "addr=127.0.0.1,rw"), ("device", ":/export")],
                "nfs",
                ":/export",
                &["addr=127.0.0.1", "rw"],
            ),
        ] {
            let options = options.iter().map(|option| (*option).to_owned()).collect();
            let expected = VolumeSource { kind: kind.to_owned(), source: source.to_owned(), options };
            assert_eq!(mounted(pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn options_that_do_not_fit_are_refused_in_docker_s_words() {
        for (pairs, says) in [
            (&[("what", "1")][..], "invalid option: \"what\""),
            (&[("type", "tmpfs")], "missing required option: \"device\""),
            (&[("o", "size=1m")], "missing required option: \"device\""),
            (&[("device", "tmpfs"), ("o", "ro")], "missing required option: \"type\""),
            (&[("size", "1g")], "no quota support"),
            (&[("type", "none"), ("o", "bind"), ("device", "srv")], "no absolute path"),
            (&[("type", "tmpfs"), ("device", "a\0b")], "NUL"),
        ] {
            let refused = check("data", &options(pairs)).expect_err(says).to_string();
            assert!(refused.starts_with("create data: ") && refused.contains(says), "{refused}");
        }
    }
}
