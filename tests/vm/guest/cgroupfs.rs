//! The cgroupfs driver where v2 is all there is.

use std::fs;
use std::path::PathBuf;

use knarr_tests::cgroup::settings;
use knarr_tests::process::{self, Background, DEADLINE};
use knarr_tests::{Bundle, Runtime, Scratch, eventually};
use serde_json::{Value, json};

use crate::Check;

pub(crate) const V2: &[Check] = &[
    ("every_setting_is_as_with_runc", every_setting_is_as_with_runc),
    ("the_container_sees_its_limits", the_container_sees_its_limits),
    ("unified_files_come_last", unified_files_come_last),
    ("devices_are_refused_by_the_program", devices_are_refused_by_the_program),
    ("a_limit_of_pids_holds", a_limit_of_pids_holds),
    ("updates_are_as_with_runc", updates_are_as_with_runc),
    ("a_limit_below_the_usage_is_refused_when_asked", a_limit_below_the_usage_is_refused_when_asked),
    ("events_tell_usage_pressure_and_oom", events_tell_usage_pressure_and_oom),
    ("a_controller_that_cannot_be_enabled_is_named", a_controller_that_cannot_be_enabled_is_named),
    ("a_threaded_cgroup_is_refused_for_memory", a_threaded_cgroup_is_refused_for_memory),
    ("a_user_runs_containers_in_a_delegated_cgroup", a_user_runs_containers_in_a_delegated_cgroup),
];

fn resources() -> Value {
    json!({
        "memory": { "limit": 67_108_864, "reservation": 33_554_432, "swap": 134_217_728 },
        "cpu": { "shares": 512, "quota": 25_000, "period": 50_000, "cpus": "0", "mems": "0" },
        "pids": { "limit": 41 },
        "devices": [{ "allow": false, "access": "rwm" }]
    })
}

/// Debian 12's runc gives up on a cgroup whose dead the slow machine has not taken out yet.
fn remove_after_runc(cgroup: &std::path::Path) {
    eventually(DEADLINE, || {
        fs::remove_dir(cgroup).ok();
        (!cgroup.exists()).then_some(())
    });
}

/// Debian 12's runc turns shares into weights as runc did before 1.3.
fn without_shares() -> Value {
    let mut resources = resources();
    resources["cpu"]["shares"] = json!(0);
    resources
}

fn directory(scratch: &Scratch, name: &str) -> PathBuf {
    PathBuf::from(format!("/sys/fs/cgroup{}", scratch.cgroup(name)))
}

fn file(scratch: &Scratch, name: &str, file: &str) -> String {
    let path = directory(scratch, name).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn every_setting_is_as_with_runc() {
    let scratch = Scratch::new();
    let ours =
        Bundle::busybox(&scratch, "ours").edit(|config| config["linux"]["resources"] = without_shares());
    let theirs = ours.another(&scratch, "theirs");
    let (runtime, runc) = (Runtime::new(&scratch), Runtime::other(&scratch, "runc"));
    let _ours = runtime.create(&ours);
    let container = runc.create(&theirs);
    let (found, expected) = (settings(&scratch.cgroup("ours")), settings(&scratch.cgroup("theirs")));
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(found, expected);
    drop(container);
    remove_after_runc(&directory(&scratch, "theirs"));
}

/// In the host's cgroup namespace by the path that /proc tells, as programs look for them.
fn the_container_sees_its_limits() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "in")
        .script("cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && cat memory.max memory.swap.max memory.low cpu.max cpu.weight cpuset.cpus pids.max")
        .edit(|config| config["linux"]["resources"] = resources());
    let outcome = runtime.run(&bundle).success();
    let expected = ["67108864", "67108864", "33554432", "25000 50000", "59", "0", "41"];
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), expected);
    let bursting = bundle
        .another(&scratch, "bursts")
        .script("cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cpu.max.burst")
        .edit(|config| config["linux"]["resources"]["cpu"]["burst"] = json!(5_000));
    let outcome = runtime.run(&bursting);
    // Bursts came with Linux 5.14.
    if fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|release| release.starts_with("5.10.")) {
        assert!(outcome.stderr.contains("cpu.burst") && outcome.code() == 1, "{outcome}");
    } else {
        assert_eq!(outcome.success().stdout, "5000\n");
    }
}

