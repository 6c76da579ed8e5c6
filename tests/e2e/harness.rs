//! The harness itself: a guard that never bites proves nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use knarr_tests::leftovers::{Leftovers, cgroup_roots};
use knarr_tests::{Image, Layer, Pty, Registry, Scratch, process, programs, require};

#[test]
fn a_process_that_a_test_forgets_fails_it_and_is_ended() {
    require!(tool("sleep"));
    let scratch = Scratch::new();
    let mut forgotten = scratch.command("sleep").arg("600").spawn().expect("sleep starts");
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(scratch)));
    let message = *dropped.expect_err("the guard fails the test").downcast::<String>().expect("a text");
    assert!(message.contains("sleep 600"), "{message}");
    let status = process::wait(&mut forgotten, Duration::from_secs(5)).expect("it was ended");
    assert!(!status.success());
}

#[test]
fn a_cgroup_and_a_mount_that_a_test_forgets_are_found_and_removed() {
    require!(root, tool("mount"));
    let scratch = Scratch::new();
    let root = cgroup_roots().into_iter().next().expect("the machine has cgroups");
    let cgroup = root.join(scratch.cgroup("forgotten").trim_start_matches('/'));
    std::fs::create_dir_all(&cgroup).expect("root makes cgroups");
    let target = scratch.directory("mounted");
    let mut mount = scratch.command("mount");
    process::run(mount.args(["-t", "tmpfs", "forgotten"]).arg(&target)).success();
    let listed = Leftovers::of(&scratch).to_string();
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(scratch)));
    assert!(dropped.is_err(), "the guard fails the test");
    assert!(listed.contains("forgotten") && listed.contains("mounted"), "{listed}");
    assert!(!cgroup.exists() && !target.exists());
}

#[test]
fn an_image_pushed_to_the_registry_has_the_layers_that_were_made() {
    require!(tool("docker-registry"), tool("skopeo"), tool("busybox"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let image = Image::busybox()
        .layer(Layer::new().file("etc/old", 0o644, b"old").xattr("user.note", b"x").file(
            "etc/noted",
            0o640,
            b"",
        ))
        .layer(Layer::new().whiteout("etc/old").hard_link("etc/linked", "etc/noted"));
    let reference = registry.push(&image, "test/harness:1");
    let mut skopeo = scratch.command(programs::tool("skopeo"));
    skopeo.args(["inspect", "--tls-verify=false", &format!("docker://{reference}")]);
    let inspected = process::run(&mut skopeo).success().stdout;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).expect("JSON");
    assert_eq!(inspected["Layers"].as_array().map(Vec::len), Some(image.layer_count()));
}

#[test]
fn a_terminal_has_a_size_and_echoes() {
    require!(tool("setsid"), tool("sh"));
    let scratch = Scratch::new();
    let mut shell = scratch.command("sh");
    shell.args(["-c", "stty size; read line; echo got $line"]);
    let mut pty = Pty::spawn(&shell);
    pty.expect("24 80", Duration::from_secs(5));
    pty.type_keys("hello\n");
    pty.expect("got hello", Duration::from_secs(5));
    let (status, _) = pty.finish(Duration::from_secs(5));
    assert!(status.success());
}
