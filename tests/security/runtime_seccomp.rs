//! Every system call that there is, and more, by each of the three ways into an x86 kernel, made under Docker's default
//! profile by code in a container: what the profile does not name is refused. Class R20.

use std::collections::BTreeMap;

use knarr_tests::{Bundle, Outcome, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::attacker;

/// Docker's default profile as Docker resolves it for its default capabilities.
const DOCKER: &str = include_str!("../../runtime/src/security/seccomp/tests/docker.json");
/// `name x86_64 x32 i386`, a line for each call; held against the C library's headers by the runtime's own tests.
const NUMBERS: &str = include_str!("../../runtime/src/security/seccomp/syscalls.x86");
const WAYS: [&str; 3] = ["x86_64", "x32", "i386"];
/// Beyond the last of i386 and the last of x32's own, which are from 512 on.
const LAST: u32 = 600;
/// libseccomp 2.5.4 knows calls up to 449 (futex_waitv) and x32's own from 512 on: to what is newer, which the profile
/// names, runc gives ENOSYS and we what the profile says.
const UNKNOWN_TO_LIBSECCOMP: std::ops::Range<u32> = 450..512;
/// The number that the attacker takes for the filter's no: no kernel and no file system has it.
const REFUSED: u32 = 999;

/// The profile, with an answer that can be told from the kernel's own.
fn profile() -> Value {
    let mut profile: Value = serde_json::from_str(DOCKER).expect("JSON");
    profile["defaultErrnoRet"] = json!(REFUSED);
    profile
}

fn is_rule_for<'a>(name: &'a str) -> impl Fn(&&'a Value) -> bool {
    move |rule| rule["names"].as_array().is_some_and(|names| names.iter().any(|known| known == name))
}

/// These the kernel asks no filter about (Linux 6.14 and 6.18): they do nothing but where uprobes have put them.
const PAST_FILTERS: [&str; 2] = ["uprobe", "uretprobe"];

/// What the profile says by its words alone: `None` where it depends on arguments or on other rules.
fn asked(profile: &Value, name: &str) -> Option<&'static str> {
    if PAST_FILTERS.contains(&name) {
        return None;
    }
    let rules: Vec<&Value> =
        profile["syscalls"].as_array().expect("a list").iter().filter(is_rule_for(name)).collect();
    match rules[..] {
        [] => Some("refused"),
        [rule] if rule["action"] == "SCMP_ACT_ALLOW" && rule["args"].is_null() => Some("through"),
        _ => None,
    }
}

/// The call of each way and number.
fn calls() -> BTreeMap<String, &'static str> {
    let lines = NUMBERS.lines().filter(|line| !line.starts_with('#'));
    lines
        .flat_map(|line| {
            let mut words = line.split(' ');
            let name = words.next().expect("a name");
            WAYS.iter().zip(words).map(move |(way, number)| (format!("{way}:{number}"), name))
        })
        .filter(|(call, _)| !call.ends_with('-'))
        .collect()
}

fn results(outcome: &Outcome) -> BTreeMap<&str, &str> {
    outcome.stdout.lines().filter_map(|line| line.split_once(' ')).collect()
}

fn number(call: &str) -> u32 {
    call.rsplit(':').next().and_then(|number| number.parse().ok()).expect("way:number")
}

#[test]
fn every_call_by_every_way_is_what_the_profile_says() {
    require!(root, tool("busybox"), tool("cc"), tool("runc"));
    if std::env::consts::ARCH != "x86_64" {
        return require::skip("every_call_by_every_way_is_what_the_profile_says", "not x86_64");
    }
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let open = Bundle::busybox(&scratch, "open").args(["attacker", "sweep", &LAST.to_string()]);
    attacker::arm(&scratch, &open);
    // The control: without a filter the kernel answers, and never so.
    let unfiltered = runtime.run(&open).success();
    let unfiltered = results(&unfiltered);
    assert_eq!(unfiltered.len(), 3 * (LAST as usize + 1));
    assert!(unfiltered.values().all(|result| matches!(*result, "through" | "unknown")), "{unfiltered:?}");

    let profile = profile();
    let bundle =
        open.another(&scratch, "filtered").edit(|config| config["linux"]["seccomp"] = profile.clone());
    let ours = runtime.run(&bundle).success();
    let ours = results(&ours);
    assert_eq!(ours.len(), unfiltered.len());
    let (calls, mut wrong) = (calls(), Vec::new());
    for (call, result) in &ours {
        let name = calls.get(*call).copied();
        let said = name.map_or(Some("refused"), |name| asked(&profile, name));
        // A call that is newer than all of the profile is unknown, as if the kernel did not have it; so may one be that
        // goes through.
        let is_right = said.is_none_or(|said| said == *result || *result == "unknown");
        if !is_right || *result == "killed" {
            wrong.push(format!("{call} {name:?}: {result}, by the profile {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} holes or walls:\n{}", wrong.len(), wrong.join("\n"));

    let theirs = Runtime::other(&scratch, "runc").run(&open.another(&scratch, "runc").edit(|config| {
        config["linux"]["seccomp"] = profile.clone();
    }));
    let theirs = theirs.success();
    let theirs = results(&theirs);
    let differs: Vec<String> = ours
        .iter()
        .filter(|(call, result)| {
            !UNKNOWN_TO_LIBSECCOMP.contains(&number(call)) && theirs.get(*call) != Some(result)
        })
        .map(|(call, result)| {
            format!("{call} {:?}: ours {result}, runc's {:?}", calls.get(*call), theirs.get(call))
        })
        .collect();
    let count = |result: &str| ours.values().filter(|found| **found == result).count();
    eprintln!(
        "{} calls: {} refused, {} through, {} unknown; {} differ from runc's",
        ours.len(),
        count("refused"),
        count("through"),
        count("unknown"),
        differs.len()
    );
    assert!(differs.is_empty(), "{}", differs.join("\n"));
}
