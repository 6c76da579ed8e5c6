//! A knarrd that faults are tried on, with a container that runs and one that has ended beside what the fault meets,
//! and the whole of what it keeps on the host, so that nothing lost and nothing left goes unseen.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use knarr_tests::eventually::{eventually, holds_within};
use knarr_tests::leftovers::{Leftovers, mounts_below};
use knarr_tests::{Daemon, Image, Knarr, Layer, Registry, Scratch};
use serde_json::{Value, json};

use crate::sweep::Harm;

/// How long a knarrd may take from its start to its first answer, with what is here.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// How long what a fault met may need to be gone.
const SETTLE: Duration = Duration::from_secs(15);
const SETTLE_BEFORE_A_START: Duration = Duration::from_secs(5);

pub(crate) const IMAGE: &str = "test/busybox:1";
pub(crate) const ENDED_CODE: u32 = 7;

/// The directories whose entries are all of what there is, below the scratch directory.
const KEPT: [&str; 7] = [
    "root/containers",
    "root/snapshots",
    "root/content/blobs/sha256",
    "root/content/ingest",
    "state/attach",
    "state/shims",
    "state/runtime",
];

/// The server and its surroundings.
pub(crate) struct Bed<'a> {
    pub(crate) scratch: &'a Scratch,
    pub(crate) daemon: Daemon<'a>,
    pub(crate) knarr: Knarr<'a>,
    /// A reference that can be pulled, of an image that is not here.
    pub(crate) remote: String,
    running_pid: u64,
    _registry: Registry<'a>,
}

impl<'a> Bed<'a> {
    /// Starts everything.
    pub(crate) fn make(scratch: &'a Scratch) -> Self {
        let registry = Registry::start(scratch);
        let remote = registry.push(&other_image(), "test/other:1");
        other_image().write_docker_archive(&scratch.join("other.tar"), &["test/other:2"]);
        let archive = scratch.join("busybox.tar");
        Image::busybox().write_docker_archive(&archive, &[IMAGE]);
        let daemon = Daemon::start(scratch);
        let knarr = daemon.knarr();
        knarr.say(["load", "-q", "-i", archive.to_str().expect("our own path")]);
        knarr.say(["run", "-d", "--name", "running", IMAGE, "sleep", "1000000"]);
        knarr.call(["run", "--name", "ended", IMAGE, "sh", "-c", "exit 7"]).exits_with(7);
        let mut bed = Self { scratch, daemon, knarr, remote, running_pid: 0, _registry: registry };
        bed.running_pid =
            bed.container("running").expect("it was made")["State"]["Pid"].as_u64().expect("a pid");
        bed
    }

    /// Takes everything away again.
    pub(crate) fn close(self) {
        self.knarr.say(["rm", "-f", "running", "ended"]);
    }

    /// What inspect tells of a container; `None` when there is none of this name.
    pub(crate) fn container(&self, name: &str) -> Option<Value> {
        let outcome = self.knarr.call(["inspect", "--type", "container", name]);
        let all: Value = serde_json::from_str(&outcome.stdout).ok()?;
        all.get(0).cloned()
    }

    /// Starts knarrd again; an error when it takes too long.
    pub(crate) fn start_again(&mut self) -> Result<(), String> {
        let mut took = self.time_of_start();
        if took > READY_WITHIN {
            // The machine may have been busy with something else: it is too slow only when it is again.
            self.daemon.kill();
            took = self.time_of_start();
        }
        if took > READY_WITHIN { Err(format!("knarrd was ready only after {took:?}")) } else { Ok(()) }
    }

    fn time_of_start(&mut self) -> Duration {
        let begun = Instant::now();
        self.daemon.start_again();
        self.knarr.say(["ps", "-q"]);
        begun.elapsed()
    }

    /// What was acknowledged before any fault is still true.
    pub(crate) fn bystanders(&self) -> Result<(), String> {
        let running = self.container("running").ok_or("a running container is lost")?;
        if running["State"]["Pid"] != self.running_pid {
            return Err(format!("a running container is told as {}", running["State"]));
        }
        let ended = self.container("ended").ok_or("an ended container is lost")?;
        if ended["State"]["ExitCode"] != ENDED_CODE {
            return Err(format!("an ended container is told as {}", ended["State"]));
        }
        Ok(())
    }

    /// All that is on the host for this knarrd, in words.
    pub(crate) fn inventory(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for directory in KEPT {
            let entries = fs::read_dir(self.scratch.join(directory)).into_iter().flatten().flatten();
            let names = entries.map(|entry| format!("{directory}/{}", entry.file_name().display()));
            // A download that was broken off is kept for a day, so that the next pull goes on with it.
            all.extend(names.filter(|name| !name.starts_with("root/content/ingest/sha256-")));
        }
        let mounts = mounts_below(self.scratch.path()).into_iter();
        all.extend(mounts.map(|path| format!("mount {}", path.display())));
        let leftovers = Leftovers::of(self.scratch).to_string();
        let own = format!("process {} ", self.daemon.pid().as_raw_nonzero());
        // A program that runs for a moment is not what stays; the next look does not see it any more.
        all.extend(
            leftovers.lines().map(|line| line.trim().to_owned()).filter(|line| !line.starts_with(&own)),
        );
        all
    }

    /// The same when no shim is left but that of the container that runs.
    pub(crate) fn inventory_at_rest(&self) -> BTreeSet<String> {
        eventually(SETTLE, || {
            let now = self.inventory();
            let shims = now.iter().filter(|line| line.contains("containerd-shim-knarr-v2")).count();
            let sockets = now.iter().filter(|line| line.starts_with("state/shims/")).count();
            (shims == 1 && sockets == 1).then_some(now)
        })
    }

    /// The end of knarrd's log, on one line.
    pub(crate) fn last_words(&self) -> String {
        let log = self.daemon.log();
        let lines: Vec<_> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    /// Harm unless the host comes to hold what it held before: nothing more, nothing less. What could not be removed when
    /// it should have been goes with knarrd's next start at the latest.
    pub(crate) fn settles_as(&mut self, before: &BTreeSet<String>) -> Result<(), Harm> {
        if self.is_as(before, SETTLE_BEFORE_A_START).is_ok() {
            return Ok(());
        }
        self.daemon.stop();
        self.start_again().map_err(Harm::Unclear)?;
        self.is_as(before, SETTLE)
    }

    fn is_as(&self, before: &BTreeSet<String>, settle: Duration) -> Result<(), Harm> {
        let mut now = BTreeSet::new();
        let same = holds_within(settle, || {
            now = self.inventory();
            now == *before
        });
        if same {
            return Ok(());
        }
        let list = |items: Vec<&String>| items.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let gone = list(before.difference(&now).collect());
        let left = list(now.difference(before).collect());
        match gone.is_empty() {
            true => Err(Harm::Orphan(format!("left: {left}"))),
            false => Err(Harm::Lost(format!("gone: {gone}; left: {left}"))),
        }
    }
}

/// Two layers that the other image does not have.
fn other_image() -> Image {
    let layer = Layer::new().directory("data", 0o755).file("data/file", 0o644, &[b'x'; 20_000]);
    Image::empty()
        .layer(Layer::busybox().file("etc/other", 0o644, b"other\n"))
        .layer(layer)
        .config("Cmd", json!(["true"]))
}

/// The path of the archive of the image that `load` brings.
pub(crate) fn archive(scratch: &Scratch) -> String {
    Path::new(&scratch.join("other.tar")).display().to_string()
}