fn unified_files_come_last() {
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "in")
        .script("cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && cat memory.max memory.min pids.max cpu.max cpu.weight")
        .edit(|config| {
            config["linux"]["resources"] = resources();
            config["linux"]["resources"]["unified"] = json!({
                "memory.min": "131072", "memory.max": "41943040", "pids.max": "42", "cpu.max": "5000 50000", "cpu.weight": "42"
            });
        });
    let outcome = Runtime::new(&scratch).run(&bundle).success();
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), ["41943040", "131072", "42", "5000 50000", "42"]);
}

fn devices_are_refused_by_the_program() {
    let scratch = Scratch::new();
    let script = "mknod /dev/k c 1 11; mknod /dev/n c 1 3; : >/dev/n && echo null; (: </dev/k) 2>/dev/null && echo kmsg";
    let run = |name: &str, rules: Value| {
        let bundle = Bundle::busybox(&scratch, name).script(script).edit(|config| {
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set] =
                    json!(["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYSLOG"]);
            }
            config["linux"]["resources"]["devices"] = rules;
            // The usual /dev has no nodev.
            config["mounts"][1]["options"] = json!(["nosuid", "strictatime", "mode=755", "size=65536k"]);
        });
        Runtime::new(&scratch).run(&bundle).stdout
    };
    let deny = json!({ "allow": false, "access": "rwm" });
    let allow = json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" });
    assert_eq!(run("denied", json!([deny])), "null\n");
    assert_eq!(run("allowed", json!([deny, allow])), "null\nkmsg\n");
}

fn a_limit_of_pids_holds() {
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "few")
        .script("sleep 30 & sleep 30 & echo started")
        .edit(|config| config["linux"]["resources"]["pids"] = json!({ "limit": 1 }));
    let outcome = Runtime::new(&scratch).run(&bundle);
    assert!(outcome.stderr.contains("can't fork") && !outcome.stdout.contains("started"), "{outcome}");
}

fn updates_are_as_with_runc() {
    let scratch = Scratch::new();
    let ours = Bundle::busybox(&scratch, "ours")
        .args(["sleep", "600"])
        .edit(|config| config["linux"]["resources"] = without_shares());
    let theirs = ours.another(&scratch, "theirs");
    let (runtime, runc) = (Runtime::new(&scratch), Runtime::other(&scratch, "runc"));
    let _ours = runtime.run_detached(&ours);
    let container = runc.run_detached(&theirs);
    // Few, since every program takes long here.
    let steps: [&[&str]; 4] = [
        &["--memory", "100M", "--memory-swap", "150M", "--memory-reservation", "20M", "--pids-limit", "10"],
        &["--memory", "-1", "--cpu-period", "90000", "--cpu-quota", "60000"],
        &["--cpu-period", "80000", "--pids-limit", "-1"],
        &["--cpu-quota", "30000"],
    ];
    for flags in steps {
        runtime.call(["update"].iter().chain(flags).chain(&["ours"])).success();
        runc.call(["update"].iter().chain(flags).chain(&["theirs"])).success();
        assert_eq!(settings(&scratch.cgroup("ours")), settings(&scratch.cgroup("theirs")), "{flags:?}");
    }
    drop(container);
    remove_after_runc(&directory(&scratch, "theirs"));
}

