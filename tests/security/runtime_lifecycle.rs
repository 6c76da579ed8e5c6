//! Ends: of fork bombs, of processes that hide from the end, of frozen ones; and signals that must not reach a stranger
//! who got the pid. Classes R31 and R33.

use std::time::{Duration, Instant};

use knarr_tests::process::{self, Background};
use knarr_tests::{Bundle, Runtime, Scratch, eventually, programs, require};
use rustix::process::Signal;
use serde_json::json;

use crate::attacker;

const QUICK: Duration = Duration::from_secs(10);

#[test]
fn a_fork_bomb_ends_with_its_container() {
    require!(root, tool("busybox"), tool("cc"), cgroup("pids"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    for (name, has_pid_namespace) in [("inside", true), ("outside", false)] {
        let bundle = Bundle::busybox(&scratch, name).args(["attacker", "bomb"]).edit(|config| {
            config["linux"]["resources"]["pids"] = json!({ "limit": 300 });
            if !has_pid_namespace {
                config["linux"]["namespaces"]
                    .as_array_mut()
                    .expect("a list")
                    .retain(|kind| kind["type"] != "pid");
            }
        });
        attacker::arm(&scratch, &bundle);
        let container = runtime.run_detached(&bundle);
        eventually(QUICK, || (scratch.pids(name).len() > 200).then_some(()));
        let begun = Instant::now();
        runtime.call(["delete", "--force", container.id()]).success();
        assert!(begun.elapsed() < QUICK, "{name}: delete took {:?}", begun.elapsed());
        assert!(scratch.pids(name).is_empty(), "{name}: processes are left");
        assert_eq!(container.status(), "gone");
        std::mem::forget(container);
    }
}

#[test]
fn processes_that_left_their_session_parent_and_group_end_with_the_container() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let script = "trap '' TERM HUP; for n in 1 2 3 4; do setsid sh -c 'setsid sh -c \"trap : TERM HUP; sleep 600\" & ' & done; exit 0";
    let bundle = Bundle::busybox(&scratch, "orphans").script(script).edit(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").retain(|kind| kind["type"] != "pid");
    });
    let container = runtime.run_detached(&bundle);
    eventually(QUICK, || {
        (container.status() == "stopped" && scratch.pids("orphans").len() >= 4).then_some(())
    });
    container.delete().success();
    assert!(scratch.pids("orphans").is_empty());
}

#[test]
fn a_paused_container_is_deleted_by_force() {
    require!(root, tool("busybox"), cgroup("freezer"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let container_bundle = Bundle::busybox(&scratch, "paused").script("sleep 600 & sleep 600");
    let container = runtime.run_detached(&container_bundle);
    runtime.call(["pause", container.id()]).success();
    assert_eq!(container.status(), "paused");
    let begun = Instant::now();
    runtime.call(["delete", "--force", container.id()]).success();
    assert!(begun.elapsed() < QUICK, "delete took {:?}", begun.elapsed());
}

#[test]
fn a_run_whose_container_was_deleted_leaves_the_next_of_its_name_alone() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "name").args(["sleep", "600"]);
    let mut first = Background::start(&mut runtime.verb("run", &bundle), &scratch.join("first.log"));
    eventually(QUICK, || (runtime.state(bundle.id())?["status"] == "running").then_some(()));
    process::signal(first.pid(), Signal::STOP);
    runtime.call(["delete", "--force", bundle.id()]).success();
    let second = runtime.create(&bundle);
    process::signal(first.pid(), Signal::CONT);
    eventually(QUICK, || (!first.is_running()).then_some(()));
    assert_eq!(second.status(), "created");
}

