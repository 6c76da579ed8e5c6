//! Mounts that a container would take away or loosen, and a root filesystem that is another one at every look. Classes
//! R09, R11, R29, R38 and R39.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use knarr_tests::{Bundle, Runtime, Scratch, process, programs, require};
use rustix::fs::{CWD, RenameFlags};
use serde_json::{Value, json};

use crate::attacker;
use crate::canary::Canary;

const STARTS: usize = 60;
const STARTS_FULL: usize = 500;

/// Exchanges two names for as long as `work` runs; how often it did.
fn while_swapping<T>(first: &Path, second: &Path, work: impl FnOnce() -> T) -> (T, usize) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0;
            while !is_over.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, first, CWD, second, RenameFlags::EXCHANGE)
                    .expect("both are ours");
                swaps += 1;
            }
            swaps
        });
        let result = work();
        is_over.store(true, Ordering::Relaxed);
        (result, swapper.join().expect("it does not panic"))
    })
}

/// Whoever prepares bundles may swap one as it likes, but what runs is one of the two that it had: never the host's
/// root, and never half of one and half of the other.
#[test]
fn a_root_that_is_swapped_meanwhile_is_one_of_the_two() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    let first = Bundle::busybox(&scratch, "swapped");
    let second = Bundle::busybox(&scratch, "other");
    for (bundle, name) in [(&first, "one\n"), (&second, "two\n")] {
        fs::write(bundle.rootfs().join("etc/name"), name).expect("ours");
        fs::write(bundle.rootfs().join("tmp/name"), name).expect("ours");
    }
    // By a link, and by the directory itself.
    let way = scratch.join("way");
    symlink(first.rootfs(), &way).expect("ours");
    symlink(second.rootfs(), scratch.join("way-2")).expect("ours");
    let pairs = [(way.clone(), scratch.join("way-2")), (first.rootfs(), second.rootfs())];
    let starts = if require::full_sweeps().is_ok() { STARTS_FULL } else { STARTS };
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for (root, other) in &pairs {
        let bundle = first.another(&scratch, "run").script("cat /etc/name /tmp/name");
        let bundle = bundle.edit(|config| config["root"]["path"] = json!(root));
        let (outcomes, swaps) =
            while_swapping(root, other, || (0..starts).map(|_| runtime.run(&bundle)).collect::<Vec<_>>());
        assert!(swaps > starts, "hardly anything was swapped: {swaps} times");
        for outcome in outcomes {
            let ran = outcome.status.success();
            assert!(ran || (outcome.code() < 128 && outcome.stderr.contains("level=error")), "{outcome}");
            assert!(!ran || ["one\none\n", "two\ntwo\n"].contains(&outcome.stdout.as_str()), "{outcome}");
            *seen.entry(if ran { outcome.stdout } else { "refused".to_owned() }).or_default() += 1;
        }
    }
    canary.assert_untouched("swapped roots");
    // The control: the race was on, both roots were met.
    assert!(seen.contains_key("one\none\n") && seen.contains_key("two\ntwo\n"), "no race: {seen:?}");
}

