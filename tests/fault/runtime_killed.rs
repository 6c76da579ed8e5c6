//! kill -9 of knarr-runtime at every system call of create, run, start, exec, kill and delete. Afterwards `delete
//! --force` works, nothing is left (process, mount, cgroup, state), and the id is free again.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use knarr_tests::process;
use knarr_tests::runtime::Container;
use knarr_tests::strace::{self, Fault, Point, Watch};
use knarr_tests::{Bundle, Runtime, Scratch, eventually, require};

use crate::runtime_bed::{delete, left, rich};
use crate::sweep::{DEADLINE, Harm, Sweep, family_calls, kills};

/// Runs the command with the kill in it; whether it struck the program itself.
fn strike(point: &Point, watch: Watch, command: &Command) -> bool {
    process::run(&mut point.inject(Fault::Kill, watch, command, Path::new("/dev/null"))).status.signal()
        == Some(9)
}

fn create_is_killed(name: &str, bundle: impl FnOnce(Bundle) -> Bundle) {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(Bundle::busybox(&scratch, "killed").args(["sleep", "600"]));
    let command = runtime.verb("create", &bundle);
    // The first one also makes what stays for all: --root, and the cgroups above the container's.
    process::run(&mut runtime.verb("create", &bundle)).success();
    delete(&scratch, &runtime, bundle.id()).expect("an undisturbed container can be deleted");
    let [own, _] = strace::calls(&command, Watch::Program, &scratch.join("calls"));
    delete(&scratch, &runtime, bundle.id()).expect("an undisturbed container can be deleted");
    let sweep = Sweep::over(&kills(&own), |injection| {
        let struck = strike(&injection.point, Watch::Program, &command);
        delete(&scratch, &runtime, bundle.id())?;
        Ok(struck)
    });
    sweep.conclude(name);
}

#[test]
fn create_leaves_nothing_that_delete_does_not_remove() {
    require!(root, tool("busybox"), tool("strace"));
    create_is_killed("create", |bundle| bundle);
}

#[test]
fn create_with_user_namespace_hooks_and_filter_leaves_nothing_that_delete_does_not_remove() {
    require!(root, tool("busybox"), tool("strace"));
    create_is_killed("create (rich)", rich);
}

fn family_is_killed(name: &str, bundle: impl FnOnce(Bundle) -> Bundle) {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(Bundle::busybox(&scratch, "killed").args(["true"]));
    let command = runtime.verb("run", &bundle);
    let all = family_calls(&command, &scratch.join("calls"));
    let sweep = Sweep::over(&kills(&all), |injection| {
        if strike(&injection.point, Watch::Family, &command) {
            return delete(&scratch, &runtime, bundle.id()).map(|()| true);
        }
        // A child was killed, and the creator has to have taken everything back by itself.
        match left(&scratch, &runtime, bundle.id()) {
            None => Ok(true),
            Some(found) => {
                delete(&scratch, &runtime, bundle.id())?;
                Err(found)
            }
        }
    });
    sweep.conclude(name);
}

#[test]
fn a_first_process_killed_during_its_set_up_leaves_nothing() {
    require!(root, tool("busybox"), tool("strace"));
    family_is_killed("run and its children", |bundle| bundle);
}

#[test]
fn a_first_process_with_user_namespace_hooks_and_filter_leaves_nothing() {
    require!(root, tool("busybox"), tool("strace"));
    family_is_killed("run and its children (rich)", rich);
}

#[test]
fn a_first_process_without_a_mount_namespace_leaves_nothing() {
    require!(root, tool("busybox"), tool("strace"));
    family_is_killed("run and its children (the host's mount namespace)", |bundle| {
        bundle.edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
            namespaces.retain(|namespace| namespace["type"] != "mount");
        })
    });
}

