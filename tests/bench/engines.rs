//! Whole engines by their command lines, on the same image and without a network: knarr, Debian's dockerd and podman where
//! they are installed, and `ctr run --rm` of Debian's containerd.

use std::thread;
use std::time::{Duration, Instant};

use knarr_tests::{Containerd, Daemon, Docker, Image, Knarr, Outcome, Podman, Scratch, programs};

use crate::peers::{self, IMAGE};
use crate::table::Table;

/// Containers started at once, and how many in all.
const AT_ONCE: usize = 10;
const STARTED: usize = 50;
/// Containers that `ps` lists.
const LISTED: usize = 100;
/// How often `ps` is asked.
const LISTINGS: usize = 10;

/// A command line with docker's verbs.
trait Engine: Sync {
    fn call(&self, args: &[&str]) -> Outcome;

    /// Flags of `run` and `create` that keep a container within the benchmark.
    fn flags(&self) -> Vec<String>;

    /// `run` or `create` with these flags, then the image and the command.
    fn make(&self, verb: &str, flags: &[&str], command: &[&str]) -> Outcome {
        let own = self.flags();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        self.call(&[&[verb], own.as_slice(), flags, &[IMAGE], command].concat()).success()
    }
}

impl Engine for Knarr<'_> {
    fn call(&self, args: &[&str]) -> Outcome {
        Knarr::call(self, args)
    }

    fn flags(&self) -> Vec<String> {
        ["--network", "none"].map(str::to_owned).to_vec()
    }
}

impl Engine for Docker<'_> {
    fn call(&self, args: &[&str]) -> Outcome {
        Docker::call(self, args)
    }

    fn flags(&self) -> Vec<String> {
        ["--network", "none"].map(str::to_owned).to_vec()
    }
}

impl Engine for Podman<'_> {
    fn call(&self, args: &[&str]) -> Outcome {
        Podman::call(self, args)
    }

    fn flags(&self) -> Vec<String> {
        Podman::flags(self)
    }
}

pub(crate) fn print(rounds: usize) {
    println!("\nMilliseconds from start to exit, medians of {rounds} interleaved rounds.");
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    peers::load(&scratch, &knarr);
    let containerd = Containerd::start(&scratch);
    containerd.import(&Image::busybox(), IMAGE);
    let docker = programs::find("dockerd").map(|_| Docker::start(&scratch));
    let podman = programs::find("podman").map(|_| Podman::new(&scratch, &programs::tool("runc"), "overlay"));
    let mut names = vec!["knarr", "ctr, containerd, runc"];
    let mut engines: Vec<(usize, &dyn Engine)> = vec![(0, &knarr)];
    if let Some(docker) = &docker {
        docker.load(&Image::busybox(), IMAGE);
        engines.push((names.len(), docker));
        names.push("docker, runc");
    }
    if let Some(podman) = &podman {
        podman.load(&Image::busybox(), IMAGE);
        engines.push((names.len(), podman));
        names.push("podman, runc");
    }
    let mut table = Table::new(names);
    let cgroup = scratch.cgroup("ctr");
    // One round more than is counted: the first finds nothing warm.
    for round in 0..=rounds {
        let mut discarded = Table::new([""; 4]);
        let table = if round == 0 { &mut discarded } else { &mut table };
        let ctr = containerd.ctr(["run", "--rm", "--cgroup", &cgroup, IMAGE, "ctr", "true"]);
        table.add_time("run --rm IMAGE true", 1, ctr.success().elapsed);
        for (column, engine) in &engines {
            let outcome = engine.make("run", &["--rm"], &["true"]);
            table.add_time("run --rm IMAGE true", *column, outcome.elapsed);
            life(table, *column, *engine);
        }
    }
    for (column, engine) in &engines {
        crowd(&mut table, *column, *engine);
    }
    table.print();
}

/// One container's life, each verb timed.
fn life(table: &mut Table, column: usize, engine: &dyn Engine) {
    let flags = ["--name", "life", "--stop-signal", "KILL"];
    let mut time = |line: &str, outcome: Outcome| table.add_time(line, column, outcome.success().elapsed);
    time("create", engine.make("create", &flags, &["sleep", "600"]));
    for (line, args) in [
        ("start", ["start", "life"].as_slice()),
        ("exec true", &["exec", "life", "true"]),
        ("stop (by SIGKILL)", &["stop", "life"]),
        ("rm", &["rm", "life"]),
    ] {
        time(line, engine.call(args));
    }
}

/// Many containers of one engine.
fn crowd(table: &mut Table, column: usize, engine: &dyn Engine) {
    let start = |number: usize| {
        engine.make("run", &["--detach", "--name", &format!("crowd-{number}")], &["sleep", "600"]);
    };
    let begun = Instant::now();
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            scope.spawn(move || (first..STARTED).step_by(AT_ONCE).for_each(start));
        }
    });
    table.add_time(&format!("{STARTED} × run -d, {AT_ONCE} at once: all of them"), column, begun.elapsed());
    (STARTED..LISTED).for_each(start);
    for _ in 0..LISTINGS {
        table.add_time(&format!("ps, {LISTED} containers"), column, engine.call(&["ps"]).success().elapsed);
    }
    let names: Vec<String> = (0..LISTED).map(|number| format!("crowd-{number}")).collect();
    let begun = Instant::now();
    // Ten at a time: no program of the benchmark may need more than a minute.
    for some in names.chunks(10) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        engine.call(&[&["rm", "--force"], some.as_slice()].concat()).success();
    }
    let each = begun.elapsed() / u32::try_from(LISTED).unwrap_or(1);
    table.add_time(&format!("rm --force, {LISTED} containers: each"), column, each.max(Duration::ZERO));
}
