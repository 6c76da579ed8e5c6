//! knarrd killed in the middle of a build, and a client that leaves: nothing is left, and the next build is right.

use std::fs;
use std::time::Duration;

use knarr_tests::{Background, Scratch, eventually, require};

use crate::bed::Bed;

const DOCKERFILE: &str =
    "FROM base:1\nCOPY d /d\nRUN echo 1 > /one\nRUN echo started; while [ ! -e /go ]; do sleep 1; done\n";

fn is_empty(path: &std::path::Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Waits until a build's output says this.
fn says(log: &std::path::Path, word: &str) {
    eventually(Duration::from_secs(30), || fs::read_to_string(log).ok().filter(|text| text.contains(word)));
}

#[test]
fn a_client_that_leaves_ends_its_build_with_every_process() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let context = bed.context("c", &[("Dockerfile", DOCKERFILE), ("d/x", "x")]);
    let log = scratch.join("build.log");
    let mut build = bed.knarr().command(["build", context.to_str().expect("text")]);
    let mut running = Background::start(&mut build, &log);
    says(&log, "started");
    running.kill();
    let containers = bed.daemon.root().join("containers");
    eventually(Duration::from_secs(30), || {
        (is_empty(&containers) && is_empty(&bed.daemon.root().join("builds"))).then_some(())
    });
    // What was done is there for the next one.
    let next = DOCKERFILE.replace("[ ! -e /go ]", "false");
    fs::write(context.join("Dockerfile"), next).expect("written");
    let built = bed.build(&context, &["-t", "next"]).success();
    assert_eq!(built.stderr.matches("CACHED").count(), 2, "{built}");
    assert_eq!(bed.run("next", "cat /one /d/x"), "1\nx");
}

#[test]
fn a_knarrd_that_is_killed_leaves_what_the_next_one_clears() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut bed = Bed::new(&scratch);
    let context = bed.context("c", &[("Dockerfile", DOCKERFILE), ("d/x", "x")]);
    let log = scratch.join("build.log");
    let mut build = bed.knarr().command(["build", context.to_str().expect("text")]);
    let mut running = Background::start(&mut build, &log);
    says(&log, "started");
    bed.daemon.kill();
    running.kill();
    bed.daemon.start_again();
    // It listens before it has recovered, and answers after.
    bed.knarr().say(["ps"]);
    assert!(is_empty(&bed.daemon.root().join("containers")), "the step's container is left");
    assert!(is_empty(&bed.daemon.root().join("builds")), "the context is left");
    let lost = bed.daemon.root().join("lost");
    assert!(!lost.exists() || is_empty(&lost), "a build's step was taken for a lost container");
    let next = DOCKERFILE.replace("[ ! -e /go ]", "false");
    fs::write(context.join("Dockerfile"), next).expect("written");
    bed.build(&context, &["-t", "next"]).success();
    assert_eq!(bed.run("next", "cat /one /d/x"), "1\nx");
}
