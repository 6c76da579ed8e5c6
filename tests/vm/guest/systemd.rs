//! The systemd driver: a transient scope with the limits as properties, on v2 and on systemd's v1 layout.

use std::fs;
use std::process::Command;

use knarr_tests::process::{self, DEADLINE, Outcome};
use knarr_tests::{Bundle, Runtime, Scratch, eventually};
use serde_json::{Value, json};

use crate::Check;

pub(crate) const V2: &[Check] = &[
    ("a_scope_has_the_limits_and_goes_with_the_container", v2_scope),
    ("one_task_is_one_task", one_task_is_one_task),
    ("annotations_become_properties", annotations_become_properties),
    ("what_systemd_refuses_leaves_nothing", what_systemd_refuses_leaves_nothing),
    ("limits_survive_a_reload", limits_survive_a_reload),
    ("systemd_and_the_files_say_the_same", systemd_and_the_files_say_the_same),
    ("a_failed_unit_stays_until_it_is_deleted", a_failed_unit_stays_until_it_is_deleted),
    ("who_may_divide_a_cgroup_owns_it", who_may_divide_a_cgroup_owns_it),
];

pub(crate) const V1: &[Check] = &[
    ("a_scope_has_the_limits_and_goes_with_the_container", v1_scope),
    ("one_task_is_one_task", one_task_is_one_task),
    ("annotations_become_properties", annotations_become_properties),
    ("what_systemd_refuses_leaves_nothing", what_systemd_refuses_leaves_nothing),
    ("devices_survive_a_reload", devices_survive_a_reload),
];

fn resources() -> Value {
    json!({
        "memory": { "limit": 67_108_864 },
        "cpu": { "shares": 512, "quota": 25_000, "period": 50_000, "cpus": "0" },
        "pids": { "limit": 41 },
        "devices": [{ "allow": false, "access": "rwm" }]
    })
}

fn bundle(scratch: &Scratch, name: &str, path: &str) -> Bundle {
    Bundle::busybox(scratch, name).args(["sleep", "600"]).edit(|config| {
        config["linux"]["cgroupsPath"] = json!(path);
        config["linux"]["resources"] = resources();
    })
}

fn call(runtime: &Runtime<'_>, args: &[&str]) -> Outcome {
    process::run(&mut runtime.command(["--systemd-cgroup"].iter().chain(args)))
}

fn run(runtime: &Runtime<'_>, bundle: &Bundle) -> Outcome {
    call(runtime, &["run", "--detach", "--bundle", &bundle.path().display().to_string(), bundle.id()])
}

/// A property of a unit as systemd tells it.
fn shown(unit: &str, property: &str) -> String {
    systemctl(&["show", "--value", "-p", property, unit]).stdout.trim().to_owned()
}

