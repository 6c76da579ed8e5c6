//! Restart policies: what comes back, how often and when, through the death of whoever could bring it back.

use std::time::Duration;

use knarr_tests::{Background, Daemon, Knarr, Scratch, eventually, process, require};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::busybox::{self, NAME};

const DEADLINE: Duration = Duration::from_secs(60);

fn inspect(knarr: &Knarr, name: &str) -> Value {
    knarr.json(["inspect", name])[0].clone()
}

fn status(knarr: &Knarr, name: &str) -> String {
    inspect(knarr, name)["State"]["Status"].as_str().expect("a word").to_owned()
}

fn restarts(knarr: &Knarr, name: &str) -> u64 {
    inspect(knarr, name)["RestartCount"].as_u64().expect("a number")
}

fn runs(knarr: &Knarr, name: &str) -> u64 {
    knarr.say(["logs", name]).lines().filter(|line| *line == "run").count() as u64
}

#[track_caller]
fn await_status(knarr: &Knarr, name: &str, expected: &str) {
    eventually(DEADLINE, || (status(knarr, name) == expected).then_some(()));
}

#[track_caller]
fn await_restarts(knarr: &Knarr, name: &str, at_least: u64) {
    eventually(DEADLINE, || (restarts(knarr, name) >= at_least).then_some(()));
}

fn shim_of(knarr: &Knarr, name: &str) -> Pid {
    let id = inspect(knarr, name)["Id"].as_str().expect("an id").to_owned();
    let mut pids = std::fs::read_dir("/proc").expect("procfs").flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        (words.contains(&id.as_bytes()) && words.contains(&&b"serve"[..])).then_some(pid)
    });
    pids.next().and_then(Pid::from_raw).expect("it has a shim")
}

/// Has the records say that every container was last started in another boot of the machine.
fn reboot(daemon: &mut Daemon) {
    daemon.kill();
    for entry in std::fs::read_dir("/proc").expect("procfs").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let is_ours = line.contains(daemon.root().to_str().expect("our own path"));
        if is_ours && line.contains("\0serve\0") {
            let pid = Pid::from_raw(pid).expect("a pid");
            process::signal(pid, Signal::KILL);
            assert!(process::wait_for_pid(pid, DEADLINE));
        }
    }
    let script = "import sqlite3, sys\n\
        database = sqlite3.connect(sys.argv[1])\n\
        database.execute(\"UPDATE containers SET life = json_set(life, '$.boot_id', 'another')\")\n\
        database.commit()\n";
    let mut python = std::process::Command::new("python3");
    process::run(python.args(["-c", script]).arg(daemon.root().join("knarr.db"))).success();
}

