//! kill -9 of the shim at every system call that changes something: of its start, its server through a container's
//! whole life, and its delete. After `shim delete` nothing is left and nothing that was acknowledged is lost.

use knarr_tests::process;
use knarr_tests::strace::{self, Fault, Watch};
use knarr_tests::{Scratch, Shim, require};

use crate::shim_bed::{Acknowledged, Bed};
use crate::sweep::{Harm, Injection, Sweep, kills_at_changes};

/// The calls of a server through a whole life.
pub(crate) fn server_calls(bed: &Bed<'_>) -> std::collections::BTreeMap<String, u32> {
    let log = bed.scratch.join("calls");
    let server = bed.serve(&mut strace::logged(&bed.action("serve"), &log));
    let mut acknowledged = Acknowledged::default();
    let shim = Shim::connect(bed.scratch, &bed.bundle, &[]).expect("an undisturbed server answers");
    bed.live(&shim, &mut acknowledged).expect("an undisturbed life");
    shim.forget();
    let calls = server.calls(&log);
    bed.clean_up(acknowledged).expect("an undisturbed life leaves nothing");
    calls
}

/// A life with this fault in the server, then what a manager does behind it.
pub(crate) fn disturbed_life(bed: &Bed<'_>, injection: &Injection) -> Result<bool, Harm> {
    let log = bed.scratch.join("injected");
    let mut command = injection.point.inject(injection.fault, Watch::Program, &bed.action("serve"), &log);
    let mut server = bed.serve(&mut command);
    let mut acknowledged = Acknowledged::default();
    let lived = Shim::connect(bed.scratch, &bed.bundle, &[]).and_then(|shim| {
        let lived = bed.live(&shim, &mut acknowledged);
        shim.forget();
        lived
    });
    let was_killed = lived.is_err() || !server.ends_by_itself();
    let is_kill = matches!(injection.fault, Fault::Kill);
    if is_kill {
        drop(server);
    }
    bed.clean_up(acknowledged)?;
    Ok(if is_kill { was_killed } else { strace::was_injected(&log) })
}

#[test]
fn a_server_killed_at_any_point_of_a_life_loses_and_leaves_nothing() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch, "lived");
    let points = kills_at_changes(&server_calls(&bed));
    let sweep = Sweep::over(&points, |injection| disturbed_life(&bed, injection));
    sweep.conclude("the shim's server killed");
}

#[test]
fn a_start_killed_at_any_point_leaves_nothing_behind_delete() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch, "started");
    let command = bed.action("start");
    let [own, _] = strace::calls(&command, Watch::Program, &scratch.join("calls"));
    bed.clean_up(Acknowledged::default()).expect("an undisturbed start leaves nothing");
    let sweep = Sweep::over(&kills_at_changes(&own), |injection| {
        let (outcome, _) = injection.strike(Watch::Program, &command, &scratch);
        bed.clean_up(Acknowledged::default())?;
        Ok(!outcome.status.success())
    });
    sweep.conclude("the shim's start killed");
}

#[test]
fn a_delete_killed_at_any_point_can_be_repeated() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch, "deleted");
    let command = bed.action("delete");
    let prepare = || {
        let shim = Shim::start(&scratch, &bed.bundle);
        let acknowledged = Acknowledged { pid: Some(shim.run(Default::default())), ..Default::default() };
        process::signal(shim.pid(), rustix::process::Signal::KILL);
        assert!(process::wait_for_pid(shim.pid(), process::DEADLINE), "the server is dead");
        shim.forget();
        acknowledged
    };
    prepare();
    let [own, _] = strace::calls(&command, Watch::Program, &scratch.join("calls"));
    let sweep = Sweep::over(&kills_at_changes(&own), |injection| {
        let acknowledged = prepare();
        let (outcome, _) = injection.strike(Watch::Program, &command, &scratch);
        // The first may have killed it, and then have been killed before it could record that.
        let end = bed.delete().map_err(Harm::Orphan)?;
        if !matches!(end, (137, true) | (255, false)) {
            return Err(Harm::Lost(format!("delete says {end:?} of {acknowledged:?}")));
        }
        bed.left().map_or(Ok(()), Err)?;
        Ok(!outcome.status.success())
    });
    sweep.conclude("the shim's delete killed");
}
