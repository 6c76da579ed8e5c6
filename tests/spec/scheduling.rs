//! `process.scheduler`, `process.ioPriority`, `process.execCPUAffinity`, `linux.memoryPolicy`, `linux.personality`:
//! since runtime-spec 1.1 to 1.3.

use std::fs;

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::{differs, output, refusal};

/// Nice value, real-time priority and policy: fields 19, 40 and 41 of proc(5)'s stat.
const SCRIPT: &str = "cut -d')' -f2 /proc/self/stat | awk '{print $17, $38, $39}'";

#[track_caller]
fn scheduled(scheduler: Value) -> String {
    output(SCRIPT, move |config| config["process"]["scheduler"] = scheduler)
}

#[test]
fn policies_with_a_nice_value_are_as_given() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 has no scheduler (runtime-spec 1.1)", "crun" => "1.8.1 has no scheduler (runtime-spec 1.1)");
    assert_eq!(scheduled(json!({ "policy": "SCHED_OTHER", "nice": 7 })), "7 0 0\n");
    assert_eq!(scheduled(json!({ "policy": "SCHED_BATCH", "nice": 3 })), "3 0 3\n");
    // sched(7): SCHED_IDLE has no use for a nice value, and the caller's stays.
    let idle = scheduled(json!({ "policy": "SCHED_IDLE" }));
    assert!(idle.ends_with(" 0 5\n"), "{idle}");
}

#[test]
fn real_time_policies_need_and_get_their_priority() {
    require!(root, tool("busybox"), tool("chrt"));
    differs!("runc" => "1.1.5 has no scheduler (runtime-spec 1.1)", "crun" => "1.8.1 has no scheduler (runtime-spec 1.1)");
    let scratch = Scratch::new();
    let allowed = knarr_tests::process::run(scratch.command("/usr/bin/chrt").args(["-f", "1", "true"]));
    if !allowed.status.success() {
        require::skip("scheduling::real_time_policies", "this machine's root may not use real-time policies");
        return;
    }
    // On cgroup v1 with CONFIG_RT_GROUP_SCHED a new cgroup has no real-time budget: then the kernel refuses, and so do
    // we.
    let bundle = Bundle::busybox(&scratch, "one")
        .script(SCRIPT)
        .edit(|config| config["process"]["scheduler"] = json!({ "policy": "SCHED_RR", "priority": 12 }));
    let outcome = Runtime::new(&scratch).run(&bundle);
    if outcome.status.success() {
        assert_eq!(outcome.stdout, "0 12 2\n");
    } else {
        assert!(outcome.stderr.contains("scheduler"), "{outcome}");
    }
}

#[test]
fn a_scheduler_that_contradicts_itself_is_refused() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 has no scheduler (runtime-spec 1.1)", "crun" => "1.8.1 has no scheduler (runtime-spec 1.1)");
    for scheduler in [
        json!({}),
        json!({ "policy": "SCHED_WARP" }),
        json!({ "policy": "SCHED_OTHER", "nice": 20 }),
        json!({ "policy": "SCHED_OTHER", "priority": 1 }),
        json!({ "policy": "SCHED_FIFO", "priority": -1 }),
        json!({ "policy": "SCHED_RR", "runtime": 1 }),
        json!({ "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_WARP"] }),
    ] {
        let said = refusal(|config| config["process"]["scheduler"] = scheduler.clone());
        assert!(said.contains("scheduler"), "{scheduler}: {said}");
    }
}

#[test]
fn the_io_priority_is_as_given() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 has no ioPriority (runtime-spec 1.1)", "crun" => "1.8.1 has no ioPriority (runtime-spec 1.1)");
    let with = |class: &str, priority: i32| {
        output("ionice -p $$", |config| {
            config["process"]["ioPriority"] = json!({ "class": class, "priority": priority });
        })
    };
    assert_eq!(with("IOPRIO_CLASS_BE", 6).trim(), "best-effort: prio 6");
    assert_eq!(with("IOPRIO_CLASS_IDLE", 0).trim().split(':').next(), Some("idle"));
    for wrong in [
        json!({ "class": "IOPRIO_CLASS_WARP" }),
        json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 }),
        json!({ "priority": 1 }),
    ] {
        let said = refusal(|config| config["process"]["ioPriority"] = wrong.clone());
        assert!(said.contains("ioPriority"), "{wrong}: {said}");
    }
}

#[test]
fn the_cpu_affinity_is_that_of_exec_and_not_of_the_first_process() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 has words of its own", "runc" => "1.1.5 has no execCPUAffinity (runtime-spec 1.2)", "crun" => "1.8.1 has no execCPUAffinity (runtime-spec 1.2)");
    let own = fs::read_to_string("/proc/self/status").expect("our status");
    let allowed = own
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("a list")
        .trim()
        .to_owned();
    let first: String = allowed.chars().take_while(char::is_ascii_digit).collect();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]).edit(|config| {
        config["process"]["execCPUAffinity"] = json!({ "initial": first, "final": first });
    });
    let container = runtime.run_detached(&bundle);
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).expect("its status");
    assert!(status.contains(&format!("Cpus_allowed_list:\t{allowed}\n")), "{status}");
    let seen = container.exec(["grep", "Cpus_allowed_list", "/proc/self/status"]).success().stdout;
    assert_eq!(seen, format!("Cpus_allowed_list:\t{first}\n"));
    for wrong in ["x", "1-", "-1", "3-1", "99999"] {
        let said = refusal(|config| config["process"]["execCPUAffinity"] = json!({ "initial": wrong }));
        assert!(said.contains("execCPUAffinity"), "{wrong}: {said}");
    }
}

#[test]
fn the_memory_policy_is_the_first_processs_and_execs() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 has words of its own", "runc" => "1.1.5 has no memoryPolicy (runtime-spec 1.3)", "crun" => "1.8.1 has no memoryPolicy (runtime-spec 1.3)");
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        require::skip("scheduling::the_memory_policy", "this kernel has no NUMA");
        return;
    }
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]).edit(|config| {
        config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_PREFERRED", "nodes": "0" });
    });
    let container = runtime.run_detached(&bundle);
    let first = fs::read_to_string(format!("/proc/{}/numa_maps", container.pid())).expect("its maps");
    assert!(first.lines().all(|line| line.contains("prefer:0")), "{first}");
    let exec = container.exec(["cat", "/proc/self/numa_maps"]).success().stdout;
    assert!(exec.contains("prefer:0"), "{exec}");
    for wrong in [
        json!({ "mode": "MPOL_WARP" }),
        json!({ "mode": "MPOL_BIND" }),
        json!({ "mode": "MPOL_LOCAL", "nodes": "0" }),
    ] {
        let said = refusal(|config| config["linux"]["memoryPolicy"] = wrong.clone());
        assert!(said.contains("linux.memoryPolicy"), "{wrong}: {said}");
    }
}

#[test]
fn the_personality_is_the_processs() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 has words of its own", "crun" => "1.8.1 has no personality", "runc" => "1.1.5 has no personality (runtime-spec 1.0 has it, runc since 1.2)");
    let machine = |domain: &str| {
        output("uname -m", |config| config["linux"]["personality"] = json!({ "domain": domain }))
    };
    assert_ne!(machine("LINUX32"), machine("LINUX"));
    for wrong in
        [json!({ "domain": "WINDOWS" }), json!({ "domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"] })]
    {
        let said = refusal(|config| config["linux"]["personality"] = wrong.clone());
        assert!(said.contains("linux.personality"), "{wrong}: {said}");
    }
}
