//! Mounts what the caller lists at the bundle's rootfs, and takes it away again. It makes nothing up: without a list the
//! rootfs is the runtime's business.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use containerd_shim_protos::api::Mount;
use knarr_proto::overlay::{MAX_MOUNT_DATA_BYTES, relative_options};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    UnmountFlags,
};

/// A rootfs has a handful of mounts on top of each other; more than this is a loop in the making.
const MAX_MOUNTS: usize = 64;

/// The rootfs cannot be put together or taken apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// More than [`MAX_MOUNTS`].
    #[error("a rootfs of {0} mounts is over the limit of {MAX_MOUNTS}")]
    TooMany(usize),
    /// containerd 2's mounts below the rootfs.
    #[error("mounts below the rootfs ({0:?}) are not supported: list them in config.json")]
    Target(String),
    /// An option that only mount(8) could carry out.
    #[error("mount option {0:?} is not supported")]
    Option(String),
    /// The mount point cannot be made.
    #[error("cannot make the mount point {}", path.display())]
    MountPoint {
        /// The rootfs.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused.
    #[error("cannot mount {kind} {from:?} at {}", at.display())]
    Mount {
        /// The file system's type.
        kind: String,
        /// What was to be mounted.
        from: String,
        /// The rootfs.
        at: PathBuf,
        /// Why.
        source: Errno,
    },
    /// Still mounted.
    #[error("cannot unmount {}", at.display())]
    Unmount {
        /// The rootfs.
        at: PathBuf,
        /// Why.
        source: Errno,
    },
}

/// Mounts all of `mounts` at `rootfs`, in their order; on an error, none.
pub(crate) fn mount_all(mounts: &[Mount], rootfs: &Path) -> Result<(), MountError> {
    if mounts.is_empty() {
        return Ok(());
    }
    if mounts.len() > MAX_MOUNTS {
        return Err(MountError::TooMany(mounts.len()));
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(rootfs)
        .map_err(|source| MountError::MountPoint { path: rootfs.to_owned(), source })?;
    for mount in mounts {
        if let Err(error) = mount_one(mount, rootfs) {
            // The first error is the one to tell; what stays mounted would show at the next create.
            unmount_all(rootfs).ok();
            return Err(error);
        }
    }
    Ok(())
}

fn mount_one(mount: &Mount, rootfs: &Path) -> Result<(), MountError> {
    if !mount.target.is_empty() {
        return Err(MountError::Target(mount.target.clone()));
    }
    let options = Options::parse(&mount.options)?;
    options.mount(mount, rootfs).map_err(|source| MountError::Mount {
        kind: mount.type_.clone(),
        from: mount.source.clone(),
        at: rootfs.to_owned(),
        source,
    })
}

/// A mount's options, sorted by what handles them: mount(2) or the file system.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    flags: MountFlags,
    propagation: MountPropagationFlags,
    data: Vec<String>,
}

impl Options {
    fn parse(options: &[String]) -> Result<Self, MountError> {
        let mut sorted = Self {
            flags: MountFlags::empty(),
            propagation: MountPropagationFlags::empty(),
            data: Vec::new(),
        };
        for option in options {
            if let Some((set, flags)) = flag_named(option) {
                sorted.flags.set(flags, set);
            } else if let Some(propagation) = propagation_named(option) {
                sorted.propagation |= propagation;
            } else if matches!(option.as_str(), "loop" | "remount") || option.starts_with("X-") {
                return Err(MountError::Option(option.clone()));
            } else if !matches!(option.as_str(), "" | "defaults") {
                sorted.data.push(option.clone());
            }
        }
        if sorted.data.iter().any(|option| option.contains('\0')) {
            return Err(MountError::Option("with a zero byte".to_owned()));
        }
        Ok(sorted)
    }

