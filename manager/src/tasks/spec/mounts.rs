//! What a container finds mounted: the kernel's file systems as in docker, its own three files of `/etc`, and what
//! was asked for. Sources on the host are checked here, before anything is made.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use oci_spec::runtime::Mount as SpecMount;

use super::error::SpecError;
use super::target::MountTarget;
use super::volumes::VolumeRoot;
use crate::tasks::plan::{Files, Mount, MountKind, SharingMode, TaskPlan};
use crate::volumes::VolumeSource;

/// The size of /dev/shm: docker's 64 MiB.
const SHM_BYTES: u64 = 64 * 1024 * 1024;
const PROPAGATIONS: [&str; 7] = ["", "rprivate", "private", "rslave", "slave", "rshared", "shared"];
/// The container's own files of `/etc`, with their names in the bundle.
pub(super) const OWN_FILES: [(&str, &str); 3] =
    [("/etc/resolv.conf", "resolv.conf"), ("/etc/hostname", "hostname"), ("/etc/hosts", "hosts")];
/// Mounts of one container; docker has no bound, the kernel's default for a namespace is 100,000.
pub(crate) const MAX_MOUNTS: usize = 1000;

/// Where the mounts that were asked for go, in their order: each place once.
///
/// # Errors
/// [`SpecError::DuplicateTarget`] for a place that is asked for twice, in whatever spelling and by whatever flag.
pub(crate) fn requested_targets(files: &Files) -> Result<Vec<MountTarget>, SpecError> {
    let count = files.mounted().count();
    if count > MAX_MOUNTS {
        return Err(SpecError::TooManyMounts { count, max: MAX_MOUNTS });
    }
    let mut seen = HashSet::new();
    let mut targets = Vec::new();
    for mount in files.mounted() {
        let target: MountTarget = mount.target.parse()?;
        if !seen.insert(target.clone()) {
            return Err(SpecError::DuplicateTarget(target));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// The whole mount table, in order: a deeper target comes after a shallower one, so that none hides another.
pub(super) fn mount_table(
    plan: &TaskPlan,
    volumes: &[VolumeRoot],
    bundle: &Path,
) -> Result<Vec<SpecMount>, SpecError> {
    let files = &plan.files;
    let targets = requested_targets(files)?;
    let mut placed: Vec<(usize, SpecMount)> = Vec::new();
    for (target, wanted) in targets.iter().zip(files.mounted()) {
        let mount = requested_mount(target, wanted, &plan.volumes)?;
        placed.extend(mount.map(|mount| (target.depth(), mount)));
    }
    let is_requested = |path: &Path| targets.iter().any(|target| target.as_path() == path);
    // With a read-only root these are read-only too, as in docker: they would be the one place to write to.
    let access = if files.read_only_rootfs { "ro" } else { "rw" };
    for (target, file) in OWN_FILES {
        if !is_requested(Path::new(target)) {
            let source = bundle.join("etc").join(file);
            let own = mount(target, "bind", &source.to_string_lossy(), &["rbind", "rprivate", access]);
            placed.push((Path::new(target).components().count(), own));
        }
    }
    // Those of containers of earlier versions are part of the snapshot; with a read-only root that would not do.
    if files.read_only_rootfs {
        let volumes = volumes.iter().filter(|volume| !is_requested(volume.target.as_path()));
        placed.extend(volumes.map(|volume| (volume.target.depth(), volume_mount(volume))));
    }
    placed.sort_by_key(|(depth, _)| *depth);
    let kernels = kernel(plan).into_iter().filter(|mount| !is_requested(mount.destination()));
    Ok(kernels.chain(placed.into_iter().map(|(_, mount)| mount)).collect())
}

/// Memory that begins with what the image has in that place, and with its owner and mode: nothing of the image is hidden.
fn volume_mount(volume: &VolumeRoot) -> SpecMount {
    let owner =
        [format!("mode={:o}", volume.mode), format!("uid={}", volume.uid), format!("gid={}", volume.gid)];
    let [mode, uid, gid] = &owner;
    mount(&volume.target.to_string(), "tmpfs", "tmpfs", &["nosuid", "nodev", "tmpcopyup", mode, uid, gid])
}

/// Makes the host directories that were asked to be made (docker's `-v`).
///
/// # Errors
/// [`SpecError::MakeSource`] with the path.
pub(crate) fn make_sources(files: &Files) -> Result<(), SpecError> {
    for mount in &files.mounts {
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

fn kernel(plan: &TaskPlan) -> Vec<SpecMount> {
    let rights = &plan.isolation.rights;
    let confined = &["nosuid", "noexec", "nodev"][..];
    let access = |is_writable: bool| if is_writable { "rw" } else { "ro" };
    let sysfs = [confined, &[access(rights.privileged)]].concat();
    let cgroup =
        [confined, &[access(rights.privileged || rights.confinement.writable_cgroups), "relatime"]].concat();
    let devpts = &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    let mut mounts = vec![
        mount("/proc", "proc", "proc", confined),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", devpts),
        mount("/sys", "sysfs", "sysfs", &sysfs),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &cgroup),
        mount("/dev/mqueue", "mqueue", "mqueue", confined),
    ];
    mounts.push(match plan.isolation.sharing.ipc {
        SharingMode::Host => mount("/dev/shm", "bind", "/dev/shm", &["rbind", "rprivate"]),
        SharingMode::Private | SharingMode::Container(_) => {
            let size = match plan.files.shm_size_bytes {
                0 => SHM_BYTES,
                bytes => bytes,
            };
            let size = format!("size={size}");
            mount("/dev/shm", "tmpfs", "shm", &[confined, &["mode=1777", &size]].concat())
        }
    });
    mounts
}

/// The mount that was asked for; none for a volume that the snapshot or [`volume_mount`] is, nor for one of which it is
/// not known yet what is mounted, before it is made.
fn requested_mount(
    place: &MountTarget,
    wanted: &Mount,
    volumes: &BTreeMap<String, VolumeSource>,
) -> Result<Option<SpecMount>, SpecError> {
    let target = place.to_string();
    let read_only = if wanted.read_only { "ro" } else { "rw" };
    match &wanted.kind {
        MountKind::Bind { source, propagation, create_source } => {
            if !PROPAGATIONS.contains(&propagation.as_str()) {
                return Err(SpecError::Propagation(propagation.clone()));
            }
            check_source(source, *create_source)?;
            let propagation = if propagation.is_empty() { "rprivate" } else { propagation };
            Ok(Some(mount(&target, "bind", source, &["rbind", propagation, read_only])))
        }
        MountKind::Tmpfs { size_bytes, mode } => {
            let mode = format!("mode={:o}", if *mode == 0 { 0o1777 } else { *mode & 0o7777 });
            let size = format!("size={size_bytes}");
            let mut options = vec!["nosuid", "nodev", "noexec", read_only, &mode];
            if *size_bytes > 0 {
                options.push(&size);
            }
            Ok(Some(mount(&target, "tmpfs", "tmpfs", &options)))
        }
        MountKind::Named(_) => Ok(volumes.get(&wanted.target).map(|source| {
            let mut options: Vec<&str> = source.options.iter().map(String::as_str).collect();
            if wanted.read_only {
                options.push("ro");
            }
            mount(&target, &source.kind, &source.source, &options)
        })),
        MountKind::Volume {} => Ok(None),
    }
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

    fn tmpfs(target: &str) -> Mount {
        Mount { kind: MountKind::Tmpfs { size_bytes: 0, mode: 0 }, target: target.into(), read_only: false }
    }

    fn plan(files: Files) -> TaskPlan {
        TaskPlan { files, ..crate::tasks::spec::tests::plan(|_| {}) }
    }

    fn table(mounts: Vec<Mount>) -> Result<Vec<SpecMount>, SpecError> {
        mount_table(&plan(Files { mounts, ..Files::default() }), &[], Path::new("/b"))
    }

    fn at<'a>(mounts: &'a [SpecMount], target: &str) -> Vec<&'a SpecMount> {
        mounts.iter().filter(|mount| mount.destination() == Path::new(target)).collect()
    }

    #[test]
    fn a_requested_mount_replaces_the_usual_one_at_its_place() {
        let mounts = table(vec![bind("/etc", "/dev/shm/"), bind("/etc", "//etc/./hosts")]).expect("ok");
        let sources = |target: &str| -> Vec<String> {
            let sources = at(&mounts, target).into_iter().map(|mount| mount.source().clone());
            sources.map(|source| source.expect("a source").display().to_string()).collect()
        };
        assert_eq!(sources("/dev/shm"), ["/etc"]);
        assert_eq!(sources("/etc/hosts"), ["/etc"]);
        assert_eq!(sources("/etc/hostname"), ["/b/etc/hostname"]);
    }

    #[test]
    fn a_deeper_mount_comes_after_a_shallower_one() {
        let mounts = table(vec![bind("/etc", "/a/b/c"), bind("/etc", "/a//")]).expect("ok");
        let position = |target| mounts.iter().position(|mount| mount.destination() == Path::new(target));
        assert!(position("/a").expect("/a") < position("/a/b/c").expect("/a/b/c"));
    }

    #[test]
    fn a_mount_over_etc_does_not_hide_the_containers_own_files() {
        let mounts = table(vec![bind("/usr", "/etc")]).expect("ok");
        let position = |target| mounts.iter().position(|mount| mount.destination() == Path::new(target));
        assert!(position("/etc").expect("/etc") < position("/etc/hosts").expect("/etc/hosts"));
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
            let error = table(vec![bind(source, target)]).expect_err(source).to_string();
            assert!(error.contains(source) || error.contains(target), "{error}");
        }
    }

    #[test]
    fn one_place_is_given_out_once_whatever_its_spelling_and_kind() {
        for (one, other) in [
            (bind("/etc", "/a"), bind("/usr", "/a")),
            (bind("/etc", "/a"), bind("/etc", "/a/")),
            (bind("/etc", "/a"), tmpfs("/./a")),
            (tmpfs("/a"), tmpfs("//a")),
            (tmpfs("/a/b/."), bind("/etc", "/a//b")),
        ] {
            let error = table(vec![one, bind("/etc", "/between"), other]).expect_err("twice").to_string();
            assert!(error.starts_with("Duplicate mount point: /a"), "{error}");
        }
        assert!(table(vec![bind("/etc", "/a"), bind("/etc", "/a/b"), bind("/etc", "/A")]).is_ok());
    }

    #[test]
    fn a_read_only_root_leaves_nothing_to_write_to_and_hides_nothing() {
        let inside =
            |target: &str| Mount { kind: MountKind::Volume {}, target: target.into(), read_only: false };
        let asked = || vec![tmpfs("/asked"), inside("/data"), inside("/asked/")];
        let read_only = plan(Files { read_only_rootfs: true, mounts: asked(), ..Files::default() });
        let volume =
            |target: &str| VolumeRoot { target: target.parse().expect(target), mode: 0o750, uid: 5, gid: 6 };
        let volumes = [volume("/data"), volume("/asked")];
        let mounts = mount_table(&read_only, &volumes, Path::new("/b")).expect("ok");
        for file in ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"] {
            let options = at(&mounts, file)[0].options().clone().expect("options");
            assert!(options.contains(&"ro".to_owned()), "{file}: {options:?}");
        }
        let data = at(&mounts, "/data")[0].options().clone().expect("options");
        for option in ["tmpcopyup", "mode=750", "uid=5", "gid=6"] {
            assert!(data.contains(&option.to_owned()), "{option}: {data:?}");
        }
        assert_eq!(at(&mounts, "/asked").len(), 1, "what was asked for wins over the image");
        let writable =
            mount_table(&plan(Files { mounts: asked(), ..Files::default() }), &volumes, Path::new("/b"))
                .expect("ok");
        assert!(at(&writable, "/data").is_empty());
    }
}
