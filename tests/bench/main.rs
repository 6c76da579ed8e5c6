//! `make bench`: ours beside runc, crun and containerd, interleaved in one run on one machine; prints medians and ratios
//! as Markdown. `KNARR_BENCH_ROUNDS` says how often each is measured (default 50); arguments name the tables wanted (all).
//!
//! All run in a mount namespace of their own: with the hybrid machine's cgroup2 unmounted, because crun refuses it, and a
//! tmpfs on /run, which not every machine without systemd has.
#![forbid(unsafe_code)]

mod cost;
mod crowd;
mod engines;
mod floor;
mod many;
mod memory;
mod peers;
mod runtimes;
mod table;

use std::os::unix::process::CommandExt;
use std::process::Command;

use knarr_tests::programs;

/// Set in the process that has the private view of cgroups.
const IN_VIEW: &str = "KNARR_BENCH_IN_VIEW";
const DEFAULT_ROUNDS: usize = 50;

fn main() {
    if std::env::var_os(IN_VIEW).is_none() {
        enter_private_view();
    }
    let rounds = std::env::var("KNARR_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    let rounds = rounds.unwrap_or(DEFAULT_ROUNDS);
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |table: &str| asked.is_empty() || asked.iter().any(|name| name == table);
    println!(
        "In brackets ours divided by theirs. Tables: runtimes, hot, cost, crowd, engines, many, memory."
    );
    if is_asked("runtimes") {
        runtimes::print(rounds);
    }
    if is_asked("hot") {
        runtimes::print_hot();
    }
    if is_asked("cost") {
        cost::print(rounds);
    }
    if is_asked("crowd") {
        crowd::print();
    }
    if is_asked("engines") {
        engines::print(rounds);
    }
    if is_asked("many") {
        many::print();
    }
    if is_asked("memory") {
        memory::print();
    }
}

/// Becomes this same program in a private mount namespace.
fn enter_private_view() {
    let script = r#"umount /sys/fs/cgroup/unified 2>/dev/null; mount -t tmpfs tmpfs /run && exec "$@""#;
    let mut unshare = Command::new(programs::tool("unshare"));
    unshare.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).env(IN_VIEW, "1");
    unshare.arg(std::env::current_exe().expect("we are a file")).args(std::env::args_os().skip(1));
    let error = unshare.exec();
    panic!("cannot make a private mount namespace (as root?): {error}");
}
