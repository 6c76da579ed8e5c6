//! A sweep: the same command with a fault at one point after the other, and a look at the host after each. By default
//! each STRIDEth point is met; `KNARR_FULL=1` meets all of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use knarr_tests::eventually::holds_within;
use knarr_tests::leftovers::Leftovers;
use knarr_tests::strace::{self, Point, Watch};
use knarr_tests::{Bundle, Runtime, Scratch};
use serde_json::json;

/// Without `KNARR_FULL`: a prime, so that it meets all kinds of calls of a program that makes them in a rhythm.
const STRIDE: usize = 23;
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What a sweep found.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    met: usize,
    missed: usize,
    wrong: Vec<String>,
}

impl Sweep {
    /// Meets the points one after the other; `trial` says whether the fault struck, or what is wrong afterwards.
    pub(crate) fn over(points: &[Point], mut trial: impl FnMut(&Point) -> Result<bool, String>) -> Self {
        let mut sweep = Self::default();
        for point in points {
            match trial(point) {
                Ok(true) => sweep.met += 1,
                Ok(false) => sweep.missed += 1,
                Err(wrong) => {
                    sweep.met += 1;
                    sweep.wrong.push(format!("{point}: {wrong}"));
                }
            }
        }
        sweep
    }

    /// Tells the figures; panics unless all was right.
    #[track_caller]
    pub(crate) fn conclude(&self, what: &str) {
        eprintln!("{what}: {} faults, {} wrong, {} points not met", self.met, self.wrong.len(), self.missed);
        assert!(self.wrong.is_empty(), "{what}: {} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        // How often memory is asked for, say, differs a little from run to run.
        assert!(self.met > self.missed * 5, "{what}: most points were not met");
    }
}

/// The calls of the program and its children together: of each call, as often as the one that makes most of it.
pub(crate) fn family_calls(command: &Command, log: &Path) -> BTreeMap<String, u32> {
    let [own, mut all] = strace::calls(command, Watch::Family, log);
    for (call, count) in own {
        let busiest = all.entry(call).or_default();
        *busiest = count.max(*busiest);
    }
    all
}

/// Every point of these calls, or some of them.
pub(crate) fn points(calls: &BTreeMap<String, u32>) -> Vec<Point> {
    // The first execve is strace's own.
    let named = calls.iter().filter(|(call, _)| *call != "execve");
    let all = named.flat_map(|(call, count)| (1..=*count).map(|number| Point::new(call, number)));
    all.step_by(stride()).collect()
}

/// How many points are passed over for one that is met.
pub(crate) fn stride() -> usize {
    if knarr_tests::require::full_sweeps().is_ok() { 1 } else { STRIDE }
}

/// What is on the host of container `id`; `None` when nothing is.
pub(crate) fn left(scratch: &Scratch, runtime: &Runtime<'_>, id: &str) -> Option<String> {
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
    Some(format!("left {found} state exists: {} {files:?}", state.exists()))
}

/// Force-deletes what the kill left, and looks whether it was all.
pub(crate) fn delete(scratch: &Scratch, runtime: &Runtime<'_>, id: &str) -> Result<(), String> {
    let deleted = runtime.call(["delete", "--force", id]);
    if !deleted.status.success() {
        Leftovers::of(scratch).remove();
        runtime.call(["delete", "--force", id]);
        return Err(format!("delete --force failed: {deleted}"));
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