/// Commands on a container that was created for each point anew.
fn verb_is_killed(verb: &[&str], starts_before: bool) {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "killed").args(["sleep", "600"]);
    let make = || {
        let container = runtime.create(&bundle);
        if starts_before {
            container.start().success();
        }
        container
    };
    let arguments: Vec<&str> =
        verb.iter().map(|word| if *word == "ID" { bundle.id() } else { word }).collect();
    let command = runtime.command(arguments);
    let [own, _] = {
        let _container = make();
        strace::calls(&command, Watch::Program, &scratch.join("calls"))
    };
    let sweep = Sweep::over(&kills(&own), |injection| {
        let container: Container<'_> = make();
        let struck = strike(&injection.point, Watch::Program, &command);
        let shown = runtime.call(["state", bundle.id()]);
        let deleted = delete(&scratch, &runtime, bundle.id());
        std::mem::forget(container);
        deleted?;
        if verb[0] != "delete" && !shown.status.success() {
            return Err(Harm::Lost(format!("its state is lost: {shown}")));
        }
        Ok(struck)
    });
    sweep.conclude(verb[0]);
}

#[test]
fn start_leaves_nothing_that_delete_does_not_remove() {
    require!(root, tool("busybox"), tool("strace"));
    verb_is_killed(&["start", "ID"], false);
}

#[test]
fn kill_leaves_nothing_that_delete_does_not_remove() {
    require!(root, tool("busybox"), tool("strace"));
    verb_is_killed(&["kill", "ID", "KILL"], true);
}

#[test]
fn a_killed_delete_can_be_repeated() {
    require!(root, tool("busybox"), tool("strace"));
    verb_is_killed(&["delete", "--force", "ID"], true);
}

#[test]
fn exec_leaves_no_process_and_disturbs_no_container() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "entered").args(["sleep", "600"]);
    let container = runtime.run_detached(&bundle);
    let command = runtime.command(["exec", container.id(), "true"]);
    let [own, childrens] = strace::calls(&command, Watch::Family, &scratch.join("calls"));
    let files = || fs::read_dir(runtime.root().join(container.id())).expect("the state directory").count();
    let before = files();
    let mut sweeps = Vec::new();
    for (calls, watch) in [(own, Watch::Program), (childrens, Watch::Family)] {
        sweeps.push(Sweep::over(&kills(&calls), |injection| {
            let struck = strike(&injection.point, watch, &command);
            eventually(DEADLINE, || (scratch.pids("entered").len() == 1).then_some(()));
            if container.status() != "running" || files() != before {
                return Err(Harm::Lost(format!(
                    "the container is {}, {} files",
                    container.status(),
                    files()
                )));
            }
            Ok(struck || watch == Watch::Family)
        }));
    }
    container.exec(["true"]).success();
    sweeps[0].conclude("exec");
    sweeps[1].conclude("exec and its child");
}

#[test]
fn deleting_a_killed_create_spares_who_was_in_its_cgroup_before() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let neighbour = Bundle::busybox(&scratch, "neighbour").args(["sleep", "600"]);
    let container = runtime.run_detached(&neighbour);
    // The neighbour's own cgroup, and the one that all of the test's cgroups are in.
    for (name, cgroup) in [("same", scratch.cgroup("neighbour")), ("above", scratch.cgroup_prefix())] {
        let bundle = neighbour
            .another(&scratch, name)
            .edit(|config| config["linux"]["cgroupsPath"] = serde_json::json!(cgroup));
        let command = runtime.verb("create", &bundle);
        let refused = process::run(&mut runtime.verb("create", &bundle));
        assert!(!refused.status.success() && refused.stderr.contains("not empty"), "{refused}");
        assert!(!runtime.root().join(name).exists(), "a refused create leaves its state");
        for call in
            ["mkdirat", "openat", "openat2", "write", "renameat", "clone3", "unlinkat", "flock", "close"]
        {
            for number in 1..=24 {
                strike(&Point::new(call, number), Watch::Program, &command);
                runtime.call(["delete", "--force", name]).success();
                assert_eq!(container.status(), "running", "after {call}#{number} of a create in {cgroup}");
            }
        }
    }
}
