//! knarr-runtime, runc and crun on the same bundle, verb by verb.

use std::time::Duration;

use knarr_tests::{Bundle, Runtime, Scratch, eventually, process, programs};
use serde_json::json;

use crate::Table;

pub(crate) fn measure(rounds: usize) -> Table {
    let verbs = ["run", "run with limits", "create", "start", "state", "exec", "kill", "delete"];
    let mut table = Table::new(&["knarr-runtime", "runc", "crun"], &verbs);
    let scratch = Scratch::new();
    let ours = Runtime::at(&scratch, programs::ours("knarr-runtime"));
    let runtimes =
        [ours, Runtime::other(&scratch, "runc"), Runtime::other(&scratch, "crun")].map(Runtime::as_is);
    let minimal = Bundle::busybox(&scratch, "minimal");
    let limited = minimal.another(&scratch, "limited").edit(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        config["linux"]["resources"]["cpu"] = json!({ "quota": 50_000, "period": 100_000 });
        config["linux"]["resources"]["pids"] = json!({ "limit": 40 });
    });
    let sleeper = minimal.another(&scratch, "sleeper").args(["sleep", "600"]);
    for _ in 0..rounds {
        for (column, runtime) in runtimes.iter().enumerate() {
            table.add("run", column, runtime.run(&minimal).success().elapsed);
            table.add("run with limits", column, runtime.run(&limited).success().elapsed);
            life(&mut table, column, runtime, &sleeper);
        }
    }
    table
}

/// One container's life, each verb timed.
fn life(table: &mut Table, column: usize, runtime: &Runtime<'_>, bundle: &Bundle) {
    let id = bundle.id();
    let mut time = |line: &str, outcome: process::Outcome| table.add(line, column, outcome.success().elapsed);
    time("create", process::run(&mut runtime.verb("create", bundle)));
    time("start", runtime.call(["start", id]));
    time("state", runtime.call(["state", id]));
    time("exec", runtime.call(["exec", id, "true"]));
    time("kill", runtime.call(["kill", id, "KILL"]));
    eventually(Duration::from_secs(10), || {
        let state = runtime.state(id)?;
        (state["status"] == "stopped").then_some(())
    });
    time("delete", runtime.call(["delete", id]));
}
