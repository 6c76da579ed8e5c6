//! Containers whose first process is not where it was put: in a time namespace, or in another cgroup by now.

use std::fs;

use knarr_tests::process::DEADLINE;
use knarr_tests::{Bundle, Runtime, Scratch, eventually};
use serde_json::json;

use crate::Check;

pub(crate) const V2: &[Check] = &[
    ("the_first_process_has_the_offsets_of_its_time_namespace", time_offsets),
    ("exec_follows_the_first_process_into_a_cgroup_inside", exec_inside),
    ("exec_follows_the_first_process_out_of_a_removed_cgroup", exec_outside),
];

/// Linux before 6.3 does not enter a time namespace by exec.
fn time_offsets() {
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "late").args(["cat", "/proc/uptime"]).edit(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 7_000_000 } });
    });
    let uptime = Runtime::new(&scratch).run(&bundle).success().stdout;
    assert!(uptime.starts_with("7000"), "{uptime}");
}

/// As with systemd in a container: the cgroup that hands controllers down takes nobody in.
fn exec_inside() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let script = "cd /sys/fs/cgroup && mkdir in && echo 1 >in/cgroup.procs && echo +pids >cgroup.subtree_control && exec sleep 600";
    let bundle = Bundle::busybox(&scratch, "inside").script(script).edit(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "cgroup" }));
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").expect("a cgroup mount");
        cgroup["options"] = json!(["nosuid", "noexec", "nodev"]);
    });
    let container = runtime.run_detached(&bundle);
    let handed_down = format!("/sys/fs/cgroup{}/cgroup.subtree_control", scratch.cgroup("inside"));
    eventually(DEADLINE, || {
        fs::read_to_string(&handed_down).is_ok_and(|text| text.contains("pids")).then_some(())
    });
    assert_eq!(container.exec(["cat", "/proc/self/cgroup"]).success().stdout, "0::/in\n");
    let explicit = runtime.call(["exec", "--cgroup", "/", "inside", "true"]);
    assert!(explicit.stderr.contains("hands controllers down"), "{explicit}");
}

fn exec_outside() {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "left").args(["sleep", "600"]);
    let container = runtime.run_detached(&bundle);
    let elsewhere = scratch.cgroup("elsewhere");
    let directory = format!("/sys/fs/cgroup{elsewhere}");
    fs::create_dir(&directory).expect("a cgroup");
    fs::write(format!("{directory}/cgroup.procs"), container.pid().to_string()).expect("a move");
    fs::remove_dir(format!("/sys/fs/cgroup{}", scratch.cgroup("left"))).expect("nobody is in it");
    assert_eq!(container.exec(["cat", "/proc/self/cgroup"]).success().stdout, format!("0::{elsewhere}\n"));
    drop(container);
    fs::remove_dir(&directory).expect("nobody is in it any more");
}
