//! Rules about who may depend on whom, and on what: from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use knarr_tests::programs;
use serde_json::Value;

use crate::none;

/// Our crates, and which of ours each may use.
const DIRECTION: [(&str, &[&str]); 6] = [
    ("knarr-proto", &[]),
    ("knarr-runtime", &["knarr-proto"]),
    ("containerd-shim-knarr-v2", &["knarr-proto"]),
    ("knarrd", &["knarr-proto"]),
    ("knarr", &["knarr-proto"]),
    ("knarr-tests", &["knarr-proto"]),
];

/// What must never be linked into the small static programs.
const RUNTIME_BANS: [&str; 12] = [
    "tokio",
    "async-std",
    "smol",
    "futures-executor",
    "tonic",
    "prost",
    "reqwest",
    "hyper",
    "rusqlite",
    "oci-spec",
    "clap",
    "regex",
];
const SHIM_BANS: [&str; 7] = ["tonic", "reqwest", "hyper", "rusqlite", "oci-spec", "clap", "regex"];

/// What Apache-2.0 programs may contain.
const LICENCES: [&str; 14] = [
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MPL-2.0",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "MIT-0",
];

fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--locked"]).arg("--manifest-path");
    let output = cargo.arg(programs::workspace().join("Cargo.toml")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Names of our own crates' direct dependencies.
fn direct(metadata: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let members: BTreeSet<&str> =
        list(metadata, "workspace_members").iter().filter_map(Value::as_str).collect();
    let ours = list(metadata, "packages").iter().filter(|package| members.contains(text(package, "id")));
    ours.map(|package| {
        let names = list(package, "dependencies").iter().map(|dependency| text(dependency, "name"));
        (text(package, "name"), names.collect())
    })
    .collect()
}

/// Names of all that is linked into one of our programs (build and test dependencies left out).
///
/// Features are those of the whole workspace together, so a crate may be in this list that a build of the program
/// alone would leave out; never the other way round.
fn linked<'a>(metadata: &'a Value, program: &str) -> BTreeSet<&'a str> {
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"], "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    let names: BTreeMap<&str, &str> = list(metadata, "packages")
        .iter()
        .map(|package| (text(package, "id"), text(package, "name")))
        .collect();
    let start = names.iter().find(|(_, name)| **name == program).expect("it is in the workspace");
    let (mut seen, mut open) = (BTreeSet::new(), vec![*start.0]);
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in list(nodes[id], "deps") {
            let is_normal = list(dependency, "dep_kinds").iter().any(|kind| kind["kind"].is_null());
            let is_proto = names[id] == "knarr-proto";
            // proto's gRPC half is a feature that the small programs do not turn on; their manifests are checked.
            let is_grpc = is_proto
                && matches!(text(dependency, "name"), "tonic" | "prost" | "prost_types" | "tonic_prost");
            if is_normal && !is_grpc {
                open.push(text(dependency, "pkg"));
            }
        }
    }
    seen.into_iter().map(|id| names[id]).collect()
}

#[test]
fn programs_share_proto_and_nothing_else() {
    let metadata = metadata();
    let direct = direct(&metadata);
    let known: BTreeSet<&str> = DIRECTION.iter().map(|(name, _)| *name).collect();
    assert_eq!(direct.keys().copied().collect::<BTreeSet<_>>(), known, "the workspace's crates");
    let mut offenders = Vec::new();
    for (name, allowed) in DIRECTION {
        for used in direct[name].iter().filter(|used| known.contains(**used) && !allowed.contains(used)) {
            offenders.push(format!("{name} uses {used}"));
        }
    }
    none("programs that link each other", &offenders);
}

#[test]
fn the_static_programs_stay_small() {
    let metadata = metadata();
    let mut offenders = Vec::new();
    for (program, bans) in
        [("knarr-runtime", &RUNTIME_BANS[..]), ("containerd-shim-knarr-v2", &SHIM_BANS[..])]
    {
        let linked = linked(&metadata, program);
        offenders
            .extend(bans.iter().filter(|ban| linked.contains(**ban)).map(|ban| format!("{program}: {ban}")));
    }
    for package in list(&metadata, "packages") {
        if !matches!(text(package, "name"), "knarr-runtime" | "containerd-shim-knarr-v2") {
            continue;
        }
        let proto = list(package, "dependencies").iter().filter(|used| text(used, "name") == "knarr-proto");
        let grpc = proto.filter(|used| list(used, "features").iter().any(|feature| feature == "grpc"));
        offenders.extend(grpc.map(|_| format!("{}: proto's grpc feature", text(package, "name"))));
    }
    none("too heavy for a static program", &offenders);
}

#[test]
fn every_dependency_has_its_line_in_the_decisions() {
    let path = programs::workspace().join("docs/decisions/dependencies.md");
    let decisions = std::fs::read_to_string(path).expect("docs/decisions/dependencies.md");
    let words: BTreeSet<&str> =
        decisions.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).collect();
    let metadata = metadata();
    let direct = direct(&metadata);
    let missing: BTreeSet<String> = direct
        .iter()
        .flat_map(|(ours, used)| used.iter().map(move |name| (ours, name)))
        .filter(|(_, name)| !direct.contains_key(**name) && !words.contains(**name))
        .map(|(ours, name)| format!("{name} (of {ours})"))
        .collect();
    none("dependencies without a reason", &missing.into_iter().collect::<Vec<_>>());
}

#[test]
fn everything_linked_has_a_licence_that_apache_programs_may_contain() {
    let metadata = metadata();
    let offenders = list(&metadata, "packages").iter().filter_map(|package| {
        let licence = text(package, "license");
        // "A OR B": one is enough; "A AND B": all; "A/B" is an old spelling of OR.
        let is_allowed = licence.replace('/', " OR ").split(" OR ").any(|choice| {
            let all = choice.trim_matches(['(', ')', ' ']).split(" AND ");
            all.map(|name| name.trim_matches(['(', ')', ' ']).split(" WITH ").next().unwrap_or_default())
                .all(|name| LICENCES.contains(&name))
        });
        (!is_allowed).then(|| format!("{}: {licence:?}", text(package, "name")))
    });
    none("licences that are not allowed", &offenders.collect::<Vec<_>>());
}
