//! Under Debian's containerd, when one of the two dies.

use std::time::Duration;

use knarr_tests::{Containerd, Image, Scratch, eventually, process, require};
use rustix::process::{Pid, Signal};

const IMAGE: &str = "docker.io/test/busybox:latest";

fn start<'a>(scratch: &'a Scratch, id: &str, script: &str) -> Containerd<'a> {
    let containerd = Containerd::start(scratch);
    containerd.import(&Image::busybox(), IMAGE);
    let cgroup = scratch.cgroup(id);
    let runtime = "io.containerd.knarr.v2";
    let args = ["run", "--detach", "--cgroup", &cgroup, "--runtime", runtime, IMAGE, id];
    containerd.ctr(args.into_iter().chain(["/bin/sh", "-c", script])).success();
    containerd
}

fn await_status(containerd: &Containerd<'_>, id: &str, wanted: Option<&str>) {
    eventually(Duration::from_secs(20), || (containerd.task_status(id).as_deref() == wanted).then_some(()));
}

/// The shim's pid: the one process that was called so for this test.
fn shim_of(scratch: &Scratch) -> Pid {
    let path = scratch.path().display().to_string();
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut shims = pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("containerd-shim-knarr-v2") && line.contains("serve") && line.contains(&path)
    });
    Pid::from_raw(shims.next().expect("the shim runs")).expect("a pid")
}

#[test]
fn a_container_outlives_containerd_and_its_status_is_known_afterwards() {
    require!(root, tool("containerd"), tool("ctr"), tool("busybox"));
    let scratch = Scratch::new();
    let mut containerd = start(&scratch, "outlives", "trap 'exit 33' TERM; while :; do sleep 1; done");
    let shim = shim_of(&scratch);
    containerd.kill();
    containerd.start_again();
    await_status(&containerd, "outlives", Some("RUNNING"));
    assert_eq!(shim_of(&scratch), shim, "the same shim, found again");
    let exec =
        containerd.ctr(["tasks", "exec", "--exec-id", "one", "outlives", "sh", "-c", "echo alive; exit 4"]);
    assert_eq!((exec.code(), exec.stdout.as_str()), (4, "alive\n"), "{exec}");
    // Its end while nobody is there.
    containerd.ctr(["tasks", "kill", "--signal", "SIGTERM", "outlives"]).success();
    await_status(&containerd, "outlives", Some("STOPPED"));
    containerd.kill();
    containerd.start_again();
    let deleted = containerd.ctr(["tasks", "delete", "outlives"]).success();
    assert!(deleted.stderr.contains("exit code 33"), "{deleted}");
    containerd.ctr(["containers", "delete", "outlives"]).success();
}

#[test]
fn containerd_cleans_up_after_a_shim_that_was_killed() {
    require!(root, tool("containerd"), tool("ctr"), tool("busybox"));
    let scratch = Scratch::new();
    let containerd = start(&scratch, "cleaned", "sleep 600");
    process::signal(shim_of(&scratch), Signal::KILL);
    await_status(&containerd, "cleaned", None);
    containerd.ctr(["containers", "delete", "cleaned"]).success();
    drop(containerd);
    scratch.assert_nothing_left();
}

#[test]
fn input_that_ends_before_an_exec_is_started_reaches_it_whole() {
    require!(root, tool("containerd"), tool("ctr"), tool("busybox"));
    let scratch = Scratch::new();
    let containerd = start(&scratch, "typed", "sleep 600");
    // Without any input ctr hangs under containerd's own shim, too: it ends the input before there is a process.
    for (number, input) in [b"hello\n".to_vec(), vec![b'x'; 200_000]].into_iter().enumerate() {
        let exec_id = format!("exec-{number}");
        let mut exec = containerd.command(["tasks", "exec", "--exec-id", &exec_id, "typed", "cat"]);
        let exec = process::run_with_input(&mut exec, &input).success();
        assert!(exec.stdout.as_bytes() == input, "{} of {} bytes came back", exec.stdout.len(), input.len());
    }
    containerd.ctr(["tasks", "kill", "--signal", "SIGKILL", "typed"]).success();
    await_status(&containerd, "typed", Some("STOPPED"));
}
