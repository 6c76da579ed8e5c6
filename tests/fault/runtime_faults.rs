//! System calls of knarr-runtime that fail: no space, no descriptor, no memory, interrupted. The command
//! does without or says in a sentence why not; nothing is left either way.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use knarr_tests::process::{self, Outcome};
use knarr_tests::strace::{self, Fault, Point, Watch};
use knarr_tests::{Bundle, Runtime, Scratch, eventually, require};

use crate::sweep::{DEADLINE, delete, family_calls, left, rich, stride};

/// What each call may fail with, by the kernel's manual or because its file system said so.
const ERRORS: [(&str, &[&str]); 5] = [
    ("ENOSPC", &["mkdirat", "mknodat", "renameat", "openat", "write", "symlinkat", "clone3", "unshare"]),
    (
        "EMFILE",
        &[
            "open",
            "openat",
            "openat2",
            "socketpair",
            "pidfd_open",
            "fcntl",
            "fsopen",
            "fsmount",
            "open_tree",
            "dup2",
            "clone3",
        ],
    ),
    (
        "ENOMEM",
        &[
            "clone3",
            "fsopen",
            "fsconfig",
            "fsmount",
            "move_mount",
            "mount_setattr",
            "open_tree",
            "socketpair",
            "setns",
            "unshare",
            "sendto",
            "sendmsg",
            "recvmsg",
            "pivot_root",
            "umount2",
            "setgroups",
            "mkdirat",
            "openat",
            "openat2",
            "read",
            "write",
            "unlinkat",
            "flock",
            "seccomp",
            "poll",
            "statx",
            "newfstatat",
            "getdents64",
        ],
    ),
    (
        "EINTR",
        &["read", "write", "openat", "openat2", "recvmsg", "sendto", "flock", "poll", "waitid", "clone3"],
    ),
    (
        "EPERM",
        &["mount_setattr", "setns", "fchown", "keyctl", "setresuid", "setresgid", "capset", "sethostname"],
    ),
];

/// An error at each of its points, met or passed over.
fn faults(calls: &BTreeMap<String, u32>) -> Vec<(Point, &'static str)> {
    let all = ERRORS.iter().flat_map(|(error, names)| {
        names.iter().flat_map(move |name| {
            let count = calls.get(*name).copied().unwrap_or(0);
            (1..=count).map(move |number| (Point::new(name, number), *error))
        })
    });
    all.step_by(stride()).collect()
}

/// A command that failed has to say so itself: a sentence, no panic, no signal.
fn refuses_clearly(call: &str, outcome: &Outcome) -> Result<(), String> {
    let is_killed = outcome.status.signal().is_some() || outcome.code() > 128 && outcome.code() != 255;
    // The call that failed may be the one that would have written the sentence.
    let says_why = outcome.stderr.len() > 10 || call == "write";
    if outcome.status.success() || (!is_killed && says_why && !outcome.stderr.contains("panicked")) {
        return Ok(());
    }
    Err(format!("unclear: {outcome}"))
}

