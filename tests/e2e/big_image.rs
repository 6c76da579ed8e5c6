//! A whole Debian in more than five layers, with all that layers can do: pulled by knarr, its tree is the one that umoci
//! unpacks, file by file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use knarr_tests::image::{Compression, digest};
use knarr_tests::{Daemon, Image, Layer, Registry, Scratch, process, programs, require, rootfs};

/// What the image must at least weigh, unpacked.
const MIN_BYTES: u64 = 100_000_000;
/// Long enough for two loaded cores to push, pull or unpack it.
const DEADLINE: Duration = Duration::from_secs(240);
/// Files that a container has from its engine, not from its image.
const FROM_THE_ENGINE: [&str; 4] = ["etc/hostname", "etc/hosts", "etc/resolv.conf", ".dockerenv"];

/// One entry of a tree, as far as an image describes it.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: tar::EntryType,
    mode: u32,
    owner: (u64, u64),
    link: Option<String>,
    device: Option<(Option<u32>, Option<u32>)>,
    content: String,
    mtime_unix_s: Option<u64>,
    xattrs: BTreeSet<(String, Vec<u8>)>,
}

/// The layers: Debian in three parts, and two with everything that can be done to lower layers.
fn image(scratch: &Scratch) -> Image {
    let parts: [(&str, &[&str]); 3] = [
        ("libraries", &["./usr/lib"]),
        ("programs", &["./usr/bin", "./usr/sbin"]),
        (
            "rest",
            &["--exclude=./usr/lib", "--exclude=./usr/bin", "--exclude=./usr/sbin", "--exclude=./dev/*", "."],
        ),
    ];
    let tree = scratch.directory("debian");
    let mut unpack = scratch.command("tar");
    unpack.args(["--numeric-owner", "--xattrs", "-xpf"]).arg(rootfs::debian_tar()).arg("-C").arg(&tree);
    process::run_within(DEADLINE, &mut unpack).success();
    let mut image = Image::empty();
    for (name, what) in parts {
        let part = scratch.join(format!("{name}.tar"));
        let mut pack = scratch.command("tar");
        pack.args(["--numeric-owner", "--xattrs", "-C"]).arg(&tree).arg("-cf").arg(&part).args(what);
        process::run_within(DEADLINE, &mut pack).success();
        image = image.tar_layer(fs::read(&part).expect("tar wrote it"));
        fs::remove_file(&part).expect("it is ours");
    }
    fs::remove_dir_all(&tree).expect("it is ours");
    image.layer(oddities()).layer(changes())
}

fn oddities() -> Layer {
    // The capability `cap_net_raw=ep`, as `setcap` stores it.
    let capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    Layer::new()
        .directory("srv/data", 0o2775)
        .owned_by(1000, 1001)
        .file("srv/data/plain", 0o640, b"plain")
        .hard_link("srv/data/same", "srv/data/plain")
        .xattr("user.note", b"a \x00 note")
        .file("srv/data/noted", 0o600, b"noted")
        .owned_by(0, 0)
        .xattr("security.capability", capability)
        .file("srv/data/capable", 0o755, b"#!/bin/sh\n")
        .file("srv/data/setuid", 0o4755, b"#!/bin/sh\n")
        .file("srv/data/odd name\twith\nall ä", 0o644, b"odd")
        .character_device("srv/data/null", 0o666, (1, 3))
        .symlink("srv/data/absolute", "/etc/passwd")
        .symlink("srv/data/outside", "../../../../etc/shadow")
        .directory("srv/doomed", 0o755)
        .file("srv/doomed/file", 0o644, b"gone later")
        .directory("srv/emptied/below", 0o755)
        .file("srv/emptied/below/file", 0o644, b"gone later")
        .file("srv/becomes-directory", 0o644, b"a file still")
        .directory("srv/becomes-file", 0o755)
        .file("srv/becomes-file/inside", 0o644, b"inside")
        .symlink("srv/becomes-real", "/srv/data")
}

fn changes() -> Layer {
    Layer::new()
        .whiteout("srv/doomed")
        .whiteout("usr/share/doc")
        .directory("srv/emptied", 0o700)
        .opaque("srv/emptied")
        .file("srv/emptied/new", 0o644, b"new")
        .whiteout("srv/becomes-directory")
        .directory("srv/becomes-directory", 0o755)
        .file("srv/becomes-directory/inside", 0o644, b"inside")
        .whiteout("srv/becomes-file")
        .file("srv/becomes-file", 0o644, b"a file now")
        .whiteout("srv/becomes-real")
        .directory("srv/becomes-real", 0o755)
        .file("srv/becomes-real/inside", 0o644, b"not in /srv/data")
        .owned_by(7, 8)
        .file("srv/data/plain", 0o604, b"its other name keeps the old content")
}

