//! `linux.devices`, the default devices and symbolic links in /dev.

use std::fs;

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::{differs, output, refusal};

fn devices(config: &mut Value, devices: Value) {
    config["linux"]["devices"] = devices;
}

#[test]
fn the_default_devices_are_there_with_their_numbers_and_rights() {
    require!(root, tool("busybox"));
    let seen = output("cd /dev; stat -c '%n %F %t,%T %a %u:%g' null zero full random urandom tty", |_| ());
    let wanted = [
        ("null", "1,3"),
        ("zero", "1,5"),
        ("full", "1,7"),
        ("random", "1,8"),
        ("urandom", "1,9"),
        ("tty", "5,0"),
    ];
    let wanted: Vec<String> = wanted
        .iter()
        .map(|(name, number)| format!("{name} character special file {number} 666 0:0"))
        .collect();
    assert_eq!(seen.lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn the_symbolic_links_of_dev_are_there() {
    require!(root, tool("busybox"));
    let seen = output("cd /dev; for link in fd stdin stdout stderr ptmx; do readlink $link; done", |_| ());
    assert_eq!(seen, "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n");
}

#[test]
fn devices_of_every_kind_are_made_with_their_mode_and_owner() {
    require!(root, tool("busybox"));
    let given = json!([
        { "path": "/dev/own-null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8 },
        { "path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 5 },
        { "path": "/dev/block", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600 },
        { "path": "/dev/pipe", "type": "p", "fileMode": 0o622 },
        { "path": "/dev/deep/er/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666 },
        { "path": "/elsewhere", "type": "c", "major": 1, "minor": 7, "fileMode": 0o666 },
    ]);
    let script = "stat -c '%n %F %t,%T %a %u:%g' /dev/own-null /dev/unbuffered /dev/block /dev/pipe /dev/deep/er/zero /elsewhere";
    let seen = output(script, |config| devices(config, given));
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "/dev/own-null character special file 1,3 640 7:8");
    assert!(lines[1].starts_with("/dev/unbuffered character special file 1,5"), "{seen}");
    assert_eq!(lines[2], "/dev/block block special file 7,c8 600 0:0");
    assert_eq!(lines[3], "/dev/pipe fifo 0,0 622 0:0");
    assert_eq!(lines[4], "/dev/deep/er/zero character special file 1,5 666 0:0");
    assert_eq!(lines[5], "/elsewhere character special file 1,7 666 0:0");
}

#[test]
fn a_default_device_can_be_given_again_with_other_rights() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 reopens /dev/null without rights over it",
        "runc" => "1.1.5 wants it in resources.devices as well",
        "crun" => "1.8.1 keeps its own mode",
    );
    let seen = output("stat -c '%t,%T %a %u:%g' /dev/null", |config| {
        devices(
            config,
            json!([{ "path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 5, "gid": 6 }]),
        );
    });
    assert_eq!(seen, "1,3 600 5:6\n");
}

#[test]
fn the_runtimes_umask_is_not_the_devices() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one").script("stat -c %a /dev/null /dev/mine").edit(|config| {
        devices(
            config,
            json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666 }]),
        );
    });
    let runtime = Runtime::new(&scratch);
    let mut command = scratch.command("/bin/sh");
    let inner = runtime.verb("run", &bundle);
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    assert_eq!(knarr_tests::process::run(&mut command).success().stdout, "666\n666\n");
}

#[test]
fn a_device_that_the_image_has_already_is_taken_if_it_is_that_one() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first").script("stat -c '%F %t,%T' /node").edit(|config| {
        devices(config, json!([{ "path": "/node", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666 }]));
    });
    let again = first.another(&scratch, "again");
    assert_eq!(runtime.run(&first).success().stdout, "character special file 1,3\n");
    assert_eq!(runtime.run(&again).success().stdout, "character special file 1,3\n");
    // runtime-spec, "Devices": "If a file already exists at path that does not match the requested device, the runtime
    // MUST generate an error." runc 1.1.5 and 1.5 and crun 1.8.1 take what is there.
    if ["runc", "runc-head", "crun"].iter().any(|name| crate::is(name)) {
        return;
    }
    let third = first.another(&scratch, "third");
    fs::remove_file(third.rootfs().join("node")).expect("the node");
    fs::write(third.rootfs().join("node"), "ordinary").expect("a file");
    let refused = runtime.run(&third);
    assert!(!refused.status.success() && refused.stderr.contains("/node"), "{refused}");
}

/// config-linux.md, Devices: `path` is the "full path to device inside container", and an invalid configuration an
/// error (runtime.md, Errors).
#[test]
fn devices_that_cannot_be_made_are_refused() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 takes a relative path", "runc" => "1.1.5 takes a relative path and negative numbers", "crun" => "1.8.1 takes a relative path and negative numbers");
    for (wrong, named) in [
        (json!({ "path": "dev/x", "type": "c", "major": 1, "minor": 3 }), "dev/x"),
        (json!({ "path": "/dev/x", "type": "c", "major": -1, "minor": 3 }), "/dev/x"),
        (json!({ "path": "/dev/x", "type": "w", "major": 1, "minor": 3 }), "devices[0].type"),
        (json!({ "path": "/..", "type": "c", "major": 1, "minor": 3 }), "/.."),
        (json!({ "type": "c", "major": 1, "minor": 3 }), "devices[0]"),
    ] {
        let said = refusal(|config| devices(config, json!([wrong])));
        assert!(said.contains(named), "{said}");
    }
}
