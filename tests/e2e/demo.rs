//! `make demo` tells the truth: it ends well, shows all of its steps, and leaves nothing behind.

use std::time::Duration;

use knarr_tests::{Scratch, process, programs, require, rootfs};

#[test]
fn demo_shows_every_step_and_leaves_nothing_behind() {
    require!(
        root,
        tool("busybox"),
        tool("debootstrap"),
        tool("docker-registry"),
        tool("skopeo"),
        tool("umoci")
    );
    let scratch = Scratch::new();
    let mut demo = scratch.command(programs::workspace().join("tests/demo.sh"));
    demo.env("KNARR_BIN_DIR", programs::directory()).env("DEBIAN_TAR", rootfs::debian_tar());
    let outcome = process::run_within(Duration::from_secs(300), &mut demo).success();
    for said in [
        "hello from a container",
        "67108864",
        "(exit status 42)",
        "(exit status 127)",
        "tick 2",
        "I am root on Debian GNU/Linux 12",
        "no process, mount, cgroup, network namespace or file is left",
    ] {
        assert!(outcome.stdout.contains(said), "{said:?} is missing: {outcome}");
    }
    let ours = std::fs::read_dir("/tmp").expect("/tmp can be read").flatten();
    let left: Vec<_> = ours
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("knarr-demo-") && outcome.stdout.contains(name.as_str()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
