//! A small disk below knarrd, filled in every way that a user has, then to its last byte or inode, and emptied again
//! with the product's own commands. knarrd starts again at every moment, and nothing that it has told is lost.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use knarr_tests::{Daemon, Image, Knarr, Scratch, eventually, image::Layer, process, require};

const DEADLINE: Duration = Duration::from_secs(120);
const BUSYBOX: &str = "docker.io/library/busybox:full";
const MIB: u64 = 1 << 20;

/// What is below knarrd's root.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Ext4,
    Ext4OfFewInodes,
    Tmpfs,
}

/// 64 MB, mounted where the test's knarrd has its root.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn mount(scratch: &Scratch, kind: Kind) -> Self {
        let path = scratch.directory("root");
        let image = scratch.join("disk");
        let mut mount = scratch.command("mount");
        match kind {
            Kind::Tmpfs => mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]),
            Kind::Ext4 | Kind::Ext4OfFewInodes => {
                File::create(&image).and_then(|file| file.set_len(64 * MIB)).expect("a disk");
                let inodes = if matches!(kind, Kind::Ext4) { "8192" } else { "1500" };
                let mut mkfs = scratch.command("mkfs.ext4");
                process::run(mkfs.args(["-q", "-N", inodes]).arg(&image)).success();
                mount.args(["-o", "loop"]).arg(&image)
            }
        };
        process::run(mount.arg(&path)).success();
        Self { path }
    }

    fn free(&self) -> (u64, u64) {
        let disk = rustix::fs::statvfs(&self.path).expect("the disk");
        (disk.f_bavail * disk.f_frsize, disk.f_favail)
    }

    /// Takes what is left, as a neighbour on the same disk would.
    fn fill(&self) {
        let mut filler = File::create(self.path.join("neighbour"));
        if let Ok(file) = &mut filler {
            let megabyte = vec![7; MIB as usize];
            while file.write_all(&megabyte).is_ok() {}
            while file.write_all(&megabyte[..512]).is_ok() {}
        }
    }

    fn fill_inodes(&self) {
        let directory = self.path.join("neighbours");
        fs::create_dir_all(&directory).ok();
        let mut number = 0;
        while File::create(directory.join(number.to_string())).is_ok() {
            number += 1;
        }
    }

    fn neighbour_leaves(&self) {
        fs::remove_file(self.path.join("neighbour")).ok();
        fs::remove_dir_all(self.path.join("neighbours")).ok();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // knarrd has just been stopped; a shim may still have its bundle open.
        let unmounted = process::run(Command::new("umount").arg(&self.path)).code() == 0
            || process::run(Command::new("umount").arg("-l").arg(&self.path)).code() == 0;
        if !std::thread::panicking() {
            assert!(unmounted, "{} is still mounted", self.path.display());
        }
    }
}

fn load(knarr: &Knarr<'_>, scratch: &Scratch, image: &Image, name: &str) -> process::Outcome {
    let archive = scratch.join("archive.tar");
    image.write_docker_archive(&archive, &[name]);
    let loaded = knarr.call(["load", "-i", archive.to_str().expect("our own path")]);
    fs::remove_file(archive).expect("removed");
    loaded
}

