//! `root`, `ociVersion`, `hostname`, `domainname`.

use std::fs;

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::{differs, output, refusal};

#[test]
fn a_relative_root_path_is_below_the_bundle_and_an_absolute_one_is_itself() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let relative = Bundle::busybox(&scratch, "relative").script("cat /marker");
    fs::write(relative.rootfs().join("marker"), "here").expect("a file in the root");
    let absolute = relative.another(&scratch, "absolute");
    assert!(absolute.config()["root"]["path"].as_str().is_some_and(|path| path.starts_with('/')));
    assert_eq!(runtime.run(&relative).success().stdout, "here");
    assert_eq!(runtime.run(&absolute).success().stdout, "here");
}

#[test]
fn a_readonly_root_takes_no_writes_but_its_mounts_do() {
    require!(root, tool("busybox"));
    let script = "touch /file 2>/dev/null && echo root; touch /dev/shm/file && echo shm; grep -o ' / / ro\\| / ro' /proc/self/mountinfo | head -1 >/dev/null; true";
    assert_eq!(output(script, |config| config["root"]["readonly"] = json!(true)), "shm\n");
    assert_eq!(output(script, |config| config["root"]["readonly"] = json!(false)), "root\nshm\n");
}

#[test]
fn a_readonly_root_is_not_made_readonly_on_the_host() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one")
        .args(["sleep", "60"])
        .edit(|config| config["root"]["readonly"] = json!(true));
    let container = runtime.run_detached(&bundle);
    fs::write(bundle.rootfs().join("tmp/from-host"), "x").expect("the host's view takes writes");
    container.exec(["test", "-f", "/tmp/from-host"]).success();
    container.exec(["touch", "/tmp/from-inside"]).exits_with(1);
}

#[test]
fn a_root_that_is_missing_or_no_directory_is_refused() {
    require!(root, tool("busybox"));
    let missing = refusal(|config| config["root"]["path"] = json!("nowhere"));
    assert!(missing.contains("nowhere"), "{missing}");
    if crate::is("crun") {
        // 1.8.1 goes on until it mounts /proc on the file, and without root.path takes the bundle itself.
        return;
    }
    let file = refusal(|config| config["root"]["path"] = json!("config.json"));
    assert!(file.contains("config.json") || file.contains("not a directory"), "{file}");
    refusal(|config| {
        config.as_object_mut().expect("an object").remove("root");
    });
}

#[test]
fn the_rootfs_of_the_state_is_the_roots_absolute_path() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 repeats root.path as it is in config.json");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]);
    let container = runtime.create(&bundle);
    let state = runtime.state(container.id()).expect("it is there");
    assert_eq!(state["rootfs"], json!(bundle.rootfs()));
    assert_eq!(state["bundle"], json!(bundle.path()));
}

/// runtime.md, State: `ociVersion` is the version "with which the state complies", and so the runtime's; as with runc.
#[test]
fn the_version_is_the_states_and_an_unknown_major_version_is_refused() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 takes any version that parses",
        "runc" => "1.1.5 knows version 1.0 and takes any that parses",
        "crun" => "1.8.1 reports 1.0.0 whatever the bundle follows, and knows 1.0 alone",
    );
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").edit(|config| config["ociVersion"] = json!("1.2.1"));
    let container = runtime.create(&bundle);
    assert_eq!(runtime.state(container.id()).expect("it is there")["ociVersion"], json!("1.3.0"));
    for version in ["2.0.0", "0.9.0", "", "1", "one"] {
        let said = refusal(|config| config["ociVersion"] = json!(version));
        assert!(said.contains("ociVersion"), "{version:?}: {said}");
    }
}

#[test]
fn the_hostname_is_the_containers_alone() {
    require!(root, tool("busybox"));
    let before = fs::read_to_string("/proc/sys/kernel/hostname").expect("the host's name");
    let seen =
        output("hostname; cat /proc/sys/kernel/hostname", |config| config["hostname"] = json!("knarr-7"));
    assert_eq!(seen, "knarr-7\nknarr-7\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").expect("the host's name"), before);
    let absent = output("hostname", |config| {
        config.as_object_mut().expect("an object").remove("hostname");
    });
    assert_eq!(absent, before, "without the field the new namespace keeps the host's name");
}

#[test]
fn the_domainname_is_the_containers_alone() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 has no domainname (runtime-spec 1.1)", "crun" => "1.8.1 takes ociVersion 1.0 alone, but has it");
    let seen =
        output("cat /proc/sys/kernel/domainname", |config| config["domainname"] = json!("example.org"));
    assert_eq!(seen, "example.org\n");
    assert_ne!(fs::read_to_string("/proc/sys/kernel/domainname").expect("the host's").trim(), "example.org");
}

#[test]
fn names_without_a_uts_namespace_are_refused() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 refuses as well, but after it has made the container's process");
    let without = |config: &mut Value| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != "uts");
    };
    let said = refusal(without);
    assert!(said.to_lowercase().contains("hostname") && said.to_lowercase().contains("uts"), "{said}");
}

#[test]
fn a_hostname_longer_than_the_kernels_is_refused() {
    require!(root, tool("busybox"));
    output("true", |config| config["hostname"] = json!("n".repeat(64)));
    refusal(|config| config["hostname"] = json!("n".repeat(65)));
}
