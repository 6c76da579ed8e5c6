//! Where no knarrd runs, knarr starts one: once, whoever else does the same at that time.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use knarr_tests::process::{self, DEADLINE};
use knarr_tests::{Image, Scratch, programs, require};
use rustix::process::{Pid, Signal};

/// knarr with places of its own, and no knarrd there.
fn knarr(scratch: &Scratch, args: &[&str]) -> Command {
    let mut command = scratch.command(programs::ours("knarr"));
    command.env("KNARR_STATE", scratch.join("state")).env("KNARR_ROOT", scratch.join("root"));
    command.env("KNARR_CGROUP_PARENT", scratch.cgroup_prefix()).env_remove("KNARR_HOST");
    command.args(args);
    command
}

fn pid_of_knarrd(scratch: &Scratch) -> Pid {
    let text = fs::read_to_string(scratch.join("state/knarrd.pid")).expect("knarrd has written its pid");
    Pid::from_raw(text.trim().parse().expect("a number")).expect("a pid")
}

fn stop_knarrd(scratch: &Scratch) {
    let pid = pid_of_knarrd(scratch);
    process::signal(pid, Signal::TERM);
    assert!(process::wait_for_pid(pid, DEADLINE), "knarrd goes on after SIGTERM");
}

#[test]
fn ten_at_once_start_one_knarrd() {
    require!(root);
    let scratch = Scratch::new();
    let started: Vec<_> = (0..10)
        .map(|_| {
            let mut command = knarr(&scratch, &["info", "--format", "{{.ServerVersion}}"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("knarr can be started")
        })
        .collect();
    for child in started {
        // Its pipes end with it: knarrd holds none of them.
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    }
    let log = fs::read_to_string(scratch.join("state/knarrd.log")).expect("knarrd has a log");
    assert_eq!(log.matches("ready").count(), 1, "{log}");
    stop_knarrd(&scratch);
}

#[test]
fn the_knarrd_that_was_started_holds_nothing_of_its_starter() {
    require!(root);
    let scratch = Scratch::new();
    process::run(&mut knarr(&scratch, &["ps"])).success();
    let process = format!("/proc/{}", pid_of_knarrd(&scratch).as_raw_nonzero());
    assert_eq!(fs::read_link(format!("{process}/cwd")).expect("it runs"), Path::new("/"));
    let stat = fs::read_to_string(format!("{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    assert_eq!(fields[3], pid_of_knarrd(&scratch).as_raw_nonzero().to_string(), "it leads its session");
    let stdin = fs::read_link(format!("{process}/fd/0")).expect("it runs");
    assert_eq!(stdin, Path::new("/dev/null"));
    stop_knarrd(&scratch);
    // And the next command starts the next one.
    process::run(&mut knarr(&scratch, &["ps"])).success();
    stop_knarrd(&scratch);
}

/// What knarrd's starter and a service manager tell it by variables is not the containers': a runtime would have them wait
/// for READY=1, or ask for descriptors.
#[test]
fn containers_of_a_knarrd_that_was_started_know_nothing_of_its_starter() {
    require!(root);
    let scratch = Scratch::new();
    let archive = scratch.join("busybox.tar");
    Image::busybox().write_docker_archive(&archive, &["docker.io/library/busybox:latest"]);
    let mut load = knarr(&scratch, &["load", "-i", &archive.to_string_lossy()]);
    process::run(load.env("LISTEN_FDS", "1").env("LISTEN_PID", "1")).success();
    let mut run = knarr(&scratch, &["run", "--rm", "busybox", "env"]);
    let outcome = process::run_within(Duration::from_secs(20), &mut run).success();
    for variable in ["NOTIFY_SOCKET", "LISTEN_FDS"] {
        assert!(!outcome.stdout.contains(variable), "{outcome}");
    }
    stop_knarrd(&scratch);
}

#[test]
fn a_knarrd_that_cannot_start_is_told_with_its_reason() {
    require!(root);
    let scratch = Scratch::new();
    let mut command = knarr(&scratch, &["ps"]);
    command.env("KNARR_CONTAINER_LOG_MAX_FILES", "0");
    let outcome = process::run_within(Duration::from_secs(20), &mut command).exits_with(1);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    for words in ["knarrd ended", "container-log-max-files", "knarrd.log"] {
        assert!(outcome.stderr.contains(words), "{outcome}");
    }
}

#[test]
fn who_is_not_root_is_told_how_to_start_it() {
    require!(root, tool("setpriv"), tool("cp"));
    let scratch = Scratch::new();
    // Where everybody may execute it.
    let program = scratch.join("knarr");
    fs::copy(programs::ours("knarr"), &program).expect("knarr can be copied");
    let mut command = scratch.command(programs::tool("setpriv"));
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program).arg("ps");
    command.env("KNARR_STATE", scratch.join("state")).env_remove("KNARR_HOST");
    let outcome = process::run(&mut command).exits_with(1);
    assert!(outcome.stderr.contains("only root can start it"), "{outcome}");
}
