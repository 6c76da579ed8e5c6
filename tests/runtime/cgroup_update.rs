//! `update`: the limits of a running container change as with runc, by flags and by JSON; what is refused changes nothing.

use std::fs;

use knarr_tests::process::{self, Outcome};
use knarr_tests::runtime::Container;
use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

/// What the suite of runc begins with.
fn limited(scratch: &Scratch, name: &str) -> Bundle {
    Bundle::busybox(scratch, name).args(["sleep", "60"]).edit(|config| {
        config["linux"]["resources"] = json!({
            "memory": { "limit": 33_554_432, "reservation": 25_165_824 },
            "cpu": { "shares": 100, "quota": 500_000, "period": 1_000_000, "cpus": "0" },
            "pids": { "limit": 20 }
        });
    })
}

struct Updated<'a> {
    scratch: &'a Scratch,
    runtime: &'a Runtime<'a>,
    container: Container<'a>,
}

impl<'a> Updated<'a> {
    fn new(scratch: &'a Scratch, runtime: &'a Runtime<'a>, name: &str) -> Self {
        Self { scratch, runtime, container: runtime.run_detached(&limited(scratch, name)) }
    }

    fn update(&self, flags: &[&str]) -> Outcome {
        self.runtime.call(["update"].iter().chain(flags).chain(&[self.container.id()]))
    }

    fn update_from(&self, resources: &Value) -> Outcome {
        let text = serde_json::to_vec(resources).expect("a JSON value has a text");
        let mut command = self.runtime.command(["update", "--resources", "-", self.container.id()]);
        process::run_with_input(&mut command, &text)
    }

    fn file(&self, controller: &str, name: &str) -> String {
        let cgroup = self.scratch.cgroup(self.container.id());
        let path = format!("/sys/fs/cgroup/{controller}{cgroup}/{name}");
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
    }

    fn files(&self) -> Vec<String> {
        FILES.iter().map(|(controller, name)| format!("{name}={}", self.file(controller, name))).collect()
    }
}

const FILES: [(&str, &str); 10] = [
    ("memory", "memory.limit_in_bytes"),
    ("memory", "memory.memsw.limit_in_bytes"),
    ("memory", "memory.soft_limit_in_bytes"),
    ("cpu", "cpu.shares"),
    ("cpu", "cpu.cfs_period_us"),
    ("cpu", "cpu.cfs_quota_us"),
    ("cpu", "cpu.cfs_burst_us"),
    ("cpu", "cpu.idle"),
    ("cpuset", "cpuset.cpus"),
    ("pids", "pids.max"),
];

/// Every step with ours and with runc, and the same files after each. Debian's runc knows neither burst nor idle.
#[test]
fn one_after_another_updates_come_to_the_same_as_with_runc() {
    require!(root, tool("runc"), cgroup1);
    let scratch = Scratch::new();
    let (runtime, runc) = (Runtime::new(&scratch), Runtime::other(&scratch, "runc"));
    let (ours, theirs) = (Updated::new(&scratch, &runtime, "ours"), Updated::new(&scratch, &runc, "theirs"));
    let steps: [&[&str]; 14] = [
        &["--cpuset-cpus", "1"],
        &["--memory", "67108864"],
        &["--memory", "50M"],
        &["--memory-reservation", "33554432"],
        &["--memory-swap", "96468992"],
        &["--memory-swap", "-1"],
        &["--memory", "30M", "--memory-swap", "50M"],
        &["--memory", "60M", "--memory-swap", "80M"],
        &["--memory", "-1"],
        &["--pids-limit", "10"],
        &["--pids-limit", "-1"],
        &["--cpu-period", "900000", "--cpu-quota", "600000", "--cpu-share", "200"],
        &["--cpu-period", "800000"],
        &["--cpu-quota", "300000"],
    ];
    for flags in steps {
        theirs.update(flags).success();
        ours.update(flags).success();
        assert_eq!(ours.files(), theirs.files(), "{flags:?}");
    }
    let begin = json!({
        "memory": { "limit": 33_554_432, "reservation": 25_165_824, "swap": 67_108_864 },
        "cpu": { "shares": 100, "quota": 500_000, "period": 1_000_000, "cpus": "0" },
        "pids": { "limit": 20 }
    });
    theirs.update_from(&begin).success();
    ours.update_from(&begin).success();
    assert_eq!(ours.files(), theirs.files());
    assert_eq!(ours.file("memory", "memory.limit_in_bytes"), "33554432");
}

