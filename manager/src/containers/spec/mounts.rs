//! What a container finds mounted: the kernel's file systems as in docker, its own three files of `/etc`, and what
//! was asked for. Sources on the host are checked here, before anything is made.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount as SpecMount;

use super::SpecError;
use crate::containers::model::{Config, Mount, MountKind, Process};

/// The size of /dev/shm: docker's 64 MiB.
const SHM_OPTIONS: &[&str] = &["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"];
const PROPAGATIONS: [&str; 7] = ["", "rprivate", "private", "rslave", "slave", "rshared", "shared"];
/// Mounts of one container; docker has no bound, the kernel's default for a namespace is 100,000.
const MAX_MOUNTS: usize = 1000;

/// The whole mount table, in order: a deeper target comes after a shallower one, so that none hides another.
pub(super) fn of(config: &Config, process: &Process, bundle: &Path) -> Result<Vec<SpecMount>, SpecError> {
    if config.mounts.len() > MAX_MOUNTS {
        return Err(SpecError::TooManyMounts { count: config.mounts.len(), max: MAX_MOUNTS });
    }
    let mut requested = Vec::new();
    for mount in &config.mounts {
        let target = check_target(&mount.target)?;
        requested.push((target, requested_mount(mount)?));
    }
    let is_requested = |target: &str| requested.iter().any(|(requested, _)| requested == target);
    let mut mounts: Vec<SpecMount> =
        kernel(config).into_iter().filter(|mount| !is_requested(target_of(mount))).collect();
    for (target, file) in
        [("/etc/resolv.conf", "resolv.conf"), ("/etc/hostname", "hostname"), ("/etc/hosts", "hosts")]
    {
        if !is_requested(target) {
            let source = bundle.join("etc").join(file);
            mounts.push(mount(target, "bind", &source.to_string_lossy(), &["rbind", "rprivate"]));
        }
    }
    // An image's VOLUMEs live on the container's own snapshot for now; with a read-only rootfs that would not do.
    if config.read_only_rootfs {
        for volume in process.volumes.iter().filter(|volume| volume.starts_with('/') && !is_requested(volume))
        {
            mounts.push(mount(volume, "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=755"]));
        }
    }
    requested.sort_by_key(|(target, _)| target.matches('/').count());
    mounts.extend(requested.into_iter().map(|(_, mount)| mount));
    Ok(mounts)
}

/// Makes the host directories that were asked to be made (docker's `-v`).
///
/// # Errors
/// [`SpecError::MakeSource`] with the path.
pub(crate) fn make_sources(config: &Config) -> Result<(), SpecError> {
    for mount in &config.mounts {
        if let MountKind::Bind { source, create_source: true, .. } = &mount.kind
            && Path::new(source).symlink_metadata().is_err()
            && source.starts_with('/')
        {
            std::fs::create_dir_all(source)
                .map_err(|cause| SpecError::MakeSource { path: source.into(), source: cause })?;
        }
    }
    Ok(())
}

fn kernel(config: &Config) -> Vec<SpecMount> {
    let sysfs: &[&str] =
        if config.privileged { &["nosuid", "noexec", "nodev"] } else { &["nosuid", "noexec", "nodev", "ro"] };
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", sysfs),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &[sysfs, &["relatime"]].concat()),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", "shm", SHM_OPTIONS),
    ]
}

fn requested_mount(wanted: &Mount) -> Result<SpecMount, SpecError> {
    let read_only = if wanted.read_only { "ro" } else { "rw" };
    match &wanted.kind {
        MountKind::Bind { source, propagation, create_source } => {
            if !PROPAGATIONS.contains(&propagation.as_str()) {
                return Err(SpecError::Propagation(propagation.clone()));
            }
            check_source(source, *create_source)?;
            let propagation = if propagation.is_empty() { "rprivate" } else { propagation };
            Ok(mount(&wanted.target, "bind", source, &["rbind", propagation, read_only]))
        }
        MountKind::Tmpfs { size_bytes, mode } => {
            let mode = format!("mode={:o}", if *mode == 0 { 0o1777 } else { *mode & 0o7777 });
            let size = format!("size={size_bytes}");
            let mut options = vec!["nosuid", "nodev", "noexec", read_only, &mode];
            if *size_bytes > 0 {
                options.push(&size);
            }
            Ok(mount(&wanted.target, "tmpfs", "tmpfs", &options))
        }
    }
}

fn check_target(target: &str) -> Result<String, SpecError> {
    let path = Path::new(target);
    let climbs = path.components().any(|component| component == std::path::Component::ParentDir);
    let normal: PathBuf = path.components().collect();
    if !path.is_absolute() || climbs || target.contains('\0') || normal == Path::new("/") {
        return Err(SpecError::Target(target.to_owned()));
    }
    Ok(normal.to_string_lossy().into_owned())
}

fn check_source(source: &str, create: bool) -> Result<(), SpecError> {
    if !source.starts_with('/') || source.contains('\0') {
        return Err(SpecError::Source(source.to_owned()));
    }
    match Path::new(source).metadata() {
        Ok(_) => Ok(()),
        Err(_) if create => Ok(()),
        Err(cause) => Err(SpecError::NoSource { path: source.into(), source: cause }),
    }
}

fn target_of(mount: &SpecMount) -> &str {
    mount.destination().to_str().unwrap_or_default()
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> SpecMount {
    let mut mount = SpecMount::default();
    mount.set_destination(target.into());
    mount.set_typ(Some(kind.to_owned()));
    mount.set_source(Some(source.into()));
    mount.set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(source: &str, target: &str) -> Mount {
        let kind =
            MountKind::Bind { source: source.into(), propagation: String::new(), create_source: false };
        Mount { kind, target: target.into(), read_only: true }
    }

    fn of(mounts: Vec<Mount>) -> Result<Vec<SpecMount>, SpecError> {
        let config = Config { mounts, ..Config::default() };
        super::of(&config, &Process::default(), Path::new("/b"))
    }

    #[test]
    fn a_requested_mount_replaces_the_usual_one_at_its_place() {
        let mounts = of(vec![bind("/etc", "/dev/shm/"), bind("/etc", "/etc/hosts")]).expect("ok");
        let sources = |target: &str| -> Vec<String> {
            let at = mounts.iter().filter(|mount| target_of(mount).trim_end_matches('/') == target);
            at.map(|mount| mount.source().as_ref().expect("a source").display().to_string()).collect()
        };
        assert_eq!(sources("/dev/shm"), ["/etc"]);
        assert_eq!(sources("/etc/hosts"), ["/etc"]);
        assert_eq!(sources("/etc/hostname"), ["/b/etc/hostname"]);
    }

    #[test]
    fn a_deeper_mount_comes_after_a_shallower_one() {
        let mounts = of(vec![bind("/etc", "/a/b/c"), bind("/etc", "/a")]).expect("ok");
        let position = |target| mounts.iter().position(|mount| target_of(mount) == target).expect(target);
        assert!(position("/a") < position("/a/b/c"));
    }

    #[test]
    fn mounts_that_cannot_be_are_refused_by_name() {
        for (source, target) in [
            ("/etc", "relative"),
            ("/etc", "/"),
            ("/etc", "/a/../b"),
            ("etc", "/a"),
            ("/nowhere/at/all", "/a"),
        ] {
            let error = of(vec![bind(source, target)]).expect_err(source).to_string();
            assert!(error.contains(source) || error.contains(target), "{error}");
        }
    }
}
