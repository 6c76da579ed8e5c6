//! What Docker and Podman do with a runtime, step by step, by the command line that they share. Each step is run with
//! knarr-runtime in runc's place; `callers_docker` and `callers_podman` have the two programs.

use std::process::Command;
use std::time::Duration;

use knarr_tests::{Outcome, Pty, eventually, process};

pub(crate) const IMAGE: &str = "docker.io/test/busybox:latest";
const SECONDS: Duration = Duration::from_secs(30);

/// `docker ARGS` or `podman ARGS`, not run yet.
pub(crate) trait Caller {
    fn command(&self, args: &[&str]) -> Command;

    /// Flags of `run` that keep a container within the test.
    fn flags(&self) -> Vec<String>;

    #[track_caller]
    fn call(&self, args: &[&str]) -> Outcome {
        process::run(&mut self.command(args))
    }

    /// `run` with these flags, the image and these arguments, not run yet.
    fn container(&self, flags: &[&str], args: &[&str]) -> Command {
        let own = self.flags();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        self.command(&[&["run"], own.as_slice(), flags, &[IMAGE], args].concat())
    }

    #[track_caller]
    fn run(&self, flags: &[&str], args: &[&str]) -> Outcome {
        process::run(&mut self.container(flags, args))
    }
}

pub(crate) fn output_and_exit_code(caller: &impl Caller) {
    let outcome = caller.run(&["--rm"], &["sh", "-c", "echo out; echo err >&2; id -u; exit 42"]);
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (42, "out\n0\n"), "{outcome}");
    assert!(outcome.stderr.contains("err"), "{outcome}");
}

/// From `run --detach` to `rm`, with all that is asked of a running container in between.
pub(crate) fn a_whole_life(caller: &impl Caller) {
    let flags = ["--detach", "--name", "web", "--memory", "64m", "--hostname", "web-host"];
    caller.run(&flags, &["sh", "-c", "echo logged; exec sleep 600"]).success();
    let exec = caller.call(&["exec", "web", "sh", "-c", "cat /proc/1/comm; hostname; exit 7"]);
    assert_eq!((exec.code(), exec.stdout.as_str()), (7, "sleep\nweb-host\n"), "{exec}");
    let as_user = caller.call(&[
        "exec",
        "--user",
        "1000:1000",
        "--env",
        "A=b",
        "--workdir",
        "/tmp",
        "web",
        "sh",
        "-c",
        "id -u; echo $A; pwd",
    ]);
    assert_eq!(as_user.success().stdout, "1000\nb\n/tmp\n");
    eventually(SECONDS, || (caller.call(&["logs", "web"]).stdout == "logged\n").then_some(()));

    let status = || {
        caller.call(&["inspect", "--format", "{{.State.Status}}", "web"]).success().stdout.trim().to_owned()
    };
    assert_eq!(status(), "running");
    caller.call(&["pause", "web"]).success();
    assert_eq!(status(), "paused");
    caller.call(&["unpause", "web"]).success();
    assert_eq!(status(), "running");

    let stats = caller.call(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "web"]).success();
    assert!(
        stats.stdout.contains("64MiB") || stats.stdout.contains("67.11MB"),
        "the limit is in force: {stats}"
    );
    let top = caller.call(&["top", "web"]).success();
    assert!(top.stdout.contains("sleep 600"), "{top}");

    caller.call(&["kill", "web"]).success();
    eventually(SECONDS, || (status() == "exited").then_some(()));
    let code = caller.call(&["inspect", "--format", "{{.State.ExitCode}}", "web"]).success().stdout;
    assert_eq!(code.trim(), "137");
    caller.call(&["start", "web"]).success();
    assert_eq!(status(), "running", "it can be started again");
    caller.call(&["rm", "--force", "web"]).success();
    assert!(!caller.call(&["inspect", "web"]).status.success());
}

pub(crate) fn a_terminal(caller: &impl Caller) {
    let mut terminal = Pty::spawn(&caller.container(&["--interactive", "--tty", "--rm"], &["sh"]));
    terminal.type_keys("tty; echo $((6*7))\r");
    terminal.expect("/dev/pts/0", SECONDS);
    terminal.expect("42", SECONDS);
    terminal.type_keys("exit 5\r");
    let (status, seen) = terminal.finish(SECONDS);
    assert_eq!(status.code(), Some(5), "{seen}");
}

/// Returns what the caller says of `State.OOMKilled`.
pub(crate) fn out_of_memory(caller: &impl Caller) -> String {
    // sort keeps all of its input, which has no end.
    let outcome = caller.run(
        &["--name", "hungry", "--memory", "16m", "--memory-swap", "16m"],
        &["sh", "-c", "exec sort /dev/zero"],
    );
    assert_eq!(outcome.code(), 137, "{outcome}");
    let killed = caller.call(&["inspect", "--format", "{{.State.OOMKilled}}", "hungry"]).success().stdout;
    caller.call(&["rm", "--force", "hungry"]).success();
    killed.trim().to_owned()
}

/// The exit codes that both promise: 127 for what is not there, 126 for what cannot be run.
pub(crate) fn programs_that_cannot_run(caller: &impl Caller) {
    for (program, code) in [("/nowhere", 127), ("nowhere", 127), ("/etc", 126), ("/etc/passwd", 126)] {
        let outcome = caller.run(&["--rm"], &[program]);
        assert_eq!(outcome.code(), code, "{outcome}");
    }
}

pub(crate) fn a_hardened_container(caller: &impl Caller) {
    let flags = [
        "--rm",
        "--read-only",
        "--tmpfs",
        "/tmp:mode=1777",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--user",
        "1000:1000",
        "--pids-limit",
        "20",
        "--init",
    ];
    let script = "touch /x || echo closed; touch /tmp/y && echo open; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t' ' '";
    let outcome = caller.run(&flags, &["sh", "-c", script]).success();
    assert_eq!(
        outcome.stdout, "closed\nopen\nCapBnd: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n",
        "{outcome}"
    );
}