fn run_fails(name: &str, bundle: impl FnOnce(Bundle) -> Bundle) {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(Bundle::busybox(&scratch, "failed").args(["true"]));
    let command = runtime.verb("run", &bundle);
    let mut wrong = Vec::new();
    let all = faults(&family_calls(&command, &scratch.join("calls")));
    let (mut refused, mut recorded) = (0, 0);
    for (point, error) in &all {
        let outcome = process::run(&mut point.inject(Fault::Error(error), Watch::Family, &command));
        refused += usize::from(!outcome.status.success());
        let mut blame = |what: String| wrong.push(format!("{error} at {point}: {what}"));
        if let Err(unclear) = refuses_clearly(&point.call, &outcome) {
            blame(unclear);
        }
        // What cannot be taken back, because that failed, has to be recorded, and then a delete does it.
        let is_recorded = runtime.root().join(bundle.id()).exists();
        recorded += usize::from(is_recorded);
        if is_recorded && outcome.status.success() {
            blame("a success, but it is there still".to_owned());
        }
        let is_gone = match is_recorded {
            true => delete(&scratch, &runtime, bundle.id()),
            false => left(&scratch, &runtime, bundle.id()).map_or(Ok(()), Err),
        };
        if let Err(found) = is_gone {
            blame(format!("{found} after {outcome}"));
        }
    }
    eprintln!(
        "{name}: {} faults, {refused} refused, {recorded} for delete to remove, {} wrong",
        all.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_run_whose_calls_fail_leaves_nothing() {
    require!(root, tool("busybox"), tool("strace"));
    run_fails("run", |bundle| bundle);
}

#[test]
fn a_run_with_user_namespace_hooks_and_filter_whose_calls_fail_leaves_nothing() {
    require!(root, tool("busybox"), tool("strace"));
    run_fails("run (rich)", rich);
}

#[test]
fn an_exec_whose_calls_fail_disturbs_no_container() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "entered").args(["sleep", "600"]);
    let container = runtime.run_detached(&bundle);
    let command = runtime.command(["exec", container.id(), "true"]);
    let mut wrong = Vec::new();
    let all = faults(&family_calls(&command, &scratch.join("calls")));
    for (point, error) in &all {
        let outcome = process::run(&mut point.inject(Fault::Error(error), Watch::Family, &command));
        if let Err(unclear) = refuses_clearly(&point.call, &outcome) {
            wrong.push(format!("{error} at {point}: {unclear}"));
        }
        eventually(DEADLINE, || (scratch.pids("entered").len() == 1).then_some(()));
        if container.status() != "running" {
            wrong.push(format!("{error} at {point}: the container is {}", container.status()));
        }
    }
    eprintln!("exec: {} faults, {} wrong", all.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    container.exec(["true"]).success();
}

#[test]
fn a_start_whose_calls_fail_leaves_a_container_that_can_be_deleted() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = rich(Bundle::busybox(&scratch, "started").args(["sleep", "600"]));
    let command = runtime.command(["start", bundle.id()]);
    std::mem::forget(runtime.create(&bundle));
    let all = faults(&family_calls(&command, &scratch.join("calls")));
    delete(&scratch, &runtime, bundle.id()).expect("an undisturbed container can be deleted");
    let (mut wrong, mut refused) = (Vec::new(), 0);
    for (point, error) in &all {
        let container = runtime.create(&bundle);
        let outcome = process::run(&mut point.inject(Fault::Error(error), Watch::Family, &command));
        refused += usize::from(!outcome.status.success());
        if let Err(unclear) = refuses_clearly(&point.call, &outcome) {
            wrong.push(format!("{error} at {point}: {unclear}"));
        }
        let status = container.status();
        if outcome.status.success() && status != "running" {
            wrong.push(format!("{error} at {point}: a success, but it is {status}"));
        }
        std::mem::forget(container);
        if let Err(stuck) = delete(&scratch, &runtime, bundle.id()) {
            wrong.push(format!("{error} at {point}: {stuck}"));
        }
    }
    eprintln!("start: {} faults, {refused} refused, {} wrong", all.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_delete_whose_calls_fail_can_be_repeated() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "deleted").args(["sleep", "600"]);
    let command = runtime.command(["delete", "--force", bundle.id()]);
    std::mem::forget(runtime.run_detached(&bundle));
    let [own, _] = strace::calls(&command, Watch::Program, &scratch.join("calls"));
    let mut unclear = Vec::new();
    let all = faults(&own);
    for (point, error) in &all {
        std::mem::forget(runtime.run_detached(&bundle));
        let outcome = process::run(&mut point.inject(Fault::Error(error), Watch::Program, &command));
        if let Err(wrong) = refuses_clearly(&point.call, &outcome) {
            unclear.push(format!("{error} at {point}: {wrong}"));
        }
        if outcome.status.success()
            && let Some(found) = left(&scratch, &runtime, bundle.id())
        {
            unclear.push(format!("{error} at {point}: a success, but {found}"));
        }
        if let Err(stuck) = delete(&scratch, &runtime, bundle.id()) {
            unclear.push(format!("{error} at {point}: {stuck}"));
        }
    }
    eprintln!("delete: {} faults, {} wrong", all.len(), unclear.len());
    assert!(unclear.is_empty(), "{}", unclear.join("\n"));
}
