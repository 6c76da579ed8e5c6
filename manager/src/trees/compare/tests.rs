//! Comparing trees: with a real overlay, which needs root, and with copies.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rustix::fs::{CWD, Mode};
use rustix::mount::{MountFlags, UnmountFlags};
use tempfile::TempDir;

use super::super::walk::OPEN_DIRECTORY;
use super::*;

struct Trees(TempDir);

impl Trees {
    /// Two layers: files a, b and gone, directories d (with one, two), cleared (with old), removed and kept.
    fn new() -> Self {
        let trees = Self(tempfile::tempdir().expect("a directory"));
        for name in ["low", "low/d", "low/cleared", "low/removed", "low/kept", "up", "work", "merged"] {
            fs::create_dir(trees.path(name)).expect(name);
        }
        for name in ["a", "b", "gone", "d/one", "d/two", "cleared/old", "removed/x", "kept/y"] {
            fs::write(trees.path("low").join(name), name).expect(name);
        }
        trees
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, name: &str) -> OwnedFd {
        rustix::fs::openat(CWD, self.path(name), OPEN_DIRECTORY, Mode::empty()).expect(name)
    }

    fn compare(&self, new: &str, form: Form) -> Vec<String> {
        let (new, old) = (self.open(new), self.open("low"));
        told(&compare(new.as_fd(), form, Some(old.as_fd())).expect("compared"))
    }
}

fn told(changes: &[Change]) -> Vec<String> {
    let letter = |kind| match kind {
        ChangeKind::Modified => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    };
    changes.iter().map(|change| format!("{} {}", letter(change.kind), change.path.display())).collect()
}

/// What a program may do with what it sees at `root`.
fn change(root: &Path) {
    fs::write(root.join("a"), "longer than before").expect("a file");
    fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o600)).expect("a mode");
    fs::remove_file(root.join("gone")).expect("removed");
    fs::remove_file(root.join("d/one")).expect("removed");
    fs::create_dir_all(root.join("new/deep")).expect("made");
    fs::write(root.join("new/deep/file"), "").expect("written");
    symlink("/etc", root.join("new/link")).expect("a link");
    fs::remove_dir_all(root.join("removed")).expect("removed");
    // Made again: an overlay marks it as opaque.
    fs::remove_dir_all(root.join("cleared")).expect("removed");
    fs::create_dir(root.join("cleared")).expect("made again");
    fs::write(root.join("cleared/fresh"), "").expect("written");
    // Made and removed again: no change.
    fs::write(root.join("brief"), "").expect("written");
    fs::remove_file(root.join("brief")).expect("removed");
}

const CHANGES: [&str; 13] = [
    "C a",
    "C b",
    "C cleared",
    "A cleared/fresh",
    "D cleared/old",
    "C d",
    "D d/one",
    "D gone",
    "A new",
    "A new/deep",
    "A new/deep/file",
    "A new/link",
    "D removed",
];

#[test]
fn what_an_overlay_wrote_is_told() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: an overlay needs root");
    }
    let trees = Trees::new();
    let options = |name: &str| trees.path(name).display().to_string();
    let data = format!("lowerdir={},upperdir={},workdir={}", options("low"), options("up"), options("work"));
    let data = CString::new(data).expect("text");
    let merged = trees.path("merged");
    rustix::mount::mount("overlay", &merged, "overlay", MountFlags::empty(), data.as_c_str())
        .expect("an overlay");
    change(&merged);
    rustix::mount::unmount(&merged, UnmountFlags::empty()).expect("unmounted");
    let cleared = fs::symlink_metadata(trees.path("up/gone")).expect("a whiteout");
    assert_eq!(cleared.rdev(), 0);
    assert_eq!(trees.compare("up", Form::Layer), CHANGES);
}

#[test]
fn what_was_done_to_a_copy_is_told() {
    let trees = Trees::new();
    let (low, copy) = (trees.path("low"), trees.path("copy"));
    let copied = std::process::Command::new("cp").arg("-a").args([low, copy]).status();
    assert!(copied.expect("cp").success());
    assert_eq!(trees.compare("copy", Form::Whole), Vec::<String>::new());
    change(&trees.path("copy"));
    assert_eq!(trees.compare("copy", Form::Whole), CHANGES);
}

#[test]
fn a_tree_on_nothing_is_all_new_and_a_changed_type_is_a_change() {
    let trees = Trees::new();
    let low = trees.open("low/d");
    let all = compare(low.as_fd(), Form::Layer, None).expect("compared");
    assert_eq!(told(&all), ["A one", "A two"]);
    fs::create_dir(trees.path("up/a")).expect("a directory in a file's place");
    fs::write(trees.path("up/a/in"), "").expect("written");
    fs::write(trees.path("up/d"), "a file in a directory's place").expect("written");
    assert_eq!(trees.compare("up", Form::Layer), ["C a", "A a/in", "C d"]);
}