fn a_limit_below_the_usage_is_refused_when_asked() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "web").args(["sleep", "600"]);
    let container = runtime.run_detached(&bundle);
    for (memory, words) in [
        (json!({ "limit": 1024, "checkBeforeUpdate": true }), "rejecting memory limit"),
        (json!({ "limit": 1024, "swap": 2048, "checkBeforeUpdate": true }), "rejecting memory+swap limit"),
    ] {
        let text = json!({ "memory": memory }).to_string();
        let mut command = runtime.command(["update", "-r", "-", "web"]);
        let outcome = process::run_with_input(&mut command, text.as_bytes()).exits_with(1);
        assert!(outcome.stderr.contains(words), "{outcome}");
    }
    assert_eq!(container.status(), "running");
    assert_eq!(file(&scratch, "web", "memory.max"), "max");
}

fn events_tell_usage_pressure_and_oom() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "web").args(["sleep", "600"]).edit(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 16_777_216, "swap": 16_777_216 });
        config["linux"]["resources"]["pids"] = json!({ "limit": 9 });
    });
    let container = runtime.run_detached(&bundle);
    let stats = runtime.call(["events", "--stats", "web"]).success().stdout;
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    let data = &stats["data"];
    assert_eq!(data["memory"]["usage"]["limit"], 16_777_216);
    assert_eq!(data["pids"], json!({ "current": 1, "limit": 9 }));
    assert!(data["memory"]["raw"]["anon"].is_u64() && data["cpu"]["usage"]["total"].is_u64(), "{stats}");
    let log = scratch.join("events.log");
    let mut events = Background::start(&mut runtime.command(["events", "--interval", "1h", "web"]), &log);
    let told = || fs::read_to_string(&log).unwrap_or_default();
    eventually(DEADLINE, || {
        container.exec(["sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1"]);
        (told() == "{\"type\":\"oom\",\"id\":\"web\"}\n" || told().lines().count() > 1).then_some(())
    });
    container.kill("KILL").success();
    eventually(DEADLINE, || (!events.is_running()).then_some(()));
}

/// A cgroup with processes of its own hands no controller of memory down.
fn a_controller_that_cannot_be_enabled_is_named() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let busy = directory(&scratch, "busy");
    fs::create_dir_all(&busy).expect("a cgroup");
    let mut sleeper = Background::start(scratch.command("/bin/sleep").arg("600"), &scratch.join("sleep.log"));
    fs::write(busy.join("cgroup.procs"), sleeper.pid().as_raw_nonzero().to_string()).expect("moved");
    let bundle = Bundle::busybox(&scratch, "web").edit(|config| {
        config["linux"]["cgroupsPath"] = json!(format!("{}/web", scratch.cgroup("busy")));
        config["linux"]["resources"]["memory"] = json!({ "limit": 16_777_216 });
    });
    let outcome = runtime.run(&bundle).exits_with(1);
    sleeper.kill();
    assert!(
        outcome.stderr.contains("needs the cgroup controller")
            && outcome.stderr.contains("/busy/cgroup.subtree_control"),
        "{outcome}"
    );
    assert!(!busy.join("web").exists());
    assert_eq!(file(&scratch, "busy", "cgroup.type"), "domain", "and nothing was changed");
    fs::remove_dir(&busy).expect("nobody is in it");
}

fn a_threaded_cgroup_is_refused_for_memory() {
    let scratch = Scratch::new();
    let threaded = directory(&scratch, "threaded");
    fs::create_dir_all(&threaded).expect("a cgroup");
    fs::write(threaded.join("cgroup.type"), "threaded").expect("made threaded");
    let bundle = Bundle::busybox(&scratch, "web").edit(|config| {
        config["linux"]["cgroupsPath"] = json!(scratch.cgroup("threaded"));
        config["linux"]["resources"]["memory"] = json!({ "limit": 16_777_216 });
    });
    let outcome = Runtime::new(&scratch).run(&bundle).exits_with(1);
    fs::remove_dir(&threaded).expect("nobody is in it");
    let is_told = outcome.stderr.contains("with domain controllers -- it is in")
        || outcome.stderr.contains("cgroup controller");
    assert!(is_told, "{outcome}");
}

