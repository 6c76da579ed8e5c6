//! System calls of the shim that fail: no space, no descriptor, no memory, a broken disk. What is asked is done, or
//! refused in a sentence; nothing that was acknowledged is lost, and `shim delete` leaves nothing.

use std::os::unix::process::ExitStatusExt;

use knarr_tests::process::{self, Outcome};
use knarr_tests::strace::{self, Watch};
use knarr_tests::{Scratch, Shim, require};

use crate::shim_bed::{Acknowledged, Bed};
use crate::shim_killed::{disturbed_life, server_calls};
use crate::sweep::{Harm, Sweep, errors};

/// A command that failed says why itself: a sentence, no panic, no signal.
fn refuses_clearly(call: &str, outcome: &Outcome) -> Result<(), Harm> {
    let says_why = outcome.stderr.len() > 10 || call == "write";
    let is_clear = says_why && outcome.status.signal().is_none() && !outcome.stderr.contains("panicked");
    if outcome.status.success() || is_clear { Ok(()) } else { Err(Harm::Unclear(outcome.to_string())) }
}

#[test]
fn a_server_whose_calls_fail_loses_and_leaves_nothing() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch, "lived");
    let points = errors(&server_calls(&bed));
    let sweep = Sweep::over(&points, |injection| disturbed_life(&bed, injection));
    sweep.conclude("the shim's server with failing calls");
}

#[test]
fn a_start_whose_calls_fail_leaves_neither_socket_nor_server() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch, "started");
    let command = bed.action("start");
    let [own, _] = strace::calls(&command, Watch::Program, &scratch.join("calls"));
    bed.clean_up(Acknowledged::default()).expect("an undisturbed start leaves nothing");
    let sweep = Sweep::over(&errors(&own), |injection| {
        let (outcome, struck) = injection.strike(Watch::Program, &command, &scratch);
        if outcome.status.success() {
            Shim::connect(&scratch, &bed.bundle, &[])
                .map_err(|error| Harm::Lost(format!("a success, but no server: {error}")))?
                .forget();
            bed.clean_up(Acknowledged::default())?;
        } else {
            bed.left().map_or(Ok(()), Err)?;
        }
        if strace::was_impossible(&scratch.join("injected")) {
            return Ok(false);
        }
        refuses_clearly(&injection.point.call, &outcome).map(|()| struck)
    });
    sweep.conclude("the shim's start with failing calls");
}

#[test]
fn a_delete_whose_calls_fail_can_be_repeated() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch, "deleted");
    let command = bed.action("delete");
    let prepare = || {
        let shim = Shim::start(&scratch, &bed.bundle);
        shim.run(Default::default());
        process::signal(shim.pid(), rustix::process::Signal::KILL);
        assert!(process::wait_for_pid(shim.pid(), process::DEADLINE), "the server is dead");
        shim.forget();
    };
    prepare();
    let [own, _] = strace::calls(&command, Watch::Program, &scratch.join("calls"));
    let sweep = Sweep::over(&errors(&own), |injection| {
        prepare();
        let (outcome, struck) = injection.strike(Watch::Program, &command, &scratch);
        let left = if outcome.status.success() { bed.left() } else { None };
        let end = bed.delete().map_err(Harm::Orphan)?;
        if !matches!(end, (137, true) | (255, false)) {
            return Err(Harm::Lost(format!("delete says {end:?}")));
        }
        left.map_or(Ok(()), Err)?;
        bed.left().map_or(Ok(()), Err)?;
        if strace::was_impossible(&scratch.join("injected")) {
            return Ok(false);
        }
        refuses_clearly(&injection.point.call, &outcome).map(|()| struck)
    });
    sweep.conclude("the shim's delete with failing calls");
}
