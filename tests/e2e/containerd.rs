//! Debian's containerd with our shim and runtime in place of its own: `ctr` can't tell the difference.

use std::time::Duration;

use knarr_tests::{Containerd, Image, Outcome, Scratch, eventually, require};
use serde_json::json;

const IMAGE: &str = "docker.io/test/busybox:latest";
const OURS: &str = "io.containerd.knarr.v2";
const RUNC: &str = "io.containerd.runc.v2";

fn start(scratch: &Scratch) -> Containerd<'_> {
    let containerd = Containerd::start(scratch);
    containerd.import(&Image::busybox().config("Env", json!(["PATH=/bin"])), IMAGE);
    containerd
}

/// `ctr run FLAGS --cgroup … IMAGE ID sh -c SCRIPT`.
#[track_caller]
fn run(scratch: &Scratch, containerd: &Containerd<'_>, flags: &[&str], id: &str, script: &str) -> Outcome {
    let cgroup = scratch.cgroup(id);
    let mut args = vec!["run", "--cgroup", &cgroup];
    args.extend(flags);
    args.extend([IMAGE, id, "sh", "-c", script]);
    containerd.ctr(args)
}

#[test]
fn ctr_run_gives_output_and_exit_status_through_our_shim() {
    require!(root, tool("containerd"), tool("ctr"), tool("runc"), tool("busybox"));
    let scratch = Scratch::new();
    let containerd = start(&scratch);
    let script = "echo out; echo err >&2; id -u; cat /proc/1/comm; exit 42";
    let [ours, theirs] = [(OURS, "ours"), (RUNC, "theirs")].map(|(runtime, id)| {
        let outcome = run(&scratch, &containerd, &["--rm", "--runtime", runtime], id, script);
        (outcome.code(), outcome.stdout.clone(), outcome.stderr)
    });
    assert_eq!(ours, (42, "out\n0\nsh\n".to_owned(), "err\n".to_owned()));
    assert_eq!(ours, theirs, "the same as with containerd's own shim and runc");
}

#[test]
fn ctr_execs_kills_and_deletes_a_container_of_ours() {
    require!(root, tool("containerd"), tool("ctr"), tool("busybox"));
    let scratch = Scratch::new();
    let containerd = start(&scratch);
    run(&scratch, &containerd, &["--detach", "--runtime", OURS], "web", "sleep 600").success();
    let status = || containerd.task_status("web");
    assert_eq!(status().as_deref(), Some("RUNNING"));

    let exec = containerd.ctr([
        "tasks",
        "exec",
        "--exec-id",
        "one",
        "web",
        "sh",
        "-c",
        "cat /proc/1/cmdline; exit 7",
    ]);
    assert_eq!((exec.code(), exec.stdout.contains("sleep")), (7, true), "{exec}");

    let pids = containerd.ctr(["tasks", "ps", "web"]).success().stdout;
    assert!(pids.lines().count() >= 2, "{pids}");
    containerd.ctr(["tasks", "metrics", "web"]).success();

    containerd.ctr(["tasks", "pause", "web"]).success();
    assert_eq!(status().as_deref(), Some("PAUSED"));
    containerd.ctr(["tasks", "resume", "web"]).success();

    containerd.ctr(["tasks", "kill", "--signal", "SIGKILL", "web"]).success();
    eventually(Duration::from_secs(10), || (status().as_deref() == Some("STOPPED")).then_some(()));
    let deleted = containerd.ctr(["tasks", "delete", "web"]);
    assert!(deleted.stderr.contains("exit code 137"), "the task's own exit status: {deleted}");
    assert_eq!(status(), None);
    containerd.ctr(["containers", "delete", "web"]).success();
}

#[test]
fn ctr_sees_limits_and_a_read_only_root_in_force() {
    require!(root, tool("containerd"), tool("ctr"), tool("busybox"), cgroup("memory"));
    let scratch = Scratch::new();
    let containerd = start(&scratch);
    let flags = ["--detach", "--runtime", OURS, "--memory-limit", "67108864", "--read-only"];
    run(&scratch, &containerd, &flags, "limited", "sleep 600").success();
    // ctr's containers have no cgroup file system of their own; what is in force is measured.
    let metrics = containerd.ctr(["tasks", "metrics", "limited"]).success();
    let limit = metrics
        .stdout
        .lines()
        .find(|line| line.contains("memory.limit_in_bytes") || line.contains("memory.max"));
    assert!(limit.is_some_and(|line| line.trim_end().ends_with(" 67108864")), "{metrics}");
    let touch = containerd.ctr(["tasks", "exec", "--exec-id", "one", "limited", "touch", "/x"]);
    assert!(touch.stderr.contains("Read-only file system"), "{touch}");
    assert_eq!(touch.code(), 1, "{touch}");
}
