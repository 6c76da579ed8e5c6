//! `linux.rootfsPropagation` and the propagation of bind mounts: what is mounted on the host after the start is seen or
//! not, and what is mounted in the container appears on the host or not. The "host" is a mount namespace of the test's.

use std::collections::BTreeMap;
use std::path::Path;

use knarr_tests::{Bundle, Outcome, Runtime, Scratch, process, programs, require};
use serde_json::json;

use crate::mountinfo::{Entry, parse};
use crate::mounts::add;
use crate::{differs, output};

/// In a mount namespace of its own: a shared mount, a container that has it at /data, a mount on either side, and what
/// the other side sees of it. $1 is the directory, $2 the bundle, then the runtime.
const BOTH_SIDES: &str = r#"
directory=$1; bundle=$2; shift 2
umount /sys/fs/cgroup/unified 2>/dev/null
mount -t tmpfs host "$directory" && mount --make-shared "$directory" || exit 1
mkdir "$directory/late" "$directory/inner"
"$@" run --detach --bundle "$bundle" one >/dev/null 2>&1 </dev/null || exit 1
mount -t tmpfs late "$directory/late" && touch "$directory/late/seen"
"$@" exec one sh -c 'mount -t tmpfs inner /data/inner && touch /data/inner/seen; ls /data/late'
ls "$directory/inner" | sed 's/^/host: /'
"$@" delete --force one
"#;

#[track_caller]
fn both_sides(scratch: &Scratch, options: &[&str], of_root: &str) -> Outcome {
    let runtime = Runtime::new(scratch).as_is();
    let directory = scratch.directory("shared").display().to_string();
    let bundle = Bundle::busybox(scratch, "one").args(["sleep", "60"]).edit(|config| {
        add(config, "/data", "none", &directory, options);
        config["linux"]["rootfsPropagation"] = json!(of_root);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
        }
    });
    let mut command = scratch.command(programs::tool("unshare"));
    command
        .args(["-m", "--propagation", "private", "sh", "-c", BOTH_SIDES, "sh"])
        .arg(&directory)
        .arg(bundle.path());
    process::run(command.arg(runtime.program()).arg("--root").arg(runtime.root())).success()
}

#[test]
fn a_private_bind_sees_nothing_of_the_host_and_shows_nothing() {
    require!(root, tool("busybox"), tool("unshare"));
    let scratch = Scratch::new();
    let seen = both_sides(&scratch, &["rbind", "rprivate"], "");
    assert_eq!(seen.stdout, "", "{seen}");
}

#[test]
fn a_slave_bind_sees_the_hosts_mounts_and_shows_none() {
    require!(root, tool("busybox"), tool("unshare"));
    differs!("crun" => "1.8.1 cuts every bind mount off the host unless rootfsPropagation says otherwise");
    let scratch = Scratch::new();
    let seen = both_sides(&scratch, &["rbind", "rslave"], "");
    assert_eq!(seen.stdout, "seen\n", "{seen}");
}

#[test]
fn a_shared_bind_sees_and_shows() {
    require!(root, tool("busybox"), tool("unshare"));
    let scratch = Scratch::new();
    // Without it the container's copies of the host's mounts are slaves, whatever the bind mount asks for.
    let seen = both_sides(&scratch, &["rbind", "rshared"], "rshared");
    assert_eq!(seen.stdout, "seen\nhost: seen\n", "{seen}");
}

#[test]
fn the_propagation_of_the_root_is_as_given() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 uses it for the host's side alone", "crun" => "1.8.1 takes any word");
    for (word, wanted) in [
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("private", ""),
        ("rprivate", ""),
        ("unbindable", "unbindable"),
    ] {
        let seen =
            output("cat /proc/self/mountinfo", |config| config["linux"]["rootfsPropagation"] = json!(word));
        let root = &parse(&seen)["/"];
        let right =
            if wanted.is_empty() { root.propagation.is_empty() } else { root.propagation.contains(wanted) };
        assert!(right, "{word}: {root:?}");
    }
    let said = crate::refusal(|config| config["linux"]["rootfsPropagation"] = json!("sideways"));
    assert!(said.contains("sideways") || said.contains("rootfsPropagation"), "{said}");
}

/// The mounts of a container where all of the host's are shared, as under systemd.
#[track_caller]
fn on_a_shared_host(change: impl FnOnce(&mut serde_json::Value)) -> BTreeMap<String, Entry> {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch).as_is();
    let bundle = Bundle::busybox(&scratch, "one").script("cat /proc/self/mountinfo").edit(change);
    let run = runtime.verb("run", &bundle);
    let prepare = "umount /sys/fs/cgroup/unified 2>/dev/null; mount --make-rshared /";
    let mut command = scratch.with_mounts(prepare, Path::new("/"), run.get_program());
    parse(&process::run(command.args(run.get_args())).success().stdout)
}

#[test]
fn a_slave_root_follows_a_shared_host() {
    require!(root, tool("busybox"), tool("unshare"));
    differs!("crun" => "1.8.1 cuts the root off the host");
    let seen = on_a_shared_host(|config| config["linux"]["rootfsPropagation"] = json!("slave"));
    assert!(seen["/"].propagation.contains("master:"), "{:?}", seen["/"]);
}

#[test]
fn without_a_word_about_it_no_mount_follows_a_shared_host() {
    require!(root, tool("busybox"), tool("unshare"));
    differs!("runc-head" => "1.5 leaves bind mounts slaves", "runc" => "1.1.5 as well");
    let seen = on_a_shared_host(|config| {
        add(config, "/data", "none", "/dev", &["rbind"]);
        config["linux"]["maskedPaths"] = json!(["/proc/keys", "/proc/acpi"]);
        config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
    });
    let following: Vec<_> = seen.iter().filter(|(_, entry)| !entry.propagation.is_empty()).collect();
    assert!(following.is_empty(), "{following:#?}");
}

/// As under runc and crun: what names no propagation follows `rootfsPropagation`, whichever process opens the source.
#[test]
fn a_bind_that_names_no_propagation_has_that_of_the_root() {
    require!(root, tool("busybox"), tool("unshare"));
    for (of_root, wanted) in [
        ("rslave", "seen\n"),
        ("slave", "seen\n"),
        ("rshared", "seen\nhost: seen\n"),
        ("rprivate", ""),
        ("private", ""),
    ] {
        if crate::is("runc") && !of_root.starts_with('r') {
            continue;
        }
        for options in [&["rbind"][..], &["bind", "rw"]] {
            let scratch = Scratch::new();
            let seen = both_sides(&scratch, options, of_root);
            assert_eq!(seen.stdout, wanted, "{of_root} {options:?}: {seen}");
        }
    }
}

#[test]
fn a_named_propagation_holds_against_that_of_the_root() {
    require!(root, tool("busybox"), tool("unshare"));
    for (options, of_root) in [(["rbind", "rprivate"], "rslave"), (["rbind", "private"], "rshared")] {
        let scratch = Scratch::new();
        let seen = both_sides(&scratch, &options, of_root);
        assert_eq!(seen.stdout, "", "{of_root} {options:?}: {seen}");
    }
}
