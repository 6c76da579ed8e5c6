//! What of the host a container's process could be born with: descriptors, a working directory, a memory that others
//! may look into. Classes R02 and R03.

use std::fs;
use std::process::Command;

use knarr_tests::{Bundle, Runtime, Scratch, eventually, process, programs, require};
use serde_json::json;

use crate::attacker;

/// `run` and `exec` are tried with each of these as a working directory.
const NUMBERS: std::ops::Range<u32> = 3..40;
/// How often somebody enters a container whose processes lie in wait.
const ENTRIES: usize = 40;

/// The same command, whose caller leaves descriptors of the host open.
fn careless(scratch: &Scratch, command: &Command) -> Command {
    let mut careless = scratch.command(programs::tool("sh"));
    let host = scratch.path().display();
    careless.args(["-c", &format!("exec 6</etc 7<{host} 8</etc/shadow 9</; exec \"$@\""), "sh"]);
    careless.arg(command.get_program()).args(command.get_args());
    careless
}

/// Prints every descriptor beyond stdio that the shell's own child was born with.
const OPEN: &str = "for d in 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do \
                    t=$(readlink /proc/self/fd/$d) && case $t in /proc/*/fd|pipe:*) ;; *) echo $d $t;; esac; done; exit 0";

#[test]
fn a_process_has_no_descriptor_but_its_own() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "born").script(OPEN);
    let outcome = process::run(&mut careless(&scratch, &runtime.verb("run", &bundle))).success();
    assert_eq!(outcome.stdout, "", "run: {outcome}");

    let kept = bundle.another(&scratch, "kept").args(["sleep", "600"]);
    let container = runtime.run_detached(&kept);
    let enter = runtime.command(["exec", container.id(), "sh", "-c", OPEN]);
    let outcome = process::run(&mut careless(&scratch, &enter)).success();
    assert_eq!(outcome.stdout, "", "exec: {outcome}");
    // The control: what was asked for does come in, and is seen.
    let enter = runtime.command(["exec", "--preserve-fds", "5", container.id(), "sh", "-c", OPEN]);
    let mut open = scratch.command(programs::tool("sh"));
    open.args(["-c", "exec 3</ 4</ 5</ 6</ 7</etc/shadow; exec \"$@\"", "sh"])
        .arg(enter.get_program())
        .args(enter.get_args());
    let outcome = process::run(&mut open).success();
    assert!(outcome.stdout.contains("/etc/shadow"), "{outcome}");
}

#[test]
fn a_working_directory_leads_to_nothing_of_the_host() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    fs::write(scratch.join("marker"), "").expect("ours");
    let up = "../".repeat(24);
    let marker = scratch.join("marker");
    let look = format!("ls -d {up}{} && echo OUTSIDE; ls -d {up}old_root; pwd", marker.display());
    let first = Bundle::busybox(&scratch, "first").script(&look);
    std::os::unix::fs::symlink("/proc/self/fd/7", first.rootfs().join("way")).expect("ours");
    let waiting = first.another(&scratch, "waiting").args(["sleep", "600"]);
    let container = runtime.run_detached(&waiting);
    let directories = NUMBERS.map(|number| format!("/proc/self/fd/{number}"));
    let more = ["/proc/1/fd/7", "/way", "/way/tmp", "/proc/self/fd/7/../..", "/proc/thread-self/fd/8"]
        .map(str::to_owned);
    for cwd in directories.chain(more) {
        let run = first.another(&scratch, "cwd").edit(|config| config["process"]["cwd"] = json!(cwd));
        let enter = runtime.command(["exec", "--cwd", &cwd, container.id(), "sh", "-c", &look]);
        for command in [runtime.verb("run", &run), enter] {
            let outcome = process::run(&mut careless(&scratch, &command));
            assert!(!outcome.stdout.contains("OUTSIDE"), "{cwd}: {outcome}");
            let refused = !outcome.status.success() && outcome.stderr.contains("level=error");
            assert!(
                refused || outcome.stdout.lines().last().is_some_and(|pwd| pwd.starts_with('/')),
                "{outcome}"
            );
        }
    }
}

#[test]
fn a_process_that_lies_in_wait_sees_nothing_of_who_enters() {
    require!(root, tool("busybox"), tool("cc"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let hits = scratch.directory("hits");
    let host = scratch.path().display().to_string();
    // Three hunters: two cores are raced for by all of them.
    let script = format!("for n in 1 2 3; do attacker hunt {host} >/hits/$n & done; wait");
    let bundle = Bundle::busybox(&scratch, "hunters").script(&script).edit(|config| {
        let mount = json!({ "destination": "/hits", "type": "bind", "source": hits, "options": ["rbind"] });
        config["mounts"].as_array_mut().expect("a list").push(mount);
    });
    attacker::arm(&scratch, &bundle);
    let container = runtime.run_detached(&bundle);
    let seen = || -> String {
        ["1", "2", "3"].map(|name| fs::read_to_string(hits.join(name)).unwrap_or_default()).concat()
    };
    eventually(process::DEADLINE, || hits.join("3").exists().then_some(()));
    for _ in 0..ENTRIES {
        container.exec(["true"]).success();
    }
    // Who is made in their pid namespace is seen by them before it is confined.
    let namespace = format!("/proc/{}/ns/pid", container.pid());
    let guest = bundle.another(&scratch, "guest").args(["true"]).edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|kind| kind["type"] != "pid");
        namespaces.push(json!({ "type": "pid", "path": namespace }));
    });
    for _ in 0..ENTRIES {
        runtime.run(&guest).success();
    }
    // The control: an ordinary process can be looked at.
    container.exec(["sh", "-c", "usleep 300000"]).success();
    let seen = seen();
    assert!(seen.contains("ordinary "), "the hunters see nothing at all: {seen}");
    assert!(seen.contains("seen "), "the hunters never met the runtime: {seen}");
    for hit in ["exe ", "fd ", "root ", "trace "] {
        let found: Vec<&str> = seen.lines().filter(|line| line.starts_with(hit)).take(5).collect();
        assert!(found.is_empty(), "the hunters got hold of the runtime: {found:?}");
    }
    container.kill("KILL").success();
}