/// Whoever has no CAP_SYS_ADMIN may be root of a user namespace that it makes: what was masked, read-only or restricted
/// stays so there.
#[test]
fn root_of_a_nested_user_namespace_takes_no_mask_away() {
    require!(root, tool("busybox"), tool("cc"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let volume = scratch.directory("volume");
    let first =
        Bundle::busybox(&scratch, "first").args(["attacker", "mounts", "/proc/keys", "/proc/sys", "/vol"]);
    attacker::arm(&scratch, &first);
    // Root of the container's user namespace may not make it in a directory of the host's root.
    fs::create_dir(first.rootfs().join("vol")).expect("ours");
    let first = first.edit(|config| {
        let mount = json!({ "destination": "/vol", "type": "bind", "source": volume, "options": ["rbind", "ro", "nosuid", "nodev"] });
        config["mounts"].as_array_mut().expect("a list").push(mount);
    });
    let in_user_namespace = first.another(&scratch, "mapped").edit(|config| {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    for bundle in [&first, &in_user_namespace] {
        let outcome = runtime.run(bundle).success();
        for attempt in ["umount /proc/keys", "umount /proc/sys", "umount /vol"] {
            assert!(outcome.stdout.contains(&format!("{attempt} EINVAL\n")), "{attempt}: {outcome}");
        }
        // The mask of a file has no flags to clear.
        for attempt in ["setattr /proc/sys", "setattr /vol", "remount /proc/sys", "remount /vol"] {
            assert!(outcome.stdout.contains(&format!("{attempt} EPERM\n")), "{attempt}: {outcome}");
        }
    }
    // The control: CAP_SYS_ADMIN voids masks, as docs/security.md says.
    let open = first.another(&scratch, "open").edit(|config| {
        let capability = json!(["CAP_SYS_ADMIN"]);
        config["process"]["capabilities"] =
            json!({ "bounding": capability, "effective": capability, "permitted": capability });
    });
    let open = runtime.run(&open).success();
    assert!(open.stdout.contains("umount /proc/keys worked"), "the attacker can't unmount at all: {open}");
    assert!(open.stdout.contains("setattr /vol worked"), "the attacker changes no flags at all: {open}");
}

/// The flags of one mount as /proc/self/mountinfo shows them.
fn shown<'a>(mountinfo: &'a str, at: &str) -> Vec<&'a str> {
    let line = mountinfo.lines().find(|line| line.split(' ').nth(4) == Some(at));
    let line = line.unwrap_or_else(|| panic!("nothing is mounted at {at}: {mountinfo}"));
    line.split(' ').nth(5).expect("a mount has flags").split(',').collect()
}

fn bind(destination: &str, source: &Path, options: &[&str]) -> Value {
    let mut all = vec!["rbind"];
    all.extend(options);
    json!({ "destination": destination, "type": "bind", "source": source, "options": all })
}

/// Flags reach the mounts they name, the recursive ones those below, and what the host has set on a source stays set.
#[test]
fn flags_of_mounts_are_those_that_were_asked_for() {
    require!(root, tool("busybox"), tool("unshare"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let source = scratch.directory("source");
    let sets: [(&[&str], &[&str], &[&str]); 12] = [
        (&["ro"], &["ro"], &["rw"]),
        (&["rro"], &["ro"], &["ro"]),
        (&["nosuid"], &["rw", "nosuid"], &["rw"]),
        (&["rnosuid", "rnodev", "rnoexec"], &["nosuid", "nodev", "noexec"], &["nosuid", "nodev", "noexec"]),
        (&["nodev", "ro", "noexec"], &["nodev", "ro", "noexec"], &["rw"]),
        (&["rro", "nosuid"], &["ro", "nosuid"], &["ro"]),
        (&["noatime"], &["noatime"], &["relatime"]),
        (&["rnoatime", "ro"], &["noatime", "ro"], &["noatime"]),
        (&["strictatime", "nosuid"], &["nosuid"], &["relatime"]),
        (&["nodiratime", "relatime"], &["nodiratime", "relatime"], &["rw"]),
        (&["nosymfollow"], &["nosymfollow"], &["rw"]),
        (
            &["rro", "rnosuid", "rnodev", "rnoexec", "rnoatime"],
            &["ro", "nosuid", "noatime"],
            &["ro", "noexec", "noatime"],
        ),
    ];
    let mounts: Vec<Value> = sets
        .iter()
        .enumerate()
        .map(|(n, (options, ..))| bind(&format!("/m/{n}"), &source, options))
        .collect();
    let bundle = Bundle::busybox(&scratch, "flags")
        .script("cat /proc/self/mountinfo; for d in /m/*; do touch $d/x $d/below/x 2>/dev/null; done; exit 0")
        .edit(|config| config["mounts"].as_array_mut().expect("a list").extend(mounts));
    // A source with a mount below, in a mount namespace of the caller's own.
    let run = runtime.verb("run", &bundle);
    let prepare = "mkdir -p \"$0/below\" && mount -t tmpfs below \"$0/below\"";
    let mut caller = scratch.with_mounts(prepare, &source, run.get_program());
    let mountinfo = process::run(caller.args(run.get_args())).success().stdout;
    for (number, (options, own, below)) in sets.iter().enumerate() {
        for (at, wanted) in [(format!("/m/{number}"), own), (format!("/m/{number}/below"), below)] {
            let found = shown(&mountinfo, &at);
            assert!(wanted.iter().all(|flag| found.contains(flag)), "{options:?} at {at}: {found:?}");
            let extra = |flag: &&str| found.contains(flag) && !wanted.contains(flag);
            let surprise = ["ro", "nosuid", "nodev", "noexec", "nosymfollow"].iter().find(|flag| extra(flag));
            // Nothing that was not asked for is there.
            let asked = |flag: &str| {
                options.iter().any(|option| option.trim_start_matches('r') == flag || *option == flag)
            };
            assert!(surprise.is_none_or(|flag| asked(flag)), "{options:?} at {at}: {found:?}");
        }
    }
}

/// A container without a mount namespace of its own has no pivot_root behind it, and a chroot is no border.
#[test]
fn in_the_hosts_mount_namespace_no_way_leads_up_to_the_host() {
    require!(root, tool("busybox"), tool("cc"), tool("chroot"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let marker = scratch.join("marker");
    fs::write(&marker, "").expect("ours");
    let climb = ["attacker", "climb", marker.to_str().expect("ours")];
    let bundle = Bundle::busybox(&scratch, "one").args(climb).edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != "mount");
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set]
                .as_array_mut()
                .expect("a list")
                .push(json!("CAP_SYS_CHROOT"));
        }
    });
    attacker::arm(&scratch, &bundle);
    assert_eq!(runtime.run(&bundle).success().stdout, "inside\n");
    let waiting = bundle.another(&scratch, "waiting").args(["sleep", "600"]);
    let container = runtime.run_detached(&waiting);
    assert_eq!(container.exec(climb).success().stdout, "inside\n");
    // The control: out of an ordinary chroot it gets.
    let mut chroot = scratch.command(programs::tool("chroot"));
    let escaped = process::run(chroot.arg(bundle.rootfs()).arg("/bin/attacker").args(&climb[1..]));
    assert_eq!(escaped.success().stdout, "outside\n");
}

/// Any user who may mount something, by fusermount, gives its place a name of any bytes: it is in everybody's
/// mountinfo.
#[test]
fn a_mount_point_whose_name_is_no_text_keeps_nobody_from_a_container() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let odd = scratch.directory(OsStr::from_bytes(b"\xff"));
    // Without pivot_root it has to be found by that name: a whole procfs left in the namespace permits another one.
    let attack = "unshare -Urmpf mount -t proc none /tmp && echo mounted; echo ran";
    let bundle = Bundle::busybox(&scratch, "odd").script(attack);
    for flags in [&[][..], &["--no-pivot"]] {
        let run = runtime.verb("run", &bundle);
        let mut inside = scratch.with_mounts("mount -t proc none \"$0\"", &odd, run.get_program());
        let outcome = process::run(inside.args(run.get_args()).args(flags)).success();
        assert_eq!(outcome.stdout, "ran\n", "{flags:?}: {outcome}");
    }
}
