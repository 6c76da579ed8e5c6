//! `-v [SOURCE:]TARGET[:OPTIONS]`

use std::path::{Component, Path, PathBuf};

use knarr_proto::v1::{Mount, MountType};

use super::BadOption;

/// How mounts travel between host and container, mount_namespaces(7).
pub(super) const PROPAGATIONS: [&str; 6] = ["rprivate", "private", "rslave", "slave", "rshared", "shared"];

/// Reads a bind mount or a volume. As with docker, a missing source is made, a relative directory must begin with a dot, for
/// anything else is the name of a volume, and a volume without a name gets one of its own.
pub(crate) fn parse(text: &str) -> Result<Mount, BadOption> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => {
            let target = target_path(target, text)?;
            return Ok(Mount { r#type: MountType::Volume.into(), target, ..Mount::default() });
        }
        [source, target] => (*source, *target, ""),
        [source, target, options] => (*source, *target, *options),
        _ => return Err(BadOption::form(text, "SOURCE:TARGET[:OPTIONS]")),
    };
    if source.is_empty() || target.is_empty() {
        return Err(BadOption::form(text, "SOURCE:TARGET[:OPTIONS]"));
    }
    let is_bind = source.starts_with(['/', '.', '~']);
    let kind = if is_bind { MountType::Bind } else { MountType::Volume };
    let mut mount = Mount {
        r#type: kind.into(),
        source: if is_bind { absolute(source, text)? } else { source.to_owned() },
        target: target_path(target, text)?,
        create_source: is_bind,
        ..Mount::default()
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => mount.read_only = true,
            "rw" => mount.read_only = false,
            // Relabelling for SELinux, and caching on docker's virtual machines: nothing to do on hosts that knarr runs on.
            "z" | "Z" | "cached" | "consistent" | "delegated" => {}
            "nocopy" if !is_bind => mount.no_copy = true,
            _ if is_bind && PROPAGATIONS.contains(&option) => option.clone_into(&mut mount.propagation),
            _ if is_bind => return Err(BadOption::part(option, text, "is no option of a bind mount")),
            _ => return Err(BadOption::part(option, text, "is no option of a volume")),
        }
    }
    Ok(mount)
}

/// A path on this machine, absolute and without `.` and `..`, as the daemon wants it.
pub(super) fn absolute(path: &str, text: &str) -> Result<String, BadOption> {
    let full = std::path::absolute(path)
        .map_err(|_| BadOption::part(path, text, "cannot be made absolute: the working directory is gone"))?;
    let clean = without_dots(&full);
    clean
        .into_os_string()
        .into_string()
        .map_err(|_| BadOption::part(path, text, "is below a directory whose name is not UTF-8"))
}

/// A path in the container.
pub(super) fn target_path(path: &str, text: &str) -> Result<String, BadOption> {
    if !path.starts_with('/') {
        return Err(BadOption::part(path, text, "must be an absolute path in the container"));
    }
    let clean = without_dots(Path::new(path));
    if clean == Path::new("/") {
        return Err(BadOption::part(path, text, "would hide the container's root filesystem"));
    }
    Ok(clean.to_string_lossy().into_owned())
}

fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_mounts_are_understood() {
        let here = std::env::current_dir().expect("a directory");
        let here = here.to_str().expect("UTF-8");
        for (text, source, target, read_only, propagation) in [
            ("/a:/b", "/a", "/b", false, ""),
            ("/a/../c/./d:/b/", "/c/d", "/b", false, ""),
            ("./a:/b:ro", &format!("{here}/a"), "/b", true, ""),
            (".:/b:rw,rslave", here, "/b", false, "rslave"),
            ("/a:/b:Z,ro,shared", "/a", "/b", true, "shared"),
        ] {
            let mount = parse(text).expect(text);
            assert_eq!((mount.source.as_str(), mount.target.as_str()), (source, target), "{text}");
            assert_eq!((mount.read_only, mount.propagation.as_str()), (read_only, propagation), "{text}");
            assert!(mount.create_source);
        }
    }

    #[test]
    fn what_has_no_path_is_a_volume() {
        for (text, source, no_copy, read_only) in [
            ("/b", "", false, false),
            ("data:/b", "data", false, false),
            ("data:/b:nocopy,ro", "data", true, true),
        ] {
            let mount = parse(text).expect(text);
            assert_eq!((mount.r#type(), mount.source.as_str()), (MountType::Volume, source), "{text}");
            assert_eq!((mount.no_copy, mount.read_only, mount.create_source), (no_copy, read_only, false));
            assert_eq!(mount.target, "/b");
        }
    }

    #[test]
    fn other_volumes_are_refused() {
        for text in [
            "",
            "b",
            "data:b",
            "/a:b",
            "/a:/b:ro:x",
            "/a:/b:maybe",
            "/a:/b:nocopy",
            "data:/b:rslave",
            ":/b",
            "/a:",
            "/a:/",
            "/a:/b/..",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
