//! The helper that packs layers, run as knarrd runs it: what it makes, and that it is shut in.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use knarr_tests::process::{Outcome, run};
use knarr_tests::{Scratch, programs, require};
use serde_json::{Value, json};

fn pack(plan: &Value) -> Outcome {
    run(Command::new(programs::ours("knarrd")).arg("pack").arg(plan.to_string()))
}

#[test]
fn what_an_overlay_holds_becomes_a_tar_and_links_are_not_followed() {
    require!(root);
    let scratch = Scratch::new();
    let upper = scratch.path().join("upper");
    fs::create_dir_all(upper.join("d")).expect("made");
    fs::write(upper.join("d/file"), "content").expect("written");
    fs::write(scratch.path().join("secret"), "of the host").expect("written");
    symlink(scratch.path().join("secret"), upper.join("d/out")).expect("linked");
    let plan = json!({"parent_pid": std::process::id(), "tree": {"Changes": {"upper": upper}}, "times": {"AtMost": 7}});
    let packed = pack(&plan);
    assert_eq!(packed.stderr, "\"done\"");
    let mut archive = tar::Archive::new(packed.stdout.as_bytes());
    let names: Vec<String> = archive
        .entries()
        .expect("a tar")
        .map(|entry| entry.expect("an entry"))
        .inspect(|entry| assert_eq!(entry.header().mtime().expect("a time"), 7))
        .map(|entry| entry.path().expect("a path").display().to_string())
        .collect();
    assert_eq!(names, ["d/", "d/file", "d/out"]);
    assert!(!packed.stdout.contains("of the host"));
    let view = json!({"Whole": {"layers": [scratch.directory("empty"), upper]}});
    let plan = json!({"parent_pid": std::process::id(), "tree": view, "times": {"AtMost": 7}});
    assert!(pack(&plan).success().stdout == packed.stdout, "what two layers show is one tree");
}

#[test]
fn a_helper_without_its_knarrd_or_its_tree_packs_nothing() {
    require!(root);
    let scratch = Scratch::new();
    for (parent, upper, told) in
        [(1, "", "knarrd is gone"), (std::process::id(), "absent", "binding the snapshot")]
    {
        let tree = json!({"Changes": {"upper": scratch.path().join(upper)}});
        let packed = pack(&json!({"parent_pid": parent, "tree": tree, "times": "Kept"}));
        assert!(packed.stderr.contains(told) && packed.stdout.is_empty(), "{packed}");
    }
}
