//! `hooks`: all six kinds, their order, where they run, what they are told, and what their failure does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use knarr_tests::{Bundle, Runtime, Scratch, eventually, require};
use serde_json::{Value, json};

use crate::{differs, refusal};

const SECONDS: Duration = Duration::from_secs(10);

/// A hook that is a line of shell.
fn shell(line: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", line], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] })
}

fn wait_for(path: &Path, text: &str) -> String {
    eventually(SECONDS, || fs::read_to_string(path).ok().filter(|read| read.contains(text)))
}

/// A container that sleeps after it wrote `process` into /log.
fn logging(scratch: &Scratch) -> Bundle {
    Bundle::busybox(scratch, "one").script("echo process >>/log; exec sleep 60")
}

#[test]
fn hooks_are_called_in_the_order_of_their_kinds_and_lists() {
    require!(root, tool("busybox"));
    // runtime-spec, "Poststart": "after the user-specified process is executed but before the start operation returns".
    differs!("runc-head" => "1.5 calls poststart before startContainer",
        "runc" => "1.1.5 calls poststart at the end of create",
        "crun" => "1.8.1 does not wait for startContainer before poststart",
    );
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = logging(&scratch);
    let log = bundle.rootfs().join("log");
    let on_host = |name: &str| shell(&format!("cat >/dev/null; echo {name} >>{}", log.display()));
    let bundle = bundle.edit(|config| {
        config["hooks"] = json!({
            "poststop": [on_host("poststop-1"), on_host("poststop-2")],
            "poststart": [on_host("poststart")],
            "startContainer": [shell("sleep 0.3; echo startContainer >>/log")],
            "createContainer": [on_host("createContainer")],
            "createRuntime": [on_host("createRuntime-1"), on_host("createRuntime-2")],
            "prestart": [on_host("prestart")],
        });
    });
    let container = runtime.create(&bundle);
    let created = "prestart\ncreateRuntime-1\ncreateRuntime-2\ncreateContainer\n";
    assert_eq!(fs::read_to_string(&log).expect("the log"), created);
    container.start().success();
    wait_for(&log, "poststart");
    let started = wait_for(&log, "process");
    let rest: Vec<&str> = started.strip_prefix(created).expect("it goes on").lines().collect();
    assert_eq!(rest[0], "startContainer");
    container.kill("KILL").success();
    eventually(SECONDS, || (container.status() == "stopped").then_some(()));
    container.delete().success();
    let all = fs::read_to_string(&log).expect("the log");
    assert!(all.ends_with("poststop-1\npoststop-2\n"), "{all}");
}

#[test]
fn each_hook_is_told_the_state() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 tells startContainer the bundle /");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let told = |kind: &str| scratch.join(kind);
    let bundle = logging(&scratch);
    let bundle = bundle.edit(|config| {
        let mut hooks = json!({});
        for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
            hooks[kind] = json!([shell(&format!("cat >{}", told(kind).display()))]);
        }
        hooks["startContainer"] = json!([shell("cat >/startContainer")]);
        config["hooks"] = hooks;
        config["annotations"] = json!({ "org.example.a": "b" });
    });
    let container = runtime.run_detached(&bundle);
    let pid = i64::from(container.pid());
    container.kill("KILL").success();
    eventually(SECONDS, || (container.status() == "stopped").then_some(()));
    container.delete().success();
    let read = |path: &Path| -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("it was told")).expect("the state is JSON")
    };
    let states = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
        .map(|kind| (kind, if kind == "startContainer" { bundle.rootfs().join(kind) } else { told(kind) }));
    for (kind, path) in states {
        let state = read(&path);
        assert_eq!(state["id"], "one", "{kind}: {state}");
        assert_eq!(state["bundle"], json!(bundle.path()), "{kind}: {state}");
        assert_eq!(state["annotations"]["org.example.a"], "b", "{kind}: {state}");
        assert!(state["ociVersion"].is_string(), "{kind}: {state}");
        let wanted = match kind {
            "startContainer" => "created",
            "poststart" => "running",
            "poststop" => "stopped",
            _ => "creating",
        };
        let others = crate::is("runc") || crate::is("crun");
        assert!(state["status"] == wanted || others, "{kind}: {state}");
        if ["prestart", "createRuntime", "poststart"].contains(&kind) {
            assert_eq!(state["pid"], pid, "{kind}: {state}");
        }
    }
}

