//! Docker's classic `POST /build`, by its own command line.

use knarr_tests::{Daemon, Scratch, process, programs, require};

use crate::bed::{BASE, base, write};

#[test]
fn docker_builds_through_knarrd() {
    require!(root, tool("busybox"), tool("docker"));
    let scratch = Scratch::new();
    let address = format!("unix://{}", scratch.join("docker.sock").display());
    let daemon = Daemon::start_with(&scratch, &["--docker-address", &address]);
    daemon.knarr().load(&base(), BASE);
    let context = scratch.directory("context");
    let dockerfile = "FROM base:1\nARG who\nRUN echo $who > /x && echo out && echo err >&2\nCMD cat /x\n";
    write(
        &context,
        &[("Dockerfile", dockerfile), ("bad/Dockerfile", "FROM base:1\nRUN exit 3"), ("none/a", "")],
    );
    write(&context, &[("wrong/Dockerfile", "FROM base:1\nNOPE")]);
    let docker = |args: &[&str]| {
        let mut command = scratch.command(programs::tool("docker"));
        command
            .env("DOCKER_CONFIG", scratch.path())
            .env("DOCKER_BUILDKIT", "0")
            .args(["--host", &address])
            .args(args);
        process::run(&mut command)
    };
    let path = |name: &str| context.join(name).to_str().expect("text").to_owned();
    let built =
        docker(&["build", "-t", "it", "--build-arg", "who=me", "--label", "a=b", &path("")]).success();
    for line in [
        "Step 3/4 : RUN echo $who",
        " ---> Running in ",
        "out\n",
        "Successfully built ",
        "Successfully tagged it:latest",
    ] {
        assert!(built.stdout.contains(line), "{line}: {built}");
    }
    let again = docker(&["build", "--build-arg", "who=me", "--label", "a=b", &path("")]).success();
    assert!(again.stdout.contains(" ---> Using cache"), "{again}");
    let quiet = docker(&["build", "-q", "--build-arg", "who=me", "--label", "a=b", &path("")]).success();
    assert!(quiet.stdout.starts_with("sha256:") && quiet.stdout.lines().count() == 1, "{quiet}");
    let ran = docker(&["run", "--rm", "--network", "none", "it"]).success();
    assert_eq!(ran.stdout, "me\n");
    let bad = docker(&["build", &path("bad")]);
    let told = "The command '/bin/sh -c exit 3' returned a non-zero code: 3";
    assert!(bad.code() == 3 && bad.stderr.contains(told), "{bad}");
    let wrong = docker(&["build", &path("wrong")]);
    assert!(wrong.code() == 1 && wrong.stderr.contains("unknown instruction: NOPE"), "{wrong}");
    let pruned = docker(&["builder", "prune", "-f"]).success();
    assert!(pruned.stdout.contains("Total"), "{pruned}");
}
