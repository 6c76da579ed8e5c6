//! Trees packed and looked at entry by entry, and packed, unpacked and packed again. Confinement is tested from outside
//! (tests/manager/packing.rs).

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};

use super::child;
use super::error::PackFault;
use super::message::{Times, Tree};

struct Bed(tempfile::TempDir);

impl Bed {
    /// `None` without the rights to make devices and attributes.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: packing whiteouts needs root");
            return None;
        }
        Some(Self(tempfile::tempdir().expect("a directory")))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, content: &str) -> &Self {
        fs::create_dir_all(self.at(path).parent().expect("a parent")).expect("made");
        fs::write(self.at(path), content).expect("written");
        self
    }

    fn node(&self, path: &str, kind: FileType, device: u64) -> &Self {
        rustix::fs::mknodat(CWD, self.at(path), kind, Mode::from(0o640), device).expect(path);
        self
    }

    fn attribute(&self, path: &str, name: &CStr, value: &[u8]) -> &Self {
        rustix::fs::lsetxattr(self.at(path), name, value, XattrFlags::empty()).expect(path);
        self
    }

    fn time(&self, path: &str, seconds: i64) -> &Self {
        let time = Timespec { tv_sec: seconds, tv_nsec: 5 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, self.at(path), &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect(path);
        self
    }

    fn pack(&self) -> Result<Vec<u8>, PackFault> {
        self.pack_as(&Tree::Changes { upper: self.at("") }, Times::Kept, None)
    }

    fn pack_as(&self, tree: &Tree, times: Times, view: Option<&Path>) -> Result<Vec<u8>, PackFault> {
        let mut tar = Vec::new();
        let view = view.map(opened);
        child::write(tree, times, (&opened(self.0.path()), view.as_ref()), &mut tar).map(|()| tar)
    }
}

fn opened(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .expect("opened")
}

/// Each entry's path, type, mode, owner, time, and link or content.
fn entries(tar: &[u8]) -> Vec<(String, char, u32, u64, u64, String)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().expect("a tar").map(|entry| {
        let mut entry = entry.expect("an entry");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("its data");
        let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
        let header = entry.header();
        (
            String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            char::from(header.entry_type().as_byte()),
            header.mode().expect("a mode"),
            header.uid().expect("an owner"),
            header.mtime().expect("a time"),
            String::from_utf8_lossy(&link.unwrap_or(content)).into_owned(),
        )
    });
    entries.collect()
}

fn names(tar: &[u8]) -> Vec<String> {
    entries(tar).into_iter().map(|entry| entry.0).collect()
}

#[test]
fn every_kind_of_file_is_packed_in_order() {
    let Some(bed) = Bed::new() else { return };
    bed.file("b", "bb").file("a/x", "1").file("a.b", "").file("a/y/z", "zz");
    symlink("../b", bed.at("a/link")).expect("linked");
    fs::hard_link(bed.at("b"), bed.at("c")).expect("linked");
    bed.node("pipe", FileType::Fifo, 0).node("tty", FileType::CharacterDevice, rustix::fs::makedev(5, 300));
    bed.node("gone", FileType::CharacterDevice, 0).node("talk", FileType::Socket, 0);
    fs::set_permissions(bed.at("b"), fs::Permissions::from_mode(0o4711)).expect("set");
    chown(bed.at("a/x"), Some(7), Some(8)).expect("given");
    for path in ["a/x", "a/y/z", "a/y", "a/link", "a", "a.b", "b", "pipe", "tty"] {
        bed.time(path, 1000);
    }
    let tar = bed.pack().expect("packed");
    let entry = |path: &str, kind, mode, uid, content: &str| {
        (path.to_owned(), kind, mode, uid, 1000, content.to_owned())
    };
    let expected = [
        entry("a/", '5', 0o755, 0, ""),
        entry("a/link", '2', 0o777, 0, "../b"),
        entry("a/x", '0', 0o644, 7, "1"),
        entry("a/y/", '5', 0o755, 0, ""),
        entry("a/y/z", '0', 0o644, 0, "zz"),
        entry("a.b", '0', 0o644, 0, ""),
        entry("b", '0', 0o4711, 0, "bb"),
        entry("c", '1', 0o4711, 0, "b"),
        (".wh.gone".to_owned(), '0', 0, 0, 0, String::new()),
        entry("pipe", '6', 0o640, 0, ""),
        entry("tty", '3', 0o640, 0, ""),
    ];
    assert_eq!(entries(&tar), expected);
    let mut archive = tar::Archive::new(tar.as_slice());
    let device = archive.entries().expect("a tar").map(|entry| entry.expect("an entry")).last().expect("tty");
    assert_eq!(device.header().device_major().expect("a number"), Some(5));
    assert_eq!(device.header().device_minor().expect("a number"), Some(300));
}

#[test]
fn the_same_tree_has_the_same_bytes_whenever_it_was_made() {
    let Some(bed) = Bed::new() else { return };
    bed.file("a/b", "x").file("c", "y").time("a/b", 9).time("a", 9).time("c", 9);
    let Some(other) = Bed::new() else { return };
    other.file("c", "y").file("a/b", "x").time("a/b", 9).time("a", 9).time("c", 9);
    assert_eq!(bed.pack().expect("packed"), other.pack().expect("packed"));
}