    fn mount(&self, mount: &Mount, rootfs: &Path) -> Result<(), Errno> {
        let data = self.data.join(",");
        let (source, kind) = (mount.source.as_str(), mount.type_.as_str());
        if data.len() > MAX_MOUNT_DATA_BYTES && kind == "overlay" {
            self.mount_long_overlay(source, rootfs)?;
        } else {
            let data = CString::new(data).expect("checked for zero bytes");
            rustix::mount::mount(source, rootfs, kind, self.flags, Some(data.as_c_str()))?;
        }
        // The kernel ignores all other flags while it makes a bind mount.
        let after = self.flags & !(MountFlags::BIND | MountFlags::REC);
        if self.flags.contains(MountFlags::BIND) && !after.is_empty() {
            rustix::mount::mount_remount(rootfs, MountFlags::BIND | after, "")?;
        }
        if !self.propagation.is_empty() {
            rustix::mount::mount_change(rootfs, self.propagation)?;
        }
        Ok(())
    }

    /// An overlay whose options do not fit in mount(2)'s page: with names relative to the directory that its layers
    /// have in common, which every kernel takes, or, where even those are too long, by Linux 6.5's own way.
    fn mount_long_overlay(&self, source: &str, rootfs: &Path) -> Result<(), Errno> {
        if let Some(relative) = relative_options(&self.data) {
            let data = relative.options.join(",");
            if data.len() <= MAX_MOUNT_DATA_BYTES {
                let data = CString::new(data).expect("checked for zero bytes");
                return mount_from(&relative.directory, source, rootfs, (self.flags, &data));
            }
        }
        self.mount_layer_by_layer(source, rootfs)
    }

