//! Debian's dockerd (20.10) with knarr-runtime as a runtime of its own: private data, state, socket and cgroups, no bridge,
//! no firewall rules. Docker's containerd and shim drive the runtime as they drive runc.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use knarr_tests::eventually::holds_within;
use knarr_tests::process::Background;
use knarr_tests::{Image, Scratch, programs, require};
use serde_json::json;

use crate::callers::{self, Caller, IMAGE};

/// A running dockerd with the image loaded.
struct Docker<'a> {
    scratch: &'a Scratch,
    socket: String,
    _server: Background,
}

impl<'a> Docker<'a> {
    #[track_caller]
    fn start(scratch: &'a Scratch) -> Self {
        let socket = format!("unix://{}", scratch.join("docker.sock").display());
        let mut command = scratch.command(programs::tool("dockerd"));
        for (flag, value) in [
            ("--data-root", scratch.join("docker-data")),
            ("--exec-root", scratch.join("docker-exec")),
            ("--pidfile", scratch.join("docker.pid")),
            ("--config-file", no_configuration(scratch)),
        ] {
            command.arg(flag).arg(value);
        }
        command.args(["--host", &socket, "--bridge", "none", "--iptables=false", "--ip6tables=false"]);
        command.args([
            "--cgroup-parent",
            &scratch.cgroup_prefix(),
            "--exec-opt",
            "native.cgroupdriver=cgroupfs",
        ]);
        command.arg("--add-runtime").arg(format!("knarr={}", programs::ours("knarr-runtime").display()));
        let log = scratch.join("dockerd.log");
        let server = Background::start(&mut command, &log);
        let docker = Self { scratch, socket, _server: server };
        let ready = holds_within(Duration::from_secs(60), || docker.call(&["version"]).status.success());
        assert!(ready, "dockerd does not answer:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        let archive = scratch.join("busybox.tar");
        Image::busybox().config("Env", json!(["PATH=/bin"])).write_docker_archive(&archive, &[IMAGE]);
        docker.call(&["load", "--input", archive.to_str().expect("our own path")]).success();
        docker
    }
}

/// The machine's own daemon may have settings that contradict our flags.
fn no_configuration(scratch: &Scratch) -> PathBuf {
    let path = scratch.join("daemon.json");
    std::fs::write(&path, "{}").expect("a file");
    path
}

impl Caller for Docker<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.scratch.command(programs::tool("docker"));
        command.env("DOCKER_CONFIG", self.scratch.path()).args(["--host", &self.socket]).args(args);
        command
    }

    fn flags(&self) -> Vec<String> {
        ["--runtime", "knarr", "--network", "none"].map(str::to_owned).to_vec()
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        let listed = self.call(&["ps", "--all", "--quiet"]).stdout;
        for id in listed.split_whitespace() {
            drop(self.call(&["rm", "--force", id]));
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.scratch.join("dockerd.log")).unwrap_or_default();
            eprintln!("--- dockerd's log\n{log}---");
        }
    }
}

#[test]
fn docker_runs_its_containers_with_ours() {
    require!(root, tool("dockerd"), tool("docker"), tool("busybox"), tool("setsid"), cgroup("memory"));
    let scratch = Scratch::new();
    let docker = Docker::start(&scratch);
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
    let docker = Docker::start(&scratch);
    docker.run(&["--detach", "--name", "web", "--memory", "64m"], &["sleep", "600"]).success();
    docker
        .call(&[
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
    let stats = docker.call(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "web"]).success();
    assert!(stats.stdout.contains("128MiB"), "{stats}");
    let script = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null";
    assert_eq!(docker.call(&["exec", "web", "sh", "-c", script]).stdout, "50\n");
}
