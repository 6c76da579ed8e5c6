//! What one container costs besides time: the runtime's CPU, memory, system calls and processes, and the smallest memory
//! limit that it can start a container in.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use knarr_tests::{Bundle, Runtime, Scratch, process, programs};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::json;

use crate::peers::{self, Peers};
use crate::table::Table;

/// The memory limits that are tried, in KiB: up to what every runtime starts in, in steps of four pages.
const LIMITS: std::ops::Range<u64> = 1..4096;
const LIMIT_STEP: u64 = 16;
/// A limit counts as enough when so many starts in a row succeed.
const STARTS: usize = 3;

pub(crate) fn print(rounds: usize) {
    println!("\nWhat a full run costs, medians of {rounds} rounds; the peak is that of create.");
    let scratch = Scratch::new();
    let minimal = Bundle::busybox(&scratch, "minimal");
    let full = peers::full(&scratch, &minimal);
    let peers = Peers::find(&scratch, &full);
    let mut table = Table::new(peers.names());
    for _ in 0..rounds {
        for (column, runtime) in peers.each() {
            table.add("CPU, user and system, ms", column, cpu_ms(runtime, &full));
            table.add("peak resident memory, KiB", column, peak_kib(&scratch, runtime, &full));
        }
    }
    for (column, runtime) in peers.each() {
        let (calls, processes) = calls(&scratch, runtime, &full);
        table.add("system calls", column, calls);
        table.add("processes, the container's among them", column, processes);
        if let Some(limit) = smallest_limit(&scratch, runtime, &full) {
            table.add("smallest memory limit, KiB", column, limit);
        }
    }
    table.print();
}

/// Of the runtime and all whom it waited for, the container's process too.
fn cpu_ms(runtime: &Runtime<'_>, bundle: &Bundle) -> f64 {
    let children = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel knows our children");
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
    };
    let before = children();
    runtime.run(bundle).success();
    #[expect(clippy::cast_precision_loss, reason = "microseconds of one run")]
    let spent = (children() - before) as f64;
    spent / 1000.0
}

/// GNU time's maximum, which cannot be less than its own of about 1 MiB.
fn peak_kib(scratch: &Scratch, runtime: &Runtime<'_>, bundle: &Bundle) -> f64 {
    let report = scratch.join("peak");
    let mut time = scratch.command(programs::tool("time"));
    time.args(["-f", "%M", "-o"]).arg(&report);
    let create = runtime.verb("create", bundle);
    process::run(time.arg(create.get_program()).args(create.get_args())).success();
    runtime.call(["delete", "--force", bundle.id()]).success();
    let text = fs::read_to_string(&report).expect("time wrote its report");
    text.trim().parse().expect("a number of KiB")
}

/// As strace counts them until the container's process executes its program: how many, and by how many processes.
fn calls(scratch: &Scratch, runtime: &Runtime<'_>, bundle: &Bundle) -> (f64, f64) {
    let log = scratch.join("calls");
    process::run(&mut traced(scratch, &runtime.verb("run", bundle), &log)).success();
    let text = fs::read(&log).expect("strace wrote its log");
    let text = String::from_utf8_lossy(&text);
    let lines = || text.lines().filter_map(|line| line.split_once(' '));
    let pids: BTreeSet<&str> = lines().map(|(pid, _)| pid).collect();
    let is_call = |rest: &str| !rest.trim_start().starts_with(['<', '+', '-']);
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let count = |number: usize| number as f64;
    (count(lines().filter(|(_, rest)| is_call(rest)).count()), count(pids.len()))
}

fn traced(scratch: &Scratch, command: &Command, log: &Path) -> Command {
    let mut strace = scratch.command(programs::tool("strace"));
    strace.args(["-f", "-qq", "-s", "0", "-o"]).arg(log);
    strace.arg(command.get_program()).args(command.get_args());
    strace
}

/// By halving; `None` when it starts in none of those that are tried.
fn smallest_limit(scratch: &Scratch, runtime: &Runtime<'_>, bundle: &Bundle) -> Option<f64> {
    let (mut low, mut high) = (LIMITS.start, LIMITS.end);
    while low < high {
        let middle = low.midpoint(high);
        if starts_within(scratch, runtime, bundle, middle * LIMIT_STEP) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 64 MiB in KiB")]
    (low < LIMITS.end).then_some((low * LIMIT_STEP) as f64)
}

fn starts_within(scratch: &Scratch, runtime: &Runtime<'_>, bundle: &Bundle, kib: u64) -> bool {
    let small = bundle.another(scratch, "small").edit(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": kib * 1024 });
    });
    (0..STARTS).all(|_| {
        let has_started = runtime.run(&small).status.success();
        if !has_started {
            // It may have left something, or nothing.
            runtime.call(["delete", "--force", small.id()]);
        }
        has_started
    })
}
