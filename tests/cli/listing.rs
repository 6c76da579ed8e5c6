//! ps, inspect, events, info and version: docker's shapes, for people and for programs.

use knarr_tests::process::DEADLINE;
use knarr_tests::{Daemon, Scratch, eventually, require};

use crate::busybox::{self, NAME};

#[test]
fn ps_shows_what_docker_shows() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.call(["run", "--name", "old", "-l", "kind=x", NAME, "sh", "-c", "exit 3"]).exits_with(3);
    let id = knarr.say(["run", "-d", "--name", "new", NAME, "sleep", "600"]);
    let table = knarr.say(["ps", "-a"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    );
    assert!(
        lines[1].starts_with(&id[..12]) && lines[1].contains("\"sleep 600\"") && lines[1].contains("Up ")
    );
    assert!(lines[2].contains("Exited (3)") && lines[2].ends_with("old"), "{table}");
    let names = |args: &[&str]| knarr.say([&["ps", "--format", "{{.Names}}"], args].concat());
    assert_eq!(names(&[]), "new");
    assert_eq!(names(&["-a", "-n", "1"]), "new");
    assert_eq!(names(&["-l"]), "new");
    assert_eq!(names(&["-f", "status=exited"]), "old");
    assert_eq!(names(&["-a", "-f", "label=kind"]), "old");
    assert_eq!(names(&["-a", "-f", "name=ol", "-f", "exited=3"]), "old");
    assert_eq!(knarr.say(["ps", "-q"]), id[..12]);
    assert_eq!(knarr.say(["ps", "-q", "--no-trunc"]), id);
    let row = knarr.json(["ps", "--format", "json"]);
    assert_eq!(
        (&row["State"], &row["Image"], &row["Names"]),
        (&"running".into(), &NAME.into(), &"new".into())
    );
    let bad = knarr.call(["ps", "-f", "colour=red"]).exits_with(1);
    assert!(bad.stderr.contains("colour"), "{bad}");
    let bad = knarr.call(["ps", "--format", "{{.Name}}"]).exits_with(1);
    assert!(bad.stderr.contains("no field .Name"), "{bad}");
}

#[test]
fn inspect_shows_an_array_as_dockers() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let id = knarr.say(["run", "-d", "--name", "web", "-e", "A=1", "-v", "/tmp:/t:ro", NAME, "sleep", "600"]);
    let all = knarr.json(["inspect", "web"]);
    let web = &all[0];
    assert_eq!(all.as_array().map(Vec::len), Some(1));
    assert_eq!(web["Id"], id);
    assert_eq!(web["Name"], "/web");
    assert_eq!(web["State"]["Status"], "running");
    let pid = web["State"]["Pid"].as_u64().expect("a pid");
    // The runtime's start returns before the program is executed.
    let command = || std::fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
    eventually(DEADLINE, || (command() == b"sleep\x00600\x00").then_some(()));
    assert_eq!(web["Config"]["Image"], NAME);
    assert_eq!(web["HostConfig"]["Binds"][0], "/tmp:/t:ro");
    assert_eq!(web["Mounts"][0]["RW"], false);
    assert!(knarr.say(["inspect", "web"]).starts_with("[\n    {\n        \"Id\": \""));
    let both = knarr.json(["inspect", "web", NAME]);
    assert_eq!(both[0]["Image"], both[1]["Id"]);
    assert_eq!(knarr.say(["inspect", "-f", "{{.Name}} {{.State.Running}}", "web"]), "/web true");
    let missing = knarr.call(["inspect", "nobody", "web"]).exits_with(1);
    assert_eq!(missing.stderr, "knarr: no such object: nobody\n");
    assert!(missing.stdout.contains(&id), "the other is shown: {missing}");
    knarr.call(["inspect", "--type", "image", "web"]).exits_with(1);
    knarr.call(["image", "inspect", "web"]).exits_with(1);
    knarr.call(["container", "inspect", NAME]).exits_with(1);
}

#[test]
fn events_tell_the_life_of_a_container() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let mut command = knarr.command(["events", "--filter", "container=web", "--format", "{{.Action}}"]);
    let _live = knarr_tests::Background::start(&mut command, &scratch.join("events"));
    let live = || std::fs::read_to_string(scratch.join("events")).unwrap_or_default();
    // Only what happens after it has subscribed is told: it has when it hears of one that comes and goes.
    eventually(DEADLINE, || {
        knarr.say(["create", "--name", "web", NAME]);
        knarr.say(["rm", "web"]);
        live().contains("destroy\n").then_some(())
    });
    knarr.call(["run", "--rm", "--name", "web", NAME, "sh", "-c", "exit 2"]).exits_with(2);
    let past = ["events", "--since", "1h", "--until", "0s", "--filter", "container=web"];
    let lines = knarr.say(past);
    let actions = knarr.say([&past[..], &["--format", "{{.Action}}"]].concat());
    for action in ["create", "start", "attach", "die", "destroy"] {
        assert!(actions.lines().any(|line| line == action), "{action} is missing: {actions}");
        eventually(DEADLINE, || live().lines().any(|line| line == action).then_some(()));
    }
    let die = lines.lines().find(|line| line.contains(" container die ")).expect("it died");
    assert!(
        die.contains("exitCode=2") && die.contains("name=web") && die.contains(&format!("image={NAME}")),
        "{die}"
    );
    let json = knarr.say([&past[..], &["--format", "json"]].concat());
    for line in json.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["Actor"]["Attributes"]["name"], "web", "{line}");
    }
}

#[test]
fn info_and_version_say_what_there_is() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say(["run", "-d", NAME, "sleep", "600"]);
    knarr.say(["create", NAME]);
    let info = knarr.json(["info", "--format", "json"]);
    assert_eq!(
        (&info["Containers"], &info["ContainersRunning"], &info["Images"]),
        (&2.into(), &1.into(), &1.into())
    );
    let text = knarr.say(["system", "info"]);
    assert!(text.contains("\n Containers: 2\n  Running: 1\n"), "{text}");
    let version = knarr.say(["version", "--format", "{{.Client.Version}} {{.Server.Version}}"]);
    assert_eq!(version, format!("{0} {0}", env!("CARGO_PKG_VERSION")));
    let text = knarr.say(["version"]);
    assert!(text.contains("Client: knarr\n") && text.contains("\nServer: knarrd\n"), "{text}");
}
