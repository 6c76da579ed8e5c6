//! Layers, benign and hostile, placed into real directories by both ways of removal. Confinement is tested from outside
//! (tests/security): here the placing alone must hold.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use tar::{Builder, EntryType, Header};

use super::archive::Archive;
use super::budget::Budget;
use super::error::{LayerError, PathFault};
use super::message::Limits;
use super::place::Placer;
use super::remove::Remover;
use super::stream;
use super::tree::{MAX_OPEN, Tree};
use crate::content::{Algorithm, Digest};

/// A place to unpack into, with a layer below and a file outside that nothing may touch.
pub(super) struct Bed {
    directory: tempfile::TempDir,
    pub(super) is_layered: bool,
}

impl Bed {
    /// For overlayfs, what is below is elsewhere; otherwise it is already in place.
    pub(super) fn both() -> [Self; 2] {
        [true, false].map(|is_layered| {
            let bed = Self { directory: tempfile::tempdir().expect("a directory"), is_layered };
            for path in [bed.root(), bed.below()] {
                fs::create_dir_all(path).expect("a directory");
            }
            fs::write(bed.canary(), "alive").expect("a canary");
            bed
        })
    }

    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(super) fn below(&self) -> PathBuf {
        if self.is_layered { self.directory.path().join("below") } else { self.root() }
    }

    fn canary(&self) -> PathBuf {
        self.directory.path().join("canary")
    }

    pub(super) fn place(&self, tar: Tar) -> Result<(), LayerError> {
        self.place_bytes(&tar.finish(), Limits::default()).map(drop)
    }

    pub(super) fn place_bytes(&self, bytes: &[u8], limits: Limits) -> Result<Digest, LayerError> {
        let mut blob = tempfile::tempfile().expect("a file");
        blob.write_all(bytes).and_then(|()| blob.rewind()).expect("written");
        let placed = self.place_blob(blob, limits, MAX_OPEN);
        assert_eq!(fs::read_to_string(self.canary()).expect("the canary"), "alive");
        let names = fs::read_dir(self.directory.path()).expect("listed").count();
        assert_eq!(names, if self.is_layered { 3 } else { 2 }, "something was made outside");
        placed
    }

    pub(super) fn place_blob(
        &self,
        blob: File,
        limits: Limits,
        max_open: usize,
    ) -> Result<Digest, LayerError> {
        let blob_bytes = blob.metadata().expect("a file").len();
        let open = |path: &Path| {
            rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .expect("opened")
        };
        let (stream, workers) = stream::start(blob, Algorithm::Sha256, limits, |_| {})?;
        let mut archive = Archive::new(stream, limits);
        let (lower, remover) = match self.is_layered {
            true => (Some(open(&self.below())), Remover::Whiteouts),
            false => (None, Remover::deletion()),
        };
        let budget = Budget::new(limits, blob_bytes);
        let tree = Tree::new(open(&self.root()), lower, budget, max_open)?;
        Placer::new(tree, remover).place_all(&mut archive)?;
        Ok(workers.finish(archive.finish()?))
    }

    fn is_whiteout(&self, path: &str) -> bool {
        let metadata = fs::symlink_metadata(self.root().join(path));
        metadata.is_ok_and(|metadata| metadata.file_type().is_char_device() && metadata.rdev() == 0)
    }

    pub(super) fn is_opaque(&self, path: &str) -> bool {
        let mut value = [0; 4];
        let path = self.root().join(path);
        rustix::fs::lgetxattr(&path, "trusted.overlay.opaque", &mut value[..])
            .is_ok_and(|size| &value[..size] == b"y")
    }

    /// Gone, in whichever way.
    fn is_gone(&self, path: &str) -> bool {
        if self.is_layered { self.is_whiteout(path) } else { !self.root().join(path).exists() }
    }
}

#[derive(Clone)]
pub(super) struct Tar(Vec<u8>);

