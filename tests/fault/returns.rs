//! kill -9 of the shim and of knarrd at every system call that changes something while a container is started again, and
//! of the shim while it probes its health. A restart happens once, an end is told once, and the container is up again.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use knarr_tests::eventually::holds_within;
use knarr_tests::strace::Tracer;
use knarr_tests::{Daemon, Image, Knarr, Scratch, eventually, process, require};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::sweep::{Harm, Injection, Sweep, kills_at_changes};

const IMAGE: &str = "test/busybox:1";
const DEADLINE: Duration = Duration::from_secs(30);
/// Each run leaves a mark, and ends when it is asked to.
const SCRIPT: &str = "trap 'exit 3' USR1; echo run >>/marks/runs; while :; do sleep 0.02; done";

/// One container that always comes back.
struct Bed<'a> {
    scratch: &'a Scratch,
    daemon: Daemon<'a>,
}

impl<'a> Bed<'a> {
    fn new(scratch: &'a Scratch) -> Self {
        let daemon = Daemon::start(scratch);
        daemon.knarr().load(&Image::busybox(), IMAGE);
        fs::create_dir(scratch.join("marks")).expect("ours");
        Self { scratch, daemon }
    }

    fn knarr(&self) -> Knarr<'a> {
        self.daemon.knarr()
    }

    fn marks(&self) -> PathBuf {
        self.scratch.join("marks/runs")
    }

    fn runs(&self) -> u64 {
        fs::read_to_string(self.marks()).unwrap_or_default().lines().count() as u64
    }

    fn inspect(&self) -> Value {
        self.knarr().json(["inspect", "web"])[0].clone()
    }

    fn restarts(&self) -> u64 {
        self.inspect()["RestartCount"].as_u64().expect("a number")
    }

    fn is_running(&self) -> bool {
        self.inspect()["State"]["Status"] == "running"
    }

    /// A new container in its first run.
    fn begin(&self, more: &[&str]) {
        fs::remove_file(self.marks()).ok();
        let bind = format!("{}:/marks", self.scratch.join("marks").display());
        let flags = [&["run", "-d", "--name", "web", "--restart", "always", "-v", &bind], more].concat();
        self.knarr().say([&flags[..], &[IMAGE, "sh", "-c", SCRIPT]].concat());
        eventually(DEADLINE, || (self.runs() == 1).then_some(()));
    }

    /// Has the run end by itself.
    fn ask_to_end(&self) {
        let pid = self.inspect()["State"]["Pid"].as_i64().expect("a number");
        process::signal(Pid::from_raw(pid as i32).expect("a pid"), Signal::USR1);
    }

    fn end(&self) {
        self.knarr().say(["rm", "-f", "web"]);
    }

    fn shim(&self) -> Pid {
        let id = self.inspect()["Id"].as_str().expect("an id").to_owned();
        let pids = fs::read_dir("/proc").expect("procfs").flatten().filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            (words.contains(&id.as_bytes()) && words.contains(&&b"serve"[..])).then_some(pid)
        });
        pids.filter_map(Pid::from_raw).next().expect("it has a shim")
    }

    /// Up again, by the container's own word and knarrd's.
    fn await_up(&self, at_least: u64) -> Result<(), Harm> {
        // One look: a state and a count of two moments could both be right and not belong together.
        let is_up = || {
            let found = self.inspect();
            found["State"]["Status"] == "running" && found["RestartCount"].as_u64() >= Some(at_least)
        };
        match holds_within(DEADLINE, is_up) {
            true => Ok(()),
            false => Err(Harm::Lost(format!("it is not up again: {}", self.inspect()["State"]))),
        }
    }

    /// The calls of a process during one restart.
    fn calls(&self, pid: Pid) -> BTreeMap<String, u32> {
        let tracer = Tracer::record(pid, &self.scratch.join("calls"));
        self.ask_to_end();
        eventually(DEADLINE, || {
            (self.runs() == 2 && self.is_running() && self.restarts() == 1).then_some(())
        });
        tracer.calls()
    }

    /// What has been told since `began`.
    fn told(&self, began: &str) -> (u64, u64) {
        let format = ["--format", "{{.Action}}"];
        let filters = ["events", "--since", began, "--until", "0s", "--filter", "container=web"];
        let told = self.knarr().say([&filters[..], &format].concat());
        let count = |action: &str| told.lines().filter(|line| *line == action).count() as u64;
        (count("start"), count("die"))
    }
}

