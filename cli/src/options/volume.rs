//! `-v SOURCE:TARGET[:OPTIONS]`

use std::path::{Component, Path, PathBuf};

use knarr_proto::v1::{Mount, MountType};

use super::BadOption;

/// How mounts travel between host and container, mount_namespaces(7).
pub(super) const PROPAGATIONS: [&str; 6] = ["rprivate", "private", "rslave", "slave", "rshared", "shared"];

/// Reads a bind mount. As with docker, a missing source directory is made, and a relative source must begin with a dot,
/// for anything else is the name of a volume.
pub(crate) fn parse(text: &str) -> Result<Mount, BadOption> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [_] => {
            return Err(BadOption::unsupported(text, "name a source, as in ./data:/data, or use --tmpfs"));
        }
        [source, target] => (*source, *target, ""),
        [source, target, options] => (*source, *target, *options),
        _ => return Err(BadOption::form(text, "SOURCE:TARGET[:OPTIONS]")),
    };
    if source.is_empty() || target.is_empty() {
        return Err(BadOption::form(text, "SOURCE:TARGET[:OPTIONS]"));
    }
    if !source.starts_with(['/', '.', '~']) {
        return Err(BadOption::unsupported(
            text,
            "there are no named volumes; write ./ before a relative path",
        ));
    }
    let mut mount = Mount {
        r#type: MountType::Bind.into(),
        source: absolute(source, text)?,
        target: target_path(target, text)?,
        create_source: true,
        ..Mount::default()
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => mount.read_only = true,
            "rw" => mount.read_only = false,
            // Relabelling for SELinux, and caching on docker's virtual machines: nothing to do on hosts that knarr runs on.
            "z" | "Z" | "cached" | "consistent" | "delegated" => {}
            _ if PROPAGATIONS.contains(&option) => option.clone_into(&mut mount.propagation),
            _ => return Err(BadOption::part(option, text, "is no option of a bind mount")),
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
    fn other_volumes_are_refused() {
        for text in
            ["", "/b", "data:/b", "/a:b", "/a:/b:ro:x", "/a:/b:maybe", ":/b", "/a:", "/a:/", "/a:/b/.."]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
