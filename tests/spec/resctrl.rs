//! `linux.intelRdt`. Most machines have no resctrl, and there only its refusal shows; what is written where one is
//! mounted, the runtime's own tests prove on a directory tree.

use std::fs;

use knarr_tests::require;
use serde_json::json;

use crate::{differs, refusal};

/// config-linux.md, IntelRdt: "If no mounted `resctrl` pseudo-filesystem is available in the runtime mount namespace,
/// the runtime MUST generate an error."
#[test]
fn a_share_is_refused_where_no_resctrl_is_mounted() {
    require!(root, tool("busybox"));
    differs!("crun" => "it takes an empty intelRdt for none", "runc" => "1.1.5 as well");
    let mounts = fs::read_to_string("/proc/mounts").expect("procfs");
    if mounts.lines().any(|line| line.split(' ').nth(2) == Some("resctrl")) {
        return require::skip("resctrl::a_share_is_refused…", "resctrl is mounted here");
    }
    for settings in [json!({}), json!({ "closID": "gold" }), json!({ "l3CacheSchema": "L3:0=f" })] {
        let said = refusal(|config| config["linux"]["intelRdt"] = settings);
        assert!(said.contains("intelRdt"), "{said}");
    }
}