#[test]
fn burst_and_idle_are_updated_and_kept() {
    require!(root, cgroup1);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let web = Updated::new(&scratch, &runtime, "web");
    web.update(&["--cpu-period", "900000", "--cpu-burst", "400000"]).success();
    assert_eq!(web.file("cpu", "cpu.cfs_burst_us"), "400000");
    web.update(&["--memory", "100M"]).success();
    assert_eq!(web.file("cpu", "cpu.cfs_burst_us"), "400000");
    web.update(&["--cpu-burst", "0"]).success();
    assert_eq!(web.file("cpu", "cpu.cfs_burst_us"), "0");
    for idle in ["1", "0", "1"] {
        web.update(&["--cpu-idle", idle]).success();
        assert_eq!(web.file("cpu", "cpu.idle"), idle);
    }
    web.update(&["--cpu-period", "10000"]).success();
    assert_eq!(web.file("cpu", "cpu.idle"), "1");
}

/// Go puts both objects into one; so does the configuration that an update begins with.
#[test]
fn an_update_is_kept_where_linux_has_two_names() {
    require!(root, cgroup1);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = limited(&scratch, "web").edit(|config| config["LINUX"] = json!({ "mountLabel": "" }));
    let web = Updated { scratch: &scratch, runtime: &runtime, container: runtime.run_detached(&bundle) };
    web.update(&["--memory", "64M"]).success();
    web.update(&["--pids-limit", "10"]).success();
    assert_eq!(
        [web.file("memory", "memory.limit_in_bytes"), web.file("pids", "pids.max")],
        ["67108864", "10"]
    );
}

/// The new memory limit is fine and is written first; the CPU's is not, and then both are as before.
#[test]
fn an_update_that_is_refused_changes_nothing() {
    require!(root, cgroup1);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let web = Updated::new(&scratch, &runtime, "web");
    let before = web.files();
    for (flags, words) in [
        (vec!["--memory", "64M", "--cpu-period", "5"], "cannot set cpu.period to "),
        (vec!["--memory", "64M", "--cpuset-cpus", "4000"], "cannot set cpu.cpus to "),
        (vec!["--memory", "lots"], "invalid value for memory: "),
        (vec!["--cpu-share", "-1"], "invalid value for cpu-share: "),
        (vec!["--cpu-share", "1"], "the minimum allowed cpu-shares is 2"),
        (vec!["--l3-cache-schema", "L3:0=f"], "Intel RDT/CAT: l3 cache schema is not enabled"),
    ] {
        let outcome = web.update(&flags).exits_with(1);
        assert!(outcome.stderr.contains(words), "{words}: {outcome}");
        assert_eq!(web.files(), before, "{flags:?}");
    }
    let outcome = web.update_from(&json!({ "memory": { "limit": "much" } })).exits_with(1);
    assert!(outcome.stderr.contains("stdin: invalid value at memory.limit"), "{outcome}");
    assert_eq!(web.files(), before);
    // What was refused is not remembered either.
    web.update(&["--pids-limit", "11"]).success();
    assert_eq!(web.file("memory", "memory.limit_in_bytes"), "33554432");
}

#[test]
fn a_limit_below_what_is_used_is_refused_with_both_figures() {
    require!(root, cgroup1);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle =
        limited(&scratch, "full").script("dd if=/dev/zero of=/dev/shm/x bs=1M count=8 && exec sleep 60");
    let container = runtime.run_detached(&bundle);
    let full = Updated { scratch: &scratch, runtime: &runtime, container };
    knarr_tests::eventually(process::DEADLINE, || {
        let used: u64 = full.file("memory", "memory.usage_in_bytes").parse().expect("a number");
        (used > 8 << 20).then_some(())
    });
    // Without swap the kernel cannot make room.
    full.update(&["--memory", "32M", "--memory-swap", "32M"]).success();
    let outcome = full.update(&["--memory", "2M", "--memory-swap", "32M"]);
    if outcome.code() == 1 {
        assert!(
            outcome.stderr.contains("unable to set memory limit to 2097152 (current usage: "),
            "{outcome}"
        );
    } else {
        // The kernel found swap to move it to.
        assert_eq!(full.file("memory", "memory.limit_in_bytes"), "2097152");
    }
}

#[test]
fn a_paused_container_is_updated_and_stays_paused_and_a_stopped_one_is_not() {
    require!(root, cgroup1);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let web = Updated::new(&scratch, &runtime, "web");
    runtime.call(["pause", "web"]).success();
    web.update(&["--pids-limit", "30"]).success();
    assert_eq!(web.file("pids", "pids.max"), "30");
    assert_eq!(web.container.status(), "paused");
    runtime.call(["resume", "web"]).success();
    web.container.kill("KILL").success();
    knarr_tests::eventually(process::DEADLINE, || (web.container.status() == "stopped").then_some(()));
    let outcome = web.update(&["--pids-limit", "31"]).exits_with(1);
    assert!(outcome.stderr.contains("container not running"), "{outcome}");
}