    /// One option at a time, and `lowerdir+` for each layer. Linux before 6.5 refuses it at the end.
    fn mount_layer_by_layer(&self, source: &str, rootfs: &Path) -> Result<(), Errno> {
        let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(&context, "source", source)?;
        for option in &self.data {
            match option.split_once('=') {
                Some(("lowerdir", layers)) => {
                    for layer in layers.split(':') {
                        rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer)?;
                    }
                }
                Some((key, value)) => rustix::mount::fsconfig_set_string(&context, key, value)?,
                None => rustix::mount::fsconfig_set_flag(&context, option.as_str())?,
            }
        }
        rustix::mount::fsconfig_create(&context)?;
        let mut attributes = MountAttrFlags::empty();
        for (flag, attribute) in [
            (MountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
            (MountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (MountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
            (MountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
            (MountFlags::NOATIME, MountAttrFlags::MOUNT_ATTR_NOATIME),
        ] {
            attributes.set(attribute, self.flags.contains(flag));
        }
        let made = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&made, "", rustix::fs::CWD, rootfs, empty)
    }
}

/// Mounts an overlay from the working directory `directory`, which is that of one thread only.
fn mount_from(
    directory: &Path,
    source: &str,
    rootfs: &Path,
    (flags, data): (MountFlags, &CStr),
) -> Result<(), Errno> {
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let rootfs = std::path::absolute(rootfs).map_err(errno)?;
    let apart = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)
            .map_err(|error| Errno::from_raw_os_error(error as i32))?;
        rustix::process::chdir(directory)?;
        rustix::mount::mount(source, &rootfs, "overlay", flags, data)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, apart).map_err(errno)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn flag_named(option: &str) -> Option<(bool, MountFlags)> {
    Some(match option {
        "ro" => (true, MountFlags::RDONLY),
        "rw" => (false, MountFlags::RDONLY),
        "nosuid" => (true, MountFlags::NOSUID),
        "suid" => (false, MountFlags::NOSUID),
        "nodev" => (true, MountFlags::NODEV),
        "dev" => (false, MountFlags::NODEV),
        "noexec" => (true, MountFlags::NOEXEC),
        "exec" => (false, MountFlags::NOEXEC),
        "sync" => (true, MountFlags::SYNCHRONOUS),
        "async" => (false, MountFlags::SYNCHRONOUS),
        "dirsync" => (true, MountFlags::DIRSYNC),
        "noatime" => (true, MountFlags::NOATIME),
        "atime" => (false, MountFlags::NOATIME),
        "nodiratime" => (true, MountFlags::NODIRATIME),
        "diratime" => (false, MountFlags::NODIRATIME),
        "relatime" => (true, MountFlags::RELATIME),
        "norelatime" => (false, MountFlags::RELATIME),
        "strictatime" => (true, MountFlags::STRICTATIME),
        "nostrictatime" => (false, MountFlags::STRICTATIME),
        "bind" => (true, MountFlags::BIND),
        "rbind" => (true, MountFlags::BIND | MountFlags::REC),
        _ => return None,
    })
}

fn propagation_named(option: &str) -> Option<MountPropagationFlags> {
    let rec = MountPropagationFlags::REC;
    Some(match option {
        "private" => MountPropagationFlags::PRIVATE,
        "rprivate" => MountPropagationFlags::PRIVATE | rec,
        "shared" => MountPropagationFlags::SHARED,
        "rshared" => MountPropagationFlags::SHARED | rec,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "rslave" => MountPropagationFlags::DOWNSTREAM | rec,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        "runbindable" => MountPropagationFlags::UNBINDABLE | rec,
        _ => return None,
    })
}

/// Unmounts everything that is mounted at `rootfs`, layer by layer. What is busy is detached, so that no process that sits in
/// it can keep the container from being deleted.
pub(crate) fn unmount_all(rootfs: &Path) -> Result<(), MountError> {
    for _ in 0..MAX_MOUNTS {
        let unmounted = match rustix::mount::unmount(rootfs, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) => rustix::mount::unmount(rootfs, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH),
            other => other,
        };
        match unmounted {
            Ok(()) => {}
            // Not a mount point (any more), or not there.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(source) => return Err(MountError::Unmount { at: rootfs.to_owned(), source }),
        }
    }
    Err(MountError::Unmount { at: rootfs.to_owned(), source: Errno::BUSY })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options, MountError> {
        Options::parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_go_to_who_understands_them() {
        let sorted = options("ro nosuid rprivate lowerdir=/a:/b rw index=off").expect("good");
        assert_eq!(sorted.flags, MountFlags::NOSUID, "the later of ro and rw holds");
        assert_eq!(sorted.propagation, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC);
        assert_eq!(sorted.data, ["lowerdir=/a:/b", "index=off"]);
    }

    #[test]
    fn what_only_mount_8_can_do_is_refused() {
        for text in ["loop", "X-containerd.mkdir.path=/x"] {
            assert!(matches!(options(text), Err(MountError::Option(_))), "{text}");
        }
    }

    #[test]
    fn more_layers_than_fit_in_a_page_are_mounted_by_every_way() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIP: mounts need root");
            return;
        }
        // /tmp may be an overlay itself, on which none can stand; /dev/shm is a tmpfs.
        let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let deep = directory.path().join("deep".repeat(40));
        let at = |name: &str| deep.join(name).display().to_string();
        let layers: Vec<String> = (0..300).map(|number| at(&number.to_string())).collect();
        for path in layers.iter().chain(&[at("upper"), at("work"), at("rootfs")]) {
            fs::create_dir_all(path).expect("a directory");
        }
        fs::write(deep.join("299/lowest"), "").expect("a file");
        let list = [
            format!("upperdir={}", at("upper")),
            format!("workdir={}", at("work")),
            format!("lowerdir={}", layers.join(":")),
        ];
        let options = Options::parse(&list).expect("good");
        assert!(options.data.join(",").len() > MAX_MOUNT_DATA_BYTES);
        let rootfs = PathBuf::from(at("rootfs"));
        let before = std::env::current_dir().expect("a directory");
        for mounted in [Options::mount_long_overlay, Options::mount_layer_by_layer] {
            mounted(&options, "overlay", &rootfs).expect("mounted");
            assert!(rootfs.join("lowest").exists());
            unmount_all(&rootfs).expect("unmounted");
            assert!(!rootfs.join("lowest").exists());
        }
        assert_eq!(std::env::current_dir().expect("a directory"), before);
    }
}
