//! `--init`: orphans are reaped, signals passed on, and the command's exit code is the container's.

use std::time::Duration;

use knarr_tests::{Daemon, Knarr, Scratch, eventually, process, require};

use crate::busybox::{self, NAME};

const DEADLINE: Duration = Duration::from_secs(60);

fn state_of(knarr: &Knarr, name: &str, script: &str) -> String {
    knarr.say(["exec", name, "sh", "-c", script])
}

#[test]
fn orphans_are_reaped_whether_they_were_forked_once_or_twice() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    // Twenty orphans that end when nobody waits for a child any more, each the child of a process that has gone.
    let script = "i=0; while [ $i -lt 20 ]; do (sh -c 'sleep 0.5; exit 3' & :) ; i=$((i+1)); done; echo made; exec sleep 600";
    for (name, flag) in [("without", "--init=false"), ("with", "--init")] {
        let flags: &[&str] = if flag == "--init" { &["--init"] } else { &[] };
        knarr.say([&["run", "-d", "--name", name], flags, &[NAME, "sh", "-c", script]].concat());
        eventually(DEADLINE, || (knarr.say(["logs", name]) == "made").then_some(()));
    }
    let zombies =
        "n=0; for s in /proc/[0-9]*/stat; do read a b c d <$s && [ \"$c\" = Z ] && n=$((n+1)); done; echo $n";
    let count = |name: &str| state_of(&knarr, name, zombies).parse::<u32>().expect("a number");
    // The control: nobody reaps them.
    eventually(DEADLINE, || (count("without") == 20).then_some(()));
    let sleepers =
        "n=0; for c in /proc/[0-9]*/comm; do read w <$c; [ \"$w\" = sleep ] && n=$((n+1)); done; echo $n";
    eventually(DEADLINE, || (state_of(&knarr, "with", sleepers) == "1").then_some(()));
    eventually(DEADLINE, || (count("with") == 0).then_some(()));
    assert_eq!(
        state_of(&knarr, "with", "tr '\\0' ' ' </proc/1/cmdline | cut -c1-22"),
        "/sbin/docker-init -- s"
    );
    assert_eq!(state_of(&knarr, "with", "cat /proc/2/comm"), "sleep");
    assert_eq!(
        state_of(&knarr, "with", "(: >/sbin/docker-init) 2>/dev/null || echo no"),
        "no",
        "it is read-only"
    );
    knarr.say(["rm", "-f", "without", "with"]);
}

#[test]
fn the_command_s_end_is_the_container_s() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    for (command, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 42"], 42),
        (&["sh", "-c", "exit 255"], 255),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["sh", "-c", "kill -SEGV $$"], 139),
        (&["sh", "-c", "sleep 600 & exit 5"], 5),
        (&["no-such-command"], 127),
        (&["/no/such/command"], 127),
        (&["/etc"], 126),
        (&["--", "true"], 127),
    ] {
        let outcome = knarr.call([&["run", "--rm", "--init", NAME], command].concat()).exits_with(code);
        let is_failure = code == 126 || code == 127;
        assert_eq!(outcome.stderr.contains("docker-init: exec "), is_failure, "{outcome}");
    }
    let outcome = knarr.call(["run", "--rm", "--init", "--read-only", NAME, "echo", "hi"]).exits_with(0);
    assert_eq!(outcome.stdout, "hi\n");
    // Whoever the command runs as can execute it.
    let outcome = knarr.call(["run", "--rm", "--init", "-u", "1234:5678", NAME, "id", "-u"]).exits_with(0);
    assert_eq!(outcome.stdout, "1234\n");
}

#[test]
fn signals_are_passed_on_real_time_ones_included() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    // Without an init, a shell that is process 1 ignores what it does not handle.
    let script = "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo rt' 40; echo ready; while :; do sleep 0.05; done";
    knarr.say(["run", "-d", "--init", "--name", "web", NAME, "sh", "-c", script]);
    let says = |line: &str| {
        eventually(DEADLINE, || knarr.say(["logs", "web"]).lines().any(|told| told == line).then_some(()));
    };
    says("ready");
    for (signal, line) in [("USR1", "usr1"), ("HUP", "hup"), ("40", "rt")] {
        knarr.say(["kill", "-s", signal, "web"]);
        says(line);
    }
    let began = std::time::Instant::now();
    knarr.say(["stop", "-t", "30", "web"]);
    assert!(began.elapsed() < Duration::from_secs(20), "SIGTERM ends what does not handle it");
    assert_eq!(knarr.json(["inspect", "web"])[0]["State"]["ExitCode"], 143);
    assert_eq!(knarr.json(["inspect", "web"])[0]["HostConfig"]["Init"], true);
    assert_eq!(
        knarr.json(["inspect", "web"])[0]["Path"],
        "sh",
        "the command is shown, not what is in front of it"
    );
    // Its next run has it, too.
    knarr.say(["start", "web"]);
    eventually(DEADLINE, || (state_of(&knarr, "web", "cat /proc/1/comm") == "docker-init").then_some(()));
    knarr.say(["rm", "-f", "web"]);
}

#[test]
fn one_that_is_not_process_1_reaps_as_well() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let script = "(sh -c 'exit 3' & :); echo made; exec sleep 600";
    knarr.say(["run", "-d", "--init", "--pid", "host", "--name", "web", NAME, "sh", "-c", script]);
    eventually(DEADLINE, || (knarr.say(["logs", "web"]) == "made").then_some(()));
    let pid = knarr.say(["inspect", "-f", "{{.State.Pid}}", "web"]);
    let children = format!("/proc/{pid}/task/{pid}/children");
    let alone = || std::fs::read_to_string(&children).unwrap_or_default().split_whitespace().count() == 1;
    eventually(DEADLINE, || alone().then_some(()));
    knarr.say(["stop", "web"]);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    let outcome = process::run(&mut knarr.command(["inspect", "-f", "{{.State.ExitCode}}", "web"])).success();
    assert_eq!(outcome.stdout, "143\n");
}
