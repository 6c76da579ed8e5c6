//! containerd-shim-knarr-v2. Not wired yet: the modules below stand and are tested by themselves; `start`, `serve`,
//! `delete` and the task service that join them are still to be written, so the program refuses to run.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "start, serve, delete and the task service are not written yet")]

mod args;
mod cgroup;
mod console;
mod descriptor;
mod exit;
mod flag;
mod journal;
mod logs;
mod mounts;
mod publisher;
mod reaper;
mod runtime;
mod settings;
mod stdio;
mod task;
mod timestamp;

fn main() -> std::process::ExitCode {
    eprintln!("containerd-shim-knarr-v2: the task service is not built yet");
    std::process::ExitCode::FAILURE
}
