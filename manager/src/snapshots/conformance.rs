//! The suite that every snapshotter passes, on real directories and real mounts: what is below shows through, what is
//! changed stays above, and what may not be is refused. It needs root, for owners, devices and overlays.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags};
use rustix::mount::MountFlags;

use super::*;
use crate::content::Digest;

/// Deeper than a page of overlay options reaches, and than docker's 127 layers.
const DEEP: usize = 130;

struct Bed {
    snapshots: Snapshots,
    store: Store,
    root: PathBuf,
    choice: Choice,
    _directory: tempfile::TempDir,
}

/// Runs a test on every snapshotter.
fn each(test: impl Fn(&Bed)) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: snapshots need root");
        return;
    }
    for choice in [Choice::Native, Choice::Overlayfs] {
        // /tmp may itself be an overlay, on which none can stand; /dev/shm is a tmpfs.
        let found = ["/tmp", "/dev/shm"].into_iter().find_map(|place| Bed::open(place, choice).ok());
        test(&found.unwrap_or_else(|| panic!("{choice:?} works in neither /tmp nor /dev/shm")));
    }
}

/// What a mount shows: paths below it, through a descriptor.
struct View(OwnedFd);

impl Bed {
    fn open(place: &str, choice: Choice) -> Result<Self, SnapshotError> {
        let directory = tempfile::tempdir_in(place).expect("a directory");
        let store = Store::open(&directory.path().join("knarr.db"), &[SCHEMA_1]).expect("a database");
        let root = directory.path().join("snapshots");
        let snapshots = Snapshots::open(&root, store.clone(), choice)?;
        Ok(Self { snapshots, store, root, choice, _directory: directory })
    }

    fn reopened(&self) -> Snapshots {
        Snapshots::open(&self.root, self.store.clone(), self.choice).expect("opened again")
    }

    /// Makes an active snapshot, changes it, and commits it.
    fn layer(&self, name: &str, parent: Option<&Digest>, change: impl FnOnce(&View)) -> Digest {
        let chain_id = Digest::of(name.as_bytes());
        self.active(name, parent, change);
        self.snapshots.commit_blocking(name, &chain_id).expect("committed");
        chain_id
    }

    fn active(&self, key: &str, parent: Option<&Digest>, change: impl FnOnce(&View)) -> View {
        self.snapshots.prepare_blocking(key, parent).expect("prepared");
        let view = self.view(key);
        change(&view);
        view
    }

    fn view(&self, key: &str) -> View {
        let mounts = self.snapshots.mounts_of(&self.snapshots.layout(key).expect("there"));
        let [mount] = mounts.as_slice() else { panic!("{mounts:?}") };
        View(shown(mount))
    }
}

/// Mounts as the shim does, but where no other process sees it.
fn shown(mount: &Mount) -> OwnedFd {
    if mount.kind == MountType::Bind {
        return rustix::fs::open(
            &mount.source,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .expect("the directory");
    }
    let (read_only, options): (Vec<_>, Vec<_>) =
        mount.options.iter().cloned().partition(|option| option == "ro");
    let flags = if read_only.is_empty() { MountFlags::empty() } else { MountFlags::RDONLY };
    let place = tempfile::tempdir().expect("a directory");
    detached::in_own_namespace(|| detached::overlay_at(place.path(), &options, flags)).expect("an overlay")
}

impl View {
    fn path(&self, below: &str) -> PathBuf {
        Path::new(&format!("/proc/self/fd/{}", self.0.as_raw_fd())).join(below)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).expect(path);
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// The names in a directory, sorted.
    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).expect(path);
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn metadata(&self, path: &str) -> fs::Metadata {
        fs::symlink_metadata(self.path(path)).expect(path)
    }

    fn xattr(&self, path: &str, name: &str) -> Option<Vec<u8>> {
        let mut value = vec![0; 256];
        let size = rustix::fs::getxattr(self.path(path), name, value.as_mut_slice()).ok()?;
        value.truncate(size);
        Some(value)
    }
}

