//! What knarrd works with deleted: the state directory, the root, or both, below a knarrd that runs and below one that was
//! stopped or killed, while containers run. They go on, are seen again, tell their own end, and can be removed; knarrd
//! says what is gone, acknowledges nothing that it would lose, and starts.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use knarr_tests::{Daemon, Image, Knarr, Scratch, eventually, require};

const DEADLINE: Duration = Duration::from_secs(60);
/// Two seconds are meant; the rest is for a machine that others load.
const READY_LIMIT: Duration = Duration::from_secs(8);
const IMAGE: &str = "test/busybox:1";
/// Ends with its own code at SIGTERM.
const SCRIPT: &str = "trap 'exit 9' TERM; sleep 1000000 & wait";

/// A knarrd with two containers that run, by name and pid.
struct Bed<'a> {
    scratch: &'a Scratch,
    daemon: Daemon<'a>,
    knarr: Knarr<'a>,
    pids: [u64; 2],
}

const NAMES: [&str; 2] = ["goes-on", "is-stopped"];

impl<'a> Bed<'a> {
    fn new(scratch: &'a Scratch) -> Self {
        let daemon = Daemon::start(scratch);
        let knarr = daemon.knarr();
        load(scratch, &knarr);
        let pids = NAMES.map(|name| {
            knarr.say(["run", "-d", "--name", name, IMAGE, "sh", "-c", SCRIPT]);
            let pid = knarr.json(["inspect", name])[0]["State"]["Pid"].as_u64().expect("a pid");
            // As pid 1 it ignores the signal until its trap is set.
            eventually(DEADLINE, || catches_term(pid).then_some(()));
            pid
        });
        Self { scratch, daemon, knarr, pids }
    }

    /// The containers that run, by pid, and the names that they have now.
    fn running(&self) -> Vec<(u64, String)> {
        let ids = self.knarr.say(["ps", "-q", "--no-trunc"]);
        let of = |id: &str| {
            let told = self.knarr.json(["inspect", id]);
            let name = told[0]["Name"].as_str().expect("a name").trim_start_matches('/').to_owned();
            (told[0]["State"]["Pid"].as_u64().expect("a pid"), name)
        };
        ids.lines().map(of).collect()
    }

    /// Both containers run on and are told as that, one ends by itself when asked and tells its own code, both are
    /// removed, and nothing of them is left.
    fn assert_kept_and_removable(&self, what: &str) {
        for pid in self.pids {
            assert!(is_alive(pid), "{what}: a container was ended\n{}", self.daemon.log());
        }
        let mut running = self.running();
        running.sort();
        let mut pids = self.pids.to_vec();
        pids.sort_unstable();
        let told: Vec<u64> = running.iter().map(|(pid, _)| *pid).collect();
        assert_eq!(told, pids, "{what}: {running:?}\n{}", self.daemon.log());
        let name_of = |pid: u64| running.iter().find(|(of, _)| *of == pid).expect("it runs").1.clone();
        let [goes_on, stopped] = self.pids.map(name_of);
        self.knarr.say(["stop", "-t", "30", &stopped]);
        let state = self.knarr.json(["inspect", &stopped])[0]["State"].clone();
        assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &9.into()), "{what}: {state}");
        self.knarr.say(["rm", &stopped]);
        self.knarr.say(["rm", "-f", &goes_on]);
        assert_eq!(self.knarr.say(["ps", "-aq"]), "", "{what}");
        for pid in self.pids {
            eventually(DEADLINE, || (!is_alive(pid)).then_some(()));
        }
        self.scratch.assert_no_container_left();
    }

    /// knarrd works: an image comes, a container runs.
    fn assert_usable(&self, what: &str) {
        load(self.scratch, &self.knarr);
        assert_eq!(self.knarr.say(["run", "--rm", IMAGE, "echo", "here"]), "here", "{what}");
    }
}

fn load(scratch: &Scratch, knarr: &Knarr<'_>) {
    let archive = scratch.join("image.tar");
    if !archive.exists() {
        Image::busybox().write_docker_archive(&archive, &[IMAGE]);
    }
    knarr.say(["load", "-q", "-i", archive.to_str().expect("our path")]);
}

fn catches_term(pid: u64) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught & (1 << 14) != 0
}

fn is_alive(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Deletes as `rm -rf` does: all that can be, whatever cannot. The root filesystem of a container that runs is a mount
/// point.
fn delete(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => delete(&path),
            false => fs::remove_file(&path).expect("our own file"),
        }
    }
    fs::remove_dir(path).ok();
}

/// Takes a directory away, as whoever unmounts its disk or moves it elsewhere.
fn move_away(path: &Path) {
    fs::rename(path, path.with_extension("elsewhere")).expect("moved");
}