#[test]
fn each_hook_runs_in_the_namespaces_of_its_kind() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = logging(&scratch);
    let look = "cat /proc/sys/kernel/hostname; readlink /proc/self/ns/mnt";
    let seen = |kind: &str| scratch.join(kind);
    let bundle = bundle.edit(|config| {
        let mut hooks = json!({});
        for kind in ["createRuntime", "createContainer", "poststart"] {
            hooks[kind] =
                json!([shell(&format!("({look}; readlink /proc/self/ns/uts) >{}", seen(kind).display()))]);
        }
        hooks["startContainer"] =
            json!([shell(&format!("({look}; ls /) >/begun; mv /begun /startContainer"))]);
        config["hooks"] = hooks;
    });
    let container = runtime.run_detached(&bundle);
    let namespace = |process: &str, kind: &str| {
        fs::read_link(format!("/proc/{process}/ns/{kind}")).expect("a namespace").display().to_string()
    };
    let text = |kind: &str| fs::read_to_string(seen(kind)).expect("it ran");
    let pid = container.pid().to_string();
    for kind in ["createRuntime", "poststart"] {
        assert!(text(kind).ends_with(&format!("{}\n", namespace("self", "uts"))), "{kind}: {}", text(kind));
    }
    // crun 1.8.1 sees to its mount namespace only later, but it is the container's.
    assert!(text("createContainer").contains(&namespace(&pid, "uts")), "{}", text("createContainer"));
    assert!(text("createContainer").contains(&namespace(&pid, "mnt")), "{}", text("createContainer"));
    // runc 1.5 does not wait for it (see the test of their order).
    let inside = eventually(SECONDS, || fs::read_to_string(bundle.rootfs().join("startContainer")).ok());
    assert!(inside.starts_with(&format!("knarr\n{}\n", namespace(&pid, "mnt"))), "{inside}");
    assert!(
        inside.lines().any(|name| name == "bin") && !inside.lines().any(|name| name == "boot"),
        "{inside}"
    );
}

#[test]
fn arguments_and_environment_are_the_given_ones_alone() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let out = scratch.join("out");
    let bundle = Bundle::busybox(&scratch, "one").edit(|config| {
        let line = format!(
            "(echo $0; for a; do echo \"<$a>\"; done; cat /proc/self/environ | tr '\\0' '\\n') >{}",
            out.display()
        );
        let args = ["own name", "-c", &line, "zero", "a b", ""];
        config["hooks"]["createRuntime"] =
            json!([{ "path": "/bin/sh", "args": args, "env": ["ONE=1", "TWO=a=b"] }]);
    });
    Runtime::new(&scratch).run(&bundle).success();
    let seen = fs::read_to_string(&out).expect("it ran");
    let (arguments, environment) = seen.split_once("<>\n").expect("the last argument is empty");
    assert_eq!(arguments, "zero\n<a b>\n");
    let mut environment: Vec<&str> = environment.lines().filter(|line| !line.starts_with("PWD=")).collect();
    environment.sort_unstable();
    assert_eq!(environment, ["ONE=1", "TWO=a=b"], "{seen}");
}

#[test]
fn a_hook_that_fails_ends_the_creation_and_its_words_are_told() {
    require!(root, tool("busybox"));
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let said = refusal(|config| config["hooks"][kind] = json!([shell("echo so sorry >&2; exit 7")]));
        assert!(crate::is("crun") || said.contains("so sorry"), "{kind}: {said}");
    }
    let said = refusal(|config| config["hooks"]["startContainer"] = json!([shell("exit 7")]));
    assert!(!said.is_empty());
    let missing = refusal(|config| config["hooks"]["createRuntime"] = json!([{ "path": "/nowhere/hook" }]));
    assert!(missing.contains("/nowhere/hook"), "{missing}");
}

