//! One mount after the other: made detached, given its attributes, then attached where it belongs.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};

use super::built::Built;
use super::error::MountError;
use super::procfs::Procfs;
use super::surroundings::{Source, Surroundings};
use super::tree::{AttachError, Links, Target, Tree, attach_changed};
use crate::plan::mounts::{Attributes, Filesystem, Mount, MountKind};
use crate::rootfs::{bind_attributes, cgroups, copy_up};
use crate::sys::mount::{Change, Reach, change_attached};

/// PROC_SUPER_MAGIC.
const PROC_MAGIC: i64 = 0x9fa0;

/// The filesystem of POSIX message queues.
const MQUEUE: &str = "mqueue";

/// fsconfig's messages are one line each, a few of them at most.
const LOG_MAX_BYTES: usize = 1024;

/// What a message calls a mount.
pub(super) fn name(kind: &MountKind) -> String {
    match kind {
        MountKind::Filesystem(filesystem) => filesystem.source.clone(),
        MountKind::Bind { source, .. } => source.display().to_string(),
        MountKind::Cgroup => "cgroup".to_owned(),
        MountKind::Remount => "remount".to_owned(),
    }
}

pub(super) fn make(
    built: &mut Built,
    index: usize,
    mount: &Mount,
    around: &Surroundings<'_>,
) -> Result<(), MountError> {
    let tree = &built.tree;
    match &mount.kind {
        MountKind::Filesystem(filesystem) => {
            let made = make_filesystem(tree, mount, filesystem, around.mount_label)?;
            match filesystem.kind.as_str() {
                "proc" if mount.destination == "proc" && !is_readonly(mount) => {
                    built.procfs = Some(Procfs::from_mount(made));
                }
                "devpts" => built.devpts = Some(made),
                "tmpfs" if is_readonly(mount) => built.readonly_later.push(made),
                _ => {}
            }
            Ok(())
        }
        MountKind::Bind { source, reach } => {
            let opened;
            let made = match around.sources.get(index) {
                Some(Source::Given(made)) => made,
                Some(Source::OnRequest) => {
                    opened = around.channel.fetch(index).map_err(|source| MountError::Fetch { source })?;
                    &opened
                }
                Some(Source::ByChild) | None => {
                    opened = open_source(source, *reach)?;
                    &opened
                }
            };
            bind(tree, mount, made.as_fd(), around.in_user_namespace)
        }
        MountKind::Cgroup => cgroups::mount(tree, mount, around),
        MountKind::Remount => {
            let target = tree
                .resolve(&mount.destination, Links::Follow)
                .map_err(|source| MountError::Target { source })?;
            let failed = |source| MountError::Attributes { source };
            let mut changes = changes(mount, mount.attributes).into_iter();
            changes
                .try_for_each(|(wanted, reach)| change_attached(target.as_fd(), wanted, reach))
                .map_err(failed)
        }
    }
}

fn is_readonly(mount: &Mount) -> bool {
    (mount.attributes.set | mount.recursive.set) & libc::MOUNT_ATTR_RDONLY != 0
}

fn make_filesystem(
    tree: &Tree,
    mount: &Mount,
    filesystem: &Filesystem,
    label: &str,
) -> Result<OwnedFd, MountError> {
    let (target, mode) = filesystem_target(tree, mount, filesystem)?;
    refuse_root(tree, target.as_fd())?;
    if filesystem.kind != "proc" {
        refuse_inside_proc(target.as_fd(), &mount.destination)?;
    }
    let mut attributes = mount.attributes;
    if filesystem.kind == "tmpfs" {
        attributes.set &= !libc::MOUNT_ATTR_RDONLY;
    }
    let made = match mode {
        None => new_filesystem(filesystem, attributes, label)?,
        Some(mode) => {
            let mut filesystem = filesystem.clone();
            filesystem.data.push(("mode".to_owned(), Some(format!("{mode:o}"))));
            new_filesystem(&filesystem, attributes, label)?
        }
    };
    if filesystem.copies_up {
        copy_up::copy(target.as_fd(), made.as_fd()).map_err(|source| MountError::CopyUp { source })?;
    }
    // Its own attributes it was made with.
    place(made.as_fd(), &changes(mount, Attributes::default()), target.as_fd())?;
    Ok(made)
}