/// Bytes that do not compress.
fn noise(megabytes: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..megabytes * MIB / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

#[track_caller]
fn assert_says_how_to_make_room(outcome: &process::Outcome) {
    assert_ne!(outcome.code(), 0, "{outcome}");
    let text = outcome.stderr.to_lowercase();
    assert!(text.contains("no space left") && text.contains("knarr rm"), "{outcome}");
}

/// The containers that were told about before, with their ends.
fn told(knarr: &Knarr<'_>) -> String {
    let inspected = knarr.json(["inspect", "witness"]);
    assert_eq!(inspected[0]["State"]["Status"], "exited", "{inspected}");
    assert_eq!(inspected[0]["State"]["ExitCode"], 7, "{inspected}");
    knarr.say(["images", "--quiet"])
}

/// Fills the disk by `fill`, then to its end, and shows that it can be left by removing the containers that were made.
fn leaves(kind: Kind, fill: impl Fn(&Knarr<'_>, &Scratch)) {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let disk = Disk::mount(&scratch, kind);
    let mut daemon = Daemon::start_with(&scratch, &["--container-log-max-size", "1000000000"]);
    let knarr = daemon.knarr();
    load(&knarr, &scratch, &Image::busybox(), BUSYBOX).success();
    knarr.call(["run", "--name", "witness", BUSYBOX, "sh", "-c", "exit 7"]).exits_with(7);
    let images = told(&knarr);
    let before = disk.free();

    fill(&knarr, &scratch);
    disk.fill();
    if matches!(kind, Kind::Ext4OfFewInodes) {
        disk.fill_inodes();
    }
    assert_eq!(told(&knarr), images);
    daemon.kill();
    daemon.start_again();
    assert_eq!(told(&knarr), images, "after a restart on a full disk");
    let created = knarr.call(["run", "--rm", BUSYBOX, "true"]);
    if created.code() != 0 {
        assert_says_how_to_make_room(&created);
    }
    disk.fill();
    for container in knarr.say(["ps", "--all", "--quiet"]).lines() {
        knarr.call(["rm", "--force", container]).success();
    }
    disk.neighbour_leaves();
    let after = disk.free();
    let spared = 6 * MIB;
    assert!(after.0 + spared >= before.0 && after.1 + 64 >= before.1, "{before:?} before, {after:?} after");
    assert_eq!(knarr.say(["run", "--rm", BUSYBOX, "echo", "works"]), "works");
    knarr.call(["rmi", BUSYBOX]).success();
    assert_eq!(knarr.say(["images", "--quiet"]), "");
    daemon.stop();
}

/// Runs `script` as container `hog` until it says "full".
fn hog(knarr: &Knarr<'_>, script: &str) {
    let script = format!("{script}; echo full >&2; exec sleep 1000000");
    knarr.say(["run", "-d", "--name", "hog", BUSYBOX, "sh", "-c", &script]);
    eventually(DEADLINE, || fs_says_full(knarr).then_some(()));
}

/// On a full disk the log may not take the word: a process that sleeps is done, too.
fn fs_says_full(knarr: &Knarr<'_>) -> bool {
    let top = knarr.json(["inspect", "hog"]);
    let pid = top[0]["State"]["Pid"].as_u64().unwrap_or(0);
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("sleep"))
}

const WRITE: &str = "dd if=/dev/zero of=/big bs=1M 2>/dev/null";
// A shell ends when `:` cannot be redirected, and goes on when `true` cannot.
const NAMES: &str = "i=0; while true >/f$i; do i=$((i+1)); done 2>/dev/null";

#[test]
fn a_disk_that_a_container_has_filled_is_left_by_removing_it() {
    for kind in [Kind::Ext4, Kind::Tmpfs] {
        leaves(kind, |knarr, _| hog(knarr, WRITE));
    }
}

#[test]
fn a_disk_without_inodes_is_left_by_removing_the_container() {
    leaves(Kind::Ext4OfFewInodes, |knarr, _| hog(knarr, NAMES));
}

#[test]
fn a_disk_that_a_log_has_filled_is_left_by_removing_the_container() {
    let fill = |knarr: &Knarr<'_>, _: &Scratch| {
        knarr.say(["run", "-d", "--name", "hog", BUSYBOX, "yes", &"x".repeat(1000)]);
        let log = knarr.json(["inspect", "hog"])[0]["LogPath"].as_str().map(PathBuf::from);
        let log = log.expect("a log");
        let mut last = 0;
        eventually(DEADLINE, || {
            std::thread::sleep(Duration::from_millis(200));
            let size = fs::metadata(&log).map_or(0, |metadata| metadata.len());
            let is_full = size > 20 * MIB && size == last;
            last = size;
            is_full.then_some(())
        });
    };
    leaves(Kind::Ext4, fill);
}

