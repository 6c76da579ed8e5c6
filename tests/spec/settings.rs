//! `linux.sysctl`, `linux.timeOffsets`, `annotations`.

use std::fs;

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::{differs, output, refusal};

#[test]
fn settings_of_own_namespaces_are_the_containers_alone() {
    require!(root, tool("busybox"));
    let before = fs::read_to_string("/proc/sys/kernel/shmmax").expect("the host's");
    let script =
        "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmax fs/mqueue/msg_max net/ipv4/conf/lo/forwarding";
    let seen = output(script, |config| {
        config["linux"]["sysctl"] = json!({
            "net.ipv4.ip_forward": "1",
            "kernel.shmmax": "1234567",
            "fs.mqueue.msg_max": "17",
            "net/ipv4/conf/lo/forwarding": "0",
        });
    });
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[1..3], ["1234567", "17"]);
    assert!(lines[0] == "1" || lines[3] == "0", "{seen}");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shmmax").expect("the host's"), before);
}

#[test]
fn settings_of_the_host_are_refused() {
    require!(root, tool("busybox"));
    for name in ["kernel.core_pattern", "vm.overcommit_memory", "kernel.panic", "net/../kernel/panic"] {
        let said = refusal(|config| config["linux"]["sysctl"] = json!({ name: "1" }));
        // A path that climbs is refused by runc 1.1.5 only because nothing is there.
        let is_named = said.contains(name) || name.contains("..") && crate::is("runc");
        assert!(is_named || crate::is("crun"), "{said}");
    }
    let without = |kind: &'static str, name: &'static str| {
        refusal(move |config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
            namespaces.retain(|namespace| namespace["type"] != kind);
            config["linux"]["sysctl"] = json!({ name: "1" });
        })
    };
    without("network", "net.ipv4.ip_forward");
    without("ipc", "kernel.shmmax");
}

#[test]
fn a_setting_that_the_kernel_does_not_take_ends_the_creation() {
    require!(root, tool("busybox"));
    let said = refusal(|config| config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "many" }));
    assert!(said.contains("ip_forward"), "{said}");
    let said = refusal(|config| config["linux"]["sysctl"] = json!({ "net.warp.factor": "9" }));
    assert!(said.contains("warp"), "{said}");
}

#[test]
fn clocks_of_a_time_namespace_are_set_off() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 has no time namespace (runtime-spec 1.1)", "crun" => "1.8.1 takes ociVersion 1.0 alone");
    let script = "cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime";
    let seen = output(script, |config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] =
            json!({ "monotonic": { "secs": 1_000_000, "nanosecs": 7 }, "boottime": { "secs": 5_000_000 } });
    });
    let words: Vec<&str> = seen.split_whitespace().collect();
    assert_eq!(words[..6], ["monotonic", "1000000", "7", "boottime", "5000000", "0"]);
    let uptime: u64 = words[6].parse().expect("seconds");
    assert!(uptime >= 5_000_000, "{uptime}");
}

#[test]
fn offsets_without_a_time_namespace_or_of_unknown_clocks_are_refused() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 has words of its own", "runc" => "1.1.5 has no time namespace (runtime-spec 1.1)", "crun" => "1.8.1 ignores them");
    let said = refusal(|config| config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 1 } }));
    assert!(said.contains("timeOffsets"), "{said}");
    for offsets in
        [json!({ "realtime": { "secs": 1 } }), json!({ "monotonic": { "nanosecs": 1_000_000_000 } })]
    {
        let said = refusal(|config| {
            config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "time" }));
            config["linux"]["timeOffsets"] = offsets;
        });
        assert!(said.contains("timeOffsets"), "{said}");
    }
}

#[test]
fn annotations_are_repeated_by_the_state() {
    require!(root, tool("busybox"));
    let annotations =
        json!({ "org.example.name": "värde \"quoted\"", "empty": "", "com.example/a": "b=c\n" });
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").edit(|config| config["annotations"] = annotations.clone());
    let container = runtime.create(&bundle);
    let state = runtime.state(container.id()).expect("it is there");
    for (key, value) in annotations.as_object().expect("an object") {
        assert_eq!(&state["annotations"][key], value, "{key}");
    }
}

#[test]
fn unknown_properties_and_annotations_are_no_reason_to_refuse() {
    require!(root, tool("busybox"));
    // runtime-spec, "Extensibility": "runtimes … MUST NOT generate an error if they encounter an unknown property".
    let unknown: Value = json!({ "deep": [1, { "er": null }] });
    output("true", |config| {
        for place in ["", "/process", "/linux", "/root", "/linux/resources", "/mounts/0", "/process/user"] {
            let object = config.pointer_mut(place).expect("it is there").as_object_mut().expect("an object");
            object.insert("org.example.unknown".to_owned(), unknown.clone());
        }
        config["annotations"] = json!({ "org.example.unknown": "1" });
    });
}