impl Tar {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// The name goes into the header as it is: the library would refuse what we want to see refused.
    pub(super) fn entry(self, kind: EntryType, path: &str, mode: u32, (link, data): (&str, &[u8])) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.appended(|builder| builder.append(&header, data))
    }

    /// Adds to the archive, which gets its end only when it is finished.
    fn appended(mut self, append: impl FnOnce(&mut Builder<&mut Vec<u8>>) -> std::io::Result<()>) -> Self {
        let mut builder = Builder::new(&mut self.0);
        append(&mut builder).expect("memory");
        // Dropped, it would write the end.
        std::mem::forget(builder);
        self
    }

    /// Records before the next entry.
    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.appended(|builder| builder.append_pax_extensions(records.iter().copied()))
    }

    pub(super) fn file(self, path: &str, data: &str) -> Self {
        self.entry(EntryType::Regular, path, 0o644, ("", data.as_bytes()))
    }

    pub(super) fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, path, mode, ("", b""))
    }

    pub(super) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, 0o777, (target, b""))
    }

    pub(super) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, 0o644, (target, b""))
    }

    pub(super) fn finish(self) -> Vec<u8> {
        Builder::new(self.0).into_inner().expect("memory")
    }
}

pub(super) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("SKIP: whiteouts and owners need root");
    }
    is_root
}

