//! What the runtime's sweeps share: how a container is deleted after a fault, what may be left of it, and one with
//! everything on.

use std::fs;

use knarr_tests::eventually::holds_within;
use knarr_tests::leftovers::Leftovers;
use knarr_tests::{Bundle, Runtime, Scratch};
use serde_json::json;

use crate::sweep::{DEADLINE, Harm};

/// What is on the host of container `id`; `None` when nothing is.
pub(crate) fn left(scratch: &Scratch, runtime: &Runtime<'_>, id: &str) -> Option<Harm> {
    let state = runtime.root().join(id);
    let mut found = String::new();
    let clean = holds_within(DEADLINE, || {
        let leftovers = Leftovers::of(scratch);
        found = leftovers.to_string();
        leftovers.is_empty() && !state.exists()
    });
    if clean {
        return None;
    }
    let files: Vec<_> = fs::read_dir(&state).into_iter().flatten().flatten().map(|e| e.file_name()).collect();
    Some(Harm::Orphan(format!("left {found} state exists: {} {files:?}", state.exists())))
}

/// Force-deletes what the kill left, and looks whether it was all.
pub(crate) fn delete(scratch: &Scratch, runtime: &Runtime<'_>, id: &str) -> Result<(), Harm> {
    let deleted = runtime.call(["delete", "--force", id]);
    if !deleted.status.success() {
        Leftovers::of(scratch).remove();
        runtime.call(["delete", "--force", id]);
        return Err(Harm::Orphan(format!("delete --force failed: {deleted}")));
    }
    match left(scratch, runtime, id) {
        None => Ok(()),
        Some(found) => {
            Leftovers::of(scratch).remove();
            fs::remove_dir_all(runtime.root().join(id)).ok();
            Err(found)
        }
    }
}

/// A container with everything on: user namespace, hooks, a filter, devices, sysctls, masks, many kinds of mounts.
pub(crate) fn rich(bundle: Bundle) -> Bundle {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let hook = json!([{ "path": "/bin/true" }]);
    bundle.edit(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "cgroup" }));
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["ptrace"], "action": "SCMP_ACT_ERRNO" }]
        });
        config["hooks"] =
            json!({ "createRuntime": hook, "createContainer": [], "poststart": hook, "poststop": hook });
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [29] });
        config["process"]["oomScoreAdj"] = json!(100);
    })
}
