//! What two containers, or a container and the host, could share without being told so: keys, memory and queues of
//! System V, names, clocks. Class R34.

use std::fs;

use knarr_tests::{Bundle, Runtime, Scratch, process, require};
use serde_json::json;

use crate::attacker;

/// Leaves a key, a shared memory segment and a name, as `attacker leave` does, or looks for them.
fn both(first: &Bundle, scratch: &Scratch, runtime: &Runtime<'_>) -> (String, String) {
    let (left, found) = (
        first.another(scratch, "leaves").args(["attacker", "leave"]),
        first.another(scratch, "looks").args(["attacker", "look"]),
    );
    // The first one has to be there still while the second looks.
    let waiting = left.script("attacker leave >/tmp/left && exec sleep 600");
    let container = runtime.run_detached(&waiting);
    let path = first.rootfs().join("tmp/left");
    let left = knarr_tests::eventually(process::DEADLINE, || {
        let text = fs::read_to_string(&path).ok()?;
        text.contains("end\n").then_some(text)
    });
    let found = runtime.run(&found).success().stdout;
    drop(container);
    fs::remove_file(&path).expect("ours");
    (left, found)
}

#[test]
fn keys_and_shared_memory_of_one_container_are_not_anothers() {
    require!(root, tool("busybox"), tool("cc"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first");
    attacker::arm(&scratch, &first);
    let (left, found) = both(&first, &scratch, &runtime);
    assert_eq!(left, "key worked\nmemory worked\nend\n");
    assert_eq!(found, "key ENOKEY\nmemory ENOENT\nend\n");

    // The control: who enters the same container finds both.
    let container = runtime.run_detached(&first.another(&scratch, "entered").args(["sleep", "600"]));
    container.exec(["attacker", "leave"]).success();
    let entered = container.exec(["attacker", "look"]).success();
    assert_eq!(entered.stdout, "key worked\nmemory worked\nend\n", "{entered}");
}

#[test]
fn clocks_and_names_are_the_containers_own_and_never_the_hosts() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let before = fs::read_to_string("/proc/sys/kernel/hostname").expect("procfs");
    const DAY: u64 = 86_400;
    let look = "cut -d. -f1 /proc/uptime; hostname; cat /proc/self/timens_offsets";
    let shifted = Bundle::busybox(&scratch, "shifted").edit(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] =
            json!({ "boottime": { "secs": 1000 * DAY }, "monotonic": { "secs": 7 } });
        config["hostname"] = json!("shifted");
    });
    let container = runtime.run_detached(&shifted.another(&scratch, "waits").args(["sleep", "600"]));
    let plain = Bundle::busybox(&scratch, "plain").script(look);
    let uptime =
        |text: &str| text.lines().next().and_then(|line| line.parse::<u64>().ok()).expect("an uptime");
    let host =
        uptime(fs::read_to_string("/proc/uptime").expect("procfs").split('.').next().expect("seconds"));
    // Who enters has the container's clocks too; who does not, has not.
    for text in [
        container.exec(["sh", "-c", look]).success().stdout,
        runtime.run(&shifted.another(&scratch, "run").script(look)).success().stdout,
    ] {
        assert!(uptime(&text) >= host + 1000 * DAY && text.contains("shifted\n"), "{text}");
    }
    let text = runtime.run(&plain).success().stdout;
    assert!(uptime(&text) < host + DAY && text.contains("knarr\n"), "{text}");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").expect("procfs"), before);
    let own = fs::read_to_string("/proc/self/timens_offsets").expect("time namespaces");
    assert!(
        own.lines().all(|line| line.split_whitespace().nth(1) == Some("0")),
        "the caller's clocks: {own}"
    );
}