#[test]
fn a_disk_that_many_containers_have_filled_is_left_by_removing_them() {
    let fill = |knarr: &Knarr<'_>, _: &Scratch| {
        for number in 0..8 {
            let script = "dd if=/dev/zero of=/big bs=1M count=9 2>/dev/null";
            // The last ones find no room.
            knarr.call(["run", "--name", &format!("hog-{number}"), BUSYBOX, "sh", "-c", script]);
        }
    };
    leaves(Kind::Ext4, fill);
}

#[test]
fn images_that_do_not_fit_are_refused_with_the_remedy_and_leave_nothing() {
    require!(root, tool("busybox"));
    for kind in [Kind::Ext4, Kind::Tmpfs] {
        let scratch = Scratch::new();
        let disk = Disk::mount(&scratch, kind);
        let mut daemon = Daemon::start(&scratch);
        let knarr = daemon.knarr();
        let zeros = Layer::new().file("big", 0o644, &vec![0; 114 * MIB as usize]);
        let many =
            (0..9000).fold(Layer::new(), |layer, number| layer.file(&format!("f{number}"), 0o644, b"x"));
        let before = disk.free();
        for (what, layer) in [
            ("a layer that is small until it is unpacked", zeros),
            ("a layer of many small files", many),
            ("a layer that is large", Layer::new().file("big", 0o644, &noise(70))),
        ] {
            let loaded = load(&knarr, &scratch, &Image::empty().layer(layer), "test/large:1");
            if matches!((what, kind), ("a layer of many small files", Kind::Tmpfs)) {
                // A tmpfs has as many inodes as memory allows.
                knarr.call(["rmi", "test/large:1"]);
                continue;
            }
            assert_says_how_to_make_room(&loaded);
            let after = disk.free();
            assert!(after.0 + 6 * MIB >= before.0, "{what}: {before:?} before, {after:?} after");
        }
        assert_eq!(knarr.say(["images", "--quiet"]), "");
        load(&knarr, &scratch, &Image::busybox(), BUSYBOX).success();
        daemon.kill();
        disk.fill();
        daemon.start_again();
        knarr.call(["rmi", BUSYBOX]).success();
        assert_eq!(knarr.say(["images", "--quiet"]), "");
        daemon.stop();
    }
}

#[test]
fn a_full_container_can_be_entered_and_emptied_from_within() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let disk = Disk::mount(&scratch, Kind::Ext4);
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load(&knarr, &scratch, &Image::busybox(), BUSYBOX).success();
    hog(&knarr, WRITE);
    disk.fill();
    knarr.call(["exec", "hog", "rm", "/big"]).success();
    assert!(disk.free().0 > 20 * MIB);
    knarr.call(["rm", "--force", "hog"]).success();
    daemon.stop();
}

#[test]
fn an_exit_on_a_full_disk_is_told_after_a_restart() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let disk = Disk::mount(&scratch, Kind::Ext4);
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load(&knarr, &scratch, &Image::busybox(), BUSYBOX).success();
    let go = scratch.directory("go");
    let bind = format!("{}:/go:ro", go.display());
    let script = "while [ ! -e /go/now ]; do usleep 10000; done; exit 9";
    knarr.say(["run", "-d", "--name", "ends", "-v", &bind, BUSYBOX, "sh", "-c", script]);
    let pid = knarr.json(["inspect", "ends"])[0]["State"]["Pid"].as_u64().expect("a pid");
    daemon.kill();
    disk.fill();
    fs::write(go.join("now"), "").expect("ours");
    eventually(DEADLINE, || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    daemon.start_again();
    assert_eq!(knarr.say(["wait", "ends"]), "9");
    knarr.call(["rm", "ends"]).success();
    disk.neighbour_leaves();
    daemon.stop();
}