/// As systemd does it for a user's services: the directory and the files that let processes in belong to the user.
fn a_user_runs_containers_in_a_delegated_cgroup() {
    const USER: u32 = 1000;
    let scratch = Scratch::new();
    let own = |path: &std::path::Path| std::os::unix::fs::chown(path, Some(USER), Some(USER)).expect("chown");
    let (delegated, inner) = (directory(&scratch, "user"), directory(&scratch, "user").join("shell"));
    fs::create_dir_all(&inner).expect("a cgroup");
    let root = directory(&scratch, "");
    for controllers in [root.as_path(), delegated.as_path()] {
        fs::write(controllers.join("cgroup.subtree_control"), "+memory +pids").expect("controllers");
    }
    for directory in [&delegated, &inner] {
        own(directory);
        ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
            .iter()
            .for_each(|file| own(&directory.join(file)));
    }
    let bundle =
        Bundle::busybox(&scratch, "web").script("cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max");
    let run = |bundle: &Bundle, cgroup: &str| {
        // Into the delegated cgroup first, as the user's shell is; then no root any more.
        let enter = "echo $$ >\"$1\"/cgroup.procs; shift; exec \"$@\"";
        let mut command = scratch.command("/bin/sh");
        command.args(["-c", enter, "sh"]).arg(cgroup);
        command.args([
            "/usr/bin/setpriv",
            "--reuid=1000",
            "--regid=1000",
            "--clear-groups",
            "/test/knarr-runtime",
            "--root",
        ]);
        command.arg(scratch.join("user-root")).args(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id());
        process::run(&mut command)
    };
    own(&scratch.directory("user-root"));
    own(scratch.path());
    own(bundle.path());
    // The root filesystem stays root's, who makes the place for the mount.
    fs::create_dir_all(bundle.rootfs().join("sys/fs/cgroup")).expect("a mount point");
    let bundle = bundle.edit(|config| {
        rootless(config);
        config["linux"]["cgroupsPath"] = json!(format!("{}/web", scratch.cgroup("user")));
        config["linux"]["resources"] = json!({ "pids": { "limit": 12 }, "memory": { "limit": 33_554_432 } });
    });
    let outcome = run(&bundle, &inner.display().to_string()).success();
    assert_eq!(outcome.stdout, "12\n33554432\n");

    // Without a place of its own and without limits it runs where the user is; with limits it says why not.
    let undelegated = directory(&scratch, "root-owned");
    fs::create_dir_all(&undelegated).expect("a cgroup");
    let bundle = bundle.edit(|config| {
        config["linux"]["cgroupsPath"] = json!("");
        config["process"]["args"] = json!(["true"]);
    });
    let outcome = run(&bundle, &undelegated.display().to_string()).exits_with(1);
    assert!(outcome.stderr.contains("limit: container could not join or create cgroup"), "{outcome}");
    let bundle = bundle.edit(|config| config["linux"]["resources"] = json!({}));
    run(&bundle, &undelegated.display().to_string()).success();
    for directory in [inner, delegated, undelegated] {
        fs::remove_dir(&directory).expect("nobody is in it");
    }
}

/// What `runc spec --rootless` changes.
pub(crate) fn rootless(config: &mut Value) {
    let id = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    config["linux"]["uidMappings"] = id.clone();
    config["linux"]["gidMappings"] = id;
    let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
    namespaces.retain(|namespace| namespace["type"] != "network");
    namespaces.push(json!({ "type": "user" }));
    namespaces.push(json!({ "type": "cgroup" }));
    // Binding the host's /sys takes rights that a user has not.
    let mounts = config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["destination"] != "/sys");
    for mount in mounts.iter_mut().filter(|mount| mount["destination"] == "/dev/pts") {
        mount["options"] = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
    }
}
