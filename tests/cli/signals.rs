//! Signals: what is sent to knarr reaches the container's process, and how a container is ended.

use std::time::Duration;

use knarr_tests::process::{self, DEADLINE};
use knarr_tests::{Background, Daemon, Scratch, eventually, require};
use rustix::process::Signal;

use crate::busybox::{self, NAME};

/// Says which signals come; SIGTERM ends it with 5.
const HEARS: &str = r#"trap 'echo INT' INT; trap 'echo USR1' USR1; trap 'echo HUP' HUP; trap 'echo TERM; exit 5' TERM
echo ready; while :; do sleep 0.05; done"#;

fn shown(scratch: &Scratch) -> String {
    std::fs::read_to_string(scratch.join("run.log")).unwrap_or_default()
}

fn sees(scratch: &Scratch, text: &str) {
    eventually(DEADLINE, || shown(scratch).contains(text).then_some(()));
}

#[test]
fn signals_are_passed_on_to_the_process() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let mut command = knarr.command(["run", "--rm", NAME, "sh", "-c", HEARS]);
    let mut run = Background::start(&mut command, &scratch.join("run.log"));
    sees(&scratch, "ready\n");
    for (signal, name) in [(Signal::HUP, "HUP\n"), (Signal::INT, "INT\n"), (Signal::USR1, "USR1\n")] {
        process::signal(run.pid(), signal);
        sees(&scratch, name);
    }
    assert_eq!(run.stop().code(), Some(5), "{}", shown(&scratch));
    assert_eq!(shown(&scratch), "ready\nHUP\nINT\nUSR1\nTERM\n");
}

#[test]
fn without_sig_proxy_only_knarr_ends() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let mut command = knarr.command(["run", "--sig-proxy=false", "--name", "stays", NAME, "sh", "-c", HEARS]);
    let mut run = Background::start(&mut command, &scratch.join("run.log"));
    sees(&scratch, "ready\n");
    run.stop();
    assert_eq!(knarr.say(["inspect", "--format", "{{.State.Running}}", "stays"]), "true");
    assert_eq!(knarr.say(["logs", "stays"]), "ready");
}

#[test]
fn a_container_that_hears_nothing_is_left_with_the_third_interrupt() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let deaf = "trap '' INT; echo ready; while :; do sleep 1; done";
    let mut command = knarr.command(["run", "--name", "deaf", NAME, "sh", "-c", deaf]);
    let mut run = Background::start(&mut command, &scratch.join("run.log"));
    sees(&scratch, "ready\n");
    eventually(DEADLINE, || {
        process::signal(run.pid(), Signal::INT);
        (!run.is_running()).then_some(())
    });
    assert!(shown(&scratch).contains("knarr: left the container running"), "{}", shown(&scratch));
    assert_eq!(knarr.say(["inspect", "--format", "{{.State.Running}}", "deaf"]), "true");
}

#[test]
fn stop_sends_the_signal_and_then_kills() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let start = |name: &str, flags: &[&str], script: &str| {
        let run = [&["run", "-d", "--name", name], flags, &[NAME, "sh", "-c", script]].concat();
        knarr.say(run);
        eventually(DEADLINE, || knarr.say(["logs", name]).contains("ready").then_some(()));
    };
    let code = |name: &str| knarr.say(["inspect", "--format", "{{.State.ExitCode}}", name]);
    start("hears", &[], HEARS);
    assert_eq!(knarr.say(["stop", "hears"]), "hears");
    assert_eq!(code("hears"), "5");
    start("deaf", &[], "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    let begun = std::time::Instant::now();
    knarr.say(["stop", "-t", "1", "deaf"]);
    assert!(begun.elapsed() >= Duration::from_secs(1) && code("deaf") == "137");
    start(
        "other",
        &["--stop-signal", "USR1"],
        "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done",
    );
    knarr.say(["stop", "other"]);
    assert_eq!(code("other"), "9");
    start("killed", &[], HEARS);
    assert_eq!(knarr.say(["kill", "-s", "USR1", "killed"]), "killed");
    eventually(DEADLINE, || knarr.say(["logs", "killed"]).contains("USR1").then_some(()));
    knarr.say(["kill", "killed"]);
    assert_eq!(knarr.say(["wait", "killed"]), "137");
    let late = knarr.call(["kill", "killed"]).exits_with(1);
    assert!(late.stderr.contains("not running"), "{late}");
    // Stopping what is stopped is no error, as in docker.
    knarr.say(["stop", "killed"]);
}