type Loss = (&'static str, fn(&Bed<'_>));

/// What can be lost of a knarrd that does not run.
const LOSSES: [Loss; 5] = [
    ("root deleted", |bed| delete(&bed.daemon.root())),
    ("root moved away", |bed| move_away(&bed.daemon.root())),
    ("state and root deleted", |bed| {
        delete(&bed.daemon.state());
        delete(&bed.daemon.root());
    }),
    ("containers and snapshots deleted", |bed| {
        delete(&bed.daemon.root().join("containers"));
        delete(&bed.daemon.root().join("snapshots"));
    }),
    ("all but the containers' mounts moved away", |bed| {
        for name in
            ["knarr.db", "knarr.db-wal", "knarr.db-shm", "knarr.db.copy", "knarr.lineage", "snapshots"]
        {
            fs::rename(bed.daemon.root().join(name), bed.scratch.join(name)).ok();
        }
        for entry in fs::read_dir(bed.daemon.root().join("containers")).expect("bundles").flatten() {
            delete(&entry.path());
        }
    }),
];

#[test]
fn what_was_deleted_below_a_killed_knarrd_ends_no_container() {
    require!(root, tool("busybox"));
    for (what, lose) in LOSSES {
        let scratch = Scratch::new();
        let mut bed = Bed::new(&scratch);
        bed.daemon.kill();
        lose(&bed);
        let began = Instant::now();
        bed.daemon.start_again();
        bed.knarr.say(["ps", "-q"]);
        let took = began.elapsed();
        assert!(took < READY_LIMIT, "{what}: knarrd answered after {took:?}\n{}", bed.daemon.log());
        bed.assert_kept_and_removable(what);
        bed.assert_usable(what);
        // Started once more it finds what it has made.
        bed.daemon.stop();
        bed.daemon.start_again();
        bed.assert_usable(what);
    }
}

#[test]
fn the_state_directory_deleted_below_a_running_knarrd_is_made_anew() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut bed = Bed::new(&scratch);
    for part in ["", "attach", "knarrd.sock"] {
        let path = bed.daemon.state().join(part);
        match path.is_dir() {
            true => delete(&path),
            false => fs::remove_file(&path).expect("a socket"),
        }
        let refused = bed.knarr.call(["ps"]);
        let is_said = refused.status.success() || refused.stderr.contains("there is no such socket");
        assert!(is_said, "{refused}");
        eventually(DEADLINE, || {
            (bed.daemon.state().join("attach").is_dir() && bed.knarr.call(["ps"]).status.success())
                .then_some(())
        });
        bed.assert_usable(part);
    }
    assert!(bed.daemon.is_running(), "it is the same knarrd");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(bed.daemon.socket()).expect("a socket").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "the new socket is root's alone, too");
    // Nobody else takes the place meanwhile.
    let mut second = scratch.command(knarr_tests::programs::ours("knarrd"));
    second.arg("--root").arg(scratch.directory("other")).arg("--state").arg(bed.daemon.state());
    let refused = knarr_tests::process::run(&mut second);
    assert!(refused.stderr.contains("another knarrd"), "{refused}");
    bed.assert_kept_and_removable("state deleted while it ran");
    bed.daemon.stop();
}

#[test]
fn a_running_knarrd_without_its_root_acknowledges_nothing_and_ends_what_it_is_told_to() {
    require!(root, tool("busybox"));
    for (what, lose, is_restarted) in [
        ("deleted", delete as fn(&Path), false),
        ("deleted, then restarted", delete, true),
        ("moved away", move_away, false),
        ("moved away, then restarted", move_away, true),
    ] {
        let scratch = Scratch::new();
        let mut bed = Bed::new(&scratch);
        lose(&bed.daemon.root());
        for request in [
            &["tag", IMAGE, "test/again:1"][..],
            &["create", IMAGE, "true"],
            &["run", "--rm", "--pull", "never", IMAGE, "true"],
            &["load", "-q", "-i", scratch.join("image.tar").to_str().expect("our path")],
        ] {
            let refused = bed.knarr.call(request);
            assert!(!refused.status.success() && refused.stderr.len() > 20, "{what}: {refused}");
        }
        let images = bed.knarr.say(["images"]);
        assert!(!images.contains("test/again"), "{what}: a name was taken that would be lost");
        if is_restarted {
            bed.daemon.stop();
            bed.daemon.start_again();
        }
        bed.assert_kept_and_removable(what);
        if !is_restarted {
            bed.daemon.stop();
            bed.daemon.start_again();
        }
        bed.assert_usable(what);
    }
}
