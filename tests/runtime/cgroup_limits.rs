//! `linux.resources` on cgroup v1: what is written is what runc writes, it holds for the first instruction of the
//! container, and what cannot be done is refused with nothing left.

use std::fs;
use std::path::Path;

use knarr_tests::cgroup::settings;
use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

/// Creates the bundle's container with both runtimes and compares every setting of their cgroups.
#[track_caller]
fn assert_same_as_runc(scratch: &Scratch, resources: &Value) {
    let ours =
        Bundle::busybox(scratch, "ours").edit(|config| config["linux"]["resources"] = resources.clone());
    let theirs = ours.another(scratch, "theirs");
    let (runtime, runc) = (Runtime::new(scratch), Runtime::other(scratch, "runc"));
    let _ours = runtime.create(&ours);
    let _theirs = runc.create(&theirs);
    let (found, expected) = (settings(&scratch.cgroup("ours")), settings(&scratch.cgroup("theirs")));
    assert!(expected.len() > 10, "runc's container has settings: {expected:?}");
    let names: Vec<&String> = expected.keys().collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), names, "the same files");
    for (name, value) in &expected {
        assert_eq!(&found[name], value, "{name}");
    }
}

/// Bounds for a disk of the machine; none where it has no disk.
fn throttles() -> Value {
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let numbers = disks.filter_map(|disk| fs::read_to_string(disk.path().join("dev")).ok());
    let parsed = numbers.filter_map(|number| {
        let (major, minor) = number.trim().split_once(':')?;
        Some((major.parse::<i64>().ok()?, minor.parse::<i64>().ok()?))
    });
    let Some((major, minor)) = parsed.min() else { return json!({}) };
    let bound = |rate: u64| json!([{ "major": major, "minor": minor, "rate": rate }]);
    json!({
        "throttleReadBpsDevice": bound(1_048_576),
        "throttleWriteBpsDevice": bound(2_097_152),
        "throttleReadIOPSDevice": bound(1_000),
        "throttleWriteIOPSDevice": bound(2_000)
    })
}

#[test]
fn without_limits_every_setting_is_as_with_runc() {
    require!(root, tool("runc"), cgroup1);
    let scratch = Scratch::new();
    assert_same_as_runc(&scratch, &json!({ "devices": [{ "allow": false, "access": "rwm" }] }));
}

