//! Shims that are stopped, and shims whose files are deleted while their container runs: sockets, the runtime's state,
//! the bundle. The kernel knows what runs; nothing is told dead that is not, and nothing is left in the end.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use containerd_shim_protos::types::task::Status;
use knarr_tests::shim::{Stdio, socket_of};
use knarr_tests::{Scratch, Shim, eventually, process, require};
use rustix::process::Signal;

use crate::shim_bed::{Acknowledged, Bed, KILLED, OWN_STATUS, is_alive};
use crate::sweep::DEADLINE;

/// Idle after 30 seconds, looked at every 5.
const IDLE_DEADLINE: Duration = Duration::from_secs(60);

fn running<'a>(bed: &Bed<'a>) -> (Shim<'a>, u32) {
    let shim = Shim::start(bed.scratch, &bed.bundle);
    let pid = shim.run(Stdio::default());
    // As pid 1 it ignores the signal until its trap is set.
    eventually(DEADLINE, || catches(pid, Signal::TERM).then_some(()));
    (shim, pid)
}

fn catches(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught & (1 << (signal.as_raw() - 1)) != 0
}

fn delete_all(directory: &Path) {
    fs::remove_dir_all(directory).expect("the scratch directory is ours");
}

#[track_caller]
fn assert_ended(pid: u32) {
    eventually(DEADLINE, || (!is_alive(pid)).then_some(()));
}

#[test]
fn a_shim_without_container_and_client_ends_by_itself() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch, "idle");
    let shim = Shim::start(&scratch, &bed.bundle);
    let (pid, socket) = (shim.pid(), shim.socket().to_owned());
    let held = Shim::start(&scratch, &Bed::new(&scratch, "held").bundle);
    // Its client goes, as a manager that is killed after `start`.
    shim.forget();
    assert!(process::wait_for_pid(pid, IDLE_DEADLINE), "it has ended");
    assert!(!socket.exists(), "and has taken its socket with it");
    held.shut_down().expect("one with a client stays, and answers");
}

#[test]
fn the_state_directory_is_deleted_and_the_shim_is_found_again() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch, "found");
    let (shim, pid) = running(&bed);
    delete_all(&scratch.join("state"));
    let again = process::run(&mut bed.action("start"));
    assert!(again.stderr.contains("already runs"), "a second server for one container: {again}");
    // What knarrd does when it starts: makes its directories, and asks for the socket.
    let socket = socket_of(&scratch, &bed.bundle);
    process::signal(shim.pid(), Signal::HUP);
    eventually(DEADLINE, || UnixStream::connect(&socket).ok());
    shim.forget();
    let shim = Shim::connect(&scratch, &bed.bundle, &[]).expect("found again");
    assert_eq!(shim.status("").expect("it has its container"), Status::RUNNING);
    assert!(is_alive(pid));
    // The runtime has lost its state and says that there is no such container.
    shim.kill("", 15).expect("signalled all the same");
    assert_eq!(shim.wait(""), OWN_STATUS);
    assert_eq!(shim.delete("").expect("deleted"), OWN_STATUS);
    shim.shut_down().expect("ended");
    bed.clean_up(Acknowledged { status: Some(OWN_STATUS), ..Default::default() }).expect("nothing is left");
}

#[test]
fn delete_ends_a_container_whose_shim_and_state_are_gone() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    for what in ["state", "state/runtime", "state/shims"] {
        let name = what.replace('/', "-");
        let bed = Bed::new(&scratch, &name);
        let (shim, pid) = running(&bed);
        process::signal(shim.pid(), Signal::KILL);
        assert!(process::wait_for_pid(shim.pid(), DEADLINE));
        shim.forget();
        delete_all(&scratch.join(what));
        bed.clean_up(Acknowledged { pid: Some(pid), ..Default::default() })
            .unwrap_or_else(|harm| panic!("{what} deleted: {harm}"));
        assert_ended(pid);
    }
}

#[test]
fn delete_ends_a_server_that_is_alive_and_tells_the_true_end() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    for (what, before) in [("running", None), ("stopped", Some(Signal::STOP))] {
        let bed = Bed::new(&scratch, what);
        let (shim, pid) = running(&bed);
        if let Some(signal) = before {
            process::signal(shim.pid(), signal);
        }
        assert_eq!(bed.delete(), Ok((KILLED, true)), "{what}");
        assert!(process::wait_for_pid(shim.pid(), DEADLINE), "{what}: the server goes with its container");
        assert_ended(pid);
        shim.forget();
        assert!(bed.left().is_none(), "{what}");
    }
}

#[test]
fn a_stopped_shim_whose_container_ended_by_itself_has_its_status_told() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch, "unseen");
    let (shim, pid) = running(&bed);
    process::signal(shim.pid(), Signal::STOP);
    let first = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    process::signal(first, Signal::TERM);
    assert_ended(pid);
    assert_eq!(bed.delete(), Ok((OWN_STATUS, true)), "by the server, or by the kernel's word of the zombie");
    shim.forget();
    assert!(bed.left().is_none());
}

#[test]
fn a_bundle_deleted_while_its_container_runs_leaves_nothing_behind_delete() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    for is_server_alive in [true, false] {
        let bed = Bed::new(&scratch, if is_server_alive { "served" } else { "unserved" });
        let (shim, pid) = running(&bed);
        if !is_server_alive {
            process::signal(shim.pid(), Signal::KILL);
            assert!(process::wait_for_pid(shim.pid(), DEADLINE));
        }
        delete_all(bed.bundle.path());
        bed.delete().expect("deleted without a bundle");
        assert_ended(pid);
        shim.forget();
        assert!(bed.left().is_none(), "server alive: {is_server_alive}");
    }
}

#[test]
fn a_damaged_bundle_can_still_be_deleted() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    for (number, file) in
        ["options.json", "exit.json", "processes.json", "init.pid", "log.json"].iter().enumerate()
    {
        for (kind, content) in ["", "{", "\0\0\0\0"].iter().enumerate() {
            let bed = Bed::new(&scratch, &format!("damaged-{number}-{kind}"));
            let (shim, pid) = running(&bed);
            process::signal(shim.pid(), Signal::KILL);
            assert!(process::wait_for_pid(shim.pid(), DEADLINE));
            shim.forget();
            fs::write(bed.bundle.path().join(file), content).expect("writable");
            bed.delete().unwrap_or_else(|error| panic!("{file} is {content:?}: {error}"));
            assert_ended(pid);
            assert!(bed.left().is_none(), "{file} is {content:?}");
        }
    }
}
