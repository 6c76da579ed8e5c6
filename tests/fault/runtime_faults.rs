//! System calls of knarr-runtime that fail: no space, no descriptor, no memory, interrupted. The command
//! does without or says in a sentence why not; nothing is left either way.

use std::os::unix::process::ExitStatusExt;

use knarr_tests::process::Outcome;
use knarr_tests::strace::{self, Watch};
use knarr_tests::{Bundle, Runtime, Scratch, eventually, require};

use crate::runtime_bed::{delete, left, rich};
use crate::sweep::{DEADLINE, Harm, Sweep, errors, family_calls};

/// A command that failed has to say so itself: a sentence, no panic, no signal.
fn refuses_clearly(call: &str, outcome: &Outcome) -> Result<(), Harm> {
    let is_killed = outcome.status.signal().is_some() || outcome.code() > 128 && outcome.code() != 255;
    // The call that failed may be the one that would have written the sentence.
    let says_why = outcome.stderr.len() > 10 || call == "write";
    if outcome.status.success() || (!is_killed && says_why && !outcome.stderr.contains("panicked")) {
        return Ok(());
    }
    Err(Harm::Unclear(outcome.to_string()))
}

fn run_fails(name: &str, bundle: impl FnOnce(Bundle) -> Bundle) {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(Bundle::busybox(&scratch, "failed").args(["true"]));
    let command = runtime.verb("run", &bundle);
    let all = errors(&family_calls(&command, &scratch.join("calls")));
    let (mut refused, mut recorded) = (0, 0);
    let sweep = Sweep::over(&all, |injection| {
        let (outcome, struck) = injection.strike(Watch::Family, &command, &scratch);
        refused += usize::from(!outcome.status.success());
        // What cannot be taken back, because that failed, has to be recorded, and then a delete does it.
        let is_recorded = runtime.root().join(bundle.id()).exists();
        recorded += usize::from(is_recorded);
        let is_gone = match is_recorded {
            true => delete(&scratch, &runtime, bundle.id()),
            false => left(&scratch, &runtime, bundle.id()).map_or(Ok(()), Err),
        };
        refuses_clearly(&injection.point.call, &outcome)?;
        is_gone?;
        if is_recorded && outcome.status.success() {
            return Err(Harm::Orphan(format!("a success, but it is there still: {outcome}")));
        }
        Ok(struck)
    });
    eprintln!("{name}: {refused} refused, {recorded} for delete to remove");
    sweep.conclude(&format!("{name} with failing calls"));
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
    let all = errors(&family_calls(&command, &scratch.join("calls")));
    let sweep = Sweep::over(&all, |injection| {
        let (outcome, struck) = injection.strike(Watch::Family, &command, &scratch);
        eventually(DEADLINE, || (scratch.pids("entered").len() == 1).then_some(()));
        if container.status() != "running" {
            return Err(Harm::Lost(format!("the container is {}", container.status())));
        }
        refuses_clearly(&injection.point.call, &outcome).map(|()| struck)
    });
    sweep.conclude("exec with failing calls");
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
    let all = errors(&family_calls(&command, &scratch.join("calls")));
    delete(&scratch, &runtime, bundle.id()).expect("an undisturbed container can be deleted");
    let sweep = Sweep::over(&all, |injection| {
        let container = runtime.create(&bundle);
        let (outcome, struck) = injection.strike(Watch::Family, &command, &scratch);
        let status = container.status();
        std::mem::forget(container);
        delete(&scratch, &runtime, bundle.id())?;
        if outcome.status.success() && status != "running" {
            return Err(Harm::Lost(format!("a success, but it is {status}")));
        }
        refuses_clearly(&injection.point.call, &outcome).map(|()| struck)
    });
    sweep.conclude("start with failing calls");
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
    let sweep = Sweep::over(&errors(&own), |injection| {
        std::mem::forget(runtime.run_detached(&bundle));
        let (outcome, struck) = injection.strike(Watch::Program, &command, &scratch);
        let found = if outcome.status.success() { left(&scratch, &runtime, bundle.id()) } else { None };
        delete(&scratch, &runtime, bundle.id())?;
        found.map_or(Ok(()), Err)?;
        refuses_clearly(&injection.point.call, &outcome).map(|()| struck)
    });
    sweep.conclude("delete with failing calls");
}
