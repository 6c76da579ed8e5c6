//! The same contexts built by knarr and by Debian's dockerd with its classic builder: the images have the same
//! configuration, but for times and ids, and the same files.

use std::fs;
use std::io::Write;
use std::path::Path;

use knarr_tests::{Docker, Scratch, require};
use serde_json::{Map, Value};

use crate::bed::{self, BASE, Bed};
use crate::corpus::{CASES, COMMON, Case};
use crate::flatten::{Tree, flatten};

/// The fields of the configuration that an image's user meets.
const FIELDS: [&str; 13] = [
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
    "Author",
];

#[test]
fn images_are_those_of_docker_s_classic_builder() {
    require!(root, tool("busybox"), tool("dockerd"), tool("docker"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let docker = Docker::start(&scratch);
    docker.load(&bed::base(), BASE);
    let mut offenders = Vec::new();
    for case in CASES {
        let context = context(&bed, case);
        let path = context.to_str().expect("our own path");
        let network = ["--network", "none"];
        let ours = bed.build(&context, &[&["-t", case.name], &network[..], case.args].concat());
        let mut build =
            docker.command(["build", "-t", case.name].iter().chain(&network).chain(case.args).chain([&path]));
        let theirs = knarr_tests::process::run(build.env("DOCKER_BUILDKIT", "0"));
        if ours.code() != 0 || theirs.code() != 0 {
            offenders.push(format!("{}: knarr {}, docker {}", case.name, ours, theirs));
            continue;
        }
        let archive = |name: &str| scratch.join(format!("{}-{name}.tar", case.name));
        bed.knarr().say(["save", "-o", text(&archive("knarr")), case.name]);
        docker.call(["save", "-o", text(&archive("docker")), case.name]).success();
        let difference = differences(&flatten(&archive("knarr")), &flatten(&archive("docker")));
        if !difference.is_empty() {
            offenders.push(format!("{}:\n  {}", case.name, difference.join("\n  ")));
        }
        for name in ["knarr", "docker"] {
            fs::remove_file(archive(name)).expect("our own file");
        }
    }
    assert!(offenders.is_empty(), "{} of {} differ:\n{}", offenders.len(), CASES.len(), offenders.join("\n"));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our own path")
}

fn context(bed: &Bed<'_>, case: &Case) -> std::path::PathBuf {
    let dockerfile = match case.text.strip_prefix('!') {
        Some(whole) => whole.to_owned(),
        None => format!("FROM {BASE}\n{}\n", case.text),
    };
    let context = bed.context(case.name, COMMON);
    fs::write(context.join("Dockerfile"), dockerfile).expect("written");
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in [("in/x", "x\n"), ("in/y", "y\n")] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        header.set_uid(3);
        header.set_gid(4);
        tar.append_data(&mut header, name, content.as_bytes()).expect("packed");
    }
    let tar = tar.into_inner().expect("a tar");
    fs::write(context.join("archive.tar"), &tar).expect("written");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).expect("compressed");
    fs::write(context.join("archive.tar.gz"), gzip.finish().expect("compressed")).expect("written");
    context
}

fn differences((ours, our_tree): &(Value, Tree), (theirs, their_tree): &(Value, Tree)) -> Vec<String> {
    let mut found = Vec::new();
    let config = |image: &Value| image["config"].as_object().cloned().unwrap_or_default();
    let (our_config, their_config) = (config(ours), config(theirs));
    for field in FIELDS {
        let (one, other) = (said(&our_config, field), said(&their_config, field));
        if one != other {
            found.push(format!("{field}: knarr {one}, docker {other}"));
        }
    }
    if ours["author"].as_str().unwrap_or_default() != theirs["author"].as_str().unwrap_or_default() {
        found.push(format!("author: knarr {}, docker {}", ours["author"], theirs["author"]));
    }
    let paths: std::collections::BTreeSet<&String> = our_tree.keys().chain(their_tree.keys()).collect();
    for path in paths {
        let (one, other) = (our_tree.get(path), their_tree.get(path));
        if one != other {
            found.push(format!("/{path}: knarr {one:?}, docker {other:?}"));
        }
    }
    found
}

/// A field; absent, null and empty are the same to whoever runs the image.
fn said(config: &Map<String, Value>, field: &str) -> Value {
    match config.get(field) {
        Some(Value::Array(items)) if items.is_empty() => Value::Null,
        Some(Value::Object(items)) if items.is_empty() => Value::Null,
        Some(Value::String(text)) if text.is_empty() || (field == "WorkingDir" && text == "/") => Value::Null,
        Some(value) => value.clone(),
        None => Value::Null,
    }
}
