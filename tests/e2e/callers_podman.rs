//! Debian's podman (4.3) with knarr-runtime: conmon creates, attaches to and reaps the containers. Private storage and
//! state, cgroups by the file system, no network.

use std::process::Command;

use knarr_tests::{Image, Podman, Scratch, programs, require};
use serde_json::json;

use crate::callers::{self, Caller, IMAGE};

impl Caller for Podman<'_> {
    fn command(&self, args: &[&str]) -> Command {
        Podman::command(self, args)
    }

    fn flags(&self) -> Vec<String> {
        Podman::flags(self)
    }
}

#[test]
fn podman_runs_its_containers_with_ours() {
    require!(root, tool("podman"), tool("conmon"), tool("busybox"), tool("setsid"), cgroup("memory"));
    let scratch = Scratch::new();
    let podman = Podman::new(&scratch, &programs::ours("knarr-runtime"), "vfs");
    podman.load(&Image::busybox().config("Env", json!(["PATH=/bin"])), IMAGE);
    callers::output_and_exit_code(&podman);
    callers::a_whole_life(&podman);
    callers::a_terminal(&podman);
    callers::programs_that_cannot_run(&podman);
    callers::out_of_memory(&podman);
}