#[test]
fn a_stranger_with_the_same_pid_gets_no_signal() {
    require!(root, tool("busybox"), tool("unshare"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "victim").args(["sleep", "600"]);
    let other = bundle.another(&scratch, "control");
    // In a pid namespace of our own, where the next pid can be chosen without disturbing anybody.
    let script = r#"
        set -e
        k() { "$RUNTIME" --root "$ROOT" "$@"; }
        k create --bundle "$BUNDLE" victim
        pid=$(k state victim | sed -n 's/.*"pid": \([0-9]*\),*/\1/p')
        tick=$(cut -d' ' -f22 /proc/"$pid"/stat)
        kill -KILL "$pid"
        while [ -e /proc/"$pid" ] && ! grep -q ') Z ' /proc/"$pid"/stat; do :; done
        wait 2>/dev/null || :
        # Nobody gets a pid again within a tick (10 ms) but here, where the two would have started at the same time.
        while [ "$(cut -d' ' -f22 /proc/self/stat)" = "$tick" ]; do :; done
        n=0
        while [ "${stranger:-0}" != "$pid" ]; do
            n=$((n + 1)); [ $n -lt 200 ] || exit 77
            [ -z "${stranger:-}" ] || kill -KILL "$stranger"
            echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
            sleep 300 & stranger=$!
        done
        k state victim | grep -q '"status": "stopped"' || echo "status is not stopped"
        k kill victim KILL 2>/dev/null && echo "kill says it worked"
        k kill --all victim KILL 2>/dev/null || :
        k delete victim || echo "delete failed"
        kill -0 "$stranger" && grep -q sleep /proc/"$stranger"/cmdline && echo alive
        k create --bundle "$OTHER" control && k kill control KILL && k delete --force control
        kill -KILL "$stranger"
    "#;
    let mut unshare = scratch.command(programs::tool("unshare"));
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script]);
    unshare
        .env("RUNTIME", runtime.program())
        .env("ROOT", runtime.root())
        .env("BUNDLE", bundle.path())
        .env("OTHER", other.path());
    let outcome = process::run(&mut unshare);
    if outcome.code() == 77 {
        return require::skip(
            "a_stranger_with_the_same_pid_gets_no_signal",
            "the pid could not be had again",
        );
    }
    assert_eq!(outcome.success().stdout, "alive\n");
}

/// A container that may write to its cgroups nests them deeper than a process has descriptors, and names them as it
/// likes.
#[test]
fn cgroups_that_a_container_made_inside_its_own_end_with_it() {
    require!(root, tool("busybox"), tool("prlimit"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let nest = "cd /sys/fs/cgroup; [ -d pids ] && cd pids; mkdir \"$(printf '\\377')\"; for n in $(seq 200); do mkdir c && cd c || exit; done; \
                : >/tmp/done; exec sleep 600";
    let bundle = Bundle::busybox(&scratch, "deep").script(nest).edit(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "cgroup" }));
        let mounts = config["mounts"].as_array_mut().expect("a list");
        let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").expect("the cgroup mount");
        cgroup["options"] = json!(["rw"]);
    });
    let container = runtime.run_detached(&bundle);
    eventually(QUICK, || bundle.rootfs().join("tmp/done").exists().then_some(()));
    let delete = runtime.command(["delete", "--force", container.id()]);
    let mut with_few = scratch.command(programs::tool("prlimit"));
    process::run(with_few.arg("--nofile=100").arg(delete.get_program()).args(delete.get_args())).success();
    assert_eq!(container.status(), "gone");
    std::mem::forget(container);
}

/// What v1's freezer holds does not die, and a container that may write to its cgroups has it hold whom it likes.
#[test]
fn what_a_container_has_frozen_inside_its_cgroup_ends_with_it() {
    require!(root, tool("busybox"), cgroup1, cgroup("freezer"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let freeze = "cd /sys/fs/cgroup/freezer; mkdir c; sleep 600 & echo $! >c/cgroup.procs; \
                  echo FROZEN >c/freezer.state; : >/tmp/$0; exec sleep 600";
    for (name, has_pid_namespace) in [("inside", true), ("outside", false)] {
        let bundle = Bundle::busybox(&scratch, name).args(["sh", "-c", freeze, name]).edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
            namespaces.retain(|kind| has_pid_namespace || kind["type"] != "pid");
            namespaces.push(json!({ "type": "cgroup" }));
            let mounts = config["mounts"].as_array_mut().expect("a list");
            let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").expect("the cgroup mount");
            cgroup["options"] = json!(["rw"]);
        });
        let container = runtime.run_detached(&bundle);
        eventually(QUICK, || bundle.rootfs().join("tmp").join(name).exists().then_some(()));
        runtime.call(["delete", "--force", container.id()]).success();
        assert_eq!(container.status(), "gone");
        std::mem::forget(container);
    }
}
