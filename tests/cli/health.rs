//! Health checks: what a probe's result makes of a container, who asks when nobody is there, and what follows.

use std::time::Duration;

use knarr_tests::{Daemon, Image, Knarr, Scratch, eventually, process, require};
use serde_json::{Value, json};

use crate::busybox::{self, NAME};

const DEADLINE: Duration = Duration::from_secs(60);

fn inspect(knarr: &Knarr, name: &str) -> Value {
    knarr.json(["inspect", name])[0].clone()
}

fn health(knarr: &Knarr, name: &str) -> Value {
    inspect(knarr, name)["State"]["Health"].clone()
}

#[track_caller]
fn await_health(knarr: &Knarr, name: &str, expected: &str) {
    eventually(DEADLINE, || (health(knarr, name)["Status"] == expected).then_some(()));
}

#[track_caller]
fn await_status(knarr: &Knarr, name: &str, expected: &str) {
    eventually(DEADLINE, || (inspect(knarr, name)["State"]["Status"] == expected).then_some(()));
}

/// Runs a container whose probe succeeds while /ok is there.
fn run(knarr: &Knarr, name: &str, more: &[&str]) {
    let check = ["--health-cmd", "echo probed; test -e /ok", "--health-interval", "50ms"];
    let args = [&["run", "-d", "--name", name, "--health-retries", "2"], &check[..], more, &[NAME]].concat();
    knarr.say([&args[..], &["sleep", "600"]].concat());
}

#[test]
fn health_goes_from_starting_to_healthy_to_unhealthy_and_is_told() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let status = || knarr.say(["ps", "--format", "{{.Status}}", "--filter", "name=web"]);
    run(&knarr, "web", &["--health-start-period", "1h", "--health-start-interval", "50ms"]);
    eventually(DEADLINE, || {
        health(&knarr, "web")["Log"].as_array().is_some_and(|log| log.len() >= 2).then_some(())
    });
    assert_eq!(
        (&health(&knarr, "web")["Status"], &health(&knarr, "web")["FailingStreak"]),
        (&json!("starting"), &json!(0))
    );
    assert!(status().ends_with(" (health: starting)"), "{}", status());
    knarr.say(["exec", "web", "sh", "-c", ": >/ok"]);
    await_health(&knarr, "web", "healthy");
    assert!(status().ends_with(" (healthy)"), "{}", status());
    let names = |filter: &str| knarr.say(["ps", "-a", "--format", "{{.Names}}", "--filter", filter]);
    assert_eq!((names("health=healthy").as_str(), names("health=starting").as_str()), ("web", ""));
    knarr.say(["exec", "web", "rm", "/ok"]);
    await_health(&knarr, "web", "unhealthy");
    eventually(DEADLINE, || status().ends_with(" (unhealthy)").then_some(()));
    assert_eq!(names("health=unhealthy"), "web");
    let found = health(&knarr, "web");
    let log = found["Log"].as_array().expect("a list");
    assert!(log.len() <= 5 && found["FailingStreak"].as_u64() >= Some(2), "{found}");
    assert!(log.iter().all(|probe| probe["Output"] == "probed\n"), "{found}");
    let last = log.last().expect("a probe");
    assert_eq!(last["ExitCode"], 1);
    assert!(last["Start"].as_str() < last["End"].as_str(), "{last}");
    let mut events =
        knarr.command(["events", "--since", "1h", "--until", "0s", "--filter", "event=health_status"]);
    let told = process::run(events.args(["--format", "{{.Action}}"])).success().stdout;
    assert_eq!(told, "health_status: healthy\nhealth_status: unhealthy\n");
    // A new run is starting again, and knows what was.
    knarr.say(["exec", "web", "sh", "-c", ": >/ok"]);
    knarr.say(["restart", "-t", "0", "web"]);
    await_health(&knarr, "web", "healthy");
    knarr.say(["rm", "-f", "web"]);
}

