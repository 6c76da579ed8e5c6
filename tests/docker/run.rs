//! Containers through docker's CLI, from run to rm.

use std::time::SystemTime;

use knarr_tests::{Scratch, require};

use crate::engine::{Engine, IMAGE};

/// The last line of what a program says on stderr without the warning about networks.
fn said(stderr: &str) -> String {
    let lines = stderr.lines().filter(|line| !line.starts_with("WARNING:"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn run_passes_on_output_and_exit_code() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let run =
        engine.docker(["run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3"]).exits_with(3);
    assert_eq!((run.stdout.as_str(), said(&run.stderr).as_str()), ("out\n", "err"));
    assert_eq!(engine.say(["ps", "--all", "--quiet"]), "", "--rm has removed it");
    let missing = engine.docker(["run", "--rm", IMAGE, "/nope"]).exits_with(127);
    assert!(missing.stderr.contains("no such file or directory"), "{missing}");
    engine.docker(["run", "--rm", IMAGE, "/etc"]).exits_with(126);
    let no_image = engine.docker(["run", "--pull", "never", "nowhere:1"]).exits_with(125);
    assert!(no_image.stderr.contains("No such image: nowhere:1"), "{no_image}");
}

#[test]
fn input_goes_in_and_its_end_ends_the_container() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let input: Vec<u8> = (0..200_000_u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let mut command =
        engine.command(["run", "--rm", "--interactive", IMAGE, "sh", "-c", "cat; echo end >&2"]);
    let run = knarr_tests::process::run_with_input(&mut command, &input).success();
    assert_eq!(run.stdout.as_bytes(), input);
    assert!(run.stderr.ends_with("end\n"), "{}", run.stderr);
}

#[test]
fn a_detached_container_is_listed_asked_stopped_and_removed() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let id =
        engine.say(["run", "--detach", "--name", "web", "--label", "tier=front", IMAGE, "sh", "-c", script]);
    assert_eq!(id.len(), 64);
    let mut follow = engine.command(["logs", "--follow", "web"]);
    let mut follow = knarr_tests::Background::start(&mut follow, &scratch.join("followed"));
    knarr_tests::eventually(std::time::Duration::from_secs(30), || {
        let followed = std::fs::read_to_string(scratch.join("followed")).unwrap_or_default();
        (followed == "ready\n").then_some(())
    });
    let listed =
        |filter: &str| engine.say(["ps", "--filter", filter, "--format", "{{.Names}} {{.State}} {{.Image}}"]);
    assert_eq!(listed("label=tier=front"), "web running busybox:1");
    assert_eq!(listed("name=web"), "web running busybox:1");
    assert_eq!(listed("label=tier=back"), "");
    assert!(engine.say(["ps", "--format", "{{.Status}}"]).starts_with("Up "));
    let exec = engine.docker(["exec", "--env", "A=1", "web", "sh", "-c", "echo $A; exit 4"]).exits_with(4);
    assert_eq!(exec.stdout, "1\n");
    let refused = engine.docker(["rm", "web"]).exits_with(1);
    assert!(refused.stderr.contains("container is running"), "{refused}");
    engine.docker(["kill", "--signal", "CONT", "web"]).success();
    engine.docker(["pause", "web"]).success();
    assert_eq!(engine.say(["ps", "--format", "{{.State}}"]), "paused");
    engine.docker(["unpause", "web"]).success();
    engine.docker(["rename", "web", "www"]).success();
    assert!(engine.say(["top", "www"]).contains("trap 'exit 7' TERM"));
    engine.docker(["rename", "www", "web"]).success();
    assert_eq!(engine.say(["stop", "web"]), "web");
    assert_eq!(engine.say(["wait", "web"]), "7");
    assert!(
        knarr_tests::process::wait_for_pid(follow.pid(), std::time::Duration::from_secs(30)),
        "logs end with it"
    );
    assert!(!follow.is_running());
    assert_eq!(
        engine.say(["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "web"]),
        "exited 7"
    );
    engine.docker(["start", "web"]).success();
    engine.docker(["restart", "--timeout", "5", "web"]).success();
    assert_eq!(engine.say(["rm", "--force", "web"]), "web");
    let gone = engine.docker(["inspect", "web"]).exits_with(1);
    assert!(
        gone.stderr.contains("no such object: web") || gone.stderr.contains("No such object: web"),
        "{gone}"
    );
}

#[test]
fn what_has_happened_is_told_in_docker_s_order() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    engine.docker(["run", "--rm", "--name", "it", IMAGE, "true"]).success();
    // Docker's CLI leaves out fractions of a second.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let until = (now.as_secs() + 1).to_string();
    let format = "{{.Action}} {{.Actor.Attributes.name}}";
    let told = engine.say([
        "events",
        "--since",
        "1",
        "--until",
        &until,
        "--filter",
        "type=container",
        "--format",
        format,
    ]);
    assert_eq!(told, "create it\nattach it\nstart it\ndie it\ndestroy it");
}

#[test]
fn logs_have_times_streams_and_a_tail() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let script = "for n in 1 2 3; do echo out $n; done; echo err >&2";
    engine.docker(["run", "--name", "it", IMAGE, "sh", "-c", script]).success();
    let logs = engine.docker(["logs", "it"]).success();
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("out 1\nout 2\nout 3\n", "err\n"));
    let tail = engine.docker(["logs", "--tail", "2", "--timestamps", "it"]).success();
    let line = tail.stdout.lines().next().expect("a line");
    assert!(
        line.len() == "2026-11-23T10:00:00.123456789Z out 3".len() && line.ends_with("Z out 3"),
        "{line}"
    );
    assert_eq!(engine.docker(["logs", "--since", "1h", "--until", "1h", "it"]).success().stdout, "");
    assert_eq!(
        engine.docker(["logs", "--until", "2099-01-01T00:00:00", "it"]).success().stdout.lines().count(),
        3
    );
    assert_eq!(engine.say(["container", "prune", "--force"]).lines().count(), 4);
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    for (flags, word) in [
        (vec!["--network", "nowhere"], "network nowhere not found"),
        (vec!["--restart", "sometimes"], "unknown policy 'sometimes'"),
        (vec!["--storage-opt", "size=1g"], "HostConfig.StorageOpt is not supported yet"),
        (vec!["--log-driver", "syslog"], "HostConfig.LogConfig.Type \"syslog\" is not supported yet"),
    ] {
        let refused = engine.docker([&["run"][..], &flags, &[IMAGE, "true"]].concat()).exits_with(125);
        assert!(refused.stderr.contains(word), "{refused}");
    }
    assert_eq!(engine.say(["ps", "--all", "--quiet"]), "");
    engine.docker(["create", "--name", "it", IMAGE]).success();
    let taken = engine.docker(["create", "--name", "it", IMAGE]).exits_with(1);
    assert!(taken.stderr.contains("Conflict. The container name \"/it\" is already in use"), "{taken}");
}

#[test]
fn what_a_container_uses_and_has_changed_is_told() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let script = "echo x >/new; rm /bin/true; while :; do :; done";
    engine.say(["run", "--detach", "--name", "web", "--memory", "64m", IMAGE, "sh", "-c", script]);
    knarr_tests::eventually(std::time::Duration::from_secs(30), || {
        let changes = engine.say(["diff", "web"]);
        ["A /new", "C /bin", "D /bin/true"]
            .iter()
            .all(|line| changes.lines().any(|told| told == *line))
            .then_some(())
    });
    let shown = engine.say([
        "stats",
        "--no-stream",
        "--format",
        "{{.Name}} {{.MemUsage}} {{.PIDs}} {{.CPUPerc}}",
        "web",
    ]);
    assert!(
        shown.starts_with("web ") && shown.contains(" / 64MiB 1 ") && !shown.ends_with(" 0.00%"),
        "{shown}"
    );
    assert_eq!(engine.say(["update", "--pids-limit", "33", "web"]), "web");
    assert_eq!(
        engine.say(["inspect", "--format", "{{.HostConfig.PidsLimit}} {{.HostConfig.Memory}}", "web"]),
        "33 67108864"
    );
    engine.say(["rm", "--force", "web"]);
}