#[test]
fn each_layer_shows_what_is_below_and_its_own_changes() {
    each(|bed| {
        let base = bed.layer("base", None, |view| {
            for (path, text) in [("kept", "1"), ("deleted", "1"), ("changed", "1"), ("renamed", "1")] {
                view.write(path, text);
            }
            fs::create_dir_all(view.path("replaced/deep")).expect("directories");
            view.write("replaced/old", "1");
            fs::create_dir(view.path("thinned")).expect("a directory");
            view.write("thinned/gone", "1");
            view.write("thinned/stays", "1");
        });
        let change = |view: &View| {
            fs::remove_file(view.path("deleted")).expect("deleted");
            view.write("changed", "2");
            fs::rename(view.path("renamed"), view.path("thinned/moved")).expect("renamed");
            fs::remove_dir_all(view.path("replaced")).expect("emptied");
            fs::create_dir(view.path("replaced")).expect("a directory");
            view.write("replaced/new", "2");
            fs::remove_file(view.path("thinned/gone")).expect("deleted");
        };
        let second = bed.layer("second", Some(&base), change);
        let expected = |view: &View| {
            assert_eq!(view.names(""), ["changed", "kept", "replaced", "thinned"]);
            assert_eq!(view.names("replaced"), ["new"]);
            assert_eq!(view.names("thinned"), ["moved", "stays"]);
            assert_eq!(
                (view.read("changed").as_deref(), view.read("kept").as_deref()),
                (Some("2"), Some("1"))
            );
        };
        let container = bed.active("container", Some(&second), |view| {
            expected(view);
            view.write("kept", "3");
            view.write("deleted", "back");
            fs::remove_file(view.path("replaced/new")).expect("deleted");
        });
        let seen = View(bed.snapshots.view("container").expect("a view"));
        for view in [&container, &seen] {
            assert_eq!(view.read("deleted").as_deref(), Some("back"));
            assert_eq!(view.read("kept").as_deref(), Some("3"));
            assert_eq!(view.names("replaced"), [""; 0]);
        }
        assert!(fs::write(seen.path("kept"), "4").is_err(), "a view is read-only");
        assert!(matches!(bed.snapshots.view("none"), Err(SnapshotError::NotFound { .. })));
        expected(&bed.view(second.as_str()));
        expected(&View(bed.snapshots.view(second.as_str()).expect("a view")));
        assert_eq!(bed.view(base.as_str()).read("deleted").as_deref(), Some("1"));
        let other = bed.active("other", Some(&second), expected);
        assert_eq!(other.read("kept").as_deref(), Some("1"));
    });
}

#[test]
fn owners_modes_links_attributes_devices_and_holes_survive() {
    each(|bed| {
        let base = bed.layer("base", None, |view| {
            view.write("file", "text");
            std::os::unix::fs::chown(view.path("file"), Some(1000), Some(1001)).expect("chown");
            fs::set_permissions(view.path("file"), fs::Permissions::from_mode(0o6711)).expect("chmod");
            rustix::fs::setxattr(view.path("file"), "user.colour", b"red", XattrFlags::empty())
                .expect("xattr");
            // VFS_CAP_REVISION_2, CAP_NET_BIND_SERVICE permitted.
            let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            rustix::fs::setxattr(view.path("file"), "security.capability", &capability, XattrFlags::empty())
                .expect("capability");
            fs::create_dir(view.path("d")).expect("directory");
            fs::hard_link(view.path("file"), view.path("d/same")).expect("link");
            symlink("../file", view.path("d/link")).expect("symlink");
            symlink("/nowhere", view.path("dangling")).expect("symlink");
            rustix::fs::mknodat(
                CWD,
                view.path("null"),
                FileType::CharacterDevice,
                Mode::from(0o644),
                rustix::fs::makedev(1, 3),
            )
            .expect("device");
            rustix::fs::mknodat(CWD, view.path("pipe"), FileType::Fifo, Mode::from(0o600), 0).expect("fifo");
            File::create(view.path("hole")).and_then(|file| file.set_len(32 << 20)).expect("hole");
            fs::set_permissions(view.path(""), fs::Permissions::from_mode(0o1777)).expect("chmod");
            std::os::unix::fs::chown(view.path("."), Some(5), Some(6)).expect("chown");
            rustix::fs::setxattr(view.path("."), "user.root", b"yes", XattrFlags::empty()).expect("xattr");
        });
        bed.active("container", Some(&base), |view| {
            let file = view.metadata("file");
            assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777, file.nlink()), (1000, 1001, 0o6711, 2));
            assert_eq!(view.xattr("file", "user.colour").as_deref(), Some(&b"red"[..]));
            assert!(view.xattr("file", "security.capability").is_some());
            assert_eq!(view.metadata("d/same").ino(), file.ino());
            assert_eq!(fs::read_link(view.path("dangling")).expect("link"), Path::new("/nowhere"));
            assert_eq!(view.read("d/link").as_deref(), Some("text"));
            let null = view.metadata("null");
            assert!(null.file_type().is_char_device());
            assert_eq!((null.rdev(), null.mode() & 0o777), (rustix::fs::makedev(1, 3), 0o644));
            assert!(view.metadata("pipe").file_type().is_fifo());
            let hole = view.metadata("hole");
            assert!(hole.len() == 32 << 20 && hole.blocks() < 100, "{} blocks", hole.blocks());
            let root = view.metadata(".");
            assert_eq!((root.uid(), root.gid(), root.mode() & 0o7777), (5, 6, 0o1777));
            assert_eq!(view.xattr(".", "user.root").as_deref(), Some(&b"yes"[..]));
        });
    });
}