#[test]
fn probes_go_on_while_knarrd_is_dead_and_rest_while_the_container_does() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let marks = scratch.join("marks");
    std::fs::create_dir(&marks).expect("ours");
    let bind = format!("{}:/marks", marks.display());
    let probe = "echo x >>/marks/probes; test -e /marks/ok";
    let check = ["--health-cmd", probe, "--health-interval", "30ms", "--health-retries", "1", "-v", &bind];
    knarr.say([&["run", "-d", "--name", "web"], &check[..], &[NAME, "sleep", "600"]].concat());
    let probes = || std::fs::read_to_string(marks.join("probes")).unwrap_or_default().lines().count();
    await_health(&knarr, "web", "unhealthy");
    daemon.kill();
    std::fs::write(marks.join("ok"), "").expect("ours");
    let before = probes();
    eventually(DEADLINE, || (probes() > before + 3).then_some(()));
    daemon.start_again();
    let knarr = daemon.knarr();
    assert_eq!(health(&knarr, "web")["Status"], "healthy");
    knarr.say(["pause", "web"]);
    let before = probes();
    // Another one's probes show that time passes.
    knarr.say([
        "run",
        "-d",
        "--name",
        "clock",
        "--health-cmd",
        "true",
        "--health-interval",
        "30ms",
        NAME,
        "sleep",
        "600",
    ]);
    let full = |found: Value| found["Log"].as_array().is_some_and(|log| log.len() == 5);
    eventually(DEADLINE, || full(health(&knarr, "clock")).then_some(()));
    assert!(probes() <= before + 1, "no probe of what is frozen");
    assert_eq!(health(&knarr, "web")["Status"], "healthy");
    knarr.say(["unpause", "web"]);
    eventually(DEADLINE, || (probes() > before + 2).then_some(()));
    knarr.say(["rm", "-f", "web", "clock"]);
}

#[test]
fn a_probe_has_a_bound_of_time_and_of_words_and_may_fail_to_start() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let run = |name: &str, command: &str, more: &[&str]| {
        let check = ["--health-cmd", command, "--health-interval", "50ms", "--health-retries", "1"];
        knarr.say([&["run", "-d", "--name", name], &check[..], more, &[NAME, "sleep", "600"]].concat());
    };
    run("slow", "echo begun; sleep 500", &["--health-timeout", "200ms"]);
    run("long", "yes | head -c 100000; exit 3", &[]);
    run("left", "(sleep 500) & exit 0", &[]);
    run("env", "echo $NAME $(id -u) $(pwd); exit 4", &["-e", "NAME=value", "-u", "7:8", "-w", "/bin"]);
    await_health(&knarr, "slow", "unhealthy");
    let last =
        |name: &str| health(&knarr, name)["Log"].as_array().and_then(|log| log.last().cloned()).expect(name);
    let slow = last("slow");
    assert_eq!(
        (&slow["ExitCode"], &slow["Output"]),
        (&json!(-1), &json!("Health check exceeded timeout (200ms): begun\n"))
    );
    await_health(&knarr, "long", "unhealthy");
    let long = last("long");
    let words = long["Output"].as_str().expect("a text");
    assert_eq!((&long["ExitCode"], words.len(), &words[4090..]), (&json!(3), 4099, "y\ny\ny\n..."));
    await_health(&knarr, "left", "healthy");
    await_health(&knarr, "env", "unhealthy");
    assert_eq!(last("env")["Output"], "value 7 /bin\n");
    // The probes that took too long are not left behind.
    let processes = knarr.say(["top", "slow", "-o", "pid,args"]);
    assert!(processes.matches("sleep 500").count() <= 2, "{processes}");
    knarr.say(["rm", "-f", "slow", "long", "left", "env"]);
}

#[test]
fn an_unhealthy_container_is_killed_stopped_or_started_again_as_asked() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let script = "trap 'exit 7' TERM; echo run; while :; do sleep 0.05; done";
    let run = |name: &str, more: &[&str]| {
        let check = ["--health-cmd", "false", "--health-interval", "100ms", "--health-retries", "2"];
        let args = [&["run", "-d", "--name", name], &check[..], more, &[NAME, "sh", "-c", script]].concat();
        knarr.say(args);
    };
    run("none", &["--health-on-failure", "none"]);
    run("killed", &["--health-on-failure", "kill"]);
    run("stopped", &["--health-on-failure", "stop", "--restart", "always"]);
    run("again", &["--health-on-failure", "restart"]);
    run("policy", &["--health-on-failure", "kill", "--restart", "on-failure:2"]);
    for (name, code) in [("killed", 137), ("stopped", 7), ("policy", 137)] {
        await_status(&knarr, name, "exited");
        assert_eq!(inspect(&knarr, name)["State"]["ExitCode"], code, "{name}");
    }
    let restarts = |name: &str| inspect(&knarr, name)["RestartCount"].as_u64().expect("a number");
    assert_eq!((restarts("killed"), restarts("stopped"), restarts("policy")), (0, 0, 2));
    eventually(DEADLINE, || (restarts("again") >= 2).then_some(()));
    let runs = knarr.say(["logs", "again"]).lines().filter(|line| *line == "run").count();
    assert!(runs >= 2, "{runs}");
    await_health(&knarr, "none", "unhealthy");
    assert_eq!(inspect(&knarr, "none")["State"]["Status"], "running");
    knarr.say(["stop", "-t", "5", "again"]);
    assert_eq!(inspect(&knarr, "again")["State"]["Status"], "exited");
    knarr.say(["rm", "-f", "none"]);
}

