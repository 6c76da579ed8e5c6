//! Debian's containerd with its own shim, which drives knarr-runtime as it drives runc (`ctr run --runc-binary`).

use std::time::Duration;

use knarr_tests::{Containerd, Image, Outcome, Pty, Scratch, eventually, programs, require};
use serde_json::json;

const IMAGE: &str = "docker.io/test/busybox:latest";
const SECONDS: Duration = Duration::from_secs(30);

fn start(scratch: &Scratch) -> Containerd<'_> {
    let containerd = Containerd::start(scratch);
    containerd.import(&Image::busybox().config("Env", json!(["PATH=/bin"])), IMAGE);
    containerd
}

/// The arguments of `ctr run` for a container of ours.
fn arguments(scratch: &Scratch, flags: &[&str], id: &str, args: &[&str]) -> Vec<String> {
    let binary = programs::ours("knarr-runtime").display().to_string();
    let root = scratch.directory("runc-root").display().to_string();
    let cgroup = scratch.cgroup(id);
    let own = ["run", "--runc-binary", &binary, "--runc-root", &root, "--cgroup", &cgroup];
    [own.as_slice(), flags, &[IMAGE, id], args].concat().into_iter().map(str::to_owned).collect()
}

#[track_caller]
fn run(scratch: &Scratch, containerd: &Containerd<'_>, flags: &[&str], id: &str, args: &[&str]) -> Outcome {
    containerd.ctr(arguments(scratch, flags, id, args))
}

#[test]
fn containerds_own_shim_runs_containers_with_ours() {
    require!(root, tool("containerd"), tool("ctr"), tool("containerd-shim-runc-v2"), tool("busybox"));
    let scratch = Scratch::new();
    let containerd = start(&scratch);
    let outcome =
        run(&scratch, &containerd, &["--rm"], "one", &["sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (42, "out\n"), "{outcome}");
    assert!(outcome.stderr.contains("err"), "{outcome}");
    let missing = run(&scratch, &containerd, &["--rm"], "two", &["/nowhere"]);
    assert!(missing.stderr.contains("no such file or directory"), "{missing}");
    // The container is made before its task: ctr leaves it.
    containerd.ctr(["containers", "delete", "two"]);
}

#[test]
fn containerds_own_shim_execs_pauses_updates_and_kills_with_ours() {
    require!(
        root,
        tool("containerd"),
        tool("ctr"),
        tool("containerd-shim-runc-v2"),
        tool("busybox"),
        cgroup("memory")
    );
    let scratch = Scratch::new();
    let containerd = start(&scratch);
    run(&scratch, &containerd, &["--detach", "--memory-limit", "67108864"], "web", &["sleep", "600"])
        .success();
    let status = || containerd.task_status("web");
    assert_eq!(status().as_deref(), Some("RUNNING"));
    let exec =
        containerd.ctr(["tasks", "exec", "--exec-id", "e", "web", "sh", "-c", "cat /proc/1/comm; exit 7"]);
    assert_eq!((exec.code(), exec.stdout.as_str()), (7, "sleep\n"), "{exec}");
    let metrics = containerd.ctr(["tasks", "metrics", "web"]).success();
    assert!(metrics.stdout.contains("67108864"), "{metrics}");
    assert!(containerd.ctr(["tasks", "ps", "web"]).success().stdout.lines().count() >= 2);
    containerd.ctr(["tasks", "pause", "web"]).success();
    assert_eq!(status().as_deref(), Some("PAUSED"));
    containerd.ctr(["tasks", "resume", "web"]).success();
    containerd.ctr(["tasks", "kill", "--signal", "SIGKILL", "web"]).success();
    eventually(SECONDS, || (status().as_deref() == Some("STOPPED")).then_some(()));
    let deleted = containerd.ctr(["tasks", "delete", "web"]);
    assert!(deleted.stderr.contains("exit code 137"), "{deleted}");
    containerd.ctr(["containers", "delete", "web"]).success();
}

#[test]
fn containerds_own_shim_has_terminals_with_ours() {
    require!(
        root,
        tool("containerd"),
        tool("ctr"),
        tool("containerd-shim-runc-v2"),
        tool("busybox"),
        tool("setsid")
    );
    let scratch = Scratch::new();
    let containerd = start(&scratch);
    let command = containerd.command(arguments(&scratch, &["--rm", "--tty"], "tty", &["sh"]));
    let mut terminal = Pty::spawn(&command);
    terminal.type_keys("tty\r");
    terminal.expect("/dev/pts/0", SECONDS);
    terminal.type_keys("until stty size 2>/dev/null | grep '30 100'; do sleep 0.1; done; exit 5\r");
    // ctr looks at the size before it listens for changes: one that comes in between is lost.
    let arrives = (0..30).any(|_| {
        terminal.resize(99, 30);
        terminal.resize(100, 30);
        // What was typed is echoed; the size is on a line of its own.
        terminal.shows("\n30 100", Duration::from_secs(1))
    });
    assert!(arrives, "the container's terminal keeps its size");
    let (status, seen) = terminal.finish(SECONDS);
    assert_eq!(status.code(), Some(5), "{seen}");
}
