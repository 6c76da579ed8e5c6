//! Random archives in which names are replaced again and again, by files, directories and links that paths then go
//! through: placed with caches of several sizes, and by GNU tar. The trees must be the same.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tar::EntryType;

use super::message::Limits;
use super::tests::{Bed, Tar};
use super::tree::MAX_OPEN;

/// Archives in an ordinary run and in a full one.
const ARCHIVES: u64 = 250;
const FULL_ARCHIVES: u64 = 20_000;

/// xorshift64: the same archives every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn path(&mut self) -> String {
        let names: Vec<&str> = (0..=self.below(3)).map(|_| ["a", "b", "c"][self.below(3) as usize]).collect();
        names.join("/")
    }
}

fn archive(random: &mut Random, may_go_up: bool) -> Tar {
    (0..4 + random.below(9)).fold(Tar::new(), |tar, number| {
        let path = random.path();
        match random.below(20) {
            0..8 => {
                let mode = [0o644, 0o600, 0o4755][random.below(3) as usize];
                tar.entry(EntryType::Regular, &path, mode, ("", number.to_string().as_bytes()))
            }
            8..13 => tar.directory(&path, 0o755),
            13..17 => {
                let up = if may_go_up { "../".repeat(random.below(3) as usize) } else { String::new() };
                tar.symlink(&path, &format!("{up}{}", random.path()))
            }
            _ => tar.hard_link(&path, &random.path()),
        }
    })
}

/// Every path with what is there; names of one file are told by the first of them.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut seen, mut pending) = (BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(relative) = pending.pop() {
        for entry in fs::read_dir(root.join(&relative)).expect("a directory") {
            let path = relative.join(entry.expect("an entry").file_name());
            let metadata = fs::symlink_metadata(root.join(&path)).expect("there");
            let mode = metadata.mode() & 0o7777;
            let what = if metadata.is_dir() {
                pending.push(path.clone());
                format!("directory {mode:o}")
            } else if metadata.is_symlink() {
                format!("link to {:?}", fs::read_link(root.join(&path)).expect("a link"))
            } else if metadata.file_type().is_char_device() {
                "whiteout".to_owned()
            } else {
                format!("file {mode:o} {:?}", fs::read_to_string(root.join(&path)).expect("a file"))
            };
            seen.insert(path, (what, metadata.ino(), metadata.nlink(), metadata.is_dir()));
        }
    }
    let mut first: HashMap<u64, PathBuf> = HashMap::new();
    let named = seen.into_iter().map(|(path, (what, inode, links, is_directory))| {
        let same = first.entry(inode).or_insert_with(|| path.clone());
        let what =
            if links > 1 && !is_directory { format!("{what}, same as {}", same.display()) } else { what };
        (path, what)
    });
    named.collect()
}

/// How it was placed: the tree, or the error.
fn placed(bytes: &[u8], is_layered: bool, max_open: usize) -> Result<BTreeMap<PathBuf, String>, String> {
    let bed = Bed::both().into_iter().find(|bed| bed.is_layered == is_layered).expect("one of both");
    let mut blob = tempfile::tempfile().expect("a file");
    blob.write_all(bytes).and_then(|()| blob.rewind()).expect("written");
    bed.place_blob(blob, Limits::default(), max_open).map_err(|error| format!("{error:?}"))?;
    Ok(tree(&bed.root()))
}

/// What GNU tar makes of it; `None` when it complains, as it does where a file replaces a directory that is not empty.
fn by_gnu_tar(bytes: &[u8]) -> Option<BTreeMap<PathBuf, String>> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut tar = Command::new("tar")
        .args(["-x", "-P", "-p", "-f", "-", "-C"])
        .arg(directory.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("GNU tar");
    tar.stdin.take().expect("piped").write_all(bytes).expect("it reads");
    tar.wait().expect("it ends").success().then(|| tree(directory.path()))
}

/// The archive as a person reads it.
fn listed(bytes: &[u8]) -> String {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().expect("a tar").map(|entry| {
        let entry = entry.expect("an entry");
        let (kind, link) = (entry.header().entry_type(), entry.link_name().expect("a name"));
        format!("{kind:?} {} {link:?}\n", entry.path().expect("a name").display())
    });
    entries.collect()
}

fn archives() -> u64 {
    if std::env::var_os("KNARR_FULL").is_some() { FULL_ARCHIVES } else { ARCHIVES }
}

#[test]
fn a_small_cache_changes_nothing() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..archives() {
        let bytes = archive(&mut random, true).finish();
        for is_layered in [true, false] {
            let [one, two, all] = [1, 2, MAX_OPEN].map(|max_open| placed(&bytes, is_layered, max_open));
            assert!(one == two && two == all, "archive {number}: {one:?}\n{two:?}\n{all:?}");
        }
    }
}

#[test]
fn trees_are_those_of_gnu_tar() {
    let version = Command::new("tar").arg("--version").output().map(|output| output.stdout);
    if !version.is_ok_and(|text| String::from_utf8_lossy(&text).contains("GNU tar")) {
        eprintln!("SKIP: there is no GNU tar");
        return;
    }
    let (mut random, mut compared) = (Random(0x2545_f491_4f6c_dd1d), 0);
    for number in 0..archives() {
        let bytes = archive(&mut random, false).finish();
        let Some(expected) = by_gnu_tar(&bytes) else { continue };
        compared += 1;
        let found = placed(&bytes, true, 2);
        assert_eq!(found, Ok(expected), "archive {number}:\n{}", listed(&bytes));
    }
    println!("{compared} archives compared with GNU tar");
    assert!(compared > archives() / 20, "GNU tar refuses almost all: {compared}");
}

#[test]
fn a_replaced_link_leads_nowhere_any_more() {
    for bed in Bed::both() {
        // So many directories that the link itself is forgotten and only what lay behind it is remembered.
        let tar = Tar::new().directory("x", 0o755).symlink("a", "x").file("a/b/f1", "");
        let tar = (0..MAX_OPEN as u64 - 4).fold(tar, |tar, number| tar.file(&format!("d{number}/f"), ""));
        bed.place(tar.directory("a", 0o755).file("a/b/f2", "")).expect("placed");
        assert!(bed.root().join("a/b/f2").is_file() && !bed.root().join("x/b/f2").exists());
    }
}

#[test]
fn what_replaces_an_opaque_directory_is_opaque_again() {
    for bed in Bed::both().into_iter().filter(|bed| bed.is_layered && super::tests::is_root()) {
        fs::create_dir_all(bed.below().join("d/e")).expect("below");
        let tar = Tar::new()
            .file("d/.wh..wh..opq", "")
            .file("d", "a file in between")
            .directory("d", 0o755)
            .file("d/new", "");
        bed.place(tar).expect("placed");
        assert!(bed.is_opaque("d"), "what was below shows again");
    }
}
