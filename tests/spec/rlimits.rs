//! `process.rlimits`.

use std::fs;

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::{CAP_SYS_RESOURCE, differs, output, refusal};

/// Every limit of the specification with its name in /proc/self/limits, and values that differ from the defaults.
const LIMITS: [(&str, &str, u64, u64); 16] = [
    ("RLIMIT_AS", "Max address space", 4_000_000_000, 5_000_000_000),
    ("RLIMIT_CORE", "Max core file size", 4096, 8192),
    ("RLIMIT_CPU", "Max cpu time", 100, 200),
    ("RLIMIT_DATA", "Max data size", 4_000_000_000, 5_000_000_000),
    ("RLIMIT_FSIZE", "Max file size", 1_000_000, 2_000_000),
    ("RLIMIT_LOCKS", "Max file locks", 11, 12),
    ("RLIMIT_MEMLOCK", "Max locked memory", 65536, 131_072),
    ("RLIMIT_MSGQUEUE", "Max msgqueue size", 100_000, 200_000),
    ("RLIMIT_NICE", "Max nice priority", 3, 5),
    ("RLIMIT_NOFILE", "Max open files", 77, 99),
    ("RLIMIT_NPROC", "Max processes", 4000, 5000),
    ("RLIMIT_RSS", "Max resident set", 4_000_000_000, 5_000_000_000),
    ("RLIMIT_RTPRIO", "Max realtime priority", 4, 6),
    ("RLIMIT_RTTIME", "Max realtime timeout", 1_000_000, 2_000_000),
    ("RLIMIT_SIGPENDING", "Max pending signals", 300, 400),
    ("RLIMIT_STACK", "Max stack size", 4_194_304, 8_388_608),
];

fn soft_and_hard(limits: &str, name: &str) -> (String, String) {
    let line =
        limits.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {limits}"));
    let mut words = line[name.len()..].split_whitespace();
    (words.next().expect("a soft limit").to_owned(), words.next().expect("a hard limit").to_owned())
}

#[test]
fn every_limit_is_set_for_the_first_process_and_for_exec() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let own = fs::read_to_string("/proc/self/limits").expect("our own limits");
    let limits = LIMITS.map(|(kind, name, soft, hard)| {
        // Without CAP_SYS_RESOURCE no limit can go above the caller's.
        let most = match require::capability(CAP_SYS_RESOURCE) {
            Ok(()) => u64::MAX,
            Err(_) => soft_and_hard(&own, name).1.parse().unwrap_or(u64::MAX),
        };
        (kind, name, soft.min(most), hard.min(most))
    });
    let rlimits: Vec<Value> = limits
        .iter()
        .map(|(kind, _, soft, hard)| json!({ "type": kind, "soft": soft, "hard": hard }))
        .collect();
    let bundle = Bundle::busybox(&scratch, "one")
        .args(["sleep", "60"])
        .edit(|config| config["process"]["rlimits"] = json!(rlimits));
    let container = runtime.run_detached(&bundle);
    let first = fs::read_to_string(format!("/proc/{}/limits", container.pid())).expect("its limits");
    let exec = container.exec(["cat", "/proc/self/limits"]).success().stdout;
    for (kind, name, soft, hard) in limits {
        let wanted = (soft.to_string(), hard.to_string());
        assert_eq!(soft_and_hard(&first, name), wanted, "{kind} of the first process");
        // crun 1.8.1 gives exec none but those of --process.
        if crate::is("crun") {
            continue;
        }
        assert_eq!(soft_and_hard(&exec, name), wanted, "{kind} of exec");
    }
}

#[test]
fn the_largest_number_is_no_limit() {
    require!(root, tool("busybox"));
    let seen = output("ulimit -c; ulimit -Hc", |config| {
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": u64::MAX, "hard": u64::MAX }]);
    });
    assert_eq!(seen, "unlimited\nunlimited\n");
}

#[test]
fn a_limit_that_is_unknown_twice_or_upside_down_is_refused() {
    require!(root, tool("busybox"));
    // runtime-spec, "POSIX process", rlimits: each type "MUST be unique, otherwise the runtime MUST generate an error".
    differs!("runc-head" => "1.5 takes a limit twice", "runc" => "1.1.5 takes a limit twice", "crun" => "1.8.1 takes a limit twice");
    let unknown = refusal(|config| {
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_WARP", "soft": 1, "hard": 1 }]);
    });
    assert!(unknown.contains("RLIMIT_WARP"), "{unknown}");
    let core = json!({ "type": "RLIMIT_CORE", "soft": 1, "hard": 1 });
    let twice = refusal(|config| config["process"]["rlimits"] = json!([core, core]));
    assert!(twice.contains("RLIMIT_CORE"), "{twice}");
    refusal(|config| config["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": 2, "hard": 1 }]));
}

#[test]
fn a_user_without_rights_still_gets_limits_above_the_callers() {
    require!(root, tool("busybox"), capability(CAP_SYS_RESOURCE));
    let seen = output("ulimit -n; ulimit -Hn", |config| {
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 300_000, "hard": 600_000 }]);
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        config["process"]["capabilities"] = json!({});
    });
    assert_eq!(seen, "300000\n600000\n");
}