/// runtime-spec, "Lifecycle": what fails ends with the container destroyed and its poststop hooks called. As runc does,
/// also where something else than a hook fails, from when the container has a state.
#[test]
fn poststop_hooks_are_called_when_a_creation_fails() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 calls none when a hook fails");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let told = scratch.join("told");
    let plain = Bundle::busybox(&scratch, "plain").edit(|config| {
        let line = format!("cat >>{}; echo >>{}; exit 3", told.display(), told.display());
        config["hooks"]["poststop"] = json!([shell(&line), shell(&line)]);
    });
    let failing = |name: &str, change: &dyn Fn(&mut Value)| plain.another(&scratch, name).edit(change);
    let mut cases: Vec<Bundle> =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]
            .iter()
            .map(|kind| failing(kind, &|config| config["hooks"][kind] = json!([shell("exit 7")])))
            .collect();
    cases.push(failing("program", &|config| config["process"]["args"] = json!(["/nowhere"])));
    cases.push(failing("mount", &|config| {
        let mount =
            json!({ "destination": "/tmp", "type": "bind", "source": "/nowhere", "options": ["bind"] });
        config["mounts"].as_array_mut().expect("a list").push(mount);
    }));
    for bundle in cases {
        let failed = runtime.run(&bundle);
        assert!(!failed.status.success(), "{failed}");
        let told = fs::read_to_string(&told).map(|text| fs::remove_file(&told).map(|()| text));
        let told = told.expect("poststop hooks were called").expect("a file");
        let states: Vec<Value> =
            told.lines().map(|line| serde_json::from_str(line).expect("the state is JSON")).collect();
        // A failed poststop hook ends runc's row, and ours goes on.
        assert!(states.len() == 2 || crate::is("runc") || crate::is("runc-head"), "{failed}: {told}");
        assert_eq!(states[0]["status"], "stopped", "{failed}");
        assert_eq!(states[0]["id"], bundle.id(), "{failed}");
        assert!(failed.stderr.contains("exit status 3"), "the hooks' failure is told: {failed}");
        assert!(runtime.state(bundle.id()).is_none(), "{failed}");
    }
    // What never was a container has none.
    let refused = failing("refused", &|config| config["process"]["cwd"] = json!("relative"));
    assert!(!runtime.run(&refused).status.success() && !told.exists());
}

#[test]
fn a_hook_that_takes_longer_than_its_timeout_is_killed() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one").edit(|config| {
        let mut hook = shell("exec sleep 3600");
        hook["timeout"] = json!(1);
        config["hooks"]["createRuntime"] = json!([hook]);
    });
    let outcome = Runtime::new(&scratch).run(&bundle);
    assert!(!outcome.status.success(), "{outcome}");
    assert!(outcome.elapsed >= Duration::from_secs(1), "{outcome}");
    scratch.assert_nothing_left();
}

#[test]
fn a_poststart_hook_that_fails_ends_the_container() {
    require!(root, tool("busybox"));
    // runtime-spec, "Lifecycle": poststart "the runtime MUST generate an error, stop the container"; in earlier
    // versions a warning was enough.
    differs!("runc" => "1.1.5 calls poststart at the end of create", "crun" => "1.8.1 ignores the failure");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let later = scratch.join("later");
    let bundle = logging(&scratch).edit(|config| {
        config["hooks"]["poststart"] = json!([shell("exit 3"), shell(&format!("touch {}", later.display()))]);
    });
    let container = runtime.create(&bundle);
    let started = container.start();
    assert!(!started.status.success(), "{started}");
    assert!(started.stderr.contains("error running poststart hook #0"), "{started}");
    eventually(SECONDS, || (container.status() == "stopped").then_some(()));
    assert!(!later.exists(), "the hook after the failed one was called");
    container.delete().success();
    let run = runtime.run(&bundle);
    assert!(!run.status.success(), "{run}");
    assert!(run.stderr.contains("error running poststart hook #0"), "{run}");
    scratch.assert_nothing_left();
}

/// runtime.md, Lifecycle: "If any `poststop` hook fails, the runtime MUST log a warning, but the remaining hooks and
/// lifecycle continue as if the hook had succeeded."
#[test]
fn a_poststop_hook_that_fails_is_only_warned_about() {
    require!(root, tool("busybox"));
    differs!(
        "runc" => "1.1.5 ends with the first that fails",
        "runc-head" => "1.5 ends with the first that fails",
        "crun" => "1.8.1 says nothing",
    );
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let done = scratch.join("done");
    let bundle = logging(&scratch).edit(|config| {
        config["hooks"]["poststop"] = json!([shell("exit 4"), shell(&format!("touch {}", done.display()))]);
    });
    let container = runtime.run_detached(&bundle);
    container.kill("KILL").success();
    eventually(SECONDS, || (container.status() == "stopped").then_some(()));
    let deleted = container.delete().success();
    assert!(deleted.stderr.contains("error running poststop hook #0: exit status 4"), "{deleted}");
    assert!(done.exists(), "the later hook ran");
}

