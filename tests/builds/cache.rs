//! What is done again, and what is not.

use std::fs;

use knarr_tests::{Scratch, require};

use crate::bed::Bed;

/// How many steps of a build were done before.
#[track_caller]
fn cached(bed: &Bed<'_>, args: &[&str]) -> usize {
    let built = bed.build(&bed.scratch.join("context-c"), &[&["-t", "c"], args].concat()).success();
    built.stderr.matches("CACHED").count()
}

#[test]
fn only_what_depends_on_a_change_is_done_again() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let dockerfile = "FROM base:1\nARG V\nCOPY a /a\nRUN cat /a > /b; echo \"$V\" > /c\nCOPY d /d\nRUN echo $V > /v\nLABEL l=1\n";
    let context = bed.context("c", &[("Dockerfile", dockerfile), ("a", "1"), ("d/x", "x"), ("other", "o")]);
    assert_eq!(cached(&bed, &[]), 0);
    assert_eq!(cached(&bed, &[]), 6);
    // A time alone is no change, nor is what no instruction takes, nor a label.
    fs::write(context.join("a"), "1").expect("written");
    fs::write(context.join("other"), "changed").expect("written");
    fs::write(context.join("Dockerfile"), dockerfile.replace("l=1", "l=2")).expect("written");
    assert_eq!(cached(&bed, &[]), 5);
    fs::write(context.join("d/x"), "y").expect("written");
    assert_eq!(cached(&bed, &[]), 3);
    assert_eq!(
        cached(&bed, &["--build-arg", "V=1"]),
        1,
        "an argument is in the environment of every RUN behind it"
    );
    assert_eq!(cached(&bed, &["--build-arg", "V=1"]), 6);
    assert_eq!(cached(&bed, &["--build-arg", "V=1", "--build-arg", "http_proxy=x"]), 6);
    assert_eq!(cached(&bed, &["--no-cache"]), 0);
    assert_eq!(bed.run("c", "cat /b /d/x"), "1y");
    let pruned = bed.knarr().say(["builder", "prune", "-f"]);
    assert!(pruned.contains("Total reclaimed space"), "{pruned}");
    assert_eq!(cached(&bed, &[]), 0);
    assert_eq!(bed.run("c", "cat /b"), "1");
}

#[test]
fn a_cache_outlives_knarrd_and_the_image_and_is_collected_with_neither() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut bed = Bed::new(&scratch);
    bed.context("c", &[("Dockerfile", "FROM base:1\nRUN echo 1 > /one\nRUN echo 2 > /two\n")]);
    assert_eq!(cached(&bed, &[]), 0);
    bed.knarr().say(["rmi", "c"]);
    bed.knarr().say(["image", "prune", "-f"]);
    bed.daemon.kill();
    bed.daemon.start_again();
    assert_eq!(cached(&bed, &[]), 2);
    assert_eq!(bed.run("c", "cat /one /two"), "1\n2");
}