/// The mount point, and for a tmpfs that says no mode the one of the directory that it hides, as under runc.
fn filesystem_target(
    tree: &Tree,
    mount: &Mount,
    filesystem: &Filesystem,
) -> Result<(OwnedFd, Option<u32>), MountError> {
    let failed = |source| MountError::Target { source };
    let at = mount.destination.as_str();
    match filesystem.kind.as_str() {
        // A symbolic link there would put the kernel's files where later steps do not expect them.
        "proc" | "sysfs" => match tree.make_directory(at, Links::Refuse) {
            Err(source @ (Errno::LOOP | Errno::NOTDIR)) => {
                Err(MountError::NotOrdinary { kind: filesystem.kind.clone(), source })
            }
            made => Ok((made.map_err(failed)?, None)),
        },
        "tmpfs" if !filesystem.data.iter().any(|(key, _)| key == "mode") => {
            match tree.open(at, OFlags::PATH | OFlags::DIRECTORY, Links::Follow) {
                Ok(hidden) => {
                    let mode = rustix::fs::fstat(&hidden).map_err(failed)?.st_mode & 0o7777;
                    Ok((hidden, Some(mode)))
                }
                Err(_) => Ok((tree.make_directory(at, Links::Follow).map_err(failed)?, None)),
            }
        }
        _ => Ok((tree.make_directory(at, Links::Follow).map_err(failed)?, None)),
    }
}

/// A new instance of a filesystem, attached nowhere.
pub(super) fn new_filesystem(
    filesystem: &Filesystem,
    attributes: Attributes,
    label: &str,
) -> Result<OwnedFd, MountError> {
    let context = rustix::mount::fsopen(filesystem.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|source| MountError::Type { kind: filesystem.kind.clone(), source })?;
    // Always said, though most kinds ignore it: it is what /proc/self/mountinfo shows.
    if !filesystem.source.is_empty() {
        set(&context, "source", Some(&filesystem.source))?;
    }
    for (key, value) in &filesystem.data {
        set(&context, key, value.as_deref())?;
    }
    // A label names what a filesystem without labels of its own holds; the kernel's own filesystems have none to set.
    let unlabelled = ["proc", "sysfs", "cgroup", "cgroup2", MQUEUE];
    if !label.is_empty() && !unlabelled.contains(&filesystem.kind.as_str()) {
        set(&context, "context", Some(label))?;
    }
    rustix::mount::fsconfig_create(&context)
        .map_err(|source| MountError::Create { log: log(context.as_fd()), source })?;
    let attributes = MountAttrFlags::from_bits_retain(attributes.set as u32);
    let made = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|source| MountError::Create { log: log(context.as_fd()), source })?;
    if !label.is_empty() && filesystem.kind == MQUEUE {
        label_root(made.as_fd(), label).map_err(|source| MountError::Label { source })?;
    }
    Ok(made)
}

/// SELinux refuses a context for the kernel's message queues, but their directory can have one.
fn label_root(mount: BorrowedFd<'_>, label: &str) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(mount, c".", flags, Mode::empty())?;
    match rustix::fs::fsetxattr(&root, c"security.selinux", label.as_bytes(), XattrFlags::empty()) {
        // No SELinux here.
        Err(Errno::OPNOTSUPP) => Ok(()),
        labelled => labelled,
    }
}

fn set(context: &OwnedFd, key: &str, value: Option<&str>) -> Result<(), MountError> {
    let done = match value {
        Some(value) => rustix::mount::fsconfig_set_string(context, key, value),
        None => rustix::mount::fsconfig_set_flag(context, key),
    };
    done.map_err(|source| MountError::Option {
        option: value.map_or_else(|| key.to_owned(), |value| format!("{key}={value}")),
        log: log(context.as_fd()),
        source,
    })
}