#[test]
fn each_policy_brings_back_what_docker_s_does() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    for (name, policy, code) in [
        ("none", "no", "1"),
        ("failed", "on-failure:2", "3"),
        ("well", "on-failure", "0"),
        ("ever", "always", "0"),
        ("until", "unless-stopped", "5"),
    ] {
        let script = format!("echo run; exit {code}");
        knarr.say(["run", "-d", "--name", name, "--restart", policy, NAME, "sh", "-c", &script]);
    }
    for (name, expected) in [("none", 0), ("failed", 2), ("well", 0)] {
        await_status(&knarr, name, "exited");
        assert_eq!((restarts(&knarr, name), runs(&knarr, name)), (expected, expected + 1), "{name}");
    }
    assert_eq!(inspect(&knarr, "failed")["State"]["ExitCode"], 3);
    for name in ["ever", "until"] {
        await_restarts(&knarr, name, 3);
    }
    let failed = inspect(&knarr, "failed");
    assert_eq!(failed["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
    assert_eq!(failed["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 2);
    // A person's start counts anew.
    knarr.say(["start", "failed"]);
    await_status(&knarr, "failed", "exited");
    assert_eq!((restarts(&knarr, "failed"), runs(&knarr, "failed")), (2, 6));
    knarr.say(["rm", "-f", "ever", "until"]);
}

#[test]
fn every_end_and_every_start_is_told_once_and_in_order() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let script = "echo run; exit 4";
    knarr.say(["run", "-d", "--name", "web", "--restart", "on-failure:3", NAME, "sh", "-c", script]);
    await_status(&knarr, "web", "exited");
    let format = "{{.Action}} {{.Actor.Attributes.exitCode}}";
    let mut events = knarr.command(["events", "--since", "1h", "--until", "0s", "--filter", "container=web"]);
    let told = process::run(events.args(["--format", format])).success().stdout;
    let told: Vec<&str> = told.lines().map(|line| line.split(' ').next().unwrap_or("")).collect();
    let (start, die) = ("start", "die");
    assert_eq!(told, ["create", start, die, start, die, start, die, start, die]);
}

#[test]
fn one_that_waits_for_its_next_run_is_shown_stopped_killed_and_removed() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let crash = |name: &str| {
        knarr.say(["run", "-d", "--name", name, "--restart", "always", NAME, "sh", "-c", "echo run; exit 1"]);
        // From then on the pauses are long enough for what follows.
        await_restarts(&knarr, name, 6);
        await_status(&knarr, name, "restarting");
    };
    crash("web");
    assert!(knarr.say(["ps", "--format", "{{.Status}}"]).starts_with("Restarting (1) "));
    let state = inspect(&knarr, "web")["State"].clone();
    assert_eq!((&state["Running"], &state["Restarting"]), (&Value::from(true), &Value::from(true)));
    assert_eq!((&state["Pid"], &state["ExitCode"]), (&Value::from(0), &Value::from(1)));
    for args in [&["exec", "web", "true"][..], &["pause", "web"], &["attach", "web"], &["rm", "web"]] {
        let outcome = knarr.call(args);
        assert!(outcome.code() != 0 && outcome.stderr.contains("web"), "{args:?}: {outcome}");
    }
    knarr.say(["stop", "web"]);
    assert_eq!(status(&knarr, "web"), "exited");
    assert_eq!(knarr.call(["stop", "web"]).exits_with(0).stdout, "web\n", "once more is no error");
    let before = runs(&knarr, "web");
    // Whatever waited would have come by then.
    crash("other");
    assert_eq!((status(&knarr, "web").as_str(), runs(&knarr, "web")), ("exited", before));
    knarr.say(["kill", "other"]);
    await_status(&knarr, "other", "exited");
    crash("third");
    knarr.say(["rm", "-f", "third"]);
    knarr.call(["inspect", "third"]).exits_with(1);
    crash("fourth");
    knarr.say(["update", "--restart", "no", "fourth"]);
    await_status(&knarr, "fourth", "exited");
}

#[test]
fn a_stop_is_for_good_and_other_signals_are_not() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let script = "trap 'exit 7' USR1 TERM; echo run; while :; do sleep 0.05; done";
    let run = |name: &str| {
        knarr.say(["run", "-d", "--name", name, "--restart", "always", NAME, "sh", "-c", script]);
        eventually(DEADLINE, || (runs(&knarr, name) == 1).then_some(()));
    };
    for (name, verb) in [
        ("stopped", &["stop"][..]),
        ("killed", &["kill"]),
        ("asked", &["kill", "-s", "TERM"]),
        ("signalled", &["kill", "-s", "USR1"]),
    ] {
        run(name);
        knarr.say([verb, &[name]].concat());
    }
    eventually(DEADLINE, || (runs(&knarr, "signalled") == 2).then_some(()));
    for (name, code) in [("stopped", 7), ("killed", 137), ("asked", 7)] {
        await_status(&knarr, name, "exited");
        let found = inspect(&knarr, name);
        assert_eq!(
            (&found["State"]["ExitCode"], &found["RestartCount"]),
            (&code.into(), &0.into()),
            "{name}"
        );
    }
    // What was stopped is started by hand, and has its policy again.
    knarr.say(["start", "stopped"]);
    eventually(DEADLINE, || (runs(&knarr, "stopped") == 2).then_some(()));
    knarr.say(["kill", "-s", "USR1", "stopped"]);
    await_restarts(&knarr, "stopped", 1);
    knarr.say(["restart", "-t", "5", "stopped"]);
    assert_eq!((status(&knarr, "stopped").as_str(), restarts(&knarr, "stopped")), ("running", 0));
    knarr.say(["rm", "-f", "stopped", "signalled"]);
}

