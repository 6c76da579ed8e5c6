//! A bundle on a disk that is full: the container can be entered, ended and removed, and nothing is left.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use knarr_tests::shim::Stdio;
use knarr_tests::{Bundle, Scratch, Shim, process, programs, require};
use rustix::mount::UnmountFlags;

/// A file system of its own below a bundle.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Self {
        let mut mount = Command::new(programs::tool("mount"));
        process::run(mount.args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(at)).success();
        Self(at.to_owned())
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).expect("there is room yet");
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
        assert!(fs::write(self.0.join("more"), "x").is_err(), "it is full");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, UnmountFlags::DETACH).expect("it is mounted");
    }
}

#[test]
fn a_container_on_a_full_disk_is_entered_ended_and_removed() {
    require!(root, tool("busybox"), tool("mount"));
    let scratch = Scratch::new();
    let disk = Disk::mount(&scratch.directory("bundle-full"));
    let bundle =
        Bundle::busybox(&scratch, "full").script("trap 'exit 5' TERM; while :; do usleep 10000; done");
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    disk.fill();
    let output = scratch.directory("output");
    for (exec_id, script, status) in [("one", "echo entered", 0), ("two", "exit 4", 4)] {
        shim.exec(exec_id, script, Stdio::files(&output)).expect("added");
        shim.begin(exec_id).expect("started");
        assert_eq!(shim.wait(exec_id), status);
        shim.delete(exec_id).expect("deleted");
    }
    assert_eq!(fs::read_to_string(output.join("out")).expect("there"), "entered\n");
    shim.kill("", 15).expect("signalled");
    assert_eq!(shim.wait(""), 5, "the status is told, recorded or not");
    assert_eq!(shim.delete("").expect("deleted"), 5);
    shim.shut_down().expect("ended");
    assert!(process::wait_for_pid(shim.pid(), process::DEADLINE));
    shim.act("delete").success();
    shim.forget();
    drop(disk);
}

#[test]
fn a_start_on_a_full_disk_leaves_no_server() {
    require!(root, tool("busybox"), tool("mount"));
    let scratch = Scratch::new();
    let disk = Disk::mount(&scratch.directory("bundle-full"));
    let bundle = Bundle::busybox(&scratch, "full");
    disk.fill();
    let refused = process::run(&mut knarr_tests::shim::action(&scratch, &bundle, &[], "start"));
    assert_eq!(refused.code(), 1, "{refused}");
    assert!(refused.stderr.contains("No space left"), "{refused}");
    assert!(!knarr_tests::shim::socket_of(&scratch, &bundle).exists());
    drop(disk);
    scratch.assert_nothing_left();
}