/// What the filesystem's driver has to say, in parentheses.
fn log(context: BorrowedFd<'_>) -> String {
    let mut bytes = [0; LOG_MAX_BYTES];
    match rustix::io::read(context, &mut bytes) {
        Ok(length) => {
            format!(" ({})", String::from_utf8_lossy(&bytes[..length]).trim_start_matches("e ").trim())
        }
        // No message is the ordinary case.
        Err(_) => String::new(),
    }
}

fn bind(tree: &Tree, mount: &Mount, made: BorrowedFd<'_>, in_user_namespace: bool) -> Result<(), MountError> {
    let at = &mount.destination;
    let target = tree.make_target(at, made).map_err(|source| MountError::Target { source })?;
    refuse_root(tree, target.as_fd())?;
    refuse_inside_proc(target.as_fd(), at)?;
    bind_attributes::change_of(mount.attributes, made, in_user_namespace)
        .map_err(|source| MountError::Attributes { source })
        .and_then(|attributes| place(made, &changes(mount, attributes), target.as_fd()))
        .map_err(|error| match error {
            MountError::Attributes { source: source @ Errno::PERM } if in_user_namespace => {
                MountError::Locked { source }
            }
            error => error,
        })
}

/// A detached copy of what is at `path` on the host.
pub(crate) fn open_source(path: &Path, reach: Reach) -> Result<OwnedFd, MountError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if reach == Reach::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(CWD, path, flags)
        .map_err(|source| MountError::Source { path: path.to_owned(), source })
}

/// What a mount needs beside what it was made with: attributes of its own, recursive ones, propagation. Its ids are
/// mapped already.
fn changes(mount: &Mount, own: Attributes) -> Vec<(Change<'static>, Reach)> {
    // As under runc, what is recursive has the last word.
    let attributes = [(own, Reach::One), (mount.recursive, Reach::Tree)];
    let attributes = attributes.map(|(attributes, reach)| (attributes.whole(reach), reach));
    let named = attributes.into_iter().filter(|(attributes, _)| !attributes.is_empty());
    let mut changes: Vec<_> = named
        .map(|(Attributes { set, clear }, reach)| (Change { set, clear, ..Change::default() }, reach))
        .collect();
    let propagate = |propagation| Change { propagation, ..Change::default() };
    changes.extend(mount.propagation.iter().map(|(propagation, reach)| (propagate(*propagation), *reach)));
    changes
}

/// Puts a detached mount where it belongs, with its attributes.
pub(super) fn place<'a>(
    made: BorrowedFd<'_>,
    changes: &[(Change<'_>, Reach)],
    target: impl Into<Target<'a>>,
) -> Result<(), MountError> {
    attach_changed(made, changes, target.into()).map_err(|unplaced| match unplaced {
        AttachError::Change(source) => MountError::Attributes { source },
        AttachError::Attach(source) => MountError::Attach { source },
    })
}

/// The plan refuses the root itself by name; this refuses what leads there through symbolic links. Such a mount would
/// be left behind when the root is entered.
pub(super) fn refuse_root(tree: &Tree, target: BorrowedFd<'_>) -> Result<(), MountError> {
    match tree.is_root(target).map_err(|source| MountError::Target { source })? {
        true => Err(MountError::OnRoot),
        false => Ok(()),
    }
}

/// The plan refuses destinations inside /proc by name; this refuses those that lead there through symbolic links.
fn refuse_inside_proc(target: BorrowedFd<'_>, destination: &str) -> Result<(), MountError> {
    let is_proc = rustix::fs::fstatfs(target).map_err(|source| MountError::Target { source })?.f_type as i64
        == PROC_MAGIC;
    if is_proc && !destination.starts_with("proc/") && destination != "proc" {
        return Err(MountError::InsideProc);
    }
    Ok(())
}

/// Makes a mount that is in its place read-only.
pub(super) fn set_readonly(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    change_attached(mount, Change::READONLY, Reach::One)
}
