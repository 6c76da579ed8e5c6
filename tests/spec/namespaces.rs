//! `linux.namespaces`: new, shared with the caller, or joined by path.

use std::collections::BTreeMap;
use std::fs;

use knarr_tests::process::DEADLINE;
use knarr_tests::{Bundle, Runtime, Scratch, eventually, require};
use serde_json::{Value, json};

use crate::{differs, output, refusal};

/// config.json's names with those in /proc/PID/ns.
const KINDS: [(&str, &str); 7] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

const SCRIPT: &str =
    "for kind in pid net mnt ipc uts cgroup time; do echo $kind $(readlink /proc/self/ns/$kind); done";

fn parse(seen: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| line.split_once(' ').map(|(kind, link)| (kind.to_owned(), link.to_owned()));
    seen.lines().filter_map(pair).collect()
}

fn of(process: &str, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{process}/ns/{kind}")).expect("a namespace");
    link.to_str().expect("its name is ASCII").to_owned()
}

fn without_uts_names(config: &mut Value) {
    config.as_object_mut().expect("an object").remove("hostname");
}

#[test]
fn each_namespace_that_is_named_is_new_and_each_other_the_callers() {
    require!(root, tool("busybox"));
    let known = KINDS.iter().filter(|(kind, _)| *kind != "time" || !(crate::is("runc") || crate::is("crun")));
    let known: Vec<&(&str, &str)> = known.collect();
    let all: Vec<Value> = known.iter().map(|(kind, _)| json!({ "type": kind })).collect();
    let all = parse(&output(SCRIPT, |config| config["linux"]["namespaces"] = json!(all)));
    let few = parse(&output(SCRIPT, |config| {
        without_uts_names(config);
        config["linux"]["namespaces"] = json!([{ "type": "mount" }]);
        // The host's mqueue and sysfs cannot be mounted anew everywhere; the network's sysfs is the caller's.
        config["mounts"].as_array_mut().expect("a list").retain(|mount| mount["type"] != "cgroup");
    }));
    for (kind, link) in known {
        assert_ne!(all[*link], of("self", link), "{kind} is new");
        if *kind != "mount" {
            assert_eq!(few[*link], of("self", link), "{kind} is the caller's");
        }
    }
}

#[test]
fn the_first_process_of_a_new_pid_namespace_is_1_and_sees_no_other() {
    require!(root, tool("busybox"));
    assert_eq!(output("echo $$; exec ls -d /proc/[0-9]*", |_| ()), "1\n/proc/1\n");
}

#[test]
fn a_new_network_namespace_has_a_loopback_interface_that_is_up() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 leaves it down");
    let seen = output("ip -o link; ping -c 1 -W 5 127.0.0.1 >/dev/null && echo pong", |_| ());
    assert!(seen.contains("lo: <LOOPBACK,UP") && seen.ends_with("pong\n"), "{seen}");
    assert_eq!(seen.lines().filter(|line| line.contains("link/")).count(), 1, "{seen}");
}

#[test]
fn namespaces_are_joined_by_path() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first").args(["sleep", "60"]);
    let holder = runtime.run_detached(&first);
    let pid = holder.pid().to_string();
    let joined = ["pid", "network", "ipc", "uts"];
    let second = first.another(&scratch, "second").script(SCRIPT).edit(|config| {
        without_uts_names(config);
        let path = |kind: &str| {
            let link = KINDS.iter().find(|(name, _)| *name == kind).expect("known").1;
            format!("/proc/{pid}/ns/{link}")
        };
        let mut namespaces: Vec<Value> =
            joined.iter().map(|kind| json!({ "type": kind, "path": path(kind) })).collect();
        namespaces.push(json!({ "type": "mount" }));
        config["linux"]["namespaces"] = json!(namespaces);
    });
    let seen = parse(&runtime.run(&second).success().stdout);
    for kind in ["pid", "net", "ipc", "uts"] {
        assert_eq!(seen[kind], of(&pid, kind), "{kind}");
    }
    assert_ne!(seen["mnt"], of(&pid, "mnt"));
    assert_eq!(holder.status(), "running", "the end of a guest in its pid namespace is not its own");
}

#[test]
fn a_container_in_anothers_pid_namespace_is_killed_as_a_whole() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first").args(["sleep", "60"]);
    let holder = runtime.run_detached(&first);
    let path = format!("/proc/{}/ns/pid", holder.pid());
    let second = first.another(&scratch, "second").script("sleep 71 & exec sleep 72").edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.iter_mut().find(|namespace| namespace["type"] == "pid").expect("it is there")["path"] =
            json!(path);
    });
    let guest = runtime.run_detached(&second);
    runtime.call(["delete", "--force", guest.id()]).success();
    let left = holder.exec(["ps"]).success().stdout;
    assert!(!left.contains("sleep 71") && !left.contains("sleep 72"), "{left}");
}