#[test]
fn a_chain_deeper_than_a_page_of_options_is_whole() {
    each(|bed| {
        // A copy has no options, and each is as large as all below it.
        let deep = if bed.choice == Choice::Native { 12 } else { DEEP };
        let mut top: Option<Digest> = None;
        for number in 0..deep {
            top = Some(bed.layer(&format!("layer {number}"), top.as_ref(), |view| {
                view.write(&number.to_string(), "here");
                view.write("last", &number.to_string());
                if number > 0 && number.is_multiple_of(2) {
                    fs::remove_file(view.path(&(number - 1).to_string())).expect("the layer below's");
                }
            }));
        }
        bed.active("container", top.as_ref(), |view| {
            // All even ones, the last odd one, and `last`.
            assert_eq!(view.names("").len(), deep / 2 + 2);
            assert_eq!(view.read("last"), Some((deep - 1).to_string()));
            fs::remove_file(view.path("0")).expect("the bottom's");
            assert!(view.read("0").is_none());
        });
    });
}

#[test]
fn one_of_many_gets_a_key_and_all_get_their_own() {
    each(|bed| {
        let base = bed.layer("base", None, |view| view.write("file", "1"));
        let keys = |number: usize| {
            if number.is_multiple_of(2) { "same".to_owned() } else { format!("own {number}") }
        };
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|number| {
                    scope.spawn({
                        let base = &base;
                        move || (number, bed.snapshots.prepare_blocking(&keys(number), Some(base)))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        let (same, own): (Vec<_>, Vec<_>) =
            made.into_iter().partition(|(number, _)| number.is_multiple_of(2));
        assert_eq!(same.iter().filter(|(_, made)| made.is_ok()).count(), 1);
        assert!(same.iter().all(|(_, made)| matches!(made, Ok(_) | Err(SnapshotError::Exists { .. }))));
        assert!(own.iter().all(|(_, made)| made.is_ok()));
        // What the losers made is gone.
        let directories = fs::read_dir(&bed.root).expect("the root").count();
        assert_eq!(directories, 1 + 1 + own.len());
    });
}

#[test]
fn what_may_not_be_is_refused_and_changes_nothing() {
    each(|bed| {
        let base = bed.layer("base", None, |view| view.write("file", "1"));
        bed.active("container", Some(&base), |view| view.write("file", "2"));
        let snapshots = &bed.snapshots;
        let nowhere = Digest::of(b"nowhere");
        assert!(matches!(snapshots.remove_blocking(base.as_str()), Err(SnapshotError::InUse { .. })));
        assert!(matches!(snapshots.remove_blocking("nobody"), Err(SnapshotError::NotFound { .. })));
        assert!(matches!(
            snapshots.prepare_blocking("x", Some(&nowhere)),
            Err(SnapshotError::NoParent { .. })
        ));
        assert!(matches!(snapshots.prepare_blocking("container", None), Err(SnapshotError::Exists { .. })));
        assert!(matches!(snapshots.commit_blocking("container", &base), Err(SnapshotError::Exists { .. })));
        assert!(matches!(
            snapshots.commit_blocking(base.as_str(), &nowhere),
            Err(SnapshotError::NotActive { .. })
        ));
        assert!(matches!(snapshots.commit_blocking("nobody", &nowhere), Err(SnapshotError::NotFound { .. })));
        // An active snapshot is nobody's parent: it still changes.
        bed.active("writable", None, |_| {});
        assert_eq!(bed.view(base.as_str()).read("file").as_deref(), Some("1"));
        assert_eq!(bed.view("container").read("file").as_deref(), Some("2"));
        snapshots.remove_blocking("container").expect("removed");
        snapshots.remove_blocking(base.as_str()).expect("removed, now that nothing stands on it");
        assert_eq!(fs::read_dir(&bed.root).expect("the root").count(), 1);
    });
}

#[test]
fn what_was_interrupted_is_swept_and_the_rest_stays() {
    each(|bed| {
        let base = bed.layer("base", None, |view| view.write("file", "1"));
        bed.active("container", Some(&base), |view| view.write("file", "2"));
        let unpacking = format!("{UNPACK_PREFIX}{}", Digest::of(b"half"));
        bed.active(&unpacking, Some(&base), |view| view.write("half", "a layer"));
        fs::create_dir_all(bed.root.join("900/fs/deep")).expect("rubbish");
        fs::create_dir(bed.root.join("lost+found")).expect("a foreign directory");
        let snapshots = bed.reopened();
        assert!(matches!(snapshots.stat_blocking(&unpacking), Err(SnapshotError::NotFound { .. })));
        let mut names: Vec<_> = fs::read_dir(&bed.root)
            .expect("the root")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["1", "2", "lost+found"]);
        assert_eq!(bed.view("container").read("file").as_deref(), Some("2"));
        // A number is given once, even that of rubbish: somebody may still have it open.
        let layout = snapshots.prepare_blocking("new", None).expect("prepared");
        assert_eq!(layout.directory, bed.root.join("901"));
    });
}

#[test]
fn space_is_counted_once_and_holes_not_at_all() {
    each(|bed| {
        let base = bed.layer("base", None, |view| {
            fs::write(view.path("a"), vec![7; 1 << 20]).expect("a file");
            fs::hard_link(view.path("a"), view.path("b")).expect("a link");
            fs::create_dir(view.path("d")).expect("a directory");
            File::create(view.path("hole")).and_then(|file| file.set_len(64 << 20)).expect("a hole");
        });
        let usage =
            bed.snapshots.stat_blocking(base.as_str()).expect("there").usage.expect("counted at commit");
        assert_eq!(usage.inodes, 3);
        assert!((1 << 20..2 << 20).contains(&usage.size_bytes), "{usage:?}");
        bed.active("container", Some(&base), |view| view.write("c", "x"));
        let used = trees::usage(&bed.snapshots.layout("container").expect("there").upper()).expect("counted");
        // A copy is whole by itself; an overlay has only what it changed.
        assert_eq!(used.inodes, if bed.choice == Choice::Native { 4 } else { 1 });
    });
}

#[test]
fn what_no_image_needs_goes_from_the_top_down() {
    each(|bed| {
        let base = bed.layer("base", None, |view| view.write("file", "1"));
        let middle = bed.layer("middle", Some(&base), |view| view.write("file", "2"));
        let top = bed.layer("top", Some(&middle), |view| view.write("file", "3"));
        let side = bed.layer("side", Some(&base), |view| view.write("file", "4"));
        bed.active("container", Some(&middle), |_| {});
        let gone = bed.snapshots.collect_blocking(&HashSet::new()).expect("collected");
        assert_eq!(HashSet::from_iter(gone), HashSet::from([top.to_string(), side.to_string()]));
        assert_eq!(bed.view("container").read("file").as_deref(), Some("2"));
        bed.snapshots.remove_blocking("container").expect("removed");
        assert!(bed.snapshots.collect_blocking(&HashSet::from([middle])).expect("collected").is_empty());
        assert_eq!(bed.snapshots.collect_blocking(&HashSet::new()).expect("collected").len(), 2);
        assert_eq!(fs::read_dir(&bed.root).expect("the root").count(), 0);
    });
}

#[test]
fn snapshots_of_one_kind_are_not_opened_as_another() {
    each(|bed| {
        bed.layer("base", None, |view| view.write("file", "1"));
        let other = if bed.choice == Choice::Native { Choice::Overlayfs } else { Choice::Native };
        let opened = Snapshots::open(&bed.root, bed.store.clone(), other);
        assert!(matches!(opened, Err(SnapshotError::OtherSnapshotter { .. })));
        let automatic = Snapshots::open(&bed.root, bed.store.clone(), Choice::Automatic).expect("opened");
        assert_eq!(automatic.snapshotter(), bed.snapshots.snapshotter());
        let path = bed.root.join("with,comma");
        assert!(matches!(
            Snapshots::open(&path, bed.store.clone(), bed.choice),
            Err(SnapshotError::Root { .. })
        ));
        assert!(!path.exists());
    });
}
