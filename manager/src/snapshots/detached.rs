//! Mounts that no other process sees and that are gone when their descriptor is closed.
//!
//! Linux 6.5 makes an overlay of many layers without a place to mount it at; older kernels take the layers only from
//! mount(2). They do not say so where the layers are named: their mount API collects options as text and fails at the
//! very end. So the old way is taken whenever the new one fails, at whichever step.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use knarr_proto::overlay::{MAX_MOUNT_DATA_BYTES, relative_options};
use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags};

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Returns the root of what `layers` (nearest first) show together: read-only, without devices and programs.
///
/// # Errors
/// The kernel's.
pub(crate) fn view_layers(layers: &[PathBuf]) -> io::Result<OwnedFd> {
    match layers {
        [only] => in_own_namespace(|| bind_view(only)),
        layers => overlay_view(layers).or_else(|_| in_own_namespace(|| overlay_view_at(layers))),
    }
}

/// Runs `work` on a thread with a mount namespace of its own: what it mounts, other processes never see.
pub(super) fn in_own_namespace<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let apart = || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("mount".to_owned()).spawn_scoped(scope, apart)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Mounts an overlay at `place` and opens it. Only for [`in_own_namespace`]: the working directory may change.
pub(super) fn overlay_at(place: &Path, options: &[String], flags: MountFlags) -> io::Result<OwnedFd> {
    let mut data = options.join(",");
    if data.len() > MAX_MOUNT_DATA_BYTES
        && let Some(relative) = relative_options(options)
    {
        rustix::process::chdir(&relative.directory)?;
        data = relative.options.join(",");
    }
    let data = CString::new(data)?;
    rustix::mount::mount("overlay", place, "overlay", flags, data.as_c_str())?;
    Ok(rustix::fs::open(place, OPEN, Mode::empty())?)
}

/// Mounts an overlay at `place`, for a process that has a mount namespace of its own: its working directory may change.
///
/// # Errors
/// The kernel's.
pub(crate) fn mount_overlay(place: &Path, options: &[String]) -> io::Result<()> {
    overlay_at(place, options, MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC).map(drop)
}

fn overlay_view(layers: &[PathBuf]) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in layers {
        rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    rustix::mount::fsconfig_set_flag(&context, "ro")?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // A mount's own descriptor is only a path.
    Ok(rustix::fs::openat(&mount, ".", OPEN, Mode::empty())?)
}

const VIEW: MountFlags =
    MountFlags::RDONLY.union(MountFlags::NODEV).union(MountFlags::NOSUID).union(MountFlags::NOEXEC);

fn overlay_view_at(layers: &[PathBuf]) -> io::Result<OwnedFd> {
    let [place, ..] = layers else { return Err(io::ErrorKind::InvalidInput.into()) };
    let names: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
    overlay_at(place, &[format!("lowerdir={}", names.join(":"))], VIEW)
}

fn bind_view(directory: &Path) -> io::Result<OwnedFd> {
    rustix::mount::mount_bind(directory, directory)?;
    rustix::mount::mount_remount(directory, MountFlags::BIND | VIEW, c"")?;
    Ok(rustix::fs::open(directory, OPEN, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers whose absolute names are longer, together, than a page.
    fn layers(directory: &Path, count: usize) -> Vec<PathBuf> {
        let long = directory.join("long".repeat(50));
        let layers: Vec<_> = (0..count).map(|number| long.join(number.to_string())).collect();
        for (number, layer) in layers.iter().enumerate() {
            std::fs::create_dir_all(layer).expect("a layer");
            std::fs::write(layer.join(number.to_string()), "").expect("a file");
        }
        layers
    }

    fn is_root() -> bool {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root {
            eprintln!("SKIP: mounts need root");
        }
        is_root
    }

    #[test]
    fn both_ways_show_the_same_of_one_layer_and_of_more_than_fit_in_a_page() {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().expect("a directory");
        for count in [1, 2, 30, 128, 300] {
            let layers = layers(&directory.path().join(format!("of {count}")), count);
            let seen = |root: &OwnedFd| {
                let mut names = crate::trees::list(root).expect("listed");
                names.sort_by(|(one, _), (other, _)| one.cmp(other));
                names.len()
            };
            assert_eq!(seen(&view_layers(&layers).expect("a view")), count);
            if count > 1 {
                let old = in_own_namespace(|| overlay_view_at(&layers)).expect("as before Linux 6.5");
                assert_eq!(seen(&old), count);
            }
        }
    }

    #[test]
    fn a_view_is_read_only_and_its_devices_and_programs_do_nothing() {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let layers = layers(directory.path(), 2);
        let device = rustix::fs::makedev(1, 3);
        let null = layers[0].join("null");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &null,
            rustix::fs::FileType::CharacterDevice,
            Mode::from(0o666),
            device,
        )
        .expect("a device");
        let views =
            [view_layers(&layers), view_layers(&layers[..1]), in_own_namespace(|| overlay_view_at(&layers))];
        for view in views.map(|view| view.expect("a view")) {
            let open = |flags| rustix::fs::openat(&view, "null", flags, Mode::empty());
            assert_eq!(open(OFlags::RDONLY).err(), Some(rustix::io::Errno::ACCESS));
            let made = rustix::fs::mkdirat(&view, "new", Mode::RWXU);
            assert_eq!(made, Err(rustix::io::Errno::ROFS));
            let flags = rustix::fs::fstatvfs(&view).expect("flags").f_flag;
            let inert = rustix::fs::StatVfsMountFlags::NODEV
                | rustix::fs::StatVfsMountFlags::NOSUID
                | rustix::fs::StatVfsMountFlags::NOEXEC;
            assert!(flags.contains(inert), "{flags:?}");
        }
    }

    #[test]
    fn what_is_mounted_apart_is_seen_nowhere_else() {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let layers = layers(directory.path(), 2);
        let view = in_own_namespace(|| overlay_view_at(&layers)).expect("a view");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        assert!(!mounts.contains(&layers[0].display().to_string()));
        drop(view);
    }
}
