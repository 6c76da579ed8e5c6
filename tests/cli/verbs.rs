//! pause, unpause, rename, update, top and stats, as a person types them; and what each says when it cannot be.

use knarr_tests::{Daemon, Knarr, Scratch, require};
use serde_json::Value;

use crate::busybox::{self, NAME};

fn status(knarr: &Knarr, container: &str) -> Value {
    knarr.json(["inspect", container])[0]["State"]["Status"].clone()
}

#[test]
fn a_paused_container_rests_until_it_is_thawed() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say([
        "run",
        "-d",
        "--name",
        "web",
        NAME,
        "sh",
        "-c",
        "trap 'exit 7' TERM; while :; do echo x; sleep 0.01; done",
    ]);
    assert_eq!(knarr.say(["pause", "web"]), "web");
    assert_eq!(status(&knarr, "web"), "paused");
    assert!(knarr.say(["ps"]).contains("(Paused)"));
    let lines = || knarr.say(["logs", "web"]).lines().count();
    let before = lines();
    for (args, word) in [
        (&["pause", "web"][..], "already paused"),
        (&["exec", "web", "true"], "paused"),
        (&["rm", "web"], "web"),
    ] {
        let outcome = knarr.call(args);
        assert!(outcome.code() != 0 && outcome.stderr.contains(word), "{outcome}");
    }
    // What is frozen stays frozen while knarrd is away.
    daemon.kill();
    daemon.start_again();
    let knarr = daemon.knarr();
    assert_eq!(status(&knarr, "web"), "paused");
    assert_eq!(knarr.say(["logs", "web"]).lines().count(), before, "nothing was written");
    assert_eq!(knarr.say(["unpause", "web"]), "web");
    assert_eq!(status(&knarr, "web"), "running");
    let outcome = knarr.call(["unpause", "web"]).exits_with(1);
    assert!(outcome.stderr.contains("not paused"), "{outcome}");
    // A paused one can be stopped: the signal reaches it.
    knarr.say(["pause", "web"]);
    knarr.say(["stop", "web"]);
    assert_eq!(knarr.json(["inspect", "web"])[0]["State"]["ExitCode"], 7);
    let outcome = knarr.call(["pause", "web"]).exits_with(1);
    assert!(outcome.stderr.contains("is not running"), "{outcome}");
    knarr.say(["start", "web"]);
    knarr.say(["pause", "web"]);
    knarr.say(["rm", "-f", "web"]);
}

#[test]
fn a_new_name_takes_the_place_of_the_old_one() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let id = knarr.say(["create", "--name", "one", NAME, "true"]);
    knarr.say(["create", "--name", "other", NAME, "true"]);
    assert_eq!(knarr.say(["rename", "one", "/two"]), "");
    for (args, word) in [
        (["rename", "one", "three"], "one"),
        (["rename", "two", "two"], "same name"),
        (["rename", "two", "other"], "other"),
        (["rename", "two", "-x"], "-x"),
        (["rename", "two", "a b"], "a b"),
    ] {
        let outcome = knarr.call(args);
        assert!(outcome.code() != 0 && outcome.stderr.contains(word), "{outcome}");
    }
    daemon.kill();
    daemon.start_again();
    let knarr = daemon.knarr();
    assert_eq!(knarr.json(["inspect", "two"])[0]["Id"], id);
    knarr.say(["create", "--name", "one", NAME, "true"]);
    knarr.say(["rm", "one", "two", "other"]);
}

#[test]
fn limits_are_changed_at_once_and_for_the_next_run() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say(["run", "-d", "--name", "web", "--memory", "64m", NAME, "sleep", "1000"]);
    let seen = || {
        knarr.say([
            "exec",
            "web",
            "sh",
            "-c",
            "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null | head -1",
        ])
    };
    assert_eq!(knarr.say(["update", "--pids-limit", "33", "web"]), "web");
    assert_eq!(seen(), "33");
    for (flags, word) in [
        (&["--memory", "1k"][..], "6MB"),
        (&["--cpus", "-1"], "-1"),
        (&["--cpu-period", "5"], "cpu-period"),
        (&["--blkio-weight", "5"], "5"),
        (&[], "one or more flags"),
    ] {
        let outcome = knarr.call([&["update"], flags, &["web"]].concat());
        assert!(outcome.code() != 0 && outcome.stderr.contains(word), "{flags:?}: {outcome}");
    }
    let limits = knarr.json(["inspect", "web"])[0]["HostConfig"].clone();
    assert_eq!((&limits["PidsLimit"], &limits["Memory"]), (&33.into(), &(64 << 20).into()));
    knarr.say(["kill", "web"]);
    knarr.say(["wait", "web"]);
    knarr.say(["update", "--pids-limit", "44", "web"]);
    knarr.say(["start", "web"]);
    assert_eq!(seen(), "44");
    knarr.say(["rm", "-f", "web"]);
}

#[test]
fn processes_and_what_they_use_are_shown() {
    require!(root, tool("busybox"), tool("ps"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let id = knarr.say([
        "run",
        "-d",
        "--name",
        "web",
        "--memory",
        "64m",
        NAME,
        "sh",
        "-c",
        "sleep 1000 & while :; do :; done",
    ]);
    let top = knarr.say(["top", "web"]);
    assert!(top.lines().next().is_some_and(|head| head.contains("PID") && head.contains("CMD")), "{top}");
    assert!(top.contains("sleep 1000") && !top.contains("knarrd"), "{top}");
    let chosen = knarr.say(["top", "web", "-o", "pid,comm"]);
    assert_eq!(
        chosen.lines().next().map(|head| head.split_whitespace().collect::<Vec<_>>()),
        Some(vec!["PID", "COMMAND"])
    );
    for (args, word) in [
        (&["top", "web", "-o", "comm=PID"][..], "PID"),
        (&["top", "web", "-o", "comm"], "no column PID"),
        (&["top", "nobody"], "nobody"),
    ] {
        let outcome = knarr.call(args);
        assert!(outcome.code() != 0 && outcome.stderr.contains(word), "{outcome}");
    }
    let stats = knarr.say(["stats", "--no-stream", "--format", "{{json .}}", "web"]);
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!((&stats["Name"], &stats["ID"]), (&"web".into(), &id[..12].into()));
    let number =
        |key: &str| stats[key].as_str().and_then(|text| text.trim_end_matches('%').parse::<f64>().ok());
    assert!(number("CPUPerc").is_some_and(|share| share > 0.0), "{stats}");
    assert!(stats["MemUsage"].as_str().is_some_and(|text| text.ends_with("/ 64MiB")), "{stats}");
    assert_eq!(number("PIDs"), Some(2.0), "{stats}");
    knarr.say(["rm", "-f", "web"]);
    assert_eq!(knarr.say(["stats", "--no-stream"]).lines().count(), 1, "the head alone");
}
