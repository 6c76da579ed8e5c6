//! `make bench`: ours beside runc, crun and containerd, interleaved in one run on one machine; prints medians and ratios
//! as Markdown. `KNARR_BENCH_ROUNDS` says how often each is measured (default 20); arguments name the tables wanted (all).
//!
//! All run in a mount namespace of their own with the hybrid machine's cgroup2 unmounted, because crun refuses it.
#![forbid(unsafe_code)]

mod engines;
mod memory;
mod runtimes;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use knarr_tests::programs;

/// Set in the process that has the private view of cgroups.
const IN_VIEW: &str = "KNARR_BENCH_IN_VIEW";
const DEFAULT_ROUNDS: usize = 20;

fn main() {
    if std::env::var_os(IN_VIEW).is_none() {
        enter_private_view();
    }
    let rounds = std::env::var("KNARR_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    let rounds = rounds.unwrap_or(DEFAULT_ROUNDS);
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |table: &str| asked.is_empty() || asked.iter().any(|name| name == table);
    println!("Medians of {rounds} interleaved rounds, in milliseconds; in brackets ours divided by theirs.");
    if is_asked("runtimes") {
        println!();
        runtimes::measure(rounds).print();
    }
    if is_asked("engines") {
        println!();
        engines::measure(rounds).print();
    }
    if is_asked("memory") {
        println!();
        memory::print();
    }
}

/// Becomes this same program in a private mount namespace.
fn enter_private_view() {
    let script = r#"umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@""#;
    let mut unshare = Command::new(programs::tool("unshare"));
    unshare.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).env(IN_VIEW, "1");
    unshare.arg(std::env::current_exe().expect("we are a file")).args(std::env::args_os().skip(1));
    let error = unshare.exec();
    panic!("cannot make a private mount namespace (as root?): {error}");
}

/// What was measured: for each line, one series of times for each column; the first column is ours.
struct Table {
    columns: Vec<&'static str>,
    lines: Vec<(&'static str, Vec<Vec<Duration>>)>,
}

impl Table {
    fn new(columns: &[&'static str], lines: &[&'static str]) -> Self {
        let empty = || vec![Vec::new(); columns.len()];
        Self { columns: columns.to_vec(), lines: lines.iter().map(|line| (*line, empty())).collect() }
    }

    fn add(&mut self, line: &str, column: usize, elapsed: Duration) {
        let (_, series) =
            self.lines.iter_mut().find(|(name, _)| *name == line).expect("a line of this table");
        series[column].push(elapsed);
    }

    fn print(&self) {
        println!("| | {} |", self.columns.join(" | "));
        println!("|---|{}", "---:|".repeat(self.columns.len()));
        for (name, series) in &self.lines {
            let medians: Vec<f64> = series.iter().map(|times| median_ms(times)).collect();
            let ours = medians[0];
            let others = medians[1..].iter().map(|theirs| format!("{theirs:.1} ({:.2})", ours / theirs));
            let cells: Vec<String> = std::iter::once(format!("{ours:.1}")).chain(others).collect();
            println!("| {name} | {} |", cells.join(" | "));
        }
    }
}

fn median_ms(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
