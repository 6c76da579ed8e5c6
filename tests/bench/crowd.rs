//! Many containers: several made at once, and many kept at the same time.

use std::thread;
use std::time::{Duration, Instant};

use knarr_tests::{Bundle, Runtime, Scratch};

use crate::peers::{self, Peers};
use crate::table::Table;

/// So many at once; 1 is what the others are compared with.
const AT_ONCE: [usize; 3] = [1, 8, 32];
/// Containers made for each of them.
const MADE: usize = 64;
/// Containers kept at the same time.
const KEPT: usize = 500;

pub(crate) fn print() {
    println!(
        "\nMilliseconds for each container: wall clock of {MADE} full runs, of which N at once; and of {KEPT} that are kept."
    );
    let scratch = Scratch::new();
    let minimal = Bundle::busybox(&scratch, "minimal");
    let full = peers::full(&scratch, &minimal);
    let peers = Peers::find(&scratch, &full);
    let mut table = Table::new(peers.names());
    let bundles: Vec<Bundle> =
        (0..AT_ONCE[2]).map(|number| full.another(&scratch, &format!("at-once-{number}"))).collect();
    for number in AT_ONCE {
        for (column, runtime) in peers.each() {
            let elapsed = run_at_once(runtime, &bundles[..number]);
            table.add_time(&format!("run, {number} at once"), column, elapsed);
        }
    }
    let sleeper = full.args(["sleep", "600"]);
    let kept: Vec<Bundle> =
        (0..KEPT).map(|number| sleeper.another(&scratch, &format!("kept-{number}"))).collect();
    for (column, runtime) in peers.each() {
        keep(&mut table, column, runtime, &kept);
    }
    table.print();
}

/// How long one container takes when each bundle has a thread that runs it again and again.
fn run_at_once(runtime: &Runtime<'_>, bundles: &[Bundle]) -> Duration {
    let rounds = MADE / bundles.len();
    let start = Instant::now();
    thread::scope(|scope| {
        for bundle in bundles {
            scope.spawn(move || (0..rounds).for_each(|_| drop(runtime.run(bundle).success())));
        }
    });
    each(start.elapsed(), rounds * bundles.len())
}

fn keep(table: &mut Table, column: usize, runtime: &Runtime<'_>, bundles: &[Bundle]) {
    let mut time = |line: &str, step: &mut dyn FnMut()| {
        let start = Instant::now();
        step();
        table.add_time(&format!("{KEPT} kept: {line}"), column, each(start.elapsed(), bundles.len()));
    };
    let mut guards = Vec::new();
    time("create and start", &mut || {
        for bundle in bundles {
            guards.push(runtime.run_detached(bundle));
        }
    });
    time("state", &mut || {
        for bundle in bundles {
            runtime.call(["state", bundle.id()]).success();
        }
    });
    time("list, divided by their number", &mut || {
        runtime.call(["list"]).success();
    });
    time("delete --force", &mut || {
        for bundle in bundles {
            runtime.call(["delete", "--force", bundle.id()]).success();
        }
    });
}

fn each(elapsed: Duration, count: usize) -> Duration {
    elapsed / u32::try_from(count).expect("some hundreds")
}
