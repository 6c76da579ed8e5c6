//! Containers whose first process is not where it was put: in a time namespace.

use knarr_tests::{Bundle, Runtime, Scratch};
use serde_json::json;

use crate::Check;

pub(crate) const V2: &[Check] = &[
    ("the_first_process_has_the_offsets_of_its_time_namespace", time_offsets),
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
