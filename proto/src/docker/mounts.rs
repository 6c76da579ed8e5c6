//! What docker's requests ask to be mounted, in its forms: `Binds`, `Mounts` and `Tmpfs`, and `Volumes` beside them.

use super::fields::{Fields, InvalidBody};
use crate::v1::{Mount, MountType};

const PROPAGATIONS: [&str; 6] = ["rprivate", "private", "rslave", "slave", "rshared", "shared"];

/// All mounts of a `HostConfig`.
///
/// # Errors
/// [`InvalidBody`].
pub(super) fn mounts(body: &Fields, host: &Fields) -> Result<Vec<Mount>, InvalidBody> {
    let mut mounts = Vec::new();
    let driver = host.text("VolumeDriver")?;
    for text in host.texts("Binds")? {
        mounts.push(Mount { volume_driver: driver.clone(), ..bind(host, &text)? });
    }
    for mount in host.objects("Mounts")? {
        mounts.push(object(&mount)?);
    }
    for (target, options) in host.map("Tmpfs")? {
        mounts.push(tmpfs(host, target, &options)?);
    }
    // Those that nothing else is mounted over: docker's client repeats some of the above.
    for target in body.object("Volumes")?.names() {
        if !mounts.iter().any(|mount| mount.target.trim_end_matches('/') == target.trim_end_matches('/')) {
            mounts.push(Mount {
                r#type: MountType::Volume.into(),
                target: target.to_owned(),
                volume_driver: driver.clone(),
                ..Mount::default()
            });
        }
    }
    Ok(mounts)
}

/// `SOURCE:TARGET[:OPTIONS]`; a directory that is missing is made, and so is a volume.
fn bind(host: &Fields, text: &str) -> Result<Mount, InvalidBody> {
    let invalid =
        |expected| InvalidBody::Value { field: host.path("Binds"), value: text.to_owned(), expected };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(invalid("it must be SOURCE:TARGET[:OPTIONS]")),
    };
    let is_bind = source.starts_with('/');
    let kind = if is_bind { MountType::Bind } else { MountType::Volume };
    let mut mount = Mount {
        r#type: kind.into(),
        source: source.to_owned(),
        target: target.to_owned(),
        create_source: is_bind,
        ..Mount::default()
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            // Relabelling for SELinux, and caching on docker's virtual machines: nothing to do on hosts that knarr runs on.
            "rw" | "z" | "Z" | "cached" | "consistent" | "delegated" => {}
            "nocopy" if !is_bind => mount.no_copy = true,
            option if is_bind && PROPAGATIONS.contains(&option) => option.clone_into(&mut mount.propagation),
            _ => return Err(invalid("it has an unknown option")),
        }
    }
    Ok(mount)
}

/// An object of `Mounts`.
fn object(asked: &Fields) -> Result<Mount, InvalidBody> {
    let kind = match asked.text("Type")?.as_str() {
        "bind" => MountType::Bind,
        "tmpfs" => MountType::Tmpfs,
        "volume" => MountType::Volume,
        other => {
            let field = format!("{} {other:?}", asked.path("Type"));
            return Err(InvalidBody::Unsupported { field, hint: ": there are bind, tmpfs and volume" });
        }
    };
    asked.refuse(&[("ImageOptions", "")])?;
    let of_volume = asked.object("VolumeOptions")?;
    of_volume.refuse(&[("Subpath", ": mount the whole volume")])?;
    if of_volume.says_something() && kind != MountType::Volume {
        let field = asked.path("VolumeOptions");
        let expected = "VolumeOptions must not be specified but on mount type volume";
        return Err(InvalidBody::Value { field, value: asked.text("Type")?, expected });
    }
    let driver = of_volume.object("DriverConfig")?;
    let options = asked.object("BindOptions")?;
    options.refuse(&[("NonRecursive", ""), ("ReadOnlyForceRecursive", ""), ("ReadOnlyNonRecursive", "")])?;
    let of_tmpfs = asked.object("TmpfsOptions")?;
    of_tmpfs.refuse(&[("Options", "")])?;
    Ok(Mount {
        r#type: kind.into(),
        source: asked.text("Source")?,
        target: asked.text("Target")?,
        read_only: asked.flag("ReadOnly")?,
        propagation: options.text("Propagation")?,
        tmpfs_size_bytes: of_tmpfs.count("SizeBytes")?,
        tmpfs_mode: of_tmpfs.count("Mode")?,
        create_source: options.flag("CreateMountpoint")?,
        no_copy: of_volume.flag("NoCopy")?,
        volume_driver: driver.text("Name")?,
        volume_options: driver.map("Options")?.into_iter().collect(),
        volume_labels: of_volume.map("Labels")?.into_iter().collect(),
        ..Mount::default()
    })
}

/// A target and mount(8)'s options of a tmpfs.
fn tmpfs(host: &Fields, target: String, options: &str) -> Result<Mount, InvalidBody> {
    let mut mount = Mount { r#type: MountType::Tmpfs.into(), target, ..Mount::default() };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let invalid = || InvalidBody::Value {
            field: host.path("Tmpfs"),
            value: option.to_owned(),
            expected: "there are ro, rw, size=BYTES and mode=OCTAL",
        };
        match option.split_once('=') {
            None if option == "ro" => mount.read_only = true,
            // As every tmpfs of a container is.
            None if ["rw", "nosuid", "nodev", "noexec"].contains(&option) => {}
            Some(("size", size)) => mount.tmpfs_size_bytes = bytes(size).ok_or_else(invalid)?,
            Some(("mode", mode)) => {
                mount.tmpfs_mode = u32::from_str_radix(mode, 8).map_err(|_| invalid())?;
            }
            None | Some(_) => return Err(invalid()),
        }
    }
    Ok(mount)
}

/// `65536k`, `1g`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(['k', 'm', 'g']);
    let factor: u64 = match &lower[digits.len()..] {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}
