//! `ps`, `events`, `pause`, `resume` and `kill`: what is known of a container through its cgroups, beside runc.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use knarr_tests::process::{self, Background};
use knarr_tests::{Bundle, Runtime, Scratch, eventually, require};
use serde_json::{Value, json};

const DEADLINE: Duration = process::DEADLINE;

#[test]
fn ps_shows_the_containers_processes_and_no_others() {
    require!(root, tool("ps"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let container =
        runtime.run_detached(&Bundle::busybox(&scratch, "web").script("sleep 61 & exec sleep 62"));
    let pids = eventually(DEADLINE, || {
        let listed = runtime.call(["ps", "--format", "json", "web"]).success().stdout;
        let pids: Vec<i32> = serde_json::from_str(&listed).expect("a list of pids");
        (pids.len() == 2).then_some(pids)
    });
    assert!(pids.contains(&container.pid()));
    let table = runtime.call(["ps", "web"]).success().stdout;
    assert!(table.starts_with("UID "), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("sleep 61") && table.contains("sleep 62"), "{table}");
    let other = runtime.call(["ps", "web", "-e", "-x"]).success().stdout;
    assert!(other.contains("PID TTY") && other.lines().count() == 3, "{other}");
    let outcome = runtime.call(["ps", "web", "--no-such-option"]).exits_with(1);
    assert!(outcome.stderr.contains("ps failed"), "{outcome}");
}

#[test]
fn ps_of_a_stopped_container_is_empty() {
    require!(root, tool("ps"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let container = runtime.run_detached(&Bundle::busybox(&scratch, "web").args(["sleep", "60"]));
    container.kill("KILL").success();
    eventually(DEADLINE, || (container.status() == "stopped").then_some(()));
    assert_eq!(runtime.call(["ps", "-f", "json", "web"]).success().stdout, "[]\n");
    assert_eq!(runtime.call(["ps", "web"]).success().stdout.lines().count(), 1);
}

/// The paths of all fields, lists as one.
fn fields(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| fields(value, &format!("{at}.{key}"), found));
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, at, found)),
        _ => drop(found.insert(at.to_owned())),
    }
}

#[test]
fn statistics_have_the_fields_of_runc() {
    require!(root, tool("runc"), cgroup1);
    let scratch = Scratch::new();
    let bundle =
        Bundle::busybox(&scratch, "ours").script("echo x >/dev/shm/x; exec sleep 60").edit(|config| {
            config["linux"]["resources"]["cpu"] = json!({ "quota": 50_000, "period": 100_000 });
            config["linux"]["resources"]["memory"] = json!({ "limit": 33_554_432 });
            config["linux"]["resources"]["pids"] = json!({ "limit": 9 });
        });
    let theirs = bundle.another(&scratch, "theirs");
    let (runtime, runc) = (Runtime::new(&scratch), Runtime::other(&scratch, "runc"));
    let _ours = runtime.run_detached(&bundle);
    let _theirs = runc.run_detached(&theirs);
    // The kernel counts the page of /dev/shm/x once it is written, and tells of few pages only every other second.
    let stats = |runtime: &Runtime<'_>, id: &str| {
        eventually(DEADLINE, || {
            let line = runtime.call(["events", "--stats", id]).success().stdout;
            let found: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            found["data"]["memory"]["cache"].is_u64().then_some(found)
        })
    };
    let (found, expected) = (stats(&runtime, "ours"), stats(&runc, "theirs"));
    assert_eq!((&found["type"], &found["id"]), (&json!("stats"), &json!("ours")));
    let (mut ours, mut runcs) = (BTreeSet::new(), BTreeSet::new());
    fields(&found["data"], "", &mut ours);
    fields(&expected["data"], "", &mut runcs);
    // Counts that happen to be zero are left out by both, and Debian's runc knows no pressure.
    let varies = |field: &&String| {
        [".blkio", ".cpu.throttling", ".memory.kernel", ".cpu.usage.percpu"]
            .iter()
            .any(|part| field.starts_with(part))
    };
    let missing: Vec<_> = runcs.difference(&ours).filter(|field| !varies(field)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let more: Vec<_> =
        ours.difference(&runcs).filter(|field| !varies(field) && !field.contains(".psi.")).collect();
    assert!(more.is_empty(), "{more:?}");
    assert_eq!(found["data"]["memory"]["usage"]["limit"], 33_554_432);
    assert_eq!(found["data"]["pids"], json!({ "current": 1, "limit": 9 }));
    assert_eq!(found["data"]["cpuset"], expected["data"]["cpuset"]);
    assert!(found["data"]["cpu"]["usage"]["total"].as_u64().expect("a number") > 0);
}

