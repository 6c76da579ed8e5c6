//! The engine on a Debian with systemd as pid 1 and cgroup v2: first the package as a person installs it, then the engine's
//! own tests, then a machine that lost its power while containers ran.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use knarr_tests::{Scratch, process, programs, require};
use serde_json::Value;

use crate::image::{self, Kernel};
use crate::machine::{LONGEST, Machine, copy_programs, is_whole};

/// The test targets whose tests run inside.
const TARGETS: [&str; 4] = ["cli", "manager", "shim", "fault"];

#[test]
fn the_engine_works_on_debians_own_kernel_under_systemd() {
    require!(full_sweeps);
    check("6.1", Kernel::OfTheHostsRelease);
}

#[test]
fn the_engine_works_on_linux_5_10_under_systemd() {
    require!(full_sweeps);
    check("5.10", Kernel::OfBullseye);
}

fn check(linux: &str, kernel: Kernel) {
    require!(
        root,
        tool("qemu-system-x86_64"),
        tool("mmdebstrap"),
        tool("cpio"),
        tool("mke2fs"),
        tool("strip"),
        tool("dpkg-deb"),
        tool("busybox"),
        network
    );
    let scratch = Scratch::new();
    let Some(image) = image::directory(&scratch, kernel) else {
        return require::skip(linux, "the mirror has no such release any more");
    };
    let (disk, tests) = (scratch.join("disk"), test_disk(&scratch));
    let machine = |boot: &str| Machine {
        scratch: &scratch,
        kernel: image.join("vmlinuz"),
        initrd: image.join("start.cpio"),
        disks: vec![disk.clone(), tests.clone()],
        parameters: format!(
            "systemd.unified_cgroup_hierarchy=1 knarr.layout={boot}{}",
            if is_whole() { " knarr.whole" } else { "" }
        ),
    };
    copy_sparse(&image.join("disk.ext4"), &disk);
    let mut told = machine("engine").boot();
    if !told.is_whole() {
        // Emulation crashes now and then before the first program; what the guest has said once counts.
        copy_sparse(&image.join("disk.ext4"), &disk);
        told = machine("engine").boot();
    }
    told.assert_passed(if is_whole() { 100 } else { 20 });
    // The machine went as when its power fails: what was running is gone, and its disk is as it was.
    let mut told = machine("engine-again").boot();
    if !told.is_whole() {
        told = machine("engine-again").boot();
    }
    told.assert_passed(3);
}

fn copy_sparse(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    process::run(copy.args(["--sparse=always", "--reflink=auto"]).arg(from).arg(to)).success();
}

/// A file system with the programs, the packages and the tests of this build.
fn test_disk(scratch: &Scratch) -> PathBuf {
    let directory = scratch.directory("tests");
    copy_programs(&directory, &["knarr", "knarrd", "containerd-shim-knarr-v2", "knarr-runtime"]);
    for (version, name) in [("0.1", "knarr.deb"), ("0.2", "knarr-newer.deb")] {
        let mut deb = scratch.command(programs::workspace().join("packaging/deb.sh"));
        deb.arg(programs::directory()).arg(version).arg(directory.join(name));
        // xz would take longer than all checks, most of it inside.
        deb.env("DEB_COMPRESSION", "none");
        process::run_within(LONGEST, deb.stdin(Stdio::null())).success();
    }
    for (name, program) in test_programs() {
        let mut strip = Command::new("strip");
        process::run(strip.arg("-o").arg(directory.join(name)).arg(program)).success();
    }
    let disk = scratch.join("tests.ext4");
    let mut make = Command::new(programs::tool("mke2fs"));
    make.args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d"]).arg(&directory).arg(&disk).arg("1G");
    process::run(&mut make).success();
    fs::remove_dir_all(&directory).expect("our own files");
    disk
}

/// The built test programs by their targets' names. cargo knows where they are, and that they are of this build.
fn test_programs() -> Vec<(String, PathBuf)> {
    let mut cargo = Command::new(env!("CARGO"));
    // With the features that all of the workspace gives its dependencies, as `make test` builds them.
    cargo.args(["test", "--workspace", "--no-run", "--locked", "--message-format=json-render-diagnostics"]);
    cargo.args(TARGETS.iter().flat_map(|target| ["--test", target]));
    cargo.current_dir(programs::workspace()).stdin(Stdio::null());
    let built = process::run_within(LONGEST, &mut cargo).success().stdout;
    let artifacts = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found: Vec<(String, PathBuf)> = artifacts
        .filter(|artifact| artifact["target"]["kind"] == serde_json::json!(["test"]))
        .filter_map(|artifact| {
            let name = artifact["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(artifact["executable"].as_str()?)))
        })
        .filter(|(name, _)| TARGETS.contains(&name.as_str()))
        .collect();
    assert_eq!(found.len(), TARGETS.len(), "cargo names the programs of {TARGETS:?}: {found:?}");
    found
}