fn systemctl(args: &[&str]) -> Outcome {
    process::run(Command::new("systemctl").args(args))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

fn scope(name: &str, limits: &[(&str, &str)], files: &[(&str, &str)], updated: &[(&str, &str)]) {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let unit = format!("knarr-{name}.scope");
    let bundle = bundle(&scratch, name, &format!("test-knarr.slice:knarr:{name}"));
    run(&runtime, &bundle).success();
    assert_eq!(shown(&unit, "ActiveState"), "active");
    assert_eq!(shown(&unit, "Slice"), "test-knarr.slice");
    for (property, value) in limits {
        assert_eq!(shown(&unit, property), *value, "{property}");
    }
    for (file, value) in files {
        assert_eq!(read(file), *value, "{file}");
    }
    // Nobody is in but the container's own process.
    let pids = call(&runtime, &["ps", "-f", "json", name]).success().stdout;
    assert_eq!(pids.matches(',').count(), 0, "{pids}");
    let exec = call(&runtime, &["exec", name, "cat", "/proc/self/cgroup"]).success().stdout;
    assert!(exec.contains(&unit), "{exec}");
    call(&runtime, &["update", "--memory", "100M", "--pids-limit", "30", "--cpu-share", "200", name])
        .success();
    for (property, value) in updated {
        assert_eq!(shown(&unit, property), *value, "{property}");
    }
    call(&runtime, &["pause", name]).success();
    call(&runtime, &["resume", name]).success();
    call(&runtime, &["delete", "--force", name]).success();
    eventually(DEADLINE, || (shown(&unit, "LoadState") == "not-found").then_some(()));
    scratch.assert_nothing_left();
}

fn v2_scope() {
    let at = "/sys/fs/cgroup/test.slice/test-knarr.slice/knarr-two.scope";
    let files = [
        (format!("{at}/memory.max"), "67108864"),
        (format!("{at}/cpu.max"), "25000 50000"),
        (format!("{at}/cpu.weight"), "59"),
        (format!("{at}/pids.max"), "41"),
        (format!("{at}/cpuset.cpus"), "0"),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(file, value)| (file.as_str(), *value)).collect();
    let limits = [
        ("MemoryMax", "67108864"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("CPUWeight", "59"),
        ("TasksMax", "41"),
        ("AllowedCPUs", "0"),
        ("Delegate", "yes"),
    ];
    let updated = [("MemoryMax", "104857600"), ("TasksMax", "30"), ("CPUWeight", "29")];
    scope("two", &limits, &files, &updated);
}

fn v1_scope() {
    let at =
        |controller: &str| format!("/sys/fs/cgroup/{controller}/test.slice/test-knarr.slice/knarr-one.scope");
    let files = [
        (format!("{}/memory.limit_in_bytes", at("memory")), "67108864"),
        (format!("{}/cpu.cfs_quota_us", at("cpu")), "25000"),
        (format!("{}/cpu.shares", at("cpu")), "512"),
        (format!("{}/pids.max", at("pids")), "41"),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(file, value)| (file.as_str(), *value)).collect();
    let limits = [
        ("MemoryLimit", "67108864"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("CPUShares", "512"),
        ("TasksMax", "41"),
        ("DevicePolicy", "strict"),
    ];
    scope("one", &limits, &files, &[("MemoryLimit", "104857600"), ("TasksMax", "30"), ("CPUShares", "200")]);
}

/// The process that held the scope open is no longer counted.
fn one_task_is_one_task() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(&scratch, "single", "test.slice:knarr:single")
        .script("sleep 30 & echo started")
        .edit(|config| config["linux"]["resources"]["pids"] = json!({ "limit": 1 }));
    let outcome = call(&runtime, &["run", "--bundle", &bundle.path().display().to_string(), "single"]);
    assert!(outcome.stderr.contains("can't fork") && !outcome.stdout.contains("started"), "{outcome}");
}

fn annotations_become_properties() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(&scratch, "noted", "").edit(|config| {
        config["annotations"] = json!({
            "org.systemd.property.TimeoutStopSec": "uint64 123",
            "org.systemd.property.Description": "'of the test'"
        });
    });
    run(&runtime, &bundle).success();
    assert_eq!(shown("knarr-noted.scope", "TimeoutStopUSec"), "2min 3s");
    assert_eq!(shown("knarr-noted.scope", "Description"), "of the test");
    assert_eq!(shown("knarr-noted.scope", "Slice"), "system.slice");
    call(&runtime, &["delete", "--force", "noted"]).success();
}

fn what_systemd_refuses_leaves_nothing() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    for (path, property, words) in [
        ("no-colons", "true", "expected cgroupsPath to be of format \"slice:prefix:name\""),
        ("a/b.slice:x:y", "true", "cgroupsPath"),
        ("test.slice:knarr:bad", "'x'", "cannot start the systemd unit knarr-bad.scope"),
    ] {
        let bundle = bundle(&scratch, "bad", path).edit(|config| {
            config["annotations"] = json!({ "org.systemd.property.NoSuchProperty": property });
        });
        let outcome = run(&runtime, &bundle).exits_with(1);
        assert!(outcome.stderr.replace('\\', "").contains(words), "{outcome}");
        assert!(runtime.state("bad").is_none());
        fs::remove_dir_all(bundle.path()).expect("the bundle goes");
    }
    assert_eq!(shown("knarr-bad.scope", "LoadState"), "not-found");
}