#[test]
fn containers_come_back_while_knarrd_is_dead() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let marks = scratch.join("marks");
    std::fs::create_dir(&marks).expect("ours");
    let bind = format!("{}:/marks", marks.display());
    let script = "echo run | tee -a /marks/runs; exit 1";
    knarr.say(["run", "-d", "--name", "web", "-v", &bind, "--restart", "always", NAME, "sh", "-c", script]);
    let count = || std::fs::read_to_string(marks.join("runs")).unwrap_or_default().lines().count() as u64;
    daemon.kill();
    eventually(DEADLINE, || (count() >= 4).then_some(()));
    daemon.start_again();
    let knarr = daemon.knarr();
    assert!(restarts(&knarr, "web") >= 3);
    await_restarts(&knarr, "web", 5);
    // Killed again and again in the middle of it.
    for _ in 0..5 {
        daemon.kill();
        daemon.start_again();
    }
    let knarr = daemon.knarr();
    knarr.say(["stop", "web"]);
    assert_eq!(status(&knarr, "web"), "exited");
    let (ran, told) = (count(), restarts(&knarr, "web"));
    // One that was given up before it ran is counted by docker, too.
    assert!(told == ran || told + 1 == ran, "{ran} runs, {told} restarts");
    assert_eq!(runs(&knarr, "web"), ran, "no line of the log is missing");
}

#[test]
fn containers_come_back_when_their_shim_has_died() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    for (name, policy) in [("web", "always"), ("once", "no"), ("some", "on-failure:1")] {
        let args = ["run", "-d", "--name", name, "--restart", policy, NAME];
        knarr.say([&args[..], &["sh", "-c", "echo run; exec sleep 600"]].concat());
    }
    for name in ["web", "once", "some"] {
        eventually(DEADLINE, || (runs(&knarr, name) == 1).then_some(()));
        process::signal(shim_of(&knarr, name), Signal::KILL);
    }
    await_status(&knarr, "once", "exited");
    for name in ["web", "some"] {
        eventually(DEADLINE, || (runs(&knarr, name) == 2).then_some(()));
        await_status(&knarr, name, "running");
        assert_eq!(restarts(&knarr, name), 1, "{name}");
    }
    // While nobody sees it.
    let shims = ["web", "some"].map(|name| shim_of(&knarr, name));
    daemon.kill();
    for shim in shims {
        process::signal(shim, Signal::KILL);
        assert!(process::wait_for_pid(shim, DEADLINE));
    }
    daemon.start_again();
    let knarr = daemon.knarr();
    eventually(DEADLINE, || (runs(&knarr, "web") == 3).then_some(()));
    await_status(&knarr, "some", "exited");
    assert_eq!((restarts(&knarr, "web"), restarts(&knarr, "some")), (2, 1));
    knarr.say(["rm", "-f", "web"]);
}