/// config.md, POSIX-platform Hooks: "`path` MUST be absolute", and `timeout` "MUST be greater than zero".
#[test]
fn hooks_that_can_never_run_are_refused_by_place() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 finds out when it calls them", "runc" => "1.1.5 finds out when it calls them", "crun" => "1.8.1 finds out when it calls them");
    for (kind, hook, named) in [
        ("poststop", json!({ "path": "bin/sh" }), "hooks.poststop[1].path"),
        ("startContainer", json!({ "path": "/bin/sh", "timeout": 0 }), "hooks.startContainer[1].timeout"),
        ("prestart", json!({ "path": "/bin/sh", "timeout": -5 }), "hooks.prestart[1].timeout"),
        ("poststart", json!({ "path": "/bin/sh", "env": ["NOTHING"] }), "hooks.poststart[1].env"),
        ("createRuntime", json!({ "args": ["sh"] }), "hooks.createRuntime[1]"),
    ] {
        let said = refusal(|config| config["hooks"][kind] = json!([{ "path": "/bin/true" }, hook]));
        assert!(said.contains(named), "{named}: {said}");
    }
}

/// The container's mounts are there by then: a hook that looks into its directory by a relative path sees them, and
/// what it makes below them does not land in the bundle.
#[test]
fn a_create_container_hook_begins_in_the_built_root() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 calls it in the bundle");
    for no_pivot in [false, true] {
        let scratch = Scratch::new();
        let runtime = Runtime::new(&scratch);
        let seen = scratch.join("seen");
        let line = format!(
            "(pwd; ls -d ./proc/1 dev/pts proc/self; touch dev/made; cd sys; ls -d kernel) >{} 2>&1",
            seen.display()
        );
        let bundle = Bundle::busybox(&scratch, "one").script("ls /dev/made").edit(|config| {
            config["hooks"]["createContainer"] = json!([shell(&line)]);
        });
        let mut run = runtime.command(["run", "--bundle"]);
        run.arg(bundle.path()).args(no_pivot.then_some("--no-pivot")).arg("one");
        let outcome = runtime.finish(&mut run).success();
        assert_eq!(outcome.stdout, "/dev/made\n", "{outcome}");
        let expected = format!("{}\n./proc/1\ndev/pts\nproc/self\nkernel\n", bundle.rootfs().display());
        assert_eq!(fs::read_to_string(&seen).expect("it ran"), expected);
        assert!(!bundle.rootfs().join("dev/made").exists(), "it landed in the bundle");
    }
}

/// Without `env` a hook has the environment of the runtime, PATH included, as under runc and crun; a list, even an
/// empty one, is all of it. startContainer hooks, which are the container's programs, have the container's; no hook of
/// the host has anything of that (CVE-2025-23266).
#[test]
fn a_hook_without_an_environment_has_the_runtimes() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 gives createContainer hooks the container's environment",
        "runc-head" => "1.5 too", "crun" => "1.8.1 calls startContainer otherwise");
    let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    for (env, of_runtime, of_container, own) in [
        (json!(null), true, true, false),
        (json!([]), false, false, false),
        (json!(["OWN=1", "PATH=/bin"]), false, false, true),
    ] {
        let scratch = Scratch::new();
        let runtime = Runtime::new(&scratch);
        let bundle = Bundle::busybox(&scratch, "one").edit(|config| {
            config["process"]["env"] = json!(["PATH=/bin", "CONTAINERS=1", "LD_PRELOAD=/evil.so"]);
            for kind in kinds {
                let place = if kind == "startContainer" {
                    String::new()
                } else {
                    scratch.path().display().to_string()
                };
                config["hooks"][kind] = json!([shell(&format!("/bin/busybox env >{place}/{kind}"))]);
                config["hooks"][kind][0]["env"] = env.clone();
            }
        });
        let mut run = runtime.verb("run", &bundle);
        runtime.finish(run.env("CALLERS", "1")).success();
        for kind in kinds {
            let path = if kind == "startContainer" { bundle.rootfs().join(kind) } else { scratch.join(kind) };
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{kind}: {error}"));
            let is_inside = kind == "startContainer";
            let has = |name: &str| text.lines().any(|line| line.starts_with(name));
            assert_eq!(has("CALLERS=1"), of_runtime && !is_inside, "{kind} {env}: {text}");
            assert_eq!(has("CONTAINERS=1"), of_container && is_inside, "{kind} {env}: {text}");
            assert_eq!(has("LD_PRELOAD="), of_container && is_inside, "{kind} {env}: {text}");
            assert_eq!(has("OWN=1"), own, "{kind} {env}: {text}");
        }
    }
}
