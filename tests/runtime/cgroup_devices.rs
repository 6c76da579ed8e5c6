//! Device rules, tried from inside the container: what is not allowed cannot be opened, whoever made the node. On v1 by
//! the devices cgroup, on v2 by a BPF program; both and runc must come to the same.

use knarr_tests::{Bundle, Runtime, Scratch, process, require};
use serde_json::{Value, json};

/// Makes nodes and opens them, as a process that may make any.
const PROBE: &str = r#"
try() { if sh -c "$2" 2>/dev/null; then echo "$1 yes"; else echo "$1 no"; fi; }
mkdir -p /nodes
try make-null 'mknod /nodes/null c 1 3'
try make-kmsg 'mknod /nodes/kmsg c 1 11'
try make-mem 'mknod /nodes/mem c 1 1'
try make-loop 'mknod /nodes/loop b 7 0'
try read-null ': </nodes/null'
try write-null ': >/nodes/null'
try read-kmsg ': </nodes/kmsg'
try write-kmsg ': >/nodes/kmsg'
try both-kmsg ': <>/nodes/kmsg'
try read-mem ': </nodes/mem'
try read-loop ': </nodes/loop'
try read-zero 'dd if=/dev/zero of=/dev/null bs=1 count=1'
"#;

fn bundle(scratch: &Scratch, name: &str, rules: &Value) -> Bundle {
    Bundle::busybox(scratch, name).script(PROBE).edit(|config| {
        let capabilities = json!(["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYSLOG", "CAP_SYS_RAWIO"]);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = capabilities.clone();
        }
        // Without a tmpfs of its own, /nodes is on the machine's disk, which may be mounted nodev.
        let tmpfs =
            json!({ "destination": "/nodes", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] });
        config["mounts"].as_array_mut().expect("mounts").push(tmpfs);
        config["linux"]["resources"] = json!({ "devices": rules });
    })
}

/// `what yes` lines for v1, v2 and runc.
fn answers(rules: &Value) -> [Vec<String>; 3] {
    let scratch = Scratch::new();
    let lines = |text: String| text.lines().map(str::to_owned).collect();
    let ours = Runtime::new(&scratch);
    let v1 = ours.run(&bundle(&scratch, "v1", rules)).success();
    let bundled = bundle(&scratch, "v2", rules);
    let mut on_v2 = scratch.on_v2(ours.program());
    on_v2.arg("--root").arg(ours.root()).args(["run", "--bundle"]).arg(bundled.path()).arg(bundled.id());
    let v2 = process::run(&mut on_v2).success();
    let runc = Runtime::other(&scratch, "runc").run(&bundle(&scratch, "runc", rules)).success();
    [lines(v1.stdout), lines(v2.stdout), lines(runc.stdout)]
}

fn allowed(answers: &[String]) -> Vec<&str> {
    answers.iter().filter_map(|line| line.strip_suffix(" yes")).collect()
}

const ALWAYS: [&str; 7] =
    ["make-null", "make-kmsg", "make-mem", "make-loop", "read-null", "write-null", "read-zero"];

#[test]
fn only_the_usual_devices_can_be_opened() {
    require!(root, tool("runc"), cgroup1);
    let [v1, v2, runc] = answers(&json!([{ "allow": false, "access": "rwm" }]));
    assert_eq!(allowed(&v1), ALWAYS);
    assert_eq!(v2, v1);
    assert_eq!(runc, v1);
}

#[test]
fn a_device_can_be_allowed_for_reading_alone() {
    require!(root, tool("runc"), cgroup1);
    let [v1, v2, runc] = answers(&json!([
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" }
    ]));
    assert!(allowed(&v1).contains(&"read-kmsg"), "{v1:?}");
    assert!(!allowed(&v1).contains(&"write-kmsg") && !allowed(&v1).contains(&"both-kmsg"), "{v1:?}");
    assert_eq!(v2, v1);
    assert_eq!(runc, v1);
}

/// runc's own v2 program lets through what is opened for reading and writing when only one of them is denied, so that
/// it is compared with v1 here.
#[test]
fn all_devices_but_some_can_be_allowed() {
    require!(root, tool("runc"), cgroup1);
    let [v1, v2, runc] = answers(&json!([
        { "allow": true, "access": "rwm" },
        { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "w" },
        { "allow": false, "type": "b", "major": 7, "access": "r" }
    ]));
    assert!(allowed(&v1).contains(&"read-kmsg"), "{v1:?}");
    for denied in ["write-kmsg", "both-kmsg", "read-loop"] {
        assert!(!allowed(&v1).contains(&denied), "{denied}: {v1:?}");
    }
    assert_eq!(v2, v1);
    assert_eq!(runc, v1);
}