#[test]
fn a_reboot_brings_back_what_is_to_run() {
    require!(root, tool("busybox"), tool("python3"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    for (name, policy, is_stopped) in [
        ("no-up", "no", false),
        ("always-up", "always", false),
        ("always-stopped", "always", true),
        ("unless-up", "unless-stopped", false),
        ("unless-stopped", "unless-stopped", true),
        ("failure-up", "on-failure", false),
        ("failure-stopped", "on-failure", true),
    ] {
        knarr.say(["run", "-d", "--name", name, "--restart", policy, NAME, "sleep", "600"]);
        if is_stopped {
            knarr.say(["kill", name]);
            await_status(&knarr, name, "exited");
        }
    }
    knarr.say(["create", "--name", "always-never", "--restart", "always", NAME, "sleep", "600"]);
    // knarrd alone brings nothing back that a person has stopped.
    daemon.kill();
    daemon.start_again();
    assert_eq!(status(&daemon.knarr(), "always-stopped"), "exited");
    reboot(&mut daemon);
    daemon.start_again();
    let knarr = daemon.knarr();
    for name in ["always-up", "always-stopped", "unless-up", "failure-up"] {
        await_status(&knarr, name, "running");
    }
    for (name, expected) in [
        ("no-up", "exited"),
        ("unless-stopped", "exited"),
        ("failure-stopped", "exited"),
        ("always-never", "created"),
    ] {
        assert_eq!(status(&knarr, name), expected, "{name}");
    }
    knarr.say(["rm", "-f", "always-up", "always-stopped", "unless-up", "failure-up"]);
}

#[test]
fn clients_see_the_end_of_a_run_and_logs_go_on() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let script = "echo run; sleep 0.3; exit 6";
    let run = knarr.call(["run", "--name", "web", "--restart", "always", NAME, "sh", "-c", script]);
    assert_eq!(run.exits_with(6).stdout, "run\n", "the first run, and no other");
    let followed = scratch.join("followed");
    let mut follow = Background::start(&mut knarr.command(["logs", "-f", "web"]), &followed);
    eventually(DEADLINE, || {
        let text = std::fs::read_to_string(&followed).unwrap_or_default();
        (text.lines().count() >= 3).then_some(())
    });
    assert!(follow.is_running());
    eventually(DEADLINE, || (knarr.call(["wait", "web"]).stdout == "6\n").then_some(()));
    knarr.say(["rm", "-f", "web"]);
}

#[test]
fn a_policy_can_be_changed_while_a_container_runs() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let script = "trap 'exit 7' USR1; echo run; while :; do sleep 0.05; done";
    knarr.say(["run", "-d", "--name", "web", NAME, "sh", "-c", script]);
    eventually(DEADLINE, || (runs(&knarr, "web") == 1).then_some(()));
    assert_eq!(knarr.say(["update", "--restart", "on-failure:5", "web"]), "web");
    // The file tells the shim, whoever has seen it.
    daemon.kill();
    daemon.start_again();
    let knarr = daemon.knarr();
    knarr.say(["kill", "-s", "USR1", "web"]);
    eventually(DEADLINE, || (runs(&knarr, "web") == 2).then_some(()));
    await_status(&knarr, "web", "running");
    assert_eq!(restarts(&knarr, "web"), 1);
    knarr.say(["update", "--restart", "no", "web"]);
    knarr.say(["kill", "-s", "USR1", "web"]);
    await_status(&knarr, "web", "exited");
    assert_eq!((restarts(&knarr, "web"), runs(&knarr, "web")), (1, 2));
}

#[test]
fn policies_that_make_no_sense_are_refused_and_nothing_is_made() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    for (flags, words) in [
        (&["--restart", "sometimes"][..], "unknown policy 'sometimes'"),
        (&["--restart", "Always"], "unknown policy 'Always'"),
        (&["--restart", "always:3"], "can only be used with 'on-failure'"),
        (&["--restart", "no:1"], "can only be used with 'on-failure'"),
        (&["--restart", "on-failure:-1"], "cannot be negative"),
        (&["--restart", "on-failure:x"], "must be an integer"),
        (&["--restart", "on-failure:"], "must be an integer"),
        (&["--restart", "on-failure:1:2"], "must be an integer"),
        (&["--restart", ":3"], "no policy provided before colon"),
        (&["--restart", "always", "--rm"], "cannot specify both --restart and --rm"),
    ] {
        let outcome = knarr.call([&["run"], flags, &[NAME, "true"]].concat()).exits_with(125);
        assert!(outcome.stderr.contains(words), "{flags:?}: {outcome}");
    }
    assert_eq!(knarr.say(["ps", "-aq"]), "", "nothing was made");
    knarr.say(["run", "-d", "--rm", "--name", "gone", NAME, "sleep", "600"]);
    let outcome = knarr.call(["update", "--restart", "always", "gone"]).exits_with(1);
    assert!(outcome.stderr.contains("AutoRemove is enabled"), "{outcome}");
    let outcome = knarr.call(["update", "--restart", "maybe", "gone"]);
    assert!(outcome.code() != 0 && outcome.stderr.contains("unknown policy"), "{outcome}");
    knarr.say(["rm", "-f", "gone"]);
}
