//! Races: another container swaps names in a volume while ours is being made over it. CVE-2021-30465, CVE-2024-45310
//! and CVE-2025-31133. A few hundred starts; `KNARR_FULL=1` makes 2000.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use knarr_tests::{Bundle, Runtime, Scratch, process, require};
use rustix::fs::FileType;
use serde_json::{Value, json};

use crate::attacker;
use crate::canary::Canary;

const STARTS: usize = 150;
const STARTS_FULL: usize = 2000;

fn starts() -> usize {
    if require::full_sweeps().is_ok() { STARTS_FULL } else { STARTS }
}

fn bind(destination: &str, source: &Path) -> Value {
    json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind"] })
}

/// A container that swaps `/vol/directory` and `/vol/link`, which leads to the host's canary, for ever.
fn racer(scratch: &Scratch, volume: &Path, target: &Path) -> Bundle {
    fs::create_dir_all(volume.join("directory")).expect("ours");
    symlink(target, volume.join("link")).expect("ours");
    let racer = Bundle::busybox(scratch, "racer").args(["attacker", "flip", "/vol/directory", "/vol/link"]);
    attacker::arm(scratch, &racer);
    racer.edit(|config| config["mounts"].as_array_mut().expect("a list").push(bind("/vol", volume)))
}

/// Mounts below what is being swapped.
fn target(bundle: Bundle, volume: &Path, source: &Path) -> Bundle {
    bundle.args(["true"]).edit(|config| {
        let tmpfs =
            json!({ "destination": "/vol/directory/a/b", "type": "tmpfs", "source": "tmpfs", "options": [] });
        let file = bind("/vol/directory/file", &source.join("file"));
        let mounts = [bind("/vol", volume), tmpfs, bind("/vol/directory/c", source), file];
        config["mounts"].as_array_mut().expect("a list").extend(mounts);
    })
}

#[test]
fn a_mount_point_that_is_swapped_meanwhile_is_found_inside_or_refused() {
    require!(root, tool("busybox"), tool("cc"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    let (volume, source) = (scratch.directory("volume"), scratch.directory("source"));
    fs::write(source.join("file"), "").expect("ours");
    let racing = racer(&scratch, &volume, canary.path());
    let victim = target(racing.another(&scratch, "victim"), &volume, &source);
    let container = runtime.run_detached(&racing);
    let (mut ran, mut refused) = (0, 0);
    for number in 0..starts() {
        let outcome = runtime.run(&victim);
        if outcome.status.success() {
            ran += 1;
        } else {
            refused += 1;
        }
        assert!(outcome.status.success() || outcome.stderr.contains("level=error"), "{outcome}");
        canary.assert_untouched(&format!("start {number}: {outcome}"));
    }
    eprintln!("{ran} ran, {refused} refused");
    assert_eq!(container.status(), "running", "nobody raced");
    assert!(ran > 0, "none was ever started");
}

/// The control: Debian's runc 1.1.5 has CVE-2024-45310, and the same race shows it.
#[test]
fn the_race_is_won_against_a_runtime_that_resolves_names_twice() {
    require!(root, tool("busybox"), tool("cc"), tool("runc"), full_sweeps);
    let scratch = Scratch::new();
    let (runtime, runc) = (Runtime::new(&scratch), Runtime::other(&scratch, "runc"));
    let canary = Canary::new(&scratch);
    let (volume, source) = (scratch.directory("volume"), scratch.directory("source"));
    fs::write(source.join("file"), "").expect("ours");
    let racing = racer(&scratch, &volume, canary.path());
    let victim = target(racing.another(&scratch, "victim"), &volume, &source);
    let container = runtime.run_detached(&racing);
    let won = (0..STARTS_FULL).position(|_| {
        process::run(&mut runc.verb("run", &victim));
        !canary.is_untouched()
    });
    container.kill("KILL").success();
    canary.restore();
    eprintln!("won at start {won:?}");
    assert!(won.is_some(), "{STARTS_FULL} starts were not won: the test is blind");
}

#[test]
fn devices_and_masks_are_the_hosts_own_while_the_image_changes() {
    require!(root, tool("busybox"), tool("cc"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    // One root filesystem, in which a container swaps /dev/null for a link while others start from it.
    let racing =
        Bundle::busybox(&scratch, "racer").args(["attacker", "flip", "/other/dev/null", "/other/dev/link"]);
    attacker::arm(&scratch, &racing);
    let victim = Bundle::busybox(&scratch, "victim")
        .script("stat -c '%t %T' /proc/keys; (echo '|x' >/proc/sys/kernel/core_pattern) 2>/dev/null && echo WRITTEN; exit 0")
        .edit(|config| {
            config["mounts"].as_array_mut().expect("a list").retain(|mount| mount["destination"] == "/proc");
        });
    let (null, mode) = (victim.rootfs().join("dev/null"), rustix::fs::Mode::from_raw_mode(0o666));
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(rustix::fs::CWD, null, FileType::CharacterDevice, mode, device).expect("a node");
    symlink("/proc/sys/kernel/core_pattern", victim.rootfs().join("dev/link")).expect("ours");
    let racing = racing.edit(|config| {
        config["mounts"].as_array_mut().expect("a list").push(bind("/other", &victim.rootfs()));
    });
    let container = runtime.run_detached(&racing);
    let mut ran = 0;
    for number in 0..starts() / 2 {
        let outcome = runtime.run(&victim);
        if outcome.status.success() {
            ran += 1;
            assert_eq!(outcome.stdout, "1 3\n", "{outcome}");
        }
        canary.assert_untouched(&format!("start {number}: {outcome}"));
    }
    eprintln!("{ran} ran");
    assert!(ran > 0, "none was ever started");
    assert_eq!(container.status(), "running", "nobody raced");
}
