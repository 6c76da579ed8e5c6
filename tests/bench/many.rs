//! A thousand containers of one knarrd: how long each verb takes among them, how soon a killed knarrd serves them again, and
//! what memory it needs before, meanwhile and afterwards.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use knarr_tests::process::run_within;
use knarr_tests::{Daemon, Image, Knarr, Layer, Registry, Scratch, programs};

use crate::peers::{self, IMAGE};

/// Containers kept at the same time.
const KEPT: usize = 1000;
/// Command lines at work at the same time.
const AT_ONCE: usize = 8;
/// For a verb with a thousand names.
const DEADLINE: Duration = Duration::from_secs(600);
/// Images pulled, each with one layer of so many bytes that do not compress.
const PULLS: usize = 5;
const LAYER_BYTES: usize = 20 << 20;

pub(crate) fn print() {
    println!("\n{KEPT} containers of one knarrd.\n\n| | |\n|---|---:|");
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    peers::load(&scratch, &knarr);
    memory("idle", &daemon);
    pulls(&scratch, &knarr, &daemon);
    let begun = Instant::now();
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let knarr = &knarr;
            scope.spawn(move || {
                for number in (first..KEPT).step_by(AT_ONCE) {
                    let name = format!("many-{number}");
                    let flags = ["run", "-d", "--name", &name, "--stop-signal", "KILL", IMAGE];
                    knarr.call(flags.into_iter().chain(["sleep", "6000"])).success();
                }
            });
        }
    });
    each(&format!("run -d, {AT_ONCE} at once: each"), begun.elapsed());
    row("ps", knarr.call(["ps"]).success().elapsed);
    memory(&format!("with {KEPT} containers"), &daemon);
    daemon.kill();
    let begun = Instant::now();
    daemon.start_again();
    row("knarrd killed and started again: until it listens", begun.elapsed());
    knarr.call(["ps"]).success();
    row("the same: until its first answer", begun.elapsed());
    memory("started again among them", &daemon);
    let names: Vec<String> = (0..KEPT).map(|number| format!("many-{number}")).collect();
    let all = |verb: &str| {
        let mut command = knarr.command([verb]);
        each(&format!("{verb}: each"), run_within(DEADLINE, command.args(&names)).success().elapsed);
    };
    all("stop");
    all("rm");
    memory("afterwards", &daemon);
}

fn pulls(scratch: &Scratch, knarr: &Knarr<'_>, daemon: &Daemon<'_>) {
    if programs::find("docker-registry").is_none() || programs::find("skopeo").is_none() {
        return;
    }
    let registry = Registry::start(scratch);
    for number in 0..PULLS {
        let layer = Layer::new().file("bytes", 0o644, &noise(number, LAYER_BYTES));
        let reference = registry.push(&Image::empty().layer(layer), &format!("bench/noise:{number}"));
        knarr.call(["pull", "--quiet", &reference]).success();
        knarr.call(["rmi", &reference]).success();
    }
    memory(&format!("after {PULLS} pulls"), daemon);
}

/// Bytes that no compressor makes smaller (xorshift).
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ u64::try_from(seed + 1).unwrap_or(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..length / 8).flat_map(|_| next().to_le_bytes()).collect()
}

fn row(name: &str, elapsed: Duration) {
    println!("| {name}, ms | {:.1} |", elapsed.as_secs_f64() * 1000.0);
}

fn each(name: &str, elapsed: Duration) {
    row(name, elapsed / u32::try_from(KEPT).unwrap_or(1));
}

/// knarrd's own pages, and its share of those that it shares.
fn memory(when: &str, daemon: &Daemon<'_>) {
    let path = format!("/proc/{}/smaps_rollup", daemon.pid().as_raw_nonzero());
    let text = fs::read_to_string(path).expect("knarrd runs");
    let line = text.lines().find(|line| line.starts_with("Pss:")).expect("the kernel's line");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("kB");
    println!("| knarrd's memory {when}, MiB | {}.{} |", kib / 1024, kib % 1024 * 10 / 1024);
}
