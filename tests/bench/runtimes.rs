//! How long each verb takes: knarr-runtime, crun and runc on the same bundles, verb by verb.

use std::thread;
use std::time::Duration;

use knarr_tests::{Bundle, Runtime, Scratch, process};

use crate::floor::Floor;
use crate::peers::{self, Peers};
use crate::table::Table;

/// The column of what no runtime can be faster than.
const FLOOR: &str = "floor";
/// Long enough that the kernel has forgotten the last one: moving into a cgroup costs a grace period then.
const COLD: Duration = Duration::from_millis(50);

/// Runs of one runtime in a row, and how often each runtime has its turn.
const RUNS: usize = 40;
const TURNS: usize = 5;

pub(crate) fn print(rounds: usize) {
    println!(
        "\nMilliseconds from start to exit, medians of {rounds} interleaved rounds. Cold: after {COLD:?} of rest."
    );
    let scratch = Scratch::new();
    let minimal = Bundle::busybox(&scratch, "minimal");
    let full = peers::full(&scratch, &minimal);
    let peers = Peers::find(&scratch, &full);
    let sleeper = full.another(&scratch, "sleeper").args(["sleep", "600"]);
    let floor = Floor::find(&scratch, peers.ours(), &sleeper);
    let mut table = Table::new(peers.names().into_iter().chain([FLOOR.to_owned()]));
    for round in 0..rounds {
        for (line, bundle, rest) in [
            ("run, minimal", &minimal, Duration::ZERO),
            ("run, full", &full, Duration::ZERO),
            ("run, full, cold", &full, COLD),
        ] {
            let columns = peers.runtimes.len() + 1;
            // In turns: the kernel still cleans up behind whoever came before.
            for column in (0..columns).map(|turn| (round + turn) % columns) {
                thread::sleep(rest);
                let outcome = match peers.runtimes.get(column) {
                    Some(runtime) => runtime.run(bundle),
                    None => match &floor {
                        Some(floor) => floor.run(bundle),
                        None => continue,
                    },
                };
                table.add_time(line, column, outcome.success().elapsed);
            }
        }
        for (column, runtime) in peers.each() {
            life(&mut table, column, runtime, &sleeper);
        }
    }
    table.print();
}

/// Each runtime back to back, alone on the machine for a while: what the interleaved table cannot show, since there every
/// runtime finds the caches full of another's pages.
pub(crate) fn print_hot() {
    println!(
        "\nMilliseconds from start to exit, medians of {TURNS} blocks of {RUNS} runs of one runtime in a row."
    );
    let scratch = Scratch::new();
    let minimal = Bundle::busybox(&scratch, "minimal");
    let full = peers::full(&scratch, &minimal);
    let peers = Peers::find(&scratch, &full);
    let mut table = Table::new(peers.names());
    for _ in 0..TURNS {
        for (column, runtime) in peers.each() {
            for (line, bundle) in [("run, minimal, hot", &minimal), ("run, full, hot", &full)] {
                for _ in 0..RUNS {
                    table.add_time(line, column, runtime.run(bundle).success().elapsed);
                }
            }
        }
    }
    table.print();
}

/// One container's life, each verb timed.
fn life(table: &mut Table, column: usize, runtime: &Runtime<'_>, bundle: &Bundle) {
    let id = bundle.id();
    let mut time =
        |line: &str, outcome: process::Outcome| table.add_time(line, column, outcome.success().elapsed);
    time("create", process::run(&mut runtime.verb("create", bundle)));
    time("start", runtime.call(["start", id]));
    time("state", runtime.call(["state", id]));
    time("exec", runtime.call(["exec", id, "true"]));
    time("kill", runtime.call(["kill", id, "KILL"]));
    peers::await_end(runtime, id);
    time("delete", runtime.call(["delete", id]));
}
