//! Debian's dockerd (20.10) with knarr-runtime as a runtime of its own: private data, state, socket and cgroups, no bridge,
//! no firewall rules. Docker's containerd and shim drive the runtime as they drive runc.

use std::process::Command;

use knarr_tests::{Docker, Image, Scratch, require};
use serde_json::json;

use crate::callers::{self, Caller, IMAGE};

#[track_caller]
fn start(scratch: &Scratch) -> Docker<'_> {
    let docker = Docker::start(scratch);
    docker.load(&Image::busybox().config("Env", json!(["PATH=/bin"])), IMAGE);
    docker
}

impl Caller for Docker<'_> {
    fn command(&self, args: &[&str]) -> Command {
        Docker::command(self, args)
    }

    fn flags(&self) -> Vec<String> {
        ["--runtime", "knarr", "--network", "none"].map(str::to_owned).to_vec()
    }
}

#[test]
fn docker_runs_its_containers_with_ours() {
    require!(root, tool("dockerd"), tool("docker"), tool("busybox"), tool("setsid"), cgroup("memory"));
    let scratch = Scratch::new();
    let docker = start(&scratch);
    callers::output_and_exit_code(&docker);
    callers::a_whole_life(&docker);
    callers::a_terminal(&docker);
    callers::programs_that_cannot_run(&docker);
    callers::a_hardened_container(&docker);
    assert_eq!(callers::out_of_memory(&docker), "true");
}

#[test]
fn docker_update_changes_the_limits_of_a_running_container() {
    require!(root, tool("dockerd"), tool("docker"), tool("busybox"), cgroup("memory"), cgroup("pids"));
    let scratch = Scratch::new();
    let docker = start(&scratch);
    docker.run(&["--detach", "--name", "web", "--memory", "64m"], &["sleep", "600"]).success();
    docker
        .call([
            "update",
            "--memory",
            "128m",
            "--memory-swap",
            "256m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "50",
            "web",
        ])
        .success();
    let stats = docker.call(["stats", "--no-stream", "--format", "{{.MemUsage}}", "web"]).success();
    assert!(stats.stdout.contains("128MiB"), "{stats}");
    let script = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null";
    assert_eq!(docker.call(["exec", "web", "sh", "-c", script]).stdout, "50\n");
}
