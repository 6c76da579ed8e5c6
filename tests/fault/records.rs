//! Damage to knarrd's records while containers run, and a start after each: knarrd is there within its time, no running
//! container is disturbed, nothing that containers or images are made of is deleted, no exit status is made up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use knarr_tests::{Daemon, Image, Knarr, Scratch, eventually, process, programs, require};

use crate::damage::{self, Damage};
use crate::sweep::{self, Harm, Sweep};

const DEADLINE: Duration = Duration::from_secs(30);
/// knarrd has to answer within two seconds; on two cores that eight test suites share, more is measured.
const READY_LIMIT: Duration = Duration::from_secs(8);
/// What the stopped container has written, and how it ended.
const PRECIOUS: &str = "precious words of a stopped container";
const CODE: u64 = 3;

/// A state of the root that damage is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bank {
    /// knarrd was stopped: all is in knarr.db.
    Checkpointed,
    /// knarrd was killed: much is in the WAL.
    WithWal,
}

/// A knarrd with a container that runs, one that has ended, and one that was never started.
struct Bed<'a> {
    scratch: &'a Scratch,
    daemon: Daemon<'a>,
    runner: u64,
    blobs: usize,
}

impl<'a> Bed<'a> {
    fn new(scratch: &'a Scratch) -> Self {
        let mut daemon = Daemon::start(scratch);
        daemon.stop();
        fs::copy(daemon.root().join("knarr.db"), scratch.join("empty.db")).expect("copied");
        daemon.start_again();
        let knarr = daemon.knarr();
        let archive = scratch.join("image.tar");
        Image::busybox().write_docker_archive(&archive, &["test/busybox:1"]);
        knarr.say(["load", "-q", "-i", archive.to_str().expect("our path")]);
        knarr.say(["run", "-d", "--name", "runner", "test/busybox:1", "sleep", "100000"]);
        let end = format!("echo {PRECIOUS} > /precious; exit {CODE}");
        let ended = knarr.call(["run", "--name", "stopped", "test/busybox:1", "sh", "-c", &end]);
        ended.exits_with(i32::try_from(CODE).expect("small"));
        knarr.say(["create", "--name", "made", "test/busybox:1", "true"]);
        let runner = state(&knarr, "runner").expect("it runs")["Pid"].as_u64().expect("a pid");
        let copy = daemon.root().join("knarr.db.copy");
        eventually(DEADLINE, || holds(&copy, b"\"name\":\"made\"").then_some(()));
        let blobs = count_files(&daemon.root().join("content/blobs/sha256"));
        let mut bed = Self { scratch, daemon, runner, blobs };
        bed.daemon.stop();
        bed.save(Bank::Checkpointed);
        bed.daemon.start_again();
        bed.daemon.knarr().say(["tag", "test/busybox:1", "test/other:1"]);
        bed.daemon.kill();
        bed.save(Bank::WithWal);
        bed
    }

    fn bank(&self, bank: Bank) -> PathBuf {
        self.scratch.directory(format!("{bank:?}"))
    }

    /// Keeps all files of the root but what is in snapshots and mounted.
    fn save(&self, bank: Bank) {
        let script = "cd \"$0\" && find . -path './snapshots/*' -prune -o -name rootfs -prune -o -type f \
                      -exec cp -a --parents -t \"$1\" {} +";
        self.shell(script, &[&self.daemon.root(), &self.bank(bank)]);
    }

    /// Brings the root back to what it was, whatever a start has made of it.
    fn restore(&self, bank: Bank) {
        let script = "cd \"$0\" && for kept in lost/*-snapshots-*; do \
                        [ -e \"$kept\" ] && mv \"$kept\" snapshots/${kept##*-}; done; \
                      rm -rf lost knarr.db* knarr.lineage && cp -a \"$1\"/. .";
        self.shell(script, &[&self.daemon.root(), &self.bank(bank)]);
    }

    fn shell(&self, script: &str, arguments: &[&Path]) {
        let mut command = self.scratch.command(programs::tool("sh"));
        process::run(command.args(["-c", script]).args(arguments)).success();
    }

    /// Does the damage, starts knarrd, and says what is wrong then.
    fn try_out(&mut self, damage: &Damage) -> Result<Duration, Harm> {
        damage.apply(&self.daemon.root());
        let began = Instant::now();
        self.daemon.start_again();
        let knarr = self.daemon.knarr();
        let listed = knarr.call(["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
        let took = began.elapsed();
        let wrong = self.wrong(&knarr, &listed.stdout, took);
        self.daemon.kill();
        self.restore(damage.bank);
        if wrong.is_empty() { Ok(took) } else { Err(Harm::Lost(wrong.join("; "))) }
    }

    fn wrong(&self, knarr: &Knarr<'_>, listed: &str, took: Duration) -> Vec<String> {
        let mut wrong = Vec::new();
        if took > READY_LIMIT {
            wrong.push(format!("it answered after {took:?}"));
        }
        if !Path::new(&format!("/proc/{}/ns", self.runner)).exists() {
            wrong.push("the running container was killed".to_owned());
        }
        let runs = listed.lines().filter(|line| line.ends_with(" running")).count();
        if runs != 1 || listed.lines().count() < 3 {
            wrong.push(format!("it lists {listed:?}"));
        }
        if let Some(stopped) = state(knarr, "stopped") {
            let (code, error) = (stopped["ExitCode"].as_u64(), stopped["Error"].as_str().unwrap_or(""));
            if code != Some(CODE) && error.is_empty() {
                wrong.push(format!("an exit status was made up: {stopped}"));
            }
        }
        if !precious_is_there(&self.daemon.root()) {
            wrong.push("what the stopped container wrote is gone".to_owned());
        }
        // A damage may have taken one itself.
        if count_files(&self.daemon.root().join("content/blobs/sha256")) + 1 < self.blobs {
            wrong.push("blobs are gone".to_owned());
        }
        wrong
    }
}

fn state(knarr: &Knarr<'_>, name: &str) -> Option<serde_json::Value> {
    let inspected = knarr.call(["inspect", name]);
    let value: serde_json::Value = serde_json::from_str(&inspected.stdout).ok()?;
    Some(value[0]["State"].clone()).filter(|state| !state.is_null())
}

fn holds(path: &Path, words: &[u8]) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(words.len()).any(|window| window == words))
}

fn count_files(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, |entries| entries.flatten().count())
}

fn precious_is_there(root: &Path) -> bool {
    ["snapshots", "lost"].iter().any(|place| {
        let entries = fs::read_dir(root.join(place)).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| holds(&entry.path().join("fs/precious"), PRECIOUS.as_bytes()))
    })
}

#[test]
fn no_damage_to_the_records_costs_a_container_anything() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut bed = Bed::new(&scratch);
    let all = damage::all(&bed.bank(Bank::Checkpointed), &bed.bank(Bank::WithWal));
    let step = if sweep::is_full() { 1 } else { 5 };
    let tried: Vec<_> = all.into_iter().step_by(step).collect();
    let mut slowest = Duration::ZERO;
    bed.restore(Bank::Checkpointed);
    let found = Sweep::over(&tried, |damage| {
        bed.restore(damage.bank);
        slowest = slowest.max(bed.try_out(damage)?);
        Ok(true)
    });
    eprintln!("slowest start {slowest:?}");
    found.conclude("records damaged");
    bed.restore(Bank::Checkpointed);
    bed.daemon.start_again();
    let knarr = bed.daemon.knarr();
    assert_eq!(knarr.say(["exec", "runner", "echo", "here"]), "here", "the runner can still be entered");
    knarr.say(["rm", "-f", "runner", "stopped", "made"]);
}