fn systemd_and_the_files_say_the_same() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(&scratch, "same", "test.slice:knarr:same")
        .edit(|config| config["linux"]["resources"]["cpu"] = json!({ "quota": 500_000, "period": 900_000 }));
    run(&runtime, &bundle).success();
    let file = |name: &str| read(&format!("/sys/fs/cgroup/test.slice/knarr-same.scope/{name}"));
    let cpu = || [file("cpu.max"), shown("knarr-same.scope", "CPUQuotaPerSecUSec")];
    // systemd counts whole percents.
    assert_eq!(cpu(), ["504000 900000", "560ms"]);
    call(&runtime, &["update", "--cpu-quota", "30001", "--cpu-period", "100000", "same"]).success();
    assert_eq!(cpu(), ["31000 100000", "310ms"]);

    let both = call(&runtime, &["update", "--cpu-share", "200", "--cpu-idle", "1", "same"]).success();
    assert!(both.stderr.contains("unable to apply both"), "{both}");
    assert_eq!(file("cpu.idle"), "1");
    call(&runtime, &["update", "--cpu-share", "200", "same"]).success();
    assert_eq!([file("cpu.idle"), file("cpu.weight")], ["0", "29"]);
    call(&runtime, &["delete", "--force", "same"]).success();

    let bundle = bundle.edit(|config| config["linux"]["resources"]["cpu"] = json!({ "period": 1_000_000 }));
    run(&runtime, &bundle).success();
    assert_eq!(file("cpu.max"), "max 1000000");
    call(&runtime, &["delete", "--force", "same"]).success();
}

/// For whoever wants to know why; and it is not in the way of the next container of the same name.
fn a_failed_unit_stays_until_it_is_deleted() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let unit = "knarr-brief.scope";
    let has_failed = || (shown(unit, "ActiveState") == "failed").then_some(());
    let brief = |name: &str| {
        bundle(&scratch, name, "test.slice:knarr:brief").edit(|config| {
            config["annotations"] = json!({
                "org.systemd.property.RuntimeMaxSec": "uint64 1",
                "org.systemd.property.TimeoutStopSec": "uint64 1"
            });
        })
    };
    run(&runtime, &brief("first")).success();
    eventually(DEADLINE, has_failed);
    // Its cgroup is gone, and nobody is in it.
    assert_eq!(call(&runtime, &["ps", "-f", "json", "first"]).success().stdout, "[]\n");
    run(&runtime, &brief("second")).success();
    eventually(DEADLINE, has_failed);
    for name in ["first", "second"] {
        call(&runtime, &["delete", name]).success();
    }
    eventually(DEADLINE, || (shown(unit, "LoadState") == "not-found").then_some(()));
}

fn who_may_divide_a_cgroup_owns_it() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(&scratch, "divided", "test.slice:knarr:divided").edit(|config| {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        namespaces.extend([json!({ "type": "user" }), json!({ "type": "cgroup" })]);
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").expect("a cgroup mount");
        cgroup["options"] = json!(["nosuid", "noexec", "nodev"]);
    });
    run(&runtime, &bundle).success();
    let inside = "cd /sys/fs/cgroup && stat -c %u . cgroup.procs memory.max && mkdir below";
    let seen = call(&runtime, &["exec", "divided", "sh", "-c", inside]).success().stdout;
    // The limits are the host's still, whose root has no name there.
    assert_eq!(seen, "0\n0\n65534\n");
    call(&runtime, &["delete", "--force", "divided"]).success();
}

fn limits_survive_a_reload() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    run(&runtime, &bundle(&scratch, "kept", "test.slice:knarr:kept")).success();
    call(&runtime, &["update", "--memory", "90M", "kept"]).success();
    systemctl(&["daemon-reload"]).success();
    assert_eq!(read("/sys/fs/cgroup/test.slice/knarr-kept.scope/memory.max"), (90_u64 << 20).to_string());
    assert_eq!(read("/sys/fs/cgroup/test.slice/knarr-kept.scope/pids.max"), "41");
    call(&runtime, &["delete", "--force", "kept"]).success();
}

fn devices_survive_a_reload() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    run(&runtime, &bundle(&scratch, "kept", "test.slice:knarr:kept")).success();
    let list = || {
        let text = read("/sys/fs/cgroup/devices/test.slice/knarr-kept.scope/devices.list");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = list();
    assert!(
        before.contains(&"c 1:3 rwm".to_owned()) && !before.contains(&"a *:* rwm".to_owned()),
        "{before:?}"
    );
    systemctl(&["daemon-reload"]).success();
    assert_eq!(list(), before);
    call(&runtime, &["delete", "--force", "kept"]).success();
}
