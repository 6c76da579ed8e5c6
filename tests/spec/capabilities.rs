//! `process.capabilities`: the five sets, unknown names, users.

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::{differs, output, refusal, run};

const SCRIPT: &str = "grep ^Cap /proc/self/status | tr -d '\\t'";

/// The five sets of the program that runs, as /proc has them: inheritable, permitted, effective, bounding, ambient.
#[track_caller]
fn sets(capabilities: Value, uid: u32) -> [u64; 5] {
    let seen = output("", move |config| {
        config["process"]["capabilities"] = capabilities;
        config["process"]["user"] = json!({ "uid": uid, "gid": uid });
        config["process"]["args"] = json!(["grep", "^Cap", "/proc/self/status"]);
    });
    parse(&seen)
}

#[track_caller]
fn parse(seen: &str) -> [u64; 5] {
    let set = |name: &str| {
        let line =
            seen.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {seen}"));
        u64::from_str_radix(line[name.len()..].trim(), 16).expect("a set is a hexadecimal number")
    };
    ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].map(set)
}

const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const NET_RAW: u64 = 1 << 13;

#[test]
fn each_set_is_as_given() {
    require!(root, tool("busybox"));
    let given = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "inheritable": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_CHOWN", "CAP_KILL"],
        "ambient": ["CAP_KILL"],
    });
    // A user who is not root gets from exec what is ambient, and keeps the inheritable and bounding sets.
    assert_eq!(sets(given, 1000), [CHOWN | KILL, KILL, KILL, CHOWN | KILL | NET_RAW, KILL]);
}

#[test]
fn roots_program_gets_the_bounding_set() {
    require!(root, tool("busybox"));
    let three = json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]);
    let given = json!({ "bounding": three, "permitted": three, "effective": three });
    assert_eq!(
        sets(given, 0),
        [0, CHOWN | KILL | NET_RAW, CHOWN | KILL | NET_RAW, CHOWN | KILL | NET_RAW, 0]
    );
}

#[test]
fn without_capabilities_there_are_none() {
    require!(root, tool("busybox"));
    assert_eq!(sets(json!({}), 0), [0; 5]);
    assert_eq!(sets(json!({}), 1000), [0; 5]);
}

#[test]
fn what_is_not_in_the_sets_cannot_be_done() {
    require!(root, tool("busybox"));
    let without = run("chown 5:5 /tmp", |config| {
        let some = json!(["CAP_KILL"]);
        config["process"]["capabilities"] = json!({ "bounding": some, "permitted": some, "effective": some });
    });
    assert!(without.stderr.contains("Operation not permitted"), "{without}");
    run("chown 5:5 /tmp", |_| ()).success();
}

#[test]
fn an_unknown_capability_is_warned_about_and_the_others_hold() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 refuses it; runtime-spec: \"Any value which cannot be mapped to a relevant kernel interface … MUST be logged as a warning\"");
    let outcome = run(SCRIPT, |config| {
        let some = json!(["CAP_KILL", "CAP_WARP"]);
        config["process"]["capabilities"] = json!({ "bounding": some, "permitted": some, "effective": some });
    })
    .success();
    assert_eq!(parse(&outcome.stdout)[3], KILL);
    assert!(outcome.stderr.contains("CAP_WARP"), "{outcome}");
}

#[test]
fn an_ambient_capability_that_is_not_inheritable_is_refused_or_warned_about() {
    require!(root, tool("busybox"));
    // The kernel refuses it (capabilities(7), "Ambient"); neither runc nor we let it stop the container.
    let outcome = run("", |config| {
        let kill = json!(["CAP_KILL"]);
        config["process"]["capabilities"] =
            json!({ "bounding": kill, "permitted": kill, "effective": kill, "ambient": kill });
        config["process"]["args"] = json!(["grep", "^Cap", "/proc/self/status"]);
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    });
    if outcome.status.success() {
        assert_eq!(parse(&outcome.stdout)[4], 0, "{outcome}");
    }
}

#[test]
fn exec_has_the_containers_sets() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]).edit(|config| {
        let some = json!(["CAP_KILL", "CAP_CHOWN"]);
        config["process"]["capabilities"] = json!({ "bounding": some, "permitted": some, "effective": some });
    });
    let container = runtime.run_detached(&bundle);
    let seen = container.exec(["grep", "^Cap", "/proc/self/status"]).success().stdout;
    assert_eq!(parse(&seen)[1..4], [CHOWN | KILL; 3]);
}

#[test]
fn a_set_of_the_wrong_shape_is_refused() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 takes it for an empty list");
    let said = refusal(|config| config["process"]["capabilities"]["bounding"] = json!([7]));
    assert!(!said.is_empty());
}
