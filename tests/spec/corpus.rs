//! The corpus of bad configurations: a whole good config.json, each of its values made wrong in turn. The runtime
//! refuses each before it touches the host, with the JSON path of the value in the message; what the specification has
//! it ignore or warn about is listed by name. Tested on the runtime's own creation, not on its parser.

use std::path::PathBuf;

use knarr_tests::leftovers::{cgroup_roots, remove_cgroup_tree};
use knarr_tests::{Bundle, Outcome, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::differs;

/// A configuration with every property that Linux has set.
fn whole(config: &mut Value) {
    let process = &mut config["process"];
    process["consoleSize"] = json!({ "height": 24, "width": 80 });
    process["user"] = json!({ "uid": 0, "gid": 0, "umask": 18, "additionalGids": [5] });
    process["capabilities"]["inheritable"] = json!(["CAP_KILL"]);
    process["capabilities"]["ambient"] = json!(["CAP_KILL"]);
    process["oomScoreAdj"] = json!(100);
    process["scheduler"] =
        json!({ "policy": "SCHED_BATCH", "nice": 1, "priority": 0, "flags": ["SCHED_FLAG_RESET_ON_FORK"] });
    process["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 4 });
    process["execCPUAffinity"] = json!({ "initial": "0", "final": "0" });
    config["domainname"] = json!("example.org");
    config["annotations"] = json!({ "org.example.key": "value" });
    let hook = json!([{ "path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5 }]);
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        config["hooks"][kind] = hook.clone();
    }
    let mounts = config["mounts"].as_array_mut().expect("a list");
    mounts.push(
        json!({ "destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=1m"] }),
    );
    linux(&mut config["linux"]);
}

fn linux(linux: &mut Value) {
    linux["devices"] = json!([{ "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0 }]);
    linux["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    linux["rootfsPropagation"] = json!("rslave");
    linux["personality"] = json!({ "domain": "LINUX", "flags": [] });
    linux["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "time" }));
    linux["timeOffsets"] = json!({ "monotonic": { "secs": 1, "nanosecs": 2 } });
    linux["resources"] = json!({
        "devices": [{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw" }],
        "memory": { "limit": 67_108_864, "reservation": 33_554_432, "swappiness": 10, "disableOOMKiller": false },
        "cpu": { "shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0" },
        "pids": { "limit": 100 },
    });
    linux["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                       "args": [{ "index": 1, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ" }] }],
    });
}

/// What is done to a value.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    /// A value of another JSON type.
    OtherType,
    /// A list where a value is, or a value where a list or an object is.
    OtherShape,
    /// A number that no field takes.
    OutOfRange,
    /// A word that nobody knows, with a NUL character.
    Nul,
}

const ALL: [Mutation; 4] = [Mutation::OtherType, Mutation::OtherShape, Mutation::OutOfRange, Mutation::Nul];

impl Mutation {
    /// The wrong value in place of this one; none when the mutation has no sense for it.
    fn of(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::OtherType, Value::String(_)) => Some(json!(7)),
            (Self::OtherType, Value::Number(_) | Value::Bool(_)) => Some(json!("seven")),
            (Self::OtherType, Value::Array(_)) => Some(json!({ "a": 1 })),
            (Self::OtherType, Value::Object(_)) => Some(json!([1])),
            (Self::OtherShape, Value::Array(_) | Value::Object(_)) => Some(json!(true)),
            (Self::OtherShape, _) => Some(json!([["deep"]])),
            (Self::OutOfRange, Value::Number(_)) => Some(json!(1.5e300)),
            (Self::Nul, Value::String(text)) => Some(json!(format!("{text}\0x"))),
            _ => None,
        }
    }
}

/// The JSON pointers of every value below the top.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    if !at.is_empty() {
        found.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                pointers(inner, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                pointers(inner, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// `/mounts/1/options/0` as the runtime writes it: `mounts[1].options[0]`.
fn path(pointer: &str) -> String {
    let mut text = String::new();
    for part in pointer.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(index) => text.push_str(&format!("[{index}]")),
            Err(_) if text.is_empty() => text.push_str(part),
            Err(_) => text.push_str(&format!(".{part}")),
        }
    }
    text
}

/// Tries each configuration that `change` makes of the whole good one, and returns what is wrong with how the runtime
/// took it.
fn try_all(change: impl Fn(&Value) -> Vec<(String, Value)>) -> (usize, Vec<String>) {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").script("echo it ran").edit(whole);
    runtime.run(&bundle).success();
    remove_cgroups(&scratch);
    let file: PathBuf = bundle.path().join("config.json");
    let cases = change(bundle.config());
    let count = cases.len();
    let mut wrong = Vec::new();
    for (named, config) in cases {
        std::fs::write(&file, config.to_string()).expect("config.json can be written");
        let outcome = runtime.finish(&mut runtime.verb("create", &bundle));
        if let Some(complaint) = complaint(&outcome, &named, &runtime, !cgroups(&scratch).is_empty()) {
            wrong.push(complaint);
            // Its process goes first: a cgroup is waited for as long as there is one in it.
            runtime.call(["delete", "--force", "one"]);
            remove_cgroups(&scratch);
        }
    }
    scratch.assert_nothing_left();
    (count, wrong)
}

/// What a runtime made on the way to the container's cgroup.
fn cgroups(scratch: &Scratch) -> Vec<PathBuf> {
    let prefix = scratch.cgroup_prefix();
    let paths = cgroup_roots().into_iter().map(|root| root.join(prefix.trim_start_matches('/')));
    paths.filter(|path| path.exists()).collect()
}

fn remove_cgroups(scratch: &Scratch) {
    cgroups(scratch).iter().for_each(|path| remove_cgroup_tree(path));
}

fn complaint(outcome: &Outcome, named: &str, runtime: &Runtime<'_>, has_cgroup: bool) -> Option<String> {
    let said = outcome.stderr.trim();
    // No words of a process that was there already: the refusal came first.
    let is_early =
        !["error during container init", "panicked", "cannot write /"].iter().any(|text| said.contains(text));
    let has_state = std::fs::read_dir(runtime.root()).is_ok_and(|mut entries| entries.next().is_some());
    match (outcome.code(), said.contains(named)) {
        (1, true) if is_early && !has_state && !has_cgroup => None,
        (code, _) => {
            Some(format!("{named}: exit {code}, state left: {has_state}, cgroup made: {has_cgroup}: {said}"))
        }
    }
}

#[test]
fn a_value_of_a_wrong_type_anywhere_is_refused_by_its_path() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 names few paths and takes some of it (config.md, Valid values: a MUST)",
        "runc" => "1.1.5 names no paths",
        "crun" => "1.8.1 takes most of it",
    );
    let (count, wrong) = try_all(|good| {
        let mut places = Vec::new();
        pointers(good, "", &mut places);
        let cases = ALL.iter().flat_map(|mutation| places.iter().map(move |place| (*mutation, place)));
        cases
            .filter_map(|(mutation, place)| {
                let mut config = good.clone();
                let value = config.pointer_mut(place).expect("it was found there");
                *value = mutation.of(value)?;
                Some((path(place), config))
            })
            .collect()
    });
    assert!(count >= 300, "only {count} cases");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// A place, the text of a wrong value for it, and the path that the message must name.
const MEANINGLESS: [(&str, &str, &str); 70] = [
    ("/ociVersion", r#""2.0.0""#, "ociVersion"),
    ("/ociVersion", r#""""#, "ociVersion"),
    ("/root/path", r#""""#, "root.path"),
    ("/root", r#"null"#, "root"),
    ("/process", r#"null"#, "process"),
    ("/process/args", r#"[]"#, "process.args"),
    ("/process/args", r#"null"#, "process.args"),
    ("/process/cwd", r#""""#, "process.cwd"),
    ("/process/cwd", r#""relative""#, "process.cwd"),
    ("/process/env/0", r#""NOTHING""#, "process.env[0]"),
    ("/process/env/1", r#""=x""#, "process.env[1]"),
    ("/process/user/uid", r#"-1"#, "process.user.uid"),
    ("/process/user/uid", r#"4294967295"#, "process.user.uid"),
    ("/process/user/gid", r#"4294967295"#, "process.user.gid"),
    ("/process/user/gid", r#"4294967296"#, "process.user.gid"),
    ("/process/user/additionalGids/0", r#"4294967295"#, "process.user.additionalGids[0]"),
    ("/process/user/umask", r#"512"#, "process.user.umask"),
    ("/process/rlimits/0/type", r#""RLIMIT_WARP""#, "process.rlimits[0].type"),
    ("/process/rlimits/0/type", r#""""#, "process.rlimits[0].type"),
    ("/process/rlimits/0/soft", r#"2048"#, "process.rlimits[0].soft"),
    ("/process/oomScoreAdj", r#"1001"#, "process.oomScoreAdj"),
    ("/process/oomScoreAdj", r#"-1001"#, "process.oomScoreAdj"),
    ("/process/scheduler/policy", r#""SCHED_WARP""#, "process.scheduler.policy"),
    ("/process/scheduler/nice", r#"20"#, "process.scheduler.nice"),
    ("/process/scheduler/priority", r#"-1"#, "process.scheduler.priority"),
    ("/process/scheduler/flags/0", r#""WARP""#, "process.scheduler.flags"),
    ("/process/ioPriority/class", r#""IOPRIO_CLASS_WARP""#, "process.ioPriority.class"),
    ("/process/ioPriority/priority", r#"8"#, "process.ioPriority.priority"),
    ("/process/ioPriority/priority", r#"-1"#, "process.ioPriority.priority"),
    ("/process/execCPUAffinity/initial", r#""x""#, "process.execCPUAffinity.initial"),
    ("/process/execCPUAffinity/final", r#""3-1""#, "process.execCPUAffinity.final"),
    ("/mounts/0/destination", r#""""#, "mounts[0]"),
    ("/mounts/0/destination", r#""/""#, "mounts[0]"),
    ("/mounts/7/destination", r#""/proc/sys""#, "mounts[7]"),
    ("/mounts/7/type", r#""""#, "mounts[7]"),
    ("/mounts/7/options", r#"["bind", "size=1m"]"#, "mounts[7]"),
    ("/mounts/7/options", r#"["idmap"]"#, "mounts[7]"),
    ("/hooks/prestart/0/path", r#""bin/true""#, "hooks.prestart[0].path"),
    ("/hooks/poststop/0/path", r#""""#, "hooks.poststop[0].path"),
    ("/hooks/createRuntime/0/timeout", r#"0"#, "hooks.createRuntime[0].timeout"),
    ("/hooks/createContainer/0/timeout", r#"-1"#, "hooks.createContainer[0].timeout"),
    ("/hooks/startContainer/0/env/0", r#""NOTHING""#, "hooks.startContainer[0].env"),
    ("/linux/namespaces/0/type", r#""warp""#, "linux.namespaces[0].type"),
    ("/linux/namespaces/0/type", r#""ipc""#, "linux.namespaces"),
    ("/linux/namespaces/0/type", r#""""#, "linux.namespaces[0].type"),
    ("/linux/uidMappings", r#"[{ "containerID": 0, "hostID": 1, "size": 1 }]"#, "linux.uidMappings"),
    ("/linux/devices/0/path", r#""dev/fuse""#, "linux.devices[0]"),
    ("/linux/devices/0/path", r#""""#, "linux.devices[0]"),
    ("/linux/devices/0/type", r#""w""#, "linux.devices[0].type"),
    ("/linux/devices/0/major", r#"-1"#, "linux.devices[0]"),
    ("/linux/devices/0/minor", r#"-1"#, "linux.devices[0]"),
    ("/linux/sysctl", r#"{ "kernel.panic": "1" }"#, "linux.sysctl"),
    ("/linux/rootfsPropagation", r#""sideways""#, "linux.rootfsPropagation"),
    ("/linux/maskedPaths/0", r#""proc/kcore""#, "linux.maskedPaths[0]"),
    ("/linux/readonlyPaths/1", r#""""#, "linux.readonlyPaths[1]"),
    ("/linux/personality/domain", r#""WARP""#, "linux.personality.domain"),
    ("/linux/personality/flags", r#"["WARP"]"#, "linux.personality.flags"),
    ("/linux/timeOffsets", r#"{ "realtime": { "secs": 1 } }"#, "linux.timeOffsets"),
    ("/linux/timeOffsets/monotonic/nanosecs", r#"1000000000"#, "linux.timeOffsets.monotonic.nanosecs"),
    ("/linux/seccomp/defaultAction", r#""SCMP_ACT_WARP""#, "linux.seccomp.defaultAction"),
    ("/linux/seccomp/architectures/0", r#""SCMP_ARCH_WARP""#, "linux.seccomp.architectures[0]"),
    ("/linux/seccomp/flags/0", r#""WARP""#, "linux.seccomp.flags[0]"),
    ("/linux/seccomp/syscalls/0/action", r#""WARP""#, "linux.seccomp.syscalls[0].action"),
    ("/linux/seccomp/syscalls/0/names", r#"[]"#, "linux.seccomp.syscalls[0].names"),
    ("/linux/seccomp/syscalls/0/args/0/op", r#""WARP""#, "linux.seccomp.syscalls[0].args[0].op"),
    ("/linux/seccomp/syscalls/0/args/0/index", r#"6"#, "linux.seccomp.syscalls[0].args[0].index"),
    ("/linux/cgroupsPath", r#""../../x""#, "linux.cgroupsPath"),
    ("/linux/resources/cpu/cpus", r#""x""#, "linux.resources.cpu.cpus"),
    ("/linux/resources/devices/1/type", r#""w""#, "linux.resources.devices[1]"),
    ("/annotations", r#"{ "": "x" }"#, "annotations"),
];

#[test]
fn a_value_without_a_meaning_is_refused_by_its_path() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 names few paths and takes some of it (config.md, Valid values: a MUST)",
        "runc" => "1.1.5 names no paths",
        "crun" => "1.8.1 takes most of it",
    );
    let (count, wrong) = try_all(|good| {
        let too_long = [
            ("/hostname", json!("n".repeat(65)), "hostname"),
            ("/domainname", json!("n".repeat(65)), "domainname"),
            ("/linux/cgroupsPath", json!("x".repeat(5000)), "linux.cgroupsPath"),
        ];
        let parsed = MEANINGLESS.into_iter().map(|(place, text, named)| {
            (place, serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")), named)
        });
        parsed
            .chain(too_long)
            .map(|(place, value, named): (&str, Value, &str)| {
                let mut config = good.clone();
                match config.pointer_mut(place) {
                    Some(there) => *there = value,
                    None => {
                        let (parent, key) = place.rsplit_once('/').expect("a pointer");
                        config.pointer_mut(parent).expect("its parent is there")[key] = value;
                    }
                }
                (named.to_owned(), config)
            })
            .collect()
    });
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