/// Reads a tree that was packed with `tar --sort=name`.
fn read_tree(path: &Path) -> BTreeMap<String, Entry> {
    let mut archive = tar::Archive::new(File::open(path).expect("tar wrote it"));
    let mut tree = BTreeMap::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("a whole tar");
        let name = entry.path_bytes();
        let name = String::from_utf8_lossy(&name).trim_start_matches("./").trim_end_matches('/').to_owned();
        let kind = entry.header().entry_type();
        let mut xattrs = BTreeSet::new();
        if let Some(extensions) = entry.pax_extensions().expect("PAX headers") {
            for extension in extensions.flatten() {
                let key = extension.key().expect("names are UTF-8");
                if let Some(attribute) = key.strip_prefix("SCHILY.xattr.") {
                    xattrs.insert((attribute.to_owned(), extension.value_bytes().to_vec()));
                }
            }
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("a whole tar");
        let header = entry.header();
        let is_device = matches!(kind, tar::EntryType::Char | tar::EntryType::Block);
        let device = |number: std::io::Result<Option<u32>>| number.expect("a ustar header");
        let described = Entry {
            kind,
            mode: header.mode().expect("a mode"),
            owner: (header.uid().expect("a uid"), header.gid().expect("a gid")),
            link: entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned()),
            device: is_device.then(|| (device(header.device_major()), device(header.device_minor()))),
            content: digest(&content),
            // A directory's time changes with every layer that puts something into it.
            mtime_unix_s: (!kind.is_dir()).then(|| header.mtime().expect("a time")),
            xattrs,
        };
        tree.insert(name, described);
    }
    tree
}

const PACK: [&str; 7] = [
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--sort=name",
    "--one-file-system",
    "--format=posix",
    "-C",
];

#[test]
fn big_image_has_the_same_tree_as_umocis_unpack() {
    require!(root, tool("debootstrap"), tool("docker-registry"), tool("skopeo"), tool("umoci"));
    let scratch = Scratch::new();
    let layout = scratch.join("layout");
    image(&scratch).compression(Compression::Gzip).write_layout(&layout, "debian");
    let registry = Registry::start(&scratch);
    let reference = registry.push_layout(&layout, "debian", "test/debian:12");

    let daemon = Daemon::start(&scratch);
    let mut pull = daemon.knarr().command(["pull", &reference]);
    process::run_within(DEADLINE, &mut pull).success();
    // The whole tree comes out through the container's stdout: that, too, must lose nothing.
    let ours = scratch.join("ours.tar");
    let pack = PACK.into_iter().chain(["/", "--exclude=./proc", "--exclude=./sys", "-cf", "-", "."]);
    let mut run = daemon.knarr().command(["run", "--rm", &reference, "tar"].into_iter().chain(pack));
    run.stdin(std::process::Stdio::null())
        .stdout(File::create(&ours).expect("the scratch directory is ours"));
    let status = process::wait(&mut run.spawn().expect("knarr starts"), DEADLINE).expect("it ends in time");
    assert!(status.success(), "{status}");

    let bundle = scratch.join("umoci");
    let mut unpack = scratch.command(programs::tool("umoci"));
    unpack.args(["unpack", "--image"]).arg(format!("{}:debian", layout.display())).arg(&bundle);
    process::run_within(DEADLINE, &mut unpack).success();
    let theirs = scratch.join("theirs.tar");
    let mut pack = scratch.command("tar");
    pack.args(PACK).arg(bundle.join("rootfs")).args(["--exclude=./proc", "--exclude=./sys", "-cf"]);
    process::run_within(DEADLINE, pack.arg(&theirs).arg(".")).success();

    assert!(fs::metadata(&theirs).expect("tar wrote it").len() > MIN_BYTES);
    assert_same(read_tree(&ours), read_tree(&theirs));
}

fn assert_same(mut ours: BTreeMap<String, Entry>, mut theirs: BTreeMap<String, Entry>) {
    for tree in [&mut ours, &mut theirs] {
        tree.retain(|name, _| !FROM_THE_ENGINE.contains(&name.as_str()) && !name.starts_with("dev"));
    }
    assert!(ours.len() > 3000, "a whole Debian has more than {} files", ours.len());
    assert!(!ours.contains_key("usr/share/doc") && !ours.contains_key("srv/emptied/below"), "whiteouts");
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let different: Vec<String> = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| format!("{name}:\n  ours  {:?}\n  umoci {:?}", ours.get(name), theirs.get(name)))
        .collect();
    let count = different.len();
    assert!(different.is_empty(), "{count} differ: {}", different[..count.min(20)].join("\n"));
}
