//! What a container's keeper costs while nothing happens: our shim, Debian's containerd-shim-runc-v2, and conmon. A few of
//! each at a time, since they share their text.

use std::fs;
use std::time::Duration;

use knarr_tests::shim::{Stdio, by_program};
use knarr_tests::{Bundle, Containerd, Image, Runtime, Scratch, Shim, eventually, process, programs};
use rustix::process::Pid;

use crate::peers::IMAGE;

/// As many of each as are measured together.
const INSTANCES: usize = 5;

/// One keeper's memory, in KiB.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// Its own pages, and its share of those that it shares.
    proportional: u64,
    /// What no other process could use.
    private_dirty: u64,
    /// The kernel's tables for it.
    page_tables: u64,
}

/// Measures and prints the table.
pub(crate) fn print() {
    println!("\nMemory of one idle container's keeper, in KiB: medians of {INSTANCES} at a time.\n");
    println!("| | proportional | private dirty | page tables |");
    println!("|---|---:|---:|---:|");
    row("containerd-shim-knarr-v2", &ours());
    row("containerd-shim-runc-v2", &containerds());
    if programs::find("conmon").is_some() {
        row("conmon", &conmons());
    }
}

fn row(name: &str, all: &[Usage]) {
    let median = |of: fn(&Usage) -> u64| {
        let mut sorted: Vec<u64> = all.iter().map(of).collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    let cells = [median(|usage| usage.proportional), median(|usage| usage.private_dirty)];
    println!("| {name} | {} | {} | {} |", cells[0], cells[1], median(|usage| usage.page_tables));
}

fn ours() -> Vec<Usage> {
    let scratch = Scratch::new();
    let first = Bundle::busybox(&scratch, "first").args(["sleep", "600"]);
    let bundles: Vec<Bundle> =
        (0..INSTANCES).map(|number| first.another(&scratch, &format!("ours-{number}"))).collect();
    let runc = programs::tool("runc");
    let shims: Vec<Shim<'_>> = bundles.iter().map(|bundle| Shim::start(&scratch, bundle)).collect();
    for (number, shim) in shims.iter().enumerate() {
        let files = scratch.directory(format!("streams-{number}"));
        shim.create_by(Stdio::files(&files), Some(by_program(&runc))).expect("created");
        shim.begin("").expect("started");
    }
    shims.iter().map(|shim| usage(shim.pid())).collect()
}

fn containerds() -> Vec<Usage> {
    let scratch = Scratch::new();
    let containerd = Containerd::start(&scratch);
    containerd.import(&Image::busybox(), IMAGE);
    for number in 0..INSTANCES {
        let (id, cgroup) = (format!("bench-{number}"), scratch.cgroup(&format!("theirs-{number}")));
        containerd.ctr(["run", "--detach", "--cgroup", &cgroup, IMAGE, &id, "sleep", "600"]).success();
    }
    let mark = scratch.path().display().to_string();
    named("containerd-shim-runc-v2", &mark).into_iter().map(usage).collect()
}

fn conmons() -> Vec<Usage> {
    let scratch = Scratch::new();
    let runtime = Runtime::other(&scratch, "runc");
    let first = Bundle::busybox(&scratch, "first").args(["sleep", "600"]);
    let mut measured = Vec::new();
    for number in 0..INSTANCES {
        let bundle = first.another(&scratch, &format!("conmon-{number}"));
        let file = |name: &str| scratch.join(format!("{name}-{number}"));
        let mut conmon = scratch.command(programs::tool("conmon"));
        conmon.args(["--cid", bundle.id(), "--cuuid", bundle.id(), "--name", bundle.id()]);
        conmon.arg("--runtime").arg(runtime.program()).arg("--runtime-arg=--root");
        conmon.arg(format!("--runtime-arg={}", runtime.root().display()));
        conmon.arg("--bundle").arg(bundle.path()).arg("--container-pidfile").arg(file("container.pid"));
        conmon.arg("--persist-dir").arg(scratch.directory(format!("persist-{number}")));
        conmon.arg("--socket-dir-path").arg(scratch.path());
        conmon.arg("--conmon-pidfile").arg(file("conmon.pid")).arg("--exit-dir").arg(scratch.path());
        conmon.arg("--log-path").arg(format!("k8s-file:{}", file("log").display()));
        process::run(&mut conmon).success();
        eventually(Duration::from_secs(10), || {
            let state = runtime.state(bundle.id())?;
            (state["status"] == "created").then_some(())
        });
        runtime.call(["start", bundle.id()]).success();
        let pid = fs::read_to_string(file("conmon.pid")).expect("conmon wrote its pid");
        measured.push(Pid::from_raw(pid.trim().parse().expect("a number")).expect("a pid"));
    }
    let usages = measured.iter().map(|pid| usage(*pid)).collect();
    for number in 0..INSTANCES {
        runtime.call(["delete", "--force", &format!("conmon-{number}")]).success();
    }
    for pid in measured {
        process::wait_for_pid(pid, Duration::from_secs(10));
    }
    usages
}

/// The processes with this name whose command line has the mark.
fn named(name: &str, mark: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let ours = pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(name) && line.contains(mark)
    });
    ours.filter_map(Pid::from_raw).collect()
}

fn usage(pid: Pid) -> Usage {
    let read = |file: &str, key: &str| {
        let text = fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero()));
        let text = text.expect("the keeper runs");
        let line = text.lines().find(|line| line.starts_with(key)).expect("the kernel's line");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of kB")
    };
    Usage {
        proportional: read("smaps_rollup", "Pss:"),
        private_dirty: read("smaps_rollup", "Private_Dirty:"),
        page_tables: read("status", "VmPTE:"),
    }
}
