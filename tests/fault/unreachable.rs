//! Shims that do not answer when knarrd comes back: stopped, without a socket, without a container. What does not
//! answer is not dead: no container is killed, no exit status made up, no client kept waiting, no shim left behind.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use knarr_tests::{Daemon, Image, Knarr, Scratch, eventually, process, programs, require};
use rustix::process::{Pid, Signal};

const DEADLINE: Duration = Duration::from_secs(30);
/// A second is meant; the rest is for a machine that others load.
const READY_LIMIT: Duration = Duration::from_secs(8);
/// Within which a verb that needs the shim says that it does not answer.
const REFUSAL_LIMIT: Duration = Duration::from_secs(10);

/// A container that ends with the code in /go/NAME once that is there.
fn run(knarr: &Knarr<'_>, scratch: &Scratch, name: &str) -> u64 {
    let bind = format!("{}:/go:ro", scratch.directory("go").display());
    let wait = "while [ ! -e /go/$0 ]; do usleep 20000; done; exit $(cat /go/$0)";
    knarr.say(["run", "-d", "--name", name, "-v", &bind, "test/busybox:1", "sh", "-c", wait, name]);
    state(knarr, name)["Pid"].as_u64().expect("a pid")
}

fn end(scratch: &Scratch, name: &str, code: u32) {
    let unfinished = scratch.join("unfinished");
    fs::write(&unfinished, code.to_string()).expect("writable");
    fs::rename(&unfinished, scratch.directory("go").join(name)).expect("writable");
}

fn state(knarr: &Knarr<'_>, name: &str) -> serde_json::Value {
    knarr.json(["inspect", name])[0]["State"].clone()
}

fn id(knarr: &Knarr<'_>, name: &str) -> String {
    knarr.json(["inspect", name])[0]["Id"].as_str().expect("an id").to_owned()
}

fn load(scratch: &Scratch, knarr: &Knarr<'_>) {
    let archive = scratch.join("image.tar");
    Image::busybox().write_docker_archive(&archive, &["test/busybox:1"]);
    knarr.say(["load", "-q", "-i", archive.to_str().expect("our path")]);
}

fn is_alive(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// The servers of the container's shim.
fn shims(id: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_shim = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&format!("-id {id} ")) && line.ends_with("serve ")
    };
    pids.filter(is_shim).filter_map(Pid::from_raw).collect()
}

#[track_caller]
fn shim(id: &str) -> Pid {
    let [pid] = shims(id)[..] else { panic!("the shims of {id}: {:?}", shims(id)) };
    pid
}

#[test]
fn a_stopped_shim_delays_nobody_and_is_taken_up_when_it_goes_on() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load(&scratch, &knarr);
    let pids = ["stuck", "other"].map(|name| run(&knarr, &scratch, name));
    let shim = shim(&id(&knarr, "stuck"));
    daemon.kill();
    process::signal(shim, Signal::STOP);
    let began = Instant::now();
    daemon.start_again();
    let listed = knarr.say(["ps", "--format", "{{.Names}} {{.State}}"]);
    let took = began.elapsed();
    assert!(took < READY_LIMIT, "knarrd answered after {took:?}");
    for name in ["stuck", "other"] {
        assert!(listed.contains(&format!("{name} running")), "{listed}");
    }
    assert_eq!(knarr.say(["exec", "other", "echo", "here"]), "here");
    // At first it has not been found out what is wrong with its shim, only that it does not answer.
    eventually(DEADLINE, || {
        let refused = knarr.call(["exec", "stuck", "true"]);
        assert!(
            refused.elapsed < REFUSAL_LIMIT && refused.stderr.contains("cannot reach the shim"),
            "{refused}"
        );
        refused.stderr.contains("kill -CONT").then_some(())
    });
    assert!(pids.into_iter().all(is_alive), "a container was killed");
    process::signal(shim, Signal::CONT);
    eventually(DEADLINE, || (knarr.call(["exec", "stuck", "true"]).code() == 0).then_some(()));
    end(&scratch, "stuck", 5);
    assert_eq!(knarr.say(["wait", "stuck"]), "5");
    knarr.say(["rm", "-f", "stuck", "other"]);
}

#[test]
fn a_container_whose_shim_stays_stopped_can_be_killed_and_removed() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load(&scratch, &knarr);
    let pid = run(&knarr, &scratch, "stuck");
    let id = id(&knarr, "stuck");
    daemon.kill();
    process::signal(shim(&id), Signal::STOP);
    daemon.start_again();
    knarr.say(["rm", "-f", "stuck"]);
    assert!(!is_alive(pid), "the container's process runs on");
    assert_eq!(shims(&id), [], "its shim is left");
    assert_eq!(knarr.say(["ps", "-aq"]), "");
    scratch.assert_no_container_left();
}

#[test]
fn deleting_the_state_directory_ends_no_container() {
    require!(root, tool("busybox"));
    for deleted in ["", "shims", "runtime", "attach"] {
        let scratch = Scratch::new();
        let mut daemon = Daemon::start(&scratch);
        let knarr = daemon.knarr();
        load(&scratch, &knarr);
        let pids = ["goes-on", "ends"].map(|name| run(&knarr, &scratch, name));
        daemon.kill();
        fs::remove_dir_all(daemon.state().join(deleted)).expect("deleted");
        daemon.start_again();
        for (name, pid) in ["goes-on", "ends"].into_iter().zip(pids) {
            let state = state(&knarr, name);
            assert_eq!(state["Status"], "running", "without {deleted:?}: {state}");
            assert!(is_alive(pid), "without {deleted:?}, {name} was killed");
        }
        end(&scratch, "ends", 7);
        assert_eq!(knarr.say(["wait", "ends"]), "7", "without {deleted:?}");
        knarr.say(["rm", "-f", "goes-on", "ends"]);
        assert!(!pids.into_iter().any(is_alive), "without {deleted:?}, a process is left");
        scratch.assert_no_container_left();
    }
}

#[test]
fn a_shim_without_a_container_is_ended() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load(&scratch, &knarr);
    let known = knarr.say(["create", "test/busybox:1", "true"]);
    let unknown = "5eaf00d".repeat(10)[..64].to_owned();
    daemon.kill();
    let bundles = [daemon.root().join("containers").join(&known), scratch.directory(&unknown)];
    for (id, bundle) in [&known, &unknown].into_iter().zip(&bundles) {
        start_shim(&scratch, &daemon, id, bundle);
        shim(id);
    }
    daemon.start_again();
    for id in [&known, &unknown] {
        eventually(DEADLINE, || shims(id).is_empty().then_some(()));
    }
    assert_eq!(knarr.say(["ps", "-aq", "--no-trunc"]), known, "the container itself stays");
    knarr.say(["start", &known]);
    assert_eq!(knarr.say(["wait", &known]), "0");
}

/// What knarrd does first of all when it starts a container, and all that it does when it is killed then.
fn start_shim(scratch: &Scratch, daemon: &Daemon<'_>, id: &str, bundle: &Path) {
    let mut command: Command = scratch.command(programs::ours("containerd-shim-knarr-v2"));
    command.args(["-namespace", "knarr", "-id", id, "-address", "", "-publish-binary", ""]);
    command.arg("-bundle").arg(bundle).arg("start").current_dir(bundle);
    command.env("KNARR_SHIM_SOCKET", daemon.state().join("shims").join(format!("{}.sock", &id[..12])));
    command.env("KNARR_RUNTIME", programs::ours("knarr-runtime"));
    command.env("KNARR_RUNTIME_ROOT", daemon.state().join("runtime"));
    process::run(&mut command).success();
}