#[test]
fn a_shim_killed_while_it_starts_its_container_again_neither_loses_nor_doubles_it() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    bed.begin(&[]);
    let points = kills_at_changes(&bed.calls(bed.shim()));
    bed.end();
    let sweep = Sweep::over(&points, |Injection { point, fault }| {
        let began = now();
        bed.begin(&[]);
        let shim = bed.shim();
        let tracer = Tracer::inject(shim, point, *fault, &scratch.join("injected"));
        bed.ask_to_end();
        let was_killed = process::wait_for_pid(shim, Duration::from_secs(2));
        let _was_an_error = tracer.detach();
        bed.await_up(1)?;
        let mut seen = String::new();
        // A run that has just begun leaves its mark in a moment; what is told or begun too often stays so.
        let is_right = holds_within(DEADLINE, || {
            let (runs, restarts, (starts, dies)) = (bed.runs(), bed.restarts(), bed.told(&began));
            seen = format!("{runs} runs, {restarts} restarts, {starts} starts and {dies} ends told");
            // One that was begun and killed before its first word counts as a run.
            (restarts..=restarts + 1).contains(&runs)
                && restarts <= 2
                && starts == restarts + 1
                && dies == restarts
        });
        bed.end();
        if is_right { Ok(was_killed) } else { Err(Harm::Lost(seen)) }
    });
    sweep.conclude("the shim killed while it starts its container again");
}

#[test]
fn knarrd_killed_while_a_container_starts_again_tells_it_once() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let mut bed = Bed::new(&scratch);
    bed.begin(&[]);
    let points = kills_at_changes(&bed.calls(bed.daemon.pid()));
    bed.end();
    let sweep = Sweep::over(&points, |Injection { point, fault }| {
        bed.begin(&[]);
        // Asked before knarrd is traced: it may be gone when it is to answer.
        let first =
            Pid::from_raw(bed.inspect()["State"]["Pid"].as_i64().expect("a number") as i32).expect("a pid");
        let knarrd = bed.daemon.pid();
        let tracer = Tracer::inject(knarrd, point, *fault, &scratch.join("injected"));
        process::signal(first, Signal::USR1);
        eventually(DEADLINE, || (bed.runs() == 2).then_some(()));
        // As while the calls were counted: it is asked all the time.
        let was_killed = holds_within(Duration::from_secs(2), || {
            bed.knarr().call(["inspect", "web"]);
            !process::is_alive(knarrd)
        });
        let _was_an_error = tracer.detach();
        bed.daemon.kill();
        bed.daemon.start_again();
        bed.await_up(1)?;
        let (runs, restarts) = (bed.runs(), bed.restarts());
        bed.end();
        match (runs, restarts) {
            (2, 1) => Ok(was_killed),
            _ => Err(Harm::Lost(format!("{runs} runs, {restarts} restarts"))),
        }
    });
    sweep.conclude("knarrd killed while a container starts again");
}

#[test]
fn a_shim_killed_while_it_probes_leaves_no_probe_and_is_followed_by_another() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let check = ["--health-cmd", "true", "--health-interval", "50ms"];
    let is_healthy = || bed.inspect()["State"]["Health"]["Status"] == "healthy";
    bed.begin(&check);
    eventually(DEADLINE, || is_healthy().then_some(()));
    let tracer = Tracer::record(bed.shim(), &scratch.join("calls"));
    let results = || bed.inspect()["State"]["Health"]["Log"].clone();
    let before = results();
    eventually(DEADLINE, || (results() != before).then_some(()));
    let points = kills_at_changes(&tracer.calls());
    bed.end();
    let sweep = Sweep::over(&points, |Injection { point, fault }| {
        bed.begin(&check);
        let shim = bed.shim();
        let tracer = Tracer::inject(shim, point, *fault, &scratch.join("injected"));
        let was_killed = process::wait_for_pid(shim, Duration::from_secs(2));
        let _was_an_error = tracer.detach();
        bed.await_up(u64::from(was_killed))?;
        let is_well = holds_within(DEADLINE, is_healthy);
        let (runs, restarts) = (bed.runs(), bed.restarts());
        bed.end();
        match is_well && restarts == u64::from(was_killed) && runs <= restarts + 1 {
            true => Ok(was_killed),
            false => Err(Harm::Lost(format!("healthy: {is_well}, {runs} runs, {restarts} restarts"))),
        }
    });
    sweep.conclude("the shim killed while it probes");
}

/// Seconds since 1970, as `--since` takes them.
fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    format!("{:.9}", since.expect("after 1970").as_secs_f64())
}