#[test]
fn an_image_s_healthcheck_is_used_changed_and_switched_off() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    let check = json!({"Test": ["CMD", "test", "-e", "/bin"], "Interval": 50_000_000, "Retries": 7});
    let image = Image::busybox().config("Healthcheck", check);
    busybox::load_as(&scratch, &knarr, &image, "test/healthy:1");
    let odd = Image::busybox().config("Healthcheck", json!({"Test": ["WHAT", "x"]}));
    busybox::load_as(&scratch, &knarr, &odd, "test/odd:1");
    let shell = Image::busybox()
        .config(
            "Healthcheck",
            json!({"Test": ["CMD-SHELL", "echo $0; exit 1"], "Interval": 50_000_000, "Retries": 1}),
        )
        .config("Shell", json!(["/bin/sh", "-ec"]));
    busybox::load_as(&scratch, &knarr, &shell, "test/shell:1");
    let asked = |name: &str| inspect(&knarr, name)["Config"]["Healthcheck"].clone();
    knarr.say(["run", "-d", "--name", "own", "test/healthy:1", "sleep", "600"]);
    await_health(&knarr, "own", "healthy");
    assert_eq!(
        asked("own"),
        json!({"Test": ["CMD", "test", "-e", "/bin"], "Interval": 50_000_000, "Retries": 7})
    );
    let more = ["--health-cmd", "false", "--health-retries", "1"];
    knarr.say([&["run", "-d", "--name", "other"], &more[..], &["test/healthy:1", "sleep", "600"]].concat());
    await_health(&knarr, "other", "unhealthy");
    assert_eq!(asked("other"), json!({"Test": ["CMD-SHELL", "false"], "Interval": 50_000_000, "Retries": 1}));
    knarr.say(["run", "-d", "--name", "off", "--no-healthcheck", "test/healthy:1", "sleep", "600"]);
    assert_eq!((health(&knarr, "off"), &asked("off")["Test"]), (Value::Null, &json!(["NONE"])));
    let made = knarr.call(["run", "-d", "--name", "odd", "test/odd:1", "sleep", "600"]).exits_with(0);
    assert!(made.stderr.contains("the image's healthcheck is left out"), "{made}");
    knarr.say(["run", "-d", "--name", "shell", "test/shell:1", "sleep", "600"]);
    await_health(&knarr, "shell", "unhealthy");
    assert_eq!(asked("shell")["Test"], json!(["CMD-SHELL", "echo $0; exit 1"]));
    knarr.say(["rm", "-f", "own", "other", "off", "odd", "shell"]);
}

#[test]
fn checks_that_make_no_sense_are_refused_and_nothing_is_made() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    for (flags, words) in [
        (&["--health-interval", "fast"][..], "--health-interval"),
        (&["--health-interval", "-1s"], "not negative"),
        (
            &["--health-cmd", "true", "--health-interval", "1us"],
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (&["--health-timeout", "5"], "--health-timeout"),
        (&["--health-timeout", "-5s"], "not negative"),
        (
            &["--health-cmd", "true", "--health-timeout", "1ns"],
            "Timeout in Healthcheck cannot be less than 1ms",
        ),
        (&["--health-cmd", "true", "--health-start-period", "1us"], "StartPeriod in Healthcheck"),
        (&["--health-start-period", "x"], "--health-start-period"),
        (&["--health-cmd", "true", "--health-start-interval", "1us"], "StartInterval in Healthcheck"),
        (&["--health-start-interval", "-3m"], "not negative"),
        (&["--health-retries", "-1"], "not negative"),
        (&["--health-retries", "many"], "--health-retries"),
        (&["--health-retries", "99999999999"], "--health-retries"),
        (&["--health-on-failure", "panic"], "--health-on-failure"),
        (&["--health-on-failure", "kill"], "needs a healthcheck"),
        (&["--no-healthcheck", "--health-cmd", "true"], "--no-healthcheck conflicts with --health-* options"),
        (
            &["--no-healthcheck", "--health-retries", "2"],
            "--no-healthcheck conflicts with --health-* options",
        ),
        (
            &["--no-healthcheck", "--health-on-failure", "stop"],
            "--no-healthcheck conflicts with --health-* options",
        ),
    ] {
        let outcome = knarr.call([&["run"], flags, &[NAME, "true"]].concat()).exits_with(125);
        assert!(outcome.stderr.contains(words), "{flags:?}: {outcome}");
    }
    let outcome = knarr.call(["ps", "--filter", "health=fine"]);
    assert!(outcome.code() != 0 && outcome.stderr.contains("health"), "{outcome}");
    assert_eq!(knarr.say(["ps", "-aq"]), "", "nothing was made");
}
