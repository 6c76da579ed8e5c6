//! Configurations that no person would write: a full one with parts replaced by nasty values, and its bytes damaged.
//! Nothing panics, and what is planned all the same keeps its promises. `PROPTEST_CASES=100000` makes a long run of it.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::args::globals::Rootless;
use crate::cgroup;
use crate::cgroup::plan::Driver;
use crate::host::Host;
use crate::plan::Plan;
use crate::security::seccomp;
use crate::spec::Spec;

/// Has every part that a plan looks at, so that there is something to damage.
fn full() -> Value {
    let map = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }, { "containerID": 20, "hostID": 5000, "size": 7 }]);
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "h", "domainname": "d",
        "process": {
            "terminal": true, "consoleSize": { "height": 4, "width": 5 },
            "user": { "uid": 1, "gid": 2, "umask": 18, "additionalGids": [3, 4] },
            "args": ["a", "b"], "env": ["PATH=/bin", "A=b"], "cwd": "/c",
            "capabilities": { "bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"], "ambient": [] },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 9, "soft": 8 }],
            "oomScoreAdj": 5, "noNewPrivileges": true,
            "scheduler": { "policy": "SCHED_BATCH", "nice": 3 },
            "ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 3 }
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/a/b", "type": "bind", "source": "/x", "options": ["rbind", "ro", "rslave"] },
            { "destination": "/cg", "type": "cgroup", "source": "cgroup", "options": ["ro"] }
        ],
        "hooks": { "poststop": [{ "path": "/h", "args": ["h"], "env": ["A=b"], "timeout": 3 }] },
        "annotations": { "a": "b" },
        "linux": {
            "cgroupsPath": "/p/q",
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "user" }, { "type": "uts" }, { "type": "time" }, { "type": "ipc" }],
            "uidMappings": map, "gidMappings": map,
            "timeOffsets": { "monotonic": { "secs": 5, "nanosecs": 6 } },
            "sysctl": { "kernel.msgmax": "1" },
            "maskedPaths": ["/m"], "readonlyPaths": ["/r"], "rootfsPropagation": "slave",
            "devices": [{ "path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0 }],
            "resources": {
                "devices": [{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "r" }],
                "memory": { "limit": 1_000_000, "swap": 2_000_000, "reservation": 5 },
                "cpu": { "shares": 100, "quota": 1000, "period": 5000, "cpus": "0-1", "mems": "0" },
                "pids": { "limit": 10 },
                "blockIO": { "weight": 10, "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 600 }] },
                "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 }],
                "unified": { "memory.high": "5" }
            },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_EQ" }] }]
            }
        }
    })
}

/// A JSON pointer to every part.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found));
        }
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn nasty() -> impl Strategy<Value = Value> {
    let numbers =
        select(vec![0, 1, -1, -2, 1001, 65535, 1 << 31, (1 << 32) - 1, 1 << 32, i64::MAX, i64::MIN]);
    let words = select(vec![
        "",
        "/",
        ".",
        "..",
        "/..",
        "../../x",
        "/a/../../b",
        "//",
        "a\0b",
        "a\nb",
        "/proc/self",
        "/proc/../sys",
        "-1",
        "0-",
        "0-99999",
        "0-4294967295",
        "max",
        "9999999999999999999999",
        "SCMP_ACT_KILL",
        "SCMP_ACT_NOTIFY",
        "SCMP_ARCH_X32",
        "CAP_NONE",
        "user",
        "bind",
        "remount",
        "idmap",
        "rro",
        "mode=9",
        "size=-1",
        "memory.max",
        "kernel.domainname",
        "net.ipv4.x/../y",
        "ä",
        "\u{202e}",
    ]);
    prop_oneof![
        numbers.prop_map(|number| json!(number)),
        words.prop_map(|word| json!(word)),
        any::<u64>().prop_map(|number| json!(number)),
        ".{0,40}".prop_map(|text| json!(text)),
        (1_usize..6000).prop_map(|length| json!("x".repeat(length))),
        select(vec![
            json!(null),
            json!(true),
            json!([]),
            json!({}),
            json!([[]]),
            json!(1.5),
            json!(["a", "a"])
        ]),
    ]
}

/// Parses and plans; panics when a promise is broken.
fn judge(text: &[u8]) {
    let Ok(spec) = Spec::parse(text, Path::new("config.json")) else { return };
    if let Some(profile) = &spec.linux.seccomp {
        drop(seccomp::compile(profile));
    }
    let host = Host::probe(Rootless::No).expect("procfs");
    let id = "container".parse().expect("an id");
    if let Ok(cgroups) = cgroup::plan::plan(&spec, &id, &host, Driver::Cgroupfs) {
        for path in &cgroups.paths.hierarchies {
            let bad = |name: &str| matches!(name, "." | "..") || name.contains(['\0', '\n']);
            assert!(path.path.len() > 1 && !path.path.split('/').any(bad), "{path:?}");
        }
    }
    let Ok(plan) = Plan::new(&spec, Path::new("/bundle")) else { return };
    let leads_up =
        |path: &str| path.starts_with('/') || path.contains('\0') || path.split('/').any(|name| name == "..");
    let mounts = plan.root.mounts.iter().map(|mount| &mount.destination);
    let devices = plan.root.devices.iter().flatten().map(|device| &device.path);
    for path in mounts.chain(devices).chain(&plan.root.masked).chain(&plan.root.readonly) {
        assert!(!leads_up(path), "{path:?}");
    }
    for mount in &plan.root.mounts {
        let first = mount.destination.strip_prefix("proc/");
        assert!(
            first.is_none_or(|inside| !inside.starts_with("self") && !inside.starts_with('1')),
            "{mount:?}"
        );
    }
    assert!(
        plan.root.path.is_absolute() && plan.process.cwd.starts_with('/') && !plan.process.argv.is_empty()
    );
    assert!(
        plan.process.user.uid != u32::MAX && plan.process.user.gid != u32::MAX,
        "-1 means unchanged to the kernel"
    );
}

fn cases(few: u32) -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = few;
    }
    config
}

#[test]
fn the_full_configuration_is_planned() {
    let spec = Spec::parse(full().to_string().as_bytes(), Path::new("config.json")).expect("it parses");
    Plan::new(&spec, Path::new("/bundle")).expect("it is planned");
    seccomp::compile(spec.linux.seccomp.as_ref().expect("it has one")).expect("it compiles");
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn parts_that_are_replaced_break_no_promise(changes in proptest::collection::vec((any::<prop::sample::Index>(), nasty()), 1..6)) {
        let mut config = full();
        for (index, value) in changes {
            let mut found = Vec::new();
            pointers(&config, "", &mut found);
            let at = index.get(&found).clone();
            if let (false, Some(part)) = (at.is_empty(), config.pointer_mut(&at)) {
                *part = value;
            }
        }
        judge(config.to_string().as_bytes());
    }

    #[test]
    fn bytes_that_are_damaged_break_no_promise(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8)) {
        let mut text = full().to_string().into_bytes();
        for (index, byte, kind) in changes {
            let at = index.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => drop(text.remove(at)),
                _ => text.insert(at, byte),
            }
        }
        judge(&text);
    }
}