#[test]
fn a_path_that_is_no_such_namespace_is_refused() {
    require!(root, tool("busybox"));
    let with_path = |kind: &'static str, path: &'static str| {
        refusal(move |config| {
            without_uts_names(config);
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
            namespaces.retain(|namespace| namespace["type"] != kind);
            namespaces.push(json!({ "type": kind, "path": path }));
        })
    };
    let missing = with_path("network", "/nowhere/ns");
    assert!(missing.contains("/nowhere/ns"), "{missing}");
    // runtime-spec, "Namespaces": "The runtime MUST generate an error if path is not associated with a namespace of
    // type type."
    with_path("network", "/proc/self/ns/ipc");
    with_path("ipc", "/etc/passwd");
}

#[test]
fn an_unknown_kind_and_one_named_twice_are_refused() {
    require!(root, tool("busybox"));
    let said =
        refusal(|config| config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "warp" }]));
    assert!(said.contains("warp") || said.contains("namespaces[1]"), "{said}");
    // runtime-spec, "Namespaces": a duplicate type "MUST" be an error; crun 1.8.1 takes it.
    if crate::is("crun") {
        return;
    }
    let said = refusal(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.push(json!({ "type": "ipc" }));
    });
    assert!(said.to_lowercase().contains("ipc"), "{said}");
}

#[test]
fn a_new_cgroup_namespace_has_the_containers_cgroup_as_its_root() {
    require!(root, tool("busybox"));
    let seen = output("cut -d: -f3 /proc/self/cgroup | sort -u", |config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "cgroup" }));
    });
    assert_eq!(seen, "/\n");
}

fn without_mount_namespace(config: &mut Value) {
    let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
    namespaces.retain(|namespace| namespace["type"] != "mount");
}

/// runtime-spec, "Namespaces": it "MUST inherit the runtime namespace of that type". Its own mounts are in no
/// namespace: here we differ from who makes them on the host.
#[test]
fn a_container_without_a_mount_namespace_has_the_hosts_and_no_mount_there() {
    require!(root, tool("busybox"));
    differs!(
        "runc" => "1.1.5 mounts on the host",
        "runc-head" => "1.5 mounts on the host",
        "crun" => "1.8.1 mounts on the host",
    );
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    fs::write(scratch.join("given"), "given\n").expect("a file");
    let script = "readlink /proc/self/ns/mnt; cat /tmp; ls /; echo x >/dev/null && stat -f -c %T /dev /proc; \
                  test ! -s /proc/keys && ! true >/proc/sys/vm/overcommit_memory; mount -t tmpfs none /sys; pwd";
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]).edit(|config| {
        without_mount_namespace(config);
        let mount = json!({
            "destination": "/tmp", "type": "bind", "source": scratch.join("given"), "options": ["bind", "ro"]
        });
        config["mounts"].as_array_mut().expect("a list").push(mount);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set]
                .as_array_mut()
                .expect("a list")
                .push(json!("CAP_SYS_ADMIN"));
        }
    });
    fs::remove_dir(bundle.rootfs().join("tmp")).expect("it is empty");
    let first = bundle.another(&scratch, "first").script(script);
    let container = runtime.run_detached(&bundle);
    let own = of("self", "mnt");
    assert_eq!(of(&container.pid().to_string(), "mnt"), own);
    let executed = container.exec(["sh", "-c", script]).success();
    for seen in [runtime.run(&first).success(), executed] {
        let lines: Vec<&str> = seen.stdout.lines().collect();
        assert!(lines[0] == own && lines[1] == "given", "{seen}");
        assert!(lines.contains(&"bin") && !lines.contains(&"boot"), "{seen}");
        assert!(seen.stdout.ends_with("tmpfs\nproc\n/\n"), "{seen}");
        assert!(seen.stderr.contains("mount"), "what it mounts would be the host's: {seen}");
        let table = fs::read_to_string("/proc/self/mountinfo").expect("our mounts");
        assert!(!table.contains(scratch.path().to_str().expect("ours")), "{table}");
    }
    container.kill("KILL").success();
    eventually(DEADLINE, || (container.status() == "stopped").then_some(()));
    container.delete().success();
    scratch.assert_nothing_left();
}

#[test]
fn a_user_namespace_without_a_mount_namespace_is_refused() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 finds out when it mounts", "crun" => "1.8.1 tries");
    let said = refusal(|config| {
        crate::user_namespace::isolate(config);
        without_mount_namespace(config);
    });
    assert!(said.contains("mount") || crate::is("runc-head"), "{said}");
}
