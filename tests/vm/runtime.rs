//! The runtime on cgroup v2 alone, with systemd, on systemd's v1 layout, and on the oldest Linux that it is for.

use std::path::{Path, PathBuf};
use std::process::Command;

use knarr_tests::{Scratch, process, require};

use crate::image::{self, Kernel};
use crate::machine::{Machine, copy_programs};

#[test]
fn the_runtime_works_on_cgroup_v2_under_systemd() {
    check("v2", "systemd.unified_cgroup_hierarchy=1", Kernel::OfTheHostsRelease);
}

#[test]
fn the_runtime_works_on_cgroup_v1_under_systemd() {
    let parameters = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1";
    check("v1", parameters, Kernel::OfTheHostsRelease);
}

#[test]
fn the_runtime_works_on_linux_5_10() {
    require!(full_sweeps);
    check("v2-without-systemd", "systemd.unified_cgroup_hierarchy=1", Kernel::OfBullseye);
}

fn check(layout: &str, parameters: &str, kernel: Kernel) {
    require!(
        root,
        tool("qemu-system-x86_64"),
        tool("mmdebstrap"),
        tool("cpio"),
        tool("mke2fs"),
        tool("busybox"),
        network
    );
    let scratch = Scratch::new();
    let Some(image) = image::directory(&scratch, kernel) else {
        return require::skip(layout, "the mirror has no such release any more");
    };
    let machine = Machine {
        scratch: &scratch,
        kernel: image.join("vmlinuz"),
        initrd: initrd(&scratch, &image),
        disks: Vec::new(),
        parameters: format!("systemd.mask=systemd-journald.service {parameters} knarr.layout={layout}"),
    };
    let mut told = machine.boot();
    if !told.is_whole() {
        // Emulation crashes now and then before the first program; what the guest has said once counts.
        told = machine.boot();
    }
    told.assert_passed(5);
}

/// The base and, as a second archive, the programs of this build.
fn initrd(scratch: &Scratch, image: &Path) -> PathBuf {
    copy_programs(&scratch.directory("overlay/test"), &["knarr-runtime"]);
    let path = scratch.join("initrd");
    let pack = "cd \"$1\" && find . | cpio --quiet -o -H newc | cat \"$2\" - >\"$3\"";
    let mut command = Command::new("sh");
    command.args(["-c", pack, "sh"]).arg(scratch.join("overlay")).arg(image.join("base.cpio")).arg(&path);
    process::run(&mut command).success();
    path
}