#[test]
fn a_directory_that_hides_what_is_below_says_so_first() {
    let Some(bed) = Bed::new() else { return };
    bed.file("d/-", "").file("e/f", "");
    bed.attribute("d", c"trusted.overlay.opaque", b"y").attribute("e", c"trusted.overlay.opaque", b"x");
    bed.file("e/white", "").attribute("e/white", c"trusted.overlay.whiteout", b"");
    assert_eq!(
        names(&bed.pack().expect("packed")),
        ["d/", "d/.wh..wh..opq", "d/-", "e/", "e/f", "e/.wh.white"]
    );
    bed.attribute("d", c"trusted.overlay.redirect", b"/else");
    assert_eq!(bed.pack(), Err(PackFault::Redirected { path: "d/".to_owned() }));
}

#[test]
fn attributes_long_names_large_owners_and_old_times_are_kept() {
    let Some(bed) = Bed::new() else { return };
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(180));
    bed.file(&long, "x").attribute(&long, c"user.note", b"1=2").attribute(&long, c"trusted.mine", b"no");
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bed.attribute(&long, c"security.capability", &capability);
    chown(bed.at(&long), Some(4_000_000_000), None).expect("given");
    // The chown took it away.
    bed.attribute(&long, c"security.capability", &capability).time(&long, -5);
    symlink("t".repeat(200), bed.at("link")).expect("linked");
    let tar = bed.pack().expect("packed");
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut found = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let length = entry.path_bytes().len();
        found.push((length, entry.link_name_bytes().map(|link| link.len())));
        let records = entry.pax_extensions().expect("records");
        let records: Vec<_> = records.into_iter().flatten().map(|record| record.expect("a record")).collect();
        if length == 301 {
            let keys: Vec<_> = records.iter().map(|record| record.key().expect("text")).collect();
            let expected =
                ["SCHILY.xattr.security.capability", "SCHILY.xattr.user.note", "mtime", "path", "uid"];
            assert_eq!(keys, expected);
            assert_eq!(records[1].value_bytes(), b"1=2");
            assert_eq!(
                (records[2].value_bytes(), records[4].value_bytes()),
                (&b"-5"[..], &b"4000000000"[..])
            );
        }
    }
    assert_eq!(found, [(121, None), (301, None), (4, Some(200))]);
}

#[test]
fn holes_are_zeros_in_the_tar_and_read_fast() {
    let Some(bed) = Bed::new() else { return };
    let file = File::create(bed.at("sparse")).expect("made");
    file.set_len(8 << 20).expect("sized");
    file.write_all_at(b"middle", 3 << 20).expect("written");
    file.write_all_at(b"end", (8 << 20) - 3).expect("written");
    let mut plain = vec![0; 8 << 20];
    plain[3 << 20..(3 << 20) + 6].copy_from_slice(b"middle");
    plain[(8 << 20) - 3..].copy_from_slice(b"end");
    bed.time("sparse", 1);
    let sparse = bed.pack().expect("packed");
    fs::write(bed.at("sparse"), plain).expect("written");
    bed.time("sparse", 1);
    assert!(bed.pack().expect("packed") == sparse, "a hole is not what zeros are");
}

#[test]
fn times_are_cut_where_they_are_to_be() {
    let Some(bed) = Bed::new() else { return };
    bed.file("early", "").file("late", "").time("early", 10).time("late", 1000);
    let tar = bed.pack_as(&Tree::Changes { upper: bed.at("") }, Times::AtMost(500), None).expect("packed");
    assert_eq!(entries(&tar).iter().map(|entry| entry.4).collect::<Vec<_>>(), [10, 500]);
}

#[test]
fn a_whole_tree_is_packed_by_what_differs_from_another() {
    let Some(bed) = Bed::new() else { return };
    let Some(below) = Bed::new() else { return };
    for one in [&bed, &below] {
        one.file("same", "").file("d/same", "").file("d/changed", "").time("same", 1).time("d/same", 1);
    }
    below.file("d/gone", "").file("alone/gone", "");
    bed.file("d/changed", "now").file("new/x", "");
    for one in [&bed, &below] {
        one.time("d", 1);
    }
    let tree = Tree::Differences { directory: bed.at(""), below: vec![below.at("")] };
    let tar = bed.pack_as(&tree, Times::Kept, Some(below.0.path())).expect("packed");
    assert_eq!(names(&tar), [".wh.alone", "d/", "d/changed", "d/.wh.gone", "new/", "new/x"]);
    let all = bed.pack_as(&Tree::Whole { layers: vec![bed.at("")] }, Times::Kept, None).expect("packed");
    assert_eq!(names(&all), ["d/", "d/changed", "d/same", "new/", "new/x", "same"]);
}

#[test]
fn gnu_tar_reads_what_is_packed() {
    let Some(bed) = Bed::new() else { return };
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(180));
    bed.file("a/b", "content").file(&long, "long");
    fs::hard_link(bed.at("a/b"), bed.at("a/c")).expect("linked");
    let tar = bed.pack().expect("packed");
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&tar).and_then(|()| file.seek(SeekFrom::Start(0)).map(drop)).expect("written");
    let Some(target) = Bed::new() else { return };
    let unpacked = std::process::Command::new("tar")
        .args(["-x", "-f", "-", "-C"])
        .arg(target.0.path())
        .stdin(file)
        .output()
        .expect("tar runs");
    assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{unpacked:?}");
    assert_eq!(target.pack().expect("packed again"), tar);
}