#[test]
fn with_limits_of_every_kind_every_setting_is_as_with_runc() {
    require!(root, tool("runc"), cgroup1);
    let scratch = Scratch::new();
    assert_same_as_runc(
        &scratch,
        &json!({
            "memory": { "limit": 67_108_864, "reservation": 33_554_432, "swap": 134_217_728, "swappiness": 13 },
            "cpu": { "shares": 512, "quota": 25_000, "period": 50_000, "cpus": "0", "mems": "0" },
            "pids": { "limit": 41 },
            "blockIO": throttles(),
            "devices": [
                { "allow": false, "access": "rwm" },
                { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" },
                { "allow": true, "type": "b", "major": 7, "access": "rwm" }
            ]
        }),
    );
}

#[test]
fn without_a_limit_on_memory_there_is_none_on_swap() {
    require!(root, tool("runc"), cgroup1);
    let scratch = Scratch::new();
    assert_same_as_runc(
        &scratch,
        &json!({ "memory": { "limit": -1, "disableOOMKiller": true }, "pids": { "limit": -1 }, "cpu": { "quota": -1 } }),
    );
}

/// A container that reads a file of its own cgroup, as seen from inside.
fn inside(scratch: &Scratch, resources: &Value, files: &[&str]) -> Vec<String> {
    let list = files.iter().map(|file| format!("cat /sys/fs/cgroup/{file};")).collect::<String>();
    let bundle = Bundle::busybox(scratch, "in").script(&list).edit(|config| {
        config["linux"]["resources"] = resources.clone();
    });
    let outcome = Runtime::new(scratch).run(&bundle).success();
    outcome.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn the_container_sees_its_limits() {
    require!(root, cgroup1);
    let scratch = Scratch::new();
    let found = inside(
        &scratch,
        &json!({
            "memory": { "limit": 33_554_432 },
            "cpu": { "shares": 77, "quota": 30_000, "period": 60_000, "burst": 5_000, "cpus": "1", "idle": 0 },
            "pids": { "limit": 19 }
        }),
        &[
            "memory/memory.limit_in_bytes",
            "cpu/cpu.shares",
            "cpu/cpu.cfs_quota_us",
            "cpu/cpu.cfs_period_us",
            "cpu/cpu.cfs_burst_us",
            "cpu/cpu.idle",
            "cpuset/cpuset.cpus",
            "pids/pids.max",
        ],
    );
    assert_eq!(found, ["33554432", "77", "30000", "60000", "5000", "0", "1", "19"]);
}

/// The shell is pid 1 and its one background process reaches the limit: the second is refused.
#[test]
fn the_limit_of_pids_holds_for_the_first_process() {
    require!(root, cgroup("pids"));
    let scratch = Scratch::new();
    let script = "sleep 30 & sleep 30 & sleep 30 & echo started";
    let bundle = Bundle::busybox(&scratch, "few")
        .script(script)
        .edit(|config| config["linux"]["resources"]["pids"] = json!({ "limit": 2 }));
    let outcome = Runtime::new(&scratch).run(&bundle);
    assert!(outcome.stderr.contains("can't fork"), "{outcome}");
    assert!(!outcome.stdout.contains("started"), "{outcome}");
}

/// What the first process was charged with before its first instruction is in its own cgroup, within its own limit.
#[test]
fn memory_is_charged_to_the_container_from_the_beginning() {
    require!(root, cgroup1, cgroup("memory"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "early")
        .edit(|config| config["linux"]["resources"]["memory"] = json!({ "limit": 16_777_216 }));
    let runtime = Runtime::new(&scratch);
    let _container = runtime.create(&bundle);
    let memory = Path::new("/sys/fs/cgroup/memory").join(scratch.cgroup("early").trim_start_matches('/'));
    let read = |name: &str| fs::read_to_string(memory.join(name)).expect(name).trim().to_owned();
    assert_eq!(read("memory.limit_in_bytes"), "16777216");
    assert_ne!(read("memory.max_usage_in_bytes"), "0");
}

#[test]
fn a_container_that_needs_more_memory_than_its_limit_is_killed() {
    require!(root, cgroup("memory"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "hungry")
        .script("dd if=/dev/zero of=/dev/null bs=64M count=1; echo survived")
        .edit(|config| {
            config["linux"]["resources"]["memory"] = json!({ "limit": 16_777_216, "swap": 16_777_216 });
        });
    let outcome = Runtime::new(&scratch).run(&bundle);
    assert!(outcome.stderr.contains("Killed") || outcome.code() == 137, "{outcome}");
}

/// runc's sentence, which people search for.
#[test]
fn a_limit_on_memory_that_is_too_low_to_begin_is_told() {
    require!(root, tool("busybox"), cgroup1);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one");
    let bundle = bundle.edit(|config| config["linux"]["resources"] = json!({ "memory": { "limit": 4096 } }));
    let said = runtime.run(&bundle).exits_with(1).stderr;
    assert!(said.contains("container init was OOM-killed (memory limit too low?)"), "{said}");
}

#[test]
fn what_cannot_be_limited_is_refused_by_its_field_and_nothing_is_left() {
    require!(root, cgroup1);
    for (resources, words) in [
        (json!({ "memory": { "limit": 9, "swap": 8 } }), "linux.resources.memory.swap"),
        (
            json!({ "memory": { "swappiness": 101 } }),
            "invalid memory swappiness value: 101 (valid range is 0-100)",
        ),
        (json!({ "cpu": { "shares": 1 } }), "the minimum allowed cpu-shares is 2"),
        (json!({ "cpu": { "quota": 5 } }), "cannot set linux.resources.cpu.quota to "),
        (json!({ "cpu": { "cpus": "4000" } }), "cannot set linux.resources.cpu.cpus to "),
        (
            json!({ "network": { "classID": 1 } }),
            "cannot set net_cls limit: container could not join or create cgroup",
        ),
        (json!({ "unified": { "memory.high": "1" } }), "cannot use unified on cgroup v1"),
        (json!({ "devices": [{ "allow": true, "type": "x" }] }), "invalid cgroup device type "),
    ] {
        let scratch = Scratch::new();
        let bundle =
            Bundle::busybox(&scratch, "bad").edit(|config| config["linux"]["resources"] = resources.clone());
        let runtime = Runtime::new(&scratch);
        let outcome =
            runtime.call(["create", "--bundle", &bundle.path().display().to_string(), "bad"]).exits_with(1);
        assert!(outcome.stderr.contains(words), "{words}: {outcome}");
        assert!(runtime.state("bad").is_none());
        scratch.assert_nothing_left();
    }
}

#[test]
fn a_cgroup_in_use_is_refused() {
    require!(root, cgroup1);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first").args(["sleep", "60"]);
    let _running = runtime.run_detached(&first);
    let second = first.another(&scratch, "second");
    let cgroup = first.config()["linux"]["cgroupsPath"].clone();
    let second = second.edit(|config| config["linux"]["cgroupsPath"] = cgroup);
    let outcome = runtime.run(&second).exits_with(1);
    assert!(outcome.stderr.contains("container's cgroup is not empty: 1 process(es) found"), "{outcome}");
    assert_eq!(runtime.state("first").expect("still there")["status"], "running");
}