#[test]
fn files_have_their_bytes_modes_and_times() {
    for bed in Bed::both() {
        let tar = Tar::new()
            .directory("d", 0o750)
            .file("d/f", "hello")
            .entry(EntryType::Regular, "d/setuid", 0o4755, ("", b"x"))
            .symlink("d/l", "/absolute/target")
            .hard_link("d/h", "/d/f")
            .entry(EntryType::Fifo, "d/p", 0o600, ("", b""));
        let bytes = tar.finish();
        assert_eq!(bed.place_bytes(&bytes, Limits::default()), Ok(Digest::of(&bytes)));
        let look = |path: &str| fs::symlink_metadata(bed.root().join(path)).expect(path);
        assert_eq!(fs::read(bed.root().join("d/h")).expect("the link"), b"hello");
        assert_eq!(look("d/h").ino(), look("d/f").ino());
        assert_eq!(look("d/setuid").permissions().mode() & 0o7777, 0o4755);
        assert_eq!(look("d").permissions().mode() & 0o7777, 0o750);
        assert_eq!(fs::read_link(bed.root().join("d/l")).expect("a link"), Path::new("/absolute/target"));
        assert!(look("d/p").file_type().is_fifo());
        for path in ["d", "d/f", "d/l", "d/p"] {
            assert_eq!((look(path).mtime(), look(path).mtime_nsec()), (1_000_000_000, 0), "{path}");
        }
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    for bed in Bed::both() {
        for path in ["../canary", "a/../../canary", "/../canary", "./../../canary"] {
            let placed = bed.place(Tar::new().file(path, "dead"));
            let is_refused = matches!(placed, Err(LayerError::Path { source: PathFault::LeadsOut, .. }));
            assert!(is_refused, "{path}: {placed:?}");
        }
        let placed = bed.place(Tar::new().hard_link("x", "../canary"));
        assert!(matches!(placed, Err(LayerError::Path { .. })), "{placed:?}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    for bed in Bed::both() {
        let outside = bed.directory.path().display().to_string();
        // As directories, links lead to the image's own paths; as files, they are replaced.
        let tar = Tar::new()
            .symlink("up", "../../..")
            .file("up/canary", "inside")
            .symlink("out", &outside)
            .file("out/canary", "inside")
            .symlink("f", &format!("{outside}/canary"))
            .file("f", "inside");
        bed.place(tar).expect("placed");
        assert_eq!(fs::read_to_string(bed.root().join("canary")).expect("at the image's root"), "inside");
        let inside = bed.root().join(outside.trim_start_matches('/')).join("canary");
        assert_eq!(fs::read_to_string(inside).expect("below the image's root"), "inside");
        assert!(fs::symlink_metadata(bed.root().join("f")).expect("f").is_file());
    }
}

#[test]
fn hard_links_lead_only_to_the_image_s_files() {
    for bed in Bed::both() {
        let canary = bed.canary().display().to_string();
        for target in [canary.as_str(), "nowhere", "d", "l/canary"] {
            let tar =
                Tar::new().directory("d", 0o755).symlink("l", &bed.directory.path().display().to_string());
            let placed = bed.place(tar.hard_link("x", target));
            assert!(matches!(placed, Err(LayerError::Link { .. })), "{target}: {placed:?}");
        }
    }
}

#[test]
fn links_that_go_in_circles_are_refused() {
    for bed in Bed::both() {
        let placed = bed.place(Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", ""));
        let is_refused = matches!(placed, Err(LayerError::Path { source: PathFault::TooManyLinks, .. }));
        assert!(is_refused, "{placed:?}");
    }
}

#[test]
fn the_last_of_several_entries_of_one_path_counts() {
    for bed in Bed::both() {
        let tar = Tar::new()
            .file("a", "first")
            .file("a", "second")
            .directory("b", 0o755)
            .file("b/inner", "")
            .file("b", "a file now")
            .symlink("c", "nowhere")
            .directory("c", 0o700)
            .file("c/inner", "");
        bed.place(tar).expect("placed");
        let text = |path: &str| fs::read_to_string(bed.root().join(path)).expect(path);
        assert_eq!(
            (text("a").as_str(), text("b").as_str(), text("c/inner").as_str()),
            ("second", "a file now", "")
        );
    }
}

#[test]
fn whiteouts_take_what_is_below_and_nothing_else() {
    if !is_root() {
        return;
    }
    for bed in Bed::both() {
        for directory in ["gone", "emptied/deep", "kept"] {
            fs::create_dir_all(bed.below().join(directory)).expect("below");
        }
        for file in ["gone/x", "emptied/old", "emptied/deep/old", "kept/old", "kept/f", "single"] {
            fs::write(bed.below().join(file), "old").expect("below");
        }
        let tar = Tar::new()
            .file(".wh.gone", "")
            .file(".wh.single", "")
            .file(".wh.never-was", "")
            .file("nowhere/.wh.x", "")
            .file("emptied/new", "")
            .file("emptied/deep/new", "")
            // After what it must not take.
            .file("emptied/.wh..wh..opq", "")
            .file("kept/.wh.f", "")
            .file("kept/new", "")
            .file("kept/.wh.new", "");
        bed.place(tar).expect("placed");
        assert!(bed.is_gone("gone") && bed.is_gone("single") && bed.is_gone("kept/f"));
        for path in ["never-was", "nowhere"] {
            assert!(fs::symlink_metadata(bed.root().join(path)).is_err(), "{path}");
        }
        for path in ["emptied/new", "emptied/deep/new", "kept/new"] {
            assert!(bed.root().join(path).is_file(), "{path}");
        }
        match bed.is_layered {
            true => assert!(bed.is_opaque("emptied") && !bed.is_opaque("kept")),
            false => {
                assert!(!bed.root().join("emptied/old").exists() && bed.root().join("kept/old").exists());
                assert!(!bed.root().join("emptied/deep/old").exists());
            }
        }
    }
}

#[test]
fn what_replaces_a_whiteout_does_not_show_what_was_below() {
    if !is_root() {
        return;
    }
    for bed in Bed::both() {
        fs::create_dir(bed.below().join("d")).expect("below");
        fs::write(bed.below().join("d/old"), "").expect("below");
        fs::create_dir(bed.below().join("e")).expect("below");
        fs::write(bed.below().join("e/old"), "").expect("below");
        let tar = Tar::new().file(".wh.d", "").file("d/new", "").file(".wh.e", "").directory("e", 0o755);
        bed.place(tar).expect("placed");
        match bed.is_layered {
            true => assert!(bed.is_opaque("d") && bed.is_opaque("e")),
            false => assert!(!bed.root().join("d/old").exists() && !bed.root().join("e/old").exists()),
        }
    }
}

#[test]
fn a_whiteout_does_not_follow_links_out() {
    if !is_root() {
        return;
    }
    for bed in Bed::both() {
        std::os::unix::fs::symlink(bed.directory.path(), bed.below().join("out")).expect("below");
        bed.place(Tar::new().file("out/.wh.canary", "").file(".wh..wh..opq", "")).expect("placed");
        for name in [".wh.", ".wh..", ".wh..."] {
            let placed = bed.place(Tar::new().directory("d", 0o755).file(&format!("d/{name}"), ""));
            let is_refused = matches!(placed, Err(LayerError::Path { source: PathFault::Whiteout, .. }));
            assert!(is_refused, "{name}: {placed:?}");
        }
    }
}

#[test]
fn what_is_below_is_gone_through_and_made_again_as_it_was() {
    if !is_root() {
        return;
    }
    for bed in Bed::both() {
        fs::create_dir_all(bed.below().join("usr/lib")).expect("below");
        fs::set_permissions(bed.below().join("usr/lib"), fs::Permissions::from_mode(0o2710)).expect("below");
        std::os::unix::fs::chown(bed.below().join("usr/lib"), Some(7), Some(8)).expect("below");
        fs::set_permissions(bed.below().join("usr/lib"), fs::Permissions::from_mode(0o2710)).expect("below");
        std::os::unix::fs::symlink("usr/lib", bed.below().join("lib")).expect("below");
        fs::write(bed.below().join("usr/original"), "same").expect("below");
        let tar = Tar::new().file("lib/new", "x").hard_link("usr/twin", "usr/original");
        bed.place(tar).expect("placed");
        let lib = fs::metadata(bed.root().join("usr/lib")).expect("made again");
        assert_eq!((lib.uid(), lib.gid(), lib.mode() & 0o7777), (7, 8, 0o2710));
        let new = fs::metadata(bed.root().join("usr/lib/new")).expect("through the link");
        assert_eq!((new.uid(), new.gid()), (0, 0));
        let twin = fs::metadata(bed.root().join("usr/twin")).expect("linked");
        assert_eq!(twin.ino(), fs::metadata(bed.root().join("usr/original")).expect("brought up").ino());
    }
}

#[test]
fn a_device_that_overlayfs_takes_for_a_whiteout_is_one() {
    if !is_root() {
        return;
    }
    for bed in Bed::both() {
        fs::write(bed.below().join("f"), "").expect("below");
        bed.place(Tar::new().entry(EntryType::Char, "f", 0o600, ("", b""))).expect("placed");
        assert!(bed.is_gone("f"));
    }
}

#[test]
fn bounds_hold() {
    let bed = &Bed::both()[1];
    let limits = Limits { layer_bytes: 1 << 20, free_bytes: 1 << 16, ratio: 4, entries: 3 };
    let many = Tar::new().file("1", "").file("2", "").file("3", "").file("4", "");
    let many = bed.place_bytes(&many.finish(), limits);
    assert!(matches!(many, Err(LayerError::TooMany { limit: 3, .. })), "{many:?}");
    let zeros = Tar::new().entry(EntryType::Regular, "bomb", 0o644, ("", &vec![0; 1 << 19])).finish();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&zeros).expect("memory");
    let bomb = bed.place_bytes(&bomb.finish().expect("memory"), limits);
    assert!(matches!(bomb, Err(LayerError::TooMany { .. })), "{bomb:?}");
    let name = "n/".repeat(8 << 10);
    let long =
        Tar::new().entry(EntryType::GNULongName, "././@LongLink", 0, ("", name.as_bytes())).file("x", "");
    let long = bed.place(long);
    assert!(matches!(long, Err(LayerError::TooMany { .. })), "{long:?}");
}

#[test]
fn a_hard_link_to_a_sparse_file_of_the_layers_below_costs_what_that_costs() {
    let bed = &Bed::both()[0];
    let hole = File::create(bed.below().join("hole")).expect("below");
    hole.set_len(3 << 30).expect("a hole");
    std::os::unix::fs::FileExt::write_all_at(&hole, b"data", 1 << 30).expect("data");
    bed.place(Tar::new().hard_link("twin", "hole").hard_link("third", "hole")).expect("placed");
    let twin = fs::metadata(bed.root().join("twin")).expect("linked");
    assert_eq!((twin.len(), twin.nlink()), (3 << 30, 3));
    assert!(twin.blocks() * 512 < 1 << 20, "{} bytes on the disk", twin.blocks() * 512);
    let mut data = [0; 4];
    let copied = File::open(bed.root().join("twin")).expect("open");
    std::os::unix::fs::FileExt::read_exact_at(&copied, &mut data, 1 << 30).expect("read");
    assert_eq!(&data, b"data");
}

#[test]
fn what_takes_more_of_the_disk_than_of_the_archive_is_bounded() {
    let limits = Limits { layer_bytes: 1 << 40, free_bytes: 4 << 20, ratio: 1, entries: 1 << 20 };
    let deep = |number: usize| format!("{number}/{}", "d/".repeat(40));
    let many: fn(&str, usize) -> String = |name, number| format!("{name}{number}");
    let attribute: &[(&str, &[u8])] = &[("SCHILY.xattr.user.a", b"v")];
    let link = "t".repeat(90);
    for (what, tar) in [
        ("directories that no entry names", (0..40).fold(Tar::new(), |tar, n| tar.file(&deep(n), ""))),
        ("directories", (0..1100).fold(Tar::new(), |tar, n| tar.directory(&many("d", n), 0o755))),
        ("small files", (0..1100).fold(Tar::new(), |tar, n| tar.file(&many("f", n), "x"))),
        ("long links", (0..1100).fold(Tar::new(), |tar, n| tar.symlink(&many("l", n), &link))),
        ("attributes", (0..1100).fold(Tar::new(), |tar, n| tar.pax(attribute).file(&many("x", n), ""))),
    ] {
        for bed in Bed::both() {
            let bytes = tar.clone().finish();
            let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            zipped.write_all(&bytes).expect("memory");
            let placed = bed.place_bytes(&zipped.finish().expect("memory"), limits);
            let is_bounded =
                matches!(&placed, Err(LayerError::TooMany { what, .. }) if what == "bytes on the disk");
            assert!(is_bounded, "{what}: {placed:?}");
        }
    }
    // Just inside: the same limits take what fits.
    let tar = (0..900).fold(Tar::new(), |tar, number| tar.directory(&format!("d{number}"), 0o755));
    Bed::both()[1].place_bytes(&tar.finish(), limits).expect("fits");
}

#[test]
fn a_hard_link_to_a_large_file_of_the_layers_below_is_bounded() {
    let bed = &Bed::both()[0];
    fs::write(bed.below().join("large"), vec![7; 8 << 20]).expect("below");
    let limits = Limits { layer_bytes: 1 << 40, free_bytes: 4 << 20, ratio: 1, entries: 1 << 20 };
    let placed = bed.place_bytes(&Tar::new().hard_link("twin", "large").finish(), limits);
    assert!(matches!(placed, Err(LayerError::TooMany { .. })), "{placed:?}");
}

#[test]
fn what_is_cut_off_or_garbled_says_so() {
    let bed = &Bed::both()[1];
    let whole = Tar::new().file("f", &"x".repeat(5000)).finish();
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(&whole).expect("memory");
    let zipped = zipped.finish().expect("memory");
    for bytes in [&whole[..700], &whole[..4000]] {
        let placed = bed.place_bytes(bytes, Limits::default());
        assert!(matches!(placed, Err(LayerError::Truncated { .. })), "{placed:?}");
    }
    let placed = bed.place_bytes(&zipped[..zipped.len() / 2], Limits::default());
    assert!(matches!(placed, Err(LayerError::Corrupt { .. })), "{placed:?}");
    let placed = bed.place_bytes(&[b'x'; 512], Limits::default());
    assert!(matches!(placed, Err(LayerError::Header { .. })), "{placed:?}");
    let placed = bed.place_bytes(b"\xfd7zXZ\0and so on", Limits::default());
    assert!(matches!(placed, Err(LayerError::Compression(_))), "{placed:?}");
    assert_eq!(bed.place_bytes(&zipped, Limits::default()), Ok(Digest::of(&whole)));
    let zstd = zstd::encode_all(&whole[..], 1).expect("memory");
    assert_eq!(bed.place_bytes(&zstd, Limits::default()), Ok(Digest::of(&whole)));
}
