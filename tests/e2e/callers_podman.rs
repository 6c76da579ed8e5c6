//! Debian's podman (4.3) with knarr-runtime: conmon creates, attaches to and reaps the containers. Private storage and
//! state, cgroups by the file system, no network.

use std::fs;
use std::process::Command;

use knarr_tests::leftovers::remove_cgroup_tree;
use knarr_tests::{Image, Scratch, programs, require};
use serde_json::json;

use crate::callers::{self, Caller, IMAGE};

/// podman has no server: this is where it keeps things.
struct Podman<'a> {
    scratch: &'a Scratch,
}

impl<'a> Podman<'a> {
    #[track_caller]
    fn new(scratch: &'a Scratch) -> Self {
        let podman = Self { scratch };
        let archive = scratch.join("busybox.tar");
        Image::busybox().config("Env", json!(["PATH=/bin"])).write_docker_archive(&archive, &[IMAGE]);
        podman.call(&["load", "--input", archive.to_str().expect("our own path")]).success();
        podman
    }
}

impl Caller for Podman<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.scratch.command(programs::tool("podman"));
        command.arg("--root").arg(self.scratch.join("podman-root"));
        command.arg("--runroot").arg(self.scratch.join("podman-run"));
        command.arg("--tmpdir").arg(self.scratch.directory("podman-tmp"));
        command.arg("--runtime").arg(programs::ours("knarr-runtime"));
        // Events go to a file of ours: the machine's journal is none of the test's business.
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        command.args(args);
        command
    }

    fn flags(&self) -> Vec<String> {
        // podman's own default limits are above what root may set where it lacks CAP_SYS_RESOURCE.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4000:4000"];
        let apart = ["--network", "none", "--log-driver", "k8s-file", "--cgroup-parent"];
        let mut flags: Vec<String> = limits.into_iter().chain(apart).map(str::to_owned).collect();
        flags.push(self.scratch.cgroup_prefix());
        flags
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        drop(self.call(&["rm", "--all", "--force", "--time", "0"]));
        drop(self.call(&["rmi", "--all", "--force"]));
        // conmon's cgroup stays, and podman makes it below every name in /sys/fs/cgroup, a hierarchy or not.
        let name = self.scratch.cgroup_prefix();
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let path = hierarchy.path().join(name.trim_start_matches('/'));
            remove_cgroup_tree(&path);
            // What is no cgroup but an ordinary directory.
            fs::remove_dir_all(&path).ok();
        }
    }
}

#[test]
fn podman_runs_its_containers_with_ours() {
    require!(root, tool("podman"), tool("conmon"), tool("busybox"), tool("setsid"), cgroup("memory"));
    let scratch = Scratch::new();
    let podman = Podman::new(&scratch);
    callers::output_and_exit_code(&podman);
    callers::a_whole_life(&podman);
    callers::a_terminal(&podman);
    callers::programs_that_cannot_run(&podman);
    callers::out_of_memory(&podman);
}