#[test]
fn events_tell_statistics_and_oom_and_end_with_the_container() {
    require!(root, cgroup("memory"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "web").args(["sleep", "60"]).edit(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 16_777_216, "swap": 16_777_216 });
    });
    let container = runtime.run_detached(&bundle);
    let log = scratch.join("events.log");
    let mut events = Background::start(&mut runtime.command(["events", "--interval", "50ms", "web"]), &log);
    let told = |kind: &str| {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(&format!("{{\"type\":\"{kind}\",\"id\":\"web\""))).count()
    };
    eventually(DEADLINE, || (told("stats") >= 2).then_some(()));
    assert_eq!(told("oom"), 0);
    container.exec(["sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1"]);
    eventually(DEADLINE, || (told("oom") > 0).then_some(()));
    assert!(fs::read_to_string(&log).expect("a log").contains("{\"type\":\"oom\",\"id\":\"web\"}\n"));
    container.kill("KILL").success();
    eventually(DEADLINE, || (!events.is_running()).then_some(()));
    let outcome = runtime.call(["events", "--stats", "web"]).exits_with(1);
    assert!(outcome.stderr.contains("container with id web is not running"), "{outcome}");
}

#[test]
fn an_interval_that_is_none_is_refused() {
    require!(root);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let _container = runtime.run_detached(&Bundle::busybox(&scratch, "web").args(["sleep", "60"]));
    for (interval, words) in
        [("0s", "duration interval must be greater than 0"), ("soon", "for flag -interval: parse error")]
    {
        let outcome = runtime.call(["events", "--interval", interval, "web"]).exits_with(1);
        assert!(outcome.stderr.contains(words), "{outcome}");
    }
}

/// On the hybrid layout, and where v2 is all there is.
#[test]
fn a_paused_container_stands_still_and_can_be_killed() {
    require!(root, cgroup1);
    for on_v2 in [false, true] {
        let scratch = Scratch::new();
        let runtime = Runtime::new(&scratch);
        let count = scratch.directory("shared");
        let bundle = Bundle::busybox(&scratch, "web")
            .script("i=0; while :; do i=$((i+1)); echo $i >/shared/count; done")
            .edit(|config| {
                let bind = json!({ "destination": "/shared", "source": count, "type": "bind", "options": ["bind", "rw"] });
                config["mounts"].as_array_mut().expect("mounts").push(bind);
            });
        let call = |args: &[&str]| {
            let mut command =
                if on_v2 { scratch.on_v2(runtime.program()) } else { scratch.command(runtime.program()) };
            process::run(command.arg("--root").arg(runtime.root()).args(args).stdin(Stdio::null()))
        };
        let path = bundle.path().display().to_string();
        call(&["run", "--detach", "--bundle", &path, "web"]).success();
        let counted = || fs::read_to_string(count.join("count")).unwrap_or_default();
        eventually(DEADLINE, || (!counted().is_empty()).then_some(()));
        call(&["pause", "web"]).success();
        let state: Value = serde_json::from_str(&call(&["state", "web"]).success().stdout).expect("JSON");
        assert_eq!(state["status"], "paused");
        let (before, begun) = (counted(), std::time::Instant::now());
        while begun.elapsed() < Duration::from_millis(50) {
            assert_eq!(counted(), before, "on v2: {on_v2}");
        }
        call(&["resume", "web"]).success();
        eventually(DEADLINE, || (counted() != before && !counted().is_empty()).then_some(()));
        call(&["pause", "web"]).success();
        call(&["kill", "--all", "web", "KILL"]).success();
        call(&["delete", "--force", "web"]).success();
        scratch.assert_nothing_left();
    }
}

/// Without a pid namespace nothing ends by itself when the first process does.
#[test]
fn kill_all_ends_what_the_first_process_left() {
    require!(root);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle =
        Bundle::busybox(&scratch, "web").script("sleep 63 & sleep 64 & exec sleep 65").edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
            namespaces.retain(|namespace| namespace["type"] != "pid");
        });
    let container = runtime.run_detached(&bundle);
    let pids = || -> Vec<i32> {
        serde_json::from_str(&runtime.call(["ps", "-f", "json", "web"]).success().stdout).expect("pids")
    };
    eventually(DEADLINE, || (pids().len() == 3).then_some(()));
    runtime.call(["kill", "--all", "web", "TERM"]).success();
    eventually(DEADLINE, || pids().is_empty().then_some(()));
    container.delete().success();
}
